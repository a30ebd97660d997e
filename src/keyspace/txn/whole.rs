//! Whole databases: emptied or swapped, with every shard held.

use super::Txn;
use crate::base::hash::key_hash;
use crate::keyspace::shard::Db;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

impl Txn<'_> {
    /// Empties databases; returns the number of keys there were. Tables are detached here and freed in the background;
    /// `counted` says whether the keys count as freed lazily.
    pub fn flush(&mut self, dbs: std::ops::Range<usize>, counted: bool) -> usize {
        debug_assert!(self.holds_all());
        if self.keyspace.interest.tracking.load(Relaxed) {
            self.changes.get_or_insert_default().flushed = true;
        }
        let now_ms = self.now_ms;
        let mut removed = 0;
        for slot in 0..self.held.len() {
            let shard = &mut *self.held[slot].1;
            for db in dbs.clone() {
                let part = &mut shard.dbs[db];
                if part.table.is_empty() {
                    continue;
                }
                let objects = if counted { part.table.len() as u64 } else { 0 };
                removed += part.table.len();
                let (table, watch, now) = (&part.table, &shard.watch, now_ms);
                watch.mark_db(db as u32, |key| {
                    let entry = table.get(key_hash(key), key);
                    entry.is_some_and(|e| e.expiry().is_none_or(|at| at > now))
                });
                let ready = shard.waiters.keys_of(db as u32).filter(|k| part.table.get(key_hash(k), k).is_some());
                self.changes.get_or_insert_default().ready.extend(ready.map(|k| (db as u32, k.into())));
                let number = part.cut_number;
                let old = std::mem::replace(part, Db::new(db as u32, now_ms));
                part.cut_number = number;
                match &shard.cut {
                    Some(cut) => cut.table(number, old.table, shard.epoch),
                    None => self.keyspace.later.free(Box::new(old.table), objects, 0),
                }
            }
        }
        self.dirty += removed as u64;
        removed
    }

    /// Swaps two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        debug_assert!(self.holds_all());
        self.settle_watched([a, b]);
        self.keyspace.names_moved.fetch_add(1, SeqCst);
        for slot in 0..self.held.len() {
            let shard = &mut *self.held[slot].1;
            for (db, other) in [(a, b), (b, a)] {
                let (dbs, watch) = (&shard.dbs, &shard.watch);
                let is_in_either = |key: &[u8]| {
                    let hash = key_hash(key);
                    dbs[db].table.get(hash, key).is_some() || dbs[other].table.get(hash, key).is_some()
                };
                watch.mark_db(db as u32, is_in_either);
                // Who waits may hear of a key that came, or that went.
                let ready = shard.waiters.keys_of(db as u32).filter(|key| is_in_either(key));
                self.changes.get_or_insert_default().ready.extend(ready.map(|k| (db as u32, k.into())));
            }
            shard.dbs.swap(a, b);
        }
        self.dirty += 1;
    }

    /// Removes what has expired of the keys watched in one of two databases, in both, so that a swap of them changes only
    /// what is seen to change.
    fn settle_watched(&mut self, dbs: [usize; 2]) {
        let numbers = dbs.map(|db| db as u32);
        let watched = self.shards().flat_map(|shard| shard.watch.keys_of(numbers)).map(Box::<[u8]>::from);
        let watched: Vec<Box<[u8]>> = watched.collect();
        let selected = self.db;
        for db in dbs {
            self.db = db;
            watched.iter().for_each(|key| {
                self.settle(key);
            });
        }
        self.db = selected;
    }
}
