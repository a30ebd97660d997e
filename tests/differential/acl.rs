//! Users and their rules: generated lists of rules, what they allow, and what is told of them.
//!
//! 7.0 re-orders the rules for commands when it shows them, and words refusals in another way; so what commands a user
//! may run is compared by asking for it (ACL DRYRUN, or as that user), and refusals by what they are about.

use crate::grammar::Command;
use crate::support::client::Value;
use crate::support::random::Random;
use crate::{Family, words};

pub const FAMILY: Family = Family {
    name: "acl",
    setup: &[
        "CONFIG SET acl-pubsub-default resetchannels",
        "ACL DELUSER u1 u2 u3",
        "ACL LOG RESET",
        "SET app:1 one",
        "RPUSH app:list 3 1 2",
    ],
    probes: &[],
    audited: false,
    words: own,
    commands: &[
        "12x ACL SETUSER user ( rule )+",
        "4x ACL SETUSER user ( rule )+ ( rule )+",
        "3x ACL SETUSER user 'on' open",
        "3x !ACL SETUSER user opening ( rule )+ closing",
        "3x ACL SETUSER user selector [selector]",
        "6x ACL GETUSER user",
        "2x ACL LIST",
        "ACL USERS",
        "ACL DELUSER user [user]",
        "ACL DELUSER user 'default'",
        "ACL LOG [ int | RESET | odd ]",
        "ACL CAT [ odd ]",
        "ACL WHOAMI",
        "ACL GENPASS odd",
        "ACL LOAD",
        "ACL SAVE",
        "ACL odd",
        "CONFIG SET 'acl-pubsub-default' ( 'allchannels' | 'resetchannels' | odd )",
        "4x ACL DRYRUN user GET dkey",
        "2x ACL DRYRUN user SET dkey val [GET | EX 10 | KEEPTTL GET]",
        "2x ACL DRYRUN user MGET dkey dkey dkey",
        "2x ACL DRYRUN user COPY dkey dkey",
        "ACL DRYRUN user BITFIELD dkey ( GET 'u4' 0 | SET 'u4' 0 1 | OVERFLOW SAT GET 'u4' 0 | odd )",
        "ACL DRYRUN user SORT dkey [BY dkey] [GET dkey] [STORE dkey]",
        "ACL DRYRUN user GEORADIUS dkey 1 2 3 'm' [STORE dkey | STOREDIST dkey]",
        "!ACL DRYRUN user EVAL 'x' ( 0 | 1 | 2 | 3 ) dkey dkey",
        "!ACL DRYRUN user ZUNIONSTORE dkey 2 dkey dkey",
        "!ACL DRYRUN user XREAD COUNT 1 STREAMS dkey dkey 0 0",
        "!ACL DRYRUN user XREADGROUP GROUP 'g' 'c' STREAMS dkey '>'",
        "3x ACL DRYRUN user ( PUBLISH | SPUBLISH ) chan val",
        "2x ACL DRYRUN user ( SUBSCRIBE | SSUBSCRIBE | PSUBSCRIBE | UNSUBSCRIBE ) chan chan",
        "4x ACL DRYRUN user ( PING | CLIENT ID | CLIENT KILL 'x' | CONFIG GET 'x' | CONFIG SET 'x' 'y' | SELECT 0 | SELECT 1 )",
        "2x ACL DRYRUN user ( MEMORY USAGE dkey | TYPE dkey | DEL dkey dkey | HGET dkey val | LPUSH dkey val | AUTH 'x' )",
        "ACL DRYRUN user odd [odd]",
        "4x AUTH user pass ; GET dkey ; SET dkey val ; MGET dkey dkey ; RPUSH dkey val ; PING ; ACL WHOAMI ; AUTH 'default' 'x'",
        "2x AUTH user pass ; PUBLISH chan val ; SPUBLISH chan val ; CONFIG GET 'maxmemory' ; SELECT 0 ; AUTH 'default' 'x'",
        "2x AUTH user pass ; SORT 'app:list' BY dkey ; SORT 'app:list' GET dkey ; SORT 'app:list' BY 'nosort' ; AUTH 'default' 'x'",
        "2x AUTH user pass ; MULTI ; GET dkey ; SET dkey val ; EXEC ; AUTH 'default' 'x'",
        "2x AUTH user pass ; EVAL script 0 ; EVAL script 1 dkey ; AUTH 'default' 'x'",
        "AUTH user pass ; ACL DELUSER user ; PING",
        "!HELLO 2 AUTH user pass SETNAME 'me' ; ACL WHOAMI ; AUTH 'default' 'x'",
        "CLIENT KILL USER user",
        "RESET",
    ],
};

fn own(name: &str, random: &mut Random) -> Option<Vec<u8>> {
    let pool: &[&str] = match name {
        "user" => &["u1", "u1", "u1", "u2", "u2", "u3"],
        "pass" => &["secret", "secret", "other", "wrong"],
        "dkey" => &["app:1", "app:2", "app:list", "tmp:1", "tmp:2", "else", "*", ""],
        "chan" => &["news", "news:art", "chat", "news:*", "*", ""],
        "open" => &["+@all", "allcommands", "~*", "allkeys", "nopass", ">secret", "allchannels", "&*"],
        "selector" => &[
            "(+get ~app:*)",
            "(+@write %W~tmp:* )",
            "( +@read %R~* )",
            "(allkeys +mget)",
            "(~a ~*)",
            "(~* ~a)",
            "(&news +publish)",
            "(+nosuch)",
            "(+@all -@dangerous ~tmp:? allchannels)",
            "((+get))",
            "(on)",
            "(+get",
            "(\"+get\" '~app:1')",
            "(\"+get)",
        ],
        "opening" => &["(", "( ", "(+get", "(~app:*", "()", ")", " ("],
        "closing" => &[")", ")", "+set)", "", " )"],
        "script" => &[
            "return redis.call('get', KEYS[1] or 'app:1')",
            "return redis.pcall('set', KEYS[1] or 'tmp:1', 'x')",
            "return redis.call('publish', 'news', 'x')",
            "return redis.acl_check_cmd('get', 'app:1')",
            "return redis.acl_check_cmd('config|get', 'x')",
            "return redis.acl_check_cmd('set', 'app:1', 'x') or 'no'",
        ],
        "rule" => return Some(rule(random).into_bytes()),
        _ => return words::common(name, random),
    };
    Some(random.pick(pool).as_bytes().to_vec())
}

/// One rule, now and then a wrong one.
fn rule(random: &mut Random) -> String {
    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let sign = *random.pick(&["+", "+", "-"]);
    match random.below(9) {
        0 => random.pick(&["on", "off", "ON", "nopass", "resetpass", "reset", "clearselectors", ""]).to_string(),
        1 => format!("{}{}", random.pick(&[">", ">", "<"]), random.pick(&["secret", "other", ""])),
        2 => format!("{}{HASH}{}", random.pick(&["#", "!"]), random.pick(&["", "", "0"])),
        3 => {
            let access = random.pick(&["~", "~", "%R~", "%W~", "%RW~", "%wr~", "%rr~", "%x~", "%~"]);
            format!("{access}{}", random.pick(&["app:*", "tmp:?", "*", "app:1", "else", "", "a b", "[at]*"]))
        }
        4 => format!("&{}", random.pick(&["news", "news:*", "*", "chat", "", "a b"])),
        5 => random
            .pick(&[
                "allkeys",
                "resetkeys",
                "allchannels",
                "resetchannels",
                "allcommands",
                "nocommands",
                "+@all",
                "-@all",
                "skip-sanitize-payload",
            ])
            .to_string(),
        6 => format!(
            "{sign}@{}",
            random
                .pick(&["read", "write", "string", "HASH", "keyspace", "slow", "fast", "pubsub", "nosuch", "", "set"])
        ),
        7 => format!(
            "{sign}{}",
            random.pick(&[
                "config|get",
                "CONFIG|SET",
                "client|id",
                "select|0",
                "select|",
                "config|nosuch",
                "acl|whoami",
                "config|get|x",
                "get|a|b",
                "memory|usage",
                "nosuch|x",
            ])
        ),
        _ => format!(
            "{sign}{}",
            random.pick(&[
                "get", "SET", "mget", "ping", "config", "client", "eval", "copy", "sort", "publish", "multi", "exec",
                "nosuch", "acl", "select", "rpush", "",
            ])
        ),
    }
}

/// Whether both replies say the same, in the words of each version.
pub fn same_but_for_words(command: &Command, ours: &Value, theirs: &Value) -> bool {
    let upper = |at: usize| command.get(at).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    match (ours, theirs) {
        (Value::Error(ours), Value::Error(theirs)) | (Value::Bulk(ours), Value::Bulk(theirs)) => {
            gist(ours).is_some_and(|gist| Some(gist) == self::gist(theirs))
        }
        (Value::Array(ours), Value::Array(theirs)) if upper(0) == b"EXEC" => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(a, b)| a == b || same_but_for_words(command, a, b))
        }
        _ if upper(0) == b"ACL" && upper(1) == b"LIST" => true,
        _ if upper(0) == b"ACL" && upper(1) == b"GETUSER" => fields(ours, SHOWN) == fields(theirs, SHOWN),
        (Value::Array(ours), Value::Array(theirs)) if upper(0) == b"ACL" && upper(1) == b"LOG" => {
            let entries = |log: &[Value]| log.iter().map(|entry| fields(entry, LOGGED)).collect::<Vec<_>>();
            entries(ours) == entries(theirs)
        }
        _ => false,
    }
}

/// What a refusal is about, if the text is one.
fn gist(text: &[u8]) -> Option<String> {
    // 7.0 shows a key up to its first NUL.
    let mut text = String::from_utf8_lossy(text).into_owned();
    if let Some((shown, rest)) = text.split_once('\0') {
        text = format!("{shown}'{}", rest.rsplit('\'').next().unwrap_or_default());
    }
    let quoted = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_owned();
    let is_refusal =
        text.starts_with("NOPERM") || text.contains("executing the script can't") || text.contains("ACL failure");
    match text.as_str() {
        _ if text.contains("no permissions to run the '") && is_refusal && text.starts_with("NOPERM") => {
            Some(quoted(&text))
        }
        _ if is_refusal && (text.contains("a key") || text.contains("of the keys")) => Some("a key".into()),
        _ if is_refusal && text.contains("channel") => Some("a channel".into()),
        _ if is_refusal => Some("a command".into()),
        // ACL DRYRUN.
        _ => text.split_once("has no permissions to ").map(|(_, rest)| rest.to_owned()),
    }
}

const SHOWN: &[&str] = &["flags", "passwords", "keys", "channels", "selectors"];
const LOGGED: &[&str] = &["count", "reason", "context", "object", "username"];

/// The named fields of a map, those of maps within it as well, as text.
fn fields(value: &Value, names: &[&str]) -> Vec<String> {
    let pairs: Vec<(&Value, &Value)> = match value {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
        Value::Array(flat) => flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
        _ => return vec![value.to_string()],
    };
    let is_named = |name: &Value| matches!(name, Value::Bulk(text) if names.iter().any(|it| it.as_bytes() == text));
    let mut found = Vec::new();
    for (name, value) in pairs.into_iter().filter(|(name, _)| is_named(name)) {
        found.push(match value {
            Value::Array(selectors) if name.to_string().contains("selectors") => {
                selectors.iter().flat_map(|selector| fields(selector, names)).collect::<Vec<_>>().join(" | ")
            }
            // 7.0 does not name what all users have.
            other => {
                other.to_string().lines().filter(|line| !line.contains("\"sanitize-payload\"")).map(bare).collect()
            }
        });
    }
    found
}

/// A line of a list without its number.
fn bare(line: &str) -> String {
    let line = line.split_once(") ").map_or(line, |(_, rest)| rest);
    format!("{line} ")
}
