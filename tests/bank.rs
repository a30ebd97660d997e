//! A bank under all kinds of transactions at once: money, members, elements and keys are moved from many workers, and
//! none is ever lost, doubled or seen halfway.
//!
//! Transfers go by MULTI with WATCH, by scripts that declare their keys, by scripts that do not, and now and then by a
//! script so slow that it is frozen several times on its way. `BANK_SECONDS` says for how long (4 unless told otherwise),
//! `BANK_SEED` with which choices.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::client::{Client, Value};
use support::random::{Random, seed};
use support::server::{Server, larder};

const CLIENTS: u64 = 6;
const ACCOUNTS: u64 = 16;
const START: i64 = 1000;
const MEMBERS: i64 = 40;
const PLACES: u64 = 6;

const DECLARED: &str = "redis.call('DECRBY', KEYS[1], ARGV[1]) return redis.call('INCRBY', KEYS[2], ARGV[1])";
const UNDECLARED: &str = "redis.call('DECRBY', ARGV[1], ARGV[3]) return redis.call('INCRBY', ARGV[2], ARGV[3])";
/// Some milliseconds between taking and giving: several slices.
const SLOW: &str = "redis.call('DECRBY', KEYS[1], ARGV[2]) \
    local n = 0 for i = 1, 3000000 do n = n + i % 7 end \
    return redis.call('INCRBY', ARGV[1], ARGV[2])";
const SUM: &str =
    "local sum = 0 for i = 0, ARGV[1] - 1 do sum = sum + redis.call('GET', 'account:' .. i) end return sum";

fn open(client: &mut Client) {
    for account in 0..ACCOUNTS {
        client.run(&format!("SET account:{account} {START}"));
    }
    for member in 0..MEMBERS {
        client.run(&format!("SADD members:{} m{member}", member % 2));
        client.run(&format!("RPUSH elements:{} e{member}", member % 2));
    }
    client.run("SET place:0 here");
}

/// One operation of one client; each keeps the books in order.
fn act(client: &mut Client, random: &mut Random) {
    let (from, to) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
    let (from_key, to_key) = (format!("account:{from}"), format!("account:{to}"));
    let amount = random.below(10).to_string();
    match random.below(10) {
        0 | 1 => transfer_watched(client, &from_key, &to_key, &amount),
        2 => expect_int(client.call(&["EVAL", DECLARED, "2", &from_key, &to_key, &amount])),
        3 => expect_int(client.call(&["EVAL", UNDECLARED, "0", &from_key, &to_key, &amount])),
        4 if random.one_in(20) => expect_int(client.call(&["EVAL", SLOW, "1", &from_key, &to_key, &amount])),
        4 => transfer_by_script_in_multi(client, &from_key, &to_key, &amount),
        5 => drop(client.run(&format!("SMOVE members:{} members:{} m{}", from % 2, to % 2, random.below(40)))),
        6 => drop(client.run(&format!("LMOVE elements:{} elements:{} LEFT RIGHT", from % 2, to % 2))),
        7 => drop(client.run(&format!("RENAME place:{} place:{}", from % PLACES, to % PLACES))),
        8 if random.one_in(2) => drop(client.run("DEL left right")),
        8 => drop(client.run(&format!("MSETNX left {amount} right {amount}"))),
        _ => audit(client),
    }
}

fn transfer_watched(client: &mut Client, from: &str, to: &str, amount: &str) {
    client.run(&format!("WATCH {from} {to}"));
    let have: i64 = client.text(&format!("GET {from}")).parse().expect("an account is a number");
    client.run("MULTI");
    client.run(&format!("SET {from} {}", have - amount.parse::<i64>().expect("an amount is a number")));
    client.run(&format!("INCRBY {to} {amount}"));
    match client.run("EXEC") {
        Value::Null => {}
        Value::Array(replies) => assert_eq!(replies.len(), 2),
        other => panic!("EXEC answered {other}"),
    }
}

fn transfer_by_script_in_multi(client: &mut Client, from: &str, to: &str, amount: &str) {
    client.run("MULTI");
    client.run(&format!("DECRBY {from} {amount}"));
    client.call(&["EVAL", "return redis.call('INCRBY', ARGV[1], ARGV[2])", "0", to, amount]);
    assert!(matches!(client.run("EXEC"), Value::Array(replies) if replies.len() == 2));
}

fn expect_int(reply: Value) {
    assert!(matches!(reply, Value::Int(_)), "{reply}");
}

/// Everything is there, once, whenever one looks.
fn audit(client: &mut Client) {
    let total = ACCOUNTS as i64 * START;
    let accounts: Vec<String> = (0..ACCOUNTS).map(|account| format!("account:{account}")).collect();
    assert_eq!(sum(client.run(&format!("MGET {}", accounts.join(" ")))), total, "MGET sees all the money");
    let by_script = client.call(&["EVAL", SUM, "0", &ACCOUNTS.to_string()]);
    assert_eq!(by_script, Value::Int(total), "a script sees all the money");
    client.run("MULTI");
    for line in ["SCARD members:0", "SCARD members:1", "LLEN elements:0", "LLEN elements:1", "MGET left right"] {
        client.run(line);
    }
    let Value::Array(seen) = client.run("EXEC") else { panic!("EXEC answers an array") };
    let count = |index: usize| if let Value::Int(count) = seen[index] { count } else { panic!("a count is a number") };
    assert_eq!(count(0) + count(1), MEMBERS, "no member is lost or doubled");
    assert_eq!(count(2) + count(3), MEMBERS, "no element is lost or doubled");
    assert!(matches!(&seen[4], Value::Array(pair) if pair[0] == pair[1]), "MSETNX sets both or none: {}", seen[4]);
    let places: Vec<String> = (0..PLACES).map(|place| format!("place:{place}")).collect();
    assert_eq!(client.int(&format!("EXISTS {}", places.join(" "))), 1, "a renamed key is in one place");
}

fn sum(reply: Value) -> i64 {
    let Value::Array(items) = reply else { panic!("an array was expected, got {reply}") };
    let number = |item: &Value| match item {
        Value::Bulk(text) => String::from_utf8_lossy(text).parse::<i64>().expect("an account is a number"),
        other => panic!("an account was expected, got {other}"),
    };
    items.iter().map(number).sum()
}

/// No script is ever late: how long a slow one takes among all the others is up to the machine, and a client told BUSY
/// would not have done what it counts on.
fn server() -> Server {
    let setup = larder().set("busy-reply-threshold", "0");
    match std::env::var_os("LARDER_BIN") {
        Some(_) => setup.start(),
        None => setup.workers(4).start(),
    }
}

#[test]
fn nothing_is_lost_or_doubled_or_seen_halfway() {
    let server = server();
    open(&mut server.connect());
    let seed_of_all = seed("BANK_SEED", 1);
    println!("BANK_SEED={seed_of_all}");
    let deadline = Instant::now() + Duration::from_secs(seed("BANK_SECONDS", 4));
    let acts: u64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.connect();
                    let mut random = Random::new(seed_of_all.wrapping_mul(CLIENTS) + number);
                    let mut acts = 0;
                    while Instant::now() < deadline {
                        act(&mut client, &mut random);
                        acts += 1;
                    }
                    acts
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client came to its end")).sum()
    });
    println!("{acts} acts");
    audit(&mut server.connect());
}
