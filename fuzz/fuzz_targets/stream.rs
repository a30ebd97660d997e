//! Streams: a hostile payload is refused, or makes a stream on which every stream command works.
//!
//! The first byte of the input chooses one of the three formats; the rest is the value.

#![no_main]

use larder_fuzz::{Server, mutate_from, payloads, sealed};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::cell::RefCell;
use std::sync::LazyLock;

/// The formats' type bytes.
const TYPES: [u8; 3] = [15, 19, 21];

static SEEDS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| payloads().into_iter().filter(|payload| TYPES.contains(&payload[0])).collect());

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

const COMMANDS: &[&str] = &[
    "XLEN k",
    "XRANGE k - + COUNT 5",
    "XREVRANGE k + -",
    "XRANGE k (1-1 5",
    "XINFO STREAM k FULL COUNT 0",
    "XINFO GROUPS k",
    "XINFO CONSUMERS k g1",
    "XREAD COUNT 3 STREAMS k 1-1",
    "XREADGROUP GROUP g1 alice COUNT 2 STREAMS k >",
    "XREADGROUP GROUP g1 alice COUNT 2 STREAMS k 0",
    "XPENDING k g1",
    "XPENDING k g1 IDLE 0 - + 10 alice",
    "XCLAIM k g1 bob 0 1-1 1-2 FORCE RETRYCOUNT 3",
    "XAUTOCLAIM k g1 bob 0 0 COUNT 10",
    "XACK k g1 1-1 5-0",
    "XGROUP CREATE k g3 5-0",
    "XGROUP SETID k g1 1-1",
    "XADD k * f v g w",
    "XADD k MAXLEN ~ 3 * other x",
    "XDEL k 1-1 5-0",
    "XTRIM k MINID 2",
    "XSETID k 18446744073709551615-1",
    "XADD k 18446744073709551615-* a b",
    "XGROUP DELCONSUMER k g1 alice",
    "XGROUP DESTROY k g1",
    "XTRIM k MAXLEN 1",
    "COPY k other REPLACE",
];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_from(&SEEDS, data, size, max_size, seed)
});

fuzz_target!(|input: &[u8]| {
    let Some((&kind, value)) = input.split_first() else { return };
    let kind = if TYPES.contains(&kind) { kind } else { TYPES[usize::from(kind) % 3] };
    let payload = sealed(&[&[kind], value].concat());
    SERVER.with_borrow_mut(|server| {
        if server.run("RESTORE k 0 $ REPLACE", &payload) != b"+OK\r\n" {
            return;
        }
        copy_equals(server);
        for line in COMMANDS {
            server.run(line, b"");
        }
        copy_equals(server);
        server.run("UNLINK k copy other", b"");
    });
});

/// What DUMP says of the key makes an equal one, groups and pending entries included.
fn copy_equals(server: &mut Server) {
    let payload = server.bulk("DUMP k").expect("a stream stays even if it is empty");
    assert_eq!(server.run("RESTORE copy 0 $ REPLACE", &payload), b"+OK\r\n");
    let said = server.run("XINFO STREAM k FULL COUNT 0", b"");
    assert_eq!(said, server.run("XINFO STREAM copy FULL COUNT 0", b""));
}
