//! Streams in RDB.
//!
//! ```text
//!   blocks: count, then per block (id 16 bytes as string | listpack)
//!   length | last id | [2: first id | largest deleted id | entries ever added]
//!   groups: count, then per group
//!     name | last id | [2: entries read, 2^64 - 1 = unknown]
//!     pending: count, then per entry (id 16 bytes | delivery time | delivery count)
//!     consumers: count, then per consumer
//!       name | seen time | [3: active time] | pending: count, then ids of 16 bytes
//! ```
//! Ids outside the blocks and the pending entries are two lengths. Version 1, 2 and 3 differ in what stands in brackets.

use super::code::{RdbError, Reader, Result, Sink, Source, ValueType, Writer};
use crate::types::group::{Group, Nack};
use crate::types::stream::{Stream, StreamId};
use std::collections::BTreeMap;

const UNKNOWN: u64 = u64::MAX;
/// The least bytes of a pending entry of a group: id, time, count.
const PENDING_BYTES: u64 = 16 + 8 + 1;

/// The lowest type that holds the stream.
pub(super) fn type_of(stream: &Stream) -> ValueType {
    let consumers = || stream.groups().flat_map(|(_, group)| group.consumers());
    let plain = consumers().all(|(_, consumer)| consumer.active_time == consumer.seen_time);
    if plain { ValueType::StreamListpacks2 } else { ValueType::StreamListpacks3 }
}

pub(super) fn write<S: Sink>(out: &mut Writer<'_, S>, stream: &Stream) {
    let log = stream.log();
    out.length(log.block_count() as u64);
    for (id, listpack) in log.blocks() {
        out.string(&id.to_bytes());
        out.string(listpack.as_bytes());
    }
    out.length(log.len());
    write_id(out, log.last_id());
    write_id(out, log.first_id());
    write_id(out, log.max_deleted_id());
    out.length(log.entries_added());
    out.length(stream.group_count() as u64);
    let with_active_time = type_of(stream) == ValueType::StreamListpacks3;
    for (name, group) in stream.groups() {
        out.string(name);
        write_group(out, group, with_active_time);
    }
}

fn write_group<S: Sink>(out: &mut Writer<'_, S>, group: &Group, with_active_time: bool) {
    write_id(out, group.last_id());
    out.length(group.entries_read().unwrap_or(UNKNOWN));
    out.length(group.pending_count() as u64);
    for (id, nack) in group.pending_from(StreamId::MIN) {
        out.raw(&id.to_bytes());
        out.millis(nack.delivery_time);
        out.length(nack.delivery_count);
    }
    out.length(group.consumer_count() as u64);
    for (consumer_id, consumer) in group.consumers() {
        out.string(consumer.name());
        out.millis(consumer.seen_time);
        if with_active_time {
            out.millis(consumer.active_time);
        }
        out.length(consumer.pending_count() as u64);
        group.pending_of(consumer_id, StreamId::MIN).for_each(|(id, _)| out.raw(&id.to_bytes()));
    }
}

fn write_id<S: Sink>(out: &mut Writer<'_, S>, id: StreamId) {
    out.length(id.ms);
    out.length(id.seq);
}

pub(super) fn read<S: Source>(input: &mut Reader<'_, S>, value_type: ValueType) -> Result<Stream> {
    let mut stream = Stream::new();
    read_blocks(input, &mut stream)?;
    read_counters(input, &mut stream, value_type)?;
    for _ in 0..input.count(5)? {
        let name = input.string()?;
        let group = read_group(input, &stream, value_type)?;
        if !stream.add_group(&name, group) {
            return Err(RdbError::Malformed("a group twice in a stream"));
        }
    }
    Ok(stream)
}

fn read_blocks<S: Source>(input: &mut Reader<'_, S>, stream: &mut Stream) -> Result<()> {
    for _ in 0..input.count(2)? {
        let id = input.string()?;
        let id: [u8; 16] = id.try_into().map_err(|_| RdbError::Malformed("a stream block without a whole id"))?;
        let block = input.listpack()?;
        let loaded = stream.log_mut().load_block(StreamId::from_bytes(id), block);
        loaded.map_err(|_| RdbError::Malformed("an unsound stream block"))?;
    }
    Ok(())
}

fn read_counters<S: Source>(input: &mut Reader<'_, S>, stream: &mut Stream, value_type: ValueType) -> Result<()> {
    let length = input.length()?;
    let last_id = read_id(input)?;
    let (added, max_deleted_id) = if value_type == ValueType::StreamListpacks {
        (None, None)
    } else {
        // The first id is known from the blocks.
        read_id(input)?;
        let max_deleted_id = read_id(input)?;
        (Some(input.length()?), Some(max_deleted_id))
    };
    let log = stream.log_mut();
    if length != log.len() || (length > 0 && last_id < log.last_id()) {
        return Err(RdbError::Malformed("a stream whose counters deny its entries"));
    }
    log.set_counters(last_id, added, max_deleted_id);
    Ok(())
}

fn read_group<S: Source>(input: &mut Reader<'_, S>, stream: &Stream, value_type: ValueType) -> Result<Group> {
    let last_id = read_id(input)?;
    let entries_read = match value_type {
        ValueType::StreamListpacks => stream.log().entries_until(last_id),
        _ => Some(input.length()?).filter(|&read| read != UNKNOWN),
    };
    let mut group = Group::new(last_id, entries_read);
    let mut pending = read_pending(input)?;
    for _ in 0..input.count(10)? {
        read_consumer(input, &mut group, &mut pending, value_type)?;
    }
    if pending.is_empty() { Ok(group) } else { Err(RdbError::Malformed("a pending entry of no consumer")) }
}

/// The group's pending entries: delivery time and count by id.
fn read_pending<S: Source>(input: &mut Reader<'_, S>) -> Result<BTreeMap<StreamId, (i64, u64)>> {
    let mut pending = BTreeMap::new();
    for _ in 0..input.count(PENDING_BYTES)? {
        let id = StreamId::from_bytes(input.array()?);
        if pending.insert(id, (input.millis()?, input.length()?)).is_some() {
            return Err(RdbError::Malformed("a pending entry twice in a group"));
        }
    }
    Ok(pending)
}

fn read_consumer<S: Source>(
    input: &mut Reader<'_, S>,
    group: &mut Group,
    pending: &mut BTreeMap<StreamId, (i64, u64)>,
    value_type: ValueType,
) -> Result<()> {
    let name = input.string()?;
    let seen_time = input.millis()?;
    let active_time = if value_type == ValueType::StreamListpacks3 { input.millis()? } else { seen_time };
    let twice = RdbError::Malformed("Duplicate stream consumer detected");
    let consumer = group.create_consumer(&name, seen_time).ok_or(twice)?;
    for _ in 0..input.count(16)? {
        let id = StreamId::from_bytes(input.array()?);
        let unknown = RdbError::Malformed("a consumer's pending entry that its group does not have");
        let (delivery_time, delivery_count) = pending.remove(&id).ok_or(unknown)?;
        group.set_nack(id, Nack { delivery_time, delivery_count, consumer });
    }
    group.mark_active(consumer, active_time);
    Ok(())
}

fn read_id<S: Source>(input: &mut Reader<'_, S>) -> Result<StreamId> {
    Ok(StreamId::new(input.length()?, input.length()?))
}
