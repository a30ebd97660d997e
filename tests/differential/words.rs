//! The words that fill placeholders: mostly what a user would type, now and then what nobody should.

use crate::support::random::Random;

/// Arguments that have broken servers before. Small positive numbers are left out on purpose: where a time to live is
/// expected they would make a race of the test.
const ODD: &[&[u8]] = &[
    b"",
    b"0",
    b"-1",
    b"-0",
    b"+1",
    b"007",
    b" 1",
    b"1 ",
    b"1.5",
    b"-2.5e3",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"-2147483649",
    b"4294967295",
    b"4294967296",
    b"9007199254740993",
    b"9223372036854775806",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775807",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1e308",
    b"-1e308",
    b"1e400",
    b"1e-400",
    b"nan",
    b"inf",
    b"-inf",
    b"0x1F",
    b"0x1p3",
    b"+inf",
    b"infinity",
    b"-nan",
    b"nan(1)",
    b"1e5",
    b"1e",
    b".5",
    b"5.",
    b"-.0",
    b"1e-320",
    b"00",
    b"--1",
    b"-00",
    b"\t1",
    b"1\n",
    b"1\x00",
    b"0.1f",
    b"4611686018427387904",
    b"9223372036854775807.0",
    b"1-",
    b"-1-1",
    b"1--1",
    b"1-+1",
    b"+1-1",
    b" 1-1",
    b"01-01",
    b"1-18446744073709551616",
    b"18446744073709551616-0",
    b"*-1",
    b"1-*",
    b"~",
    b"=",
    b"#",
    b"WEIGHTS",
    b"AGGREGATE",
    b"STORE",
    b"BY",
    b"WITHVALUES",
    b"REV",
    b"BYSCORE",
    b"BYLEX",
    b"MAXLEN",
    b"STREAMS",
    b"KEEPTTL",
    b"abc",
    b"NX",
    b"xx",
    b"GET",
    b"LIMIT",
    b"COUNT",
    b"WITHSCORES",
    b"MATCH",
    b"*",
    b"?",
    b"-",
    b"+",
    b"$",
    b">",
    b"(",
    b"[",
    b"(-1",
    b"[a",
    b"\x00",
    b"a\x00b",
    b"\xff\xfe\x80",
    b"\r\n",
    b"h\xc3\xa9llo",
    b"%s%n",
    b"k1",
];

/// A word that fits nowhere in particular.
pub fn odd(random: &mut Random) -> Vec<u8> {
    match random.below(40) {
        0 => vec![b'x'; 100],
        1 => vec![b'1'; 30],
        _ => random.pick(ODD).to_vec(),
    }
}

/// Words every family may use.
pub fn common(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    let often = !random.one_in(12);
    Some(match name {
        "key" if often => format!("k{}", random.between(1, 6)).into_bytes(),
        "key" => random.pick(&OTHER_KEYS[..]).to_vec(),
        "val" => value(random),
        "odd" => odd(random),
        _ if !often && !SAFE.contains(&name) => odd(random),
        "int" => random.pick(&INTEGERS[..]).to_vec(),
        "idx" => number(random, -8, 8),
        "count" => number(random, 0, 6),
        "signedcount" => number(random, -5, 6),
        "numkeys" => number(random, 1, 3),
        "rank" => number(random, -3, 4),
        "bit" => number(random, 0, 1),
        "bitoff" => number(random, 0, 200),
        "off" => number(random, 0, 70),
        "db" => number(random, 0, 3),
        "ttl" => number(random, 1_000, 100_000),
        "ms" => number(random, 1_000_000, 100_000_000),
        "ts" => random.pick(&[&b"4102444800"[..], b"4102444801", b"5000000000", b"1", b"1000000"]).to_vec(),
        "tms" => random.pick(&[&b"4102444800000"[..], b"4102444800001", b"5000000000000", b"1"]).to_vec(),
        "float" => random.pick(&FLOATS[..]).to_vec(),
        "pattern" => random.pick(&PATTERNS[..]).to_vec(),
        "elem" | "member" | "field" => short(random),
        "timeout" => random.pick(&[&b"0.01"[..], b"0.001", b"-1", b"abc", b"nan", b"-0.5"]).to_vec(),
        "type" => random.pick(&[&b"string"[..], b"list", b"set", b"zset", b"hash", b"stream", b"LIST", b"x"]).to_vec(),
        _ => return None,
    })
}

/// Placeholders whose odd values would make a command wait or answer without end.
const SAFE: &[&str] = &["timeout", "signedcount"];

/// Keys of every type, for WRONGTYPE; families put [`SETUP`] in front.
const OTHER_KEYS: [&[u8]; 9] =
    [b"a:string", b"a:number", b"a:list", b"a:set", b"a:zset", b"a:hash", b"a:stream", b"", b"k\x00\xff"];

/// One key of each type.
pub const SETUP: &[&str] = &[
    "SET a:string hello",
    "SET a:number 42",
    "RPUSH a:list a b c 1 2 3",
    "SADD a:set 1 2 3",
    "ZADD a:zset 1 a 2 b 3 c",
    "HSET a:hash f v g 1",
    "XADD a:stream 1-1 f v",
];

const INTEGERS: [&[u8]; 14] = [
    b"1",
    b"2",
    b"5",
    b"10",
    b"-1",
    b"-7",
    b"100",
    b"0",
    b"12345",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"255",
];

const FLOATS: [&[u8]; 18] = [
    b"0",
    b"1",
    b"-1",
    b"1.5",
    b"-2.25",
    b"0.1",
    b"3.0e3",
    b"1e-7",
    b"123456789.123",
    b"inf",
    b"-inf",
    b"+inf",
    b"1e17",
    b"3",
    b"17179869184.5",
    b"0.30000000000000004",
    b"-0.0",
    b"1e21",
];

const PATTERNS: [&[u8]; 14] = [
    b"*", b"k*", b"k?", b"k[1-3]", b"k[^1]", b"*:*", b"a:s*t", b"\\*", b"[a-", b"k[3-1]", b"**", b"?", b"nothing",
    b"k[\\1]",
];

fn number(random: &mut Random, low: i64, high: i64) -> Vec<u8> {
    random.between(low, high).to_string().into_bytes()
}

/// Short words from a small pool, so that commands meet the same ones.
fn short(random: &mut Random) -> Vec<u8> {
    match random.below(14) {
        0 => random.pick(&INTEGERS[..]).to_vec(),
        1 => value(random),
        _ => vec![b"abcdefgh"[random.below(8) as usize]],
    }
}

/// Values of all lengths that matter: empty, numbers, both sides of 44 and 64 bytes, binary, and a longer one.
fn value(random: &mut Random) -> Vec<u8> {
    match random.below(16) {
        0 => Vec::new(),
        1..4 => random.pick(&INTEGERS[..]).to_vec(),
        4..6 => random.pick(&FLOATS[..]).to_vec(),
        6 => vec![b'a'; 44],
        7 => vec![b'a'; 45],
        8 => vec![b'b'; 64 + random.below(2) as usize],
        9 => vec![b'c'; 300],
        10 => b"\x00\x01\xfe\xff\r\n".to_vec(),
        11 => b"foobar".to_vec(),
        _ => random.pick(&[&b"hello"[..], b"world", b"ohmytext", b"mynewtext", b"Hello World", b"x"]).to_vec(),
    }
}
