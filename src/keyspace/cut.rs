//! A point-in-time walk over all shards while writers go on (D9).

use super::entry::Entry;
use super::table::Table;

/// Where old values go while a cut runs. Called with the shard's lock held, so it must be quick and must not block.
pub trait PreImage: Send + Sync {
    /// An entry of the old epoch is about to change: this is its value at the cut.
    fn entry(&self, db: u32, entry: &Entry);
    /// A whole table was detached (FLUSHDB); its entries that do not have the epoch bit `new_epoch` belong to the cut.
    fn table(&self, db: u32, table: Table, new_epoch: bool);
}
