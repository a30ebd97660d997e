//! A hash table in pages: what big sets, hashes and the name side of sorted sets are made of.
//!
//! # Idea
//! Extendible hashing over small pages. The bits of a hash, read from the top, choose a segment, then a page; what is
//! in the page is the page's own affair (trait [`Page`]).
//! ```text
//! hash  | directory bits | segment bits | ...... |      a page of depth d holds every item whose first d bits are its own
//!           |                |
//!        index[..] -> Segment { index[..] -> Leaf { depth, page } }
//! ```
//! A full page splits in two by its next bit; a segment whose index is full splits in two; the directory doubles when a
//! segment asks for a bit it does not have. Each step moves one page's items or one index, so there is no long rehash
//! and no doubling of memory. A small table is one page and nothing else.
//!
//! Segments and pages sit behind `Arc`: a clone copies the directory (one pointer per ~16,000 items) and a later write
//! copies one segment's pointers and one page.
//!
//! # Scanning
//! A cursor is a place in hash order: the top 48 bits of the next hash to report. Splits and merges do not change the
//! order, so an item present during the whole scan is reported exactly once, whatever grows or shrinks meanwhile.
//! 48 bits keep cursors exact in clients that hold them in doubles.
//!
//! # Limits
//! A page that would need to be much deeper than the number of items explains (many equal hashes) grows instead of
//! splitting, so bad luck costs time, not memory.

use super::directory::Directory;
use super::page::Page;
use smallvec::SmallVec;

/// A table of pages `P`, with `2^SEGMENT_BITS` places in the index of a segment.
pub struct Table<P, const SEGMENT_BITS: u32 = 9> {
    body: Body<P, SEGMENT_BITS>,
    len: usize,
    bytes: usize,
}

#[derive(Clone)]
enum Body<P, const SEGMENT_BITS: u32> {
    One(P),
    Many(Box<Directory<P, SEGMENT_BITS>>),
}

/// Bits of a hash a scan cursor keeps.
const CURSOR_BITS: u32 = 48;
const _: () = assert!(CURSOR_BITS < 53);

/// How much deeper than log2 of its length a table may get before pages grow instead.
const DEPTH_SLACK: u32 = 6;

impl<P: Page, const SEGMENT_BITS: u32> Clone for Table<P, SEGMENT_BITS> {
    /// Copies the directory, whose vectors come out cut to size; what lies behind `Arc` stays shared.
    fn clone(&self) -> Self {
        let body = self.body.clone();
        Self { bytes: self.bytes + body.own_bytes() - self.body.own_bytes(), len: self.len, body }
    }
}

impl<P: Page, const SEGMENT_BITS: u32> Body<P, SEGMENT_BITS> {
    /// Bytes of the parts a clone does not share.
    fn own_bytes(&self) -> usize {
        match self {
            Body::One(page) => page.heap_bytes(),
            Body::Many(directory) => directory.own_bytes(),
        }
    }
}

impl<P: Page, const SEGMENT_BITS: u32> Default for Table<P, SEGMENT_BITS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Page, const SEGMENT_BITS: u32> Table<P, SEGMENT_BITS> {
    /// An empty table.
    pub fn new() -> Self {
        Self { body: Body::One(P::default()), len: 0, bytes: 0 }
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap beyond the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    /// The page an item with this hash is in, if it is in the table.
    pub fn page(&self, hash: u64) -> &P {
        match &self.body {
            Body::One(page) => page,
            Body::Many(directory) => directory.page(hash),
        }
    }

    fn locate(&self, hash: u64) -> (&P, u32) {
        match &self.body {
            Body::One(page) => (page, 0),
            Body::Many(directory) => directory.locate(hash),
        }
    }

    /// Changes the page of this hash, copying what a clone shares. Items may be added, changed or removed; before
    /// adding call [`Self::make_room`], after removing [`Self::settle`].
    pub fn edit<R>(&mut self, hash: u64, change: impl FnOnce(&mut P) -> R) -> R {
        match &mut self.body {
            Body::One(page) => {
                self.bytes -= page.heap_bytes();
                let result = change(page);
                self.bytes += page.heap_bytes();
                self.len = page.len();
                result
            }
            Body::Many(directory) => directory.edit(hash, &mut self.len, &mut self.bytes, change),
        }
    }

    /// Splits until the page of this hash has room for one more item of `size` bytes.
    pub fn make_room(&mut self, hash: u64, size: usize) {
        while self.wants_split(hash, size) {
            match &mut self.body {
                Body::One(page) => {
                    let directory = Directory::new(std::mem::take(page));
                    self.bytes = directory.bytes();
                    self.body = Body::Many(Box::new(directory));
                }
                Body::Many(directory) => directory.split(hash, &mut self.bytes),
            }
        }
    }

    fn wants_split(&self, hash: u64, size: usize) -> bool {
        let (page, depth) = self.locate(hash);
        !page.has_room(size) && depth < self.len.checked_ilog2().unwrap_or(0) + DEPTH_SLACK
    }

    /// Merges the page of this hash with its sibling, and so on upwards, while removal left both small.
    pub fn settle(&mut self, hash: u64) {
        if let Body::Many(directory) = &mut self.body {
            directory.settle(hash, &mut self.bytes);
        }
    }

    /// The item at `rank` in an order that holds until the next change: the page, and the place in it.
    pub fn at(&self, rank: usize) -> Option<(&P, usize)> {
        if rank >= self.len {
            return None;
        }
        match &self.body {
            Body::One(page) => Some((page, rank)),
            Body::Many(directory) => Some(directory.at(rank)),
        }
    }

    /// All pages, in hash order.
    pub fn pages(&self) -> impl Iterator<Item = &P> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let start = next?;
            let (page, depth) = self.locate(start);
            next = page_end(start, depth);
            Some(page)
        })
    }

    /// Reports about `count` items from `cursor` on (0 starts) and returns the next cursor (0: all were reported).
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(&P, usize)) -> u64 {
        let mut start = cursor << (64 - CURSOR_BITS);
        let (mut left, mut pages_left) = (count.max(1), count.max(1).saturating_mul(10));
        loop {
            let (page, depth) = self.locate(start);
            let mut due: SmallVec<[(u64, usize); 64]> = (0..page.len())
                .map(|i| (cursor_of(page.hash_at(i)), i))
                .filter(|item| item.0 >= cursor_of(start))
                .collect();
            due.sort_unstable();
            let mut last = None;
            for (place, i) in due {
                if left == 0 && last != Some(place) {
                    return place;
                }
                each(page, i);
                (left, last) = (left.saturating_sub(1), Some(place));
            }
            pages_left -= 1;
            match page_end(start, depth) {
                None => return 0,
                Some(end) if left == 0 || pages_left == 0 => return cursor_of(end),
                Some(end) => start = end,
            }
        }
    }
}

#[cfg(test)]
impl<P: Page, const SEGMENT_BITS: u32> Table<P, SEGMENT_BITS> {
    /// What [`Self::heap_bytes`] must say, counted from scratch.
    pub(crate) fn counted_bytes(&self) -> usize {
        match &self.body {
            Body::One(page) => page.heap_bytes(),
            Body::Many(directory) => directory.counted_bytes(),
        }
    }
}

/// The first hash behind the page of this depth that `hash` is in; none behind the last page.
fn page_end(hash: u64, depth: u32) -> Option<u64> {
    match 1_u64.checked_shl(64 - depth) {
        None => None,
        Some(width) => (hash & !(width - 1)).checked_add(width),
    }
}

fn cursor_of(hash: u64) -> u64 {
    hash >> (64 - CURSOR_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::types::tree::testing::{dice, seeds};
    use std::collections::{BTreeMap, BTreeSet};

    /// Numbers that are their own hashes, few to a page.
    #[derive(Clone, Default)]
    struct Few(Vec<u64>);

    impl Page for Few {
        const SPARSE: usize = 2;

        fn len(&self) -> usize {
            self.0.len()
        }

        fn heap_bytes(&self) -> usize {
            self.0.len() * 8
        }

        fn has_room(&self, _: usize) -> bool {
            self.0.len() < 4
        }

        fn hash_at(&self, at: usize) -> u64 {
            self.0[at]
        }

        fn split(&mut self, bit: u32) -> Self {
            Few(self.0.extract_if(.., |hash| (*hash << bit) >> 63 == 1).collect())
        }

        fn can_absorb(&self, other: &Self) -> bool {
            self.0.len() + other.0.len() <= 3
        }

        fn absorb(&mut self, other: Self) {
            self.0.extend(other.0);
        }
    }

    type Small = Table<Few, 2>;

    fn insert(table: &mut Small, hash: u64) {
        table.make_room(hash, 8);
        table.edit(hash, |page| page.0.push(hash));
    }

    fn remove(table: &mut Small, hash: u64) {
        table.edit(hash, |page| page.0.retain(|h| *h != hash));
        table.settle(hash);
    }

    fn hash(dice: &mut Rng) -> u64 {
        match dice.below(8) {
            0 => dice.below(32),           // deep: all leading bits equal
            1 => dice.below(32) << 59,     // shallow
            2 => u64::MAX - dice.below(4), // the other end
            _ => dice.next_u64() & 0xFFF0_0000_0000_0000,
        }
    }

    fn check(table: &Small, model: &BTreeSet<u64>, dice: &mut Rng) {
        assert_eq!(table.len(), model.len());
        assert_eq!(table.pages().map(Page::len).sum::<usize>(), model.len());
        assert_eq!(table.heap_bytes(), table.counted_bytes());
        let probe = hash(dice);
        assert_eq!(table.page(probe).0.contains(&probe), model.contains(&probe));
        let all: BTreeSet<u64> =
            (0..table.len()).map(|rank| table.at(rank).map(|(page, at)| page.hash_at(at)).unwrap()).collect();
        assert_eq!(all, *model);
        assert!(table.at(table.len()).is_none());
    }

    #[test]
    fn a_random_walk_agrees_with_a_set() {
        for seed in seeds(6) {
            let mut dice = dice(seed);
            let (mut table, mut model) = (Small::new(), BTreeSet::new());
            let mut old = (table.clone(), model.clone());
            for round in 0..3000 {
                let probe = hash(&mut dice);
                let growing = (round / 700) % 2 == 0;
                if dice.below(10) < if growing { 8 } else { 2 } {
                    if model.insert(probe) {
                        insert(&mut table, probe);
                    }
                } else {
                    let victim = model.range(probe..).next().copied();
                    if let Some(hash) = victim {
                        model.remove(&hash);
                        remove(&mut table, hash);
                    }
                }
                check(&table, &model, &mut dice);
                if round % 500 == 0 {
                    check(&old.0, &old.1, &mut dice);
                    old = (table.clone(), model.clone());
                }
            }
            for hash in model {
                remove(&mut table, hash);
            }
            assert!(table.is_empty() && table.pages().count() < 20, "{} pages left", table.pages().count());
        }
    }

    #[test]
    fn equal_hashes_do_not_deepen_the_table() {
        let mut table = Small::new();
        for _ in 0..200 {
            insert(&mut table, 42);
        }
        insert(&mut table, u64::MAX);
        assert_eq!((table.len(), table.page(42).0.len()), (201, 200));
        assert!(table.pages().count() < 40);
    }

    #[test]
    fn a_scan_reports_what_stays_exactly_once_while_others_come_and_go() {
        for seed in seeds(10) {
            let mut dice = dice(seed);
            let mut table = Small::new();
            let stay: BTreeSet<u64> = (0..200).map(|_| dice.next_u64() | 1).collect();
            stay.iter().for_each(|hash| insert(&mut table, *hash));
            let (mut others, mut seen, mut cursor) = (BTreeSet::new(), BTreeMap::<u64, u32>::new(), 0);
            loop {
                cursor =
                    table.scan(cursor, dice.below(20) as usize, |page, at| *seen.entry(page.0[at]).or_default() += 1);
                assert!(cursor < 1 << 53);
                if cursor == 0 {
                    break;
                }
                for _ in 0..dice.below(40) {
                    let hash = dice.next_u64() & !1;
                    if others.insert(hash) {
                        insert(&mut table, hash);
                    }
                }
                while others.len() > dice.below(300) as usize {
                    let hash = others.pop_first().unwrap();
                    remove(&mut table, hash);
                }
            }
            assert!(stay.iter().all(|hash| seen[hash] == 1));
        }
    }

    #[test]
    fn a_scan_of_count_items_reports_no_more() {
        let mut table = Small::new();
        let mut dice = dice(7);
        (0..500).for_each(|_| insert(&mut table, dice.next_u64()));
        let (mut cursor, mut total) = (0, 0);
        loop {
            let mut reported = 0;
            cursor = table.scan(cursor, 10, |_, _| reported += 1);
            total += reported;
            if cursor == 0 {
                break;
            }
            assert_eq!(reported, 10);
        }
        assert_eq!(total, 500);
    }
}
