//! The table of keys: bytes per key and time per operation, beside a plain `HashMap`.
//!
//! `cargo bench --bench keyspace -- [keys]` prints one table; 5 million keys of 16 + 8 bytes unless told otherwise.
//! Bytes are those of the allocator, so nothing is left out. `batch` looks up 16 keys at a time with both prefetch
//! stages, as a pipeline of requests does. Times are CPU time of the thread: the machine may have other work.

use larder::base::alloc::used_memory;
use larder::base::hash::key_hash;
use larder::base::rng::Rng;
use larder::keyspace::entry::Entry;
use larder::keyspace::table::Table;
use larder::keyspace::wheel::Wheel;
use larder::types::string::NewStr;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const KEY_LEN: usize = 16;
const BATCH: usize = 16;

/// The processor time of this thread, a stopwatch.
#[derive(Clone, Copy)]
struct Cpu(u64);

impl Cpu {
    fn now() -> Cpu {
        // The first number is nanoseconds on the processor.
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Cpu(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0))
    }
    fn elapsed(self) -> Duration {
        Duration::from_nanos(Cpu::now().0 - self.0)
    }
}

fn main() {
    let keys = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(5_000_000);
    println!("{keys} keys of {KEY_LEN} bytes");
    println!("{:<34} {:>10} {:>12}", "", "ns/op", "bytes/key");
    for (value_len, ttl) in [(8, None), (8, Some(1)), (200, None)] {
        table(keys, value_len, ttl);
    }
    table_by_steps(keys);
    hash_map(keys);
    wheel(keys);
}

/// The nth key: 16 bytes that do not follow one another in any order.
fn key(n: usize) -> [u8; KEY_LEN] {
    let mut key = [b'k'; KEY_LEN];
    let scattered = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key[..16].copy_from_slice(format!("{scattered:016x}").as_bytes());
    key
}

fn line(name: &str, elapsed: Duration, operations: usize) {
    println!("{name:<34} {:>10.1}", elapsed.as_nanos() as f64 / operations as f64);
}

fn fill(keys: usize, value: &[u8], ttl: Option<u64>) -> Table {
    let mut table = Table::new();
    for n in 0..keys {
        let key = key(n);
        table.insert(key_hash(&key), Entry::new_str(&key, &NewStr::Copy(value), ttl));
    }
    table
}

fn table(keys: usize, value_len: usize, ttl: Option<u64>) {
    let value = vec![b'v'; value_len];
    let before = used_memory();
    let start = Cpu::now();
    let mut table = fill(keys, &value, ttl);
    let filled = start.elapsed();
    let per_key = (used_memory() - before) as f64 / keys as f64;
    let name = format!("16 + {value_len}{}", if ttl.is_some() { " with a deadline" } else { "" });
    println!(
        "{name:<34} {:>10} {per_key:>12.2}   {:.2} beyond key and value, table {:.2}, load {:.2}",
        "",
        per_key - (KEY_LEN + value_len) as f64,
        table.table_bytes() as f64 / keys as f64,
        keys as f64 / table.slots() as f64,
    );
    line("  insert", filled, keys);
    if (value_len, ttl) != (8, None) {
        return;
    }
    let mut rng = Rng::from_seed(1);
    let count = keys.min(2_000_000);
    let present: Vec<_> = (0..count).map(|_| key(rng.index(keys))).collect();
    let absent: Vec<_> = (0..count).map(|_| key(keys + rng.index(keys))).collect();

    let start = Cpu::now();
    for key in &present {
        black_box(table.get(key_hash(key), key).map(Entry::access));
    }
    line("  get", start.elapsed(), count);

    let start = Cpu::now();
    for batch in present.chunks(BATCH) {
        let mut hashes = [0; BATCH];
        for (hash, key) in hashes.iter_mut().zip(batch) {
            *hash = key_hash(key);
            table.prefetch_bucket(*hash);
        }
        hashes.iter().for_each(|&hash| table.prefetch_entry(hash));
        for (hash, key) in hashes.iter().zip(batch) {
            black_box(table.get(*hash, key).map(Entry::access));
        }
    }
    line("  get, in batches", start.elapsed(), count);

    let start = Cpu::now();
    for key in &absent {
        black_box(table.get(key_hash(key), key).is_some());
    }
    line("  get of an absent key", start.elapsed(), count);

    let start = Cpu::now();
    for key in &present {
        if let Some(entry) = table.get_mut(key_hash(key), key) {
            entry.set_str(&NewStr::Copy(b"another!"));
        }
    }
    line("  overwrite", start.elapsed(), count);

    let start = Cpu::now();
    for _ in 0..count {
        black_box(table.random(&mut rng).map(Entry::access));
    }
    line("  random entry", start.elapsed(), count);

    let start = Cpu::now();
    for _ in 0..count / 5 {
        table.sample(5, &mut rng, |entry| {
            black_box(entry.access());
        });
    }
    line("  sampled entry, five at a time", start.elapsed(), count);

    let (start, mut cursor, mut seen) = (Cpu::now(), 0, 0);
    loop {
        cursor = table.scan(cursor, |entry| seen += black_box(entry.key().len() / KEY_LEN));
        if cursor == 0 {
            break;
        }
    }
    line("  scanned entry", start.elapsed(), seen);

    let start = Cpu::now();
    for n in 0..keys {
        let key = key(n);
        black_box(table.remove(key_hash(&key), &key));
    }
    line("  remove", start.elapsed(), keys);
}

/// Bytes of the table at sizes between two doublings, and the longest single insertion.
fn table_by_steps(keys: usize) {
    let mut table = Table::new();
    let (mut worst, mut least, mut most) = (Duration::ZERO, f64::MAX, 0.0f64);
    for n in 0..keys {
        let key = key(n);
        let (hash, entry) = (key_hash(&key), Entry::new_str(&key, &NewStr::Int(0), None));
        let start = Instant::now();
        table.insert(hash, entry);
        worst = worst.max(start.elapsed());
        if n > keys / 4 && n % (keys / 256).max(1) == 0 {
            let each = table.table_bytes() as f64 / (n + 1) as f64;
            (least, most) = (least.min(each), most.max(each));
        }
    }
    println!("{:<34} {:>10} {least:>5.1}..{most:<5.1} on the way", "table alone", "");
    println!("{:<34} {:>10.0} us", "longest insertion", worst.as_nanos() as f64 / 1000.0);
}

fn hash_map(keys: usize) {
    let before = used_memory();
    let start = Cpu::now();
    let mut map: HashMap<Box<[u8]>, Box<[u8]>, ahash::RandomState> = HashMap::default();
    for n in 0..keys {
        map.insert(key(n).into(), [b'v'; 8].into());
    }
    let filled = start.elapsed();
    let per_key = (used_memory() - before) as f64 / keys as f64;
    println!(
        "{:<34} {:>10} {per_key:>12.2}   {:.2} beyond key and value",
        "HashMap, 16 + 8",
        "",
        per_key - (KEY_LEN + 8) as f64
    );
    line("  insert", filled, keys);
    let mut rng = Rng::from_seed(1);
    let count = keys.min(2_000_000);
    let present: Vec<_> = (0..count).map(|_| key(rng.index(keys))).collect();
    let start = Cpu::now();
    for key in &present {
        black_box(map.get(&key[..]).map(|v| v[0]));
    }
    line("  get", start.elapsed(), count);
}

fn wheel(keys: usize) {
    let now_ms = 1_700_000_000_000;
    let mut rng = Rng::from_seed(2);
    let mut wheel = Wheel::new(now_ms);
    let start = Cpu::now();
    for _ in 0..keys {
        wheel.add(now_ms + 1 + rng.below(3_600_000), rng.next_u64());
    }
    let filled = start.elapsed();
    println!("{:<34} {:>10} {:>12.2}", "wheel, deadlines within an hour", "", wheel.heap_bytes() as f64 / keys as f64);
    line("  add", filled, keys);
    let start = Cpu::now();
    let mut due = 0;
    for tick in 0..3_600_001 {
        wheel.advance(now_ms + tick, usize::MAX, |_| due += 1);
    }
    line("  fire", start.elapsed(), due);
}
