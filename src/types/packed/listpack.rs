//! The listpack: a small sequence of strings and integers in one allocation.
//!
//! Small lists, hashes, sets, sorted sets and the blocks of streams are listpacks, and RDB files, DUMP payloads and full
//! syncs carry these very bytes, so the layout is Redis' own (specified in antirez/listpack):
//!
//! ```text
//!   [ total bytes u32 | count u16 | entry | entry | ... | 0xFF ]        both little-endian; count 65535 = "walk and see"
//!   entry = [ encoding and value | backlen ]
//!
//!   0xxxxxxx                      integer 0..127            1110hhhh llllllll  bytes   string of up to 4095 bytes
//!   10llllll bytes                string of up to 63        11110000 u32       bytes   any string
//!   110xxxxx xxxxxxxx             integer of 13 bits        11110001..11110100 i16 i24 i32 i64, little-endian
//! ```
//! The *backlen* is the size of the encoding and value in 7-bit groups, most significant first, every byte but the
//! first with its high bit set, so that it can be read from right to left: a listpack is walked both ways.
//!
//! Positions ([`Pos`]) are byte offsets; any change behind the first changed byte makes them stale. A stale position is a
//! bug, answered by a wrong value or a panic, never by a read outside the buffer. Foreign bytes enter by
//! [`Listpack::from_bytes`] alone, which checks every entry from both sides; all other code relies on it.

mod code;
#[cfg(test)]
mod tests;
mod value;

pub use value::{LpValue, Needle};

use crate::types::packed::thin::{Gap, Lent, Thin, TotalBytes};
use code::{Entry, HEADER_BYTES, MIN_BYTES};
use smallvec::SmallVec;

/// A listpack never grows past this (1 GiB): callers split or convert before.
pub const LISTPACK_BYTES_MAX: usize = 1 << 30;

const COUNT_UNKNOWN: u16 = u16::MAX;
const EMPTY: [u8; MIN_BYTES] = [7, 0, 0, 0, 0, 0, code::END];

/// The place of an entry: its byte offset in the listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(u32);

impl Pos {
    fn at(offset: usize) -> Pos {
        Pos(offset as u32)
    }

    fn offset(self) -> usize {
        self.0 as usize
    }
}

/// Why foreign bytes are not a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// An owned listpack.
#[derive(Clone)]
pub struct Listpack {
    bytes: Thin<TotalBytes>,
}

/// What an entry is made from.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// Bytes, which are stored as an integer if they are one in canonical decimal form.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

impl Listpack {
    /// An empty listpack (7 bytes).
    pub fn new() -> Listpack {
        Listpack { bytes: Thin::new(&EMPTY) }
    }

    /// Takes foreign bytes after checking all of them: sizes, count, every entry's encoding and backlen.
    pub fn from_bytes(bytes: &[u8]) -> Result<Listpack, Malformed> {
        code::validate(bytes)?;
        Ok(Listpack { bytes: Thin::new(bytes) })
    }

    /// Takes bytes that came out of [`Listpack::as_bytes`] unchanged, without checking them again.
    pub fn from_own_bytes(bytes: &[u8]) -> Listpack {
        Listpack { bytes: Thin::new(bytes) }
    }

    /// The listpack in a block that is lent.
    #[inline]
    pub fn within(lent: Lent) -> Listpack {
        Listpack { bytes: Thin::within(lent) }
    }

    /// The loan back, if the listpack is still in the block that was lent.
    #[inline]
    pub fn into_lent(self) -> Result<Lent, Listpack> {
        self.bytes.into_lent().map_err(|bytes| Listpack { bytes })
    }

    /// The same listpack in a block of its own.
    pub fn into_own(self) -> Listpack {
        Listpack { bytes: self.bytes.into_own() }
    }

    /// Gives back the room that [`Listpack::append`] reserved.
    pub fn release(&mut self) {
        self.bytes.release();
    }

    /// The bytes as RDB and DUMP carry them.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Where the bytes are, without looking at them.
    #[inline]
    pub fn address(&self) -> *const u8 {
        self.bytes.address()
    }

    /// The size in bytes of [`Listpack::as_bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes.size()
    }

    /// What the listpack takes from the allocator, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes()
    }

    /// The number of entries. O(1) below 65535, a walk beyond.
    #[inline]
    pub fn len(&self) -> usize {
        match code::count(self.as_bytes()) {
            COUNT_UNKNOWN => self.counted(),
            count => count as usize,
        }
    }

    #[cold]
    fn counted(&self) -> usize {
        self.positions().count()
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.bytes() == MIN_BYTES
    }

    /// Whether `added` further bytes would pass [`LISTPACK_BYTES_MAX`].
    pub fn would_exceed(&self, added: usize) -> bool {
        self.bytes() + added > LISTPACK_BYTES_MAX
    }

    /// The bytes that a new entry holding `value` takes.
    pub fn entry_bytes(value: &[u8]) -> usize {
        Entry::of(Item::Bytes(value)).len()
    }

    // Walking.

    /// The first entry.
    #[inline]
    pub fn first(&self) -> Option<Pos> {
        (!self.is_empty()).then_some(Pos(HEADER_BYTES as u32))
    }

    /// The last entry.
    #[inline]
    pub fn last(&self) -> Option<Pos> {
        code::before(self.as_bytes(), self.bytes() - 1).map(Pos::at)
    }

    /// The entry behind `pos`.
    #[inline]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        let bytes = self.as_bytes();
        let next = code::after(bytes, pos.offset());
        (bytes[next] != code::END).then_some(Pos::at(next))
    }

    /// The entry before `pos`.
    #[inline]
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        code::before(self.as_bytes(), pos.offset()).map(Pos::at)
    }

    /// The entry with this index; -1 is the last. Walks from the nearer end.
    pub fn seek(&self, index: i64) -> Option<Pos> {
        let count = self.len() as i64;
        let forward = if index < 0 { index + count } else { index };
        if forward < 0 || forward >= count {
            return None;
        }
        if forward <= count / 2 {
            (0..forward).try_fold(self.first()?, |pos, _| self.next(pos))
        } else {
            (forward + 1..count).try_fold(self.last()?, |pos, _| self.prev(pos))
        }
    }

    /// The value at `pos`.
    #[inline]
    pub fn get(&self, pos: Pos) -> LpValue<'_> {
        code::value(self.as_bytes(), pos.offset())
    }

    /// The value with this index; -1 is the last.
    pub fn get_at(&self, index: i64) -> Option<LpValue<'_>> {
        self.seek(index).map(|pos| self.get(pos))
    }

    /// All values, from both ends.
    pub fn iter(&self) -> Iter<'_> {
        let bytes = self.as_bytes();
        Iter { bytes, front: HEADER_BYTES, back: bytes.len() - 1 }
    }

    /// All values from `pos` to the end.
    pub fn iter_from(&self, pos: Pos) -> Iter<'_> {
        let bytes = self.as_bytes();
        Iter { bytes, front: pos.offset(), back: bytes.len() - 1 }
    }

    /// All values before `pos`.
    pub fn iter_until(&self, pos: Pos) -> Iter<'_> {
        Iter { bytes: self.as_bytes(), front: HEADER_BYTES, back: pos.offset() }
    }

    /// All values two by two: fields and values, members and scores. A last odd one is left out.
    pub fn pairs(&self) -> impl Iterator<Item = (LpValue<'_>, LpValue<'_>)> {
        let mut values = self.iter();
        std::iter::from_fn(move || Some((values.next()?, values.next()?)))
    }

    fn positions(&self) -> impl Iterator<Item = Pos> + '_ {
        std::iter::successors(self.first(), |&pos| self.next(pos))
    }

    /// The first entry equal to `needle`, looking at the first entry and then at every one `skip` entries further on
    /// (1 looks at fields only, when fields and values alternate).
    #[inline]
    pub fn find(&self, needle: &[u8], skip: usize) -> Option<Pos> {
        code::find(self.as_bytes(), HEADER_BYTES, needle, skip).map(Pos::at)
    }

    /// As [`Listpack::find`], beginning at `from`.
    pub fn find_from(&self, from: Pos, needle: &[u8], skip: usize) -> Option<Pos> {
        code::find(self.as_bytes(), from.offset(), needle, skip).map(Pos::at)
    }

    // Changing.

    /// Puts `value` behind the last entry.
    pub fn push_back(&mut self, value: &[u8]) {
        self.splice_in(self.bytes() - 1, 0, Item::Bytes(value), 1);
    }

    /// Puts an integer behind the last entry.
    pub fn push_back_int(&mut self, value: i64) {
        self.splice_in(self.bytes() - 1, 0, Item::Int(value), 1);
    }

    /// Puts two entries behind the last one, in one move.
    pub fn push_pair(&mut self, first: Item<'_>, second: Item<'_>) {
        self.insert_pair(self.bytes() - 1, first, second);
    }

    /// Puts two entries before the entry at `pos`, in one move.
    pub fn insert_pair_before(&mut self, pos: Pos, first: Item<'_>, second: Item<'_>) {
        self.insert_pair(pos.offset(), first, second);
    }

    fn insert_pair(&mut self, at: usize, first: Item<'_>, second: Item<'_>) {
        let (first, second) = (Entry::of(first), Entry::of(second));
        let ([a, b, c], [d, e, f]) = (first.parts(), second.parts());
        self.bytes.splice(at, 0, &[a, b, c, d, e, f]);
        self.add_to_count(2);
    }

    /// Puts all entries of a tail behind the last one, in one move.
    pub fn push_tail(&mut self, tail: &Tail) {
        self.bytes.splice(self.bytes() - 1, 0, &[&tail.bytes]);
        self.add_to_count(tail.count as i64);
    }

    /// Puts behind the last entry what `write` writes: entries that take `bytes` at most. Room for as much again is
    /// reserved, in a block of up to `room_max` bytes.
    pub fn append(&mut self, bytes: usize, room_max: usize, write: impl FnOnce(&mut Appender<'_, '_>)) {
        let mut count = 0;
        self.bytes.write_end(self.bytes() - 1, bytes + 1, room_max, |gap| {
            let mut appender = Appender { gap, count: 0 };
            write(&mut appender);
            count = appender.count;
            gap.push(code::END);
        });
        self.add_to_count(count);
    }

    /// Puts `value` before the first entry.
    pub fn push_front(&mut self, value: &[u8]) {
        self.splice_in(HEADER_BYTES, 0, Item::Bytes(value), 1);
    }

    /// Puts an integer before the first entry.
    pub fn push_front_int(&mut self, value: i64) {
        self.splice_in(HEADER_BYTES, 0, Item::Int(value), 1);
    }

    /// Puts `value` before the entry at `pos`, and so at `pos`.
    pub fn insert_before(&mut self, pos: Pos, value: &[u8]) {
        self.splice_in(pos.offset(), 0, Item::Bytes(value), 1);
    }

    /// Puts `value` behind the entry at `pos`; returns its place.
    pub fn insert_after(&mut self, pos: Pos, value: &[u8]) -> Pos {
        let at = code::after(self.as_bytes(), pos.offset());
        self.splice_in(at, 0, Item::Bytes(value), 1);
        Pos::at(at)
    }

    /// Puts an integer before the entry at `pos`, and so at `pos`.
    pub fn insert_before_int(&mut self, pos: Pos, value: i64) {
        self.splice_in(pos.offset(), 0, Item::Int(value), 1);
    }

    /// Replaces the entry at `pos`; the new one has the same place.
    pub fn replace(&mut self, pos: Pos, value: &[u8]) {
        if code::is_short_text_like(self.as_bytes(), pos.offset(), value) {
            return self.overwrite(pos.offset() + 1, &[value]);
        }
        let removed = code::after(self.as_bytes(), pos.offset()) - pos.offset();
        self.splice_in(pos.offset(), removed, Item::Bytes(value), 0);
    }

    /// Replaces the entry at `pos` by an integer; the new one has the same place.
    pub fn replace_int(&mut self, pos: Pos, value: i64) {
        let bytes = self.as_bytes();
        if bytes[pos.offset()] < 0x80
            && let small @ 0..=127 = value
        {
            return self.overwrite(pos.offset(), &[&[small as u8]]);
        }
        let removed = code::after(bytes, pos.offset()) - pos.offset();
        let (head, len) = code::int_head(value);
        if len + 1 == removed {
            return self.overwrite(pos.offset(), &[&head[..len]]);
        }
        self.splice_in(pos.offset(), removed, Item::Int(value), 0);
    }

    /// Puts all entries of a tail before the entry at `pos`, in one move.
    pub fn insert_tail_before(&mut self, pos: Pos, tail: &Tail) {
        self.bytes.splice(pos.offset(), 0, &[&tail.bytes]);
        self.add_to_count(tail.count as i64);
    }

    /// Moves `count` entries from `pos` on to before the entry at `target`, or to the end; `target` is none of them.
    pub fn move_entries(&mut self, pos: Pos, count: usize, target: Option<Pos>) {
        let bytes = self.as_bytes();
        let (start, end) = (pos.offset(), (0..count).fold(pos.offset(), |at, _| code::after(bytes, at)));
        let target = target.map_or(bytes.len() - 1, Pos::offset);
        let header = bytes.len() - self.bytes.body_len();
        let body = self.bytes.body_mut();
        if target < start {
            body[target - header..end - header].rotate_right(end - start);
        } else if target > end {
            body[start - header..target - header].rotate_left(end - start);
        }
    }

    /// Removes the entry at `pos`; returns the place of the one behind it.
    pub fn delete(&mut self, pos: Pos) -> Option<Pos> {
        self.delete_entries(pos, 1)
    }

    /// Removes up to `count` entries from `pos` on; returns the place of the one behind them.
    pub fn delete_entries(&mut self, pos: Pos, count: usize) -> Option<Pos> {
        let bytes = self.as_bytes();
        let (mut end, mut removed) = (pos.offset(), 0);
        while removed < count && bytes[end] != code::END {
            end = code::after(bytes, end);
            removed += 1;
        }
        self.bytes.splice(pos.offset(), end - pos.offset(), &[]);
        self.add_to_count(-(removed as i64));
        (self.as_bytes()[pos.offset()] != code::END).then_some(pos)
    }

    /// Removes up to `count` entries from the one with this index on (-1 is the last).
    pub fn delete_range(&mut self, index: i64, count: usize) {
        if let Some(pos) = self.seek(index) {
            self.delete_entries(pos, count);
        }
    }

    /// Puts all entries of `other` behind the last one.
    pub fn merge(&mut self, other: &Listpack) {
        let entries = &other.as_bytes()[HEADER_BYTES..other.bytes() - 1];
        let count = other.len() as i64;
        self.bytes.splice(self.bytes() - 1, 0, &[entries]);
        self.add_to_count(count);
    }

    /// Takes the entries from `index` on (0..=len) into a listpack of their own.
    pub fn split_off(&mut self, index: usize) -> Listpack {
        let Some(pos) = self.seek(index as i64) else { return Listpack::new() };
        let moved = self.len() - index;
        let mut tail = Listpack::new();
        tail.bytes.splice(HEADER_BYTES, 0, &[&self.as_bytes()[pos.offset()..self.bytes() - 1]]);
        tail.add_to_count(moved as i64);
        self.bytes.splice(pos.offset(), self.bytes() - 1 - pos.offset(), &[]);
        self.add_to_count(-(moved as i64));
        tail
    }

    fn splice_in(&mut self, at: usize, removed: usize, item: Item<'_>, added: i64) {
        let entry = Entry::of(item);
        if removed == entry.len() {
            return self.overwrite(at, &entry.parts());
        }
        self.bytes.splice(at, removed, &entry.parts());
        if added != 0 {
            self.add_to_count(added);
        }
    }

    /// Changes bytes within the entries.
    fn overwrite(&mut self, at: usize, parts: &[&[u8]]) {
        let header = self.bytes.size() - self.bytes.body_len();
        let mut gap = &mut self.bytes.body_mut()[at - header..];
        for part in parts {
            let (target, rest) = gap.split_at_mut(part.len());
            target.copy_from_slice(part);
            gap = rest;
        }
    }

    /// Keeps the count of the header. Once 65535 it stays so until the entries have become few enough to count again.
    fn add_to_count(&mut self, added: i64) {
        let old = match code::count(self.as_bytes()) {
            COUNT_UNKNOWN if added < 0 => self.positions().count() as i64 - added,
            COUNT_UNKNOWN => return,
            count => count as i64,
        };
        let count = u16::try_from(old + added).unwrap_or(COUNT_UNKNOWN);
        self.bytes.body_mut()[..2].copy_from_slice(&count.to_le_bytes());
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Listpack::new()
    }
}

impl std::fmt::Debug for Listpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = LpValue<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> FromIterator<&'a [u8]> for Listpack {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let mut builder = Builder::new();
        values.into_iter().for_each(|value| builder.push(value));
        builder.finish()
    }
}

/// The values of a listpack, from both ends.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iter<'a> {
    /// The place of the next value.
    #[inline]
    pub fn pos(&self) -> Option<Pos> {
        (self.front < self.back).then_some(Pos::at(self.front))
    }

    /// Steps over up to `count` values without reading them.
    pub fn skip_values(&mut self, count: usize) {
        for _ in 0..count {
            if self.front >= self.back {
                return;
            }
            self.front = code::after(self.bytes, self.front);
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = LpValue<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<LpValue<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (value, behind) = code::read(self.bytes, self.front);
        self.front = behind;
        Some(value)
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<LpValue<'a>> {
        if self.front >= self.back {
            return None;
        }
        self.back = code::before(self.bytes, self.back)?;
        Some(code::value(self.bytes, self.back))
    }
}

/// A few entries on their way to the end of a listpack.
#[derive(Default)]
pub struct Tail {
    bytes: SmallVec<[u8; 256]>,
    count: usize,
}

impl Tail {
    /// Adds an entry; canonical decimal integers are stored as integers.
    pub fn push(&mut self, value: &[u8]) {
        self.push_item(Item::Bytes(value));
    }

    /// Adds an integer.
    pub fn push_int(&mut self, value: i64) {
        self.push_item(Item::Int(value));
    }

    fn push_item(&mut self, item: Item<'_>) {
        for part in Entry::of(item).parts() {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
    }
}

/// Writes entries at the end of a listpack; see [`Listpack::append`].
pub struct Appender<'g, 'b> {
    gap: &'g mut Gap<'b>,
    count: i64,
}

impl Appender<'_, '_> {
    /// The bytes that an entry holding an integer takes.
    pub fn int_bytes(value: i64) -> usize {
        code::int_bytes(value)
    }

    /// More than an entry holding `value` takes, or as much.
    pub fn bytes_max(value: &[u8]) -> usize {
        code::bytes_max(value)
    }

    /// Adds an entry; canonical decimal integers are stored as integers.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        code::write_text(self.gap, value);
        self.count += 1;
    }

    /// Adds an integer.
    #[inline]
    pub fn push_int(&mut self, value: i64) {
        code::write_int(self.gap, value);
        self.count += 1;
    }
}

/// What a builder asks for at first.
const CAPACITY_FIRST: usize = 256;

/// Makes a listpack of many entries without moving a tail for each.
pub struct Builder {
    bytes: Vec<u8>,
    count: usize,
}

impl Builder {
    /// Nothing yet.
    pub fn new() -> Builder {
        let mut bytes = Vec::with_capacity(CAPACITY_FIRST);
        bytes.resize(HEADER_BYTES, 0);
        Builder { bytes, count: 0 }
    }

    /// Adds an entry; canonical decimal integers are stored as integers.
    pub fn push(&mut self, value: &[u8]) {
        self.push_item(Item::Bytes(value));
    }

    /// Adds an integer.
    pub fn push_int(&mut self, value: i64) {
        self.push_item(Item::Int(value));
    }

    /// Adds a value of another listpack.
    pub fn push_value(&mut self, value: LpValue<'_>) {
        match value {
            LpValue::Int(int) => self.push_int(int),
            LpValue::Str(bytes) => self.push(bytes),
        }
    }

    /// The bytes that the finished listpack would have now.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + 1
    }

    /// The number of entries so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there is no entry yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The listpack.
    pub fn finish(mut self) -> Listpack {
        self.bytes.push(code::END);
        let total = u32::try_from(self.bytes.len()).expect("a listpack stays far below 4 GiB");
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..6].copy_from_slice(&count.to_le_bytes());
        Listpack { bytes: Thin::new(&self.bytes) }
    }

    fn push_item(&mut self, item: Item<'_>) {
        for part in Entry::of(item).parts() {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}
