//! HyperLogLogs over hostile strings: an error or a count, never a panic; what one command leaves the next takes.
//!
//! The input holds two strings and an element. A string that says it is dense is repeated to the size of a dense one,
//! since libFuzzer would not come upon 12 KiB by itself.

#![no_main]

use larder::types::hll;
use larder_fuzz::{Input, Server, mutate_from};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::cell::RefCell;
use std::sync::LazyLock;

const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + 16384 * 6 / 8;

static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut sparse = hll::create();
    (0..20u8).for_each(|n| drop(hll::add(&mut sparse, &[n], 3000)));
    let dense = b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80\x01\x10\x41\x00".to_vec();
    let input = |texts: [&[u8]; 3]| texts.iter().flat_map(|text| [&[text.len() as u8], *text].concat()).collect();
    vec![input([&sparse, &hll::create(), b"a"]), input([&dense, &sparse, b"b"]), input([&hll::create(), &dense, b"c"])]
});

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_from(&SEEDS, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (a, b, element) = (grown(input.text()), grown(input.text()), input.text());
    SERVER.with_borrow_mut(|server| {
        server.run("SET a $", &a);
        server.run("SET b $", &b);
        let count = server.run("PFCOUNT a", b"");
        assert_eq!(count, server.run("PFCOUNT a", b""), "a count is remembered, and the same");
        server.run("PFCOUNT a b missing", b"");
        server.run("PFDEBUG DECODE a", b"");
        server.run("PFADD a $", element);
        server.run("PFADD b $ x y z", element);
        server.run("PFMERGE merged a b", b"");
        server.run("PFMERGE a b", b"");
        server.run("PFCOUNT merged a", b"");
        server.run("PFDEBUG TODENSE b", b"");
        server.run("PFDEBUG GETREG b", b"");
        server.run("PFCOUNT b", b"");
        server.run("DEL a b merged", b"");
    });
});

fn grown(text: &[u8]) -> Vec<u8> {
    let says_dense = text.len() > HEADER_BYTES && text.starts_with(b"HYLL\0");
    if !says_dense {
        return text.to_vec();
    }
    let (header, registers) = text.split_at(HEADER_BYTES);
    header.iter().chain(registers.iter().cycle()).take(DENSE_BYTES).copied().collect()
}
