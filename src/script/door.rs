//! How a virtual machine and its driver reach each other: the door where the machine finds what it is lent, and the switch
//! by which it hands over to its driver. Why this is sound is told in `seat.rs`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

use corosensei::Yielder;

use super::Caller;
use crate::resp::reply::Reply;

/// Why the machine switched to its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Waiting for a job; the outcome of the last one is on the desk.
    Idle,
    /// The script has used up its time for now.
    Later,
}

/// What the driver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// Go on, or there is a job on the desk.
    Go,
    /// Raise the error nobody can catch.
    Kill,
    /// Leave the loop.
    Quit,
}

/// What the driver lends to the machine while that runs.
pub(super) struct Visit<'a> {
    /// Whom the script asks.
    pub caller: &'a mut dyn Caller,
    /// `KEYS`, when a script begins.
    pub keys: &'a [&'a [u8]],
    /// `ARGV`, when a script begins.
    pub argv: &'a [&'a [u8]],
    /// Where the reply of the script goes.
    pub out: &'a mut Reply,
}

/// Where the machine finds what it is lent.
#[derive(Debug, Default)]
pub(super) struct Door(Cell<Option<NonNull<Visit<'static>>>>);

impl Door {
    /// Uses what is lent, on the machine's side; `None` when nothing is, or it is in use.
    pub fn visit<R>(&self, f: impl FnOnce(&mut Visit<'_>) -> R) -> Option<R> {
        let mut visit = self.0.take()?;
        // SAFETY: `lend` keeps the visit borrowed for as long as it can be found here, and nobody else finds it while it
        // is taken out. `f` takes a visit of any lifetime, so it cannot keep anything of it.
        let result = f(unsafe { visit.as_mut() });
        self.0.set(Some(visit));
        Some(result)
    }

    /// Lays a visit here until the guard is dropped.
    pub fn lend<'d>(&'d self, visit: Option<&'d mut Visit<'_>>) -> Lent<'d> {
        // Only the lifetime is changed; the guard's takes its place.
        self.0.set(visit.map(|visit| NonNull::from(visit).cast()));
        Lent(self)
    }
}

/// Ends a loan.
pub(super) struct Lent<'d>(&'d Door);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.0.set(None);
    }
}

/// The way from the machine to its driver.
#[derive(Clone, Debug)]
pub(super) struct Switch(*const Yielder<Tell, Ask>);

impl Switch {
    /// To the driver behind this yielder, for code on the machine's own stack.
    pub fn to(yielder: &Yielder<Tell, Ask>) -> Switch {
        Switch(yielder)
    }

    /// Switches to the driver; returns its answer. Only code on the machine's own stack may call this: natives, hooks
    /// and the serving loop, all of which exist only inside the body given to [`Seat::new`]; and never from within
    /// [`Door::visit`], since the loan ends with the switch.
    pub fn ask(&self, ask: Ask) -> Tell {
        // SAFETY: the yielder outlives the body, which owns everything that holds a `Switch` (the Lua state and its
        // natives), and whatever calls this runs inside the body, on the stack the yielder belongs to.
        unsafe { (*self.0).suspend(ask) }
    }
}
