//! Fetching ahead: the memory that the next requests will touch is asked for before any of them runs, so that their
//! cache misses (the bucket in the table, the entry it names, the collection it holds) happen side by side and not one
//! after the other.
//!
//! Memory of a table is looked at only under the lock of its shard, and only shards that are free are looked at. Hashes
//! are sorted by shard, so that each shard is locked once for all of them.

use super::Engine;
use crate::client::{NO_NAME, Session};
use crate::keyspace::table::Table;
use crate::spec::Group;
use smallvec::SmallVec;
use std::num::NonZero;

/// Hashes of keys whose memory is to be fetched.
pub type Hashes = SmallVec<[u64; 64]>;

impl Engine {
    /// All stages for the keys of requests that run together; the third one if they are likely to work on collections
    /// of this group, the fourth one if that is streams.
    pub fn prefetch(&self, db: usize, hashes: Hashes, collections: Option<Group>) {
        self.prefetch_buckets(db, &hashes);
        self.prefetch_entries(db, &hashes);
        if collections.is_some() {
            self.each_table(db, &hashes, Table::prefetch_collection);
        }
        if collections == Some(Group::Stream) {
            self.each_table(db, &hashes, Table::prefetch_end);
        }
    }

    /// The first stage: asks for the lines of the table.
    pub fn prefetch_buckets(&self, db: usize, hashes: &[u64]) {
        self.each_table(db, hashes, Table::prefetch_bucket);
    }

    /// The second stage, when those have had time to come: asks for the entries they name.
    pub fn prefetch_entries(&self, db: usize, hashes: &[u64]) {
        self.each_table(db, hashes, Table::prefetch_entry);
    }

    #[inline]
    fn each_table(&self, db: usize, hashes: &[u64], prefetch: impl Fn(&Table, u64)) {
        let keyspace = &self.node.keyspace;
        for group in hashes.chunk_by(|a, b| keyspace.shard_of(*a) == keyspace.shard_of(*b)) {
            if let Some(shard) = keyspace.try_lock(keyspace.shard_of(group[0])) {
                let table = &shard.dbs[db].table;
                group.iter().for_each(|hash| prefetch(table, *hash));
            }
        }
    }

    /// Where the last command of a session has its first key: the next ones most likely have it there, too.
    pub fn first_key_at(&self, session: &Session) -> NonZero<u32> {
        let (_, len, index) = session.last_name;
        if len == NO_NAME { NonZero::<u32>::MIN } else { self.commands.get(index).command.spec.keys.first_at() }
    }

    /// The collections that the last command of a session works on, if it does: the next ones most likely do, too.
    pub fn collections_of(&self, session: &Session) -> Option<Group> {
        let (_, len, index) = session.last_name;
        let group = (len != NO_NAME).then(|| self.commands.get(index).command.spec.group)?;
        matches!(group, Group::List | Group::Hash | Group::Set | Group::SortedSet | Group::Stream | Group::Geo)
            .then_some(group)
    }
}
