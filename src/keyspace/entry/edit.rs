//! Changing a collection: a big one where it stands; a small one gets the whole block on loan, header and key included,
//! and gives it back, so that a field that fits costs no allocation.

use super::Entry;
use super::half_done::to_its_end;
use super::layout::*;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::packed::thin::Lent;
use crate::types::set::Set;
use crate::types::zset::ZSet;
use crate::types::{Packing, Value, ValueMut};

impl Entry {
    /// Changes the collection under `key`, which is this entry's key; nothing happens to a string and the result is
    /// `None`. A fault of `change` ends the process.
    #[inline]
    pub fn edit<R>(&mut self, key: &[u8], change: impl FnOnce(ValueMut<'_>) -> R) -> Option<R> {
        debug_assert_eq!(key, self.key());
        let payload = self.payload();
        // SAFETY: as in `value`; the borrow is exclusive.
        to_its_end(|| unsafe {
            match self.shape() {
                INT | INT_RAW | INLINE | INLINE_RAW | SHARED => None,
                LIST => Some(change(ValueMut::List(&mut *payload.cast()))),
                SET => Some(change(ValueMut::Set(&mut *payload.cast()))),
                ZSET => Some(change(ValueMut::ZSet(&mut *payload.cast()))),
                HASH => Some(change(ValueMut::Hash(&mut *payload.cast()))),
                STREAM => Some(change(ValueMut::Stream(&mut *payload.cast()))),
                _ => Some(self.edit_packed(key, change)),
            }
        })
    }

    /// Changes a small collection: the value owns the block meanwhile, and header and key travel with it.
    fn edit_packed<R>(&mut self, key: &[u8], change: impl FnOnce(ValueMut<'_>) -> R) -> R {
        let (header, expiry) = (self.header(), self.expiry());
        // SAFETY: the block is owned, and `self` does not look at it until it has got one again: a fault of `change` ends
        // the process before.
        let lent = unsafe { self.lend() };
        let mut value = value_within(self.shape(), lent);
        let result = change(value.as_mut());
        let fresh = Entry::of_changed(key, header, expiry, value);
        // What `self` names is the fresh block or no longer its own.
        std::mem::forget(std::mem::replace(self, fresh));
        result
    }

    /// The entry of a value that was small and has changed: in the block that was lent, or in a new one.
    #[inline]
    fn of_changed(key: &[u8], header: u64, expiry: Option<u64>, value: Value) -> Entry {
        let kind = value.kind();
        let value = match value.into_lent() {
            Ok((packing, lent)) => {
                let shape = packed_shape(kind, packing);
                if lent.len() <= TEXT_LEN_MAX {
                    let entry = Entry(lent.block());
                    entry.set_text_len(lent.len());
                    entry.set_meta(entry.meta() & !SHAPE | shape);
                    return entry;
                }
                value_within(shape, lent)
            }
            Err(value) => value,
        };
        let fresh = Entry::new_value(key, value, expiry);
        fresh.set_meta(fresh.meta() | (header >> TAG_SHIFT) as u32 & (EPOCH | LATE));
        fresh.set_access((header >> ACCESS_SHIFT & ACCESS_MASK) as u32);
        fresh
    }

    /// The block on loan to a value, whose bytes are the text.
    ///
    /// # Safety
    /// The shape is that of a small collection; see [`Lent::new`] for the rest.
    #[inline]
    pub(super) unsafe fn lend(&self) -> Lent {
        let meta = self.meta();
        // SAFETY: the block was allocated with the size at which the text ends; the rest is the caller's to answer.
        unsafe { Lent::new(self.0, key_offset(meta) + self.key_len(meta), self.text_len()) }
    }
}

/// A small collection of this shape in a block that is lent.
#[inline]
fn value_within(shape: u32, lent: Lent) -> Value {
    match shape {
        PACKED_LIST => Value::List(List::within(lent)),
        PACKED_ZSET => Value::ZSet(ZSet::within(lent)),
        PACKED_SET => Value::Set(Set::within(Packing::Listpack, lent)),
        PACKED_INTS => Value::Set(Set::within(Packing::Intset, lent)),
        PACKED_HASH => Value::Hash(Hash::within(Packing::Listpack, lent)),
        _ => Value::Hash(Hash::within(Packing::ListpackEx, lent)),
    }
}
