//! RESTORE of payloads that the original made, whole and damaged, and MIGRATE to where nobody listens. What a damaged payload with a right checksum may do is
//! the fuzz targets' matter: by default the original believes it.

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "dump",
    setup: words::SETUP,
    probes: &[
        "TYPE key",
        "OBJECT ENCODING key",
        "PTTL key",
        "DEBUG DIGEST-VALUE key",
        "GET key",
        "LRANGE key 0 -1",
        "ZRANGE key 0 -1 WITHSCORES",
        "HGETALL key",
        "SMEMBERS key",
        "XRANGE key - +",
        "XPENDING key g1",
    ],
    audited: true,
    words: own,
    commands: &[
        // Without odd words, which may be times that pass between two probes.
        "6x !RESTORE key 0 payload [REPLACE]",
        "3x !RESTORE key 100000000 payload [REPLACE]",
        "2x !RESTORE key 4102444800000 payload ABSTTL [REPLACE]",
        "!RESTORE key 1000 payload ABSTTL [REPLACE]",
        "2x !RESTORE key 0 payload { [REPLACE] [IDLETIME count] [FREQ count] [ABSTTL] }",
        "!RESTORE key odd payload",
        "!RESTORE key 0 payload odd",
        "!RESTORE key 0 val",
        "DUMP 'no-such-key'",
        // To where nobody listens.
        "!MIGRATE '127.0.0.1' 1 key 0 100 [COPY] [REPLACE]",
        "!MIGRATE '127.0.0.1' 1 '' 0 100 { [COPY] [REPLACE] [AUTH val] [AUTH2 val val] } KEYS (key)+",
        "!MIGRATE '127.0.0.1' 1 ( key | '' ) odd odd { [COPY] [REPLACE] [AUTH] [AUTH2 val] [KEYS] [val] }",
        "COMMAND GETKEYSANDFLAGS MIGRATE '127.0.0.1' 1 ( key | '' ) 0 100 { [COPY] [AUTH val] [AUTH2 val val] } [KEYS key key]",
        "APPEND key val",
        "RPUSH key elem",
        "SADD key int",
        "SADD key member",
        "ZADD key 2 member",
        "HSET key field val",
        "XADD key 9-9 field val",
        "XACK key 'g1' 1-1",
        "INCR key",
        "DEL key",
        "COPY key key REPLACE",
    ],
};

/// One of each type and encoding, as the original's DUMP answered.
const PAYLOADS: &[&[u8]] = &[
    b"\x00\x04text\x0a\x00|\xf3&m\xca\xb5\xa51",
    b"\x00\xc1\xd4\xfe\x0a\x00\xc6\xc4\x86#\xfe\xbe\xde.",
    b"\x12\x01\x02\x15\x15\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x82bb\x03\xf2\x90\xee\xfe\x04\xff\x0a\x00\xf9\xb1\x97UMp\xcf\xe9",
    b"\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00p\x11\x01\x00\x0a\x00\x85\xd5\xc1\x06[\x1d\xd0U",
    b"\x02\x03\x01c\x01a\x01b\x0a\x00\xd5\x1b\xc2\xf0\x96\x8ei\xc3",
    b"\x11\x1d\x1d\x00\x00\x00\x06\x00\x81c\x02\x84-inf\x05\x81a\x02\x01\x01\x81b\x02\x832.5\x04\xff\x0a\x009\x923\x9b\xe1\x1f2=",
    b"\x10\x12\x12\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81g\x02\x11\x01\xff\x0a\x00~\xa5p\xb0\x11\xc8M1",
    b"\x05\x03\x01c\x00\x00\x00\x00\x00\x00\xf0\x7f\x01b\x00\x00\x00\x00\x00\x00\x04@\x01a\x00\x00\x00\x00\x00\x00\xf0?\x0a\x00\xd0]#\xaf>\x18\x0f\xa6",
    b"\x04\x01\x01f\x01v\x0a\x00\xad\xf2CV\xb1\x86\x0e\xfc",
    b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x0144\x00\x00\x00\x13\x00\x02\x01\x00\x01\x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\x00\x01\x01\x01\xdf\xff\x02\x02\x01\x81f\x02\x81w\x02\x81g\x02\x81x\x02\x08\x01\xff\x02\x02\x00\x01\x01\x00\x00\x02\x01\x02g1\x02\x00\x02\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xe26\x8e\x05\xa2\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\xe26\x8e\x05\xa2\x01\x00\x00\x01\x01\x05alice\xe26\x8e\x05\xa2\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x0a\x00e\xa0\xbb\x11\x05\xc3U}",
];

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    if name != "payload" {
        return None;
    }
    let mut payload = random.pick(PAYLOADS).to_vec();
    if random.one_in(5) {
        let at = random.below(payload.len() as u64) as usize;
        match random.below(3) {
            0 => payload.truncate(at),
            1 => payload[at] ^= 1 << random.below(8),
            _ => payload.push(0),
        }
    }
    Some(payload)
}
