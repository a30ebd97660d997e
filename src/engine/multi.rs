//! MULTI and EXEC: a queue of commands run as one unit under one lock set.
//!
//! The lock set of EXEC is the union of the keys of its queue and of the watched keys; whether something watched has
//! changed is judged under it. A queue that holds a command on the whole keyspace, or something that may take long,
//! takes the script token first.

pub(super) mod under_way;

use super::commit::Unit;
use super::exec::reply_timeout;
use super::hands::Hands;
use super::script::frozen::{Frozen, Step, Then, Work};
use super::{Engine, Flow, LocalFlow};
use crate::acl::user::DEFAULT;
use crate::base::hash::key_hash;
use crate::client::queue::{Multi, Queued};
use crate::client::{Marks, ReplyMode, Session};
use crate::command::args::{Argv, KeyHash};
use crate::command::ctx::{Origin, Outcome};
use crate::command::error::Error;
use crate::command::{EngineOp, Known, Run};
use crate::keyspace::{Held, Txn};
use crate::node::stage::Chore;
use crate::resp::reply::{Mark, Proto, Reply};
use crate::script::Host;
use crate::spec::Keys;
use parking_lot::MutexGuard;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use under_way::Exec;

/// Whether a command runs at once although its session is inside MULTI.
pub(super) fn runs_inside(known: &Known) -> bool {
    match known.command.run {
        Run::Engine(EngineOp::Unwatch | EngineOp::Script(_)) => false,
        Run::Engine(_) => true,
        _ => &*known.name == "quit",
    }
}

/// The arguments of a queued command, with the hash of its key.
fn argv_of<'q>(queued: &'q Queued<'_>, known: &Known) -> Argv<'q> {
    let at = known.command.spec.keys.first_at();
    Argv::new(&queued.argv).with_hash(queued.key.map(|hash| KeyHash { at, hash }))
}

impl Engine {
    pub(super) fn begin_multi(&self, session: &mut Session, reply: &mut Reply) -> LocalFlow<'_> {
        if session.multi.is_some() {
            self.error(session, &Error::Text("ERR MULTI calls can not be nested"), reply);
            return Flow::Next;
        }
        session.multi = Some(Multi::begin());
        session.client.multi.store(0, Relaxed);
        session.client.marks.set(Marks::MULTI, true);
        reply.ok();
        Flow::Next
    }

    /// Queues a command.
    pub(super) fn queue(&self, session: &mut Session, known: &Known, argv: Argv<'_>, reply: &mut Reply) {
        let Some(multi) = &mut session.multi else { return };
        let key = known.command.spec.keys.lone_in(argv.len()).map(|at| argv.key_hash(at));
        multi.push(known.index, key, argv.all());
        session.client.multi.store(multi.len() as i64, Relaxed);
        session.client.arg_bytes[1].store(multi.bytes() as u64, Relaxed);
        reply.queued();
    }

    pub(super) fn discard_multi(&self, session: &mut Session, reply: &mut Reply) -> LocalFlow<'_> {
        if session.multi.is_none() {
            self.error(session, &Error::Text("ERR DISCARD without MULTI"), reply);
        } else {
            self.leave_multi(session);
            reply.ok();
        }
        Flow::Next
    }

    /// Leaves MULTI and forgets what is watched.
    pub(super) fn leave_multi(&self, session: &mut Session) {
        if let Some(multi) = session.multi.take() {
            multi.end();
        }
        session.client.multi.store(-1, Relaxed);
        session.client.arg_bytes[1].store(0, Relaxed);
        session.client.marks.set(Marks::MULTI | Marks::DIRTY, false);
        self.forget_watched(session);
    }

    fn forget_watched(&self, session: &mut Session) {
        let Some(dirty) = session.dirty.take() else { return };
        for (db, key) in std::mem::take(&mut session.watched) {
            session.client.let_go(key.len());
            self.chore(Chore::Unwatch { db, key, dirty: dirty.clone() });
        }
        session.client.watching.store(0, Relaxed);
    }

    pub(super) fn watch(
        &self,
        session: &mut Session,
        known: &Known,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> LocalFlow<'_> {
        if session.multi.is_some() {
            self.error(session, &Error::Text("ERR WATCH inside MULTI is not allowed"), reply);
            return Flow::Next;
        }
        let dirty = session.dirty.get_or_insert_with(|| Arc::new(AtomicBool::new(false))).clone();
        let now_ms = self.node.clock.now_ms();
        for key in argv.rest(1) {
            let hash = key_hash(key);
            let locked = Txn::of_key(&self.node.keyspace, session.db, now_ms, hash);
            let Ok(mut txn) = locked else { return self.postpone(session) };
            if let Some(error) = self.revoked(session, known, argv.all()) {
                drop(txn);
                self.refuse(session, Some(known), &error, reply);
                return Flow::Next;
            }
            let is_new = txn.watch(key, &dirty);
            self.end(txn, Unit::default(), ());
            if is_new {
                session.client.keep(key.len());
                session.watched.push((session.db as u32, Box::from(*key)));
            }
        }
        session.client.watching.store(session.watched.len() as u32, Relaxed);
        reply.ok();
        Flow::Next
    }

    pub(super) fn unwatch(&self, session: &mut Session, reply: &mut Reply) -> LocalFlow<'_> {
        self.forget_watched(session);
        reply.ok();
        Flow::Next
    }

    /// RESET: the session is as new, but for its name in the registry.
    pub(super) fn reset(&self, session: &mut Session, reply: &mut Reply) -> LocalFlow<'_> {
        self.leave_multi(session);
        self.unsubscribe_all(session);
        let client = session.client.clone();
        if client.marks.any(Marks::MONITOR) {
            self.node.forget_monitor(client.id);
        }
        self.node.disable_tracking(session);
        client.marks.set(Marks::MONITOR | Marks::NO_EVICT | Marks::NO_TOUCH, false);
        client.labels.write().name.clear();
        session.select(0);
        session.set_proto(Proto::Resp2);
        reply.set_proto(Proto::Resp2);
        session.reply_mode = ReplyMode::On;
        // In this order: whoever changes that user after the look-up finds the client by its label.
        client.labels.write().user = DEFAULT.to_vec();
        session.set_user(self.node.acl.initial());
        reply.simple("RESET");
        Flow::Next
    }

    /// EXEC. It is shown to monitors after what it runs.
    pub(super) fn exec_multi(
        &self,
        session: &mut Session,
        known: &Known,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> LocalFlow<'_> {
        let name = argv.at(0);
        let aborted = match &session.multi {
            None => Some("ERR EXEC without MULTI"),
            Some(multi) if multi.aborted => Some("EXECABORT Transaction discarded because of previous errors."),
            Some(_) => None,
        };
        if let Some(text) = aborted {
            if session.multi.is_some() {
                self.leave_multi(session);
            }
            self.error(session, &Error::Text(text), reply);
            return self.end_exec(session, known.index, name, true);
        }
        let Some(queue) = session.multi.take() else { return Flow::Next };
        let mut txn = Txn::empty(&self.node.keyspace, session.db, session.moment.unix_ms());
        let Ok(token) = self.lock_multi(&mut txn, session, &queue) else {
            session.multi = Some(queue);
            return self.postpone(session);
        };
        let expired = session.watched.iter().any(|(db, key)| txn.is_expired(*db, key));
        if session.is_dirty() || expired {
            drop(txn);
            drop(token);
            self.leave_multi(session);
            reply.null_array();
            return self.end_exec(session, known.index, name, false);
        }
        txn.select(session.db);
        let mark = reply.mark();
        reply.array(queue.len());
        let name = SmallVec::from_slice(name);
        let exec = Exec { command: known.index, name, queue, at: 0, replies: Vec::new(), refused: false };
        self.go_on_exec(exec, txn, token, Unit::of(&session.client), session, reply, mark)
    }

    /// Runs what is left of a queue, up to its end or something that takes long. The replies begin at the mark.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn go_on_exec<'e>(
        &'e self,
        mut exec: Exec,
        mut txn: Txn<'e>,
        mut token: Option<MutexGuard<'e, Host>>,
        mut unit: Unit,
        session: &mut Session,
        reply: &mut Reply,
        mark: Mark,
    ) -> LocalFlow<'e> {
        while exec.at < exec.queue.len() {
            let queued = exec.queue.get(exec.at);
            let known = self.commands.get(queued.number);
            let argv = argv_of(&queued, known);
            if let Some(error) = self.judge_queued(session, known, argv.all()) {
                self.error(session, &error, reply);
                exec.refused = true;
                exec.at += 1;
                continue;
            }
            let hands = Hands { txn: &mut txn, host: token.as_deref_mut(), unit: &mut unit };
            match self.exec_one(hands, session, known, argv, reply) {
                Step::Ended(failed) => self.account(session, known, argv.all(), failed),
                Step::Late(work) => match token {
                    Some(host) => {
                        drop(queued);
                        let then = Then::Exec(exec.freeze(reply, mark));
                        return Flow::Frozen(Frozen::new(self, txn, host, unit, work, then));
                    }
                    None => break,
                },
            }
            exec.at += 1;
        }
        self.end_unit(txn, token, unit);
        self.leave_multi(session);
        exec.queue.end();
        self.end_exec(session, exec.command, &exec.name, exec.refused)
    }

    /// Counts a queued command that was frozen and has run.
    pub(super) fn end_queued(&self, exec: &mut Exec, session: &mut Session, failed: bool) {
        let queued = exec.queue.get(exec.at);
        self.account(session, self.commands.get(queued.number), &queued.argv, failed);
        exec.at += 1;
    }

    fn end_exec(&self, session: &mut Session, command: u16, name: &[u8], failed: bool) -> LocalFlow<'_> {
        let known = self.commands.get(command);
        self.feed_monitors(session, known, &[name]);
        self.account(session, known, &[name], failed);
        Flow::Next
    }

    /// Takes what an EXEC needs: the token if anything in it does, and the shards of all keys queued and watched.
    fn lock_multi<'k>(
        &'k self,
        txn: &mut Txn<'k>,
        session: &Session,
        queue: &Multi,
    ) -> Result<Option<MutexGuard<'k, Host>>, Held> {
        let keyspace = &self.node.keyspace;
        let mut knowns = queue.numbers().map(|index| self.commands.get(index));
        let is_wide = queue.numbers().any(|index| self.commands.get(index).command.spec.keys.is_wide());
        let mut token = None;
        if is_wide || knowns.any(|known| known.command.wants_token()) {
            token = Some(self.node.wait_token()?);
        }
        if is_wide {
            txn.enter_all();
            return Ok(token);
        }
        let shard_of = |hash: u64| keyspace.shard_of(hash) as u32;
        let mut shards: SmallVec<[u32; 8]> = session.watched.iter().map(|(_, key)| shard_of(key_hash(key))).collect();
        for (at, (number, key)) in queue.keys().enumerate() {
            match (self.commands.get(number).command.spec.keys, key) {
                (_, Some(hash)) => shards.push(shard_of(hash)),
                (Keys::None, None) => {}
                (keys, None) => {
                    let argv = queue.get(at).argv;
                    let found = keys.find(&argv).unwrap_or_default();
                    shards.extend(found.into_iter().map(|(at, _)| shard_of(key_hash(argv[at]))));
                }
            }
        }
        shards.sort_unstable();
        shards.dedup();
        txn.enter_several(&shards)?;
        Ok(token)
    }

    fn exec_one<'e>(
        &'e self,
        hands: Hands<'_, 'e>,
        session: &mut Session,
        known: &'e Known,
        argv: Argv<'_>,
        replies: &mut Reply,
    ) -> Step {
        hands.txn.select(session.db);
        match known.command.run {
            Run::Engine(EngineOp::Unwatch) => {
                self.feed_monitors(session, known, argv.all());
                replies.ok();
                Step::Ended(false)
            }
            Run::Engine(EngineOp::Script(call)) => self.run_script(hands, session, known, call, argv, replies),
            Run::Engine(_) | Run::Container => {
                self.error(session, &Error::Text("ERR This command is not allowed here"), replies);
                Step::Ended(true)
            }
            Run::Handler(_) | Run::Hosted(_) | Run::Remote(_) => {
                self.prepare(hands.txn, session, known, argv);
                let (outcome, failed) = self.call(hands, session, known, argv, replies, Origin::Exec);
                self.feed_monitors(session, known, argv.all());
                match outcome {
                    Outcome::Block(block) => reply_timeout(block.on_timeout, replies),
                    Outcome::Done | Outcome::Sleep(_) | Outcome::Held => {}
                    Outcome::Migrate(migration) => return Step::Late(Work::Migration(Some(migration))),
                    Outcome::Shutdown => session.closing = true,
                }
                Step::Ended(failed)
            }
        }
    }
}
