//! Run and graceful stop.
//!
//! The main thread waits for signals and ticks, and accepts connections while the first worker, which does that as a rule,
//! is stuck. Each of N workers is a thread with its own current-thread runtime; a connection lives on one of them at a time
//! (`place`).

pub mod accept;
mod ahead;
pub mod banner;
pub mod conn;
pub mod control;
pub mod cron;
mod desk;
pub mod listen;
pub mod listening;
pub mod log;
mod migrate;
mod place;
mod postman;
pub mod process;
pub mod settings;
pub mod signal;
pub mod start;
pub mod users;

use crate::acl::file::Declared;
use crate::base::time::Clock;
use crate::command::CommandTable;
use crate::config::Config;
use crate::engine::Engine;
use crate::node::Node;
use accept::Listener;
use conn::{Conn, End};
use cron::Sweeper;
use listening::Listening;
use parking_lot::Mutex;
use place::{Arrivals, Balance, Handed, Socket, Stream, Workers};
use settings::Settings;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// Runs a server to its end.
///
/// # Errors
/// The text for the log of why it could not start.
pub fn run(config: Arc<Config>, renames: &[(Vec<u8>, Vec<u8>)], declared: &[Declared]) -> Result<(), String> {
    let commands = CommandTable::new(renames).map_err(str::to_string)?;
    let node = Node::new(config, Clock::real(), commands.all().len()).map_err(|e| e.to_string())?;
    let engine = Arc::new(Engine { node, commands });
    engine.adopt_config();
    users::load(&engine, declared)?;
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
    let tcp = listening::bind_tcp(&config)?;
    let unix = listening::bind_unix(&config)?;
    if tcp.is_empty() && unix.is_none() {
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    let count = config.workers();
    let sweepers: Arc<[Sweeper]> = (0..count).map(|index| Sweeper::new(&engine, index, count)).collect();
    let (mut threads, mut started) = (Vec::new(), Vec::new());
    let (workers, arrivals) = Workers::new(count);
    for (index, arrivals) in arrivals.into_iter().enumerate() {
        let (starting, start) = oneshot::channel();
        started.push(start);
        let (engine, workers, sweepers) = (engine.clone(), workers.clone(), sweepers.clone());
        let (stop, stopping) = (stop.clone(), stopping.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run_worker(engine, index, starting, workers, arrivals, stop, stopping, sweepers))
            .map_err(|e| format!("Can't start a worker: {e}"))?;
        threads.push(thread);
    }
    if !tcp.is_empty() {
        tracing::info!("Ready to accept connections tcp");
    }
    if unix.is_some() {
        tracing::info!("Ready to accept connections unix");
    }
    start::tell_ready(&config);
    let home = started.swap_remove(0).await.map_err(|_| "Can't start a worker")?;
    let mut listening = Listening::new(&engine, workers.clone(), home);
    listening.accept(tcp.into_iter().map(Listener::Tcp).chain(unix.map(Listener::Unix)))?;
    let listening = Arc::new(Mutex::new(listening));
    tokio::spawn(listening::stand_in_when_stuck(listening.clone(), workers.clone()));
    engine.node.stats.startup_bytes.store(crate::base::alloc::used_memory() as u64, Relaxed);
    // Set once; nobody was here before.
    let _ = engine.node.settings.set(Box::new(Settings::new(&engine, listening.clone())));
    let cron = tokio::spawn(cron::tick(engine.clone(), sweepers, Balance::new(workers)));
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
    listening.lock().close();
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

/// A worker looks for new events, and for tasks that other threads have woken, after so many turns of its connections,
/// however many are still ready: more than the runtime's own 61, because a connection may take two turns for one request.
const POLLS_PER_LOOK: u32 = 256;

/// One worker: its connections and the sweep of its shards.
#[allow(clippy::too_many_arguments)]
fn run_worker(
    engine: Arc<Engine>,
    index: usize,
    starting: oneshot::Sender<Handle>,
    workers: Arc<Workers>,
    arrivals: Arrivals,
    stop: Arc<watch::Sender<bool>>,
    mut stopping: watch::Receiver<bool>,
    sweepers: Arc<[Sweeper]>,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.event_interval(POLLS_PER_LOOK).global_queue_interval(POLLS_PER_LOOK).enable_all();
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!("Can't start a worker's runtime: {e}");
            let _ = stop.send(true);
            return;
        }
    };
    // Nobody listens to it unless this is the only worker.
    let _ = starting.send(runtime.handle().clone());
    crate::base::alloc::settle_arena();
    desk::warm_up();
    workers.begin(index, runtime.handle());
    // The process ends with its workers. A connection that holds a late script borrows from the engine across its awaits,
    // which only a borrow for ever allows; it also saves the workers a fight for one counter of references.
    let lasting: &'static Engine = Box::leak(Box::new(engine.clone()));
    runtime.block_on(async {
        tokio::spawn(async move { sweepers[index].run(lasting).await });
        tokio::spawn(postman::run(lasting, index));
        tokio::spawn(take_in(lasting, index, arrivals, stop, workers));
        // An error means that the server is gone.
        let _ = stopping.wait_for(|s| *s).await;
    });
}

/// Lets the connections that come live on this worker.
///
/// The kernel lists a socket as ready as soon as it is registered, because it can be written to, and so before others that
/// are sent something while the worker runs commands. Therefore this is a task like others and not what the runtime blocks
/// on: woken by another thread, it runs when those at hand have run, and the list is looked at next.
async fn take_in(
    engine: &'static Engine,
    index: usize,
    mut arrivals: Arrivals,
    stop: Arc<watch::Sender<bool>>,
    workers: Arc<Workers>,
) {
    while let Some(handed) = arrivals.recv().await {
        let conn = match handed {
            Handed::New(socket, client) => {
                engine.node.stats.worker(index).connections.add(1);
                Box::new(Conn::new(engine, socket, client))
            }
            Handed::Moved(conn) => conn,
        };
        let (conn, socket) = conn.with_stream(());
        match socket {
            Socket::Tcp(socket) => welcome(conn, tokio::net::TcpStream::from_std(socket), &stop, &workers),
            Socket::Unix(socket) => welcome(conn, tokio::net::UnixStream::from_std(socket), &stop, &workers),
        }
    }
}

/// A connection begins to live on this worker, if its runtime takes the socket.
fn welcome<S: Stream + Send + 'static>(
    conn: Conn<()>,
    stream: io::Result<S>,
    stop: &Arc<watch::Sender<bool>>,
    workers: &Arc<Workers>,
) {
    match stream {
        Ok(stream) => {
            tokio::spawn(live(Box::new(conn.with_stream(stream).0), stop.clone(), workers.clone()));
        }
        Err(_) => {
            workers.left(conn.client().worker());
            conn.abandon();
        }
    }
}

/// A connection's life on its worker.
///
/// A task is as big as everything that may stand in it at once, for as long as it lives: the connection is in a box and
/// is only borrowed by what runs in it, and what is rarely waited for is boxed as well.
async fn live<S: Stream>(mut conn: Box<Conn<S>>, stop: Arc<watch::Sender<bool>>, workers: Arc<Workers>) {
    match conn.run().await {
        End::Closed => workers.left(conn.client().worker()),
        End::Moving => workers.pass_on(*conn),
        End::Stop => {
            // The main thread listens until the end.
            let _ = stop.send(true);
            // Who asked for the end sees it when nobody can connect any more: the connection ends with the process.
            std::mem::forget(conn);
        }
    }
}
