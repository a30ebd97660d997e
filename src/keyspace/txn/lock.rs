//! Taking shards: one, several, all, and further ones.

use super::Txn;
use crate::base::hash::key_hash;
use crate::keyspace::frozen::Held;
use crate::keyspace::shard::Shard;
use crate::keyspace::{Guard, Keyspace};
use smallvec::SmallVec;

impl<'k> Txn<'k> {
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
    pub fn shards_of(keyspace: &Keyspace, hashes: impl Iterator<Item = u64>) -> SmallVec<[u32; 8]> {
        let mut shards: SmallVec<[u32; 8]> = hashes.map(|hash| keyspace.shard_of(hash) as u32).collect();
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
}
