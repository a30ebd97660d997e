//! What parsing a request costs: nanoseconds per request, of pipelines as clients send them.
//!
//! ```text
//! cargo bench --bench parse
//! ```
//! Each line is the best of several rounds over a buffer of requests that stays in the cache: the parser's own cost,
//! not the network's.

use std::hint::black_box;
use std::time::Instant;

use larder::resp::request::{Limits, Parser, Step};
use larder::resp::whole::{Words, whole};

/// Requests in one buffer.
const PIPELINE: usize = 64;
const ROUNDS: usize = 40;
const BUFFERS: usize = 2000;

fn main() {
    println!("{:<28} {:>10} {:>10} {:>12}", "request", "ns", "MB/s", "parser's ns");
    report("PING", &request(&[b"PING"]));
    report("GET, 16-byte key", &request(&[b"GET", b"key:000000000042"]));
    report("SET, 16-byte key, 64 bytes", &request(&[b"SET", b"key:000000000042", &[b'x'; 64]]));
    report("SET, 1 KiB", &request(&[b"SET", b"key:000000000042", &[b'x'; 1024]]));
    let words: Vec<&[u8]> =
        std::iter::once(&b"MGET"[..]).chain(std::iter::repeat_n(&b"key:000000000042"[..], 32)).collect();
    report("MGET of 32 keys", &request(&words));
    report("inline GET", b"GET key:000000000042\r\n");
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        wire.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        wire.extend_from_slice(word);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

fn report(name: &str, one: &[u8]) {
    let wire = one.repeat(PIPELINE);
    let best = |round: fn(&[u8]) -> f64| (0..ROUNDS).map(|_| round(&wire)).fold(f64::INFINITY, f64::min);
    let (ordinary, parsed) = (best(ordinary), best(parsed));
    println!("{name:<28} {ordinary:>10.1} {:>10.0} {parsed:>12.1}", one.len() as f64 * 1000.0 / ordinary);
}

/// Nanoseconds per request of one round of ordinary requests, as a connection finds them; 0 where it has to ask the
/// parser.
fn ordinary(wire: &[u8]) -> f64 {
    let started = Instant::now();
    for _ in 0..BUFFERS {
        let wire = black_box(wire);
        let (mut words, mut at) = (Words::new(), 0);
        while at < wire.len() {
            let Some(end) = whole(wire, at, &mut words) else { return 0.0 };
            at = end;
        }
        black_box(words);
    }
    started.elapsed().as_nanos() as f64 / (BUFFERS * PIPELINE) as f64
}

/// The same by the parser.
fn parsed(wire: &[u8]) -> f64 {
    let limits = Limits::default();
    let mut parser = Parser::new();
    let started = Instant::now();
    for _ in 0..BUFFERS {
        let wire = black_box(wire);
        while let Ok(Step::Request(request)) = parser.next(wire, &limits) {
            black_box(parser.args(&request, wire).get(0));
        }
        assert_eq!(parser.consumed(), wire.len());
    }
    started.elapsed().as_nanos() as f64 / (BUFFERS * PIPELINE) as f64
}
