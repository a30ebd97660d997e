//! What an entry says about itself: key, type, value, encoding, bytes.

use super::Entry;
use super::layout::*;
use crate::base::alloc::usable_size;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::string::{self, StrRef};
use crate::types::zset::ZSet;
use crate::types::{Kind, Packing, ValueRef, View};
use bytes::Bytes;

impl Entry {
    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let meta = self.meta();
        // SAFETY: key and its length lie inside the block where the header says.
        unsafe { std::slice::from_raw_parts(self.at(key_offset(meta)), self.key_len(meta)) }
    }

    /// The type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.shape() {
            LIST | PACKED_LIST => Kind::List,
            SET | PACKED_SET | PACKED_INTS => Kind::Set,
            ZSET | PACKED_ZSET => Kind::ZSet,
            HASH | PACKED_HASH | PACKED_HASH_EX => Kind::Hash,
            STREAM => Kind::Stream,
            _ => Kind::Str,
        }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let payload = self.payload();
        // SAFETY: the shape says of which type the payload is, and how the text of a small collection is packed; the
        // borrow of `self` covers both, and a view does not outlive it.
        unsafe {
            match self.shape() {
                INT | INT_RAW => ValueRef::Str(StrRef::Int(payload.cast::<i64>().read())),
                INLINE | INLINE_RAW => ValueRef::Str(StrRef::Bytes(self.text())),
                SHARED => ValueRef::Str(StrRef::Shared(&**payload.cast::<*const Bytes>())),
                LIST => ValueRef::List((&*payload.cast::<List>()).into()),
                SET => ValueRef::Set((&*payload.cast::<Set>()).into()),
                ZSET => ValueRef::ZSet((&*payload.cast::<ZSet>()).into()),
                HASH => ValueRef::Hash((&*payload.cast::<Hash>()).into()),
                STREAM => ValueRef::Stream(&*payload.cast()),
                PACKED_LIST => ValueRef::List(View::made_up(List::within(self.lend()))),
                PACKED_ZSET => ValueRef::ZSet(View::made_up(ZSet::within(self.lend()))),
                PACKED_SET => ValueRef::Set(View::made_up(Set::within(Packing::Listpack, self.lend()))),
                PACKED_INTS => ValueRef::Set(View::made_up(Set::within(Packing::Intset, self.lend()))),
                PACKED_HASH => ValueRef::Hash(View::made_up(Hash::within(Packing::Listpack, self.lend()))),
                _ => ValueRef::Hash(View::made_up(Hash::within(Packing::ListpackEx, self.lend()))),
            }
        }
    }

    /// The string, if the value is one.
    #[inline]
    pub fn str(&self) -> Option<StrRef<'_>> {
        match self.shape() {
            // Asked first, as most are.
            INLINE | INLINE_RAW => Some(StrRef::Bytes(self.text())),
            _ => match self.value() {
                ValueRef::Str(text) => Some(text),
                _ => None,
            },
        }
    }

    /// The name of a string's encoding; `None` for a collection.
    pub fn str_encoding(&self) -> Option<&'static str> {
        self.str().map(|s| string::encoding_name(s, self.is_raw()))
    }

    /// Bytes this key takes: the block and what hangs off it.
    pub fn heap_bytes(&self) -> usize {
        let block = usable_size(self.size());
        match self.value() {
            ValueRef::Str(StrRef::Shared(b)) => block + usable_size(size_of::<Bytes>()) + usable_size(b.len()),
            _ if self.is_packed() => block,
            value => block + value.heap_bytes(),
        }
    }
}
