//! Consumer groups of a stream: who was given which entries and has not acknowledged them yet.
//!
//! ```text
//! Group   last id delivered, how many entries that makes
//!         pending    id ──► Nack { when, how often, whose }       every entry given out and not acknowledged
//!         consumers  number ──► Consumer { name, times, pending: the ids that are its own }
//!         names      name ──► number
//! ```
//! A pending entry is described once, under its group; a consumer holds the ids only, and a [`Nack`] names its consumer
//! by number, so that nothing points back and all of it is shared and copied on change.
//!
//! Times are Unix milliseconds and handed in.

use crate::types::stream::id::StreamId;
use crate::types::stream::log::Log;
use crate::types::tree::ordered::Ordered;
use std::sync::Arc;

mod claim;
#[cfg(test)]
mod tests;

pub use claim::{AutoClaim, AutoClaimed, Claim, ClaimOptions};

/// Names a consumer within its group for as long as it exists; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerId(u64);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack {
    /// When it was delivered last.
    pub delivery_time: i64,
    /// How often it was delivered.
    pub delivery_count: u64,
    /// To whom.
    pub consumer: ConsumerId,
}

/// One reader of a group.
#[derive(Clone)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last asked for something.
    pub seen_time: i64,
    /// When it last got something; -1 for never.
    pub active_time: i64,
    pending: Ordered<StreamId, ()>,
}

/// What a shared byte string of this length takes.
pub(super) fn name_bytes(name: &[u8]) -> usize {
    (name.len() + 16).next_multiple_of(8)
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }
}

/// A consumer group.
#[derive(Clone)]
pub struct Group {
    last_id: StreamId,
    entries_read: Option<u64>,
    pending: Ordered<StreamId, Nack>,
    consumers: Ordered<ConsumerId, Consumer>,
    names: Ordered<Arc<[u8]>, ConsumerId>,
    next_consumer: ConsumerId,
    /// What the names and the consumers' own pending ids take.
    consumer_bytes: usize,
}

impl Group {
    /// A group that has read up to `last_id`, and how many entries that are, if known.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: Ordered::default(),
            consumers: Ordered::default(),
            names: Ordered::default(),
            next_consumer: ConsumerId(0),
            consumer_bytes: 0,
        }
    }

    /// The id of the last entry delivered.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries were delivered, counting from the first ever added; `None` when deletions made it unknowable.
    pub fn entries_read(&self) -> Option<u64> {
        self.entries_read
    }

    /// Moves the group to another place of the stream.
    pub fn set_position(&mut self, last_id: StreamId, entries_read: Option<u64>) {
        self.last_id = last_id;
        self.entries_read = entries_read;
    }

    /// Moves the group forward to `last_id` unless it is there already, leaving its counter alone; returns whether it
    /// moved. This is XCLAIM's LASTID.
    pub fn raise_last_id(&mut self, last_id: StreamId) -> bool {
        let moved = last_id > self.last_id;
        self.last_id = self.last_id.max(last_id);
        moved
    }

    /// How many entries are left to be delivered; `None` when deletions made it unknowable.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        let added = log.entries_added() as i64;
        match self.entries_read {
            _ if added == 0 => Some(0),
            Some(read) if !log.has_gap_from(self.last_id) => Some(added.wrapping_sub(read as i64)),
            _ => log.entries_until(self.last_id).map(|read| added.wrapping_sub(read as i64)),
        }
    }

    /// What the group takes from the allocator beside itself, in bytes. O(1).
    pub fn heap_bytes(&self) -> usize {
        self.pending.heap_bytes() + self.consumers.heap_bytes() + self.names.heap_bytes() + self.consumer_bytes
    }

    // Consumers.

    /// The number of consumers.
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = (ConsumerId, &Consumer)> {
        self.names.iter().filter_map(|(_, id)| Some((*id, self.consumers.get(id)?)))
    }

    /// The consumer with this name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// The consumer that a [`ConsumerId`] of this group names.
    ///
    /// # Panics
    /// If it was removed: ids are not kept across changes.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers.get(&id).expect("a consumer's id does not outlive it")
    }

    /// Adds a consumer that is seen for the first time at `now`; `None` if there is one of that name.
    pub fn create_consumer(&mut self, name: &[u8], now: i64) -> Option<ConsumerId> {
        if self.names.get(name).is_some() {
            return None;
        }
        let id = self.next_consumer;
        self.next_consumer = ConsumerId(id.0 + 1);
        let name: Arc<[u8]> = name.into();
        self.consumer_bytes += name_bytes(&name);
        self.names.insert(name.clone(), id);
        self.consumers.insert(id, Consumer { name, seen_time: now, active_time: -1, pending: Ordered::default() });
        Some(id)
    }

    /// Removes a consumer with its pending entries; returns how many those were.
    pub fn remove_consumer(&mut self, id: ConsumerId) -> usize {
        let Some(consumer) = self.consumers.remove(&id) else { return 0 };
        self.names.remove(&*consumer.name);
        self.consumer_bytes -= name_bytes(&consumer.name) + consumer.pending.heap_bytes();
        for (entry, ()) in consumer.pending.iter() {
            self.pending.remove(entry);
        }
        consumer.pending.len()
    }

    /// Notes that a consumer asked for something.
    pub fn mark_seen(&mut self, id: ConsumerId, now: i64) {
        self.change_consumer(id, |consumer| consumer.seen_time = now);
    }

    /// Notes that a consumer got something.
    pub fn mark_active(&mut self, id: ConsumerId, now: i64) {
        self.change_consumer(id, |consumer| consumer.active_time = now);
    }

    fn change_consumer(&mut self, id: ConsumerId, change: impl FnOnce(&mut Consumer)) {
        if let Some(consumer) = self.consumers.get_mut(&id) {
            let before = consumer.pending.heap_bytes();
            change(consumer);
            self.consumer_bytes = self.consumer_bytes + consumer.pending.heap_bytes() - before;
        }
    }

    // Pending entries.

    /// The number of pending entries.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The pending entry with this id.
    pub fn nack(&self, id: StreamId) -> Option<&Nack> {
        self.pending.get(&id)
    }

    /// The pending entries from an id on, in ascending order.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = (StreamId, &Nack)> {
        self.pending.iter_from(&start).map(|(id, nack)| (*id, nack))
    }

    /// The pending entries of one consumer from an id on, in ascending order.
    pub fn pending_of(&self, consumer: ConsumerId, start: StreamId) -> impl Iterator<Item = (StreamId, &Nack)> {
        let ids = self.consumer(consumer).pending.iter_from(&start);
        ids.filter_map(|(id, ())| Some((*id, self.pending.get(id)?)))
    }

    /// The first and last pending entry.
    pub fn pending_edges(&self) -> Option<(StreamId, StreamId)> {
        Some((*self.pending.first()?.0, *self.pending.last()?.0))
    }

    /// Notes that an entry of `log` above the last one was read, whether it becomes pending or not; returns whether the
    /// group moved, which it does not for older entries.
    pub fn advance(&mut self, id: StreamId, log: &Log) -> bool {
        if id <= self.last_id {
            return false;
        }
        match self.entries_read {
            Some(read) if !log.has_gap_from(id) => self.entries_read = Some(read.wrapping_add(1)),
            _ if log.entries_added() > 0 => self.entries_read = log.entries_until(id),
            _ => {}
        }
        self.last_id = id;
        true
    }

    /// Makes an entry pending for a consumer, delivered once at `now`, taking it from whoever had it.
    pub fn deliver(&mut self, id: StreamId, consumer: ConsumerId, now: i64) {
        self.set_nack(id, Nack { delivery_time: now, delivery_count: 1, consumer });
        self.mark_active(consumer, now);
    }

    /// Puts a pending entry as it is described, taking it from whoever had it. Loaders build groups with it.
    pub fn set_nack(&mut self, id: StreamId, nack: Nack) {
        let owner = self.pending.insert(id, nack).map(|old| old.consumer);
        if owner == Some(nack.consumer) {
            return;
        }
        if let Some(owner) = owner {
            self.change_consumer(owner, |consumer| _ = consumer.pending.remove(&id));
        }
        self.change_consumer(nack.consumer, |consumer| _ = consumer.pending.insert(id, ()));
    }

    /// Notes that a consumer read one of its pending entries again.
    pub fn redeliver(&mut self, id: StreamId, now: i64) {
        if let Some(nack) = self.pending.get_mut(&id) {
            nack.delivery_time = now;
            nack.delivery_count = nack.delivery_count.wrapping_add(1);
        }
    }

    /// Acknowledges an entry; returns what it was, if it was pending.
    pub fn ack(&mut self, id: StreamId) -> Option<Nack> {
        let nack = self.pending.remove(&id)?;
        self.change_consumer(nack.consumer, |consumer| _ = consumer.pending.remove(&id));
        Some(nack)
    }
}
