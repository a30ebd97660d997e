//! Compact byte layouts for small collections, byte for byte those of Redis.

pub mod intset;
pub mod listpack;
pub mod thin;
