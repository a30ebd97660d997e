//! The page of a big sorted set's table: members by hash, each with its score.
//!
//! A member's bytes are one allocation that the tree of ranks names too, so an entry is a pointer and a score. Tags (one
//! byte of each hash) are compared first, 64 of them in one cache line.

use super::ranked::Ranked;
use crate::base::hash::key_hash;
use crate::types::tree::page::{Page, has_bit};
use smallvec::SmallVec;

/// Members of a few hashes.
#[derive(Clone, Default)]
pub(super) struct Names {
    tags: SmallVec<[u8; ENTRIES]>,
    entries: Vec<Ranked>,
}

/// A page is full with this many entries.
const ENTRIES: usize = 64;
/// Entries grow by this many: 128 bytes, the distance of jemalloc's classes at the usual size.
const STEP: usize = 8;

impl Names {
    pub(super) fn find(&self, hash: u64, member: &[u8]) -> Option<usize> {
        let mut from = 0;
        while let Some(skip) = memchr::memchr(hash as u8, &self.tags[from..]) {
            if self.entries[from + skip].member.bytes() == member {
                return Some(from + skip);
            }
            from += skip + 1;
        }
        None
    }

    pub(super) fn entry(&self, at: usize) -> &Ranked {
        &self.entries[at]
    }

    pub(super) fn set_score(&mut self, at: usize, score: f64) {
        self.entries[at].score = score;
    }

    pub(super) fn push(&mut self, hash: u64, entry: Ranked) {
        self.push_tagged(hash as u8, entry);
    }

    pub(super) fn remove(&mut self, at: usize) -> Ranked {
        self.tags.swap_remove(at);
        self.entries.swap_remove(at)
    }

    fn push_tagged(&mut self, tag: u8, entry: Ranked) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(STEP);
        }
        self.tags.push(tag);
        self.entries.push(entry);
    }
}

impl Page for Names {
    const SPARSE: usize = ENTRIES / 4;

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn heap_bytes(&self) -> usize {
        let overflow = if self.tags.spilled() { self.tags.capacity() } else { 0 };
        self.entries.capacity() * size_of::<Ranked>() + overflow
    }

    fn has_room(&self, _: usize) -> bool {
        self.entries.len() < ENTRIES
    }

    fn hash_at(&self, at: usize) -> u64 {
        key_hash(self.entries[at].member.bytes())
    }

    fn split(&mut self, bit: u32) -> Self {
        let old = std::mem::take(self);
        let mut right = Self::default();
        for (tag, entry) in old.tags.into_iter().zip(old.entries) {
            let goes_right = has_bit(key_hash(entry.member.bytes()), bit);
            if goes_right { &mut right } else { &mut *self }.push_tagged(tag, entry);
        }
        right
    }

    fn can_absorb(&self, other: &Self) -> bool {
        self.len() + other.len() <= ENTRIES / 2
    }

    fn absorb(&mut self, other: Self) {
        for (tag, entry) in other.tags.into_iter().zip(other.entries) {
            self.push_tagged(tag, entry);
        }
    }
}
