//! Deadlines of hash fields: the HEXPIRE and HTTL families, and HGETEX, HSETEX, HGETDEL of later servers.
//!
//! Inside, a deadline is Unix time in milliseconds. What is logged is HPEXPIREAT with that time for the fields it was
//! given to, HPERSIST, HSET and HDEL: words that Redis 7.4 knows, whichever command came.

use super::{BASE, limits, reply_field};
use crate::base::num::parse_i64;
use crate::command::Command;
use crate::command::args::{Argv, Cursor};
use crate::command::ctx::{Ctx, Origin, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::Txn;
use crate::keyspace::txn::{Create, Note};
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::hash::{Deadline, Hash};

const FIELDS: Arg = Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()]).token("FIELDS");

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

/// The ways to say when, shared by HGETEX and HSETEX.
const EX: Arg = Arg::integer("seconds").token("EX");
const PX: Arg = Arg::integer("milliseconds").token("PX");
const EXAT: Arg = Arg::unix_time("unix-time-seconds").token("EXAT");
const PXAT: Arg = Arg::unix_time("unix-time-milliseconds").token("PXAT");

pub(super) const HGETEX: Command = Command::new(
    hgetex,
    CommandSpec {
        name: "HGETEX",
        summary: "Returns the values of fields of a hash and gives them an expiry or takes it.",
        since: "8.0.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        key_notes: &["Changes when fields expire."],
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, Arg::word("persist", "PERSIST")]).optional(),
            FIELDS,
        ],
        ..BASE
    },
);

pub(super) const HSETEX: Command = Command::new(
    hsetex,
    CommandSpec {
        name: "HSETEX",
        summary: "Sets fields of a hash with an expiry, perhaps only if it, or all or none of them, are there.",
        since: "8.0.0",
        complexity: "O(N) in the fields set",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::one_of("key-condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional(),
            Arg::one_of("condition", &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")]).optional(),
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, Arg::word("keepttl", "KEEPTTL")]).optional(),
            Arg::block(
                "fields",
                &[
                    Arg::integer("numfields"),
                    Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
                ],
            )
            .token("FIELDS"),
        ],
        ..BASE
    },
);

pub(super) const HGETDEL: Command = Command::new(
    hgetdel,
    CommandSpec {
        name: "HGETDEL",
        summary: "Returns the values of fields of a hash and removes them.",
        since: "8.0.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), FIELDS],
        ..BASE
    },
);

/// The latest deadline a field can have: 2^46 - 1 ms, the year 4199.
const DEADLINE_MAX: i64 = (1 << 46) - 1;

const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;

const FIELDS_MISSING: Error = Error::Text("ERR Mandatory argument FIELDS is missing or not at the right position");
const FIELDS_MISMATCH: Error = Error::Text("ERR The `numfields` parameter must match the number of arguments");

/// How a time is given.
#[derive(Clone, Copy)]
struct Clock {
    /// Milliseconds in its unit.
    unit: i64,
    /// It counts from now.
    relative: bool,
}

const SECONDS: Clock = Clock { unit: 1000, relative: true };
const MILLISECONDS: Clock = Clock { unit: 1, relative: true };
const UNIX_SECONDS: Clock = Clock { unit: 1000, relative: false };
const UNIX_MILLISECONDS: Clock = Clock { unit: 1, relative: false };

impl Clock {
    /// Reads a deadline.
    fn deadline(self, text: &[u8], now_ms: u64, command: &'static str) -> Result<i64> {
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
fn fields<'a>(args: Argv<'a>, at: usize, count_error: &'static str) -> Result<&'a [&'a [u8]]> {
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

const NUMFIELDS_ERROR: &str = "ERR Number of fields must be a positive integer";

/// When HEXPIRE and its like change a deadline.
#[derive(Clone, Copy, PartialEq)]
enum Only {
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
enum Set {
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

fn set_one(hash: &mut Hash, name: &[u8], at: u64, only: Only, is_past: bool) -> Set {
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

fn note_deadlines(note: &mut Note, done: &[Set]) {
    let changed = done.iter().filter(|set| matches!(set, Set::Done | Set::Deleted)).count();
    if changed > 0 {
        note.event(if done.contains(&Set::Deleted) { "hdel" } else { "hexpire" });
        note.changed(changed as u64);
    }
}

/// Logs the fields that were removed and those that have a new deadline, and nothing else. Removed ones count as expired.
fn log_done(ctx: &mut Ctx<'_, '_>, key: &[u8], at: u64, names: &[&[u8]], done: &[Set]) {
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

fn persist_one(hash: &mut Hash, name: &[u8]) -> i64 {
    match hash.get(name).map(|field| field.deadline) {
        None => NO_FIELD,
        Some(None) => NO_DEADLINE,
        Some(Some(_)) => hash.set_deadline(name, None) as i64,
    }
}

/// What HGETEX and HSETEX do to deadlines.
#[derive(Clone, Copy, PartialEq)]
enum Expiry {
    /// HGETEX: leave them. HSETEX: take them.
    Unsaid,
    /// Give this one.
    At(i64),
    /// Take them.
    Persist,
    /// Keep them.
    Keep,
}

/// Reads EX, PX, EXAT or PXAT if it comes next; not a second time.
fn expiry(words: &mut Cursor<'_>, said: &mut Expiry, now_ms: u64, command: Whose) -> Result<bool> {
    let clocks = [("EX", SECONDS), ("PX", MILLISECONDS), ("EXAT", UNIX_SECONDS), ("PXAT", UNIX_MILLISECONDS)];
    for (word, clock) in clocks {
        if words.word(word) {
            command.once(*said)?;
            let text = words.take().map_err(|_| Error::Text("ERR missing expire time"))?;
            *said = Expiry::At(clock.deadline(text, now_ms, command.name)?);
            return Ok(true);
        }
    }
    Ok(false)
}

/// A command that gives deadlines while it reads or writes, with its words.
#[derive(Clone, Copy)]
struct Whose {
    name: &'static str,
    /// What it says to a second word about deadlines.
    twice: &'static str,
}

const BY_HGETEX: Whose =
    Whose { name: "hgetex", twice: "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified" };
const BY_HSETEX: Whose =
    Whose { name: "hsetex", twice: "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified" };

impl Whose {
    fn once(self, said: Expiry) -> Result<()> {
        if said == Expiry::Unsaid { Ok(()) } else { Err(Error::Text(self.twice)) }
    }
}

/// Reads `numfields` and what follows it, `width` arguments to a field; not a second time.
fn counted<'a>(words: &mut Cursor<'a>, width: usize, said: &mut Option<&'a [&'a [u8]]>, command: Whose) -> Result<()> {
    if said.is_some() {
        return Err(Error::Text("ERR FIELDS keyword specified multiple times"));
    }
    let count = parse_i64(words.take().map_err(|_| Error::Arity(command.name.into()))?);
    let count = count.filter(|count| *count > 0 && *count <= i64::from(i32::MAX));
    let count = count.ok_or(Error::Text("ERR invalid number of fields"))? as usize;
    let fields = words.rest().get(..count * width).ok_or(Error::Text("ERR wrong number of arguments"))?;
    for _ in fields {
        words.take()?;
    }
    *said = Some(fields);
    Ok(())
}

/// As a text of C, which ends at a zero.
fn unknown_argument(word: &[u8]) -> Error {
    let text = word.split(|byte| *byte == 0).next().unwrap_or_default();
    Error::owned([b"ERR unknown argument: ", text].concat())
}

fn hgetex(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, now_ms) = (ctx.args.all()[1], ctx.now_ms());
    ctx.txn.peek_as::<Hash>(key)?;
    let (names, expiry) = hgetex_args(ctx.args, now_ms)?;
    ctx.txn.expire_named(key, names);
    let is_past = ctx.origin != Origin::Log && matches!(expiry, Expiry::At(at) if at <= now_ms as i64);
    let reply = &mut *ctx.reply;
    reply.array(names.len());
    let done = ctx.txn.edit(key, Create::No, |hash: &mut Hash, note| {
        if expiry != Expiry::Unsaid {
            hash.prepare_deadlines();
        }
        let done: Vec<Set> = names.iter().map(|name| get_one(reply, hash, name, expiry, is_past)).collect();
        match expiry {
            Expiry::Persist => note_persisted(note, &done),
            _ => note_deadlines(note, &done),
        }
        done
    })?;
    match (done, expiry) {
        (None, _) => names.iter().for_each(|_| ctx.reply.null()),
        (Some(done), Expiry::At(at)) => log_done(ctx, key, at as u64, names, &done),
        (Some(done), Expiry::Persist) => log_persisted(ctx, key, names, &done),
        _ => {}
    }
    Ok(Outcome::Done)
}

/// Answers with the value of a field, and does to its deadline what HGETEX was told to.
fn get_one(reply: &mut Reply, hash: &mut Hash, name: &[u8], expiry: Expiry, is_past: bool) -> Set {
    let Some(field) = hash.get(name) else {
        reply.null();
        return Set::NoField;
    };
    reply_field(reply, hash, field, name);
    match expiry {
        Expiry::At(at) => set_one(hash, name, at as u64, Only::Always, is_past),
        Expiry::Persist if persist_one(hash, name) == 1 => Set::Done,
        _ => Set::NotAllowed,
    }
}

fn note_persisted(note: &mut Note, done: &[Set]) {
    let changed = done.iter().filter(|set| **set == Set::Done).count();
    if changed > 0 {
        note.event("hpersist");
        note.changed(changed as u64);
    }
}

fn log_persisted(ctx: &mut Ctx<'_, '_>, key: &[u8], names: &[&[u8]], done: &[Set]) {
    let taken = names.iter().zip(done).filter(|(_, set)| **set == Set::Done).map(|(name, _)| *name);
    let taken: Vec<&[u8]> = taken.collect();
    if !taken.is_empty() {
        let mut count = itoa::Buffer::new();
        let head: [&[u8]; 4] = [b"HPERSIST", key, b"FIELDS", count.format(taken.len()).as_bytes()];
        ctx.log_as(&[&head, &*taken].concat());
    }
}

fn hgetex_args<'a>(args: Argv<'a>, now_ms: u64) -> Result<(&'a [&'a [u8]], Expiry)> {
    let (mut words, mut names, mut said) = (args.cursor(2), None, Expiry::Unsaid);
    while let Some(word) = words.peek() {
        if words.word("FIELDS") {
            counted(&mut words, 1, &mut names, BY_HGETEX)?;
        } else if words.word("PERSIST") {
            BY_HGETEX.once(said)?;
            said = Expiry::Persist;
        } else if !expiry(&mut words, &mut said, now_ms, BY_HGETEX)? {
            return Err(unknown_argument(word));
        }
    }
    Ok((names.ok_or(FIELDS_MISSING)?, said))
}

/// What HSETEX asks for.
struct SetEx<'a> {
    pairs: &'a [&'a [u8]],
    expiry: Expiry,
    /// Only if the key is there (true) or is not (false); Valkey's.
    key_if: Option<bool>,
    /// Only if all fields are there (true) or none is (false).
    only_if: Option<bool>,
}

impl<'a> SetEx<'a> {
    fn parse(args: Argv<'a>, now_ms: u64) -> Result<Self> {
        let (mut words, mut pairs) = (args.cursor(2), None);
        let (mut said, mut key_if, mut only_if) = (Expiry::Unsaid, None, None);
        while let Some(word) = words.peek() {
            if words.word("FIELDS") {
                counted(&mut words, 2, &mut pairs, BY_HSETEX)?;
            } else if word.eq_ignore_ascii_case(b"FXX") || word.eq_ignore_ascii_case(b"FNX") {
                words.take()?;
                if only_if.replace(word.eq_ignore_ascii_case(b"FXX")).is_some() {
                    return Err(Error::Text("ERR Only one of FXX or FNX arguments can be specified"));
                }
            } else if word.eq_ignore_ascii_case(b"XX") || word.eq_ignore_ascii_case(b"NX") {
                words.take()?;
                let there = word.eq_ignore_ascii_case(b"XX");
                if key_if.replace(there) == Some(!there) {
                    return Err(Error::Syntax);
                }
            } else if words.word("KEEPTTL") {
                BY_HSETEX.once(said)?;
                said = Expiry::Keep;
            } else if !expiry(&mut words, &mut said, now_ms, BY_HSETEX)? {
                return Err(unknown_argument(word));
            }
        }
        Ok(SetEx { pairs: pairs.ok_or(FIELDS_MISSING)?, expiry: said, key_if, only_if })
    }

    fn names(&self) -> Vec<&'a [u8]> {
        self.pairs.iter().step_by(2).copied().collect()
    }
}

fn hsetex(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, limits) = (ctx.args.all()[1], limits(ctx.node));
    let request = SetEx::parse(ctx.args, ctx.now_ms())?;
    let names = request.names();
    ctx.txn.expire_named(key, &names);
    let hash = ctx.txn.peek_as::<Hash>(key)?;
    let has = |name: &&[u8]| hash.as_ref().is_some_and(|hash| hash.get(name).is_some());
    let allowed = request.key_if.is_none_or(|there| hash.is_some() == there)
        && request.only_if.is_none_or(|present| names.iter().all(|name| has(name) == present));
    if !allowed {
        ctx.reply.int(0);
        return Ok(Outcome::Done);
    }
    let is_past = |at: i64| at <= ctx.txn.now_ms() as i64 && ctx.origin != Origin::Log;
    let past = matches!(request.expiry, Expiry::At(at) if is_past(at));
    let deadline = match request.expiry {
        Expiry::At(at) if !past => Deadline::At(at as u64),
        Expiry::Keep => Deadline::Keep,
        _ => Deadline::None,
    };
    let kept = ctx.txn.edit(key, Create::Yes, |hash: &mut Hash, note| {
        hash.expect(request.pairs.iter().copied(), &limits);
        for pair in request.pairs.chunks_exact(2) {
            hash.set(pair[0], pair[1], deadline, &limits);
        }
        note.event("hset");
        note.changed(names.len() as u64);
        if let Deadline::At(_) = deadline {
            note.event("hexpire");
        }
        let stamp = |name: &&'_ [u8]| hash.get(name).and_then(|field| field.deadline);
        names.iter().map(stamp).collect::<Vec<_>>()
    })?;
    if past {
        // They were there for a moment, so that who watches or listens learns of it.
        let gone = ctx.txn.edit(key, Create::No, |hash: &mut Hash, note| {
            hash.prepare_deadlines();
            note.event("hdel");
            note.uncounted();
            names.iter().filter(|name| hash.remove(name)).count()
        })?;
        ctx.txn.count_expired_fields(key, gone.unwrap_or(0) as u64);
    }
    log_set(ctx, key, &request, past, &kept.unwrap_or_default());
    ctx.reply.int(1);
    Ok(Outcome::Done)
}

fn log_set(ctx: &mut Ctx<'_, '_>, key: &[u8], request: &SetEx<'_>, past: bool, deadlines: &[Option<u64>]) {
    let names = request.names();
    if past {
        return ctx.log_as(&[&[b"HDEL", key][..], &names].concat());
    }
    ctx.log_as(&[&[b"HSET", key][..], request.pairs].concat());
    match request.expiry {
        Expiry::At(at) => log_deadline(ctx, key, at as u64, &names),
        _ => {
            for (name, deadline) in names.iter().zip(deadlines) {
                if let Some(at) = deadline {
                    log_deadline(ctx, key, *at, &[name]);
                }
            }
        }
    }
}

fn hgetdel(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    ctx.txn.peek_as::<Hash>(key)?;
    let names = fields(ctx.args, 2, NUMFIELDS_ERROR)?;
    ctx.txn.expire_named(key, names);
    let reply = &mut *ctx.reply;
    reply.array(names.len());
    let gone = ctx.txn.edit(key, Create::No, |hash: &mut Hash, note| {
        let mut gone: Vec<&[u8]> = Vec::new();
        for name in names {
            match hash.get(name) {
                Some(field) => {
                    reply_field(reply, hash, field, name);
                    hash.remove(name);
                    gone.push(name);
                }
                None => reply.null(),
            }
        }
        if !gone.is_empty() {
            note.event("hdel");
            note.changed(gone.len() as u64);
        }
        gone
    })?;
    match gone {
        None => names.iter().for_each(|_| reply.null()),
        Some(gone) if gone.is_empty() => {}
        Some(gone) => ctx.log_as(&[&[b"HDEL", key][..], &gone].concat()),
    }
    Ok(Outcome::Done)
}
