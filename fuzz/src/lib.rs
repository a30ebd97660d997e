//! What the fuzz targets share: a server without sockets, payloads with a sound footer, and inputs to begin with.
//!
//! The inputs to begin with are made here, by the server's own commands, so that there is no corpus to keep: a target's
//! mutator now and then throws its input away and takes one of them ([`mutate_from`]).

use larder::base::crc64::crc64;
use larder::base::time::Clock;
use larder::client::{Peer, Session};
use larder::command::CommandTable;
use larder::command::args::Argv;
use larder::config::Config;
use larder::engine::Engine;
use larder::keyspace::Txn;
use larder::keyspace::digest::{Digest, add_value};
use larder::node::Node;
use larder::resp::reply::{Proto, Reply};
use std::sync::Arc;

/// A server of one client, on a clock that stands still.
pub struct Server {
    engine: Engine,
    session: Session,
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Server {
    /// A server without keys.
    pub fn new() -> Server {
        let commands = CommandTable::new(&[]).expect("nothing is renamed");
        let clock = Clock::manual(1_700_000_000_000);
        let node = Node::new(Arc::new(Config::new()), clock, commands.all().len()).expect("a node");
        let engine = Engine { node, commands };
        engine.adopt_config();
        let client = engine.node.clients.add(0, Peer::default(), 0);
        let session = Session::new(client, engine.node.acl.initial());
        Server { engine, session }
    }

    /// Runs a command; the reply as it would be sent.
    pub fn call(&mut self, argv: &[&[u8]]) -> Vec<u8> {
        let mut reply = Reply::new(Proto::Resp3);
        self.session.moment = self.engine.node.clock.moment();
        self.engine.execute(&mut self.session, Argv::new(argv), &mut reply);
        reply.take()
    }

    /// Runs a command of words; `$` stands for this argument.
    pub fn run(&mut self, line: &str, argument: &[u8]) -> Vec<u8> {
        let words = line.split(' ').map(|word| if word == "$" { argument } else { word.as_bytes() });
        self.call(&words.collect::<Vec<_>>())
    }

    /// The bytes of a bulk string, if the reply is one.
    pub fn bulk(&mut self, line: &str) -> Option<Vec<u8>> {
        let reply = self.run(line, b"");
        let start = reply.windows(2).position(|pair| pair == b"\r\n")? + 2;
        (reply[0] == b'$').then(|| reply[start..reply.len() - 2].to_vec())
    }

    /// The digest of what a key holds.
    pub fn digest(&self, key: &[u8]) -> Digest {
        let mut digest = Digest::default();
        let txn = Txn::all(&self.engine.node.keyspace, 0, self.engine.node.clock.now_ms());
        if let Some(entry) = txn.peek(key) {
            add_value(&mut digest, entry);
        }
        digest
    }
}

/// A payload for RESTORE: type and value with a sound footer.
pub fn sealed(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&12u16.to_le_bytes());
    let checksum = crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// Payloads of all types and encodings, without their footers.
pub fn payloads() -> Vec<Vec<u8>> {
    const KEYS: &[&[&str]] = &[
        &["SET k text"],
        &["SET k 12345"],
        &["RPUSH k a bb 3 -400 50000 6000000000 long-enough-to-be-a-string"],
        &["CONFIG SET list-max-listpack-size 3", "RPUSH k a b c d e f g 1 2 3 4"],
        &["SADD k 1 2 3 70000 5000000000"],
        &["SADD k a b c 17"],
        &["CONFIG SET set-max-listpack-entries 2 set-max-intset-entries 2", "SADD k a b c 17"],
        &["ZADD k 1 a 2.5 b -inf c 17 d"],
        &["CONFIG SET zset-max-listpack-entries 2", "ZADD k 1 a 2.5 b -inf c 17 d"],
        &["HSET k f v g 17 hh a-longer-value"],
        &["CONFIG SET hash-max-listpack-entries 2", "HSET k f v g 17 hh a-longer-value"],
        &["HSET k f v g 17", "HPEXPIREAT k 1800000000000 FIELDS 1 g"],
        &["CONFIG SET hash-max-listpack-entries 1", "HSET k f v g 17 h 8", "HPEXPIREAT k 1800000000000 FIELDS 1 g"],
        &["PFADD k a b c d e"],
        &[
            "CONFIG SET stream-node-max-entries 2",
            "XADD k 1-1 f v g w",
            "XADD k 1-2 f v2 g w2",
            "XADD k 5-0 other 17",
            "XADD k 6-0 last 1",
            "XDEL k 1-2",
            "XGROUP CREATE k g1 0",
            "XGROUP CREATE k g2 $ ENTRIESREAD 2",
            "XREADGROUP GROUP g1 alice COUNT 2 STREAMS k >",
            "XGROUP CREATECONSUMER k g1 bob",
        ],
    ];
    let mut payloads = Vec::new();
    for lines in KEYS {
        let mut server = Server::new();
        for line in *lines {
            let reply = server.run(line, b"$");
            assert!(reply[0] != b'-', "{line}: {}", reply.escape_ascii());
        }
        let payload = server.bulk("DUMP k").expect("a payload");
        payloads.push(payload[..payload.len() - 10].to_vec());
    }
    payloads
}

/// The next input of a target: mostly what libFuzzer makes of the last one, now and then one of `seeds`, changed.
pub fn mutate_from(seeds: &[Vec<u8>], data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut size = size;
    if (size < 2 || seed % 64 == 0) && !seeds.is_empty() {
        let chosen = &seeds[(seed / 64) as usize % seeds.len()];
        size = chosen.len().min(max_size);
        data[..size].copy_from_slice(&chosen[..size]);
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// Reads an input from its head.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; 0 past the end.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }
    /// The next `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }
    /// A short text, with its length before it.
    pub fn text(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.take(count.into())
    }
    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
