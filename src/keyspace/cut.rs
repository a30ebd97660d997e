//! A point-in-time walk over all shards while writers go on (D9): no fork, no copy of the keyspace.
//!
//! A cut begins with every shard held for some microseconds: the epoch bit of each shard is flipped, so that all
//! entries there are have the old bit and all entries born later have the new one. Then a walker goes over each shard
//! in small steps, hands every entry of the old epoch to the [`Image`] and gives it the new bit. A writer about to
//! change or delete an entry of the old epoch hands its old value to the image first (`Shard::save_old`), which is
//! what makes the image one moment over all shards, however long the walk takes. Every entry is handed over once.
//!
//! The walk is in hash order, and splitting or merging segments keeps that order, so a table may grow and shrink under
//! it. SWAPDB swaps whole databases with their walk position; FLUSHDB detaches tables, which are walked where they lie.
//!
//! While no cut runs, every entry of a shard has the shard's epoch bit. One cut runs at a time; a cut that is dropped
//! halfway walks on without an image until every entry has the new bit.

pub mod running;

use super::Keyspace;
use super::entry::Entry;
use super::txn::Txn;
use parking_lot::Mutex;
use running::{Image, Running};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Release};

/// Another cut is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// A running cut: its owner walks it with [`Cut::step`] until there is nothing left.
pub struct Cut<'k> {
    keyspace: &'k Keyspace,
    running: Arc<Running>,
    shard: usize,
}

impl<'k> Cut<'k> {
    /// Begins a cut. `txn` holds every shard; the moment of the cut is now.
    ///
    /// # Errors
    /// Another cut is running.
    pub fn begin(txn: &mut Txn<'k>, image: Arc<dyn Image>) -> Result<Cut<'k>, Busy> {
        debug_assert!(txn.holds_all());
        let keyspace = txn.keyspace();
        if keyspace.cutting.swap(true, AcqRel) {
            return Err(Busy);
        }
        let running = Arc::new(Running { image, detached: Mutex::default() });
        for shard in txn.shards_mut() {
            shard.epoch = !shard.epoch;
            shard.cut = Some(running.clone());
            for (number, db) in shard.dbs.iter_mut().enumerate() {
                db.cut_number = number as u32;
                db.cut_position = (!db.table.is_empty()).then_some(0);
            }
        }
        Ok(Cut { keyspace, running, shard: 0 })
    }

    /// Walks on for about `budget` entries, holding one shard; false when everything has been walked.
    pub fn step(&mut self, budget: usize) -> bool {
        let image = self.running.image.clone();
        self.walk(budget, &mut |db, entry| image.entry(db, entry))
    }

    fn walk(&mut self, budget: usize, visit: &mut dyn FnMut(u32, &Entry)) -> bool {
        if self.shard < self.keyspace.shard_count() {
            // A frozen script's shard is walked when the script has ended.
            let Ok(mut shard) = self.keyspace.wait(self.shard) else { return true };
            let epoch = shard.epoch;
            let mut left = budget;
            for db in &mut shard.dbs {
                while let Some(position) = db.cut_position {
                    let number = db.cut_number;
                    let next = db.table.scan(position, |entry| {
                        left = left.saturating_sub(1);
                        if entry.epoch() != epoch {
                            visit(number, entry);
                            entry.set_epoch(epoch);
                        }
                    });
                    db.cut_position = (next != 0).then_some(next);
                    if left == 0 {
                        return true;
                    }
                }
            }
            shard.cut = None;
            self.shard += 1;
            return true;
        }
        let detached = self.running.detached.lock().pop();
        let Some((db, table, new_epoch)) = detached else { return false };
        table.for_each(|entry| {
            if entry.epoch() != new_epoch {
                visit(db, entry);
            }
        });
        self.keyspace.later.free(Box::new(table), 1, 0);
        true
    }
}

impl Drop for Cut<'_> {
    /// Walks to the end without an image, so that the next cut finds every entry with its shard's bit.
    fn drop(&mut self) {
        while self.walk(1024, &mut |_, _| {}) {}
        self.keyspace.cutting.store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::later::Later;
    use crate::base::rng::Rng;
    use crate::base::time::Clock;
    use crate::keyspace::Deadline;
    use crate::types::string::NewStr;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Seen(Mutex<BTreeMap<(u32, Vec<u8>), Vec<u8>>>);

    impl Image for Seen {
        fn entry(&self, db: u32, entry: &Entry) {
            let value = entry.str().expect("only strings here").to_vec();
            let twice = self.0.lock().insert((db, entry.key().to_vec()), value);
            assert!(twice.is_none(), "an entry is handed over once");
        }
    }

    fn set(keyspace: &Keyspace, db: usize, key: &str, value: &str) {
        let hash = crate::base::hash::key_hash(key.as_bytes());
        let mut txn = Txn::one(keyspace, db, 1000, hash);
        txn.set_str(key.as_bytes(), NewStr::from_bytes(value.as_bytes()), Deadline::Clear);
    }
    fn delete(keyspace: &Keyspace, db: usize, key: &str) {
        let hash = crate::base::hash::key_hash(key.as_bytes());
        Txn::one(keyspace, db, 1000, hash).delete(key.as_bytes());
    }

    #[test]
    fn a_cut_shows_one_moment_while_keys_are_made_changed_deleted_flushed_and_swapped() {
        for seed in 0..30 {
            let clock = Clock::manual(1000);
            let keyspace = Keyspace::new(4, 4, clock, Later::start().expect("a thread"), seed);
            let mut rng = Rng::from_seed(seed);
            let mut model: BTreeMap<(u32, Vec<u8>), Vec<u8>> = BTreeMap::new();
            for n in 0..2000 {
                let (db, key) = (rng.below(4) as usize, format!("key:{}", rng.below(1500)));
                set(&keyspace, db, &key, &n.to_string());
                model.insert((db as u32, key.into_bytes()), n.to_string().into_bytes());
            }
            let seen = Arc::new(Seen::default());
            let mut cut = Cut::begin(&mut Txn::all(&keyspace, 0, 1000), seen.clone()).expect("no other cut");
            assert_eq!(Cut::begin(&mut Txn::all(&keyspace, 0, 1000), seen.clone()).err(), Some(Busy));
            let mut more = true;
            while more {
                for _ in 0..20 {
                    let (db, key) = (rng.below(4) as usize, format!("key:{}", rng.below(3000)));
                    match rng.below(50) {
                        0 => {
                            Txn::all(&keyspace, 0, 1000).flush(db..db + 1, true);
                        }
                        1 => Txn::all(&keyspace, 0, 1000).swap(db, rng.below(4) as usize),
                        2..=15 => delete(&keyspace, db, &key),
                        _ => set(&keyspace, db, &key, "changed"),
                    }
                }
                more = cut.step(16);
            }
            drop(cut);
            assert_eq!(*seen.0.lock(), model, "seed {seed}");
            // Every entry has its shard's bit again: the next cut sees everything.
            let again = Arc::new(Seen::default());
            let mut cut = Cut::begin(&mut Txn::all(&keyspace, 0, 1000), again.clone()).expect("the first is over");
            while cut.step(100) {}
            drop(cut);
            let total = keyspace.sum(|s| s.dbs.iter().map(|d| d.table.len() as u64).sum());
            assert_eq!(again.0.lock().len() as u64, total);
        }
    }

    #[test]
    fn a_cut_given_up_leaves_the_way_free_for_the_next() {
        let keyspace = Keyspace::new(4, 1, Clock::manual(1000), Later::start().expect("a thread"), 7);
        (0..500).for_each(|n| set(&keyspace, 0, &format!("k{n}"), "v"));
        let first = Arc::new(Seen::default());
        let mut cut = Cut::begin(&mut Txn::all(&keyspace, 0, 1000), first).expect("no other cut");
        cut.step(10);
        drop(cut);
        let second = Arc::new(Seen::default());
        let mut cut = Cut::begin(&mut Txn::all(&keyspace, 0, 1000), second.clone()).expect("the first is over");
        while cut.step(64) {}
        assert_eq!(second.0.lock().len(), 500);
    }
}
