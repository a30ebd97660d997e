//! What eviction compares with the limit.
//!
//! The bytes in use are counted by the allocator (`base::alloc`). Not counted for eviction are bytes that are on their
//! way out: queued for freeing, or held by buffers of a cut, of replicas and of the AOF.

use super::Keyspace;
use crate::base::alloc::used_memory;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Bytes that are in use but must not cause eviction.
#[derive(Debug, Default)]
pub struct NotCounted {
    bytes: AtomicI64,
}

impl NotCounted {
    /// Adds (or, negative, takes back) bytes.
    pub fn add(&self, bytes: i64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }
    /// The bytes now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed).max(0) as u64
    }
}

/// Bytes in use that count for eviction.
#[inline]
pub fn counted_bytes(keyspace: &Keyspace) -> u64 {
    (used_memory() as u64).saturating_sub(keyspace.not_counted.bytes() + keyspace.later.pending_bytes())
}
