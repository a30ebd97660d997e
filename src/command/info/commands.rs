//! The sections of INFO on single commands: calls, errors, latency.

use super::{Page, View};
use crate::command::Known;
use crate::config::special::Percentiles;
use crate::stats::CommandCount;
use crate::stats::latency::{BUCKETS, edge_nanos};

/// Sums over all workers, by command.
struct Calls {
    calls: u64,
    nanos: u64,
    rejected: u64,
    failed: u64,
}

impl Calls {
    fn of(view: &View<'_>, known: &Known) -> Calls {
        let sum =
            |of: fn(&CommandCount) -> u64| view.node.stats.sum(|worker| of(&worker.by_command[known.index as usize]));
        Calls {
            calls: sum(|count| count.calls.get()),
            nanos: sum(|count| count.nanos.get()),
            rejected: sum(|count| count.rejected.get()),
            failed: sum(|count| count.failed.get()),
        }
    }
}

pub(super) fn calls(view: &View<'_>, page: &mut Page) {
    for known in view.commands.all() {
        let Calls { calls, nanos, rejected, failed } = Calls::of(view, known);
        if calls + rejected + failed == 0 {
            continue;
        }
        let micros = nanos / 1000;
        let each = if calls == 0 { 0.0 } else { micros as f64 / calls as f64 };
        page.field(
            format_args!("cmdstat_{}", known.name),
            format_args!(
                "calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

pub(super) fn errors(view: &View<'_>, page: &mut Page) {
    for (code, count) in view.node.stats.error_codes.all() {
        // A code word comes from a script, perhaps: nothing in it may look like another field.
        let safe: String = code.chars().map(|c| if matches!(c, '#' | ':' | '\n' | '\r') { '_' } else { c }).collect();
        page.field(format_args!("errorstat_{safe}"), format_args!("count={count}"));
    }
}

pub(super) fn latency(view: &View<'_>, page: &mut Page) {
    let percentiles = view.node.config.latency_tracking_info_percentiles.get();
    for known in view.commands.all() {
        let mut buckets = [0; BUCKETS];
        view.node
            .stats
            .workers()
            .for_each(|worker| worker.by_command[known.index as usize].histogram.add_to(&mut buckets));
        if buckets.iter().sum::<u64>() == 0 {
            continue;
        }
        let each = |percentile: &f64| {
            let micros = nanos_at(&buckets, *percentile) as f64 / 1000.0;
            format!("p{}={micros:.3}", Percentiles::print(*percentile))
        };
        let text = percentiles.iter().map(each).collect::<Vec<_>>().join(",");
        page.field(format_args!("latency_percentiles_usec_{}", known.name), text);
    }
}

/// The upper edge of the bucket that a percentile falls into.
fn nanos_at(buckets: &[u64; BUCKETS], percentile: f64) -> u64 {
    let total: u64 = buckets.iter().sum();
    let rank = ((percentile / 100.0 * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    let bucket = buckets.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    edge_nanos(bucket.unwrap_or(BUCKETS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_fall_into_buckets() {
        let mut buckets = [0; BUCKETS];
        buckets[0] = 90;
        buckets[3] = 9;
        buckets[10] = 1;
        for (percentile, bucket) in [(0.0, 0), (50.0, 0), (90.0, 0), (91.0, 3), (99.0, 3), (99.9, 10), (100.0, 10)] {
            assert_eq!(nanos_at(&buckets, percentile), edge_nanos(bucket), "p{percentile}");
        }
    }
}
