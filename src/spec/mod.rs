//! A command as data: name, arity, flags, categories, keys. No handlers.

pub mod docs;
pub mod keys;
