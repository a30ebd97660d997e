//! The small sorted set: a listpack of member, score, member, score, .. in order, Redis' own layout.

use super::Scored;
use crate::base::num::{F64Text, parse_f64};
use crate::types::packed::listpack::{Listpack, LpValue, Pos, Tail};
use std::cmp::Ordering;
use std::ops::Range;

/// The number in a score's entry; none in a foreign one that is no number.
pub(super) fn score_of(value: LpValue<'_>) -> Option<f64> {
    match value {
        LpValue::Int(int) => Some(int as f64),
        LpValue::Str(text) => parse_f64(text),
    }
}

fn scored<'a>(member: LpValue<'a>, score: LpValue<'a>) -> Scored<'a> {
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
    let mut pair = Tail::default();
    pair.push(member);
    pair.push(score_text(score).as_bytes());
    match first_behind(listpack, member, score) {
        Some(pos) => listpack.insert_tail_before(pos, &pair),
        None => listpack.push_tail(&pair),
    }
}

/// Changes the score of the member at a place, which then moves to where it belongs.
pub(super) fn update(listpack: &mut Listpack, pos: Pos, member: &[u8], score: f64) {
    let Some(score_pos) = listpack.next(pos) else { return };
    listpack.replace(score_pos, score_text(score).as_bytes());
    // Its own pair, out of order for now, is not behind itself.
    let target = first_behind(listpack, member, score);
    listpack.move_entries(pos, 2, target);
}

/// Zero has no sign in a listpack.
fn score_text(score: f64) -> F64Text {
    F64Text::new(if score == 0.0 { 0.0 } else { score })
}

fn first_behind(listpack: &Listpack, member: &[u8], score: f64) -> Option<Pos> {
    let mut pos = listpack.first()?;
    loop {
        let score_pos = listpack.next(pos)?;
        let pair = scored(listpack.get(pos), listpack.get(score_pos));
        if pair.score > score || (pair.score == score && cmp_member(pair.member, member) == Ordering::Greater) {
            return Some(pos);
        }
        pos = listpack.next(score_pos)?;
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

pub(super) fn iter_back(listpack: &Listpack, ranks: Range<usize>) -> impl Iterator<Item = Scored<'_>> {
    let skip = 2 * (listpack.len() / 2).saturating_sub(ranks.end);
    let mut values = listpack.iter().rev().skip(skip);
    std::iter::from_fn(move || {
        let (score, member) = (values.next()?, values.next()?);
        Some(scored(member, score))
    })
    .take(ranks.len())
}
