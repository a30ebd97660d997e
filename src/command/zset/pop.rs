//! Taking members off an end: ZPOPMIN, ZPOPMAX, ZMPOP, and theirs that wait for a member (BZPOPMIN, BZPOPMAX, BZMPOP).
//!
//! One that waits is the plain one which says [`Outcome::Block`] instead of replying that there is nothing; it runs again
//! when one of its keys changes, and is logged as the ZPOPMIN or ZPOPMAX it turned out to be.

use super::{BASE, is_paired, reply_scored};
use crate::base::num::parse_i64;
use crate::command::Command;
use crate::command::ctx::{Block, Ctx, Outcome, Result, timeout_deadline};
use crate::command::error::Error;
use crate::command::multi_pop::MultiPop;
use crate::keyspace::Txn;
use crate::keyspace::txn::{Create, Note};
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::Kind;
use crate::types::zset::{Scored, ZSet};

pub(super) const ZPOPMIN: Command = Command::new(
    zpopmin,
    CommandSpec {
        name: "ZPOPMIN",
        summary: "Removes the members with the lowest scores and returns them.",
        since: "5.0.0",
        complexity: "O(M*log(N)), M the members returned, N those of the sorted set",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("count").optional()],
        ..BASE
    },
);

pub(super) const ZPOPMAX: Command = Command::new(
    zpopmax,
    CommandSpec {
        name: "ZPOPMAX",
        summary: "Removes the members with the highest scores and returns them.",
        since: "5.0.0",
        complexity: "O(M*log(N)), M the members returned, N those of the sorted set",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("count").optional()],
        ..BASE
    },
);

pub(super) const ZMPOP: Command = Command::new(
    zmpop,
    CommandSpec {
        name: "ZMPOP",
        summary: "Removes members at an end of the first sorted set that has any, and returns them.",
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)), K the keys, M the members returned, N those of the sorted set",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]),
            Arg::integer("count").token("COUNT").optional(),
        ],
        ..BASE
    },
);

pub(super) const BZPOPMIN: Command = Command::new(
    bzpopmin,
    CommandSpec {
        name: "BZPOPMIN",
        summary: "As ZPOPMIN of the first sorted set that has members, and waits if none has.",
        since: "5.0.0",
        history: &[("6.0.0", "The timeout may be a fraction.")],
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::FAST),
        keys: Keys::Specs(&[KeySpec::range(1, -2, 1, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        ..BASE
    },
);

pub(super) const BZPOPMAX: Command = Command::new(
    bzpopmax,
    CommandSpec {
        name: "BZPOPMAX",
        summary: "As ZPOPMAX of the first sorted set that has members, and waits if none has.",
        since: "5.0.0",
        history: &[("6.0.0", "The timeout may be a fraction.")],
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::FAST),
        keys: Keys::Specs(&[KeySpec::range(1, -2, 1, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        ..BASE
    },
);

pub(super) const BZMPOP: Command = Command::new(
    bzmpop,
    CommandSpec {
        name: "BZMPOP",
        summary: "As ZMPOP, and waits for a member if there is none.",
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)), K the keys, M the members returned, N those of the sorted set",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(2, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[
            Arg::double("timeout"),
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]),
            Arg::integer("count").token("COUNT").optional(),
        ],
        ..BASE
    },
);

/// Which end members are taken off.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> &'static str {
        if self == End::Min { "zpopmin" } else { "zpopmax" }
    }

    fn command(self) -> &'static [u8] {
        if self == End::Min { b"ZPOPMIN" } else { b"ZPOPMAX" }
    }
}

/// Takes up to `count` members off an end of a sorted set that has some, writing each; returns how many.
fn take(zset: &mut ZSet, end: End, count: usize, note: &mut Note, mut each: impl FnMut(Scored<'_>)) {
    let len = zset.len();
    let count = count.min(len);
    let ranks = if end == End::Min { 0..count } else { len - count..len };
    match end {
        End::Min => zset.iter(ranks.clone()).for_each(&mut each),
        End::Max => zset.iter_back(ranks.clone()).for_each(&mut each),
    }
    zset.remove_ranks(ranks, |_| ());
    note.event(end.event());
    note.changed(count as u64);
}

fn zpopmin(ctx: &mut Ctx<'_, '_>) -> Result {
    pop(ctx, End::Min)
}

fn zpopmax(ctx: &mut Ctx<'_, '_>) -> Result {
    pop(ctx, End::Max)
}

fn pop(ctx: &mut Ctx<'_, '_>, end: End) -> Result {
    let count = match ctx.args.rest(2) {
        [] => None,
        [count] => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(Error::NotPositive)?)
        }
        _ => return Err(Error::Syntax),
    };
    let key = ctx.args.all()[1];
    let len = ctx.txn.peek_as::<ZSet>(key)?.map_or(0, |zset| zset.len());
    let taken = count.unwrap_or(1).min(len);
    let reply = &mut *ctx.reply;
    let paired = is_paired(reply) && count.is_some();
    reply.array(if paired { taken } else { 2 * taken });
    if taken > 0 {
        ctx.txn.edit(key, Create::No, |zset: &mut ZSet, note| {
            take(zset, end, taken, note, |pair| reply_scored(reply, pair, paired));
        })?;
    }
    Ok(Outcome::Done)
}

fn end_of(word: &[u8]) -> Result<End> {
    match () {
        () if word.eq_ignore_ascii_case(b"MIN") => Ok(End::Min),
        () if word.eq_ignore_ascii_case(b"MAX") => Ok(End::Max),
        () => Err(Error::Syntax),
    }
}

fn zmpop(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = MultiPop::parse(ctx.args, 1, end_of)?;
    if !multi_pop(ctx, &request)? {
        ctx.reply.null_array();
    }
    Ok(Outcome::Done)
}

fn bzmpop(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = MultiPop::parse(ctx.args, 2, end_of)?;
    let deadline_ms = timeout_deadline(ctx.args.all()[1], ctx.now_ms())?;
    if multi_pop(ctx, &request)? {
        return Ok(Outcome::Done);
    }
    Ok(wait_for(request.keys, deadline_ms))
}

/// Takes members off the first sorted set there is and replies with its key and them; false if there is none.
fn multi_pop(ctx: &mut Ctx<'_, '_>, request: &MultiPop<'_, End>) -> Result<bool> {
    let Some((key, len)) = first_zset(ctx.txn, request.keys)? else { return Ok(false) };
    let count = request.count.min(len);
    let reply = &mut *ctx.reply;
    reply.array(2);
    reply.bulk(key);
    reply.array(count);
    pop_into(ctx.txn, key, request.end, count, reply, |reply, pair| reply_scored(reply, pair, true))?;
    let mut text = itoa::Buffer::new();
    ctx.log_as(&[request.end.command(), key, text.format(count).as_bytes()]);
    Ok(true)
}

fn pop_into(
    txn: &mut Txn<'_>,
    key: &[u8],
    end: End,
    count: usize,
    reply: &mut Reply,
    each: fn(&mut Reply, Scored<'_>),
) -> Result<()> {
    txn.edit(key, Create::No, |zset: &mut ZSet, note| take(zset, end, count, note, |pair| each(reply, pair)))?;
    Ok(())
}

/// The first of the keys that holds a sorted set, and how many members it has.
fn first_zset<'a>(txn: &Txn<'_>, keys: &[&'a [u8]]) -> Result<Option<(&'a [u8], usize)>> {
    for key in keys {
        if let Some(zset) = txn.peek_as::<ZSet>(key)? {
            return Ok(Some((key, zset.len())));
        }
    }
    Ok(None)
}

fn bzpopmin(ctx: &mut Ctx<'_, '_>) -> Result {
    pop_or_wait(ctx, End::Min)
}

fn bzpopmax(ctx: &mut Ctx<'_, '_>) -> Result {
    pop_or_wait(ctx, End::Max)
}

fn pop_or_wait(ctx: &mut Ctx<'_, '_>, end: End) -> Result {
    let (timeout, keys) = ctx.args.rest(1).split_last().ok_or(Error::Syntax)?;
    let deadline_ms = timeout_deadline(timeout, ctx.now_ms())?;
    let Some((key, _)) = first_zset(ctx.txn, keys)? else { return Ok(wait_for(keys, deadline_ms)) };
    ctx.reply.array(3);
    ctx.reply.bulk(key);
    pop_into(ctx.txn, key, end, 1, ctx.reply, |reply, pair| reply_scored(reply, pair, false))?;
    ctx.log_as(&[end.command(), key]);
    Ok(Outcome::Done)
}

fn wait_for(keys: &[&[u8]], deadline_ms: Option<u64>) -> Outcome {
    Outcome::Block(Box::new(Block::on_keys(keys, deadline_ms, Kind::ZSet)))
}
