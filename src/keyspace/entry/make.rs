//! Entries out of values: which shape a value gets, and its bytes put there.

use super::Entry;
use super::layout::*;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::string::{NewStr, SHARED_MIN};
use crate::types::zset::ZSet;
use crate::types::{Value, ValueRef};
use bytes::Bytes;

impl Entry {
    /// A string key.
    pub fn new_str(key: &[u8], value: &NewStr<'_>, expiry: Option<u64>) -> Entry {
        match value {
            NewStr::Int(n) => {
                let entry = Entry::block(INT, key, 0, expiry);
                // SAFETY: the payload of INT is 8 bytes inside the block.
                unsafe { entry.payload().cast::<i64>().write(*n) };
                entry
            }
            NewStr::Copy(text) if text.len() < SHARED_MIN => Entry::inline(key, text, expiry),
            NewStr::Shared(text) if text.len() < SHARED_MIN => Entry::inline(key, text, expiry),
            NewStr::Copy(text) => Entry::shared(key, Bytes::copy_from_slice(text), expiry),
            NewStr::Shared(text) => Entry::shared(key, text.clone(), expiry),
        }
    }

    fn inline(key: &[u8], text: &[u8], expiry: Option<u64>) -> Entry {
        let mut entry = Entry::block(INLINE, key, text.len(), expiry);
        entry.text_mut().copy_from_slice(text);
        entry
    }

    fn shared(key: &[u8], text: Bytes, expiry: Option<u64>) -> Entry {
        let entry = Entry::block(SHARED, key, 0, expiry);
        // SAFETY: the payload of SHARED is a pointer inside the block.
        unsafe { entry.payload().cast::<*mut Bytes>().write(Box::into_raw(Box::new(text))) };
        entry
    }

    /// A key with a collection.
    pub fn new_value(key: &[u8], value: Value, expiry: Option<u64>) -> Entry {
        if let Some((packing, bytes)) = value.packed()
            && bytes.len() <= TEXT_LEN_MAX
            && key.len() <= PACKED_KEY_LEN_MAX
        {
            let mut entry = Entry::block(packed_shape(value.kind(), packing), key, bytes.len(), expiry);
            entry.text_mut().copy_from_slice(bytes);
            return entry;
        }
        let shape = match &value {
            Value::List(_) => LIST,
            Value::Set(_) => SET,
            Value::ZSet(_) => ZSET,
            Value::Hash(_) => HASH,
            Value::Stream(_) => STREAM,
        };
        let entry = Entry::block(shape, key, 0, expiry);
        let payload = entry.payload();
        // SAFETY: the payload of a collection is inside the block, aligned to 8, and every collection fits.
        unsafe {
            match value {
                Value::List(v) => payload.cast::<List>().write(v),
                Value::Set(v) => payload.cast::<Set>().write(v),
                Value::ZSet(v) => payload.cast::<ZSet>().write(v),
                Value::Hash(v) => payload.cast::<Hash>().write(v),
                Value::Stream(v) => payload.cast::<Stream>().write(v),
            }
        }
        entry
    }

    /// A copy of the value under another key, with the same deadline.
    pub fn clone_with_key(&self, key: &[u8]) -> Entry {
        let expiry = self.expiry();
        let copy = match self.value() {
            ValueRef::Str(s) => Entry::new_str(key, &s.into(), expiry),
            ValueRef::List(v) => Entry::new_value(key, Value::List(List::clone(&v)), expiry),
            ValueRef::Hash(v) => Entry::new_value(key, Value::Hash(Hash::clone(&v)), expiry),
            ValueRef::Set(v) => Entry::new_value(key, Value::Set(Set::clone(&v)), expiry),
            ValueRef::ZSet(v) => Entry::new_value(key, Value::ZSet(ZSet::clone(&v)), expiry),
            ValueRef::Stream(v) => Entry::new_value(key, Value::Stream(v.clone()), expiry),
        };
        if self.is_raw() {
            copy.mark_raw();
        }
        copy.set_access(self.access());
        copy
    }
}
