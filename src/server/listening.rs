//! What the server listens on, and who accepts there.
//!
//! Listeners live on the runtime of the first worker, one task each: as a rule it serves what they accept, and need not be
//! woken for it by another thread. While it is stuck in a long command the main thread accepts in its place. `CONFIG SET
//! port` and `bind` renew the listeners: the old ones stop first, because the new addresses may overlap with theirs.

use super::accept::{self, Listener};
use super::listen;
use super::place::Workers;
use super::start::reason;
use crate::config::Config;
use crate::engine::Engine;
use parking_lot::Mutex;
use socket2::SockRef;
use std::io;
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Weak};
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
        let begun = accept::begin(home, engine, listener, self.workers.clone());
        begun.map_err(|e| format!("Can't wait for connections: {e}"))
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

    /// Stops all listeners: the server ends. When a process ends, the system closes what it has open in any order.
    pub(super) fn close(&mut self) {
        self.doors.drain(..).for_each(Door::close);
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
        match listen::bind(name, port, backlog, accept::keepalive_s(config)) {
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
