//! Which worker a connection lives on, and how it moves to another.
//!
//! As long as one worker keeps up, all connections live on the first one. There, what one client has sent runs before
//! what another sends later, though nobody has waited for a reply, as a server with one thread would have it; a message
//! for another client wakes no other thread; the rest of the cores stay asleep. When the first worker gets busy, half of
//! its busy connections move to another, and so on, until the load is even; when there is little to do for a while, they
//! move home again. A worker is as busy as it has turns to take; but on a machine that is busy with other things the least
//! turn takes long, so one that uses little CPU time is not.
//!
//! A connection moves when it is at rest, between two requests: its socket leaves the runtime of one worker, and all else
//! that it is goes to the other in one piece.

use super::conn::Conn;
use crate::base::system::ThreadClock;
use crate::client::{Client, Marks, Peer};
use crate::engine::Engine;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::mpsc;

/// A worker that spends so much of its time in turns, in percent, shares its connections with others.
const BUSY: u64 = 50;
/// Below so much CPU time, in percent, the time of its turns does not count.
const AT_WORK: u64 = 15;
/// Connections move home when all workers together spend less than this.
const QUIET: u64 = 20;
/// They do so when it has been quiet for so many ticks.
const QUIET_TICKS: u32 = 10;
/// Connections that move home at one tick.
const HOMEWARD_MAX: usize = 256;

/// A connected socket that belongs to no runtime.
pub(super) enum Socket {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// A connection on its way to its worker.
pub(super) enum Handed {
    /// It has just been accepted.
    New(Socket, Arc<Client>),
    /// It comes from another worker.
    Moved(Box<Conn<Socket>>),
}

/// A socket in a runtime, which it can leave.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Sized {
    /// Takes it out.
    fn leave(self) -> io::Result<Socket>;
}

impl Stream for tokio::net::TcpStream {
    fn leave(self) -> io::Result<Socket> {
        self.into_std().map(Socket::Tcp)
    }
}

impl Stream for tokio::net::UnixStream {
    fn leave(self) -> io::Result<Socket> {
        self.into_std().map(Socket::Unix)
    }
}

/// The way to one worker.
struct Way {
    hand: mpsc::UnboundedSender<Handed>,
    /// Connections it has.
    load: AtomicUsize,
    pulse: OnceLock<Pulse>,
}

/// What tells how busy a worker is.
struct Pulse {
    clock: ThreadClock,
    runtime: RuntimeMetrics,
}

/// The ways to all workers.
pub(super) struct Workers {
    ways: Vec<Way>,
    /// Connections live on all workers, not on the first only.
    spread: AtomicBool,
    /// The first worker has been in one command for long.
    stuck: AtomicBool,
}

/// What a worker takes connections from.
pub(super) type Arrivals = mpsc::UnboundedReceiver<Handed>;

impl Workers {
    /// Ways to so many workers, and their ends.
    pub(super) fn new(count: usize) -> (Arc<Workers>, Vec<Arrivals>) {
        let (ways, arrivals) = (0..count)
            .map(|_| {
                let (hand, arrivals) = mpsc::unbounded_channel();
                (Way { hand, load: AtomicUsize::new(0), pulse: OnceLock::new() }, arrivals)
            })
            .unzip();
        let workers = Workers { ways, spread: AtomicBool::new(false), stuck: AtomicBool::new(false) };
        (Arc::new(workers), arrivals)
    }

    /// The calling thread is this worker, and this is its runtime.
    pub(super) fn begin(&self, worker: usize, runtime: &Handle) {
        if let Some(clock) = ThreadClock::of_this_thread() {
            // A worker begins once.
            let _ = self.ways[worker].pulse.set(Pulse { clock, runtime: runtime.metrics() });
        }
    }

    /// A new connection goes to the worker that it is to live on. It counts as a client from now on, so that no more come
    /// than may (`maxclients`).
    pub(super) fn place(&self, engine: &Engine, socket: Socket, peer: Peer) {
        let spread = self.spread.load(Relaxed) || self.stuck.load(Relaxed);
        let fewest = || (0..self.ways.len()).min_by_key(|worker| self.ways[*worker].load.load(Relaxed));
        let worker = if spread { fewest().unwrap_or(0) } else { 0 };
        let now_ms = engine.node.clock.monotonic_us() / 1000;
        self.hand(worker, Handed::New(socket, engine.node.clients.add(worker, peer, now_ms)));
    }

    /// A connection goes to the worker that it is to move to.
    pub(super) fn pass_on<S: Stream>(&self, conn: Conn<S>) {
        let from = conn.client().worker();
        self.left(from);
        let (conn, stream) = conn.with_stream(());
        match stream.leave() {
            Ok(socket) => {
                let to = conn.client().leave();
                self.hand(to, Handed::Moved(Box::new(conn.with_stream(socket).0)));
            }
            Err(_) => conn.abandon(),
        }
    }

    /// A worker has one connection less.
    pub(super) fn left(&self, worker: usize) {
        self.ways[worker].load.fetch_sub(1, Relaxed);
    }

    fn hand(&self, worker: usize, handed: Handed) {
        let way = &self.ways[worker];
        way.load.fetch_add(1, Relaxed);
        // A worker that is gone is stopping, and so is the server.
        let _ = way.hand.send(handed);
    }
}

/// Decides who moves, at every tick of the server.
pub(super) struct Balance {
    workers: Arc<Workers>,
    /// When it last looked, in monotonic nanoseconds, and what it saw of each worker.
    last_ns: u64,
    seen: Vec<Seen>,
    quiet_ticks: u32,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    cpu_ns: u64,
    busy_ns: u64,
    reads: u64,
}

impl Balance {
    /// Of these workers.
    pub(super) fn new(workers: Arc<Workers>) -> Balance {
        let seen = vec![Seen::default(); workers.ways.len()];
        Balance { workers, last_ns: 0, seen, quiet_ticks: 0 }
    }

    /// Looks at what the workers have done since the last tick.
    pub(super) fn tick(&mut self, engine: &Engine) {
        if self.workers.ways.len() < 2 {
            return;
        }
        let now_ns = engine.node.clock.monotonic_ns();
        let passed_ns = now_ns.saturating_sub(self.last_ns).max(1);
        let since_ms = self.last_ns / 1_000_000;
        self.last_ns = now_ns;
        let busy = self.look(engine, passed_ns);
        if busy.iter().sum::<u64>() >= QUIET {
            self.quiet_ticks = 0;
            self.even_out(engine, &busy, since_ms);
            return;
        }
        self.quiet_ticks += 1;
        if self.quiet_ticks.is_multiple_of(QUIET_TICKS) {
            self.workers.spread.store(false, Relaxed);
            self.go_home(engine);
        }
    }

    /// How busy each worker has been, in percent.
    fn look(&mut self, engine: &Engine, passed_ns: u64) -> Vec<u64> {
        let mut busy = Vec::with_capacity(self.seen.len());
        for (worker, (way, seen)) in self.workers.ways.iter().zip(&mut self.seen).enumerate() {
            let mut now = Seen { reads: engine.node.stats.worker(worker).reads.get(), ..*seen };
            if let Some(pulse) = way.pulse.get() {
                now.cpu_ns = pulse.clock.nanos();
                now.busy_ns = pulse.runtime.worker_total_busy_duration(0).as_nanos() as u64;
            }
            let cpu = 100 * now.cpu_ns.saturating_sub(seen.cpu_ns) / passed_ns;
            let turns = 100 * now.busy_ns.saturating_sub(seen.busy_ns) / passed_ns;
            busy.push(if cpu < AT_WORK { cpu } else { cpu.max(turns) });
            if worker == 0 {
                // It has clients, works, and has not come to the end of a turn.
                let in_one_turn = cpu >= AT_WORK && now.reads == seen.reads && now.busy_ns == seen.busy_ns;
                self.workers.stuck.store(in_one_turn && way.load.load(Relaxed) > 0, Relaxed);
            }
            *seen = now;
        }
        busy
    }

    /// The busiest worker shares with the idlest, the next with the next, as far as that evens anything out.
    fn even_out(&self, engine: &Engine, busy: &[u64], since_ms: u64) {
        let mut order: Vec<usize> = (0..busy.len()).collect();
        order.sort_unstable_by_key(|worker| busy[*worker]);
        for pair in 0..order.len() / 2 {
            let (idle, worked) = (order[pair], order[order.len() - 1 - pair]);
            if busy[worked] < BUSY || busy[idle] > busy[worked] / 2 {
                return;
            }
            let at_work =
                movable(engine, |client| client.worker() == worked && client.last_ms.load(Relaxed) >= since_ms);
            let share = at_work.len() as u64 * (busy[worked] - busy[idle]) / (2 * busy[worked]);
            // One that has a worker for itself has nothing to gain.
            let share = if at_work.len() < 2 { 0 } else { share.max(1) };
            if share > 0 {
                self.workers.spread.store(true, Relaxed);
            }
            at_work.iter().take(share as usize).for_each(|client| client.send_to(idle));
        }
    }

    fn go_home(&self, engine: &Engine) {
        if self.workers.ways[1..].iter().any(|way| way.load.load(Relaxed) > 0) {
            let abroad = movable(engine, |client| client.worker() != 0);
            abroad.iter().take(HOMEWARD_MAX).for_each(|client| client.send_to(0));
        }
    }
}

/// The clients of which this is true and which can move.
fn movable(engine: &Engine, is: impl Fn(&Client) -> bool) -> Vec<Arc<Client>> {
    let kept = Marks::PINNED | Marks::BLOCKED | Marks::FROZEN | Marks::KILLED;
    engine.node.clients.those(|client| !client.marks.any(kept) && is(client))
}
