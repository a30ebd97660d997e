//! An EXEC under way: what is left of its queue, and its replies while it is frozen.

use crate::client::queue::Multi;
use crate::resp::reply::{Mark, Reply};
use smallvec::SmallVec;

/// An EXEC under way.
pub(in crate::engine) struct Exec {
    /// The number of EXEC, and how the client spelled it.
    pub(super) command: u16,
    pub(super) name: SmallVec<[u8; 16]>,
    pub(super) queue: Box<Multi>,
    /// The command that runs, or runs next.
    pub(super) at: usize,
    /// The replies so far, while it is frozen: nothing must come between them.
    pub(super) replies: Vec<u8>,
    /// Its user may no longer run some of it.
    pub(super) refused: bool,
}

impl Exec {
    /// The command that runs.
    pub(in crate::engine) fn current(&self) -> Vec<Vec<u8>> {
        if self.at == self.queue.len() {
            return Vec::new();
        }
        self.queue.get(self.at).argv.iter().map(|arg| arg.to_vec()).collect()
    }

    /// Keeps the replies since the mark until it goes on.
    pub(super) fn freeze(mut self, reply: &mut Reply, mark: Mark) -> Box<Exec> {
        self.replies = reply.since(mark);
        reply.truncate(mark);
        Box::new(self)
    }

    /// Puts them back; returns where they begin.
    pub(in crate::engine) fn thaw(&mut self, reply: &mut Reply) -> Mark {
        let mark = reply.mark();
        reply.raw(&std::mem::take(&mut self.replies));
        mark
    }
}
