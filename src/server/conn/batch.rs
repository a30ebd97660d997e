//! Requests that came together: found together, so that the memory of all can be asked for before the first runs.

use crate::command::args::{Argv, KeyHash};
use crate::engine::Hashes;
use crate::resp::whole::{Words, whole};
use smallvec::SmallVec;
use std::num::NonZero;
use std::ops::Range;

/// Requests found, fetched ahead and run together.
const BATCH_MAX: usize = 64;

/// Ordinary requests that came together.
#[derive(Default)]
pub(super) struct Batch<'a> {
    /// The words of all, one behind the other.
    words: Words<'a>,
    requests: SmallVec<[Found; BATCH_MAX]>,
}

/// One of them.
struct Found {
    words: Range<usize>,
    /// Where in the input it ends.
    end: usize,
    /// The hash of what is most likely its key.
    key: Option<KeyHash>,
}

impl<'a> Batch<'a> {
    /// Finds what begins at `at` of the input, as far as it needs no parser, in place of what was there.
    #[inline]
    pub(super) fn collect(&mut self, input: &'a [u8], mut at: usize) {
        let mut first = 0;
        while self.requests.len() < BATCH_MAX
            && at < input.len()
            && let Some(end) = whole(input, at, &mut self.words)
        {
            let last = self.words.len();
            self.requests.push(Found { words: first..last, end, key: None });
            (first, at) = (last, end);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.requests.clear();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Notes the hash of the key of each, which is most likely its argument `at`; returns all hashes.
    pub(super) fn note_keys(&mut self, at: NonZero<u32>) -> Hashes {
        let words = &self.words[..];
        let notes = self.requests.iter_mut().filter_map(|request| {
            request.key = KeyHash::of(&words[request.words.clone()], at);
            request.key.map(|key| key.hash)
        });
        notes.collect()
    }

    /// All, to be run.
    pub(super) fn view(&self) -> View<'_> {
        View { words: &self.words, requests: &self.requests }
    }
}

/// The requests of a batch.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    words: &'a [&'a [u8]],
    requests: &'a [Found],
}

impl<'a> View<'a> {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.requests.len()
    }

    /// One of them.
    #[inline]
    pub(super) fn argv(self, at: usize) -> Argv<'a> {
        let request = &self.requests[at];
        Argv::new(&self.words[request.words.clone()]).with_hash(request.key)
    }

    /// Where in the input it ends.
    pub(super) fn end(self, at: usize) -> usize {
        self.requests[at].end
    }
}
