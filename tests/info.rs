//! What INFO says is true: figures that no transcript can hold, since they follow the clock.

mod support;

use support::client::{Client, Value};
use support::server::larder;

/// The part of a line of the section Keyspace behind `name=`.
fn keyspace(client: &mut Client, db: &str, name: &str) -> u64 {
    let line = client.info("keyspace", db).expect("the database has keys");
    let value = line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    value.expect("the line has it").parse().expect("a number")
}

#[test]
fn the_average_ttl_is_that_of_the_keys_with_a_deadline() {
    let server = larder().start();
    let mut client = server.connect();
    client.run("SET for-ever 1");
    assert_eq!(keyspace(&mut client, "db0", "avg_ttl"), 0);
    client.run("SET short 1 EX 1000");
    client.run("SET long 1 EX 3000");
    let average = |client: &mut Client| keyspace(client, "db0", "avg_ttl");
    assert!((1_900_000..=2_000_000).contains(&average(&mut client)));
    client.run("EXPIRE short 3000");
    assert!((2_900_000..=3_000_000).contains(&average(&mut client)));
    client.run("PERSIST short");
    client.run("SET long 2 EX 500");
    client.run("RENAME long other");
    assert!((400_000..=500_000).contains(&average(&mut client)));
    client.run("DEL other");
    assert_eq!((average(&mut client), keyspace(&mut client, "db0", "expires")), (0, 0));
}

/// They were counted beside the statistics, and went with them.
#[test]
fn resetting_the_statistics_keeps_the_count_of_changes() {
    let server = larder().start();
    let mut client = server.connect();
    client.run("SET a 1");
    client.run("GET a");
    client.run("CONFIG RESETSTAT");
    client.run("SET b 1");
    assert_eq!(client.info("persistence", "rdb_changes_since_last_save").as_deref(), Some("2"));
    assert_eq!(client.info("stats", "keyspace_hits").as_deref(), Some("0"));
}

/// The hash changes, but who asks for a snapshot after so many changes does not mean what time does.
#[test]
fn fields_that_expire_count_as_no_change() {
    let server = larder().start();
    let mut client = server.connect();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("HSET h a 1 b 2");
    client.run("HPEXPIRE h 1 FIELDS 1 a");
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(client.run("HGET h a"), Value::Null);
    assert_eq!(client.info("stats", "expired_subkeys").as_deref(), Some("1"));
    assert_eq!(client.info("persistence", "rdb_changes_since_last_save").as_deref(), Some("3"));
}

/// They never wait for their time, and expire all the same.
#[test]
fn fields_given_a_time_that_has_passed_count_as_expired() {
    let server = larder().start();
    let mut client = server.connect();
    client.run("HSET h a 1 b 2 c 3 d 4");
    client.run("HEXPIRE h 0 FIELDS 2 a gone");
    client.run("HGETEX h EXAT 1 FIELDS 2 b b");
    client.run("HSETEX h PXAT 1 FIELDS 2 c 5 new 6");
    client.run("HDEL h d");
    assert_eq!(client.info("stats", "expired_subkeys").as_deref(), Some("4"));
}

/// A consumer that a claim makes is a change of its own.
#[test]
fn claims_count_the_consumer_they_make() {
    let server = larder().start();
    let mut client = server.connect();
    for line in ["XADD s 1-1 a b", "XADD s 1-2 a b", "XGROUP CREATE s g 0", "XREADGROUP GROUP g old STREAMS s >"] {
        client.run(line);
    }
    let count = |client: &mut Client| {
        let text = client.info("persistence", "rdb_changes_since_last_save").expect("INFO tells it");
        text.parse::<u64>().expect("a number")
    };
    let commands =
        [("XCLAIM s g new 0 1-1 1-2", 3), ("XCLAIM s g new 0 1-1 1-2", 2), ("XAUTOCLAIM s g newer 0 0 COUNT 1", 2)];
    for (line, changes) in commands {
        let before = count(&mut client);
        client.run(line);
        assert_eq!(count(&mut client) - before, changes, "{line}");
    }
}
