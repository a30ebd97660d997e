//! What is in transit: the memory of messages from when they are put into a mailbox until the client's task has tried to
//! write them.
//!
//! It is on its way out and no reason to evict keys, which would only make more of it (`engine/maintain.rs`). A client that
//! does not read is another matter: what it leaves unwritten counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in transit to all clients. Of the process, as the count of the allocator is.
static IN_TRANSIT: AtomicU64 = AtomicU64::new(0);

/// Bytes of messages on their way out that no client's task has tried to write yet.
pub fn in_transit_bytes() -> u64 {
    IN_TRANSIT.load(Ordering::Relaxed)
}

/// A share of what is in transit.
#[derive(Debug, Default)]
pub(super) struct InTransit(u64);

impl InTransit {
    /// Bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0
    }
    /// So much it is from now on.
    pub(super) fn set(&mut self, bytes: u64) {
        if bytes > self.0 {
            IN_TRANSIT.fetch_add(bytes - self.0, Ordering::Relaxed);
        } else if bytes < self.0 {
            IN_TRANSIT.fetch_sub(self.0 - bytes, Ordering::Relaxed);
        }
        self.0 = bytes;
    }
}

impl Drop for InTransit {
    fn drop(&mut self) {
        self.set(0);
    }
}
