//! Commands that wait: pushers and poppers on different workers, with kills, timeouts and CLIENT UNBLOCK. Nothing is lost,
//! nothing is served twice, and who came first is served first.
//!
//! `BLOCKING_SEED` chooses other sequences.

mod support;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use support::client::{Client, Value};
use support::random::{Random, mix, seed};
use support::server::{Server, larder};

const PUSHERS: u64 = 3;
const PUSHES: u64 = 1500;
const QUEUES: u64 = 4;

fn server() -> Server {
    match std::env::var_os("LARDER_BIN") {
        Some(_) => larder().start(),
        None => larder().workers(4).start(),
    }
}

fn random_for(role: u64) -> Random {
    let seed = seed("BLOCKING_SEED", 1);
    println!("BLOCKING_SEED={seed}, role {role}");
    Random::new(mix(seed.wrapping_mul(1000) + role))
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("a text was expected, got {other}"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => panic!("an array was expected, got {other}"),
    }
}

/// Waits until so many clients wait for keys.
fn until_blocked(client: &mut Client, count: usize) {
    while client.info("clients", "blocked_clients") != Some(count.to_string()) {
        thread::yield_now();
    }
}

/// What each popper got, in order.
#[derive(Default)]
struct Ledger {
    got: Mutex<HashMap<String, u64>>,
    done: AtomicBool,
    /// Ids of the connections that may be unblocked or killed.
    unblockable: Mutex<Vec<i64>>,
    killable: Mutex<Vec<i64>>,
}

impl Ledger {
    fn add(&self, element: String) {
        *self.got.lock().unwrap().entry(element).or_default() += 1;
    }
}

/// Pushes numbered elements in every way there is; each element once.
fn push_all(client: &mut Client, number: u64, random: &mut Random) {
    let mut next = 0;
    let element = |next: &mut u64| {
        *next += 1;
        format!("p{number}-{next}")
    };
    while next < PUSHES {
        let (queue, other) = (random.below(QUEUES), random.below(QUEUES));
        match random.below(6) {
            0 => _ = client.int(&format!("LPUSH q{queue} {}", element(&mut next))),
            1 => {
                let (a, b, c) = (element(&mut next), element(&mut next), element(&mut next));
                client.int(&format!("RPUSH q{queue} {a} {b} {c}"));
            }
            2 => {
                client.run("MULTI");
                client.run(&format!("RPUSH q{queue} {}", element(&mut next)));
                client.run(&format!("LPUSH q{other} {}", element(&mut next)));
                assert!(matches!(client.run("EXEC"), Value::Array(items) if items.len() == 2));
            }
            3 => {
                client.int(&format!("RPUSH stage{number} {}", element(&mut next)));
                client.text(&format!("LMOVE stage{number} q{queue} LEFT RIGHT"));
            }
            4 => {
                client.int(&format!("RPUSH stage{number} {} {}", element(&mut next), element(&mut next)));
                // The target may hold elements, which must not be renamed away.
                if client.int(&format!("RENAMENX stage{number} q{queue}")) == 0 {
                    client.text(&format!("RPOPLPUSH stage{number} q{queue}"));
                    client.text(&format!("RPOPLPUSH stage{number} q{other}"));
                }
            }
            _ => _ = client.int(&format!("RPUSH q{queue} {}", element(&mut next))),
        }
    }
}

/// Pops until everything is pushed and a wait was in vain.
fn pop_all(client: &mut Client, ledger: &Ledger, random: &mut Random) {
    let id = client.int("CLIENT ID");
    ledger.unblockable.lock().unwrap().push(id);
    loop {
        let was_done = ledger.done.load(SeqCst);
        let timeout = [0.005, 0.02, 0.05][random.below(3) as usize];
        let reply = match random.below(4) {
            0 => client.run(&format!("BLPOP q0 q1 q2 q3 {timeout}")),
            1 => client.run(&format!("BRPOP q3 q1 q0 q2 {timeout}")),
            2 => client.run(&format!("BLMPOP {timeout} 4 q2 q3 q0 q1 LEFT COUNT 3")),
            _ => client.run(&format!("BLPOP q{} {timeout}", random.below(QUEUES))),
        };
        match reply {
            Value::Array(items) => match &items[1] {
                Value::Array(elements) => elements.iter().for_each(|element| ledger.add(text(element))),
                element => ledger.add(text(element)),
            },
            Value::Error(error) => assert!(error.starts_with(b"UNBLOCKED"), "{}", error.escape_ascii()),
            _ if was_done => return,
            _ => {}
        }
    }
}

/// Moves elements into a list of its own; its connection may be killed at any moment, then it takes another.
fn move_all(server: &Server, ledger: &Ledger, number: u64, random: &mut Random) {
    let mut client = server.connect();
    let mut id = client.int("CLIENT ID");
    ledger.killable.lock().unwrap().push(id);
    loop {
        let was_done = ledger.done.load(SeqCst);
        let line = match random.below(2) {
            0 => format!("BLMOVE q{} moved{number} LEFT RIGHT 0.02", random.below(QUEUES)),
            _ => format!("BRPOPLPUSH q{} moved{number} 0.02", random.below(QUEUES)),
        };
        let words: Vec<&str> = line.split(' ').collect();
        let reply = client.send(&words).and_then(|()| client.receive());
        match reply {
            Ok(frame) if was_done && !matches!(frame.value, Value::Bulk(_)) => return,
            Ok(_) => {}
            Err(_) => {
                ledger.killable.lock().unwrap().retain(|&other| other != id);
                client = server.connect();
                id = client.int("CLIENT ID");
                ledger.killable.lock().unwrap().push(id);
            }
        }
    }
}

/// Unblocks and kills whoever may be, until everything is pushed.
fn disturb(client: &mut Client, ledger: &Ledger, random: &mut Random) {
    while !ledger.done.load(SeqCst) {
        let unblockable = ledger.unblockable.lock().unwrap().clone();
        if !unblockable.is_empty() {
            let how = if random.one_in(2) { "TIMEOUT" } else { "ERROR" };
            client.int(&format!("CLIENT UNBLOCK {} {how}", random.pick(&unblockable)));
        }
        let killable = ledger.killable.lock().unwrap().clone();
        if !killable.is_empty() && random.one_in(20) {
            client.int(&format!("CLIENT KILL ID {}", random.pick(&killable)));
        }
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_served_twice() {
    let server = server();
    let ledger = Ledger::default();
    thread::scope(|scope| {
        let (server, ledger) = (&server, &ledger);
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|number| scope.spawn(move || push_all(&mut server.connect(), number, &mut random_for(number))))
            .collect();
        for number in 0..4 {
            scope.spawn(move || pop_all(&mut server.connect(), ledger, &mut random_for(10 + number)));
        }
        for number in 0..2 {
            scope.spawn(move || move_all(server, ledger, number, &mut random_for(20 + number)));
        }
        scope.spawn(move || disturb(&mut server.connect(), ledger, &mut random_for(30)));
        let ended: Vec<_> = pushers.into_iter().map(|pusher| pusher.join()).collect();
        ledger.done.store(true, SeqCst);
        ended.into_iter().for_each(|end| end.expect("a pusher came to its end"));
    });
    let mut client = server.connect();
    let lists = ["moved0", "moved1", "q0", "q1", "q2", "q3", "stage0", "stage1", "stage2"];
    for list in lists {
        texts(&client.run(&format!("LRANGE {list} 0 -1"))).into_iter().for_each(|element| ledger.add(element));
    }
    let got = ledger.got.into_inner().unwrap();
    let twice: Vec<_> = got.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "served more than once: {twice:?}");
    for pusher in 0..PUSHERS {
        let lost: Vec<_> = (1..=PUSHES).map(|n| format!("p{pusher}-{n}")).filter(|e| !got.contains_key(e)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
    until_blocked(&mut client, 0);
}

/// Clients that wait, in order of arrival.
fn line_up(server: &Server, client: &mut Client, forms: &[&str], count: usize, random: &mut Random) -> Vec<Client> {
    let mut waiters = Vec::new();
    for number in 0..count {
        let mut waiter = server.connect();
        let form: Vec<&str> = random.pick(forms).split(' ').collect();
        waiter.send(&form).expect("the request is sent");
        until_blocked(client, number + 1);
        waiters.push(waiter);
    }
    waiters
}

/// The one element that a waiter got.
fn element_of(waiter: &mut Client) -> String {
    match waiter.receive().expect("a reply").value {
        Value::Array(items) => match &items[1] {
            Value::Array(elements) => text(&elements[0]),
            element => text(element),
        },
        element => text(&element),
    }
}

#[test]
fn who_waits_longest_is_served_first() {
    const WAITERS: usize = 16;
    let server = server();
    let mut client = server.connect();
    let mut random = random_for(40);
    // Waiters of one key, of several, for either end: they stand in one queue. Where several elements come at once, all
    // take from the left.
    let any =
        ["BLPOP k 0", "BRPOP other k 0", "BLPOP k other 0", "BLMPOP 0 2 other k RIGHT", "BLMOVE k sink LEFT LEFT 0"];
    let left = ["BLPOP k 0", "BLPOP other k 0", "BLMPOP 0 2 k other LEFT", "BLMOVE k sink LEFT LEFT 0"];
    for round in 0..12 {
        let alone = round % 2 == 0;
        let mut waiters = line_up(&server, &mut client, if alone { &any } else { &left }, WAITERS, &mut random);
        waiters.retain(|_| !random.one_in(4));
        until_blocked(&mut client, waiters.len());
        let mut pushers = [server.connect(), server.connect(), server.connect()];
        let mut next = 0;
        while next < waiters.len() {
            let count = if alone { 1 } else { (1 + random.below(4) as usize).min(waiters.len() - next) };
            let elements: Vec<String> = (next..next + count).map(|number| number.to_string()).collect();
            next += count;
            let pusher = &mut pushers[random.below(3) as usize];
            if random.one_in(2) {
                pusher.run("MULTI");
                elements.iter().for_each(|element| drop(pusher.run(&format!("RPUSH k {element}"))));
                pusher.run("EXEC");
            } else {
                pusher.int(&format!("RPUSH k {}", elements.join(" ")));
            }
        }
        let got: Vec<String> = waiters.iter_mut().map(element_of).collect();
        let expected: Vec<String> = (0..waiters.len()).map(|number| number.to_string()).collect();
        assert_eq!(got, expected, "round {round}");
        client.run("DEL sink");
        until_blocked(&mut client, 0);
    }
}

#[test]
fn an_element_walks_a_chain_of_waiting_moves_to_its_end() {
    const LINKS: usize = 8;
    let server = server();
    let mut client = server.connect();
    let elements: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for link in 0..LINKS {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut client = server.connect();
                while !stop.load(SeqCst) {
                    client.run(&format!("BLMOVE c{link} c{} LEFT RIGHT 0.1", link + 1));
                }
            });
        }
        for some in elements.chunks(5) {
            client.int(&format!("RPUSH c0 {}", some.join(" ")));
        }
        let end: Vec<String> =
            elements.iter().map(|_| texts(&client.run(&format!("BLPOP c{LINKS} 0")))[1].clone()).collect();
        stop.store(true, SeqCst);
        assert_eq!(end, elements, "every link moves from the left to the right");
    });
}

#[test]
fn one_consumer_sees_each_pusher_in_its_order() {
    let server = server();
    let mut client = server.connect();
    thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for number in 0..500 {
                    client.int(&format!("RPUSH k {pusher}:{number}"));
                }
            });
        }
        let mut next = [0; PUSHERS as usize];
        for _ in 0..500 * PUSHERS {
            let element = texts(&client.run("BLPOP k 0"))[1].clone();
            let (pusher, number) = element.split_once(':').expect("pusher and number");
            let next = &mut next[pusher.parse::<usize>().expect("a pusher")];
            assert_eq!(number, next.to_string());
            *next += 1;
        }
    });
}

#[test]
fn members_of_a_sorted_set_are_popped_once() {
    let server = server();
    let popped = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, popped, done) = (&server, &popped, &done);
        for number in 0..4 {
            scope.spawn(move || {
                let mut client = server.connect();
                let command = ["BZPOPMIN a b 0.05", "BZPOPMAX b a 0.05", "BZMPOP 0.05 2 a b MIN COUNT 2"][number % 3];
                loop {
                    let was_done = done.load(SeqCst);
                    match client.run(command) {
                        Value::Array(items) => match &items[1] {
                            Value::Array(pairs) => {
                                popped.lock().unwrap().extend(pairs.iter().map(|pair| texts(pair)[0].clone()));
                            }
                            member => popped.lock().unwrap().push(text(member)),
                        },
                        _ if was_done => return,
                        _ => {}
                    }
                }
            });
        }
        let mut random = random_for(50);
        let mut client = server.connect();
        for number in 0..2000 {
            let key = random.pick(&["a", "b"]);
            client.int(&format!("ZADD {key} {} m{number}", random.below(10)));
        }
        done.store(true, SeqCst);
    });
    let mut popped = popped.into_inner().unwrap();
    popped.sort_by_key(|member| member[1..].parse::<usize>().expect("a number"));
    let expected: Vec<String> = (0..2000).map(|number| format!("m{number}")).collect();
    assert_eq!(popped, expected);
}

#[test]
fn entries_of_a_stream_reach_one_consumer_of_a_group_and_every_reader() {
    const ENTRIES: u64 = 1000;
    const READERS: u64 = 2;
    let server = server();
    let mut client = server.connect();
    client.run("XGROUP CREATE s g $ MKSTREAM");
    let consumed = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    let read = AtomicU64::new(0);
    let ids = |reply: &Value| -> Vec<String> {
        let Value::Array(streams) = reply else { return Vec::new() };
        let Value::Array(stream) = &streams[0] else { panic!("a stream with its entries") };
        let Value::Array(entries) = &stream[1] else { panic!("entries") };
        entries
            .iter()
            .map(|entry| if let Value::Array(parts) = entry { text(&parts[0]) } else { String::new() })
            .collect()
    };
    thread::scope(|scope| {
        let (server, consumed, done, read) = (&server, &consumed, &done, &read);
        for number in 0..3 {
            scope.spawn(move || {
                let mut client = server.connect();
                loop {
                    let was_done = done.load(SeqCst);
                    let got = ids(&client.run(&format!("XREADGROUP GROUP g c{number} COUNT 3 BLOCK 50 STREAMS s >")));
                    if was_done && got.is_empty() {
                        return;
                    }
                    consumed.lock().unwrap().extend(got);
                }
            });
        }
        for _ in 0..READERS {
            scope.spawn(move || {
                let mut client = server.connect();
                let mut last = "0-0".to_owned();
                let mut count = 0;
                while count < ENTRIES {
                    for id in ids(&client.run(&format!("XREAD COUNT 7 BLOCK 0 STREAMS s {last}"))) {
                        count += 1;
                        assert_eq!(id, format!("1-{count}"), "a reader misses nothing and sees nothing twice");
                        last = id;
                    }
                }
                read.fetch_add(count, SeqCst);
            });
        }
        (1..=ENTRIES).for_each(|number| drop(client.text(&format!("XADD s 1-{number} f v"))));
        done.store(true, SeqCst);
    });
    let mut consumed = consumed.into_inner().unwrap();
    consumed.sort_by_key(|id| id[2..].parse::<u64>().expect("a number"));
    let expected: Vec<String> = (1..=ENTRIES).map(|number| format!("1-{number}")).collect();
    assert_eq!(consumed, expected);
    assert_eq!(read.into_inner(), READERS * ENTRIES);
}

#[test]
fn what_is_gone_before_the_end_of_a_transaction_wakes_nobody() {
    let server = server();
    let mut client = server.connect();
    let mut waiter = server.connect();
    waiter.send(&["BLPOP", "k", "other", "0"]).expect("the request is sent");
    until_blocked(&mut client, 1);
    for lines in [
        &["RPUSH k a", "DEL k"][..],
        &["RPUSH k a", "LPOP k"],
        &["RPUSH k a", "RENAME k elsewhere", "DEL elsewhere"],
        &["RPUSH k a", "DEL k", "SADD k member", "DEL k"],
        &["RPUSH k a", "PEXPIREAT k 1"],
    ] {
        client.run("MULTI");
        lines.iter().for_each(|line| drop(client.run(line)));
        assert!(matches!(client.run("EXEC"), Value::Array(_)), "{lines:?}");
        until_blocked(&mut client, 1);
    }
    client.run("SET k string");
    until_blocked(&mut client, 1);
    // Its turn has come by the other key, and then the first one is of the wrong type.
    client.run("RPUSH other a");
    assert!(matches!(waiter.receive().expect("a reply").value, Value::Error(text) if text.starts_with(b"WRONGTYPE")));
    assert_eq!(client.int("LLEN other"), 1);
}

#[test]
fn a_wait_ends_in_its_time_and_by_unblock() {
    let server = server();
    let mut client = server.connect();
    for (form, reply) in [
        ("BLPOP k 0.05", "(nil)"),
        ("BLMOVE k l LEFT LEFT 0.05", "(nil)"),
        ("BZMPOP 0.05 1 k MAX", "(nil)"),
        ("XREAD BLOCK 50 STREAMS k $", "(nil)"),
    ] {
        assert_eq!(server.connect().run(form).lines(), [reply], "{form}");
    }
    for (how, answer) in [("TIMEOUT", "(nil)"), ("ERROR", "(error) UNBLOCKED client unblocked via CLIENT UNBLOCK")] {
        let mut waiter = server.connect();
        let id = waiter.int("CLIENT ID");
        assert_eq!(client.int(&format!("CLIENT UNBLOCK {id} {how}")), 0, "it does not wait yet");
        waiter.send(&["BLPOP", "k", "0"]).expect("the request is sent");
        until_blocked(&mut client, 1);
        assert_eq!(client.int(&format!("CLIENT UNBLOCK {id} {how}")), 1);
        assert_eq!(waiter.receive().expect("a reply").value.lines(), [answer]);
        until_blocked(&mut client, 0);
    }
    let patience = Duration::from_secs(10);
    let mut waiter = Client::with_patience(server.port(), patience).expect("a connection");
    waiter.send(&["BLPOP", "k", "0"]).expect("the request is sent");
    until_blocked(&mut client, 1);
    assert_eq!(client.int("RPUSH k left-for-others a"), 2);
    assert_eq!(element_of(&mut waiter), "left-for-others");
    assert_eq!(client.text("LPOP k"), "a");
}
