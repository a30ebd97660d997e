//! The member of a big sorted set: counted bytes behind one 8-byte pointer, in one allocation.
//!
//! A sorted set names each member twice, by hash and by rank, and copies of it after a snapshot name it again. An
//! `Arc<[u8]>` is 16 bytes per name and 16 more of counters, so 1 M members of 16 bytes would cost 72 MB before any
//! structure; this costs 40. That difference is the reason for `unsafe` here.
//! ```text
//! +-------------+----------------+------------+
//! | count: u32  | len: 1 or 5    | bytes      |     len < 255 is one byte, else 255 and a u32, little-endian
//! +-------------+----------------+------------+
//! ```
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cmp::Ordering;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence};

const COUNT_BYTES: usize = 4;
/// Beyond this many names something leaks them; the count must not wrap.
const COUNT_MAX: u32 = u32::MAX / 2;

/// Shared, immutable bytes behind a thin pointer; at most 4 GiB - 1 of them.
pub struct Member(NonNull<u8>);

// SAFETY: the bytes never change after `new` and the count is atomic, so names may live on any thread.
unsafe impl Send for Member {}
// SAFETY: as above; `&Member` only reads the bytes and counts atomically.
unsafe impl Sync for Member {}

const _: () = assert!(size_of::<Option<Member>>() == 8);

impl Member {
    /// A copy of `bytes` with one name.
    pub fn new(bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("an argument is at most 512 MiB");
        let (layout, head) = Self::layout(bytes.len());
        // SAFETY: the layout is never empty: it holds the count.
        let raw = unsafe { alloc(layout) };
        let Some(at) = NonNull::new(raw) else { handle_alloc_error(layout) };
        // SAFETY: the layout holds the count (aligned to 4), `head` bytes up to the first of `bytes`, and `bytes`; the
        // memory is fresh, so nothing overlaps.
        unsafe {
            at.cast::<AtomicU32>().write(AtomicU32::new(1));
            if head == COUNT_BYTES + 1 {
                at.add(COUNT_BYTES).write(len as u8);
            } else {
                at.add(COUNT_BYTES).write(u8::MAX);
                at.add(COUNT_BYTES + 1).cast::<[u8; 4]>().write(len.to_le_bytes());
            }
            at.add(head).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        Self(at)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        let (len, head) = self.len_and_head();
        // SAFETY: `new` wrote `len` bytes from `head` on, and they live as long as this name.
        unsafe { std::slice::from_raw_parts(self.0.add(head).as_ptr(), len) }
    }

    /// Heap bytes of the one allocation all names share.
    pub fn heap_bytes(&self) -> usize {
        let (len, head) = self.len_and_head();
        head + len
    }

    fn len_and_head(&self) -> (usize, usize) {
        // SAFETY: `new` wrote one byte of length, or 255 and four.
        unsafe {
            match self.0.add(COUNT_BYTES).read() {
                u8::MAX => {
                    let len = self.0.add(COUNT_BYTES + 1).cast::<[u8; 4]>().read();
                    (u32::from_le_bytes(len) as usize, COUNT_BYTES + 5)
                }
                len => (usize::from(len), COUNT_BYTES + 1),
            }
        }
    }

    /// The allocation for `len` bytes, and where in it they start.
    fn layout(len: usize) -> (Layout, usize) {
        let head = COUNT_BYTES + if len < usize::from(u8::MAX) { 1 } else { 5 };
        (Layout::from_size_align(head + len, COUNT_BYTES).expect("lengths are below 4 GiB"), head)
    }

    fn count(&self) -> &AtomicU32 {
        // SAFETY: the count lies at the start, aligned by the layout, and lives as long as any name.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Clone for Member {
    fn clone(&self) -> Self {
        if self.count().fetch_add(1, Relaxed) > COUNT_MAX {
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Release pairs with the fence: whoever frees has seen every other name's last use.
        if self.count().fetch_sub(1, Release) != 1 {
            return;
        }
        fence(Acquire);
        let (layout, _) = Self::layout(self.len_and_head().0);
        // SAFETY: this was the last name, and `new` allocated with the same layout.
        unsafe { dealloc(self.0.as_ptr(), layout) };
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.bytes() == other.bytes()
    }
}

impl Eq for Member {}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.bytes().cmp(other.bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_and_is_counted() {
        for len in [0, 1, 3, 16, 253, 254, 255, 256, 300, 70_000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let member = Member::new(&bytes);
            let name = member.clone();
            drop(member);
            assert_eq!(name.bytes(), bytes);
            assert_eq!(name.heap_bytes(), len + if len < 255 { 5 } else { 9 });
        }
    }

    #[test]
    fn names_order_by_bytes_and_cross_threads() {
        let (a, b) = (Member::new(b"a"), Member::new(b"ab"));
        assert!(a < b && a == Member::new(b"a"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (a, b) = (a.clone(), b.clone());
                std::thread::spawn(move || (0..100).all(|_| a.clone() < b.clone()))
            })
            .collect();
        drop((a, b));
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    }
}
