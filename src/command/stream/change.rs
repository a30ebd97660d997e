//! Commands that add and remove entries: XADD, XTRIM, XDEL, XSETID.

use super::super::Command;
use super::super::args::Argv;
use super::super::ctx::{Ctx, Origin, Outcome, Result};
use super::super::error::Error;
use super::{BAD_ID, BASE, id_arg, reply_id, stored};
use crate::keyspace::txn::Create;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Keys, Propagate};
use crate::types::stream::{AddError, BlockLimits, NewId, Stream, StreamId, Trim, TrimUntil};

pub(super) const XADD: Command = Command::new(
    xadd,
    CommandSpec {
        name: "XADD",
        summary: "Adds an entry to a stream, creating the stream when it is missing.",
        since: "5.0.0",
        history: &[("6.2.0", "Takes NOMKSTREAM, MINID and LIMIT."), ("7.0.0", "The ID may be `<ms>-*`.")],
        complexity: "O(1) for the entry, O(N) in the entries trimmed",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        key_notes: &["May trim the stream too."],
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::word("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
            Arg::block(
                "trim",
                &[
                    Arg::one_of(
                        "strategy",
                        &[Arg::word("maxlen", "MAXLEN"), Arg::word("minid", "MINID").since("6.2.0")],
                    ),
                    Arg::one_of("operator", &[Arg::word("equal", "="), Arg::word("approximately", "~")]).optional(),
                    Arg::string("threshold"),
                    Arg::integer("count").token("LIMIT").optional().since("6.2.0"),
                ],
            )
            .optional(),
            Arg::one_of("id-selector", &[Arg::word("auto-id", "*"), Arg::string("id")]),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

pub(super) const XTRIM: Command = Command::new(
    xtrim,
    CommandSpec {
        name: "XTRIM",
        summary: "Removes the oldest entries of a stream.",
        since: "5.0.0",
        history: &[("6.2.0", "Takes MINID and LIMIT.")],
        complexity: "O(N) in the entries removed; whole blocks of them go at once",
        arity: Arity::at_least(4),
        flags: Flags::WRITE,
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::block(
                "trim",
                &[
                    Arg::one_of(
                        "strategy",
                        &[Arg::word("maxlen", "MAXLEN"), Arg::word("minid", "MINID").since("6.2.0")],
                    ),
                    Arg::one_of("operator", &[Arg::word("equal", "="), Arg::word("approximately", "~")]).optional(),
                    Arg::string("threshold"),
                    Arg::integer("count").token("LIMIT").optional().since("6.2.0"),
                ],
            ),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

pub(super) const XDEL: Command = Command::new(
    xdel,
    CommandSpec {
        name: "XDEL",
        summary: "Removes entries of a stream by their IDs.",
        since: "5.0.0",
        complexity: "O(1) for each entry",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("id").multiple()],
        ..BASE
    },
);

pub(super) const XSETID: Command = Command::new(
    xsetid,
    CommandSpec {
        name: "XSETID",
        summary: "Sets what a stream remembers about its entries. Replication uses it.",
        since: "5.0.0",
        history: &[("7.0.0", "Takes ENTRIESADDED and MAXDELETEDID.")],
        complexity: "O(1)",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::string("last-id"),
            Arg::integer("entries-added").token("ENTRIESADDED").optional().since("7.0.0"),
            Arg::string("max-deleted-id").token("MAXDELETEDID").optional().since("7.0.0"),
        ],
        ..BASE
    },
);

/// The options that XADD and XTRIM share.
struct Options {
    /// Where the id stands; behind the last argument when there is none.
    id_at: usize,
    id: NewId,
    create: Create,
    trim: Option<Trim>,
    /// Where trimming's number or id stands.
    threshold_at: usize,
}

const TWO_STRATEGIES: Error =
    Error::Text("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const BAD_MAXLEN: Error = Error::Text("ERR The MAXLEN argument must be >= 0.");
const BAD_LIMIT: Error = Error::Text("ERR The LIMIT argument must be >= 0.");
const LIMIT_ALONE: Error = Error::Text("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const NO_STRATEGY: Error = Error::Text("ERR syntax error, XTRIM must be called with a trimming strategy");
const LIMIT_OF_EXACT: Error = Error::Text("ERR syntax error, LIMIT cannot be used without the special ~ option");

/// Reads options up to the id (XADD) or to the end (XTRIM).
fn options(ctx: &Ctx<'_, '_>, adds: bool) -> Result<Options> {
    let mut read = Options { id_at: ctx.args.len(), id: NewId::Auto, create: Create::Yes, trim: None, threshold_at: 0 };
    let mut limit = None;
    let mut args = ctx.args.cursor(2);
    while let Some(word) = args.peek() {
        if adds && word == b"*" {
            read.id_at = args.at();
            break;
        }
        let by_length = args.word_with("MAXLEN", 1);
        if by_length || args.word_with("MINID", 1) {
            if read.trim.is_some() {
                return Err(TWO_STRATEGIES);
            }
            let approximate = args.left() > 1 && args.word("~");
            if !approximate && args.left() > 1 {
                args.word("=");
            }
            read.threshold_at = args.at();
            let until = if by_length { max_len(args.int()?)? } else { TrimUntil::MinId(id_arg(args.take()?)?) };
            read.trim = Some(Trim { until, approximate, limit: 0 });
        } else if args.word_with("LIMIT", 1) {
            limit = Some(u64::try_from(args.int()?).map_err(|_| BAD_LIMIT)?);
        } else if adds && args.word("NOMKSTREAM") {
            read.create = Create::No;
        } else if adds {
            read.id_at = args.at();
            read.id = NewId::parse(word).ok_or(BAD_ID)?;
            break;
        } else {
            return Err(Error::Syntax);
        }
    }
    match &mut read.trim {
        None if limit.is_some_and(|limit| limit > 0) => return Err(LIMIT_ALONE),
        None if !adds => return Err(NO_STRATEGY),
        // What comes from a log was limited where it was written.
        _ if ctx.origin == Origin::Log => {}
        None if limit.is_some() => return Err(LIMIT_OF_EXACT),
        None => {}
        Some(trim) if !trim.approximate && limit.is_some() => return Err(LIMIT_OF_EXACT),
        Some(trim) if trim.approximate => trim.limit = limit.unwrap_or_else(|| default_limit(ctx)),
        Some(_) => {}
    }
    Ok(read)
}

fn max_len(len: i64) -> Result<TrimUntil> {
    u64::try_from(len).map(TrimUntil::MaxLen).map_err(|_| BAD_MAXLEN)
}

/// Approximate trimming removes at most a hundred blocks at once.
fn default_limit(ctx: &Ctx<'_, '_>) -> u64 {
    const BLOCKS: i64 = 100;
    match ctx.node.config.stream_node_max_entries.get().saturating_mul(BLOCKS) {
        ..=0 => 10_000,
        limit => limit.min(1_000_000) as u64,
    }
}

fn block_limits(ctx: &Ctx<'_, '_>) -> BlockLimits {
    BlockLimits {
        bytes_max: ctx.node.config.stream_node_max_bytes.get() as usize,
        entries_max: ctx.node.config.stream_node_max_entries.get() as u64,
    }
}

/// The stream after an approximate trim, said exactly: so much is left, or it begins here.
fn exact_threshold(stream: &Stream, trim: &Trim) -> Vec<u8> {
    let log = stream.log();
    match trim.until {
        TrimUntil::MaxLen(_) => log.len().to_string().into_bytes(),
        TrimUntil::MinId(_) if log.is_empty() => StreamId::MAX.text().as_bytes().to_vec(),
        TrimUntil::MinId(_) => log.first_id().text().as_bytes().to_vec(),
    }
}

/// Logs the request with an approximate trim made exact and the id that was generated.
fn log_exact(ctx: &mut Ctx<'_, '_>, threshold: Option<(usize, Vec<u8>)>, id: Option<(usize, StreamId)>) {
    if !ctx.txn.is_logged() || (threshold.is_none() && id.is_none()) {
        return;
    }
    let mut command = ctx.args.all().to_vec();
    let id = id.map(|(at, id)| (at, id.text()));
    if let Some((at, text)) = &threshold {
        command[at - 1] = b"=";
        command[*at] = text;
    }
    if let Some((at, text)) = &id {
        command[*at] = text.as_bytes();
    }
    ctx.log_as(&command);
}

fn xadd(ctx: &mut Ctx<'_, '_>) -> Result {
    const ZERO_ID: Error = Error::Text("ERR The ID specified in XADD must be greater than 0-0");
    let Options { id_at, id, create, trim, threshold_at } = options(ctx, true)?;
    let (key, pairs) = (ctx.args.all()[1], ctx.args.rest(id_at + 1));
    if pairs.len() < 2 || !pairs.len().is_multiple_of(2) {
        return Err(Error::Arity("xadd".into()));
    }
    if id == NewId::Exact(StreamId::MIN) {
        return Err(ZERO_ID);
    }
    let (limits, now_ms, is_logged) = (block_limits(ctx), ctx.now_ms(), ctx.txn.is_logged());
    let added = ctx.txn.edit::<Stream, _>(key, create, |stream, note| {
        let log = stream.log_mut();
        let added = add(log.last_id(), || log.add(id, now_ms, pairs, limits))?;
        note.event("xadd");
        if trim.is_some_and(|trim| log.trim(trim) > 0) {
            note.event("xtrim");
        }
        // Only the log needs to know where the trimming ended.
        let approximate = trim.filter(|trim| trim.approximate && is_logged);
        Ok::<_, Error>((added, approximate.map(|trim| (threshold_at, exact_threshold(stream, &trim)))))
    })?;
    let Some(added) = added else {
        ctx.reply.null();
        return Ok(Outcome::Done);
    };
    let (added, threshold) = added?;
    log_exact(ctx, threshold, (!matches!(id, NewId::Exact(_))).then_some((id_at, added)));
    reply_id(ctx.reply, added);
    Ok(Outcome::Done)
}

fn add(last_id: StreamId, add: impl FnOnce() -> std::result::Result<StreamId, AddError>) -> Result<StreamId> {
    const EXHAUSTED: Error = Error::Text("ERR The stream has exhausted the last possible ID, unable to add more items");
    const TOO_SMALL: Error =
        Error::Text("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    const TOO_LARGE: Error = Error::Text("ERR Elements are too large to be stored");
    if last_id == StreamId::MAX {
        return Err(EXHAUSTED);
    }
    add().map_err(|error| match error {
        AddError::IdTooSmall => TOO_SMALL,
        AddError::TooLarge => TOO_LARGE,
    })
}

fn xtrim(ctx: &mut Ctx<'_, '_>) -> Result {
    let Options { trim, threshold_at, .. } = options(ctx, false)?;
    let trim = trim.ok_or(NO_STRATEGY)?;
    let trimmed = ctx.txn.edit::<Stream, _>(ctx.args.all()[1], Create::No, |stream, note| {
        let removed = stream.log_mut().trim(trim);
        if removed > 0 {
            note.event("xtrim");
            note.changed(removed);
        }
        (removed, exact_threshold(stream, &trim))
    })?;
    let (removed, threshold) = trimmed.unwrap_or_default();
    if removed > 0 && trim.approximate {
        log_exact(ctx, Some((threshold_at, threshold)), None);
    }
    ctx.reply.int(removed as i64);
    Ok(Outcome::Done)
}

fn ids_from(args: Argv<'_>, first: usize) -> Result<Vec<StreamId>> {
    args.rest(first).iter().map(|text| id_arg(text)).collect()
}

fn xdel(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    if stored(ctx, key)?.is_none() {
        ctx.reply.int(0);
        return Ok(Outcome::Done);
    }
    let ids = ids_from(ctx.args, 2)?;
    let deleted = ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        let deleted = stream.log_mut().delete(&ids);
        if deleted > 0 {
            note.event("xdel");
            note.changed(deleted);
        }
        deleted
    })?;
    ctx.reply.int(deleted.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn xsetid(ctx: &mut Ctx<'_, '_>) -> Result {
    const NOT_POSITIVE: Error = Error::Text("ERR entries_added must be positive");
    const BELOW_GIVEN: Error =
        Error::Text("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
    let last_id = id_arg(&ctx.args[2])?;
    let (mut entries_added, mut max_deleted_id) = (None, None);
    let mut args = ctx.args.cursor(3);
    while !args.is_done() {
        if args.word_with("ENTRIESADDED", 1) {
            entries_added = Some(u64::try_from(args.int()?).map_err(|_| NOT_POSITIVE)?);
        } else if args.word_with("MAXDELETEDID", 1) {
            let id = id_arg(args.take()?)?;
            if last_id < id {
                return Err(BELOW_GIVEN);
            }
            max_deleted_id = Some(id).filter(|id| *id != StreamId::MIN);
        } else {
            return Err(Error::Syntax);
        }
    }
    let key = ctx.args.all()[1];
    let stream = stored(ctx, key)?.ok_or(Error::NoSuchKey)?;
    check_position(stream, last_id, entries_added)?;
    ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        stream.log_mut().set_counters(last_id, entries_added, max_deleted_id);
        note.event("xsetid");
        note.hide();
    })?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// What XSETID must not make untrue.
fn check_position(stream: &Stream, last_id: StreamId, entries_added: Option<u64>) -> Result<()> {
    const BELOW_DELETED: Error =
        Error::Text("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
    const BELOW_TOP: Error = Error::Text("ERR The ID specified in XSETID is smaller than the target stream top item");
    const BELOW_LENGTH: Error =
        Error::Text("ERR The entries_added specified in XSETID is smaller than the target stream length");
    let log = stream.log();
    if last_id < log.max_deleted_id() {
        return Err(BELOW_DELETED);
    }
    if log.last_live_id().is_some_and(|top| last_id < top) {
        return Err(BELOW_TOP);
    }
    if entries_added.is_some_and(|added| added < log.len()) {
        return Err(BELOW_LENGTH);
    }
    Ok(())
}
