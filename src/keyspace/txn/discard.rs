//! Freeing entries: big ones in the background.

use crate::keyspace::Keyspace;
use crate::keyspace::entry::Entry;
use crate::types::Kind;

/// Entries of this many bytes and more are freed in the background.
pub(super) const LATER_BYTES: usize = 64 * 1024;
/// Values that take more work than this to free are unlinked in the background.
const LAZY_EFFORT: usize = 64;

impl Keyspace {
    /// Frees an entry, in the background when it is big.
    pub fn discard(&self, entry: Entry) {
        let bytes = if matches!(entry.kind(), Kind::Str) { 0 } else { entry.heap_bytes() };
        if bytes >= LATER_BYTES {
            self.later.free(Box::new(entry), 1, bytes as u64);
        }
    }

    /// Frees an entry whose time has passed.
    pub(super) fn discard_expired(&self, entry: Entry) {
        if self.namespace.lazy_expire() { self.discard_lazily(entry) } else { self.discard(entry) }
    }

    /// Frees an entry that another takes the place of.
    pub fn discard_replaced(&self, entry: Entry) {
        if self.namespace.lazy_server_del() { self.discard_lazily(entry) } else { self.discard(entry) }
    }

    /// Frees an entry in the background unless that is hardly any work.
    pub fn discard_lazily(&self, entry: Entry) {
        if entry.value().free_effort() > LAZY_EFFORT {
            let bytes = entry.heap_bytes() as u64;
            self.later.free(Box::new(entry), 1, bytes);
        } else {
            self.discard(entry);
        }
    }
}
