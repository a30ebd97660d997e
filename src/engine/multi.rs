//! MULTI and EXEC: a queue of commands run as one unit under one lock set.
//!
//! The lock set of EXEC is the union of the keys of its queue and of the watched keys; whether something watched has
//! changed is judged under it. A queue that holds a command on the whole keyspace, or a script, takes the script token
//! first.

use super::commit::Unit;
use super::exec::reply_timeout;
use super::{Engine, gate};
use crate::client::{Marks, Multi, ReplyMode, Session};
use crate::command::args::Argv;
use crate::command::ctx::{Origin, Outcome};
use crate::command::error::Error;
use crate::command::{EngineOp, Known, Run};
use crate::keyspace::Txn;
use crate::resp::reply::{Proto, Reply};
use crate::script::Host;
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

impl Engine {
    pub(super) fn begin_multi(&self, session: &mut Session, reply: &mut Reply) {
        if session.multi.is_some() {
            return self.error(session, &Error::Text("ERR MULTI calls can not be nested"), reply);
        }
        session.multi = Some(Box::default());
        session.client.multi.store(0, Relaxed);
        session.client.marks.set(Marks::MULTI, true);
        reply.ok();
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

    pub(super) fn discard_multi(&self, session: &mut Session, reply: &mut Reply) {
        if session.multi.is_none() {
            self.error(session, &Error::Text("ERR DISCARD without MULTI"), reply);
            return;
        }
        self.leave_multi(session);
        reply.ok();
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
        let now_ms = self.node.clock.now_ms();
        for (db, key) in std::mem::take(&mut session.watched) {
            let hash = crate::base::hash::key_hash(&key);
            session.client.let_go(key.len());
            Txn::one(&self.node.keyspace, db as usize, now_ms, hash).unwatch(db, &key, &dirty);
        }
        session.client.watching.store(0, Relaxed);
    }

    pub(super) fn watch(&self, session: &mut Session, argv: Argv<'_>, reply: &mut Reply) {
        if session.multi.is_some() {
            return self.error(session, &Error::Text("ERR WATCH inside MULTI is not allowed"), reply);
        }
        let dirty = session.dirty.get_or_insert_with(|| Arc::new(AtomicBool::new(false))).clone();
        let now_ms = self.node.clock.now_ms();
        for key in argv.rest(1) {
            let at = (session.db as u32, Box::from(*key));
            if session.watched.contains(&at) {
                continue;
            }
            let hash = crate::base::hash::key_hash(key);
            let mut txn = Txn::one(&self.node.keyspace, session.db, now_ms, hash);
            txn.watch(key, &dirty);
            let ready = self.commit(txn, Unit::default());
            self.serve_ready(ready);
            session.client.keep(key.len());
            session.watched.push(at);
        }
        session.client.watching.store(session.watched.len() as u32, Relaxed);
        reply.ok();
    }

    pub(super) fn unwatch(&self, session: &mut Session, reply: &mut Reply) {
        self.forget_watched(session);
        reply.ok();
    }

    /// RESET: the session is as new, but for its name in the registry.
    pub(super) fn reset(&self, session: &mut Session, reply: &mut Reply) {
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
        session.user = self.node.acl.initial();
        client.labels.write().user = b"default".to_vec();
        reply.simple("RESET");
    }

    pub(super) fn exec_multi(&self, session: &mut Session, reply: &mut Reply) {
        let Some(multi) = session.multi.take() else {
            self.error(session, &Error::Text("ERR EXEC without MULTI"), reply);
            return;
        };
        if multi.aborted {
            self.leave_multi(session);
            let text = Error::Text("EXECABORT Transaction discarded because of previous errors.");
            self.error(session, &text, reply);
            return;
        }
        let now_ms = self.node.clock.now_ms();
        let knowns: Vec<&Known> = multi.queue.iter().map(|(i, _)| self.commands.get(*i)).collect();
        let wants_token = knowns.iter().any(|k| k.command.spec.keys.is_wide() || k.command.is_hosted());
        let mut token = wants_token.then(|| self.node.token.lock());
        let mut txn = self.lock_multi(session, &multi, &knowns, now_ms);
        let expired = session.watched.iter().any(|(db, key)| txn.is_expired(*db, key));
        if session.is_dirty() || expired {
            drop(txn);
            drop(token);
            self.leave_multi(session);
            reply.null_array();
            return;
        }
        let mut unit = Unit::of(&session.client);
        reply.array(multi.queue.len());
        for ((_, argv), known) in multi.queue.iter().zip(&knowns) {
            self.exec_one(&mut txn, token.as_deref_mut(), session, known, argv, reply, &mut unit);
        }
        let ready = self.commit(txn, unit);
        drop(token);
        self.leave_multi(session);
        self.serve_ready(ready);
    }

    fn lock_multi<'k>(&'k self, session: &Session, multi: &Multi, knowns: &[&Known], now_ms: u64) -> Txn<'k> {
        let keyspace = &self.node.keyspace;
        if knowns.iter().any(|k| k.command.spec.keys.is_wide()) {
            return Txn::all(keyspace, session.db, now_ms);
        }
        let mut keys: Vec<&[u8]> = session.watched.iter().map(|(_, k)| &**k).collect();
        for ((_, argv), known) in multi.queue.iter().zip(knowns) {
            let slices: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
            for (index, _) in known.command.spec.keys.find(&slices).unwrap_or_default() {
                keys.push(slices[index]);
            }
        }
        let shards = Txn::shards_of(keyspace, keys.into_iter());
        Txn::lock(keyspace, session.db, now_ms, &shards)
    }

    #[allow(clippy::too_many_arguments)]
    fn exec_one<'k>(
        &'k self,
        txn: &mut Txn<'k>,
        host: Option<&mut Host>,
        session: &mut Session,
        known: &Known,
        argv: &[Vec<u8>],
        reply: &mut Reply,
        unit: &mut Unit,
    ) {
        let slices: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let argv = Argv::new(&slices);
        let mut failed = true;
        self.feed_monitors(session, known, &slices);
        match (known.command.run, host) {
            (Run::Engine(EngineOp::Unwatch), _) => {
                failed = false;
                reply.ok();
            }
            (Run::Engine(EngineOp::Script(call)), Some(host)) => {
                txn.select(session.db);
                failed = self.run_script(txn, host, session, known, call, argv, reply, unit);
            }
            (Run::Engine(_) | Run::Container, _) => {
                self.error(session, &gate::NOAUTH, reply);
            }
            (Run::Handler(_) | Run::Hosted(_), host) => {
                txn.select(session.db);
                self.prepare(txn, session, known);
                let (outcome, error) = self.call(txn, host, session, known, argv, reply, Origin::Exec, unit);
                failed = error;
                match outcome {
                    Outcome::Block(block) => reply_timeout(block.on_timeout, reply),
                    Outcome::Done | Outcome::Sleep(_) => {}
                    Outcome::Shutdown => session.closing = true,
                }
            }
        }
        if failed {
            self.node.stats.worker(session.client.worker).exec_errors.add(1);
        }
        self.account(session, known, &slices, failed);
    }
}
