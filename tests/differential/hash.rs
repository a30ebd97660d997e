//! Hashes. Fields with a time to live are younger than the original here; transcripts test them.

use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "hash",
    setup: words::SETUP,
    probes: &["TYPE key", "OBJECT ENCODING key", "DEBUG DIGEST-VALUE key", "HGETALL key"],
    audited: true,
    words: |_, _| None,
    commands: &[
        "4x HSET key ( field val )+",
        "HSET key field val field",
        "HMSET key ( field val )+",
        "HSETNX key field val",
        "2x HGET key field",
        "HMGET key field+",
        "HINCRBY key field odd",
        "HINCRBYFLOAT key field odd",
        "HSET key field odd;HINCRBYFLOAT same field float",
        "HGETALL key",
        "2x HDEL key field+",
        "HEXISTS key field",
        "2x HINCRBY key field int",
        "2x HINCRBYFLOAT key field float",
        "HKEYS key",
        "HVALS key",
        "HLEN key",
        "HSTRLEN key field",
        "!HRANDFIELD key [signedcount [WITHVALUES]]",
        "!HRANDFIELD key 100 WITHVALUES",
        "!HRANDFIELD key -9223372036854775808",
        "!HRANDFIELD key 'abc'",
        "!HRANDFIELD key 1 odd",
        "DEL key",
        "COPY key key REPLACE",
    ],
};
