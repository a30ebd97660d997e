//! The access clock: what "when was it last used" is measured in.
//!
//! Seconds are too coarse: thousands of keys are used in each, and eviction could not tell them apart. So the clock
//! ticks with *uses*: once in every `stride` of them, where the stride is a small part of the number of keys
//! ([`STRIDE_PARTS`]). An error of that size in the order of last uses is far below what a sample can tell. It also
//! ticks with every second in which something is used, and a short history of (tick, second) turns ticks back into the
//! seconds that OBJECT IDLETIME answers.
//!
//! An entry keeps the low [`BITS`] bits of the tick of its last use, so a key is taken for a fresh one again after 2^30
//! ticks. To keep that beyond three months at any load, ticks by use are paid from a credit of [`BURST`] ticks that
//! refills with [`PER_SECOND`]; a server that spends it all (268 million ticks) goes on with hundredths of a second.

use super::super::entry::ACCESS_BITS;
use parking_lot::Mutex;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Bits of a tick that an entry keeps.
pub const BITS: u32 = ACCESS_BITS;
const MASK: u64 = (1 << BITS) - 1;
/// The first tick: whole, so that idle times from before the start can be told.
const FIRST: u64 = 1 << BITS;
/// Ticks per round of uses of all keys.
pub const STRIDE_PARTS: u64 = 256;
/// Ticks by use that may come at once.
const BURST: u64 = 1 << (BITS - 2);
/// Ticks by use that may come every second for ever.
const PER_SECOND: u64 = 100;
/// Marks of the history before old ones are thinned out.
const HISTORY_MAX: usize = 2048;
/// Two marks may be this part of their age apart when the history is thinned.
const HISTORY_PARTS: u64 = 64;

thread_local! {
    /// Uses by this thread since its last tick.
    static USES: Cell<u32> = const { Cell::new(0) };
}

/// A second and the tick it began with.
#[derive(Clone, Copy, Debug)]
struct Mark {
    tick: u64,
    second: u64,
}

/// See the head of the file.
#[derive(Debug)]
pub struct AccessClock {
    tick: AtomicU64,
    /// The Unix second of the last use.
    second: AtomicU64,
    /// Ticks by use stop here until the next second.
    allowed: AtomicU64,
    /// Uses per tick; 0: only seconds tick.
    stride: AtomicU32,
    history: Mutex<Vec<Mark>>,
}

impl Default for AccessClock {
    fn default() -> Self {
        AccessClock {
            tick: AtomicU64::new(FIRST),
            second: AtomicU64::new(0),
            allowed: AtomicU64::new(FIRST + BURST),
            stride: AtomicU32::new(0),
            history: Mutex::default(),
        }
    }
}

impl AccessClock {
    /// Sets how many keys there are, if the order of their uses matters; without, only seconds tick.
    pub fn follow(&self, keys: Option<u64>) {
        let stride = keys.map_or(0, |keys| (keys / STRIDE_PARTS).clamp(1, u64::from(u32::MAX)) as u32);
        if self.stride.load(Relaxed) != stride {
            self.stride.store(stride, Relaxed);
        }
    }

    /// The access word for a use at this Unix time in milliseconds.
    #[inline]
    pub fn word(&self, now_ms: u64) -> u32 {
        self.see(now_ms);
        let stride = self.stride.load(Relaxed);
        let tick = if stride > 0 && is_due(stride) { self.step() } else { self.tick.load(Relaxed) };
        (tick & MASK) as u32
    }

    #[inline]
    fn step(&self) -> u64 {
        let tick = self.tick.load(Relaxed);
        if tick < self.allowed.load(Relaxed) { self.tick.fetch_add(1, Relaxed) + 1 } else { tick }
    }

    /// Begins the second of this time, if it has not begun.
    #[inline]
    fn see(&self, now_ms: u64) {
        let second = now_ms / 1000;
        if second > self.second.load(Relaxed) {
            self.begin(second);
        }
    }

    #[cold]
    fn begin(&self, second: u64) {
        let before = self.second.load(Relaxed);
        if second <= before || self.second.compare_exchange(before, second, Relaxed, Relaxed).is_err() {
            return;
        }
        let tick = self.tick.fetch_add(1, Relaxed) + 1;
        let refill = (second - before).saturating_mul(PER_SECOND);
        let allowed = self.allowed.load(Relaxed).saturating_add(refill);
        self.allowed.store(allowed.clamp(tick + PER_SECOND, tick + BURST), Relaxed);
        let mut history = self.history.lock();
        history.push(Mark { tick, second });
        if history.len() > HISTORY_MAX {
            thin(&mut history, tick, second);
        }
    }

    /// The tick of the last use that an access word stands for.
    pub fn last_use(&self, word: u32) -> u64 {
        let now = self.tick.load(Relaxed);
        now - (now.wrapping_sub(u64::from(word)) & MASK)
    }

    /// Seconds since the last use.
    pub fn idle_seconds(&self, word: u32, now_ms: u64) -> u64 {
        let last = self.last_use(word);
        let history = self.history.lock();
        let used = match history.partition_point(|mark| mark.tick <= last) {
            0 => {
                let first = history.first().copied().unwrap_or(self.origin(now_ms));
                first.second.saturating_sub(first.tick - last)
            }
            at => history[at - 1].second,
        };
        (now_ms / 1000).saturating_sub(used)
    }

    /// The access word of an entry idle for so many seconds, as RESTORE's IDLETIME sets it.
    pub fn idle_for(&self, seconds: u64, now_ms: u64) -> u32 {
        self.see(now_ms);
        let used = (now_ms / 1000).saturating_sub(seconds);
        let history = self.history.lock();
        let tick = match history.partition_point(|mark| mark.second <= used) {
            0 => {
                let first = history.first().copied().unwrap_or(self.origin(now_ms));
                first.tick.saturating_sub(first.second - used)
            }
            at => history[at - 1].tick,
        };
        let oldest = self.tick.load(Relaxed).saturating_sub(MASK / 2);
        (tick.max(oldest) & MASK) as u32
    }

    /// Where time begins as long as there is no history.
    fn origin(&self, now_ms: u64) -> Mark {
        Mark { tick: self.tick.load(Relaxed), second: now_ms / 1000 }
    }
}

#[inline]
fn is_due(stride: u32) -> bool {
    USES.with(|uses| {
        let count = uses.get() + 1;
        let due = count >= stride;
        uses.set(if due { 0 } else { count });
        due
    })
}

/// Drops marks that no access word can reach, and of the rest leaves gaps that grow with age.
fn thin(history: &mut Vec<Mark>, tick: u64, second: u64) {
    let mut kept = 0;
    history.retain(|mark| {
        let gap = (second - mark.second) / HISTORY_PARTS;
        let keep = mark.tick + MASK >= tick && mark.second >= kept + gap;
        if keep {
            kept = mark.second;
        }
        keep
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;

    #[test]
    fn idle_time_is_told_in_seconds_of_use() {
        let clock = AccessClock::default();
        let old = clock.word(START_MS);
        assert_eq!(clock.idle_seconds(old, START_MS + 900), 0);
        assert_eq!(clock.idle_seconds(old, START_MS + 3_600_000), 3600);
        let new = clock.word(START_MS + 3_600_000);
        assert_ne!(old, new);
        assert_eq!(clock.idle_seconds(old, START_MS + 3_605_000), 3605);
        assert_eq!(clock.idle_seconds(new, START_MS + 3_605_000), 5);
    }

    #[test]
    fn restored_idle_times_read_back_even_from_before_the_start() {
        for used in [false, true] {
            let clock = AccessClock::default();
            if used {
                clock.word(START_MS);
            }
            for seconds in [0, 1, 1000, 10_000_000] {
                let word = clock.idle_for(seconds, START_MS);
                assert_eq!(clock.idle_seconds(word, START_MS), seconds, "used before: {used}");
                assert_eq!(clock.idle_seconds(word, START_MS + 5000), seconds + 5);
            }
        }
    }

    #[test]
    fn uses_tick_by_stride() {
        let clock = AccessClock::default();
        clock.follow(Some(10));
        let words: Vec<u32> = (0..5).map(|_| clock.word(START_MS)).collect();
        assert!(words.windows(2).all(|w| w[1] == w[0] + 1), "each use its own tick: {words:?}");
        clock.follow(Some(STRIDE_PARTS * 10));
        let first = clock.last_use(clock.word(START_MS));
        for _ in 0..1000 {
            clock.word(START_MS);
        }
        let ticks = clock.last_use(clock.word(START_MS)) - first;
        assert!((99..=101).contains(&ticks), "{ticks}");
    }

    #[test]
    fn a_clock_that_spent_its_credit_ticks_by_time() {
        let clock = AccessClock::default();
        clock.follow(Some(1));
        clock.word(START_MS);
        clock.tick.store(clock.allowed.load(Relaxed), Relaxed);
        let stuck = clock.word(START_MS);
        assert_eq!(clock.word(START_MS), stuck);
        let next: Vec<u32> = (0..PER_SECOND + 10).map(|_| clock.word(START_MS + 1000)).collect();
        assert_eq!(u64::from(next[next.len() - 1] - stuck), PER_SECOND + 1);
    }

    #[test]
    fn the_history_of_a_month_is_short_and_true_to_a_few_percent() {
        let clock = AccessClock::default();
        let month = 30 * 86_400;
        let words: Vec<u32> = (0..month).map(|s| clock.word(START_MS + s * 1000)).collect();
        assert!(clock.history.lock().len() <= HISTORY_MAX);
        let now_ms = START_MS + month * 1000;
        for ago in [1, 2, 10, 63, 3600, 86_400, 20 * 86_400] {
            let idle = clock.idle_seconds(words[(month - ago) as usize], now_ms);
            assert!(idle >= ago && idle <= ago + ago / 32 + 1, "{ago} seconds ago is told as {idle}");
        }
    }
}
