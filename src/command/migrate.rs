//! MIGRATE: keys move to another server.
//!
//! The handler says what is to be sent and no more: a [`Migration`], which knows no socket. The engine freezes the unit
//! with the shards of its keys, the server room carries the migration to its target, and what came of it is settled
//! under the same shards: a key that the target acknowledged is deleted here. So a key is never in neither place, and
//! whoever asks for one that is on its way waits.

pub mod conversation;

use super::Command;
use super::args::Argv;
use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use crate::keyspace::Entry;
use crate::persist::rdb::dump::encode;
use crate::spec::keys::{BadKeys, Find, Found};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use conversation::{Answers, Cargo, Migration, Target, auth_request};
use std::time::Duration;

/// The family.
pub const COMMANDS: &[Command] = &[MIGRATE];

const MIGRATE: Command = Command::remote(
    migrate,
    CommandSpec {
        name: "MIGRATE",
        summary: "Moves keys to another server, each at once: it is here or there.",
        since: "2.6.0",
        history: &[
            ("3.0.0", "Takes COPY and REPLACE."),
            ("3.0.6", "Takes KEYS."),
            ("4.0.7", "Takes AUTH."),
            ("6.0.0", "Takes AUTH2."),
        ],
        complexity: "That of DUMP and DEL here and of RESTORE there, for each key, and O(N) to send N bytes",
        group: Group::Generic,
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        keys: Keys::By(
            find_keys,
            &[
                KeySpec::one(3, Access::READ_DELETE),
                KeySpec::keyword(
                    "KEYS",
                    -2,
                    Find::Range { last: -1, step: 1, limit: 0 },
                    Access::READ_DELETE.incomplete(),
                ),
            ],
        ),
        effect: Propagate::Rewritten,
        args: &[
            Arg::string("host"),
            Arg::integer("port"),
            Arg::one_of("key-selector", &[Arg::key("key"), Arg::word("empty-string", "")]),
            Arg::integer("destination-db"),
            Arg::integer("timeout"),
            Arg::word("copy", "COPY").since("3.0.0").optional(),
            Arg::word("replace", "REPLACE").since("3.0.0").optional(),
            Arg::one_of(
                "authentication",
                &[
                    Arg::string("auth").shown("password").token("AUTH").since("4.0.7"),
                    Arg::block("auth2", &[Arg::string("username"), Arg::string("password")])
                        .token("AUTH2")
                        .since("6.0.0"),
                ],
            )
            .optional(),
            Arg::key_of("keys", 1).shown("key").token("KEYS").since("3.0.6").optional().multiple(),
        ],
        tips: &["nondeterministic_output"],
        ..CommandSpec::BASE
    },
);

/// Argument 3, or what follows KEYS. The words behind AUTH and AUTH2 are no options.
fn find_keys(argv: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    let mut at = 6;
    while at + 1 < argv.len() {
        match argv[at].to_ascii_lowercase().as_slice() {
            b"keys" if argv[3].is_empty() => {
                return Ok((at + 1..argv.len()).map(|key| (key, Access::READ_DELETE)).collect());
            }
            b"keys" => return Err(BadKeys),
            b"auth" => at += 2,
            b"auth2" => at += 3,
            _ => at += 1,
        }
    }
    Ok(Found::from_slice(&[(3, Access::READ_DELETE)]))
}

/// The options of a request.
#[derive(Default)]
struct Options<'a> {
    copy: bool,
    replace: bool,
    /// The arguments of AUTH.
    auth: Vec<&'a [u8]>,
    /// What follows KEYS.
    keys: Option<&'a [&'a [u8]]>,
}

impl<'a> Options<'a> {
    fn parse(args: Argv<'a>) -> Result<Options<'a>> {
        let mut options = Options::default();
        let mut words = args.cursor(6);
        while !words.is_done() {
            if words.word("COPY") {
                options.copy = true;
            } else if words.word("REPLACE") {
                options.replace = true;
            } else if words.word_with("AUTH", 1) {
                options.auth = vec![words.take()?];
            } else if words.word_with("AUTH2", 2) {
                options.auth = vec![words.take()?, words.take()?];
            } else if words.word("KEYS") {
                if !args.at(3).is_empty() {
                    return Err(Error::Text(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                options.keys = Some(words.rest());
                break;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

fn migrate(ctx: &mut Ctx<'_, '_>) -> Result {
    let args = ctx.args;
    let options = Options::parse(args)?;
    let timeout_ms = args.int(5)?;
    let db = args.int(4)?;
    let keys = options.keys.unwrap_or(&args.all()[3..4]);
    let mut cargo = Cargo::default();
    for key in keys {
        if let Some(entry) = ctx.txn.get(key) {
            let payload = encode(entry.value(), ctx.node.config.rdbcompression.get());
            cargo.add(key, ttl_ms(entry, ctx.now_ms()), &payload, options.replace);
        }
    }
    if cargo.keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(Outcome::Done);
    }
    // A log has the DEL that became of it.
    if ctx.origin == Origin::Log {
        return Err(Error::Text("ERR This command is not allowed here"));
    }
    Ok(Outcome::Migrate(Box::new(Migration {
        target: Target { host: args.at(1).to_vec(), port: args.at(2).to_vec() },
        timeout: Duration::from_millis(if timeout_ms <= 0 { TIMEOUT_MS } else { timeout_ms as u64 }),
        db,
        copy: options.copy,
        auth: auth_request(&options.auth),
        cargo,
        selects: false,
        answers: Answers::default(),
    })))
}

/// The time-out of a request that has none.
const TIMEOUT_MS: u64 = 1000;

/// What RESTORE says of a deadline; 0: there is none.
fn ttl_ms(entry: &Entry, now_ms: u64) -> u64 {
    entry.expiry().map_or(0, |at| at.saturating_sub(now_ms).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_as_they_are_read() {
        let cases: &[(&str, Option<&[usize]>)] = &[
            ("k 0 1", Some(&[3])),
            ("k 0 1 COPY", Some(&[3])),
            ("_ 0 1 KEYS a b", Some(&[7, 8])),
            ("_ 0 1 auth keys keys a", Some(&[9])),
            ("_ 0 1 AUTH2 keys keys KEYS a", Some(&[10])),
            ("k 0 1 KEYS a", None),
            ("_ 0 1 KEYS", Some(&[3])),
            ("k 0 1 AUTH KEYS", Some(&[3])),
        ];
        for (rest, want) in cases {
            let line = format!("MIGRATE h 1 {rest}");
            let argv: Vec<&[u8]> =
                line.split(' ').map(|word| if word == "_" { b"" } else { word.as_bytes() }).collect();
            let found = find_keys(&argv).map(|found| found.iter().map(|(at, _)| *at).collect::<Vec<_>>());
            assert_eq!(found.ok().as_deref(), *want, "{line}");
        }
    }
}
