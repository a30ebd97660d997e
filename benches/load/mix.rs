//! What is sent: commands by name, and the keys they meet.

use std::io::Write;
use std::rc::Rc;

use crate::support::client::request;
use crate::support::random::{Random, mix};

/// A command of the load, by name.
#[derive(Clone)]
pub struct Mix {
    pub name: String,
    value: Rc<[u8]>,
}

/// Commands `--commands` may name.
pub const NAMES: &[&str] = &[
    "get",
    "set",
    "incr",
    "ping",
    "mget10",
    "hset",
    "hget",
    "hgetall",
    "hincrby",
    "lpush+lpop",
    "lrange10",
    "sadd",
    "sismember",
    "zadd",
    "zaddbig",
    "zrange10",
    "zrank",
    "zrangebyscore",
    "xadd",
    "xrange10",
    "pfadd",
    "setbit",
    "eval",
    "multi",
    "publish",
];

/// Collections have this many elements, and there is one for so many keys.
const ELEMENTS: u64 = 10;
const KEYS_PER_COLLECTION: u64 = 10;
/// Members of the one big sorted set.
const BIG: u64 = 1_000_000;

/// Streams, and the entries of each where they are read.
const STREAMS: u64 = 1000;
const ENTRIES: u64 = 300;

const SCRIPT: &str = "return redis.call('GET', KEYS[1])";

impl Mix {
    pub fn named(name: &str, value_bytes: usize) -> Self {
        assert!(NAMES.contains(&name), "commands are {}, not {name:?}", NAMES.join(", "));
        Mix { name: name.to_owned(), value: vec![b'v'; value_bytes].into() }
    }

    /// Replies per operation.
    pub fn replies(&self) -> u64 {
        match self.name.as_str() {
            "multi" => 4,
            "lpush+lpop" => 2,
            _ => 1,
        }
    }

    /// Bytes of an operation's requests and replies, where they are always the same: what the floor needs to know.
    pub fn fixed_sizes(&self) -> Option<(usize, usize)> {
        let length = self.value.len();
        match self.name.as_str() {
            "get" => Some((request(&[&b"GET"[..], &[b'k'; 16]]).len(), format!("${length}\r\n\r\n").len() + length)),
            "set" => Some((request(&[&b"SET"[..], &[b'k'; 16], &self.value]).len(), b"+OK\r\n".len())),
            "ping" => Some((request(&["PING"]).len(), b"+PONG\r\n".len())),
            "eval" => {
                let words = [&b"EVAL"[..], SCRIPT.as_bytes(), b"1", &[b'k'; 16]];
                Some((request(&words).len(), format!("${length}\r\n\r\n").len() + length))
            }
            "multi" => {
                let set = request(&[&b"SET"[..], &[b'k'; 16], &self.value]).len();
                let replies = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n";
                Some((request(&["MULTI"]).len() + 2 * set + request(&["EXEC"]).len(), replies.len()))
            }
            _ => None,
        }
    }

    /// Appends the requests of one operation.
    pub fn write(&self, out: &mut Vec<u8>, keys: &Keys, random: &mut Random) {
        let key = keys.pick(random);
        let value = &self.value[..];
        let element = |random: &mut Random| format!("element{}", random.below(2 * ELEMENTS)).into_bytes();
        match self.name.as_str() {
            "get" => put(out, &[b"GET", &key]),
            "set" => put(out, &[b"SET", &key, value]),
            "incr" => put(out, &[b"INCR", &prefixed("n:", &key)]),
            "ping" => put(out, &[b"PING"]),
            "mget10" => {
                let others: Vec<[u8; 16]> = (0..9).map(|_| keys.pick(random)).collect();
                let mut args: Vec<&[u8]> = vec![b"MGET", &key];
                args.extend(others.iter().map(<[u8; 16]>::as_slice));
                put(out, &args);
            }
            "hset" => put(out, &[b"HSET", &keys.collection("h:", random), &element(random), b"valuevalue"]),
            "hget" => put(out, &[b"HGET", &keys.collection("h:", random), &element(random)]),
            "hgetall" => put(out, &[b"HGETALL", &keys.collection("h:", random)]),
            "hincrby" => put(out, &[b"HINCRBY", &keys.collection("h:", random), b"counter", b"1"]),
            "lpush+lpop" => {
                let list = keys.collection("l:", random);
                put(out, &[b"LPUSH", &list, b"element99"]);
                put(out, &[b"LPOP", &list]);
            }
            "lrange10" => put(out, &[b"LRANGE", &keys.collection("l:", random), b"0", b"9"]),
            "sadd" => put(out, &[b"SADD", &keys.collection("s:", random), &element(random)]),
            "sismember" => put(out, &[b"SISMEMBER", &keys.collection("s:", random), &element(random)]),
            "zadd" => {
                let score = random.below(1000).to_string();
                put(out, &[b"ZADD", &keys.collection("z:", random), score.as_bytes(), &element(random)]);
            }
            "zaddbig" => {
                let score = random.below(BIG).to_string();
                put(out, &[b"ZADD", b"big", score.as_bytes(), &name_of(random.below(BIG))]);
            }
            "zrange10" => put(out, &[b"ZRANGE", &keys.collection("z:", random), b"0", b"9"]),
            "zrank" => put(out, &[b"ZRANK", b"big", &name_of(random.below(BIG))]),
            "zrangebyscore" => {
                let score = random.below(BIG).to_string();
                put(out, &[b"ZRANGEBYSCORE", b"big", score.as_bytes(), b"+inf", b"LIMIT", b"5", b"10"]);
            }
            "xrange10" => {
                let (stream, from) = (stream_of(random), random.below(ENTRIES).to_string());
                put(out, &[b"XRANGE", &stream, from.as_bytes(), b"+", b"COUNT", b"10"]);
            }
            "pfadd" => put(out, &[b"PFADD", &prefixed("p:", &key[..2]), &name_of(random.below(BIG))]),
            "setbit" => {
                put(out, &[b"SETBIT", &prefixed("b:", &key[..1]), random.below(BIG).to_string().as_bytes(), b"1"])
            }
            "xadd" => {
                put(out, &[b"XADD", &stream_of(random), b"MAXLEN", b"~", b"1000", b"*", b"field", value]);
            }
            "eval" => put(out, &[b"EVAL", SCRIPT.as_bytes(), b"1", &key]),
            "multi" => {
                put(out, &[b"MULTI"]);
                put(out, &[b"SET", &key, value]);
                put(out, &[b"SET", &keys.pick(random), value]);
                put(out, &[b"EXEC"]);
            }
            "publish" => put(out, &[b"PUBLISH", b"channel", value]),
            other => unreachable!("{other} is among the names"),
        }
    }

    /// The requests that prepare an empty server for this command.
    pub fn preparation(&self, keys: &Keys) -> Box<dyn Iterator<Item = Vec<u8>>> {
        let value = Rc::clone(&self.value);
        let collections = keys.count / KEYS_PER_COLLECTION;
        match self.name.as_str() {
            "get" | "set" | "mget10" | "eval" | "multi" => {
                Box::new((0..keys.count).map(move |index| request(&[&b"SET"[..], &name_of(index), &value])))
            }
            "hset" | "hget" | "hgetall" | "hincrby" => {
                Box::new((0..collections).map(|index| collection("HSET", "h:", index, true)))
            }
            "lpush+lpop" | "lrange10" => {
                Box::new((0..collections).map(|index| collection("RPUSH", "l:", index, false)))
            }
            "sadd" | "sismember" => Box::new((0..collections).map(|index| collection("SADD", "s:", index, false))),
            "zadd" | "zrange10" => Box::new((0..collections).map(|index| collection("ZADD", "z:", index, true))),
            "xrange10" => Box::new((0..STREAMS * ENTRIES).map(move |index| {
                let (stream, id) = (format!("x:{}", index % STREAMS), format!("{}-1", index / STREAMS));
                request(&[&b"XADD"[..], stream.as_bytes(), id.as_bytes(), b"field", &value])
            })),
            "zaddbig" | "zrank" | "zrangebyscore" => Box::new((0..BIG).map(|index| {
                request(&[&b"ZADD"[..], b"big", (mix(index) % BIG).to_string().as_bytes(), &name_of(index)])
            })),
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// A request that fills one collection; `pairs` when each element has a score or a value.
pub fn collection(command: &str, prefix: &str, index: u64, pairs: bool) -> Vec<u8> {
    let mut args = vec![command.as_bytes().to_vec(), prefixed(prefix, &name_of(index))];
    for number in 0..ELEMENTS {
        let element = format!("element{number}").into_bytes();
        match (pairs, command) {
            (true, "ZADD") => args.extend([number.to_string().into_bytes(), element]),
            (true, _) => args.extend([element, b"valuevalue".to_vec()]),
            _ => args.push(element),
        }
    }
    request(&args)
}

/// Random keys of 16 bytes, by index: uniform, or Zipf with exponent 0.99.
#[derive(Clone)]
pub struct Keys {
    pub count: u64,
    zipf: Option<Zipf>,
}

impl Keys {
    pub fn new(count: u64, zipf: bool) -> Self {
        Keys { count, zipf: zipf.then(|| Zipf::new(count, 0.99)) }
    }

    pub fn pick(&self, random: &mut Random) -> [u8; 16] {
        name_of(self.index(random))
    }

    fn collection(&self, prefix: &str, random: &mut Random) -> Vec<u8> {
        prefixed(prefix, &name_of(self.index(random) / KEYS_PER_COLLECTION))
    }

    fn index(&self, random: &mut Random) -> u64 {
        match &self.zipf {
            None => random.below(self.count),
            Some(zipf) => zipf.sample(random),
        }
    }
}

/// Zipfian numbers by the method of Gray et al., "Quickly generating billion-record synthetic databases" (1994).
#[derive(Clone)]
struct Zipf {
    count: f64,
    alpha: f64,
    eta: f64,
    zeta: f64,
    half: f64,
}

impl Zipf {
    fn new(count: u64, theta: f64) -> Self {
        let zeta: f64 = (1..=count).map(|rank| (rank as f64).powf(-theta)).sum();
        let half = 0.5_f64.powf(theta);
        let count = count as f64;
        let eta = (1.0 - (2.0 / count).powf(1.0 - theta)) / (1.0 - (1.0 + half) / zeta);
        Zipf { count, alpha: 1.0 / (1.0 - theta), eta, zeta, half }
    }

    fn sample(&self, random: &mut Random) -> u64 {
        let uniform = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = uniform * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + self.half {
            return 1;
        }
        let rank = self.count * (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count as u64 - 1)
    }
}

/// The key with an index: 16 hexadecimal digits, spread at random.
pub fn name_of(index: u64) -> [u8; 16] {
    let mut name = [0; 16];
    let mut bits = mix(index);
    for digit in &mut name {
        *digit = b"0123456789abcdef"[(bits & 15) as usize];
        bits >>= 4;
    }
    name
}

fn stream_of(random: &mut Random) -> Vec<u8> {
    format!("x:{}", random.below(STREAMS)).into_bytes()
}

fn prefixed(prefix: &str, key: &[u8]) -> Vec<u8> {
    [prefix.as_bytes(), key].concat()
}

/// Appends a request without building it elsewhere first.
fn put(out: &mut Vec<u8>, args: &[&[u8]]) {
    write!(out, "*{}\r\n", args.len()).expect("a vector grows");
    for arg in args {
        write!(out, "${}\r\n", arg.len()).expect("a vector grows");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}
