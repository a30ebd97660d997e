//! The sorted set: members by score, by name and by rank.

/// Holds the place of the type until its file lands; that file replaces this one whole.
#[derive(Clone, Debug, Default)]
pub struct ZSet(Box<[u8]>);

impl ZSet {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.len()
    }
    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
