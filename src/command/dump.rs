//! DUMP and RESTORE: a value as bytes and back, in the format of RDB files.

use super::Command;
use super::args::Argv;
use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use super::{hash, list, set, zset};
use crate::keyspace::evict::{lfu, lru};
use crate::keyspace::{Class, Deadline, Entry};
use crate::node::Node;
use crate::persist::rdb::dump::{Checksum, DumpError, decode, encode};
use crate::persist::rdb::read::{Limits, Loaded};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[DUMP, RESTORE, RESTORE_ASKING];

const BASE: CommandSpec = CommandSpec {
    group: Group::Generic,
    categories: Categories::KEYSPACE,
    since: "2.6.0",
    complexity: "O(N*M), N the elements of the value and M their average size",
    ..CommandSpec::BASE
};

const DUMP: Command = Command::new(
    dump,
    CommandSpec {
        name: "DUMP",
        summary: "Returns the value of a key as bytes that RESTORE understands.",
        arity: Arity::exactly(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const RESTORE: Command = Command::new(
    restore,
    CommandSpec {
        name: "RESTORE",
        summary: "Creates a key with a value that DUMP returned.",
        complexity: "O(N*M), N the elements of the value and M their average size; O(N*M*log(N)) for a sorted set",
        history: &[("3.0.0", "Takes REPLACE."), ("5.0.0", "Takes ABSTTL."), ("5.0.0", "Takes IDLETIME and FREQ.")],
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        keys: Keys::one(1, Access::OVERWRITE),
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::integer("ttl"),
            Arg::string("serialized-value"),
            Arg::word("replace", "REPLACE").since("3.0.0").optional(),
            Arg::word("absttl", "ABSTTL").since("5.0.0").optional(),
            Arg::integer("seconds").token("IDLETIME").since("5.0.0").optional(),
            Arg::integer("frequency").token("FREQ").since("5.0.0").optional(),
        ],
        ..BASE
    },
);

const RESTORE_ASKING: Command = Command::new(
    restore,
    CommandSpec {
        name: "RESTORE-ASKING",
        summary: "RESTORE, with ASKING implied: what moving a slot between nodes of a cluster uses.",
        since: "3.0.0",
        group: Group::Server,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::ASKING).and(Flags::SYSCMD),
        ..RESTORE.spec
    },
);

/// How far the small forms of collections go now.
pub(super) fn limits(node: &Node) -> Limits {
    Limits { list: list::limits(node), set: set::limits(node), hash: hash::limits(node), zset: zset::limits(node) }
}

/// Whether checksums of payloads count now.
pub(super) fn checksum(node: &Node) -> Checksum {
    if node.skip_checksums.load(Relaxed) { Checksum::Skipped } else { Checksum::Counts }
}

fn dump(ctx: &mut Ctx<'_, '_>) -> Result {
    match ctx.txn.get(&ctx.args[1]).map(Entry::value) {
        Some(value) => ctx.reply.bulk(&encode(value, ctx.node.config.rdbcompression.get())),
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

/// The options of RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute_ttl: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Argv<'_>) -> Result<Options> {
        let mut options = Options::default();
        let mut words = args.cursor(4);
        while !words.is_done() {
            if words.word("REPLACE") {
                options.replace = true;
            } else if words.word("ABSTTL") {
                options.absolute_ttl = true;
            } else if options.frequency.is_none() && words.word_with("IDLETIME", 1) {
                let invalid = Error::Text("ERR Invalid IDLETIME value, must be >= 0");
                options.idle_seconds = Some(u64::try_from(words.int()?).map_err(|_| invalid)?);
            } else if options.idle_seconds.is_none() && words.word_with("FREQ", 1) {
                let invalid = Error::Text("ERR Invalid FREQ value, must be >= 0 and <= 255");
                options.frequency = Some(u8::try_from(words.int()?).map_err(|_| invalid)?);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

fn restore(ctx: &mut Ctx<'_, '_>) -> Result {
    let options = Options::parse(ctx.args)?;
    let key = ctx.args.all()[1];
    if !options.replace && ctx.txn.peek(key).is_some() {
        return Err(Error::Text("BUSYKEY Target key name already exists."));
    }
    let deadline = deadline_of(ctx, options.absolute_ttl)?;
    let loaded = decode(&ctx.args[3], checksum(ctx.node), &limits(ctx.node)).map_err(|error| match error {
        DumpError::Footer => Error::Text("ERR DUMP payload version or checksum are wrong"),
        DumpError::Value(unsound) => {
            tracing::warn!("A payload of RESTORE is refused: {unsound}");
            Error::Text("ERR Bad data format")
        }
    })?;
    // What comes from a log was judged by the clock of another.
    if deadline.is_some_and(|at| at <= ctx.now_ms()) && ctx.origin != Origin::Log {
        restore_nothing(ctx, key, options.replace);
        return Ok(Outcome::Done);
    }
    // What was there goes first: the key that comes is a new one.
    let before = ctx.txn.dirty();
    if let Some(old) = ctx.txn.take(key) {
        ctx.txn.keyspace().discard_replaced(old);
    }
    let kept_until = deadline.map_or(Deadline::Clear, Deadline::At);
    match loaded {
        Loaded::Str(text) => ctx.txn.set_str(key, text, kept_until),
        Loaded::Value(value) => ctx.txn.insert(key, value, kept_until),
    }
    ctx.txn.recount_dirty(before, 1);
    set_access(ctx, key, &options);
    ctx.txn.event(Class::GENERIC, "restore", key);
    log_absolute(ctx, deadline, options.absolute_ttl);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Unix time in milliseconds at which the restored key expires.
fn deadline_of(ctx: &Ctx<'_, '_>, is_absolute: bool) -> Result<Option<u64>> {
    let invalid = Error::Text("ERR Invalid TTL value, must be >= 0");
    let ttl = ctx.args.int(2)?;
    if ttl < 0 {
        return Err(invalid);
    }
    let base = if is_absolute { 0 } else { ctx.now_ms() as i64 };
    // A time past the end of the clock lies in the past, as in the original.
    Ok((ttl > 0).then(|| u64::try_from(ttl.wrapping_add(base)).unwrap_or(0)))
}

/// A key that is restored with a deadline in the past: only what was there before goes.
fn restore_nothing(ctx: &mut Ctx<'_, '_>, key: &[u8], replace: bool) {
    if replace && ctx.txn.delete(key) {
        ctx.log_as(&[b"DEL", key]);
    }
    ctx.reply.ok();
}

fn set_access(ctx: &mut Ctx<'_, '_>, key: &[u8], options: &Options) {
    let now_ms = ctx.now_ms();
    let namespace = &ctx.txn.keyspace().namespace;
    let is_lfu = namespace.policy().is_lfu();
    match (options.frequency, options.idle_seconds) {
        (Some(frequency), _) if is_lfu => ctx.txn.set_access(key, lfu::with_counter(frequency, now_ms)),
        (_, Some(seconds)) if !is_lfu => ctx.txn.set_access(key, lru::idle_for(seconds, namespace, now_ms)),
        _ => {}
    }
}

/// Logs the request with its deadline as a point in time.
fn log_absolute(ctx: &mut Ctx<'_, '_>, deadline: Option<u64>, was_absolute: bool) {
    let Some(deadline) = deadline.filter(|_| !was_absolute) else { return };
    let mut text = itoa::Buffer::new();
    let mut argv = ctx.args.all().to_vec();
    argv[2] = text.format(deadline).as_bytes();
    argv.push(b"ABSTTL");
    ctx.log_as(&argv);
}
