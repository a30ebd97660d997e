//! The page of big sets and hashes: items of any length side by side in one buffer.
//!
//! ```text
//! tags    [ 3f | a1 | .. ]                   one byte of each item's hash: what a search compares first
//! places  [  0 | 19 | .. ]                   where each item starts; top bit set: an index into `spilled`
//! heap    [ len item | len item | ..... ]    len in 7-bit groups
//! spilled [ Bytes, .. ]                      items over 1 KiB, shared and not copied with the page
//! ```
//! Beside its bytes an item costs 3 bytes and its length, and its share of a half-empty page: about 6 bytes, where a
//! pointer, a malloc header's worth of rounding and an entry would cost 24 and more. It also needs no `unsafe`, and a
//! copy of the page (after a snapshot) is one `memcpy`.
//!
//! Removed items leave holes; the buffer is packed again when a quarter of it is holes. What an item means is its
//! [`Format`]'s affair; the page needs to know its key only.

use super::page::{Page, has_bit};
use crate::base::hash::key_hash;
use crate::types::packed::thin::capacity_for;
use bytes::Bytes;
use smallvec::SmallVec;
use std::marker::PhantomData;

/// How the items of a page are read.
pub trait Format: Clone {
    /// The part of an item that is hashed and searched for.
    fn key(item: &[u8]) -> &[u8];
}

/// A page of items in the format `F`.
pub struct Slots<F> {
    tags: SmallVec<[u8; ITEMS]>,
    places: SmallVec<[u16; ITEMS]>,
    heap: Vec<u8>,
    spilled: Vec<Bytes>,
    /// The lengths of `spilled`, together.
    spilled_bytes: usize,
    /// Bytes of `heap` that belong to no item any more.
    dead: usize,
    format: PhantomData<fn() -> F>,
}

/// A page is full with this many items: one cache line of tags.
const ITEMS: usize = 64;
/// Longer items are spilled.
const INLINE_MAX: usize = 1024;
/// A page is full with this many bytes.
const HEAP_FULL: usize = 8 << 10;
/// Places need to be below this; items beyond are spilled (only pages that may not split come this far).
const HEAP_MAX: usize = SPILLED as usize;
const SPILLED: u16 = 1 << 15;

/// Bytes of a length: two 7-bit groups hold `INLINE_MAX`.
const LEN_BYTES_MAX: usize = 2;
const _: () = assert!(INLINE_MAX < 1 << (7 * LEN_BYTES_MAX) && HEAP_FULL + INLINE_MAX + LEN_BYTES_MAX < HEAP_MAX);

impl<F: Format> Slots<F> {
    /// The place of the item with this key.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.find_that(hash, |item| F::key(item) == key)
    }

    /// The place of the first item that has the tag of this hash and is it.
    #[inline]
    pub fn find_that(&self, hash: u64, is_it: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut from = 0;
        while let Some(skip) = memchr::memchr(tag(hash), &self.tags[from..]) {
            if is_it(self.item(from + skip)) {
                return Some(from + skip);
            }
            from += skip + 1;
        }
        None
    }

    /// The item at a place.
    pub fn item(&self, at: usize) -> &[u8] {
        let place = self.places[at];
        if place & SPILLED != 0 {
            return &self.spilled[usize::from(place & !SPILLED)];
        }
        let (start, len) = self.inline(place);
        &self.heap[start..start + len]
    }

    /// The item at a place as shared bytes, if it is long enough to be kept so.
    pub fn shared(&self, at: usize) -> Option<&Bytes> {
        let place = self.places[at];
        (place & SPILLED != 0).then(|| &self.spilled[usize::from(place & !SPILLED)])
    }

    /// All items.
    pub fn items(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.places.len()).map(|at| self.item(at))
    }

    /// Adds an item, given in parts. Its key must not be here yet.
    pub fn push(&mut self, hash: u64, parts: &[&[u8]]) {
        let place = self.store(parts);
        self.tags.push(tag(hash));
        self.places.push(place);
    }

    /// Puts another item with the same key in a place.
    pub fn replace(&mut self, at: usize, parts: &[&[u8]]) {
        let place = self.places[at];
        if place & SPILLED == 0 {
            let (start, len) = self.inline(place);
            if len == total(parts) {
                return copy_parts(&mut self.heap[start..start + len], parts);
            }
        }
        self.free(at);
        self.places[at] = HOLE;
        self.places[at] = self.store(parts);
    }

    /// Removes an item; the last one moves to its place.
    pub fn remove(&mut self, at: usize) {
        self.free(at);
        self.tags.swap_remove(at);
        self.places.swap_remove(at);
        if self.dead > self.heap.len() / 4 {
            self.pack(0);
        }
    }

    /// Where an inline item starts behind its length, and its length.
    fn inline(&self, place: u16) -> (usize, usize) {
        let at = usize::from(place);
        match self.heap[at] {
            low if low < 0x80 => (at + 1, usize::from(low)),
            low => (at + 2, usize::from(low & 0x7f) | usize::from(self.heap[at + 1]) << 7),
        }
    }

    fn store(&mut self, parts: &[&[u8]]) -> u16 {
        let len = total(parts);
        let size = len + LEN_BYTES_MAX;
        if len <= INLINE_MAX && self.heap.len() + size > self.heap.capacity().min(HEAP_MAX) {
            self.pack(size);
        }
        if len > INLINE_MAX || self.heap.len() + size > HEAP_MAX {
            return self.spill(parts.concat().into());
        }
        let place = self.heap.len() as u16;
        if len < 0x80 {
            self.heap.push(len as u8);
        } else {
            self.heap.extend([len as u8 | 0x80, (len >> 7) as u8]);
        }
        parts.iter().for_each(|part| self.heap.extend_from_slice(part));
        place
    }

    fn spill(&mut self, item: Bytes) -> u16 {
        self.spilled_bytes += item.len();
        self.spilled.push(item);
        SPILLED | (self.spilled.len() - 1) as u16
    }

    /// Gives up the bytes of an item whose place is about to change.
    fn free(&mut self, at: usize) {
        let place = self.places[at];
        if place & SPILLED == 0 {
            let (start, len) = self.inline(place);
            self.dead += start + len - usize::from(place);
            return;
        }
        self.spilled_bytes -= self.spilled.swap_remove(usize::from(place & !SPILLED)).len();
        let moved = SPILLED | self.spilled.len() as u16;
        if let Some(last) = self.places.iter_mut().find(|other| **other == moved) {
            *last = place;
        }
    }

    /// Closes the holes if they are worth it, and sees to room for `more` bytes.
    fn pack(&mut self, more: usize) {
        if self.dead * 8 <= self.heap.len() {
            let need = self.heap.len() + more;
            if need > self.heap.capacity() {
                self.heap.reserve_exact(capacity_for(need) - self.heap.len());
            }
            return;
        }
        let mut heap = Vec::with_capacity(capacity_for(self.heap.len() - self.dead + more));
        for at in 0..self.places.len() {
            let place = self.places[at];
            if place & SPILLED == 0 {
                let (start, len) = self.inline(place);
                self.places[at] = heap.len() as u16;
                heap.extend_from_slice(&self.heap[usize::from(place)..start + len]);
            }
        }
        self.heap = heap;
        self.dead = 0;
    }

    /// Takes a copy of an item of another page, or a share of it.
    fn adopt(&mut self, other: &Self, at: usize) {
        let place = match other.shared(at) {
            Some(item) => self.spill(item.clone()),
            None => self.store(&[other.item(at)]),
        };
        self.tags.push(other.tags[at]);
        self.places.push(place);
    }

    fn live_bytes(&self) -> usize {
        self.heap.len() - self.dead
    }
}

/// The place of an item between its old bytes and its new ones: spilled, with an index nothing has.
const HOLE: u16 = u16::MAX;

fn tag(hash: u64) -> u8 {
    hash as u8
}

fn total(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

fn copy_parts(mut to: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let (head, tail) = to.split_at_mut(part.len());
        head.copy_from_slice(part);
        to = tail;
    }
}

impl<F: Format> Page for Slots<F> {
    const SPARSE: usize = ITEMS / 4;

    fn len(&self) -> usize {
        self.places.len()
    }

    fn heap_bytes(&self) -> usize {
        let inline = self.heap.capacity() + self.spilled.capacity() * size_of::<Bytes>() + self.spilled_bytes;
        let overflow = if self.tags.spilled() { self.tags.capacity() + 2 * self.places.capacity() } else { 0 };
        inline + overflow
    }

    fn has_room(&self, size: usize) -> bool {
        let inline = if size > INLINE_MAX { 0 } else { size + LEN_BYTES_MAX };
        self.len() < ITEMS && (self.live_bytes() + inline <= HEAP_FULL || self.is_empty())
    }

    fn hash_at(&self, at: usize) -> u64 {
        key_hash(F::key(self.item(at)))
    }

    fn split(&mut self, bit: u32) -> Self {
        let old = std::mem::take(self);
        let goes_right: SmallVec<[bool; ITEMS]> = (0..old.len()).map(|at| has_bit(old.hash_at(at), bit)).collect();
        let mut right = Self::default();
        for at in 0..old.len() {
            if goes_right[at] { right.adopt(&old, at) } else { self.adopt(&old, at) }
        }
        right
    }

    fn can_absorb(&self, other: &Self) -> bool {
        self.len() + other.len() <= ITEMS / 2 && self.live_bytes() + other.live_bytes() <= HEAP_FULL / 2
    }

    fn absorb(&mut self, other: Self) {
        (0..other.len()).for_each(|at| self.adopt(&other, at));
    }
}

impl<F> Default for Slots<F> {
    fn default() -> Self {
        Self {
            tags: SmallVec::new(),
            places: SmallVec::new(),
            heap: Vec::new(),
            spilled: Vec::new(),
            spilled_bytes: 0,
            dead: 0,
            format: PhantomData,
        }
    }
}

impl<F> Clone for Slots<F> {
    fn clone(&self) -> Self {
        Self {
            tags: self.tags.clone(),
            places: self.places.clone(),
            heap: self.heap.clone(),
            spilled: self.spilled.clone(),
            format: PhantomData,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::types::tree::table::Table;
    use crate::types::tree::testing::{dice, seeds};
    use std::collections::HashMap;

    /// `key \0 rest`.
    #[derive(Clone)]
    struct Named;

    impl Format for Named {
        fn key(item: &[u8]) -> &[u8] {
            let end = item.iter().position(|byte| *byte == 0).expect("every item here has a name");
            &item[..end]
        }
    }

    type Model = HashMap<Vec<u8>, Vec<u8>>;

    fn rest(dice: &mut Rng) -> Vec<u8> {
        let len = match dice.below(40) {
            0 => dice.below(3000),
            1..4 => dice.below(300),
            _ => dice.below(20),
        };
        vec![dice.below(256) as u8; len as usize]
    }

    fn get<'a>(table: &'a Table<Slots<Named>>, key: &[u8]) -> Option<&'a [u8]> {
        let page = table.page(key_hash(key));
        page.find(key_hash(key), key).map(|at| &page.item(at)[key.len() + 1..])
    }

    fn put(table: &mut Table<Slots<Named>>, key: &[u8], rest: &[u8]) {
        let hash = key_hash(key);
        let parts = [key, b"\0", rest];
        table.make_room(hash, total(&parts));
        table.edit(hash, |page| match page.find(hash, key) {
            Some(at) => page.replace(at, &parts),
            None => page.push(hash, &parts),
        });
    }

    fn check(table: &Table<Slots<Named>>, model: &Model) {
        assert_eq!((table.len(), table.heap_bytes()), (model.len(), table.counted_bytes()));
        assert!(model.iter().all(|(key, rest)| get(table, key) == Some(rest)));
        for page in table.pages() {
            assert_eq!(page.spilled_bytes, page.spilled.iter().map(Bytes::len).sum::<usize>());
            assert_eq!(page.items().count(), page.len());
            let inline: usize = page.places.iter().filter(|place| **place & SPILLED == 0).count();
            assert_eq!(inline + page.spilled.len(), page.len());
        }
    }

    #[test]
    fn a_random_walk_agrees_with_a_map() {
        for seed in seeds(4) {
            let mut dice = dice(seed);
            let (mut table, mut model) = (Table::new(), Model::new());
            let mut old = (table.clone(), model.clone());
            for round in 0..6000 {
                let growing = (round / 1500) % 2 == 0;
                let key = format!("k{}", dice.below(1500)).into_bytes();
                if dice.below(10) < if growing { 8 } else { 1 } {
                    let rest = rest(&mut dice);
                    put(&mut table, &key, &rest);
                    model.insert(key, rest);
                } else if let Some(rest) = model.remove(&key) {
                    assert_eq!(get(&table, &key), Some(&*rest));
                    let hash = key_hash(&key);
                    table.edit(hash, |page| page.remove(page.find(hash, &key).expect("just seen")));
                    table.settle(hash);
                } else {
                    assert_eq!(get(&table, &key), None);
                }
                if round % 250 == 0 {
                    check(&table, &model);
                    check(&old.0, &old.1);
                    old = (table.clone(), model.clone());
                }
            }
        }
    }

    #[test]
    fn a_page_that_may_not_split_takes_everything() {
        let mut page = Slots::<Named>::default();
        for i in 0..300_u64 {
            page.push(i, &[&i.to_string().into_bytes(), b"\0", &[7; 500]]);
        }
        assert!((0..300).all(|i| page.find(i, i.to_string().as_bytes()).is_some()));
        assert!(!page.has_room(1));
    }

    #[test]
    fn small_items_cost_little_beyond_their_bytes() {
        let mut table = Table::new();
        for i in 0..100_000 {
            put(&mut table, format!("member:{i:08}").as_bytes(), b"");
        }
        let per_item = table.heap_bytes() as f64 / 100_000.0;
        assert!(per_item < 16.0 + 14.0, "{per_item} bytes per item of 16");
    }
}
