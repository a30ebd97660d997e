//! Fetching ahead: the memory that the next requests will touch is asked for before any of them runs, so that their
//! cache misses (the bucket in the table, then the entry it names) happen side by side and not one after the other.
//!
//! Memory of a table is looked at only under the lock of its shard, and only shards that are free are looked at. Hashes
//! are sorted by shard, so that each shard is locked once for all of them.

use super::Engine;
use smallvec::SmallVec;

/// Hashes of keys whose memory is to be fetched.
pub(super) type Hashes = SmallVec<[u64; 64]>;

impl Engine {
    /// Both stages for the keys of requests that run together.
    pub fn prefetch(&self, db: usize, mut hashes: Hashes) {
        let mask = self.node.keyspace.shard_count() as u64 - 1;
        hashes.sort_unstable_by_key(|hash| hash & mask);
        self.prefetch_buckets(db, &hashes);
        self.prefetch_entries(db, &hashes);
    }

    /// The first stage: asks for the lines of the table.
    pub fn prefetch_buckets(&self, db: usize, hashes: &[u64]) {
        let keyspace = &self.node.keyspace;
        for group in hashes.chunk_by(|a, b| keyspace.shard_of(*a) == keyspace.shard_of(*b)) {
            if let Some(shard) = keyspace.try_lock(keyspace.shard_of(group[0])) {
                let table = &shard.dbs[db].table;
                group.iter().for_each(|hash| table.prefetch_bucket(*hash));
            }
        }
    }

    /// The second stage, when those have had time to come: asks for the entries they name.
    pub fn prefetch_entries(&self, db: usize, hashes: &[u64]) {
        let keyspace = &self.node.keyspace;
        for group in hashes.chunk_by(|a, b| keyspace.shard_of(*a) == keyspace.shard_of(*b)) {
            if let Some(shard) = keyspace.try_lock(keyspace.shard_of(group[0])) {
                let table = &shard.dbs[db].table;
                group.iter().for_each(|hash| table.prefetch_entry(*hash));
            }
        }
    }
}
