//! Sweep, evict, ticks: changes that no command makes.

use super::Engine;
use super::commit::Unit;
use crate::keyspace::Txn;
use crate::keyspace::memory::counted_bytes;
use std::sync::atomic::Ordering::Relaxed;

/// Keys expired in one step of one shard.
const SWEEP_BUDGET: usize = 256;

impl Engine {
    /// Expires what is due in one shard; true when there is more to do now.
    pub fn sweep(&self, shard: usize) -> bool {
        let keyspace = &self.node.keyspace;
        if !keyspace.interest.active_expire.load(Relaxed) {
            return false;
        }
        let now_ms = self.node.clock.now_ms();
        let mut txn = Txn::lock(keyspace, 0, now_ms, &[shard as u32]);
        txn.keep_expired = self.node.generation.load(Relaxed) != 0 && self.node.paused(true, now_ms).is_some();
        let swept = txn.sweep(SWEEP_BUDGET);
        let ready = self.commit(txn, Unit::default());
        self.serve_ready(ready);
        swept.more
    }

    /// Whether a key or a field of one shard has a deadline. A busy shard counts as one that has.
    pub fn has_deadlines(&self, shard: usize) -> bool {
        match self.node.keyspace.try_lock(shard) {
            Some(shard) => shard.dbs.iter().any(|db| db.volatile + db.volatile_fields > 0),
            None => true,
        }
    }

    /// Evicts until memory is below the limit; false when it cannot be brought there.
    pub fn make_room(&self) -> bool {
        let keyspace = &self.node.keyspace;
        let limit = keyspace.namespace.maxmemory_bytes();
        limit == 0 || counted_bytes(&keyspace.not_counted) <= limit
    }
}
