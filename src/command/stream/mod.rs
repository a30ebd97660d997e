//! Stream commands. The data structure is in `types::stream`, consumer groups in `types::group`.
//!
//! `change`: XADD, XTRIM, XDEL, XSETID · `range`: XLEN, XRANGE, XREVRANGE · `read`: XREAD, XREADGROUP · `group`: XGROUP,
//! XACK, XPENDING · `claim`: XCLAIM, XAUTOCLAIM · `info`: XINFO. What they share is here.

mod change;
mod claim;
mod group;
mod info;
mod range;
mod read;

use super::Command;
use super::ctx::{Ctx, Result};
use super::error::Error;
use crate::keyspace::{Typed, WrongType};
use crate::resp::reply::Reply;
use crate::spec::{Categories, CommandSpec, Group as CommandGroup};
use crate::types::group::{Group, Nack};
use crate::types::packed::listpack::LpValue;
use crate::types::stream::{Entry, Stream, StreamId};

/// The family.
pub const COMMANDS: &[Command] = &[
    change::XADD,
    change::XTRIM,
    change::XDEL,
    change::XSETID,
    range::XLEN,
    range::XRANGE,
    range::XREVRANGE,
    read::XREAD,
    read::XREADGROUP,
    group::XGROUP,
    group::XACK,
    group::XPENDING,
    claim::XCLAIM,
    claim::XAUTOCLAIM,
    info::XINFO,
];

/// What all rows of this family share.
const BASE: CommandSpec =
    CommandSpec { group: CommandGroup::Stream, categories: Categories::STREAM, ..CommandSpec::BASE };

const BAD_ID: Error = Error::Text("ERR Invalid stream ID specified as stream command argument");
const BAD_START: Error = Error::Text("ERR invalid start ID for the interval");
const BAD_END: Error = Error::Text("ERR invalid end ID for the interval");

/// Reads an id whose sequence is 0 when it is missing.
fn id_arg(text: &[u8]) -> Result<StreamId> {
    StreamId::parse(text, 0).ok_or(BAD_ID)
}

/// Reads the lower end of an interval, which `(` excludes.
fn interval_start(text: &[u8]) -> Result<StreamId> {
    match StreamId::parse_interval(text, 0).ok_or(BAD_ID)? {
        (id, false) => Ok(id),
        (id, true) => id.next().ok_or(BAD_START),
    }
}

/// Reads the upper end of an interval, which `(` excludes.
fn interval_end(text: &[u8]) -> Result<StreamId> {
    match StreamId::parse_interval(text, u64::MAX).ok_or(BAD_ID)? {
        (id, false) => Ok(id),
        (id, true) => id.prev().ok_or(BAD_END),
    }
}

/// The stream of a key that is to be changed, without a trace in the statistics of reads.
fn stored<'c>(ctx: &'c Ctx<'_, '_>, key: &[u8]) -> Result<Option<&'c Stream>> {
    match ctx.txn.peek(key) {
        None => Ok(None),
        Some(entry) => Ok(Some(Stream::of(entry.value()).ok_or(WrongType)?)),
    }
}

/// The error for a group that is not there, or has no stream.
fn no_group(key: &[u8], group: &[u8]) -> Error {
    Error::of(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'"])
}

fn reply_id(reply: &mut Reply, id: StreamId) {
    reply.bulk(id.text().as_bytes());
}

/// An entry as all commands show it: its id, then fields and values in one array.
fn reply_entry(reply: &mut Reply, entry: &Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(entry.len() * 2);
    for (field, value) in entry.pairs() {
        reply_value(reply, field);
        reply_value(reply, value);
    }
}

fn reply_value(reply: &mut Reply, value: LpValue<'_>) {
    match value {
        LpValue::Int(int) => reply.bulk_int(int),
        LpValue::Str(text) => reply.bulk(text),
    }
}

/// Entries in an array, at most `count` of them.
fn reply_entries<'a>(reply: &mut Reply, entries: impl Iterator<Item = Entry<'a>>, count: usize) {
    let array = reply.begin_array();
    let mut len = 0;
    for entry in entries.take(count) {
        reply_entry(reply, &entry);
        len += 1;
    }
    reply.end_array(array, len);
}

/// A COUNT, for which a negative number is as good as none.
fn limit_of(count: i64) -> usize {
    if count > 0 { usize::try_from(count).unwrap_or(usize::MAX) } else { usize::MAX }
}

/// Effects collected while a stream is borrowed; logged afterwards.
#[derive(Default)]
struct Effects {
    commands: Vec<Vec<Vec<u8>>>,
    /// Nobody reads the log: nothing is collected.
    off: bool,
}

impl Effects {
    fn of(ctx: &Ctx<'_, '_>) -> Effects {
        Effects { commands: Vec::new(), off: !ctx.txn.is_logged() }
    }

    fn push(&mut self, command: &[&[u8]]) {
        if !self.off {
            self.commands.push(command.iter().map(|part| part.to_vec()).collect());
        }
    }

    /// A change of a pending entry, as the claim that brings it about.
    fn push_claim(&mut self, key: &[u8], name: &[u8], group: &Group, id: StreamId, nack: &Nack) {
        if self.off {
            return;
        }
        let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        self.push(&[
            b"XCLAIM",
            key,
            name,
            group.consumer(nack.consumer).name(),
            b"0",
            id.text().as_bytes(),
            b"TIME",
            time.format(nack.delivery_time).as_bytes(),
            b"RETRYCOUNT",
            count.format(nack.delivery_count).as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            group.last_id().text().as_bytes(),
        ]);
    }

    /// Where a group stands.
    fn push_position(&mut self, key: &[u8], name: &[u8], group: &Group) {
        let mut read = itoa::Buffer::new();
        let read = group.entries_read().map_or(&b"-1"[..], |entries| read.format(entries).as_bytes());
        self.push(&[b"XGROUP", b"SETID", key, name, group.last_id().text().as_bytes(), b"ENTRIESREAD", read]);
    }

    /// Logs all of it in place of the request.
    fn log(self, ctx: &mut Ctx<'_, '_>) {
        ctx.log_nothing();
        for command in &self.commands {
            let parts: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            ctx.log_as(&parts);
        }
    }
}
