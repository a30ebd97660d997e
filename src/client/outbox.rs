//! The mailbox of one client: messages from elsewhere, and the bell that wakes its task.
//!
//! Messages are RESP bytes in the client's protocol. They leave the mailbox at a command boundary, after the replies
//! produced so far. The bell also rings for a kill, a served ticket or an unblock. What is sent to many clients is not
//! here, only notes of where it stands (`sheet.rs`).
//!
//! What messages take from when they are put here until the client's task has tried to write them is in transit
//! (`transit.rs`).

use super::sheet::Note;
use super::transit::InTransit;
use crate::resp::reply::Reply;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

/// The bell rang since the messages were taken.
const RUNG: u8 = 1;
/// The task's waker is here, to be woken when the bell rings.
const LISTENED: u8 = 2;
/// Room that an empty mailbox keeps; only what is beyond it is ever in transit, so that small messages need not be
/// counted.
const KEPT_BYTES: usize = 1024;
/// Notes up to which a mailbox does not copy messages; each of them may hold a sheet.
const NOTES_MAX: usize = 32;
/// Notes that an empty mailbox has room for.
const KEPT_NOTES: usize = 4;

/// Messages for one client and the bell of its task.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// [`RUNG`] and [`LISTENED`], changed under the lock, so that a task can look without it.
    state: AtomicU8,
    /// It has a share of what is in transit; changed under the lock.
    is_in_transit: AtomicBool,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    messages: Vec<u8>,
    /// Messages that stand elsewhere, each in front of the byte of `messages` at its place; places never fall.
    notes: Vec<(usize, Note)>,
    waker: Option<Waker>,
    in_transit: InTransit,
}

impl Mailbox {
    /// Adds a message and rings.
    pub fn put(&self, message: &[u8]) {
        let mut inner = self.inner.lock();
        self.copy(&mut inner, message);
        self.add_bytes(message.len());
        self.ring_locked(&mut inner);
    }
    /// Adds a message that stands on a sheet; true when nobody has rung since the last were taken, so that somebody has
    /// to [`wake`](Self::wake) the task.
    pub fn leave(&self, note: &Note) -> bool {
        let mut inner = self.inner.lock();
        let end = inner.messages.len();
        let joined = inner.notes.last_mut().is_some_and(|(place, last)| *place == end && last.join(note));
        if !joined && inner.notes.len() < NOTES_MAX {
            inner.notes.push((end, note.clone()));
        } else if !joined {
            note.read(|message| self.copy(&mut inner, message));
        }
        self.add_bytes(note.len());
        self.mark_rung()
    }
    fn copy(&self, inner: &mut Inner, message: &[u8]) {
        let before = inner.extra_bytes();
        inner.messages.extend_from_slice(message);
        let grown = inner.extra_bytes() - before;
        if grown > 0 {
            self.send(inner, grown);
        }
    }
    /// So much more is in transit.
    fn send(&self, inner: &mut Inner, bytes: u64) {
        let all = inner.in_transit.bytes() + bytes;
        inner.in_transit.set(all);
        self.is_in_transit.store(true, Ordering::Relaxed);
    }
    fn add_bytes(&self, count: usize) {
        // Changed under the lock only.
        self.bytes.store(self.bytes() + count as u64, Ordering::Relaxed);
    }
    /// Wakes the task.
    pub fn wake(&self) {
        if let Some(waker) = &self.inner.lock().waker {
            waker.wake_by_ref();
        }
    }
    /// Rings without a message.
    pub fn ring(&self) {
        self.ring_locked(&mut self.inner.lock());
    }
    fn ring_locked(&self, inner: &mut Inner) {
        if self.mark_rung()
            && let Some(waker) = &inner.waker
        {
            waker.wake_by_ref();
        }
    }
    /// Whether the task has to be woken: one that has been and has not looked yet needs no second call. Under the lock.
    fn mark_rung(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        if state & RUNG == 0 {
            self.state.store(state | RUNG, Ordering::Release);
        }
        state & RUNG == 0
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
        self.take_parts(|part| out.extend_from_slice(part));
    }
    /// Takes all messages behind what is in `reply`, and stills the bell. The mailbox keeps a little room for the next.
    pub fn take_into(&self, reply: &mut Reply) {
        self.take_parts(|part| reply.raw(part));
    }
    fn take_parts(&self, mut take: impl FnMut(&[u8])) {
        let mut inner = self.inner.lock();
        self.state.fetch_and(!RUNG, Ordering::Release);
        let (mut at, mut copied) = (0, 0);
        for (place, note) in &inner.notes {
            if at < *place {
                take(&inner.messages[at..*place]);
            }
            note.read(&mut take);
            (at, copied) = (*place, copied + note.len());
        }
        if at < inner.messages.len() {
            take(&inner.messages[at..]);
        }
        if copied > KEPT_BYTES {
            self.send(&mut inner, copied as u64);
        }
        inner.messages.clear();
        inner.messages.shrink_to(KEPT_BYTES);
        inner.notes.clear();
        inner.notes.shrink_to(KEPT_NOTES);
        self.bytes.store(0, Ordering::Relaxed);
    }
    /// The client's task has tried to write what it took: that is no longer in transit.
    #[inline]
    pub fn settle(&self) {
        if self.is_in_transit.load(Ordering::Relaxed) {
            let mut inner = self.inner.lock();
            let left = inner.extra_bytes();
            inner.in_transit.set(left);
            self.is_in_transit.store(left > 0, Ordering::Relaxed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::sheet;
    use crate::client::transit::in_transit_bytes;

    fn print(text: &str) -> Note {
        sheet::print(0, |out| out.extend_from_slice(text.as_bytes()))
    }

    fn taken(mailbox: &Mailbox) -> String {
        let mut out = Vec::new();
        mailbox.take(&mut out);
        String::from_utf8(out).expect("text was put there")
    }

    #[test]
    fn what_stands_on_sheets_keeps_its_place() {
        let mailbox = Mailbox::default();
        assert!(mailbox.leave(&print("a")), "somebody has to wake the task");
        assert!(!mailbox.leave(&print("b")));
        mailbox.put(b"c");
        mailbox.put(b"d");
        mailbox.leave(&print("e"));
        print("not for this one");
        mailbox.leave(&print("f"));
        assert_eq!(mailbox.bytes(), 6);
        assert_eq!(mailbox.inner.lock().notes.len(), 3);
        assert_eq!(taken(&mailbox), "abcdef");
        assert_eq!(mailbox.bytes(), 0);
        assert_eq!(taken(&mailbox), "");
        assert!(mailbox.leave(&print("g")));
    }

    #[test]
    fn few_sheets_are_held_by_one_who_does_not_take() {
        let mailbox = Mailbox::default();
        let mut all = String::new();
        for number in 0..10 * NOTES_MAX {
            let text = format!("{number} ");
            mailbox.leave(&print(&text));
            print("not for this one");
            all += &text;
        }
        assert_eq!(mailbox.inner.lock().notes.len(), NOTES_MAX);
        assert_eq!(mailbox.bytes(), all.len() as u64);
        assert_eq!(taken(&mailbox), all);
    }

    #[test]
    fn messages_are_in_transit_until_they_are_written() {
        let mailbox = Mailbox::default();
        let share = || mailbox.inner.lock().in_transit.bytes();
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
        mailbox.leave(&print(&"m".repeat(10_000)));
        assert_eq!(share(), 0, "its sheet counts");
        assert!(in_transit_bytes() >= 10_000);
        mailbox.take(&mut Vec::new());
        assert_eq!(share(), 10_000, "the copy");
        mailbox.settle();
        assert_eq!(share(), 0);
    }
}
