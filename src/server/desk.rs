//! What a worker lends to the connection that has its turn: room to read into, room for arguments, a buffer for replies.
//!
//! One connection after another sits at the one desk of its worker, so an idle connection owns no buffers and a worker's
//! buffers stay in its cache.

use super::ahead::Ahead;
use crate::resp::reply::Reply;
use crate::resp::request::Room;
use std::cell::RefCell;

/// Bytes read at once. An argument that comes whole is copied from here, which costs less than reading it in pieces.
pub(super) const SCRATCH_BYTES: usize = 128 * 1024;
/// A reply buffer that grew beyond this is given back after the turn.
const REPLY_KEEP_BYTES: usize = 64 * 1024;
/// Further reply buffers that are kept, and how big they are at most.
const SPARES_MAX: usize = 64;
const SPARE_BYTES: usize = 1024;

/// A worker's desk.
pub(super) struct Desk {
    /// What is read goes here first.
    pub(super) scratch: Box<[u8]>,
    /// What requests are run with.
    pub(super) tools: Tools,
    /// Requests set aside.
    pub(super) ahead: Ahead,
}

/// What requests are run with.
#[derive(Default)]
pub(super) struct Tools {
    /// Replies of this turn; empty between turns.
    pub(super) reply: Reply,
    /// Room for arguments.
    pub(super) room: Room,
    /// Buffers for replies while others wait to be sent.
    spares: Vec<Reply>,
}

impl Tools {
    /// The replies are sent; their buffer stays for the next turn.
    #[inline]
    pub(super) fn clear_reply(&mut self) {
        self.reply.clear();
        if self.reply.memory_bytes() > REPLY_KEEP_BYTES {
            self.reply.shrink(REPLY_KEEP_BYTES);
        }
    }

    /// Hands out the replies of this turn, which are not sent yet.
    pub(super) fn hand_out(&mut self) -> Reply {
        std::mem::replace(&mut self.reply, self.spares.pop().unwrap_or_default())
    }

    /// Takes back a buffer whose replies are sent.
    pub(super) fn take_back(&mut self, mut reply: Reply) {
        debug_assert!(self.reply.is_empty(), "replies of two connections on one desk");
        if reply.memory_bytes() > self.reply.memory_bytes() {
            std::mem::swap(&mut reply, &mut self.reply);
        }
        self.clear_reply();
        if (1..=SPARE_BYTES).contains(&reply.memory_bytes()) && self.spares.len() < SPARES_MAX {
            reply.clear();
            self.spares.push(reply);
        }
    }
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::new(Desk {
        scratch: vec![0; SCRATCH_BYTES].into(),
        tools: Tools::default(),
        ahead: Ahead::default(),
    });
}

/// Works at the desk of this worker; whoever is at it does not ask for it again.
#[inline]
pub(super) fn at_desk<R>(work: impl FnOnce(&mut Desk) -> R) -> R {
    DESK.with_borrow_mut(work)
}

/// Makes the desk of this worker, so that it does not count as what a client needs.
pub(super) fn warm_up() {
    at_desk(|_| ());
}
