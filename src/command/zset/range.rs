//! Ranges of sorted sets: ZRANGE in all its forms and ancestors, ZRANGESTORE, the counts and the removals.
//!
//! Whatever a range is said by (ranks, scores, names), it becomes a range of ranks; that is counted, walked or removed.

use super::{BASE, is_paired, limits, reply_scored};
use crate::base::num::{F64Text, is_space, parse_f64_clamped, parse_i64};
use crate::command::Command;
use crate::command::args::Argv;
use crate::command::bulks::Bulks;
use crate::command::ctx::{Ctx, Outcome, Result};
use crate::command::error::{Error, until_nul};
use crate::keyspace::txn::Create;
use crate::keyspace::{Class, Deadline};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::Value;
use crate::types::zset::{LexBound, LexRange, Order, ScoreRange, ZSet};
use std::ops::{Bound, Range};

pub(super) const ZRANGE: Command = Command::new(
    zrange,
    CommandSpec {
        name: "ZRANGE",
        summary: "Returns the members in a range of ranks, scores or names.",
        since: "1.2.0",
        history: &[("6.2.0", "Takes REV, BYSCORE, BYLEX and LIMIT.")],
        complexity: "O(log(N)+M), N the members of the sorted set, M those returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("start"),
            Arg::string("stop"),
            Arg::one_of("sortby", &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")])
                .optional()
                .since("6.2.0"),
            Arg::word("rev", "REV").optional().since("6.2.0"),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")])
                .token("LIMIT")
                .optional()
                .since("6.2.0"),
            Arg::word("withscores", "WITHSCORES").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZRANGESTORE: Command = Command::new(
    zrangestore,
    CommandSpec {
        name: "ZRANGESTORE",
        summary: "Stores the members in a range of ranks, scores or names.",
        since: "6.2.0",
        complexity: "O(log(N)+M), N the members of the sorted set, M those stored",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::one(2, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("dst"),
            Arg::key_of("src", 1),
            Arg::string("min"),
            Arg::string("max"),
            Arg::one_of("sortby", &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")]).optional(),
            Arg::word("rev", "REV").optional(),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZREVRANGE: Command = Command::new(
    zrevrange,
    CommandSpec {
        name: "ZREVRANGE",
        deprecated: Some(("6.2.0", "`ZRANGE` with `REV`")),
        summary: "Returns the members in a range of ranks, the highest score first.",
        since: "1.2.0",
        complexity: "O(log(N)+M), N the members of the sorted set, M those returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::integer("start"),
            Arg::integer("stop"),
            Arg::word("withscores", "WITHSCORES").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZRANGEBYSCORE: Command = Command::new(
    zrangebyscore,
    CommandSpec {
        name: "ZRANGEBYSCORE",
        deprecated: Some(("6.2.0", "`ZRANGE` with `BYSCORE`")),
        summary: "Returns the members with scores in an interval.",
        since: "1.0.5",
        history: &[("2.0.0", "Takes WITHSCORES.")],
        complexity: "O(log(N)+M), N the members of the sorted set, M those returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::double("min"),
            Arg::double("max"),
            Arg::word("withscores", "WITHSCORES").optional().since("2.0.0"),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZREVRANGEBYSCORE: Command = Command::new(
    zrevrangebyscore,
    CommandSpec {
        name: "ZREVRANGEBYSCORE",
        deprecated: Some(("6.2.0", "`ZRANGE` with `REV` and `BYSCORE`")),
        summary: "Returns the members with scores in an interval, the highest score first.",
        since: "2.2.0",
        history: &[("2.1.6", "Ranges may exclude their ends.")],
        complexity: "O(log(N)+M), N the members of the sorted set, M those returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::double("max"),
            Arg::double("min"),
            Arg::word("withscores", "WITHSCORES").optional(),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZRANGEBYLEX: Command = Command::new(
    zrangebylex,
    CommandSpec {
        name: "ZRANGEBYLEX",
        deprecated: Some(("6.2.0", "`ZRANGE` with `BYLEX`")),
        summary: "Returns the members in an interval of names.",
        since: "2.8.9",
        complexity: "O(log(N)+M), N the members of the sorted set, M those returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("min"),
            Arg::string("max"),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZREVRANGEBYLEX: Command = Command::new(
    zrevrangebylex,
    CommandSpec {
        name: "ZREVRANGEBYLEX",
        deprecated: Some(("6.2.0", "`ZRANGE` with `REV` and `BYLEX`")),
        summary: "Returns the members in an interval of names, the last name first.",
        since: "2.8.9",
        complexity: "O(log(N)+M), N the members of the sorted set, M those returned",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("max"),
            Arg::string("min"),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZCOUNT: Command = Command::new(
    zcount,
    CommandSpec {
        name: "ZCOUNT",
        summary: "Returns how many members have a score in an interval.",
        since: "2.0.0",
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::exactly(4),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::double("min"), Arg::double("max")],
        ..BASE
    },
);

pub(super) const ZLEXCOUNT: Command = Command::new(
    zlexcount,
    CommandSpec {
        name: "ZLEXCOUNT",
        summary: "Returns how many members are in an interval of names.",
        since: "2.8.9",
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::exactly(4),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("min"), Arg::string("max")],
        ..BASE
    },
);

pub(super) const ZREMRANGEBYRANK: Command = Command::new(
    zremrangebyrank,
    CommandSpec {
        name: "ZREMRANGEBYRANK",
        summary: "Removes the members in a range of ranks.",
        since: "2.0.0",
        complexity: "O(log(N)+M), N the members of the sorted set, M those removed",
        arity: Arity::exactly(4),
        flags: Flags::WRITE,
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        ..BASE
    },
);

pub(super) const ZREMRANGEBYSCORE: Command = Command::new(
    zremrangebyscore,
    CommandSpec {
        name: "ZREMRANGEBYSCORE",
        summary: "Removes the members with scores in an interval.",
        since: "1.2.0",
        complexity: "O(log(N)+M), N the members of the sorted set, M those removed",
        arity: Arity::exactly(4),
        flags: Flags::WRITE,
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::double("min"), Arg::double("max")],
        ..BASE
    },
);

pub(super) const ZREMRANGEBYLEX: Command = Command::new(
    zremrangebylex,
    CommandSpec {
        name: "ZREMRANGEBYLEX",
        summary: "Removes the members in an interval of names.",
        since: "2.8.9",
        complexity: "O(log(N)+M), N the members of the sorted set, M those removed",
        arity: Arity::exactly(4),
        flags: Flags::WRITE,
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("min"), Arg::string("max")],
        ..BASE
    },
);

/// What a range is said by.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range as it was asked for, still without a sorted set.
enum Asked<'a> {
    /// The first and the last index, negative ones from the end.
    Ranks(i64, i64),
    Scores(ScoreRange),
    Names(LexRange<'a>),
}

impl<'a> Asked<'a> {
    /// Reads the two ends.
    fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self> {
        match by {
            By::Rank => {
                let index = |text| parse_i64(text).ok_or(Error::NotInteger);
                Ok(Asked::Ranks(index(min)?, index(max)?))
            }
            By::Score => {
                let error = Error::Text("ERR min or max is not a float");
                let ends = score_bound(min).zip(score_bound(max)).ok_or(error)?;
                Ok(Asked::Scores(ScoreRange { min: ends.0, max: ends.1 }))
            }
            By::Lex => {
                let error = Error::Text("ERR min or max not valid string range item");
                let ends = lex_bound(min).zip(lex_bound(max)).ok_or(error)?;
                Ok(Asked::Names(LexRange { min: ends.0, max: ends.1 }))
            }
        }
    }

    /// The ranks it stands for; indexes count from the end of the walk's direction.
    fn ranks(&self, zset: &ZSet, reverse: bool) -> Range<usize> {
        match self {
            Asked::Scores(range) => zset.ranks_by_score(range),
            Asked::Names(range) => zset.ranks_by_lex(range),
            Asked::Ranks(start, stop) => {
                let len = zset.len();
                let range = index_range(*start, *stop, len);
                if reverse { len - range.end..len - range.start } else { range }
            }
        }
    }
}

/// Indexes of which negative ones count from the end, as a range within `0..len`.
fn index_range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_front = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (from_front(start).max(0), from_front(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

fn score_bound(text: &[u8]) -> Option<Bound<f64>> {
    match text {
        [b'(', text @ ..] => score(text).map(Bound::Excluded),
        _ => score(text).map(Bound::Included),
    }
}

/// A score as C's `strtod` takes it whole: also with leading space, also out of range, also none at all; what stands
/// behind a NUL is not seen.
fn score(text: &[u8]) -> Option<f64> {
    let text = until_nul(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text.iter().position(|byte| !is_space(*byte))?;
    parse_f64_clamped(&text[start..])
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::First),
        b"+" => Some(LexBound::Last),
        [b'[', member @ ..] => Some(LexBound::Included(member)),
        [b'(', member @ ..] => Some(LexBound::Excluded(member)),
        _ => None,
    }
}

/// A whole request: the range, the direction, what to leave out and what to show.
struct Query<'a> {
    key: &'a [u8],
    asked: Asked<'a>,
    reverse: bool,
    /// How many to skip, and how many to give at most (negative: all).
    limit: Option<(i64, i64)>,
    with_scores: bool,
}

/// What a command's name says already; `None` is for the options to say.
#[derive(Clone, Copy)]
struct Said {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

impl<'a> Query<'a> {
    /// From `key min max [options]`, the key being argument `at`.
    fn parse(args: Argv<'a>, at: usize, said: Said) -> Result<Self> {
        let (mut by, mut reverse, mut limit, mut with_scores) = (said.by, said.reverse, None, false);
        let mut words = args.cursor(at + 3);
        while !words.is_done() {
            if !said.stores && words.word("WITHSCORES") {
                with_scores = true;
            } else if words.word_with("LIMIT", 2) {
                limit = Some((words.int()?, words.int()?));
            } else if reverse.is_none() && words.word("REV") {
                reverse = Some(true);
            } else if by.is_none() && words.word("BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && words.word("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if by == By::Rank && limit.is_some_and(|limit| limit.1 != -1) {
            return Err(Error::Text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if by == By::Lex && with_scores {
            return Err(Error::Text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (key, first, second) = (args.all()[at], args.all()[at + 1], args.all()[at + 2]);
        let (min, max) = if reverse && by != By::Rank { (second, first) } else { (first, second) };
        Ok(Query { key, asked: Asked::parse(by, min, max)?, reverse, limit, with_scores })
    }

    /// The ranks asked for in this sorted set.
    fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let ranks = self.asked.ranks(zset, self.reverse);
        let Some((skip, count)) = self.limit.filter(|_| !matches!(self.asked, Asked::Ranks(..))) else { return ranks };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(ranks.len() - skip);
        if self.reverse {
            ranks.end - skip - count..ranks.end - skip
        } else {
            ranks.start + skip..ranks.start + skip + count
        }
    }

    fn order(&self) -> Order {
        if self.reverse { Order::Down } else { Order::Up }
    }
}

fn zrange(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_range(ctx, Said { by: None, reverse: None, stores: false })
}

fn zrevrange(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_range(ctx, Said { by: Some(By::Rank), reverse: Some(true), stores: false })
}

fn zrangebyscore(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_range(ctx, Said { by: Some(By::Score), reverse: Some(false), stores: false })
}

fn zrevrangebyscore(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_range(ctx, Said { by: Some(By::Score), reverse: Some(true), stores: false })
}

fn zrangebylex(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_range(ctx, Said { by: Some(By::Lex), reverse: Some(false), stores: false })
}

fn zrevrangebylex(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_range(ctx, Said { by: Some(By::Lex), reverse: Some(true), stores: false })
}

fn reply_range(ctx: &mut Ctx<'_, '_>, said: Said) -> Result {
    let query = Query::parse(ctx.args, 1, said)?;
    let Some(zset) = ctx.txn.read::<ZSet>(query.key)? else {
        ctx.reply.array(0);
        return Ok(Outcome::Done);
    };
    let ranks = query.ranks(&zset);
    let reply = &mut *ctx.reply;
    let paired = is_paired(reply);
    reply.array(if query.with_scores && !paired { 2 * ranks.len() } else { ranks.len() });
    if query.with_scores && paired {
        zset.each(ranks, query.order(), |pair| reply_scored(reply, pair, paired));
        return Ok(Outcome::Done);
    }
    let mut bulks = Bulks::new(reply);
    if query.with_scores {
        zset.each(ranks, query.order(), |pair| {
            bulks.value(pair.member);
            bulks.bulk(F64Text::new(pair.score).as_bytes());
        });
    } else {
        zset.each_member(ranks, query.order(), |member| bulks.value(member));
    }
    Ok(Outcome::Done)
}

fn zrangestore(ctx: &mut Ctx<'_, '_>) -> Result {
    let query = Query::parse(ctx.args, 2, Said { by: None, reverse: None, stores: true })?;
    let limits = limits(ctx.node);
    let mut result = ZSet::new();
    if let Some(zset) = ctx.txn.read::<ZSet>(query.key)? {
        let mut text = itoa::Buffer::new();
        zset.each(query.ranks(&zset), query.order(), |pair| {
            result.set(pair.member.to_bytes(&mut text), pair.score, &limits);
        });
    }
    store(ctx, ctx.args.all()[1], result, "zrangestore")
}

/// Puts a result in the place of a key, or removes what is there if it is empty.
pub(super) fn store(ctx: &mut Ctx<'_, '_>, key: &[u8], result: ZSet, event: &'static str) -> Result {
    let len = result.len();
    if result.is_empty() {
        ctx.txn.delete_target(key);
    } else {
        ctx.txn.insert(key, Value::ZSet(result), Deadline::Clear);
        ctx.txn.event(Class::ZSET, event, key);
    }
    ctx.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn zcount(ctx: &mut Ctx<'_, '_>) -> Result {
    count(ctx, By::Score)
}

fn zlexcount(ctx: &mut Ctx<'_, '_>) -> Result {
    count(ctx, By::Lex)
}

fn count(ctx: &mut Ctx<'_, '_>, by: By) -> Result {
    let asked = Asked::parse(by, ctx.args.all()[2], ctx.args.all()[3])?;
    let zset = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    ctx.reply.int(zset.map_or(0, |zset| asked.ranks(&zset, false).len()) as i64);
    Ok(Outcome::Done)
}

fn zremrangebyrank(ctx: &mut Ctx<'_, '_>) -> Result {
    remove(ctx, By::Rank, "zremrangebyrank")
}

fn zremrangebyscore(ctx: &mut Ctx<'_, '_>) -> Result {
    remove(ctx, By::Score, "zremrangebyscore")
}

fn zremrangebylex(ctx: &mut Ctx<'_, '_>) -> Result {
    remove(ctx, By::Lex, "zremrangebylex")
}

/// So many members are not removed one by one when what is left is less than one in so many of them.
const MANY: usize = 1024;
const FEW_LEFT: usize = 8;

fn remove(ctx: &mut Ctx<'_, '_>, by: By, event: &'static str) -> Result {
    let asked = Asked::parse(by, ctx.args.all()[2], ctx.args.all()[3])?;
    let removed = ctx.txn.edit(ctx.args.all()[1], Create::No, |zset: &mut ZSet, note| {
        let ranks = asked.ranks(zset, false);
        let removed = ranks.len();
        if removed > 0 {
            let kept = zset.len() - removed;
            let few_left = removed >= MANY && kept < removed / FEW_LEFT && zset.packed().is_none();
            if kept == 0 || few_left {
                let rest = if kept == 0 { ZSet::new() } else { zset.without(ranks) };
                let all = std::mem::replace(zset, rest);
                let bytes = all.heap_bytes();
                note.discard(all, bytes);
            } else {
                zset.remove_ranks(ranks, |_| ());
            }
            note.event(event);
            note.changed(removed as u64);
        }
        removed
    })?;
    ctx.reply.int(removed.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}
