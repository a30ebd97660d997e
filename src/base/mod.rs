//! Leaves: time, randomness, numbers, patterns, hashes, the allocator. This room knows no key, no client and no command.

pub mod alloc;
pub mod bytes;
mod counter;
pub mod crc64;
pub mod glob;
pub mod grisu;
pub mod hash;
pub mod later;
pub mod longdouble;
pub mod lzf;
pub mod num;
pub mod rng;
mod spelling;
pub mod system;
pub mod time;
