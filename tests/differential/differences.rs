//! Where Redis 7.4, which Larder follows, answers otherwise than the 7.0 that Debian ships. Nothing else belongs here:
//! a difference between Larder and 7.4 is a mistake in Larder.

use crate::grammar::Command;
use crate::support::client::Value;

/// A known difference between versions.
struct Difference {
    /// Name of the command; several with `|`, all with `*`.
    command: &'static str,
    /// True for the replies (ours, theirs) it explains.
    explains: fn(&Command, &Value, &Value) -> bool,
    #[allow(dead_code, reason = "read by people")]
    reason: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        command: "BITCOUNT|BITPOS",
        explains: |_, ours, theirs| is_error(ours) && (matches!(theirs, Value::Int(_)) || says(theirs, "WRONGTYPE")),
        reason: "since 7.2 arguments are judged before the key is looked up (redis/redis#11734)",
    },
    Difference {
        command: "COMMAND",
        explains: |_, _, theirs| says(theirs, "ERR wrong number of arguments for 'command|getkeys' command"),
        reason: "since 7.2 COMMAND GETKEYS takes a command without arguments",
    },
    Difference {
        command: "EVAL|EVAL_RO|EVALSHA|EVALSHA_RO",
        explains: |command, _, theirs| {
            let body = String::from_utf8_lossy(&command[1]).into_owned();
            body.to_ascii_uppercase().contains("BLPOP")
                && contains(theirs, "This Redis command is not allowed from script")
                || contains(theirs, "nonexistent global variable 'os'")
        },
        reason: "since 7.2 scripts may run blocking commands, which do not block; since 7.4 they have os.clock",
    },
    Difference {
        command: "WAIT",
        explains: |_, ours, _| says(ours, "ERR timeout is out of range"),
        reason: "since 7.2 a timeout may not end after the end of time",
    },
    Difference {
        command: "HELLO",
        explains: |_, ours, theirs| says(ours, "ERR Syntax error in HELLO option") && says(theirs, "WRONGPASS"),
        reason: "since 7.2 the options are read to their end before the password is judged",
    },
    Difference {
        command: "CLIENT",
        explains: |command, ours, theirs| {
            command.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"GETNAME"))
                && matches!((ours, theirs), (Value::Null, Value::Bulk(_)))
        },
        reason: "the same: a HELLO that is refused for a later option has set no name",
    },
    Difference {
        command: "HELLO",
        explains: |_, ours, theirs| says(ours, "ERR Client names cannot contain") && says(theirs, "WRONGPASS"),
        reason: "the same",
    },
    Difference {
        command: "OBJECT",
        explains: |_, ours, theirs| is_text(ours, "listpack") && is_text(theirs, "quicklist"),
        reason: "since 7.2 a short list is a listpack",
    },
    Difference {
        command: "ZRANK|ZREVRANK",
        explains: |_, _, theirs| says(theirs, "ERR wrong number of arguments for 'z"),
        reason: "since 7.2 they take WITHSCORE",
    },
    Difference {
        command: "XREAD|XREADGROUP",
        explains: |_, ours, theirs| says(ours, "ERR Unbalanced '") && says(theirs, "ERR Unbalanced XREAD"),
        reason: "since 7.2 the error names the command",
    },
    Difference {
        command: "XADD",
        explains: |_, ours, theirs| {
            says(ours, "ERR The ID specified in XADD") && says(theirs, "ERR Elements are too large to be stored")
        },
        reason: "since 7.2 an ID with an automatic sequence number beyond the last says what is wrong",
    },
    Difference {
        command: "XSETID",
        explains: |_, ours, theirs| {
            says(ours, "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
                && says(theirs, "ERR The ID specified in XSETID is smaller than the target stream top item")
        },
        reason: "since 7.2 an ID is held against the last deleted one first",
    },
    Difference {
        command: "LPOS|LREM",
        explains: |_, ours, _| says(ours, "ERR value is out of range, value must between"),
        reason: "since 7.2 the smallest integer is no rank, since 7.4 no count",
    },
    Difference {
        command: "XINFO",
        explains: |_, ours, theirs| without_consumers(ours) == without_consumers(theirs),
        reason: "since 7.2 a consumer exists once it has asked, even when there was nothing to read",
    },
    Difference {
        command: "XGROUP",
        explains: |_, ours, theirs| (ours, theirs) == (&Value::Int(0), &Value::Int(1)),
        reason: "the same: XGROUP CREATECONSUMER finds it there",
    },
    Difference {
        command: "*",
        // What is the same in all but its bytes (a null of another kind) is another matter.
        explains: |_, ours, theirs| ours != theirs && same_numbers(ours, theirs),
        reason: "since 7.2 doubles are written in as few digits as tell them apart, with an exponent where Grisu2 gives one",
    },
    Difference {
        command: "*",
        explains: crate::acl::same_but_for_words,
        reason: "since 7.2 refusals name the user, and rules for commands are shown as they were given",
    },
    Difference {
        command: "ACL",
        explains: |command, ours, theirs| {
            let opens = command.iter().filter(|word| word.starts_with(b"(") && !word.ends_with(b")"));
            opens.count() > 1 && is_error(ours) && is_error(theirs)
        },
        reason: "since 7.2 a selector begins at its first parenthesis, not at its last",
    },
    Difference {
        command: "COMMAND",
        explains: |command, _, _| command.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"COUNT")),
        reason: "there are other commands",
    },
    Difference {
        command: "COMMAND",
        explains: |_, ours, _| says(ours, "ERR Invalid arguments specified for command"),
        reason: "a count of keys that is no number is refused, not read as far as it goes",
    },
    Difference {
        command: "CONFIG",
        explains: |command, _, _| command.iter().any(|name| name.eq_ignore_ascii_case(b"maxmemory-samples")),
        reason: "since 7.4 maxmemory-samples ends at 64",
    },
];

/// True when the two replies differ because the versions do.
pub fn known(command: &Command, ours: &Value, theirs: &Value) -> bool {
    let name = command.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase()).unwrap_or_default();
    DIFFERENCES.iter().any(|known| {
        known.command.split('|').any(|it| it == "*" || it == name) && (known.explains)(command, ours, theirs)
    })
}

/// The same for what a command leaves behind.
pub fn known_trace(what: &str, command: &Command, ours: &Value, theirs: &Value) -> bool {
    let is = |names: &[&str]| names.iter().any(|name| command[0].eq_ignore_ascii_case(name.as_bytes()));
    let in_order = |value: &Value| match value {
        Value::Array(items) => {
            let mut lines: Vec<String> = items.iter().map(ToString::to_string).collect();
            lines.sort();
            lines
        }
        other => vec![other.to_string()],
    };
    // The order in which the members of a hash table are looked at is chance.
    if is(&["SORT", "SORT_RO"]) && in_order(ours) == in_order(theirs) {
        return true;
    }
    // Since 7.2 arguments are judged before the key is looked up.
    is(&["BITCOUNT", "BITPOS", "LPOS"]) && (is_empty(ours) || *ours == Value::Int(0))
        // Since 7.2 a consumer exists once it has asked.
        // Since 7.4 the type of a key is seen without a look at its value.
        || what == "hits" && is(&["SCAN", "WALK"])
        // A key that a SET which fails makes is told to replicas, and so counts.
        || what == "changes" && is(&["BITFIELD"]) && (ours, theirs) == (&Value::Int(1), &Value::Int(0))
        // It tells watchers here.
        || what == "watch" && is(&["PFDEBUG"])
        // Since 7.4 reading what was given before is no change.
        || what == "changes" && is(&["XREADGROUP", "EXEC"]) && is_less(ours, theirs)
        || is(&["XREADGROUP", "XCLAIM", "XAUTOCLAIM", "EXEC"]) && (makes_consumer(ours) || *theirs == Value::Int(0))
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Array(items) if items.is_empty())
}

fn is_less(ours: &Value, theirs: &Value) -> bool {
    matches!((ours, theirs), (Value::Int(ours), Value::Int(theirs)) if *ours < *theirs)
}

fn makes_consumer(value: &Value) -> bool {
    value.to_string().contains("xgroup-createconsumer")
}

fn is_error(value: &Value) -> bool {
    matches!(value, Value::Error(_))
}

fn is_text(value: &Value, text: &str) -> bool {
    matches!(value, Value::Bulk(bytes) if bytes == text.as_bytes())
}

/// The reply as text, without the number of consumers.
fn without_consumers(value: &Value) -> String {
    let text = value.to_string();
    let mut lines = text.lines();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        match line.ends_with("\"consumers\"") {
            true => drop(lines.next()),
            false if line.contains("\"consumers\" => ") => {}
            false => kept.extend([line, "\n"]),
        }
    }
    kept
}

/// Equal but for numbers, which have the same value in other digits.
fn same_numbers(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Bulk(ours), Value::Bulk(theirs)) => {
            ours == theirs || same_number(&String::from_utf8_lossy(ours), &String::from_utf8_lossy(theirs))
        }
        (Value::Double(ours), Value::Double(theirs)) => ours == theirs || same_number(ours, theirs),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same_numbers(ours, theirs))
        }
        _ => ours == theirs,
    }
}

fn same_number(ours: &str, theirs: &str) -> bool {
    theirs.len() > 16 && matches!((ours.parse::<f64>(), theirs.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}

/// True for an error that has these words in it.
fn contains(value: &Value, words: &str) -> bool {
    matches!(value, Value::Error(text) if String::from_utf8_lossy(text).contains(words))
}

/// True for an error that starts with these words.
fn says(value: &Value, words: &str) -> bool {
    matches!(value, Value::Error(text) if text.starts_with(words.as_bytes()))
}
