//! The stream: entries by id in packed blocks.

/// Holds the place of the type until its file lands; that file replaces this one whole.
#[derive(Clone, Debug, Default)]
pub struct Stream(Box<[u8]>);

impl Stream {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.len()
    }
    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
