//! The queue of a MULTI: its commands lie one behind the other in three pieces of memory, which the next MULTI of the
//! same worker gets when they are small. With an allocation for every argument, queueing cost more than running.

use smallvec::SmallVec;
use std::cell::Cell;

/// More room than this is not kept for the next one.
const KEPT_BYTES: usize = 4096;

thread_local! {
    static SPARE: Cell<Option<Box<Multi>>> = const { Cell::new(None) };
}

/// A queue of MULTI.
#[derive(Debug, Default)]
pub struct Multi {
    /// An error while queueing: EXEC answers EXECABORT.
    pub aborted: bool,
    /// All arguments.
    text: Vec<u8>,
    /// Where each of them ends in `text`.
    ends: Vec<usize>,
    commands: Vec<Command>,
}

#[derive(Clone, Copy, Debug)]
struct Command {
    number: u16,
    key: Option<u64>,
    /// The place of its first argument in `ends`.
    first: usize,
}

/// One command of a queue.
pub struct Queued<'q> {
    /// Its number in the table of commands.
    pub number: u16,
    /// The hash of its one key, if it has one.
    pub key: Option<u64>,
    /// Its arguments, its name among them.
    pub argv: SmallVec<[&'q [u8]; 8]>,
}

impl Multi {
    /// An empty queue.
    pub fn begin() -> Box<Multi> {
        SPARE.take().unwrap_or_default()
    }

    /// Leaves its memory to the next one.
    pub fn end(mut self: Box<Multi>) {
        if self.text.capacity() <= KEPT_BYTES && self.ends.capacity() * size_of::<usize>() <= KEPT_BYTES {
            self.aborted = false;
            self.text.clear();
            self.ends.clear();
            self.commands.clear();
            SPARE.set(Some(self));
        }
    }

    /// Adds a command, known by its number, with the hash of its one key, if it has one.
    pub fn push(&mut self, number: u16, key: Option<u64>, argv: &[&[u8]]) {
        self.commands.push(Command { number, key, first: self.ends.len() });
        for arg in argv {
            self.text.extend_from_slice(arg);
            self.ends.push(self.text.len());
        }
    }

    /// How many commands there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The numbers of the commands.
    pub fn numbers(&self) -> impl Iterator<Item = u16> {
        self.commands.iter().map(|command| command.number)
    }

    /// The same with the hashes of their keys.
    pub fn keys(&self) -> impl Iterator<Item = (u16, Option<u64>)> {
        self.commands.iter().map(|command| (command.number, command.key))
    }

    /// The commands with their arguments.
    pub fn iter(&self) -> impl Iterator<Item = Queued<'_>> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// One command with its arguments.
    pub fn get(&self, at: usize) -> Queued<'_> {
        let Command { number, key, first } = self.commands[at];
        let end = self.commands.get(at + 1).map_or(self.ends.len(), |next| next.first);
        let mut from = if first == 0 { 0 } else { self.ends[first - 1] };
        let arg = |&to: &usize| &self.text[std::mem::replace(&mut from, to)..to];
        Queued { number, key, argv: self.ends[first..end].iter().map(arg).collect() }
    }

    /// Bytes of the arguments, as clients are charged for them.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<Vec<u8>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_out_as_they_went_in() {
        let mut multi = Multi::begin();
        let queued: [(u16, &[&[u8]]); 4] =
            [(7, &[b"SET", b"a", b""]), (1, &[b"PING"]), (9, &[b"", b"\0"]), (7, &[b"SET", b"k", &[b'v'; 5000]])];
        queued.iter().for_each(|(number, argv)| multi.push(*number, Some(u64::from(*number)), argv));
        assert_eq!(multi.len(), 4);
        assert_eq!(multi.numbers().collect::<Vec<_>>(), [7, 1, 9, 7]);
        for ((number, argv), got) in queued.iter().zip(multi.iter()) {
            assert_eq!((*number, Some(u64::from(*number)), *argv), (got.number, got.key, got.argv.as_slice()));
        }
        assert_eq!(multi.bytes(), 3 + 1 + 4 + 1 + 3 + 1 + 5000 + 9 * size_of::<Vec<u8>>());
    }

    #[test]
    fn the_next_one_begins_empty() {
        let mut multi = Multi::begin();
        multi.push(7, None, &[b"GET", b"a"]);
        multi.aborted = true;
        multi.end();
        let next = Multi::begin();
        assert!(next.is_empty() && !next.aborted && next.bytes() == 0);
        assert!(next.text.capacity() > 0, "its room is the last one's");
    }
}
