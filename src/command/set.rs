//! Set commands on one key, and SMOVE. [`algebra`] has those that combine sets.

mod algebra;

use super::Command;
use super::bulks::Bulks;
use super::ctx::{Ctx, Outcome, Result, reply_value};
use super::error::Error;
use super::sample;
use super::sample::{amount, distinct_ranks, pick, reply_random};
use super::scan::{ScanOf, ScanOptions, parse_cursor, reply_no_step, reply_step};
use crate::base::num::parse_i64;
use crate::keyspace::txn::Create;
use crate::node::Node;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use crate::types::set::{Set, SetLimits};

/// The family.
pub const COMMANDS: &[Command] = &[
    SADD,
    SREM,
    SMOVE,
    SISMEMBER,
    SMISMEMBER,
    SCARD,
    SPOP,
    SRANDMEMBER,
    SMEMBERS,
    SSCAN,
    algebra::SINTER,
    algebra::SINTERCARD,
    algebra::SINTERSTORE,
    algebra::SUNION,
    algebra::SUNIONSTORE,
    algebra::SDIFF,
    algebra::SDIFFSTORE,
];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::Set, categories: Categories::SET, ..CommandSpec::BASE };

const SADD: Command = Command::new(
    sadd,
    CommandSpec {
        name: "SADD",
        summary: "Adds members to a set and tells how many of them are new.",
        since: "1.0.0",
        history: &[("2.4.0", "Takes several members.")],
        complexity: "O(N) in the members named",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        ..BASE
    },
);

const SREM: Command = Command::new(
    srem,
    CommandSpec {
        name: "SREM",
        summary: "Removes members from a set, and the key with the last of them.",
        since: "1.0.0",
        history: &[("2.4.0", "Takes several members.")],
        complexity: "O(N) in the members named",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        ..BASE
    },
);

const SMOVE: Command = Command::new(
    smove,
    CommandSpec {
        name: "SMOVE",
        summary: "Takes a member out of one set and puts it into another.",
        since: "1.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::INSERT)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("source"), Arg::key_of("destination", 1), Arg::string("member")],
        ..BASE
    },
);

const SISMEMBER: Command = Command::new(
    sismember,
    CommandSpec {
        name: "SISMEMBER",
        summary: "Tells whether a set has a member.",
        since: "1.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key"), Arg::string("member")],
        ..BASE
    },
);

const SMISMEMBER: Command = Command::new(
    smismember,
    CommandSpec {
        name: "SMISMEMBER",
        summary: "Tells for each of several members whether a set has it.",
        since: "6.2.0",
        complexity: "O(N) in the members named",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        ..BASE
    },
);

const SCARD: Command = Command::new(
    scard,
    CommandSpec {
        name: "SCARD",
        summary: "Returns how many members a set has.",
        since: "1.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key")],
        ..BASE
    },
);

const SPOP: Command = Command::new(
    spop,
    CommandSpec {
        name: "SPOP",
        summary: "Removes random members from a set and returns them.",
        since: "1.0.0",
        history: &[("3.2.0", "Takes a count.")],
        complexity: "O(N) in the members returned",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::integer("count").optional().since("3.2.0")],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const SRANDMEMBER: Command = Command::new(
    srandmember,
    CommandSpec {
        name: "SRANDMEMBER",
        summary: "Returns random members of a set.",
        since: "1.0.0",
        history: &[("2.6.0", "Takes a count.")],
        complexity: "O(N) in the members returned",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::integer("count").optional().since("2.6.0")],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const SMEMBERS: Command = Command::new(
    smembers,
    CommandSpec {
        name: "SMEMBERS",
        summary: "Returns a set as a whole.",
        since: "1.0.0",
        complexity: "O(N) in the members of the set",
        arity: Arity::exactly(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        tips: &["nondeterministic_output_order"],
        ..BASE
    },
);

const SSCAN: Command = Command::new(
    sscan,
    CommandSpec {
        name: "SSCAN",
        summary: "Walks over the members of a set in steps.",
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
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

/// The directives that shape sets, as they are now.
pub(super) fn limits(node: &Node) -> SetLimits {
    SetLimits {
        intset_entries: node.config.set_max_intset_entries.get() as usize,
        listpack_entries: node.config.set_max_listpack_entries.get() as usize,
        listpack_value: node.config.set_max_listpack_value.get() as usize,
    }
}

fn sadd(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, members) = (ctx.args.all()[1], ctx.args.rest(2));
    let limits = limits(ctx.node);
    let added = ctx.txn.edit(key, Create::Yes, |set: &mut Set, note| {
        if set.is_empty() {
            *set = Set::for_members(members[0], members.len(), &limits);
        } else {
            set.expect(members.len(), &limits);
        }
        let added = members.iter().filter(|member| set.add(member, &limits)).count();
        if added > 0 {
            note.event("sadd");
            note.changed(added as u64);
        }
        added
    })?;
    ctx.reply.int(added.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn srem(ctx: &mut Ctx<'_, '_>) -> Result {
    let members = ctx.args.rest(2);
    let removed = ctx.txn.edit(ctx.args.all()[1], Create::No, |set: &mut Set, note| {
        let removed = members.iter().filter(|member| set.remove(member)).count();
        if removed > 0 {
            note.event("srem");
            note.changed(removed as u64);
        }
        removed
    })?;
    ctx.reply.int(removed.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn smove(ctx: &mut Ctx<'_, '_>) -> Result {
    let [_, source, target, member] = *ctx.args.all() else { return Err(Error::Syntax) };
    // Both are looked for whatever the other is, and go if their time has passed.
    let (giver, receiver) = (ctx.txn.peek_as::<Set>(source), ctx.txn.peek_as::<Set>(target));
    let Some(set) = giver? else {
        ctx.reply.int(0);
        return Ok(Outcome::Done);
    };
    let found = set.contains(member);
    receiver?;
    if found && source != target {
        let limits = limits(ctx.node);
        ctx.txn.edit(source, Create::No, |set: &mut Set, note| {
            set.remove(member);
            note.event("srem");
        })?;
        ctx.txn.edit(target, Create::Yes, |set: &mut Set, note| {
            if set.is_empty() {
                *set = Set::for_members(member, 1, &limits);
            }
            if set.add(member, &limits) {
                note.event("sadd");
            }
        })?;
    }
    ctx.reply.int(found as i64);
    Ok(Outcome::Done)
}

fn sismember(ctx: &mut Ctx<'_, '_>) -> Result {
    let set = ctx.txn.read::<Set>(&ctx.args[1])?;
    let found = set.is_some_and(|set| set.contains(&ctx.args[2]));
    ctx.reply.int(found as i64);
    Ok(Outcome::Done)
}

fn smismember(ctx: &mut Ctx<'_, '_>) -> Result {
    let set = ctx.txn.read::<Set>(&ctx.args[1])?;
    let members = ctx.args.rest(2);
    ctx.reply.array(members.len());
    for member in members {
        ctx.reply.int(set.as_ref().is_some_and(|set| set.contains(member)) as i64);
    }
    Ok(Outcome::Done)
}

fn scard(ctx: &mut Ctx<'_, '_>) -> Result {
    let set = ctx.txn.read::<Set>(&ctx.args[1])?;
    ctx.reply.int(set.map_or(0, |set| set.len()) as i64);
    Ok(Outcome::Done)
}

fn smembers(ctx: &mut Ctx<'_, '_>) -> Result {
    let Some(set) = ctx.txn.read::<Set>(&ctx.args[1])? else {
        ctx.reply.set(0);
        return Ok(Outcome::Done);
    };
    ctx.reply.set(set.len());
    let mut bulks = Bulks::new(ctx.reply);
    set.iter().for_each(|member| bulks.value(member));
    Ok(Outcome::Done)
}

fn spop(ctx: &mut Ctx<'_, '_>) -> Result {
    match ctx.args.rest(2) {
        [] => pop_one(ctx),
        [count] => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok()).ok_or(Error::NotPositive)?;
            pop_many(ctx, count)
        }
        _ => Err(Error::Syntax),
    }
}

fn pop_one(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    let mut rng = ctx.node.rng();
    let popped = ctx.txn.edit(key, Create::No, |set: &mut Set, note| {
        note.event("spop");
        set.pop_at(rng.index(set.len()))
    })?;
    match popped.flatten() {
        Some(member) => {
            ctx.log_as(&[b"SREM", key, &member]);
            ctx.reply.bulk(&member);
        }
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn pop_many(ctx: &mut Ctx<'_, '_>, count: usize) -> Result {
    let key = ctx.args.all()[1];
    let len = ctx.txn.peek_as::<Set>(key)?.map_or(0, |set| set.len());
    if count == 0 || len == 0 {
        ctx.reply.set(0);
        return Ok(Outcome::Done);
    }
    if count >= len {
        // To take all is to read all, and counted so.
        ctx.txn.get(key);
    }
    let mut rng = ctx.node.rng();
    let reply = &mut *ctx.reply;
    let popped = ctx.txn.edit(key, Create::No, |set: &mut Set, note| {
        note.event("spop");
        note.changed(count.min(len) as u64);
        reply.set(count.min(len));
        if count >= len {
            set.iter().for_each(|member| reply_value(reply, member));
            let all = std::mem::take(set);
            let bytes = all.heap_bytes();
            note.discard(all, bytes);
            return None;
        }
        let mut popped = Vec::with_capacity(count);
        pick(set, &distinct_ranks(&mut rng, len, count), |member| popped.push(member.to_vec()));
        for member in &popped {
            set.remove(member);
            reply.bulk(member);
        }
        Some(popped)
    })?;
    match popped.flatten() {
        None => ctx.log_as(&[b"DEL", key]),
        Some(popped) => {
            let mut log: Vec<&[u8]> = vec![b"SREM", key];
            log.extend(popped.iter().map(Vec::as_slice));
            ctx.log_as(&log);
        }
    }
    Ok(Outcome::Done)
}

fn srandmember(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.args.len() > 3 {
        return Err(Error::Syntax);
    }
    let (amount, _) = amount(ctx.args, 2, "")?;
    let mut rng = ctx.node.rng();
    match ctx.txn.read::<Set>(&ctx.args[1])? {
        Some(set) => reply_random(ctx.reply, &*set, amount, &mut rng, 1, |reply, member| reply_value(reply, member)),
        None if amount == sample::Amount::One => ctx.reply.null(),
        None => ctx.reply.array(0),
    }
    Ok(Outcome::Done)
}

fn sscan(ctx: &mut Ctx<'_, '_>) -> Result {
    let cursor = parse_cursor(&ctx.args[2])?;
    let Some(set) = ctx.txn.read::<Set>(&ctx.args[1])? else {
        reply_no_step(ctx.reply);
        return Ok(Outcome::Done);
    };
    let options = ScanOptions::parse(ctx.args.rest(3), ScanOf::Set)?;
    reply_step(ctx.reply, |reply| {
        let (mut count, mut text) = (0, itoa::Buffer::new());
        let next = set.scan(cursor, options.count, |member| {
            if options.fits(member.to_bytes(&mut text)) {
                reply_value(reply, member);
                count += 1;
            }
        });
        (next, count)
    });
    Ok(Outcome::Done)
}
