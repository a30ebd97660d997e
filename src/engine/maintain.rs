//! Sweep, evict, ticks: changes that no command makes.

use super::Engine;
use super::commit::Unit;
use crate::base::alloc;
use crate::client::Client;
use crate::client::transit::in_transit_bytes;
use crate::keyspace::Txn;
use crate::keyspace::evict;
use crate::keyspace::evict::policy::Policy;
use crate::keyspace::expire::Swept;
use crate::keyspace::memory::counted_bytes;
use std::sync::atomic::Ordering::Relaxed;

/// Keys expired in one step of one shard.
const SWEEP_BUDGET: usize = 256;

impl Engine {
    /// Expires what is due in one shard.
    pub fn sweep(&self, shard: usize) -> Swept {
        let keyspace = &self.node.keyspace;
        if !keyspace.interest.active_expire.load(Relaxed) {
            return Swept::default();
        }
        let now_ms = self.node.clock.now_ms();
        // What a frozen script holds is swept after it.
        let Ok(mut txn) = Txn::of_shards(keyspace, 0, now_ms, &[shard as u32]) else { return Swept::default() };
        txn.keep_expired = self.node.generation.load(Relaxed) != 0 && self.node.paused(true, now_ms).is_some();
        let started_us = self.node.clock.monotonic_us();
        let swept = txn.sweep(SWEEP_BUDGET);
        self.end(txn, Unit::default(), ());
        self.note_latency("expire-cycle", now_ms, self.node.clock.monotonic_us() - started_us);
        swept
    }

    /// Whether a key or a field of one shard has a deadline. A busy shard counts as one that has.
    pub fn has_deadlines(&self, shard: usize) -> bool {
        match self.node.keyspace.try_lock(shard) {
            Some(shard) => shard.dbs.iter().any(|db| db.volatile + db.volatile_fields > 0),
            None => true,
        }
    }

    /// Makes room before a command runs: evicts until memory is below the limit, or as long as the tenacity allows (the
    /// timer then goes on). False when memory is over the limit and there is nothing to evict. The caller holds no
    /// shard.
    #[inline]
    pub fn make_room(&self) -> bool {
        !self.is_over_limit() || self.evict_slice()
    }

    fn is_over_limit(&self) -> bool {
        self.excess_bytes() > 0
    }

    /// How much memory is above the limit. The news of evicted keys to client-side caches is no reason to evict more.
    fn excess_bytes(&self) -> u64 {
        match self.node.keyspace.namespace.maxmemory_bytes() {
            0 => 0,
            limit => counted_bytes(&self.node.keyspace).saturating_sub(limit.saturating_add(in_transit_bytes())),
        }
    }

    /// Goes on evicting where no command does it; true when there is more to do now.
    pub fn evict_on(&self) -> bool {
        alloc::settle();
        if self.is_over_limit() {
            return self.evict_slice() && self.is_over_limit() && !self.is_eviction_paused();
        }
        self.node.keyspace.namespace.note_exceeded(false, self.node.clock.monotonic_us());
        false
    }

    fn is_eviction_paused(&self) -> bool {
        self.node.generation.load(Relaxed) != 0 && self.node.paused(true, self.node.clock.now_ms()).is_some()
    }

    #[cold]
    fn evict_slice(&self) -> bool {
        let (node, namespace) = (&self.node, &self.node.keyspace.namespace);
        let started_us = node.clock.monotonic_us();
        namespace.note_exceeded(true, started_us);
        if namespace.policy() == Policy::NoEviction {
            return false;
        }
        if self.is_eviction_paused() {
            return true;
        }
        let slice_us = slice_us(namespace.tenacity());
        let now_ms = node.clock.now_ms();
        // What the news of evicted keys takes in the queues of clients is no reason to evict more of them.
        let mut excess = self.excess_bytes();
        let mut room = true;
        for evicted in 1_u32.. {
            match self.evict_one(now_ms) {
                Some(freed) => excess = excess.saturating_sub(freed),
                None => room = false,
            }
            if !room || excess == 0 || !self.is_over_limit() {
                break;
            }
            if evicted % CLOCK_EVERY == 0 && node.clock.monotonic_us() - started_us > slice_us {
                break;
            }
        }
        // What could go may be held by a frozen script: there will be room after it.
        room |= node.keyspace.frozen.is_on();
        let now_us = node.clock.monotonic_us();
        if room && !self.is_over_limit() {
            namespace.note_exceeded(false, now_us);
        }
        self.note_latency("eviction-cycle", now_ms, now_us - started_us);
        room
    }

    /// Tells the latency monitor how long something took.
    fn note_latency(&self, event: &'static str, now_ms: u64, took_us: u64) {
        let threshold_ms = self.node.config.latency_monitor_threshold.get();
        if threshold_ms > 0 && (took_us / 1000) as i64 >= threshold_ms {
            self.node.stats.latency.add(event, now_ms / 1000, took_us / 1000);
        }
    }

    /// Evicts the key that is the one to go and tells the bytes it took; nothing when there is none.
    fn evict_one(&self, now_ms: u64) -> Option<u64> {
        let keyspace = &self.node.keyspace;
        let (mut txn, key) = evict::victim(keyspace, now_ms)?;
        let entry = txn.evict(&key);
        let freed = entry.as_ref().map_or(0, |entry| entry.heap_bytes() as u64);
        self.end(txn, Unit::default(), ());
        match entry {
            Some(entry) if keyspace.namespace.lazy_eviction() => keyspace.discard_lazily(entry),
            Some(entry) => keyspace.discard(entry),
            None => {}
        }
        Some(freed)
    }

    /// Counts what a client holds at the end of its turn, and evicts clients when all of them hold too much.
    #[inline]
    pub fn count_client(&self, client: &Client) {
        if self.node.client_memory.is_limited() && self.node.client_memory.count(client) {
            self.evict_clients();
        }
    }

    /// Counts what all clients hold, and evicts when it is too much.
    pub fn limit_clients(&self) {
        if self.node.client_memory.is_limited() {
            self.node.client_memory.count_all(&self.node.clients);
            self.evict_clients();
        }
    }

    #[cold]
    fn evict_clients(&self) {
        for client in self.node.client_memory.evict(&self.node.clients) {
            self.node.stats.evicted_clients.fetch_add(1, Relaxed);
            tracing::info!("Evicting client: id={} addr={} fd={}", client.id, client.addr, client.fd);
        }
    }

    /// Keeps the table of client-side caches within `tracking-table-max-keys`.
    pub fn limit_tracking(&self) {
        let keys_max = self.node.config.tracking_table_max_keys.size() as usize;
        self.node.pubsub.tracking.evict(keys_max, &self.node.clients);
    }

    /// Tells the access clock how many keys there are.
    pub fn follow_keys(&self) {
        let keyspace = &self.node.keyspace;
        let namespace = &keyspace.namespace;
        let keys = || keyspace.sum(|shard| shard.dbs.iter().map(|db| db.table.len() as u64).sum());
        namespace.clock.follow(namespace.orders_uses().then(keys));
    }
}

/// Evictions between two looks at the clock.
const CLOCK_EVERY: u32 = 16;

/// How long one slice of eviction may take, in microseconds, by `maxmemory-eviction-tenacity`: up to 10 in equal steps
/// to half a millisecond, then growing by 15% each, at 100 for ever.
fn slice_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => (500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}
