//! Messages and invalidations between workers: one order per channel for all who listen, nothing lost, and nobody held up
//! by one who does not read.

mod support;

use std::thread;

use support::client::{Client, Value};
use support::server::{Server, larder};
use support::transcript::wait_until;

const WORKERS: usize = 4;
const PUBLISHERS: usize = 3;
const MESSAGES: usize = 2000;

fn server() -> Server {
    match std::env::var_os("LARDER_BIN") {
        Some(_) => larder().start(),
        None => larder().workers(WORKERS).start(),
    }
}

/// The parts of a push or of an array.
fn parts(value: Value) -> Vec<String> {
    let (Value::Push(items) | Value::Array(items)) = value else { panic!("a message was expected, got {value}") };
    let text = |item: &Value| match item {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other}"),
    };
    items.iter().map(text).collect()
}

fn next(client: &mut Client) -> Vec<String> {
    parts(client.receive().expect("a message").value)
}

/// Publishes numbered messages from several connections at once, many in flight on each.
fn publish_from_all(server: &Server, command: &str) {
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            scope.spawn(move || {
                let mut client = server.connect();
                for batch in (0..MESSAGES).collect::<Vec<_>>().chunks(50) {
                    for number in batch {
                        client.send(&[command, "news", &format!("{publisher}:{number}")]).expect("it is sent");
                    }
                    for _ in batch {
                        assert!(matches!(client.receive().expect("a reply").value, Value::Int(1..)));
                    }
                }
            });
        }
    });
}

/// What one subscriber hears, in its order.
fn listen(mut client: Client) -> Vec<String> {
    (0..PUBLISHERS * MESSAGES).map(|_| next(&mut client).pop().expect("a text")).collect()
}

#[test]
fn all_listeners_hear_the_same_order() {
    let server = server();
    for (publish, subscribes) in
        [("PUBLISH", ["SUBSCRIBE news", "PSUBSCRIBE n?ws"]), ("SPUBLISH", ["SSUBSCRIBE news", "SSUBSCRIBE news"])]
    {
        thread::scope(|scope| {
            let listeners: Vec<_> = (0..8)
                .map(|number| {
                    let mut client = server.connect();
                    if number % 4 < 2 {
                        client.run("HELLO 3");
                    }
                    client.run(subscribes[number % 2]);
                    scope.spawn(|| listen(client))
                })
                .collect();
            publish_from_all(&server, publish);
            let heard: Vec<Vec<String>> = listeners.into_iter().map(|one| one.join().expect("it listens")).collect();
            for publisher in 0..PUBLISHERS {
                let prefix = format!("{publisher}:");
                let own: Vec<&String> = heard[0].iter().filter(|text| text.starts_with(&prefix)).collect();
                let sent: Vec<String> = (0..MESSAGES).map(|number| format!("{publisher}:{number}")).collect();
                assert!(own.into_iter().eq(&sent), "each publisher's messages come in its order");
            }
            assert!(heard.iter().all(|one| *one == heard[0]), "{publish}: all hear one order");
        });
    }
}

#[test]
fn who_does_not_read_is_cut_off() {
    let server = server();
    let mut admin = server.connect();
    admin.call(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let mut deaf = server.connect();
    deaf.run("CLIENT SETNAME deaf");
    deaf.run("SUBSCRIBE news");
    let mut reader = server.connect();
    reader.run("SUBSCRIBE news");
    let text = "x".repeat(64 * 1024);
    wait_until(|| {
        admin.call(&["PUBLISH", "news", &text]);
        assert_eq!(next(&mut reader)[2].len(), text.len());
        !admin.text("CLIENT LIST").contains("name=deaf")
    })
    .expect("it is closed");
    assert_eq!(admin.info("stats", "client_output_buffer_limit_disconnections").as_deref(), Some("1"));
    wait_until(|| admin.call(&["PUBLISH", "news", "still here"]) == Value::Int(1)).expect("only the reader is left");
}

/// Whoever caches what it has read hears of every later change: it reads again only when it is told, and ends with the
/// last value.
#[test]
fn no_change_is_missed_by_those_who_cache() {
    const CHANGES: i64 = 3000;
    let server = server();
    server.connect().run("SET counter 0");
    thread::scope(|scope| {
        for mode in ["ON", "ON BCAST", "ON OPTIN", "ON NOLOOP"] {
            let mut client = server.connect();
            scope.spawn(move || {
                client.run("HELLO 3");
                client.run(&format!("CLIENT TRACKING {mode}"));
                loop {
                    if mode.ends_with("OPTIN") {
                        client.send(&["CLIENT", "CACHING", "YES"]).expect("it is sent");
                    }
                    client.send(&["GET", "counter"]).expect("it is sent");
                    let value = loop {
                        if let Value::Bulk(digits) = client.receive().expect("a reply").value {
                            break String::from_utf8_lossy(&digits).parse::<i64>().expect("a number");
                        }
                    };
                    if value == CHANGES {
                        return;
                    }
                    let told = next(&mut client);
                    assert_eq!(told[0], "invalidate", "{mode}");
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.connect();
                (0..CHANGES / 2).for_each(|_| {
                    client.int("INCR counter");
                });
            });
        }
    });
}
