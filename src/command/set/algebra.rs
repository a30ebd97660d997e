//! SINTER, SUNION, SDIFF, their STORE forms and SINTERCARD.
//!
//! A missing key is an empty set; a key of another type is an error, wherever it stands and whatever the others hold.

use super::{BASE, limits};
use crate::base::num::parse_i64;
use crate::command::Command;
use crate::command::ctx::{Ctx, Outcome, Result, reply_value};
use crate::command::error::Error;
use crate::keyspace::{Class, Deadline, Txn};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::packed::listpack::LpValue;
use crate::types::set::{Set, SetLimits};
use crate::types::{Value, View};
use std::ops::ControlFlow;

pub(super) const SINTER: Command = Command::new(
    sinter,
    CommandSpec {
        name: "SINTER",
        summary: "Returns the members that all sets have.",
        since: "1.0.0",
        complexity: "O(N*M), N the members of the smallest set, M the sets",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::READ)]),
        args: &[Arg::key("key").multiple()],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

pub(super) const SINTERCARD: Command = Command::new(
    sintercard,
    CommandSpec {
        name: "SINTERCARD",
        summary: "Returns how many members all sets have in common.",
        since: "7.0.0",
        complexity: "O(N*M), N the members of the smallest set, M the sets",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ)]),
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), Arg::integer("limit").token("LIMIT").optional()],
        ..BASE
    },
);

pub(super) const SINTERSTORE: Command = Command::new(
    sinterstore,
    CommandSpec {
        name: "SINTERSTORE",
        summary: "Stores the members that all sets have.",
        since: "1.0.0",
        complexity: "O(N*M), N the members of the smallest set, M the sets",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::range(2, -1, 1, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("destination"), Arg::key_of("key", 1).multiple()],
        ..BASE
    },
);

pub(super) const SUNION: Command = Command::new(
    sunion,
    CommandSpec {
        name: "SUNION",
        summary: "Returns the members that any of the sets has.",
        since: "1.0.0",
        complexity: "O(N) in the members of all sets",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::READ)]),
        args: &[Arg::key("key").multiple()],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

pub(super) const SUNIONSTORE: Command = Command::new(
    sunionstore,
    CommandSpec {
        name: "SUNIONSTORE",
        summary: "Stores the members that any of the sets has.",
        since: "1.0.0",
        complexity: "O(N) in the members of all sets",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::range(2, -1, 1, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("destination"), Arg::key_of("key", 1).multiple()],
        ..BASE
    },
);

pub(super) const SDIFF: Command = Command::new(
    sdiff,
    CommandSpec {
        name: "SDIFF",
        summary: "Returns the members of the first set that are in none of the others.",
        since: "1.0.0",
        complexity: "O(N) in the members of all sets",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::READ)]),
        args: &[Arg::key("key").multiple()],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

pub(super) const SDIFFSTORE: Command = Command::new(
    sdiffstore,
    CommandSpec {
        name: "SDIFFSTORE",
        summary: "Stores the members of the first set that are in none of the others.",
        since: "1.0.0",
        complexity: "O(N) in the members of all sets",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::range(2, -1, 1, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("destination"), Arg::key_of("key", 1).multiple()],
        ..BASE
    },
);

/// The sets of several keys; a missing one is `None`.
fn sets<'t>(txn: &'t Txn<'_>, keys: &[&[u8]]) -> Result<Vec<Option<View<'t, Set>>>> {
    keys.iter().map(|key| Ok(txn.read::<Set>(key)?)).collect()
}

/// Hands the members all sets have to `each`, until it breaks.
fn intersect(sets: &[Option<View<'_, Set>>], mut each: impl FnMut(LpValue<'_>) -> ControlFlow<()>) {
    let Some(mut sets) = sets.iter().map(Option::as_deref).collect::<Option<Vec<&Set>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        if is_in_all(others, member) && each(member).is_break() {
            return;
        }
    }
}

fn is_in_all(sets: &[&Set], member: LpValue<'_>) -> bool {
    let mut text = itoa::Buffer::new();
    let bytes = member.to_bytes(&mut text);
    sets.iter().all(|set| set.contains(bytes))
}

/// Hands the members of the first set that no other has to `each`.
fn subtract(sets: &[Option<View<'_, Set>>], mut each: impl FnMut(LpValue<'_>)) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    let others: Vec<&Set> = others.iter().flatten().map(|other| &**other).collect();
    if others.iter().any(|other| other.address() == first.address()) {
        return;
    }
    let mut text = itoa::Buffer::new();
    for member in first.iter() {
        let bytes = member.to_bytes(&mut text);
        if !others.iter().any(|other| other.contains(bytes)) {
            each(member);
        }
    }
}

/// All members of all sets. To be replied it need not be small.
fn unite(sets: &[Option<View<'_, Set>>], limits: &SetLimits, mut union: Set) -> Set {
    let mut text = itoa::Buffer::new();
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        union.add(member.to_bytes(&mut text), limits);
    }
    union
}

/// The result of an operation as a set of its own.
fn collect(limits: &SetLimits, walk: impl FnOnce(&mut dyn FnMut(LpValue<'_>))) -> Set {
    let mut result = Set::default();
    let mut text = itoa::Buffer::new();
    walk(&mut |member| {
        result.add(member.to_bytes(&mut text), limits);
    });
    result
}

fn sinter(ctx: &mut Ctx<'_, '_>) -> Result {
    let sets = sets(ctx.txn, ctx.args.rest(1))?;
    let reply = &mut *ctx.reply;
    let (mark, mut count) = (reply.begin_array(), 0);
    intersect(&sets, |member| {
        reply_value(reply, member);
        count += 1;
        ControlFlow::Continue(())
    });
    reply.end_set(mark, count);
    Ok(Outcome::Done)
}

fn sdiff(ctx: &mut Ctx<'_, '_>) -> Result {
    let sets = sets(ctx.txn, ctx.args.rest(1))?;
    let reply = &mut *ctx.reply;
    let (mark, mut count) = (reply.begin_array(), 0);
    subtract(&sets, |member| {
        reply_value(reply, member);
        count += 1;
    });
    reply.end_set(mark, count);
    Ok(Outcome::Done)
}

fn sunion(ctx: &mut Ctx<'_, '_>) -> Result {
    let sets = sets(ctx.txn, ctx.args.rest(1))?;
    let all_ints = sets.iter().flatten().all(|set| matches!(**set, Set::Ints(_)));
    let start = if all_ints { Set::default() } else { Set::Table(Default::default()) };
    let union = unite(&sets, &limits(ctx.node), start);
    ctx.reply.set(union.len());
    union.iter().for_each(|member| reply_value(ctx.reply, member));
    Ok(Outcome::Done)
}

fn sintercard(ctx: &mut Ctx<'_, '_>) -> Result {
    let numkeys = parse_i64(&ctx.args[1]).filter(|numkeys| *numkeys > 0);
    let numkeys = numkeys.ok_or(Error::Text("ERR numkeys should be greater than 0"))?;
    let keys = usize::try_from(numkeys).ok().and_then(|numkeys| ctx.args.rest(2).get(..numkeys));
    let keys = keys.ok_or(Error::Text("ERR Number of keys can't be greater than number of args"))?;
    let mut options = ctx.args.cursor(2 + keys.len());
    let mut limit = 0;
    while !options.is_done() {
        if !options.word_with("LIMIT", 1) {
            return Err(Error::Syntax);
        }
        let text = parse_i64(options.take()?).and_then(|limit| usize::try_from(limit).ok());
        limit = text.ok_or(Error::Text("ERR LIMIT can't be negative"))?;
    }
    let sets = sets(ctx.txn, keys)?;
    let mut count = 0;
    intersect(&sets, |_| {
        count += 1;
        if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    ctx.reply.int(count as i64);
    Ok(Outcome::Done)
}

fn sinterstore(ctx: &mut Ctx<'_, '_>) -> Result {
    let limits = limits(ctx.node);
    let sets = sets(ctx.txn, ctx.args.rest(2))?;
    let result = collect(&limits, |add| {
        intersect(&sets, |member| {
            add(member);
            ControlFlow::Continue(())
        });
    });
    store(ctx, result, "sinterstore")
}

fn sdiffstore(ctx: &mut Ctx<'_, '_>) -> Result {
    let limits = limits(ctx.node);
    let sets = sets(ctx.txn, ctx.args.rest(2))?;
    let result = collect(&limits, |add| subtract(&sets, add));
    store(ctx, result, "sdiffstore")
}

fn sunionstore(ctx: &mut Ctx<'_, '_>) -> Result {
    let limits = limits(ctx.node);
    let result = unite(&sets(ctx.txn, ctx.args.rest(2))?, &limits, Set::default());
    store(ctx, result, "sunionstore")
}

/// Puts the result in the place of the first key, or removes what is there if it is empty.
fn store(ctx: &mut Ctx<'_, '_>, result: Set, event: &'static str) -> Result {
    let (key, len) = (ctx.args.all()[1], result.len());
    if result.is_empty() {
        ctx.txn.delete_target(key);
    } else {
        ctx.txn.insert(key, Value::Set(result), Deadline::Clear);
        ctx.txn.event(Class::SET, event, key);
    }
    ctx.reply.int(len as i64);
    Ok(Outcome::Done)
}
