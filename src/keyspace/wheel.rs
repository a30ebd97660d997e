//! The timer wheel of a shard: deadlines of keys and fields (D15).
