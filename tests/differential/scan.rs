//! The SCAN family: every walk must find the same elements.

use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "scan",
    setup: words::SETUP,
    probes: &["TYPE key"],
    audited: true,
    words: |_, _| None,
    commands: &[
        "2x SET key val",
        "MSET ( elem val )+",
        "RPUSH key elem+",
        "2x SADD key member+",
        "SADD key int+",
        "2x HSET key ( field val )+",
        "2x ZADD key ( float member )+",
        "DEL key",
        "EXPIRE key ttl",
        "SELECT db",
        "3x WALK SCAN { [MATCH pattern] [COUNT count] [TYPE type] }",
        "WALK HSCAN 'a:hash' { [MATCH pattern] [COUNT count] }",
        "2x WALK HSCAN key { [MATCH pattern] [COUNT count] }",
        "2x WALK SSCAN key { [MATCH pattern] [COUNT count] }",
        "2x WALK ZSCAN key { [MATCH pattern] [COUNT count] }",
        "KEYS pattern",
        "!SCAN 'abc'",
        "!SCAN 99999999999999999999999",
        "!SSCAN key 'abc'",
        "!HSCAN key 0 COUNT",
        "!SCAN 0 TYPE 'string' COUNT ( 0 | -1 | 9223372036854775808 | 'abc' )",
        "!SCAN 0 TYPE odd COUNT 1000",
        "!SCAN 0 MATCH",
        "DBSIZE",
    ],
};
