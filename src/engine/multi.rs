//! MULTI and EXEC: a queue of commands run as one unit under one lock set.
//!
//! The lock set of EXEC is the union of the keys of its queue and of the watched keys; whether something watched has
//! changed is judged under it. A queue that holds a command on the whole keyspace, or something that may take long,
//! takes the script token first.

use super::commit::Unit;
use super::exec::reply_timeout;
use super::script::frozen::{Frozen, Then, Work};
use super::script::{Hands, Step};
use super::{Engine, Flow, LocalFlow};
use crate::acl::user::DEFAULT;
use crate::client::{Marks, Multi, ReplyMode, Session};
use crate::command::args::Argv;
use crate::command::ctx::{Origin, Outcome};
use crate::command::error::Error;
use crate::command::{EngineOp, Known, Run};
use crate::keyspace::{Held, Txn};
use crate::node::stage::Chore;
use crate::resp::reply::{Proto, Reply};
use crate::script::Host;
use parking_lot::MutexGuard;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether a command runs at once although its session is inside MULTI.
pub(super) fn runs_inside(known: &Known) -> bool {
    match known.command.run {
        Run::Engine(EngineOp::Unwatch | EngineOp::Script(_)) => false,
        Run::Engine(_) => true,
        _ => &*known.name == "quit",
    }
}

/// Whether a command ends MULTI rather than adding to it.
pub(super) fn leaves(known: &Known) -> bool {
    runs_inside(known) && !matches!(known.command.run, Run::Engine(EngineOp::Multi | EngineOp::Watch))
}

/// An EXEC under way.
pub(super) struct Exec {
    /// EXEC as the client spelled it.
    name: Vec<u8>,
    queue: Vec<(u16, Vec<Vec<u8>>)>,
    /// The command that runs, or runs next.
    at: usize,
    replies: Reply,
    /// Its user may no longer run some of it.
    refused: bool,
}

impl Exec {
    /// The command that runs.
    pub(super) fn current(&self) -> &[Vec<u8>] {
        self.queue.get(self.at).map_or(&[], |(_, argv)| argv)
    }
}

impl Engine {
    pub(super) fn begin_multi(&self, session: &mut Session, reply: &mut Reply) -> LocalFlow<'_> {
        if session.multi.is_some() {
            self.error(session, &Error::Text("ERR MULTI calls can not be nested"), reply);
            return Flow::Next;
        }
        session.multi = Some(Box::default());
        session.client.multi.store(0, Relaxed);
        session.client.marks.set(Marks::MULTI, true);
        reply.ok();
        Flow::Next
    }

    /// Queues a command.
    pub(super) fn queue(&self, session: &mut Session, known: &Known, argv: Argv<'_>, reply: &mut Reply) {
        let Some(multi) = &mut session.multi else { return };
        multi.bytes += argv.all().iter().map(|a| a.len() + std::mem::size_of::<Vec<u8>>()).sum::<usize>();
        multi.queue.push((known.index, argv.all().iter().map(|a| a.to_vec()).collect()));
        session.client.multi.store(multi.queue.len() as i64, Relaxed);
        session.client.arg_bytes[1].store(multi.bytes as u64, Relaxed);
        reply.simple("QUEUED");
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
        session.multi = None;
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
            let at = (session.db as u32, Box::from(*key));
            if session.watched.contains(&at) {
                continue;
            }
            let hash = crate::base::hash::key_hash(key);
            let locked = Txn::of_key(&self.node.keyspace, session.db, now_ms, hash);
            let Ok(mut txn) = locked else { return self.postpone(session) };
            if let Some(error) = self.revoked(session, known, argv.all()) {
                drop(txn);
                self.refuse(session, Some(known), &error, reply);
                return Flow::Next;
            }
            txn.watch(key, &dirty);
            let ready = self.commit(txn, Unit::default());
            self.serve_ready(ready);
            session.client.keep(key.len());
            session.watched.push(at);
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
    pub(super) fn exec_multi(&self, session: &mut Session, argv: Argv<'_>, reply: &mut Reply) -> LocalFlow<'_> {
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
            return self.end_exec(session, name, true);
        }
        let Some(multi) = session.multi.take() else { return Flow::Next };
        let now_ms = self.node.clock.now_ms();
        let (mut txn, token) = match self.lock_multi(session, &multi, now_ms) {
            Ok(held) => held,
            Err(Held) => {
                session.multi = Some(multi);
                return self.postpone(session);
            }
        };
        let expired = session.watched.iter().any(|(db, key)| txn.is_expired(*db, key));
        if session.is_dirty() || expired {
            drop(txn);
            drop(token);
            self.leave_multi(session);
            reply.null_array();
            return self.end_exec(session, name, false);
        }
        txn.select(session.db);
        let mut replies = Reply::new(reply.proto());
        replies.array(multi.queue.len());
        let exec = Box::new(Exec { name: name.to_vec(), queue: multi.queue, at: 0, replies, refused: false });
        self.go_on_exec(exec, txn, token, Unit::of(&session.client), session, reply)
    }

    /// Runs what is left of a queue, up to its end or something that takes long.
    pub(super) fn go_on_exec<'e>(
        &'e self,
        mut exec: Box<Exec>,
        mut txn: Txn<'e>,
        mut token: Option<MutexGuard<'e, Host>>,
        mut unit: Unit,
        session: &mut Session,
        reply: &mut Reply,
    ) -> LocalFlow<'e> {
        while exec.at < exec.queue.len() {
            if self.refuse_queued(&mut exec, session) {
                continue;
            }
            match self.exec_one(&mut exec, &mut txn, token.as_deref_mut(), session, &mut unit) {
                Step::Ended(failed) => self.end_queued(&mut exec, session, Reply::default(), failed),
                Step::Late(work) => match token {
                    Some(host) => return Flow::Frozen(Frozen::new(self, txn, host, unit, work, Then::Exec(exec))),
                    None => break,
                },
            }
        }
        reply.append(&mut exec.replies);
        self.end_unit(txn, token, unit);
        self.leave_multi(session);
        self.end_exec(session, &exec.name, exec.refused)
    }

    /// Steps over a queued command that the session's user may no longer run.
    fn refuse_queued(&self, exec: &mut Exec, session: &mut Session) -> bool {
        let (index, argv) = &exec.queue[exec.at];
        let slices: SmallVec<[&[u8]; 8]> = argv.iter().map(Vec::as_slice).collect();
        let Some(error) = self.judge_queued(session, self.commands.get(*index), &slices) else { return false };
        self.error(session, &error, &mut exec.replies);
        exec.at += 1;
        exec.refused = true;
        true
    }

    /// Counts a queued command that has run, and adds the rest of its reply.
    pub(super) fn end_queued(&self, exec: &mut Exec, session: &mut Session, mut last: Reply, failed: bool) {
        exec.replies.append(&mut last);
        let (index, argv) = &exec.queue[exec.at];
        let slices: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        self.account(session, self.commands.get(*index), &slices, failed);
        exec.at += 1;
    }

    fn end_exec(&self, session: &mut Session, name: &[u8], failed: bool) -> LocalFlow<'_> {
        if let Some(known) = self.commands.find(name) {
            self.feed_monitors(session, known, &[name]);
            self.account(session, known, &[name], failed);
        }
        Flow::Next
    }

    /// Takes what an EXEC needs: the token if anything in it does, and the shards of all keys queued and watched.
    fn lock_multi<'k>(
        &'k self,
        session: &Session,
        multi: &Multi,
        now_ms: u64,
    ) -> Result<(Txn<'k>, Option<MutexGuard<'k, Host>>), Held> {
        let keyspace = &self.node.keyspace;
        let knowns: SmallVec<[&Known; 8]> = multi.queue.iter().map(|(i, _)| self.commands.get(*i)).collect();
        let is_wide = knowns.iter().any(|k| k.command.spec.keys.is_wide());
        let mut token = None;
        if is_wide || knowns.iter().any(|k| k.command.wants_token()) {
            token = Some(self.node.wait_token()?);
        }
        if is_wide {
            return Ok((Txn::all(keyspace, session.db, now_ms), token));
        }
        let mut keys: Vec<&[u8]> = session.watched.iter().map(|(_, k)| &**k).collect();
        for ((_, argv), known) in multi.queue.iter().zip(knowns) {
            let slices: SmallVec<[&[u8]; 8]> = argv.iter().map(Vec::as_slice).collect();
            for (index, _) in known.command.spec.keys.find(&slices).unwrap_or_default() {
                keys.push(&argv[index]);
            }
        }
        let shards = Txn::shards_of(keyspace, keys.into_iter());
        Ok((Txn::of_shards(keyspace, session.db, now_ms, &shards)?, token))
    }

    fn exec_one<'e>(
        &'e self,
        exec: &mut Exec,
        txn: &mut Txn<'e>,
        host: Option<&mut Host>,
        session: &mut Session,
        unit: &mut Unit,
    ) -> Step {
        let Exec { queue, at, replies, .. } = exec;
        let (index, argv) = &queue[*at];
        let known = self.commands.get(*index);
        let slices: SmallVec<[&[u8]; 8]> = argv.iter().map(Vec::as_slice).collect();
        let argv = Argv::new(&slices);
        self.feed_monitors(session, known, &slices);
        txn.select(session.db);
        match (known.command.run, host) {
            (Run::Engine(EngineOp::Unwatch), _) => {
                replies.ok();
                Step::Ended(false)
            }
            (Run::Engine(EngineOp::Script(call)), Some(host)) => {
                self.run_script(Hands { txn, host, unit }, session, known, call, argv, replies)
            }
            (Run::Engine(_) | Run::Container, _) => {
                self.error(session, &Error::Text("ERR This command is not allowed here"), replies);
                Step::Ended(true)
            }
            (Run::Handler(_) | Run::Hosted(_) | Run::Remote(_), host) => {
                self.prepare(txn, session, known);
                let (outcome, failed) = self.call(txn, host, session, known, argv, replies, Origin::Exec, unit);
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
