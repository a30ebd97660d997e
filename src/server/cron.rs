//! Timers: the sweep of each worker's shards, and the slow ticks of the whole server.

use super::migrate;
use crate::client::{ClientType, Marks};
use crate::engine::Engine;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often a worker looks for due deadlines while any of its shards has one.
const SWEEP_EVERY: Duration = Duration::from_millis(5);
/// How often it looks while there is none.
const IDLE_EVERY: Duration = Duration::from_millis(100);

/// Expires what is due in the shards of one worker, and closes connections that it keeps for nothing, for ever. A
/// worker's shards are those whose number is its own
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
        migrate::close_unused(&engine.node.stats);
        if more {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(if volatile { SWEEP_EVERY } else { IDLE_EVERY }).await;
        }
    }
}

/// How often the slow ticks run.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// Slow clients are looked for at one tick of so many: their limits are in seconds, and there may be many clients.
const SLOW_EVERY: u64 = 5;

/// The slow ticks of the whole server, for ever: idle clients are closed, rates are sampled.
pub async fn tick(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(TICK_EVERY);
    for tick in 0_u64.. {
        ticks.tick().await;
        let node = &engine.node;
        let started_ns = node.clock.monotonic_ns();
        node.clock.tick();
        if node.cron_paused.load(Relaxed) {
            continue;
        }
        close_idle(&engine);
        engine.follow_keys();
        engine.limit_tracking();
        node.settle_tracking();
        engine.limit_clients();
        if tick % SLOW_EVERY == 0 {
            ring_slow(&engine);
        }
        engine.do_chores();
        while engine.evict_on() {
            tokio::task::yield_now().await;
        }
        node.stats.sample(started_ns / 1_000_000);
        let took_ns = node.clock.monotonic_ns().saturating_sub(started_ns);
        node.stats.ticks[0].fetch_add(1, Relaxed);
        node.stats.ticks[1].fetch_add(took_ns, Relaxed);
        node.stats.ticks[2].fetch_max(took_ns, Relaxed);
    }
}

/// Wakes the clients whose output waits, so that they look at their limits though nothing else happens.
fn ring_slow(engine: &Engine) {
    let slow = engine.node.clients.those(|client| client.out_bytes.load(Relaxed) > 0);
    slow.iter().for_each(|client| client.mailbox.ring());
}

/// Closes clients that have been silent for longer than `timeout` seconds: not those that wait for us, subscribe or
/// follow.
fn close_idle(engine: &Engine) {
    let timeout_s = engine.node.config.timeout.get();
    if timeout_s <= 0 {
        return;
    }
    let now_ms = engine.node.clock.monotonic_us() / 1000;
    for client in engine.node.clients.all() {
        let idle_ms = now_ms.saturating_sub(client.last_ms.load(Relaxed));
        let exempt = client.marks.any(Marks::BLOCKED | Marks::MONITOR | Marks::FROZEN)
            || client.subscriptions.iter().any(|n| n.load(Relaxed) > 0)
            || client.client_type() != ClientType::Normal;
        if !exempt && idle_ms > timeout_s as u64 * 1000 {
            tracing::debug!("Closing idle client");
            client.kill();
        }
    }
}
