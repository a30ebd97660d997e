//! Bitmaps and bit fields.

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "bits",
    setup: words::SETUP,
    probes: &["TYPE key", "OBJECT ENCODING key", "DEBUG DIGEST-VALUE key", "GET key"],
    audited: true,
    words: own,
    commands: &[
        "SET key val",
        "4x SETBIT key bitoff bit",
        "2x GETBIT key bitoff",
        "3x BITCOUNT key [idx idx [BYTE | BIT]]",
        "BITCOUNT key off off BIT",
        "3x BITPOS key bit [idx [idx [BYTE | BIT]]]",
        "BITPOS key bit off off BIT",
        "3x BITOP ( AND | OR | XOR ) key key+",
        "BITOP NOT key key",
        "BITOP word key key+",
        "2x BITFIELD key ( GET width place | SET width place int | INCRBY width place int | OVERFLOW overflow )+",
        "BITFIELD key OVERFLOW overflow INCRBY width place int OVERFLOW overflow INCRBY width place int",
        "BITFIELD key",
        "BITFIELD key OVERFLOW overflow ( SET width place odd | INCRBY width place odd )+",
        "BITFIELD key ( GET odd odd | SET width odd int | OVERFLOW odd )",
        "BITFIELD key ( INCRBY ( 'u1' | 'u63' | 'i64' | 'i1' | 'i2' ) place int )+ OVERFLOW overflow ( INCRBY ( 'u63' | 'i64' ) place int )+",
        "( BITCOUNT | BITPOS ) key odd odd ( BYTE | BIT | odd )",
        "BITPOS key bit idx idx ( BYTE | BIT )",
        "BITCOUNT key idx idx ( BYTE | BIT )",
        "SETBIT key odd odd",
        "BITFIELD_RO key ( GET width place )+",
        "BITFIELD_RO key ( GET width place | SET width place int )+",
        "APPEND key val",
        "SETRANGE key off val",
        "INCR key",
        "DEL key",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    let pool: &[&str] = match name {
        "width" => {
            &["u1", "u2", "i5", "u8", "i8", "i16", "u31", "i32", "u63", "i64", "u64", "i65", "i0", "x8", "u", "i-1"]
        }
        "place" => &[
            "0",
            "1",
            "7",
            "8",
            "#0",
            "#1",
            "#3",
            "100",
            "63",
            "#-1",
            "-1",
            "#",
            "4294967295",
            "8388607",
            "#9999999999",
        ],
        "overflow" => &["WRAP", "SAT", "FAIL", "sat", "NONE"],
        "word" => &["and", "NOT", "NAND", "Xor"],
        _ => return None,
    };
    Some(random.pick(pool).as_bytes().to_vec())
}
