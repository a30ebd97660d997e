//! The cut: what a point-in-time walk of all keys costs those who write meanwhile, and how much memory it needs.
//!
//! `cargo bench --bench cut -- [keys] [writes per second]`; 5 million keys of 16 + 64 bytes and 20,000 unless told
//! otherwise. A worker is played as the server has it: writes come at their times whether the worker is free or not, and
//! between them it walks on in steps of [`STEP`] entries. Latency is from the time a write was due to its end. The image
//! encodes every entry into a buffer that is handed on at 1 MiB. The clock is the processor time of the thread, which
//! never sleeps: on a shared machine others take the processor away for milliseconds, and that is not what is measured.
//! Rounds without and with a walk take turns, and the figures are medians.
#![allow(unsafe_code)] // the thread's own clock has no safe form in std

use larder::base::alloc::used_memory;
use larder::base::hash::key_hash;
use larder::base::later::Later;
use larder::base::rng::Rng;
use larder::base::time::Clock;
use larder::keyspace::cut::Cut;
use larder::keyspace::cut::running::Image;
use larder::keyspace::{Deadline, Entry, Keyspace, Txn};
use larder::types::string::NewStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Entries walked at a time.
const STEP: usize = 64;
const SHARDS: usize = 16;
const ROUNDS: usize = 5;
/// A buffer of this many bytes is handed on.
const BUFFER_BYTES: usize = 1 << 20;

/// Processor time of this thread in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec, which is there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[derive(Default)]
struct Encoded {
    buffer: Mutex<Vec<u8>>,
    entries: AtomicU64,
}

impl Image for Encoded {
    fn entry(&self, db: u32, entry: &Entry) {
        let mut buffer = self.buffer.lock().expect("nobody panics with it");
        if buffer.len() > BUFFER_BYTES {
            buffer.clear();
        }
        buffer.extend_from_slice(&db.to_le_bytes());
        buffer.extend_from_slice(entry.key());
        if let Some(text) = entry.str() {
            buffer.extend_from_slice(text.as_bytes(&mut itoa::Buffer::new()));
        }
        self.entries.fetch_add(1, Relaxed);
    }
}

fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse::<u64>().ok());
    let (keys, rate) = (numbers.next().unwrap_or(5_000_000), numbers.next().unwrap_or(20_000));
    let keyspace = Keyspace::new(SHARDS, 1, Clock::real(), Later::start().expect("a thread"), 1);
    (0..keys).for_each(|n| set(&keyspace, n));
    println!("{keys} keys of 16 + 64 bytes, {} MiB, {rate} writes per second\n", used_memory() >> 20);
    println!("| | p50 us | p99 us | p99.9 us | walk s | extra memory |\n|---|--:|--:|--:|--:|--:|");
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS * 2 {
        rounds[round % 2].push(measure(&keyspace, keys, rate, round % 2 == 1));
    }
    for (name, rounds) in ["without a walk", "during a walk"].iter().zip(&rounds) {
        let [p50, p99, p999, seconds, memory] = std::array::from_fn(|n| median(rounds.iter().map(|r| r[n])));
        println!("| {name} | {p50:.1} | {p99:.1} | {p999:.1} | {seconds:.2} | {:.2}% |", memory * 100.0);
    }
}

/// One round: the latencies, its length in seconds, and the extra memory as a share.
fn measure(keyspace: &Keyspace, keys: u64, rate: u64, walking: bool) -> [f64; 5] {
    let gap = 1_000_000_000 / rate;
    let image = Arc::new(Encoded::default());
    let mut rng = Rng::from_seed(rate + u64::from(walking));
    let mut latencies: Vec<u64> = Vec::with_capacity(10 << 20);
    let before = used_memory();
    let mut most = before;
    let start = now();
    let mut cut = walking.then(|| Cut::begin(&mut Txn::all(keyspace, 0, 1000), image.clone()).expect("no other cut"));
    let mut due = start;
    loop {
        due += gap;
        while now() < due {
            if let Some(running) = &mut cut
                && !running.step(STEP)
            {
                cut = None;
            }
        }
        set(keyspace, rng.below(keys));
        latencies.push(now() - due);
        if walking {
            most = most.max(used_memory());
        }
        if cut.is_none() && (walking || now() - start > 2_000_000_000) {
            break;
        }
    }
    let seconds = (now() - start) as f64 / 1e9;
    assert!(!walking || image.entries.load(Relaxed) == keys, "every key is handed over once");
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    [at(0.5), at(0.99), at(0.999), seconds, (most - before) as f64 / before as f64]
}

fn set(keyspace: &Keyspace, n: u64) {
    let key = format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut txn = Txn::one(keyspace, 0, 1000, key_hash(key.as_bytes()));
    txn.set_str(key.as_bytes(), NewStr::Copy(&[b'v'; 64]), Deadline::Clear);
    txn.finish();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
