//! String commands. This file is the example of a family: rows first, handlers below in the same order.

use super::Command;
use super::ctx::{Ctx, Outcome, Result, reply_str};
use crate::keyspace::{Class, Deadline};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use crate::types::string::NewStr;

/// The family.
pub const COMMANDS: &[Command] = &[GET, SETNX];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::String, categories: Categories::STRING, ..CommandSpec::BASE };

const GET: Command = Command::new(
    get,
    CommandSpec {
        name: "GET",
        summary: "Returns the string stored at a key.",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key")],
        ..BASE
    },
);

const SETNX: Command = Command::new(
    setnx,
    CommandSpec {
        name: "SETNX",
        summary: "Sets a key to a string unless the key exists.",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::CREATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("value")],
        ..BASE
    },
);

fn get(ctx: &mut Ctx<'_, '_>) -> Result {
    match ctx.txn.str(&ctx.args[1])? {
        Some(value) => reply_str(ctx.reply, value),
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn setnx(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, value) = (&ctx.args[1], &ctx.args[2]);
    let missing = ctx.txn.peek(key).is_none();
    if missing {
        ctx.txn.set_str(key, NewStr::from_bytes(value), Deadline::Clear);
        ctx.txn.event(Class::STRING, "set", key);
    }
    ctx.reply.int(missing as i64);
    Ok(Outcome::Done)
}
