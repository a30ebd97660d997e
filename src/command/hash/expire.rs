//! Deadlines of hash fields: the HEXPIRE and HTTL families.
//!
//! Inside, a deadline is Unix time in milliseconds. What is logged is HPEXPIREAT with that time for the fields it was
//! given to, HPERSIST, HSET and HDEL: words that Redis 7.4 knows, whichever command came.

use super::BASE;
use crate::base::num::parse_i64;
use crate::command::Command;
use crate::command::args::Argv;
use crate::command::ctx::{Ctx, Origin, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::Txn;
use crate::keyspace::txn::{Create, Note};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::hash::Hash;

pub(super) const FIELDS: Arg =
    Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()]).token("FIELDS");

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

pub(super) const HEXPIRE: Command = Command::new(
    hexpire,
    CommandSpec {
        name: "HEXPIRE",
        summary: "Lets fields of a hash expire after so many seconds.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION, FIELDS],
        ..BASE
    },
);

pub(super) const HPEXPIRE: Command = Command::new(
    hpexpire,
    CommandSpec {
        name: "HPEXPIRE",
        summary: "Lets fields of a hash expire after so many milliseconds.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION, FIELDS],
        ..BASE
    },
);

pub(super) const HEXPIREAT: Command = Command::new(
    hexpireat,
    CommandSpec {
        name: "HEXPIREAT",
        summary: "Lets fields of a hash expire at a Unix time in seconds.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION, FIELDS],
        ..BASE
    },
);

pub(super) const HPEXPIREAT: Command = Command::new(
    hpexpireat,
    CommandSpec {
        name: "HPEXPIREAT",
        summary: "Lets fields of a hash expire at a Unix time in milliseconds.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION, FIELDS],
        ..BASE
    },
);

pub(super) const HTTL: Command = Command::new(
    httl,
    CommandSpec {
        name: "HTTL",
        summary: "Tells after how many seconds fields of a hash expire.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), FIELDS],
        ..BASE
    },
);

pub(super) const HPTTL: Command = Command::new(
    hpttl,
    CommandSpec {
        name: "HPTTL",
        summary: "Tells after how many milliseconds fields of a hash expire.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), FIELDS],
        ..BASE
    },
);

pub(super) const HEXPIRETIME: Command = Command::new(
    hexpiretime,
    CommandSpec {
        name: "HEXPIRETIME",
        summary: "Tells at which Unix time in seconds fields of a hash expire.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), FIELDS],
        ..BASE
    },
);

pub(super) const HPEXPIRETIME: Command = Command::new(
    hpexpiretime,
    CommandSpec {
        name: "HPEXPIRETIME",
        summary: "Tells at which Unix time in milliseconds fields of a hash expire.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), FIELDS],
        ..BASE
    },
);

pub(super) const HPERSIST: Command = Command::new(
    hpersist,
    CommandSpec {
        name: "HPERSIST",
        summary: "Takes the expiry from fields of a hash.",
        since: "7.4.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), FIELDS],
        ..BASE
    },
);

/// The latest deadline a field can have: 2^46 - 1 ms, the year 4199.
const DEADLINE_MAX: i64 = (1 << 46) - 1;

const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;

pub(super) const FIELDS_MISSING: Error =
    Error::Text("ERR Mandatory argument FIELDS is missing or not at the right position");
const FIELDS_MISMATCH: Error = Error::Text("ERR The `numfields` parameter must match the number of arguments");

/// How a time is given.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// Milliseconds in its unit.
    unit: i64,
    /// It counts from now.
    relative: bool,
}

pub(super) const SECONDS: Clock = Clock { unit: 1000, relative: true };
pub(super) const MILLISECONDS: Clock = Clock { unit: 1, relative: true };
pub(super) const UNIX_SECONDS: Clock = Clock { unit: 1000, relative: false };
pub(super) const UNIX_MILLISECONDS: Clock = Clock { unit: 1, relative: false };

impl Clock {
    /// Reads a deadline.
    pub(super) fn deadline(self, text: &[u8], now_ms: u64, command: &'static str) -> Result<i64> {
        let time = parse_i64(text).ok_or(Error::NotInteger)?;
        if time < 0 {
            return Err(Error::Text("ERR invalid expire time, must be >= 0"));
        }
        let base = if self.relative { now_ms as i64 } else { 0 };
        let ms = time.checked_mul(self.unit).and_then(|ms| ms.checked_add(base));
        ms.filter(|ms| *ms <= DEADLINE_MAX).ok_or(Error::InvalidExpire(command))
    }

    /// A deadline as the HTTL family tells it; seconds are rounded up.
    fn tell(self, at: u64, now_ms: u64) -> i64 {
        let base = if self.relative { now_ms } else { 0 };
        (at.saturating_sub(base) as i64 + self.unit - 1) / self.unit
    }
}

/// Reads `FIELDS numfields field ..` at argument `at`; `count_error` is for a number that is none.
pub(super) fn fields<'a>(args: Argv<'a>, at: usize, count_error: &'static str) -> Result<&'a [&'a [u8]]> {
    if !args.is(at, "FIELDS") {
        return Err(FIELDS_MISSING);
    }
    let names = args.rest(at + 2);
    let count = args.all().get(at + 1).and_then(|text| parse_i64(text)).filter(|count| *count > 0);
    match count.ok_or(Error::Text(count_error))? {
        count if count == names.len() as i64 => Ok(names),
        _ => Err(FIELDS_MISMATCH),
    }
}

pub(super) const NUMFIELDS_ERROR: &str = "ERR Number of fields must be a positive integer";

/// When HEXPIRE and its like change a deadline.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Only {
    Always,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Only {
    fn parse(word: &[u8]) -> Only {
        match () {
            () if word.eq_ignore_ascii_case(b"NX") => Only::Nx,
            () if word.eq_ignore_ascii_case(b"XX") => Only::Xx,
            () if word.eq_ignore_ascii_case(b"GT") => Only::Gt,
            () if word.eq_ignore_ascii_case(b"LT") => Only::Lt,
            () => Only::Always,
        }
    }

    fn allows(self, old: Option<u64>, new: u64) -> bool {
        match self {
            Only::Always => true,
            Only::Nx => old.is_none(),
            Only::Xx => old.is_some(),
            Only::Gt => old.is_some_and(|old| new > old),
            Only::Lt => old.is_none_or(|old| new < old),
        }
    }
}

/// What happened to one field, with the reply's number.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Set {
    NoField = -2,
    NotAllowed = 0,
    Done = 1,
    Deleted = 2,
}

fn hexpire(ctx: &mut Ctx<'_, '_>) -> Result {
    expire(ctx, SECONDS, "hexpire")
}

fn hpexpire(ctx: &mut Ctx<'_, '_>) -> Result {
    expire(ctx, MILLISECONDS, "hpexpire")
}

fn hexpireat(ctx: &mut Ctx<'_, '_>) -> Result {
    expire(ctx, UNIX_SECONDS, "hexpireat")
}

fn hpexpireat(ctx: &mut Ctx<'_, '_>) -> Result {
    expire(ctx, UNIX_MILLISECONDS, "hpexpireat")
}

fn expire(ctx: &mut Ctx<'_, '_>, clock: Clock, command: &'static str) -> Result {
    let (args, key) = (ctx.args, ctx.args.all()[1]);
    ctx.txn.peek_as::<Hash>(key)?;
    let at = clock.deadline(args.all()[2], ctx.now_ms(), command)?;
    let only = Only::parse(args.all()[3]);
    let names_at = if only == Only::Always { 3 } else { 4 };
    let names = fields(args, names_at, "ERR Parameter `numFields` should be greater than 0")?;
    ctx.txn.expire_named(key, names);
    // What another server logged is done as it says; that server also logs the removal.
    let is_past = at <= ctx.now_ms() as i64 && ctx.origin != Origin::Log;
    let done = ctx.txn.edit(key, Create::No, |hash: &mut Hash, note| {
        hash.prepare_deadlines();
        let done: Vec<Set> = names.iter().map(|name| set_one(hash, name, at as u64, only, is_past)).collect();
        note_deadlines(note, &done);
        done
    })?;
    let done = done.unwrap_or_else(|| vec![Set::NoField; names.len()]);
    ctx.reply.array(done.len());
    done.iter().for_each(|set| ctx.reply.int(*set as i64));
    log_done(ctx, key, at as u64, names, &done);
    Ok(Outcome::Done)
}

pub(super) fn set_one(hash: &mut Hash, name: &[u8], at: u64, only: Only, is_past: bool) -> Set {
    let Some(field) = hash.get(name) else { return Set::NoField };
    if !only.allows(field.deadline, at) {
        return Set::NotAllowed;
    }
    if is_past {
        hash.remove(name);
        return Set::Deleted;
    }
    hash.set_deadline(name, Some(at));
    Set::Done
}

pub(super) fn note_deadlines(note: &mut Note, done: &[Set]) {
    let changed = done.iter().filter(|set| matches!(set, Set::Done | Set::Deleted)).count();
    if changed > 0 {
        note.event(if done.contains(&Set::Deleted) { "hdel" } else { "hexpire" });
        note.changed(changed as u64);
    }
}

/// Logs the fields that were removed and those that have a new deadline, and nothing else. Removed ones count as expired.
pub(super) fn log_done(ctx: &mut Ctx<'_, '_>, key: &[u8], at: u64, names: &[&[u8]], done: &[Set]) {
    ctx.log_nothing();
    let of = |wanted: Set| names.iter().zip(done).filter(move |(_, set)| **set == wanted).map(|(name, _)| *name);
    of(Set::Deleted).for_each(|name| ctx.log_as(&[b"HDEL", key, name]));
    ctx.txn.count_expired_fields(key, of(Set::Deleted).count() as u64);
    let set: Vec<&[u8]> = of(Set::Done).collect();
    if !set.is_empty() {
        log_deadline(ctx, key, at, &set);
    }
}

/// Logs that fields have this deadline now.
pub(super) fn log_deadline(ctx: &mut Ctx<'_, '_>, key: &[u8], at: u64, names: &[&[u8]]) {
    let (mut ms, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let head: [&[u8]; 5] =
        [b"HPEXPIREAT", key, ms.format(at).as_bytes(), b"FIELDS", count.format(names.len()).as_bytes()];
    ctx.log_as(&[&head, names].concat());
}

/// Removes all fields of a hash that are due.
pub(super) fn expire_all(txn: &mut Txn<'_>, key: &[u8]) {
    while !txn.keep_expired && has_due(txn, key) && txn.expire_fields(key) > 0 {}
}

fn has_due(txn: &Txn<'_>, key: &[u8]) -> bool {
    let hash = txn.peek_as::<Hash>(key).ok().flatten();
    hash.and_then(|hash| hash.next_deadline()).is_some_and(|at| at <= txn.now_ms())
}

fn httl(ctx: &mut Ctx<'_, '_>) -> Result {
    tell(ctx, SECONDS)
}

fn hpttl(ctx: &mut Ctx<'_, '_>) -> Result {
    tell(ctx, MILLISECONDS)
}

fn hexpiretime(ctx: &mut Ctx<'_, '_>) -> Result {
    tell(ctx, UNIX_SECONDS)
}

fn hpexpiretime(ctx: &mut Ctx<'_, '_>) -> Result {
    tell(ctx, UNIX_MILLISECONDS)
}

fn tell(ctx: &mut Ctx<'_, '_>, clock: Clock) -> Result {
    let now_ms = ctx.now_ms();
    let hash = ctx.txn.read::<Hash>(&ctx.args[1])?;
    let names = fields(ctx.args, 2, NUMFIELDS_ERROR)?;
    ctx.reply.array(names.len());
    for name in names {
        let field = hash.as_deref().and_then(|hash| hash.get(name)).filter(|field| !field.is_due(now_ms));
        ctx.reply.int(match field.map(|field| field.deadline) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(at)) => clock.tell(at, now_ms),
        });
    }
    Ok(Outcome::Done)
}

fn hpersist(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    ctx.txn.peek_as::<Hash>(key)?;
    let names = fields(ctx.args, 2, NUMFIELDS_ERROR)?;
    ctx.txn.expire_named(key, names);
    let done = ctx.txn.edit(key, Create::No, |hash: &mut Hash, note| {
        let done: Vec<i64> = names.iter().map(|name| persist_one(hash, name)).collect();
        if done.contains(&1) {
            note.event("hpersist");
        }
        done
    })?;
    let done = done.unwrap_or_else(|| vec![NO_FIELD; names.len()]);
    ctx.reply.array(done.len());
    done.into_iter().for_each(|result| ctx.reply.int(result));
    Ok(Outcome::Done)
}

pub(super) fn persist_one(hash: &mut Hash, name: &[u8]) -> i64 {
    match hash.get(name).map(|field| field.deadline) {
        None => NO_FIELD,
        Some(None) => NO_DEADLINE,
        Some(Some(_)) => hash.set_deadline(name, None) as i64,
    }
}
