//! What a writer meets of a running cut: where old values go.

use crate::keyspace::entry::Entry;
use crate::keyspace::table::Table;
use parking_lot::Mutex;
use std::sync::Arc;

/// Where the entries of a cut go. Called with a shard's lock held, from the walker and from writers, so it must be
/// quick and must not block.
pub trait Image: Send + Sync {
    /// One entry as it was at the cut.
    fn entry(&self, db: u32, entry: &Entry);
}

/// What a shard knows of the running cut.
pub struct Running {
    /// Where its entries go.
    pub(super) image: Arc<dyn Image>,
    /// Tables taken out of the keyspace before the walk had passed them, with their database and the new epoch bit.
    pub(super) detached: Mutex<Vec<(u32, Table, bool)>>,
}

impl Running {
    /// An entry of the old epoch is about to change.
    pub fn entry(&self, db: u32, entry: &Entry) {
        self.image.entry(db, entry);
    }
    /// A whole table leaves the keyspace; its entries without the bit `new_epoch` belong to the cut.
    pub fn table(&self, db: u32, table: Table, new_epoch: bool) {
        self.detached.lock().push((db, table, new_epoch));
    }
}
