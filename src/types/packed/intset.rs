//! The intset: a small sorted set of integers in one allocation.
//!
//! ```text
//!   [ width u32 | count u32 | integer | integer | ... ]        little-endian; width 2, 4 or 8 bytes for all integers
//! ```
//! Redis' own layout, so that RDB and DUMP copy the bytes. The width grows with the first integer that needs it and never
//! shrinks. Sorted, without duplicates: membership is a binary search. Foreign bytes enter by [`Intset::from_bytes`]
//! alone, which checks order and sizes.

use crate::types::packed::thin::{Lent, Thin, WidthTimesCount};

const HEADER_BYTES: usize = 8;
const EMPTY: [u8; HEADER_BYTES] = [2, 0, 0, 0, 0, 0, 0, 0];

/// Why foreign bytes are not an intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// An owned set of integers.
#[derive(Clone)]
pub struct Intset {
    bytes: Thin<WidthTimesCount>,
}

impl Intset {
    /// An empty set.
    pub fn new() -> Intset {
        Intset { bytes: Thin::new(&EMPTY) }
    }

    /// Takes foreign bytes after checking them: width, size, strictly ascending order. An empty set is refused, as Redis
    /// never writes one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Intset, Malformed> {
        let (Some(width), Some(count)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else { return Err(Malformed) };
        let sound = matches!(width, 2 | 4 | 8) && count > 0 && bytes.len() == HEADER_BYTES + width * count;
        if !sound {
            return Err(Malformed);
        }
        let view = View { width, integers: &bytes[HEADER_BYTES..] };
        let ascending = (1..count).all(|i| view.at(i - 1) < view.at(i));
        ascending.then(|| Intset { bytes: Thin::new(bytes) }).ok_or(Malformed)
    }

    /// A set of sorted integers without duplicates.
    pub fn from_sorted(integers: &[i64]) -> Intset {
        debug_assert!(integers.is_sorted_by(|a, b| a < b));
        let width = [integers.first(), integers.last()].into_iter().flatten().map(|&int| width_of(int)).max();
        Intset { bytes: Thin::new(&encode(width.unwrap_or(2), integers.iter().copied())) }
    }

    /// The set in a block that is lent.
    #[inline]
    pub fn within(lent: Lent) -> Intset {
        Intset { bytes: Thin::within(lent) }
    }

    /// The loan back, if the set is still in the block that was lent.
    #[inline]
    pub fn into_lent(self) -> Result<Lent, Intset> {
        self.bytes.into_lent().map_err(|bytes| Intset { bytes })
    }

    /// The bytes as RDB and DUMP carry them.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Where the bytes are, without looking at them.
    #[inline]
    pub fn address(&self) -> *const u8 {
        self.bytes.address()
    }

    /// The size in bytes of [`Intset::as_bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes.size()
    }

    /// What the set takes from the allocator, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes()
    }

    /// The number of integers.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// True if there is no integer.
    pub fn is_empty(&self) -> bool {
        self.bytes() == HEADER_BYTES
    }

    /// Whether `int` is in the set. O(log n).
    pub fn contains(&self, int: i64) -> bool {
        self.view().search(int).is_ok()
    }

    /// The integer with this index in ascending order.
    pub fn get(&self, index: usize) -> Option<i64> {
        let view = self.view();
        (index < view.len()).then(|| view.at(index))
    }

    /// One of the integers, chosen by `random`, of which any value will do. None if the set is empty.
    pub fn random(&self, random: u64) -> Option<i64> {
        let len = self.len() as u64;
        if len == 0 { None } else { self.get((random % len) as usize) }
    }

    /// The integers in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        let view = self.view();
        (0..view.len()).map(move |i| view.at(i))
    }

    /// Adds `int`; false if it was there.
    pub fn add(&mut self, int: i64) -> bool {
        let view = self.view();
        if width_of(int) > view.width {
            self.widen(int);
            return true;
        }
        match view.search(int) {
            Ok(_) => false,
            Err(index) => {
                let (at, width) = (HEADER_BYTES + index * view.width, view.width);
                self.bytes.splice(at, 0, &[&int.to_le_bytes()[..width]]);
                true
            }
        }
    }

    /// Removes `int`; false if it was not there.
    pub fn remove(&mut self, int: i64) -> bool {
        let view = self.view();
        match view.search(int) {
            Err(_) => false,
            Ok(index) => {
                let (at, width) = (HEADER_BYTES + index * view.width, view.width);
                self.bytes.splice(at, width, &[]);
                true
            }
        }
    }

    /// Rebuilds with the width of `int`, which lies before or behind all others because it needs that width.
    fn widen(&mut self, int: i64) {
        let before = (int < 0).then_some(int);
        let behind = (int >= 0).then_some(int);
        let all = before.into_iter().chain(self.iter()).chain(behind);
        self.bytes = Thin::new(&encode(width_of(int), all));
    }

    fn view(&self) -> View<'_> {
        let bytes = self.as_bytes();
        View { width: bytes[0] as usize, integers: &bytes[HEADER_BYTES..] }
    }
}

impl Default for Intset {
    fn default() -> Self {
        Intset::new()
    }
}

impl std::fmt::Debug for Intset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The integers of an intset, `width` (2, 4 or 8) bytes each.
#[derive(Clone, Copy)]
struct View<'a> {
    width: usize,
    integers: &'a [u8],
}

impl View<'_> {
    fn len(&self) -> usize {
        self.integers.len() >> self.width.trailing_zeros()
    }

    #[inline]
    fn at(&self, index: usize) -> i64 {
        let int = &self.integers[index * self.width..][..self.width];
        match *int {
            [a, b] => i16::from_le_bytes([a, b]) as i64,
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d]) as i64,
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => unreachable!("the width is 2, 4 or 8"),
        }
    }

    /// The index of `int`, or where it would go.
    fn search(&self, int: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        if high > 0 && self.at(high - 1) < int {
            return Err(high);
        }
        while low < high {
            let middle = (low + high) / 2;
            match self.at(middle).cmp(&int) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

fn width_of(int: i64) -> usize {
    if i16::try_from(int).is_ok() {
        2
    } else if i32::try_from(int).is_ok() {
        4
    } else {
        8
    }
}

fn encode(width: usize, integers: impl Iterator<Item = i64>) -> Vec<u8> {
    let mut bytes = EMPTY.to_vec();
    integers.for_each(|int| bytes.extend_from_slice(&int.to_le_bytes()[..width]));
    let count = ((bytes.len() - HEADER_BYTES) / width) as u32;
    bytes[..4].copy_from_slice(&(width as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&count.to_le_bytes());
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn known_bytes() {
        let mut set = Intset::new();
        assert!(set.add(5) && set.add(-1) && !set.add(5));
        assert_eq!(set.as_bytes(), [2, 0, 0, 0, 2, 0, 0, 0, 0xFF, 0xFF, 5, 0]);
        assert!(set.add(-70_000));
        assert_eq!(set.as_bytes()[..12], [4, 0, 0, 0, 3, 0, 0, 0, 0x90, 0xEE, 0xFE, 0xFF]);
        assert!(set.add(i64::MAX));
        assert_eq!(set.as_bytes()[..8], [8, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [-70_000, -1, 5, i64::MAX]);
        assert!(set.remove(i64::MAX) && !set.remove(6));
        assert_eq!(set.as_bytes()[0], 8, "the width never shrinks");
    }

    #[test]
    fn it_is_a_sorted_set() {
        for seed in 1..80u64 {
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                state >> 20
            };
            let spread = [6, 20, 40, 63][seed as usize % 4];
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            for step in 0..200 {
                let int = ((random() << 24) as i64) >> (63 - spread);
                match random() % 3 {
                    0 => assert_eq!(set.remove(int), model.remove(&int), "seed {seed} step {step}"),
                    _ => assert_eq!(set.add(int), model.insert(int), "seed {seed} step {step}"),
                }
                assert!(set.iter().eq(model.iter().copied()), "seed {seed} step {step}");
                assert_eq!(set.contains(int), model.contains(&int));
                assert_eq!(set.random(random()).is_some(), !model.is_empty());
            }
            assert!(set.is_empty() || Intset::from_bytes(set.as_bytes()).is_ok(), "seed {seed}");
            let sorted: Vec<_> = model.iter().copied().collect();
            assert!(Intset::from_sorted(&sorted).iter().eq(sorted.iter().copied()));
            assert_eq!(set.get(sorted.len()), None);
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let cases: [(&str, &[u8]); 8] = [
            ("nothing", &[]),
            ("a cut header", &[2, 0, 0, 0, 1, 0, 0]),
            ("no integer", &[2, 0, 0, 0, 0, 0, 0, 0]),
            ("width 3", &[3, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3]),
            ("too few", &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0]),
            ("too many", &[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 2, 0]),
            ("twice the same", &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0]),
            ("descending", &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0xFF, 0xFF]),
        ];
        for (why, bytes) in cases {
            assert_eq!(Intset::from_bytes(bytes).map(|_| ()), Err(Malformed), "{why}");
        }
    }
}
