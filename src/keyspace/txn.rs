//! The lock set of a running command: read, write, insert, remove.
//!
//! A [`Txn`] holds the shards of a command's keys from before its handler runs until its changes have been committed.
//! Nobody waits for a shard while holding one: [`Txn::of_shards`] takes a set by trying, and on failure releases all
//! and waits for the busy one with empty hands; nobody waits for a frozen script at all ([`Held`]). The exception is the holder of the script token, of whom there is one
//! ([`Txn::extend`]), and [`Txn::all`], which the caller may use only with the token.
//!
//! Reads take `&self`: an expired key is simply absent to them and is removed when the transaction
//! [finishes](Txn::finish), so several values can be borrowed at once. Writes take `&mut self` and do all bookkeeping
//! themselves: the old value goes to a running cut, deadlines enter the wheel, watchers are marked, waiters are noted,
//! events are recorded, and a collection that became empty is removed.

use super::change::{Changes, Class, Event, Gone, Modified, Why};
use super::entry::{Entry, to_its_end};
use super::evict;
use super::frozen::Held;
use super::shard::Shard;
use super::{Guard, Keyspace};
use crate::base::hash::key_hash;
use crate::types::string::{NewStr, StrRef};
use crate::types::{Kind, Value, ValueMut, ValueRef, View};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// What becomes of a key's deadline when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It has none afterwards.
    Clear,
    /// It keeps the one it has.
    Keep,
    /// Unix time in milliseconds.
    At(u64),
}

/// Whether an edit may create the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Only an existing key is edited.
    No,
    /// A missing key begins empty.
    Yes,
}

/// A collection that a key can hold.
pub trait Typed: Sized + Default {
    /// Its kind.
    const KIND: Kind;
    /// The class of its events.
    const CLASS: Class;
    /// What reads one.
    type Ref<'a>: Deref<Target = Self> + Clone
    where
        Self: 'a;
    /// Borrowed from a value, if it is of this type.
    fn of(value: ValueRef<'_>) -> Option<Self::Ref<'_>>;
    /// Borrowed for change from a value, if it is of this type.
    fn of_mut(value: ValueMut<'_>) -> Option<&mut Self>;
    /// As a value.
    fn into_value(self) -> Value;
    /// Whether the key goes when it is empty, and it is empty.
    fn is_spent(&self) -> bool;
}

macro_rules! typed {
    ($t:ident, $module:ident, $class:ident, $reader:ty, $spent:expr) => {
        impl Typed for crate::types::$module::$t {
            const KIND: Kind = Kind::$t;
            const CLASS: Class = Class::$class;
            type Ref<'a> = $reader;
            fn of(value: ValueRef<'_>) -> Option<Self::Ref<'_>> {
                if let ValueRef::$t(v) = value { Some(v) } else { None }
            }
            fn of_mut(value: ValueMut<'_>) -> Option<&mut Self> {
                if let ValueMut::$t(v) = value { Some(v) } else { None }
            }
            fn into_value(self) -> Value {
                Value::$t(self)
            }
            fn is_spent(&self) -> bool {
                let spent: fn(&Self) -> bool = $spent;
                spent(self)
            }
        }
    };
}
typed!(List, list, LIST, View<'a, Self>, |v| v.is_empty());
typed!(Hash, hash, HASH, View<'a, Self>, |v| v.is_empty());
typed!(Set, set, SET, View<'a, Self>, |v| v.is_empty());
typed!(ZSet, zset, ZSET, View<'a, Self>, |v| v.is_empty());
typed!(Stream, stream, STREAM, &'a Self, |_| false);

/// What an edit did, said by the handler while it edits.
#[derive(Default)]
pub struct Note {
    events: SmallVec<[(Option<Class>, &'static str); 2]>,
    dirty: u64,
    hidden: bool,
    uncounted: bool,
    /// What the edit took out of the value, too big to be freed here, and its bytes.
    discarded: Option<(Box<dyn Send>, usize)>,
}

impl Note {
    /// The key changed, and this event tells of it; its class is that of the type.
    pub fn event(&mut self, name: &'static str) {
        self.events.push((None, name));
        self.dirty = self.dirty.max(1);
    }
    /// The same with another class.
    pub fn event_of(&mut self, class: Class, name: &'static str) {
        self.events.push((Some(class), name));
        self.dirty = self.dirty.max(1);
    }
    /// The key changed, in so many places, as `rdb_changes_since_last_save` counts them; no event.
    pub fn changed(&mut self, places: u64) {
        self.dirty = self.dirty.max(places);
    }
    /// The change is bookkeeping: it counts and is logged, but WATCH, client-side caches and waiters do not see it
    /// (what consumer groups remember).
    pub fn hide(&mut self) {
        self.hidden = true;
    }
    /// Events are told and the key is marked, but nothing is counted and so nothing logged for it: it is part of a change
    /// that is counted elsewhere, or it changed nothing in the end.
    pub fn uncounted(&mut self) {
        self.uncounted = true;
    }
    /// This was taken out of the value at once; it is freed in the background when it is big.
    pub fn discard<T: Send + 'static>(&mut self, taken: T, bytes: usize) {
        if bytes >= LATER_BYTES {
            self.discarded = Some((Box::new(taken), bytes));
        }
    }
    /// Whether anything was said.
    pub fn is_changed(&self) -> bool {
        self.dirty > 0
    }
}

/// Keys found wanting by reads; settled when the transaction finishes.
#[derive(Default)]
struct Late {
    expired: SmallVec<[(u32, Box<[u8]>); 1]>,
    missed: Vec<(u32, Box<[u8]>)>,
}

/// The lock set of a running command.
pub struct Txn<'k> {
    keyspace: &'k Keyspace,
    /// Sorted by shard.
    held: SmallVec<[(u32, Guard<'k>); 2]>,
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
    late: RefCell<Option<Box<Late>>>,
    /// The key this transaction is about: where it lies, how long it is, and its hash.
    known: (usize, usize, u64),
}

impl<'k> Txn<'k> {
    fn with(keyspace: &'k Keyspace, db: usize, now_ms: u64, held: SmallVec<[(u32, Guard<'k>); 2]>) -> Txn<'k> {
        let interest = &keyspace.interest;
        Txn {
            keyspace,
            held,
            db,
            now_ms,
            notify: Class(interest.notify.load(Relaxed)),
            log: interest.log.load(Relaxed),
            no_touch: false,
            no_stats: false,
            keep_expired: false,
            ignore_deadlines: false,
            changes: None,
            dirty: 0,
            late: RefCell::new(None),
            known: (0, 0, 0),
        }
    }

    /// A transaction that holds nothing.
    pub fn empty(keyspace: &'k Keyspace, db: usize, now_ms: u64) -> Txn<'k> {
        Txn::with(keyspace, db, now_ms, SmallVec::new())
    }

    /// Holds the shard of one key hash; waits for it, unless a frozen script holds it.
    #[inline]
    pub fn of_key(keyspace: &'k Keyspace, db: usize, now_ms: u64, hash: u64) -> Result<Txn<'k>, Held> {
        let shard = keyspace.shard_of(hash);
        let mut held = SmallVec::new();
        held.push((shard as u32, keyspace.wait(shard)?));
        Ok(Txn::with(keyspace, db, now_ms, held))
    }

    /// The same for a key that lies where it is as long as the transaction lives: it is not hashed again.
    #[inline]
    pub fn of_one_key(keyspace: &'k Keyspace, db: usize, now_ms: u64, key: &[u8], hash: u64) -> Result<Txn<'k>, Held> {
        let mut txn = Txn::of_key(keyspace, db, now_ms, hash)?;
        txn.known = (key.as_ptr() as usize, key.len(), hash);
        Ok(txn)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let (at, len, hash) = self.known;
        if key.as_ptr() as usize == at && key.len() == len {
            debug_assert_eq!(hash, key_hash(key), "the key has moved");
            return hash;
        }
        key_hash(key)
    }

    /// Holds these shards (sorted, no shard twice). Tries them in order; when one is busy, releases all and waits for
    /// that one with empty hands, unless a frozen script holds it.
    pub fn of_shards(keyspace: &'k Keyspace, db: usize, now_ms: u64, shards: &[u32]) -> Result<Txn<'k>, Held> {
        debug_assert!(shards.is_sorted_by(|a, b| a < b));
        let mut held: SmallVec<[(u32, Guard<'k>); 2]> = SmallVec::new();
        let mut wait_for: Option<u32> = None;
        'again: loop {
            let mut first = match wait_for {
                Some(shard) => Some((shard, keyspace.wait(shard as usize)?)),
                None => None,
            };
            for &shard in shards {
                if let Some((_, guard)) = first.take_if(|(s, _)| *s == shard) {
                    held.push((shard, guard));
                } else if let Some(guard) = keyspace.try_lock(shard as usize) {
                    held.push((shard, guard));
                } else {
                    held.clear();
                    wait_for = Some(shard);
                    continue 'again;
                }
            }
            return Ok(Txn::with(keyspace, db, now_ms, held));
        }
    }

    /// [`Txn::of_key`] where there are no scripts.
    pub fn one(keyspace: &'k Keyspace, db: usize, now_ms: u64, hash: u64) -> Txn<'k> {
        Txn::of_key(keyspace, db, now_ms, hash).expect("no script is frozen")
    }

    /// [`Txn::of_shards`] where there are no scripts.
    pub fn lock(keyspace: &'k Keyspace, db: usize, now_ms: u64, shards: &[u32]) -> Txn<'k> {
        Txn::of_shards(keyspace, db, now_ms, shards).expect("no script is frozen")
    }

    /// The shards of these keys, sorted, each once.
    pub fn shards_of<'a>(keyspace: &Keyspace, keys: impl Iterator<Item = &'a [u8]>) -> SmallVec<[u32; 8]> {
        let mut shards: SmallVec<[u32; 8]> = keys.map(|k| keyspace.shard_of(key_hash(k)) as u32).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Holds every shard, waiting for each in order. Only with the script token in hand.
    pub fn all(keyspace: &'k Keyspace, db: usize, now_ms: u64) -> Txn<'k> {
        let held = (0..keyspace.shard_count()).map(|i| (i as u32, keyspace.lock(i))).collect();
        Txn::with(keyspace, db, now_ms, held)
    }

    /// Takes further shards while holding some, waiting for them. Only with the script token in hand.
    pub fn extend(&mut self, shards: &[u32]) {
        for &shard in shards {
            if let Err(at) = self.held.binary_search_by_key(&shard, |(s, _)| *s) {
                let guard = self.keyspace.lock(shard as usize);
                self.held.insert(at, (shard, guard));
            }
        }
    }

    /// Takes further shards while holding some, if all of them are free now; otherwise takes none and says so.
    pub fn try_extend(&mut self, shards: &[u32]) -> bool {
        let mut taken: SmallVec<[(u32, Guard<'k>); 4]> = SmallVec::new();
        for &shard in shards {
            if self.held.binary_search_by_key(&shard, |(s, _)| *s).is_err() {
                match self.keyspace.try_lock(shard as usize) {
                    Some(guard) => taken.push((shard, guard)),
                    None => return false,
                }
            }
        }
        for (shard, guard) in taken {
            let at = self.held.binary_search_by_key(&shard, |(s, _)| *s).unwrap_or_else(|at| at);
            self.held.insert(at, (shard, guard));
        }
        true
    }

    /// Takes the first shard of a transaction that holds nothing yet, waiting for it unless a frozen script holds it.
    pub fn enter(&mut self, shard: u32) -> Result<(), Held> {
        assert!(self.held.is_empty(), "nobody waits for a shard while holding one");
        self.held.push((shard, self.keyspace.wait(shard as usize)?));
        Ok(())
    }
    /// Visits every shard: those held if all are, else one after another, each locked for its turn. What was visited
    /// before a frozen script was met is to be thrown away.
    pub fn each_shard(&mut self, mut visit: impl FnMut(&mut Shard)) -> Result<(), Held> {
        if self.holds_all() {
            self.shards_mut().for_each(visit);
            return Ok(());
        }
        assert!(self.held.is_empty(), "nobody waits for a shard while holding one");
        (0..self.keyspace.shard_count())
            .try_for_each(|shard| self.keyspace.wait(shard).map(|mut shard| visit(&mut shard)))
    }
    /// The numbers of the shards held.
    pub fn held_numbers(&self) -> impl Iterator<Item = u32> {
        self.held.iter().map(|(number, _)| *number)
    }
    /// The shard of this number, if it is held.
    pub fn held_shard(&self, shard: u32) -> Option<&Shard> {
        let at = self.held.binary_search_by_key(&shard, |(s, _)| *s).ok()?;
        Some(&self.held[at].1)
    }
    /// The same, for change.
    pub fn held_shard_mut(&mut self, shard: u32) -> Option<&mut Shard> {
        let at = self.held.binary_search_by_key(&shard, |(s, _)| *s).ok()?;
        Some(&mut self.held[at].1)
    }
    /// Whether no shard is held.
    pub fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether every shard is held.
    pub fn holds_all(&self) -> bool {
        self.held.len() == self.keyspace.shard_count()
    }
    /// Whether the shard of this key is held.
    pub fn holds(&self, key: &[u8]) -> bool {
        let shard = self.keyspace.shard_of(key_hash(key)) as u32;
        self.held.binary_search_by_key(&shard, |(s, _)| *s).is_ok()
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
    fn slot(&self, hash: u64) -> usize {
        let shard = self.keyspace.shard_of(hash);
        if self.held.len() == 1 {
            assert!(self.held[0].0 as usize == shard, "a key outside the lock set was touched");
            return 0;
        }
        if self.holds_all() {
            return shard;
        }
        self.held
            .iter()
            .position(|(s, _)| *s as usize == shard)
            .expect("every key a command touches is found by its key specs")
    }
    #[inline]
    fn shard(&self, hash: u64) -> &Shard {
        &self.held[self.slot(hash)].1
    }
    #[inline]
    fn shard_mut(&mut self, hash: u64) -> &mut Shard {
        let slot = self.slot(hash);
        &mut self.held[slot].1
    }
    /// The shards held.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.held.iter().map(|(_, g)| &**g)
    }
    /// The shards held, for change. Changes made here are outside the bookkeeping of this type.
    pub fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.held.iter_mut().map(|(_, g)| &mut **g)
    }

    // ---- Reading ----

    /// The live entry of a key, leaving no trace: neither statistics nor access clock.
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Option<&Entry> {
        self.peek_hashed(key, self.hash(key))
    }

    #[inline]
    fn peek_hashed(&self, key: &[u8], hash: u64) -> Option<&Entry> {
        let entry = self.shard(hash).dbs[self.db].table.get(hash, key)?;
        if let Some(at) = entry.expiry()
            && at <= self.now_ms
            && !self.ignore_deadlines
        {
            self.found_expired(key);
            return None;
        }
        Some(entry)
    }

    #[cold]
    fn found_expired(&self, key: &[u8]) {
        if !self.keep_expired {
            let mut late = self.late.borrow_mut();
            let late = late.get_or_insert_default();
            let db = self.db as u32;
            if !late.expired.iter().any(|(d, k)| *d == db && **k == *key) {
                late.expired.push((db, key.into()));
            }
        }
    }

    /// The live entry of a key, as a command reads it: hits and misses are counted and the access clock is set.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        let hash = self.hash(key);
        let found = self.peek_hashed(key, hash);
        if self.no_stats {
            return found;
        }
        let counters = &self.shard(hash).counters;
        match found {
            Some(entry) => {
                counters.hits.set(counters.hits.get() + 1);
                self.touch(entry, hash);
            }
            None => {
                counters.misses.set(counters.misses.get() + 1);
                if self.notify.any(Class::KEY_MISS) {
                    self.late.borrow_mut().get_or_insert_default().missed.push((self.db as u32, key.into()));
                }
            }
        }
        found
    }

    #[inline]
    fn touch(&self, entry: &Entry, hash: u64) {
        if !self.no_touch {
            let ns = &self.keyspace.namespace;
            entry.set_access(evict::touched(entry.access(), ns, self.now_ms, hash));
        }
    }

    /// Reads a collection: absent, or of this type, or [`WrongType`].
    pub fn read<T: Typed>(&self, key: &[u8]) -> Result<Option<T::Ref<'_>>, WrongType> {
        match self.get(key) {
            None => Ok(None),
            Some(entry) => T::of(entry.value()).map(Some).ok_or(WrongType),
        }
    }
    /// Looks at a collection as [`Txn::peek`] does: absent, or of this type, or [`WrongType`].
    pub fn peek_as<T: Typed>(&self, key: &[u8]) -> Result<Option<T::Ref<'_>>, WrongType> {
        match self.peek(key) {
            None => Ok(None),
            Some(entry) => T::of(entry.value()).map(Some).ok_or(WrongType),
        }
    }
    /// Reads a string: absent, or a string, or [`WrongType`].
    #[inline]
    pub fn str(&self, key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        match self.get(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                ValueRef::Str(s) => Ok(Some(s)),
                _ => Err(WrongType),
            },
        }
    }
    /// Whether the key exists, as EXISTS counts it.
    pub fn exists(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }
    /// The key's deadline: `None` when the key is missing, `Some(None)` when it has none.
    pub fn deadline(&self, key: &[u8]) -> Option<Option<u64>> {
        self.get(key).map(Entry::expiry)
    }
    /// Keys of the current database in the shards held (of the whole database with [`Txn::all`]).
    pub fn len(&self) -> usize {
        self.shards().map(|s| s.dbs[self.db].table.len()).sum()
    }
    /// Whether the shards held have no key of the current database.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // ---- Writing ----

    /// Whether any hash in the shard of this key has a field with a deadline.
    pub(super) fn has_volatile_fields(&self, key: &[u8]) -> bool {
        self.shard(self.hash(key)).dbs[self.db].volatile_fields > 0
    }

    /// Removes the key if its deadline has passed, and returns its hash.
    fn settle(&mut self, key: &[u8]) -> u64 {
        let hash = self.hash(key);
        let (db, now_ms) = (self.db, self.now_ms);
        if self.shard(hash).dbs[db].volatile == 0 {
            return hash;
        }
        let expired = {
            let entry = self.shard(hash).dbs[db].table.get(hash, key);
            entry.and_then(Entry::expiry).is_some_and(|at| at <= now_ms)
        };
        if expired && !self.ignore_deadlines {
            self.expire(key);
        }
        hash
    }

    /// Removes a key whose deadline has passed, with its event and its effect.
    pub fn expire(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        let db = self.db;
        let Some(entry) = self.shard_mut(hash).take(db, hash, key) else { return };
        self.shard_mut(hash).counters.expired += 1;
        self.keyspace.discard(entry);
        self.gone(key, Why::Expired);
        self.mark(key, hash, false);
        self.event(Class::EXPIRED, "expired", key);
    }

    /// Removes a key to make room, with its event and its effect. The entry is the caller's to free, best when its
    /// shard is no longer held.
    pub fn evict(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.hash(key);
        let db = self.db;
        let entry = self.shard_mut(hash).take(db, hash, key)?;
        self.shard_mut(hash).counters.evicted += 1;
        self.keyspace.namespace.evicted.fetch_add(1, Relaxed);
        self.gone(key, Why::Evicted);
        self.mark(key, hash, false);
        self.event(Class::EVICTED, "evicted", key);
        Some(entry)
    }

    /// Records that a key or fields went away, for the log.
    pub(super) fn gone(&mut self, key: &[u8], why: Why) {
        if self.log {
            self.changes.get_or_insert_default().gone.push(Gone { db: self.db as u32, key: key.into(), why });
        }
    }

    /// Marks the key as changed, by a command or by itself: watchers, waiters, client-side caches. No event and no
    /// count.
    fn mark(&mut self, key: &[u8], hash: u64, by_command: bool) {
        let db = self.db as u32;
        let shard = &*self.held[self.slot(hash)].1;
        if !shard.watch.is_empty() {
            shard.watch.mark(db, key);
        }
        if !shard.waiters.is_empty() && shard.waiters.waits(db, key) {
            let ready = &mut self.changes.get_or_insert_default().ready;
            if !ready.iter().any(|(d, k)| *d == db && **k == *key) {
                ready.push((db, key.into()));
            }
        }
        // Looked at here, with the shard held, and not when the transaction began: shards may have been added since.
        if self.keyspace.interest.tracking.load(Relaxed) {
            self.changes.get_or_insert_default().modified.push(Modified { key: key.into(), by_command, told: false });
        }
    }

    /// Records an event, if somebody listens to its class.
    #[inline]
    pub fn event(&mut self, class: Class, name: &'static str, key: &[u8]) {
        if self.notify.any(class) {
            self.changes.get_or_insert_default().events.push(Event {
                db: self.db as u32,
                class,
                name,
                key: key.into(),
            });
        }
    }

    /// The key was changed by a write of this type: mark it and count `places` changes.
    fn changed(&mut self, key: &[u8], hash: u64, places: u64) {
        self.dirty += places;
        self.mark(key, hash, true);
    }

    /// Sets a key to a string, whatever it held. The event is the caller's to say.
    pub fn set_str(&mut self, key: &[u8], value: NewStr<'_>, deadline: Deadline) {
        let hash = self.settle(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let slot = self.slot(hash);
        let ns = &self.keyspace.namespace;
        let shard = &mut *self.held[slot].1;
        shard.save_old(db, hash, key);
        let part = &mut shard.dbs[db];
        if let Some(entry) = part.table.get_mut(hash, key) {
            if matches!(entry.kind(), Kind::Str) {
                let (old, word) = (entry.expiry(), entry.access());
                entry.set_str(&value);
                entry.set_access(evict::touched(word, ns, now_ms, hash));
                if deadline != Deadline::Keep {
                    let at = if let Deadline::At(at) = deadline { Some(at) } else { None };
                    if old != at {
                        entry.set_expiry(at);
                        part.redate(old, at);
                        match at {
                            Some(at) if old.is_none_or(|o| at < o) => part.wheel.add(at, hash),
                            _ => {}
                        }
                    }
                }
                self.changed(key, hash, 1);
                return;
            }
            let at = match deadline {
                Deadline::Keep => entry.expiry(),
                Deadline::Clear => None,
                Deadline::At(at) => Some(at),
            };
            if let Some(old) = shard.take(db, hash, key) {
                self.keyspace.discard(old);
            }
            self.put(key, hash, Entry::new_str(key, &value, at));
            return;
        }
        let at = if let Deadline::At(at) = deadline { Some(at) } else { None };
        self.put(key, hash, Entry::new_str(key, &value, at));
        self.event(Class::NEW, "new", key);
    }

    /// Sets a key to a value of any type, whatever it held. The event is the caller's to say.
    pub fn insert(&mut self, key: &[u8], value: Value, deadline: Deadline) {
        let hash = self.settle(key);
        let db = self.db;
        let old = self.shard_mut(hash).take(db, hash, key);
        let at = match deadline {
            Deadline::Keep => old.as_ref().and_then(Entry::expiry),
            Deadline::Clear => None,
            Deadline::At(at) => Some(at),
        };
        let fresh = old.is_none();
        if let Some(old) = old {
            self.keyspace.discard(old);
        }
        self.put(key, hash, Entry::new_value(key, value, at));
        if fresh {
            self.event(Class::NEW, "new", key);
        }
    }

    /// Puts a whole entry (its own key, value and deadline) in place of whatever the key held: RENAME, COPY, MOVE,
    /// RESTORE, loading. The event is the caller's to say.
    pub fn insert_entry(&mut self, entry: Entry) {
        let key: SmallVec<[u8; 64]> = SmallVec::from_slice(entry.key());
        let hash = self.settle(&key);
        let db = self.db;
        let old = self.shard_mut(hash).take(db, hash, &key);
        let fresh = old.is_none();
        if let Some(old) = old {
            self.keyspace.discard(old);
        }
        self.changed(&key, hash, 1);
        self.shard_mut(hash).put(db, hash, entry);
        if fresh {
            self.event(Class::NEW, "new", &key);
        }
    }

    fn put(&mut self, key: &[u8], hash: u64, entry: Entry) {
        let (db, now_ms) = (self.db, self.now_ms);
        entry.set_access(evict::fresh(&self.keyspace.namespace, now_ms));
        self.shard_mut(hash).put(db, hash, entry);
        self.changed(key, hash, 1);
    }

    /// Edits a collection in place. `f` gets the collection and a [`Note`] to say what it did; when it said nothing,
    /// nothing has changed. A collection left empty is removed, with its `del` event. `Ok(None)`: no such key.
    pub fn edit<T: Typed, R>(
        &mut self,
        key: &[u8],
        create: Create,
        f: impl FnOnce(&mut T, &mut Note) -> R,
    ) -> Result<Option<R>, WrongType> {
        let hash = self.settle(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let slot = self.slot(hash);
        let ns = &self.keyspace.namespace;
        let shard = &mut *self.held[slot].1;
        let mut note = Note::default();
        shard.save_old(db, hash, key);
        let part = &mut shard.dbs[db];
        let Some(entry) = part.table.get_mut(hash, key) else {
            if create == Create::No {
                return Ok(None);
            }
            let mut entry = Entry::new_value(key, T::default().into_value(), None);
            let (result, spent) = edit_entry(&mut entry, key, &mut note, f).expect("just made with this type");
            if !spent && note.is_changed() {
                entry.set_access(evict::fresh(ns, now_ms));
                shard.put(db, hash, entry);
                self.event(Class::NEW, "new", key);
                self.settle_note::<T>(key, hash, note);
            }
            return Ok(Some(result));
        };
        let before = entry.field_deadline();
        let word = entry.access();
        let Some((result, spent)) = edit_entry(entry, key, &mut note, f) else { return Err(WrongType) };
        let after = entry.field_deadline();
        entry.set_access(evict::touched(word, ns, now_ms, hash));
        if before != after {
            part.volatile_fields = part.volatile_fields + after.is_some() as usize - before.is_some() as usize;
            match after {
                Some(at) if before.is_none_or(|b| at < b) => part.wheel.add(at, hash),
                _ => {}
            }
        }
        if spent && let Some(old) = shard.take(db, hash, key) {
            self.keyspace.discard(old);
        }
        if note.is_changed() || spent {
            self.settle_note::<T>(key, hash, note);
        }
        if spent {
            self.event(Class::GENERIC, "del", key);
        }
        Ok(Some(result))
    }

    fn settle_note<T: Typed>(&mut self, key: &[u8], hash: u64, note: Note) {
        if let Some((taken, bytes)) = note.discarded {
            self.keyspace.later.free(taken, 1, bytes as u64);
        }
        self.dirty += if note.uncounted { 0 } else { note.dirty };
        if !note.hidden {
            self.mark(key, hash, true);
        }
        for (class, name) in note.events {
            self.event(class.unwrap_or(T::CLASS), name, key);
        }
    }

    /// Edits the bytes of a string in place; the key is created when it is missing. The string is `raw` afterwards.
    /// The event is the caller's to say; the key counts as changed.
    pub fn edit_str<R>(&mut self, key: &[u8], f: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, WrongType> {
        let hash = self.settle(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let slot = self.slot(hash);
        let ns = &self.keyspace.namespace;
        let shard = &mut *self.held[slot].1;
        let Some(kind) = shard.dbs[db].table.get(hash, key).map(Entry::kind) else {
            let mut bytes = Vec::new();
            let result = f(&mut bytes);
            let entry = Entry::new_str(key, &NewStr::Copy(&bytes), None);
            entry.mark_raw();
            self.put(key, hash, entry);
            self.event(Class::NEW, "new", key);
            return Ok(result);
        };
        if kind != Kind::Str {
            return Err(WrongType);
        }
        shard.save_old(db, hash, key);
        let entry = shard.dbs[db].table.get_mut(hash, key).expect("looked up just now under the same lock");
        entry.set_access(evict::touched(entry.access(), ns, now_ms, hash));
        let result = to_its_end(|| entry.with_bytes_mut(f)).expect("the kind was compared");
        self.changed(key, hash, 1);
        Ok(result)
    }

    /// Edits the bytes of a string in place after padding it with zero bytes to at least `min_len`; the key is created
    /// when it is missing. `f` says how many places it changed; the key counts as changed when there are any, or when it
    /// grew. The string is `raw` afterwards; the event is the caller's to say.
    pub fn edit_slice<R>(
        &mut self,
        key: &[u8],
        min_len: usize,
        f: impl FnOnce(&mut [u8]) -> (R, u64),
    ) -> Result<R, WrongType> {
        let hash = self.settle(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let slot = self.slot(hash);
        let ns = &self.keyspace.namespace;
        let shard = &mut *self.held[slot].1;
        let Some(old_len) = shard.dbs[db].table.get(hash, key).map(|entry| entry.str().map(|text| text.len())) else {
            let mut bytes = vec![0; min_len];
            let (result, places) = f(&mut bytes);
            let entry = Entry::new_str(key, &NewStr::Shared(bytes.into()), None);
            entry.mark_raw();
            self.put(key, hash, entry);
            self.dirty += places.saturating_sub(1);
            self.event(Class::NEW, "new", key);
            return Ok(result);
        };
        let Some(old_len) = old_len else { return Err(WrongType) };
        shard.save_old(db, hash, key);
        let entry = shard.dbs[db].table.get_mut(hash, key).expect("looked up just now under the same lock");
        entry.set_access(evict::touched(entry.access(), ns, now_ms, hash));
        let (result, places) = to_its_end(|| entry.with_slice_mut(min_len, f)).expect("the kind was compared");
        if places > 0 || min_len > old_len {
            self.changed(key, hash, places.max(1));
        }
        Ok(result)
    }

    /// Takes a key out and hands its entry over; the caller says the event.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.settle(key);
        let db = self.db;
        let entry = self.shard_mut(hash).take(db, hash, key)?;
        self.changed(key, hash, 1);
        Some(entry)
    }

    /// Deletes a key, with its `del` event; false when it is not there. Big values are freed in the background.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        match self.take(key) {
            Some(entry) => {
                self.keyspace.discard(entry);
                self.event(Class::GENERIC, "del", key);
                true
            }
            None => false,
        }
    }

    /// The same, and all but the smallest values are freed in the background.
    pub fn unlink(&mut self, key: &[u8]) -> bool {
        match self.take(key) {
            Some(entry) => {
                self.keyspace.discard_lazily(entry);
                self.event(Class::GENERIC, "del", key);
                true
            }
            None => false,
        }
    }

    /// Sets or clears the deadline of a key; false when the key is not there. The event is the caller's to say.
    pub fn set_deadline(&mut self, key: &[u8], at: Option<u64>) -> bool {
        let hash = self.settle(key);
        let db = self.db;
        let shard = self.shard_mut(hash);
        shard.save_old(db, hash, key);
        let part = &mut shard.dbs[db];
        let Some(entry) = part.table.get_mut(hash, key) else { return false };
        let old = entry.expiry();
        if old != at {
            entry.set_expiry(at);
            part.redate(old, at);
            match at {
                Some(at) if old.is_none_or(|o| at < o) => part.wheel.add(at, hash),
                _ => {}
            }
        }
        self.changed(key, hash, 1);
        true
    }

    /// Sets the access word of a key (RESTORE's IDLETIME and FREQ).
    pub fn set_access(&mut self, key: &[u8], word: u32) {
        if let Some(entry) = self.peek(key) {
            entry.set_access(word);
        }
    }

    /// Counts `places` changes that belong to no key (FLUSHALL, FUNCTION LOAD).
    pub fn count_dirty(&mut self, places: u64) {
        self.dirty += places;
    }
    /// Counts everything changed since the count was `before` as so many changes (a RENAME moves one key, not three).
    pub fn recount_dirty(&mut self, before: u64, places: u64) {
        self.dirty = before + places;
    }
    /// Changes counted so far.
    pub fn dirty(&self) -> u64 {
        self.dirty
    }

    /// Counts fields that expired.
    pub(super) fn count_expired_fields(&mut self, key: &[u8], count: u64) {
        self.shard_mut(key_hash(key)).counters.expired_fields += count;
    }

    // ---- WATCH and blocking ----

    /// Watches a key. One that is already expired goes first: its going is no change that this watcher sees.
    pub fn watch(&mut self, key: &[u8], dirty: &super::watch::Dirty) {
        let hash = self.settle(key);
        let db = self.db as u32;
        self.shard_mut(hash).watch.add(db, key, dirty);
    }
    /// Stops watching a key.
    pub fn unwatch(&mut self, db: u32, key: &[u8], dirty: &super::watch::Dirty) {
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

    // ---- Whole databases (with every shard held) ----

    /// Empties databases; returns the number of keys there were. Tables are detached here and freed in the background;
    /// `counted` says whether the keys count as freed lazily.
    pub fn flush(&mut self, dbs: std::ops::Range<usize>, counted: bool) -> usize {
        debug_assert!(self.holds_all());
        if self.keyspace.interest.tracking.load(Relaxed) {
            self.changes.get_or_insert_default().flushed = true;
        }
        let now_ms = self.now_ms;
        let mut removed = 0;
        for slot in 0..self.held.len() {
            let shard = &mut *self.held[slot].1;
            for db in dbs.clone() {
                let part = &mut shard.dbs[db];
                if part.table.is_empty() {
                    continue;
                }
                let objects = if counted { part.table.len() as u64 } else { 0 };
                removed += part.table.len();
                let (table, watch, now) = (&part.table, &shard.watch, now_ms);
                watch.mark_db(db as u32, |key| {
                    let entry = table.get(key_hash(key), key);
                    entry.is_some_and(|e| e.expiry().is_none_or(|at| at > now))
                });
                let ready = shard.waiters.keys_of(db as u32).filter(|k| part.table.get(key_hash(k), k).is_some());
                self.changes.get_or_insert_default().ready.extend(ready.map(|k| (db as u32, k.into())));
                let number = part.cut_number;
                let old = std::mem::replace(part, super::shard::Db::new(db as u32, now_ms));
                part.cut_number = number;
                match &shard.cut {
                    Some(cut) => cut.table(number, old.table, shard.epoch),
                    None => self.keyspace.later.free(Box::new(old.table), objects, 0),
                }
            }
        }
        self.dirty += removed as u64;
        removed
    }

    /// Swaps two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        debug_assert!(self.holds_all());
        self.settle_watched([a, b]);
        self.keyspace.names_moved.fetch_add(1, SeqCst);
        for slot in 0..self.held.len() {
            let shard = &mut *self.held[slot].1;
            for (db, other) in [(a, b), (b, a)] {
                let (dbs, watch) = (&shard.dbs, &shard.watch);
                let is_in_either = |key: &[u8]| {
                    let hash = key_hash(key);
                    dbs[db].table.get(hash, key).is_some() || dbs[other].table.get(hash, key).is_some()
                };
                watch.mark_db(db as u32, is_in_either);
                // Who waits may hear of a key that came, or that went.
                let ready = shard.waiters.keys_of(db as u32).filter(|key| is_in_either(key));
                self.changes.get_or_insert_default().ready.extend(ready.map(|k| (db as u32, k.into())));
            }
            shard.dbs.swap(a, b);
        }
        self.dirty += 1;
    }

    /// Removes what has expired of the keys watched in one of two databases, in both, so that a swap of them changes only
    /// what is seen to change.
    fn settle_watched(&mut self, dbs: [usize; 2]) {
        let numbers = dbs.map(|db| db as u32);
        let watched = self.shards().flat_map(|shard| shard.watch.keys_of(numbers)).map(Box::<[u8]>::from);
        let watched: Vec<Box<[u8]>> = watched.collect();
        let selected = self.db;
        for db in dbs {
            self.db = db;
            watched.iter().for_each(|key| {
                self.settle(key);
            });
        }
        self.db = selected;
    }

    // ---- The end ----

    /// Settles what reads found and hands over everything that changed so far. The shards stay held.
    #[inline]
    pub fn finish(&mut self) -> Option<Box<Changes>> {
        if let Some(late) = self.late.take() {
            self.settle_late(*late);
        }
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
        self.changes.take()
    }

    #[cold]
    fn settle_late(&mut self, late: Late) {
        let db = self.db;
        for (d, key) in late.expired {
            self.db = d as usize;
            self.settle(&key);
        }
        for (d, key) in late.missed {
            self.db = d as usize;
            self.event(Class::KEY_MISS, "keymiss", &key);
        }
        self.db = db;
    }
}

/// Edits the collection of an entry; also says whether its key goes. `None` if it is of another type.
fn edit_entry<T: Typed, R>(
    entry: &mut Entry,
    key: &[u8],
    note: &mut Note,
    f: impl FnOnce(&mut T, &mut Note) -> R,
) -> Option<(R, bool)> {
    let edited = entry.edit(key, |value| {
        let value = T::of_mut(value)?;
        Some((f(value, note), value.is_spent()))
    });
    edited.flatten()
}

/// Entries of this many bytes and more are freed in the background.
const LATER_BYTES: usize = 64 * 1024;
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
