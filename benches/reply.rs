//! What writing a reply costs: nanoseconds per reply, into a buffer that keeps its room.
//!
//! ```text
//! cargo bench --bench reply
//! ```

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use larder::resp::reply::{Proto, Reply};

/// Replies written before the buffer is taken.
const PIPELINE: usize = 64;
const ROUNDS: usize = 40;
const BUFFERS: usize = 2000;

fn main() {
    println!("{:<28} {:>10}", "reply", "ns");
    report("OK", |reply| reply.ok());
    report("null", |reply| reply.null());
    report("integer, 1 digit", |reply| reply.int(black_box(1)));
    report("integer, 12 digits", |reply| reply.int(black_box(123_456_789_012)));
    report("bulk, 8 bytes", |reply| reply.bulk(black_box(b"12345678")));
    let (medium, large) = ([b'x'; 64], [b'x'; 1024]);
    report("bulk, 64 bytes", |reply| reply.bulk(black_box(&medium)));
    report("bulk, 1 KiB", |reply| reply.bulk(black_box(&large)));
    let shared = Bytes::from(vec![b'x'; 64 * 1024]);
    report("shared, 64 KiB", |reply| reply.bulk_shared(black_box(&shared)));
    report("double, whole", |reply| reply.double(black_box(42.0)));
    report("double, 17 digits", |reply| reply.double(black_box(0.12345678901234567)));
    report("array of 10 integers", |reply| {
        reply.array(10);
        (0..10).for_each(|value| reply.int(black_box(value)));
    });
    report("array, length told last", |reply| {
        let mark = reply.begin_array();
        (0..10).for_each(|value| reply.int(black_box(value)));
        reply.end_array(mark, 10);
    });
}

fn report(name: &str, write: impl Fn(&mut Reply)) {
    let mut reply = Reply::new(Proto::Resp3);
    let best = (0..ROUNDS).map(|_| round(&mut reply, &write)).fold(f64::INFINITY, f64::min);
    println!("{name:<28} {best:>10.1}");
}

/// Nanoseconds per reply of one round.
fn round(reply: &mut Reply, write: &impl Fn(&mut Reply)) -> f64 {
    let started = Instant::now();
    for _ in 0..BUFFERS {
        for _ in 0..PIPELINE {
            write(reply);
        }
        black_box(reply.len());
        reply.clear();
    }
    started.elapsed().as_nanos() as f64 / (BUFFERS * PIPELINE) as f64
}
