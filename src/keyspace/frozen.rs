//! A script that has used up its time slice is *frozen*: it keeps its shards while its worker serves others.
//!
//! Whoever waits for a shard must not wait out a frozen script, for that would stop a whole worker, and on the script's
//! own worker for ever. So every wait for a shard ends with [`Held`] once the shard is known to belong to a frozen
//! script; the caller lets go of what it has and comes back when the script has ended. The marks are set before the
//! script gives up its thread and cleared before its shards are unlocked, so at worst a waiter tries for a moment more.

use super::{Guard, Keyspace};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A frozen script holds what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held;

/// The shards of the frozen script, of whom there is at most one: it has the script token.
#[derive(Debug)]
pub struct Frozen {
    is_on: AtomicBool,
    shards: Box<[AtomicBool]>,
}

/// How long a waiter sleeps between two looks at the marks.
pub const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Frozen {
    pub(super) fn new(shards: usize) -> Frozen {
        Frozen { is_on: AtomicBool::new(false), shards: (0..shards).map(|_| AtomicBool::new(false)).collect() }
    }
    /// Whether a script is frozen.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }
    /// Whether a frozen script holds this shard. The release of [`Frozen::mark`] pairs with this.
    pub fn holds(&self, shard: usize) -> bool {
        self.is_on() && self.shards[shard].load(Ordering::Acquire)
    }
    /// A script freezes, again perhaps, with these shards.
    pub fn mark(&self, shards: impl Iterator<Item = u32>) {
        shards.for_each(|shard| self.shards[shard as usize].store(true, Ordering::Release));
        self.is_on.store(true, Ordering::Release);
    }
    /// It goes on to its end.
    pub fn clear(&self) {
        self.is_on.store(false, Ordering::Release);
        self.shards.iter().for_each(|shard| shard.store(false, Ordering::Release));
    }
}

impl Keyspace {
    /// Waits for one shard, unless a frozen script holds it. The caller holds none.
    #[inline]
    pub fn wait(&self, shard: usize) -> Result<Guard<'_>, Held> {
        match self.try_lock(shard) {
            Some(guard) => Ok(guard),
            None => self.wait_busy(shard),
        }
    }

    #[cold]
    fn wait_busy(&self, shard: usize) -> Result<Guard<'_>, Held> {
        loop {
            if self.frozen.holds(shard) {
                return Err(Held);
            }
            if let Some(guard) = self.shards[shard].try_lock_for(LOOK_EVERY) {
                return Ok(guard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::later::Later;
    use crate::base::time::Clock;
    use crate::keyspace::Txn;

    #[test]
    fn nobody_waits_for_a_frozen_script() {
        let keyspace = Keyspace::new(4, 1, Clock::manual(1000), Later::start().expect("a thread"), 1);
        let script = Txn::lock(&keyspace, 0, 1000, &[1, 2]);
        keyspace.frozen.mark([1, 2].into_iter());
        assert!(Txn::of_shards(&keyspace, 0, 1000, &[0, 1]).is_err());
        assert!(Txn::of_shards(&keyspace, 0, 1000, &[0, 3]).is_ok());
        assert!(keyspace.wait(2).is_err());
        keyspace.frozen.clear();
        drop(script);
        assert!(Txn::of_shards(&keyspace, 0, 1000, &[0, 1, 2, 3]).is_ok());
    }

    #[test]
    fn a_waiter_gives_up_when_the_script_freezes_later() {
        let keyspace = Keyspace::new(1, 1, Clock::manual(1000), Later::start().expect("a thread"), 1);
        let script = Txn::lock(&keyspace, 0, 1000, &[0]);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| keyspace.wait(0).is_err());
            keyspace.frozen.mark([0].into_iter());
            assert!(waiter.join().expect("the waiter ends"));
        });
        keyspace.frozen.clear();
        drop(script);
    }
}
