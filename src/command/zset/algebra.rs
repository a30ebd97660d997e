//! ZUNION, ZINTER, ZDIFF, their STORE forms and ZINTERCARD. Plain sets take part, every member with the score 1.

use super::range::store;
use super::{BASE, is_paired, limits, reply_scored};
use crate::base::num::{parse_f64, parse_i64};
use crate::command::Command;
use crate::command::args::{Argv, Cursor};
use crate::command::ctx::{Ctx, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::Txn;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::packed::listpack::LpValue;
use crate::types::set::Set;
use crate::types::zset::{Scored, ZSet, ZSetLimits};
use crate::types::{ValueRef, View};
use std::collections::HashMap;

pub(super) const ZUNION: Command = Command::new(
    zunion,
    CommandSpec {
        name: "ZUNION",
        summary: "Returns the members that any of the sorted sets has, their scores combined.",
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M)), N the members of all, M the result",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ)]),
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::integer("weight").token("WEIGHTS").optional().multiple(),
            Arg::one_of("aggregate", &[Arg::word("sum", "SUM"), Arg::word("min", "MIN"), Arg::word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
            Arg::word("withscores", "WITHSCORES").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZUNIONSTORE: Command = Command::new(
    zunionstore,
    CommandSpec {
        name: "ZUNIONSTORE",
        summary: "Stores the members that any of the sorted sets has, their scores combined.",
        since: "2.0.0",
        complexity: "O(N)+O(M*log(M)), N the members of all, M the result",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::numkeys(2, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("destination"),
            Arg::integer("numkeys"),
            Arg::key_of("key", 1).multiple(),
            Arg::integer("weight").token("WEIGHTS").optional().multiple(),
            Arg::one_of("aggregate", &[Arg::word("sum", "SUM"), Arg::word("min", "MIN"), Arg::word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
        ],
        ..BASE
    },
);

pub(super) const ZINTER: Command = Command::new(
    zinter,
    CommandSpec {
        name: "ZINTER",
        summary: "Returns the members that all sorted sets have, their scores combined.",
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)), N the members of the smallest, K the sorted sets, M the result",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ)]),
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::integer("weight").token("WEIGHTS").optional().multiple(),
            Arg::one_of("aggregate", &[Arg::word("sum", "SUM"), Arg::word("min", "MIN"), Arg::word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
            Arg::word("withscores", "WITHSCORES").optional(),
        ],
        ..BASE
    },
);

pub(super) const ZINTERSTORE: Command = Command::new(
    zinterstore,
    CommandSpec {
        name: "ZINTERSTORE",
        summary: "Stores the members that all sorted sets have, their scores combined.",
        since: "2.0.0",
        complexity: "O(N*K)+O(M*log(M)), N the members of the smallest, K the sorted sets, M the result",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::numkeys(2, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("destination"),
            Arg::integer("numkeys"),
            Arg::key_of("key", 1).multiple(),
            Arg::integer("weight").token("WEIGHTS").optional().multiple(),
            Arg::one_of("aggregate", &[Arg::word("sum", "SUM"), Arg::word("min", "MIN"), Arg::word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
        ],
        ..BASE
    },
);

pub(super) const ZINTERCARD: Command = Command::new(
    zintercard,
    CommandSpec {
        name: "ZINTERCARD",
        summary: "Returns how many members all sorted sets have in common.",
        since: "7.0.0",
        complexity: "O(N*K), N the members of the smallest, K the sorted sets",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ)]),
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), Arg::integer("limit").token("LIMIT").optional()],
        ..BASE
    },
);

pub(super) const ZDIFF: Command = Command::new(
    zdiff,
    CommandSpec {
        name: "ZDIFF",
        summary: "Returns the members of the first sorted set that are in none of the others.",
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)), N the members of the first, K the sorted sets, M the result",
        arity: Arity::at_least(3),
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ)]),
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), Arg::word("withscores", "WITHSCORES").optional()],
        ..BASE
    },
);

pub(super) const ZDIFFSTORE: Command = Command::new(
    zdiffstore,
    CommandSpec {
        name: "ZDIFFSTORE",
        summary: "Stores the members of the first sorted set that are in none of the others.",
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)), N the members of the first, K the sorted sets, M the result",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::numkeys(2, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("destination"), Arg::integer("numkeys"), Arg::key_of("key", 1).multiple()],
        ..BASE
    },
);

/// One input: a sorted set, a set, or nothing.
#[derive(Clone)]
enum Input<'t> {
    Missing,
    Set(View<'t, Set>),
    ZSet(View<'t, ZSet>),
}

impl<'t> Input<'t> {
    fn read(txn: &'t Txn<'_>, key: &[u8]) -> Result<Self> {
        match txn.get(key).map(|entry| entry.value()) {
            None => Ok(Input::Missing),
            Some(ValueRef::Set(set)) => Ok(Input::Set(set)),
            Some(ValueRef::ZSet(zset)) => Ok(Input::ZSet(zset)),
            Some(_) => Err(Error::WrongType),
        }
    }

    fn len(&self) -> usize {
        match self {
            Input::Missing => 0,
            Input::Set(set) => set.len(),
            Input::ZSet(zset) => zset.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Input::Missing => None,
            Input::Set(set) => set.contains(member).then_some(1.0),
            Input::ZSet(zset) => zset.score(member),
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        match self {
            Input::Missing => Box::new(std::iter::empty()),
            Input::Set(set) => Box::new(set.iter().map(|member| Scored { member, score: 1.0 })),
            Input::ZSet(zset) => zset.iter_all(),
        }
    }

    fn is(&self, other: &Input<'_>) -> bool {
        match (self, other) {
            (Input::Set(a), Input::Set(b)) => a.address() == b.address(),
            (Input::ZSet(a), Input::ZSet(b)) => a.address() == b.address(),
            _ => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// How the scores of one member become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// Infinities that cancel each other out give 0.
    fn combine(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number_or_zero(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What a command of this kind asks for.
struct Request<'a, 't> {
    inputs: Vec<(Input<'t>, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
    /// ZINTERCARD's LIMIT; 0 is none.
    limit: usize,
    words: Cursor<'a>,
}

/// Which options a command takes.
#[derive(Clone, Copy)]
struct Takes {
    weights: bool,
    scores: bool,
    limit: bool,
}

impl<'a, 't> Request<'a, 't> {
    /// From `numkeys key .. [options]`, the number being argument `at`.
    fn parse(txn: &'t Txn<'_>, args: Argv<'a>, at: usize, takes: Takes, command: &str) -> Result<Self> {
        let numkeys = parse_i64(&args[at]).ok_or(Error::NotInteger)?;
        if numkeys < 1 {
            return Err(Error::owned(format!("ERR at least 1 input key is needed for '{command}' command")));
        }
        let keys = usize::try_from(numkeys).ok().and_then(|numkeys| args.rest(at + 1).get(..numkeys));
        let keys = keys.ok_or(Error::Syntax)?;
        let inputs = keys.iter().map(|key| Ok((Input::read(txn, key)?, 1.0))).collect::<Result<Vec<_>>>()?;
        let words = args.cursor(at + 1 + keys.len());
        let mut request = Request { inputs, aggregate: Aggregate::Sum, with_scores: false, limit: 0, words };
        while !request.words.is_done() {
            request.option(takes)?;
        }
        Ok(request)
    }

    fn option(&mut self, takes: Takes) -> Result<()> {
        let words = &mut self.words;
        if takes.weights && words.word_with("WEIGHTS", self.inputs.len()) {
            for input in &mut self.inputs {
                input.1 = parse_f64(words.take()?).ok_or(Error::Text("ERR weight value is not a float"))?;
            }
        } else if takes.weights && words.word_with("AGGREGATE", 1) {
            self.aggregate = match () {
                () if words.word("SUM") => Aggregate::Sum,
                () if words.word("MIN") => Aggregate::Min,
                () if words.word("MAX") => Aggregate::Max,
                () => return Err(Error::Syntax),
            };
        } else if takes.scores && words.word("WITHSCORES") {
            self.with_scores = true;
        } else if takes.limit && words.word_with("LIMIT", 1) {
            let limit = parse_i64(words.take()?).and_then(|limit| usize::try_from(limit).ok());
            self.limit = limit.ok_or(Error::Text("ERR LIMIT can't be negative"))?;
        } else {
            return Err(Error::Syntax);
        }
        Ok(())
    }

    fn run(mut self, operation: Operation) -> ZSet {
        match operation {
            Operation::Diff => self.diff(),
            Operation::Union => {
                self.inputs.sort_by_key(|input| input.0.len());
                self.union()
            }
            Operation::Inter => {
                let mut result = ZSet::new();
                self.inter(|member, score| {
                    result.set(member, score, &UNPACKED);
                    true
                });
                result
            }
        }
    }

    fn union(&self) -> ZSet {
        let mut scores: HashMap<Vec<u8>, f64, ahash::RandomState> = HashMap::default();
        let mut text = itoa::Buffer::new();
        for (input, weight) in &self.inputs {
            for pair in input.iter() {
                let (member, score) = (pair.member.to_bytes(&mut text), number_or_zero(pair.score * weight));
                match scores.get_mut(member) {
                    Some(old) => *old = self.aggregate.combine(*old, score),
                    None => drop(scores.insert(member.to_vec(), score)),
                }
            }
        }
        let mut result = ZSet::new();
        for (member, score) in scores {
            result.set(&member, score, &UNPACKED);
        }
        result
    }

    /// Hands every common member and its score to `each`, until that says false.
    fn inter(&mut self, mut each: impl FnMut(&[u8], f64) -> bool) {
        self.inputs.sort_by_key(|input| input.0.len());
        let Some(((smallest, weight), others)) = self.inputs.split_first() else { return };
        let mut text = itoa::Buffer::new();
        for pair in smallest.iter() {
            let member = pair.member.to_bytes(&mut text);
            let start = number_or_zero(pair.score * weight);
            let score = others.iter().try_fold(start, |sum, (other, weight)| {
                Some(self.aggregate.combine(sum, other.score(member)? * weight))
            });
            if score.is_some_and(|score| !each(member, score)) {
                return;
            }
        }
    }

    fn diff(&self) -> ZSet {
        let mut result = ZSet::new();
        let Some(((first, _), others)) = self.inputs.split_first() else { return result };
        if others.iter().any(|(other, _)| other.is(first)) {
            return result;
        }
        let mut text = itoa::Buffer::new();
        for pair in first.iter() {
            let member = pair.member.to_bytes(&mut text);
            if others.iter().all(|(other, _)| other.score(member).is_none()) {
                result.set(member, pair.score, &UNPACKED);
            }
        }
        result
    }
}

fn zunion(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_result(ctx, Operation::Union, "zunion")
}

fn zinter(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_result(ctx, Operation::Inter, "zinter")
}

fn zdiff(ctx: &mut Ctx<'_, '_>) -> Result {
    reply_result(ctx, Operation::Diff, "zdiff")
}

/// A result is never a listpack while it is made: that would turn -0 into 0.
const UNPACKED: ZSetLimits = ZSetLimits { listpack_entries: 0, listpack_value: 0 };

fn reply_result(ctx: &mut Ctx<'_, '_>, operation: Operation, command: &str) -> Result {
    let takes = Takes { weights: operation != Operation::Diff, scores: true, limit: false };
    let request = Request::parse(ctx.txn, ctx.args, 1, takes, command)?;
    let with_scores = request.with_scores;
    let result = request.run(operation);
    let reply = &mut *ctx.reply;
    let paired = is_paired(reply);
    reply.array(if with_scores && !paired { 2 * result.len() } else { result.len() });
    for pair in result.iter_all() {
        match pair.member {
            _ if with_scores => reply_scored(reply, pair, paired),
            LpValue::Int(int) => reply.bulk_int(int),
            LpValue::Str(text) => reply.bulk(text),
        }
    }
    Ok(Outcome::Done)
}

fn zunionstore(ctx: &mut Ctx<'_, '_>) -> Result {
    store_result(ctx, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Ctx<'_, '_>) -> Result {
    store_result(ctx, Operation::Inter, "zinterstore")
}

fn zdiffstore(ctx: &mut Ctx<'_, '_>) -> Result {
    store_result(ctx, Operation::Diff, "zdiffstore")
}

fn store_result(ctx: &mut Ctx<'_, '_>, operation: Operation, command: &'static str) -> Result {
    let takes = Takes { weights: operation != Operation::Diff, scores: false, limit: false };
    let request = Request::parse(ctx.txn, ctx.args, 2, takes, command)?;
    let result = request.run(operation);
    store(ctx, ctx.args.all()[1], packed_if_small(result, &limits(ctx.node)), command)
}

/// A result that is stored is a listpack if it is small.
fn packed_if_small(result: ZSet, limits: &ZSetLimits) -> ZSet {
    let longest = result.iter_all().map(|pair| pair.member.len()).max().unwrap_or(0);
    let mut packed = ZSet::for_members(result.len(), longest, limits);
    if packed.packed().is_none() {
        return result;
    }
    let mut text = itoa::Buffer::new();
    for pair in result.iter_all() {
        packed.set(pair.member.to_bytes(&mut text), pair.score, limits);
    }
    packed
}

fn zintercard(ctx: &mut Ctx<'_, '_>) -> Result {
    let takes = Takes { weights: false, scores: false, limit: true };
    let mut request = Request::parse(ctx.txn, ctx.args, 1, takes, "zintercard")?;
    let (mut count, limit) = (0, request.limit);
    request.inter(|_, _| {
        count += 1;
        count != limit
    });
    ctx.reply.int(count as i64);
    Ok(Outcome::Done)
}
