//! A byte buffer behind one 8-byte pointer whose capacity is a function of its length.
//!
//! A small collection lives in one allocation and is held by one pointer: no length and no capacity beside it. The
//! length is read from the buffer itself (a listpack and an intset both begin with what tells their size), and the
//! capacity is [`capacity_for`] of the length: the allocator's own size classes, so rounding up costs no memory and a
//! growing buffer asks for a new block only when it leaves its class.
//!
//! ```text
//!   Thin ──► [ header: tells the length | body ............ | slack up to the size class ]
//!            0                          HEADER              len                 capacity_for(len)
//! ```
//!
//! This is one of the few files with `unsafe`: a `Box<[u8]>` is 16 bytes and a `Vec<u8>` 24, in every small collection.
//! Everything outside this file is safe code over `&[u8]`: the header changes only in [`Thin::splice`], which keeps it
//! in step with the length.
#![allow(unsafe_code)]

use std::alloc::{self, handle_alloc_error};
use std::marker::PhantomData;
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

/// An owned buffer of bytes that knows its length by its own header. Eight bytes, and so is its `Option`.
pub struct Thin<L: Layout> {
    /// A block of `capacity_for(len)` bytes, of which the first `len` are initialised; `len` is `L::len` of them.
    start: NonNull<u8>,
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
        // SAFETY: `capacity_for` is at least 8, so the layout is not of size zero.
        let start = unsafe { alloc::alloc(block) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(block) };
        // SAFETY: the new block holds at least `bytes.len()` bytes and cannot overlap a borrowed slice.
        unsafe { start.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Thin { start, layout: PhantomData }
    }

    /// The length in bytes, header included.
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: the block holds at least HEADER initialised bytes (`new` and `splice` assert it).
        L::len(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), L::HEADER) })
    }

    /// Where the buffer is, without looking at it.
    #[inline]
    pub fn address(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The bytes this buffer holds of the allocator.
    pub fn heap_bytes(&self) -> usize {
        capacity_for(self.size())
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
            self.reallocate(len, new_len);
        }
        // SAFETY: the block now holds at least max(len, new_len) bytes. The tail [at + removed, len) moves to
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
            self.reallocate(len, new_len);
        }
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

    /// Moves to the size class of `new_len` if it differs from that of `len`.
    fn reallocate(&mut self, len: usize, new_len: usize) {
        let (old, new) = (block_layout(len), block_layout(new_len));
        if old == new {
            return;
        }
        // SAFETY: the block was allocated with the layout of its length's class, which is `old`, and the new size is
        // neither zero nor past isize::MAX (`block_layout` checks).
        let start = unsafe { alloc::realloc(self.start.as_ptr(), old, new.size()) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(new) };
        self.start = start;
    }
}

fn block_layout(len: usize) -> alloc::Layout {
    alloc::Layout::from_size_align(capacity_for(len), 1).expect("far below isize::MAX")
}

impl<L: Layout> Drop for Thin<L> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` or `reallocate` with the layout of its length's class, and not freed before.
        unsafe { alloc::dealloc(self.start.as_ptr(), block_layout(self.size())) }
    }
}

impl<L: Layout> Clone for Thin<L> {
    fn clone(&self) -> Self {
        Thin::new(self.as_slice())
    }
}

const _: () = assert!(size_of::<Option<Thin<TotalBytes>>>() == 8);

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
