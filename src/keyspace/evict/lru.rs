//! Least recently used, approximated by samples.
//!
//! The access word is the time of the last use in seconds, modulo 2^24, as in Redis.

/// Bits of the access word.
pub const BITS: u32 = 24;

/// The access word for a use at `now_ms`.
#[inline]
pub fn clock(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32 & ((1 << BITS) - 1)
}

/// Seconds since the last use.
pub fn idle_seconds(word: u32, now_ms: u64) -> u64 {
    (clock(now_ms).wrapping_sub(word) & ((1 << BITS) - 1)) as u64
}

/// The access word of an entry idle for so many seconds.
pub fn idle_for(seconds: u64, now_ms: u64) -> u32 {
    clock(now_ms.saturating_sub(seconds.saturating_mul(1000)))
}
