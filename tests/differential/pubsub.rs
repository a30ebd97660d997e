//! Channels, on one connection: what may be said while subscribed, and what the counters tell.

use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "pubsub",
    setup: words::SETUP,
    probes: &["TYPE key"],
    audited: false,
    words: own,
    commands: &[
        "4x !SUBSCRIBE channel",
        "2x !UNSUBSCRIBE channel",
        "2x !PSUBSCRIBE pattern",
        "!PUNSUBSCRIBE pattern",
        "!CLIENT REPLY ON",
        "!SSUBSCRIBE channel",
        "!SUNSUBSCRIBE channel",
        "!PUBLISH 'elsewhere' val",
        "!SPUBLISH 'elsewhere' val",
        "PUBSUB CHANNELS [pattern]",
        "PUBSUB NUMSUB channel*",
        "PUBSUB NUMPAT",
        "PUBSUB SHARDCHANNELS [pattern]",
        "PUBSUB SHARDNUMSUB channel*",
        "PUBSUB odd",
        "PING [val]",
        "GET key",
        "!RESET",
        "HELLO 3",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    let pool: &[&str] = match name {
        "channel" => &["news", "news.art", "chat", "a\0b"],
        "pattern" => &["new?", "chat[a]", "none*", "[", "\\x"],
        _ => return None,
    };
    Some(random.pick(pool).as_bytes().to_vec())
}
