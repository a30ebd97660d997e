//! The memory limit as clients see it: who goes, who is refused, and that the limit holds.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::client::{Client, Value};
use support::random::{Random, mix};
use support::server::{Server, larder};

const MIB: u64 = 1 << 20;
const VALUE_MAX: u64 = 20_000;
const WRITERS: u64 = 4;

fn number(client: &mut Client, section: &str, field: &str) -> u64 {
    client.info(section, field).expect("INFO has the field").parse().expect("a number")
}

/// A server with `room` bytes beyond what it uses when empty.
fn limited(policy: &str, room: u64) -> Server {
    let server = larder().workers(4).set("maxmemory-policy", policy).start();
    let mut client = server.connect();
    let limit = number(&mut client, "memory", "used_memory") + room;
    client.run(&format!("CONFIG SET maxmemory {limit}"));
    server
}

#[test]
fn four_writers_never_pass_the_limit_by_more_than_a_mebibyte_and_a_value_each() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"] {
        let server = limited(policy, 8 * MIB);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let mut client = server.connect();
                scope.spawn(move || {
                    let mut random = Random::new(mix(writer));
                    for _ in 0..4000 {
                        let key = format!("k{}", random.below(20_000));
                        let value = "v".repeat(random.below(VALUE_MAX) as usize);
                        assert_eq!(client.call(&["SET", &key, &value, "EX", "1000"]), Value::Simple("OK".into()));
                    }
                });
            }
        });
        let mut client = server.connect();
        let (limit, peak) =
            (number(&mut client, "memory", "maxmemory"), number(&mut client, "memory", "used_memory_peak"));
        assert!(
            peak <= limit + MIB + WRITERS * VALUE_MAX,
            "{policy}: the limit {limit} was passed by {}",
            peak - limit
        );
        assert!(number(&mut client, "stats", "evicted_keys") > 100, "{policy}");
        assert!(number(&mut client, "memory", "used_memory") <= limit + MIB, "{policy}");
    }
}

#[test]
fn a_lower_limit_takes_effect_without_writers() {
    let server = limited("allkeys-lru", 40 * MIB);
    let mut client = server.connect();
    for key in 0..2000 {
        client.call(&["SET", &format!("k{key}"), &"v".repeat(10_000)]);
    }
    let limit = number(&mut client, "memory", "used_memory") - 10 * MIB;
    client.run(&format!("CONFIG SET maxmemory {limit}"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while number(&mut client, "memory", "used_memory") > limit {
        assert!(
            Instant::now() < deadline,
            "memory is above the limit for seconds, by {}",
            number(&mut client, "memory", "used_memory") - limit
        );
    }
    assert!(number(&mut client, "stats", "evicted_keys") >= 1000);
    assert_eq!(client.int("EXISTS k1999"), 1, "the latest stay");
}

#[test]
fn without_eviction_only_what_needs_memory_is_refused() {
    let server = limited("noeviction", 0);
    let mut client = server.connect();
    client.run("CONFIG SET maxmemory 1");
    let refused = "OOM command not allowed when used memory > 'maxmemory'.";
    for (line, expected) in [
        ("SET k v", Value::Error(refused.into())),
        ("GET k", Value::Null),
        ("DEL k", Value::Int(0)),
        ("MULTI", Value::Simple("OK".into())),
        ("GET k", Value::Simple("QUEUED".into())),
        ("SET k v", Value::Error(refused.into())),
        ("EXEC", Value::Error("EXECABORT Transaction discarded because of previous errors.".into())),
        ("PING", Value::Simple("PONG".into())),
    ] {
        assert_eq!(client.run(line), expected, "{line}");
    }
}

#[test]
fn a_transaction_is_refused_as_a_whole_when_there_is_no_room() {
    let server = limited("noeviction", 8 * MIB);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.run("MULTI");
    client.run("SET k v");
    other.run("CONFIG SET maxmemory 1");
    let refused = "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(client.run("EXEC"), Value::Error(refused.into()));
    assert_eq!(client.int("EXISTS k"), 0);
}

#[test]
fn evicted_keys_are_announced() {
    let server = limited("allkeys-lru", 4 * MIB);
    let (mut listener, mut client) = (server.connect(), server.connect());
    client.run("CONFIG SET notify-keyspace-events Ee");
    listener.run("SUBSCRIBE __keyevent@0__:evicted");
    client.run("SET first v");
    for key in 0..600 {
        client.call(&["SET", &format!("k{key}"), &"v".repeat(10_000)]);
    }
    loop {
        match listener.receive().expect("a message").value {
            Value::Array(message) if message[2] == Value::Bulk(b"first".to_vec()) => break,
            Value::Array(message) => assert!(matches!(&message[2], Value::Bulk(key) if key.starts_with(b"k"))),
            other => panic!("a message is an array, not {other}"),
        }
    }
}
