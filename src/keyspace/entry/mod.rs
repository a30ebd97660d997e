//! One key: header, deadline, key and value in one allocation (D4).
//!
//! A key with a small value costs 8 bytes beyond its key and value: the block begins with one word that holds both
//! lengths, the type, the flags and the access word, and everything else is there only when it is needed.
//!
//! ```text
//!   Entry ──► 0         8            (+8)          (+8)         (+0, 8 or 24)
//!             | header  | deadline?  | key length? | payload     | key ...... | text ......................... |
//!                         if EXPIRY    if LONG_KEY   by shape
//!
//!   header:   | key len | text len | access word | tag    |     one word, the lowest bits first
//!               12 bits   14 bits    30 bits       8 bits
//!   tag:      bits 0-3 the shape, then EXPIRY, EPOCH, LONG_KEY, LATE
//! ```
//!
//! | shape | payload | text behind the key |
//! |---|---|---|
//! | integer | `i64` | - |
//! | short string, below [`SHARED_MIN`] | nothing | the string |
//! | long string | `Box<Bytes>` | - |
//! | small collection, its bytes below 16 KiB | nothing | the listpack or intset |
//! | any other collection | the typed value | - |
//!
//! 16 bytes of key and 8 of value are 32 bytes, 16 and 200 are 224: size classes without slack. The block is always
//! exactly as long as its header says, so its size need not be stored, and a text that grows in place is amortised by
//! the allocator's classes (each is at least an eighth bigger than the one before). Deadlines are Unix time in
//! milliseconds. A key of 4 KiB or more keeps its length in a word of its own.
//!
//! A small collection is no typed value: [`Entry::value`] makes one up to be read, and [`Entry::edit`] lends the whole
//! block to one that is changed, header and key included, and takes it back afterwards.
//!
//! This is one of the few rooms with `unsafe`: no safe type has this shape. All of it is behind total functions; the
//! tests run them against a plain model.
//!
//! | file | what it is about |
//! |---|---|
//! | [`layout`] | the bits of the header, the shapes, where the parts begin |
//! | [`block`] | the block made, measured and moved |
//! | [`make`], [`read`] | values put in; what there is to be seen |
//! | [`text`], [`edit`] | strings and collections changed |
//! | [`deadline`], [`marks`] | what a key has beside its value |
//! | [`half_done`], [`prefetch`] | that no fault leaves half a change; lines fetched ahead |
#![allow(unsafe_code)]

mod block;
mod deadline;
mod edit;
mod half_done;
mod layout;
mod make;
mod marks;
mod prefetch;
mod read;
mod text;

pub(super) use half_done::to_its_end;
pub use layout::ACCESS_BITS;
pub(super) use prefetch::prefetch;

use crate::types::Value;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::zset::ZSet;
use bytes::Bytes;
use layout::*;
use std::alloc;
use std::ptr::{self, NonNull};

/// One key with all that belongs to it; owns its block.
///
/// Reading, and setting the access word and the epoch bit, take `&self`; an entry is therefore not `Sync`: it is used
/// under the lock of its shard.
#[repr(transparent)]
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its block and what hangs off it, and all of that may move between threads.
unsafe impl Send for Entry where Value: Send {}

impl Entry {
    /// Gives the entry another key; everything else stays.
    pub fn rename(&mut self, key: &[u8]) {
        let old = self.meta();
        if self.is_packed() && key.len() > PACKED_KEY_LEN_MAX {
            let fresh = self.clone_with_key(key);
            fresh.set_meta(fresh.meta() | old & (EPOCH | LATE));
            *self = fresh;
            return;
        }
        let fresh = Entry::block(old & SHAPE, key, self.text_len(), self.expiry());
        fresh.set_meta(fresh.meta() & LONG_KEY | old & !LONG_KEY);
        fresh.set_access(self.access());
        // SAFETY: both blocks have the same payload and text lengths; the value moves to the fresh block, and the old
        // block is given back without dropping it.
        unsafe {
            ptr::copy_nonoverlapping(self.payload(), fresh.payload(), PAYLOAD_LEN[(old & SHAPE) as usize].into());
            ptr::copy_nonoverlapping(self.text().as_ptr(), fresh.text_start(), self.text_len());
            alloc::dealloc(self.0.as_ptr(), layout(self.size()));
            std::mem::forget(std::mem::replace(self, fresh));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let payload = self.payload();
        // SAFETY: the tag says what the payload is; it is dropped once, then the block goes.
        unsafe {
            match self.shape() {
                SHARED => drop(Box::from_raw(payload.cast::<*mut Bytes>().read())),
                LIST => ptr::drop_in_place(payload.cast::<List>()),
                SET => ptr::drop_in_place(payload.cast::<Set>()),
                ZSET => ptr::drop_in_place(payload.cast::<ZSet>()),
                HASH => ptr::drop_in_place(payload.cast::<Hash>()),
                STREAM => ptr::drop_in_place(payload.cast::<Stream>()),
                _ => {}
            }
            alloc::dealloc(self.0.as_ptr(), layout(self.size()));
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("kind", &self.kind())
            .field("expiry", &self.expiry())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
