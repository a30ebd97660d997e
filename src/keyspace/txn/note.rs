//! What an edit of a collection may be told, and tells: which types there are, and a note of what was done.

use super::Txn;
use super::discard::LATER_BYTES;
use crate::keyspace::change::Class;
use crate::types::{Kind, Value, ValueMut, ValueRef, View};
use smallvec::SmallVec;
use std::ops::Deref;

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

/// Who sees that a key changed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum SeenBy {
    #[default]
    All,
    Waiters,
    Nobody,
}

/// What an edit did, said by the handler while it edits.
#[derive(Default)]
pub struct Note {
    events: SmallVec<[(Option<Class>, &'static str); 2]>,
    dirty: u64,
    seen: SeenBy,
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
        self.seen = SeenBy::Nobody;
    }
    /// The same, but who waits for the key is told (that a consumer group went).
    pub fn hide_from_watchers(&mut self) {
        self.seen = SeenBy::Waiters;
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

impl Txn<'_> {
    /// Does what a note of an edit says is to be done.
    pub(super) fn settle_note<T: Typed>(&mut self, key: &[u8], hash: u64, note: Note) {
        if let Some((taken, bytes)) = note.discarded {
            self.keyspace.later.free(taken, 1, bytes as u64);
        }
        self.dirty += if note.uncounted { 0 } else { note.dirty };
        match note.seen {
            SeenBy::All => self.mark(key, hash, true),
            SeenBy::Waiters => self.wake(key, hash),
            SeenBy::Nobody => {}
        }
        for (class, name) in note.events {
            self.event(class.unwrap_or(T::CLASS), name, key);
        }
    }
}
