//! Timers: the sweep of each worker's shards, and the slow ticks of the whole server.

use super::place::Balance;
use super::{conn, migrate};
use crate::client::{Client, ClientType, Marks};
use crate::engine::Engine;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// How soon a worker looks for due deadlines again, at least and at most, while a key in its shards has one: soon after it
/// has found some.
const SWEEP_EVERY: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(40)];

/// How soon it looks for what a step has left, when it has found nothing at once.
const REST_AFTER: Duration = Duration::from_millis(1);

/// The sweep of one worker's shards, and of connections that it keeps for nothing. It sleeps while no key in them has a
/// deadline and no connection is kept, until a tick of the server finds one: a worker with nothing to do has no timer.
pub struct Sweeper {
    /// Those whose number is the worker's own modulo the number of workers, so that each is swept by one worker.
    shards: Vec<usize>,
    asleep: AtomicBool,
    bell: Notify,
}

impl Sweeper {
    /// The sweep of one of so many workers.
    pub fn new(engine: &Engine, worker: usize, workers: usize) -> Sweeper {
        let shards = (worker..engine.node.keyspace.shard_count()).step_by(workers).collect();
        Sweeper { shards, asleep: AtomicBool::new(false), bell: Notify::new() }
    }

    fn volatile_shards(&self, engine: &Engine) -> impl Iterator<Item = usize> {
        self.shards.iter().copied().filter(|shard| engine.has_deadlines(*shard))
    }

    /// Wakes it if there is something to sweep.
    fn wake(&self, engine: &Engine) {
        let keeps_sockets = engine.node.stats.migrate_sockets.load(Relaxed) > 0;
        if self.asleep.load(Relaxed) && (keeps_sockets || self.volatile_shards(engine).next().is_some()) {
            self.asleep.store(false, Relaxed);
            self.bell.notify_one();
        }
    }

    /// Expires what is due, for ever.
    pub async fn run(&self, engine: &Engine) {
        let [soon, late] = SWEEP_EVERY;
        let (mut pause, mut rest) = (soon, false);
        loop {
            let (mut volatile, mut found, mut more) = (false, false, false);
            for shard in self.volatile_shards(engine) {
                volatile = true;
                let swept = engine.sweep(shard);
                found |= swept.expired > 0;
                more |= swept.more;
            }
            pause = if found { soon } else { late.min(2 * pause) };
            rest |= more;
            migrate::close_unused(&engine.node.stats);
            if more {
                tokio::task::yield_now().await;
            } else if std::mem::take(&mut rest) {
                tokio::time::sleep(REST_AFTER).await;
            } else if volatile {
                tokio::time::sleep(pause).await;
            } else {
                self.asleep.store(true, Relaxed);
                self.bell.notified().await;
            }
        }
    }
}

/// How often the slow ticks run.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// Slow clients are looked for at one tick of so many: their limits are in seconds, and there may be many clients.
const SLOW_EVERY: u64 = 5;

/// The slow ticks of the whole server, for ever: idle clients are closed, rates are sampled.
pub(super) async fn tick(engine: Arc<Engine>, sweepers: Arc<[Sweeper]>, mut balance: Balance) {
    let mut ticks = tokio::time::interval(TICK_EVERY);
    for tick in 0_u64.. {
        ticks.tick().await;
        let node = &engine.node;
        let started_ns = node.clock.monotonic_ns();
        node.clock.tick();
        if node.cron_paused.load(Relaxed) {
            continue;
        }
        sweepers.iter().for_each(|sweeper| sweeper.wake(&engine));
        balance.tick(&engine);
        close_idle(&engine);
        engine.follow_keys();
        engine.limit_tracking();
        node.settle_tracking();
        engine.limit_clients();
        if tick % SLOW_EVERY == 0 {
            ring_slow(&engine);
            ring_halfway(&engine);
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
    if engine.node.clients.slow.load(Relaxed) == 0 {
        return;
    }
    let slow = engine.node.clients.those(|client| client.out_bytes.load(Relaxed) > 0);
    slow.iter().for_each(|client| client.mailbox.ring());
}

/// Wakes the clients that have been silent in the midst of a big argument, so that they give back the room for its rest.
fn ring_halfway(engine: &Engine) {
    if engine.node.clients.halfway.load(Relaxed) == 0 {
        return;
    }
    let now_ms = engine.node.clock.monotonic_us() / 1000;
    let is_silent = |client: &Client| now_ms.saturating_sub(client.last_ms.load(Relaxed)) > conn::PATIENCE_MS;
    let silent = engine.node.clients.those(|client| client.query[1].load(Relaxed) > 0 && is_silent(client));
    silent.iter().for_each(|client| client.mailbox.ring());
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
