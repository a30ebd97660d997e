//! HGETEX, HSETEX and HGETDEL, which Redis has since 8.0: fields are read or set, and expire or go, at once.

use super::expire::{
    FIELDS, FIELDS_MISSING, MILLISECONDS, NUMFIELDS_ERROR, Only, SECONDS, Set, UNIX_MILLISECONDS, UNIX_SECONDS, fields,
    log_deadline, log_done, note_deadlines, persist_one, set_one,
};
use super::{BASE, limits, reply_field};
use crate::base::num::parse_i64;
use crate::command::Command;
use crate::command::args::{Argv, Cursor};
use crate::command::ctx::{Ctx, Origin, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::txn::{Create, Note};
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::hash::{Deadline, Hash};

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
