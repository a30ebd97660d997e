//! Counters, padded so that workers do not share cache lines.
//!
//! A counter of a worker has one writer, so it is raised by a plain load and store; readers add up all workers.

pub mod errors;
pub mod latency;
pub mod rate;
pub mod slowlog;

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Raises it. Only its worker may.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }
    /// Keeps the largest value. Only its worker may.
    #[inline]
    pub fn raise(&self, n: u64) {
        if n > self.0.load(Relaxed) {
            self.0.store(n, Relaxed);
        }
    }
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
    /// Back to 0.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// What is counted of one command on one worker.
#[derive(Debug, Default)]
pub struct CommandCount {
    /// Calls that ran.
    pub calls: Count,
    /// Microseconds in them, times 1000.
    pub nanos: Count,
    /// Refused before they ran.
    pub rejected: Count,
    /// Ran and answered an error.
    pub failed: Count,
    /// Latency histogram.
    pub histogram: latency::Histogram,
}

/// What is counted on one worker.
#[derive(Debug)]
pub struct Worker {
    /// Commands run.
    pub commands: Count,
    /// Connections accepted.
    pub connections: Count,
    /// Bytes read.
    pub net_in: Count,
    /// Bytes written.
    pub net_out: Count,
    /// Reads from sockets.
    pub reads: Count,
    /// Writes to sockets.
    pub writes: Count,
    /// Error replies.
    pub errors: Count,
    /// The most requests run in one go.
    pub batch_max: Count,
    /// The longest command in nanoseconds.
    pub command_max: Count,
    /// Per command, by its number.
    pub by_command: Box<[CommandCount]>,
}

/// Counters of the process.
pub struct Stats {
    workers: Box<[CachePadded<Worker>]>,
    /// Error replies by their code word.
    pub error_codes: errors::ErrorCodes,
    /// Connections refused because of `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Clients closed because their outbox passed its limit.
    pub outbox_disconnections: AtomicU64,
    /// Clients closed because their query buffer passed its limit.
    pub query_disconnections: AtomicU64,
    /// Clients evicted for `maxmemory-clients`.
    pub evicted_clients: AtomicU64,
    /// Connections kept for the next MIGRATE.
    pub migrate_sockets: AtomicU64,
    /// Bytes in use when the server was ready to accept.
    pub startup_bytes: AtomicU64,
    /// Turns of the housekeeping, the nanoseconds they took, and the longest.
    pub ticks: [AtomicU64; 3],
    /// Means over the last samples.
    pub rates: rate::Rates,
    /// The slow log.
    pub slowlog: slowlog::Slowlog,
    /// Latency events.
    pub latency: latency::Monitor,
}

impl Stats {
    /// Counters for this many workers and commands.
    pub fn new(workers: usize, commands: usize) -> Stats {
        let worker = || Worker {
            commands: Count::default(),
            connections: Count::default(),
            net_in: Count::default(),
            net_out: Count::default(),
            reads: Count::default(),
            writes: Count::default(),
            errors: Count::default(),
            batch_max: Count::default(),
            command_max: Count::default(),
            by_command: (0..commands).map(|_| CommandCount::default()).collect(),
        };
        Stats {
            workers: (0..workers.max(1)).map(|_| CachePadded::new(worker())).collect(),
            error_codes: errors::ErrorCodes::default(),
            rejected_connections: AtomicU64::new(0),
            outbox_disconnections: AtomicU64::new(0),
            query_disconnections: AtomicU64::new(0),
            evicted_clients: AtomicU64::new(0),
            migrate_sockets: AtomicU64::new(0),
            startup_bytes: AtomicU64::new(0),
            ticks: Default::default(),
            rates: rate::Rates::default(),
            slowlog: slowlog::Slowlog::default(),
            latency: latency::Monitor::default(),
        }
    }
    /// The counters of one worker.
    #[inline]
    pub fn worker(&self, worker: usize) -> &Worker {
        &self.workers[worker]
    }
    /// Adds up a counter over all workers.
    pub fn sum(&self, f: impl Fn(&Worker) -> u64) -> u64 {
        self.workers.iter().map(|w| f(w)).sum()
    }
    /// All workers.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().map(|w| &**w)
    }
    /// Turns of all loops: a read that brought requests, or a tick.
    pub fn turns(&self) -> u64 {
        self.sum(|worker| worker.reads.get()) + self.ticks[0].load(Relaxed)
    }
    /// Microseconds in commands.
    pub fn command_micros(&self) -> u64 {
        self.sum(|worker| worker.by_command.iter().map(|count| count.nanos.get()).sum()) / 1000
    }
    /// Microseconds in commands and ticks.
    pub fn turn_micros(&self) -> u64 {
        self.command_micros() + self.ticks[1].load(Relaxed) / 1000
    }
    /// Takes a sample of every rate; called by the housekeeping.
    pub fn sample(&self, now_ms: u64) {
        use rate::Metric;
        const PER_SECOND: u64 = 1000;
        let turns = self.turns();
        self.rates.add(Metric::Commands, self.sum(|worker| worker.commands.get()), now_ms, PER_SECOND);
        self.rates.add(Metric::NetIn, self.sum(|worker| worker.net_in.get()), now_ms, PER_SECOND);
        self.rates.add(Metric::NetOut, self.sum(|worker| worker.net_out.get()), now_ms, PER_SECOND);
        self.rates.add(Metric::Turns, turns, now_ms, PER_SECOND);
        self.rates.add(Metric::TurnMicros, self.turn_micros(), turns, 1);
    }
    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for w in self.workers() {
            for c in [&w.commands, &w.connections, &w.net_in, &w.net_out, &w.reads, &w.writes, &w.errors] {
                c.reset();
            }
            [&w.batch_max, &w.command_max].into_iter().for_each(Count::reset);
            for c in &w.by_command {
                [&c.calls, &c.nanos, &c.rejected, &c.failed].into_iter().for_each(Count::reset);
                c.histogram.reset();
            }
        }
        self.error_codes.reset();
        self.rates.reset();
        self.ticks.iter().for_each(|n| n.store(0, Relaxed));
        for n in
            [&self.rejected_connections, &self.outbox_disconnections, &self.query_disconnections, &self.evicted_clients]
        {
            n.store(0, Relaxed);
        }
    }
}
