//! Least recently used: the key whose last use is longest ago.
//!
//! The access word is a tick of the [access clock](super::clock), which orders uses far more finely than seconds.

use super::super::entry::Entry;
use super::super::namespace::Namespace;
use super::{Ranking, Source, View};

/// Ranks by last use.
pub struct Lru;

impl Ranking for Lru {
    fn source(&self) -> Source {
        Source::Hand
    }
    fn rank(&self, entry: &Entry, view: View<'_>) -> u64 {
        view.ns.clock.last_use(entry.access())
    }
}

/// Seconds since the last use that an access word stands for.
pub fn idle_seconds(word: u32, ns: &Namespace, now_ms: u64) -> u64 {
    ns.clock.idle_seconds(word, now_ms)
}

/// The access word of an entry idle for so many seconds.
pub fn idle_for(seconds: u64, ns: &Namespace, now_ms: u64) -> u32 {
    ns.clock.idle_for(seconds, now_ms)
}
