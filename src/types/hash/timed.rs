//! Small hashes whose fields have deadlines: a listpack of (field, value, deadline) triples, Redis' own layout.
//!
//! Triples lie in the order of their deadlines, those without one (stored as 0) at the end, so that the next field due is
//! the first one. A triple that is given a deadline is taken out and put where it belongs, before its equals.

use super::Field;
use crate::types::packed::listpack::{Listpack, LpValue, Pos};

/// Entries to step over from one name to the next.
pub(super) const STEP: usize = 2;

/// What stands for "no deadline".
const NEVER: i64 = 0;

/// The triples of the pairs of a plain listpack, none with a deadline.
pub(super) fn from_pairs(pairs: &Listpack) -> Listpack {
    let mut triples = Listpack::new();
    for (name, value) in pairs.pairs() {
        push_value(&mut triples, name);
        push_value(&mut triples, value);
        triples.push_back_int(NEVER);
    }
    triples
}

fn push_value(listpack: &mut Listpack, value: LpValue<'_>) {
    match value {
        LpValue::Int(int) => listpack.push_back_int(int),
        LpValue::Str(bytes) => listpack.push_back(bytes),
    }
}

pub(super) fn fields(triples: &Listpack) -> impl Iterator<Item = Field<'_>> {
    fields_of(triples.iter())
}

fn deadline_of(stamp: LpValue<'_>) -> Option<u64> {
    stamp.as_int().filter(|ms| *ms != NEVER).map(|ms| ms as u64)
}

/// The field at the position of a name.
pub(super) fn field_at(triples: &Listpack, at: Pos) -> Option<Field<'_>> {
    fields_of(triples.iter_from(at)).next()
}

fn fields_of<'a>(mut values: impl Iterator<Item = LpValue<'a>>) -> impl Iterator<Item = Field<'a>> {
    std::iter::from_fn(move || {
        let (name, value, stamp) = (values.next()?, values.next()?, values.next()?);
        Some(Field { name, value, deadline: deadline_of(stamp) })
    })
}

/// Adds a triple where its deadline belongs.
pub(super) fn insert(triples: &mut Listpack, name: &[u8], value: &[u8], deadline: Option<u64>) {
    let stamp = deadline.map_or(NEVER, |ms| ms as i64);
    let Some(pos) = deadline.and_then(|deadline| first_not_before(triples, deadline)) else {
        triples.push_back(name);
        triples.push_back(value);
        return triples.push_back_int(stamp);
    };
    triples.insert_before_int(pos, stamp);
    triples.insert_before(pos, value);
    triples.insert_before(pos, name);
}

/// Where the first triple with this deadline, a later one, or none, starts.
fn first_not_before(triples: &Listpack, deadline: u64) -> Option<Pos> {
    let mut name = triples.first()?;
    loop {
        let stamp = triples.next(triples.next(name)?)?;
        if deadline_of(triples.get(stamp)).is_none_or(|other| other >= deadline) {
            return Some(name);
        }
        name = triples.next(stamp)?;
    }
}

/// Whether deadlines ascend and are followed by those without one, as all code here relies on.
pub(super) fn is_sorted(triples: &Listpack) -> bool {
    fields(triples).map(|field| field.deadline.unwrap_or(u64::MAX)).is_sorted()
}
