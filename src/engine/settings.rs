//! Configuration into live values: what the rooms below keep of their own is told here.

use super::Engine;
use crate::keyspace::evict::policy::Policy;
use std::sync::atomic::Ordering::Relaxed;

impl Engine {
    /// Tells every room what the configuration says: at the start, and after CONFIG SET.
    pub fn adopt_config(&self) {
        let config = &self.node.config;
        let namespace = &self.node.keyspace.namespace;
        namespace.set_maxmemory_bytes(config.maxmemory.size());
        if let Some(policy) = Policy::from_name(config.maxmemory_policy.word()) {
            namespace.set_policy(policy);
        }
        namespace.set_samples(config.maxmemory_samples.get() as u32);
        namespace.set_tenacity(config.maxmemory_eviction_tenacity.get() as u32);
        namespace.set_lazy_eviction(config.lazyfree_lazy_eviction.get());
        namespace.set_lazy_expire(config.lazyfree_lazy_expire.get());
        namespace.set_lazy_server_del(config.lazyfree_lazy_server_del.get());
        namespace.set_lfu_log_factor(config.lfu_log_factor.get() as u32);
        namespace.set_lfu_decay_minutes(config.lfu_decay_time.get() as u32);
        self.follow_keys();
        self.node.client_memory.set_limit(config.maxmemory_clients.get(), config.maxmemory.size());
        self.limit_clients();
        self.node.keyspace.interest.notify.store(config.notify_keyspace_events.bits(), Relaxed);
    }
}
