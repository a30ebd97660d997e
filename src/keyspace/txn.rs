//! The lock set of a running command: what it holds, and what becomes of that in the end.
//!
//! A [`Txn`] holds the shards of a command's keys from before its handler runs until its changes have been committed.
//! Nobody waits for a shard while holding one: [`Txn::of_shards`] takes a set by trying, and on failure releases all
//! and waits for the busy one with empty hands; nobody waits for a frozen unit at all ([`Held`](super::Held)). The
//! exception is the holder of the script token, of whom there is one ([`Txn::extend`]), and [`Txn::all`], which the
//! caller may use only with the token.
//!
//! Reads take `&self`: an expired key is simply absent to them and is removed when the transaction
//! [finishes](Txn::finish), so several values can be borrowed at once. Writes take `&mut self` and do all bookkeeping
//! themselves: the old value goes to a running cut, deadlines enter the wheel, watchers are marked, waiters are noted,
//! events are recorded, and a collection that became empty is removed.

mod discard;
mod lock;
mod locks;
mod note;
mod read;
mod whole;
mod write;

use super::Keyspace;
use super::change::{Changes, Class, Event, Modified};
use super::entry::Entry;
use super::shard::Shard;
use super::watch::Dirty;
use crate::base::hash::key_hash;
use locks::Locks;
pub use note::{Create, Note, Typed};
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
pub use write::Deadline;

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// A key that a read found wanting; settled when the transaction finishes.
struct Late {
    db: u32,
    key: Box<[u8]>,
    want: Want,
    /// How many events had been recorded: what is to be told of the key comes behind them and before later ones.
    after: usize,
}

impl Late {
    /// Whether this says that the key is expired, and still there.
    fn is_expiry_of(&self, db: u32, key: &[u8]) -> bool {
        self.want == Want::Expired && self.db == db && *self.key == *key
    }
}

/// The keys that reads found wanting, in the order in which they were found.
#[derive(Default)]
struct Wanting(Vec<Late>);

/// What was wrong with a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Expired,
    /// Expired, and removed since by a write of the same command.
    Gone,
    Missed,
}

/// The lock set of a running command.
pub struct Txn<'k> {
    keyspace: &'k Keyspace,
    /// Sorted by shard.
    held: Locks<'k>,
    db: usize,
    now_ms: u64,
    notify: Class,
    log: bool,
    /// Reads leave no trace: no access clock.
    pub no_touch: bool,
    /// Reads leave no trace at all: no access clock, no hit or miss.
    pub no_stats: bool,
    /// Expired keys are absent but stay: the primary (or a pause) decides when they go.
    pub keep_expired: bool,
    /// Expired keys are there until a command says otherwise: a log is read back, and it has their ends.
    pub ignore_deadlines: bool,
    /// Allocated with the first thing to be said: reads, and writes that nobody listens to, say nothing.
    changes: Option<Box<Changes>>,
    dirty: u64,
    /// Allocated with the first.
    late: Cell<Option<Box<Wanting>>>,
    /// The key this transaction is about: where it lies, how long it is, and its hash.
    known: (usize, usize, u64),
}

impl<'k> Txn<'k> {
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let (at, len, hash) = self.known;
        if key.as_ptr() as usize == at && key.len() == len {
            debug_assert_eq!(hash, key_hash(key), "the key has moved");
            return hash;
        }
        key_hash(key)
    }

    /// What this key hashes to, which need not be asked again while it lies where it is: until [`Txn::forget`].
    #[inline(always)]
    pub fn know(&mut self, key: &[u8], hash: u64) {
        self.known = (key.as_ptr() as usize, key.len(), hash);
    }
    /// The key that was known may go.
    pub fn forget(&mut self) {
        self.known = (0, 0, 0);
    }

    /// The keyspace.
    pub fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }
    /// The database that operations work on.
    pub fn db(&self) -> usize {
        self.db
    }
    /// Works on another database from now on.
    pub fn select(&mut self, db: usize) {
        self.db = db;
    }
    /// Another command begins in this transaction: it has a time of its own.
    pub fn renew(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }
    /// Unix time in milliseconds: read once per command.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }
    /// Whether somebody reads the log of effects.
    pub fn is_logged(&self) -> bool {
        self.log
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard {
        self.held.shard(self.keyspace.shard_of(hash))
    }
    #[inline]
    fn shard_mut(&mut self, hash: u64) -> &mut Shard {
        self.held.shard_mut(self.keyspace.shard_of(hash))
    }
    /// The shards held.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.held.iter().map(|(_, g)| &**g)
    }
    /// The shards held, for change. Changes made here are outside the bookkeeping of this type.
    pub fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.held.iter_mut().map(|(_, g)| &mut **g)
    }

    // ---- WATCH and blocking ----

    /// Watches a key; false if this watcher does already. A key that is expired goes first: its going is no change that a
    /// new watcher sees.
    pub fn watch(&mut self, key: &[u8], dirty: &Dirty) -> bool {
        let hash = self.settle(key);
        let db = self.db as u32;
        self.shard_mut(hash).watch.add(db, key, dirty)
    }
    /// Stops watching a key.
    pub fn unwatch(&mut self, db: u32, key: &[u8], dirty: &Dirty) {
        self.shard_mut(key_hash(key)).watch.remove(db, key, dirty);
    }
    /// Whether a watched key has expired since, though nobody has touched it yet.
    pub fn is_expired(&self, db: u32, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let entry = self.shard(hash).dbs[db as usize].table.get(hash, key);
        entry.and_then(Entry::expiry).is_some_and(|at| at <= self.now_ms)
    }
    /// The keys changed so far that client-side caches have to hear of.
    pub fn modified_mut(&mut self) -> &mut [Modified] {
        self.changes.as_mut().map_or(&mut [], |changes| &mut changes.modified)
    }
    /// The waiters of the key's shard.
    pub fn waiters_of(&mut self, key: &[u8]) -> &mut super::waiters::WaiterMap {
        &mut self.shard_mut(key_hash(key)).waiters
    }

    // ---- The end ----

    /// Finishes a transaction of which nobody wants to hear, as most are; false when there is something to hand over by
    /// [`Txn::finish`]. The shards stay held.
    #[inline]
    pub fn finish_silently(&mut self) -> bool {
        let is_silent = self.changes.is_none() && self.late.get_mut().is_none();
        if is_silent {
            self.settle_dirty();
        }
        is_silent
    }

    /// Settles what reads found and hands over everything that changed so far. The shards stay held.
    pub fn finish(&mut self) -> Option<Box<Changes>> {
        if self.late.get_mut().is_some() {
            self.settle_late();
        }
        self.settle_dirty();
        self.changes.take()
    }

    /// Lets go of all shards.
    #[inline(always)]
    pub fn release(&mut self) {
        self.held = Locks::None;
    }

    #[inline]
    fn settle_dirty(&mut self) {
        if self.dirty > 0 {
            match self.held.first_mut() {
                // Not one counter for all: workers would fight for its cache line.
                Some((_, shard)) => shard.counters.dirty += self.dirty,
                None => {
                    self.keyspace.dirty.fetch_add(self.dirty, Relaxed);
                }
            }
            self.dirty = 0;
        }
    }

    #[cold]
    fn settle_late(&mut self) {
        let db = self.db;
        let told = self.changes.as_mut().map(|changes| std::mem::take(&mut changes.events)).unwrap_or_default();
        let (mut told, mut passed) = (told.into_iter(), 0);
        for late in self.late.take().into_iter().flat_map(|wanting| wanting.0) {
            self.retell(told.by_ref().take(late.after - passed));
            passed = late.after;
            self.db = late.db as usize;
            match late.want {
                Want::Expired => {
                    self.settle(&late.key);
                }
                Want::Gone => self.event(Class::EXPIRED, "expired", &late.key),
                Want::Missed => self.event(Class::KEY_MISS, "keymiss", &late.key),
            }
        }
        self.retell(told);
        self.db = db;
    }

    fn retell(&mut self, told: impl Iterator<Item = Event>) {
        if let Some(changes) = &mut self.changes {
            changes.events.extend(told);
        }
    }

    /// How many events have been recorded so far.
    fn events(&self) -> usize {
        self.changes.as_ref().map_or(0, |changes| changes.events.len())
    }
}
