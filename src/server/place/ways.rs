//! The ways to workers: how a connection gets to the one that it is to live on.

use crate::base::system::{ThreadClock, ThreadWaits};
use crate::client::{Client, Peer};
use crate::engine::Engine;
use crate::server::conn::Conn;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::{mpsc, watch};

/// A connected socket that belongs to no runtime.
pub(in crate::server) enum Socket {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// A connection on its way to its worker.
pub(in crate::server) enum Handed {
    /// It has just been accepted.
    New(Socket, Arc<Client>),
    /// It comes from another worker.
    Moved(Box<Conn<Socket>>),
}

/// A socket in a runtime, which it can leave.
pub(in crate::server) trait Stream: AsyncRead + AsyncWrite + Unpin + Sized {
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
    waits: Option<ThreadWaits>,
    runtime: RuntimeMetrics,
}

/// The ways to all workers.
pub(in crate::server) struct Workers {
    ways: Vec<Way>,
    /// Connections live on all workers, not on the first only.
    spread: AtomicBool,
    /// The first worker has been in one command for long.
    stuck: watch::Sender<bool>,
}

/// What a worker takes connections from.
pub(in crate::server) type Arrivals = mpsc::UnboundedReceiver<Handed>;

impl Workers {
    /// Ways to so many workers, and their ends.
    pub(in crate::server) fn new(count: usize) -> (Arc<Workers>, Vec<Arrivals>) {
        let (ways, arrivals) = (0..count)
            .map(|_| {
                let (hand, arrivals) = mpsc::unbounded_channel();
                (Way { hand, load: AtomicUsize::new(0), pulse: OnceLock::new() }, arrivals)
            })
            .unzip();
        let workers = Workers { ways, spread: AtomicBool::new(false), stuck: watch::Sender::new(false) };
        (Arc::new(workers), arrivals)
    }

    /// The calling thread is this worker, and this is its runtime.
    pub(in crate::server) fn begin(&self, worker: usize, runtime: &Handle) {
        if let Some(clock) = ThreadClock::of_this_thread() {
            // A worker begins once.
            let waits = ThreadWaits::of_this_thread();
            let _ = self.ways[worker].pulse.set(Pulse { clock, waits, runtime: runtime.metrics() });
        }
    }

    /// A new connection goes to the worker that it is to live on. It counts as a client from now on, so that no more come
    /// than may (`maxclients`).
    pub(in crate::server) fn place(&self, engine: &Engine, socket: Socket, peer: Peer) {
        let choice = match (*self.stuck.borrow(), self.spread.load(Relaxed)) {
            (true, _) => 1..self.count(),
            (false, true) => 0..self.count(),
            (false, false) => 0..1,
        };
        let worker = choice.min_by_key(|worker| self.load(*worker)).unwrap_or(0);
        let now_ms = engine.node.clock.monotonic_us() / 1000;
        self.hand(worker, Handed::New(socket, engine.node.clients.add(worker, peer, now_ms)));
    }

    /// A connection goes to the worker that it is to move to.
    pub(in crate::server) fn pass_on<S: Stream>(&self, conn: Conn<S>) {
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

    /// How many workers there are.
    pub(in crate::server) fn count(&self) -> usize {
        self.ways.len()
    }

    /// Connections that live on this worker or are on their way there.
    pub(in crate::server) fn load(&self, worker: usize) -> usize {
        self.ways[worker].load.load(Relaxed)
    }

    /// CPU time of this worker, how long its turns took, and how long it had no core when it wanted one, in nanoseconds;
    /// nothing before it has begun.
    pub(in crate::server) fn work_ns(&self, worker: usize) -> Option<[u64; 3]> {
        let pulse = self.ways[worker].pulse.get()?;
        let turns = pulse.runtime.worker_total_busy_duration(0).as_nanos() as u64;
        Some([pulse.clock.nanos(), turns, pulse.waits.as_ref().map_or(0, ThreadWaits::nanos)])
    }

    /// New connections go to all workers from now on, or to the first.
    pub(in crate::server) fn set_spread(&self, spread: bool) {
        self.spread.store(spread, Relaxed);
    }

    /// The first worker has been in one command for long, or no more.
    pub(in crate::server) fn set_stuck(&self, stuck: bool) {
        self.stuck.send_if_modified(|was| std::mem::replace(was, stuck) != stuck);
    }

    /// Tells when that changes.
    pub(in crate::server) fn watch_stuck(&self) -> watch::Receiver<bool> {
        self.stuck.subscribe()
    }

    /// A worker has one connection less.
    pub(in crate::server) fn left(&self, worker: usize) {
        self.ways[worker].load.fetch_sub(1, Relaxed);
    }

    fn hand(&self, worker: usize, handed: Handed) {
        let way = &self.ways[worker];
        way.load.fetch_add(1, Relaxed);
        // A worker that is gone is stopping, and so is the server.
        let _ = way.hand.send(handed);
    }
}
