//! A script that takes longer than a slice is frozen, and goes on slice by slice; so is a MIGRATE while it talks to its
//! target.
//!
//! Frozen, a unit is a value that its client's task keeps: the transaction with its shards, the token with the host, the
//! effects so far. The task gives its thread back after every slice, or while it waits for the target, so the worker's
//! other connections are served meanwhile. Nobody waits for what the unit holds (`keyspace/frozen.rs`): requests that
//! need it are postponed until it ends, and past `busy-reply-threshold` of a script all but a few are refused. Chores
//! that cannot be postponed by their client (a session that closes forgets what it watches) are left on the stage and
//! done after the unit.

use super::{Run, Step};
use crate::client::Session;
use crate::command::Known;
use crate::command::migrate::conversation::Migration;
use crate::engine::commit::Unit;
use crate::engine::exec::Hands;
use crate::engine::multi::Exec;
use crate::engine::{Engine, Flow, LocalFlow};
use crate::keyspace::{Held, Txn};
use crate::node::stage::{Act, Chore, Kind};
use crate::resp::reply::Reply;
use crate::script::Host;
use parking_lot::MutexGuard;

/// A unit between two slices, with everything it holds. The fields are dropped in this order.
pub struct Frozen<'e> {
    /// Clears the marks while the locks are still held, whatever happens.
    marks: Marks<'e>,
    txn: Txn<'e>,
    host: MutexGuard<'e, Host>,
    unit: Unit,
    work: Work,
    then: Then<'e>,
    /// The client wants no reply.
    pub(in crate::engine) is_silent: bool,
}

/// What takes long.
pub(in crate::engine) enum Work {
    /// A script, which may wait for a MIGRATE of its own.
    Script(Box<Run>),
    /// A MIGRATE; nothing while it is carried out.
    Migration(Option<Box<Migration>>),
}

/// What the work is a part of.
pub(in crate::engine) enum Then<'e> {
    /// A request of its own.
    Alone { known: &'e Known, argv: Vec<Vec<u8>> },
    /// An EXEC that goes on after it.
    Exec(Box<Exec>),
}

struct Marks<'e>(&'e Engine);

impl Drop for Marks<'_> {
    fn drop(&mut self) {
        self.0.node.stage.thaw(&self.0.node.keyspace.frozen);
    }
}

impl<'e> Frozen<'e> {
    /// Freezes a unit.
    pub(in crate::engine) fn new(
        engine: &'e Engine,
        mut txn: Txn<'e>,
        host: MutexGuard<'e, Host>,
        unit: Unit,
        work: Work,
        then: Then<'e>,
    ) -> Box<Frozen<'e>> {
        // The arguments it began with do not outlive the turn.
        txn.forget();
        let frozen = Frozen { marks: Marks(engine), txn, host, unit, work, then, is_silent: false };
        frozen.show(engine);
        Box::new(frozen)
    }

    /// The migration that the unit waits for: to be taken, carried out and put back before it is resumed.
    pub fn migration(&mut self) -> &mut Option<Box<Migration>> {
        match &mut self.work {
            Work::Script(run) => &mut run.migration,
            Work::Migration(migration) => migration,
        }
    }

    /// Tells others what is frozen.
    fn show(&self, engine: &Engine) {
        match &self.work {
            Work::Script(run) => self.show_script(engine, run),
            Work::Migration(_) => self.show_migration(engine),
        }
    }

    fn show_migration(&self, engine: &Engine) {
        let node = &engine.node;
        let act = || Act {
            kind: Kind::Script,
            name: Vec::new(),
            argv: self.then.argv(),
            started_ms: node.clock.monotonic_ns() / 1_000_000,
            busy_at_ms: None,
            wrote: true,
            killed: false,
        };
        node.stage.freeze(&node.keyspace.frozen, self.txn.held_numbers(), act, true);
    }

    fn show_script(&self, engine: &Engine, run: &Run) {
        let node = &engine.node;
        let threshold_ms = node.config.busy_reply_threshold.get();
        let act = || Act {
            kind: run.kind,
            name: run.name.clone(),
            argv: self.then.argv(),
            started_ms: run.started_ns / 1_000_000,
            busy_at_ms: (threshold_ms > 0).then(|| node.clock.now_ms().saturating_add_signed(threshold_ms)),
            wrote: run.wrote,
            killed: false,
        };
        node.stage.freeze(&node.keyspace.frozen, self.txn.held_numbers(), act, run.wrote);
        let ran_ms = (node.clock.monotonic_ns().saturating_sub(run.started_ns) / 1_000_000) as i64;
        if threshold_ms > 0 && ran_ms >= threshold_ms && node.stage.busy().is_none() {
            let kill = if run.kind == Kind::Function { "FUNCTION KILL" } else { "SCRIPT KILL" };
            tracing::warn!(
                "Slow script detected: still in execution after {ran_ms} milliseconds. You can try killing the script \
                 using the {kill} command. Script name is: {}.",
                String::from_utf8_lossy(&run.name)
            );
            node.stage.call_busy(run.kind);
        }
    }
}

impl Then<'_> {
    fn argv(&self) -> Vec<Vec<u8>> {
        match self {
            Then::Alone { argv, .. } => argv.clone(),
            Then::Exec(exec) => exec.current(),
        }
    }
}

impl Engine {
    /// Lets a frozen unit go on for one slice.
    pub fn resume<'e>(&'e self, frozen: Box<Frozen<'e>>, session: &mut Session, reply: &mut Reply) -> LocalFlow<'e> {
        let (mark, is_silent) = (reply.mark(), frozen.is_silent);
        let flow = self.resume_inner(frozen, session, reply);
        if is_silent {
            reply.truncate(mark);
        }
        match flow {
            Flow::Frozen(mut frozen) => {
                frozen.is_silent = is_silent;
                Flow::Frozen(frozen)
            }
            flow => flow,
        }
    }

    fn resume_inner<'e>(&'e self, frozen: Box<Frozen<'e>>, session: &mut Session, reply: &mut Reply) -> LocalFlow<'e> {
        // Bound so that a panic drops them as the struct would: the marks, the shards, the token.
        let Frozen { mut host, mut txn, mut unit, work, then, marks, .. } = *frozen;
        let mut last = Reply::new(reply.proto());
        let step = match work {
            Work::Script(run) => {
                let hands = Hands { txn: &mut txn, host: Some(&mut host), unit: &mut unit };
                self.resume_script(hands, session, run, &mut last)
            }
            Work::Migration(migration) => {
                let migration = migration.expect("whoever carries a migration out puts it back");
                Step::Ended(self.end_migration(&mut txn, session, &migration, &mut last, &mut unit))
            }
        };
        match (step, then) {
            (Step::Late(work), then) => {
                let frozen = Frozen { marks, txn, host, unit, work, then, is_silent: false };
                frozen.show(self);
                Flow::Frozen(Box::new(frozen))
            }
            (Step::Ended(failed), Then::Alone { known, argv }) => {
                reply.append(&mut last);
                drop(marks);
                self.end_unit(txn, Some(host), unit);
                let slices: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
                self.account(session, known, &slices, failed);
                self.end_caching(session, slices[0]);
                Flow::Next
            }
            (Step::Ended(failed), Then::Exec(mut exec)) => {
                let mark = exec.thaw(reply);
                reply.append(&mut last);
                self.end_queued(&mut exec, session, failed);
                drop(marks);
                self.go_on_exec(*exec, txn, Some(host), unit, session, reply, mark)
            }
        }
    }

    /// Lets a client wait for the end of a frozen unit.
    pub(in crate::engine) fn postpone(&self, session: &Session) -> LocalFlow<'_> {
        let now_ms = self.node.clock.now_ms();
        Flow::Postponed(self.node.stage.await_end(&session.client, now_ms).unwrap_or(now_ms))
    }

    /// Publishes what a unit changed, unlocks, and serves whoever waited for it.
    pub(in crate::engine) fn end_unit<'e>(&'e self, txn: Txn<'e>, host: Option<MutexGuard<'e, Host>>, unit: Unit) {
        self.end(txn, unit, host);
        self.do_chores();
    }

    /// Does what was left for the end of a frozen unit.
    pub fn do_chores(&self) {
        if self.node.stage.has_chores() {
            self.node.stage.chores().into_iter().for_each(|chore| self.chore(chore));
        }
    }

    /// Does a chore now, or leaves it for the end of the frozen unit that is in its way. The caller holds no shard.
    pub(in crate::engine) fn chore(&self, chore: Chore) {
        let mut left = Some(chore);
        while let Some(chore) = left.take() {
            if self.try_chore(&chore).is_err() {
                left = self.node.stage.defer(chore);
            }
        }
    }

    fn try_chore(&self, chore: &Chore) -> Result<(), Held> {
        let now_ms = self.node.clock.now_ms();
        let lock = |db: u32, key: &[u8]| {
            Txn::of_key(&self.node.keyspace, db as usize, now_ms, crate::base::hash::key_hash(key))
        };
        match chore {
            Chore::Unwatch { db, key, dirty } => lock(*db, key)?.unwatch(*db, key, dirty),
            Chore::Unpark { db, key, ticket } => lock(*db, key)?.waiters_of(key).forget(*db, key, ticket),
            Chore::Serve { db, key } => self.serve_waiters(*db, key)?,
        }
        Ok(())
    }
}
