//! The two kinds of interval that sorted sets are asked for: of scores, and of members in byte order.

use std::ops::Bound;

/// An interval of scores; open ends are infinities, as in `-inf +inf`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// Where it starts.
    pub min: Bound<f64>,
    /// Where it ends.
    pub max: Bound<f64>,
}

impl ScoreRange {
    /// Whether a score comes before the interval.
    pub fn is_after(&self, score: f64) -> bool {
        match self.min {
            Bound::Included(min) => score < min,
            Bound::Excluded(min) => score <= min,
            Bound::Unbounded => false,
        }
    }

    /// Whether a score comes before the end of the interval.
    pub fn ends_after(&self, score: f64) -> bool {
        match self.max {
            Bound::Included(max) => score <= max,
            Bound::Excluded(max) => score < max,
            Bound::Unbounded => true,
        }
    }

    /// Whether a score is in the interval.
    pub fn contains(&self, score: f64) -> bool {
        !self.is_after(score) && self.ends_after(score)
    }
}

/// One end of an interval of members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    First,
    /// `[member`
    Included(&'a [u8]),
    /// `(member`
    Excluded(&'a [u8]),
    /// `+`: behind every member.
    Last,
}

/// An interval of members in byte order; meaningful among members of one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LexRange<'a> {
    /// Where it starts.
    pub min: LexBound<'a>,
    /// Where it ends.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// Whether a member comes before the interval.
    pub fn is_after(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::First => false,
            LexBound::Included(min) => member < min,
            LexBound::Excluded(min) => member <= min,
            LexBound::Last => true,
        }
    }

    /// Whether a member comes before the end of the interval.
    pub fn ends_after(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::First => false,
            LexBound::Included(max) => member <= max,
            LexBound::Excluded(max) => member < max,
            LexBound::Last => true,
        }
    }
}
