//! Taking shards: one, several, all, and further ones.

use super::Txn;
use super::locks::{Lock, Locks};
use crate::base::hash::key_hash;
use crate::keyspace::Keyspace;
use crate::keyspace::change::Class;
use crate::keyspace::frozen::Held;
use crate::keyspace::shard::Shard;
use smallvec::SmallVec;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

impl<'k> Txn<'k> {
    /// A transaction that holds nothing.
    #[inline(always)]
    pub fn empty(keyspace: &'k Keyspace, db: usize, now_ms: u64) -> Txn<'k> {
        Txn {
            keyspace,
            held: Locks::None,
            db,
            now_ms,
            notify: Class(keyspace.interest.notify.load(Relaxed)),
            log: keyspace.interest.log.load(Relaxed),
            no_touch: false,
            no_stats: false,
            keep_expired: false,
            ignore_deadlines: false,
            changes: None,
            dirty: 0,
            late: Cell::new(None),
            known: (0, 0, 0),
        }
    }

    /// Holds the shard of one key hash; waits for it, unless a frozen script holds it.
    pub fn of_key(keyspace: &'k Keyspace, db: usize, now_ms: u64, hash: u64) -> Result<Txn<'k>, Held> {
        let mut txn = Txn::empty(keyspace, db, now_ms);
        txn.enter_at(hash)?;
        Ok(txn)
    }

    /// Holds these shards (sorted, no shard twice), unless a frozen script holds one.
    pub fn of_shards(keyspace: &'k Keyspace, db: usize, now_ms: u64, shards: &[u32]) -> Result<Txn<'k>, Held> {
        let mut txn = Txn::empty(keyspace, db, now_ms);
        txn.enter_several(shards)?;
        Ok(txn)
    }

    /// Holds every shard, waiting for each in order. Only with the script token in hand.
    pub fn all(keyspace: &'k Keyspace, db: usize, now_ms: u64) -> Txn<'k> {
        let mut txn = Txn::empty(keyspace, db, now_ms);
        txn.enter_all();
        txn
    }

    /// Takes the first shard of a transaction that holds nothing yet, waiting for it unless a frozen script holds it.
    #[inline(always)]
    pub fn enter(&mut self, shard: u32) -> Result<(), Held> {
        assert!(self.held.is_empty(), "nobody waits for a shard while holding one");
        self.held = Locks::One((shard, self.keyspace.wait(shard as usize)?));
        self.look_around();
        Ok(())
    }

    /// The same for the shard of a key hash.
    #[inline(always)]
    pub fn enter_at(&mut self, hash: u64) -> Result<(), Held> {
        self.enter(self.keyspace.shard_of(hash) as u32)
    }

    /// Takes the first shards (sorted, no shard twice). Tries them in order; when one is busy, releases all and waits for
    /// that one with empty hands, unless a frozen script holds it.
    pub fn enter_several(&mut self, shards: &[u32]) -> Result<(), Held> {
        debug_assert!(shards.is_sorted_by(|a, b| a < b));
        assert!(self.held.is_empty(), "nobody waits for a shard while holding one");
        let keyspace = self.keyspace;
        let mut held = Locks::with_room(shards.len());
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
            self.held = held;
            self.look_around();
            return Ok(());
        }
    }

    /// Takes every shard, waiting for each in order. Only with the script token in hand.
    pub fn enter_all(&mut self) {
        let keyspace = self.keyspace;
        self.held = (0..keyspace.shard_count()).map(|i| (i as u32, keyspace.lock(i))).collect();
        self.look_around();
    }

    /// Sees who listens. That changes only while all shards are held.
    #[inline(always)]
    fn look_around(&mut self) {
        let interest = &self.keyspace.interest;
        self.notify = Class(interest.notify.load(Relaxed));
        self.log = interest.log.load(Relaxed);
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
    pub fn shards_of(keyspace: &Keyspace, hashes: impl Iterator<Item = u64>) -> SmallVec<[u32; 8]> {
        let mut shards: SmallVec<[u32; 8]> = hashes.map(|hash| keyspace.shard_of(hash) as u32).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
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
        let mut taken: SmallVec<[Lock<'k>; 4]> = SmallVec::new();
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
}
