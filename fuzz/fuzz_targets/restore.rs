//! RESTORE: a hostile payload is refused, or makes a value that DUMP and RESTORE copy and that commands work on.
//!
//! The input is type byte and value; the footer is put behind it here.

#![no_main]

use larder_fuzz::{Server, mutate_from, payloads, sealed};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::cell::RefCell;
use std::sync::LazyLock;

static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(payloads);

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_from(&SEEDS, data, size, max_size, seed)
});

fuzz_target!(|body: &[u8]| {
    SERVER.with_borrow_mut(|server| {
        let payload = sealed(body);
        if server.run("RESTORE k 0 $ REPLACE", &payload) != b"+OK\r\n" {
            return;
        }
        copy_equals(server);
        for line in commands(&server.run("TYPE k", b"")) {
            server.run(line, b"");
        }
        copy_equals(server);
        server.run("UNLINK k copy other", b"");
    });
});

/// What DUMP says of the key makes an equal one. The key may be gone: a value may be of nothing but expired fields.
fn copy_equals(server: &mut Server) {
    let Some(payload) = server.bulk("DUMP k") else { return };
    assert_eq!(server.run("RESTORE copy 0 $ REPLACE", &payload), b"+OK\r\n");
    assert_eq!(server.digest(b"k"), server.digest(b"copy"));
}

fn commands(kind: &[u8]) -> &'static [&'static str] {
    match kind {
        b"+string\r\n" => &[
            "STRLEN k",
            "GETRANGE k 1 -2",
            "INCR k",
            "APPEND k x",
            "SETRANGE k 5 abc",
            "GETBIT k 100",
            "SETBIT k 9 1",
            "BITCOUNT k 0 -1",
            "BITPOS k 1",
            "PFCOUNT k",
            "PFADD k a b",
            "PFMERGE other k",
            "BITFIELD k GET u8 3 INCRBY i5 2 7",
        ],
        b"+list\r\n" => &[
            "LLEN k",
            "LRANGE k 0 -1",
            "LINDEX k 2",
            "LINDEX k -1",
            "LPUSH k x 12",
            "RPUSH k y",
            "LPOS k 12 COUNT 0",
            "LINSERT k BEFORE y z",
            "LSET k 1 w",
            "LREM k 1 x",
            "LTRIM k 1 -1",
            "LPOP k",
            "RPOP k 2",
            "LMOVE k k LEFT RIGHT",
            "SORT k ALPHA LIMIT 0 3",
            "OBJECT ENCODING k",
            "DEBUG LISTPACK k",
        ],
        b"+set\r\n" => &[
            "SCARD k",
            "SMEMBERS k",
            "SADD k x 12",
            "SISMEMBER k 12",
            "SSCAN k 0",
            "SRANDMEMBER k -5",
            "SRANDMEMBER k 3",
            "SREM k 12",
            "SPOP k",
            "SUNIONSTORE other k k",
            "SDIFF k other",
            "SADD k 1000000",
            "SINTERCARD 2 k other",
        ],
        b"+zset\r\n" => &[
            "ZCARD k",
            "ZRANGE k 0 -1 WITHSCORES",
            "ZADD k 5 x 6 12",
            "ZINCRBY k 3 x",
            "ZSCORE k 12",
            "ZRANK k x",
            "ZREVRANK k 12 WITHSCORE",
            "ZRANGEBYSCORE k -inf 3",
            "ZLEXCOUNT k - +",
            "ZRANGE k [a (z BYLEX REV",
            "ZSCAN k 0",
            "ZREM k 12",
            "ZPOPMIN k",
            "ZPOPMAX k",
            "ZUNIONSTORE other 2 k k AGGREGATE MAX",
            "ZREMRANGEBYRANK k 0 0",
            "ZRANDMEMBER k -4",
            "GEOPOS k x",
            "ZADD k 7 another-member-that-is-longer-than-the-limit-of-a-listpack-value-of-64-bytes",
        ],
        b"+hash\r\n" => &[
            "HLEN k",
            "HGETALL k",
            "HSET k x 1 12 y",
            "HINCRBY k x 4",
            "HGET k 12",
            "HMGET k f g x",
            "HSCAN k 0",
            "HRANDFIELD k -4 WITHVALUES",
            "HEXPIRE k 100 FIELDS 2 x f",
            "HTTL k FIELDS 2 x g",
            "HPERSIST k FIELDS 1 x",
            "HDEL k 12",
            "HSTRLEN k f",
            "HSETEX k EX 5 FIELDS 1 y z",
            "HGETDEL k FIELDS 1 y",
            "HSET k z a-value-that-is-longer-than-the-limit-of-a-listpack-value-which-is-64-bytes",
        ],
        b"+stream\r\n" => &["XLEN k", "XRANGE k - +", "XADD k * a b", "XINFO STREAM k FULL"],
        _ => &[],
    }
}
