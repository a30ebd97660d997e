//! Eviction: which key goes when memory is needed (D7).
//!
//! A policy is a [`Ranking`]: it gives every key a number, and the lowest goes first. It is the same number in every
//! shard and database, so the quality of the choice does not depend on how many there are. Nobody ranks all keys.
//! For every [`victim`] a part of one shard is looked at, the shards taking turns, and what is found there is offered to
//! the [pool](pool::Pool) of the namespace; then the best of the pool is judged again and goes.
//!
//! What matters for the quality is how soon a key that has become the one to go is looked at. With `s` keys looked at
//! per victim drawn at random, a share of about 1/s of all keys is overdue and takes the place of better ones; so
//! * where order matters, one of `maxmemory-samples` is a *bucket* of the table, about [`BUCKET_KEYS`] keys that cost one cache miss for
//!   the lines of the table, and whose headers are fetched side by side;
//! * a *hand* goes round each shard in hash order, so every key is looked at once in a round and none is left to luck,
//!   which halves the overdue share.
//!
//! Policies that only take keys with a deadline pass over the others while there are few of them, and else find theirs
//! through the timer wheel.

pub mod clock;
pub mod lfu;
pub mod lru;
pub mod policy;
pub mod pool;
pub mod random;
pub mod ttl;

use super::entry::Entry;
use super::namespace::Namespace;
use super::shard::{Db, Shard};
use super::table::HASH_BITS_UNUSED;
use super::{Keyspace, Txn};
use crate::base::hash::key_hash;
use crate::base::rng::Rng;
use policy::Policy;
use pool::{Candidate, POOL_MAX};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// Keys in a bucket, as a rule.
pub const BUCKET_KEYS: usize = 6;
/// Items of a timer wheel that are looked at in one sample.
const WHEEL_ITEMS: usize = 1024;
/// Keys of a table that one with a deadline may be looked for among, per key wanted.
const PASSED_OVER: usize = 4;
/// Draws until one is taken to be in vain.
const DRAWS: usize = 256;

/// Shards that are sampled before a victim is taken from a pool that is nearly empty.
const WARM_ROUNDS: u32 = 4;

/// A key, copied out of the table.
pub type Key = SmallVec<[u8; 64]>;

/// What a policy may look at besides the entry.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Tuning and clock.
    pub ns: &'a Namespace,
    /// Unix time in milliseconds.
    pub now_ms: u64,
}

/// Where a policy's candidates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The next keys in turn.
    Hand,
    /// The next deadlines.
    Soonest,
    /// `maxmemory-samples` keys drawn at random.
    Sample,
    /// One key drawn from all.
    Draw,
}

/// An eviction policy.
pub trait Ranking: Sync {
    /// Where candidates come from.
    fn source(&self) -> Source;
    /// The lower, the sooner it goes. While a key is not used its rank does not rise.
    fn rank(&self, entry: &Entry, view: View<'_>) -> u64;
}

/// The ranking of a policy; none evicts nothing.
pub fn ranking(policy: Policy) -> Option<&'static dyn Ranking> {
    match policy {
        Policy::NoEviction => None,
        Policy::AllkeysLru | Policy::VolatileLru => Some(&lru::Lru),
        Policy::AllkeysLfu | Policy::VolatileLfu => Some(&lfu::Lfu),
        Policy::AllkeysRandom | Policy::VolatileRandom => Some(&random::Random),
        Policy::VolatileTtl => Some(&ttl::Ttl),
    }
}

/// The access word of a new entry.
#[inline]
pub fn fresh(ns: &Namespace, now_ms: u64) -> u32 {
    if ns.policy().is_lfu() { lfu::fresh(now_ms) } else { ns.clock.word(now_ms) }
}

/// The access word of an entry that is used now; `salt` is any number that differs between entries.
#[inline]
pub fn touched(word: u32, ns: &Namespace, now_ms: u64, salt: u64) -> u32 {
    if ns.policy().is_lfu() { lfu::touched(word, ns, now_ms, salt) } else { ns.clock.word(now_ms) }
}

type Found<'t> = SmallVec<[(&'t Entry, u32); 64]>;

/// The key that is the one to go, with its shard held; nothing when the policy finds none. The caller holds no shard.
pub fn victim(keyspace: &Keyspace, now_ms: u64) -> Option<(Txn<'_>, Key)> {
    let ns = &keyspace.namespace;
    let (policy, view) = (ns.policy(), View { ns, now_ms });
    ranking(policy)?;
    let shards = keyspace.shard_count() as u32;
    for round in 0..shards * 2 {
        let shard = ns.turn.fetch_add(1, Relaxed) & (shards - 1);
        let Ok(mut guard) = keyspace.wait(shard as usize) else { continue };
        sample(&mut guard, shard, policy, view);
        drop(guard);
        // A pool that is nearly empty says little about the other shards.
        if round < WARM_ROUNDS.min(shards - 1) && ns.pool.lock().serve(policy).len() < POOL_MAX / 4 {
            continue;
        }
        loop {
            let candidate = ns.pool.lock().serve(policy).take();
            let Some(candidate) = candidate else { break };
            let found = Txn::of_shards(keyspace, candidate.db as usize, now_ms, &[candidate.shard]);
            let Ok(txn) = found else { continue };
            let key = txn.held_shard(candidate.shard).and_then(|shard| confirm(shard, &candidate, policy, view));
            if let Some(key) = key {
                return Some((txn, key));
            }
        }
    }
    None
}

/// Looks at a part of one shard for candidates and offers them to the pool.
fn sample(shard: &mut Shard, number: u32, policy: Policy, view: View<'_>) {
    let Some(ranking) = ranking(policy) else { return };
    let volatile = policy.is_volatile();
    let samples = view.ns.samples() as usize;
    let Shard { dbs, hand, rng, .. } = shard;
    let mut found = Found::new();
    match ranking.source() {
        Source::Hand => turn(dbs, hand, rng, volatile, samples * BUCKET_KEYS, &mut found),
        Source::Soonest => each_volatile(dbs, |db, part| soonest(part, db, samples, &mut found)),
        Source::Sample => draw(dbs, rng, volatile, samples, &mut found),
        Source::Draw => draw(dbs, rng, volatile, 1, &mut found),
    }
    found.iter().for_each(|(entry, _)| entry.prefetch());
    let ranks: SmallVec<[u64; 64]> = found.iter().map(|(entry, _)| ranking.rank(entry, view)).collect();
    let mut pool = view.ns.pool.lock();
    let pool = pool.serve(policy);
    for ((entry, db), rank) in found.into_iter().zip(ranks) {
        if pool.wants(rank) && (!volatile || entry.expiry().is_some()) {
            pool.offer(Candidate { rank, hash: key_hash(entry.key()), shard: number, db });
        }
    }
}

/// The key of a candidate, if it is still there and ranks no higher than it did.
fn confirm(shard: &Shard, candidate: &Candidate, policy: Policy, view: View<'_>) -> Option<Key> {
    let ranking = ranking(policy)?;
    let part = shard.dbs.get(candidate.db as usize)?;
    let entry = part.table.find_by_hash(candidate.hash, |entry| {
        (!policy.is_volatile() || entry.expiry().is_some()) && ranking.rank(entry, view) <= candidate.rank
    })?;
    Some(SmallVec::from_slice(entry.key()))
}

/// The next keys in the shard's turn, through all its databases.
fn turn<'t>(
    dbs: &'t [Db],
    hand: &mut (usize, u64),
    rng: &mut Rng,
    volatile: bool,
    wanted: usize,
    found: &mut Found<'t>,
) {
    if volatile && dbs.iter().any(is_sparse) {
        return each_volatile(dbs, |db, part| strewn(part, db, wanted, rng, found));
    }
    let (mut looked, mut rounds) = (0, 0);
    while found.len() < wanted && looked < wanted * PASSED_OVER && rounds < 2 {
        let (db, cursor) = *hand;
        let part = &dbs[db];
        let none = if volatile { part.volatile == 0 } else { part.table.is_empty() };
        let next = if none {
            0
        } else {
            part.table.scan(cursor, |entry| {
                looked += 1;
                if !volatile || entry.expiry().is_some() {
                    found.push((entry, db as u32));
                }
            })
        };
        let db = if next == 0 { db + 1 } else { db };
        rounds += usize::from(db == dbs.len());
        *hand = (if db == dbs.len() { 0 } else { db }, next);
    }
}

/// Whether keys with a deadline are few among the others.
fn is_sparse(part: &Db) -> bool {
    part.volatile > 0 && part.volatile * PASSED_OVER < part.table.len()
}

fn each_volatile<'t>(dbs: &'t [Db], mut each: impl FnMut(u32, &'t Db)) {
    dbs.iter().zip(0..).filter(|(part, _)| part.volatile > 0).for_each(|(part, db)| each(db, part));
}

/// Keys with a deadline from somewhere in the timer wheel.
fn strewn<'t>(part: &'t Db, db: u32, wanted: usize, rng: &mut Rng, found: &mut Found<'t>) {
    let mut left = wanted;
    part.wheel.walk_from(rng.next_u64(), WHEEL_ITEMS, |hash| {
        if let Some(entry) = volatile_entry(part, hash) {
            found.push((entry, db));
            left -= 1;
        }
        left > 0
    });
}

/// The keys with the nearest deadlines.
fn soonest<'t>(part: &'t Db, db: u32, wanted: usize, found: &mut Found<'t>) {
    let mut items: Vec<(u64, u64)> = Vec::new();
    part.wheel.walk_next(WHEEL_ITEMS, |at, hash| items.push((at, hash)));
    items.sort_unstable();
    let alive = items.iter().filter_map(|&(_, hash)| volatile_entry(part, hash)).take(wanted);
    found.extend(alive.map(|entry| (entry, db)));
}

fn volatile_entry(part: &Db, hash: u64) -> Option<&Entry> {
    debug_assert!(hash.trailing_zeros() >= HASH_BITS_UNUSED);
    part.table.find_by_hash(hash, |entry| entry.expiry().is_some())
}

/// Keys of the shard drawn at random: one, every one equally likely, or several that are neighbours.
fn draw<'t>(dbs: &'t [Db], rng: &mut Rng, volatile: bool, wanted: usize, found: &mut Found<'t>) {
    let count = |part: &Db| if volatile { part.volatile } else { part.table.len() };
    let mut at = rng.index(dbs.iter().map(count).sum());
    let drawn = dbs.iter().zip(0..).find(|(part, _)| {
        let here = at < count(part);
        at -= if here { 0 } else { count(part) };
        here
    });
    let Some((part, db)) = drawn else { return };
    if volatile && is_sparse(part) {
        return strewn(part, db, wanted, rng, found);
    }
    let fits = |entry: &&Entry| !volatile || entry.expiry().is_some();
    if wanted > 1 {
        let passed_over = if volatile { PASSED_OVER } else { 1 };
        part.table.sample(wanted * passed_over, rng, |entry| {
            if fits(&entry) && found.len() < wanted {
                found.push((entry, db));
            }
        });
    }
    if found.is_empty() {
        let one = (0..DRAWS).find_map(|_| part.table.random(rng).filter(fits));
        found.extend(one.map(|entry| (entry, db)));
    }
}

#[cfg(test)]
mod tests;
