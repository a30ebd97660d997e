//! The deadline of a key, a word that is in the block only while there is one, and the earliest of a hash's fields.

use super::Entry;
use super::layout::*;
use crate::types::ValueRef;
use std::ptr;

impl Entry {
    /// The deadline, if there is one.
    #[inline]
    pub fn expiry(&self) -> Option<u64> {
        // SAFETY: with EXPIRY the word behind the header is the deadline.
        (self.meta() & EXPIRY != 0).then(|| unsafe { self.at(HEADER_LEN).cast::<u64>().read() })
    }

    /// The earliest deadline of a field, if the value is a hash that has one.
    pub fn field_deadline(&self) -> Option<u64> {
        match self.shape() {
            HASH | PACKED_HASH_EX => match self.value() {
                ValueRef::Hash(hash) => hash.next_deadline(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Sets or clears the deadline.
    pub fn set_expiry(&mut self, expiry: Option<u64>) {
        match (self.expiry(), expiry) {
            (Some(before), Some(at)) => {
                if before != at {
                    self.set_meta(if at > before { self.meta() | LATE } else { self.meta() & !LATE });
                }
            }
            (None, Some(_)) => self.insert_expiry(),
            (Some(_), None) => self.remove_expiry(),
            (None, None) => {}
        }
        if let Some(at) = expiry {
            // SAFETY: with EXPIRY, which is set by now, the word behind the header is the deadline.
            unsafe { self.at(HEADER_LEN).cast::<u64>().write(at) };
        }
    }

    fn insert_expiry(&mut self) {
        let size = self.size();
        self.reallocate(size, size + 8);
        // SAFETY: the block has `size + 8` bytes; all behind the header moves up by one word.
        unsafe { ptr::copy(self.at(HEADER_LEN), self.at(HEADER_LEN + 8), size - HEADER_LEN) };
        self.set_meta(self.meta() & !LATE | EXPIRY);
    }

    fn remove_expiry(&mut self) {
        let size = self.size();
        // SAFETY: the block has `size` bytes; all behind the deadline moves down by one word.
        unsafe { ptr::copy(self.at(HEADER_LEN + 8), self.at(HEADER_LEN), size - HEADER_LEN - 8) };
        self.set_meta(self.meta() & !(LATE | EXPIRY));
        self.reallocate(size, size - 8);
    }
}
