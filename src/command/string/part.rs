//! What reads or changes a part of a string: APPEND, STRLEN, GETRANGE and SETRANGE.

use super::{BASE, new_value, stored};
use crate::command::Command;
use crate::command::ctx::{Ctx, Outcome, Result};
use crate::command::error::Error;
use crate::keyspace::{Class, Deadline};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::string::{StrRef, make_room};

pub(super) const APPEND: Command = Command::new(
    append,
    CommandSpec {
        name: "APPEND",
        summary: "Adds to the end of the string stored at a key.",
        since: "2.0.0",
        complexity: "O(1), amortized over many calls",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("value")],
        ..BASE
    },
);

pub(super) const STRLEN: Command = Command::new(
    strlen,
    CommandSpec {
        name: "STRLEN",
        summary: "Returns the length of the string stored at a key.",
        since: "2.2.0",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key")],
        ..BASE
    },
);

pub(super) const GETRANGE: Command = Command::new(
    getrange,
    CommandSpec {
        name: "GETRANGE",
        summary: "Returns a part of the string stored at a key.",
        since: "2.4.0",
        complexity: "O(N) for N bytes returned",
        arity: Arity::exactly(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
        ..BASE
    },
);

pub(super) const SUBSTR: Command = Command::new(
    getrange,
    CommandSpec {
        name: "SUBSTR",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        summary: "Returns a part of the string stored at a key; the old name of GETRANGE.",
        since: "1.0.0",
        ..GETRANGE.spec
    },
);

pub(super) const SETRANGE: Command = Command::new(
    setrange,
    CommandSpec {
        name: "SETRANGE",
        summary: "Overwrites a part of the string stored at a key.",
        since: "2.2.0",
        complexity: "O(N) for N bytes written",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("offset"), Arg::string("value")],
        ..BASE
    },
);

fn append(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let (key, tail) = (argv[1], argv[2]);
    let len = match stored(ctx, key)?.map(|value| value.len()) {
        None => {
            ctx.txn.set_str(key, new_value(ctx, 2), Deadline::Clear);
            tail.len()
        }
        Some(len) => {
            check_length(ctx, len, tail.len())?;
            let len = len + tail.len();
            ctx.txn.edit_str(key, |text| {
                make_room(text, len);
                text.extend_from_slice(tail);
            })?;
            len
        }
    };
    ctx.txn.event(Class::STRING, "append", key);
    ctx.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn strlen(ctx: &mut Ctx<'_, '_>) -> Result {
    let len = ctx.txn.str(&ctx.args[1])?.map_or(0, |value| value.len());
    ctx.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn getrange(ctx: &mut Ctx<'_, '_>) -> Result {
    let (start, end) = (ctx.args.int(2)?, ctx.args.int(3)?);
    let value = ctx.txn.str(&ctx.args[1])?.unwrap_or(StrRef::Bytes(b""));
    let range = clamp_range(start, end, value.len());
    match value {
        StrRef::Shared(text) => ctx.reply.bulk_shared(&text.slice(range)),
        short => ctx.reply.bulk(&short.as_bytes(&mut itoa::Buffer::new())[range]),
    }
    Ok(Outcome::Done)
}

fn setrange(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let (key, patch) = (argv[1], argv[3]);
    let offset = usize::try_from(ctx.args.int(2)?).map_err(|_| Error::Text("ERR offset is out of range"))?;
    let old_len = stored(ctx, key)?.map_or(0, |value| value.len());
    if patch.is_empty() {
        ctx.reply.int(old_len as i64);
        return Ok(Outcome::Done);
    }
    check_length(ctx, offset, patch.len())?;
    let end = offset + patch.len();
    ctx.txn.edit_str(key, |text| {
        if text.len() < end {
            make_room(text, end);
            text.resize(end, 0);
        }
        text[offset..end].copy_from_slice(patch);
    })?;
    ctx.txn.event(Class::STRING, "setrange", key);
    ctx.reply.int(old_len.max(end) as i64);
    Ok(Outcome::Done)
}

fn check_length(ctx: &Ctx<'_, '_>, len: usize, more: usize) -> Result<()> {
    let limit = ctx.node.config.proto_max_bulk_len.size();
    let fits = len.checked_add(more).is_some_and(|total| total as u64 <= limit);
    if fits { Ok(()) } else { Err(Error::StringTooLong) }
}

/// The bytes of `start..=end` in a string of `len`; negative positions count from the end.
fn clamp_range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let len = len as i64;
    let from_end = |position: i64| if position < 0 { (len + position).max(0) } else { position };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_clamp_as_in_redis() {
        for (start, end, len, want) in [
            (0, -1, 5, 0..5),
            (0, 0, 5, 0..1),
            (-3, -1, 5, 2..5),
            (-100, 2, 5, 0..3),
            (3, 100, 5, 3..5),
            (5, 10, 5, 0..0),
            (3, 1, 5, 0..0),
            (-1, -3, 5, 0..0),
            (0, -100, 5, 0..1),
            (0, -1, 0, 0..0),
            (i64::MIN, i64::MAX, 5, 0..5),
        ] {
            assert_eq!(clamp_range(start, end, len), want, "{start} to {end} of {len}");
        }
    }
}
