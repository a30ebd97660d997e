//! When two replies count as equal. The rule is: byte for byte. The exceptions are commands whose reply depends on the
//! order of a hash table, on the clock or on chance; errors are never excepted.

use crate::grammar::Command;
use crate::support::client::{Frame, Value};

/// How the replies of a command are compared.
enum Rule {
    Exact,
    /// Elements of an array, set or map in any order.
    AnyOrder,
    /// A flat array of pairs in any order of the pairs.
    PairsInAnyOrder,
    /// Integers may differ by the time that passes between the two servers.
    Near,
    /// Of the same kind and length: the content is chance.
    SameShape,
    /// The same text up to the word "groups": what follows holds times.
    UpToGroups,
    /// Only whether it is an error, and which.
    ErrorOnly,
}

fn rule(command: &Command) -> Rule {
    let upper = |at: usize| command.get(at).map(|arg| arg.to_ascii_uppercase()).unwrap_or_default();
    let has = |word: &[u8]| command.iter().any(|arg| arg.eq_ignore_ascii_case(word));
    match upper(0).as_slice() {
        b"KEYS" | b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"HKEYS" | b"HVALS" | b"WALK" => Rule::AnyOrder,
        b"HGETALL" => Rule::PairsInAnyOrder,
        b"PUBSUB" => Rule::AnyOrder,
        // There are other directives.
        b"CONFIG" if upper(1) == b"GET" && has(b"*") => Rule::ErrorOnly,
        b"CONFIG" if upper(1) == b"GET" => Rule::PairsInAnyOrder,
        b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME" | b"LASTSAVE" => Rule::Near,
        b"HTTL" | b"HPTTL" | b"HEXPIRETIME" | b"HPEXPIRETIME" => Rule::Near,
        b"OBJECT" if upper(1) == b"IDLETIME" => Rule::Near,
        b"RANDOMKEY" | b"SPOP" | b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER" => Rule::SameShape,
        // Texts that compare equal stay in the order the algorithm leaves them in.
        b"SORT" | b"SORT_RO" if has(b"ALPHA") && has(b"BY") => Rule::AnyOrder,
        b"XADD" if has(b"*") => Rule::SameShape,
        b"ACL" if upper(1) == b"GENPASS" => Rule::SameShape,
        b"XPENDING" if command.len() > 3 => Rule::Near,
        // Fields and their number changed with 7.2.
        b"XINFO" if upper(1) == b"CONSUMERS" => Rule::ErrorOnly,
        b"XINFO" if has(b"FULL") => Rule::UpToGroups,
        b"COMMAND" if command.len() == 1 => Rule::ErrorOnly,
        // Help is in our own words.
        _ if upper(1) == b"HELP" && command.len() == 2 => Rule::ErrorOnly,
        b"DEBUG" if matches!(upper(1).as_slice(), b"DIGEST" | b"DIGEST-VALUE") => Rule::Exact,
        b"INFO" | b"LOLWUT" | b"SLOWLOG" | b"DEBUG" | b"DUMP" | b"TIME" | b"MEMORY" => Rule::ErrorOnly,
        b"CLIENT" if matches!(upper(1).as_slice(), b"ID" | b"INFO" | b"LIST") => Rule::ErrorOnly,
        b"HELLO" => Rule::SameShape,
        _ => Rule::Exact,
    }
}

/// True when both replies say the same.
pub fn agree(command: &Command, ours: &Frame, theirs: &Frame) -> bool {
    if ours.raw == theirs.raw {
        return true;
    }
    let (ours, theirs) = (&ours.value, &theirs.value);
    if matches!(ours, Value::Error(_)) || matches!(theirs, Value::Error(_)) {
        return false;
    }
    match rule(command) {
        Rule::Exact => false,
        Rule::AnyOrder => in_order(ours) == in_order(theirs),
        Rule::PairsInAnyOrder => pairs(ours) == pairs(theirs),
        Rule::Near => near(ours, theirs),
        Rule::SameShape => shape(ours) == shape(theirs),
        Rule::UpToGroups => up_to_groups(ours) == up_to_groups(theirs),
        Rule::ErrorOnly => true,
    }
}

/// The kind of a reply and its elements sorted.
fn in_order(value: &Value) -> (u8, Vec<String>) {
    let mut elements: Vec<String> = match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items.iter().map(ToString::to_string).collect(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| format!("{key} {value}")).collect(),
        other => vec![other.to_string()],
    };
    elements.sort();
    (kind(value), elements)
}

fn pairs(value: &Value) -> (u8, Vec<String>) {
    match value {
        Value::Array(items) => {
            let mut pairs: Vec<String> =
                items.chunks(2).map(|pair| pair.iter().map(|item| format!("{item} ")).collect()).collect();
            pairs.sort();
            (b'*', pairs)
        }
        other => in_order(other),
    }
}

/// Equal but for integers, which may be 5,000 apart (milliseconds, or far too many seconds to hide an error of scale).
fn near(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Int(ours), Value::Int(theirs)) => {
            (*ours < 0) == (*theirs < 0) && (*ours >= 0 || ours == theirs) && ours.abs_diff(*theirs) <= 5_000
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| near(ours, theirs))
        }
        _ => ours == theirs,
    }
}

fn up_to_groups(value: &Value) -> String {
    value.to_string().split("\"groups\"").next().unwrap_or_default().to_owned()
}

/// Kinds and lengths, without content.
fn shape(value: &Value) -> String {
    let items: Vec<&Value> = match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items.iter().collect(),
        Value::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => Vec::new(),
    };
    let inner: String = items.into_iter().map(shape).collect();
    format!("{}{{{inner}}}", char::from(kind(value)))
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Simple(_) => b'+',
        Value::Error(_) => b'-',
        Value::Int(_) => b':',
        Value::Bulk(_) => b'$',
        Value::Null => b'_',
        Value::Array(_) => b'*',
        Value::Map(_) => b'%',
        Value::Set(_) => b'~',
        Value::Push(_) => b'>',
        Value::Double(_) => b',',
        Value::Bool(_) => b'#',
        Value::Big(_) => b'(',
        Value::Verbatim(..) => b'=',
    }
}
