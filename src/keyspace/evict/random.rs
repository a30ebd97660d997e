//! Any key, every one equally likely: candidates are drawn and all rank alike.

use super::super::entry::Entry;
use super::{Ranking, Source, View};

/// Ranks all alike.
pub struct Random;

impl Ranking for Random {
    fn source(&self) -> Source {
        Source::Draw
    }
    fn rank(&self, _: &Entry, _: View<'_>) -> u64 {
        0
    }
}
