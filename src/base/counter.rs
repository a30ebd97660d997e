//! The processor's time stamp counter as a clock. Every command reads the clock, and the counter takes 10 ns where the
//! kernel's clock takes 24 and holds up what the processor does ahead: 5 to 10% of a GET at pipeline 64.
//!
//! The counter is used where the kernel keeps its own time by it: the kernel has found then that it runs evenly, and alike
//! on all cores. How fast it runs is measured against the kernel's clock, from the start to the first
//! [check](Counter::check). Until then the kernel's clock is read, and again as soon as a check finds that the two
//! disagree, as when a virtual machine was moved.

use super::system;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Checks closer to one another tell nothing.
const CHECK_EVERY_NS: u64 = 50_000_000;
/// The two clocks may differ by this and by one part in [`TOLERANCE`] of what went by since the last check.
const TOLERANCE_NS: u64 = 1_000_000;
const TOLERANCE: u64 = 64;

/// A clock that begins at 0 and counts nanoseconds.
#[derive(Debug)]
pub struct Counter {
    start: Reading,
    /// The kernel's time at 0, as far as its clock is read.
    kernel_zero_ns: AtomicU64,
    /// Nanoseconds in 2^32 counts; 0 while the kernel's clock is read.
    factor: AtomicU64,
    /// The last check; none when the counter is not to be used.
    checked: Mutex<Option<Reading>>,
}

/// Both clocks at the same moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    kernel_ns: u64,
    counts: u64,
}

impl Counter {
    /// A clock that begins now.
    pub fn start() -> Counter {
        let is_sound = cfg!(target_arch = "x86_64") && system::keeps_time_by_counter();
        Counter::started(Reading::take(), is_sound)
    }

    fn started(start: Reading, is_sound: bool) -> Counter {
        Counter {
            start,
            kernel_zero_ns: AtomicU64::new(start.kernel_ns),
            factor: AtomicU64::new(0),
            checked: Mutex::new(is_sound.then_some(start)),
        }
    }

    /// Nanoseconds since the start. May differ by some hundred nanoseconds between threads.
    #[inline]
    pub fn ns(&self) -> u64 {
        // Acquire: with 0 comes the kernel's time to go on from.
        match self.factor.load(Ordering::Acquire) {
            0 => system::monotonic_ns().wrapping_sub(self.kernel_zero_ns.load(Ordering::Relaxed)),
            factor => self.ns_of(system::counter(), factor),
        }
    }

    #[inline]
    fn ns_of(&self, counts: u64, factor: u64) -> u64 {
        scaled(counts.saturating_sub(self.start.counts), factor)
    }

    /// Measures how fast the counter runs, or whether it still runs so. A timer calls this a few times a second.
    pub fn check(&self) {
        let mut checked = self.checked.lock();
        if checked.is_some() {
            *checked = checked.and_then(|last| self.check_at(last, Reading::take()));
        }
    }

    /// The reading to compare the next one with; none if the counter was given up.
    fn check_at(&self, last: Reading, now: Reading) -> Option<Reading> {
        let went_by_ns = now.kernel_ns.saturating_sub(last.kernel_ns);
        if went_by_ns < CHECK_EVERY_NS {
            return Some(last);
        }
        let counts = now.counts.saturating_sub(last.counts);
        match self.factor.load(Ordering::Relaxed) {
            0 => {
                let factor = ((u128::from(went_by_ns) << 32) / u128::from(counts.max(1))) as u64;
                self.factor.store(factor, Ordering::Relaxed);
            }
            factor if scaled(counts, factor).abs_diff(went_by_ns) > TOLERANCE_NS + went_by_ns / TOLERANCE => {
                // Time goes on from where it was at the last check, by the kernel's clock.
                let zero_ns = last.kernel_ns.wrapping_sub(self.ns_of(last.counts, factor));
                self.kernel_zero_ns.store(zero_ns, Ordering::Relaxed);
                self.factor.store(0, Ordering::Release);
                return None;
            }
            _ => {}
        }
        Some(now)
    }
}

#[inline]
fn scaled(counts: u64, factor: u64) -> u64 {
    ((u128::from(counts) * u128::from(factor)) >> 32) as u64
}

impl Reading {
    /// Reads both clocks, a few times: the reading that took the least is the best, as the thread may be interrupted
    /// between the two.
    fn take() -> Reading {
        let read = |_| {
            let before = system::counter();
            let kernel_ns = system::monotonic_ns();
            let took = system::counter().saturating_sub(before);
            (took, Reading { kernel_ns, counts: before + took / 2 })
        };
        (0..5).map(read).min_by_key(|(took, _)| *took).expect("five readings").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const SECOND: u64 = 1_000_000_000;
    /// What the measured speed may be wrong by in a tenth of a second, in nanoseconds.
    const SLACK: u64 = 20_000;

    /// Both clocks after so many nanoseconds, where the counter counts 2.5 a nanosecond from 1,000.
    fn at(kernel_ns: u64) -> Reading {
        Reading { kernel_ns, counts: 1000 + kernel_ns / 2 * 5 }
    }

    fn measured() -> (Counter, Reading) {
        let counter = Counter::started(at(7 * SECOND), true);
        let last = counter.check_at(at(7 * SECOND), at(8 * SECOND)).expect("a sound counter");
        (counter, last)
    }

    fn ns_at(counter: &Counter, reading: Reading) -> u64 {
        counter.ns_of(reading.counts, counter.factor.load(Ordering::Relaxed))
    }

    #[test]
    fn the_counter_is_measured_by_the_kernels_clock() {
        let (counter, _) = measured();
        for seconds in [7, 8, 9, 100, 1_000_000] {
            let off = ns_at(&counter, at(seconds * SECOND)).abs_diff((seconds - 7) * SECOND);
            assert!(off <= seconds, "{off} ns off after {seconds} s");
        }
    }

    #[test]
    fn a_check_that_comes_too_soon_says_nothing() {
        let counter = Counter::started(at(SECOND), true);
        let last = counter.check_at(at(SECOND), at(SECOND + CHECK_EVERY_NS - 1)).expect("a sound counter");
        assert_eq!((last.kernel_ns, counter.factor.load(Ordering::Relaxed)), (SECOND, 0));
    }

    #[test]
    fn a_counter_that_runs_otherwise_is_given_up_and_time_goes_on() {
        for wrong in [0, 1000, 1000 + 9 * SECOND, 1000 + 40 * SECOND] {
            let (counter, last) = measured();
            let last = counter.check_at(last, at(9 * SECOND)).expect("it ran evenly");
            assert!(counter.check_at(last, Reading { kernel_ns: 10 * SECOND, counts: wrong }).is_none(), "{wrong}");
            assert_eq!(counter.factor.load(Ordering::Relaxed), 0);
            let zero_ns = counter.kernel_zero_ns.load(Ordering::Relaxed);
            assert!((10 * SECOND - zero_ns).abs_diff(3 * SECOND) < 10, "{wrong}: the kernel's zero is {zero_ns}");
        }
    }

    #[test]
    fn a_kernel_that_is_set_straight_in_small_steps_does_no_harm() {
        let (counter, mut last) = measured();
        for second in 9..100 {
            // 500 millionths faster, the most that time servers do.
            let now = Reading { kernel_ns: second * SECOND + (second - 8) * 500_000, ..at(second * SECOND) };
            last = counter.check_at(last, now).expect("a small difference");
        }
    }

    #[test]
    fn it_goes_as_fast_as_the_systems_clock_before_and_after_it_is_measured() {
        let outer = Instant::now();
        let counter = Counter::start();
        let inner = Instant::now();
        let mut last = 0;
        while inner.elapsed() < Duration::from_millis(150) {
            let (before, ns, after) = (inner.elapsed(), counter.ns(), outer.elapsed());
            let (before, after) = (before.as_nanos() as u64, after.as_nanos() as u64);
            assert!((before..=after + SLACK).contains(&(ns + SLACK / 2)), "{ns} is not between {before} and {after}");
            assert!(ns + SLACK >= last, "{ns} after {last}");
            last = ns;
            counter.check();
        }
    }
}
