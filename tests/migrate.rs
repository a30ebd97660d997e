//! MIGRATE: to the real server and back, and to targets that are slow, that break off and that answer errors.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::client::{Client, Value};
use support::server::{Server, larder, oracle};

fn server() -> Server {
    larder().set("worker-threads", "2").start()
}

/// A target under the test's thumb.
struct Target(TcpListener);

impl Target {
    fn new() -> Target {
        Target(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }
    fn port(&self) -> u16 {
        self.0.local_addr().expect("a bound address").port()
    }
    /// Has `owner` move a key, and answers until the payload is there.
    fn begin(&self, owner: &mut Client, key: &str, timeout_ms: u32) -> Peer {
        owner.send(&migrate(self.port(), &format!("{key} 0 {timeout_ms}"))).expect("sent");
        let mut peer = self.accept();
        peer.expect("SELECT 0", "+OK");
        assert_eq!(peer.request(), format!("RESTORE {key} 0 .."));
        peer
    }
    fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        Peer(BufReader::new(stream))
    }
}

/// One connection to it.
struct Peer(BufReader<TcpStream>);

impl Peer {
    /// The next request, its value left out: a payload begins with its type and ends with its checksum.
    fn request(&mut self) -> String {
        let mut words = Vec::new();
        for at in 0..self.number() {
            let mut bytes = vec![0; self.number() + 2];
            self.0.read_exact(&mut bytes).expect("an argument");
            bytes.truncate(bytes.len() - 2);
            words.push(if at == 3 { "..".to_owned() } else { String::from_utf8(bytes).expect("text") });
        }
        words.join(" ")
    }
    fn number(&mut self) -> usize {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line[1..].trim_end().parse().expect("a count")
    }
    fn answer(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("sent");
    }
    fn expect(&mut self, request: &str, answer: &str) {
        assert_eq!(self.request(), request);
        self.answer(answer);
    }
}

fn migrate(port: u16, rest: &str) -> Vec<String> {
    let words = rest.split_whitespace().map(|word| if word == "''" { "" } else { word });
    ["MIGRATE", "127.0.0.1", &port.to_string()].into_iter().chain(words).map(str::to_owned).collect()
}

fn error(text: &str) -> String {
    format!("(error) {text}")
}

const OUT_OF_TIME: &str = "IOERR error or timeout reading to target instance";

/// Fills a server with one value of each type and encoding; returns their keys.
fn fill(client: &mut Client) -> Vec<&'static str> {
    let long = "x".repeat(300_000);
    client.call(&["SET", "text:long", &long]);
    for line in [
        "SET text hello",
        "SET int 12345",
        "RPUSH list a b 3",
        "SADD set:int 1 2 300",
        "SADD set a b",
        "ZADD zset 1 a 2.5 b",
        "HSET hash f v g 17",
        "XADD stream 1-1 f v",
        "XADD stream 2-1 f w",
        "XGROUP CREATE stream readers 0",
        "XREADGROUP GROUP readers alice COUNT 1 STREAMS stream >",
        "PFADD visitors a b c",
    ] {
        client.run(line);
    }
    for number in 0..1000 {
        client.run(&format!("RPUSH list:long item:{number}"));
        client.run(&format!("SADD set:long member:{number}"));
        client.run(&format!("ZADD zset:long {number} member:{number}"));
        client.run(&format!("HSET hash:long field:{number} value:{number}"));
    }
    vec![
        "text:long",
        "text",
        "int",
        "list",
        "set:int",
        "set",
        "zset",
        "hash",
        "stream",
        "visitors",
        "list:long",
        "set:long",
        "zset:long",
        "hash:long",
    ]
}

#[test]
fn every_type_moves_to_the_real_server_and_back() {
    let (here, there) = (server(), oracle().start());
    let (mut ours, mut theirs) = (here.connect(), there.connect());
    let keys = fill(&mut ours);
    let digest = |client: &mut Client, key: &str| client.run(&format!("DEBUG DIGEST-VALUE {key}")).to_string();
    // A digest tells whether there is a deadline.
    assert_eq!(ours.run("EXPIRE text 1000"), Value::Int(1));
    let digests: Vec<String> = keys.iter().map(|key| digest(&mut ours, key)).collect();

    let all = keys.join(" ");
    assert_eq!(ours.call(&migrate(there.port(), &format!("'' 3 5000 KEYS gone {all}"))).to_string(), "OK");
    assert_eq!(ours.int("DBSIZE"), 0);
    theirs.run("SELECT 3");
    for (key, want) in keys.iter().zip(&digests) {
        assert_eq!(&digest(&mut theirs, key), want, "{key}");
    }
    assert!((990..=1000).contains(&theirs.int("TTL text")));
    assert_eq!(theirs.run("TTL int"), Value::Int(-1));

    assert_eq!(theirs.call(&migrate(here.port(), &format!("'' 0 5000 KEYS {all}"))).to_string(), "OK");
    for (key, want) in keys.iter().zip(&digests) {
        assert_eq!(&digest(&mut ours, key), want, "{key}");
    }
    assert!((990..=1000).contains(&ours.int("TTL text")));
    assert_eq!(theirs.int("DBSIZE"), 0);
}

#[test]
fn what_the_target_refuses_stays() {
    let (here, there) = (server(), oracle().start());
    let (mut ours, mut theirs) = (here.connect(), there.connect());
    ours.run("MSET a 1 b 2 c 3");
    theirs.run("SET b taken");
    let busy = error("ERR Target instance replied with error: BUSYKEY Target key name already exists.");
    assert_eq!(ours.call(&migrate(there.port(), "'' 0 5000 KEYS a b c")).to_string(), busy);
    assert_eq!(ours.run("MGET a b c").to_string(), "1) (nil)\n2) \"2\"\n3) (nil)");
    assert_eq!(ours.call(&migrate(there.port(), "b 0 5000 COPY REPLACE")).to_string(), "OK");
    assert_eq!(ours.run("GET b").to_string(), "\"2\"");
    assert_eq!(theirs.run("MGET a b c").to_string(), "1) \"1\"\n2) \"2\"\n3) \"3\"");
    // A value that an older server cannot hold.
    ours.run("HSET hash f v");
    ours.run("HEXPIRE hash 1000 FIELDS 1 f");
    let version = error("ERR Target instance replied with error: ERR DUMP payload version or checksum are wrong");
    assert_eq!(ours.call(&migrate(there.port(), "hash 0 5000")).to_string(), version);
    assert_eq!(ours.int("EXISTS hash"), 1);

    theirs.run("CONFIG SET requirepass secret");
    theirs.run("AUTH secret");
    let no_auth = error("ERR Target instance replied with error: NOAUTH Authentication required.");
    // The connection was kept, and is still allowed to do what it did: the next one is not.
    assert_eq!(ours.call(&migrate(there.port(), "b 0 5000 COPY REPLACE")).to_string(), "OK");
    theirs.run("CLIENT KILL TYPE normal SKIPME yes");
    assert_eq!(ours.call(&migrate(there.port(), "b 0 5000 COPY REPLACE")).to_string(), no_auth);
    let wrong = "ERR Target instance replied with error: WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(ours.call(&migrate(there.port(), "b 0 5000 REPLACE AUTH wrong")).to_string(), error(wrong));
    assert_eq!(ours.int("EXISTS b"), 1);
    assert_eq!(ours.call(&migrate(there.port(), "b 0 5000 REPLACE AUTH2 default secret")).to_string(), "OK");
    assert_eq!(ours.int("EXISTS b"), 0);
}

#[test]
fn a_connection_is_kept_and_selects_no_more_than_it_must() {
    let (here, target) = (server(), Target::new());
    let mut client = here.connect();
    let port = target.port();
    let teller = thread::spawn(move || {
        let mut peer = target.accept();
        peer.expect("SELECT 9", "+OK");
        peer.expect("RESTORE a 0 ..", "+OK");
        peer.expect("RESTORE b 0 .. REPLACE", "+OK");
        peer.expect("AUTH me secret", "+OK");
        peer.expect("SELECT 2", "+OK");
        peer.expect("RESTORE c 0 ..", "-BUSYKEY taken");
        // After an error nothing is known to be selected.
        peer.expect("SELECT 2", "+OK");
        peer.expect("RESTORE c 0 ..", "+OK");
        drop(peer);
        // A kept connection that turns out to be closed is replaced.
        let mut peer = target.accept();
        peer.expect("SELECT 2", "+OK");
        peer.expect("RESTORE d 0 ..", "+OK");
    });
    client.run("MSET a 1 b 2 c 3 d 4");
    assert_eq!(client.info("stats", "migrate_cached_sockets").as_deref(), Some("0"));
    assert_eq!(client.call(&migrate(port, "a 9 5000")).to_string(), "OK");
    assert_eq!(client.info("stats", "migrate_cached_sockets").as_deref(), Some("1"));
    assert_eq!(client.call(&migrate(port, "b 9 5000 REPLACE")).to_string(), "OK");
    let taken = error("ERR Target instance replied with error: BUSYKEY taken");
    assert_eq!(client.call(&migrate(port, "c 2 5000 AUTH2 me secret")).to_string(), taken);
    assert_eq!(client.call(&migrate(port, "c 2 5000")).to_string(), "OK");
    assert_eq!(client.call(&migrate(port, "d 2 5000")).to_string(), "OK");
    assert_eq!(client.int("DBSIZE"), 0);
    teller.join().expect("the target saw what it expected");
}

#[test]
fn a_target_that_breaks_off_keeps_what_it_acknowledged() {
    let (here, target) = (server(), Target::new());
    let mut client = here.connect();
    let mut listener = here.connect();
    let port = target.port();
    client.run("CONFIG SET notify-keyspace-events Eg");
    listener.run("SUBSCRIBE __keyevent@0__:del");
    client.run("MSET a 1 b 2 c 3");
    let teller = thread::spawn(move || {
        let mut peer = target.accept();
        peer.expect("SELECT 0", "+OK");
        peer.expect("RESTORE a 0 ..", "+OK");
        peer.request();
        peer.request();
        // A reply to the second would be of no meaning.
        peer.answer("HTTP/1.1 400 Bad Request");
        target
    });
    assert_eq!(client.call(&migrate(port, "'' 0 5000 KEYS a b c")).to_string(), error(OUT_OF_TIME));
    assert_eq!(client.run("MGET a b c").to_string(), "1) (nil)\n2) \"2\"\n3) \"3\"");
    let event = listener.receive().expect("the event of the key that moved").value.to_string();
    assert!(event.ends_with("\"a\""), "{event}");
    assert_eq!(client.info("stats", "migrate_cached_sockets").as_deref(), Some("0"));

    // Before any reply to a key it is tried once more, and no more than that.
    let target = teller.join().expect("the target saw what it expected");
    let teller = thread::spawn(move || {
        for _ in 0..2 {
            let mut peer = target.accept();
            peer.expect("SELECT 0", "+OK");
            peer.request();
        }
        drop(target);
    });
    assert_eq!(client.call(&migrate(port, "b 0 5000")).to_string(), error(OUT_OF_TIME));
    teller.join().expect("it was tried twice");
    let refused = "IOERR error or timeout writing to target instance";
    assert_eq!(client.call(&migrate(port, "b 0 5000")).to_string(), error(refused));
    assert_eq!(client.int("EXISTS b c"), 2);
}

#[test]
fn others_go_on_and_who_wants_the_key_waits() {
    let (here, target) = (server(), Target::new());
    let mut owner = here.connect();
    owner.run("SET moving 1");
    let shop = |number: usize| {
        let mut shop = Client::with_patience(here.port(), Duration::from_millis(200)).expect("a connection");
        shop.run(&format!("DEBUG WORKER {}", number % 2));
        shop
    };
    let mut shops: Vec<Client> = (0..20).map(shop).collect();
    let mut peer = target.begin(&mut owner, "moving", 30_000);

    let mut waiting = here.connect();
    waiting.send(&["GET", "moving"]).expect("sent");
    let mut killer = here.connect();
    killer.send(&["SCRIPT", "KILL"]).expect("sent");
    // On both workers; a key that lies beside the one that moves waits too.
    for worker in 0..2 {
        let set = |(number, shop): (usize, &mut Client)| {
            shop.send(&["SET", &format!("other:{number}"), "1"]).is_ok() && shop.receive().is_ok()
        };
        let mut here = shops.iter_mut().enumerate().skip(worker).step_by(2);
        assert!(here.any(set), "no other key can be written on worker {worker}");
    }
    assert!(here.connect().run("CLIENT LIST").to_string().contains("cmd=migrate"));
    peer.answer("+OK");
    assert_eq!(owner.receive().expect("a reply").value.to_string(), "OK");
    assert_eq!(waiting.receive().expect("a reply").value, Value::Null);
    let no_script = error("NOTBUSY No scripts in execution right now.");
    assert_eq!(killer.receive().expect("a reply").value.to_string(), no_script);
}

#[test]
fn a_client_that_goes_away_does_not_stop_it() {
    let (here, target) = (server(), Target::new());
    let mut shop = here.connect();
    shop.run("MSET a 1 b 2");
    for (key, killed) in [("a", false), ("b", true)] {
        let mut owner = here.connect();
        let id = owner.int("CLIENT ID");
        let mut peer = target.begin(&mut owner, key, 30_000);
        if killed {
            assert_eq!(shop.int(&format!("CLIENT KILL ID {id}")), 1);
        } else {
            drop(owner);
        }
        peer.answer("+OK");
        assert_eq!(shop.int(&format!("EXISTS {key}")), 0);
        drop(peer);
    }
    assert_eq!(shop.int("DBSIZE"), 0);
}

/// Who waited for a target was taken for idle, and closed while its keys moved.
#[test]
fn who_waits_for_a_target_is_not_idle() {
    let (here, target) = (server(), Target::new());
    let (mut owner, mut idle) = (here.connect(), here.connect());
    owner.run("SET a 1");
    owner.run("CONFIG SET timeout 1");
    let mut peer = target.begin(&mut owner, "a", 30_000);
    // It sends this after the owner has fallen silent.
    idle.run("PING");
    assert!(idle.is_closed());
    peer.answer("+OK");
    assert_eq!(owner.receive().expect("a reply").value.to_string(), "OK");
}

#[test]
fn the_server_ends_although_a_target_is_silent() {
    let (mut here, target) = (server(), Target::new());
    let mut owner = here.connect();
    owner.run("SET a 1");
    // Dropped, the connection would not be silent but closed.
    let _peer = target.begin(&mut owner, "a", 600_000);
    here.connect().send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert!(here.wait().expect("it ends").success());
}

#[test]
fn in_a_transaction_and_in_a_script_it_waits_in_place() {
    let (here, target) = (server(), Target::new());
    let port = target.port();
    let mut client = here.connect();
    let mut other = here.connect();
    client.run("MSET a 1 b 2 c 3");
    let teller = thread::spawn(move || {
        let mut peer = target.accept();
        peer.expect("SELECT 0", "+OK");
        peer.expect("RESTORE a 0 ..", "+OK");
        peer.expect("RESTORE b 0 ..", "-BUSYKEY taken");
        peer.expect("SELECT 0", "+OK");
        peer.expect("RESTORE b 0 ..", "+OK");
        peer.expect("RESTORE c 0 ..", "-BUSYKEY taken");
        peer.expect("SELECT 0", "+OK");
        peer.expect("RESTORE c 0 ..", "+OK");
    });
    client.run("MULTI");
    client.run("SET first 1");
    client.call(&migrate(port, "a 0 5000"));
    client.run("EXISTS a");
    client.call(&migrate(port, "b 0 5000"));
    client.call(&["EVAL", "return redis.call('EXISTS', 'b')", "0"]);
    client.run("SET last 1");
    let want = "1) OK\n2) OK\n3) (integer) 0\n4) (error) ERR Target instance replied with error: BUSYKEY taken\n\
                5) (integer) 1\n6) OK";
    assert_eq!(client.run("EXEC").to_string(), want);

    let script = "local moved = redis.call('MIGRATE', '127.0.0.1', ARGV[1], KEYS[1], '0', '5000')['ok']
        local failed = redis.pcall('MIGRATE', '127.0.0.1', ARGV[1], 'c', '0', '5000')['err']
        local again = redis.call('MIGRATE', '127.0.0.1', ARGV[1], 'c', '0', '5000')['ok']
        return {moved, failed, again, redis.call('EXISTS', 'b', 'c'), redis.call('DBSIZE')}";
    let want = "1) \"OK\"\n2) \"ERR Target instance replied with error: BUSYKEY taken\"\n3) \"OK\"\n4) (integer) 0\n\
                5) (integer) 2";
    assert_eq!(client.call(&["EVAL", script, "1", "b", &port.to_string()]).to_string(), want);
    teller.join().expect("the target saw what it expected");
    assert_eq!(other.run("MGET first last").to_string(), "1) \"1\"\n2) \"1\"");
    assert_eq!(client.info("commandstats", "cmdstat_migrate").map(|line| line.split(',').count()), Some(5));
    assert!(client.info("commandstats", "cmdstat_migrate").is_some_and(|line| line.starts_with("calls=5,")));
}

#[test]
fn a_move_to_oneself_ends_in_time() {
    let here = server();
    let mut client = here.connect();
    client.run("SET a 1");
    assert_eq!(client.call(&migrate(here.port(), "a 9 100")).to_string(), error(OUT_OF_TIME));
    assert_eq!(client.run("GET a").to_string(), "\"1\"");
    client.run("MULTI");
    client.call(&migrate(here.port(), "a 9 100"));
    assert_eq!(client.run("EXEC").to_string(), format!("1) {}", error(OUT_OF_TIME)));
    assert_eq!(client.run("SET a 2").to_string(), "OK");
}
