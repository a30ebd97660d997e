//! The keyspace: databases in shards under short locks. This room knows no RESP, no runtime, no files and no commands.

pub mod change;
pub mod cut;
pub mod entry;
pub mod evict;
pub mod expire;
pub mod memory;
pub mod namespace;
pub mod scan;
pub mod shard;
pub mod table;
pub mod txn;
pub mod waiters;
pub mod watch;
pub mod wheel;
