//! Sorted set commands on members of one key. [`range`] has those about ranges, [`algebra`] those that combine sorted sets,
//! [`pop`] those that take members off an end and those that wait for one.

mod algebra;
mod pop;
mod range;

use super::Command;
use super::ctx::{Ctx, Outcome, Result, reply_value};
use super::error::Error;
use super::sample::{Amount, amount, reply_random};
use super::scan::{ScanOf, ScanOptions, parse_cursor, reply_no_step, reply_step};
use crate::base::num::{F64Text, parse_f64};
use crate::keyspace::txn::Create;
use crate::node::Node;
use crate::resp::reply::{Proto, Reply};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use crate::types::zset::{AddIf, Added, Scored, ZSet, ZSetLimits};
use smallvec::{SmallVec, smallvec};

/// The family.
pub const COMMANDS: &[Command] = &[
    ZADD,
    ZINCRBY,
    ZREM,
    ZCARD,
    ZSCORE,
    ZMSCORE,
    ZRANK,
    ZREVRANK,
    ZRANDMEMBER,
    ZSCAN,
    range::ZRANGE,
    range::ZRANGESTORE,
    range::ZREVRANGE,
    range::ZRANGEBYSCORE,
    range::ZREVRANGEBYSCORE,
    range::ZRANGEBYLEX,
    range::ZREVRANGEBYLEX,
    range::ZCOUNT,
    range::ZLEXCOUNT,
    range::ZREMRANGEBYRANK,
    range::ZREMRANGEBYSCORE,
    range::ZREMRANGEBYLEX,
    algebra::ZUNION,
    algebra::ZUNIONSTORE,
    algebra::ZINTER,
    algebra::ZINTERSTORE,
    algebra::ZINTERCARD,
    algebra::ZDIFF,
    algebra::ZDIFFSTORE,
    pop::ZPOPMIN,
    pop::ZPOPMAX,
    pop::ZMPOP,
    pop::BZPOPMIN,
    pop::BZPOPMAX,
    pop::BZMPOP,
];

/// What all rows of this family share.
const BASE: CommandSpec =
    CommandSpec { group: Group::SortedSet, categories: Categories::SORTEDSET, ..CommandSpec::BASE };

const ZADD: Command = Command::new(
    zadd,
    CommandSpec {
        name: "ZADD",
        summary: "Adds members with scores to a sorted set, or gives them other scores.",
        since: "1.2.0",
        history: &[
            ("2.4.0", "Takes several members."),
            ("3.0.2", "Takes NX, XX, CH and INCR."),
            ("6.2.0", "Takes GT and LT."),
        ],
        complexity: "O(log(N)) for each member, N those of the sorted set",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional().since("3.0.2"),
            Arg::one_of("comparison", &[Arg::word("gt", "GT"), Arg::word("lt", "LT")]).optional().since("6.2.0"),
            Arg::word("change", "CH").optional().since("3.0.2"),
            Arg::word("increment", "INCR").optional().since("3.0.2"),
            Arg::block("data", &[Arg::double("score"), Arg::string("member")]).multiple(),
        ],
        ..BASE
    },
);

const ZINCRBY: Command = Command::new(
    zincrby,
    CommandSpec {
        name: "ZINCRBY",
        summary: "Adds to the score of a member; a missing one starts at 0.",
        since: "1.2.0",
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("increment"), Arg::string("member")],
        ..BASE
    },
);

const ZREM: Command = Command::new(
    zrem,
    CommandSpec {
        name: "ZREM",
        summary: "Removes members from a sorted set, and the key with the last of them.",
        since: "1.2.0",
        history: &[("2.4.0", "Takes several members.")],
        complexity: "O(M*log(N)), M the members named, N those of the sorted set",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        ..BASE
    },
);

const ZCARD: Command = Command::new(
    zcard,
    CommandSpec {
        name: "ZCARD",
        summary: "Returns how many members a sorted set has.",
        since: "1.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key")],
        ..BASE
    },
);

const ZSCORE: Command = Command::new(
    zscore,
    CommandSpec {
        name: "ZSCORE",
        summary: "Returns the score of a member.",
        since: "1.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member")],
        ..BASE
    },
);

const ZMSCORE: Command = Command::new(
    zmscore,
    CommandSpec {
        name: "ZMSCORE",
        summary: "Returns the scores of several members.",
        since: "6.2.0",
        complexity: "O(N) in the members named",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        ..BASE
    },
);

const ZRANK: Command = Command::new(
    zrank,
    CommandSpec {
        name: "ZRANK",
        summary: "Returns the rank of a member, counted from the lowest score.",
        since: "2.0.0",
        history: &[("7.2.0", "Takes WITHSCORE.")],
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member"), Arg::word("withscore", "WITHSCORE").optional()],
        ..BASE
    },
);

const ZREVRANK: Command = Command::new(
    zrevrank,
    CommandSpec {
        name: "ZREVRANK",
        summary: "Returns the rank of a member, counted from the highest score.",
        since: "2.0.0",
        history: &[("7.2.0", "Takes WITHSCORE.")],
        complexity: "O(log(N)) in the members of the sorted set",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member"), Arg::word("withscore", "WITHSCORE").optional()],
        ..BASE
    },
);

const ZRANDMEMBER: Command = Command::new(
    zrandmember,
    CommandSpec {
        name: "ZRANDMEMBER",
        summary: "Returns random members of a sorted set.",
        since: "6.2.0",
        complexity: "O(N) in the members returned",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::block("options", &[Arg::integer("count"), Arg::word("withscores", "WITHSCORES").optional()])
                .optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const ZSCAN: Command = Command::new(
    zscan,
    CommandSpec {
        name: "ZSCAN",
        summary: "Walks over the members of a sorted set in steps.",
        since: "2.8.0",
        history: &[("8.0.0", "Takes NOSCORES.")],
        complexity: "O(1) for a step, O(N) for the whole walk",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::word("noscores", "NOSCORES").optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

/// The directives that shape sorted sets, as they are now.
pub(super) fn limits(node: &Node) -> ZSetLimits {
    ZSetLimits {
        listpack_entries: node.config.zset_max_listpack_entries.get() as usize,
        listpack_value: node.config.zset_max_listpack_value.get() as usize,
    }
}

/// Writes a member and its score: in RESP3, when `paired`, as an array of the two.
fn reply_scored(reply: &mut Reply, pair: Scored<'_>, paired: bool) {
    if paired {
        reply.array(2);
    }
    reply_value(reply, pair.member);
    reply.double(pair.score);
}

/// Whether members with scores are answered as pairs.
fn is_paired(reply: &Reply) -> bool {
    reply.proto() == Proto::Resp3
}

/// What ZADD asks for.
pub(super) struct Add<'a> {
    pub(super) conditions: AddIf,
    /// CH: count what changed, not what is new.
    pub(super) count_changed: bool,
    pub(super) pairs: SmallVec<[(f64, &'a [u8]); 2]>,
}

impl<'a> Add<'a> {
    fn parse(ctx: &Ctx<'a, '_>) -> Result<Self> {
        let mut words = ctx.args.cursor(2);
        let mut conditions = AddIf::default();
        let mut count_changed = false;
        while !words.is_done() {
            let option = match () {
                () if words.word("NX") => &mut conditions.absent,
                () if words.word("XX") => &mut conditions.present,
                () if words.word("GT") => &mut conditions.greater,
                () if words.word("LT") => &mut conditions.less,
                () if words.word("CH") => &mut count_changed,
                () if words.word("INCR") => &mut conditions.incr,
                () => break,
            };
            *option = true;
        }
        let rest = words.rest();
        if rest.is_empty() || !rest.len().is_multiple_of(2) {
            return Err(Error::Syntax);
        }
        check_conditions(conditions, rest.len() / 2)?;
        let pair = |pair: &[&'a [u8]]| Ok((parse_f64(pair[0]).ok_or(Error::NotFloat)?, pair[1]));
        let pairs = rest.chunks_exact(2).map(pair).collect::<Result<_>>()?;
        Ok(Add { conditions, count_changed, pairs })
    }
}

fn check_conditions(conditions: AddIf, pairs: usize) -> Result<()> {
    let AddIf { absent, present, greater, less, incr } = conditions;
    if absent && present {
        return Err(Error::Text("ERR XX and NX options at the same time are not compatible"));
    }
    if ((greater || less) && absent) || (greater && less) {
        return Err(Error::Text("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if incr && pairs > 1 {
        return Err(Error::Text("ERR INCR option supports a single increment-element pair"));
    }
    Ok(())
}

/// How many members became new or got another score, and what became of the last one.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) new: usize,
    pub(super) updated: usize,
    pub(super) score: Option<f64>,
}

fn zadd(ctx: &mut Ctx<'_, '_>) -> Result {
    let add = Add::parse(ctx)?;
    let tally = apply(ctx, &add)?;
    if add.conditions.incr {
        reply_score(ctx.reply, tally.score);
    } else {
        ctx.reply.int((tally.new + if add.count_changed { tally.updated } else { 0 }) as i64);
    }
    Ok(Outcome::Done)
}

fn zincrby(ctx: &mut Ctx<'_, '_>) -> Result {
    // ZADD's options are options here too, and leave no pair.
    if ["NX", "XX", "GT", "LT", "CH", "INCR"].iter().any(|option| ctx.args.is(2, option)) {
        return Err(Error::Syntax);
    }
    let pairs = smallvec![(ctx.args.float(2)?, ctx.args.all()[3])];
    let add = Add { conditions: AddIf { incr: true, ..AddIf::default() }, count_changed: false, pairs };
    let tally = apply(ctx, &add)?;
    reply_score(ctx.reply, tally.score);
    Ok(Outcome::Done)
}

fn reply_score(reply: &mut Reply, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

pub(super) fn apply(ctx: &mut Ctx<'_, '_>, add: &Add<'_>) -> Result<Tally> {
    let limits = limits(ctx.node);
    let create = if add.conditions.present { Create::No } else { Create::Yes };
    let tally = ctx.txn.edit(ctx.args.all()[1], create, |zset: &mut ZSet, note| {
        if zset.is_empty() {
            let longest = add.pairs.iter().map(|pair| pair.1.len()).max().unwrap_or(0);
            *zset = ZSet::for_members(add.pairs.len(), longest, &limits);
        } else {
            zset.expect(add.pairs.len(), &limits);
        }
        let mut tally = Tally::default();
        let result = add_all(zset, add, &limits, &mut tally);
        if tally.new + tally.updated > 0 {
            note.event(if add.conditions.incr { "zincr" } else { "zadd" });
            note.changed((tally.new + tally.updated) as u64);
        }
        result.map(|()| tally)
    })?;
    tally.unwrap_or_else(|| Ok(Tally::default()))
}

fn add_all(zset: &mut ZSet, add: &Add<'_>, limits: &ZSetLimits, tally: &mut Tally) -> Result<()> {
    for (score, member) in &add.pairs {
        match zset.add(member, *score, add.conditions, limits) {
            Added::New(score) => (tally.new, tally.score) = (tally.new + 1, Some(score)),
            Added::Updated(score) => (tally.updated, tally.score) = (tally.updated + 1, Some(score)),
            Added::Same(score) => tally.score = Some(score),
            Added::Skipped => {}
            Added::NotANumber => return Err(Error::Text("ERR resulting score is not a number (NaN)")),
        }
    }
    Ok(())
}

fn zrem(ctx: &mut Ctx<'_, '_>) -> Result {
    let members = ctx.args.rest(2);
    let removed = ctx.txn.edit(ctx.args.all()[1], Create::No, |zset: &mut ZSet, note| {
        let removed = members.iter().filter(|member| zset.remove(member)).count();
        if removed > 0 {
            note.event("zrem");
            note.changed(removed as u64);
        }
        removed
    })?;
    ctx.reply.int(removed.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn zcard(ctx: &mut Ctx<'_, '_>) -> Result {
    let zset = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    ctx.reply.int(zset.map_or(0, |zset| zset.len()) as i64);
    Ok(Outcome::Done)
}

fn zscore(ctx: &mut Ctx<'_, '_>) -> Result {
    let zset = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    reply_score(ctx.reply, zset.and_then(|zset| zset.score(&ctx.args[2])));
    Ok(Outcome::Done)
}

fn zmscore(ctx: &mut Ctx<'_, '_>) -> Result {
    let zset = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    let members = ctx.args.rest(2);
    ctx.reply.array(members.len());
    members.iter().for_each(|member| reply_score(ctx.reply, zset.as_ref().and_then(|zset| zset.score(member))));
    Ok(Outcome::Done)
}

fn zrank(ctx: &mut Ctx<'_, '_>) -> Result {
    rank(ctx, "zrank", |_, rank| rank)
}

fn zrevrank(ctx: &mut Ctx<'_, '_>) -> Result {
    rank(ctx, "zrevrank", |len, rank| len - 1 - rank)
}

fn rank(ctx: &mut Ctx<'_, '_>, command: &'static str, from_len: fn(usize, usize) -> usize) -> Result {
    if ctx.args.len() > 4 {
        return Err(Error::Arity(command.into()));
    }
    let with_score = ctx.args.len() == 4;
    if with_score && !ctx.args.is(3, "WITHSCORE") {
        return Err(Error::Syntax);
    }
    let zset = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    let Some((len, (rank, score))) = zset.and_then(|zset| Some((zset.len(), zset.rank(&ctx.args[2])?))) else {
        if with_score {
            ctx.reply.null_array()
        } else {
            ctx.reply.null()
        }
        return Ok(Outcome::Done);
    };
    if with_score {
        ctx.reply.array(2);
    }
    ctx.reply.int(from_len(len, rank) as i64);
    if with_score {
        ctx.reply.double(score);
    }
    Ok(Outcome::Done)
}

fn zrandmember(ctx: &mut Ctx<'_, '_>) -> Result {
    let (amount, with_scores) = amount(ctx.args, 2, "WITHSCORES")?;
    let mut rng = ctx.node.rng();
    let Some(zset) = ctx.txn.read::<ZSet>(&ctx.args[1])? else {
        if amount == Amount::One {
            ctx.reply.null()
        } else {
            ctx.reply.array(0)
        }
        return Ok(Outcome::Done);
    };
    let paired = is_paired(ctx.reply);
    let width = if with_scores && !paired { 2 } else { 1 };
    reply_random(ctx.reply, &*zset, amount, &mut rng, width, |reply, pair| {
        if with_scores { reply_scored(reply, pair, paired) } else { reply_value(reply, pair.member) }
    });
    Ok(Outcome::Done)
}

fn zscan(ctx: &mut Ctx<'_, '_>) -> Result {
    let cursor = parse_cursor(&ctx.args[2])?;
    let Some(zset) = ctx.txn.read::<ZSet>(&ctx.args[1])? else {
        reply_no_step(ctx.reply);
        return Ok(Outcome::Done);
    };
    let options = ScanOptions::parse(ctx.args.rest(3), ScanOf::SortedSet)?;
    reply_step(ctx.reply, |reply| {
        let (mut count, mut text) = (0, itoa::Buffer::new());
        let next = zset.scan(cursor, options.count, |pair| {
            if options.fits(pair.member.to_bytes(&mut text)) {
                reply_value(reply, pair.member);
                count += 1;
                if !options.names_only {
                    reply.bulk(F64Text::new(pair.score).as_bytes());
                    count += 1;
                }
            }
        });
        (next, count)
    });
    Ok(Outcome::Done)
}
