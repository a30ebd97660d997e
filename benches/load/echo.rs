//! The floor: a bare tokio server, one current-thread runtime, one task per connection, no parsing and no table.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Options;

/// Serves for ever: for each `--request` bytes that arrive, `--reply` bytes go back.
pub fn serve(options: &Options) {
    let request = options.number("request", 36) as usize;
    let reply = options.number("reply", 71) as usize;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let port = options.number("port", 0) as u16;
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        while let Ok((socket, _)) = listener.accept().await {
            tokio::task::spawn_local(answer(socket, request, reply));
        }
    });
}

async fn answer(mut socket: TcpStream, request: usize, reply: usize) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let replies = vec![b'x'; reply * 4096];
    let mut buffer = vec![0; 16 * 1024];
    let mut pending = 0;
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            count => pending += count,
        }
        let complete = pending / request;
        pending %= request;
        socket.write_all(&replies[..complete * reply]).await?;
    }
}
