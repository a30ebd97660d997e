//! String commands. This file is the example of a family: rows first, handlers below in the same order.
//!
//! What works on a part of a string is in `string/part.rs`, on a number in `string/number.rs`; how SET and its relatives
//! read their options in `string/options.rs`.

pub mod compare;
mod condition;
mod number;
pub mod options;
mod part;

use super::Command;
use super::bulks::Bulks;
use super::ctx::{Ctx, Outcome, Result, reply_str};
use super::error::Error;
use super::expire::{Base, Unit, apply_deadline};
use crate::keyspace::{Class, Deadline, WrongType};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use crate::types::string::{NewStr, StrRef};
use condition::Condition;
use options::{Expiry, For, Options};

/// The family.
pub const COMMANDS: &[Command] = &[
    GET,
    SET,
    SETNX,
    SETEX,
    PSETEX,
    GETSET,
    GETDEL,
    GETEX,
    MGET,
    MSET,
    MSETNX,
    part::APPEND,
    part::STRLEN,
    part::GETRANGE,
    part::SUBSTR,
    part::SETRANGE,
    number::INCR,
    number::DECR,
    number::INCRBY,
    number::DECRBY,
    number::INCRBYFLOAT,
];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::String, categories: Categories::STRING, ..CommandSpec::BASE };

const GET: Command = Command::new(
    get,
    CommandSpec {
        name: "GET",
        summary: "Returns the string stored at a key.",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        ..BASE
    },
);

/// GET anywhere behind the value reads the key, whether or not it stands where an option may stand.
fn access_of_set(argv: &[&[u8]]) -> Access {
    let options = argv.get(3..).unwrap_or_default();
    match () {
        () if options.iter().any(|word| word.eq_ignore_ascii_case(b"GET")) => Access::READ_UPDATE,
        () if Condition::is_among(options) => Access::UPDATE,
        () => Access::OVERWRITE,
    }
}

const SET: Command = Command::new(
    set,
    CommandSpec {
        name: "SET",
        summary: "Sets a key to a string, whatever it held before.",
        history: &[
            ("2.6.12", "Takes NX, XX, EX and PX."),
            ("6.0.0", "Takes KEEPTTL."),
            ("6.2.0", "Takes GET, EXAT and PXAT."),
            ("7.0.0", "GET goes with NX."),
            ("8.4.0", "Takes IFEQ, IFNE, IFDEQ and IFDNE."),
        ],
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Depends(1, Access::READ_UPDATE.variable(), access_of_set),
        key_notes: &["Reads the key with GET or a condition."],
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::string("value"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::string("ifeq-value").token("IFEQ").since("8.4.0"),
                    Arg::string("ifne-value").token("IFNE").since("8.4.0"),
                    Arg::integer("ifdeq-digest").token("IFDEQ").since("8.4.0"),
                    Arg::integer("ifdne-digest").token("IFDNE").since("8.4.0"),
                ],
            )
            .optional()
            .since("2.6.12"),
            Arg::word("get", "GET").optional().since("6.2.0"),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").token("EX").since("2.6.12"),
                    Arg::integer("milliseconds").token("PX").since("2.6.12"),
                    Arg::unix_time("unix-time-seconds").token("EXAT").since("6.2.0"),
                    Arg::unix_time("unix-time-milliseconds").token("PXAT").since("6.2.0"),
                    Arg::word("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

const SETNX: Command = Command::new(
    setnx,
    CommandSpec {
        name: "SETNX",
        deprecated: Some(("2.6.12", "`SET` with `NX`")),
        summary: "Sets a key to a string unless the key exists.",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::CREATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("value")],
        ..BASE
    },
);

const SETEX: Command = Command::new(
    |ctx| set_expiring(ctx, Unit::Seconds, "setex"),
    CommandSpec {
        name: "SETEX",
        deprecated: Some(("2.6.12", "`SET` with `EX`")),
        summary: "Sets a key to a string that lives for some seconds.",
        since: "2.0.0",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(1, Access::OVERWRITE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::integer("seconds"), Arg::string("value")],
        ..BASE
    },
);

const PSETEX: Command = Command::new(
    |ctx| set_expiring(ctx, Unit::Milliseconds, "psetex"),
    CommandSpec {
        name: "PSETEX",
        deprecated: Some(("2.6.12", "`SET` with `PX`")),
        summary: "Sets a key to a string that lives for some milliseconds.",
        since: "2.6.0",
        args: &[Arg::key("key"), Arg::integer("milliseconds"), Arg::string("value")],
        ..SETEX.spec
    },
);

const GETSET: Command = Command::new(
    getset,
    CommandSpec {
        name: "GETSET",
        deprecated: Some(("6.2.0", "`SET` with `GET`")),
        summary: "Sets a key to a string and returns the one it held.",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::string("value")],
        ..BASE
    },
);

const GETDEL: Command = Command::new(
    getdel,
    CommandSpec {
        name: "GETDEL",
        summary: "Returns the string stored at a key and deletes the key.",
        since: "6.2.0",
        arity: Arity::exactly(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key")],
        ..BASE
    },
);

const GETEX: Command = Command::new(
    getex,
    CommandSpec {
        name: "GETEX",
        summary: "Returns the string stored at a key and changes when it expires.",
        since: "6.2.0",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        key_notes: &["Changes when the key expires."],
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").token("EX"),
                    Arg::integer("milliseconds").token("PX"),
                    Arg::unix_time("unix-time-seconds").token("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").token("PXAT"),
                    Arg::word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

const MGET: Command = Command::new(
    mget,
    CommandSpec {
        name: "MGET",
        summary: "Returns the strings stored at several keys.",
        complexity: "O(N) for N keys",
        arity: Arity::at_least(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::READ)]),
        args: &[Arg::key("key").multiple()],
        tips: &["request_policy:multi_shard"],
        ..BASE
    },
);

const PAIRS: &[Arg] = &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()];

const MSET: Command = Command::new(
    mset,
    CommandSpec {
        name: "MSET",
        summary: "Sets several keys to strings at once.",
        since: "1.0.1",
        complexity: "O(N) for N keys",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 2, Access::OVERWRITE)]),
        effect: Propagate::Verbatim,
        args: PAIRS,
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        ..BASE
    },
);

const MSETNX: Command = Command::new(
    msetnx,
    CommandSpec {
        name: "MSETNX",
        summary: "Sets several keys to strings, all of them or, if one exists, none.",
        keys: Keys::Specs(&[KeySpec::range(1, -1, 2, Access::CREATE)]),
        tips: &[],
        ..MSET.spec
    },
);

fn get(ctx: &mut Ctx<'_, '_>) -> Result {
    match ctx.txn.str(&ctx.args[1])? {
        Some(value) => reply_str(ctx.reply, value),
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn set(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    if argv.len() == 3 {
        store(ctx, 2, Deadline::Clear);
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    let options = Options::parse(&argv[3..], For::Set)?;
    let deadline = options.deadline(ctx.now_ms(), "set")?;
    // An error comes before the old value, never behind it.
    let may_set = may_set(ctx, &options)?;
    if options.get {
        get(ctx)?;
    }
    if !may_set {
        if !options.get {
            ctx.reply.null();
        }
        return Ok(Outcome::Done);
    }
    let after = match deadline {
        Some(at) => Deadline::At(at),
        None if options.keep_ttl => Deadline::Keep,
        None => Deadline::Clear,
    };
    store(ctx, 2, after);
    match (options.expiry, deadline) {
        (Some(expiry), Some(at)) => note_deadline(ctx, expiry, at, 2),
        _ if options.get || options.condition.is_some() => log_plainly(ctx, options.keep_ttl),
        _ => {}
    }
    if !options.get {
        ctx.reply.ok();
    }
    Ok(Outcome::Done)
}

fn setnx(ctx: &mut Ctx<'_, '_>) -> Result {
    let missing = ctx.txn.peek(&ctx.args[1]).is_none();
    if missing {
        store(ctx, 2, Deadline::Clear);
    }
    ctx.reply.int(missing as i64);
    Ok(Outcome::Done)
}

fn set_expiring(ctx: &mut Ctx<'_, '_>, unit: Unit, command: &'static str) -> Result {
    let expiry = Expiry { text: ctx.args.all()[2], unit, base: Base::Now };
    let at = expiry.deadline(ctx.now_ms(), command)?;
    store(ctx, 3, Deadline::At(at));
    note_deadline(ctx, expiry, at, 3);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn getset(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    get(ctx)?;
    store(ctx, 2, Deadline::Clear);
    ctx.log_as(&[b"SET", argv[1], argv[2]]);
    Ok(Outcome::Done)
}

fn getdel(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    get(ctx)?;
    if ctx.txn.delete(key) {
        ctx.log_as(&[b"DEL", key]);
    }
    Ok(Outcome::Done)
}

fn getex(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let options = Options::parse(&argv[2..], For::GetEx)?;
    let key = argv[1];
    let Some(value) = ctx.txn.str(key)? else {
        ctx.reply.null();
        return Ok(Outcome::Done);
    };
    let deadline = options.deadline(ctx.txn.now_ms(), "getex")?;
    reply_str(ctx.reply, value);
    let had = ctx.txn.peek(key).is_some_and(|entry| entry.expiry().is_some());
    if let Some(at) = deadline {
        apply_deadline(ctx, key, at as i64, &[]);
    } else if options.persist && had {
        ctx.txn.set_deadline(key, None);
        ctx.log_as(&[b"PERSIST", key]);
        ctx.txn.event(Class::GENERIC, "persist", key);
    }
    Ok(Outcome::Done)
}

fn mget(ctx: &mut Ctx<'_, '_>) -> Result {
    let keys = ctx.args.rest(1);
    ctx.reply.array(keys.len());
    let mut bulks = Bulks::new(ctx.reply);
    for key in keys {
        match ctx.txn.get(key).and_then(|entry| entry.str()) {
            Some(value) => bulks.text(value),
            None => bulks.null(),
        }
    }
    Ok(Outcome::Done)
}

fn mset(ctx: &mut Ctx<'_, '_>) -> Result {
    even_pairs(ctx, "mset")?;
    store_pairs(ctx);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn msetnx(ctx: &mut Ctx<'_, '_>) -> Result {
    even_pairs(ctx, "msetnx")?;
    let free = ctx.args.rest(1).iter().step_by(2).all(|key| ctx.txn.peek(key).is_none());
    if free {
        store_pairs(ctx);
    }
    ctx.reply.int(free as i64);
    Ok(Outcome::Done)
}

/// Sets the key of the request to its argument `value`, with the event of SET.
fn store(ctx: &mut Ctx<'_, '_>, value: usize, deadline: Deadline) {
    let key = ctx.args.all()[1];
    ctx.txn.set_str(key, new_value(ctx, value), deadline);
    ctx.txn.event(Class::STRING, "set", key);
}

/// An argument as a value to store: an integer if it is the text of one, shared if it came in a buffer of its own.
pub(super) fn new_value<'a>(ctx: &Ctx<'a, '_>, index: usize) -> NewStr<'a> {
    match ctx.args.shared(index) {
        Some(big) => NewStr::Shared(big),
        None => NewStr::from_bytes(ctx.args.all()[index]),
    }
}

/// The string a write command is about to change; leaves no trace in the statistics.
pub(super) fn stored<'t>(ctx: &'t Ctx<'_, '_>, key: &[u8]) -> Result<Option<StrRef<'t>>> {
    match ctx.txn.peek(key) {
        None => Ok(None),
        Some(entry) => Ok(Some(entry.str().ok_or(WrongType)?)),
    }
}

/// Says the event of a deadline just set, and logs it as absolute time.
fn note_deadline(ctx: &mut Ctx<'_, '_>, expiry: Expiry<'_>, at: u64, value: usize) {
    let argv = ctx.args.all();
    if (expiry.unit, expiry.base) != (Unit::Milliseconds, Base::Epoch) {
        ctx.log_as(&[b"SET", argv[1], argv[value], b"PXAT", itoa::Buffer::new().format(at).as_bytes()]);
    }
    ctx.txn.event(Class::GENERIC, "expire", argv[1]);
}

/// A replica has nobody to return the old value to, and no condition to judge again.
fn log_plainly(ctx: &mut Ctx<'_, '_>, keep_ttl: bool) {
    let argv = ctx.args.all();
    let effect: &[&[u8]] = &[b"SET", argv[1], argv[2], b"KEEPTTL"];
    ctx.log_as(if keep_ttl { effect } else { &effect[..3] });
}

/// Whether the conditions of SET hold.
fn may_set(ctx: &Ctx<'_, '_>, options: &Options<'_>) -> Result<bool> {
    let key = ctx.args.all()[1];
    if let Some(condition) = options.condition {
        // What is compared is read.
        let value = if ctx.txn.peek(key).is_some() { ctx.txn.str(key)? } else { None };
        return condition.holds(value);
    }
    let exists = || ctx.txn.peek(key).is_some();
    Ok(!(options.nx && exists() || options.xx && !exists()))
}

fn even_pairs(ctx: &Ctx<'_, '_>, command: &'static str) -> Result<()> {
    if ctx.args.len().is_multiple_of(2) { Err(Error::Arity(command.into())) } else { Ok(()) }
}

fn store_pairs(ctx: &mut Ctx<'_, '_>) {
    for at in (1..ctx.args.len()).step_by(2) {
        let key = ctx.args.all()[at];
        ctx.txn.set_str(key, new_value(ctx, at + 1), Deadline::Clear);
        ctx.txn.event(Class::STRING, "set", key);
    }
}
