//! HyperLogLog commands. The data structure is in `types::hll`.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::base::rng;
use crate::keyspace::{Class, WrongType};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use crate::types::hll::{self, Encoding, HllError, Registers};

/// The family.
pub const COMMANDS: &[Command] = &[PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST];

/// What all rows of this family share.
const BASE: CommandSpec =
    CommandSpec { group: Group::Hyperloglog, categories: Categories::HYPERLOGLOG, ..CommandSpec::BASE };

const PFADD: Command = Command::new(
    pfadd,
    CommandSpec {
        name: "PFADD",
        summary: "Adds elements to a HyperLogLog, creating it when it is missing.",
        since: "2.8.9",
        complexity: "O(1) for each element",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("element").optional().multiple()],
        ..BASE
    },
);

const PFCOUNT: Command = Command::new(
    pfcount,
    CommandSpec {
        name: "PFCOUNT",
        summary: "Estimates how many distinct elements one or several HyperLogLogs hold.",
        since: "2.8.9",
        complexity: "O(1) for one key; O(N) for N keys, which have to be merged",
        arity: Arity::at_least(2),
        flags: Flags::READONLY.and(Flags::MAY_REPLICATE),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::READ_KEEP)]),
        key_notes: &["Keeps what it has counted in the key."],
        effect: Propagate::Verbatim,
        args: &[Arg::key("key").multiple()],
        ..BASE
    },
);

const PFMERGE: Command = Command::new(
    pfmerge,
    CommandSpec {
        name: "PFMERGE",
        summary: "Merges HyperLogLogs into one.",
        since: "2.8.9",
        complexity: "O(N) for N keys, each of them slow",
        arity: Arity::at_least(2),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_INSERT), KeySpec::range(2, -1, 1, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("destkey"), Arg::key_of("sourcekey", 1).optional().multiple()],
        ..BASE
    },
);

const PFDEBUG: Command = Command::new(
    pfdebug,
    CommandSpec {
        name: "PFDEBUG",
        summary: "Shows the inside of a HyperLogLog.",
        since: "2.8.9",
        complexity: "N/A",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::ADMIN).and(Flags::SYSCMD),
        keys: Keys::one(2, Access::READ_KEEP),
        effect: Propagate::Verbatim,
        args: &[Arg::string("subcommand"), Arg::key("key")],
        ..BASE
    },
);

const PFSELFTEST: Command = Command::new(
    pfselftest,
    CommandSpec {
        name: "PFSELFTEST",
        summary: "Tests the HyperLogLog implementation.",
        since: "2.8.9",
        complexity: "N/A",
        arity: Arity::exactly(1),
        flags: Flags::ADMIN.and(Flags::SLOW_JOB).and(Flags::SYSCMD),
        ..BASE
    },
);

impl From<HllError> for Error {
    fn from(error: HllError) -> Error {
        match error {
            HllError::NotHll => Error::Text("WRONGTYPE Key is not a valid HyperLogLog string value."),
            HllError::Corrupt => Error::Text("INVALIDOBJ Corrupted HLL object detected"),
        }
    }
}

/// The bytes of a key that is to be changed, if it exists.
fn stored(ctx: &Ctx<'_, '_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(entry) = ctx.txn.peek(key) else { return Ok(None) };
    let bytes = entry.str().ok_or(WrongType)?.to_vec();
    hll::encoding(&bytes)?;
    Ok(Some(bytes))
}

fn sparse_bytes_max(ctx: &Ctx<'_, '_>) -> usize {
    ctx.node.config.hll_sparse_max_bytes.get() as usize
}

fn pfadd(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, elements) = (ctx.args.all()[1], ctx.args.rest(2));
    let dense = match ctx.txn.peek(key) {
        None => false,
        Some(entry) => {
            let text = entry.str().ok_or(WrongType)?;
            hll::encoding(text.as_bytes(&mut itoa::Buffer::new()))? == Encoding::Dense
        }
    };
    let updated = if dense { add_in_place(ctx, key, elements)? } else { add_to_copy(ctx, key, elements)? };
    if updated {
        ctx.txn.event(Class::STRING, "pfadd", key);
    }
    ctx.reply.int(i64::from(updated));
    Ok(Outcome::Done)
}

fn add_in_place(ctx: &mut Ctx<'_, '_>, key: &[u8], elements: &[&[u8]]) -> Result<bool> {
    let updated = ctx.txn.edit_slice(key, 0, |bytes| {
        let grown = elements.iter().filter(|element| hll::add_dense(bytes, element) == Ok(true)).count();
        (grown > 0, grown as u64)
    })?;
    Ok(updated)
}

/// A sparse string is short, and may change its length or turn out corrupt half-way.
fn add_to_copy(ctx: &mut Ctx<'_, '_>, key: &[u8], elements: &[&[u8]]) -> Result<bool> {
    let old = stored(ctx, key)?;
    // A key that is made counts as a change of its own.
    let mut updates = u64::from(old.is_none());
    let mut bytes = old.unwrap_or_else(hll::create);
    let limit = sparse_bytes_max(ctx);
    let mut add = |element: &&[u8]| hll::add(&mut bytes, element, limit).map(|grew| updates += u64::from(grew));
    let added = elements.iter().try_for_each(&mut add);
    if updates > 0 {
        hll::mark_stale(&mut bytes);
        ctx.txn.edit_str(key, |text| *text = bytes)?;
        ctx.txn.count_dirty(updates - 1);
    }
    // What was added before the damage was met stays.
    added?;
    Ok(updates > 0)
}

fn pfcount(ctx: &mut Ctx<'_, '_>) -> Result {
    let count = if ctx.args.len() == 2 { count_one(ctx)? } else { union_of(ctx, 1)?.registers.count() };
    ctx.reply.int(count as i64);
    Ok(Outcome::Done)
}

/// The count of a single key, kept in its header: a change that replicas hear of.
fn count_one(ctx: &mut Ctx<'_, '_>) -> Result<u64> {
    let key = &ctx.args[1];
    let mut scratch = itoa::Buffer::new();
    let Some(text) = ctx.txn.str(key)? else { return Ok(0) };
    let bytes = text.as_bytes(&mut scratch);
    if let Some(count) = hll::cached_count(bytes)? {
        return Ok(count);
    }
    let count = hll::count(bytes)?;
    ctx.txn.edit_slice(key, 0, |bytes| (hll::cache_count(bytes, count), 1))??;
    Ok(count)
}

/// Several strings taken together.
struct Union {
    registers: Registers,
    any_dense: bool,
}

/// The union of the keys from argument `first` on; missing ones are empty.
fn union_of(ctx: &Ctx<'_, '_>, first: usize) -> Result<Union> {
    let mut union = Union { registers: Registers::default(), any_dense: false };
    for key in ctx.args.rest(first) {
        let mut scratch = itoa::Buffer::new();
        let Some(text) = ctx.txn.str(key)? else { continue };
        let bytes = text.as_bytes(&mut scratch);
        union.any_dense |= hll::encoding(bytes)? == Encoding::Dense;
        union.registers.merge(bytes)?;
    }
    Ok(union)
}

fn pfmerge(ctx: &mut Ctx<'_, '_>) -> Result {
    let target = &ctx.args[1];
    let union = union_of(ctx, 1)?;
    let mut bytes = stored(ctx, target)?.unwrap_or_else(hll::create);
    if union.any_dense {
        hll::to_dense(&mut bytes)?;
    }
    union.registers.store(&mut bytes, sparse_bytes_max(ctx))?;
    ctx.txn.edit_str(target, |text| *text = bytes)?;
    ctx.txn.event(Class::STRING, "pfadd", target);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn pfdebug(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[2];
    let bytes = stored(ctx, key)?.ok_or(Error::Text("ERR The specified key does not exist"))?;
    if ctx.args.is(1, "GETREG") {
        let mut registers = Registers::default();
        registers.merge(&bytes)?;
        make_dense(ctx, key, bytes)?;
        ctx.reply.array(registers.values().len());
        registers.values().iter().for_each(|value| ctx.reply.int(i64::from(*value)));
    } else if ctx.args.is(1, "DECODE") {
        let text = hll::decode(&bytes)?.ok_or(Error::Text("ERR HLL encoding is not sparse"))?;
        ctx.reply.bulk(text.as_bytes());
    } else if ctx.args.is(1, "ENCODING") {
        ctx.reply.simple(if hll::encoding(&bytes)? == Encoding::Dense { "dense" } else { "sparse" });
    } else if ctx.args.is(1, "TODENSE") {
        let changed = make_dense(ctx, key, bytes)?;
        ctx.reply.int(i64::from(changed));
    } else {
        return Err(Error::of(&[b"ERR Unknown PFDEBUG subcommand '", &ctx.args[1], b"'"]));
    }
    Ok(Outcome::Done)
}

/// Rewrites a sparse string as a dense one; returns whether it was sparse.
fn make_dense(ctx: &mut Ctx<'_, '_>, key: &[u8], mut bytes: Vec<u8>) -> Result<bool> {
    let sparse = hll::encoding(&bytes)? == Encoding::Sparse;
    if sparse {
        hll::to_dense(&mut bytes)?;
        ctx.txn.edit_str(key, |text| *text = bytes)?;
    }
    Ok(sparse)
}

fn pfselftest(ctx: &mut Ctx<'_, '_>) -> Result {
    const ELEMENTS: u64 = 10_000_000;
    match hll::selftest(rng::entropy(), ELEMENTS) {
        Ok(()) => ctx.reply.ok(),
        Err(reason) => return Err(Error::owned(format!("ERR TESTFAILED {reason}"))),
    }
    Ok(Outcome::Done)
}
