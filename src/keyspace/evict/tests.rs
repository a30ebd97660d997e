//! Every policy over whole keyspaces, with a clock moved by hand.

use super::*;
use crate::base::later::Later;
use crate::base::time::Clock;
use crate::keyspace::Deadline;
use crate::types::string::NewStr;
use std::collections::HashSet;

const NOW: u64 = 1_700_000_000_000;

/// A keyspace that is full: writes go through transactions as everywhere, and victims are evicted one by one.
struct Rig {
    keyspace: Keyspace,
    now_ms: u64,
}

impl Rig {
    fn new(policy: Policy, shards: usize) -> Rig {
        let later = Later::start().expect("a thread");
        let keyspace = Keyspace::new(shards, 4, Clock::manual(NOW), later, 11);
        keyspace.namespace.set_policy(policy);
        keyspace.namespace.set_maxmemory_bytes(1);
        keyspace.namespace.clock.follow(Some(1));
        Rig { keyspace, now_ms: NOW }
    }
    fn set_in(&self, db: usize, key: usize, deadline: Deadline) {
        let key = name(key);
        let mut txn = Txn::one(&self.keyspace, db, self.now_ms, key_hash(&key));
        txn.set_str(&key, NewStr::Int(1), deadline);
    }
    fn set(&self, key: usize) {
        self.set_in(0, key, Deadline::Clear);
    }
    fn expiring(&self, key: usize, in_ms: u64) {
        self.set_in(0, key, Deadline::At(self.now_ms + in_ms));
    }
    fn get(&self, key: usize) -> bool {
        let key = name(key);
        Txn::one(&self.keyspace, 0, self.now_ms, key_hash(&key)).get(&key).is_some()
    }
    fn evict(&self) -> Option<(usize, usize)> {
        let (mut txn, key) = victim(&self.keyspace, self.now_ms)?;
        let db = txn.db();
        assert!(txn.evict(&key).is_some(), "a victim is there");
        Some((db, std::str::from_utf8(&key).ok()?.parse().ok()?))
    }
    /// The next victims, all of them different.
    fn victims(&self, count: usize) -> Vec<usize> {
        let victims: Vec<usize> = (0..count).map_while(|_| self.evict()).map(|(_, key)| key).collect();
        assert_eq!(victims.iter().collect::<HashSet<_>>().len(), victims.len(), "nobody goes twice");
        victims
    }
}

fn name(key: usize) -> Vec<u8> {
    format!("{key:08}").into_bytes()
}

fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut keys: Vec<usize> = (0..count).collect();
    Rng::from_seed(seed).shuffle(&mut keys);
    keys
}

#[test]
fn lru_evicts_in_the_order_of_last_use_however_many_shards_there_are() {
    for shards in [1, 16, 128] {
        let rig = Rig::new(Policy::AllkeysLru, shards);
        (0..8000).for_each(|key| rig.set(key));
        let order = shuffled(8000, 3);
        order.iter().for_each(|&key| assert!(rig.get(key)));
        let older: HashSet<usize> = order[..4000].iter().copied().collect();
        let right = rig.victims(4000).iter().filter(|key| older.contains(key)).count();
        assert!(right > 3800, "of 4000 victims from {shards} shards {right} were of the older half");
    }
}

#[test]
fn a_key_used_after_it_became_a_candidate_stays() {
    let rig = Rig::new(Policy::AllkeysLru, 1);
    (0..20).for_each(|key| rig.set(key));
    assert_eq!(rig.evict(), Some((0, 0)), "a handful of keys is ranked exactly");
    assert!(rig.get(1), "the next in line is used");
    assert_eq!(rig.victims(18), (2..20).collect::<Vec<_>>());
    assert_eq!(rig.victims(9), [1]);
}

#[test]
fn lfu_keeps_what_is_used_often() {
    let rig = Rig::new(Policy::AllkeysLfu, 16);
    (0..2000).for_each(|key| rig.set(key));
    for _ in 0..300 {
        (0..2000).step_by(10).for_each(|key| assert!(rig.get(key)));
    }
    let wrong = rig.victims(1500).iter().filter(|&&key| key % 10 == 0).count();
    assert!(wrong < 10, "{wrong} of 200 favourites went");
}

#[test]
fn what_was_used_often_long_ago_loses_its_rank() {
    let mut rig = Rig::new(Policy::AllkeysLfu, 1);
    (0..400).for_each(|key| rig.set(key));
    (0..1000).for_each(|_| (0..200).for_each(|key| assert!(rig.get(key))));
    rig.now_ms += 300 * 60_000;
    (0..20).for_each(|_| (200..400).for_each(|key| assert!(rig.get(key))));
    // Candidates are drawn at random, five at a time: now and then all of them are keys in use.
    let wrong = rig.victims(100).iter().filter(|&&key| key >= 200).count();
    assert!(wrong < 20, "{wrong} of 100 victims are in use");
}

#[test]
fn ttl_evicts_the_nearest_deadlines() {
    let rig = Rig::new(Policy::VolatileTtl, 16);
    for (place, &key) in shuffled(4000, 5).iter().enumerate() {
        match place % 2 {
            0 => rig.expiring(key, 60_000 + key as u64 * 1000),
            _ => rig.set(key),
        }
    }
    let volatile: usize = rig.keyspace.sum(|shard| shard.dbs[0].volatile as u64) as usize;
    let victims = rig.victims(volatile / 2);
    let last = *victims.iter().max().expect("victims");
    assert!(last < 2200, "half of the deadlines went, the farthest of them number {last} of 4000");
    assert_eq!(rig.victims(4000).len(), volatile - volatile / 2, "only keys with a deadline go");
}

#[test]
fn volatile_policies_find_the_few_keys_with_a_deadline_and_no_others() {
    for policy in [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom, Policy::VolatileTtl] {
        for volatile in [0, 1, 30, 2900] {
            let rig = Rig::new(policy, 16);
            let order = shuffled(3000, 9);
            order[volatile..].iter().for_each(|&key| rig.set(key));
            order[..volatile].iter().for_each(|&key| rig.expiring(key, 1_000_000));
            let gone: HashSet<usize> = rig.victims(4000).into_iter().collect();
            assert_eq!(gone, order[..volatile].iter().copied().collect(), "{policy:?}");
        }
    }
}

#[test]
fn random_evicts_evenly() {
    let rig = Rig::new(Policy::AllkeysRandom, 16);
    (0..4000).for_each(|key| rig.set(key));
    let low = rig.victims(2000).iter().filter(|&&key| key < 2000).count();
    assert!((900..1100).contains(&low), "{low} of 2000 victims were of the lower half");
    assert_eq!(rig.victims(9999).len(), 2000);
}

#[test]
fn every_database_is_looked_at() {
    for (policy, _) in Policy::NAMES.into_iter().filter(|(policy, _)| *policy != Policy::NoEviction) {
        let rig = Rig::new(policy, 4);
        let count = |db: usize| [3, 0, 500, 40][db];
        for db in 0..4 {
            (0..count(db)).for_each(|key| rig.set_in(db, key, Deadline::At(NOW + 1_000_000)));
        }
        let mut gone = [0; 4];
        while let Some((db, _)) = rig.evict() {
            gone[db] += 1;
        }
        assert_eq!(gone, [0, 1, 2, 3].map(count), "{policy:?}");
    }
}

#[test]
fn noeviction_finds_nobody() {
    let rig = Rig::new(Policy::NoEviction, 4);
    (0..100).for_each(|key| rig.set(key));
    assert_eq!(rig.evict(), None);
}
