//! Drops big values on a background thread.
//!
//! Freeing a value of millions of elements takes longer than a command may hold its shard, so the value is sent away
//! whole and dropped where nobody waits. The queue has no bound: what is in it was already in memory, and refusing
//! would only free it at the wrong place. Eviction subtracts [`Later::pending_bytes`] from the memory in use, or it would
//! evict again for what is already on its way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

/// The way to the background thread; clones share it. The thread ends when the last clone is dropped and the queue is
/// empty.
#[derive(Clone)]
pub struct Later {
    queue: Sender<Job>,
    counters: Arc<Counters>,
}

/// What INFO shows of lazy freeing.
#[derive(Default)]
struct Counters {
    pending_objects: AtomicU64,
    pending_bytes: AtomicU64,
    freed_objects: AtomicU64,
}

enum Job {
    Drop { value: Box<dyn Send>, objects: u64, bytes: u64 },
    Run(Box<dyn FnOnce() + Send>),
}

impl Later {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let shared = counters.clone();
        thread::Builder::new().name("lazy-free".into()).spawn(move || {
            for job in jobs {
                shared.run(job);
            }
        })?;
        Ok(Later { queue, counters })
    }

    /// Sends a value away to be dropped. `objects` is how many keys it counts for, `bytes` what it weighs.
    pub fn free(&self, value: Box<dyn Send>, objects: u64, bytes: u64) {
        // Relaxed: these are statistics; the channel orders the value itself.
        self.counters.pending_objects.fetch_add(objects, Ordering::Relaxed);
        self.counters.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Err(mpsc::SendError(job)) = self.queue.send(Job::Drop { value, objects, bytes }) {
            // The thread is gone, which only a panic in a destructor can do: free it here.
            self.counters.run(job);
        }
    }

    /// Calls `tell`, there or here, when everything sent before is dropped.
    pub fn when_freed(&self, tell: impl FnOnce() + Send + 'static) {
        if let Err(mpsc::SendError(job)) = self.queue.send(Job::Run(Box::new(tell))) {
            self.counters.run(job);
        }
    }

    /// Waits until everything sent before is dropped.
    pub fn wait(&self) {
        let (freed, waiting) = mpsc::channel();
        self.when_freed(move || drop(freed));
        // Nothing is ever sent: the end of the channel is what is waited for.
        let _ = waiting.recv() as Result<(), _>;
    }

    /// Objects sent and not dropped yet.
    pub fn pending_objects(&self) -> u64 {
        self.counters.pending_objects.load(Ordering::Relaxed)
    }

    /// Bytes sent and not dropped yet.
    pub fn pending_bytes(&self) -> u64 {
        self.counters.pending_bytes.load(Ordering::Relaxed)
    }

    /// Objects dropped since the start or the last [`Later::reset_freed`].
    pub fn freed_objects(&self) -> u64 {
        self.counters.freed_objects.load(Ordering::Relaxed)
    }

    /// Starts [`Later::freed_objects`] again at 0 (CONFIG RESETSTAT).
    pub fn reset_freed(&self) {
        self.counters.freed_objects.store(0, Ordering::Relaxed);
    }
}

impl Counters {
    fn run(&self, job: Job) {
        match job {
            Job::Drop { value, objects, bytes } => {
                drop(value);
                self.pending_objects.fetch_sub(objects, Ordering::Relaxed);
                self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.freed_objects.fetch_add(objects, Ordering::Relaxed);
            }
            Job::Run(tell) => tell(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_dropped_elsewhere_and_counted() {
        let later = Later::start().expect("a thread");
        let witness = Arc::new(());
        for _ in 0..10 {
            later.free(Box::new((witness.clone(), vec![0u8; 1000])), 1, 1000);
        }
        later.wait();
        assert_eq!(Arc::strong_count(&witness), 1);
        assert_eq!((later.pending_objects(), later.pending_bytes(), later.freed_objects()), (0, 0, 10));
        later.reset_freed();
        assert_eq!(later.freed_objects(), 0);
    }
}
