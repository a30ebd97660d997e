//! Eviction: the trait of a policy, the candidate pool and the sampling (D7).

pub mod lfu;
pub mod lru;
pub mod random;
pub mod ttl;
