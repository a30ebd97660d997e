//! The wheel beside a table, with a moved clock, against a map.

use super::*;
use crate::base::hash::key_hash;
use crate::base::rng::Rng;
use crate::types::string::NewStr;
use std::collections::HashMap;

const NOW: u64 = 1_700_000_000_000;

/// A table and its wheel, used as a shard uses them.
struct Rig {
    table: Table,
    wheel: Wheel,
    volatile: usize,
    now_ms: u64,
}

impl Rig {
    fn new() -> Rig {
        Rig { table: Table::new(), wheel: Wheel::new(NOW), volatile: 0, now_ms: NOW }
    }
    /// SET with PXAT, or EXPIREAT on what is there.
    fn set(&mut self, key: &[u8], at: u64) {
        let hash = key_hash(key);
        match self.table.get_mut(hash, key) {
            Some(entry) => {
                let before = entry.expiry();
                entry.set_expiry(Some(at));
                self.volatile += usize::from(before.is_none());
                if before.is_none_or(|before| at < before) {
                    self.wheel.add(at, hash);
                }
            }
            None => {
                self.table.insert(hash, Entry::new_str(key, &NewStr::Int(0), Some(at)));
                self.volatile += 1;
                self.wheel.add(at, hash);
            }
        }
    }
    fn persist(&mut self, key: &[u8]) {
        if let Some(entry) = self.table.get_mut(key_hash(key), key) {
            self.volatile -= usize::from(entry.expiry().is_some());
            entry.set_expiry(None);
        }
    }
    fn del(&mut self, key: &[u8]) {
        let gone = self.table.remove(key_hash(key), key);
        self.volatile -= usize::from(gone.is_some_and(|e| e.expiry().is_some()));
    }
    /// Moves the clock; returns the keys that expired.
    fn tick(&mut self, to_ms: u64, budget: usize) -> Vec<Vec<u8>> {
        self.now_ms = to_ms;
        let mut expired = Vec::new();
        loop {
            let mut due = Vec::new();
            let done = self.wheel.advance(to_ms, budget, |d| due.push(d));
            for due in due {
                let mut keys = Vec::new();
                self.table.find_by_hash(due.hash, |entry| {
                    match entry.expiry() {
                        Some(at) if at <= to_ms => keys.push(entry.key().to_vec()),
                        _ => self.wheel.refile(due, entry),
                    }
                    false
                });
                keys.iter().for_each(|key| self.del(key));
                expired.append(&mut keys);
            }
            if done < budget {
                return expired;
            }
        }
    }
    fn compact(&mut self, budget: usize) {
        if self.wheel.wants_compaction(self.volatile) {
            self.wheel.compact(&self.table, budget);
        }
    }
}

#[test]
fn a_key_expires_in_its_millisecond() {
    for ahead in [1, 2, 63, 64, 65, 4095, 4096, 100_000, 1 << 24, HORIZON - 1, HORIZON, 3 * HORIZON + 5] {
        let mut rig = Rig::new();
        rig.set(b"k", NOW + ahead);
        assert!(rig.tick(NOW + ahead - 1, 10).is_empty(), "{ahead} ms ahead");
        assert!(rig.wheel.next_due().is_some_and(|at| at <= NOW + ahead));
        assert_eq!(rig.tick(NOW + ahead, 10), [b"k"], "{ahead} ms ahead");
        assert_eq!((rig.wheel.heap_bytes(), rig.wheel.next_due()), (0, None));
    }
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut rig = Rig::new();
    rig.tick(NOW + 1000, 10);
    rig.set(b"k", NOW);
    assert_eq!(rig.tick(NOW + 1001, 10), [b"k"]);
}

#[test]
fn a_deadline_moved_later_adds_nothing_until_it_fires() {
    let mut rig = Rig::new();
    for at in 1..1000 {
        rig.set(b"k", NOW + at * 10);
    }
    assert_eq!(rig.wheel.len(), 1);
    assert!(rig.tick(NOW + 9_989, 100).is_empty());
    assert_eq!(rig.wheel.len(), 1);
    assert_eq!(rig.tick(NOW + 9_990, 100), [b"k"]);
}

#[test]
fn a_sleeper_may_sleep_until_the_next_thing() {
    let mut rig = Rig::new();
    rig.set(b"k", NOW + 10_000_000);
    let mut wakes = 0;
    while let Some(at) = rig.wheel.next_due() {
        wakes += 1;
        if !rig.tick(at, 10).is_empty() {
            assert_eq!(at, NOW + 10_000_000);
        }
    }
    assert!(wakes <= LEVELS, "{wakes} wakes");
}

/// Random work with a moved clock against a map; compaction runs along in small steps.
#[test]
fn random_work_agrees_with_a_model() {
    for seed in 0..if cfg!(miri) { 1 } else { 8 } {
        let mut rng = Rng::from_seed(seed);
        let mut rig = Rig::new();
        let mut model: HashMap<Vec<u8>, Option<u64>> = HashMap::new();
        let keys = if cfg!(miri) { 20 } else { 2000 };
        // From milliseconds to months, by seed and by chance.
        let far = |rng: &mut Rng| {
            let magnitude = 6 + rng.below(4 + seed * 4);
            1 + rng.below(1 << magnitude)
        };
        for step in 0..if cfg!(miri) { 100 } else { 40_000 } {
            let key = format!("key:{}", rng.below(keys)).into_bytes();
            match rng.below(12) {
                0..7 => {
                    let at = rig.now_ms + far(&mut rng);
                    rig.set(&key, at);
                    model.insert(key, Some(at));
                }
                7 => {
                    rig.persist(&key);
                    model.entry(key).and_modify(|at| *at = None);
                }
                8..10 => {
                    rig.del(&key);
                    model.remove(&key);
                }
                10 => rig.compact(1 + rng.index(300)),
                _ => {
                    let to = rig.now_ms + far(&mut rng) / 8;
                    let mut expired = rig.tick(to, 1 + rng.index(50));
                    let mut expected: Vec<_> =
                        model.iter().filter(|(_, at)| at.is_some_and(|at| at <= to)).map(|(k, _)| k.clone()).collect();
                    model.retain(|_, at| at.is_none_or(|at| at > to));
                    expired.sort();
                    expected.sort();
                    assert_eq!(expired, expected, "seed {seed} step {step}");
                }
            }
            let volatile = model.values().flatten().count();
            assert_eq!(rig.volatile, volatile, "seed {seed} step {step}");
        }
        let last = model.values().flatten().max().copied().unwrap_or(0);
        let volatile = rig.volatile;
        assert_eq!(rig.tick(last, 1000).len(), volatile, "seed {seed}: nothing was lost");
    }
}

#[test]
fn set_and_del_again_and_again_stay_flat() {
    let rounds = if cfg!(miri) { 20 } else { 1000 };
    // With deadlines that move on, that stand still, and that are beyond the horizon.
    let deadlines: [fn(u64) -> u64; 3] = [|now| now + 3_600_000, |_| NOW + HORIZON / 2, |now| now + 9 * HORIZON];
    for (which, deadline) in deadlines.into_iter().enumerate() {
        let mut rig = Rig::new();
        let mut most = 0;
        for round in 0..rounds {
            for n in 0..1000 {
                let key = format!("key:{n}").into_bytes();
                rig.del(&key);
                rig.set(&key, deadline(rig.now_ms));
                if n % 100 == 0 {
                    rig.compact(400);
                }
            }
            rig.tick(NOW + round, 1000);
            most = most.max(rig.wheel.len());
        }
        assert!(most < 6_000, "kind {which}: {most} items for 1000 keys");
        assert!(rig.wheel.heap_bytes() < 150_000, "kind {which}: {} bytes", rig.wheel.heap_bytes());
        let end = deadline(rig.now_ms);
        assert_eq!(rig.tick(end, 1000).len(), 1000, "kind {which}");
    }
}

#[test]
fn moving_to_and_fro_stays_flat() {
    let mut rig = Rig::new();
    for round in 0..if cfg!(miri) { 100 } else { 100_000 } {
        rig.set(b"k", NOW + 50_000_000 + round % 1000);
        rig.set(b"k", NOW + 40_000_000 - round % 7);
        rig.compact(100);
    }
    assert!(rig.wheel.len() < 2_000, "{}", rig.wheel.len());
}

#[test]
fn memory_per_deadline_is_small() {
    let mut rng = Rng::from_seed(3);
    for (count, spread) in [(200_000, 3_600_000), (200_000, 1), (20_000, 60_000), (200_000, 100 * HORIZON)] {
        let mut wheel = Wheel::new(NOW);
        for _ in 0..count {
            wheel.add(NOW + 3_600_000 + rng.below(spread), rng.next_u64());
        }
        let each = wheel.heap_bytes() as f64 / count as f64;
        assert!(each < 11.0, "{each} bytes for each of {count} within {spread} ms");
    }
}

#[test]
fn a_step_does_no_more_than_its_budget() {
    let mut wheel = Wheel::new(NOW);
    (0..100_000).for_each(|n: u64| wheel.add(NOW + 100_000, n << 40));
    let mut total = 0;
    let mut steps = 0;
    loop {
        let mut due = 0;
        let done = wheel.advance(NOW + 100_000, 64, |_| due += 1);
        assert!(due <= 64 && done <= 64);
        total += due;
        steps += 1;
        if done < 64 {
            break;
        }
    }
    assert_eq!(total, 100_000);
    assert!(steps > 1500);
}

#[test]
fn walks_show_what_is_filed() {
    let mut rig = Rig::new();
    for key in 0..3000_u64 {
        rig.set(&key.to_le_bytes(), NOW + 1 + key * key);
    }
    let mut times = Vec::new();
    rig.wheel.walk_next(10_000, |at, _| times.push(at));
    assert_eq!(times.len(), 3000, "each once");
    let mut next = Vec::new();
    rig.wheel.walk_next(100, |at, _| next.push(at - NOW));
    assert!(next.len() == 100 && next.iter().all(|&at| at < 200 * 200), "the nearest first: {next:?}");
    for draw in [0, u64::MAX / 3, u64::MAX] {
        let mut seen = std::collections::HashSet::new();
        rig.wheel.walk_from(draw, 3000, |hash| seen.insert(hash));
        assert_eq!(seen.len(), 3000, "once round");
    }
    let mut few = 0;
    rig.wheel.walk_from(u64::MAX / 2, 3000, |_| {
        few += 1;
        few < 10
    });
    assert_eq!(few, 10);
}
