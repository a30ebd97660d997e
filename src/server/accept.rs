//! Listening and accepting: from a socket to a worker.
//!
//! Listeners live on the runtime of the first worker, one task each: as a rule it serves what they accept, and need not be
//! woken for it by another thread. While it is stuck in a long command the main thread accepts in its place. What is
//! accepted is registered with a runtime only on its worker. `CONFIG SET port` and `bind` renew the listeners: the old ones
//! stop first, because the new addresses may overlap with theirs.

#![allow(unsafe_code)] // registering a socket has no safe form; going without saves two system calls per connection

use super::listen;
use super::place::{Socket, Workers};
use super::start::reason;
use crate::client::Peer;
use crate::config::Config;
use crate::engine::Engine;
use parking_lot::Mutex;
use socket2::SockRef;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// What the server listens on.
pub(super) struct Listening {
    engine: Weak<Engine>,
    workers: Arc<Workers>,
    /// Where listeners live.
    home: Handle,
    doors: Vec<Door>,
}

/// A listener, and who accepts on it.
struct Door {
    listener: Listener,
    at_home: JoinHandle<()>,
    stand_in: Option<JoinHandle<()>>,
}

/// A socket that listens.
pub(super) enum Listener {
    /// For TCP.
    Tcp(TcpListener),
    /// For a Unix socket.
    Unix(UnixListener),
}

impl Listening {
    /// Nothing yet; listeners will live on this runtime.
    pub(super) fn new(engine: &Arc<Engine>, workers: Arc<Workers>, home: Handle) -> Listening {
        Listening { engine: Arc::downgrade(engine), workers, home, doors: Vec::new() }
    }

    /// Accepts on these, from now on.
    pub(super) fn accept(&mut self, listeners: impl IntoIterator<Item = Listener>) -> Result<(), String> {
        for listener in listeners {
            let at_home = self.accept_at(&self.home, &listener)?;
            self.doors.push(Door { listener, at_home, stand_in: None });
        }
        Ok(())
    }

    /// Begins to accept on a listener at this runtime, beside others that do.
    fn accept_at(&self, home: &Handle, listener: &Listener) -> Result<JoinHandle<()>, String> {
        let engine = self.engine.upgrade().ok_or("The server is stopping")?;
        let workers = self.workers.clone();
        let unable = |e| format!("Can't wait for connections: {e}");
        Ok(match listener {
            Listener::Tcp(listener) => {
                let listener = watched(home, listener.try_clone()).map_err(unable)?;
                home.spawn(accept_tcp(engine, listener, workers))
            }
            Listener::Unix(listener) => {
                let listener = watched(home, listener.try_clone()).map_err(unable)?;
                home.spawn(accept_unix(engine, listener, workers))
            }
        })
    }

    /// Accepts on the current runtime too, while the first worker is stuck.
    fn stand_in(&mut self, stuck: bool) {
        for at in 0..self.doors.len() {
            let begun = stuck.then(|| self.accept_at(&Handle::current(), &self.doors[at].listener));
            let begun = begun.and_then(|begun| begun.inspect_err(|why| tracing::warn!("{why}")).ok());
            if let Some(before) = std::mem::replace(&mut self.doors[at].stand_in, begun) {
                before.abort();
            }
        }
    }

    /// Stops the TCP listeners and opens those that the configuration names now. It waits for no worker: the one that
    /// listeners live on may be the one that asks for it.
    pub(super) fn renew(&mut self) -> Result<(), String> {
        let (tcp, unix) = self.doors.drain(..).partition(|door| matches!(door.listener, Listener::Tcp(_)));
        self.doors = unix;
        Vec::into_iter(tcp).for_each(Door::close);
        let Some(engine) = self.engine.upgrade() else { return Ok(()) };
        let listeners = bind_tcp(&engine.node.config)?;
        self.accept(listeners.into_iter().map(Listener::Tcp))
    }
}

impl Door {
    /// Nobody comes in any more, though the tasks that accept take a moment to end.
    fn close(self) {
        if let Listener::Tcp(listener) = &self.listener {
            // One that cannot be stopped is closed with the last of its tasks.
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        }
        self.at_home.abort();
        if let Some(stand_in) = self.stand_in {
            stand_in.abort();
        }
    }
}

/// Has the main thread accept whenever the first worker is stuck.
pub(super) async fn stand_in_when_stuck(listening: Arc<Mutex<Listening>>, workers: Arc<Workers>) {
    let mut stuck = workers.watch_stuck();
    while stuck.changed().await.is_ok() {
        let is_stuck = *stuck.borrow_and_update();
        listening.lock().stand_in(is_stuck);
    }
}

/// A listener that can be waited for at this runtime.
fn watched<L: Owned>(home: &Handle, listener: io::Result<L>) -> io::Result<AsyncFd<L>> {
    let listener = listener?;
    let _at_home = home.enter();
    // SAFETY: a listener of the standard library owns its one open socket until it is dropped, which is when the `AsyncFd`
    // drops it, after the socket has left the runtime.
    unsafe { AsyncFd::register(listener) }.map_err(io::Error::from)
}

/// Opens a listener for each address of `bind`; none without a port.
pub(super) fn bind_tcp(config: &Config) -> Result<Vec<TcpListener>, String> {
    let backlog = config.tcp_backlog.get() as i32;
    let port = config.port.get() as u16;
    let mut listeners = Vec::new();
    for address in config.bind.get().iter().filter(|_| port != 0) {
        let text = String::from_utf8_lossy(address);
        let (optional, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, &*text),
        };
        match listen::bind(name, port, backlog, keepalive_s(config)) {
            Ok(listener) => listeners.push(listener),
            // The default binds every family the machine has.
            Err(e) if (optional || name == "::*") && is_absent(&e) => {}
            Err(e) => {
                let why = reason(&e);
                tracing::warn!("Warning: Could not create server TCP listening socket {name}:{port}: bind: {why}");
                return Err(format!("Failed listening on port {port} (tcp), aborting."));
            }
        }
    }
    Ok(listeners)
}

/// Opens the Unix socket, if one is named.
pub(super) fn bind_unix(config: &Config) -> Result<Option<UnixListener>, String> {
    let path = config.unixsocket.string();
    if path.is_empty() {
        return Ok(None);
    }
    let (mode, backlog) = (config.unixsocketperm.get() as u32, config.tcp_backlog.get() as i32);
    let bound = listen::bind_unix(path.as_ref(), mode, backlog);
    bound.map(Some).map_err(|e| format!("Failed opening Unix socket: bind: {}", reason(&e)))
}

fn is_absent(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT)
    )
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

/// The listeners that own their socket.
trait Owned: AsRawFd {}
impl Owned for TcpListener {}
impl Owned for UnixListener {}

fn keepalive_s(config: &Config) -> u64 {
    config.tcp_keepalive.get().max(0) as u64
}

/// Waits for the next connection of a listener.
async fn next<L: AsRawFd, T>(listener: &AsyncFd<L>, accept: impl Fn(&L) -> io::Result<T>) -> io::Result<T> {
    loop {
        let mut ready = listener.readable().await?;
        if let Ok(accepted) = ready.try_io(|listener| accept(listener.get_ref())) {
            return accepted;
        }
    }
}

async fn accept_tcp(engine: Arc<Engine>, listener: AsyncFd<TcpListener>, workers: Arc<Workers>) {
    let mut inherited_s = keepalive_s(&engine.node.config);
    loop {
        let (mut stream, address) = match next(&listener, TcpListener::accept).await {
            Ok(accepted) => accepted,
            // It no longer listens.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return,
            Err(e) => {
                tracing::warn!("Error accepting a client connection: {}", reason(&e));
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let wanted_s = keepalive_s(&engine.node.config);
        if wanted_s != inherited_s {
            inherited_s = wanted_s;
            // A connection that is gone already fails when it is read.
            let _ = listen::keep_alive(listener.get_ref().into(), wanted_s);
            let _ = listen::keep_alive((&stream).into(), wanted_s);
        }
        let Ok(peer) = prepare_tcp(&stream, address) else { continue };
        tracing::debug!("Accepted {}", peer.addr);
        if may_come(&engine, &mut stream, listen::is_remote(address)) {
            workers.place(&engine, Socket::Tcp(stream), peer);
        }
    }
}

fn prepare_tcp(stream: &TcpStream, address: SocketAddr) -> io::Result<Peer> {
    stream.set_nonblocking(true)?;
    listen::peer_of(stream, address)
}

async fn accept_unix(engine: Arc<Engine>, listener: AsyncFd<UnixListener>, workers: Arc<Workers>) {
    let path = engine.node.config.unixsocket.string();
    loop {
        let accepted = next(&listener, UnixListener::accept).await;
        let accepted = accepted.and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream));
        let Ok(mut stream) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        tracing::debug!("Accepted connection to {path}");
        let addr = format!("{path}:0");
        let peer = Peer { addr: addr.clone(), laddr: addr, fd: stream.as_raw_fd(), unix: true };
        if may_come(&engine, &mut stream, false) {
            workers.place(&engine, Socket::Unix(stream), peer);
        }
    }
}
