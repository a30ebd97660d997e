//! The sorted set: members by score, by name and by rank.
//!
//! | form | while | OBJECT ENCODING |
//! |---|---|---|
//! | [`ZSet::Packed`] | at most `zset-max-listpack-entries`, no member longer than `zset-max-listpack-value` | listpack |
//! | [`ZSet::Big`] | otherwise | skiplist |
//!
//! The order is by score, then by the bytes of the member. Every range, whether asked for by index, by score or by name, is
//! first turned into a range of ranks ([`ZSet::ranks_by_score`], [`ZSet::ranks_by_lex`]); then it is counted, walked either
//! way or removed. The big form's name is Redis'; it is a hash table and a B+ tree with ranks (see [`super::tree`]).

mod big;
mod bounds;
mod names;
mod packed;
mod ranked;

use super::Packing;
use super::packed::listpack::{Listpack, LpValue};
use super::packed::thin::Lent;
pub use big::Big;
pub use bounds::{LexBound, LexRange, ScoreRange};
use std::ops::Range;
use std::sync::Arc;

/// Members with scores, in order.
#[derive(Clone)]
pub enum ZSet {
    /// Members and scores alternate, in order.
    Packed(Listpack),
    /// Members by hash and by rank.
    Big(Arc<Big>),
}

const _: () = assert!(size_of::<ZSet>() <= 24);

/// A member and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// The member.
    pub member: LpValue<'a>,
    /// Its score; never NaN.
    pub score: f64,
}

/// Which way members are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the smallest.
    Up,
    /// From the greatest.
    Down,
}

/// How far the small form goes: directives of the same names.
#[derive(Clone, Copy, Debug)]
pub struct ZSetLimits {
    /// `zset-max-listpack-entries`, in members
    pub listpack_entries: usize,
    /// `zset-max-listpack-value`, in bytes of a member
    pub listpack_value: usize,
}

impl Default for ZSetLimits {
    fn default() -> Self {
        Self { listpack_entries: 128, listpack_value: 64 }
    }
}

/// Under which conditions [`ZSet::add`] adds or updates: the options of ZADD.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AddIf {
    /// NX: only add.
    pub absent: bool,
    /// XX: only update.
    pub present: bool,
    /// GT: only update to a greater score.
    pub greater: bool,
    /// LT: only update to a smaller score.
    pub less: bool,
    /// INCR: the score is added to the one there is.
    pub incr: bool,
}

/// What [`ZSet::add`] did, with the score the member has now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    /// The member is new.
    New(f64),
    /// It has another score.
    Updated(f64),
    /// It had this score.
    Same(f64),
    /// A condition forbade it.
    Skipped,
    /// The score would be no number; nothing changed.
    NotANumber,
}

impl AddIf {
    /// What becomes of a member with this score, if any, when `score` comes.
    fn judge(&self, old: Option<f64>, score: f64) -> Added {
        let Some(old) = old else {
            return if self.present { Added::Skipped } else { Added::New(score) };
        };
        if self.absent {
            return Added::Skipped;
        }
        let new = if self.incr { old + score } else { score };
        if new.is_nan() {
            return Added::NotANumber;
        }
        if (self.less && new >= old) || (self.greater && new <= old) {
            return Added::Skipped;
        }
        if new == old { Added::Same(new) } else { Added::Updated(new) }
    }
}

impl Default for ZSet {
    fn default() -> Self {
        Self::new()
    }
}

impl ZSet {
    /// An empty sorted set.
    pub fn new() -> Self {
        ZSet::Packed(Listpack::new())
    }

    /// An empty sorted set in the form fit for `count` members, the longest of `longest` bytes.
    pub fn for_members(count: usize, longest: usize, limits: &ZSetLimits) -> Self {
        if count <= limits.listpack_entries && longest <= limits.listpack_value {
            Self::new()
        } else {
            ZSet::Big(Arc::default())
        }
    }

    /// Takes a listpack of foreign origin; none if it is odd, a member is in it twice, or a score is no number. If it is out
    /// of order it is sorted.
    pub fn from_listpack(listpack: Listpack) -> Option<Self> {
        let whole = listpack.len().is_multiple_of(2);
        let scores_are_numbers = listpack.pairs().all(|(_, score)| packed::score_of(score).is_some());
        if !whole || !scores_are_numbers {
            return None;
        }
        let mut pairs: Vec<(f64, Vec<u8>)> =
            packed::pairs(&listpack).map(|pair| (pair.score, pair.member.to_vec())).collect();
        let is_sorted = pairs.is_sorted();
        pairs.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        if pairs.windows(2).any(|pair| pair[0].1 == pair[1].1) {
            return None;
        }
        if is_sorted {
            return Some(ZSet::Packed(listpack));
        }
        let mut sorted = Listpack::new();
        pairs.iter().for_each(|(score, member)| packed::insert(&mut sorted, member, *score));
        Some(ZSet::Packed(sorted))
    }

    /// A small sorted set in a block that is lent.
    #[inline]
    pub fn within(lent: Lent) -> Self {
        ZSet::Packed(Listpack::within(lent))
    }

    /// The bytes of a small sorted set.
    pub fn packed(&self) -> Option<(Packing, &[u8])> {
        match self {
            ZSet::Packed(listpack) => Some((Packing::Listpack, listpack.as_bytes())),
            ZSet::Big(_) => None,
        }
    }

    /// The loan back, if this is still in the block that was lent.
    #[inline]
    pub fn into_lent(self) -> Result<(Packing, Lent), Self> {
        match self {
            ZSet::Packed(listpack) => listpack.into_lent().map(|lent| (Packing::Listpack, lent)).map_err(ZSet::Packed),
            big @ ZSet::Big(_) => Err(big),
        }
    }

    /// The name of the form, as OBJECT ENCODING gives it.
    pub fn encoding(&self) -> &'static str {
        match self {
            ZSet::Packed(_) => "listpack",
            ZSet::Big(_) => "skiplist",
        }
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        match self {
            ZSet::Packed(listpack) => listpack.len() / 2,
            ZSet::Big(big) => big.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its memory begins, without looking at it.
    #[inline]
    pub fn address(&self) -> *const u8 {
        match self {
            ZSet::Packed(lp) => lp.address(),
            ZSet::Big(big) => Arc::as_ptr(big).cast(),
        }
    }

    /// Bytes on the heap, O(1).
    pub fn heap_bytes(&self) -> usize {
        match self {
            ZSet::Packed(listpack) => listpack.heap_bytes(),
            ZSet::Big(big) => 2 * size_of::<usize>() + size_of::<Big>() + big.heap_bytes(),
        }
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            ZSet::Packed(listpack) => packed::find(listpack, member).map(|(_, score)| score),
            ZSet::Big(big) => big.score(member),
        }
    }

    /// The rank (0 is the smallest) and the score of a member.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZSet::Packed(listpack) => packed::pairs(listpack)
                .enumerate()
                .find(|(_, pair)| pair.member.eq_bytes(member))
                .map(|(rank, pair)| (rank, pair.score)),
            ZSet::Big(big) => big.rank(member),
        }
    }

    /// Adds a member or changes its score, under conditions.
    pub fn add(&mut self, member: &[u8], score: f64, conditions: AddIf, limits: &ZSetLimits) -> Added {
        if score.is_nan() {
            return Added::NotANumber;
        }
        let (pos, old) = match self {
            ZSet::Packed(listpack) => packed::find(listpack, member).map(|(pos, score)| (Some(pos), score)).unzip(),
            ZSet::Big(big) => (None, big.score(member)),
        };
        let added = conditions.judge(old, score);
        match (added, self) {
            (Added::New(_), zset) => zset.insert(member, score, limits),
            (Added::Updated(score), ZSet::Packed(listpack)) => {
                if let Some(pos) = pos.flatten() {
                    packed::update(listpack, pos, member, score);
                }
            }
            (Added::Updated(score), ZSet::Big(big)) => Arc::make_mut(big).set(member, score),
            (Added::Same(_) | Added::Skipped | Added::NotANumber, _) => {}
        }
        added
    }

    /// Adds a member or changes its score.
    pub fn set(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) -> Added {
        self.add(member, score, AddIf::default(), limits)
    }

    fn insert(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) {
        if let ZSet::Packed(listpack) = self {
            let full = listpack.len() / 2 >= limits.listpack_entries || member.len() > limits.listpack_value;
            if !full && !listpack.would_exceed(member.len() + ENTRY_BYTES_EXTRA) {
                return packed::insert(listpack, member, score);
            }
        }
        self.convert_to_big();
        if let ZSet::Big(big) = self {
            Arc::make_mut(big).insert(member, score);
        }
    }

    /// Removes a member; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            ZSet::Packed(listpack) => match packed::find(listpack, member) {
                Some((pos, _)) => {
                    listpack.delete_entries(pos, 2);
                    true
                }
                None => false,
            },
            ZSet::Big(big) => big.score(member).is_some() && Arc::make_mut(big).remove(member),
        }
    }

    /// Removes the members at these ranks, handing each to `each` from the lowest up.
    pub fn remove_ranks(&mut self, ranks: Range<usize>, mut each: impl FnMut(Scored<'_>)) {
        if ranks.is_empty() {
            return;
        }
        match self {
            ZSet::Packed(listpack) => {
                packed::iter(listpack, ranks.clone()).for_each(&mut each);
                listpack.delete_range(2 * ranks.start as i64, 2 * ranks.len());
            }
            ZSet::Big(big) => Arc::make_mut(big).remove_ranks(ranks, each),
        }
    }

    /// What is left without the members at these ranks, made anew in the big form: with few left, that is done long
    /// before many are removed one by one.
    pub fn without(&self, ranks: Range<usize>) -> ZSet {
        let mut rest = Big::default();
        let mut text = itoa::Buffer::new();
        for pair in self.iter(0..ranks.start).chain(self.iter(ranks.end..self.len())) {
            rest.insert(pair.member.to_bytes(&mut text), pair.score);
        }
        ZSet::Big(Arc::new(rest))
    }

    /// The ranks of the members whose scores are in an interval.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        self.ranks_between(|_, score| range.is_after(score), |_, score| range.ends_after(score))
    }

    /// The ranks of the members in an interval of names; all members should have one score. If they have not, no answer is
    /// right, but Redis gives none when the ends lie outside, and so do we.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        let (mut first, mut last) = (itoa::Buffer::new(), itoa::Buffer::new());
        let Some((low, high)) = self.at(0).zip(self.at(self.len().saturating_sub(1))) else { return 0..0 };
        if range.is_after(high.member.to_bytes(&mut last)) || !range.ends_after(low.member.to_bytes(&mut first)) {
            return 0..0;
        }
        self.ranks_between(|member, _| range.is_after(member), |member, _| range.ends_after(member))
    }

    /// The ranks between those that come before the interval and those behind its end.
    fn ranks_between(
        &self,
        is_before: impl Fn(&[u8], f64) -> bool,
        is_before_end: impl Fn(&[u8], f64) -> bool,
    ) -> Range<usize> {
        match self {
            ZSet::Packed(listpack) => {
                let mut text = itoa::Buffer::new();
                let mut pairs = packed::pairs(listpack).peekable();
                let mut start = 0;
                while pairs.next_if(|pair| is_before(pair.member.to_bytes(&mut text), pair.score)).is_some() {
                    start += 1;
                }
                let inside =
                    pairs.take_while(|pair| is_before_end(pair.member.to_bytes(&mut text), pair.score)).count();
                start..start + inside
            }
            ZSet::Big(big) => {
                let start = big.partition_point(is_before);
                start..big.partition_point(is_before_end).max(start)
            }
        }
    }

    /// The member at `rank`. With a random rank: a uniformly random member.
    pub fn at(&self, rank: usize) -> Option<Scored<'_>> {
        match self {
            ZSet::Packed(listpack) => packed::at(listpack, rank),
            ZSet::Big(big) => big.at(rank),
        }
    }

    /// The members at these ranks, upwards.
    pub fn iter(&self, ranks: Range<usize>) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        match self {
            ZSet::Packed(listpack) => Box::new(packed::iter(listpack, ranks)),
            ZSet::Big(big) => Box::new(big.iter(ranks)),
        }
    }

    /// The members at these ranks, downwards: the one at `ranks.end - 1` first. The range must end within the set.
    pub fn iter_back(&self, ranks: Range<usize>) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        match self {
            ZSet::Packed(listpack) => Box::new(packed::iter_back(listpack, ranks)),
            ZSet::Big(big) => Box::new(big.iter_back(ranks)),
        }
    }

    /// Hands the members at these ranks, which end within the set, to `each`.
    pub fn each(&self, ranks: Range<usize>, order: Order, mut each: impl FnMut(Scored<'_>)) {
        match (self, order) {
            (ZSet::Packed(listpack), order) => {
                packed::each(listpack, ranks, order, |member, score| each(packed::scored(member, score)))
            }
            (ZSet::Big(big), Order::Up) => big.iter(ranks).for_each(each),
            (ZSet::Big(big), Order::Down) => big.iter_back(ranks).for_each(each),
        }
    }

    /// The same without their scores, which then need not be read.
    pub fn each_member(&self, ranks: Range<usize>, order: Order, mut each: impl FnMut(LpValue<'_>)) {
        match self {
            ZSet::Packed(listpack) => packed::each(listpack, ranks, order, |member, _| each(member)),
            ZSet::Big(_) => self.each(ranks, order, |pair| each(pair.member)),
        }
    }

    /// All members, upwards.
    pub fn iter_all(&self) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        self.iter(0..self.len())
    }

    /// Reports about `count` members from `cursor` on (0 starts) and returns the next cursor (0: all were reported). The small
    /// form reports everything at once.
    pub fn scan(&self, cursor: u64, count: usize, each: impl FnMut(Scored<'_>)) -> u64 {
        match self {
            ZSet::Packed(listpack) => {
                packed::pairs(listpack).for_each(each);
                0
            }
            ZSet::Big(big) => big.scan(cursor, count, each),
        }
    }

    /// Goes to the big form at once if `count` members are about to be added and would not fit.
    pub fn expect(&mut self, count: usize, limits: &ZSetLimits) {
        if count > limits.listpack_entries {
            self.convert_to_big();
        }
    }

    /// The same members in the big form.
    pub fn convert_to_big(&mut self) {
        if let ZSet::Packed(listpack) = self {
            let mut big = Big::default();
            let mut text = itoa::Buffer::new();
            packed::pairs(listpack).for_each(|pair| big.insert(pair.member.to_bytes(&mut text), pair.score));
            *self = ZSet::Big(Arc::new(big));
        }
    }
}

/// More than a score and the headers of two entries take.
const ENTRY_BYTES_EXTRA: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::types::tree::testing::{dice, seeds};
    use std::collections::BTreeMap;
    use std::ops::Bound::{Excluded, Included, Unbounded};

    const LIMITS: ZSetLimits = ZSetLimits { listpack_entries: 128, listpack_value: 64 };

    fn zset_of(pairs: &[(&str, f64)], limits: &ZSetLimits) -> ZSet {
        let mut zset = ZSet::new();
        for (member, score) in pairs {
            zset.set(member.as_bytes(), *score, limits);
        }
        zset
    }

    fn names(zset: &ZSet, ranks: Range<usize>) -> String {
        zset.iter(ranks).map(|pair| String::from_utf8(pair.member.to_vec()).unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn both_forms(pairs: &[(&str, f64)]) -> [ZSet; 2] {
        let small = zset_of(pairs, &LIMITS);
        let mut big = small.clone();
        big.convert_to_big();
        [small, big]
    }

    #[test]
    fn forms_change_where_redis_changes_them() {
        let limits = ZSetLimits { listpack_entries: 3, listpack_value: 4 };
        let cases: &[(&[(&str, f64)], &str)] = &[
            (&[("a", 1.0), ("b", 2.0), ("c", 3.0), ("a", 4.0)], "listpack"),
            (&[("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)], "skiplist"),
            (&[("abcd", 1.0)], "listpack"),
            (&[("abcde", 1.0)], "skiplist"),
        ];
        for (pairs, encoding) in cases {
            assert_eq!(zset_of(pairs, &limits).encoding(), *encoding, "{pairs:?}");
        }
        assert_eq!(ZSet::for_members(3, 4, &limits).encoding(), "listpack");
        assert_eq!(ZSet::for_members(4, 4, &limits).encoding(), "skiplist");
        assert_eq!(ZSet::for_members(3, 5, &limits).encoding(), "skiplist");
        let mut zset = zset_of(&[("a", 1.0)], &limits);
        zset.expect(3, &limits);
        assert_eq!(zset.encoding(), "listpack");
        zset.expect(4, &limits);
        assert_eq!((zset.encoding(), zset.len()), ("skiplist", 1));
    }

    #[test]
    fn conditions_are_those_of_zadd() {
        let on = AddIf::default();
        let (nx, xx) = (AddIf { absent: true, ..on }, AddIf { present: true, ..on });
        let (gt, lt) = (AddIf { greater: true, ..on }, AddIf { less: true, ..on });
        let incr = AddIf { incr: true, ..on };
        let cases = [
            ("new", 1.0, on, Added::New(1.0)),
            ("new", 1.0, nx, Added::New(1.0)),
            ("new", 1.0, xx, Added::Skipped),
            ("new", 1.0, gt, Added::New(1.0)),
            ("new", 1.0, incr, Added::New(1.0)),
            ("old", 5.0, on, Added::Same(5.0)),
            ("old", 6.0, on, Added::Updated(6.0)),
            ("old", 6.0, nx, Added::Skipped),
            ("old", 6.0, xx, Added::Updated(6.0)),
            ("old", 6.0, gt, Added::Updated(6.0)),
            ("old", 5.0, gt, Added::Skipped),
            ("old", 6.0, lt, Added::Skipped),
            ("old", 4.0, lt, Added::Updated(4.0)),
            ("old", 2.0, incr, Added::Updated(7.0)),
            ("old", 0.0, incr, Added::Same(5.0)),
            ("old", -1.0, AddIf { greater: true, ..incr }, Added::Skipped),
            ("old", f64::NAN, on, Added::NotANumber),
            ("inf", f64::NEG_INFINITY, incr, Added::NotANumber),
        ];
        for (member, score, conditions, expected) in cases {
            for mut zset in both_forms(&[("old", 5.0), ("inf", f64::INFINITY)]) {
                let added = zset.add(member.as_bytes(), score, conditions, &LIMITS);
                assert_eq!(added, expected, "{member} {score} {conditions:?} {}", zset.encoding());
                if let Added::New(score) | Added::Updated(score) | Added::Same(score) = added {
                    assert_eq!(zset.score(member.as_bytes()), Some(score));
                }
            }
        }
    }

    #[test]
    fn intervals_become_ranks() {
        for zset in both_forms(&[("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 3.5), ("e", f64::INFINITY)]) {
            let by_score = |min, max| names(&zset, zset.ranks_by_score(&ScoreRange { min, max }));
            assert_eq!(by_score(Included(2.0), Included(3.5)), "b c d");
            assert_eq!(by_score(Excluded(1.0), Excluded(3.5)), "b c");
            assert_eq!(by_score(Excluded(3.5), Unbounded), "e");
            assert_eq!(by_score(Included(3.0), Included(2.0)), "");
            assert_eq!(by_score(Included(f64::NEG_INFINITY), Included(f64::INFINITY)), "a b c d e");
        }
        for zset in both_forms(&[("1", 0.0), ("alpha", 0.0), ("bar", 0.0), ("cool", 0.0)]) {
            let by_lex = |min, max| names(&zset, zset.ranks_by_lex(&LexRange { min, max }));
            assert_eq!(by_lex(LexBound::First, LexBound::Last), "1 alpha bar cool");
            assert_eq!(by_lex(LexBound::Last, LexBound::First), "");
            assert_eq!(by_lex(LexBound::Included(b"alpha"), LexBound::Excluded(b"cool")), "alpha bar");
            assert_eq!(by_lex(LexBound::Excluded(b"alpha"), LexBound::Included(b"cool")), "bar cool");
            assert_eq!(by_lex(LexBound::First, LexBound::Included(b"2")), "1");
        }
    }

    #[test]
    fn foreign_listpacks_are_checked_and_sorted() {
        let pack = |parts: &[&str]| parts.iter().map(|part| part.as_bytes()).collect::<Listpack>();
        let sorted = |parts: &[&str]| ZSet::from_listpack(pack(parts)).map(|zset| names(&zset, 0..zset.len()));
        assert_eq!(sorted(&["a", "1", "b", "2.5"]), Some("a b".into()));
        assert_eq!(sorted(&["b", "2.5", "a", "1", "0", "1"]), Some("0 a b".into()));
        for bad in [&["a"][..], &["a", "1", "a", "2"], &["a", "x"], &["a", "nan"]] {
            assert_eq!(sorted(bad), None, "{bad:?}");
        }
    }

    type Model = BTreeMap<Vec<u8>, f64>;

    fn in_order(model: &Model) -> Vec<(Vec<u8>, f64)> {
        let mut pairs: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
        pairs.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        pairs
    }

    fn owned(pair: Scored<'_>) -> (Vec<u8>, f64) {
        (pair.member.to_vec(), pair.score)
    }

    fn check(zset: &ZSet, model: &Model, dice: &mut Rng) {
        let pairs = in_order(model);
        assert_eq!(zset.iter_all().map(owned).collect::<Vec<_>>(), pairs);
        let start = dice.below(pairs.len() as u64 + 1) as usize;
        let end = start + dice.below((pairs.len() - start) as u64 + 1) as usize;
        assert!(zset.iter(start..end).map(owned).eq(pairs[start..end].iter().cloned()));
        assert!(zset.iter_back(start..end).map(owned).eq(pairs[start..end].iter().rev().cloned()));
        let mut walked = [Vec::new(), Vec::new()];
        zset.each(start..end, Order::Up, |pair| walked[0].push(owned(pair)));
        zset.each(start..end, Order::Down, |pair| walked[1].insert(0, owned(pair)));
        assert_eq!(walked, [&pairs[start..end]; 2]);
        let mut members = [Vec::new(), Vec::new()];
        zset.each_member(start..end, Order::Up, |member| members[0].push(member.to_vec()));
        zset.each_member(start..end, Order::Down, |member| members[1].insert(0, member.to_vec()));
        assert!(members.iter().all(|members| members.iter().eq(walked[0].iter().map(|pair| &pair.0))));
        assert_eq!(zset.at(start).map(owned), pairs.get(start).cloned());
        for (rank, (member, score)) in pairs.iter().enumerate() {
            assert_eq!(zset.rank(member), Some((rank, *score)));
        }
        let (min, max) = (dice.below(40) as f64 / 2.0, dice.below(40) as f64 / 2.0);
        let range = ScoreRange { min: Excluded(min), max: Included(max) };
        let count = pairs.iter().filter(|pair| range.contains(pair.1)).count();
        assert_eq!(zset.ranks_by_score(&range).len(), count);
        let (mut seen, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = zset.scan(cursor, 9, |pair| seen.push(owned(pair)));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), model.len());
        assert_eq!(seen.into_iter().collect::<Model>(), *model);
        if let ZSet::Big(big) = zset {
            big.check();
        }
    }

    #[test]
    fn a_random_walk_agrees_with_a_map() {
        for (turn, seed) in seeds(12).into_iter().enumerate() {
            let mut dice = dice(seed);
            let limits = ZSetLimits { listpack_entries: [0, 60, 500][turn % 3], listpack_value: 64 };
            let (mut zset, mut model) = (ZSet::new(), Model::new());
            let mut old = (zset.clone(), model.clone());
            for round in 0..2000 {
                let member = format!("{}", dice.below(400)).into_bytes();
                assert_eq!(zset.score(&member), model.get(&member).copied());
                match dice.below(20) {
                    0..13 => {
                        let score = dice.below(40) as f64 / 2.0;
                        let expected = match model.insert(member.clone(), score) {
                            None => Added::New(score),
                            Some(old) if old == score => Added::Same(score),
                            Some(_) => Added::Updated(score),
                        };
                        assert_eq!(zset.set(&member, score, &limits), expected);
                    }
                    13..19 => assert_eq!(zset.remove(&member), model.remove(&member).is_some()),
                    _ => {
                        let start = dice.below(zset.len() as u64 + 1) as usize;
                        let end = zset.len().min(start + dice.below(8) as usize);
                        let expected = in_order(&model)[start..end].to_vec();
                        let mut gone = Vec::new();
                        let rest = zset.without(start..end);
                        zset.remove_ranks(start..end, |pair| gone.push(owned(pair)));
                        model.retain(|member, _| gone.iter().all(|pair| pair.0 != *member));
                        assert_eq!(gone, expected);
                        check(&rest, &model, &mut dice);
                    }
                }
                if round % 100 == 0 {
                    check(&zset, &model, &mut dice);
                    check(&old.0, &old.1, &mut dice);
                    old = (zset.clone(), model.clone());
                }
            }
        }
    }

    /// Redis 7.0 takes about 125 bytes per member of this size, the budget is 0.6 of it.
    #[test]
    fn a_big_sorted_set_stays_within_its_budget() {
        let mut dice = dice(1);
        let mut zset = ZSet::new();
        for i in 0..100_000 {
            zset.set(format!("member:{i:09}").as_bytes(), dice.unit_f64(), &LIMITS);
        }
        let per_member = zset.heap_bytes() as f64 / 100_000.0;
        assert!(per_member < 66.0, "{per_member} bytes per member of 16");
    }
}
