//! Bytes of a connection that are no whole request yet, or requests that wait for their turn.
//!
//! Requests go from the front, slice by slice; what is left is moved only when it is less than what has gone, so that a
//! long row of requests is not copied once for every slice of it.

use std::ops::{Deref, Range};

/// The bytes; their room is their own.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    /// Where they begin: what is before has run.
    start: usize,
}

impl Pending {
    /// A copy of what is left of a buffer.
    pub(super) fn copy_of(bytes: &[u8]) -> Pending {
        bytes.to_vec().into()
    }

    /// Adds what has come.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Leaves this part of them.
    pub(super) fn keep(&mut self, left: Range<usize>) {
        let (start, end) = (self.start + left.start, self.start + left.end);
        if left.len() < start {
            *self = Self::copy_of(&self.bytes[start..end]);
        } else {
            self.bytes.truncate(end);
            self.start = start;
        }
    }

    /// Their room.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back the room that they do not need.
    pub(super) fn shrink(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.shrink_to_fit();
    }

    /// As they are, from the first on.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes
    }
}

impl From<Vec<u8>> for Pending {
    fn from(bytes: Vec<u8>) -> Pending {
        Pending { bytes, start: 0 }
    }
}

impl Deref for Pending {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_is_left() {
        let all: Vec<u8> = (0..=255).collect();
        for (first, then) in [(0..256, 0..256), (3..256, 5..200), (200..256, 3..50), (10..250, 230..240), (9..9, 0..0)]
        {
            let mut pending = Pending::from(all.clone());
            pending.keep(first.clone());
            assert_eq!(*pending, all[first.clone()]);
            pending.keep(then.clone());
            assert_eq!(*pending, all[first.clone()][then.clone()]);
            pending.extend(b"more");
            let want = [&all[first][then], b"more"].concat();
            assert_eq!(*pending, want);
            pending.shrink();
            assert_eq!((&*pending, pending.capacity()), (&want[..], want.len()));
            assert_eq!(pending.into_vec(), want);
        }
    }

    #[test]
    fn many_slices_copy_little() {
        let mut pending = Pending::from(vec![0; 1 << 20]);
        let mut copied = 0;
        while !pending.is_empty() {
            let (before, left) = (pending.bytes.as_ptr(), 1..pending.len());
            let len = left.len();
            pending.keep(left);
            copied += if pending.bytes.as_ptr() == before { 0 } else { len };
        }
        assert!(copied < 2 << 20, "{copied} bytes");
    }
}
