//! Latency histograms of commands, and the events of the latency monitor.

use super::Count;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;

/// Buckets: powers of two of nanoseconds, from below 1 us to over 1 s, as LATENCY HISTOGRAM shows them.
pub const BUCKETS: usize = 32;

/// Counts by power of two of nanoseconds; allocated at the first use.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: OnceLock<Box<[Count; BUCKETS]>>,
}

impl Histogram {
    /// Counts one call of so many nanoseconds.
    #[inline]
    pub fn record(&self, nanos: u64) {
        let buckets = self.buckets.get_or_init(Default::default);
        // A bucket's upper edge is 2^k * 1024 ns; everything up to 1.024 us is in the first.
        let scaled = nanos.saturating_sub(1) >> 10;
        let bucket = (64 - scaled.leading_zeros() as usize).min(BUCKETS - 1);
        buckets[bucket].add(1);
    }
    /// Adds the counts to `sum`.
    pub fn add_to(&self, sum: &mut [u64; BUCKETS]) {
        if let Some(buckets) = self.buckets.get() {
            sum.iter_mut().zip(buckets.iter()).for_each(|(s, b)| *s += b.get());
        }
    }
    /// Back to nothing.
    pub fn reset(&self) {
        if let Some(buckets) = self.buckets.get() {
            buckets.iter().for_each(Count::reset);
        }
    }
}

/// Upper edge of a bucket in nanoseconds.
pub fn edge_nanos(bucket: usize) -> u64 {
    1024 << bucket
}

/// Samples kept per event.
const SAMPLES: usize = 160;

/// The samples of one event: (Unix seconds, milliseconds), oldest first, at most one per second.
#[derive(Debug, Default, Clone)]
pub struct Series {
    /// The samples.
    pub samples: VecDeque<(u64, u64)>,
    /// The largest ever, in milliseconds.
    pub max_ms: u64,
}

/// The latency monitor.
#[derive(Debug, Default)]
pub struct Monitor {
    /// Events by name.
    pub events: Mutex<BTreeMap<&'static str, Series>>,
}

impl Monitor {
    /// Adds a sample; within one second only the largest is kept.
    pub fn add(&self, event: &'static str, now_s: u64, ms: u64) {
        let mut events = self.events.lock();
        let series = events.entry(event).or_default();
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some((at, last)) if *at == now_s => *last = (*last).max(ms),
            _ => {
                if series.samples.len() == SAMPLES {
                    series.samples.pop_front();
                }
                series.samples.push_back((now_s, ms));
            }
        }
    }
}
