//! The small sorted set: a listpack of member, score, member, score, .. in order, Redis' own layout.

use super::{Order, Scored};
use crate::base::num::{F64Text, parse_f64, whole};
use crate::types::packed::listpack::{Item, Listpack, LpValue, Pos};
use std::cmp::Ordering;
use std::ops::Range;

/// The number in a score's entry; none in a foreign one that is no number.
pub(super) fn score_of(value: LpValue<'_>) -> Option<f64> {
    match value {
        LpValue::Int(int) => Some(int as f64),
        LpValue::Str(text) => parse_f64(text),
    }
}

pub(super) fn scored<'a>(member: LpValue<'a>, score: LpValue<'a>) -> Scored<'a> {
    Scored { member, score: score_of(score).expect("foreign scores are checked at the door") }
}

/// All pairs, in order.
pub(super) fn pairs(listpack: &Listpack) -> impl Iterator<Item = Scored<'_>> {
    listpack.pairs().map(|(member, score)| scored(member, score))
}

/// The position and the score of a member.
pub(super) fn find(listpack: &Listpack, member: &[u8]) -> Option<(Pos, f64)> {
    let pos = listpack.find(member, 1)?;
    let mut values = listpack.iter_from(pos);
    Some((pos, scored(values.next()?, values.next()?).score))
}

/// Adds a pair where it belongs. The member must not be there.
pub(super) fn insert(listpack: &mut Listpack, member: &[u8], score: f64) {
    let behind = first_behind(listpack, member, score);
    with_score(score, |score| match behind {
        Some(pos) => listpack.insert_pair_before(pos, Item::Bytes(member), score),
        None => listpack.push_pair(Item::Bytes(member), score),
    });
}

/// Changes the score of the member at a place, which then moves to where it belongs.
pub(super) fn update(listpack: &mut Listpack, pos: Pos, member: &[u8], score: f64) {
    let Some(score_pos) = listpack.next(pos) else { return };
    with_score(score, |score| match score {
        Item::Int(int) => listpack.replace_int(score_pos, int),
        Item::Bytes(text) => listpack.replace(score_pos, text),
    });
    // Its own pair, out of order for now, is not behind itself.
    let target = first_behind(listpack, member, score);
    listpack.move_entries(pos, 2, target);
}

/// What the entry of a score is made from. Zero has no sign in a listpack.
fn with_score(score: f64, store: impl FnOnce(Item<'_>)) {
    match whole(score) {
        Some(int) => store(Item::Int(int)),
        None => store(Item::Bytes(F64Text::new(score).as_bytes())),
    }
}

fn first_behind(listpack: &Listpack, member: &[u8], score: f64) -> Option<Pos> {
    let mut values = listpack.iter();
    loop {
        let pos = values.pos()?;
        let pair = scored(values.next()?, values.next()?);
        if pair.score > score || (pair.score == score && cmp_member(pair.member, member) == Ordering::Greater) {
            return Some(pos);
        }
    }
}

pub(super) fn cmp_member(value: LpValue<'_>, member: &[u8]) -> Ordering {
    value.to_bytes(&mut itoa::Buffer::new()).cmp(member)
}

pub(super) fn at(listpack: &Listpack, rank: usize) -> Option<Scored<'_>> {
    iter(listpack, rank..rank + 1).next()
}

pub(super) fn iter(listpack: &Listpack, ranks: Range<usize>) -> impl Iterator<Item = Scored<'_>> {
    let start = i64::try_from(ranks.start).ok().and_then(|rank| listpack.seek(2 * rank));
    let mut values = start.map(|pos| listpack.iter_from(pos)).into_iter().flatten();
    std::iter::from_fn(move || Some(scored(values.next()?, values.next()?))).take(ranks.len())
}

/// Hands members and scores at these ranks to `each`.
#[inline]
pub(super) fn each<'a>(
    listpack: &'a Listpack,
    ranks: Range<usize>,
    order: Order,
    mut each: impl FnMut(LpValue<'a>, LpValue<'a>),
) {
    let seek = |rank: usize| i64::try_from(rank).ok().and_then(|rank| listpack.seek(2 * rank));
    match order {
        Order::Up => {
            let Some(mut values) = seek(ranks.start).map(|pos| listpack.iter_from(pos)) else { return };
            for _ in ranks {
                let (Some(member), Some(score)) = (values.next(), values.next()) else { return };
                each(member, score);
            }
        }
        Order::Down => {
            let mut values = seek(ranks.end).map_or(listpack.iter(), |pos| listpack.iter_until(pos));
            for _ in ranks {
                let (Some(score), Some(member)) = (values.next_back(), values.next_back()) else { return };
                each(member, score);
            }
        }
    }
}

pub(super) fn iter_back(listpack: &Listpack, ranks: Range<usize>) -> impl Iterator<Item = Scored<'_>> {
    let skip = 2 * (listpack.len() / 2).saturating_sub(ranks.end);
    let mut values = listpack.iter().rev().skip(skip);
    std::iter::from_fn(move || {
        let (score, member) = (values.next()?, values.next()?);
        Some(scored(member, score))
    })
    .take(ranks.len())
}
