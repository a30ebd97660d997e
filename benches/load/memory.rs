//! Bytes per key and per idle connection: what the server counts, and what the kernel sees.

use std::time::Duration;

use crate::Options;
use crate::mix::{collection, name_of};
use crate::support::client::request;
use crate::target::{Target, fill, names};

/// A kind of data set: its name, the bytes of payload per key, and the request that stores one.
struct Shape {
    name: &'static str,
    /// Bytes of keys and values that a user stored, per key; 0 where only the total is of interest.
    payload: u64,
    /// Keys per `--keys`: collections are fewer.
    share: u64,
    store: fn(u64) -> Vec<u8>,
}

const SHAPES: &[Shape] = &[
    Shape { name: "small", payload: 24, share: 1, store: |index| set(index, 8, None) },
    Shape { name: "ttl", payload: 24, share: 1, store: |index| set(index, 8, Some(1_000_000 + index % 1_000_000)) },
    Shape { name: "large", payload: 216, share: 1, store: |index| set(index, 200, None) },
    Shape {
        name: "int",
        payload: 24,
        share: 1,
        store: |index| request(&[&b"SET"[..], &name_of(index), format!("{:08}", 10_000_000 + index).as_bytes()]),
    },
    Shape { name: "hash10", payload: 0, share: 5, store: |index| collection("HSET", "h:", index, true) },
    Shape { name: "list10", payload: 0, share: 5, store: |index| collection("RPUSH", "l:", index, false) },
    Shape { name: "set10", payload: 0, share: 5, store: |index| collection("SADD", "s:", index, false) },
    Shape { name: "zset10", payload: 0, share: 5, store: |index| collection("ZADD", "z:", index, true) },
    Shape {
        name: "bighash",
        payload: 0,
        share: 5,
        store: |index| request(&[&b"HSET"[..], b"big", &name_of(index), b"valueval"]),
    },
    Shape { name: "bigset", payload: 0, share: 5, store: |index| request(&[&b"SADD"[..], b"big", &name_of(index)]) },
    Shape {
        name: "bigints",
        payload: 0,
        share: 5,
        store: |index| request(&[&b"SADD"[..], b"big", (index * 7919).to_string().as_bytes()]),
    },
    Shape {
        name: "bigzset",
        payload: 0,
        share: 5,
        store: |index| request(&[&b"ZADD"[..], b"big", index.to_string().as_bytes(), &name_of(index)]),
    },
];

fn set(index: u64, value_bytes: usize, seconds: Option<u64>) -> Vec<u8> {
    let value = vec![b'v'; value_bytes];
    match seconds {
        None => request(&[&b"SET"[..], &name_of(index), &value]),
        Some(seconds) => request(&[&b"SET"[..], &name_of(index), &value, b"EX", seconds.to_string().as_bytes()]),
    }
}

/// Fills a fresh server with each shape and prints what a key takes beyond its payload.
pub fn run(options: &Options) {
    let keys = options.number("keys", 5_000_000);
    let names = names(options, "larder,redis");
    println!(
        "bytes per key beyond key and value (for collections: per key or element in all), by used_memory and by RSS\n"
    );
    println!(
        "| shape | keys |{}",
        names.iter().map(|name| format!(" {name} used | {name} RSS |")).collect::<String>() + " ratio |"
    );
    println!("|---|--:|{}--:|", "--:|--:|".repeat(names.len()));
    for wanted in options.list("shapes", "small,ttl,large") {
        let shape = SHAPES.iter().find(|shape| shape.name == wanted);
        let shape = shape.unwrap_or_else(|| panic!("no shape {wanted:?}"));
        let count = keys / shape.share;
        let costs: Vec<(f64, f64)> = names.iter().map(|name| cost(name, shape, count)).collect();
        let columns: String = costs.iter().map(|(used, rss)| format!(" {used:.1} | {rss:.1} |")).collect();
        let ratio = costs[0].0 / costs[costs.len() - 1].0;
        println!("| {wanted} | {count} |{columns} {ratio:.2} |");
    }
}

fn cost(name: &str, shape: &Shape, count: u64) -> (f64, f64) {
    let target = Target::start(name, &[]);
    let (used, rss) = (target.used_memory(), target.rss());
    fill(&target, (0..count).map(shape.store));
    let per_key = |after: u64, before: u64| (after - before) as f64 / count as f64 - shape.payload as f64;
    (per_key(target.used_memory(), used), per_key(target.rss(), rss))
}

/// Opens idle connections and prints what one takes, and what CPU an idle server uses.
pub fn idle(options: &Options) {
    let count = options.number("connections", 10_000);
    println!("| server | connections | used_memory per connection | RSS per connection | idle CPU ms per s |");
    println!("|---|--:|--:|--:|--:|");
    for name in names(options, "larder,redis") {
        let target = Target::start(&name, &[("maxclients", &(count + 100).to_string())]);
        let (used, rss) = (target.used_memory(), target.rss());
        let clients: Vec<_> = (0..count)
            .map(|_| {
                let mut client = std::net::TcpStream::connect(("127.0.0.1", target.port)).expect("a connection");
                std::io::Write::write_all(&mut client, b"*1\r\n$4\r\nPING\r\n").expect("the server reads");
                let mut pong = [0; 7];
                std::io::Read::read_exact(&mut client, &mut pong).expect("the server answers");
                client
            })
            .collect();
        // Buffers that shrink when idle have the time to.
        std::thread::sleep(Duration::from_secs(options.number("wait", 10)));
        let per_connection = |after: u64, before: u64| after.saturating_sub(before) as f64 / count as f64;
        let (used, rss) = (per_connection(target.used_memory(), used), per_connection(target.rss(), rss));
        let cpu = target.cpu_ns();
        std::thread::sleep(Duration::from_secs(5));
        let cpu = (target.cpu_ns() - cpu) as f64 / 5e6;
        println!("| {name} | {} | {used:.0} | {rss:.0} | {cpu:.2} |", clients.len());
    }
}
