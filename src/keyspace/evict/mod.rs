//! Eviction: the access word of an entry, the trait of a policy, the candidate pool and the sampling (D7).

pub mod lfu;
pub mod lru;
pub mod random;
pub mod ttl;

use super::namespace::Namespace;

/// The access word of a new entry.
#[inline]
pub fn fresh(ns: &Namespace, now_ms: u64) -> u32 {
    if ns.policy().is_lfu() { lfu::fresh(now_ms) } else { lru::clock(now_ms) }
}

/// The access word of an entry that is used now; `salt` is any number that differs between entries.
#[inline]
pub fn touched(word: u32, ns: &Namespace, now_ms: u64, salt: u64) -> u32 {
    if ns.policy().is_lfu() { lfu::touched(word, ns, now_ms, salt) } else { lru::clock(now_ms) }
}
