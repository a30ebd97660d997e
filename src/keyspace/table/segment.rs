//! A segment: header, home buckets and stash in one block of cache lines. Its place in the table, and the reasons for
//! its layout, are told in `table.rs`.
//!
//! `unsafe` for the block: a `Box<[Bucket]>` and a header beside it would be one more cache miss per look-up.
#![allow(unsafe_code)]

use crate::keyspace::entry::{Entry, prefetch};
use std::alloc::{self, Layout, handle_alloc_error};
use std::ptr::NonNull;

/// Entries per bucket.
pub(super) const SLOTS: usize = 7;
/// Bits of the hash that place an entry inside its segment.
pub(super) const WINDOW_BITS: u32 = 14;
const WINDOWS: usize = 1 << WINDOW_BITS;
/// Stash buckets of the biggest segment.
const STASH_MAX: usize = 6;
/// Not a home bucket.
const NO_HOME: u8 = u8::MAX;

/// Sizes of a segment: home buckets and stash buckets. With the header line they fill a size class.
pub(super) const SHAPES: [(u8, u8); 11] =
    [(1, 0), (3, 0), (7, 0), (14, 1), (29, 2), (44, 3), (60, 3), (75, 4), (91, 4), (106, 5), (121, 6)];
/// From this many home buckets on, home and tag tell the whole window.
const HOMES_TELLING: usize = WINDOWS / 256;

/// One cache line of seven entries.
#[repr(C, align(64))]
pub(super) struct Bucket {
    tags: [u8; SLOTS],
    /// Bit i: slot i holds an entry whose home is the bucket before. Bit 7 ([`ELSEWHERE`]): an entry at home here is in
    /// the bucket behind, in the stash or in the spill.
    marks: u8,
    pub(super) slots: [Option<Entry>; SLOTS],
}
pub(super) const ELSEWHERE: u8 = 1 << 7;
const _: () = assert!(size_of::<Bucket>() == 64 && size_of::<Header>() == 64);

impl Bucket {
    const EMPTY: Bucket = Bucket { tags: [0; SLOTS], marks: 0, slots: [const { None }; SLOTS] };

    /// The slots with this tag, those of visitors or those of residents: bit 7 of byte i for slot i. Empty slots may be
    /// among them.
    #[inline]
    fn tagged(&self, tag: u8, visitors: bool) -> u64 {
        const LOW: u64 = 0x007f_7f7f_7f7f_7f7f;
        const TOP: u64 = 0x0080_8080_8080_8080;
        let mut word = [0; 8];
        word[..SLOTS].copy_from_slice(&self.tags);
        let differs = u64::from_le_bytes(word) ^ u64::from_le_bytes([tag; 8]);
        // Adding 0x7f carries into bit 7 of a byte unless its low seven bits are zero; exact, no borrow between bytes.
        let equal = !(((differs & LOW) + LOW) | differs | LOW);
        // Copies of the marks, seven bits apart, put mark i on bit 7 of byte i.
        let marked = u64::from(self.marks & !ELSEWHERE) * (0x0002_0408_1020_4081 << 7);
        equal & TOP & if visitors { marked } else { !marked }
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
pub(super) struct Header {
    /// Home buckets of the entries in the stash, slot by slot; [`NO_HOME`] where there is none.
    stash_homes: [u8; STASH_MAX * SLOTS],
    /// Index into [`SHAPES`].
    shape: u8,
    /// Entries in the segment, the spill included.
    len: u32,
    /// What found no place anywhere.
    #[allow(clippy::box_collection)]
    pub(super) spill: Option<Box<Vec<Entry>>>,
}

/// A segment, as the directory knows it: enough to find a bucket without touching the header. Several slots of the
/// directory may name one segment; the table owns it.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    block: NonNull<Header>,
    homes: u16,
    /// Leading hash bits that all its entries share.
    depth: u16,
}

/// Where an entry is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Line (home bucket, or stash bucket behind them) and slot.
    Slot(usize, usize),
    /// Index in the spill.
    Spill(usize),
}

// SAFETY: a segment names its block as a Box would, and entries may move between threads. The table that owns it sees to
// it that one thread at a time uses it.
unsafe impl Send for Segment where Entry: Send {}

/// All of these work on a block that is alive: the table frees a segment only when no slot of the directory names it.
/// Those that hand out `&mut` or change something are called while the table is held exclusively.
impl Segment {
    pub(super) fn new(shape: usize, depth: u32) -> Segment {
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
    ///
    /// # Safety
    /// No copy of this segment is used afterwards.
    pub(super) unsafe fn free(self) {
        let shape = self.shape();
        // SAFETY: by the caller; every line is dropped once, then the block goes.
        unsafe {
            for line in 0..self.lines() {
                std::ptr::drop_in_place(self.line_ptr(line));
            }
            std::ptr::drop_in_place(self.block.as_ptr());
            alloc::dealloc(self.block.as_ptr().cast(), segment_layout(shape));
        }
    }

    #[inline]
    pub(super) fn homes(self) -> usize {
        self.homes.into()
    }
    #[inline]
    pub(super) fn depth(self) -> u32 {
        self.depth.into()
    }
    pub(super) fn shape(self) -> usize {
        self.header().shape.into()
    }
    fn stash(self) -> usize {
        SHAPES[self.shape()].1.into()
    }
    /// Home and stash buckets.
    pub(super) fn lines(self) -> usize {
        self.homes() + self.stash()
    }
    pub(super) fn len(self) -> usize {
        self.header().len as usize
    }

    #[inline]
    pub(super) fn header<'a>(self) -> &'a Header {
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
    pub(super) fn line<'a>(self, line: usize) -> &'a Bucket {
        // SAFETY: as in `header`.
        unsafe { &*self.line_ptr(line) }
    }
    #[inline]
    fn line_mut<'a>(self, line: usize) -> &'a mut Bucket {
        // SAFETY: as in `header_mut`; callers keep at most one of each line.
        unsafe { &mut *self.line_ptr(line) }
    }

    #[inline]
    pub(super) fn window(self, hash: u64) -> usize {
        (hash << self.depth() >> (64 - WINDOW_BITS)) as usize
    }
    #[inline]
    pub(super) fn home(self, window: usize) -> usize {
        (window * self.homes()) >> WINDOW_BITS
    }
    /// The first window whose home is this bucket.
    pub(super) fn first_window(self, home: usize) -> usize {
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
    pub(super) fn find(self, hash: u64, mut wanted: impl FnMut(&Entry) -> bool) -> Option<Place> {
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
    pub(super) fn entry<'a>(self, place: Place) -> Option<&'a Entry> {
        match place {
            Place::Slot(line, slot) => self.line(line).slots[slot].as_ref(),
            Place::Spill(at) => self.header().spill.as_ref()?.get(at),
        }
    }
    #[inline]
    pub(super) fn entry_mut<'a>(self, place: Place) -> Option<&'a mut Entry> {
        match place {
            Place::Slot(line, slot) => self.line_mut(line).slots[slot].as_mut(),
            Place::Spill(at) => self.header_mut().spill.as_mut()?.get_mut(at),
        }
    }

    /// Asks for the line with the tags of this hash.
    #[inline]
    pub(super) fn prefetch_bucket(self, hash: u64) {
        prefetch(self.line_ptr(self.home(self.window(hash))));
    }

    /// Asks for the first entry that has the tag of this hash.
    #[inline]
    pub(super) fn prefetch_entry(self, hash: u64) {
        self.touch(hash, Entry::prefetch_value);
    }

    /// Asks for the collection of the first entry that has the tag of this hash.
    #[inline]
    pub(super) fn prefetch_collection(self, hash: u64) {
        self.touch(hash, Entry::prefetch_collection);
    }

    /// Asks for the end of the stream that the first entry with the tag of this hash holds.
    #[inline]
    pub(super) fn prefetch_end(self, hash: u64) {
        self.touch(hash, Entry::prefetch_end);
    }

    #[inline]
    fn touch(self, hash: u64, prefetch: fn(&Entry)) {
        let window = self.window(hash);
        let (home, tag) = (self.home(window), window as u8);
        let touch = |entry: &Entry| {
            prefetch(entry);
            true
        };
        let bucket = self.line(home);
        if find_in(bucket, tag, false, &mut { touch }).is_none() && bucket.marks & ELSEWHERE != 0 {
            find_in(self.line(self.after(home)), tag, true, &mut { touch });
        }
    }

    // ---- Placing ----

    /// Puts an entry, or gives it back when there is no place.
    pub(super) fn place(self, window: usize, entry: Entry) -> Result<Place, Entry> {
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

    pub(super) fn spill(self, window: usize, entry: Entry) -> Place {
        self.line_mut(self.home(window)).marks |= ELSEWHERE;
        let header = self.header_mut();
        header.len += 1;
        let spill = header.spill.get_or_insert_default();
        spill.push(entry);
        Place::Spill(spill.len() - 1)
    }

    // ---- Taking ----

    pub(super) fn take(self, hash: u64, place: Place) -> Option<Entry> {
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
    pub(super) fn drain(self, mut each: impl FnMut(Option<usize>, Entry)) {
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
    pub(super) fn visit_home<'a>(self, home: usize, mut each: impl FnMut(Option<usize>, &'a Entry)) {
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

#[inline(always)]
fn find_in(bucket: &Bucket, tag: u8, visitors: bool, wanted: &mut impl FnMut(&Entry) -> bool) -> Option<usize> {
    let mut tagged = bucket.tagged(tag, visitors);
    while tagged != 0 {
        let slot = tagged.trailing_zeros() as usize / 8;
        if bucket.slots[slot].as_ref().is_some_and(&mut *wanted) {
            return Some(slot);
        }
        tagged &= tagged - 1;
    }
    None
}

/// Bytes of a segment of this shape.
pub(super) fn segment_size(shape: usize) -> usize {
    (1 + usize::from(SHAPES[shape].0) + usize::from(SHAPES[shape].1)) * 64
}
fn segment_layout(shape: usize) -> Layout {
    Layout::from_size_align(segment_size(shape), 64).expect("64 is a power of two and the size small")
}
/// Slots of a segment of this shape.
pub(super) fn capacity(shape: usize) -> usize {
    (usize::from(SHAPES[shape].0) + usize::from(SHAPES[shape].1)) * SLOTS
}
/// The smallest shape that this many entries fill to at most 80%.
pub(super) fn shape_for(len: usize) -> usize {
    (0..SHAPES.len() - 1).find(|&shape| len * 5 <= capacity(shape) * 4).unwrap_or(SHAPES.len() - 1)
}
