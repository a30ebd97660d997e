//! A frozen unit goes on, slice by slice; what had to wait for its end is done then.

use super::{Frozen, Step, Then, Work};
use crate::client::Session;
use crate::engine::commit::Unit;
use crate::engine::hands::Hands;
use crate::engine::{Engine, Flow, LocalFlow};
use crate::keyspace::{Held, Txn};
use crate::node::stage::Chore;
use crate::resp::reply::Reply;
use crate::script::Host;
use parking_lot::MutexGuard;

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
