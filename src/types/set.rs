//! The set: integers, a listpack, or a table.
