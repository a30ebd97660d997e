//! A member of a big sorted set: the order of sorted sets is its order.

use super::Scored;
use crate::types::packed::listpack::LpValue;
use crate::types::tree::member::Member;
use std::cmp::Ordering;

/// A member with its score, in the order of sorted sets. Scores are never NaN; -0 equals 0.
#[derive(Clone)]
pub(super) struct Ranked {
    pub(super) score: f64,
    pub(super) member: Member,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.score.partial_cmp(&other.score) {
            Some(Ordering::Equal) | None => self.member.cmp(&other.member),
            Some(unequal) => unequal,
        }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl Ranked {
    /// As callers see it.
    pub(super) fn scored(&self) -> Scored<'_> {
        Scored { member: LpValue::Str(self.member.bytes()), score: self.score }
    }
}
