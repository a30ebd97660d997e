//! The stack a virtual machine lives on, what its driver lends it while it runs, and the one place where it may change
//! threads.
//!
//! The driver stands still while the machine runs, so what it has borrowed from its own caller is the machine's for that
//! time: natives find it through the [`Door`](super::door::Door) and use it right where they are, on the machine's stack. To switch there
//! and back for every nested command would cost two jumps that no processor foresees, and copies of all arguments.
//!
//! A [`Seat`] owns a coroutine whose stack holds the Lua state and everything that points into it. The script token
//! makes sure that one thread at a time uses it, but not that it is always the same thread: scripts run on the worker
//! their client lives on. So the seat must be `Send`, which a coroutine is not by itself, since nothing can tell the
//! compiler what its stack holds. Here is why it is sound for this stack:
//!
//! - The stack, the Lua state and the [`Desk`] refer to each other and, between jobs, to nothing outside; they move
//!   together.
//! - It moves between jobs only: [`Seat::resume`] refuses another thread while a script is under way, so no frame ever
//!   sees its thread change under it. Between jobs the frames are the coroutine's entry and the waiting loop, neither
//!   of which keeps anything of its thread across the wait.
//! - Neither mlua (without its `send` feature, on purpose: that costs a lock per call) nor Lua nor corosensei keeps
//!   thread-local state.

#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::thread::{self, ThreadId};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::desk::Desk;
use super::door::{Ask, Switch, Tell, Visit};

/// Bytes of address space for a stack. Lua allows 200 nested native calls of at most some 10 KiB (its string buffers
/// live on the stack); the libraries here nest at most 1,000 deep at some 500 bytes, a value that becomes a reply 7,000
/// deep at some 200; a command gets no less than on the thread of a worker. Only touched pages cost memory.
const STACK_BYTES: usize = 8 << 20;

/// A virtual machine waiting for jobs on its own stack.
pub(super) struct Seat {
    coroutine: ManuallyDrop<Coroutine<Tell, Ask, ()>>,
    desk: Rc<Desk>,
    /// The thread of the job under way.
    home: Option<ThreadId>,
}

// SAFETY: see the head of this file. `Rc<Desk>` is shared with the coroutine's stack only, which moves along.
unsafe impl Send for Seat {}

impl Seat {
    /// Builds the machine with `body`, which must serve jobs until told to quit, and runs it to its first wait.
    /// `None` when there is no address space for its stack.
    pub fn new(desk: Rc<Desk>, body: fn(Switch, Rc<Desk>)) -> Option<Seat> {
        let stack = DefaultStack::new(STACK_BYTES).ok()?;
        let shared = Rc::clone(&desk);
        let coroutine =
            Coroutine::with_stack(stack, move |yielder: &Yielder<Tell, Ask>, _| body(Switch::to(yielder), shared));
        let mut seat = Seat { coroutine: ManuallyDrop::new(coroutine), desk, home: None };
        (seat.resume(Tell::Go, None) == Ask::Idle).then_some(seat)
    }

    /// The desk both sides of the switch write on.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Whether a job is under way.
    pub fn busy(&self) -> bool {
        self.home.is_some()
    }

    /// Whether the machine can take jobs. It cannot after a panic inside it.
    pub fn alive(&self) -> bool {
        !self.coroutine.done()
    }

    /// Switches to the machine until it is done or late, and lends it the visit meanwhile.
    ///
    /// # Panics
    /// On another thread than the one the job under way began on, and when a native or a nested command panics.
    pub fn resume(&mut self, tell: Tell, visit: Option<&mut Visit<'_>>) -> Ask {
        let here = thread::current().id();
        assert!(self.home.is_none_or(|home| home == here), "a script under way must stay on its thread");
        self.home = Some(here);
        let _lent = self.desk.door.lend(visit);
        let ask = match self.coroutine.resume(tell) {
            CoroutineResult::Yield(ask) => ask,
            CoroutineResult::Return(()) => Ask::Idle,
        };
        if ask == Ask::Idle {
            self.home = None;
        }
        ask
    }

    /// Ends the job under way, if any: nothing is lent to it, and it is told to die.
    pub fn abort(&mut self) {
        while self.busy() && self.alive() {
            self.resume(Tell::Kill, None);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Frames of Lua must not be unwound from outside, and a script under way must not run on another thread: its
        // memory is left behind in that case, which only a server going down can meet.
        if thread::panicking() || self.home.is_some_and(|home| home != thread::current().id()) {
            return;
        }
        self.abort();
        if self.alive() {
            self.resume(Tell::Quit, None);
        }
        // SAFETY: dropped once, here, and not used after.
        unsafe { ManuallyDrop::drop(&mut self.coroutine) };
    }
}
