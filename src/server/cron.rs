//! Timers: the sweep of each worker's shards, and the slow ticks of the whole server.

use crate::engine::Engine;
use std::sync::Arc;
use std::time::Duration;

/// How often a worker looks for due deadlines while any of its shards has one.
const SWEEP_EVERY: Duration = Duration::from_millis(5);
/// How often it looks while there is none.
const IDLE_EVERY: Duration = Duration::from_millis(100);

/// Expires what is due in the shards of one worker, for ever. A worker's shards are those whose number is its own
/// modulo the number of workers, so each is swept by one worker.
pub async fn sweep(engine: Arc<Engine>, worker: usize, workers: usize) {
    let shards: Vec<usize> = (worker..engine.node.keyspace.shard_count()).step_by(workers).collect();
    loop {
        let mut volatile = false;
        let mut more = false;
        for &shard in &shards {
            if engine.has_deadlines(shard) {
                volatile = true;
                more |= engine.sweep(shard);
            }
        }
        if more {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(if volatile { SWEEP_EVERY } else { IDLE_EVERY }).await;
        }
    }
}
