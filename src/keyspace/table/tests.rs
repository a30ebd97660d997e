//! The table against models, under good and bad hash functions.

use super::*;
use crate::base::hash::key_hash;
use crate::types::string::NewStr;
use std::collections::{HashMap, HashSet};

fn entry(key: &[u8], value: i64) -> Entry {
    Entry::new_str(key, &NewStr::Int(value), None)
}
fn number(entry: &Entry) -> i64 {
    entry.str().and_then(|s| s.as_int()).expect("an integer")
}
fn key(n: usize) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}
fn table_of(range: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    for n in range {
        table.insert(key_hash(&key(n)), entry(&key(n), n as i64));
    }
    table
}
fn drop_keys(table: &mut Table, range: std::ops::Range<usize>) {
    for n in range {
        table.remove(key_hash(&key(n)), &key(n)).expect("was inserted");
    }
}
const MANY: usize = if cfg!(miri) { 900 } else { 60_000 };

#[test]
fn what_goes_in_is_found_and_comes_out() {
    let mut table = table_of(0..MANY);
    assert_eq!(table.len(), MANY);
    for n in 0..MANY {
        assert_eq!(table.get(key_hash(&key(n)), &key(n)).map(number), Some(n as i64));
    }
    assert!(table.get(key_hash(b"other"), b"other").is_none());
    drop_keys(&mut table, 0..MANY);
    assert!(table.is_empty());
    assert_eq!(table.table_bytes(), 0, "an empty table holds no memory");
}

#[test]
fn an_empty_table_answers() {
    let mut table = Table::new();
    assert!(table.get(1, b"k").is_none() && table.get_mut(1, b"k").is_none() && table.remove(1, b"k").is_none());
    assert_eq!(table.scan(0, |_| ()), 0);
    assert!(table.random(&mut Rng::from_seed(7)).is_none());
    table.sample(5, &mut Rng::from_seed(7), |_| panic!("nothing to sample"));
    table.prefetch_bucket(3);
    table.prefetch_entry(3);
    assert_eq!(table.into_entries().count(), 0);
}

/// Random work against a model, under a good hash function and under ones that crowd segments and buckets.
#[test]
fn random_work_agrees_with_a_model() {
    fn crowded_windows(key: &[u8]) -> u64 {
        key_hash(key) & !(0x3fff << 40)
    }
    fn crowded_segments(key: &[u8]) -> u64 {
        key_hash(key) >> 9
    }
    fn all_alike(_: &[u8]) -> u64 {
        0x1234_5678_9abc_def0
    }
    let hashers: [(fn(&[u8]) -> u64, usize); 4] =
        [(key_hash, MANY), (crowded_windows, MANY / 4), (crowded_segments, MANY / 4), (all_alike, 300)];
    for (which, (hasher, keys)) in hashers.into_iter().enumerate() {
        let seed = 77 + which as u64;
        let mut random = Rng::from_seed(seed);
        let mut table = Table::with_hasher(hasher);
        let mut model: HashMap<Vec<u8>, i64> = HashMap::new();
        for step in 0..keys as u64 * 6 {
            // Grows, then shrinks, then grows again.
            let growing = (step / (keys as u64 * 2)).is_multiple_of(2);
            let k = key(random.index(keys));
            let hash = hasher(&k);
            if random.below(4) < if growing { 3 } else { 1 } {
                let old = table.replace(hash, entry(&k, step as i64));
                assert_eq!(old.as_ref().map(number), model.insert(k, step as i64), "seed {seed} step {step}");
            } else {
                let old = table.remove(hash, &k);
                assert_eq!(old.as_ref().map(number), model.remove(&k), "seed {seed} step {step}");
            }
            assert_eq!(table.len(), model.len());
        }
        for (k, v) in &model {
            assert_eq!(table.get(hasher(k), k).map(number), Some(*v), "seed {seed}");
            table.get_mut(hasher(k), k).expect("still there").set_expiry(Some(1));
        }
        let mut seen = HashSet::new();
        let mut cursor = 0;
        loop {
            cursor = table.scan(cursor, |e| assert!(seen.insert(e.key().to_vec()), "seen twice while at rest"));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), model.len(), "seed {seed}");
        if let Some(chosen) = table.random(&mut random) {
            assert!(model.contains_key(chosen.key()));
        }
        assert_eq!(table.into_entries().count(), model.len());
    }
}

#[test]
fn a_scan_sees_what_stays_however_the_table_changes() {
    let stay = if cfg!(miri) { 60 } else { 3_000 };
    let come = MANY;
    for growing in [true, false] {
        let mut table = table_of(0..stay);
        if !growing {
            (stay..come).for_each(|n| {
                table.insert(key_hash(&key(n)), entry(&key(n), 0));
            });
        }
        let (mut cursor, mut seen, mut next, mut steps) = (0, HashSet::new(), stay, 0);
        loop {
            cursor = table.scan(cursor, |e| {
                seen.insert(e.key().to_vec());
            });
            assert!(cursor < 1 << 40);
            steps += 1;
            if cursor == 0 {
                break;
            }
            let end = come.min(next + come / 400);
            for n in next..end {
                if growing {
                    table.insert(key_hash(&key(n)), entry(&key(n), 0));
                } else {
                    drop_keys(&mut table, n..n + 1);
                }
            }
            next = next.max(end);
        }
        assert!((0..stay).all(|n| seen.contains(&key(n))), "growing {growing}, {steps} steps");
    }
}

#[test]
fn random_entries_are_uniform() {
    let keys = if cfg!(miri) { 40 } else { 5_000 };
    let draws_each = if cfg!(miri) { 3 } else { 100 };
    let table = table_of(0..keys);
    let mut random = Rng::from_seed(5);
    let mut drawn = vec![0usize; keys];
    for _ in 0..keys * draws_each {
        drawn[number(table.random(&mut random).expect("not empty")) as usize] += 1;
    }
    let expected = draws_each as f64;
    let chi2: f64 = drawn.iter().map(|&d| (d as f64 - expected).powi(2) / expected).sum();
    // The mean of this sum is `keys` and its standard deviation sqrt(2 keys); five of them.
    assert!(cfg!(miri) || (chi2 - keys as f64).abs() < 5.0 * (2.0 * keys as f64).sqrt(), "chi2 {chi2}");
}

#[test]
fn samples_reach_everybody() {
    let keys = if cfg!(miri) { 30 } else { 2_000 };
    let table = table_of(0..keys);
    let mut random = Rng::from_seed(6);
    let mut seen = HashSet::new();
    for _ in 0..keys * 4 {
        let mut got = 0;
        table.sample(5, &mut random, |e| {
            got += 1;
            seen.insert(number(e));
        });
        assert_eq!(got, 5);
    }
    assert!(seen.len() * 100 > keys * 99, "{} of {keys}", seen.len());
}

#[test]
fn a_nearly_empty_table_still_draws() {
    let mut table = table_of(0..MANY);
    drop_keys(&mut table, 1..MANY);
    assert_eq!(table.random(&mut Rng::from_seed(1)).map(number), Some(0));
    assert!(table.table_bytes() < 1024, "{table:?}");
}

#[test]
fn a_prefix_of_the_hash_finds_the_entry() {
    let table = table_of(0..MANY);
    for n in (0..MANY).step_by(7) {
        let prefix = key_hash(&key(n)) >> HASH_BITS_UNUSED << HASH_BITS_UNUSED;
        assert!(table.find_by_hash(prefix, |e| e.key() == key(n)).is_some());
    }
}

#[test]
fn memory_follows_the_number_of_keys() {
    let mut table = Table::new();
    let mut worst: f64 = 0.0;
    for n in 0..200_000 {
        table.insert(key_hash(&key(n)), entry(&key(n), 0));
        if n > 20_000 && n % 1000 == 0 {
            worst = worst.max(table.table_bytes() as f64 / n as f64);
        }
    }
    assert!(worst < 14.5, "{worst} bytes per key");
    drop_keys(&mut table, 0..100_000);
    assert!(table.table_bytes() < 100_000 * 20, "{table:?}");
}

#[test]
fn a_flood_of_neighbours_does_not_blow_up_the_directory() {
    fn neighbours(key: &[u8]) -> u64 {
        0xffff_ffff << 32 | key_hash(key) >> 32
    }
    let mut table = Table::with_hasher(neighbours);
    for n in 0..3_000 {
        table.insert(neighbours(&key(n)), entry(&key(n), n as i64));
    }
    assert!(table.table_bytes() < 3_000 * 64, "{table:?}");
    assert!((0..3_000).all(|n| table.get(neighbours(&key(n)), &key(n)).is_some()));
}
