//! Channels, patterns, shard channels and invalidation of client-side caches.

pub mod channels;
pub mod patterns;
pub mod tracking;
