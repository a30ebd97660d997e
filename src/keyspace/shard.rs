//! One shard: its part of every database, with deadlines, waiters and watchers. Everything in it is read and changed
//! under its one lock.

use super::cut::running::Running;
use super::entry::Entry;
use super::table::Table;
use super::waiters::WaiterMap;
use super::watch::WatchMap;
use super::wheel::Wheel;
use crate::base::rng::Rng;
use std::cell::Cell;
use std::sync::Arc;

/// A shard's part of one database.
pub struct Db {
    /// The entries.
    pub table: Table,
    /// Hashes of keys with a deadline (of the key, or of a field).
    pub wheel: Wheel,
    /// Keys with a deadline of their own.
    pub volatile: usize,
    /// The sum of their deadlines, in Unix milliseconds.
    pub deadlines: u128,
    /// Hashes with at least one field that has a deadline.
    pub volatile_fields: usize,
    /// The number this database had when the running cut began.
    pub cut_number: u32,
    /// How far the running cut has walked this part; `None`: to the end, or there is no cut.
    pub cut_position: Option<u64>,
}

impl Db {
    /// An empty database part.
    pub fn new(number: u32, now_ms: u64) -> Db {
        Db {
            table: Table::new(),
            wheel: Wheel::new(now_ms),
            volatile: 0,
            deadlines: 0,
            volatile_fields: 0,
            cut_number: number,
            cut_position: None,
        }
    }

    /// A key of this hash has the deadline `new` instead of `old`: it counts, and the wheel hears of it unless it has an
    /// earlier one of that key already.
    #[inline]
    pub fn redate(&mut self, hash: u64, old: Option<u64>, new: Option<u64>) {
        self.volatile = self.volatile + new.is_some() as usize - old.is_some() as usize;
        self.deadlines = self.deadlines + u128::from(new.unwrap_or(0)) - u128::from(old.unwrap_or(0));
        if let Some(at) = new
            && old.is_none_or(|old| at < old)
        {
            self.wheel.add(at, hash);
        }
    }
}

/// Plain counters of one shard, written under its lock; those that every command raises come first.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    /// Look-ups for reading that found the key.
    pub hits: Cell<u64>,
    /// Look-ups for reading that did not.
    pub misses: Cell<u64>,
    /// Changes.
    pub dirty: u64,
    /// Keys expired.
    pub expired: u64,
    /// Hash fields expired.
    pub expired_fields: u64,
    /// Keys evicted.
    pub evicted: u64,
}

/// One shard. What every command touches comes first: with the lock before it, it is one cache line, which workers pass to
/// each other.
#[repr(C)]
pub struct Shard {
    /// Its part of every database.
    pub dbs: Box<[Db]>,
    /// Where the old value of an entry goes before it is changed; only while a cut runs.
    pub cut: Option<Arc<Running>>,
    /// The epoch bit that new entries get. While no cut runs, every entry has it.
    pub epoch: bool,
    /// Counters.
    pub counters: Counters,
    /// Who watches its keys.
    pub watch: WatchMap,
    /// Who waits for its keys.
    pub waiters: WaiterMap,
    /// For samples.
    pub rng: Rng,
    /// Whose turn it is to be looked at by eviction: a database and a cursor in its table.
    pub hand: (usize, u64),
}

const _: () = assert!(
    size_of::<u64>() + std::mem::offset_of!(Shard, counters) + std::mem::offset_of!(Counters, expired) <= 64,
    "the lock and what every command touches fill one cache line"
);

impl Shard {
    /// An empty shard with this many databases.
    pub fn new(databases: usize, seed: u64, now_ms: u64) -> Shard {
        Shard {
            dbs: (0..databases).map(|n| Db::new(n as u32, now_ms)).collect(),
            watch: WatchMap::default(),
            waiters: WaiterMap::default(),
            counters: Counters::default(),
            rng: Rng::from_seed(seed),
            hand: (0, 0),
            epoch: false,
            cut: None,
        }
    }

    /// Puts an entry that is not there yet.
    pub fn put(&mut self, db: usize, hash: u64, entry: Entry) {
        entry.set_epoch(self.epoch);
        let part = &mut self.dbs[db];
        if let Some(at) = entry.expiry() {
            part.redate(hash, None, Some(at));
        }
        if let Some(at) = entry.field_deadline() {
            part.volatile_fields += 1;
            part.wheel.add(at, hash);
        }
        part.table.insert(hash, entry);
    }

    /// Takes an entry out, after its old value went to a running cut.
    pub fn take(&mut self, db: usize, hash: u64, key: &[u8]) -> Option<Entry> {
        self.save_old(db, hash, key);
        let part = &mut self.dbs[db];
        let entry = part.table.remove(hash, key)?;
        part.redate(hash, entry.expiry(), None);
        if entry.field_deadline().is_some() {
            part.volatile_fields -= 1;
        }
        Some(entry)
    }

    /// Hands the old value of an entry to the running cut, if it has not been there yet. Must come before any change.
    #[inline]
    pub fn save_old(&mut self, db: usize, hash: u64, key: &[u8]) {
        if self.cut.is_some() {
            self.save_old_now(db, hash, key);
        }
    }

    #[cold]
    fn save_old_now(&mut self, db: usize, hash: u64, key: &[u8]) {
        let Some(cut) = &self.cut else { return };
        let part = &mut self.dbs[db];
        if let Some(entry) = part.table.get_mut(hash, key)
            && entry.epoch() != self.epoch
        {
            cut.entry(part.cut_number, entry);
            entry.set_epoch(self.epoch);
        }
    }
}
