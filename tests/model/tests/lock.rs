//! A model of the lock protocol under every kind of schedule: the token, the tries, what extends, what freezes.
//!
//! Shards and the token are mutexes of `shuttle`, which runs the model under thousands of random schedules and reports a
//! deadlock, a panic or a lost update with the schedule that leads to it. What is modelled is who takes what in which
//! order (`keyspace/txn.rs`, `keyspace/frozen.rs`, `engine/script`), not what is done with it. `MODEL_SCHEDULES` says how
//! many schedules there are.

use std::collections::BTreeSet;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use shuttle::sync::{Arc, Mutex, MutexGuard};
use shuttle::thread;

const SHARDS: usize = 3;
const SCHEDULES: usize = 1000;
/// A thread may look so often before a schedule counts as one that starves it.
const STEPS_MAX: usize = 200_000;

/// A frozen script holds what is wanted.
struct Held;

#[derive(Default)]
struct Model {
    token: Mutex<()>,
    /// Each counts the units that had it.
    shards: [Mutex<u32>; SHARDS],
    is_frozen: AtomicBool,
    frozen: [AtomicBool; SHARDS],
    /// Units that came to their end.
    done: AtomicU32,
}

type Guards<'m> = Vec<(usize, MutexGuard<'m, u32>)>;

impl Model {
    /// `Keyspace::wait`.
    fn wait(&self, shard: usize) -> Result<MutexGuard<'_, u32>, Held> {
        loop {
            if let Ok(guard) = self.shards[shard].try_lock() {
                return Ok(guard);
            }
            if self.is_frozen.load(Ordering::Acquire) && self.frozen[shard].load(Ordering::Acquire) {
                return Err(Held);
            }
            thread::yield_now();
        }
    }

    /// `Txn::of_shards`.
    fn of_shards(&self, shards: &BTreeSet<usize>) -> Result<Guards<'_>, Held> {
        let mut wait_for = None;
        'again: loop {
            let mut first = match wait_for {
                Some(shard) => Some((shard, self.wait(shard)?)),
                None => None,
            };
            let mut held = Guards::new();
            for &shard in shards {
                if let Some(found) = first.take_if(|(number, _)| *number == shard) {
                    held.push(found);
                } else if let Ok(guard) = self.shards[shard].try_lock() {
                    held.push((shard, guard));
                } else {
                    wait_for = Some(shard);
                    continue 'again;
                }
            }
            return Ok(held);
        }
    }

    /// `Node::wait_token`.
    fn wait_token(&self) -> Result<MutexGuard<'_, ()>, Held> {
        loop {
            if let Ok(token) = self.token.try_lock() {
                return Ok(token);
            }
            if self.is_frozen.load(Ordering::Acquire) {
                return Err(Held);
            }
            thread::yield_now();
        }
    }

    fn plain(&self, shards: &BTreeSet<usize>) -> Result<(), Held> {
        let mut held = self.of_shards(shards)?;
        self.end(&mut held);
        Ok(())
    }

    /// FLUSHALL: the token, then every shard, waiting for each.
    fn wide(&self) -> Result<(), Held> {
        let _token = self.wait_token()?;
        let mut held: Guards = (0..SHARDS).map(|shard| (shard, self.lock(shard))).collect();
        self.end(&mut held);
        Ok(())
    }

    /// A script with declared keys that touches others, and freezes on its way.
    fn script(&self, declared: &BTreeSet<usize>, others: &[usize], freezes: bool) -> Result<(), Held> {
        let _token = self.wait_token()?;
        let mut held = self.of_shards(declared)?;
        for other in others {
            if freezes {
                held.iter().for_each(|(shard, _)| self.frozen[*shard].store(true, Ordering::Release));
                self.is_frozen.store(true, Ordering::Release);
                thread::yield_now();
            }
            if !held.iter().any(|(shard, _)| shard == other) {
                held.push((*other, self.lock(*other)));
            }
        }
        self.is_frozen.store(false, Ordering::Release);
        self.frozen.iter().for_each(|mark| mark.store(false, Ordering::Release));
        self.end(&mut held);
        Ok(())
    }

    /// The holder of the token waits, whatever it holds. A deadlock shows as a wait beyond the bound of steps.
    fn lock(&self, shard: usize) -> MutexGuard<'_, u32> {
        loop {
            if let Ok(guard) = self.shards[shard].try_lock() {
                return guard;
            }
            thread::yield_now();
        }
    }

    fn end(&self, held: &mut Guards<'_>) {
        let seen: Vec<u32> = held.iter().map(|(_, count)| **count).collect();
        thread::yield_now();
        for ((_, count), seen) in held.iter_mut().zip(seen) {
            assert_eq!(**count, seen, "a shard changed under its holder");
            **count += 1;
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a client does when it is told to come back.
fn until_done(mut unit: impl FnMut() -> Result<(), Held>) {
    for _ in 0..STEPS_MAX {
        if unit().is_ok() {
            return;
        }
        thread::yield_now();
    }
    panic!("a unit never found its turn");
}

fn some_shards() -> BTreeSet<usize> {
    let mut random = thread_rng();
    (0..random.gen_range(1..=SHARDS)).map(|_| random.gen_range(0..SHARDS)).collect()
}

#[test]
fn nobody_waits_for_ever_and_no_update_is_lost() {
    let schedules = std::env::var("MODEL_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(SCHEDULES);
    shuttle::check_random(
        || {
            let model = Arc::new(Model::default());
            let mut threads = Vec::new();
            for number in 0..5 {
                let model = Arc::clone(&model);
                threads.push(thread::spawn(move || {
                    for _ in 0..2 {
                        let (shards, others) = (some_shards(), [0, 2, 1]);
                        match number {
                            0 => until_done(|| model.script(&shards, &others, true)),
                            1 => until_done(|| model.script(&shards, &others, false)),
                            2 => until_done(|| model.wide()),
                            _ => until_done(|| model.plain(&shards)),
                        }
                    }
                }));
            }
            threads.into_iter().for_each(|thread| thread.join().expect("a client came to its end"));
            assert_eq!(model.done.load(Ordering::Relaxed), 10);
        },
        schedules,
    );
}
