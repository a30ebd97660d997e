//! What every command leaves behind when it meets a key whose time has passed and that nobody has removed yet: replies,
//! key events in their order, changes, hits and misses. Generated sequences seldom hit that moment, so it is made here.

use std::thread::sleep;
use std::time::Duration;

use crate::audit::Audit;
use crate::support::client::Client;
use crate::support::server::{Server, larder, oracle};

/// Commands that meet the lapsed key `gone`. Each is run with every state of `other`.
const COMMANDS: &[&str] = &[
    "SET gone v GET",
    "SET gone v XX GET",
    "SET gone v KEEPTTL",
    "GETSET gone v",
    "GETDEL gone",
    "GETEX gone EX 10",
    "SETNX gone v",
    "APPEND gone v",
    "INCR gone",
    "SETRANGE gone 2 v",
    "SETBIT gone 2 1",
    "BITFIELD gone SET u8 0 1",
    "MSET gone 1 third 2",
    "MSETNX gone 1 third 2",
    "MGET gone gone",
    "STRLEN gone",
    "LCS gone other",
    "BITOP AND gone other",
    "BITOP OR other gone",
    "PFADD gone a",
    "PFMERGE gone other",
    "PFCOUNT gone other",
    "DEL gone",
    "UNLINK gone",
    "EXISTS gone gone",
    "TOUCH gone",
    "TYPE gone",
    "TTL gone",
    "EXPIRE gone 10",
    "EXPIRE gone -1",
    "PERSIST gone",
    "DUMP gone",
    "OBJECT ENCODING gone",
    "RENAME gone other",
    "RENAME other gone",
    "RENAMENX gone other",
    "RENAMENX other gone",
    "COPY gone other",
    "COPY other gone",
    "COPY other gone REPLACE",
    "MOVE gone 1",
    "SORT gone STORE other",
    "SORT other ALPHA STORE gone",
    "SORT other BY nosort GET gone STORE gone",
    "LPUSH gone a",
    "LPUSHX gone a",
    "LPOP gone",
    "LMOVE gone other LEFT LEFT",
    "LMOVE other gone LEFT LEFT",
    "LMPOP 2 gone other LEFT",
    "LINSERT gone BEFORE a b",
    "LRANGE gone 0 -1",
    "HSET gone f v",
    "HGET gone f",
    "HMGET gone f",
    "HDEL gone f",
    "HLEN gone",
    "SADD gone a",
    "SREM gone a",
    "SPOP gone",
    "SPOP gone 2",
    "SMOVE gone other a",
    "SMOVE other gone a",
    "SINTERSTORE gone other",
    "SINTERSTORE gone gone other",
    "SUNIONSTORE gone other",
    "SUNIONSTORE other gone",
    "SDIFFSTORE gone gone other",
    "SINTERCARD 2 gone other",
    "ZADD gone 1 a",
    "ZADD gone XX 1 a",
    "ZINCRBY gone 1 a",
    "ZREM gone a",
    "ZPOPMIN gone",
    "ZMPOP 2 gone other MIN",
    "ZUNIONSTORE gone 1 other",
    "ZUNIONSTORE gone 2 gone other",
    "ZINTERSTORE gone 2 other gone",
    "ZDIFFSTORE other 2 gone other",
    "ZRANGESTORE gone other 0 -1",
    "ZRANGESTORE other gone 0 -1",
    "ZREMRANGEBYRANK gone 0 -1",
    "GEOADD gone 1 1 a",
    "GEOSEARCHSTORE gone other FROMLONLAT 1 1 BYRADIUS 1 km",
    "GEOSEARCHSTORE other gone FROMLONLAT 1 1 BYRADIUS 1 km",
    "GEORADIUS other 1 1 1 km STORE gone",
    "XADD gone 1-1 f v",
    "XADD gone NOMKSTREAM 1-1 f v",
    "XLEN gone",
    "XTRIM gone MAXLEN 0",
    "XGROUP CREATE gone g $ MKSTREAM",
    "SUBSTR gone 0 -1",
];

/// What `other` may be meanwhile; the last of each is what makes it.
const OTHERS: &[&str] = &[
    "DEL other",
    "SET other text",
    "RPUSH other a b",
    "SADD other a b",
    "ZADD other 1 a 2 b",
    "HSET other f v",
    "XADD other 1-1 f v",
];

#[test]
fn what_a_command_does_with_a_lapsed_key_is_heard_counted_and_answered_alike() {
    let servers = [larder().start(), oracle().start()];
    let mut sides = servers.each_ref().map(Side::start);
    let mut differences = Vec::new();
    for other in OTHERS {
        for command in COMMANDS {
            let [ours, theirs] = sides.each_mut().map(|side| side.meet(other, command));
            if ours != theirs {
                differences.push(format!("{command}, after {other}: larder{ours}\nthe original{theirs}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n\n"));
}

struct Side {
    client: Client,
    audit: Audit,
}

impl Side {
    fn start(server: &Server) -> Side {
        Side { client: server.connect(), audit: Audit::start(server) }
    }

    /// The reply to a command that meets the lapsed key, and what it left behind, as text.
    fn meet(&mut self, other: &str, command: &str) -> String {
        for line in ["FLUSHALL", other, "PSETEX gone 1 v"] {
            self.client.run(line);
        }
        sleep(Duration::from_millis(2));
        self.audit.reset();
        let mut text = format!("\nreply: {}", self.client.run(command));
        for (name, frame) in self.audit.after().expect("what the command left behind") {
            text += &format!("\n{name}: {}", frame.value.to_string().replace("__keyevent@0__:", ""));
        }
        text
    }
}
