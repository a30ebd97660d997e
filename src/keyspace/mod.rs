//! The keyspace: databases in shards under short locks. This room knows no RESP, no runtime, no files and no commands.
//!
//! A [`Keyspace`] is S shards, each a [`Shard`](shard::Shard) behind one mutex, each holding its part of every logical
//! database. All access goes through a [`Txn`]: a lock set with read and write operations. Read `txn.rs` next, then
//! `entry/` and `table.rs`.

pub mod change;
pub mod cut;
pub mod digest;
pub mod entry;
pub mod evict;
pub mod expire;
pub mod frozen;
pub mod memory;
pub mod namespace;
pub mod scan;
pub mod shard;
pub mod table;
pub mod txn;
pub mod waiters;
pub mod watch;
pub mod wheel;

pub use change::{Changes, Class, Event};
pub use entry::Entry;
pub use frozen::Held;
pub use txn::{Deadline, Txn, Typed, WrongType};

use crate::base::later::Later;
use crate::base::rng::Rng;
use crate::base::time::Clock;
use crossbeam_utils::CachePadded;
use namespace::Namespace;
use parking_lot::{Mutex, MutexGuard};
use shard::Shard;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What somebody outside listens to. Read once at the start of a transaction; changed only while all shards are held,
/// so that no transaction sees a listener come or go halfway.
#[derive(Debug, Default)]
pub struct Interest {
    /// Classes of `notify-keyspace-events`, in the bits of [`Class`].
    pub notify: AtomicU32,
    /// Somebody uses client-side caching.
    pub tracking: AtomicBool,
    /// Somebody reads the log of effects.
    pub log: AtomicBool,
    /// Keys expire by themselves (`DEBUG SET-ACTIVE-EXPIRE`).
    pub active_expire: AtomicBool,
}

/// All databases of the process.
pub struct Keyspace {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    databases: usize,
    /// Limit and policy.
    pub namespace: Namespace,
    /// Who listens.
    pub interest: Interest,
    /// Bytes that do not cause eviction.
    pub not_counted: memory::NotCounted,
    /// Whether a cut runs.
    pub cutting: AtomicBool,
    /// Changes by transactions that held nothing; all others are counted in their shards.
    pub dirty: AtomicU64,
    /// Raised whenever names move between keys without a change to each (RENAME, SWAPDB): a walk over all keys that
    /// finds it moved walks again.
    pub names_moved: AtomicU64,
    /// The shards of a frozen script.
    pub frozen: frozen::Frozen,
    /// Frees big values in the background.
    pub later: Later,
    /// The clock.
    pub clock: Clock,
}

/// The guard of one shard.
pub type Guard<'k> = MutexGuard<'k, Shard>;

impl Keyspace {
    /// An empty keyspace of `shards` (rounded up to a power of two, at least 1) with `databases` databases.
    pub fn new(shards: usize, databases: usize, clock: Clock, later: Later, seed: u64) -> Keyspace {
        let now_ms = clock.now_ms();
        let count = shards.max(1).next_power_of_two();
        let mut seeds = Rng::from_seed(seed);
        Keyspace {
            shards: (0..count)
                .map(|_| CachePadded::new(Mutex::new(Shard::new(databases, seeds.next_u64(), now_ms))))
                .collect(),
            databases,
            namespace: Namespace::default(),
            interest: Interest { active_expire: AtomicBool::new(true), ..Interest::default() },
            not_counted: memory::NotCounted::default(),
            cutting: AtomicBool::new(false),
            dirty: AtomicU64::new(0),
            names_moved: AtomicU64::new(0),
            frozen: frozen::Frozen::new(count),
            later,
            clock,
        }
    }

    /// Number of shards, a power of two.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }
    /// Number of databases.
    pub fn databases(&self) -> usize {
        self.databases
    }
    /// The shard of a key hash. The table uses the high bits, the shard the low ones.
    #[inline]
    pub fn shard_of(&self, hash: u64) -> usize {
        hash as usize & (self.shards.len() - 1)
    }
    /// Waits for one shard, however long. Only with the script token in hand, or where there are no scripts;
    /// everybody else [waits](Keyspace::wait) no longer than is sound.
    #[inline]
    pub fn lock(&self, shard: usize) -> Guard<'_> {
        self.shards[shard].lock()
    }
    /// Takes one shard if it is free.
    #[inline]
    pub fn try_lock(&self, shard: usize) -> Option<Guard<'_>> {
        self.shards[shard].try_lock()
    }
    /// Adds up something over all shards, each locked in turn; those of a frozen script are left out.
    pub fn sum(&self, f: impl Fn(&Shard) -> u64) -> u64 {
        (0..self.shards.len()).filter_map(|shard| self.wait(shard).ok()).map(|shard| f(&shard)).sum()
    }
    /// Classes somebody listens to.
    #[inline]
    pub fn notify_classes(&self) -> Class {
        Class(self.interest.notify.load(Relaxed))
    }
}
