//! What a [`Table`](super::table::Table) asks of its pages.

/// Items of a few hashes side by side. A page knows its items' hashes again when it splits; it need not store them.
pub trait Page: Clone + Default {
    /// Only a page with fewer items than this is looked at for merging.
    const SPARSE: usize;

    /// How many items it holds.
    fn len(&self) -> usize;

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap beyond the struct itself.
    fn heap_bytes(&self) -> usize;

    /// Whether one more item of `size` bytes fits without a split.
    fn has_room(&self, size: usize) -> bool;

    /// The hash of the item at a place.
    fn hash_at(&self, at: usize) -> u64;

    /// Moves the items whose hash has `bit` set (0 is the top bit) to a new page.
    fn split(&mut self, bit: u32) -> Self;

    /// Whether all of `other` fits here with room to spare.
    fn can_absorb(&self, other: &Self) -> bool;

    /// Takes all items of `other`.
    fn absorb(&mut self, other: Self);
}

/// Whether `hash` has `bit` set, 0 being the top bit.
pub fn has_bit(hash: u64, bit: u32) -> bool {
    (hash << bit) >> 63 == 1
}
