//! The clock: real, or moved by hand in tests. Nothing else in the crate asks the system what time it is.
//!
//! A clock is cheap to clone and its clones agree. *Unix* time is what deadlines of keys and replies are made of; it
//! may jump when the system's clock is set. *Monotonic* time never goes back (but see [`Counter`]) and measures how long
//! things take; its zero is the start of the clock. [`Clock::cached_ms`] is Unix time as of the last [`Clock::tick`], for
//! places that want it a million times a second and do not mind a few milliseconds.

use super::counter::Counter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// One moment on both scales. Later moments are made from it by [`Moment::at`], with a monotonic reading alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic nanoseconds.
    pub ns: u64,
    /// Unix nanoseconds at monotonic 0.
    unix_ns_at_zero: u64,
}

impl Moment {
    /// The moment of a monotonic reading.
    #[inline]
    pub fn at(self, ns: u64) -> Moment {
        Moment { ns, ..self }
    }
    /// Unix milliseconds.
    #[inline]
    pub fn unix_ms(self) -> u64 {
        self.unix_us() / 1000
    }
    /// Unix microseconds.
    #[inline]
    pub fn unix_us(self) -> u64 {
        self.unix_ns_at_zero.wrapping_add(self.ns) / 1000
    }
}

/// A source of time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Arc<Source>,
}

#[derive(Debug)]
enum Source {
    Real {
        monotonic: Counter,
        cached_ms: AtomicU64,
        /// Unix nanoseconds at `start`, as of the last tick: the system's clock may be set.
        unix_ns_at_start: AtomicU64,
    },
    Manual {
        unix_us: AtomicU64,
        monotonic_us: AtomicU64,
    },
}

impl Clock {
    /// The system's time.
    pub fn real() -> Self {
        let unix_us = system_us();
        let source = Source::Real {
            monotonic: Counter::start(),
            cached_ms: AtomicU64::new(unix_us / 1000),
            unix_ns_at_start: AtomicU64::new(unix_us * 1000),
        };
        Clock { source: Arc::new(source) }
    }

    /// A clock that stands at `unix_ms` until it is moved.
    pub fn manual(unix_ms: u64) -> Self {
        let source = Source::Manual { unix_us: AtomicU64::new(unix_ms * 1000), monotonic_us: AtomicU64::new(0) };
        Clock { source: Arc::new(source) }
    }

    /// Microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        match &*self.source {
            Source::Real { .. } => system_us(),
            // Relaxed here and below: a clock orders nothing but itself.
            Source::Manual { unix_us, .. } => unix_us.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// Microseconds since the clock was made; never goes back.
    pub fn monotonic_us(&self) -> u64 {
        match &*self.source {
            Source::Real { .. } => self.monotonic_ns() / 1000,
            Source::Manual { monotonic_us, .. } => monotonic_us.load(Ordering::Relaxed),
        }
    }

    /// Now, on both scales, by one reading: a system's clock that was set is noticed at the next [`Clock::tick`].
    #[inline]
    pub fn moment(&self) -> Moment {
        let ns = self.monotonic_ns();
        let unix_ns_at_zero = match &*self.source {
            Source::Real { unix_ns_at_start, .. } => unix_ns_at_start.load(Ordering::Relaxed),
            Source::Manual { .. } => (self.now_us() * 1000).wrapping_sub(ns),
        };
        Moment { ns, unix_ns_at_zero }
    }

    /// Nanoseconds since the clock was made; never goes back.
    #[inline]
    pub fn monotonic_ns(&self) -> u64 {
        match &*self.source {
            Source::Real { monotonic, .. } => monotonic.ns(),
            Source::Manual { monotonic_us, .. } => monotonic_us.load(Ordering::Relaxed) * 1000,
        }
    }

    /// Milliseconds since 1970 as of the last [`Clock::tick`]; exact on a manual clock.
    pub fn cached_ms(&self) -> u64 {
        match &*self.source {
            Source::Real { cached_ms, .. } => cached_ms.load(Ordering::Relaxed),
            Source::Manual { .. } => self.now_ms(),
        }
    }

    /// Renews [`Clock::cached_ms`], and what [`Clock::moment`] takes for Unix time; returns the former. A timer calls
    /// this a few times a second.
    pub fn tick(&self) -> u64 {
        let now_us = self.now_us();
        if let Source::Real { monotonic, cached_ms, unix_ns_at_start } = &*self.source {
            monotonic.check();
            cached_ms.store(now_us / 1000, Ordering::Relaxed);
            unix_ns_at_start.store((now_us * 1000).wrapping_sub(self.monotonic_ns()), Ordering::Relaxed);
        }
        now_us / 1000
    }

    /// Moves a manual clock forward, Unix and monotonic time alike. A real clock stays as it is.
    pub fn advance_ms(&self, ms: u64) {
        if let Source::Manual { unix_us, monotonic_us } = &*self.source {
            unix_us.fetch_add(ms * 1000, Ordering::Relaxed);
            monotonic_us.fetch_add(ms * 1000, Ordering::Relaxed);
        }
    }

    /// Sets a manual clock's Unix time, as an operator sets the system's: monotonic time does not notice.
    pub fn set_ms(&self, unix_ms: u64) {
        if let Source::Manual { unix_us, .. } = &*self.source {
            unix_us.store(unix_ms * 1000, Ordering::Relaxed);
        }
    }
}

fn system_us() -> u64 {
    // A system clock before 1970 stands still at 0.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_until_moved() {
        let clock = Clock::manual(5000);
        let twin = clock.clone();
        assert_eq!((clock.now_ms(), clock.now_us(), clock.monotonic_us()), (5000, 5_000_000, 0));
        clock.advance_ms(7);
        assert_eq!((twin.now_ms(), twin.monotonic_us(), twin.cached_ms()), (5007, 7000, 5007));
        twin.set_ms(100);
        assert_eq!((clock.now_ms(), clock.monotonic_us()), (100, 7000));
    }

    #[test]
    fn a_real_clock_goes_on() {
        let clock = Clock::real();
        let before = clock.monotonic_us();
        assert!(clock.tick() > 1_700_000_000_000);
        assert!(clock.monotonic_us() >= before);
        assert!(clock.cached_ms() <= clock.now_ms());
    }
}
