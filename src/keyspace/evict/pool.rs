//! The candidates of a namespace: the best that samples of any shard have found so far, by one measure.
//!
//! A candidate is a hint, not a hold: it names a shard, a database and a hash, and is judged again when its turn comes,
//! under the lock of its shard. The pool's own lock is a leaf: nothing is taken while it is held.

use super::policy::Policy;

/// Most candidates kept.
pub const POOL_MAX: usize = 64;

/// A key that may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The lower, the sooner it goes.
    pub rank: u64,
    /// The hash of the key.
    pub hash: u64,
    /// Shard.
    pub shard: u32,
    /// Database.
    pub db: u32,
}

/// The best candidates, worst first. Ranks of different policies mean different things, so a change of policy empties it.
#[derive(Debug, Default)]
pub struct Pool {
    policy: Option<Policy>,
    best: Vec<Candidate>,
}

impl Pool {
    /// Makes sure that what is in it was ranked by this policy.
    pub fn serve(&mut self, policy: Policy) -> &mut Pool {
        if self.policy != Some(policy) {
            self.policy = Some(policy);
            self.best.clear();
        }
        self
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.best.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// Whether something of this rank would be kept.
    pub fn wants(&self, rank: u64) -> bool {
        self.best.len() < POOL_MAX || self.best.first().is_some_and(|worst| rank < worst.rank)
    }

    /// Keeps a candidate if it is among the best; one that is there already gets its new rank.
    pub fn offer(&mut self, candidate: Candidate) {
        let same = |c: &Candidate| (c.hash, c.shard, c.db) == (candidate.hash, candidate.shard, candidate.db);
        if let Some(at) = self.best.iter().position(same) {
            self.best.remove(at);
        } else if !self.wants(candidate.rank) {
            return;
        } else if self.best.len() == POOL_MAX {
            self.best.remove(0);
        }
        let at = self.best.partition_point(|c| c.rank > candidate.rank);
        self.best.insert(at, candidate);
    }

    /// Takes the best.
    pub fn take(&mut self) -> Option<Candidate> {
        self.best.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn the_best_are_kept_and_leave_in_order() {
        let mut rng = Rng::from_seed(5);
        let mut ranks: Vec<u64> = (0..1000).collect();
        rng.shuffle(&mut ranks);
        let mut pool = Pool::default();
        for &rank in &ranks {
            pool.offer(Candidate { rank, hash: rank, shard: rank as u32 % 16, db: 0 });
        }
        let left: Vec<u64> = std::iter::from_fn(|| pool.take()).map(|c| c.rank).collect();
        assert_eq!(left, (0..POOL_MAX as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_is_in_it_once_with_its_latest_rank() {
        let mut pool = Pool::default();
        for rank in [5, 9, 2, 7] {
            pool.offer(Candidate { rank, hash: 1, shard: 0, db: 0 });
        }
        assert_eq!(pool.take().map(|c| c.rank), Some(7));
        assert!(pool.is_empty());
    }

    #[test]
    fn another_policy_begins_with_an_empty_pool() {
        let mut pool = Pool::default();
        pool.serve(Policy::AllkeysLru).offer(Candidate { rank: 1, hash: 1, shard: 0, db: 0 });
        assert_eq!(pool.serve(Policy::AllkeysLru).len(), 1);
        assert_eq!(pool.serve(Policy::AllkeysLfu).len(), 0);
    }
}
