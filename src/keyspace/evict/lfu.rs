//! Least frequently used: the logarithmic counter with decay.
//!
//! The access word is 16 bits of minutes (when the counter was last decayed) and 8 bits of a logarithmic counter, as
//! Redis documents it: a use raises a counter c with probability 1 / ((c - 5) * factor + 1), and every
//! `lfu-decay-time` minutes without use lower it by one.

use super::super::entry::Entry;
use super::super::namespace::Namespace;
use super::{Ranking, Source, View};
use crate::base::hash::mix;

/// Ranks by the counter. Candidates are a few keys drawn at random, and more would be worse: always to evict the very
/// least used key keeps what was popular once for ever, and loses up to four points of hits on recorded traces to a
/// choice that leaves something to luck.
pub struct Lfu;

impl Ranking for Lfu {
    fn source(&self) -> Source {
        Source::Sample
    }
    fn rank(&self, entry: &Entry, view: View<'_>) -> u64 {
        u64::from(counter(entry.access(), view.ns, view.now_ms))
    }
}

/// The counter of a new entry, so that it is not the next victim.
pub const INITIAL: u32 = 5;

fn minutes(now_ms: u64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

/// The access word of a new entry.
pub fn fresh(now_ms: u64) -> u32 {
    minutes(now_ms) << 8 | INITIAL
}

/// The counter after decay.
pub fn counter(word: u32, ns: &Namespace, now_ms: u64) -> u32 {
    let elapsed = minutes(now_ms).wrapping_sub(word >> 8) & 0xffff;
    let periods = elapsed.checked_div(ns.lfu_decay_minutes()).unwrap_or(0);
    (word & 0xff).saturating_sub(periods)
}

/// The access word of an entry used now.
pub fn touched(word: u32, ns: &Namespace, now_ms: u64, salt: u64) -> u32 {
    let mut count = counter(word, ns, now_ms);
    if count < 255 {
        let base = count.saturating_sub(INITIAL) as u64;
        let odds = base * ns.lfu_log_factor() as u64 + 1;
        let draw = mix(salt ^ now_ms.rotate_left(32) ^ ((word as u64) << 7)) >> 32;
        if draw * odds < 1 << 32 {
            count += 1;
        }
    }
    minutes(now_ms) << 8 | count
}

/// The access word with this counter, as RESTORE's FREQ sets it.
pub fn with_counter(count: u8, now_ms: u64) -> u32 {
    minutes(now_ms) << 8 | count as u32
}
