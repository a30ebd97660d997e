//! The hash: fields to values, each field with an optional deadline.

/// Holds the place of the type until its file lands; that file replaces this one whole.
#[derive(Clone, Debug, Default)]
pub struct Hash(Box<[u8]>);

impl Hash {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.len()
    }
    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The earliest deadline of a field.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }
}
impl Hash {
    pub fn expire_due(&mut self, _: u64, _: usize) -> Vec<Vec<u8>> {
        vec![]
    }
}
