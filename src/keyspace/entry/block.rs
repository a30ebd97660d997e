//! The block itself: made, measured and moved; its parts by address. Everything unsafe that other files here do leans on
//! these few functions.

use super::Entry;
use super::layout::*;
use bytes::Bytes;
use std::alloc::{self, handle_alloc_error};
use std::ptr::{self, NonNull};

impl Entry {
    /// A block with header, deadline and key written; payload and text are not.
    pub(super) fn block(shape: u32, key: &[u8], text_len: usize, expiry: Option<u64>) -> Entry {
        let long = key.len() > KEY_LEN_MAX;
        let mut meta = shape;
        meta |= if expiry.is_some() { EXPIRY } else { 0 };
        meta |= if long { LONG_KEY } else { 0 };
        let start = key_offset(meta);
        let layout = layout(start + key.len() + text_len);
        // SAFETY: the layout is not empty; every write is inside it, at offsets that `key_offset` leaves room for.
        unsafe {
            let block = alloc::alloc(layout);
            let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
            let entry = Entry(block);
            let key_len = if long { 0 } else { key.len() as u64 };
            entry.set_header(key_len | (text_len as u64) << KEY_LEN_BITS | u64::from(meta) << TAG_SHIFT);
            if let Some(at) = expiry {
                entry.at(HEADER_LEN).cast::<u64>().write(at);
            }
            if long {
                entry.at(long_key_offset(meta)).cast::<u64>().write(key.len() as u64);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), entry.at(start), key.len());
            entry
        }
    }

    /// The address `offset` bytes into the block.
    ///
    /// # Safety
    /// `offset` is at most the size of the block.
    #[inline]
    pub(super) unsafe fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.0.as_ptr().add(offset) }
    }

    #[inline]
    pub(super) fn header(&self) -> u64 {
        // SAFETY: the header is always there.
        unsafe { self.at(0).cast::<u64>().read() }
    }

    #[inline]
    pub(super) fn set_header(&self, header: u64) {
        // SAFETY: the header is always there, and no reference into it is ever handed out.
        unsafe { self.at(0).cast::<u64>().write(header) }
    }

    /// The tag.
    #[inline]
    pub(super) fn meta(&self) -> u32 {
        (self.header() >> TAG_SHIFT) as u32
    }

    #[inline]
    pub(super) fn set_meta(&self, meta: u32) {
        self.set_header(self.header() & ((1 << TAG_SHIFT) - 1) | u64::from(meta) << TAG_SHIFT);
    }

    #[inline]
    pub(super) fn shape(&self) -> u32 {
        self.meta() & SHAPE
    }

    /// Whether the value is a small collection in the block.
    #[inline]
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.shape(), PACKED_INTS..=PACKED_HASH_EX)
    }

    #[inline]
    pub(super) fn key_len(&self, meta: u32) -> usize {
        if meta & LONG_KEY == 0 {
            self.header() as usize & KEY_LEN_MAX
        } else {
            // SAFETY: with LONG_KEY the word with the length is there.
            unsafe { self.at(long_key_offset(meta)).cast::<u64>().read() as usize }
        }
    }

    /// Length of the text behind the key.
    #[inline]
    pub(super) fn text_len(&self) -> usize {
        (self.header() >> KEY_LEN_BITS) as usize & TEXT_LEN_MAX
    }

    #[inline]
    pub(super) fn set_text_len(&self, len: usize) {
        self.set_header(self.header() & !((TEXT_LEN_MAX as u64) << KEY_LEN_BITS) | (len as u64) << KEY_LEN_BITS);
    }

    #[inline]
    pub(super) fn payload(&self) -> *mut u8 {
        let meta = self.meta();
        // SAFETY: the payload, even an empty one, begins inside the block or at its end.
        unsafe { self.at(key_offset(meta) - usize::from(PAYLOAD_LEN[(meta & SHAPE) as usize])) }
    }

    #[inline]
    pub(super) fn text_start(&self) -> *mut u8 {
        let meta = self.meta();
        // SAFETY: the text begins where the key ends, which is inside the block or its end.
        unsafe { self.at(key_offset(meta) + self.key_len(meta)) }
    }

    #[inline]
    pub(super) fn text(&self) -> &[u8] {
        // SAFETY: the text is what lies between the end of the key and the end of the block; every way to make it
        // longer writes it before it can be read.
        unsafe { std::slice::from_raw_parts(self.text_start(), self.text_len()) }
    }

    #[inline]
    pub(super) fn text_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `text`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.text_start(), self.text_len()) }
    }

    /// The shared text of a long string.
    pub(super) fn shared_mut(&mut self) -> Option<&mut Bytes> {
        // SAFETY: the payload of SHARED is a pointer from `Box::into_raw` that this entry owns.
        (self.shape() == SHARED).then(|| unsafe { &mut **self.payload().cast::<*mut Bytes>() })
    }

    /// Makes the text `len` bytes long; new bytes are zero.
    pub(super) fn resize_text(&mut self, len: usize) {
        let (size, before) = (self.size(), self.text_len());
        self.reallocate(size, size - before + len);
        self.set_text_len(len);
        // SAFETY: the block has room for `len` bytes of text by now, of which those from `before` on are new.
        unsafe {
            if len > before {
                self.text_start().add(before).write_bytes(0, len - before);
            }
        }
    }

    /// Size of the block, as it was asked for.
    #[inline]
    pub(super) fn size(&self) -> usize {
        let meta = self.meta();
        key_offset(meta) + self.key_len(meta) + self.text_len()
    }

    pub(super) fn reallocate(&mut self, before: usize, after: usize) {
        if before == after {
            return;
        }
        // SAFETY: `before` is the size the block was asked for with; `after` is not zero.
        let block = unsafe { alloc::realloc(self.0.as_ptr(), layout(before), after) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout(after)) };
        self.0 = block;
    }
}
