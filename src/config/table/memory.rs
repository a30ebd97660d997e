//! Rows: the memory limit, eviction, expiry and freeing.

macro_rules! memory {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Memory and eviction" {
        /// The most memory the data may take; beyond it `maxmemory-policy` decides. 0 is no limit.
        maxmemory: Num = memory("maxmemory", 0, ULONG, "0").hook(Hook::Maxmemory);
        /// What makes room: volatile-lru, volatile-lfu, volatile-random or volatile-ttl (keys with an expiry),
        /// allkeys-lru, allkeys-lfu or allkeys-random (any key), or noeviction (writes get an error).
        maxmemory_policy: Choice<MaxmemoryPolicy> = choice("maxmemory-policy", "noeviction");
        /// How many keys are looked at for one victim; more is closer to the exact order and slower.
        maxmemory_samples: Num = int("maxmemory-samples", 1, 64, "5");
        /// How long one command may go on evicting: 0 hardly at all, 10 as usual, 100 until there is room.
        maxmemory_eviction_tenacity: Num = int("maxmemory-eviction-tenacity", 0, 100, "10");
        /// The most memory all clients' buffers may take, in bytes or percent of `maxmemory`; 0 is no limit.
        maxmemory_clients: Num = percent("maxmemory-clients", -100, LONG, "0");
        /// How slowly the counter of the LFU policies grows.
        lfu_log_factor: Num = int("lfu-log-factor", 0, INT, "10");
        /// Minutes after which that counter loses one; 0 is never.
        lfu_decay_time: Num = int("lfu-decay-time", 0, INT, "1");
        /// How much of the time the sampling of expired keys may take, 1 to 10. Deadlines are kept in timer wheels
        /// here, so keys leave on time at any value.
        active_expire_effort: Num = int("active-expire-effort", 1, 10, "1").waits();
        /// Free evicted values in the background, all but the smallest; big ones (64 KiB) always are, whatever frees them.
        lazyfree_lazy_eviction: Flag = flag("lazyfree-lazy-eviction", "no");
        /// The same of expired values.
        lazyfree_lazy_expire: Flag = flag("lazyfree-lazy-expire", "no");
        /// The same of overwritten values.
        lazyfree_lazy_server_del: Flag = flag("lazyfree-lazy-server-del", "no");
        /// Make DEL free as UNLINK does.
        lazyfree_lazy_user_del: Flag = flag("lazyfree-lazy-user-del", "no");
        /// Make FLUSHALL and FLUSHDB asynchronous unless told otherwise.
        lazyfree_lazy_user_flush: Flag = flag("lazyfree-lazy-user-flush", "no");
        /// Rehash a little in every turn of housekeeping. Tables here grow a segment at a time and have nothing to
        /// rehash.
        activerehashing: Flag = flag("activerehashing", "yes").waits();
        /// Move values together to free whole pages.
        activedefrag: Flag = flag("activedefrag", "no").off_only("there is no active defragmentation");
        /// Least CPU percentage for it.
        active_defrag_cycle_min: Num = int("active-defrag-cycle-min", 1, 99, "1").waits();
        /// Most CPU percentage for it.
        active_defrag_cycle_max: Num = int("active-defrag-cycle-max", 1, 99, "25").waits();
        /// Bytes lost to fragmentation before it starts.
        active_defrag_ignore_bytes: Num = memory("active-defrag-ignore-bytes", 1, LONG, "100mb").waits();
        /// Percentage lost before it starts.
        active_defrag_threshold_lower: Num = int("active-defrag-threshold-lower", 0, 1000, "10").waits();
        /// Percentage lost at which it works hardest.
        active_defrag_threshold_upper: Num = int("active-defrag-threshold-upper", 0, 1000, "100").waits();
        /// Most fields of one value moved in one step.
        active_defrag_max_scan_fields: Num = int("active-defrag-max-scan-fields", 1, LONG, "1000").waits();
    } } };
}
