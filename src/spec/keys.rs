//! Where the keys of a request are.
