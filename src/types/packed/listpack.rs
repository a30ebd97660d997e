//! The listpack: a small sequence of strings and integers in one allocation.
