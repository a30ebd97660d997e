//! Run and graceful stop.
//!
//! The main thread accepts connections, waits for signals and ticks. Each of N workers is a thread with its own
//! current-thread runtime; a connection is handed to the worker with the fewest and lives there for life.

pub mod banner;
pub mod conn;
pub mod control;
pub mod cron;
pub mod listen;
pub mod log;
pub mod process;
pub mod signal;
pub mod start;

use crate::base::time::Clock;
use crate::client::Peer;
use crate::command::CommandTable;
use crate::config::Config;
use crate::engine::Engine;
use crate::node::Node;
use conn::Conn;
use std::io;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

/// A connection on its way to its worker.
enum Handed {
    Tcp(std::net::TcpStream, Peer),
    Unix(std::os::unix::net::UnixStream, Peer),
}

/// The way to one worker.
struct Worker {
    hand: mpsc::UnboundedSender<Handed>,
    load: Arc<AtomicUsize>,
}

/// Runs a server to its end.
///
/// # Errors
/// The text for the log of why it could not start.
pub fn run(config: Arc<Config>, renames: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    let commands = CommandTable::new(renames).map_err(str::to_string)?;
    let node = Node::new(config, Clock::real(), commands.all().len()).map_err(|e| e.to_string())?;
    let engine = Arc::new(Engine { node, commands });
    engine.adopt_config();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("Can't start the runtime: {e}"))?;
    runtime.block_on(serve(engine))
}

async fn serve(engine: Arc<Engine>) -> Result<(), String> {
    let config = engine.node.config.clone();
    tracing::info!("Server initialized");
    let (stop, stopping) = watch::channel(false);
    let stop = Arc::new(stop);
    let (listeners, unix) = bind_all(&config)?;
    let count = config.workers();
    let mut threads = Vec::new();
    let mut workers = Vec::new();
    for index in 0..count {
        let (hand, handed) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        workers.push(Worker { hand, load: load.clone() });
        let (engine, stop, stopping) = (engine.clone(), stop.clone(), stopping.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run_worker(engine, index, count, handed, load, stop, stopping))
            .map_err(|e| format!("Can't start a worker: {e}"))?;
        threads.push(thread);
    }
    for (listener, _) in &listeners {
        let _ = listener;
    }
    if !listeners.is_empty() {
        tracing::info!("Ready to accept connections tcp");
    }
    if unix.is_some() {
        tracing::info!("Ready to accept connections unix");
    }
    start::tell_ready(&config);
    let workers = Arc::new(workers);
    for (listener, _) in listeners {
        tokio::spawn(accept_tcp(engine.clone(), listener, workers.clone()));
    }
    if let Some(listener) = unix {
        tokio::spawn(accept_unix(engine.clone(), listener, workers.clone()));
    }
    let cron = tokio::spawn(cron::tick(engine.clone()));
    let mut stopping = stopping;
    tokio::select! {
        signal = signal::stop() => {
            match signal.map_err(|e| e.to_string())? {
                signal::Stop::Term => tracing::warn!("Received SIGTERM scheduling shutdown..."),
                signal::Stop::Int => tracing::warn!("Received SIGINT scheduling shutdown..."),
            }
            // Every worker listens; there is nobody left to tell only when all are gone.
            let _ = stop.send(true);
        }
        _ = stopping.wait_for(|s| *s) => {}
    }
    cron.abort();
    tracing::warn!("User requested shutdown...");
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("A worker ended by a panic");
        }
    }
    let path = config.unixsocket.string();
    if !path.is_empty() {
        // The file may be gone already.
        let _ = std::fs::remove_file(path);
    }
    tracing::warn!("Redis is now ready to exit, bye bye...");
    Ok(())
}

type Bound = (Vec<(tokio::net::TcpListener, String)>, Option<tokio::net::UnixListener>);

fn bind_all(config: &Config) -> Result<Bound, String> {
    let backlog = config.tcp_backlog.get() as i32;
    let port = config.port.get() as u16;
    let mut listeners = Vec::new();
    if port != 0 {
        for address in config.bind.get().iter() {
            let text = String::from_utf8_lossy(address).into_owned();
            let (optional, name) = match text.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, text.as_str()),
            };
            match listen::bind(name, port, backlog).and_then(tokio::net::TcpListener::from_std) {
                Ok(listener) => listeners.push((listener, text)),
                // The default binds every family the machine has.
                Err(e) if (optional || name == "::*") && is_absent(&e) => {}
                Err(e) => {
                    tracing::warn!("Warning: Could not create server TCP listening socket {name}:{port}: {e}");
                    return Err(format!("Failed listening on port {port} (tcp), aborting."));
                }
            }
        }
        if listeners.is_empty() {
            return Err(format!("Failed listening on port {port} (tcp), aborting."));
        }
    }
    let path = config.unixsocket.string();
    let unix = match path.is_empty() {
        true => None,
        false => {
            let mode = config.unixsocketperm.get() as u32;
            let bound = listen::bind_unix(path.as_ref(), mode, backlog).and_then(tokio::net::UnixListener::from_std);
            Some(bound.map_err(|e| format!("Failed opening Unix socket: bind: {e}"))?)
        }
    };
    if listeners.is_empty() && unix.is_none() {
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    Ok((listeners, unix))
}

fn is_absent(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT)
    )
}

fn hand_over(workers: &[Worker], handed: Handed) {
    let Some(worker) = workers.iter().min_by_key(|w| w.load.load(Relaxed)) else { return };
    worker.load.fetch_add(1, Relaxed);
    // A worker that is gone is stopping, and so is the server.
    let _ = worker.hand.send(handed);
}

/// Whether one more client may come; otherwise it is told why not.
fn may_come(engine: &Engine, stream: &mut impl Write, remote: bool) -> bool {
    let node = &engine.node;
    let refusal = if node.clients.len() as i64 >= node.config.maxclients.get() {
        listen::TOO_MANY
    } else if remote && node.config.protected_mode.get() && node.acl.default_user().passwords.is_empty() {
        listen::DENIED
    } else {
        return true;
    };
    node.stats.rejected_connections.fetch_add(1, Relaxed);
    // The client may be gone already.
    let _ = stream.write_all(refusal.as_bytes());
    false
}

async fn accept_tcp(engine: Arc<Engine>, listener: tokio::net::TcpListener, workers: Arc<Vec<Worker>>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("Error accepting a client connection: {e}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let Ok(mut stream) = stream.into_std() else { continue };
        let keepalive_s = engine.node.config.tcp_keepalive.get().max(0) as u64;
        let Ok(peer) = listen::prepare(&stream, keepalive_s) else { continue };
        let remote = listen::is_remote(&stream);
        if may_come(&engine, &mut stream, remote) {
            hand_over(&workers, Handed::Tcp(stream, peer));
        }
    }
}

async fn accept_unix(engine: Arc<Engine>, listener: tokio::net::UnixListener, workers: Arc<Vec<Worker>>) {
    let path = engine.node.config.unixsocket.string();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let Ok(mut stream) = stream.into_std() else { continue };
        let addr = format!("{path}:0");
        let peer = Peer { addr: addr.clone(), laddr: addr, fd: stream.as_raw_fd(), unix: true };
        if may_come(&engine, &mut stream, false) {
            hand_over(&workers, Handed::Unix(stream, peer));
        }
    }
}

/// One worker: its connections and the sweep of its shards.
fn run_worker(
    engine: Arc<Engine>,
    index: usize,
    count: usize,
    mut handed: mpsc::UnboundedReceiver<Handed>,
    load: Arc<AtomicUsize>,
    stop: Arc<watch::Sender<bool>>,
    mut stopping: watch::Receiver<bool>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!("Can't start a worker's runtime: {e}");
            let _ = stop.send(true);
            return;
        }
    };
    let local = LocalSet::new();
    local.spawn_local(cron::sweep(engine.clone(), index, count));
    let accept = async {
        while let Some(connection) = handed.recv().await {
            let now_ms = engine.node.clock.monotonic_us() / 1000;
            engine.node.stats.worker(index).connections.add(1);
            let (engine, stop, load) = (engine.clone(), stop.clone(), load.clone());
            match connection {
                Handed::Tcp(stream, peer) => {
                    let client = engine.node.clients.add(index, peer, now_ms);
                    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
                    tokio::task::spawn_local(live(Conn::new(engine, stream, client), stop, load));
                }
                Handed::Unix(stream, peer) => {
                    let client = engine.node.clients.add(index, peer, now_ms);
                    let Ok(stream) = tokio::net::UnixStream::from_std(stream) else { continue };
                    tokio::task::spawn_local(live(Conn::new(engine, stream, client), stop, load));
                }
            }
        }
    };
    let stopped = async {
        // An error means that the server is gone.
        let _ = stopping.wait_for(|s| *s).await;
    };
    local.block_on(&runtime, async {
        tokio::select! {
            () = accept => {}
            () = stopped => {}
        }
    });
}

/// A connection's life on its worker.
async fn live<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    conn: Conn<S>,
    stop: Arc<watch::Sender<bool>>,
    load: Arc<AtomicUsize>,
) {
    let stops = conn.run().await;
    load.fetch_sub(1, Relaxed);
    if stops {
        // The main thread listens until the end.
        let _ = stop.send(true);
    }
}
