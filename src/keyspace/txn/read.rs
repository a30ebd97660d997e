//! Reading: what is expired is absent.

use super::{Late, Txn, Typed, Want, WrongType};
use crate::keyspace::change::Class;
use crate::keyspace::entry::Entry;
use crate::keyspace::evict;
use crate::keyspace::shard::Shard;
use crate::types::string::StrRef;

impl Txn<'_> {
    /// The live entry of a key, leaving no trace: neither statistics nor access clock.
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Option<&Entry> {
        self.peek_hashed(key, self.hash(key))
    }

    #[inline]
    pub(super) fn peek_hashed(&self, key: &[u8], hash: u64) -> Option<&Entry> {
        self.peek_in(self.shard(hash), key, hash)
    }

    #[inline]
    fn peek_in<'s>(&self, shard: &'s Shard, key: &[u8], hash: u64) -> Option<&'s Entry> {
        let entry = shard.dbs[self.db].table.get(hash, key)?;
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
            let db = self.db as u32;
            let late = self.late.take();
            let is_known = late.as_ref().is_some_and(|wanting| wanting.0.iter().any(|late| late.is_expiry_of(db, key)));
            self.late.set(late);
            if !is_known {
                self.found_wanting(key, Want::Expired);
            }
        }
    }

    #[cold]
    fn found_wanting(&self, key: &[u8], want: Want) {
        let mut late = self.late.take().unwrap_or_default();
        late.0.push(Late { db: self.db as u32, key: key.into(), want, after: self.events() });
        self.late.set(Some(late));
    }

    /// The live entry of a key, as a command reads it: hits and misses are counted and the access clock is set.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.look_up(key, self.notify)
    }

    /// The same, and that the key is missing is no event.
    pub fn get_untold(&self, key: &[u8]) -> Option<&Entry> {
        self.look_up(key, Class::default())
    }

    #[inline(always)]
    fn look_up(&self, key: &[u8], notify: Class) -> Option<&Entry> {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let found = self.peek_in(shard, key, hash);
        if self.no_stats {
            return found;
        }
        let counters = &shard.counters;
        match found {
            Some(entry) => {
                counters.hits.set(counters.hits.get() + 1);
                self.touch(entry, hash);
            }
            None => {
                counters.misses.set(counters.misses.get() + 1);
                if notify.any(Class::KEY_MISS) {
                    self.found_wanting(key, Want::Missed);
                }
            }
        }
        found
    }

    #[inline]
    pub(super) fn touch(&self, entry: &Entry, hash: u64) {
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
            Some(entry) => entry.str().map(Some).ok_or(WrongType),
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
}
