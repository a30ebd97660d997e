//! Who waits for a key of this shard, first come first.
//!
//! A blocked command parks one [`Ticket`] under each of its keys, while it still holds their shards, so that no wake-up
//! can be lost. A ticket is taken by one atomic exchange: by whoever serves it, or by the sleeper itself when its time is
//! over, it is unblocked or it goes away. Finished tickets left under other keys are dead and skipped.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A blocked command's place in the queues of its keys.
pub struct Ticket {
    /// Increases with every ticket: the order of arrival over all shards.
    pub number: u64,
    state: AtomicU8,
    /// What the engine needs to serve it; this room does not look into it.
    pub sleeper: Box<dyn Any + Send + Sync>,
    /// Whether it is to be served when the key is deleted or changes its type, too (XREADGROUP).
    pub on_gone: bool,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Ticket {
    /// A new ticket, last in every queue.
    pub fn new(sleeper: Box<dyn Any + Send + Sync>, on_gone: bool) -> Arc<Ticket> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Ticket { number, state: AtomicU8::new(WAITING), sleeper, on_gone })
    }
    /// Begins to serve it; true for exactly one server at a time, which must [`finish`](Ticket::finish) it or
    /// [`release`](Ticket::release) it again. The exchange pairs with that of every other claimant.
    pub fn begin(&self) -> bool {
        self.state.compare_exchange(WAITING, SERVING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    /// It has been served.
    pub fn finish(&self) {
        self.state.store(DONE, Ordering::Release);
    }
    /// There was nothing for it: it waits on, in its old place.
    pub fn release(&self) {
        self.state.store(WAITING, Ordering::Release);
    }
    /// The sleeper goes away (its time is over, it is unblocked, its connection closes).
    pub fn give_up(&self) -> GaveUp {
        match self.state.compare_exchange(WAITING, DONE, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => GaveUp::Yes,
            Err(SERVING) => GaveUp::BeingServed,
            Err(_) => GaveUp::Served,
        }
    }
    /// Whether nobody waits with it any more.
    pub fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }
}

const WAITING: u8 = 0;
const SERVING: u8 = 1;
const DONE: u8 = 2;

/// How giving up went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// Nobody will serve it any more.
    Yes,
    /// It has been served; the reply is there.
    Served,
    /// It is being served this moment: ask again.
    BeingServed,
}

/// The queues of one shard.
#[derive(Default)]
pub struct WaiterMap {
    queues: HashMap<(u32, Box<[u8]>), VecDeque<Arc<Ticket>>>,
}

impl WaiterMap {
    /// Whether nobody waits here: the usual case.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
    /// Number of keys with a queue.
    pub fn len(&self) -> usize {
        self.queues.len()
    }
    /// Number of keys that somebody waits to see deleted, too.
    pub fn len_on_gone(&self) -> usize {
        self.queues.values().filter(|q| q.iter().any(|t| t.on_gone && !t.is_done())).count()
    }
    /// Parks a ticket at the end of the key's queue.
    pub fn park(&mut self, db: u32, key: &[u8], ticket: Arc<Ticket>) {
        self.queues.entry((db, key.into())).or_default().push_back(ticket);
    }
    /// Whether somebody waits for the key.
    pub fn waits(&self, db: u32, key: &[u8]) -> bool {
        self.queues.contains_key(&(db, Box::from(key)))
    }
    /// Keys of `db` that somebody waits for.
    pub fn keys_of(&self, db: u32) -> impl Iterator<Item = &[u8]> {
        self.queues.keys().filter(move |(d, _)| *d == db).map(|(_, k)| &**k)
    }
    /// The live tickets of the key, in order; dead ones are dropped on the way.
    pub fn live(&mut self, db: u32, key: &[u8]) -> Vec<Arc<Ticket>> {
        let at = (db, Box::from(key));
        let Some(queue) = self.queues.get_mut(&at) else { return Vec::new() };
        queue.retain(|t| !t.is_done());
        let live: Vec<_> = queue.iter().cloned().collect();
        if live.is_empty() {
            self.queues.remove(&at);
        }
        live
    }
    /// Takes the ticket out of the key's queue.
    pub fn forget(&mut self, db: u32, key: &[u8], ticket: &Arc<Ticket>) {
        let at = (db, Box::from(key));
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.retain(|t| !Arc::ptr_eq(t, ticket) && !t.is_done());
            if queue.is_empty() {
                self.queues.remove(&at);
            }
        }
    }
}
