//! Which bytes of a block are what: the bits of the header, the shapes, and where the parts begin.

use super::Entry;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::string::SHARED_MIN;
use crate::types::zset::ZSet;
use crate::types::{Kind, Packing};
use std::alloc::Layout;

/// The shape: the low four bits of the tag.
pub(super) const SHAPE: u32 = 15;
pub(super) const INT: u32 = 0;
pub(super) const INLINE: u32 = 1;
pub(super) const SHARED: u32 = 2;
pub(super) const LIST: u32 = 3;
pub(super) const SET: u32 = 4;
pub(super) const ZSET: u32 = 5;
pub(super) const HASH: u32 = 6;
pub(super) const STREAM: u32 = 7;
/// A short string with this bit was changed in place; an integer with it is a copy.
pub(super) const RAW: u32 = 8;
pub(super) const INT_RAW: u32 = INT | RAW;
pub(super) const INLINE_RAW: u32 = INLINE | RAW;
/// A small collection has this bit.
pub(super) const PACKED: u32 = 8;
pub(super) const PACKED_LIST: u32 = LIST | PACKED;
pub(super) const PACKED_SET: u32 = SET | PACKED;
pub(super) const PACKED_ZSET: u32 = ZSET | PACKED;
pub(super) const PACKED_HASH: u32 = HASH | PACKED;
/// A set of integers, and a hash with deadlines: shapes that long strings, which are always raw, and streams leave free.
pub(super) const PACKED_INTS: u32 = SHARED | PACKED;
pub(super) const PACKED_HASH_EX: u32 = STREAM | PACKED;

/// The entry has a deadline.
pub(super) const EXPIRY: u32 = 1 << 4;
/// On which side of the running cut the entry is.
pub(super) const EPOCH: u32 = 1 << 5;
/// The length of the key does not fit the header.
pub(super) const LONG_KEY: u32 = 1 << 6;
/// The deadline was moved later since the timer wheel heard of it.
pub(super) const LATE: u32 = 1 << 7;

/// The header: bits of the length of the key, of the text behind it, and of the access word; the tag is the rest.
pub(super) const KEY_LEN_BITS: u32 = 12;
pub(super) const TEXT_LEN_BITS: u32 = 14;
/// Bits of the access word.
pub const ACCESS_BITS: u32 = 30;
pub(super) const ACCESS_SHIFT: u32 = KEY_LEN_BITS + TEXT_LEN_BITS;
pub(super) const TAG_SHIFT: u32 = ACCESS_SHIFT + ACCESS_BITS;
pub(super) const KEY_LEN_MAX: usize = (1 << KEY_LEN_BITS) - 1;
pub(super) const TEXT_LEN_MAX: usize = (1 << TEXT_LEN_BITS) - 1;
/// A longer key shares its block with no collection: a loan of the block counts what lies before in 32 bits.
pub(super) const PACKED_KEY_LEN_MAX: usize = 1 << 20;
pub(super) const ACCESS_MASK: u64 = (1 << ACCESS_BITS) - 1;

/// Bytes of the payload, by shape.
pub(super) const PAYLOAD_LEN: [u8; 16] = [8, 0, 8, 24, 24, 24, 24, 8, 8, 0, 0, 0, 0, 0, 0, 0];
pub(super) const HEADER_LEN: usize = 8;

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

/// The shape of a small collection.
pub(super) fn packed_shape(kind: Kind, packing: Packing) -> u32 {
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
pub(super) fn key_offset(meta: u32) -> usize {
    HEADER_LEN
        + ((meta & EXPIRY) >> 1) as usize
        + ((meta & LONG_KEY) >> 3) as usize
        + usize::from(PAYLOAD_LEN[(meta & SHAPE) as usize])
}
const _: () = assert!(EXPIRY >> 1 == 8 && LONG_KEY >> 3 == 8, "the flags are also the bytes they stand for");

/// Where the length of a long key is.
pub(super) fn long_key_offset(meta: u32) -> usize {
    HEADER_LEN + ((meta & EXPIRY) >> 1) as usize
}

#[inline]
pub(super) fn layout(size: usize) -> Layout {
    debug_assert!(size <= isize::MAX as usize / 2);
    // SAFETY: 8 is a power of two and no key or value comes near the limit of a layout.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}
