//! Rows: how values are kept, and scripts.

macro_rules! data {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Values" {
        /// Most fields of a hash that is kept packed.
        hash_max_listpack_entries: Num = int("hash-max-listpack-entries", 0, LONG, "512").alias("hash-max-ziplist-entries");
        /// Longest field or value of a hash that is kept packed.
        hash_max_listpack_value: Num = memory("hash-max-listpack-value", 0, LONG, "64").alias("hash-max-ziplist-value");
        /// Size of a list's node: a number of elements, or -1 to -5 for 4, 8, 16, 32 or 64 KiB.
        list_max_listpack_size: Num = int("list-max-listpack-size", INT_MIN, INT, "-2").alias("list-max-ziplist-size");
        /// Nodes at each end of a list that stay uncompressed; 0 compresses nothing.
        list_compress_depth: Num = int("list-compress-depth", 0, INT, "0");
        /// Most members of a set of integers that is kept as a sorted array.
        set_max_intset_entries: Num = int("set-max-intset-entries", 0, LONG, "512");
        /// Most members of a set that is kept packed.
        set_max_listpack_entries: Num = int("set-max-listpack-entries", 0, LONG, "128");
        /// Longest member of a set that is kept packed.
        set_max_listpack_value: Num = int("set-max-listpack-value", 0, LONG, "64");
        /// Most members of a sorted set that is kept packed.
        zset_max_listpack_entries: Num = int("zset-max-listpack-entries", 0, LONG, "128").alias("zset-max-ziplist-entries");
        /// Longest member of a sorted set that is kept packed.
        zset_max_listpack_value: Num = memory("zset-max-listpack-value", 0, LONG, "64").alias("zset-max-ziplist-value");
        /// Most bytes of a sparse HyperLogLog; beyond it becomes dense (12 KiB).
        hll_sparse_max_bytes: Num = memory("hll-sparse-max-bytes", 0, LONG, "3000");
        /// Most bytes of a stream's node; 0 is no limit.
        stream_node_max_bytes: Num = memory("stream-node-max-bytes", 0, LONG, "4kb");
        /// Most entries of a stream's node; 0 is no limit.
        stream_node_max_entries: Num = int("stream-node-max-entries", 0, LONG, "100");
        /// How deeply RESTORE checks a payload. Every payload is checked in full here.
        sanitize_dump_payload: Choice<SanitizePayload> = choice("sanitize-dump-payload", "no").waits();
    } group "Scripts" {
        /// Milliseconds after which a running script or function may be killed and others hear -BUSY; 0 is never.
        busy_reply_threshold: Num = int("busy-reply-threshold", 0, LONG, "5000").alias("lua-time-limit");
        /// Most memory that scripts may hold inside Lua, and functions once more as much. One that wants more gets the
        /// error "not enough memory". Redis has no such limit and does not know this name.
        lua_memory_limit: Num = memory("lua-memory-limit", 1 << 20, LONG, "1gb").ours().immutable();
    } } };
}
