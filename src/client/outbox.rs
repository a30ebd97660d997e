//! The mailbox of one client: messages from elsewhere, and the bell that wakes its task.
//!
//! Messages are RESP bytes in the client's protocol. They leave the mailbox at a command boundary, after the replies
//! produced so far. The bell also rings for a kill, a served ticket or an unblock.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

/// Messages for one client and the bell of its task.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// Set with the bell, so that a task can look without the lock. Pairs with [`Mailbox::take`].
    rung: AtomicBool,
    bytes: AtomicU64,
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
        inner.messages.extend_from_slice(message);
        self.bytes.store(inner.messages.len() as u64, Ordering::Relaxed);
        self.ring_locked(&mut inner);
    }
    /// Rings without a message.
    pub fn ring(&self) {
        self.ring_locked(&mut self.inner.lock());
    }
    fn ring_locked(&self, inner: &mut Inner) {
        self.rung.store(true, Ordering::Release);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
    /// Whether the bell rang since the last [`take`](Mailbox::take).
    #[inline]
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }
    /// Takes all messages, appending them to `out`, and stills the bell.
    pub fn take(&self, out: &mut Vec<u8>) {
        let mut inner = self.inner.lock();
        self.rung.store(false, Ordering::Release);
        out.append(&mut inner.messages);
        inner.messages.shrink_to(4096);
        self.bytes.store(0, Ordering::Relaxed);
    }
    /// Leaves the waker to be woken at the next ring; true when it has already rung.
    pub fn listen(&self, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        if self.rung.load(Ordering::Acquire) {
            return true;
        }
        if !inner.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
        false
    }
    /// Bytes of messages waiting.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
