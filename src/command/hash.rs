//! Hash commands. [`expire`] has those about the deadlines of fields, [`getex`] those that do two things at once.
//!
//! A field whose deadline has passed is gone for every command that names it: such commands remove it
//! (`expire_named`), with its event and its effect: before they write, after they have read. Commands that walk the hash
//! skip it. HLEN counts it, as in Redis, for the few milliseconds until the wheel takes it away.

mod expire;
mod getex;

use super::Command;
use super::bulks::Bulks;
use super::ctx::{Ctx, Outcome, Result, reply_value};
use super::error::Error;
use super::sample::{Amount, amount, reply_random};
use super::scan::{ScanOf, ScanOptions, parse_cursor, reply_no_step, reply_step};
use crate::base::longdouble::LongDouble;
use crate::keyspace::txn::Create;
use crate::node::Node;
use crate::resp::reply::{Proto, Reply, SHARED_MIN};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use crate::types::hash::{Deadline, Field, Hash, HashLimits};
use crate::types::packed::listpack::LpValue;

/// The family.
pub const COMMANDS: &[Command] = &[
    HSET,
    HSETNX,
    HMSET,
    HGET,
    HMGET,
    HGETALL,
    HKEYS,
    HVALS,
    HLEN,
    HSTRLEN,
    HEXISTS,
    HDEL,
    HINCRBY,
    HINCRBYFLOAT,
    HRANDFIELD,
    HSCAN,
    expire::HEXPIRE,
    expire::HPEXPIRE,
    expire::HEXPIREAT,
    expire::HPEXPIREAT,
    expire::HTTL,
    expire::HPTTL,
    expire::HEXPIRETIME,
    expire::HPEXPIRETIME,
    expire::HPERSIST,
    getex::HGETEX,
    getex::HSETEX,
    getex::HGETDEL,
];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::Hash, categories: Categories::HASH, ..CommandSpec::BASE };

const HSET: Command = Command::new(
    hset,
    CommandSpec {
        name: "HSET",
        summary: "Sets fields of a hash and tells how many of them are new.",
        since: "2.0.0",
        history: &[("4.0.0", "Takes several fields.")],
        complexity: "O(N) in the fields set",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple()],
        ..BASE
    },
);

const HSETNX: Command = Command::new(
    hsetnx,
    CommandSpec {
        name: "HSETNX",
        summary: "Sets a field of a hash unless it is there.",
        since: "2.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("field"), Arg::string("value")],
        ..BASE
    },
);

const HMSET: Command = Command::new(
    hmset,
    CommandSpec {
        name: "HMSET",
        deprecated: Some(("4.0.0", "`HSET` with several pairs")),
        summary: "Sets fields of a hash.",
        since: "2.0.0",
        complexity: "O(N) in the fields set",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple()],
        ..BASE
    },
);

const HGET: Command = Command::new(
    hget,
    CommandSpec {
        name: "HGET",
        summary: "Returns the value of a field of a hash.",
        since: "2.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("field")],
        ..BASE
    },
);

const HMGET: Command = Command::new(
    hmget,
    CommandSpec {
        name: "HMGET",
        summary: "Returns the values of several fields of a hash.",
        since: "2.0.0",
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("field").multiple()],
        ..BASE
    },
);

const HGETALL: Command = Command::new(
    hgetall,
    CommandSpec {
        name: "HGETALL",
        summary: "Returns all fields of a hash with their values.",
        since: "2.0.0",
        complexity: "O(N) in the fields of the hash",
        arity: Arity::exactly(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

const HKEYS: Command = Command::new(
    hkeys,
    CommandSpec {
        name: "HKEYS",
        summary: "Returns the names of all fields of a hash.",
        since: "2.0.0",
        complexity: "O(N) in the fields of the hash",
        arity: Arity::exactly(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

const HVALS: Command = Command::new(
    hvals,
    CommandSpec {
        name: "HVALS",
        summary: "Returns the values of all fields of a hash.",
        since: "2.0.0",
        complexity: "O(N) in the fields of the hash",
        arity: Arity::exactly(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

const HLEN: Command = Command::new(
    hlen,
    CommandSpec {
        name: "HLEN",
        summary: "Returns how many fields a hash has.",
        since: "2.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key")],
        ..BASE
    },
);

const HSTRLEN: Command = Command::new(
    hstrlen,
    CommandSpec {
        name: "HSTRLEN",
        summary: "Returns the length of the value of a field of a hash.",
        since: "3.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key"), Arg::string("field")],
        ..BASE
    },
);

const HEXISTS: Command = Command::new(
    hexists,
    CommandSpec {
        name: "HEXISTS",
        summary: "Tells whether a hash has a field.",
        since: "2.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key"), Arg::string("field")],
        ..BASE
    },
);

const HDEL: Command = Command::new(
    hdel,
    CommandSpec {
        name: "HDEL",
        summary: "Removes fields from a hash, and the key with the last of them.",
        since: "2.0.0",
        history: &[("2.4.0", "Takes several fields.")],
        complexity: "O(N) in the fields named",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("field").multiple()],
        ..BASE
    },
);

const HINCRBY: Command = Command::new(
    hincrby,
    CommandSpec {
        name: "HINCRBY",
        summary: "Adds an integer to the number in a field of a hash; a missing field counts as 0.",
        since: "2.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("field"), Arg::integer("increment")],
        ..BASE
    },
);

const HINCRBYFLOAT: Command = Command::new(
    hincrbyfloat,
    CommandSpec {
        name: "HINCRBYFLOAT",
        summary: "Adds a float to the number in a field of a hash; a missing field counts as 0.",
        since: "2.6.0",
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::string("field"), Arg::double("increment")],
        ..BASE
    },
);

const HRANDFIELD: Command = Command::new(
    hrandfield,
    CommandSpec {
        name: "HRANDFIELD",
        summary: "Returns random fields of a hash.",
        since: "6.2.0",
        complexity: "O(N) in the fields returned",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::block("options", &[Arg::integer("count"), Arg::word("withvalues", "WITHVALUES").optional()])
                .optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const HSCAN: Command = Command::new(
    hscan,
    CommandSpec {
        name: "HSCAN",
        summary: "Walks over the fields of a hash in steps.",
        since: "2.8.0",
        complexity: "O(1) for a step, O(N) for the whole walk",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::word("novalues", "NOVALUES").optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

/// The directives that shape hashes, as they are now.
pub(super) fn limits(node: &Node) -> HashLimits {
    HashLimits {
        listpack_entries: node.config.hash_max_listpack_entries.get() as usize,
        listpack_value: node.config.hash_max_listpack_value.get() as usize,
    }
}

fn hset(ctx: &mut Ctx<'_, '_>) -> Result {
    let created = set_pairs(ctx, "hset")?;
    ctx.reply.int(created as i64);
    Ok(Outcome::Done)
}

fn hmset(ctx: &mut Ctx<'_, '_>) -> Result {
    set_pairs(ctx, "hmset")?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Sets the fields named from argument 2 on; returns how many of them are new.
fn set_pairs(ctx: &mut Ctx<'_, '_>, command: &'static str) -> Result<usize> {
    let (key, pairs) = (ctx.args.all()[1], ctx.args.rest(2));
    if !pairs.len().is_multiple_of(2) {
        return Err(Error::Arity(command.into()));
    }
    let limits = limits(ctx.node);
    ctx.txn.expire_named(key, pairs.iter().step_by(2));
    let created = ctx.txn.edit(key, Create::Yes, |hash: &mut Hash, note| {
        note.event("hset");
        note.changed(pairs.len() as u64 / 2);
        if let [name, value] = *pairs {
            return usize::from(hash.set(name, value, Deadline::None, &limits));
        }
        hash.expect(pairs.iter().copied(), &limits);
        pairs.chunks_exact(2).filter(|pair| hash.set(pair[0], pair[1], Deadline::None, &limits)).count()
    })?;
    Ok(created.unwrap_or(0))
}

fn hsetnx(ctx: &mut Ctx<'_, '_>) -> Result {
    let [_, key, name, value] = *ctx.args.all() else { return Err(Error::Syntax) };
    let limits = limits(ctx.node);
    ctx.txn.expire_named(key, [&name]);
    let set = ctx.txn.edit(key, Create::Yes, |hash: &mut Hash, note| {
        let missing = hash.get(name).is_none();
        if missing {
            hash.expect([name, value].into_iter(), &limits);
            hash.set(name, value, Deadline::None, &limits);
            note.event("hset");
        }
        missing
    })?;
    ctx.reply.int(set.unwrap_or(false) as i64);
    Ok(Outcome::Done)
}

fn hget(ctx: &mut Ctx<'_, '_>) -> Result {
    let [_, key, name] = *ctx.args.all() else { return Err(Error::Syntax) };
    let now_ms = ctx.now_ms();
    let hash = ctx.txn.read::<Hash>(key)?;
    match hash.as_deref().and_then(|hash| Some((hash, hash.get(name)?))) {
        None => ctx.reply.null(),
        Some((_, field)) if field.is_due(now_ms) => {
            ctx.txn.expire_named(key, [&name]);
            ctx.reply.null();
        }
        Some((hash, field)) => reply_field(ctx.reply, hash, field, name),
    }
    Ok(Outcome::Done)
}

/// Replies with the value of a field: by reference if it is big.
fn reply_field(reply: &mut Reply, hash: &Hash, field: Field<'_>, name: &[u8]) {
    match field.value {
        LpValue::Str(text) if text.len() >= SHARED_MIN => match hash.shared(name) {
            Some(text) => reply.bulk_shared(&text),
            None => reply.bulk(text),
        },
        value => reply_value(reply, value),
    }
}

fn hmget(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, names) = (ctx.args.all()[1], ctx.args.rest(2));
    let now_ms = ctx.now_ms();
    let hash = ctx.txn.read::<Hash>(key)?;
    ctx.reply.array(names.len());
    let mut found_due = false;
    for name in names {
        match hash.as_deref().and_then(|hash| Some((hash, hash.get(name)?))) {
            Some((hash, field)) if !field.is_due(now_ms) => reply_field(ctx.reply, hash, field, name),
            field => {
                found_due |= field.is_some();
                ctx.reply.null();
            }
        }
    }
    if found_due {
        ctx.txn.expire_named(key, names);
    }
    Ok(Outcome::Done)
}

fn hgetall(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_all(ctx, Reply::map, |reply, field| {
        reply.value(field.name);
        reply.value(field.value);
    })
}

fn hkeys(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_all(ctx, Reply::array, |reply, field| reply.value(field.name))
}

fn hvals(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_all(ctx, Reply::array, |reply, field| reply.value(field.value))
}

/// Replies with all fields, those due left out.
#[inline]
fn reply_all(ctx: &mut Ctx<'_, '_>, head: fn(&mut Reply, usize), each: impl Fn(&mut Bulks<'_>, Field<'_>)) -> Result {
    let now_ms = ctx.now_ms();
    let Some(hash) = ctx.txn.read::<Hash>(&ctx.args[1])? else {
        head(ctx.reply, 0);
        return Ok(Outcome::Done);
    };
    if hash.next_deadline().is_none_or(|at| at > now_ms) {
        head(ctx.reply, hash.len());
        let mut bulks = Bulks::new(ctx.reply);
        hash.each(|field| each(&mut bulks, field));
        return Ok(Outcome::Done);
    }
    head(ctx.reply, hash.iter().filter(|field| !field.is_due(now_ms)).count());
    let mut bulks = Bulks::new(ctx.reply);
    hash.iter().filter(|field| !field.is_due(now_ms)).for_each(|field| each(&mut bulks, field));
    Ok(Outcome::Done)
}

fn hlen(ctx: &mut Ctx<'_, '_>) -> Result {
    let hash = ctx.txn.read::<Hash>(&ctx.args[1])?;
    ctx.reply.int(hash.map_or(0, |hash| hash.len()) as i64);
    Ok(Outcome::Done)
}

fn hstrlen(ctx: &mut Ctx<'_, '_>) -> Result {
    let len = read_named(ctx, |field| field.value.len())?;
    ctx.reply.int(len.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn hexists(ctx: &mut Ctx<'_, '_>) -> Result {
    let found = read_named(ctx, |_| ())?;
    ctx.reply.int(found.is_some() as i64);
    Ok(Outcome::Done)
}

/// Reads something of the field that argument 2 names, if it is there.
fn read_named<R>(ctx: &mut Ctx<'_, '_>, read: fn(Field<'_>) -> R) -> Result<Option<R>> {
    let (key, name) = (ctx.args.all()[1], ctx.args.all()[2]);
    let now_ms = ctx.now_ms();
    let hash = ctx.txn.read::<Hash>(key)?;
    match hash.as_deref().and_then(|hash| hash.get(name)) {
        Some(field) if field.is_due(now_ms) => {
            ctx.txn.expire_named(key, [&name]);
            Ok(None)
        }
        field => Ok(field.map(read)),
    }
}

fn hdel(ctx: &mut Ctx<'_, '_>) -> Result {
    let names = ctx.args.rest(2);
    let removed = ctx.txn.edit(ctx.args.all()[1], Create::No, |hash: &mut Hash, note| {
        let removed = names.iter().filter(|name| hash.remove(name)).count();
        if removed > 0 {
            note.event("hdel");
            note.changed(removed as u64);
        }
        removed
    })?;
    ctx.reply.int(removed.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn hincrby(ctx: &mut Ctx<'_, '_>) -> Result {
    let increment = ctx.args.int(3)?;
    let (key, name) = (ctx.args.all()[1], ctx.args.all()[2]);
    let limits = limits(ctx.node);
    ctx.txn.expire_named(key, [&name]);
    let sum = ctx.txn.edit(key, Create::Yes, |hash: &mut Hash, note| {
        let old = match hash.get(name) {
            Some(field) => field.value.as_int().ok_or(Error::Text("ERR hash value is not an integer"))?,
            None => 0,
        };
        let sum = old.checked_add(increment).ok_or(Error::Overflow)?;
        hash.set(name, itoa::Buffer::new().format(sum).as_bytes(), Deadline::Keep, &limits);
        note.event("hincrby");
        Ok::<i64, Error>(sum)
    })?;
    ctx.reply.int(sum.unwrap_or(Ok(0))?);
    Ok(Outcome::Done)
}

fn hincrbyfloat(ctx: &mut Ctx<'_, '_>) -> Result {
    let [_, key, name, increment] = *ctx.args.all() else { return Err(Error::Syntax) };
    let increment = LongDouble::parse(increment).ok_or(Error::NotFloat)?;
    if !increment.is_finite() {
        return Err(Error::Text("ERR value is NaN or Infinity"));
    }
    let limits = limits(ctx.node);
    ctx.txn.expire_named(key, [&name]);
    let sum = ctx.txn.edit(key, Create::Yes, |hash: &mut Hash, note| {
        let old = match hash.get(name) {
            Some(field) => LongDouble::parse(field.value.to_bytes(&mut itoa::Buffer::new()))
                .ok_or(Error::Text("ERR hash value is not a float"))?,
            None => LongDouble::from_i64(0),
        };
        let sum = old + increment;
        if !sum.is_finite() {
            return Err(Error::NanOrInfinity);
        }
        let text = sum.to_text();
        hash.set(name, &text, Deadline::Keep, &limits);
        note.event("hincrbyfloat");
        Ok((text, hash.get(name).and_then(|field| field.deadline)))
    })?;
    let Some(sum) = sum else { return Err(Error::Syntax) };
    let (text, deadline) = sum?;
    // The sum itself is logged: replicas need not add as we do. HSET would take the deadline away.
    ctx.log_as(&[b"HSET", key, name, &text]);
    if let Some(at) = deadline {
        expire::log_deadline(ctx, key, at, &[name]);
    }
    ctx.reply.bulk(&text);
    Ok(Outcome::Done)
}

fn hrandfield(ctx: &mut Ctx<'_, '_>) -> Result {
    let (amount, with_values) = amount(ctx.args, 2, "WITHVALUES")?;
    let key = ctx.args.all()[1];
    // Found or missed is what was there before its fields expire.
    ctx.txn.read::<Hash>(key)?;
    expire::expire_all(ctx.txn, key);
    let mut rng = ctx.node.rng();
    let reply = &mut *ctx.reply;
    let Some(hash) = ctx.txn.peek_as::<Hash>(key)? else {
        if amount == Amount::One {
            reply.null()
        } else {
            reply.array(0)
        }
        return Ok(Outcome::Done);
    };
    let pairs = with_values && reply.proto() == Proto::Resp3;
    let width = if with_values && !pairs { 2 } else { 1 };
    reply_random(reply, &*hash, amount, &mut rng, width, |reply, field| {
        if pairs {
            reply.array(2);
        }
        reply_value(reply, field.name);
        if with_values {
            reply_value(reply, field.value);
        }
    });
    Ok(Outcome::Done)
}

fn hscan(ctx: &mut Ctx<'_, '_>) -> Result {
    let cursor = parse_cursor(&ctx.args[2])?;
    let now_ms = ctx.now_ms();
    let Some(hash) = ctx.txn.read::<Hash>(&ctx.args[1])? else {
        reply_no_step(ctx.reply);
        return Ok(Outcome::Done);
    };
    let options = ScanOptions::parse(ctx.args.rest(3), ScanOf::Hash)?;
    reply_step(ctx.reply, |reply| {
        let (mut count, mut text) = (0, itoa::Buffer::new());
        let next = hash.scan(cursor, options.count, |field| {
            if field.is_due(now_ms) || !options.fits(field.name.to_bytes(&mut text)) {
                return;
            }
            reply_value(reply, field.name);
            count += 1;
            if !options.names_only {
                reply_value(reply, field.value);
                count += 1;
            }
        });
        (next, count)
    });
    Ok(Outcome::Done)
}
