//! List commands on one key: pushing, popping, reading, editing. [`moving`] has those of several keys and those that wait.
//!
//! A list changes its form when a command adds to it or takes from it (see `types/list.rs`): handlers that add say how
//! much first (`grow_for`), as Redis decides once per command and not per element.

mod moving;

use super::Command;
use super::args::Argv;
use super::bulks::Bulks;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::base::num::parse_i64;
use crate::keyspace::txn::{Create, Note};
use crate::node::Node;
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use crate::types::list::{End, List, ListLimits, PosQuery, Side};
use crate::types::packed::listpack::LpValue;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[
    LPUSH,
    RPUSH,
    LPUSHX,
    RPUSHX,
    LPOP,
    RPOP,
    LLEN,
    LINDEX,
    LRANGE,
    LPOS,
    LSET,
    LINSERT,
    LREM,
    LTRIM,
    moving::LMOVE,
    moving::RPOPLPUSH,
    moving::BLMOVE,
    moving::BRPOPLPUSH,
    moving::LMPOP,
    moving::BLMPOP,
    moving::BLPOP,
    moving::BRPOP,
];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::List, categories: Categories::LIST, ..CommandSpec::BASE };

const LPUSH: Command = Command::new(
    lpush,
    CommandSpec {
        name: "LPUSH",
        summary: "Adds elements at the head of a list, which is created if missing.",
        since: "1.0.0",
        history: &[("2.4.0", "Takes several elements.")],
        complexity: "O(N) in the elements pushed",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        ..BASE
    },
);

const RPUSH: Command = Command::new(
    rpush,
    CommandSpec {
        name: "RPUSH",
        summary: "Adds elements at the tail of a list, which is created if missing.",
        since: "1.0.0",
        history: &[("2.4.0", "Takes several elements.")],
        complexity: "O(N) in the elements pushed",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        ..BASE
    },
);

const LPUSHX: Command = Command::new(
    lpushx,
    CommandSpec {
        name: "LPUSHX",
        summary: "Adds elements at the head of a list, if it exists.",
        since: "2.2.0",
        history: &[("4.0.0", "Takes several elements.")],
        complexity: "O(N) in the elements pushed",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        ..BASE
    },
);

const RPUSHX: Command = Command::new(
    rpushx,
    CommandSpec {
        name: "RPUSHX",
        summary: "Adds elements at the tail of a list, if it exists.",
        since: "2.2.0",
        history: &[("4.0.0", "Takes several elements.")],
        complexity: "O(N) in the elements pushed",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        ..BASE
    },
);

const LPOP: Command = Command::new(
    lpop,
    CommandSpec {
        name: "LPOP",
        summary: "Takes elements off the head of a list and returns them.",
        since: "1.0.0",
        history: &[("6.2.0", "Takes a count.")],
        complexity: "O(N) in the elements returned",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("count").since("6.2.0").optional()],
        ..BASE
    },
);

const RPOP: Command = Command::new(
    rpop,
    CommandSpec {
        name: "RPOP",
        summary: "Takes elements off the tail of a list and returns them.",
        since: "1.0.0",
        history: &[("6.2.0", "Takes a count.")],
        complexity: "O(N) in the elements returned",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("count").since("6.2.0").optional()],
        ..BASE
    },
);

const LLEN: Command = Command::new(
    llen,
    CommandSpec {
        name: "LLEN",
        summary: "Counts the elements of a list.",
        since: "1.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        effect: Propagate::Never,
        args: &[Arg::key("key")],
        ..BASE
    },
);

const LINDEX: Command = Command::new(
    lindex,
    CommandSpec {
        name: "LINDEX",
        summary: "Returns one element of a list by its index.",
        since: "1.0.0",
        complexity: "O(N) in the distance to the nearer end",
        arity: Arity::exactly(3),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        effect: Propagate::Never,
        args: &[Arg::key("key"), Arg::integer("index")],
        ..BASE
    },
);

const LRANGE: Command = Command::new(
    lrange,
    CommandSpec {
        name: "LRANGE",
        summary: "Returns a range of elements of a list.",
        since: "1.0.0",
        complexity: "O(S+N), S the distance to the nearer end, N the elements returned",
        arity: Arity::exactly(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        effect: Propagate::Never,
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        ..BASE
    },
);

const LPOS: Command = Command::new(
    lpos,
    CommandSpec {
        name: "LPOS",
        summary: "Finds the indexes of equal elements of a list.",
        since: "6.0.6",
        complexity: "O(N) in the elements compared",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        effect: Propagate::Never,
        args: &[
            Arg::key("key"),
            Arg::string("element"),
            Arg::integer("rank").token("RANK").optional(),
            Arg::integer("num-matches").token("COUNT").optional(),
            Arg::integer("len").token("MAXLEN").optional(),
        ],
        ..BASE
    },
);

const LSET: Command = Command::new(
    lset,
    CommandSpec {
        name: "LSET",
        summary: "Replaces one element of a list by its index.",
        since: "1.0.0",
        complexity: "O(N) in the distance to the nearer end",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("index"), Arg::string("element")],
        ..BASE
    },
);

const LINSERT: Command = Command::new(
    linsert,
    CommandSpec {
        name: "LINSERT",
        summary: "Inserts an element beside another one of a list.",
        since: "2.2.0",
        complexity: "O(N) in the elements before the pivot",
        arity: Arity::exactly(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::one_of("where", &[Arg::word("before", "BEFORE"), Arg::word("after", "AFTER")]),
            Arg::string("pivot"),
            Arg::string("element"),
        ],
        ..BASE
    },
);

const LREM: Command = Command::new(
    lrem,
    CommandSpec {
        name: "LREM",
        summary: "Removes elements of a value from a list.",
        since: "1.0.0",
        complexity: "O(N+M), N the length, M the elements removed",
        arity: Arity::exactly(4),
        flags: Flags::WRITE,
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("count"), Arg::string("element")],
        ..BASE
    },
);

const LTRIM: Command = Command::new(
    ltrim,
    CommandSpec {
        name: "LTRIM",
        summary: "Removes all elements of a list outside a range.",
        since: "1.0.0",
        complexity: "O(N) in the elements removed",
        arity: Arity::exactly(4),
        flags: Flags::WRITE,
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        ..BASE
    },
);

/// The directives that shape lists, as they are now.
pub(super) fn limits(node: &Node) -> ListLimits {
    ListLimits {
        max_listpack_size: node.config.list_max_listpack_size.get(),
        compress_depth: node.config.list_compress_depth.get() as usize,
        packed_threshold: node.list_packed_threshold.load(Relaxed) as usize,
    }
}

/// Replies with an element.
fn reply_element(reply: &mut Reply, value: LpValue<'_>) {
    match value {
        LpValue::Int(int) => reply.bulk_int(int),
        LpValue::Str(text) => reply.bulk(text),
    }
}

fn lpush(ctx: &mut Ctx<'_, '_>) -> Result {
    push(ctx, End::Front, Create::Yes)
}

fn rpush(ctx: &mut Ctx<'_, '_>) -> Result {
    push(ctx, End::Back, Create::Yes)
}

fn lpushx(ctx: &mut Ctx<'_, '_>) -> Result {
    push(ctx, End::Front, Create::No)
}

fn rpushx(ctx: &mut Ctx<'_, '_>) -> Result {
    push(ctx, End::Back, Create::No)
}

fn push(ctx: &mut Ctx<'_, '_>, end: End, create: Create) -> Result {
    let limits = limits(ctx.node);
    let (key, values) = (ctx.args.all()[1], ctx.args.rest(2));
    let len = ctx.txn.edit(key, create, |list: &mut List, note| {
        push_all(list, end, values, &limits, note);
        list.len()
    })?;
    ctx.reply.int(len.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

/// Pushes values one after another, with the event.
fn push_all(list: &mut List, end: End, values: &[&[u8]], limits: &ListLimits, note: &mut Note) {
    list.grow_for(values.len(), values.iter().map(|value| value.len()).sum(), limits);
    values.iter().for_each(|value| list.push(end, value, limits));
    note.event(if end == End::Front { "lpush" } else { "rpush" });
    note.changed(values.len() as u64);
}

fn lpop(ctx: &mut Ctx<'_, '_>) -> Result {
    pop(ctx, End::Front, "lpop")
}

fn rpop(ctx: &mut Ctx<'_, '_>) -> Result {
    pop(ctx, End::Back, "rpop")
}

fn pop(ctx: &mut Ctx<'_, '_>, end: End, name: &'static str) -> Result {
    let count = match ctx.args.rest(2) {
        [] => None,
        [count] => Some(positive(count, Error::NotPositive)?),
        _ => return Err(Error::Arity(name.into())),
    };
    let limits = limits(ctx.node);
    let reply = &mut *ctx.reply;
    let popped = ctx.txn.edit(ctx.args.all()[1], Create::No, |list: &mut List, note| match count {
        None => pop_one(list, end, &limits, reply, note),
        Some(count) => drop(pop_many(list, end, count, &limits, reply, note)),
    })?;
    match (popped, count) {
        (Some(()), _) => {}
        (None, None) => reply.null(),
        (None, Some(_)) => reply.null_array(),
    }
    Ok(Outcome::Done)
}

/// Takes the element at an end off a list that has one and replies with it.
fn pop_one(list: &mut List, end: End, limits: &ListLimits, reply: &mut Reply, note: &mut Note) {
    if let Some(value) = list.peek(end) {
        reply_element(reply, value);
        list.pop(end, limits);
        note.event(pop_event(end));
    }
}

/// Takes up to `count` elements off an end and replies with an array of them; returns how many.
fn pop_many(list: &mut List, end: End, count: usize, limits: &ListLimits, reply: &mut Reply, note: &mut Note) -> usize {
    let len = list.len();
    let count = count.min(len);
    reply.array(count);
    if count == 0 {
        return 0;
    }
    let mut left = count;
    list.walk(end, 0, |value| {
        reply_element(reply, value);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    list.delete_range(if end == End::Front { 0 } else { len - count }, count, limits);
    note.event(pop_event(end));
    note.changed(count as u64);
    count
}

fn pop_event(end: End) -> &'static str {
    if end == End::Front { "lpop" } else { "rpop" }
}

/// An argument that is an integer and not negative; `error` for anything else.
fn positive(text: &[u8], error: Error) -> Result<usize> {
    parse_i64(text).and_then(|int| usize::try_from(int).ok()).ok_or(error)
}

fn llen(ctx: &mut Ctx<'_, '_>) -> Result {
    let list = ctx.txn.read::<List>(&ctx.args[1])?;
    ctx.reply.int(list.map_or(0, |list| list.len()) as i64);
    Ok(Outcome::Done)
}

fn lindex(ctx: &mut Ctx<'_, '_>) -> Result {
    let Some(list) = ctx.txn.read::<List>(&ctx.args[1])? else {
        ctx.reply.null();
        return Ok(Outcome::Done);
    };
    let index = ctx.args.int(2)?;
    let reply = &mut *ctx.reply;
    if list.with_index(index, |value| reply_element(reply, value)).is_none() {
        reply.null();
    }
    Ok(Outcome::Done)
}

fn lrange(ctx: &mut Ctx<'_, '_>) -> Result {
    let (start, stop) = (ctx.args.int(2)?, ctx.args.int(3)?);
    let Some(list) = ctx.txn.read::<List>(&ctx.args[1])? else {
        ctx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let (start, count) = range_of(start, stop, list.len());
    ctx.reply.array(count);
    let mut bulks = Bulks::new(ctx.reply);
    list.range(start, count, |value| bulks.value(value));
    Ok(Outcome::Done)
}

/// A range of indexes, negative ones from the end, as start and count.
fn range_of(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_front = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (from_front(start).max(0), from_front(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

fn lpos(ctx: &mut Ctx<'_, '_>) -> Result {
    let (query, many) = pos_query(ctx.args)?;
    let Some(list) = ctx.txn.read::<List>(&ctx.args[1])? else {
        if many {
            ctx.reply.array(0)
        } else {
            ctx.reply.null()
        }
        return Ok(Outcome::Done);
    };
    let found = list.positions(&ctx.args[2], &query);
    if many {
        ctx.reply.array(found.len());
        found.iter().for_each(|&index| ctx.reply.int(index as i64));
    } else {
        match found.first() {
            Some(&index) => ctx.reply.int(index as i64),
            None => ctx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

/// The options of LPOS, and whether it answers with an array.
fn pos_query(args: Argv<'_>) -> Result<(PosQuery, bool)> {
    let mut query = PosQuery { from: End::Front, rank: 1, count_max: 1, compared_max: usize::MAX };
    let mut many = false;
    let mut options = args.cursor(3);
    while !options.is_done() {
        if options.word_with("RANK", 1) {
            let rank = options.int()?;
            (query.from, query.rank) = rank_of(rank)?;
        } else if options.word_with("COUNT", 1) {
            many = true;
            query.count_max = unlimited_if_zero(positive(options.take()?, Error::Text("ERR COUNT can't be negative"))?);
        } else if options.word_with("MAXLEN", 1) {
            let max = positive(options.take()?, Error::Text("ERR MAXLEN can't be negative"))?;
            query.compared_max = unlimited_if_zero(max);
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((query, many))
}

/// The smallest integer cannot be turned round.
const SMALLEST: Error =
    Error::Text("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");

fn rank_of(rank: i64) -> Result<(End, usize)> {
    match rank {
        0 => Err(Error::Text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        )),
        i64::MIN => Err(SMALLEST),
        1.. => Ok((End::Front, rank as usize)),
        _ => Ok((End::Back, -rank as usize)),
    }
}

fn unlimited_if_zero(max: usize) -> usize {
    if max == 0 { usize::MAX } else { max }
}

fn lset(ctx: &mut Ctx<'_, '_>) -> Result {
    let limits = limits(ctx.node);
    let (args, value) = (ctx.args, ctx.args.all()[3]);
    let set = ctx.txn.edit(args.all()[1], Create::No, |list: &mut List, note| {
        let index = args.int(2)?;
        list.grow_for(1, value.len(), &limits);
        if !list.set(index, value, &limits) {
            return Err(Error::IndexRange);
        }
        note.event("lset");
        Ok(())
    })?;
    set.ok_or(Error::NoSuchKey)??;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn linsert(ctx: &mut Ctx<'_, '_>) -> Result {
    let side = match () {
        () if ctx.args.is(2, "AFTER") => Side::After,
        () if ctx.args.is(2, "BEFORE") => Side::Before,
        () => return Err(Error::Syntax),
    };
    let limits = limits(ctx.node);
    let [_, key, _, pivot, value] = *ctx.args.all() else { return Err(Error::Syntax) };
    let len = ctx.txn.edit(key, Create::No, |list: &mut List, note| {
        list.grow_for(1, value.len(), &limits);
        if !list.insert(side, pivot, value, &limits) {
            return -1;
        }
        note.event("linsert");
        list.len() as i64
    })?;
    ctx.reply.int(len.unwrap_or(0));
    Ok(Outcome::Done)
}

fn lrem(ctx: &mut Ctx<'_, '_>) -> Result {
    let count = ctx.args.int(2)?;
    if count == i64::MIN {
        return Err(SMALLEST);
    }
    let limits = limits(ctx.node);
    let (key, value) = (ctx.args.all()[1], ctx.args.all()[3]);
    let removed = ctx.txn.edit(key, Create::No, |list: &mut List, note| {
        let removed = list.remove(count, value, &limits);
        if removed > 0 {
            note.event("lrem");
            note.changed(removed as u64);
        }
        removed
    })?;
    ctx.reply.int(removed.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn ltrim(ctx: &mut Ctx<'_, '_>) -> Result {
    let (start, stop) = (ctx.args.int(2)?, ctx.args.int(3)?);
    let limits = limits(ctx.node);
    ctx.txn.edit(ctx.args.all()[1], Create::No, |list: &mut List, note| {
        let len = list.len();
        let (start, count) = range_of(start, stop, len);
        if count == 0 {
            let all = std::mem::take(list);
            let bytes = all.heap_bytes();
            note.discard(all, bytes);
        } else {
            list.trim(start, count, &limits);
        }
        note.event("ltrim");
        note.changed((len - count) as u64);
        if len == count {
            note.uncounted();
        }
    })?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}
