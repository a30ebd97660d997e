//! The engine without a socket: what leaves by the log makes another keyspace equal, and every cut holds the
//! invariants that writers keep by MULTI.

use larder::base::rng::Rng;
use larder::base::time::Clock;
use larder::client::{Peer, Session};
use larder::command::CommandTable;
use larder::command::args::Argv;
use larder::config::Config;
use larder::engine::Engine;
use larder::engine::apply::Apply;
use larder::keyspace::cut::Cut;
use larder::keyspace::cut::running::Image;
use larder::keyspace::{Entry, Txn};
use larder::node::Node;
use larder::resp::reply::{Proto, Reply};
use larder::resp::request::{Limits, Parser, Step};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

fn engine(clock: Clock) -> Engine {
    let commands = CommandTable::new(&[]).expect("nothing is renamed");
    let node = Node::new(Arc::new(Config::new()), clock, commands.all().len()).expect("a node");
    let engine = Engine { node, commands };
    engine.adopt_config();
    engine
}

/// A client of the engine.
struct Direct<'e> {
    engine: &'e Engine,
    session: Session,
}

impl<'e> Direct<'e> {
    fn new(engine: &'e Engine) -> Direct<'e> {
        let client = engine.node.clients.add(0, Peer::default(), 0);
        Direct { engine, session: Session::new(client, engine.node.acl.initial()) }
    }
    fn run(&mut self, line: &str) -> String {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut reply = Reply::new(Proto::Resp2);
        self.session.moment = self.engine.node.clock.moment();
        self.engine.execute(&mut self.session, Argv::new(&argv), &mut reply);
        String::from_utf8_lossy(&reply.take()).into_owned()
    }
}

fn digest(engine: &Engine) -> String {
    // DEBUG is off by default and the configuration is read-only here, so the digest is taken from the keyspace.
    let mut total = larder::keyspace::digest::Digest::default();
    let txn = Txn::all(&engine.node.keyspace, 0, engine.node.clock.now_ms());
    for shard in txn.shards() {
        for (number, db) in shard.dbs.iter().enumerate() {
            db.table.for_each(|entry| {
                let mut one = larder::keyspace::digest::of_entry(entry);
                one.mix(&number.to_be_bytes());
                total.add(&one.0);
            });
        }
    }
    total.hex()
}

/// A day at several kinds of sites: every line may change something.
fn random_command(rng: &mut Rng) -> String {
    let key = |rng: &mut Rng| format!("k{}", rng.below(40));
    let n = rng.below(100) as i64 - 50;
    let (a, b) = (key(rng), key(rng));
    match rng.below(30) {
        0 => format!("SET {a} v{n}"),
        1 => format!("SET {a} {n} PX {}", 1 + rng.below(400)),
        2 => format!("INCRBY {a} {n}"),
        3 => format!("APPEND {a} x{n}"),
        4 => format!("SETRANGE {a} {} abc", rng.below(20)),
        5 => format!("GETEX {a} PX {}", 1 + rng.below(400)),
        6 => format!("INCRBYFLOAT {a} 1.25"),
        7 => format!("DEL {a} {b}"),
        8 => format!("RENAME {a} {b}"),
        9 => format!("COPY {a} {b} REPLACE"),
        10 => format!("PEXPIRE {a} {}", 1 + rng.below(400)),
        11 => format!("PERSIST {a}"),
        12 => format!("MOVE {a} 1"),
        13 => format!("SETBIT {a} {} 1", rng.below(100)),
        14 => format!("MSET {a} 1 {b} 2"),
        15 => format!("GETDEL {a}"),
        16 => format!("LPUSH l{a} {n} x"),
        17 => format!("RPOPLPUSH l{a} l{b}"),
        18 => format!("LTRIM l{a} 0 5"),
        19 => format!("SADD s{a} {n} m{n}"),
        20 => format!("SPOP s{a}"),
        21 => format!("SMOVE s{a} s{b} {n}"),
        22 => format!("HSET h{a} f{n} {n} g 1"),
        23 => format!("HINCRBYFLOAT h{a} g 0.5"),
        24 => format!("HDEL h{a} f{n} g"),
        25 => format!("ZADD z{a} {n} m{n} 1.5 n"),
        26 => format!("ZPOPMIN z{a} 2"),
        27 => format!("ZUNIONSTORE z{a} 2 z{a} z{b}"),
        28 => format!("SELECT {}", rng.below(2)),
        _ => format!("HPEXPIRE h{a} {} FIELDS 1 g", 1 + rng.below(400)),
    }
}

#[test]
fn a_log_read_back_makes_another_keyspace_equal() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut rng = Rng::from_seed(seed);
        let clock = Clock::manual(1_700_000_000_000);
        let source = engine(clock.clone());
        source.node.keyspace.interest.log.store(true, Ordering::Relaxed);
        let pin = source.node.log.attach();
        let mut client = Direct::new(&source);
        for step in 0..3000 {
            client.run(&random_command(&mut rng));
            if step % 10 == 0 {
                clock.advance_ms(rng.below(50));
            }
            if step % 100 == 0 {
                (0..source.node.keyspace.shard_count()).for_each(|s| while source.sweep(s).more {});
            }
        }
        clock.advance_ms(1000);
        (0..source.node.keyspace.shard_count()).for_each(|s| while source.sweep(s).more {});

        let mut bytes = Vec::new();
        source.node.log.read(&pin, &mut bytes);
        let target = engine(clock.clone());
        let mut apply = Apply::new(&target);
        let mut parser = Parser::new();
        while let Ok(Step::Request(request)) = parser.next(&bytes, &Limits::default()) {
            let argv: Vec<&[u8]> = parser.args(&request, &bytes).iter().collect();
            apply.run(&argv).unwrap_or_else(|e| panic!("{e:?}: {}", String::from_utf8_lossy(&argv.join(&b' '))));
        }
        assert_eq!(digest(&source), digest(&target), "seed {seed}");
    }
}

/// Adds up balances, and remembers how often each account was seen.
#[derive(Default)]
struct Ledger(Mutex<HashMap<Vec<u8>, i64>>);

impl Image for Ledger {
    fn entry(&self, _: u32, entry: &Entry) {
        if entry.key().starts_with(b"account:") {
            let balance = entry.str().and_then(|s| s.as_int()).expect("a balance is a number");
            let before = self.0.lock().expect("no panic before").insert(entry.key().to_vec(), balance);
            assert_eq!(before, None, "an account is seen once");
        }
    }
}

#[test]
fn every_cut_holds_what_writers_keep_by_multi() {
    const ACCOUNTS: u64 = 200;
    let engine = engine(Clock::real());
    let mut client = Direct::new(&engine);
    for n in 0..ACCOUNTS {
        client.run(&format!("SET account:{n} 1000"));
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                let mut rng = Rng::from_seed(writer);
                let mut client = Direct::new(engine);
                while !stop.load(Ordering::Relaxed) {
                    let (from, to, sum) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS), rng.below(50));
                    client.run("MULTI");
                    client.run(&format!("DECRBY account:{from} {sum}"));
                    client.run(&format!("INCRBY account:{to} {sum}"));
                    assert!(client.run("EXEC").starts_with("*2"));
                    // Noise: the table grows, keys come and go, expire and are flushed in another database.
                    client.run(&format!("SET noise:{} x PX {}", rng.below(50_000), 1 + rng.below(20)));
                    client.run(&format!("DEL noise:{}", rng.below(50_000)));
                    if rng.below(200) == 0 {
                        client.run("SELECT 3");
                        client.run("SET other 1");
                        client.run("FLUSHDB");
                        client.run("SELECT 0");
                    }
                }
            });
        }
        for _ in 0..40 {
            let ledger = Arc::new(Ledger::default());
            let token = engine.node.token.lock();
            let now_ms = engine.node.clock.now_ms();
            let cut = Cut::begin(&mut Txn::all(&engine.node.keyspace, 0, now_ms), ledger.clone());
            drop(token);
            let mut cut = cut.expect("one cut at a time");
            while cut.step(64) {
                (0..engine.node.keyspace.shard_count()).for_each(|s| {
                    engine.sweep(s);
                });
            }
            drop(cut);
            let seen = ledger.0.lock().expect("no panic before");
            assert_eq!(seen.len() as u64, ACCOUNTS);
            assert_eq!(seen.values().sum::<i64>(), 1000 * ACCOUNTS as i64);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
