//! The timer wheel of a shard's part of a database: deadlines of keys and fields (D15).
//!
//! A hierarchical timing wheel (Varghese and Lauck, 1987): five levels of 64 slots. A slot of the first level is one
//! millisecond, a slot of each further level 64 times as long as one of the level before. An item goes to the level
//! where it is between 1 and 64 slots ahead; when the time of a slot of a higher level comes, its items move to lower
//! levels, and when the time of a slot of the first level comes, they are *due*. Bitmaps of the occupied slots tell the
//! next thing to do without looking at empty ones, so a step costs what it moves and a sleeper knows how long to sleep.
//!
//! # Items
//! An item is one word: the leading 40 bits of a key's hash and the low 24 bits of the deadline, the rest of which its
//! slot tells. 40 bits find the key in the table ([`Table::find_by_hash`]); what is due is looked up there and judged by
//! the deadline that stands in the entry. So a key with a deadline costs 8 bytes and a little slack here, and
//! * a deadline that moves *earlier* is added again, and one that is taken away (or its key) is forgotten: the old item
//!   finds nothing when its time comes;
//! * a deadline that moves *later* costs nothing: its entry is marked late, and when the old item comes due it is filed
//!   again;
//! * a deadline beyond the horizon of 2^30 ms (12 days) is filed under an earlier, *early* time, which depends on the
//!   key and a coarse grid only, and filed again then.
//!
//! # Compaction
//! Items that find nothing any more are dead weight: DEL and SET EX again and again would fill the wheel. When there are
//! clearly more items than deadlines ([`Wheel::wants_compaction`]), [`Wheel::compact`] goes over the slots in the
//! order of time, in bounded steps, and keeps what is the exact item of a deadline in the table, once. An item that is
//! earlier than a late deadline takes that deadline's place further on, where it meets its doubles.

use super::entry::Entry;
use super::table::Table;
use std::mem;

const LEVELS: usize = 5;
const SLOTS_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOTS_BITS;
/// Low bits of an item, which hold the low bits of its deadline.
const DEADLINE_BITS: u32 = 24;
const DEADLINE_MASK: u64 = (1 << DEADLINE_BITS) - 1;
/// How far ahead, in milliseconds, an item can be filed.
const HORIZON: u64 = 1 << (SLOTS_BITS * LEVELS as u32);
/// Early times stand on this grid, less a spread by key.
const EARLY_GRID: u64 = HORIZON / 4;
const EARLY_SPREAD: u64 = EARLY_GRID / 2;
/// Items in a block of a slot.
const BLOCK: usize = 1024;
/// Items that compaction sorts at a time, about.
const SORTED: usize = 8192;

const _: () = assert!(SLOTS_BITS * (LEVELS as u32 - 1) <= DEADLINE_BITS, "an item tells its place in every slot");
const _: () = assert!(super::table::HASH_BITS_UNUSED == DEADLINE_BITS, "an item tells enough of the hash");

/// What has come due: the entries whose hash has the same leading 40 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The hash of the key; its low 24 bits are zero.
    pub hash: u64,
    /// The time stands for a deadline beyond the horizon.
    pub early: bool,
}

/// A timer wheel over the deadlines of one table. Holds no memory while it is empty.
#[derive(Debug)]
pub struct Wheel {
    /// The next millisecond to deal with; everything before is done. Not 0.
    next_ms: u64,
    levels: Option<Box<Levels>>,
}

#[derive(Debug, Default)]
struct Levels {
    items: usize,
    /// Bit i of word l: slot i of level l is occupied.
    occupied: [u64; LEVELS],
    slots: [Option<Box<[Slot; SLOTS]>>; LEVELS],
    compaction: Option<Box<Compaction>>,
    /// Compaction is not worth beginning below this many items.
    compact_from: usize,
}

/// Compaction of one slot, under way.
#[derive(Debug)]
struct Compaction {
    level: usize,
    slot: usize,
    /// When the slot's time comes: slots before it are done.
    start_ms: u64,
    /// What is kept of this slot, by leading bits of the hash so that doubles meet.
    parts: Vec<Vec<u64>>,
    /// Parts that are free of doubles and back in the slot.
    settled: usize,
    /// The blocks still to be judged.
    judged_of: Vec<Vec<u64>>,
}

impl Wheel {
    /// An empty wheel; what is due before `now_ms` is due at once.
    pub fn new(now_ms: u64) -> Wheel {
        Wheel { next_ms: now_ms.max(1), levels: None }
    }

    /// Number of items, dead ones included.
    pub fn len(&self) -> usize {
        self.levels.as_ref().map_or(0, |l| l.items)
    }
    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes the wheel takes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.levels.as_ref().map_or(0, |l| l.heap_bytes())
    }

    /// Files a deadline (Unix time in milliseconds) of a key.
    pub fn add(&mut self, deadline_ms: u64, hash: u64) {
        let next_ms = self.next_ms;
        self.levels.get_or_insert_default().file(deadline_ms, hash, next_ms);
    }

    /// Files a deadline again that is later than the item which came due, if it has no other item: because it was moved
    /// later, or is beyond the horizon. Else that item is a dead one, and nothing happens.
    pub fn refile(&mut self, due: Due, entry: &Entry) {
        if let Some(at) = entry.expiry()
            && (due.early || entry.is_late())
        {
            entry.clear_late();
            self.add(at, due.hash);
        }
    }

    /// Goes on to `now_ms` and reports what is due, doing about `budget` small things; returns how many were done:
    /// `budget` or more when there is more to do.
    pub fn advance(&mut self, now_ms: u64, budget: usize, mut due: impl FnMut(Due)) -> usize {
        let mut done = 0;
        while let Some(levels) = &mut self.levels {
            let Some((level, slot, start_ms)) = levels.next_slot(self.next_ms).filter(|s| s.2 <= now_ms) else { break };
            if done >= budget {
                return done;
            }
            self.next_ms = start_ms;
            levels.interrupt_compaction(level, slot);
            while done < budget
                && let Some(item) = levels.pop(level, slot)
            {
                done += 1;
                let hash = item & !DEADLINE_MASK;
                if level == 0 {
                    due(Due { hash, early: is_early(start_ms, hash) });
                } else {
                    levels.put(deadline_in(start_ms, level, item), item, start_ms);
                }
            }
            if level == 0 && !levels.is_occupied(level, slot) {
                self.next_ms = start_ms + 1;
            }
        }
        self.next_ms = self.next_ms.max(now_ms + 1);
        if self.is_empty() {
            self.levels = None;
        }
        done
    }

    /// The next time at which [`advance`](Wheel::advance) has something to do; nothing is due before.
    pub fn next_due(&self) -> Option<u64> {
        Some(self.levels.as_ref()?.next_slot(self.next_ms)?.2)
    }

    /// Visits items that come next, at most `limit`, slot by slot in the order of time: each with its time and the
    /// leading bits of its hash. Dead ones are among them.
    pub fn walk_next(&self, limit: usize, mut each: impl FnMut(u64, u64)) {
        let Some(levels) = &self.levels else { return };
        let mut from_ms = [self.next_ms; LEVELS];
        let mut left = limit;
        while left > 0 {
            let next = (0..LEVELS).filter_map(|level| levels.next_of_level(level, from_ms[level]));
            let next = next.filter(|&(level, _, start_ms)| start_ms <= last_ms(self.next_ms, level));
            let Some((level, slot, start_ms)) = next.min_by_key(|&(_, _, start_ms)| start_ms) else { return };
            from_ms[level] = start_ms + 1;
            for &item in levels.items(level, slot).take(left) {
                left -= 1;
                each(deadline_in(start_ms, level, item), item & !DEADLINE_MASK);
            }
        }
    }

    /// Visits items from a place on that `draw` chooses, going round, at most `limit` or until told to stop: the leading
    /// bits of their hashes. Dead ones are among them.
    pub fn walk_from(&self, draw: u64, limit: usize, mut each: impl FnMut(u64) -> bool) {
        let Some(levels) = &self.levels else { return };
        let counts = (0..LEVELS * SLOTS).map(|at| levels.items_len(at / SLOTS, at % SLOTS));
        let total: usize = counts.clone().sum();
        let mut skip = ((u128::from(draw) * total as u128) >> 64) as usize;
        let first = counts.clone().position(|count| {
            let here = skip < count;
            skip -= if here { 0 } else { count };
            here
        });
        let Some(first) = first else { return };
        let mut left = limit.min(total);
        for at in (first..LEVELS * SLOTS).chain(0..=first) {
            let skipped = std::mem::take(&mut skip);
            for &item in levels.items(at / SLOTS, at % SLOTS).skip(skipped) {
                if left == 0 || !each(item & !DEADLINE_MASK) {
                    return;
                }
                left -= 1;
            }
        }
    }

    /// Whether compaction is under way or worth beginning, when so many deadlines are alive.
    pub fn wants_compaction(&self, alive: usize) -> bool {
        self.levels.as_ref().is_some_and(|levels| {
            let many = (alive + alive / 2 + 512).max(levels.compact_from);
            levels.compaction.is_some() || levels.items > many
        })
    }

    /// Goes on compacting (or begins to), looking at about `budget` items; true when it is through.
    pub fn compact(&mut self, table: &Table, budget: usize) -> bool {
        let next_ms = self.next_ms;
        let Some(levels) = &mut self.levels else { return true };
        let through = levels.compact(table, budget, next_ms);
        if through {
            levels.compact_from = levels.items + levels.items / 4;
        }
        through
    }
}

/// The start of the last slot of a level: what seems to come after it has been seen at the beginning of the round.
fn last_ms(next_ms: u64, level: usize) -> u64 {
    let shift = SLOTS_BITS * level as u32;
    (((next_ms - 1) >> shift) + SLOTS as u64) << shift
}

/// The full deadline of an item in a slot that starts at `start_ms`.
fn deadline_in(start_ms: u64, level: usize, item: u64) -> u64 {
    start_ms + (item & ((1 << (SLOTS_BITS * level as u32)) - 1))
}

/// When to look at a deadline: then, or earlier if it is beyond the horizon, or now if it has passed.
fn time_of(deadline_ms: u64, hash: u64, next_ms: u64) -> u64 {
    if deadline_ms >= next_ms + HORIZON { early_time(next_ms, hash) } else { deadline_ms.max(next_ms) }
}
fn item_of(time_ms: u64, hash: u64) -> u64 {
    hash & !DEADLINE_MASK | time_ms & DEADLINE_MASK
}

/// The early time for a deadline beyond the horizon. Between two points of the grid it depends on the key alone, so
/// that doubles are equal; keys are spread so that they do not come all at once.
fn early_time(next_ms: u64, hash: u64) -> u64 {
    ((next_ms + HORIZON) & !(EARLY_GRID - 1)) - 1 - early_spread(hash)
}
fn is_early(time_ms: u64, hash: u64) -> bool {
    (time_ms + 1 + early_spread(hash)) & (EARLY_GRID - 1) == 0
}
fn early_spread(hash: u64) -> u64 {
    hash >> DEADLINE_BITS & (EARLY_SPREAD - 1)
}

impl Levels {
    /// Puts a new item.
    fn file(&mut self, deadline_ms: u64, hash: u64, next_ms: u64) {
        let at = time_of(deadline_ms, hash, next_ms);
        self.put(at, item_of(at, hash), next_ms);
    }

    /// Puts an item whose time is `at`, within the horizon.
    fn put(&mut self, at: u64, item: u64, next_ms: u64) {
        let ahead = at - next_ms;
        let level = (u64::BITS - (ahead | 1).leading_zeros() - 1) / SLOTS_BITS;
        let slot = (at >> (SLOTS_BITS * level)) as usize % SLOTS;
        let level = level as usize;
        let slots = self.slots[level].get_or_insert_with(|| Box::new([const { Slot::EMPTY }; SLOTS]));
        slots[slot].push(item);
        self.occupied[level] |= 1 << slot;
        self.items += 1;
    }

    fn pop(&mut self, level: usize, slot: usize) -> Option<u64> {
        let blocks = &mut self.slots[level].as_mut()?[slot];
        let item = blocks.pop();
        self.items -= usize::from(item.is_some());
        self.unmark_if_empty(level, slot);
        item
    }

    fn unmark_if_empty(&mut self, level: usize, slot: usize) {
        if self.slots[level].as_ref().is_none_or(|slots| slots[slot].is_empty()) {
            self.occupied[level] &= !(1 << slot);
        }
    }

    fn is_occupied(&self, level: usize, slot: usize) -> bool {
        self.occupied[level] >> slot & 1 != 0
    }

    /// The occupied slot whose time comes next, with that time; of equal times the highest level, as its items may
    /// belong to the same time.
    fn next_slot(&self, next_ms: u64) -> Option<(usize, usize, u64)> {
        let slots = (0..LEVELS).rev().filter_map(|level| self.next_of_level(level, next_ms));
        slots.min_by_key(|&(_, _, start_ms)| start_ms)
    }

    fn next_of_level(&self, level: usize, from_ms: u64) -> Option<(usize, usize, u64)> {
        // Every item is 1 to 64 slots ahead of the last millisecond that is done.
        let shift = SLOTS_BITS * level as u32;
        let first = ((from_ms - 1) >> shift) + 1;
        let ahead = self.occupied[level].rotate_right(first as u32 % SLOTS as u32);
        (ahead != 0).then(|| {
            let number = first + u64::from(ahead.trailing_zeros());
            (level, number as usize % SLOTS, number << shift)
        })
    }

    fn items(&self, level: usize, slot: usize) -> impl Iterator<Item = &u64> {
        self.slots[level].iter().flat_map(move |slots| slots[slot].blocks.iter().flatten())
    }
    fn items_len(&self, level: usize, slot: usize) -> usize {
        self.slots[level].as_ref().map_or(0, |slots| slots[slot].blocks.iter().map(Vec::len).sum())
    }

    fn heap_bytes(&self) -> usize {
        let slots = self.slots.iter().flatten();
        let blocks = slots.flat_map(|s| s.iter()).flat_map(|slot| &slot.blocks);
        let held = self.slots.iter().flatten().count() * size_of::<[Slot; SLOTS]>();
        let compaction = self.compaction.iter().flat_map(|c| c.judged_of.iter().chain(&c.parts));
        let blocks = blocks.chain(compaction);
        size_of::<Levels>() + held + blocks.map(|b| b.capacity() * 8 + size_of::<Vec<u64>>()).sum::<usize>()
    }

    // ---- Compaction ----

    fn compact(&mut self, table: &Table, budget: usize, next_ms: u64) -> bool {
        let mut left = budget;
        let mut compaction = match self.compaction.take() {
            Some(under_way) => under_way,
            None => match self.compaction_after(None, next_ms) {
                Some(first) => first,
                None => return true,
            },
        };
        while left > 0 {
            if let Some(block) = compaction.judged_of.pop() {
                left = left.saturating_sub(block.len());
                for item in block {
                    self.judge(item, &mut compaction, table, next_ms);
                }
            } else if compaction.settled < compaction.parts.len() {
                left = left.saturating_sub(self.settle_part(&mut compaction));
            } else {
                self.unmark_if_empty(compaction.level, compaction.slot);
                let position = (compaction.start_ms, compaction.level);
                match self.compaction_after(Some(position), next_ms) {
                    Some(next) => compaction = next,
                    None => return true,
                }
                left -= 1;
            }
        }
        self.compaction = Some(compaction);
        false
    }

    /// Begins with the next slot in the order of time after this one. The first level is left alone: it is over in 64
    /// milliseconds.
    fn compaction_after(&mut self, position: Option<(u64, usize)>, next_ms: u64) -> Option<Box<Compaction>> {
        // Of slots with equal times the highest level comes first.
        let order = |start_ms: u64, level: usize| (start_ms, LEVELS - level);
        let mut best: Option<(usize, usize, u64)> = None;
        for level in 1..LEVELS {
            let from_ms = match position {
                Some((start_ms, done)) if order(start_ms, level) > order(start_ms, done) => start_ms,
                Some((start_ms, _)) => start_ms + 1,
                None => next_ms,
            };
            let found = self.next_of_level(level, from_ms.max(next_ms));
            let found = found.filter(|&(_, _, start_ms)| start_ms <= last_ms(next_ms, level));
            best = best.into_iter().chain(found).min_by_key(|&(level, _, start_ms)| order(start_ms, level));
        }
        let (level, slot, start_ms) = best?;
        // The slot stays marked as occupied: its time may come meanwhile.
        let blocks = mem::take(&mut self.slots[level].as_mut()?[slot].blocks);
        let count: usize = blocks.iter().map(Vec::len).sum();
        let parts = vec![Vec::new(); (count / SORTED + 1).next_power_of_two()];
        Some(Box::new(Compaction { level, slot, start_ms, parts, settled: 0, judged_of: blocks }))
    }

    /// Keeps an item, moves it on to the deadline it stands for, or drops it.
    fn judge(&mut self, item: u64, compaction: &mut Compaction, table: &Table, next_ms: u64) {
        let hash = item & !DEADLINE_MASK;
        let item_ms = deadline_in(compaction.start_ms, compaction.level, item);
        let early = is_early(item_ms, hash);
        let mut keep = false;
        self.items -= 1;
        table.find_by_hash(hash, |entry| {
            match entry.expiry() {
                Some(at) if at == item_ms => keep = true,
                Some(at) if at > item_ms && (early || entry.is_late()) => {
                    entry.clear_late();
                    self.move_on(at, hash, compaction, next_ms);
                }
                _ => {}
            }
            match entry.field_deadline() {
                Some(at) if at == item_ms => keep = true,
                Some(at) if at > item_ms => self.move_on(at, hash, compaction, next_ms),
                _ => {}
            }
            false
        });
        if keep {
            self.keep(item, compaction);
        }
    }

    /// Files a deadline again during compaction, among what is kept if it belongs to the slot at hand.
    fn move_on(&mut self, deadline_ms: u64, hash: u64, compaction: &mut Compaction, next_ms: u64) {
        let at = time_of(deadline_ms, hash, next_ms);
        let item = item_of(at, hash);
        if at.wrapping_sub(compaction.start_ms) < 1 << (SLOTS_BITS * compaction.level as u32) {
            self.keep(item, compaction);
        } else {
            self.put(at, item, next_ms);
        }
    }

    fn keep(&mut self, item: u64, compaction: &mut Compaction) {
        let part = ((u128::from(item) * compaction.parts.len() as u128) >> 64) as usize;
        push_exact(&mut compaction.parts[part], item);
        self.items += 1;
    }

    /// Frees one part of doubles and puts it back into its slot; returns its length.
    fn settle_part(&mut self, compaction: &mut Compaction) -> usize {
        let mut part = mem::take(&mut compaction.parts[compaction.settled]);
        compaction.settled += 1;
        let len = part.len();
        part.sort_unstable();
        part.dedup();
        part.shrink_to_fit();
        self.items -= len - part.len();
        self.put_back(compaction.level, compaction.slot, part);
        len
    }

    fn put_back(&mut self, level: usize, slot: usize, block: Vec<u64>) {
        if !block.is_empty()
            && let Some(slots) = &mut self.slots[level]
        {
            self.occupied[level] |= 1 << slot;
            slots[slot].blocks.insert(0, block);
        }
    }

    /// Gives a slot whose time has come back everything that compaction has of it.
    fn interrupt_compaction(&mut self, level: usize, slot: usize) {
        if let Some(mut compaction) = self.compaction.take_if(|c| (c.level, c.slot) == (level, slot)) {
            for block in compaction.judged_of.drain(..).chain(compaction.parts.drain(..)) {
                self.put_back(level, slot, block);
            }
            self.compaction = Some(compaction);
        }
    }
}

/// The items of a slot, in blocks: a slot of millions neither moves when it grows nor stays whole until the last item
/// has left.
#[derive(Debug, Default)]
struct Slot {
    blocks: Vec<Vec<u64>>,
}

impl Slot {
    const EMPTY: Slot = Slot { blocks: Vec::new() };

    fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
    fn push(&mut self, item: u64) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => push_exact(block, item),
            _ => {
                if self.blocks.is_empty() {
                    self.blocks.reserve_exact(1);
                }
                let mut block = Vec::new();
                push_exact(&mut block, item);
                self.blocks.push(block);
            }
        }
    }
    fn pop(&mut self) -> Option<u64> {
        let block = self.blocks.last_mut()?;
        let item = block.pop();
        if block.is_empty() {
            self.blocks.pop();
        }
        if self.blocks.is_empty() {
            self.blocks = Vec::new();
        }
        item
    }
}

/// Pushes, growing by a quarter: `Vec` would double, and these are most of a wheel's memory.
fn push_exact(block: &mut Vec<u64>, item: u64) {
    if block.len() == block.capacity() {
        block.reserve_exact((block.len() / 4).max(4));
    }
    block.push(item);
}

#[cfg(test)]
mod tests;
