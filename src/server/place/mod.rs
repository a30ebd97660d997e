//! Which worker a connection lives on, and how it moves to another.
//!
//! As long as one worker keeps up, all connections live on the first one. There, what one client has sent runs before
//! what another sends later, though nobody has waited for a reply, as a server with one thread would have it; a message
//! for another client wakes no other thread; the rest of the cores stay asleep. When the first worker is as busy as it can
//! be, half of its busy connections move to another, and so on, as long as the server gets more done by that ([`balance`]);
//! when one worker could do what is left to do, they move home again.
//!
//! A connection moves when it is at rest, between two requests: its socket leaves the runtime of one worker, and all else
//! that it is goes to the other in one piece ([`ways`]).

mod balance;
mod ways;

pub(super) use balance::Balance;
pub(super) use ways::{Arrivals, Handed, Socket, Stream, Workers};
