//! Accepting: from a socket that listens to a worker. What is accepted is registered with a runtime only on its worker.

#![allow(unsafe_code)] // registering a socket has no safe form; going without saves two system calls per connection

use super::listen;
use super::place::{Socket, Workers};
use super::start::reason;
use crate::client::Peer;
use crate::config::Config;
use crate::engine::Engine;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A socket that listens.
pub(super) enum Listener {
    /// For TCP.
    Tcp(TcpListener),
    /// For a Unix socket.
    Unix(UnixListener),
}

/// Begins to accept on a listener at this runtime, beside others that do.
pub(super) fn begin(
    home: &Handle,
    engine: Arc<Engine>,
    listener: &Listener,
    workers: Arc<Workers>,
) -> io::Result<JoinHandle<()>> {
    Ok(match listener {
        Listener::Tcp(listener) => home.spawn(accept_tcp(engine, watched(home, listener.try_clone()?)?, workers)),
        Listener::Unix(listener) => home.spawn(accept_unix(engine, watched(home, listener.try_clone()?)?, workers)),
    })
}

/// A listener that can be waited for at this runtime.
fn watched<L: Owned>(home: &Handle, listener: L) -> io::Result<AsyncFd<L>> {
    let _at_home = home.enter();
    // SAFETY: a listener of the standard library owns its one open socket until it is dropped, which is when the `AsyncFd`
    // drops it, after the socket has left the runtime.
    unsafe { AsyncFd::register(listener) }.map_err(io::Error::from)
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

/// Seconds without a word after which a peer is probed; 0 for never.
pub(super) fn keepalive_s(config: &Config) -> u64 {
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
