//! Listening and accepting: from a socket to the worker with the fewest connections.
//!
//! Listeners live on the main thread's runtime, one task each. `CONFIG SET port` and `bind` renew them: the old ones are
//! closed first, because the new addresses may overlap with theirs.

use super::listen;
use crate::client::Peer;
use crate::config::Config;
use crate::engine::Engine;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A connection on its way to its worker.
pub(super) enum Handed {
    /// Over TCP.
    Tcp(std::net::TcpStream, Peer),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream, Peer),
}

/// The way to one worker.
pub(super) struct Worker {
    /// Takes connections.
    pub(super) hand: mpsc::UnboundedSender<Handed>,
    /// How many it has.
    pub(super) load: Arc<AtomicUsize>,
}

/// What the server listens on.
pub(super) struct Listening {
    engine: Weak<Engine>,
    workers: Arc<Vec<Worker>>,
    tcp: Vec<JoinHandle<()>>,
}

impl Listening {
    /// Nothing yet.
    pub(super) fn new(engine: &Arc<Engine>, workers: Vec<Worker>) -> Listening {
        Listening { engine: Arc::downgrade(engine), workers: Arc::new(workers), tcp: Vec::new() }
    }

    /// Accepts on these, from now on.
    pub(super) fn accept_tcp(&mut self, listeners: Vec<tokio::net::TcpListener>) {
        let Some(engine) = self.engine.upgrade() else { return };
        for listener in listeners {
            self.tcp.push(tokio::spawn(accept_tcp(engine.clone(), listener, self.workers.clone())));
        }
    }

    /// Accepts on the Unix socket to the end.
    pub(super) fn accept_unix(&mut self, listener: tokio::net::UnixListener) {
        if let Some(engine) = self.engine.upgrade() {
            tokio::spawn(accept_unix(engine, listener, self.workers.clone()));
        }
    }

    /// Closes the TCP listeners and opens those that the configuration names now.
    pub(super) async fn renew(&mut self) -> Result<(), String> {
        for task in self.tcp.drain(..) {
            task.abort();
            // It ends by being aborted, which is what is wanted; then its socket is closed.
            let _ = task.await;
        }
        let Some(engine) = self.engine.upgrade() else { return Ok(()) };
        let listeners = bind_tcp(&engine.node.config)?;
        self.accept_tcp(listeners);
        Ok(())
    }
}

/// Opens a listener for each address of `bind`; none without a port.
pub(super) fn bind_tcp(config: &Config) -> Result<Vec<tokio::net::TcpListener>, String> {
    let backlog = config.tcp_backlog.get() as i32;
    let port = config.port.get() as u16;
    let mut listeners = Vec::new();
    for address in config.bind.get().iter().filter(|_| port != 0) {
        let text = String::from_utf8_lossy(address);
        let (optional, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, &*text),
        };
        match listen::bind(name, port, backlog).and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => listeners.push(listener),
            // The default binds every family the machine has.
            Err(e) if (optional || name == "::*") && is_absent(&e) => {}
            Err(e) => {
                tracing::warn!("Warning: Could not create server TCP listening socket {name}:{port}: {e}");
                return Err(format!("Failed listening on port {port} (tcp), aborting."));
            }
        }
    }
    Ok(listeners)
}

/// Opens the Unix socket, if one is named.
pub(super) fn bind_unix(config: &Config) -> Result<Option<tokio::net::UnixListener>, String> {
    let path = config.unixsocket.string();
    if path.is_empty() {
        return Ok(None);
    }
    let (mode, backlog) = (config.unixsocketperm.get() as u32, config.tcp_backlog.get() as i32);
    let bound = listen::bind_unix(path.as_ref(), mode, backlog).and_then(tokio::net::UnixListener::from_std);
    bound.map(Some).map_err(|e| format!("Failed opening Unix socket: bind: {e}"))
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
    } else if remote && node.config.protected_mode.get() && node.acl.default_user().no_pass {
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
