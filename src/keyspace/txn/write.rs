//! Writing, with all its bookkeeping: the running cut, deadlines, watchers, waiters, events, counts.

use super::{Create, Late, Note, Txn, Typed, Want, WrongType};
use crate::base::hash::key_hash;
use crate::keyspace::Keyspace;
use crate::keyspace::change::{Class, Event, Gone, Modified, Why};
use crate::keyspace::entry::{Entry, to_its_end};
use crate::keyspace::evict;
use crate::types::string::NewStr;
use crate::types::{Kind, Value};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

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

impl Txn<'_> {
    /// Whether any hash in the shard of this key has a field with a deadline.
    pub(in crate::keyspace) fn has_volatile_fields(&self, key: &[u8]) -> bool {
        self.shard(self.hash(key)).dbs[self.db].volatile_fields > 0
    }

    /// Removes the key if its deadline has passed, and returns its hash.
    #[inline]
    pub(super) fn settle(&mut self, key: &[u8]) -> u64 {
        let hash = self.hash(key);
        if self.shard(hash).dbs[self.db].volatile > 0 {
            self.settle_volatile(key, hash);
        }
        hash
    }

    fn settle_volatile(&mut self, key: &[u8], hash: u64) {
        let entry = self.shard(hash).dbs[self.db].table.get(hash, key);
        let expired = entry.and_then(Entry::expiry).is_some_and(|at| at <= self.now_ms);
        if expired && !self.ignore_deadlines {
            self.expire(key);
        }
    }

    /// Removes a key whose deadline has passed, with its event and its effect.
    pub fn expire(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        let db = self.db;
        let Some(entry) = self.shard_mut(hash).take(db, hash, key) else { return };
        self.shard_mut(hash).counters.expired += 1;
        self.keyspace.discard_expired(entry);
        self.gone(key, Why::Expired);
        self.mark(key, hash, false);
        match self.late_expiry(key) {
            // It is told where the key was found to be expired.
            Some(late) => late.want = Want::Gone,
            None => self.event(Class::EXPIRED, "expired", key),
        }
    }

    /// What an earlier read of this command has noted of a key that it found to be expired.
    fn late_expiry(&mut self, key: &[u8]) -> Option<&mut Late> {
        let db = self.db as u32;
        let wanting = self.late.get_mut().as_mut()?;
        wanting.0.iter_mut().find(|late| late.is_expiry_of(db, key))
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
    pub(in crate::keyspace) fn gone(&mut self, key: &[u8], why: Why) {
        if self.log {
            self.changes.get_or_insert_default().gone.push(Gone { db: self.db as u32, key: key.into(), why });
        }
    }

    /// Marks the key as changed, by a command or by itself: watchers, waiters, client-side caches. No event and no
    /// count.
    #[inline]
    pub(super) fn mark(&mut self, key: &[u8], hash: u64, by_command: bool) {
        let shard = self.shard(hash);
        // Looked at here, with the shard held, and not when the transaction began: shards may have been added since.
        let tracking = self.keyspace.interest.tracking.load(Relaxed);
        if tracking || !shard.watch.is_empty() || !shard.waiters.is_empty() {
            self.mark_for(key, hash, by_command, tracking);
        }
    }

    /// The same where somebody may have to hear of it.
    #[cold]
    fn mark_for(&mut self, key: &[u8], hash: u64, by_command: bool, tracking: bool) {
        self.shard(hash).watch.mark(self.db as u32, key);
        self.wake(key, hash);
        if tracking {
            self.changes.get_or_insert_default().modified.push(Modified { key: key.into(), by_command, told: false });
        }
    }

    /// Notes that somebody waits for the key, if so.
    pub(super) fn wake(&mut self, key: &[u8], hash: u64) {
        let db = self.db as u32;
        let shard = self.shard(hash);
        if !shard.waiters.is_empty() && shard.waiters.waits(db, key) {
            let ready = &mut self.changes.get_or_insert_default().ready;
            if !ready.iter().any(|(d, k)| *d == db && **k == *key) {
                ready.push((db, key.into()));
            }
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
    #[inline]
    pub(super) fn changed(&mut self, key: &[u8], hash: u64, places: u64) {
        self.dirty += places;
        self.mark(key, hash, true);
    }

    /// Sets a key to a string, whatever it held. The event is the caller's to say.
    pub fn set_str(&mut self, key: &[u8], value: NewStr<'_>, deadline: Deadline) {
        let hash = self.settle(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let ns = &self.keyspace.namespace;
        let shard = self.held.shard_mut(self.keyspace.shard_of(hash));
        shard.save_old(db, hash, key);
        let part = &mut shard.dbs[db];
        if let Some(entry) = part.table.get_mut(hash, key) {
            if matches!(entry.kind(), Kind::Str) {
                let (old, word) = (entry.expiry(), entry.access());
                entry.set_str(&value);
                // What is set anew is fresh, but how often its key is used is what it was.
                let keeps = self.no_touch && ns.policy().is_lfu();
                entry.set_access(if keeps { word } else { evict::touched(word, ns, now_ms, hash) });
                if deadline != Deadline::Keep {
                    let at = if let Deadline::At(at) = deadline { Some(at) } else { None };
                    if old != at {
                        entry.set_expiry(at);
                        part.redate(hash, old, at);
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
                self.keyspace.discard_replaced(old);
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
            self.keyspace.discard_replaced(old);
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
            self.keyspace.discard_replaced(old);
        }
        self.changed(&key, hash, 1);
        self.shard_mut(hash).put(db, hash, entry);
        if fresh {
            self.event(Class::NEW, "new", &key);
        }
    }

    pub(super) fn put(&mut self, key: &[u8], hash: u64, entry: Entry) {
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
        let ns = &self.keyspace.namespace;
        let shard = self.held.shard_mut(self.keyspace.shard_of(hash));
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
        entry.set_access(if self.no_touch { word } else { evict::touched(word, ns, now_ms, hash) });
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

    /// Edits the bytes of a string in place; the key is created when it is missing. The string is `raw` afterwards.
    /// The event is the caller's to say; the key counts as changed.
    pub fn edit_str<R>(&mut self, key: &[u8], f: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, WrongType> {
        let hash = self.settle(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let ns = &self.keyspace.namespace;
        let shard = self.held.shard_mut(self.keyspace.shard_of(hash));
        let Some(kind) = shard.dbs[db].table.get(hash, key).map(Entry::kind) else {
            let mut bytes = Vec::new();
            let result = f(&mut bytes);
            let entry = Entry::new_str(key, &NewStr::Shared(bytes.into()), None);
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
        if !self.no_touch {
            entry.set_access(evict::touched(entry.access(), ns, now_ms, hash));
        }
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
        let ns = &self.keyspace.namespace;
        let shard = self.held.shard_mut(self.keyspace.shard_of(hash));
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
        if !self.no_touch {
            entry.set_access(evict::touched(entry.access(), ns, now_ms, hash));
        }
        let (result, places) = to_its_end(|| entry.with_slice_mut(min_len, f)).expect("the kind was compared");
        if places > 0 || min_len > old_len {
            self.changed(key, hash, places.max(1));
        }
        Ok(result)
    }

    /// Takes a key out and hands its entry over; the caller says the event.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.settle(key);
        self.take_as_it_is(key, hash)
    }

    /// The same of a key that may be expired.
    fn take_as_it_is(&mut self, key: &[u8], hash: u64) -> Option<Entry> {
        let db = self.db;
        let entry = self.shard_mut(hash).take(db, hash, key)?;
        self.changed(key, hash, 1);
        Some(entry)
    }

    /// Deletes a key, with its `del` event; false when it is not there. Big values are freed in the background.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        let taken = self.take(key);
        self.deleted(key, taken, Keyspace::discard)
    }

    /// The same, and all but the smallest values are freed in the background.
    pub fn unlink(&mut self, key: &[u8]) -> bool {
        let taken = self.take(key);
        self.deleted(key, taken, Keyspace::discard_lazily)
    }

    /// Deletes what an empty result takes the place of. As in Redis, nobody looks whether it is expired: if no read of this
    /// command did, it goes with a `del` event.
    pub fn delete_target(&mut self, key: &[u8]) -> bool {
        if self.late_expiry(key).is_some() {
            self.expire(key);
        }
        let taken = self.take_as_it_is(key, self.hash(key));
        self.deleted(key, taken, Keyspace::discard_replaced)
    }

    fn deleted(&mut self, key: &[u8], taken: Option<Entry>, discard: fn(&Keyspace, Entry)) -> bool {
        let Some(entry) = taken else { return false };
        discard(self.keyspace, entry);
        self.event(Class::GENERIC, "del", key);
        true
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
            part.redate(hash, old, at);
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
    pub fn count_expired_fields(&mut self, key: &[u8], count: u64) {
        self.shard_mut(key_hash(key)).counters.expired_fields += count;
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
