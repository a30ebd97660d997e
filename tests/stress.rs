//! Four clients at once: multi-key commands, transactions and FLUSHALL. No deadlock, no torn reads, counts exact.
//!
//! `STRESS_SECONDS` says for how long (2 unless told otherwise), `STRESS_SEED` with which choices.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::client::{Client, Value};
use support::random::{Random, seed};
use support::server::{Server, larder};

const CLIENTS: u64 = 4;

fn duration() -> Duration {
    Duration::from_secs(seed("STRESS_SECONDS", 2))
}

/// Runs one closure per client until the time is over; each gets its own connection and random numbers.
fn at_once<T: Send>(
    server: &Server,
    work: impl Fn(u64, &mut Client, &mut Random, &dyn Fn() -> bool) -> T + Sync,
) -> Vec<T> {
    let seed = seed("STRESS_SEED", 1);
    println!("STRESS_SEED={seed}");
    let deadline = Instant::now() + duration();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let work = &work;
                scope.spawn(move || {
                    let mut client = server.connect();
                    let mut random = Random::new(seed.wrapping_mul(CLIENTS) + number);
                    work(number, &mut client, &mut random, &|| Instant::now() < deadline)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client came to its end")).collect()
    })
}

fn texts(value: &Value) -> Vec<Option<String>> {
    let Value::Array(items) = value else { panic!("an array was expected, got {value}") };
    let text = |item: &Value| match item {
        Value::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    items.iter().map(text).collect()
}

/// Two workers at least, so that clients meet on different threads.
fn server() -> Server {
    match std::env::var_os("LARDER_BIN") {
        Some(_) => larder().start(),
        None => larder().workers(4).start(),
    }
}

#[test]
fn increments_from_all_clients_add_up() {
    let server = server();
    let sums = at_once(&server, |_, client, random, running| {
        let mut sum = 0;
        while running() {
            let key = random.below(8);
            match random.below(3) {
                0 => {
                    client.int(&format!("INCR n{key}"));
                    sum += 1;
                }
                1 => {
                    client.run("MULTI");
                    client.run(&format!("INCR n{key}"));
                    client.run(&format!("INCRBY n{} 2", (key + 1) % 8));
                    assert!(matches!(client.run("EXEC"), Value::Array(items) if items.len() == 2));
                    sum += 3;
                }
                _ => {
                    let batch = support::client::request(&["INCR", &format!("n{key}")]).repeat(10);
                    client.send_raw(&batch).expect("a pipeline is accepted");
                    (0..10).for_each(|_| drop(client.receive().expect("a reply")));
                    sum += 10;
                }
            }
        }
        sum
    });
    let mut client = server.connect();
    let kept: i64 = (0..8)
        .filter_map(|key| texts(&client.run(&format!("MGET n{key}")))[0].clone())
        .map(|n| n.parse::<i64>().expect("a number"))
        .sum();
    assert_eq!(kept, sums.iter().sum::<i64>());
}

#[test]
fn what_is_written_together_is_read_together() {
    let server = server();
    at_once(&server, |number, client, random, running| {
        let mut round = 0;
        while running() {
            round += 1;
            let value = format!("{number}-{round}");
            match random.below(6) {
                0 => drop(client.run(&format!("MSET a {value} b {value} c {value} d {value}"))),
                1 => {
                    client.run("MULTI");
                    ["d", "b", "a", "c"].iter().for_each(|key| drop(client.run(&format!("SET {key} {value}"))));
                    assert!(matches!(client.run("EXEC"), Value::Array(_)));
                }
                2 if random.one_in(20) => drop(client.run("FLUSHALL")),
                3 => drop(client.run("DEL a b c d")),
                4 => drop(client.run(&format!("MSETNX c {value} d {value} a {value} b {value}"))),
                _ => {
                    let seen = texts(&client.run("MGET a b c d"));
                    assert!(seen.iter().all(|value| *value == seen[0]), "a torn read: {seen:?}");
                    client.run("MULTI");
                    ["d", "a"].iter().for_each(|key| drop(client.run(&format!("GET {key}"))));
                    let seen = texts(&client.run("EXEC"));
                    assert_eq!(seen[0], seen[1], "a torn transaction");
                }
            }
        }
    });
}

#[test]
fn money_moves_but_never_vanishes() {
    const ACCOUNTS: u64 = 10;
    let server = server();
    let mut client = server.connect();
    (0..ACCOUNTS).for_each(|account| drop(client.run(&format!("SET account:{account} 100"))));
    at_once(&server, |_, client, random, running| {
        while running() {
            let (from, to) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
            if random.one_in(4) {
                let all: Vec<String> = (0..ACCOUNTS).map(|account| format!("account:{account}")).collect();
                let seen = texts(&client.run(&format!("MGET {}", all.join(" "))));
                let total: i64 = seen.iter().flatten().map(|money| money.parse::<i64>().expect("money")).sum();
                assert_eq!(total, 1000, "{seen:?}");
                continue;
            }
            client.run(&format!("WATCH account:{from}"));
            let have: i64 = client.text(&format!("GET account:{from}")).parse().expect("money");
            let amount = random.between(0, have.max(0));
            client.run("MULTI");
            client.run(&format!("DECRBY account:{from} {amount}"));
            client.run(&format!("INCRBY account:{to} {amount}"));
            if let Value::Array(balances) = client.run("EXEC") {
                assert!(
                    balances.iter().all(|balance| matches!(balance, Value::Int(0..))),
                    "an overdraft: {balances:?}"
                );
            }
        }
    });
}

#[test]
fn names_move_without_loss() {
    let server = server();
    let mut client = server.connect();
    (0..20).for_each(|number| drop(client.run(&format!("SET start:{number} {number}"))));
    let stop = AtomicBool::new(false);
    at_once(&server, |number, client, random, running| {
        while running() && !stop.load(Ordering::Relaxed) {
            if number == 0 {
                let count = client.int("DBSIZE");
                if count != 20 {
                    stop.store(true, Ordering::Relaxed);
                    panic!("20 keys were expected, got {count}");
                }
                continue;
            }
            let target = format!("key:{}", random.below(100));
            if let Value::Bulk(source) = client.run("RANDOMKEY") {
                client.call(&[b"RENAMENX".as_slice(), &source, target.as_bytes()]);
            }
        }
    });
    assert_eq!(client.int("DBSIZE"), 20);
    let mut values: Vec<u64> = texts(&client.run("KEYS *"))
        .into_iter()
        .flatten()
        .map(|key| client.text(&format!("GET {key}")).parse().expect("a number"))
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..20).collect::<Vec<_>>());
}
