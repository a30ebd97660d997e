//! Every error text that goes to the wire.
