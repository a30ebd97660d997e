//! What streams, groups and consumers look like inside: XINFO.

use super::super::Command;
use super::super::ctx::{Ctx, Outcome, Result};
use super::super::error::Error;
use super::super::introspect;
use super::{BASE, limit_of, reply_entries, reply_entry, reply_id};
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Keys};
use crate::types::group::{Consumer, ConsumerId, Group};
use crate::types::stream::{Entry, Log, Stream, StreamId};

pub(super) const XINFO: Command = Command::container(
    CommandSpec {
        name: "XINFO",
        summary: "The commands that look into streams.",
        since: "5.0.0",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        categories: Categories::NONE,
        ..BASE
    },
    &[CONSUMERS, GROUPS, HELP, STREAM],
);

const CONSUMERS: Command = Command::new(
    consumers,
    CommandSpec {
        name: "CONSUMERS",
        summary: "Describes the consumers of a group.",
        since: "5.0.0",
        history: &[("7.2.0", "Tells inactive; idle ends with any attempt.")],
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::READONLY,
        keys: Keys::one(2, Access::READ),
        args: &[Arg::key("key"), Arg::string("group")],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const GROUPS: Command = Command::new(
    groups,
    CommandSpec {
        name: "GROUPS",
        summary: "Describes the consumer groups of a stream.",
        since: "5.0.0",
        history: &[("7.0.0", "Tells entries-read and lag.")],
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY,
        keys: Keys::one(2, Access::READ),
        args: &[Arg::key("key")],
        ..BASE
    },
);

const HELP: Command = Command::new(
    help,
    CommandSpec {
        name: "HELP",
        summary: "Lists the subcommands.",
        since: "5.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::LOADING.and(Flags::STALE),
        ..BASE
    },
);

const STREAM: Command = Command::new(
    stream,
    CommandSpec {
        name: "STREAM",
        summary: "Describes a stream.",
        since: "5.0.0",
        history: &[
            ("6.0.0", "Takes FULL."),
            ("7.0.0", "Tells max-deleted-entry-id, entries-added, recorded-first-entry-id, entries-read and lag."),
            ("7.2.0", "Tells active-time; seen-time is that of any attempt."),
        ],
        complexity: "O(1)",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::one(2, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::block("full-block", &[Arg::word("full", "FULL"), Arg::integer("count").token("COUNT").optional()])
                .optional(),
        ],
        ..BASE
    },
);

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    introspect::help(
        ctx,
        "XINFO",
        &[
            ("CONSUMERS <key> <groupname>", "Show consumers of <groupname>."),
            ("GROUPS <key>", "Show the stream consumer groups."),
            ("STREAM <key> [FULL [COUNT <count>]", "Show information about the stream."),
        ],
    )
}

fn consumers(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, name) = (ctx.args.all()[2], ctx.args.all()[3]);
    let now = ctx.now_ms() as i64;
    let stream = ctx.txn.read::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    let group = stream
        .group(name)
        .ok_or_else(|| Error::of(&[b"NOGROUP No such consumer group '", name, b"' for key name '", key, b"'"]))?;
    ctx.reply.array(group.consumer_count());
    for (_, consumer) in group.consumers() {
        let inactive = if consumer.active_time == -1 { -1 } else { now.saturating_sub(consumer.active_time).max(0) };
        ctx.reply.map(4);
        text(ctx.reply, "name", consumer.name());
        int(ctx.reply, "pending", consumer.pending_count() as i64);
        int(ctx.reply, "idle", now.saturating_sub(consumer.seen_time).max(0));
        int(ctx.reply, "inactive", inactive);
    }
    Ok(Outcome::Done)
}

fn groups(ctx: &mut Ctx<'_, '_>) -> Result {
    let stream = ctx.txn.read::<Stream>(&ctx.args[2])?.ok_or(Error::NoSuchKey)?;
    ctx.reply.array(stream.group_count());
    for (name, group) in stream.groups() {
        ctx.reply.map(6);
        text(ctx.reply, "name", name);
        int(ctx.reply, "consumers", group.consumer_count() as i64);
        int(ctx.reply, "pending", group.pending_count() as i64);
        position(ctx.reply, group, stream.log());
    }
    Ok(Outcome::Done)
}

fn text(reply: &mut Reply, name: &str, value: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(value);
}

fn int(reply: &mut Reply, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.int(value);
}

fn id(reply: &mut Reply, name: &str, id: StreamId) {
    text(reply, name, id.text().as_bytes());
}

fn int_or_null(reply: &mut Reply, name: &str, value: Option<i64>) {
    reply.bulk(name.as_bytes());
    match value {
        Some(value) => reply.int(value),
        None => reply.null(),
    }
}

/// Where a group stands: three of its pairs.
fn position(reply: &mut Reply, group: &Group, log: &Log) {
    id(reply, "last-delivered-id", group.last_id());
    int_or_null(reply, "entries-read", group.entries_read().map(|entries| entries as i64));
    int_or_null(reply, "lag", group.lag(log));
}

fn stream(ctx: &mut Ctx<'_, '_>) -> Result {
    let (stream, args, reply) = (ctx.txn.read::<Stream>(&ctx.args[2])?, ctx.args, &mut *ctx.reply);
    let stream = stream.ok_or(Error::NoSuchKey)?;
    let fits = args.len() == 3 || args.is(3, "FULL") && (args.len() == 4 || args.len() == 6 && args.is(4, "COUNT"));
    if !fits {
        return Err(Error::WrongSubcommand(args[1].to_vec(), "XINFO"));
    }
    const COUNT: i64 = 10;
    let count = match args.len() {
        6 => Some(args.int(5)?).filter(|count| *count >= 0).unwrap_or(COUNT),
        _ => COUNT,
    };
    let full = args.len() > 3;
    reply.map(if full { 9 } else { 10 });
    counters(reply, stream.log());
    if full {
        whole(reply, stream, limit_of(count))
    } else {
        edges(reply, stream)
    }
    Ok(Outcome::Done)
}

/// The counters: seven pairs. The original keeps its blocks in a radix tree, of which one block needs two nodes.
fn counters(reply: &mut Reply, log: &Log) {
    int(reply, "length", log.len() as i64);
    int(reply, "radix-tree-keys", log.block_count() as i64);
    int(reply, "radix-tree-nodes", log.block_count() as i64 + 1);
    id(reply, "last-generated-id", log.last_id());
    id(reply, "max-deleted-entry-id", log.max_deleted_id());
    int(reply, "entries-added", log.entries_added() as i64);
    id(reply, "recorded-first-entry-id", log.first_id());
}

fn edges(reply: &mut Reply, stream: &Stream) {
    let log = stream.log();
    int(reply, "groups", stream.group_count() as i64);
    edge(reply, "first-entry", log.range(StreamId::MIN, StreamId::MAX).next());
    edge(reply, "last-entry", log.range_back(StreamId::MIN, StreamId::MAX).next());
}

fn edge(reply: &mut Reply, name: &str, entry: Option<Entry<'_>>) {
    reply.bulk(name.as_bytes());
    match entry {
        Some(entry) => reply_entry(reply, &entry),
        None => reply.null(),
    }
}

fn whole(reply: &mut Reply, stream: &Stream, count: usize) {
    reply.bulk(b"entries");
    reply_entries(reply, stream.log().range(StreamId::MIN, StreamId::MAX), count);
    reply.bulk(b"groups");
    reply.array(stream.group_count());
    for (name, group) in stream.groups() {
        whole_group(reply, name, group, stream.log(), count);
    }
}

fn whole_group(reply: &mut Reply, name: &[u8], group: &Group, log: &Log, count: usize) {
    reply.map(7);
    text(reply, "name", name);
    position(reply, group, log);
    int(reply, "pel-count", group.pending_count() as i64);
    reply.bulk(b"pending");
    reply.array(group.pending_count().min(count));
    for (id, nack) in group.pending_from(StreamId::MIN).take(count) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(nack.consumer).name());
        reply.int(nack.delivery_time);
        reply.int(nack.delivery_count as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumer_count());
    for (id, consumer) in group.consumers() {
        whole_consumer(reply, group, id, consumer, count);
    }
}

fn whole_consumer(reply: &mut Reply, group: &Group, id: ConsumerId, consumer: &Consumer, count: usize) {
    reply.map(5);
    text(reply, "name", consumer.name());
    int(reply, "seen-time", consumer.seen_time);
    int(reply, "active-time", consumer.active_time);
    int(reply, "pel-count", consumer.pending_count() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending_count().min(count));
    for (id, nack) in group.pending_of(id, StreamId::MIN).take(count) {
        reply.array(3);
        reply_id(reply, id);
        reply.int(nack.delivery_time);
        reply.int(nack.delivery_count as i64);
    }
}
