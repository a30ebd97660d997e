//! Latency of SET while the table grows from nothing: a rehash would show as a spike of p99.9.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Options;
use crate::mix::name_of;
use crate::support::client::request;
use crate::target::{Target, names};

/// Windows into which the growth is cut.
const WINDOWS: u64 = 20;

/// Prints p50, p99, p99.9 and the maximum of each window, for each server.
pub fn run(options: &Options) {
    let keys = options.number("keys", 5_000_000);
    let connections = options.number("connections", 8);
    println!(
        "SET of new keys at pipeline 1 over {connections} connections, latency in us by windows of {} keys",
        keys / WINDOWS
    );
    for name in names(options, "larder,redis") {
        let target = Target::start(&name, &[]);
        let windows = grow(&target, keys, connections);
        println!("\n| {name}: keys | p50 | p99 | p99.9 | max |\n|--:|--:|--:|--:|--:|");
        for (number, mut window) in windows.into_iter().enumerate() {
            window.sort_unstable();
            let at = |share: f64| window[((window.len() - 1) as f64 * share) as usize] as f64 / 1e3;
            let until = (number as u64 + 1) * (keys / WINDOWS);
            println!("| {until} | {:.0} | {:.0} | {:.0} | {:.0} |", at(0.5), at(0.99), at(0.999), at(1.0));
        }
    }
}

#[derive(Default)]
struct Progress {
    next: u64,
    keys: u64,
    /// Latencies in nanoseconds, by window.
    windows: Vec<Vec<u32>>,
}

fn grow(target: &Target, keys: u64, connections: u64) -> Vec<Vec<u32>> {
    let windows = (0..WINDOWS).map(|_| Vec::with_capacity((keys / WINDOWS) as usize + 1)).collect();
    let progress = Rc::new(RefCell::new(Progress { next: 0, keys, windows }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let socket = TcpStream::connect(("127.0.0.1", target.port)).await.expect("the server accepts");
            socket.set_nodelay(true).expect("an option of the socket");
            tasks.push(tokio::task::spawn_local(store(socket, Rc::clone(&progress))));
        }
        for task in tasks {
            task.await.expect("the load does not panic").expect("the server answers");
        }
    });
    progress.take().windows
}

async fn store(mut socket: TcpStream, progress: Rc<RefCell<Progress>>) -> std::io::Result<()> {
    let value = [b'v'; 8];
    let mut reply = [0; 5];
    loop {
        let index = progress.borrow().next;
        if index >= progress.borrow().keys {
            return Ok(());
        }
        progress.borrow_mut().next += 1;
        let start = Instant::now();
        socket.write_all(&request(&[&b"SET"[..], &name_of(index), &value])).await?;
        socket.read_exact(&mut reply).await?;
        let latency = start.elapsed().as_nanos().min(u128::from(u32::MAX)) as u32;
        let mut progress = progress.borrow_mut();
        let window = (index * WINDOWS / progress.keys) as usize;
        progress.windows[window].push(latency);
    }
}
