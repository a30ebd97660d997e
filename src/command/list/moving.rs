//! List commands of several keys: LMOVE, LMPOP and theirs that wait for an element (BLMOVE, BLPOP, BLMPOP).
//!
//! One that waits is the plain one which says [`Outcome::Block`] instead of replying that there is nothing; it runs again
//! when one of its keys changes, and is logged as the plain one it turned out to be.

use super::{BASE, limits, pop_event, pop_many, pop_one, push_all};
use crate::command::Command;
use crate::command::args::Argv;
use crate::command::ctx::{Block, Ctx, Outcome, Result, timeout_deadline};
use crate::command::error::Error;
use crate::command::multi_pop::MultiPop;
use crate::keyspace::txn::{Create, Typed};
use crate::keyspace::{Txn, WrongType};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::list::{End, List};
use crate::types::{Kind, View};

const ENDS: &[Arg] = &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")];

pub(super) const LMOVE: Command = Command::new(
    lmove,
    CommandSpec {
        name: "LMOVE",
        summary: "Moves an element from an end of a list to an end of another and returns it.",
        since: "6.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::INSERT)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
        ],
        ..BASE
    },
);

pub(super) const RPOPLPUSH: Command = Command::new(
    rpoplpush,
    CommandSpec {
        name: "RPOPLPUSH",
        deprecated: Some(("6.2.0", "`LMOVE` with `RIGHT` and `LEFT`")),
        summary: "Moves the last element of a list to the head of another and returns it.",
        since: "1.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::INSERT)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("source"), Arg::key_of("destination", 1)],
        ..BASE
    },
);

pub(super) const BLMOVE: Command = Command::new(
    blmove,
    CommandSpec {
        name: "BLMOVE",
        summary: "As LMOVE, and waits for an element if there is none.",
        since: "6.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(6),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::BLOCKING),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::INSERT)]),
        effect: Propagate::Rewritten,
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
            Arg::double("timeout"),
        ],
        ..BASE
    },
);

pub(super) const BRPOPLPUSH: Command = Command::new(
    brpoplpush,
    CommandSpec {
        name: "BRPOPLPUSH",
        deprecated: Some(("6.2.0", "`BLMOVE` with `RIGHT` and `LEFT`")),
        summary: "As RPOPLPUSH, and waits for an element if there is none.",
        since: "2.2.0",
        history: &[("6.0.0", "The timeout may be a fraction.")],
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::BLOCKING),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::INSERT)]),
        effect: Propagate::Rewritten,
        args: &[Arg::key("source"), Arg::key_of("destination", 1), Arg::double("timeout")],
        ..BASE
    },
);

pub(super) const LMPOP: Command = Command::new(
    lmpop,
    CommandSpec {
        name: "LMPOP",
        summary: "Takes elements off the first list that has any.",
        since: "7.0.0",
        complexity: "O(N+M), N the keys, M the elements returned",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(1, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", ENDS),
            Arg::integer("count").token("COUNT").optional(),
        ],
        ..BASE
    },
);

pub(super) const BLMPOP: Command = Command::new(
    blmpop,
    CommandSpec {
        name: "BLMPOP",
        summary: "As LMPOP, and waits for an element if there is none.",
        since: "7.0.0",
        complexity: "O(N+M), N the keys, M the elements returned",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        keys: Keys::Specs(&[KeySpec::numkeys(2, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[
            Arg::double("timeout"),
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", ENDS),
            Arg::integer("count").token("COUNT").optional(),
        ],
        ..BASE
    },
);

pub(super) const BLPOP: Command = Command::new(
    blpop,
    CommandSpec {
        name: "BLPOP",
        summary: "Takes the first element of the first list that has any, and waits if none has.",
        since: "2.0.0",
        history: &[("6.0.0", "The timeout may be a fraction.")],
        complexity: "O(N) in the keys",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::BLOCKING),
        keys: Keys::Specs(&[KeySpec::range(1, -2, 1, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        ..BASE
    },
);

pub(super) const BRPOP: Command = Command::new(
    brpop,
    CommandSpec {
        name: "BRPOP",
        summary: "Takes the last element of the first list that has any, and waits if none has.",
        since: "2.0.0",
        history: &[("6.0.0", "The timeout may be a fraction.")],
        complexity: "O(N) in the keys",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::BLOCKING),
        keys: Keys::Specs(&[KeySpec::range(1, -2, 1, Access::READ_DELETE)]),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        ..BASE
    },
);

/// A move between two lists.
struct Move<'a> {
    source: &'a [u8],
    target: &'a [u8],
    from: End,
    to: End,
}

impl<'a> Move<'a> {
    /// With the ends named by arguments 3 and 4.
    fn with_ends(args: Argv<'a>) -> Result<Move<'a>> {
        Ok(Move { from: end_of(args.all()[3])?, to: end_of(args.all()[4])?, ..Move::rpoplpush(args) })
    }

    fn rpoplpush(args: Argv<'a>) -> Move<'a> {
        Move { source: args.all()[1], target: args.all()[2], from: End::Back, to: End::Front }
    }
}

fn end_of(word: &[u8]) -> Result<End> {
    match () {
        () if word.eq_ignore_ascii_case(b"LEFT") => Ok(End::Front),
        () if word.eq_ignore_ascii_case(b"RIGHT") => Ok(End::Back),
        () => Err(Error::Syntax),
    }
}

fn end_name(end: End) -> &'static [u8] {
    if end == End::Front { b"LEFT" } else { b"RIGHT" }
}

/// A list, leaving neither statistics nor access clock, as the commands that write look at theirs.
fn peek_list<'t>(txn: &'t Txn<'_>, key: &[u8]) -> std::result::Result<Option<View<'t, List>>, WrongType> {
    match txn.peek(key) {
        None => Ok(None),
        Some(entry) => List::of(entry.value()).map(Some).ok_or(WrongType),
    }
}

fn lmove(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = Move::with_ends(ctx.args)?;
    if !move_one(ctx, &request)? {
        ctx.reply.null();
    }
    Ok(Outcome::Done)
}

fn rpoplpush(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = Move::rpoplpush(ctx.args);
    if !move_one(ctx, &request)? {
        ctx.reply.null();
    }
    Ok(Outcome::Done)
}

/// Moves one element and replies with it; false if the source has none.
fn move_one(ctx: &mut Ctx<'_, '_>, request: &Move<'_>) -> Result<bool> {
    let limits = limits(ctx.node);
    let Some(source) = peek_list(ctx.txn, request.source)? else { return Ok(false) };
    let Some(value) = source.peek(request.from).map(|value| value.to_vec()) else { return Ok(false) };
    if request.source == request.target {
        ctx.txn.edit(request.source, Create::No, |list: &mut List, note| {
            list.pop(request.from, &limits);
            push_all(list, request.to, &[&value], &limits, note);
            note.event(pop_event(request.from));
        })?;
    } else {
        peek_list(ctx.txn, request.target)?;
        ctx.txn.edit(request.target, Create::Yes, |list: &mut List, note| {
            push_all(list, request.to, &[&value], &limits, note);
            // One element moved is one change.
            note.uncounted();
        })?;
        ctx.txn.edit(request.source, Create::No, |list: &mut List, note| {
            list.pop(request.from, &limits);
            note.event(pop_event(request.from));
        })?;
    }
    ctx.reply.bulk(&value);
    Ok(true)
}

fn blmove(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = Move::with_ends(ctx.args)?;
    let deadline_ms = timeout_deadline(ctx.args.all()[5], ctx.now_ms())?;
    let log = [b"LMOVE", request.source, request.target, end_name(request.from), end_name(request.to)];
    move_or_wait(ctx, &request, &log, deadline_ms)
}

fn brpoplpush(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = Move::rpoplpush(ctx.args);
    let deadline_ms = timeout_deadline(ctx.args.all()[3], ctx.now_ms())?;
    move_or_wait(ctx, &request, &[b"RPOPLPUSH", request.source, request.target], deadline_ms)
}

fn move_or_wait(ctx: &mut Ctx<'_, '_>, request: &Move<'_>, log: &[&[u8]], deadline_ms: Option<u64>) -> Result {
    if move_one(ctx, request)? {
        ctx.log_as(log);
        return Ok(Outcome::Done);
    }
    if !ctx.may_block() {
        ctx.reply.null();
        return Ok(Outcome::Done);
    }
    Ok(wait_for(&[request.source], deadline_ms))
}

fn lmpop(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = MultiPop::parse(ctx.args, 1, end_of)?;
    if !multi_pop(ctx, &request)? {
        ctx.reply.null_array();
    }
    Ok(Outcome::Done)
}

fn blmpop(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = MultiPop::parse(ctx.args, 2, end_of)?;
    let deadline_ms = timeout_deadline(ctx.args.all()[1], ctx.now_ms())?;
    if multi_pop(ctx, &request)? {
        return Ok(Outcome::Done);
    }
    Ok(wait_for(request.keys, deadline_ms))
}

/// Takes elements off the first list there is and replies with its key and them; false if there is none.
fn multi_pop(ctx: &mut Ctx<'_, '_>, request: &MultiPop<'_, End>) -> Result<bool> {
    let Some(key) = first_list(ctx.txn, request.keys)? else { return Ok(false) };
    let limits = limits(ctx.node);
    ctx.reply.array(2);
    ctx.reply.bulk(key);
    let reply = &mut *ctx.reply;
    let popped = ctx.txn.edit(key, Create::No, |list: &mut List, note| {
        pop_many(list, request.end, request.count, &limits, reply, note)
    })?;
    let mut count = itoa::Buffer::new();
    ctx.log_as(&[pop_name(request.end), key, count.format(popped.unwrap_or(0)).as_bytes()]);
    Ok(true)
}

fn pop_name(end: End) -> &'static [u8] {
    if end == End::Front { b"LPOP" } else { b"RPOP" }
}

/// The first of the keys that holds a list.
fn first_list<'a>(txn: &Txn<'_>, keys: &[&'a [u8]]) -> Result<Option<&'a [u8]>> {
    for key in keys {
        if peek_list(txn, key)?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn blpop(ctx: &mut Ctx<'_, '_>) -> Result {
    pop_or_wait(ctx, End::Front)
}

fn brpop(ctx: &mut Ctx<'_, '_>) -> Result {
    pop_or_wait(ctx, End::Back)
}

fn pop_or_wait(ctx: &mut Ctx<'_, '_>, end: End) -> Result {
    let (timeout, keys) = ctx.args.rest(1).split_last().ok_or(Error::Syntax)?;
    let deadline_ms = timeout_deadline(timeout, ctx.now_ms())?;
    let Some(key) = first_list(ctx.txn, keys)? else { return Ok(wait_for(keys, deadline_ms)) };
    let limits = limits(ctx.node);
    ctx.reply.array(2);
    ctx.reply.bulk(key);
    let reply = &mut *ctx.reply;
    ctx.txn.edit(key, Create::No, |list: &mut List, note| pop_one(list, end, &limits, reply, note))?;
    ctx.log_as(&[pop_name(end), key]);
    Ok(Outcome::Done)
}

fn wait_for(keys: &[&[u8]], deadline_ms: Option<u64>) -> Outcome {
    Outcome::Block(Box::new(Block::on_keys(keys, deadline_ms, Kind::List)))
}
