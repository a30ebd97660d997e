//! LCS: what two strings have in common. The table is in `types/lcs.rs`.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::keyspace::WrongType;
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys};
use crate::types::lcs::Lcs;
use bytes::Bytes;

/// The family.
pub const COMMANDS: &[Command] = &[LCS];

const LCS: Command = Command::new(
    lcs,
    CommandSpec {
        name: "LCS",
        summary: "Finds the longest subsequence that two strings have in common.",
        since: "7.0.0",
        complexity: "O(N*M) for strings of N and M bytes",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::Specs(&[KeySpec::range(1, 1, 1, Access::READ)]),
        args: &[
            Arg::key("key1"),
            Arg::key("key2"),
            Arg::word("len", "LEN").optional(),
            Arg::word("idx", "IDX").optional(),
            Arg::integer("min-match-len").token("MINMATCHLEN").optional(),
            Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
        ],
        group: Group::String,
        categories: Categories::STRING,
        ..CommandSpec::BASE
    },
);

fn lcs(ctx: &mut Ctx<'_, '_>) -> Result {
    // Both are looked up, whatever the first is.
    let (a, b) = (lcs_text(ctx, 1), lcs_text(ctx, 2));
    let (a, b) = (a?, b?);
    let options = LcsOptions::parse(ctx)?;
    let limit = ctx.node.config.proto_max_bulk_len.size();
    if Lcs::table_bytes(a.len(), b.len()).is_none_or(|bytes| bytes as u64 > limit) {
        let text = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        return Err(Error::Text(text));
    }
    let lcs =
        Lcs::new(&a, &b).ok_or(Error::Text("ERR Insufficient memory, failed allocating transient memory for LCS"))?;
    if options.idx {
        reply_runs(ctx.reply, &lcs, &options);
    } else if options.len {
        ctx.reply.int(lcs.len() as i64);
    } else {
        ctx.reply.bulk(&lcs.text());
    }
    Ok(Outcome::Done)
}

/// The options of LCS.
struct LcsOptions {
    idx: bool,
    len: bool,
    with_match_len: bool,
    min_match_len: i64,
}

impl LcsOptions {
    fn parse(ctx: &Ctx<'_, '_>) -> Result<LcsOptions> {
        let mut options = LcsOptions { idx: false, len: false, with_match_len: false, min_match_len: 0 };
        let mut words = ctx.args.cursor(3);
        while !words.is_done() {
            if words.word("idx") {
                options.idx = true;
            } else if words.word("len") {
                options.len = true;
            } else if words.word("withmatchlen") {
                options.with_match_len = true;
            } else if words.word_with("minmatchlen", 1) {
                options.min_match_len = words.int()?.max(0);
            } else {
                return Err(Error::Syntax);
            }
        }
        if options.idx && options.len {
            return Err(Error::Text("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// One of the two strings; a missing key is an empty one.
fn lcs_text(ctx: &Ctx<'_, '_>, index: usize) -> Result<Bytes> {
    match ctx.txn.str(&ctx.args[index]) {
        Ok(value) => Ok(value.map_or_else(Bytes::new, |value| value.to_bytes())),
        Err(WrongType) => Err(Error::Text("ERR The specified keys must contain string values")),
    }
}

fn reply_runs(reply: &mut Reply, lcs: &Lcs<'_>, options: &LcsOptions) {
    let runs = lcs.runs();
    let long = || runs.iter().filter(|run| run.len() as i64 >= options.min_match_len);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(long().count());
    for run in long() {
        reply.array(2 + options.with_match_len as usize);
        for (first, last) in [run.a, run.b] {
            reply.array(2);
            reply.int(first as i64);
            reply.int(last as i64);
        }
        if options.with_match_len {
            reply.int(run.len() as i64);
        }
    }
    reply.bulk(b"len");
    reply.int(lcs.len() as i64);
}
