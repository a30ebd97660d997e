//! The shortest time to live first.
//!
//! The timer wheel knows the order of deadlines, so candidates are its next items, not a sample.

use super::super::entry::Entry;
use super::{Ranking, Source, View};

/// Ranks by deadline.
pub struct Ttl;

impl Ranking for Ttl {
    fn source(&self) -> Source {
        Source::Soonest
    }
    fn rank(&self, entry: &Entry, _: View<'_>) -> u64 {
        entry.expiry().unwrap_or(u64::MAX)
    }
}
