//! How late expired keys go when nobody asks for them, and what looking after them costs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Options;
use crate::mix::name_of;
use crate::support::client::request;
use crate::target::{Target, fill, names};

/// Deadlines are spread over this time.
const SPREAD_MS: u64 = 10_000;
/// A key gone by then is on time.
const GRACE_MS: u64 = 100;

/// Prints, for each server, the share of due keys that were gone in time, the worst lag and the CPU used.
pub fn run(options: &Options) {
    let keys = options.number("keys", 1_000_000);
    println!("{keys} keys with deadlines spread over {SPREAD_MS} ms, never read again\n");
    println!(
        "| server | gone within {GRACE_MS} ms of the deadline, worst moment | most overdue keys | last key late by ms | CPU ms in all |"
    );
    println!("|---|--:|--:|--:|--:|");
    for name in names(options, "larder,redis") {
        let target = Target::start(&name, &[]);
        let start = now_ms() + options.number("lead", 20_000);
        let deadline = |index: u64| start + index * SPREAD_MS / keys;
        fill(
            &target,
            (0..keys).map(|index| {
                request(&[&b"SET"[..], &name_of(index), b"vvvvvvvv", b"PXAT", deadline(index).to_string().as_bytes()])
            }),
        );
        assert!(now_ms() < start, "filling took too long: give --lead more milliseconds");
        std::thread::sleep(Duration::from_millis(start - now_ms()));
        let cpu = target.cpu_ns();
        let (share, overdue, late) = watch(&target, keys, start);
        let cpu = (target.cpu_ns() - cpu) as f64 / 1e6;
        println!("| {name} | {:.2}% | {overdue} | {late} | {cpu:.0} |", share * 100.0);
    }
}

/// Counts the keys again and again until all are gone.
fn watch(target: &Target, keys: u64, start: u64) -> (f64, u64, i64) {
    let mut client = target.connect();
    let due = |at: u64| (at.saturating_sub(start) * keys / SPREAD_MS).min(keys);
    let (mut share, mut overdue) = (1.0_f64, 0);
    let patience = Instant::now() + Duration::from_secs(120);
    while Instant::now() < patience {
        let before = now_ms();
        let left = client.int("DBSIZE") as u64;
        let gone = keys - left;
        overdue = overdue.max(due(before).saturating_sub(gone));
        let must_be_gone = due(before.saturating_sub(GRACE_MS));
        if must_be_gone > keys / 100 {
            share = share.min(gone as f64 / must_be_gone as f64);
        }
        if left == 0 {
            return (share, overdue, now_ms() as i64 - (start + SPREAD_MS) as i64);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    (share, overdue, i64::MAX)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}
