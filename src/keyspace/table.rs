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
//! This is one of the few files with `unsafe`: the header, the buckets and the stash of a segment are one aligned block
//! (a `Box<[Bucket]>` and a header beside it would be one more cache miss per look-up), reached by raw pointer.
#![allow(unsafe_code)]

use super::entry::{Entry, prefetch};
use crate::base::alloc::usable_size;
use crate::base::rng::Rng;
use std::alloc::{self, Layout, handle_alloc_error};
use std::ptr::NonNull;

/// Entries per bucket.
const SLOTS: usize = 7;
/// Bits of the hash that place an entry inside its segment.
const WINDOW_BITS: u32 = 14;
const WINDOWS: usize = 1 << WINDOW_BITS;
/// The low bits of a hash that a cursor leaves out.
const CURSOR_SHIFT: u32 = 24;
/// A segment is not split deeper than cursors can tell apart.
const DEPTH_MAX: u32 = 64 - CURSOR_SHIFT - WINDOW_BITS;
/// The directory has at most this many slots per segment.
const DIRECTORY_SPREAD: usize = 8;
/// Stash buckets of the biggest segment.
const STASH_MAX: usize = 6;
/// Not a home bucket.
const NO_HOME: u8 = u8::MAX;

/// Sizes of a segment: home buckets and stash buckets. With the header line they fill a size class.
const SHAPES: [(u8, u8); 11] =
    [(1, 0), (3, 0), (7, 0), (14, 1), (29, 2), (44, 3), (60, 3), (75, 4), (91, 4), (106, 5), (121, 6)];
/// From this many home buckets on, home and tag tell the whole window.
const HOMES_TELLING: usize = WINDOWS / 256;

/// One cache line of seven entries.
#[repr(C, align(64))]
struct Bucket {
    tags: [u8; SLOTS],
    /// Bit i: slot i holds an entry whose home is the bucket before. Bit 7 ([`ELSEWHERE`]): an entry at home here is in
    /// the bucket behind, in the stash or in the spill.
    marks: u8,
    slots: [Option<Entry>; SLOTS],
}
const ELSEWHERE: u8 = 1 << 7;
const _: () = assert!(size_of::<Bucket>() == 64 && size_of::<Header>() == 64);

impl Bucket {
    const EMPTY: Bucket = Bucket { tags: [0; SLOTS], marks: 0, slots: [const { None }; SLOTS] };

    /// The slots with this tag: bit 7 of byte i for slot i. Empty slots may be among them.
    #[inline]
    fn tagged(&self, tag: u8) -> u64 {
        const LOW: u64 = 0x007f_7f7f_7f7f_7f7f;
        let mut word = [0; 8];
        word[..SLOTS].copy_from_slice(&self.tags);
        let differs = u64::from_le_bytes(word) ^ u64::from_le_bytes([tag; 8]);
        // Adding 0x7f carries into bit 7 of a byte unless its low seven bits are zero; exact, no borrow between bytes.
        !(((differs & LOW) + LOW) | differs | LOW) & 0x0080_8080_8080_8080
    }
    fn free(&self) -> Option<usize> {
        self.slots.iter().position(Option::is_none)
    }
    #[inline]
    fn is_visitor(&self, slot: usize) -> bool {
        self.marks >> slot & 1 != 0
    }
    fn has_visitors(&self) -> bool {
        self.marks & !ELSEWHERE != 0
    }
    fn put(&mut self, slot: usize, tag: u8, visitor: bool, entry: Entry) {
        debug_assert!(self.slots[slot].is_none());
        self.tags[slot] = tag;
        self.marks = self.marks & !(1 << slot) | u8::from(visitor) << slot;
        self.slots[slot] = Some(entry);
    }
    fn take(&mut self, slot: usize) -> Option<Entry> {
        self.marks &= !(1 << slot);
        self.slots[slot].take()
    }
}

/// The first line of a segment.
#[repr(C, align(64))]
struct Header {
    /// Home buckets of the entries in the stash, slot by slot; [`NO_HOME`] where there is none.
    stash_homes: [u8; STASH_MAX * SLOTS],
    /// Index into [`SHAPES`].
    shape: u8,
    /// Entries in the segment, the spill included.
    len: u32,
    /// What found no place anywhere.
    #[allow(clippy::box_collection)]
    spill: Option<Box<Vec<Entry>>>,
}

/// A segment, as the directory knows it: enough to find a bucket without touching the header. Several slots of the
/// directory may name one segment; the table owns it.
#[derive(Clone, Copy)]
struct Segment {
    block: NonNull<Header>,
    homes: u16,
    /// Leading hash bits that all its entries share.
    depth: u16,
}

/// Where an entry is.
#[derive(Clone, Copy)]
enum Place {
    /// Line (home bucket, or stash bucket behind them) and slot.
    Slot(usize, usize),
    /// Index in the spill.
    Spill(usize),
}

/// All of these work on a block that is alive: the table frees a segment only when no slot of the directory names it.
/// `&self` methods only read; callers of the others hold the table exclusively.
impl Segment {
    fn new(shape: usize, depth: u32) -> Segment {
        let (homes, stash) = SHAPES[shape];
        let layout = segment_layout(shape);
        // SAFETY: the layout is not empty; every line of the block is written before it is used.
        unsafe {
            let Some(block) = NonNull::new(alloc::alloc(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            block.write(Header { stash_homes: [NO_HOME; STASH_MAX * SLOTS], shape: shape as u8, len: 0, spill: None });
            let lines = block.add(1).cast::<Bucket>();
            for line in 0..usize::from(homes) + usize::from(stash) {
                lines.add(line).write(Bucket::EMPTY);
            }
            Segment { block, homes: homes.into(), depth: depth as u16 }
        }
    }

    /// Frees the block with the entries left in it.
    fn free(self) {
        let shape = self.shape();
        // SAFETY: the caller gives up the last name of this segment; every line is dropped once, then the block goes.
        unsafe {
            for line in 0..self.lines() {
                std::ptr::drop_in_place(self.line_ptr(line));
            }
            std::ptr::drop_in_place(self.block.as_ptr());
            alloc::dealloc(self.block.as_ptr().cast(), segment_layout(shape));
        }
    }

    #[inline]
    fn homes(self) -> usize {
        self.homes.into()
    }
    #[inline]
    fn depth(self) -> u32 {
        self.depth.into()
    }
    fn shape(self) -> usize {
        self.header().shape.into()
    }
    fn stash(self) -> usize {
        SHAPES[self.shape()].1.into()
    }
    /// Home and stash buckets.
    fn lines(self) -> usize {
        self.homes() + self.stash()
    }
    fn len(self) -> usize {
        self.header().len as usize
    }

    #[inline]
    fn header<'a>(self) -> &'a Header {
        // SAFETY: the block is alive; see the head of this impl.
        unsafe { self.block.as_ref() }
    }
    #[inline]
    fn header_mut<'a>(mut self) -> &'a mut Header {
        // SAFETY: as above, and the table is held exclusively; no caller keeps two of these.
        unsafe { self.block.as_mut() }
    }
    #[inline]
    fn line_ptr(self, line: usize) -> *mut Bucket {
        debug_assert!(line < SHAPES[self.shape()].0 as usize + SHAPES[self.shape()].1 as usize);
        // SAFETY: the lines lie behind the header in the same block.
        unsafe { self.block.as_ptr().add(1).cast::<Bucket>().add(line) }
    }
    #[inline]
    fn line<'a>(self, line: usize) -> &'a Bucket {
        // SAFETY: as in `header`.
        unsafe { &*self.line_ptr(line) }
    }
    #[inline]
    fn line_mut<'a>(self, line: usize) -> &'a mut Bucket {
        // SAFETY: as in `header_mut`; callers keep at most one of each line.
        unsafe { &mut *self.line_ptr(line) }
    }

    #[inline]
    fn window(self, hash: u64) -> usize {
        (hash << self.depth() >> (64 - WINDOW_BITS)) as usize
    }
    #[inline]
    fn home(self, window: usize) -> usize {
        window * self.homes() >> WINDOW_BITS
    }
    /// The first window whose home is this bucket.
    fn first_window(self, home: usize) -> usize {
        (home << WINDOW_BITS).div_ceil(self.homes())
    }
    #[inline]
    fn after(self, home: usize) -> usize {
        if home + 1 == self.homes() { 0 } else { home + 1 }
    }
    fn before(self, home: usize) -> usize {
        if home == 0 { self.homes() - 1 } else { home - 1 }
    }

    // ---- Finding ----

    #[inline]
    fn find(self, hash: u64, mut wanted: impl FnMut(&Entry) -> bool) -> Option<Place> {
        let window = self.window(hash);
        let (home, tag) = (self.home(window), window as u8);
        let bucket = self.line(home);
        if let Some(slot) = find_in(bucket, tag, false, &mut wanted) {
            return Some(Place::Slot(home, slot));
        }
        if bucket.marks & ELSEWHERE == 0 {
            return None;
        }
        let next = self.after(home);
        if let Some(slot) = find_in(self.line(next), tag, true, &mut wanted) {
            return Some(Place::Slot(next, slot));
        }
        self.find_beyond(home, tag, &mut wanted)
    }

    /// Looks in the stash and in the spill.
    fn find_beyond(self, home: usize, tag: u8, wanted: &mut impl FnMut(&Entry) -> bool) -> Option<Place> {
        let header = self.header();
        for (at, _) in header.stash_homes.iter().enumerate().filter(|(_, h)| usize::from(**h) == home) {
            let (line, slot) = (self.homes() + at / SLOTS, at % SLOTS);
            let bucket = self.line(line);
            if bucket.tags[slot] == tag && bucket.slots[slot].as_ref().is_some_and(&mut *wanted) {
                return Some(Place::Slot(line, slot));
            }
        }
        header.spill.as_ref()?.iter().position(wanted).map(Place::Spill)
    }

    #[inline]
    fn entry<'a>(self, place: Place) -> Option<&'a Entry> {
        match place {
            Place::Slot(line, slot) => self.line(line).slots[slot].as_ref(),
            Place::Spill(at) => self.header().spill.as_ref()?.get(at),
        }
    }
    #[inline]
    fn entry_mut<'a>(self, place: Place) -> Option<&'a mut Entry> {
        match place {
            Place::Slot(line, slot) => self.line_mut(line).slots[slot].as_mut(),
            Place::Spill(at) => self.header_mut().spill.as_mut()?.get_mut(at),
        }
    }

    // ---- Placing ----

    /// Puts an entry, or gives it back when there is no place.
    fn place(self, window: usize, entry: Entry) -> Result<Place, Entry> {
        match self.make_place(window) {
            Some((line, slot, visitor)) => {
                self.line_mut(line).put(slot, window as u8, visitor, entry);
                self.header_mut().len += 1;
                Ok(Place::Slot(line, slot))
            }
            None => Err(entry),
        }
    }

    /// A free line and slot for an entry of this window, and whether it is a visitor there.
    fn make_place(self, window: usize) -> Option<(usize, usize, bool)> {
        let home = self.home(window);
        if let Some(slot) = self.line(home).free() {
            return Some((home, slot, false));
        }
        let next = self.after(home);
        if next != home {
            if let Some(slot) = self.line(next).free() {
                self.line_mut(home).marks |= ELSEWHERE;
                return Some((next, slot, true));
            }
            if let Some(slot) = self.send_visitor_home(home) {
                return Some((home, slot, false));
            }
            if let Some(slot) = self.send_resident_on(next) {
                self.line_mut(home).marks |= ELSEWHERE;
                return Some((next, slot, true));
            }
        }
        let at = self.header().stash_homes[..self.stash() * SLOTS].iter().position(|&h| h == NO_HOME)?;
        self.header_mut().stash_homes[at] = home as u8;
        self.line_mut(home).marks |= ELSEWHERE;
        Some((self.homes() + at / SLOTS, at % SLOTS, false))
    }

    /// Frees a slot of a full bucket by moving a visitor back to its home, if that has room again.
    fn send_visitor_home(self, line: usize) -> Option<usize> {
        let home = self.before(line);
        let free = self.line(home).free()?;
        let slot = (0..SLOTS).find(|&s| self.line(line).is_visitor(s))?;
        self.shift(line, slot, home, free, false);
        Some(slot)
    }

    /// Frees a slot of a full bucket by moving one of its own entries to the bucket behind, if that has room.
    fn send_resident_on(self, line: usize) -> Option<usize> {
        let next = self.after(line);
        let free = self.line(next).free()?;
        let slot = (0..SLOTS).find(|&s| !self.line(line).is_visitor(s))?;
        self.shift(line, slot, next, free, true);
        self.line_mut(line).marks |= ELSEWHERE;
        Some(slot)
    }

    fn shift(self, from: usize, slot: usize, to: usize, free: usize, visitor: bool) {
        let tag = self.line(from).tags[slot];
        if let Some(entry) = self.line_mut(from).take(slot) {
            self.line_mut(to).put(free, tag, visitor, entry);
        }
    }

    fn spill(self, window: usize, entry: Entry) -> Place {
        self.line_mut(self.home(window)).marks |= ELSEWHERE;
        let header = self.header_mut();
        header.len += 1;
        let spill = header.spill.get_or_insert_default();
        spill.push(entry);
        Place::Spill(spill.len() - 1)
    }

    // ---- Taking ----

    fn take(self, hash: u64, place: Place) -> Option<Entry> {
        let home = self.home(self.window(hash));
        let entry = match place {
            Place::Slot(line, slot) => self.line_mut(line).take(slot)?,
            Place::Spill(at) => {
                let header = self.header_mut();
                let entry = header.spill.as_mut()?.swap_remove(at);
                header.spill.take_if(|s| s.is_empty());
                entry
            }
        };
        self.header_mut().len -= 1;
        if let Place::Slot(line, slot) = place
            && line >= self.homes()
        {
            self.header_mut().stash_homes[(line - self.homes()) * SLOTS + slot] = NO_HOME;
        }
        if self.line(home).marks & ELSEWHERE != 0 {
            self.call_home(home);
        }
        Some(entry)
    }

    /// Moves an entry that is away into its home bucket if there is room, and notes when none is away any more.
    fn call_home(self, home: usize) {
        let next = self.after(home);
        if let Some(free) = self.line(home).free() {
            if let Some(slot) = (0..SLOTS).find(|&s| self.line(next).is_visitor(s)) {
                self.shift(next, slot, home, free, false);
            } else if let Some(at) = self.stashed(home) {
                self.header_mut().stash_homes[at] = NO_HOME;
                self.shift(self.homes() + at / SLOTS, at % SLOTS, home, free, false);
            }
        }
        if !self.line(next).has_visitors() && self.stashed(home).is_none() && self.header().spill.is_none() {
            self.line_mut(home).marks &= !ELSEWHERE;
        }
    }

    /// A place in the stash with an entry of this home.
    fn stashed(self, home: usize) -> Option<usize> {
        self.header().stash_homes.iter().position(|&h| usize::from(h) == home)
    }

    // ---- All entries ----

    /// Home of the entry in a slot.
    fn home_of(self, line: usize, slot: usize) -> usize {
        if line >= self.homes() {
            self.header().stash_homes[(line - self.homes()) * SLOTS + slot].into()
        } else if self.line(line).is_visitor(slot) {
            self.before(line)
        } else {
            line
        }
    }

    /// The window of an entry with this home and tag, if they tell.
    fn told_window(self, home: usize, tag: u8) -> Option<usize> {
        if self.homes() < HOMES_TELLING {
            return None;
        }
        let first = self.first_window(home);
        let window = first & !0xff | usize::from(tag);
        Some(if window < first { window + 256 } else { window })
    }

    /// Takes every entry out, each with its window if that can be told without its key. The segment must then be freed.
    fn drain(self, mut each: impl FnMut(Option<usize>, Entry)) {
        for line in 0..self.lines() {
            for slot in 0..SLOTS {
                let told = self.told_window_at(line, slot);
                if let Some(entry) = self.line_mut(line).slots[slot].take() {
                    each(told, entry);
                }
            }
        }
        for entry in self.header_mut().spill.take().into_iter().flat_map(|s| *s) {
            each(None, entry);
        }
    }
    fn told_window_at(self, line: usize, slot: usize) -> Option<usize> {
        self.line(line).slots[slot].as_ref()?;
        self.told_window(self.home_of(line, slot), self.line(line).tags[slot])
    }

    /// Visits the entries of one home bucket, wherever they are, each with its window if that can be told.
    fn visit_home(self, home: usize, mut each: impl FnMut(Option<usize>, &Entry)) {
        let next = self.after(home);
        let mut visit = |line: usize, slot: usize| {
            let bucket = self.line(line);
            if let Some(entry) = &bucket.slots[slot] {
                each(self.told_window(home, bucket.tags[slot]), entry);
            }
        };
        for slot in (0..SLOTS).filter(|&s| !self.line(home).is_visitor(s)) {
            visit(home, slot);
        }
        if self.line(home).marks & ELSEWHERE == 0 {
            return;
        }
        for slot in (0..SLOTS).filter(|&s| self.line(next).is_visitor(s)) {
            visit(next, slot);
        }
        for (at, _) in self.header().stash_homes.iter().enumerate().filter(|(_, h)| usize::from(**h) == home) {
            visit(self.homes() + at / SLOTS, at % SLOTS);
        }
    }
}

#[inline]
fn find_in(bucket: &Bucket, tag: u8, visitor: bool, wanted: &mut impl FnMut(&Entry) -> bool) -> Option<usize> {
    let mut candidates = bucket.tagged(tag);
    while candidates != 0 {
        let slot = candidates.trailing_zeros() as usize / 8;
        if bucket.is_visitor(slot) == visitor && bucket.slots[slot].as_ref().is_some_and(&mut *wanted) {
            return Some(slot);
        }
        candidates &= candidates - 1;
    }
    None
}

/// Bytes of a segment of this shape.
fn segment_size(shape: usize) -> usize {
    (1 + usize::from(SHAPES[shape].0) + usize::from(SHAPES[shape].1)) * 64
}
fn segment_layout(shape: usize) -> Layout {
    Layout::from_size_align(segment_size(shape), 64).expect("64 is a power of two and the size small")
}
/// Slots of a segment of this shape.
fn capacity(shape: usize) -> usize {
    (usize::from(SHAPES[shape].0) + usize::from(SHAPES[shape].1)) * SLOTS
}
/// The smallest shape that this many entries fill to at most 80%.
fn shape_for(len: usize) -> usize {
    (0..SHAPES.len() - 1).find(|&shape| len * 5 <= capacity(shape) * 4).unwrap_or(SHAPES.len() - 1)
}

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

// SAFETY: a table owns its segments and their entries, and entries may move between threads.
unsafe impl Send for Table where Entry: Send {}

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
        segment.entry(segment.find(hash, |entry| entry.key() == key)?)
    }
    /// The entry of a key, for change of anything but its key.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        let segment = self.segment(hash)?;
        segment.entry_mut(segment.find(hash, |entry| entry.key() == key)?)
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
        let place = segment.find(hash, |entry| entry.key() == key)?;
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
            prefetch(segment.line_ptr(segment.home(segment.window(hash))));
        }
    }
    /// Second stage, when that line has had time to come: asks for the entry that has this tag.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            let window = segment.window(hash);
            let home = segment.home(window);
            let bucket = segment.line(home);
            if !prefetch_in(bucket, window as u8, false) && bucket.marks & ELSEWHERE != 0 {
                prefetch_in(segment.line(segment.after(home)), window as u8, true);
            }
        }
    }

    // ---- Walking ----

    /// Visits the entries of the next home buckets in hash order from `cursor` on, until at least one entry was visited
    /// or 64 buckets were looked at. Begins with cursor 0; returns the cursor to go on with, 0 at the end. Cursors are
    /// below 2^40.
    pub fn scan(&self, cursor: u64, mut each: impl FnMut(&Entry)) -> u64 {
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
    fn scan_bucket(&self, position: u64, mut each: impl FnMut(&Entry)) -> u64 {
        let Some(segment) = self.segment(position) else { return 0 };
        let start = segment.window(position);
        let home = segment.home(start);
        let mut visit = |told: Option<usize>, entry: &Entry| {
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
        let line = (draw >> 16) as u16 as usize * longest >> 16;
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
    pub fn sample(&self, count: usize, rng: &mut Rng, mut each: impl FnMut(&Entry)) {
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
        old.free();
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
        old.free();
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
            half.free();
        }
        self.segment_bytes += segment_size(new.shape());
        self.segments -= 1;
        self.set_directory(hash, new);
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
        self.each_segment(Segment::free);
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

#[inline]
fn prefetch_in(bucket: &Bucket, tag: u8, visitor: bool) -> bool {
    let mut candidates = bucket.tagged(tag);
    while candidates != 0 {
        let slot = candidates.trailing_zeros() as usize / 8;
        if bucket.is_visitor(slot) == visitor
            && let Some(entry) = &bucket.slots[slot]
        {
            entry.prefetch();
            return true;
        }
        candidates &= candidates - 1;
    }
    false
}

/// The entries of a table that has been taken apart, for freeing in steps.
pub struct Entries {
    segments: Vec<Segment>,
    now: Vec<Entry>,
}

// SAFETY: as for Table.
unsafe impl Send for Entries where Entry: Send {}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.now.is_empty() {
            let segment = self.segments.pop()?;
            segment.drain(|_, entry| self.now.push(entry));
            segment.free();
        }
        self.now.pop()
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.segments.drain(..).for_each(Segment::free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::key_hash;
    use crate::types::string::NewStr;
    use std::collections::{HashMap, HashSet};

    fn entry(key: &[u8], value: i64) -> Entry {
        Entry::new_str(key, &NewStr::Int(value), None)
    }
    fn number(entry: &Entry) -> i64 {
        entry.str().and_then(|s| s.as_int()).expect("an integer")
    }
    fn key(n: usize) -> Vec<u8> {
        format!("key:{n}").into_bytes()
    }
    fn table_of(range: std::ops::Range<usize>) -> Table {
        let mut table = Table::new();
        for n in range {
            table.insert(key_hash(&key(n)), entry(&key(n), n as i64));
        }
        table
    }
    fn drop_keys(table: &mut Table, range: std::ops::Range<usize>) {
        for n in range {
            table.remove(key_hash(&key(n)), &key(n)).expect("was inserted");
        }
    }
    const MANY: usize = if cfg!(miri) { 900 } else { 60_000 };

    #[test]
    fn what_goes_in_is_found_and_comes_out() {
        let mut table = table_of(0..MANY);
        assert_eq!(table.len(), MANY);
        for n in 0..MANY {
            assert_eq!(table.get(key_hash(&key(n)), &key(n)).map(number), Some(n as i64));
        }
        assert!(table.get(key_hash(b"other"), b"other").is_none());
        drop_keys(&mut table, 0..MANY);
        assert!(table.is_empty());
        assert_eq!(table.table_bytes(), 0, "an empty table holds no memory");
    }

    #[test]
    fn an_empty_table_answers() {
        let mut table = Table::new();
        assert!(table.get(1, b"k").is_none() && table.get_mut(1, b"k").is_none() && table.remove(1, b"k").is_none());
        assert_eq!(table.scan(0, |_| ()), 0);
        assert!(table.random(&mut Rng::from_seed(7)).is_none());
        table.sample(5, &mut Rng::from_seed(7), |_| panic!("nothing to sample"));
        table.prefetch_bucket(3);
        table.prefetch_entry(3);
        assert_eq!(table.into_entries().count(), 0);
    }

    /// Random work against a model, under a good hash function and under ones that crowd segments and buckets.
    #[test]
    fn random_work_agrees_with_a_model() {
        fn crowded_windows(key: &[u8]) -> u64 {
            key_hash(key) & !(0x3fff << 40)
        }
        fn crowded_segments(key: &[u8]) -> u64 {
            key_hash(key) >> 9
        }
        fn all_alike(_: &[u8]) -> u64 {
            0x1234_5678_9abc_def0
        }
        let hashers: [(fn(&[u8]) -> u64, usize); 4] =
            [(key_hash, MANY), (crowded_windows, MANY / 4), (crowded_segments, MANY / 4), (all_alike, 300)];
        for (which, (hasher, keys)) in hashers.into_iter().enumerate() {
            let seed = 77 + which as u64;
            let mut random = Rng::from_seed(seed);
            let mut table = Table::with_hasher(hasher);
            let mut model: HashMap<Vec<u8>, i64> = HashMap::new();
            for step in 0..keys as u64 * 6 {
                // Grows, then shrinks, then grows again.
                let growing = step / (keys as u64 * 2) % 2 == 0;
                let k = key(random.index(keys));
                let hash = hasher(&k);
                if random.below(4) < if growing { 3 } else { 1 } {
                    let old = table.replace(hash, entry(&k, step as i64));
                    assert_eq!(old.as_ref().map(number), model.insert(k, step as i64), "seed {seed} step {step}");
                } else {
                    let old = table.remove(hash, &k);
                    assert_eq!(old.as_ref().map(number), model.remove(&k), "seed {seed} step {step}");
                }
                assert_eq!(table.len(), model.len());
            }
            for (k, v) in &model {
                assert_eq!(table.get(hasher(k), k).map(number), Some(*v), "seed {seed}");
                table.get_mut(hasher(k), k).expect("still there").set_expiry(Some(1));
            }
            let mut seen = HashSet::new();
            let mut cursor = 0;
            loop {
                cursor = table.scan(cursor, |e| assert!(seen.insert(e.key().to_vec()), "seen twice while at rest"));
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.len(), model.len(), "seed {seed}");
            if let Some(chosen) = table.random(&mut random) {
                assert!(model.contains_key(chosen.key()));
            }
            assert_eq!(table.into_entries().count(), model.len());
        }
    }

    #[test]
    fn a_scan_sees_what_stays_however_the_table_changes() {
        let stay = if cfg!(miri) { 60 } else { 3_000 };
        let come = MANY;
        for growing in [true, false] {
            let mut table = table_of(0..stay);
            if !growing {
                (stay..come).for_each(|n| {
                    table.insert(key_hash(&key(n)), entry(&key(n), 0));
                });
            }
            let (mut cursor, mut seen, mut next, mut steps) = (0, HashSet::new(), stay, 0);
            loop {
                cursor = table.scan(cursor, |e| {
                    seen.insert(e.key().to_vec());
                });
                assert!(cursor < 1 << 40);
                steps += 1;
                if cursor == 0 {
                    break;
                }
                for n in next..come.min(next + come / 400) {
                    if growing {
                        table.insert(key_hash(&key(n)), entry(&key(n), 0));
                    } else {
                        drop_keys(&mut table, n..n + 1);
                    }
                    next = n + 1;
                }
            }
            assert!((0..stay).all(|n| seen.contains(&key(n))), "growing {growing}, {steps} steps");
        }
    }

    #[test]
    fn random_entries_are_uniform() {
        let keys = if cfg!(miri) { 40 } else { 5_000 };
        let draws_each = if cfg!(miri) { 3 } else { 100 };
        let table = table_of(0..keys);
        let mut random = Rng::from_seed(5);
        let mut drawn = vec![0usize; keys];
        for _ in 0..keys * draws_each {
            drawn[number(table.random(&mut random).expect("not empty")) as usize] += 1;
        }
        let expected = draws_each as f64;
        let chi2: f64 = drawn.iter().map(|&d| (d as f64 - expected).powi(2) / expected).sum();
        // The mean of this sum is `keys` and its standard deviation sqrt(2 keys); five of them.
        assert!(cfg!(miri) || (chi2 - keys as f64).abs() < 5.0 * (2.0 * keys as f64).sqrt(), "chi2 {chi2}");
    }

    #[test]
    fn samples_reach_everybody() {
        let keys = if cfg!(miri) { 30 } else { 2_000 };
        let table = table_of(0..keys);
        let mut random = Rng::from_seed(6);
        let mut seen = HashSet::new();
        for _ in 0..keys * 4 {
            let mut got = 0;
            table.sample(5, &mut random, |e| {
                got += 1;
                seen.insert(number(e));
            });
            assert_eq!(got, 5);
        }
        assert!(seen.len() * 100 > keys * 99, "{} of {keys}", seen.len());
    }

    #[test]
    fn a_nearly_empty_table_still_draws() {
        let mut table = table_of(0..MANY);
        drop_keys(&mut table, 1..MANY);
        assert_eq!(table.random(&mut Rng::from_seed(1)).map(number), Some(0));
        assert!(table.table_bytes() < 1024, "{table:?}");
    }

    #[test]
    fn a_prefix_of_the_hash_finds_the_entry() {
        let table = table_of(0..MANY);
        for n in (0..MANY).step_by(7) {
            let prefix = key_hash(&key(n)) >> HASH_BITS_UNUSED << HASH_BITS_UNUSED;
            assert!(table.find_by_hash(prefix, |e| e.key() == key(n)).is_some());
        }
    }

    #[test]
    fn memory_follows_the_number_of_keys() {
        let mut table = Table::new();
        let mut worst: f64 = 0.0;
        for n in 0..200_000 {
            table.insert(key_hash(&key(n)), entry(&key(n), 0));
            if n > 20_000 && n % 1000 == 0 {
                worst = worst.max(table.table_bytes() as f64 / n as f64);
            }
        }
        assert!(worst < 14.5, "{worst} bytes per key");
        drop_keys(&mut table, 0..100_000);
        assert!(table.table_bytes() < 100_000 * 20, "{table:?}");
    }

    #[test]
    fn a_flood_of_neighbours_does_not_blow_up_the_directory() {
        fn neighbours(key: &[u8]) -> u64 {
            0xffff_ffff << 32 | key_hash(key) >> 32
        }
        let mut table = Table::with_hasher(neighbours);
        for n in 0..3_000 {
            table.insert(neighbours(&key(n)), entry(&key(n), n as i64));
        }
        assert!(table.table_bytes() < 3_000 * 64, "{table:?}");
        assert!((0..3_000).all(|n| table.get(neighbours(&key(n)), &key(n)).is_some()));
    }
}
