//! The shards that a transaction holds. Most hold one, which takes no list: it is made, moved and dropped in few
//! instructions on the path of every request.

use crate::keyspace::Guard;
use crate::keyspace::shard::Shard;
use std::ops::{Deref, DerefMut};

/// A shard by its number, held.
pub(super) type Lock<'k> = (u32, Guard<'k>);

/// Shards held, sorted by their numbers.
#[derive(Default)]
pub(super) enum Locks<'k> {
    /// None.
    #[default]
    None,
    /// One.
    One(Lock<'k>),
    /// Any number, as a rule several.
    Many(Vec<Lock<'k>>),
}

impl<'k> Locks<'k> {
    /// None yet, with room for so many where that is more than one.
    pub(super) fn with_room(count: usize) -> Self {
        if count > 1 { Locks::Many(Vec::with_capacity(count)) } else { Locks::None }
    }

    /// A shard that is held.
    ///
    /// # Panics
    /// If it is not: a command touches the keys that its key specs tell of.
    #[inline(always)]
    pub(super) fn shard(&self, number: usize) -> &Shard {
        match self {
            Locks::One((held, guard)) if *held as usize == number => guard,
            _ => &self[self.place(number)].1,
        }
    }

    /// The same, for change.
    #[inline(always)]
    pub(super) fn shard_mut(&mut self, number: usize) -> &mut Shard {
        let place = match self {
            Locks::One((held, _)) if *held as usize == number => 0,
            _ => self.place(number),
        };
        &mut self[place].1
    }

    #[inline(never)]
    fn place(&self, number: usize) -> usize {
        self.binary_search_by_key(&number, |(held, _)| *held as usize).expect("a key outside the lock set was touched")
    }

    /// Adds a shard at this place of the order.
    pub(super) fn insert(&mut self, at: usize, lock: Lock<'k>) {
        match self {
            Locks::None => *self = Locks::One(lock),
            Locks::Many(many) => many.insert(at, lock),
            Locks::One(_) => {
                let mut many = Vec::from_iter(match std::mem::take(self) {
                    Locks::One(first) => Some(first),
                    _ => None,
                });
                many.insert(at, lock);
                *self = Locks::Many(many);
            }
        }
    }

    /// Adds the last shard.
    pub(super) fn push(&mut self, lock: Lock<'k>) {
        self.insert(self.len(), lock);
    }

    /// Lets go of all; keeps the room.
    pub(super) fn clear(&mut self) {
        match self {
            Locks::Many(many) => many.clear(),
            _ => *self = Locks::None,
        }
    }
}

impl<'k> Deref for Locks<'k> {
    type Target = [Lock<'k>];
    #[inline]
    fn deref(&self) -> &[Lock<'k>] {
        match self {
            Locks::None => &[],
            Locks::One(lock) => std::slice::from_ref(lock),
            Locks::Many(many) => many,
        }
    }
}

impl<'k> DerefMut for Locks<'k> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Lock<'k>] {
        match self {
            Locks::None => &mut [],
            Locks::One(lock) => std::slice::from_mut(lock),
            Locks::Many(many) => many,
        }
    }
}

impl<'k> FromIterator<Lock<'k>> for Locks<'k> {
    fn from_iter<I: IntoIterator<Item = Lock<'k>>>(locks: I) -> Self {
        Locks::Many(locks.into_iter().collect())
    }
}
