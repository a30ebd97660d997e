//! Strings by condition: DIGEST, DELEX, DELIFEQ and MSETEX, which Redis has since 8.4 (DELIFEQ: Valkey since 9.0).
//!
//! A client that knows what a key held changes it only if it still holds that: it names the value itself, or, where that
//! is long, its digest, 16 hexadecimal digits of XXH3. All of these are logged as the plain SET or DEL they come to, so
//! that older servers can follow.

use super::condition::{Condition, digest_of};
use super::options::{For, Options};
use super::{new_value, stored};
use crate::base::num::parse_i64;
use crate::command::Command;
use crate::command::ctx::{Ctx, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::{Class, Deadline};
use crate::spec::keys::{Begin, Find};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};

/// The family.
pub const COMMANDS: &[Command] = &[DIGEST, DELEX, DELIFEQ, MSETEX];

const BASE: CommandSpec =
    CommandSpec { group: Group::String, categories: Categories::STRING, since: "8.4.0", ..CommandSpec::BASE };

const DIGEST: Command = Command::new(
    digest,
    CommandSpec {
        name: "DIGEST",
        summary: "Returns the digest of the string stored at a key.",
        complexity: "O(N) for a string of N bytes",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        ..BASE
    },
);

/// A condition looks at the value, without telling what it is.
fn access_of_delex(argv: &[&[u8]]) -> Access {
    let has_condition = Condition::is_among(argv.get(2..).unwrap_or_default());
    if has_condition { Access::DELETE } else { Access::REMOVE }
}

const DELEX: Command = Command::new(
    delex,
    CommandSpec {
        name: "DELEX",
        summary: "Deletes a key if its value or digest is, or is not, the given one.",
        complexity: "O(1) by value, O(N) by digest of a string of N bytes",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::Depends(1, Access::DELETE.variable(), access_of_delex),
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::one_of(
                "condition",
                &[
                    Arg::string("ifeq-value").token("IFEQ"),
                    Arg::string("ifne-value").token("IFNE"),
                    Arg::integer("ifdeq-digest").token("IFDEQ"),
                    Arg::integer("ifdne-digest").token("IFDNE"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

const DELIFEQ: Command = Command::new(
    delifeq,
    CommandSpec {
        name: "DELIFEQ",
        summary: "Deletes a key if its value is the given one.",
        since: "9.0.0",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::REMOVE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::string("value")],
        ..BASE
    },
);

const MSETEX: Command = Command::new(
    msetex,
    CommandSpec {
        name: "MSETEX",
        summary: "Sets several keys to strings at once, with a condition and a time to live for all.",
        complexity: "O(N) for N keys",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec {
            access: Access::OVERWRITE,
            begin: Begin::Index(1),
            find: Find::Numkeys { index: 0, first: 1, step: 2 },
        }]),
        effect: Propagate::Rewritten,
        args: &[
            Arg::integer("numkeys"),
            Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple(),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").token("EX"),
                    Arg::integer("milliseconds").token("PX"),
                    Arg::unix_time("unix-time-seconds").token("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").token("PXAT"),
                    Arg::word("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
        ],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        ..BASE
    },
);

fn digest(ctx: &mut Ctx<'_, '_>) -> Result {
    match ctx.txn.str(&ctx.args[1])? {
        Some(value) => ctx.reply.bulk(digest_of(value.as_bytes(&mut itoa::Buffer::new())).as_bytes()),
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn delex(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let holds = match *argv {
        [_, key] => ctx.txn.peek(key).is_some(),
        [_, key, name, operand] => match ctx.txn.get(key) {
            None => false,
            Some(entry) => {
                let text = "ERR Key should be of string type if conditions are specified";
                let value = entry.str().ok_or(Error::Text(text))?;
                let condition = Condition::new(&name.to_ascii_lowercase(), operand)
                    .ok_or(Error::Text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?;
                condition.holds(Some(value))?
            }
        },
        _ => return Err(Error::Arity("delex".into())),
    };
    delete_if(ctx, holds)
}

fn delifeq(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let holds = Condition::Is(argv[2]).holds(stored(ctx, argv[1])?)?;
    delete_if(ctx, holds)
}

fn delete_if(ctx: &mut Ctx<'_, '_>, holds: bool) -> Result {
    let key = ctx.args.all()[1];
    let deleted = holds && ctx.txn.delete(key);
    if deleted {
        ctx.log_as(&[b"DEL", key]);
    }
    ctx.reply.int(deleted as i64);
    Ok(Outcome::Done)
}

fn msetex(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let count = parse_i64(argv[1]).and_then(|count| i32::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(Error::Text("ERR invalid numkeys value"))? as usize;
    let end = 2 + 2 * count;
    if argv.len() < end {
        return Err(Error::Text("ERR wrong number of key-value pairs"));
    }
    let options = Options::parse(&argv[end..], For::MSetEx)?;
    let deadline = options.deadline(ctx.now_ms(), "msetex")?;
    let mut keys = (2..end).step_by(2).map(|at| argv[at]);
    let refused = options.nx && keys.clone().any(|key| ctx.txn.peek(key).is_some())
        || options.xx && keys.any(|key| ctx.txn.peek(key).is_none());
    if !refused {
        for at in (2..end).step_by(2) {
            set_one(ctx, at, &options, deadline);
        }
    }
    ctx.reply.int(!refused as i64);
    Ok(Outcome::Done)
}

/// Sets the key at `at` to the argument behind it, and logs that as a SET of its own.
fn set_one(ctx: &mut Ctx<'_, '_>, at: usize, options: &Options<'_>, deadline: Option<u64>) {
    let argv = ctx.args.all();
    let (key, value) = (argv[at], argv[at + 1]);
    let after = match deadline {
        Some(at) => Deadline::At(at),
        None if options.keep_ttl => Deadline::Keep,
        None => Deadline::Clear,
    };
    ctx.txn.set_str(key, new_value(ctx, at + 1), after);
    if deadline.is_some() {
        ctx.txn.event(Class::GENERIC, "expire", key);
    }
    ctx.txn.event(Class::STRING, "set", key);
    match deadline {
        Some(at) => {
            ctx.log_as(&[b"SET", key, value, b"PXAT", itoa::Buffer::new().format(at).as_bytes()]);
        }
        None if options.keep_ttl => ctx.log_as(&[b"SET", key, value, b"KEEPTTL"]),
        None => ctx.log_as(&[b"SET", key, value]),
    }
}
