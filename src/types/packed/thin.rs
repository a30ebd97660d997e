//! A byte buffer that knows its length by its own first bytes, alone in a block or behind something else in it.
//!
//! The length is read from the buffer itself (a listpack and an intset both begin with what tells their size), and the
//! block is as long as what is in it, so rounding up is the allocator's: it costs no memory, and a growing buffer moves
//! only when it leaves its size class.
//!
//! ```text
//!   block ──► [ somebody else's | header: tells the length | body ............ | room, where reserved ]
//!             0                 before                     + HEADER            + len          reserved
//! ```
//! *before*: a key and its small collection share one block. While the collection is looked at or changed, the block is
//! [lent](Lent) to a buffer, which carries what lies before it along when it grows; afterwards the keyspace takes the
//! block back. *reserved*: a buffer that is appended to all the time may ask for room ahead ([`Thin::reserve`]).
//!
//! This is one of the few files with `unsafe`: no safe buffer can share its block, and every small collection is one.
//! Everything outside this file is safe code over `&[u8]`: the header changes only in [`Thin::splice`], which keeps it
//! in step with the length.
#![allow(unsafe_code)]

use std::alloc::{self, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

/// The bytes the allocator hands out for a buffer of `len` bytes: the next of 8, 16, .. 64, 80, 96, 112, 128, 160 ..
/// (quantum 8, four classes per doubling), never less than 8.
pub fn capacity_for(len: usize) -> usize {
    if len <= 64 {
        return len.max(1).next_multiple_of(8);
    }
    let doubling = usize::BITS - 1 - (len - 1).leading_zeros();
    len.next_multiple_of(1 << (doubling - 2))
}

/// How a buffer tells its own length.
///
/// # Safety
/// `len` must be a pure function of the first `HEADER` bytes and at least `HEADER`; `HEADER` is at most 8.
pub unsafe trait Layout {
    /// How many bytes at the front decide the length.
    const HEADER: usize;
    /// The length of the buffer that starts with `header` (`HEADER` bytes).
    fn len(header: &[u8]) -> usize;
    /// Changes `header` so that [`Layout::len`] of it is `len`; the rest of its meaning stays.
    fn stamp(header: &mut [u8], len: usize);
}

/// A listpack: the first four bytes are the total length, little-endian.
pub enum TotalBytes {}

// SAFETY: `len` depends on the four header bytes alone and is raised to at least HEADER.
unsafe impl Layout for TotalBytes {
    const HEADER: usize = 4;

    #[inline]
    fn len(header: &[u8]) -> usize {
        (u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize).max(4)
    }

    fn stamp(header: &mut [u8], len: usize) {
        let total = u32::try_from(len).expect("a listpack stays far below 4 GiB");
        header.copy_from_slice(&total.to_le_bytes());
    }
}

/// An intset: bytes per integer, then how many integers, both `u32` little-endian, then the integers.
pub enum WidthTimesCount {}

// SAFETY: `len` depends on the eight header bytes alone and is at least HEADER.
unsafe impl Layout for WidthTimesCount {
    const HEADER: usize = 8;

    #[inline]
    fn len(header: &[u8]) -> usize {
        let width = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let count = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        width * count + 8
    }

    fn stamp(header: &mut [u8], len: usize) {
        let width = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let count = u32::try_from((len - 8) / width).expect("an intset stays far below 4 Gi integers");
        header[4..8].copy_from_slice(&count.to_le_bytes());
    }
}

/// A block whose bytes from `before` on are a buffer: on loan from whoever owns what lies before it.
pub struct Lent {
    block: NonNull<u8>,
    before: u32,
    len: u32,
}

impl Lent {
    /// Lends a block.
    ///
    /// # Safety
    /// The `len` bytes from `before` on are those of a buffer whose layout is that of the [`Thin`] made of this loan. Who
    /// changes or drops that `Thin` must own the block, which was allocated with `before` and the buffer's length as its
    /// size and with [`ALIGN`]; who only reads it must forget it while the block is there and unchanged.
    #[inline]
    pub unsafe fn new(block: NonNull<u8>, before: usize, len: usize) -> Lent {
        debug_assert!(u32::try_from(before.max(len)).is_ok(), "keys and buffers stay far below 4 GiB");
        Lent { block, before: before as u32, len: len as u32 }
    }

    /// The block, which may have moved.
    pub fn block(&self) -> NonNull<u8> {
        self.block
    }

    /// The length of the buffer.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True if there is not even a header, which is never.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What every block is aligned to.
pub const ALIGN: usize = 8;

/// An owned buffer of bytes that knows its length by its own header.
pub struct Thin<L: Layout> {
    /// Byte `before` of a block of max(before + len, reserved) bytes; `len` bytes from here on are initialised, and `len`
    /// is `L::len` of the first of them.
    start: NonNull<u8>,
    /// Bytes of the block in front of the buffer.
    before: u32,
    /// The least size of the block, front included.
    reserved: u32,
    layout: PhantomData<L>,
}

// SAFETY: the buffer is plain bytes owned by this pointer alone.
unsafe impl<L: Layout> Send for Thin<L> {}
// SAFETY: shared access only reads.
unsafe impl<L: Layout> Sync for Thin<L> {}

impl<L: Layout> Thin<L> {
    /// A copy of `bytes`, whose header must tell their length.
    ///
    /// # Panics
    /// If the header tells another length than `bytes` has.
    pub fn new(bytes: &[u8]) -> Thin<L> {
        assert!(bytes.len() >= L::HEADER, "shorter than its header");
        assert_eq!(L::len(&bytes[..L::HEADER]), bytes.len(), "the header tells the length");
        let block = block_layout(bytes.len());
        // SAFETY: no buffer is shorter than its header, so the layout is not of size zero.
        let start = unsafe { alloc::alloc(block) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(block) };
        // SAFETY: the new block holds at least `bytes.len()` bytes and cannot overlap a borrowed slice.
        unsafe { start.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Thin { start, before: 0, reserved: 0, layout: PhantomData }
    }

    /// The buffer in a block that is lent.
    #[inline]
    pub fn within(lent: Lent) -> Thin<L> {
        // SAFETY: by the contract of `Lent::new` the buffer begins there, inside the block.
        let start = unsafe { lent.block.add(lent.before as usize) };
        Thin { start, before: lent.before, reserved: 0, layout: PhantomData }
    }

    /// The loan back, if the buffer is still in the block that was lent and nothing is reserved.
    #[inline]
    pub fn into_lent(self) -> Result<Lent, Self> {
        if self.before == 0 || self.reserved > 0 {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        Ok(Lent { block: this.block(), before: this.before, len: this.size() as u32 })
    }

    /// The same buffer in a block of its own.
    pub fn into_own(self) -> Thin<L> {
        if self.before == 0 { self } else { self.clone() }
    }

    fn block(&self) -> NonNull<u8> {
        // SAFETY: the block begins `before` bytes in front of the buffer.
        unsafe { self.start.sub(self.before as usize) }
    }

    /// The size the block has for a buffer of `len` bytes.
    fn block_size(&self, len: usize) -> usize {
        (self.before as usize + len).max(self.reserved as usize)
    }

    /// The length in bytes, header included.
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: the buffer has at least HEADER initialised bytes (`new` and `splice` assert it).
        L::len(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), L::HEADER) })
    }

    /// Where the buffer is, without looking at it.
    #[inline]
    pub fn address(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The bytes this buffer holds of the allocator.
    pub fn heap_bytes(&self) -> usize {
        capacity_for(self.block_size(self.size()))
    }

    /// The length in bytes without the header.
    #[inline]
    pub fn body_len(&self) -> usize {
        self.size() - L::HEADER
    }

    /// The whole buffer, header included.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialised and live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.size()) }
    }

    /// Everything behind the header, to change in place. Index 0 is byte `HEADER` of the buffer.
    #[inline]
    pub fn body_mut(&mut self) -> &mut [u8] {
        let len = self.size();
        // SAFETY: as in `as_slice`; `&mut self` makes the access unique, and the header, on which the length stands, is
        // left out.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(L::HEADER), len - L::HEADER) }
    }

    /// Replaces the `removed` bytes at `at` by `parts` one after another, moves what is behind them, and puts the new
    /// length into the header. The header itself cannot be spliced.
    ///
    /// # Panics
    /// If the range is not inside the body.
    pub fn splice(&mut self, at: usize, removed: usize, parts: &[&[u8]]) {
        let len = self.size();
        assert!(at >= L::HEADER && at <= len && removed <= len - at, "a splice inside the body");
        let inserted: usize = parts.iter().map(|part| part.len()).sum();
        let new_len = len - removed + inserted;
        let header = self.stamped_header(new_len);
        if new_len > len {
            self.reallocate(self.block_size(len), self.block_size(new_len));
        }
        // SAFETY: the buffer now has room for max(len, new_len) bytes. The tail [at + removed, len) moves to
        // [at + inserted, new_len), both inside it; `copy` allows the overlap. Then the gap [at, at + inserted) is filled
        // from borrowed slices, which cannot alias a buffer borrowed as `&mut self`. The header, HEADER <= 8 bytes, is
        // written last, and nothing between the first reallocation and here panics: block and length always agree.
        unsafe {
            let base = self.start.as_ptr();
            if removed != inserted {
                base.add(at + removed).copy_to(base.add(at + inserted), len - at - removed);
            }
            let mut gap = base.add(at);
            for part in parts {
                gap.copy_from_nonoverlapping(part.as_ptr(), part.len());
                gap = gap.add(part.len());
            }
            base.copy_from_nonoverlapping(header.as_ptr(), L::HEADER);
        }
        if new_len < len {
            self.reallocate(self.block_size(len), self.block_size(new_len));
        }
    }

    /// Replaces what is behind `at` by what `write` puts there, at most `room` bytes, and puts the new length into the
    /// header. The room is reserved, see [`Thin::reserve`].
    ///
    /// # Panics
    /// If `at` is not inside the body.
    pub fn write_end(&mut self, at: usize, room: usize, room_max: usize, write: impl FnOnce(&mut Gap<'_>)) {
        let len = self.size();
        assert!(at >= L::HEADER && at <= len, "an end of the body");
        self.reserve((at + room).saturating_sub(len), room_max);
        debug_assert!(self.before as usize + at + room <= self.block_size(len));
        // SAFETY: the block has `room` bytes from `at` on, and `&mut self` makes the access unique.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(at).cast(), room) };
        let mut gap = Gap { bytes, len: 0 };
        write(&mut gap);
        let new_len = at + gap.len;
        let header = self.stamped_header(new_len);
        // SAFETY: `at` bytes were there, and a gap has written the `gap.len` bytes behind them. The size of the block
        // stays, or is given back, as for any other change of the length.
        unsafe { self.start.as_ptr().copy_from_nonoverlapping(header.as_ptr(), L::HEADER) };
        self.reallocate(self.block_size(len), self.block_size(new_len));
    }

    /// Makes room for `more` bytes: when the block is full, for as many again as there are, in a block of at most `most`
    /// bytes. The room stays until [`Thin::release`].
    pub fn reserve(&mut self, more: usize, most: usize) {
        let len = self.size();
        let (size, need) = (self.block_size(len), self.before as usize + len + more);
        if need <= self.reserved as usize {
            return;
        }
        let ahead = capacity_for((2 * need).min(most).max(need));
        self.reserved = u32::try_from(ahead).expect("a listpack stays far below 4 GiB");
        self.reallocate(size, ahead);
    }

    /// Gives back the room that was reserved.
    pub fn release(&mut self) {
        let len = self.size();
        let size = self.block_size(len);
        self.reserved = 0;
        self.reallocate(size, self.block_size(len));
    }

    /// This buffer's header, changed to tell `new_len`.
    fn stamped_header(&self, new_len: usize) -> [u8; 8] {
        let mut header = [0; 8];
        let part = &mut header[..L::HEADER];
        part.copy_from_slice(&self.as_slice()[..L::HEADER]);
        L::stamp(part, new_len);
        assert_eq!(L::len(part), new_len, "the header tells the length");
        header
    }

    /// Changes the size of the block; at least what is in it stays.
    fn reallocate(&mut self, size: usize, new_size: usize) {
        if size == new_size {
            return;
        }
        let old = block_layout(size);
        // SAFETY: the block was allocated or last reallocated with this size, and the new one is neither zero nor past
        // isize::MAX.
        let block = unsafe { alloc::realloc(self.block().as_ptr(), old, new_size) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(old) };
        // SAFETY: what lies before the buffer has moved with it.
        self.start = unsafe { block.add(self.before as usize) };
    }
}

/// Room at the end of a buffer that is being written, front to back.
pub struct Gap<'a> {
    bytes: &'a mut [MaybeUninit<u8>],
    /// So many are written.
    len: usize,
}

impl Gap<'_> {
    /// Writes these bytes.
    ///
    /// # Panics
    /// If there is no room for them.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        let target = &mut self.bytes[self.len..self.len + bytes.len()];
        // SAFETY: the target is as long, and borrowed bytes cannot overlap what is borrowed for change.
        unsafe { target.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.len += bytes.len();
    }

    /// Writes one byte.
    ///
    /// # Panics
    /// If there is no room for it.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.bytes[self.len].write(byte);
        self.len += 1;
    }
}

fn block_layout(size: usize) -> alloc::Layout {
    alloc::Layout::from_size_align(size, ALIGN).expect("far below isize::MAX")
}

impl<L: Layout> Drop for Thin<L> {
    fn drop(&mut self) {
        // SAFETY: the block is owned, of exactly this size, and not freed before.
        unsafe { alloc::dealloc(self.block().as_ptr(), block_layout(self.block_size(self.size()))) }
    }
}

impl<L: Layout> Clone for Thin<L> {
    fn clone(&self) -> Self {
        Thin::new(self.as_slice())
    }
}

const _: () = assert!(size_of::<Option<Thin<TotalBytes>>>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_follows_the_size_classes() {
        let cases = [(0, 8), (1, 8), (8, 8), (9, 16), (57, 64), (64, 64), (65, 80), (80, 80), (81, 96), (128, 128)];
        let more = [(129, 160), (161, 192), (256, 256), (257, 320), (4096, 4096), (4097, 5120), (16385, 20480)];
        for (len, capacity) in cases.into_iter().chain(more) {
            assert_eq!(capacity_for(len), capacity, "len {len}");
        }
    }

    fn total(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32 + 4).to_le_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_splice_is_a_vec_splice() {
        let mut thin = Thin::<TotalBytes>::new(&total(b"abc"));
        let mut model = b"abc".to_vec();
        let big = vec![b'x'; 300];
        let cases: [(usize, usize, &[&[u8]]); 6] = [
            (3, 0, &[b"defgh", b"", b"ij"]),
            (0, 2, &[&big]),
            (5, 200, &[]),
            (0, 0, &[b"front"]),
            (7, 3, &[b"123"]),
            (0, 110, &[]),
        ];
        for (at, removed, parts) in cases {
            thin.splice(at + 4, removed, parts);
            model.splice(at..at + removed, parts.concat());
            assert_eq!(thin.as_slice(), total(&model), "splice at {at}, -{removed}");
            assert_eq!(thin.clone().as_slice(), thin.as_slice());
        }
        thin.body_mut()[0] = b'!';
        assert_eq!(thin.as_slice()[4], b'!');
    }

    #[test]
    fn room_is_reserved_by_doubling_and_given_back() {
        let mut thin = Thin::<TotalBytes>::new(&total(b""));
        let mut model = Vec::new();
        for (added, heap) in [(20, 48), (20, 48), (4, 48), (20, 160), (80, 160), (40, 192), (50, 256)] {
            thin.reserve(added, 192);
            thin.splice(thin.size(), 0, &[&vec![added as u8; added]]);
            model.extend(vec![added as u8; added]);
            assert_eq!((thin.as_slice(), thin.heap_bytes()), (&total(&model)[..], heap), "after {added}");
        }
        thin.splice(4, 230, &[]);
        assert_eq!(thin.heap_bytes(), 256);
        thin.release();
        assert_eq!((thin.as_slice(), thin.heap_bytes()), (&total(&model[230..])[..], 8));
    }

    #[test]
    fn a_lent_block_keeps_what_lies_before_the_buffer() {
        let front = b"somebody's";
        let bytes = total(b"abc");
        let block_of = || {
            // SAFETY: not of size zero; both parts are written inside it.
            let block = unsafe { NonNull::new(alloc::alloc(block_layout(17))).expect("memory") };
            unsafe { block.as_ptr().copy_from_nonoverlapping(front.as_ptr(), 10) };
            unsafe { block.as_ptr().add(10).copy_from_nonoverlapping(bytes.as_ptr(), 7) };
            block
        };
        // SAFETY: the block is owned and holds 10 bytes and the buffer.
        let mut thin = Thin::<TotalBytes>::within(unsafe { Lent::new(block_of(), 10, 7) });
        assert_eq!((thin.as_slice(), thin.clone().as_slice()), (&bytes[..], &bytes[..]));
        thin.splice(7, 0, &[&[b'x'; 500]]);
        thin.splice(7, 480, &[]);
        let lent = thin.into_lent().ok().expect("it is still there");
        // SAFETY: the block holds the front and the buffer, and is owned again.
        assert_eq!(unsafe { std::slice::from_raw_parts(lent.block().as_ptr(), 10) }, front);
        let thin = Thin::<TotalBytes>::within(lent);
        assert_eq!((thin.size(), thin.heap_bytes()), (27, 40));
        assert!(thin.into_own().into_lent().is_err());
    }

    #[test]
    fn the_count_of_an_intset_follows_its_length() {
        let mut thin = Thin::<WidthTimesCount>::new(&[2, 0, 0, 0, 1, 0, 0, 0, 7, 0]);
        thin.splice(10, 0, &[&[8, 0, 9, 0]]);
        assert_eq!(thin.as_slice(), [2, 0, 0, 0, 3, 0, 0, 0, 7, 0, 8, 0, 9, 0]);
    }

    #[test]
    #[should_panic(expected = "a splice inside the body")]
    fn the_header_cannot_be_spliced() {
        Thin::<TotalBytes>::new(&total(b"abc")).splice(2, 1, &[]);
    }
}
