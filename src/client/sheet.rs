//! Sheets: what many clients are sent, encoded once.
//!
//! A message to a crowd is written once, on the sheet of the publisher's thread, and mailboxes only note where it stands.
//! What follows it on the same sheet for the same client makes the note longer, so a burst of messages is one note and
//! is copied once, when the client's task writes it; by then it lies in the worker's cache.
//!
//! A sheet lives as long as somebody has a note of it; a mailbox that is not emptied for long keeps only a few notes
//! (`outbox.rs`), so that small messages do not hold much of what others were sent.

use super::transit::InTransit;
use parking_lot::RwLock;
use std::cell::RefCell;
use std::sync::Arc;

/// Bytes on a sheet from which on the next message begins a new one.
const SHEET_BYTES: usize = 32 * 1024;

/// Messages one behind the other; only ever added to while somebody has a note of it.
#[derive(Debug, Default)]
struct Sheet(RwLock<Text>);

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// Its memory is on the way to clients.
    in_transit: InTransit,
}

/// A note of where messages stand on a sheet.
#[derive(Clone, Debug)]
pub struct Note {
    sheet: Arc<Sheet>,
    start: usize,
    end: usize,
}

thread_local! {
    /// The sheets of this thread, one per protocol.
    static PRESS: RefCell<[Arc<Sheet>; 2]> = RefCell::default();
}

/// Writes a message on one of the two sheets of this thread.
pub fn print(press: usize, write: impl FnOnce(&mut Vec<u8>)) -> Note {
    PRESS.with_borrow_mut(|sheets| sheets[press].add(write))
}

impl Sheet {
    fn add(self: &mut Arc<Self>, write: impl FnOnce(&mut Vec<u8>)) -> Note {
        if self.0.read().bytes.len() >= SHEET_BYTES {
            self.renew();
        }
        let mut text = self.0.write();
        let start = text.bytes.len();
        write(&mut text.bytes);
        let (end, capacity) = (text.bytes.len(), text.bytes.capacity());
        text.in_transit.set(capacity as u64);
        drop(text);
        Note { sheet: self.clone(), start, end }
    }

    /// An empty sheet: this one, if nobody has a note of it and it is not a large one.
    fn renew(self: &mut Arc<Self>) {
        match Arc::get_mut(self).map(|sheet| sheet.0.get_mut()) {
            Some(text) if text.bytes.capacity() <= 2 * SHEET_BYTES => text.bytes.clear(),
            _ => *self = Arc::default(),
        }
    }
}

impl Note {
    /// Bytes of the messages.
    #[allow(clippy::len_without_is_empty, reason = "there are no empty messages")]
    pub fn len(&self) -> usize {
        self.end - self.start
    }
    /// Takes in what another note says, if that follows directly.
    pub fn join(&mut self, next: &Note) -> bool {
        let follows = self.end == next.start && Arc::ptr_eq(&self.sheet, &next.sheet);
        if follows {
            self.end = next.end;
        }
        follows
    }
    /// Lets somebody read the messages.
    pub fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        read(&self.sheet.0.read().bytes[self.start..self.end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &[u8]) -> Note {
        super::print(1, |out| out.extend_from_slice(text))
    }

    #[test]
    fn a_full_sheet_is_used_again_only_when_nobody_reads_it() {
        let (first, last) = (print(b"first"), print(&[b'x'; SHEET_BYTES]));
        let sheet = Arc::as_ptr(&first.sheet);
        let next = print(b"next");
        assert!(!Arc::ptr_eq(&next.sheet, &first.sheet) && Arc::ptr_eq(&last.sheet, &first.sheet));
        assert_eq!(first.read(<[u8]>::to_vec), b"first");
        assert_eq!(next.read(<[u8]>::to_vec), b"next");
        drop((first, last));
        let sheet_of_next = Arc::as_ptr(&next.sheet);
        assert_ne!(sheet, sheet_of_next);
        drop(next);
        print(&[b'x'; SHEET_BYTES]);
        assert_eq!(Arc::as_ptr(&print(b"again").sheet), sheet_of_next);
    }
}
