//! Case-blind comparison and other small byte-string tools.
