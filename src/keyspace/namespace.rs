//! Limit, policy and counters of one namespace (D17); today there is one, the whole server.

use super::evict::clock::AccessClock;
use super::evict::policy::Policy;
use super::evict::pool::Pool;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Limit, policy and tuning of one namespace, all live.
#[derive(Debug)]
pub struct Namespace {
    maxmemory_bytes: AtomicU64,
    policy: AtomicU8,
    samples: AtomicU32,
    tenacity: AtomicU32,
    lfu_log_factor: AtomicU32,
    lfu_decay_minutes: AtomicU32,
    lazy_eviction: AtomicBool,
    lazy_expire: AtomicBool,
    lazy_server_del: AtomicBool,
    /// What the time of last use is measured in.
    pub clock: AccessClock,
    /// Who may go next.
    pub pool: Mutex<Pool>,
    /// The shard whose turn it is to be sampled, modulo their number.
    pub turn: AtomicU32,
    /// Keys evicted since the start or CONFIG RESETSTAT.
    pub evicted: AtomicU64,
    /// Microseconds spent over the limit, as far as they are over.
    pub exceeded_us: AtomicU64,
    /// Since when memory is over the limit, in monotonic microseconds; 0 while it is not.
    exceeded_since_us: AtomicU64,
}

impl Default for Namespace {
    fn default() -> Self {
        Namespace {
            maxmemory_bytes: AtomicU64::new(0),
            policy: AtomicU8::new(Policy::NoEviction as u8),
            samples: AtomicU32::new(5),
            tenacity: AtomicU32::new(10),
            lfu_log_factor: AtomicU32::new(10),
            lfu_decay_minutes: AtomicU32::new(1),
            lazy_eviction: AtomicBool::new(false),
            lazy_expire: AtomicBool::new(false),
            lazy_server_del: AtomicBool::new(false),
            clock: AccessClock::default(),
            pool: Mutex::default(),
            turn: AtomicU32::new(0),
            evicted: AtomicU64::new(0),
            exceeded_us: AtomicU64::new(0),
            exceeded_since_us: AtomicU64::new(0),
        }
    }
}

macro_rules! live {
    ($($(#[$doc:meta])* $field:ident, $set:ident: $t:ty;)*) => {
        $($(#[$doc])*
        #[inline]
        pub fn $field(&self) -> $t { self.$field.load(Relaxed) }
        /// Changes it, at once.
        pub fn $set(&self, value: $t) { self.$field.store(value, Relaxed) })*
    };
}

impl Namespace {
    live! {
        /// The limit in bytes; 0 is no limit.
        maxmemory_bytes, set_maxmemory_bytes: u64;
        /// Keys sampled per eviction.
        samples, set_samples: u32;
        /// How hard one writer tries before it gives up (0 to 100).
        tenacity, set_tenacity: u32;
        /// How slowly the LFU counter grows.
        lfu_log_factor, set_lfu_log_factor: u32;
        /// Minutes after which the LFU counter loses one.
        lfu_decay_minutes, set_lfu_decay_minutes: u32;
        /// Whether all but the smallest of the values that are evicted are freed in the background.
        lazy_eviction, set_lazy_eviction: bool;
        /// The same of those whose time has passed.
        lazy_expire, set_lazy_expire: bool;
        /// The same of those that others take the place of.
        lazy_server_del, set_lazy_server_del: bool;
    }
    /// The policy.
    #[inline]
    pub fn policy(&self) -> Policy {
        Policy::from_u8(self.policy.load(Relaxed))
    }
    /// Changes the policy, at once.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Relaxed)
    }

    /// Whether the order of uses decides who goes.
    pub fn orders_uses(&self) -> bool {
        self.maxmemory_bytes() > 0 && self.policy().is_lru()
    }

    /// Notes whether memory is over the limit, at this monotonic time in microseconds.
    pub fn note_exceeded(&self, is_over: bool, now_us: u64) {
        let since = self.exceeded_since_us.load(Relaxed);
        if is_over && since == 0 {
            self.exceeded_since_us.store(now_us.max(1), Relaxed);
        } else if !is_over && since != 0 && self.exceeded_since_us.swap(0, Relaxed) != 0 {
            self.exceeded_us.fetch_add(now_us.saturating_sub(since), Relaxed);
        }
    }
    /// Microseconds that memory has been over the limit without a break.
    pub fn exceeded_now_us(&self, now_us: u64) -> u64 {
        match self.exceeded_since_us.load(Relaxed) {
            0 => 0,
            since => now_us.saturating_sub(since),
        }
    }
}
