//! The floor: a bare tokio server, a task per connection, no parsing and no table. It has as many threads as it is told
//! to, each a current-thread runtime; connections go to one after another and stay there.

use std::net::TcpStream;
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::Options;

/// Bytes of a request and of its reply.
type Sizes = (usize, usize);

/// Serves for ever: for each `--request` bytes that arrive, `--reply` bytes go back.
pub fn serve(options: &Options) {
    let sizes = (options.number("request", 36) as usize, options.number("reply", 71) as usize);
    let port = options.number("port", 0) as u16;
    let others: Vec<_> = (1..options.number("threads", 1)).map(|_| start(sizes)).collect();
    on_this_thread(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        for turn in (0..=others.len()).cycle() {
            let Ok((socket, _)) = listener.accept().await else { return };
            match others.get(turn) {
                None => drop(spawn_local(answer(socket, sizes))),
                Some(thread) => {
                    let socket = socket.into_std().expect("it leaves this runtime");
                    thread.send(socket).expect("threads serve for ever");
                }
            }
        }
    });
}

/// A thread that serves what it is handed.
fn start(sizes: Sizes) -> mpsc::UnboundedSender<TcpStream> {
    let (hand, mut arrivals) = mpsc::unbounded_channel();
    thread::spawn(move || {
        on_this_thread(async {
            while let Some(socket) = arrivals.recv().await {
                let socket = tokio::net::TcpStream::from_std(socket).expect("it enters this runtime");
                spawn_local(answer(socket, sizes));
            }
        });
    });
    hand
}

fn on_this_thread(serve: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, serve);
}

async fn answer(mut socket: tokio::net::TcpStream, (request, reply): Sizes) -> std::io::Result<()> {
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
