//! Commands that hand pending entries to another consumer: XCLAIM, XAUTOCLAIM. They go to the log as one XCLAIM for each
//! entry that changed hands or was found deleted.

use super::super::Command;
use super::super::ctx::{Ctx, Outcome, Result};
use super::super::error::Error;
use super::{BASE, Effects, id_arg, interval_start, no_group, reply_entry, reply_id};
use crate::base::num;
use crate::keyspace::txn::{Create, Note};
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::group::{AutoClaim, Claim, ClaimOptions, ConsumerId, Group};
use crate::types::stream::{Log, Stream, StreamId};

pub(super) const XCLAIM: Command = Command::new(
    xclaim,
    CommandSpec {
        name: "XCLAIM",
        summary: "Gives entries that were not acknowledged to another consumer.",
        since: "5.0.0",
        complexity: "O(log N) for each entry, N those not acknowledged",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("id").multiple(),
            Arg::integer("ms").token("IDLE").optional(),
            Arg::unix_time("unix-time-milliseconds").token("TIME").optional(),
            Arg::integer("count").token("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
            Arg::word("justid", "JUSTID").optional(),
            Arg::string("lastid").token("LASTID").optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

pub(super) const XAUTOCLAIM: Command = Command::new(
    xautoclaim,
    CommandSpec {
        name: "XAUTOCLAIM",
        summary: "Gives entries that were not acknowledged for long to another consumer.",
        since: "6.2.0",
        history: &[("7.0.0", "Tells which entries were gone.")],
        complexity: "O(1) for a small COUNT",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("start"),
            Arg::integer("count").token("COUNT").optional(),
            Arg::word("justid", "JUSTID").optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

/// The key and the group, which must both exist.
fn checked<'a>(ctx: &Ctx<'a, '_>) -> Result<(&'a [u8], &'a [u8])> {
    let (key, name) = (ctx.args.all()[1], ctx.args.all()[2]);
    let group = ctx.txn.peek_as::<Stream>(key)?.and_then(|stream| stream.group(name));
    group.map(|_| (key, name)).ok_or_else(|| no_group(key, name))
}

/// An integer argument with an error text of its own.
fn int_or(text: &[u8], error: &'static str) -> Result<i64> {
    num::parse_i64(text).ok_or(Error::Text(error))
}

/// The consumer of that name, created when it is missing, and seen now; and how many changes that was.
fn seen_consumer(group: &mut Group, name: &[u8], now: i64, note: &mut Note) -> Option<(ConsumerId, u64)> {
    let created = group.create_consumer(name, now);
    if created.is_some() {
        note.event("xgroup-createconsumer");
    }
    let consumer = created.or_else(|| group.find_consumer(name))?;
    group.mark_seen(consumer, now);
    Some((consumer, created.is_some() as u64))
}

/// XCLAIM, read.
struct Request {
    ids: Vec<StreamId>,
    options: ClaimOptions,
    just_id: bool,
    last_id: StreamId,
}

fn request(ctx: &Ctx<'_, '_>) -> Result<Request> {
    let now = ctx.now_ms() as i64;
    let min_idle = int_or(&ctx.args[4], "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
    let ids: Vec<StreamId> = ctx.args.rest(5).iter().map_while(|text| StreamId::parse(text, 0)).collect();
    let mut options = ClaimOptions { min_idle, delivery_time: now, retry_count: None, counts: true, force: false, now };
    let (mut delivery_time, mut last_id) = (None, StreamId::MIN);
    let mut args = ctx.args.cursor(5 + ids.len());
    while !args.is_done() {
        if args.word("FORCE") {
            options.force = true;
        } else if args.word("JUSTID") {
            options.counts = false;
        } else if args.word_with("IDLE", 1) {
            let idle = int_or(args.take()?, "ERR Invalid IDLE option argument for XCLAIM")?;
            delivery_time = Some(now.wrapping_sub(idle));
        } else if args.word_with("TIME", 1) {
            delivery_time = Some(int_or(args.take()?, "ERR Invalid TIME option argument for XCLAIM")?);
        } else if args.word_with("RETRYCOUNT", 1) {
            let count = int_or(args.take()?, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
            options.retry_count = u64::try_from(count).ok();
        } else if args.word_with("LASTID", 1) {
            last_id = id_arg(args.take()?)?;
        } else {
            return Err(Error::of(&[b"ERR Unrecognized XCLAIM option '", args.take()?, b"'"]));
        }
    }
    // A time that makes no sense is taken as now: clients compute it from clocks of their own.
    options.delivery_time = delivery_time.filter(|time| (0..=now).contains(time)).unwrap_or(now);
    Ok(Request { ids, just_id: !options.counts, options, last_id })
}

fn reply_claimed(reply: &mut Reply, log: &Log, id: StreamId, just_id: bool) {
    match log.get(id) {
        Some(entry) if !just_id => reply_entry(reply, &entry),
        _ => reply_id(reply, id),
    }
}

fn xclaim(ctx: &mut Ctx<'_, '_>) -> Result {
    let _ = ctx.txn.get(&ctx.args[1]);
    let (key, name) = checked(ctx)?;
    let request = request(ctx)?;
    let consumer = ctx.args.all()[3];
    let mut effects = Effects::of(ctx);
    let reply = &mut *ctx.reply;
    ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        note.hide();
        let Some((mut group, log)) = stream.group_mut(name) else { return };
        let mut moved = group.raise_last_id(request.last_id);
        let Some((consumer, mut changes)) = seen_consumer(&mut group, consumer, request.options.now, note) else {
            return;
        };
        let array = reply.begin_array();
        let mut claimed = 0;
        for &id in &request.ids {
            match group.claim(log, id, consumer, &request.options) {
                Claim::Left => continue,
                Claim::Claimed(nack) => {
                    reply_claimed(reply, log, id, request.just_id);
                    claimed += 1;
                    effects.push_claim(key, name, &group, id, &nack);
                }
                Claim::Gone(nack) => effects.push_claim(key, name, &group, id, &nack),
            }
            changes += 1;
            // Each of these claims carries the group's last id.
            moved = false;
        }
        if moved {
            effects.push_position(key, name, &group);
            changes += 1;
        }
        note.changed(changes);
        reply.end_array(array, claimed);
    })?;
    effects.log(ctx);
    Ok(Outcome::Done)
}

fn xautoclaim(ctx: &mut Ctx<'_, '_>) -> Result {
    const BAD_COUNT: Error = Error::Text("ERR COUNT must be > 0");
    /// What ten attempts for each entry, and their ids, may come to.
    const COUNT_MAX: i64 = i64::MAX / 16;
    /// The original makes room for as many ids of 16 bytes beforehand; no machine has more than 128 TiB to address.
    const COUNT_ROOM: u64 = (1 << 47) / 16;
    const NO_ROOM: Error = Error::Text("ERR Insufficient memory, failed allocating transient memory, COUNT too high.");
    let now = ctx.now_ms() as i64;
    // Looked up before the arguments are read, judged after them.
    let _ = ctx.txn.get(&ctx.args[1]);
    let min_idle = int_or(&ctx.args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
    let start = interval_start(&ctx.args[5])?;
    let mut walk = AutoClaim { start, count: 100, min_idle, counts: true, now };
    let mut args = ctx.args.cursor(6);
    while !args.is_done() {
        if args.word_with("COUNT", 1) {
            let count = args.int().ok().filter(|count| (1..=COUNT_MAX).contains(count));
            walk.count = count.ok_or(BAD_COUNT)? as u64;
        } else if args.word("JUSTID") {
            walk.counts = false;
        } else {
            return Err(Error::Syntax);
        }
    }
    let (key, name) = checked(ctx)?;
    if walk.count >= COUNT_ROOM {
        return Err(NO_ROOM);
    }
    let consumer = ctx.args.all()[3];
    let mut effects = Effects::of(ctx);
    let reply = &mut *ctx.reply;
    ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        note.hide();
        let Some((mut group, log)) = stream.group_mut(name) else { return };
        let Some((consumer, created)) = seen_consumer(&mut group, consumer, now, note) else { return };
        let done = group.autoclaim(log, consumer, &walk);
        for (id, claim) in &done.touched {
            if let Claim::Claimed(nack) | Claim::Gone(nack) = claim {
                effects.push_claim(key, name, &group, *id, nack);
            }
        }
        note.changed(created + done.touched.len() as u64);
        reply.array(3);
        reply_id(reply, done.next);
        let claimed = done.touched.iter().filter(|(_, claim)| matches!(claim, Claim::Claimed(_)));
        reply.array(claimed.clone().count());
        claimed.for_each(|(id, _)| reply_claimed(reply, log, *id, !walk.counts));
        let gone = done.touched.iter().filter(|(_, claim)| matches!(claim, Claim::Gone(_)));
        reply.array(gone.clone().count());
        gone.for_each(|(id, _)| reply_id(reply, *id));
    })?;
    effects.log(ctx);
    Ok(Outcome::Done)
}
