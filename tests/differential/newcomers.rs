//! What later originals added: conditional SET and DEL, DIGEST, MSETEX, BITOP's new operations, and HGETEX, HSETEX,
//! HGETDEL. Played where the original knows them (`ORACLE_BIN` of 8.4 or later).

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "newcomers",
    setup: words::SETUP,
    probes: &[
        "TYPE key",
        "PTTL key",
        "OBJECT ENCODING key",
        "DEBUG DIGEST-VALUE key",
        "HPTTL key FIELDS 8 a b c d e f g h",
    ],
    audited: true,
    words: own,
    commands: &[
        "2x SET key small",
        "SET key small EX ttl",
        "APPEND key small",
        "HSET key ( field val )+",
        "RPUSH key elem",
        "INCR key",
        "DEL key",
        "EXPIRE key ttl",
        "4x SET key small { ( IFEQ small | IFNE small | IFDEQ digest | IFDNE digest ) [GET] [EX ttl | PX ms | EXAT ts | PXAT tms | KEEPTTL] }",
        "SET key small ( IFDEQ | IFDNE ) ( short | odd ) [EX ttl]",
        "SET key small ( IFEQ | IFNE ) odd [GET]",
        "SET key small { [IFEQ small] [IFNE small] [GET] }",
        "SET 'gone' small ( IFEQ small | IFNE small | IFDEQ digest | IFDNE digest ) [GET];DEL 'gone'",
        "2x DIGEST key",
        "DIGEST key odd",
        "3x DELEX key [IFEQ small | IFNE small | IFDEQ digest | IFDNE ( digest | short )]",
        "DELEX key odd [odd]",
        "DELEX key ( IFEQ small | IFNE small ) ( IFEQ | odd )",
        "2x MSETEX 2 key small key small { [NX | XX] [EX ttl | PX ms | EXAT ts | PXAT tms | KEEPTTL] }",
        "MSETEX 1 key small { [NX | XX] [EX ttl | PX ms | EXAT ts | PXAT tms | KEEPTTL] }",
        "MSETEX odd key small key small [EX ttl]",
        "MSETEX 1 key small { [NX] [XX] [EX odd] [PX odd] [KEEPTTL] [odd] }",
        "2x BITOP ( DIFF | DIFF1 | ANDOR | ONE | AND | 'one' ) key key+",
        "BITOP ( DIFF | DIFF1 | ANDOR | ONE | odd ) key key*",
        "SETBIT key bitoff bit",
        "!HEXPIRE key ttl FIELDS 2 field field",
        "4x HGETEX key [EX ttl | PX ms | EXAT ts | PXAT tms | PERSIST] ( FIELDS 1 field | FIELDS 2 field field )",
        "HGETEX key { [EX odd] [PERSIST] [FIELDS 1 field] }",
        "HGETEX key FIELDS ( 2 | odd ) field field [EX ttl]",
        "HGETEX key [odd] FIELDS odd field+",
        "HGETEX key [EX ttl] [FIELDS 1 field] [PERSIST] FIELDS [( 1 | odd ) field]",
        "HGETEX key ( EX 0 | PX -1 | EXAT 0 | PXAT 0 ) FIELDS 2 field field",
        "4x HSETEX key { [FNX | FXX] [EX ttl | PX ms | EXAT ts | PXAT tms | KEEPTTL] } ( FIELDS 1 field val | FIELDS 2 field val field val )",
        "HSETEX key { [FNX] [FXX] [EX odd] [KEEPTTL] [FIELDS 1 field val] }",
        "HSETEX key [odd] FIELDS odd field val field val",
        "HSETEX key [FNX] [FIELDS 1 field val] [EX ttl] FIELDS [( 1 | odd ) field val]",
        "HSETEX key FIELDS 1 field val ( EX ttl | FNX | KEEPTTL | odd )",
        "HSETEX key ( EX 0 | PX -1 | EXAT 1 | PXAT 1 ) FIELDS 2 field val field val",
        "3x HGETDEL key ( FIELDS 1 field | FIELDS 2 field field )",
        "HGETDEL key ( FIELDS | odd ) ( 1 | 2 | odd ) field+",
        "!MULTI;HSETEX key EX ttl FIELDS 1 field val;HGETEX same PERSIST FIELDS 1 field;HGETDEL same FIELDS 1 field;SET same small IFEQ small;DELEX same IFEQ small;EXEC",
        "COMMAND GETKEYS ( SET | DELEX | DIGEST | HGETEX | HSETEX | HGETDEL ) key odd odd field field",
        "COMMAND GETKEYS MSETEX ( 1 | 2 | 3 | odd ) key val key val EX ttl",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    let pool: &[&[u8]] = match name {
        "small" => &[b"a", b"b", b"12", b"", b"hello"],
        // Of the empty text, "a", "hello", and what is none.
        "digest" => {
            &[b"2d06800538d394c2", b"2D06800538D394C2", b"e6c632b61e964e1f", b"9555e8555c62dcfd", b"zzzzzzzzzzzzzzzz"]
        }
        // What the original answers to these with GET is two replies.
        "short" => &[b"0", b"e6c632b61e964e1", b""],
        _ => return None,
    };
    Some(random.pick(pool).to_vec())
}
