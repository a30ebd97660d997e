//! Walking the entries of a stream, forward and backward, from any id.

use super::StreamId;
use super::block::{self, Entry, Master, Place};
use super::log::Log;
use crate::types::packed::listpack::{Listpack, Pos};
use crate::types::tree::ordered::{Iter, IterBack};
use std::sync::Arc;

impl Log {
    /// The entries from `start` to `end`, both included, in ascending order.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(self, start, end)
    }

    /// The entries from `end` down to `start`, both included.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> RangeBack<'_> {
        RangeBack::new(self, start, end)
    }
}

/// The live entries of a range in ascending order.
pub struct Range<'a> {
    full: Iter<'a, StreamId, Arc<Listpack>>,
    /// The last block, while it is still to come.
    last: Option<(StreamId, &'a Listpack)>,
    /// The block under way with the place of its next entry.
    block: Option<(StreamId, &'a Listpack, Master, Option<Pos>)>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Range<'a> {
    pub(super) fn new(log: &'a Log, start: StreamId, end: StreamId) -> Range<'a> {
        let last = log.last_block();
        // The block that may hold `start` is the last one that begins at or before it.
        let full = match last {
            Some((base, _)) if base <= start => Iter::default(),
            _ => {
                let first = log.full.iter_back_from(&start).next().map_or(start, |(base, _)| *base);
                log.full.iter_from(&first)
            }
        };
        Range { full, last, block: None, start, end }
    }

    /// The next entry's block and place.
    pub(super) fn next_place(&mut self) -> Option<(StreamId, Place)> {
        self.step().map(|(base, _, place)| (base, place))
    }

    fn next_block(&mut self) -> Option<(StreamId, &'a Listpack)> {
        match self.full.next() {
            Some((base, pack)) => Some((*base, pack)),
            None => self.last.take(),
        }
    }

    fn step(&mut self) -> Option<(StreamId, &'a Listpack, Place)> {
        loop {
            let Some((base, pack, master, next)) = &mut self.block else {
                let (base, pack) = self.next_block()?;
                if base > self.end {
                    return None;
                }
                let master = block::master(pack);
                let first_at = master.first_at(pack);
                self.block = Some((base, pack, master, first_at));
                continue;
            };
            let Some(at) = *next else {
                self.block = None;
                continue;
            };
            let place = block::place_at(pack, *base, at);
            if place.id > self.end {
                return None;
            }
            *next = place.next_at(pack, master);
            if place.id >= self.start && !place.is_deleted() {
                return Some((*base, pack, place));
            }
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (_, pack, place) = self.step()?;
        let (_, _, master, _) = self.block.as_ref()?;
        place.entry(pack, master)
    }
}

/// The live entries of a range in descending order.
pub struct RangeBack<'a> {
    /// The last block, while it is still to come.
    last: Option<(StreamId, &'a Listpack)>,
    full: IterBack<'a, StreamId, Arc<Listpack>>,
    /// The block under way with the last value of its next entry, or of the master.
    block: Option<(StreamId, &'a Listpack, Master, Option<Pos>)>,
    start: StreamId,
    end: StreamId,
}

impl<'a> RangeBack<'a> {
    pub(super) fn new(log: &'a Log, start: StreamId, end: StreamId) -> RangeBack<'a> {
        let last = log.last_block().filter(|(base, _)| *base <= end);
        RangeBack { last, full: log.full.iter_back_from(&end), block: None, start, end }
    }

    fn next_block(&mut self) -> Option<(StreamId, &'a Listpack)> {
        self.last.take().or_else(|| self.full.next().map(|(base, pack)| (*base, &**pack)))
    }
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some((base, pack, master, last)) = &mut self.block else {
                let (base, pack) = self.next_block()?;
                self.block = Some((base, pack, block::master(pack), pack.last()));
                continue;
            };
            let Some(begin) = last.and_then(|last| block::entry_before(pack, last)) else {
                self.block = None;
                continue;
            };
            let place = block::place_at(pack, *base, begin);
            if place.id < self.start {
                return None;
            }
            *last = pack.prev(begin);
            if place.id <= self.end && !place.is_deleted() {
                return place.entry(pack, master);
            }
        }
    }
}
