//! The clock: real, or moved by hand in tests. Nothing else in the crate asks the system what time it is.
