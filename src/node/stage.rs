//! The stage: what others may see of a frozen script, do to it, and leave to be done after it.
//!
//! The script itself lives with its task (`engine/script`). Here is its public side: who it is, whether it is past
//! `busy-reply-threshold`, whether somebody wants it killed; and who is to be woken when it ends.

use crate::client::Client;
use crate::keyspace::frozen::{Frozen, LOOK_EVERY};
use crate::keyspace::waiters::Ticket;
use crate::keyspace::watch::Dirty;
use crate::keyspace::{Held, Keyspace};
use crate::script::Host;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// What runs: SCRIPT KILL ends the one, FUNCTION KILL the other. A MIGRATE passes for a script that is never late, so
/// that neither has an effect on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A script of EVAL.
    Script,
    /// A function.
    Function,
}

/// The frozen script, as others see it.
#[derive(Clone, Debug)]
pub struct Act {
    /// What it is.
    pub kind: Kind,
    /// Name of the function, or SHA1.
    pub name: Vec<u8>,
    /// The request that runs it.
    pub argv: Vec<Vec<u8>>,
    /// When it began, in monotonic milliseconds.
    pub started_ms: u64,
    /// Unix time in milliseconds at which it will be past its time; `None` when it never will.
    pub busy_at_ms: Option<u64>,
    /// A command that writes has run.
    pub wrote: bool,
    /// Somebody wants it killed.
    pub killed: bool,
}

/// Small things that need a shard which the script holds. They cannot fail, and nobody waits for their outcome.
pub enum Chore {
    /// A session watches a key no more.
    Unwatch {
        /// Database.
        db: u32,
        /// Key.
        key: Box<[u8]>,
        /// The session's flag.
        dirty: Dirty,
    },
    /// A client waits for a key no more.
    Unpark {
        /// Database.
        db: u32,
        /// Key.
        key: Vec<u8>,
        /// Its ticket.
        ticket: Arc<Ticket>,
    },
    /// Waiters of a key are to be served.
    Serve {
        /// Database.
        db: u32,
        /// Key.
        key: Box<[u8]>,
    },
}

/// The stage.
#[derive(Default)]
pub struct Stage {
    /// 0: no script is past its time; else 1 + [`Kind`].
    busy: AtomicU8,
    /// There are chores; written under the lock.
    has_chores: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    act: Option<Act>,
    waiting: Vec<Arc<Client>>,
    chores: Vec<Chore>,
}

/// What KILL met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// It will end.
    Yes,
    /// Nothing runs.
    Nothing,
    /// Something runs, but is not late yet.
    NotYet,
    /// It has written.
    Wrote,
    /// It is of the other kind.
    Other(Kind),
}

impl Stage {
    /// A script freezes, or freezes again, with these shards.
    pub fn freeze(&self, frozen: &Frozen, shards: impl Iterator<Item = u32>, act: impl FnOnce() -> Act, wrote: bool) {
        let mut inner = self.inner.lock();
        let act = inner.act.get_or_insert_with(act);
        act.wrote |= wrote;
        frozen.mark(shards);
    }

    /// The frozen script is past its time from now on: whoever waits is told.
    pub fn call_busy(&self, kind: Kind) {
        let waiting = {
            let mut inner = self.inner.lock();
            self.busy.store(1 + kind as u8, Relaxed);
            std::mem::take(&mut inner.waiting)
        };
        waiting.iter().for_each(|client| client.mailbox.ring());
    }

    /// The frozen script has ended; its shards are still locked. Whoever waits is woken.
    pub fn thaw(&self, frozen: &Frozen) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.act = None;
            self.busy.store(0, Relaxed);
            frozen.clear();
            std::mem::take(&mut inner.waiting)
        };
        waiting.iter().for_each(|client| client.mailbox.ring());
    }

    /// Lets a client wait for the end of the frozen script; returns the Unix time in milliseconds at which it is to look
    /// again at the latest. `None`: the script has ended meanwhile.
    pub fn await_end(&self, client: &Arc<Client>, now_ms: u64) -> Option<u64> {
        let mut inner = self.inner.lock();
        let busy_at_ms = inner.act.as_ref()?.busy_at_ms;
        inner.waiting.push(client.clone());
        Some(busy_at_ms.unwrap_or(u64::MAX).clamp(now_ms + 5, now_ms + 60_000))
    }

    /// Leaves a chore for the end of the frozen script; gives it back when there is none.
    pub fn defer(&self, chore: Chore) -> Option<Chore> {
        let mut inner = self.inner.lock();
        if inner.act.is_none() {
            return Some(chore);
        }
        inner.chores.push(chore);
        self.has_chores.store(true, Relaxed);
        None
    }

    /// Whether chores are left. Whoever ended the script has had the lock since the last one was, so it sees the mark.
    #[inline]
    pub fn has_chores(&self) -> bool {
        self.has_chores.load(Relaxed)
    }

    /// The chores left, to be done now.
    pub fn chores(&self) -> Vec<Chore> {
        let mut inner = self.inner.lock();
        self.has_chores.store(false, Relaxed);
        std::mem::take(&mut inner.chores)
    }

    /// What is past its time, if anything.
    #[inline]
    pub fn busy(&self) -> Option<Kind> {
        match self.busy.load(Relaxed) {
            0 => None,
            1 => Some(Kind::Script),
            _ => Some(Kind::Function),
        }
    }

    /// The frozen script, if there is one.
    pub fn act(&self) -> Option<Act> {
        self.inner.lock().act.clone()
    }

    /// KILL of one kind.
    pub fn kill(&self, kind: Kind) -> Killed {
        let mut inner = self.inner.lock();
        match &mut inner.act {
            None => Killed::Nothing,
            Some(_) if self.busy().is_none() => Killed::NotYet,
            Some(act) if act.wrote => Killed::Wrote,
            Some(act) if act.kind != kind => Killed::Other(act.kind),
            Some(act) => {
                act.killed = true;
                Killed::Yes
            }
        }
    }

    /// Whether the frozen script is to be killed.
    pub fn is_killed(&self) -> bool {
        self.inner.lock().act.as_ref().is_some_and(|act| act.killed)
    }

    /// The frozen script is about to write for the first time; false when it is to be killed instead.
    pub fn may_write(&self) -> bool {
        let mut inner = self.inner.lock();
        let Some(act) = &mut inner.act else { return true };
        act.wrote |= !act.killed;
        !act.killed
    }
}

/// Waits for the script token, unless a frozen script has it. The caller holds no shard.
pub(super) fn wait_token<'n>(token: &'n Mutex<Host>, keyspace: &Keyspace) -> Result<MutexGuard<'n, Host>, Held> {
    if let Some(host) = token.try_lock() {
        return Ok(host);
    }
    loop {
        if keyspace.frozen.is_on() {
            return Err(Held);
        }
        if let Some(host) = token.try_lock_for(LOOK_EVERY) {
            return Ok(host);
        }
    }
}
