//! Reading: what is expired is absent.

use super::{Late, Txn, Typed, Want, WrongType};
use crate::keyspace::change::Class;
use crate::keyspace::entry::Entry;
use crate::keyspace::evict;
use crate::types::ValueRef;
use crate::types::string::StrRef;

impl Txn<'_> {
    /// The live entry of a key, leaving no trace: neither statistics nor access clock.
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Option<&Entry> {
        self.peek_hashed(key, self.hash(key))
    }

    #[inline]
    pub(super) fn peek_hashed(&self, key: &[u8], hash: u64) -> Option<&Entry> {
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
            let known = |late: &Late| late.want == Want::Expired && late.db == self.db as u32 && *late.key == *key;
            if !late.iter().any(known) {
                late.push(self.wanting(key, Want::Expired));
            }
        }
    }

    #[cold]
    fn wanting(&self, key: &[u8], want: Want) -> Late {
        Late { db: self.db as u32, key: key.into(), want, after: self.events() }
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
                if notify.any(Class::KEY_MISS) {
                    self.late.borrow_mut().push(self.wanting(key, Want::Missed));
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
}
