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
//! With few connections at work there is nobody to wait for, and the detour is left out.

use crate::base::hash::key_hash;
use crate::engine::Engine;
use crate::resp::request::lone_key;
use std::cell::RefCell;

/// Requests up to this many bytes are set aside: they are copied.
const INPUT_MAX: usize = 512;
/// Requests set aside at a time that make it worth while.
const WORTH_WHILE: usize = 3;
/// Requests that go without, until it is tried again.
const PAUSE: u32 = 32;

#[derive(Default)]
struct Ahead {
    /// Database and hash of the requests set aside since the last one ran.
    waiting: Vec<(usize, u64)>,
    /// So many more requests run at once.
    pause: u32,
}

thread_local! {
    /// One per worker.
    static AHEAD: RefCell<Ahead> = RefCell::default();
}

/// Whether this input is to be set aside until the others have been read; its bucket is then on its way.
pub(super) fn sets_aside(engine: &Engine, db: usize, input: &[u8]) -> bool {
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.pause > 0 {
            ahead.pause -= 1;
            return false;
        }
        let Some(key) = (input.len() <= INPUT_MAX).then(|| lone_key(input)).flatten() else { return false };
        let hash = key_hash(key);
        engine.prefetch_buckets(db, &[hash]);
        ahead.waiting.push((db, hash));
        true
    })
}

/// Before a request that was set aside runs: asks for the entries of all that were.
pub(super) fn fetch_entries(engine: &Engine) {
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.waiting.is_empty() {
            return;
        }
        if ahead.waiting.len() < WORTH_WHILE {
            ahead.pause = PAUSE;
        }
        for (db, hash) in ahead.waiting.drain(..) {
            engine.prefetch_entries(db, &[hash]);
        }
    });
}
