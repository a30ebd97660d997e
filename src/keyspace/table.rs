//! The hash table: extendible hashing over cache-line buckets (D3). Nothing else knows its shape.
//!
//! # The picture
//! ```text
//!   hash  | directory index | window: 14 bits                     | ...          | shard |
//!         63                 63 - depth       home, tag           49 - depth             0
//!
//!   directory ──► segment: | header | home bucket 0 | home bucket 1 | .. | stash | .. |     lines of 64 bytes
//!
//!   bucket:   7 tags (u8) | marks (u8) | 7 entries (8 bytes each)
//!   marks:    bit i: slot i holds an entry of the bucket before · bit 7: some of my entries are elsewhere
//! ```
//! The high bits of a hash choose a slot of the directory and so a segment. The next 14 bits, the *window*, choose the
//! home bucket, by multiplication and not by masking: `home = window * buckets >> 14`. So a segment may have any number
//! of buckets, and buckets are in hash order. An entry lives in its home bucket; when that is full, in the next one
//! (marked); when that is full and nobody can step aside, in one of the few stash buckets behind the homes, whose
//! homes the header lists. A look-up that is not told otherwise by bit 7 reads one line of the table.
//!
//! # Growth without spikes
//! The tag is the low byte of the window. From the home bucket and the tag the whole window can be told again as long as
//! a bucket covers at most 256 windows, that is from 64 buckets on. So a segment grows 80 -> 96 -> 112 -> 128 lines (all
//! of them size classes of the allocator) by moving 8-byte pointers, without looking at a single key, and memory
//! follows the number of keys closely: the load stays between about 0.75 and 0.9 instead of swinging between 0.45 and
//! 0.9. Only the step beyond 128 lines, the split into two segments of 80, needs one more bit of hash for each entry and
//! reads its key: once per doubling, for at most 850 entries at a time, prefetched. The directory is 16 bytes per
//! segment and doubles by copying. Removing goes the same way back; a table without entries holds no memory.
//!
//! # Order
//! A [cursor](Table::scan) is a position in hash order, 40 bits of it, and all entries of one home bucket are visited
//! together. Growing, splitting and merging do not change the order of entries, so what is there from the beginning of
//! a scan to its end is visited.
//!
//! # Floods
//! Keys whose hashes agree in many leading bits (see `base::hash` for who could find some) would make extendible hashing
//! double its directory for nothing. Here a directory never has more than [`DIRECTORY_SPREAD`] slots per segment; what
//! does not fit its segment then goes to a plain list (`spill`), slow but bounded, until the table has grown.
//!
//! Segments are in `table/segment.rs`, with most of the `unsafe`; here it is the freeing of segments, of which several
//! slots of the directory may name one.
#![allow(unsafe_code)]

mod segment;

use super::entry::Entry;
use crate::base::alloc::usable_size;
use crate::base::bytes::same;
use crate::base::rng::Rng;
use segment::{SHAPES, SLOTS, Segment, WINDOW_BITS, capacity, segment_size, shape_for};

/// The low bits of a hash that a cursor leaves out.
const CURSOR_SHIFT: u32 = 24;
/// A segment is not split deeper than cursors can tell apart.
const DEPTH_MAX: u32 = 64 - CURSOR_SHIFT - WINDOW_BITS;
/// The directory has at most this many slots per segment.
const DIRECTORY_SPREAD: usize = 8;

/// A hash table of entries. The hash of a key is given in; it must be what the table's own hash function says.
pub struct Table {
    /// `1 << depth` slots; none while the table holds no memory.
    directory: Vec<Segment>,
    /// Leading hash bits that choose a slot of the directory.
    depth: u32,
    /// Segments.
    segments: u32,
    /// Segments whose depth is that of the directory.
    deepest: u32,
    len: usize,
    /// Bytes of all segments.
    segment_bytes: usize,
    hasher: fn(&[u8]) -> u64,
}

impl Default for Table {
    fn default() -> Self {
        Table::new()
    }
}

impl Table {
    /// An empty table of keys hashed by [`key_hash`](crate::base::hash::key_hash); holds no memory.
    pub fn new() -> Table {
        Table::with_hasher(crate::base::hash::key_hash)
    }

    /// An empty table with another hash function.
    pub fn with_hasher(hasher: fn(&[u8]) -> u64) -> Table {
        Table { directory: Vec::new(), depth: 0, segments: 0, deepest: 0, len: 0, segment_bytes: 0, hasher }
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there are no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Bytes of the table itself, without its entries.
    pub fn table_bytes(&self) -> usize {
        let directory = self.directory.capacity() * size_of::<Segment>();
        self.segment_bytes + if directory == 0 { 0 } else { usable_size(directory) }
    }
    /// Slots for entries, full and empty.
    pub fn slots(&self) -> usize {
        self.segment_bytes / 64 * SLOTS
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        // In two steps: a shift by 64 would be none.
        (hash >> 1 >> (63 - self.depth)) as usize
    }
    #[inline]
    fn segment(&self, hash: u64) -> Option<Segment> {
        self.directory.get(self.index(hash)).copied()
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        let segment = self.segment(hash)?;
        segment.entry(segment.find(hash, |entry| same(entry.key(), key))?)
    }
    /// The entry of a key, for change of anything but its key.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        let segment = self.segment(hash)?;
        segment.entry_mut(segment.find(hash, |entry| same(entry.key(), key))?)
    }
    /// The first entry that `wanted` takes among those whose hash has the same leading bits as this one; the low
    /// [`HASH_BITS_UNUSED`] bits do not matter.
    pub fn find_by_hash(&self, hash: u64, mut wanted: impl FnMut(&Entry) -> bool) -> Option<&Entry> {
        let segment = self.segment(hash)?;
        let alike = |entry: &Entry| ((self.hasher)(entry.key()) ^ hash) >> HASH_BITS_UNUSED == 0;
        segment.entry(segment.find(hash, |entry| alike(entry) && wanted(entry))?)
    }

    /// Puts an entry whose key is not there yet.
    pub fn insert(&mut self, hash: u64, entry: Entry) -> &mut Entry {
        debug_assert!(self.get(hash, entry.key()).is_none(), "the key is there already");
        debug_assert_eq!((self.hasher)(entry.key()), hash, "the hash is not that of the key");
        self.len += 1;
        if self.directory.is_empty() {
            self.begin();
        }
        let mut entry = entry;
        loop {
            let segment = self.directory[self.index(hash)];
            let window = segment.window(hash);
            let place = match segment.place(window, entry) {
                Ok(place) => place,
                Err(back) if self.grow(hash) => {
                    entry = back;
                    continue;
                }
                Err(back) => segment.spill(window, back),
            };
            return segment.entry_mut(place).expect("placed just now");
        }
    }

    /// Puts an entry in place of the one with the same key, which it returns.
    pub fn replace(&mut self, hash: u64, entry: Entry) -> Option<Entry> {
        if let Some(old) = self.get_mut(hash, entry.key()) {
            return Some(std::mem::replace(old, entry));
        }
        self.insert(hash, entry);
        None
    }

    /// Takes an entry out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let segment = self.segment(hash)?;
        let place = segment.find(hash, |entry| same(entry.key(), key))?;
        let entry = segment.take(hash, place)?;
        self.len -= 1;
        self.shrink(hash, segment);
        Some(entry)
    }

    // ---- Prefetching: a batch of look-ups runs its cache misses side by side ----

    /// First stage: asks for the line with the tags of this hash.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            segment.prefetch_bucket(hash);
        }
    }
    /// Second stage, when that line has had time to come: asks for the entry that has this tag.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            segment.prefetch_entry(hash);
        }
    }

    /// Third stage, when that entry has had time to come: asks for the collection that it holds.
    #[inline]
    pub fn prefetch_collection(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            segment.prefetch_collection(hash);
        }
    }

    /// Fourth stage: asks for the end of a stream.
    #[inline]
    pub fn prefetch_end(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            segment.prefetch_end(hash);
        }
    }

    // ---- Walking ----

    /// Visits the entries of the next home buckets in hash order from `cursor` on, until at least one entry was visited
    /// or 64 buckets were looked at. Begins with cursor 0; returns the cursor to go on with, 0 at the end. Cursors are
    /// below 2^40.
    pub fn scan<'t>(&'t self, cursor: u64, mut each: impl FnMut(&'t Entry)) -> u64 {
        let mut position = cursor << CURSOR_SHIFT;
        for _ in 0..64 {
            let mut visited = false;
            position = self.scan_bucket(position, |entry| {
                visited = true;
                each(entry);
            });
            if visited || position == 0 {
                break;
            }
        }
        position >> CURSOR_SHIFT
    }

    /// Visits the home bucket that covers this position of the hash order, from that position on; returns the position
    /// of the next one, 0 at the end.
    fn scan_bucket<'t>(&'t self, position: u64, mut each: impl FnMut(&'t Entry)) -> u64 {
        let Some(segment) = self.segment(position) else { return 0 };
        let start = segment.window(position);
        let home = segment.home(start);
        let mut visit = |told: Option<usize>, entry: &'t Entry| {
            if told.unwrap_or_else(|| segment.window((self.hasher)(entry.key()))) >= start {
                each(entry);
            }
        };
        segment.visit_home(home, &mut visit);
        for entry in segment.header().spill.iter().flat_map(|s| s.iter()) {
            let window = segment.window((self.hasher)(entry.key()));
            if segment.home(window) == home {
                visit(Some(window), entry);
            }
        }
        self.position_after(segment, position, home)
    }

    fn position_after(&self, segment: Segment, position: u64, home: usize) -> u64 {
        let depth = segment.depth();
        let low_bits = 64 - depth - WINDOW_BITS;
        // The windows of all segments of this depth, numbered through.
        let first = position >> low_bits >> WINDOW_BITS << WINDOW_BITS;
        let next = first + segment.first_window(home + 1) as u64;
        if next >> WINDOW_BITS >> depth != 0 { 0 } else { next << low_bits }
    }

    /// Visits every entry, in no order that means anything.
    pub fn for_each(&self, mut each: impl FnMut(&Entry)) {
        let mut cursor = 0;
        loop {
            cursor = self.scan(cursor, &mut each);
            if cursor == 0 {
                return;
            }
        }
    }

    /// An entry chosen uniformly.
    pub fn random(&self, rng: &mut Rng) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        loop {
            // Every slot of every segment is equally likely; a slot of the directory that only repeats a segment, a
            // line beyond the end of a small segment and an empty slot are drawn again.
            for _ in 0..100 {
                let draw = rng.next_u64();
                if let Some(segment) = self.drawn_segment(draw)
                    && let Some(line) = self.drawn_line(segment, draw)
                    && let Some(entry) = &segment.line(line).slots[(draw as u16 as usize * SLOTS) >> 16]
                {
                    return Some(entry);
                }
            }
            // A table that has become nearly empty: what follows a random position.
            if let Some(entry) = self.after_position(rng.next_u64()) {
                return Some(entry);
            }
        }
    }

    /// The segment in a drawn slot of the directory, if that slot is its first.
    fn drawn_segment(&self, draw: u64) -> Option<Segment> {
        let index = self.index(draw);
        let segment = self.directory[index];
        let repeats = 1usize << (self.depth - segment.depth());
        (index & (repeats - 1) == 0).then_some(segment)
    }
    /// A drawn line, if the segment is that long.
    fn drawn_line(&self, segment: Segment, draw: u64) -> Option<usize> {
        let longest = if self.segments == 1 { segment.lines() } else { capacity(SHAPES.len() - 1) / SLOTS };
        let line = ((draw >> 16) as u16 as usize * longest) >> 16;
        (line < segment.lines()).then_some(line)
    }
    fn after_position(&self, position: u64) -> Option<&Entry> {
        let mut cursor = position >> CURSOR_SHIFT;
        loop {
            let mut found: Option<&Entry> = None;
            let segment = self.segment(cursor << CURSOR_SHIFT)?;
            for line in 0..segment.lines() {
                found = found.or(segment.line(line).slots.iter().flatten().next());
            }
            found = found.or(segment.header().spill.as_ref().and_then(|s| s.first()));
            if found.is_some() {
                return found;
            }
            cursor = self.position_after(segment, cursor << CURSOR_SHIFT, segment.homes() - 1) >> CURSOR_SHIFT;
        }
    }

    /// Visits about `count` entries for a sample: those of whole buckets at random places. As hash order knows nothing
    /// of use or age, neighbours are as good as strangers, and come with one cache miss for seven.
    pub fn sample<'t>(&'t self, count: usize, rng: &mut Rng, mut each: impl FnMut(&'t Entry)) {
        let mut left = count.min(self.len);
        for _ in 0..count * 16 {
            if left == 0 {
                return;
            }
            let draw = rng.next_u64();
            let Some(segment) = self.drawn_segment(draw) else { continue };
            let Some(line) = self.drawn_line(segment, draw) else { continue };
            let bucket = segment.line(line);
            bucket.slots.iter().flatten().for_each(Entry::prefetch);
            // Which of the seven comes first is drawn as well: a sample of five must not prefer the low slots.
            let first = (draw as u16 as usize * SLOTS) >> 16;
            for slot in (first..SLOTS).chain(0..first) {
                if left > 0
                    && let Some(entry) = &bucket.slots[slot]
                {
                    left -= 1;
                    each(entry);
                }
            }
        }
    }

    /// Takes the table apart: an iterator over its entries that frees segments as it goes.
    pub fn into_entries(mut self) -> Entries {
        let mut segments: Vec<Segment> = Vec::with_capacity(self.segments as usize);
        self.each_segment(|segment| segments.push(segment));
        self.directory = Vec::new();
        Entries { segments, now: Vec::new() }
    }

    fn each_segment(&self, mut each: impl FnMut(Segment)) {
        let mut index = 0;
        while let Some(&segment) = self.directory.get(index) {
            index += 1 << (self.depth - segment.depth());
            each(segment);
        }
    }

    // ---- Growing and shrinking ----

    fn begin(&mut self) {
        self.directory = vec![Segment::new(0, 0)];
        (self.depth, self.segments, self.deepest) = (0, 1, 1);
        self.segment_bytes = segment_size(0);
    }

    /// Makes room where this hash belongs; false when that is not allowed.
    #[cold]
    fn grow(&mut self, hash: u64) -> bool {
        let segment = self.directory[self.index(hash)];
        match segment.shape() + 1 {
            shape if shape < SHAPES.len() => {
                self.rebuild(hash, segment, shape);
                true
            }
            _ => self.split(hash, segment),
        }
    }

    /// Replaces a segment by one of another shape.
    fn rebuild(&mut self, hash: u64, old: Segment, shape: usize) {
        let new = Segment::new(shape, old.depth());
        old.drain(|told, entry| self.settle(new, told, entry));
        self.segment_bytes = self.segment_bytes + segment_size(shape) - segment_size(old.shape());
        self.set_directory(hash, new);
        // SAFETY: no slot of the directory names it any more.
        unsafe { old.free() };
    }

    /// Puts an entry into a segment, come what may.
    fn settle(&self, segment: Segment, told: Option<usize>, entry: Entry) {
        let window = told.unwrap_or_else(|| segment.window((self.hasher)(entry.key())));
        if let Err(entry) = segment.place(window, entry) {
            segment.spill(window, entry);
        }
    }

    /// Makes every slot of the directory that this segment covers name it.
    fn set_directory(&mut self, hash: u64, segment: Segment) {
        let repeats = 1usize << (self.depth - segment.depth());
        let first = self.index(hash) & !(repeats - 1);
        self.directory[first..first + repeats].fill(segment);
    }

    /// Splits a segment in two by one more bit of the hash; false when the directory may not grow for it.
    fn split(&mut self, hash: u64, old: Segment) -> bool {
        let depth = old.depth() + 1;
        if depth > DEPTH_MAX || depth > self.depth && !self.double_directory() {
            return false;
        }
        let mut halves: [Vec<(u64, Entry)>; 2] = [const { Vec::new() }; 2];
        for half in &mut halves {
            half.reserve(old.len() * 5 / 8);
        }
        for (hash, entry) in self.drain_hashed(old) {
            halves[(hash << old.depth() >> 63) as usize].push((hash, entry));
        }
        self.segment_bytes -= segment_size(old.shape());
        for (bit, half) in halves.into_iter().enumerate() {
            let new = Segment::new(shape_for(half.len()), depth);
            self.segment_bytes += segment_size(new.shape());
            for (hash, entry) in half {
                self.settle(new, Some(new.window(hash)), entry);
            }
            let side = 1u64 << (64 - depth);
            self.set_directory(if bit == 0 { hash & !side } else { hash | side }, new);
        }
        self.segments += 1;
        if depth == self.depth {
            self.deepest += 2;
        }
        // SAFETY: its slots of the directory name the halves by now.
        unsafe { old.free() };
        true
    }

    /// Takes all entries out of a segment and hashes their keys, a few prefetches ahead.
    fn drain_hashed(&self, segment: Segment) -> Vec<(u64, Entry)> {
        const AHEAD: usize = 12;
        let mut entries = Vec::with_capacity(segment.len());
        segment.drain(|_, entry| entries.push((0, entry)));
        entries.iter().take(AHEAD).for_each(|(_, entry)| entry.prefetch());
        for at in 0..entries.len() {
            if let Some((_, entry)) = entries.get(at + AHEAD) {
                entry.prefetch();
            }
            let (hash, entry) = &mut entries[at];
            *hash = (self.hasher)(entry.key());
        }
        entries
    }

    /// Doubles the directory, unless it has too many slots for its segments.
    fn double_directory(&mut self) -> bool {
        if self.directory.len() * 2 > DIRECTORY_SPREAD * (self.segments as usize).max(8) {
            return false;
        }
        let doubled = self.directory.iter().flat_map(|&segment| [segment; 2]);
        let mut directory = Vec::with_capacity(self.directory.len() * 2);
        directory.extend(doubled);
        self.directory = directory;
        self.depth += 1;
        self.deepest = 0;
        true
    }

    /// Gives memory back after a removal, if the segment has become too big for what it holds.
    #[inline]
    fn shrink(&mut self, hash: u64, segment: Segment) {
        let (len, shape) = (segment.len(), segment.shape());
        // 65% of the shape below: well under where it would have to grow again.
        if shape > 0 && len * 20 <= capacity(shape - 1) * 13 || len == 0 {
            self.shrink_now(hash, segment);
        }
    }

    #[cold]
    fn shrink_now(&mut self, hash: u64, segment: Segment) {
        let shape = segment.shape();
        if self.len == 0 {
            *self = Table::with_hasher(self.hasher);
        } else if segment.depth() > 0 && self.merge(hash, segment) {
        } else if shape > 0 {
            self.rebuild(hash, segment, shape - 1);
        }
    }

    /// Merges a segment with its other half, if both together fill well below one segment.
    fn merge(&mut self, hash: u64, segment: Segment) -> bool {
        let depth = segment.depth();
        let side = 1u64 << (64 - depth);
        let Some(other) = self.segment(hash ^ side) else { return false };
        let len = segment.len() + other.len();
        if other.depth() != depth || len * 5 > capacity(SHAPES.len() - 1) * 3 {
            return false;
        }
        let new = Segment::new(shape_for(len), depth - 1);
        let (low, high) = if hash & side == 0 { (segment, other) } else { (other, segment) };
        for (bit, half) in [low, high].into_iter().enumerate() {
            self.segment_bytes -= segment_size(half.shape());
            half.drain(|told, entry| {
                let told = told.map(|window| (bit << WINDOW_BITS | window) >> 1);
                self.settle(new, told, entry);
            });
        }
        self.segment_bytes += segment_size(new.shape());
        self.segments -= 1;
        self.set_directory(hash, new);
        for half in [low, high] {
            // SAFETY: its slots of the directory name the whole by now.
            unsafe { half.free() };
        }
        if depth == self.depth {
            self.deepest -= 2;
            if self.deepest == 0 {
                self.halve_directory();
            }
        }
        true
    }

    /// Halves the directory as long as no segment needs its last bit.
    fn halve_directory(&mut self) {
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
            let mut deepest = 0;
            self.each_segment(|segment| deepest += u32::from(segment.depth() == self.depth));
            self.deepest = deepest;
        }
    }
}

/// Low bits of a hash that [`Table::find_by_hash`] does not look at.
pub const HASH_BITS_UNUSED: u32 = CURSOR_SHIFT;

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: each segment is named once, and the directory goes with the table.
        self.each_segment(|segment| unsafe { segment.free() });
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("segments", &self.segments)
            .field("depth", &self.depth)
            .field("bytes", &self.table_bytes())
            .finish_non_exhaustive()
    }
}

/// The entries of a table that has been taken apart, for freeing in steps.
pub struct Entries {
    segments: Vec<Segment>,
    now: Vec<Entry>,
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.now.is_empty() {
            let segment = self.segments.pop()?;
            segment.drain(|_, entry| self.now.push(entry));
            // SAFETY: it was named here only.
            unsafe { segment.free() };
        }
        self.now.pop()
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: each is named here only.
        self.segments.drain(..).for_each(|segment| unsafe { segment.free() });
    }
}

#[cfg(test)]
mod tests;
