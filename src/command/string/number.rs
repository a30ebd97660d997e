//! What counts in a string: INCR and its relatives.

use super::{BASE, stored};
use crate::base::longdouble::LongDouble;
use crate::command::Command;
use crate::command::ctx::{Ctx, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::{Class, Deadline};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::string::{NewStr, StrRef};

pub(super) const INCR: Command = Command::new(
    |ctx| add(ctx, 1),
    CommandSpec {
        name: "INCR",
        summary: "Adds one to the integer stored at a key; a missing key counts as 0.",
        arity: Arity::exactly(2),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key")],
        ..BASE
    },
);

pub(super) const DECR: Command = Command::new(
    |ctx| add(ctx, -1),
    CommandSpec {
        name: "DECR",
        summary: "Takes one from the integer stored at a key; a missing key counts as 0.",
        ..INCR.spec
    },
);

pub(super) const INCRBY: Command = Command::new(
    incrby,
    CommandSpec {
        name: "INCRBY",
        summary: "Adds a number to the integer stored at a key; a missing key counts as 0.",
        arity: Arity::exactly(3),
        args: &[Arg::key("key"), Arg::integer("increment")],
        ..INCR.spec
    },
);

pub(super) const DECRBY: Command = Command::new(
    decrby,
    CommandSpec {
        name: "DECRBY",
        summary: "Takes a number from the integer stored at a key; a missing key counts as 0.",
        arity: Arity::exactly(3),
        args: &[Arg::key("key"), Arg::integer("decrement")],
        ..INCR.spec
    },
);

pub(super) const INCRBYFLOAT: Command = Command::new(
    incrbyfloat,
    CommandSpec {
        name: "INCRBYFLOAT",
        summary: "Adds a fraction to the number stored at a key; a missing key counts as 0.",
        since: "2.6.0",
        arity: Arity::exactly(3),
        effect: Propagate::Rewritten,
        args: &[Arg::key("key"), Arg::double("increment")],
        ..INCR.spec
    },
);

fn incrby(ctx: &mut Ctx<'_, '_>) -> Result {
    let increment = ctx.args.int(2)?;
    add(ctx, increment)
}

fn decrby(ctx: &mut Ctx<'_, '_>) -> Result {
    let decrement = ctx.args.int(2)?;
    add(ctx, decrement.checked_neg().ok_or(Error::Text("ERR decrement would overflow"))?)
}

fn add(ctx: &mut Ctx<'_, '_>, increment: i64) -> Result {
    let key = ctx.args.all()[1];
    let old = match stored(ctx, key)? {
        None => 0,
        Some(value) => value.as_int().ok_or(Error::NotInteger)?,
    };
    let new = old.checked_add(increment).ok_or(Error::Overflow)?;
    ctx.txn.set_str(key, NewStr::Int(new), Deadline::Keep);
    ctx.txn.event(Class::STRING, "incrby", key);
    ctx.reply.int(new);
    Ok(Outcome::Done)
}

fn incrbyfloat(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let key = argv[1];
    let old = match stored(ctx, key)? {
        None => LongDouble::from_i64(0),
        Some(StrRef::Int(number)) => LongDouble::from_i64(number),
        Some(text) => LongDouble::parse(text.as_bytes(&mut itoa::Buffer::new())).ok_or(Error::NotFloat)?,
    };
    let sum = old + LongDouble::parse(argv[2]).ok_or(Error::NotFloat)?;
    if !sum.is_finite() {
        return Err(Error::NanOrInfinity);
    }
    let text = sum.to_text();
    ctx.txn.set_str(key, NewStr::Copy(&text), Deadline::Keep);
    ctx.txn.event(Class::STRING, "incrbyfloat", key);
    // Another machine may add fractions differently: the log has the sum.
    ctx.log_as(&[b"SET", key, &text, b"KEEPTTL"]);
    ctx.reply.bulk(&text);
    Ok(Outcome::Done)
}
