//! Random elements of a collection: what HRANDFIELD, SRANDMEMBER, SPOP and ZRANDMEMBER share.
//!
//! Collections find an element by its rank, so a random element is a random rank, and so many different ones are so many
//! different ranks: every choice is equally likely, whatever form the collection has.

use super::args::Argv;
use super::ctx::Result;
use super::error::Error;
use crate::base::num::parse_i64;
use crate::base::rng::Rng;
use crate::resp::reply::Reply;
use crate::types::hash::{Field, Hash};
use crate::types::packed::listpack::LpValue;
use crate::types::set::Set;
use crate::types::zset::{Scored, ZSet};
use std::collections::HashSet;

/// How many elements are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Amount {
    /// One, answered by itself.
    One,
    /// Up to so many different ones.
    Distinct(usize),
    /// So many, each chosen anew.
    Repeated(usize),
}

/// Reads the optional count at argument `at`, and the optional `word` behind it.
pub(super) fn amount(args: Argv<'_>, at: usize, word: &str) -> Result<(Amount, bool)> {
    let Some(text) = args.all().get(at) else { return Ok((Amount::One, false)) };
    let count = parse_i64(text).ok_or(Error::NotInteger)?;
    if count == i64::MIN {
        return Err(Error::Text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with = args.len() > at + 1;
    if args.len() > at + 2 || (with && !args.is(at + 1, word)) {
        return Err(Error::Syntax);
    }
    if with && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OutOfRange);
    }
    let amount = usize::try_from(count.unsigned_abs()).map_err(|_| Error::OutOfRange)?;
    Ok((if count < 0 { Amount::Repeated(amount) } else { Amount::Distinct(amount) }, with))
}

/// `count` different ranks below `len`, in ascending order; all of them if there are no more.
pub(super) fn distinct_ranks(rng: &mut Rng, len: usize, count: usize) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    if count > len / 2 {
        let left_out: HashSet<usize, ahash::RandomState> = choose(rng, len, len - count).collect();
        return (0..len).filter(|rank| !left_out.contains(rank)).collect();
    }
    let mut ranks: Vec<usize> = choose(rng, len, count).collect();
    ranks.sort_unstable();
    ranks
}

/// Floyd's method: a draw that hits a chosen rank takes the newest rank instead, which nobody can have chosen.
fn choose(rng: &mut Rng, len: usize, count: usize) -> impl Iterator<Item = usize> {
    let mut chosen: HashSet<usize, ahash::RandomState> = HashSet::with_capacity_and_hasher(count, Default::default());
    for newest in len - count..len {
        let draw = rng.index(newest + 1);
        if !chosen.insert(draw) {
            chosen.insert(newest);
        }
    }
    chosen.into_iter()
}

/// A collection whose elements are found by rank.
pub(super) trait Ranked {
    /// What it holds.
    type Element<'a>
    where
        Self: 'a;
    /// How many.
    fn count(&self) -> usize;
    /// The one at a rank.
    fn element(&self, rank: usize) -> Option<Self::Element<'_>>;
    /// All of them by rank.
    fn elements(&self) -> Box<dyn Iterator<Item = Self::Element<'_>> + '_>;
}

impl Ranked for Set {
    type Element<'a> = LpValue<'a>;
    fn count(&self) -> usize {
        self.len()
    }
    fn element(&self, rank: usize) -> Option<LpValue<'_>> {
        self.at(rank)
    }
    fn elements(&self) -> Box<dyn Iterator<Item = LpValue<'_>> + '_> {
        self.iter()
    }
}

impl Ranked for Hash {
    type Element<'a> = Field<'a>;
    fn count(&self) -> usize {
        self.len()
    }
    fn element(&self, rank: usize) -> Option<Field<'_>> {
        self.at(rank)
    }
    fn elements(&self) -> Box<dyn Iterator<Item = Field<'_>> + '_> {
        self.iter()
    }
}

impl Ranked for ZSet {
    type Element<'a> = Scored<'a>;
    fn count(&self) -> usize {
        self.len()
    }
    fn element(&self, rank: usize) -> Option<Scored<'_>> {
        self.at(rank)
    }
    fn elements(&self) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        self.iter_all()
    }
}

/// Hands the elements at ascending `ranks` to `each`: by look-up if they are few, in one walk if they are many.
pub(super) fn pick<'a, C: Ranked>(collection: &'a C, ranks: &[usize], mut each: impl FnMut(C::Element<'a>)) {
    if ranks.len() <= 1 || ranks.len() < collection.count() / 16 {
        return ranks.iter().filter_map(|rank| collection.element(*rank)).for_each(each);
    }
    let mut wanted = ranks.iter().copied().peekable();
    for (rank, element) in collection.elements().enumerate() {
        if wanted.next_if_eq(&rank).is_some() {
            each(element);
        }
    }
}

/// Replies with random elements of a collection that is not empty. `width` is how many replies an array counts for one
/// element that `each` writes.
pub(super) fn reply_random<'a, C: Ranked>(
    reply: &mut Reply,
    collection: &'a C,
    amount: Amount,
    rng: &mut Rng,
    width: usize,
    each: impl Fn(&mut Reply, C::Element<'a>),
) {
    let len = collection.count();
    match amount {
        Amount::One => collection.element(rng.index(len)).into_iter().for_each(|element| each(reply, element)),
        Amount::Distinct(count) => {
            let ranks = distinct_ranks(rng, len, count);
            reply.array(width * ranks.len());
            pick(collection, &ranks, |element| each(reply, element));
        }
        Amount::Repeated(count) => {
            reply.array(width * count);
            for _ in 0..count {
                if reply.is_too_long() {
                    return;
                }
                collection.element(rng.index(len)).into_iter().for_each(|element| each(reply, element));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_distinct_in_order_and_even() {
        let mut rng = Rng::from_seed(7);
        for (len, count) in [(10, 0), (10, 1), (10, 3), (10, 5), (10, 8), (10, 10), (10, 20), (1000, 20)] {
            let mut hits = vec![0_u32; len];
            for _ in 0..2000 {
                let ranks = distinct_ranks(&mut rng, len, count);
                assert_eq!(ranks.len(), count.min(len));
                assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
                ranks.iter().for_each(|rank| hits[*rank] += 1);
            }
            let expected = (2000 * count.min(len)) as f64 / len as f64;
            let spread = 6.0 * expected.sqrt() + 1.0;
            assert!(hits.iter().all(|hit| (f64::from(*hit) - expected).abs() <= spread), "{len} {count} {hits:?}");
        }
    }

    #[test]
    fn counts_are_read_with_their_limits() {
        let read = |words: &[&str]| {
            let list: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            amount(Argv::new(&list), 2, "WITHVALUES")
        };
        assert_eq!(read(&["C", "k"]), Ok((Amount::One, false)));
        assert_eq!(read(&["C", "k", "3"]), Ok((Amount::Distinct(3), false)));
        assert_eq!(read(&["C", "k", "-3", "withvalues"]), Ok((Amount::Repeated(3), true)));
        assert_eq!(read(&["C", "k", "3", "nothing"]), Err(Error::Syntax));
        assert_eq!(read(&["C", "k", "3", "withvalues", "x"]), Err(Error::Syntax));
        assert_eq!(read(&["C", "k", "x"]), Err(Error::NotInteger));
        assert_eq!(read(&["C", "k", "-9223372036854770000", "withvalues"]), Err(Error::OutOfRange));
        assert!(read(&["C", "k", "-9223372036854775808"]).is_err());
    }
}
