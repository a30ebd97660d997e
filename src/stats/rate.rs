//! How much per second, over the last samples: the `instantaneous_` fields of INFO.
//!
//! The housekeeping takes a sample ten times a second; a rate is the mean of the last 16, as in Redis.

use parking_lot::Mutex;

const SAMPLES: usize = 16;

/// What is sampled. Each is a total that only grows, over another total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Commands per second.
    Commands,
    /// Bytes read per second.
    NetIn,
    /// Bytes written per second.
    NetOut,
    /// Turns of the loops per second.
    Turns,
    /// Microseconds per turn.
    TurnMicros,
}

const METRICS: usize = 5;

#[derive(Debug, Default, Clone, Copy)]
struct Track {
    last: Option<(u64, u64)>,
    samples: [u64; SAMPLES],
    next: usize,
}

/// The samples of all metrics.
#[derive(Debug, Default)]
pub struct Rates(Mutex<[Track; METRICS]>);

impl Rates {
    /// Adds a sample: how far `value` has come since the last one, by how far `base` has, times `factor`.
    pub fn add(&self, metric: Metric, value: u64, base: u64, factor: u64) {
        let track = &mut self.0.lock()[metric as usize];
        if let Some((last_value, last_base)) = track.last.replace((value, base)) {
            let (value, base) = (value.saturating_sub(last_value), base.saturating_sub(last_base));
            track.samples[track.next] = value.saturating_mul(factor).checked_div(base).unwrap_or(0);
            track.next = (track.next + 1) % SAMPLES;
        }
    }

    /// The mean of the last samples.
    pub fn mean(&self, metric: Metric) -> u64 {
        self.0.lock()[metric as usize].samples.iter().sum::<u64>() / SAMPLES as u64
    }

    /// Forgets all samples.
    pub fn reset(&self) {
        *self.0.lock() = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_has_its_rate() {
        let rates = Rates::default();
        for tick in 0..=SAMPLES as u64 {
            rates.add(Metric::Commands, tick * 50, tick * 100, 1000);
        }
        assert_eq!(rates.mean(Metric::Commands), 500);
        assert_eq!(rates.mean(Metric::NetIn), 0);
        rates.add(Metric::NetIn, 5, 7, 1000);
        rates.add(Metric::NetIn, 9, 7, 1000);
        assert_eq!(rates.mean(Metric::NetIn), 0, "no time has passed");
        rates.reset();
        assert_eq!(rates.mean(Metric::Commands), 0);
    }
}
