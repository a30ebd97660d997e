//! Bitmap commands. The operations are in `types::bits`.

use super::Command;
use super::args::Argv;
use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use crate::base::num;
use crate::keyspace::{Class, Deadline};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use crate::types::bits::{self, BitOp, FieldType, Overflow, Unit};
use crate::types::string::{NewStr, StrRef};

/// The family.
pub const COMMANDS: &[Command] = &[SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD, BITFIELD_RO];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::Bitmap, categories: Categories::BITMAP, ..CommandSpec::BASE };

const SETBIT: Command = Command::new(
    setbit,
    CommandSpec {
        name: "SETBIT",
        summary: "Sets or clears one bit of a string and returns what it was.",
        since: "2.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(4),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("offset"), Arg::integer("value")],
        ..BASE
    },
);

const GETBIT: Command = Command::new(
    getbit,
    CommandSpec {
        name: "GETBIT",
        summary: "Returns one bit of a string.",
        since: "2.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(3),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::integer("offset")],
        ..BASE
    },
);

const BITCOUNT: Command = Command::new(
    bitcount,
    CommandSpec {
        name: "BITCOUNT",
        summary: "Counts the set bits of a string or of a part of it.",
        since: "2.6.0",
        history: &[("7.0.0", "Takes BYTE and BIT.")],
        complexity: "O(N)",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::block(
                "range",
                &[
                    Arg::integer("start"),
                    Arg::integer("end"),
                    Arg::one_of("unit", &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")])
                        .optional()
                        .since("7.0.0"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

const BITPOS: Command = Command::new(
    bitpos,
    CommandSpec {
        name: "BITPOS",
        summary: "Finds the first bit of a string that is set or clear.",
        since: "2.8.7",
        history: &[("7.0.0", "Takes BYTE and BIT.")],
        complexity: "O(N)",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::integer("bit"),
            Arg::block(
                "range",
                &[
                    Arg::integer("start"),
                    Arg::block(
                        "end-unit-block",
                        &[
                            Arg::integer("end"),
                            Arg::one_of("unit", &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")])
                                .optional()
                                .since("7.0.0"),
                        ],
                    )
                    .optional(),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

const BITOP: Command = Command::new(
    bitop,
    CommandSpec {
        name: "BITOP",
        summary: "Combines strings bit by bit and stores the result.",
        since: "2.6.0",
        history: &[("8.2.0", "Takes DIFF, DIFF1, ANDOR and ONE.")],
        complexity: "O(N)",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(2, Access::OVERWRITE), KeySpec::range(3, -1, 1, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::one_of(
                "operation",
                &[
                    Arg::word("and", "AND"),
                    Arg::word("or", "OR"),
                    Arg::word("xor", "XOR"),
                    Arg::word("not", "NOT"),
                    Arg::word("diff", "DIFF").since("8.2.0"),
                    Arg::word("diff1", "DIFF1").since("8.2.0"),
                    Arg::word("andor", "ANDOR").since("8.2.0"),
                    Arg::word("one", "ONE").since("8.2.0"),
                ],
            ),
            Arg::key("destkey"),
            Arg::key_of("key", 1).multiple(),
        ],
        ..BASE
    },
);

/// It only reads when it has nothing but GET in it; what is no operation at all is taken for a change.
fn access_of_bitfield(argv: &[&[u8]]) -> Access {
    let mut at = 2;
    while at < argv.len() {
        let left = argv.len() - at - 1;
        at += match argv[at] {
            word if word.eq_ignore_ascii_case(b"GET") && left >= 2 => 3,
            word if word.eq_ignore_ascii_case(b"OVERFLOW") && left >= 1 => 2,
            _ => return Access::READ_UPDATE,
        };
    }
    Access::READ
}

const BITFIELD: Command = Command::new(
    bitfield,
    CommandSpec {
        name: "BITFIELD",
        summary: "Reads and changes integers of any width within a string.",
        since: "3.2.0",
        complexity: "O(1) for each operation",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Depends(1, Access::READ_UPDATE.variable(), access_of_bitfield),
        key_notes: &["Reads and changes."],
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::one_of(
                "operation",
                &[
                    Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")]).token("GET"),
                    Arg::block(
                        "write",
                        &[
                            Arg::one_of(
                                "overflow-block",
                                &[Arg::word("wrap", "WRAP"), Arg::word("sat", "SAT"), Arg::word("fail", "FAIL")],
                            )
                            .token("OVERFLOW")
                            .optional(),
                            Arg::one_of(
                                "write-operation",
                                &[
                                    Arg::block(
                                        "set-block",
                                        &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("value")],
                                    )
                                    .token("SET"),
                                    Arg::block(
                                        "incrby-block",
                                        &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("increment")],
                                    )
                                    .token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ],
        ..BASE
    },
);

const BITFIELD_RO: Command = Command::new(
    bitfield_ro,
    CommandSpec {
        name: "BITFIELD_RO",
        summary: "Reads integers of any width within a string.",
        since: "6.0.0",
        complexity: "O(1) for each operation",
        arity: Arity::at_least(2),
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")])
                .token("GET")
                .optional()
                .multiple_token(),
        ],
        ..BASE
    },
);

const BAD_OFFSET: Error = Error::Text("ERR bit offset is not an integer or out of range");
const BAD_BIT: Error = Error::Text("ERR bit is not an integer or out of range");
const BAD_POS_BIT: Error = Error::Text("ERR The bit argument must be 1 or 0.");
const BAD_TYPE: Error =
    Error::Text("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
const BAD_OVERFLOW: Error = Error::Text("ERR Invalid OVERFLOW type specified");
const ONLY_GET: Error = Error::Text("ERR BITFIELD_RO only supports the GET subcommand");
const NOT_TAKES_ONE: Error = Error::Text("ERR BITOP NOT must be called with a single source key.");

/// Reads a bit offset; `#n` counts in fields of `width` bits where a width is given. It must lie within the longest
/// string allowed, unless the request comes from a log, which holds what was allowed once.
fn bit_offset(ctx: &Ctx<'_, '_>, text: &[u8], width: Option<u32>) -> Result<u64> {
    let (digits, factor) = match (text, width) {
        ([b'#', digits @ ..], Some(width)) => (digits, i64::from(width)),
        _ => (text, 1),
    };
    let offset = num::parse_i64(digits).ok_or(BAD_OFFSET)?.wrapping_mul(factor);
    let too_far = ctx.origin != Origin::Log && offset >> 3 >= ctx.node.config.proto_max_bulk_len.get();
    if offset < 0 || too_far { Err(BAD_OFFSET) } else { Ok(offset as u64) }
}

fn setbit(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = &ctx.args[1];
    let offset = bit_offset(ctx, &ctx.args[2], None)?;
    let bit = match ctx.args.int(3).map_err(|_| BAD_BIT)? {
        0 => false,
        1 => true,
        _ => return Err(BAD_BIT),
    };
    let min_len = bits::bytes_for(offset, 1);
    let grows = ctx.txn.peek(key).is_none_or(|entry| entry.str().is_some_and(|text| text.len() < min_len));
    let old = ctx.txn.edit_slice(key, min_len, |bytes| {
        let old = bits::setbit(bytes, offset, bit);
        (old, u64::from(old != bit))
    })?;
    if grows || old != bit {
        ctx.txn.event(Class::STRING, "setbit", key);
    }
    ctx.reply.int(i64::from(old));
    Ok(Outcome::Done)
}

fn getbit(ctx: &mut Ctx<'_, '_>) -> Result {
    let offset = bit_offset(ctx, &ctx.args[2], None)?;
    let mut scratch = itoa::Buffer::new();
    let bytes = ctx.txn.str(&ctx.args[1])?.map_or(&[][..], |text| text.as_bytes(&mut scratch));
    ctx.reply.int(i64::from(bits::getbit(bytes, offset)));
    Ok(Outcome::Done)
}

fn unit_at(args: Argv<'_>, index: usize) -> Result<Unit> {
    match args.len() <= index {
        true => Ok(Unit::Byte),
        false if args.is(index, "BIT") => Ok(Unit::Bit),
        false if args.is(index, "BYTE") => Ok(Unit::Byte),
        false => Err(Error::Syntax),
    }
}

fn bitcount(ctx: &mut Ctx<'_, '_>) -> Result {
    let (start, end, unit) = match ctx.args.len() {
        2 => (0, -1, Unit::Byte),
        4 | 5 => (ctx.args.int(2)?, ctx.args.int(3)?, unit_at(ctx.args, 4)?),
        _ => return Err(Error::Syntax),
    };
    let mut scratch = itoa::Buffer::new();
    let bytes = ctx.txn.str(&ctx.args[1])?.map_or(&[][..], |text| text.as_bytes(&mut scratch));
    let count = bits::bitcount(bytes, bits::count_span(bytes.len(), start, end, unit));
    ctx.reply.int(count as i64);
    Ok(Outcome::Done)
}

fn bitpos(ctx: &mut Ctx<'_, '_>) -> Result {
    let bit = match ctx.args.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(BAD_POS_BIT),
    };
    let argc = ctx.args.len();
    if argc > 6 {
        return Err(Error::Syntax);
    }
    let start = if argc > 3 { ctx.args.int(3)? } else { 0 };
    let unit = unit_at(ctx.args, 5)?;
    let end = if argc > 4 { Some(ctx.args.int(4)?) } else { None };

    let mut scratch = itoa::Buffer::new();
    let Some(text) = ctx.txn.str(&ctx.args[1])? else {
        // A missing key is endless zeros.
        ctx.reply.int(if bit { -1 } else { 0 });
        return Ok(Outcome::Done);
    };
    let bytes = text.as_bytes(&mut scratch);
    let range = bits::span(bytes.len(), start, end.unwrap_or(-1), unit);
    let found = match bits::bitpos(bytes, bit, range.clone()) {
        Some(at) => at as i64,
        // Without an end the string goes on with zeros.
        None if !bit && end.is_none() && !range.is_empty() => range.end as i64,
        None => -1,
    };
    ctx.reply.int(found);
    Ok(Outcome::Done)
}

/// The operations of BITOP, the last four as in Redis 8.2.
const BIT_OPS: &[(&str, BitOp)] = &[
    ("AND", BitOp::And),
    ("OR", BitOp::Or),
    ("XOR", BitOp::Xor),
    ("NOT", BitOp::Not),
    ("DIFF", BitOp::Diff),
    ("DIFF1", BitOp::Diff1),
    ("ANDOR", BitOp::AndOr),
    ("ONE", BitOp::One),
];

fn bitop(ctx: &mut Ctx<'_, '_>) -> Result {
    let named = BIT_OPS.iter().find(|(name, _)| ctx.args.is(1, name));
    let (name, op) = *named.ok_or(Error::Syntax)?;
    let (target, keys) = (&ctx.args[2], ctx.args.rest(3));
    if op == BitOp::Not && keys.len() != 1 {
        return Err(NOT_TAKES_ONE);
    }
    if matches!(op, BitOp::Diff | BitOp::Diff1 | BitOp::AndOr) && keys.len() < 2 {
        return Err(Error::owned(format!("ERR BITOP {name} must be called with at least two source keys.")));
    }
    let texts = keys.iter().map(|key| ctx.txn.str(key)).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut scratch = vec![itoa::Buffer::new(); texts.len()];
    let sources: Vec<&[u8]> =
        texts.iter().zip(&mut scratch).map(|(text, scratch)| bytes_or_empty(text, scratch)).collect();
    let result = bits::bitop(op, &sources);
    let len = result.len();
    if len == 0 {
        ctx.txn.delete_target(target);
    } else {
        ctx.txn.set_str(target, NewStr::Shared(result.into()), Deadline::Clear);
        if let Some(entry) = ctx.txn.peek(target) {
            entry.mark_raw();
        }
        ctx.txn.event(Class::STRING, "set", target);
    }
    ctx.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn bytes_or_empty<'a>(text: &'a Option<StrRef<'_>>, scratch: &'a mut itoa::Buffer) -> &'a [u8] {
    text.as_ref().map_or(&[], |text| text.as_bytes(scratch))
}

/// One operation of BITFIELD.
struct FieldOp {
    field: FieldType,
    offset: u64,
    act: FieldAct,
}

enum FieldAct {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

fn field_ops(ctx: &Ctx<'_, '_>) -> Result<Vec<FieldOp>> {
    let mut ops = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut args = ctx.args.cursor(2);
    while !args.is_done() {
        if args.word_with("OVERFLOW", 1) {
            let names = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Sat), ("FAIL", Overflow::Fail)];
            overflow = names.into_iter().find(|(name, _)| args.word(name)).ok_or(BAD_OVERFLOW)?.1;
            continue;
        }
        let (is_get, is_set) = (args.word_with("GET", 2), args.word_with("SET", 3));
        if !is_get && !is_set && !args.word_with("INCRBY", 3) {
            return Err(Error::Syntax);
        }
        let field = FieldType::parse(args.take()?).ok_or(BAD_TYPE)?;
        let offset = bit_offset(ctx, args.take()?, Some(field.bits()))?;
        let act = match (is_get, is_set) {
            (true, _) => FieldAct::Get,
            (_, true) => FieldAct::Set(args.int()?, overflow),
            _ => FieldAct::Add(args.int()?, overflow),
        };
        ops.push(FieldOp { field, offset, act });
    }
    Ok(ops)
}

fn bitfield(ctx: &mut Ctx<'_, '_>) -> Result {
    let ops = field_ops(ctx)?;
    let written = ops.iter().filter(|op| !matches!(op.act, FieldAct::Get));
    match written.map(|op| bits::bytes_for(op.offset, op.field.bits())).max() {
        None => read_fields(ctx, &ops)?,
        Some(min_len) => write_fields(ctx, &ops, min_len)?,
    }
    Ok(Outcome::Done)
}

fn bitfield_ro(ctx: &mut Ctx<'_, '_>) -> Result {
    let ops = field_ops(ctx)?;
    if ops.iter().any(|op| !matches!(op.act, FieldAct::Get)) {
        return Err(ONLY_GET);
    }
    read_fields(ctx, &ops)?;
    Ok(Outcome::Done)
}

fn read_fields(ctx: &mut Ctx<'_, '_>, ops: &[FieldOp]) -> Result<()> {
    let mut scratch = itoa::Buffer::new();
    let bytes = ctx.txn.str(&ctx.args[1])?.map_or(&[][..], |text| text.as_bytes(&mut scratch));
    ctx.reply.array(ops.len());
    ops.iter().for_each(|op| ctx.reply.int(op.field.get(bytes, op.offset)));
    Ok(())
}

fn write_fields(ctx: &mut Ctx<'_, '_>, ops: &[FieldOp], min_len: usize) -> Result<()> {
    let key = &ctx.args[1];
    let grows = ctx.txn.peek(key).is_none_or(|entry| entry.str().is_some_and(|text| text.len() < min_len));
    let (answers, changes) = ctx.txn.edit_slice(key, min_len, |bytes| {
        let mut changes = 0;
        let answers: Vec<Option<i64>> = ops.iter().map(|op| op.run(bytes, grows, &mut changes)).collect();
        ((answers, changes), changes)
    })?;
    if changes > 0 {
        ctx.txn.event(Class::STRING, "setbit", key);
    }
    ctx.reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(value) => ctx.reply.int(value),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

impl FieldOp {
    /// Runs it; the answer is `None` for an overflow that fails. A write counts as a change if the field differs
    /// afterwards, or if the string grew for this request.
    fn run(&self, bytes: &mut [u8], grows: bool, changes: &mut u64) -> Option<i64> {
        let old = self.field.get(bytes, self.offset);
        let (new, answers_new) = match self.act {
            FieldAct::Get => return Some(old),
            FieldAct::Set(value, overflow) => (self.field.fit(value, overflow)?, false),
            FieldAct::Add(increment, overflow) => (self.field.add(old, increment, overflow)?, true),
        };
        self.field.put(bytes, self.offset, new);
        *changes += u64::from(grows || new != old);
        Some(if answers_new { new } else { old })
    }
}
