//! The two upper levels of a [`Table`](super::table::Table): how pages split, merge and are found.
//!
//! A leaf or segment of smaller depth than its index allows is named by several slots of that index, which therefore
//! hold numbers and not pointers: an `Arc` named twice would look shared and be copied at each write.
//!
//! Every function that changes anything keeps `bytes`, the heap bytes of the whole, by measuring what it touches before
//! and after (a copy made because a clone shares a node is cut to size, so it differs from its original).

use super::page::Page;
use std::sync::Arc;

/// The top level: leading bits of a hash to segments.
#[derive(Clone)]
pub(super) struct Directory<P, const SEGMENT_BITS: u32> {
    /// How many bits the index reads.
    bits: u32,
    index: Vec<u32>,
    segments: Vec<Arc<Segment<P>>>,
    /// Items in each segment.
    lens: Vec<usize>,
}

/// The middle level: the next bits to leaves.
#[derive(Clone)]
struct Segment<P> {
    /// How many bits led here.
    depth: u32,
    /// How many more the index reads.
    bits: u32,
    index: Vec<u16>,
    leaves: Vec<Arc<Leaf<P>>>,
    /// Items in each leaf.
    lens: Vec<u32>,
}

#[derive(Clone)]
struct Leaf<P> {
    /// How many bits, from the top, all hashes here share.
    depth: u32,
    page: P,
}

/// A leaf on its way to a new segment, with its number of items.
type Moving<P> = Option<(Arc<Leaf<P>>, u32)>;

/// Two `Arc` counters.
const ARC_BYTES: usize = 2 * size_of::<usize>();

impl<P: Page, const SEGMENT_BITS: u32> Directory<P, SEGMENT_BITS> {
    const VALID: () = assert!(SEGMENT_BITS >= 1 && SEGMENT_BITS <= 12);

    /// A directory over one page.
    pub(super) fn new(page: P) -> Self {
        let () = Self::VALID;
        let len = page.len();
        let leaves = vec![Arc::new(Leaf { depth: 0, page })];
        let segment = Segment { depth: 0, bits: 0, index: vec![0], leaves, lens: vec![len as u32] };
        Self { bits: 0, index: vec![0], segments: vec![Arc::new(segment)], lens: vec![len] }
    }

    /// Heap bytes of it all, its own struct included. Only for a new one: it walks.
    pub(super) fn bytes(&self) -> usize {
        self.own_bytes() + self.segments.iter().map(|segment| segment.bytes()).sum::<usize>()
    }

    /// Bytes a clone does not share.
    pub(super) fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.index.capacity() * 4 + self.segments.capacity() * 8 + self.lens.capacity() * 8
    }

    fn segment_of(&self, hash: u64) -> usize {
        self.index[bits_of(hash, 0, self.bits)] as usize
    }

    /// The page of this hash.
    pub(super) fn page(&self, hash: u64) -> &P {
        &self.segments[self.segment_of(hash)].leaf(hash).page
    }

    /// The page of this hash and its depth.
    pub(super) fn locate(&self, hash: u64) -> (&P, u32) {
        let leaf = self.segments[self.segment_of(hash)].leaf(hash);
        (&leaf.page, leaf.depth)
    }

    /// The page holding the item at `rank`, and the place in it.
    pub(super) fn at(&self, mut rank: usize) -> (&P, usize) {
        let segment = &self.segments[take_rank(&mut rank, self.lens.iter().copied())];
        let leaf = take_rank(&mut rank, segment.lens.iter().map(|len| *len as usize));
        (&segment.leaves[leaf].page, rank)
    }

    /// Changes the page of this hash and keeps both counters.
    pub(super) fn edit<R>(
        &mut self,
        hash: u64,
        len: &mut usize,
        bytes: &mut usize,
        change: impl FnOnce(&mut P) -> R,
    ) -> R {
        let at = self.segment_of(hash);
        let segment = own_segment(&mut self.segments[at], bytes);
        let leaf_at = segment.leaf_of(hash);
        let leaf = &mut segment.leaves[leaf_at];
        *bytes -= leaf.bytes();
        let leaf = Arc::make_mut(leaf);
        let result = change(&mut leaf.page);
        *bytes += leaf.bytes();
        let (before, after) = (segment.lens[leaf_at] as usize, leaf.page.len());
        segment.lens[leaf_at] = after as u32;
        self.lens[at] = self.lens[at] + after - before;
        *len = *len + after - before;
        result
    }

    /// One step towards splitting the page of this hash: the page, or first the segment it is in.
    pub(super) fn split(&mut self, hash: u64, bytes: &mut usize) {
        let at = self.segment_of(hash);
        let segment = own_segment(&mut self.segments[at], bytes);
        let spent = segment.leaf(hash).depth - segment.depth;
        if spent < segment.bits {
            segment.split_leaf(hash, bytes);
        } else if segment.bits < SEGMENT_BITS {
            *bytes -= segment.own_bytes();
            segment.widen();
            *bytes += segment.own_bytes();
            segment.split_leaf(hash, bytes);
        } else {
            *bytes -= self.own_bytes() + self.segments[at].own_bytes();
            let new = self.split_segment(at, hash);
            *bytes += self.own_bytes() + self.segments[at].own_bytes() + self.segments[new].own_bytes();
        }
    }

    fn split_segment(&mut self, at: usize, hash: u64) -> usize {
        let depth = self.segments[at].depth;
        if depth == self.bits {
            self.index = self.index.iter().flat_map(|slot| [*slot, *slot]).collect();
            self.bits += 1;
        }
        let right = Arc::make_mut(&mut self.segments[at]).split();
        let (new, right_len) = (self.segments.len(), right.len());
        self.lens[at] -= right_len;
        self.segments.push(Arc::new(right));
        self.lens.push(right_len);
        let (first, count) = slots(hash, 0, depth, self.bits);
        self.index[first + count / 2..first + count].fill(new as u32);
        new
    }

    /// Merges the page of this hash with its sibling while both are small, then segments likewise.
    pub(super) fn settle(&mut self, hash: u64, bytes: &mut usize) {
        while self.page(hash).len() < P::SPARSE {
            let at = self.segment_of(hash);
            if self.segments[at].leaves_can_merge(hash) {
                own_segment(&mut self.segments[at], bytes).merge_leaves(hash, bytes);
            } else if let Some((left, right)) = self.mergeable_segments(hash) {
                self.merge_segments(left, right, bytes);
            } else {
                return;
            }
        }
    }

    fn merge_segments(&mut self, left: usize, right: usize, bytes: &mut usize) {
        *bytes -= self.own_bytes() + self.segments[left].own_bytes() + self.segments[right].own_bytes();
        let other = Segment::clone(&self.segments[right]);
        let segment = Arc::make_mut(&mut self.segments[left]);
        segment.absorb(other);
        *bytes += segment.own_bytes();
        self.lens[left] += self.lens[right];
        self.forget_segment(right, left);
        *bytes += self.own_bytes();
    }

    /// The segment of this hash and its sibling, in order, if one index can hold both with room to spare.
    fn mergeable_segments(&self, hash: u64) -> Option<(usize, usize)> {
        let at = self.segment_of(hash);
        let depth = self.segments[at].depth;
        if depth == 0 || self.segments[at].bits + 3 > SEGMENT_BITS.max(3) {
            return None;
        }
        let sibling_hash = hash ^ (1 << (64 - depth));
        let other = self.segment_of(sibling_hash);
        let both_small = self.segments[other].bits + 3 <= SEGMENT_BITS.max(3);
        if self.segments[other].depth != depth || !both_small {
            return None;
        }
        Some(if hash < sibling_hash { (at, other) } else { (other, at) })
    }

    /// Removes a segment from the lists; its slots name `heir` from now on.
    fn forget_segment(&mut self, gone: usize, heir: usize) {
        self.segments.swap_remove(gone);
        self.lens.swap_remove(gone);
        let moved = self.segments.len() as u32;
        for slot in &mut self.index {
            if *slot == gone as u32 {
                *slot = heir as u32;
            }
            if *slot == moved {
                *slot = gone as u32;
            }
        }
        let deepest = self.segments.iter().map(|segment| segment.depth).max().unwrap_or(0);
        halve_index(&mut self.index, &mut self.bits, deepest);
    }
}

impl<P: Page> Segment<P> {
    fn bytes(&self) -> usize {
        self.own_bytes() + self.leaves.iter().map(|leaf| leaf.bytes()).sum::<usize>()
    }

    fn own_bytes(&self) -> usize {
        ARC_BYTES
            + size_of::<Self>()
            + self.index.capacity() * 2
            + self.leaves.capacity() * 8
            + self.lens.capacity() * 4
    }

    fn len(&self) -> usize {
        self.lens.iter().map(|len| *len as usize).sum()
    }

    fn leaf_of(&self, hash: u64) -> usize {
        usize::from(self.index[bits_of(hash, self.depth, self.bits)])
    }

    fn leaf(&self, hash: u64) -> &Leaf<P> {
        &self.leaves[self.leaf_of(hash)]
    }

    /// Doubles the index by one more bit.
    fn widen(&mut self) {
        self.index = self.index.iter().flat_map(|slot| [*slot, *slot]).collect();
        self.bits += 1;
    }

    /// Gives up the bits no leaf needs.
    fn narrow(&mut self) {
        let deepest = self.leaves.iter().map(|leaf| leaf.depth).max().unwrap_or(self.depth);
        halve_index(&mut self.index, &mut self.bits, deepest - self.depth);
    }

    /// Splits the leaf of this hash by its next bit, which the index already reads.
    fn split_leaf(&mut self, hash: u64, bytes: &mut usize) {
        let at = self.leaf_of(hash);
        *bytes -= self.own_bytes() + self.leaves[at].bytes();
        let leaf = Arc::make_mut(&mut self.leaves[at]);
        let depth = leaf.depth;
        let right = Leaf { depth: depth + 1, page: leaf.page.split(depth) };
        leaf.depth += 1;
        *bytes += leaf.bytes() + right.bytes();
        self.lens[at] = leaf.page.len() as u32;
        let new = self.leaves.len() as u16;
        if self.leaves.len() == self.leaves.capacity() {
            let step = (self.leaves.len() / 8).max(2);
            self.leaves.reserve_exact(step);
            self.lens.reserve_exact(step);
        }
        self.lens.push(right.page.len() as u32);
        self.leaves.push(Arc::new(right));
        let (first, count) = slots(hash, self.depth, depth - self.depth, self.bits);
        self.index[first + count / 2..first + count].fill(new);
        *bytes += self.own_bytes();
    }

    /// Splits this segment by its first bit: keeps the half where it is 0.
    fn split(&mut self) -> Self {
        let mut all: Vec<Moving<P>> = self.leaves.drain(..).zip(self.lens.drain(..)).map(Some).collect();
        let halves = self.index.split_at(self.index.len() / 2);
        let (depth, bits) = (self.depth + 1, self.bits - 1);
        let right = Self::from_half(depth, bits, halves.1, &mut all);
        *self = Self::from_half(depth, bits, halves.0, &mut all);
        right
    }

    fn from_half(depth: u32, bits: u32, slots: &[u16], all: &mut [Moving<P>]) -> Self {
        let mut half =
            Self { depth, bits, index: Vec::with_capacity(slots.len()), leaves: Vec::new(), lens: Vec::new() };
        for slot in slots {
            if let Some((leaf, len)) = all[usize::from(*slot)].take() {
                half.leaves.push(leaf);
                half.lens.push(len);
            }
            half.index.push(half.leaves.len() as u16 - 1);
        }
        half.narrow();
        half
    }

    fn leaves_can_merge(&self, hash: u64) -> bool {
        let at = self.leaf_of(hash);
        if self.leaves[at].depth == self.depth {
            return false;
        }
        let (leaf, sibling) = (&self.leaves[at], self.leaf(sibling(hash, self.leaves[at].depth)));
        leaf.depth == sibling.depth && leaf.page.can_absorb(&sibling.page)
    }

    fn merge_leaves(&mut self, hash: u64, bytes: &mut usize) {
        let at = self.leaf_of(hash);
        let other = self.leaf_of(sibling(hash, self.leaves[at].depth));
        *bytes -= self.own_bytes() + self.leaves[at].bytes() + self.leaves[other].bytes();
        let sibling = std::mem::replace(&mut self.leaves[other], Arc::new(Leaf { depth: 0, page: P::default() }));
        let leaf = Arc::make_mut(&mut self.leaves[at]);
        leaf.page.absorb(Arc::unwrap_or_clone(sibling).page);
        leaf.depth -= 1;
        *bytes += leaf.bytes();
        self.lens[at] += self.lens[other];
        self.forget_leaf(other, at);
        *bytes += self.own_bytes();
    }

    /// Removes a leaf from the lists; its slots name `heir` from now on.
    fn forget_leaf(&mut self, gone: usize, heir: usize) {
        self.leaves.swap_remove(gone);
        self.lens.swap_remove(gone);
        let moved = self.leaves.len() as u16;
        for slot in &mut self.index {
            if *slot == gone as u16 {
                *slot = heir as u16;
            }
            if *slot == moved {
                *slot = gone as u16;
            }
        }
        self.narrow();
        if self.leaves.capacity() > 2 * self.leaves.len() {
            self.leaves.shrink_to_fit();
            self.lens.shrink_to_fit();
        }
    }

    /// Takes the leaves of the sibling that follows in hash order; both share all but their last bit of depth.
    fn absorb(&mut self, other: Self) {
        let bits = self.bits.max(other.bits);
        let base = self.leaves.len() as u16;
        let left = self.index.iter().flat_map(|slot| std::iter::repeat_n(*slot, 1 << (bits - self.bits)));
        let right = other.index.iter().flat_map(|slot| std::iter::repeat_n(*slot + base, 1 << (bits - other.bits)));
        self.index = left.chain(right).collect();
        (self.depth, self.bits) = (self.depth - 1, bits + 1);
        self.leaves.extend(other.leaves);
        self.lens.extend(other.lens);
    }
}

impl<P: Page> Leaf<P> {
    fn bytes(&self) -> usize {
        ARC_BYTES + size_of::<Self>() + self.page.heap_bytes()
    }
}

/// This segment to write to, copied if a clone shares it.
fn own_segment<'a, P: Page>(segment: &'a mut Arc<Segment<P>>, bytes: &mut usize) -> &'a mut Segment<P> {
    *bytes -= segment.own_bytes();
    let segment = Arc::make_mut(segment);
    *bytes += segment.own_bytes();
    segment
}

/// A hash in the page that differs from this one's in the last of `depth` bits only.
fn sibling(hash: u64, depth: u32) -> u64 {
    hash ^ (1 << (64 - depth))
}

/// The slots, as (first, count), of what has read `depth` bits behind the first `skip`, in an index of `bits` bits.
fn slots(hash: u64, skip: u32, depth: u32, bits: u32) -> (usize, usize) {
    let free = bits - depth;
    (bits_of(hash, skip, depth) << free, 1 << free)
}

/// Halves an index while nothing it names needs its last bit.
fn halve_index<T: Copy>(index: &mut Vec<T>, bits: &mut u32, deepest: u32) {
    while *bits > deepest {
        *index = index.iter().step_by(2).copied().collect();
        *bits -= 1;
    }
}

/// `count` bits of `hash` behind the first `skip`.
fn bits_of(hash: u64, skip: u32, count: u32) -> usize {
    (((hash << skip) >> 1) >> (63 - count)) as usize
}

/// Finds the part holding `rank`, which becomes the rank inside it.
fn take_rank(rank: &mut usize, lens: impl Iterator<Item = usize>) -> usize {
    for (part, len) in lens.enumerate() {
        if *rank < len {
            return part;
        }
        *rank -= len;
    }
    unreachable!("a rank below the length lies in a part")
}

#[cfg(test)]
impl<P: Page, const SEGMENT_BITS: u32> Directory<P, SEGMENT_BITS> {
    /// All bytes counted from scratch, after checking that every part is where its depth says.
    pub(super) fn counted_bytes(&self) -> usize {
        assert_eq!(self.index.len(), 1 << self.bits);
        for (slot, at) in self.index.iter().enumerate() {
            let segment = &self.segments[*at as usize];
            assert_eq!(segment.index.len(), 1 << segment.bits);
            assert_eq!(self.lens[*at as usize], segment.len());
            let prefix = if segment.depth == 0 {
                0
            } else {
                (slot as u64) >> (self.bits - segment.depth) << (64 - segment.depth)
            };
            for (slot, at) in segment.index.iter().enumerate() {
                let leaf = &segment.leaves[usize::from(*at)];
                assert_eq!(segment.lens[usize::from(*at)] as usize, leaf.page.len());
                let low = prefix | ((slot as u64).checked_shl(64 - segment.depth - segment.bits).unwrap_or(0));
                for i in 0..leaf.page.len() {
                    let differing = leaf.page.hash_at(i) ^ low;
                    assert!(leaf.depth == 0 || differing >> (64 - leaf.depth) == 0);
                }
            }
        }
        self.bytes()
    }
}
