//! A script that takes longer than a slice is frozen, and goes on slice by slice; so is a MIGRATE while it talks to its
//! target.
//!
//! Frozen, a unit is a value that its client's task keeps: the transaction with its shards, the token with the host, the
//! effects so far. The task gives its thread back after every slice, or while it waits for the target, so the worker's
//! other connections are served meanwhile. Nobody waits for what the unit holds (`keyspace/frozen.rs`): requests that
//! need it are postponed until it ends, and past `busy-reply-threshold` of a script all but a few are refused. Chores
//! that cannot be postponed by their client (a session that closes forgets what it watches) are left on the stage and
//! done after the unit.

mod resume;

use super::nested::Run;
use crate::command::Known;
use crate::command::migrate::conversation::Migration;
use crate::engine::Engine;
use crate::engine::commit::Unit;
use crate::engine::multi::under_way::Exec;
use crate::keyspace::Txn;
use crate::node::stage::{Act, Kind};
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

/// How far a command got that may take long.
pub(in crate::engine) enum Step {
    /// It ended; its reply is written. True when that is, or has in it, an error.
    Ended(bool),
    /// It has this still to do.
    Late(Work),
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
