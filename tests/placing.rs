//! Where connections live: on one worker while it keeps up, on all when it does not, and what they take along.

mod support;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use support::client::{Client, Value};
use support::server::{Server, Setup, larder};
use support::transcript::wait_until;

fn two_workers() -> Setup {
    larder().set("worker-threads", "2")
}

fn at_home(client: &mut Client) -> bool {
    client.int("DEBUG WORKER") == 0
}

/// The next frame, as `redis-cli` shows it.
fn reply(client: &mut Client) -> String {
    client.receive().expect("a reply").value.to_string()
}

/// Moves a client to the other worker, from where it answers.
fn send_over(client: &mut Client) {
    let other = 1 - client.int("DEBUG WORKER");
    assert_eq!(client.text(&format!("DEBUG WORKER {other}")), "OK");
    assert_eq!(client.int("DEBUG WORKER"), other);
}

/// Clients that keep a server busy until they are dropped.
fn load(server: &Server, clients: usize, stop: &'static AtomicBool) -> Vec<thread::JoinHandle<()>> {
    let connect = |_| {
        let mut client = server.connect();
        thread::spawn(move || {
            let many = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n".repeat(100);
            while !stop.load(Relaxed) {
                client.send_raw(&many).expect("sent");
                (0..100).for_each(|_| assert!(client.receive().is_ok()));
            }
        })
    };
    (0..clients).map(connect).collect()
}

/// Redis users rely on it unknowingly: one thread runs what it is sent in the order in which it arrives.
#[test]
fn what_one_client_has_sent_runs_before_what_another_sends_later() {
    let server = two_workers().start();
    for round in 1..=200 {
        let mut sends = server.connect();
        sends.send(&["INCR", "first"]).expect("sent");
        let mut asks = server.connect();
        assert_eq!(asks.int("INCRBY first 0"), round, "with the first request");
    }
    let (mut sends, mut asks) = (server.connect(), server.connect());
    for round in 1..=500 {
        sends.send(&["INCR", "rounds"]).expect("sent");
        assert_eq!(asks.int("INCRBY rounds 0"), round);
        assert!(sends.receive().is_ok());
    }
}

/// Lone requests are set aside until other connections have been read.
#[test]
fn a_request_that_is_set_aside_is_not_overtaken() {
    for later in
        ["GET key\r\nGET key\r\n".to_owned(), format!("EXISTS key {}\r\n", "x".repeat(600)), "DBSIZE\r\n".to_owned()]
    {
        let server = larder().set("worker-threads", "1").start();
        let (mut holds, mut sends, mut asks) = (server.connect(), server.connect(), server.connect());
        for client in [&mut holds, &mut sends, &mut asks] {
            client.ping().expect("it is connected");
        }
        // Two together are not set aside; the others arrive meanwhile.
        holds.send_raw(b"DEBUG SLEEP 0.2\r\nPING\r\n").expect("sent");
        thread::sleep(Duration::from_millis(50));
        sends.send(&["SET", "key", "1"]).expect("sent");
        asks.send_raw(later.as_bytes()).expect("sent");
        let seen = reply(&mut asks);
        assert!(seen.ends_with("1\"") || seen == "(integer) 1", "{seen} is the answer to {later}");
    }
}

/// A socket is ready for writing as soon as the worker has it, and was served before others that were sent something earlier
/// if the worker was in a long command just then.
#[test]
fn who_has_just_come_goes_before_nobody() {
    const ROUNDS: usize = 100;
    let server = two_workers().start();
    let (mut holds, mut sends) = (server.connect(), server.connect());
    for client in [&mut holds, &mut sends] {
        client.ping().expect("it is connected");
    }
    let mut overtaken = 0;
    for round in 1..=ROUNDS {
        let mut crowd: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        holds.send(&["DEBUG", "SLEEP", "0.01"]).expect("sent");
        thread::sleep(Duration::from_millis(3));
        sends.send(&["INCR", "rounds"]).expect("sent");
        for client in &mut crowd {
            client.send_raw(b"GET rounds\r\nPING\r\n").expect("sent");
        }
        let expected = format!("\"{round}\"");
        overtaken += usize::from(crowd.iter_mut().map(reply).any(|seen| seen != expected));
        assert_eq!(reply(&mut sends), format!("(integer) {round}"));
        assert_eq!(reply(&mut holds), "OK");
    }
    // That was so in every second round. A worker that has to wait for its core between two system calls still sees it.
    assert!(overtaken <= ROUNDS / 5, "overtaken in {overtaken} rounds of {ROUNDS}");
}

/// Many come at once: those on their way to a worker count.
#[test]
fn no_more_clients_come_than_may() {
    let server = larder().set("worker-threads", "2").start();
    let mut owner = server.connect();
    owner.run("CONFIG SET maxclients 5");
    for _ in 0..20 {
        let mut crowd: Vec<Client> = (0..10).map(|_| server.connect()).collect();
        let refused = crowd.iter_mut().filter_map(|client| client.ping().err()).count();
        assert_eq!(refused, 6);
        drop(crowd);
        wait_until(|| owner.info("clients", "connected_clients").as_deref() == Some("1")).expect("they are gone");
    }
}

#[test]
fn a_client_takes_along_what_it_is_in_the_middle_of() {
    let server = two_workers().start();
    let (mut moving, mut other) = (server.connect(), server.connect());
    moving.run("SELECT 3");
    moving.run("CLIENT SETNAME moving");
    send_over(&mut moving);
    // A transaction, watched keys and its queue.
    moving.run("WATCH watched");
    send_over(&mut moving);
    moving.run("MULTI");
    moving.run("SET a 1");
    moving.run("DEBUG WORKER 0");
    moving.run("GET a");
    other.run("SELECT 3");
    assert_eq!(moving.run("EXEC").lines(), ["1) OK", "2) OK", "3) \"1\""]);
    moving.run("WATCH watched");
    send_over(&mut moving);
    other.run("SET watched changed");
    moving.run("MULTI");
    moving.run("SET a 2");
    assert_eq!(moving.run("EXEC"), Value::Null);
    assert_eq!(moving.text("CLIENT GETNAME"), "moving");
}

#[test]
fn requests_sent_before_and_behind_a_move_are_answered_in_order() {
    let server = two_workers().start();
    let mut client = server.connect();
    for round in 0..50 {
        let to = round % 2;
        let text = format!("ECHO before\r\nDEBUG WORKER {to}\r\nECHO behind\r\nSET key {}", "x".repeat(100));
        client.send_raw(text.as_bytes()).expect("sent");
        // The last request is cut off where the client moves.
        let replies: Vec<String> = (0..3).map(|_| reply(&mut client)).collect();
        assert_eq!(replies, ["\"before\"", "OK", "\"behind\""]);
        client.send_raw(b"yz\r\n").expect("sent");
        assert_eq!(reply(&mut client), "OK");
        assert_eq!(client.int("DEBUG WORKER"), to);
        assert_eq!(client.int("STRLEN key"), 102);
    }
}

#[test]
fn a_big_argument_is_not_lost_on_the_way() {
    let server = two_workers().start();
    let mut client = server.connect();
    let big = "b".repeat(3_000_000);
    for to in [1, 0] {
        let (first, rest) = big.split_at(1_000_000);
        let start =
            format!("*3\r\n$5\r\nDEBUG\r\n$6\r\nWORKER\r\n$1\r\n{to}\r\n*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$3000000\r\n");
        client.send_raw(start.as_bytes()).expect("sent");
        client.send_raw(first.as_bytes()).expect("sent");
        assert_eq!(reply(&mut client), "OK");
        client.send_raw(rest.as_bytes()).expect("sent");
        client.send_raw(b"\r\n").expect("sent");
        assert_eq!(reply(&mut client), "OK");
        assert_eq!(client.int("STRLEN big"), 3_000_000);
    }
}

#[test]
fn a_subscriber_gets_every_message_in_order_while_it_moves() {
    let server = two_workers().start();
    let mut subscriber = server.connect();
    subscriber.run("HELLO 3");
    subscriber.run("SUBSCRIBE news");
    let mut publisher = server.connect();
    let publishing = thread::spawn(move || {
        (0..2000).for_each(|n| assert_eq!(publisher.int(&format!("PUBLISH news {n}")), 1));
    });
    let (mut next, mut to) = (0, 0);
    while next < 2000 {
        subscriber.send(&["DEBUG", "WORKER", &to.to_string()]).expect("sent");
        to = 1 - to;
        loop {
            let frame = reply(&mut subscriber);
            if frame == "OK" {
                break;
            }
            assert!(frame.ends_with(&format!(" \"{next}\"")), "{next} was expected, not {frame}");
            next += 1;
        }
    }
    publishing.join().expect("published");
}

/// A media server's clients are few and busy; a Django site's are many and idle at night.
#[test]
fn busy_clients_spread_and_come_home_when_it_is_quiet() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let server = two_workers().start();
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    assert!(clients.iter_mut().all(at_home), "there is one worker's work");
    let load = load(&server, 4, &STOP);
    // These ask now and then, which is busy enough to be moved.
    let until = Instant::now() + Duration::from_secs(30);
    while clients.iter_mut().all(at_home) {
        assert!(Instant::now() < until, "nobody has moved");
    }
    STOP.store(true, Relaxed);
    load.into_iter().for_each(|thread| thread.join().expect("loaded"));
    wait_until(|| {
        thread::sleep(Duration::from_millis(100));
        clients.iter_mut().all(at_home)
    })
    .expect("all are home again");
    let mut late = server.connect();
    assert!(at_home(&mut late), "new ones go where the others are");
}

/// A symbol service is looked into with `KEYS *`, again and again, while its users come.
#[test]
fn who_comes_while_the_first_worker_is_stuck_is_served_by_another() {
    let server = two_workers().set("enable-debug-command", "yes").start();
    let mut slow = server.connect();
    assert_eq!(slow.text("DEBUG POPULATE 200000"), "OK");
    // Sent together, they are one turn of its worker, in which the server looks at what its workers do several times; a
    // machine that is busy otherwise may need more than one.
    const WALKS: usize = 60;
    let is_served = || {
        slow.send_raw(&b"*2\r\n$4\r\nKEYS\r\n$9\r\n*no*such*\r\n".repeat(WALKS)).expect("sent");
        thread::sleep(Duration::from_millis(400));
        let mut others: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        let served = others.iter_mut().all(|client| client.text("PING") == "PONG" && !at_home(client));
        (0..WALKS).for_each(|_| assert_eq!(reply(&mut slow), "(empty array)"));
        served
    };
    assert!(std::iter::repeat_with(is_served).take(10).any(|served| served));
}

/// A script may end before a client that is to wait for it has begun to: many arguments take long to be put by.
#[test]
fn whoever_waits_for_a_script_goes_on_whenever_it_ends() {
    const SLOW: &str = "redis.call('INCR', KEYS[1]) for i = 1, 600000 do end";
    let server = larder().workers(2).set("busy-reply-threshold", "0").start();
    let (mut busy, mut client, mut watcher) = (server.connect(), server.connect(), server.connect());
    let words: Vec<String> =
        ["EXISTS", "key"].map(str::to_owned).into_iter().chain((0..30_000).map(|n| n.to_string())).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                busy.call(&["EVAL", SLOW, "1", "key"]);
            }
        });
        // The server has more to do than one worker can, so that all of them serve.
        scope.spawn(|| {
            while !done.load(Relaxed) {
                watcher.run("CLIENT LIST");
            }
        });
        let answered = (0..100).all(|_| client.send(&words).is_ok() && client.receive().is_ok());
        done.store(true, Relaxed);
        assert!(answered, "a client waits for a script that has ended");
    });
}
