//! The DUMP payload: a value with a footer.
