//! The bits of the header that are about a key and not part of its value: the access word of the eviction policy, the
//! side of the running cut, and what has happened to the value and the deadline since they were set.

use super::Entry;
use super::layout::*;

impl Entry {
    /// The access word: [`ACCESS_BITS`] bits whose meaning is the eviction policy's.
    #[inline]
    pub fn access(&self) -> u32 {
        (self.header() >> ACCESS_SHIFT & ACCESS_MASK) as u32
    }

    /// Sets the access word.
    #[inline]
    pub fn set_access(&self, word: u32) {
        let word = u64::from(word) & ACCESS_MASK;
        self.set_header(self.header() & !(ACCESS_MASK << ACCESS_SHIFT) | word << ACCESS_SHIFT);
    }

    /// On which side of the running cut the entry is.
    #[inline]
    pub fn epoch(&self) -> bool {
        self.meta() & EPOCH != 0
    }

    /// Sets the epoch bit.
    #[inline]
    pub fn set_epoch(&self, epoch: bool) {
        self.set_meta(if epoch { self.meta() | EPOCH } else { self.meta() & !EPOCH });
    }

    /// Whether the string was changed in place since it was set: its encoding is then `raw`, however short it is. A long
    /// one is raw anyway.
    pub fn is_raw(&self) -> bool {
        matches!(self.shape(), INT_RAW | INLINE_RAW)
    }

    /// Marks the string as changed in place. An integer that bears the mark is one that COPY made: in Redis it has an
    /// object of its own, where others share one.
    pub fn mark_raw(&self) {
        if matches!(self.shape(), INT | INLINE) {
            self.set_meta(self.meta() | RAW);
        }
    }

    /// Whether the deadline was moved later since it was set: the timer wheel then still has an earlier one.
    pub fn is_late(&self) -> bool {
        self.meta() & LATE != 0
    }

    /// The timer wheel has the deadline that stands in the entry.
    pub fn clear_late(&self) {
        self.set_meta(self.meta() & !LATE);
    }
}
