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
//! This is one of the few files with `unsafe`: no safe type has this shape. All of it is behind total functions; the
//! tests run them against a plain model.
#![allow(unsafe_code)]

use crate::base::alloc::usable_size;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::packed::thin::Lent;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::string::{self, NewStr, SHARED_MIN, StrRef};
use crate::types::zset::ZSet;
use crate::types::{Kind, Packing, Value, ValueMut, ValueRef, View};
use bytes::{Bytes, BytesMut};
use std::alloc::{self, Layout, handle_alloc_error};
use std::ptr::{self, NonNull};

/// The shape: the low four bits of the tag.
const SHAPE: u32 = 15;
const INT: u32 = 0;
const INLINE: u32 = 1;
const SHARED: u32 = 2;
const LIST: u32 = 3;
const SET: u32 = 4;
const ZSET: u32 = 5;
const HASH: u32 = 6;
const STREAM: u32 = 7;
/// A short string with this bit was changed in place; an integer with it is a copy.
const RAW: u32 = 8;
const INT_RAW: u32 = INT | RAW;
const INLINE_RAW: u32 = INLINE | RAW;
/// A small collection has this bit.
const PACKED: u32 = 8;
const PACKED_LIST: u32 = LIST | PACKED;
const PACKED_SET: u32 = SET | PACKED;
const PACKED_ZSET: u32 = ZSET | PACKED;
const PACKED_HASH: u32 = HASH | PACKED;
/// A set of integers, and a hash with deadlines: shapes that long strings, which are always raw, and streams leave free.
const PACKED_INTS: u32 = SHARED | PACKED;
const PACKED_HASH_EX: u32 = STREAM | PACKED;

/// The entry has a deadline.
const EXPIRY: u32 = 1 << 4;
/// On which side of the running cut the entry is.
const EPOCH: u32 = 1 << 5;
/// The length of the key does not fit the header.
const LONG_KEY: u32 = 1 << 6;
/// The deadline was moved later since the timer wheel heard of it.
const LATE: u32 = 1 << 7;

/// The header: bits of the length of the key, of the text behind it, and of the access word; the tag is the rest.
const KEY_LEN_BITS: u32 = 12;
const TEXT_LEN_BITS: u32 = 14;
/// Bits of the access word.
pub const ACCESS_BITS: u32 = 30;
const ACCESS_SHIFT: u32 = KEY_LEN_BITS + TEXT_LEN_BITS;
const TAG_SHIFT: u32 = ACCESS_SHIFT + ACCESS_BITS;
const KEY_LEN_MAX: usize = (1 << KEY_LEN_BITS) - 1;
const TEXT_LEN_MAX: usize = (1 << TEXT_LEN_BITS) - 1;
const ACCESS_MASK: u64 = (1 << ACCESS_BITS) - 1;

/// Bytes of the payload, by shape.
const PAYLOAD_LEN: [u8; 16] = [8, 0, 8, 24, 24, 24, 24, 8, 8, 0, 0, 0, 0, 0, 0, 0];
const HEADER_LEN: usize = 8;

const _: () = {
    const fn fits<T>(shape: u32) {
        let len = PAYLOAD_LEN[shape as usize] as usize;
        assert!(size_of::<T>() <= len && align_of::<T>() <= 8, "a collection fits the payload");
    }
    fits::<List>(LIST);
    fits::<Hash>(HASH);
    fits::<Set>(SET);
    fits::<ZSet>(ZSET);
    fits::<Stream>(STREAM);
    assert!(size_of::<Option<Entry>>() == 8);
    assert!(SHARED_MIN <= TEXT_LEN_MAX + 1 && TAG_SHIFT + 8 == u64::BITS);
};

/// One key with all that belongs to it; owns its block.
///
/// Reading, and setting the access word and the epoch bit, take `&self`; an entry is therefore not `Sync`: it is used
/// under the lock of its shard.
#[repr(transparent)]
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its block and what hangs off it, and all of that may move between threads.
unsafe impl Send for Entry where Value: Send {}

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

    // ---- Reading ----

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
    unsafe fn lend(&self) -> Lent {
        let meta = self.meta();
        // SAFETY: the block was allocated with the size at which the text ends; the rest is the caller's to answer.
        unsafe { Lent::new(self.0, key_offset(meta) + self.key_len(meta), self.text_len()) }
    }

    /// The string, if the value is one.
    #[inline]
    pub fn str(&self) -> Option<StrRef<'_>> {
        match self.value() {
            ValueRef::Str(s) => Some(s),
            _ => None,
        }
    }

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

    /// Asks the processor to fetch the beginning of the block.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.0.as_ptr());
    }
    /// Asks for two lines of the block: header, key and what a small value takes.
    #[inline]
    pub fn prefetch_value(&self) {
        prefetch(self.0.as_ptr());
        prefetch(self.0.as_ptr().wrapping_add(64));
    }

    /// Asks for what hangs off the block of a collection: all of a small one, the root of a big one.
    #[inline]
    pub fn prefetch_collection(&self) {
        let address = if self.is_packed() { Some(self.text_start().cast_const()) } else { self.value().address() };
        if let Some(address) = address {
            (0..4).for_each(|line| prefetch(address.wrapping_add(64 * line)));
        }
    }

    /// Asks for what adding to a stream looks at, when its root has had time to come.
    #[inline]
    pub fn prefetch_end(&self) {
        if let ValueRef::Stream(stream) = self.value() {
            stream.end_addresses().into_iter().flatten().for_each(prefetch);
        }
    }

    // ---- Changing ----

    /// Makes the value this string, whatever it was; the deadline, the access word and the epoch bit stay.
    pub fn set_str(&mut self, value: &NewStr<'_>) {
        let text: &[u8] = match value {
            NewStr::Int(n) if matches!(self.shape(), INT | INT_RAW) => {
                // SAFETY: the payload of INT is an i64.
                unsafe { self.payload().cast::<i64>().write(*n) };
                self.set_meta(self.meta() & !RAW);
                return;
            }
            NewStr::Copy(text) => text,
            NewStr::Shared(text) => text,
            NewStr::Int(_) => return self.replace_value(value),
        };
        if text.len() < SHARED_MIN && matches!(self.shape(), INLINE | INLINE_RAW) {
            self.resize_text(text.len());
            self.text_mut().copy_from_slice(text);
            self.set_meta(self.meta() & !RAW);
        } else {
            self.replace_value(value);
        }
    }

    /// A new block with the same key and header for a string of another shape.
    fn replace_value(&mut self, value: &NewStr<'_>) {
        let fresh = Entry::new_str(self.key(), value, self.expiry());
        fresh.set_meta(fresh.meta() | self.meta() & (EPOCH | LATE));
        fresh.set_access(self.access());
        *self = fresh;
    }

    /// Edits the text of a string, which is `raw` afterwards; nothing happens to a collection and the result is `None`.
    /// A short text is copied out and in; where the length is known beforehand,
    /// [`with_slice_mut`](Entry::with_slice_mut) edits in place.
    pub fn with_bytes_mut<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let mut text = match self.str()? {
            StrRef::Shared(_) => Vec::from(std::mem::take(self.shared_mut()?)),
            short => short.to_vec(),
        };
        let result = edit(&mut text);
        match self.shared_mut() {
            Some(shared) if text.len() >= SHARED_MIN => *shared = Bytes::from(text),
            _ if text.len() >= SHARED_MIN => self.replace_value(&NewStr::Shared(Bytes::from(text))),
            _ => self.set_str(&NewStr::Copy(&text)),
        }
        self.mark_raw();
        Some(result)
    }

    /// Makes a string at least `min_len` bytes long, padding with zero bytes, and edits it in place; it is `raw`
    /// afterwards. Growing byte by byte costs amortised constant time per byte. Nothing happens to a collection and the
    /// result is `None`.
    pub fn with_slice_mut<R>(&mut self, min_len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let value = self.str()?;
        let len = value.len().max(min_len);
        let result = match value {
            StrRef::Bytes(_) if len < SHARED_MIN => {
                self.resize_text(len);
                edit(self.text_mut())
            }
            StrRef::Shared(_) => edit_shared(self.shared_mut()?, len, edit),
            short => {
                let mut text = Vec::with_capacity(len);
                text.extend_from_slice(short.as_bytes(&mut itoa::Buffer::new()));
                text.resize(len, 0);
                let result = edit(&mut text);
                self.replace_value(&NewStr::Shared(Bytes::from(text)));
                result
            }
        };
        self.mark_raw();
        Some(result)
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

    /// Gives the entry another key; everything else stays.
    pub fn rename(&mut self, key: &[u8]) {
        let old = self.meta();
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

    // ---- The block ----

    /// A block with header, deadline and key written; payload and text are not.
    fn block(shape: u32, key: &[u8], text_len: usize, expiry: Option<u64>) -> Entry {
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
    unsafe fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.0.as_ptr().add(offset) }
    }

    #[inline]
    fn header(&self) -> u64 {
        // SAFETY: the header is always there.
        unsafe { self.at(0).cast::<u64>().read() }
    }
    #[inline]
    fn set_header(&self, header: u64) {
        // SAFETY: the header is always there, and no reference into it is ever handed out.
        unsafe { self.at(0).cast::<u64>().write(header) }
    }

    /// The tag.
    #[inline]
    fn meta(&self) -> u32 {
        (self.header() >> TAG_SHIFT) as u32
    }
    #[inline]
    fn set_meta(&self, meta: u32) {
        self.set_header(self.header() & ((1 << TAG_SHIFT) - 1) | u64::from(meta) << TAG_SHIFT);
    }

    #[inline]
    fn shape(&self) -> u32 {
        self.meta() & SHAPE
    }
    /// Whether the value is a small collection in the block.
    #[inline]
    fn is_packed(&self) -> bool {
        matches!(self.shape(), PACKED_INTS..=PACKED_HASH_EX)
    }

    #[inline]
    fn key_len(&self, meta: u32) -> usize {
        if meta & LONG_KEY == 0 {
            self.header() as usize & KEY_LEN_MAX
        } else {
            // SAFETY: with LONG_KEY the word with the length is there.
            unsafe { self.at(long_key_offset(meta)).cast::<u64>().read() as usize }
        }
    }

    /// Length of the text behind the key.
    #[inline]
    fn text_len(&self) -> usize {
        (self.header() >> KEY_LEN_BITS) as usize & TEXT_LEN_MAX
    }
    #[inline]
    fn set_text_len(&self, len: usize) {
        self.set_header(self.header() & !((TEXT_LEN_MAX as u64) << KEY_LEN_BITS) | (len as u64) << KEY_LEN_BITS);
    }

    #[inline]
    fn payload(&self) -> *mut u8 {
        let meta = self.meta();
        // SAFETY: the payload, even an empty one, begins inside the block or at its end.
        unsafe { self.at(key_offset(meta) - usize::from(PAYLOAD_LEN[(meta & SHAPE) as usize])) }
    }

    #[inline]
    fn text_start(&self) -> *mut u8 {
        let meta = self.meta();
        // SAFETY: the text begins where the key ends, which is inside the block or its end.
        unsafe { self.at(key_offset(meta) + self.key_len(meta)) }
    }
    #[inline]
    fn text(&self) -> &[u8] {
        // SAFETY: the text is what lies between the end of the key and the end of the block; every way to make it
        // longer writes it before it can be read.
        unsafe { std::slice::from_raw_parts(self.text_start(), self.text_len()) }
    }
    #[inline]
    fn text_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `text`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.text_start(), self.text_len()) }
    }

    /// The shared text of a long string.
    fn shared_mut(&mut self) -> Option<&mut Bytes> {
        // SAFETY: the payload of SHARED is a pointer from `Box::into_raw` that this entry owns.
        (self.shape() == SHARED).then(|| unsafe { &mut **self.payload().cast::<*mut Bytes>() })
    }

    /// Makes the text `len` bytes long; new bytes are zero.
    fn resize_text(&mut self, len: usize) {
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
    fn size(&self) -> usize {
        let meta = self.meta();
        key_offset(meta) + self.key_len(meta) + self.text_len()
    }

    fn reallocate(&mut self, before: usize, after: usize) {
        if before == after {
            return;
        }
        // SAFETY: `before` is the size the block was asked for with; `after` is not zero.
        let block = unsafe { alloc::realloc(self.0.as_ptr(), layout(before), after) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout(after)) };
        self.0 = block;
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

/// Runs a change of a value in the keyspace. A fault there leaves it half changed, and nobody may see that: the process
/// ends. A fault anywhere else only unlocks.
#[inline]
pub(super) fn to_its_end<R>(change: impl FnOnce() -> R) -> R {
    let half_done = HalfDone;
    let result = change();
    std::mem::forget(half_done);
    result
}

/// Stands while a value is being changed.
struct HalfDone;

impl Drop for HalfDone {
    fn drop(&mut self) {
        eprintln!("A value is left half changed by a fault in a command: the server ends.");
        std::process::abort();
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

/// Edits a long string in place when nobody shares it, else a copy.
fn edit_shared<R>(shared: &mut Bytes, len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut text = match std::mem::take(shared).try_into_mut() {
        Ok(own) => own,
        Err(theirs) => {
            let mut copy = BytesMut::with_capacity(len);
            copy.extend_from_slice(&theirs);
            copy
        }
    };
    text.resize(len, 0);
    let result = edit(&mut text);
    *shared = text.freeze();
    result
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

/// The shape of a small collection.
fn packed_shape(kind: Kind, packing: Packing) -> u32 {
    match (kind, packing) {
        (Kind::List, _) => PACKED_LIST,
        (Kind::Set, Packing::Intset) => PACKED_INTS,
        (Kind::Set, _) => PACKED_SET,
        (Kind::ZSet, _) => PACKED_ZSET,
        (_, Packing::ListpackEx) => PACKED_HASH_EX,
        _ => PACKED_HASH,
    }
}

/// Where the key begins.
#[inline]
fn key_offset(meta: u32) -> usize {
    HEADER_LEN
        + ((meta & EXPIRY) >> 1) as usize
        + ((meta & LONG_KEY) >> 3) as usize
        + usize::from(PAYLOAD_LEN[(meta & SHAPE) as usize])
}
const _: () = assert!(EXPIRY >> 1 == 8 && LONG_KEY >> 3 == 8, "the flags are also the bytes they stand for");

/// Where the length of a long key is.
fn long_key_offset(meta: u32) -> usize {
    HEADER_LEN + ((meta & EXPIRY) >> 1) as usize
}

#[inline]
fn layout(size: usize) -> Layout {
    debug_assert!(size <= isize::MAX as usize / 2);
    // SAFETY: 8 is a power of two and no key or value comes near the limit of a layout.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

/// Asks the processor to fetch a line into its caches; does nothing where that cannot be said.
#[inline]
pub(super) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch of any address is allowed and has no effect but on time.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}

#[cfg(test)]
mod tests;
