//! Secrets in requests, hidden from MONITOR and SLOWLOG.

use crate::command::Known;
use crate::config::live::is_sensitive;
use std::borrow::Cow;

/// What stands where a secret was.
const REDACTED: &[u8] = b"(redacted)";

/// The request with its passwords replaced. Borrowed, and cheap, for the commands that never have one.
pub(super) fn redact<'a, 'b>(known: &Known, argv: &'b [&'a [u8]]) -> Cow<'b, [&'a [u8]]> {
    let is_secret: fn(&[&[u8]], usize) -> bool = match &*known.name {
        "auth" => |_, at| at >= 1,
        "acl|setuser" | "acl|deluser" => |_, at| at >= 2,
        "acl|getuser" => |_, at| at == 2,
        "config|set" => |argv, at| at >= 3 && at % 2 == 1 && is_sensitive(argv[at - 1]),
        "hello" => |argv, at| follows(argv, at, b"AUTH", 2),
        "migrate" => |argv, at| follows(argv, at, b"AUTH", 1) || follows(argv, at, b"AUTH2", 2),
        _ => return Cow::Borrowed(argv),
    };
    Cow::Owned(argv.iter().enumerate().map(|(at, arg)| if is_secret(argv, at) { REDACTED } else { *arg }).collect())
}

/// Is the argument one of the `count` behind the option `word`?
fn follows(argv: &[&[u8]], at: usize, word: &[u8], count: usize) -> bool {
    let option = |back: usize| at > back && argv[at - back].eq_ignore_ascii_case(word);
    (1..=count).any(option)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    #[test]
    fn passwords_do_not_show() {
        let table = CommandTable::new(&[]).expect("the table is sound");
        let cases = [
            ("GET key", "GET key"),
            ("AUTH secret", "AUTH (redacted)"),
            ("auth user secret", "auth (redacted) (redacted)"),
            ("HELLO 3 AUTH user secret SETNAME me", "HELLO 3 AUTH (redacted) (redacted) SETNAME me"),
            (
                "config set maxmemory 1 requirepass secret port 2",
                "config set maxmemory 1 requirepass (redacted) port 2",
            ),
            ("config get requirepass", "config get requirepass"),
        ];
        for (request, want) in cases {
            let argv: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
            let known = table.resolve(&argv).expect("a known command");
            let shown = String::from_utf8(redact(known, &argv).join(&b' ')).expect("ASCII");
            assert_eq!(shown, want);
        }
    }
}
