//! Looking ahead over connections: while one request after another waits in its socket, the memory of the first can
//! already be on its way.
//!
//! A request needs two lines of memory that are in no cache: its key's bucket, and the entry that one names. A
//! connection that pipelines has its requests' lines fetched side by side (`engine::prefetch`). Where each of many
//! connections sends one request at a time, a worker does the same over connections: a connection that has read a lone
//! small request asks for its bucket, sets the request aside and goes to the end of the worker's queue. When its turn
//! comes all others that were ready have been read as well; the first to run asks for the entries of all. What would
//! have been waiting for memory is spent in the reads of the others.
//!
//! Nobody is overtaken for that: what cannot be set aside in this way, several requests together or one without a key,
//! goes to the end of the queue as well while others are set aside.
//!
//! With few connections at work there is nobody to wait for: the detour is left out, and only the bucket is asked for.

use crate::engine::Engine;

/// Requests up to this many bytes are set aside: they are copied.
const INPUT_MAX: usize = 512;
/// Requests set aside at a time that make it worth while.
const WORTH_WHILE: usize = 3;
/// Requests that go without, until it is tried again.
const PAUSE: u32 = 32;
/// Buffers kept for copies.
const COPIES_MAX: usize = 64;

/// The requests of a worker that are set aside.
#[derive(Default)]
pub(super) struct Ahead {
    /// Database and hash of the requests set aside since the last one ran.
    waiting: Vec<(usize, u64)>,
    /// So many more requests run at once.
    pause: u32,
    /// Buffers of requests that have run, for the next ones.
    copies: Vec<Vec<u8>>,
}

impl Ahead {
    /// Asks for the bucket of a lone request's key. A copy of the request, if it is to be set aside until the others have
    /// been read.
    #[inline]
    pub(super) fn set_aside(&mut self, engine: &Engine, db: usize, hash: u64, input: &[u8]) -> Option<Vec<u8>> {
        engine.prefetch_buckets(db, &[hash]);
        if self.pause > 0 || input.len() > INPUT_MAX {
            self.pause = self.pause.saturating_sub(1);
            return None;
        }
        self.waiting.push((db, hash));
        let mut copy = self.copies.pop().unwrap_or_default();
        copy.extend_from_slice(input);
        Some(copy)
    }

    /// Whether what has just been read has to wait for requests that are set aside.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Before a request that was set aside runs: asks for the entries of all that were.
    #[inline]
    pub(super) fn fetch_entries(&mut self, engine: &Engine) {
        if self.waiting.is_empty() {
            return;
        }
        if self.waiting.len() < WORTH_WHILE {
            self.pause = PAUSE;
        }
        for (db, hash) in self.waiting.drain(..) {
            engine.prefetch_entries(db, &[hash]);
        }
    }

    /// Whether it may be worth while to wait for other connections: not when it has just been found that few are at work.
    pub(super) fn is_worth_while(&self) -> bool {
        self.pause == 0
    }

    /// Takes back the copy of a request that has run.
    #[inline]
    pub(super) fn take_back(&mut self, mut copy: Vec<u8>) {
        if self.copies.len() < COPIES_MAX {
            copy.clear();
            self.copies.push(copy);
        }
    }
}
