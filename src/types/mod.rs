//! Pure data structures: what a key can hold. This room knows no network, no lock, no expiry of keys and no RESP.

pub mod bits;
pub mod geo;
pub mod group;
pub mod hash;
pub mod hll;
pub mod list;
pub mod packed;
pub mod set;
pub mod stream;
pub mod string;
pub mod tree;
pub mod zset;
