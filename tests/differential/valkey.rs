//! What only Valkey added: GEOSEARCH within a polygon, DELIFEQ, HSETEX with NX and XX, ZSCAN NOSCORES. Played where the
//! original knows it (`ORACLE_BIN` of Valkey 9).

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "valkey",
    setup: words::SETUP,
    probes: &[
        "TYPE key",
        "ZRANGE key 0 -1 WITHSCORES",
        "HLEN key",
        "HMGET key a b c d e f g h",
        "HPTTL key FIELDS 8 a b c d e f g h",
    ],
    audited: true,
    words: own,
    commands: &[
        "8x !GEOADD key ( lon lat place )+",
        "4x !GEOADD key ( near north place )+",
        "3x GEOSEARCH key { ( BYPOLYGON 3 near north near north near north ) [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH] }",
        "3x GEOSEARCH key { ( BYPOLYGON 4 near north near north near north near north ) ( ASC | DESC ) [COUNT count] [WITHDIST] }",
        "2x GEOSEARCH key { ( BYPOLYGON 5 near north near north near north near north near north ) ( ASC | DESC ) [WITHDIST] }",
        "GEOSEARCH key { ( BYPOLYGON odd near north near north near north ) [ASC] }",
        "GEOSEARCH key { ( BYPOLYGON 3 near north near north near north ) ( BYPOLYGON 3 near north near north near north ) [ASC] }",
        "GEOSEARCH key BYPOLYGON 4 near north near north near north near",
        "2x GEOSEARCHSTORE key key { ( BYPOLYGON 4 near north near north near north near north ) [ASC] [COUNT count] [STOREDIST] }",
        "SET key small",
        "3x DELIFEQ key small",
        "DELIFEQ key",
        "3x !HSETEX key { [NX | XX] [FNX | FXX] [EX 1000 | PX 5000000 | EXAT 4102444800 | PXAT 5000000000000 | KEEPTTL] } ( FIELDS 1 field small | FIELDS 2 field small field small )",
        "!HSETEX key { NX XX [FNX] [EX 1000] } FIELDS 1 field small",
        "!HSETEX key ( NX NX | XX XX ) FIELDS 1 field small",
        "2x HSET key ( field small )+",
        "HDEL key field field",
        "2x WALK ZSCAN key { [MATCH pattern] [COUNT count] NOSCORES }",
        "ZSCAN key 0 NOSCORES COUNT 1000 NOSCORES",
        "!( HSCAN | SSCAN | ZSCAN ) key 0 NOSCORES MATCH",
        "!( HSCAN | SSCAN ) key 0 NOSCORES",
        "DEL key",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    let micros = |random: &mut Random, low: i64, high: i64| {
        Some((random.between(low * 1_000_000, high * 1_000_000) as f64 / 1e6).to_string().into_bytes())
    };
    match name {
        "lon" => micros(random, -180, 180),
        "lat" => micros(random, -85, 85),
        "near" => micros(random, 10, 14),
        "north" => micros(random, 36, 40),
        "place" => Some(format!("p{}", random.below(40)).into_bytes()),
        "small" => Some(random.pick(&[&b"a"[..], b"b", b"12", b""]).to_vec()),
        _ => None,
    }
}
