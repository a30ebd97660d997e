//! Commands that read entries by their ids: XLEN, XRANGE, XREVRANGE.

use super::super::Command;
use super::super::ctx::{Ctx, Outcome, Result};
use super::super::error::Error;
use super::{BASE, interval_end, interval_start, limit_of, reply_entries};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys};
use crate::types::stream::Stream;

pub(super) const XLEN: Command = Command::new(
    xlen,
    CommandSpec {
        name: "XLEN",
        summary: "Returns the number of entries of a stream.",
        since: "5.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key")],
        ..BASE
    },
);

pub(super) const XRANGE: Command = Command::new(
    xrange,
    CommandSpec {
        name: "XRANGE",
        summary: "Returns the entries between two IDs.",
        since: "5.0.0",
        history: &[("6.2.0", "Ranges may exclude their ends.")],
        complexity: "O(N) in the entries returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("start"),
            Arg::string("end"),
            Arg::integer("count").token("COUNT").optional(),
        ],
        ..BASE
    },
);

pub(super) const XREVRANGE: Command = Command::new(
    xrevrange,
    CommandSpec {
        name: "XREVRANGE",
        summary: "Returns the entries between two IDs, the newest first.",
        since: "5.0.0",
        history: &[("6.2.0", "Ranges may exclude their ends.")],
        complexity: "O(N) in the entries returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("end"),
            Arg::string("start"),
            Arg::integer("count").token("COUNT").optional(),
        ],
        ..BASE
    },
);

fn xlen(ctx: &mut Ctx<'_, '_>) -> Result {
    let stream = ctx.txn.read::<Stream>(&ctx.args[1])?;
    ctx.reply.int(stream.map_or(0, |stream| stream.log().len()) as i64);
    Ok(Outcome::Done)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

fn xrange(ctx: &mut Ctx<'_, '_>) -> Result {
    read_range(ctx, Direction::Forward)
}

fn xrevrange(ctx: &mut Ctx<'_, '_>) -> Result {
    read_range(ctx, Direction::Back)
}

fn read_range(ctx: &mut Ctx<'_, '_>, direction: Direction) -> Result {
    let (start_at, end_at) = if direction == Direction::Forward { (2, 3) } else { (3, 2) };
    let (start, end) = (interval_start(&ctx.args[start_at])?, interval_end(&ctx.args[end_at])?);
    let mut count = None;
    let mut args = ctx.args.cursor(4);
    while !args.is_done() {
        if !args.word_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        count = Some(args.int()?.max(0));
    }
    let Some(stream) = ctx.txn.read::<Stream>(&ctx.args[1])? else {
        ctx.reply.array(0);
        return Ok(Outcome::Done);
    };
    match (count, direction) {
        (Some(0), _) => ctx.reply.null_array(),
        (_, Direction::Forward) => {
            reply_entries(ctx.reply, stream.log().range(start, end), limit_of(count.unwrap_or(0)));
        }
        (_, Direction::Back) => {
            reply_entries(ctx.reply, stream.log().range_back(start, end), limit_of(count.unwrap_or(0)));
        }
    }
    Ok(Outcome::Done)
}
