//! TCP and Unix listeners, and what is decided about a connection before its first byte.
//!
//! What every TCP connection is to have (no delay, keep-alive) is set on the listener: connections inherit it when they are
//! accepted, which saves a system call for each of it.

use crate::client::Peer;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// Binds one address of the `bind` directive. `*` is every IPv4 address, `::*` every IPv6 address.
///
/// # Errors
/// The address is no address, or cannot be bound.
pub fn bind(address: &str, port: u16, backlog: i32, keepalive_s: u64) -> io::Result<std::net::TcpListener> {
    let ip: IpAddr = match address {
        "*" => IpAddr::from([0, 0, 0, 0]),
        "::*" => IpAddr::from([0u16; 8]),
        name => resolve(name)?,
    };
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    keep_alive(SockRef::from(&socket), keepalive_s)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn resolve(name: &str) -> io::Result<IpAddr> {
    if let Ok(ip) = name.parse() {
        return Ok(ip);
    }
    use std::net::ToSocketAddrs;
    let mut found = (name, 0).to_socket_addrs()?;
    found.next().map(|a| a.ip()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// Binds a Unix socket; an old socket file at the path is replaced. `mode` 0 leaves the mode to the umask.
///
/// # Errors
/// The path cannot be bound.
pub fn bind_unix(path: &Path, mode: u32, backlog: i32) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(socket.into())
}

/// Looks for a dead peer after so many idle seconds (0: never). A listener's setting is that of what it accepts from then
/// on.
pub fn keep_alive(socket: SockRef<'_>, seconds: u64) -> io::Result<()> {
    if seconds == 0 {
        return socket.set_keepalive(false);
    }
    let probes = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(seconds))
        .with_interval(Duration::from_secs((seconds / 3).max(1)))
        .with_retries(3);
    socket.set_tcp_keepalive(&probes)
}

/// What is known of an accepted TCP connection.
pub fn peer_of(stream: &std::net::TcpStream, peer: SocketAddr) -> io::Result<Peer> {
    Ok(Peer { addr: peer.to_string(), laddr: stream.local_addr()?.to_string(), fd: stream.as_raw_fd(), unix: false })
}

/// Whether the peer may be refused by protected mode: it is neither local nor on a Unix socket.
pub fn is_remote(peer: SocketAddr) -> bool {
    match peer.ip() {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())),
    }
}

/// What a remote client is told by protected mode.
pub const DENIED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";

/// What a client too many is told.
pub const TOO_MANY: &str = "-ERR max number of clients reached\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is set on an accepted connection itself, so this is what it has.
    #[test]
    fn connections_inherit_from_their_listener() {
        let listener = bind("127.0.0.1", 0, 16, 300).expect("a free port");
        let accept = || {
            let _client = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a listener");
            loop {
                match listener.accept() {
                    Ok((stream, _)) => return stream,
                    Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
                }
            }
        };
        let stream = accept();
        assert!(stream.nodelay().expect("an option"));
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), Duration::from_secs(300));
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), Duration::from_secs(100));
        keep_alive(SockRef::from(&listener), 0).expect("an option");
        assert!(!SockRef::from(&accept()).keepalive().expect("an option"));
    }
}
