//! HyperLogLogs, down to their bytes.

use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "hll",
    setup: words::SETUP,
    probes: &["TYPE key", "OBJECT ENCODING key", "DEBUG DIGEST-VALUE key", "GET key", "PFCOUNT key"],
    audited: true,
    words: |_, _| None,
    commands: &[
        "6x PFADD key elem+",
        "2x PFADD key val+",
        "PFADD key int+",
        "PFADD key",
        "3x PFCOUNT key",
        "2x PFCOUNT key+",
        "2x PFMERGE key key*",
        "SET key val",
        "SETRANGE key 8 \\0",
        "PFDEBUG ENCODING key",
        "PFDEBUG DECODE key",
        "PFDEBUG TODENSE key",
        "PFDEBUG odd key",
        "DEL key",
        "COPY key key REPLACE",
    ],
};
