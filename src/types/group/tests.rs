//! Groups as their readers see them, and against a plain map of pending entries.

use super::*;
use crate::base::rng::Rng;
use crate::types::stream::{BlockLimits, NewId};
use std::collections::BTreeMap;

const LIMITS: BlockLimits = BlockLimits { bytes_max: 4096, entries_max: 100 };

fn id(ms: u64) -> StreamId {
    StreamId { ms, seq: 0 }
}

fn filled(count: u64) -> Log {
    let mut log = Log::default();
    (1..=count).for_each(|ms| {
        log.add(NewId::Exact(id(ms)), 0, &[b"f", b"v"], LIMITS).expect("ascending");
    });
    log
}

fn options(now: i64) -> ClaimOptions {
    ClaimOptions { min_idle: 0, delivery_time: now, retry_count: None, counts: true, force: false, now }
}

#[test]
fn lag_is_exact_until_an_entry_ahead_is_deleted() {
    let mut log = filled(5);
    let mut group = Group::new(StreamId::MIN, None);
    assert_eq!(group.lag(&Log::default()), Some(0));
    assert_eq!((group.entries_read(), group.lag(&log)), (None, Some(5)));
    assert!(group.advance(id(1), &log));
    assert!(!group.advance(id(1), &log));
    assert_eq!((group.entries_read(), group.lag(&log)), (Some(1), Some(4)));
    log.delete(&[id(3)]);
    assert_eq!(group.lag(&log), None);
    group.advance(id(2), &log);
    assert_eq!((group.entries_read(), group.lag(&log)), (None, None));
    group.advance(id(5), &log);
    assert_eq!((group.entries_read(), group.lag(&log)), (Some(5), Some(0)));
}

#[test]
fn a_group_at_an_arbitrary_id_does_not_know_its_lag() {
    let log = filled(5);
    for (at, want) in [(0, Some(5)), (1, Some(4)), (3, None), (5, Some(0)), (9, None)] {
        assert_eq!(Group::new(id(at), None).lag(&log), want, "group at {at}-0");
    }
}

#[test]
fn an_entry_is_pending_until_it_is_acknowledged() {
    let mut group = Group::new(StreamId::MIN, None);
    let (alice, bob) =
        (group.create_consumer(b"alice", 1).expect("new"), group.create_consumer(b"bob", 1).expect("new"));
    assert_eq!(group.create_consumer(b"bob", 2), None);
    group.deliver(id(1), alice, 10);
    group.deliver(id(2), alice, 11);
    group.redeliver(id(1), 20);
    assert_eq!(group.nack(id(1)), Some(&Nack { delivery_time: 20, delivery_count: 2, consumer: alice }));
    group.deliver(id(1), bob, 30);
    assert_eq!((group.consumer(alice).pending_count(), group.consumer(bob).pending_count()), (1, 1));
    assert_eq!(group.pending_edges(), Some((id(1), id(2))));
    assert!(group.ack(id(1)).is_some() && group.ack(id(1)).is_none());
    assert_eq!(group.remove_consumer(alice), 1);
    assert_eq!((group.pending_count(), group.consumer_count(), group.find_consumer(b"alice")), (0, 1, None));
    assert_eq!(group.consumers().map(|(_, consumer)| consumer.name()).collect::<Vec<_>>(), [b"bob"]);
}

#[test]
fn claiming_by_id() {
    let mut log = filled(4);
    let mut group = Group::new(id(4), Some(4));
    let (alice, bob) =
        (group.create_consumer(b"alice", 1).expect("new"), group.create_consumer(b"bob", 1).expect("new"));
    (1..=3).for_each(|ms| group.deliver(id(ms), alice, 100));
    log.delete(&[id(3)]);
    let nack = |delivery_time, delivery_count| Nack { delivery_time, delivery_count, consumer: bob };
    let cases = [
        (1, ClaimOptions { min_idle: 50, ..options(140) }, Claim::Left),
        (1, ClaimOptions { min_idle: 40, ..options(140) }, Claim::Claimed(nack(140, 2))),
        (1, ClaimOptions { counts: false, ..options(150) }, Claim::Claimed(nack(150, 2))),
        (1, ClaimOptions { retry_count: Some(9), delivery_time: 7, ..options(160) }, Claim::Claimed(nack(7, 9))),
        (3, options(160), Claim::Gone(Nack { delivery_time: 100, delivery_count: 1, consumer: alice })),
        (3, options(160), Claim::Left),
        (4, options(160), Claim::Left),
        (4, ClaimOptions { force: true, retry_count: Some(1), ..options(170) }, Claim::Claimed(nack(170, 1))),
        (9, ClaimOptions { force: true, ..options(170) }, Claim::Left),
    ];
    for (ms, options, want) in cases {
        assert_eq!(group.claim(&log, id(ms), bob, &options), want, "{ms} {options:?}");
    }
    assert_eq!((group.consumer(alice).pending_count(), group.consumer(bob).pending_count()), (1, 2));
    assert_eq!((group.consumer(bob).active_time, group.consumer(alice).active_time), (170, 100));
}

#[test]
fn claiming_what_is_idle() {
    let mut log = filled(6);
    let mut group = Group::new(id(6), Some(6));
    let (alice, bob) =
        (group.create_consumer(b"alice", 1).expect("new"), group.create_consumer(b"bob", 1).expect("new"));
    (1..=6).for_each(|ms| group.deliver(id(ms), alice, if ms == 2 { 190 } else { 100 }));
    log.delete(&[id(3)]);
    let walk = |start, count| AutoClaim { start, count, min_idle: 50, counts: true, now: 200 };
    let got = group.autoclaim(&log, bob, &walk(StreamId::MIN, 2));
    let touched: Vec<_> = got.touched.iter().map(|(id, claim)| (id.ms, matches!(claim, Claim::Gone(_)))).collect();
    assert_eq!((touched, got.next), (vec![(1, false), (3, true)], id(4)));
    let got = group.autoclaim(&log, bob, &walk(id(4), 10));
    assert_eq!((got.touched.len(), got.next), (3, StreamId::MIN));
    assert_eq!(group.consumer(alice).pending_count(), 1);
    assert_eq!(group.autoclaim(&log, bob, &walk(id(7), 10)), AutoClaimed::default());
    let none_idle = AutoClaim { min_idle: 1000, ..walk(StreamId::MIN, 0) };
    assert_eq!(group.autoclaim(&log, bob, &none_idle).next, id(1));
}

#[test]
fn pending_entries_are_a_map_and_each_consumers_part_of_it() {
    for seed in 0..30 {
        let mut rng = Rng::from_seed(seed);
        let mut group = Group::new(StreamId::MIN, None);
        let mut model: BTreeMap<StreamId, Vec<u8>> = BTreeMap::new();
        for step in 0..600 {
            let entry = id(rng.below(120));
            let name = vec![b'a' + rng.below(4) as u8];
            match rng.index(10) {
                0..=5 => {
                    let known = group.find_consumer(&name);
                    let consumer = known.or_else(|| group.create_consumer(&name, step)).expect("one of both");
                    group.deliver(entry, consumer, step);
                    model.insert(entry, name);
                }
                6..=8 => {
                    assert_eq!(group.ack(entry).is_some(), model.remove(&entry).is_some(), "seed {seed} step {step}")
                }
                _ => {
                    let before = model.len();
                    model.retain(|_, owner| *owner != name);
                    let removed = group.find_consumer(&name).map_or(0, |consumer| group.remove_consumer(consumer));
                    assert_eq!(removed, before - model.len(), "seed {seed} step {step}");
                }
            }
            let owners =
                group.pending_from(StreamId::MIN).map(|(id, nack)| (id, group.consumer(nack.consumer).name().to_vec()));
            assert!(owners.eq(model.clone()), "seed {seed} step {step}");
            for (consumer, facts) in group.consumers() {
                let own: Vec<_> = group.pending_of(consumer, StreamId::MIN).map(|(id, _)| id).collect();
                let want: Vec<_> =
                    model.iter().filter(|(_, owner)| *owner == facts.name()).map(|(id, _)| *id).collect();
                assert_eq!(own, want, "seed {seed} step {step}");
            }
            let parts: usize =
                group.consumers().map(|(_, facts)| name_bytes(&facts.name) + facts.pending.heap_bytes()).sum();
            assert_eq!(group.consumer_bytes, parts, "seed {seed} step {step}: bytes");
        }
    }
}

#[test]
fn counters_at_their_top_wrap() {
    let mut log = filled(1);
    log.set_counters(id(1), Some(u64::MAX), None);
    log.add(NewId::Exact(id(2)), 0, &[b"f", b"v"], LIMITS).expect("ascending");
    assert_eq!((log.len(), log.entries_added()), (2, 0));
    let mut group = Group::new(StreamId::MIN, Some(u64::MAX));
    assert!(group.advance(id(1), &log));
    assert_eq!(group.entries_read(), Some(0));
}
