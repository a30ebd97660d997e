//! Who may be evicted, and by which measure.

/// The eviction policy: Redis' eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Writes are refused.
    NoEviction = 0,
    /// Least recently used of all keys.
    AllkeysLru,
    /// Least frequently used of all keys.
    AllkeysLfu,
    /// Any key.
    AllkeysRandom,
    /// Least recently used of the keys with a deadline.
    VolatileLru,
    /// Least frequently used of the keys with a deadline.
    VolatileLfu,
    /// Any key with a deadline.
    VolatileRandom,
    /// The key with the nearest deadline.
    VolatileTtl,
}

impl Policy {
    /// Every policy with its name in the configuration.
    pub const NAMES: [(Policy, &'static str); 8] = [
        (Policy::NoEviction, "noeviction"),
        (Policy::AllkeysLru, "allkeys-lru"),
        (Policy::AllkeysLfu, "allkeys-lfu"),
        (Policy::AllkeysRandom, "allkeys-random"),
        (Policy::VolatileLru, "volatile-lru"),
        (Policy::VolatileLfu, "volatile-lfu"),
        (Policy::VolatileRandom, "volatile-random"),
        (Policy::VolatileTtl, "volatile-ttl"),
    ];
    /// The policy of that name, compared without regard to case.
    pub fn from_name(name: &str) -> Option<Policy> {
        Self::NAMES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(p, _)| *p)
    }
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
    /// Whether the access word counts frequency instead of time.
    #[inline]
    pub fn is_lfu(self) -> bool {
        matches!(self, Policy::AllkeysLfu | Policy::VolatileLfu)
    }
    /// Whether the access word holds the time of the last use and is used by eviction.
    #[inline]
    pub fn is_lru(self) -> bool {
        matches!(self, Policy::AllkeysLru | Policy::VolatileLru)
    }
    /// Whether only keys with a deadline are candidates.
    pub fn is_volatile(self) -> bool {
        matches!(self, Policy::VolatileLru | Policy::VolatileLfu | Policy::VolatileRandom | Policy::VolatileTtl)
    }
    /// The policy of this number.
    pub(in crate::keyspace) fn from_u8(n: u8) -> Policy {
        Self::NAMES[(n as usize).min(7)].0
    }
}
