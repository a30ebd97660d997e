//! Hit ratios on recorded traces: Larder and `redis-server` at the same `maxmemory` and policy, beside exact LRU.
//!
//! ```text
//! cargo bench --bench hitratio -- DIRECTORY [--traces web12,multi3] [--policies allkeys-lru] [--shares 5,10,25]
//!                                 [--limit 2000000] [--largest 4294967295] [--workers 1] [--base own]
//! ```
//! `DIRECTORY` (or `TRACES`) holds `NAME.trace.gz`: gzip of little-endian pairs `u32 key, u32 size`. Each request is a
//! GET and, on a miss, a SET of `size` bytes, as a look-aside cache does. Requests travel in batches that never name a
//! key twice, which leaves the order of each key's history as recorded.
//!
//! `maxmemory` is what an empty `redis-server` uses plus a share of the trace's distinct bytes (each object with 50 B),
//! the same for both; with `--base own`, what the server itself uses when empty plus that share. "Exact LRU" is simulated with what that server had: its limit less its empty use, and its own
//! bytes per object, measured at the end. So it tells the quality of the choice apart from the thrift of the layout.
//!
//! Small traces are replayed in less than the second that is the resolution of `redis-server`'s LRU clock; judge a
//! policy there by the longer ones.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use support::client::{Client, Value, request};
use support::server::{Server, Setup, larder, oracle};

/// Requests that travel together.
const BATCH: usize = 64;
/// What the traces' own figures add to each object.
const OBJECT_OVERHEAD: u64 = 50;

fn main() {
    let options = Options::parse(std::env::args().skip(1).filter(|word| word != "--bench"));
    let Some(directory) = options.directory.clone().or_else(|| std::env::var_os("TRACES").map(PathBuf::from)) else {
        println!("name the directory of the traces; the head of benches/hitratio.rs says how");
        return;
    };
    println!(
        "| trace | share | policy | maxmemory | larder | redis | larder - redis | larder - exact LRU | redis - exact LRU |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|");
    for name in options.list("traces", "web12,multi3,scarab-recs,orm-busy,cloudPhysicsIO") {
        let trace = Trace::read(&directory.join(format!("{name}.trace.gz")), &options);
        for share in options.list("shares", "5,10,25") {
            for policy in options.list("policies", "allkeys-lru,allkeys-lfu") {
                compare(&name, &trace, share.parse().expect("a share in percent"), &policy, &options);
            }
        }
    }
}

/// `DIRECTORY` and `--name value` pairs.
struct Options {
    directory: Option<PathBuf>,
    named: BTreeMap<String, String>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Self {
        let mut options = Options { directory: None, named: BTreeMap::new() };
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(name) => drop(options.named.insert(name.to_owned(), words.next().expect("a value"))),
                None => options.directory = Some(word.into()),
            }
        }
        options
    }

    fn list(&self, name: &str, default: &str) -> Vec<String> {
        self.named.get(name).map_or(default, String::as_str).split(',').map(str::to_owned).collect()
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.named.get(name).map_or(default, |text| text.parse().expect("a number"))
    }
}

/// Requests as (key, bytes).
struct Trace(Vec<(u32, u32)>);

impl Trace {
    fn read(path: &Path, options: &Options) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let limit = options.number("limit", 2_000_000) as usize;
        let largest = options.number("largest", u64::from(u32::MAX)) as u32;
        Trace(bytes.chunks_exact(8).take(limit).map(|pair| (word(pair), word(&pair[4..]).min(largest))).collect())
    }

    /// Size of each distinct object.
    fn objects(&self) -> HashMap<u32, u32> {
        self.0.iter().copied().collect()
    }

    fn distinct_bytes(&self) -> u64 {
        self.objects().values().map(|size| u64::from(*size) + OBJECT_OVERHEAD).sum()
    }
}

/// What one server made of a trace.
struct Outcome {
    hits: f64,
    exact_lru: f64,
}

fn compare(name: &str, trace: &Trace, share: f64, policy: &str, options: &Options) {
    let workers = options.number("workers", 1).to_string();
    let ours = || larder().set("worker-threads", &workers);
    let empty = |setup: Setup| used_memory(&mut setup.start().connect());
    let room = (trace.distinct_bytes() as f64 * share / 100.0) as u64;
    let maxmemory = room + empty(oracle());
    let ours = match options.named.get("base").map(String::as_str) {
        Some("own") => replay(ours(), trace, policy, room + empty(ours())),
        _ => replay(ours(), trace, policy, maxmemory),
    };
    let theirs = replay(oracle(), trace, policy, maxmemory);
    println!(
        "| {name} | {share}% | {policy} | {maxmemory} | {:.2} | {:.2} | {:+.2} | {:+.2} | {:+.2} |",
        ours.hits,
        theirs.hits,
        ours.hits - theirs.hits,
        ours.hits - ours.exact_lru,
        theirs.hits - theirs.exact_lru,
    );
}

fn replay(setup: Setup, trace: &Trace, policy: &str, maxmemory: u64) -> Outcome {
    let server: Server = setup.set("maxmemory", &maxmemory.to_string()).set("maxmemory-policy", policy).start();
    let mut client = server.connect();
    let empty = used_memory(&mut client);
    let mut hits = 0;
    let mut rest = &trace.0[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(distinct_prefix(rest));
        hits += look_aside(&mut client, batch);
        rest = later;
    }
    let per_object = overhead(&mut client, trace, empty);
    let exact = exact_lru(trace, maxmemory.saturating_sub(empty), per_object);
    let percent = |hits: u64| hits as f64 * 100.0 / trace.0.len() as f64;
    Outcome { hits: percent(hits), exact_lru: percent(exact) }
}

/// How many requests from the start name different keys, at most a batch.
fn distinct_prefix(requests: &[(u32, u32)]) -> usize {
    let window = &requests[..requests.len().min(BATCH)];
    (1..window.len()).find(|&at| window[..at].iter().any(|(key, _)| *key == window[at].0)).unwrap_or(window.len())
}

/// GETs, then SETs of what was missing; the number of hits.
fn look_aside(client: &mut Client, batch: &[(u32, u32)]) -> u64 {
    let gets: Vec<u8> = batch.iter().flat_map(|(key, _)| request(&["GET".to_owned(), key_name(*key)])).collect();
    client.send_raw(&gets).expect("the server reads");
    let missing: Vec<&(u32, u32)> = batch.iter().filter(|_| receive(client) == Value::Null).collect();
    let sets: Vec<u8> = missing
        .iter()
        .flat_map(|(key, size)| request(&[&b"SET"[..], key_name(*key).as_bytes(), &vec![b'v'; *size as usize]]))
        .collect();
    client.send_raw(&sets).expect("the server reads");
    missing.iter().for_each(|_| drop(receive(client)));
    (batch.len() - missing.len()) as u64
}

fn receive(client: &mut Client) -> Value {
    client.receive().expect("the server answers").value
}

fn key_name(key: u32) -> String {
    format!("{key:012}")
}

fn used_memory(client: &mut Client) -> u64 {
    client.info("memory", "used_memory").expect("INFO has used_memory").parse().expect("a number")
}

/// Bytes the server spends per object beyond its value: from what it holds at the end.
fn overhead(client: &mut Client, trace: &Trace, empty: u64) -> f64 {
    let objects: Vec<(u32, u32)> = trace.objects().into_iter().collect();
    let used = used_memory(client).saturating_sub(empty);
    let (mut held, mut payload) = (0_u64, 0_u64);
    for batch in objects.chunks(1000) {
        let asked: Vec<u8> =
            batch.iter().flat_map(|(key, _)| request(&["EXISTS".to_owned(), key_name(*key)])).collect();
        client.send_raw(&asked).expect("the server reads");
        for (_, size) in batch {
            if receive(client) == Value::Int(1) {
                held += 1;
                payload += u64::from(*size);
            }
        }
    }
    used.saturating_sub(payload) as f64 / held.max(1) as f64
}

/// Hits of a cache that always evicts the least recently used object.
fn exact_lru(trace: &Trace, capacity: u64, per_object: f64) -> u64 {
    let cost = |size: u32| u64::from(size) + per_object as u64;
    let mut last_use: HashMap<u32, (u64, u32)> = HashMap::new();
    let mut by_age: BTreeMap<u64, u32> = BTreeMap::new();
    let (mut used, mut hits) = (0, 0);
    for (now, (key, size)) in trace.0.iter().enumerate() {
        let now = now as u64;
        match last_use.insert(*key, (now, *size)) {
            Some((before, _)) => {
                hits += 1;
                by_age.remove(&before);
            }
            None => used += cost(*size),
        }
        by_age.insert(now, *key);
        while used > capacity {
            let Some((_, victim)) = by_age.pop_first() else { break };
            used -= last_use.remove(&victim).map_or(0, |(_, size)| cost(size));
        }
    }
    hits
}
