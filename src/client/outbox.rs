//! The mailbox of one client: messages from elsewhere, and the bell that wakes its task.
//!
//! Messages are RESP bytes in the client's protocol. They leave the mailbox at a command boundary, after the replies
//! produced so far. The bell also rings for a kill, a served ticket or an unblock.
//!
//! What messages take from when they are put here until the client's task has tried to write them is *in transit*: it
//! is on its way out and no reason to evict keys, which would only make more of it (`engine/maintain.rs`). A client that
//! does not read is another matter: what it leaves unwritten counts.

use crate::resp::reply::Reply;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

/// The bell rang since the messages were taken.
const RUNG: u8 = 1;
/// Room that an empty mailbox keeps; only what is beyond it is ever in transit, so that small messages need not be
/// counted.
const KEPT_BYTES: usize = 1024;
/// Bytes in transit to all clients. Of the process, as the count of the allocator is.
static IN_TRANSIT: AtomicU64 = AtomicU64::new(0);

/// Bytes of messages on their way out that no client's task has tried to write yet.
pub fn in_transit_bytes() -> u64 {
    IN_TRANSIT.load(Ordering::Relaxed)
}
/// The task's waker is here, to be woken when the bell rings.
const LISTENED: u8 = 2;

/// Messages for one client and the bell of its task.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// [`RUNG`] and [`LISTENED`], changed under the lock, so that a task can look without it.
    state: AtomicU8,
    bytes: AtomicU64,
    /// Its share of what is in transit, changed under the lock.
    in_transit: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    messages: Vec<u8>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Adds a message and rings.
    pub fn put(&self, message: &[u8]) {
        let mut inner = self.inner.lock();
        let before = inner.extra_bytes();
        inner.messages.extend_from_slice(message);
        let grown = inner.extra_bytes() - before;
        if grown > 0 {
            self.in_transit.fetch_add(grown, Ordering::Relaxed);
            IN_TRANSIT.fetch_add(grown, Ordering::Relaxed);
        }
        self.bytes.store(inner.messages.len() as u64, Ordering::Relaxed);
        self.ring_locked(&mut inner);
    }
    /// Rings without a message.
    pub fn ring(&self) {
        self.ring_locked(&mut self.inner.lock());
    }
    fn ring_locked(&self, inner: &mut Inner) {
        // A task that has been woken and has not looked yet needs no second call.
        if self.state.fetch_or(RUNG, Ordering::Release) & RUNG == 0
            && let Some(waker) = &inner.waker
        {
            waker.wake_by_ref();
        }
    }
    /// Whether the bell rang since the last [`take`](Mailbox::take).
    #[inline]
    pub fn is_rung(&self) -> bool {
        self.state.load(Ordering::Acquire) & RUNG != 0
    }
    /// Whether the bell has not rung and the task will be woken when it does: there is no need to
    /// [`listen`](Mailbox::listen).
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.state.load(Ordering::Acquire) == LISTENED
    }
    /// Takes all messages, appending them to `out`, and stills the bell.
    pub fn take(&self, out: &mut Vec<u8>) {
        let mut inner = self.inner.lock();
        self.state.fetch_and(!RUNG, Ordering::Release);
        out.append(&mut inner.messages);
        inner.messages.shrink_to(KEPT_BYTES);
        self.bytes.store(0, Ordering::Relaxed);
    }
    /// Takes all messages behind what is in `reply`, and stills the bell. The mailbox keeps a little room for the next.
    pub fn take_into(&self, reply: &mut Reply) {
        let mut inner = self.inner.lock();
        self.state.fetch_and(!RUNG, Ordering::Release);
        if !inner.messages.is_empty() {
            reply.raw(&inner.messages);
            inner.messages.clear();
            inner.messages.shrink_to(KEPT_BYTES);
            self.bytes.store(0, Ordering::Relaxed);
        }
    }
    /// The client's task has tried to write what it took: that is no longer in transit.
    #[inline]
    pub fn settle(&self) {
        if self.in_transit.load(Ordering::Relaxed) > 0 {
            self.settle_to(self.inner.lock().extra_bytes());
        }
    }
    fn settle_to(&self, left: u64) {
        let before = self.in_transit.swap(left, Ordering::Relaxed);
        IN_TRANSIT.fetch_sub(before - left, Ordering::Relaxed);
    }
    /// Leaves the waker to be woken whenever the bell rings; true when it has already rung.
    pub fn listen(&self, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        if self.is_rung() {
            return true;
        }
        self.state.fetch_or(LISTENED, Ordering::Release);
        if !inner.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
        false
    }
    /// Nobody listens any more: the task that did has ended.
    pub fn forget_listener(&self) {
        let mut inner = self.inner.lock();
        inner.waker = None;
        self.state.fetch_and(!LISTENED, Ordering::Release);
    }
    /// Bytes of messages waiting.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Bytes beyond those that an empty mailbox keeps.
    fn extra_bytes(&self) -> u64 {
        self.messages.capacity().saturating_sub(KEPT_BYTES) as u64
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.settle_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_in_transit_until_they_are_written() {
        let mailbox = Mailbox::default();
        let share = || mailbox.in_transit.load(Ordering::Relaxed);
        mailbox.put(&[b'm'; 100]);
        assert_eq!(share(), 0, "small messages are not counted");
        mailbox.put(&[b'm'; 10_000]);
        assert!(share() >= 9_000 && in_transit_bytes() >= share());
        mailbox.take(&mut Vec::new());
        assert!(share() >= 9_000, "taken, but not written yet");
        mailbox.put(&[b'm'; 5_000]);
        mailbox.settle();
        assert!((3_000..9_000).contains(&share()), "the new one has not been taken yet");
        mailbox.take(&mut Vec::new());
        mailbox.settle();
        assert_eq!(share(), 0);
    }
}
