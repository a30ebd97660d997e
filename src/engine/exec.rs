//! Lock, run, commit: one command under the locks of its keys.

use super::commit::Unit;
use super::hands::Hands;
use super::redact::redact;
use super::script::frozen::{Frozen, Then, Work};
use super::{Engine, Flow, LocalFlow};
use crate::client::{Marks, Session};
use crate::command::args::Argv;
use crate::command::ctx::{Block, Ctx, Origin, Outcome, TimeoutReply};
use crate::command::error::Error;
use crate::command::{Known, Run};
use crate::keyspace::{Held, Txn};
use crate::resp::reply::{Proto, Reply};
use crate::spec::{Flags, Keys};
use crate::stats::slowlog::{Slow, shorten};
use std::sync::atomic::Ordering::Relaxed;

impl Engine {
    /// Runs one command of a client by itself.
    pub(super) fn run_single<'e>(
        &'e self,
        session: &mut Session,
        known: &'e Known,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> LocalFlow<'e> {
        let now_ms = session.moment.unix_ms();
        let wants_token = known.command.spec.keys.holds_all() || known.command.wants_token();
        let mut token = None;
        if wants_token {
            let Ok(host) = self.node.wait_token() else { return self.postpone(session) };
            token = Some(host);
        }
        let mut txn = Txn::empty(&self.node.keyspace, session.db, now_ms);
        let Ok(()) = self.lock_for(&mut txn, known, argv) else { return self.postpone(session) };
        if let Some(error) = self.revoked(session, known, argv.all()) {
            drop(txn);
            drop(token);
            self.refuse(session, Some(known), &error, reply);
            return Flow::Next;
        }
        self.prepare(&mut txn, session, known, argv);
        let mut unit = Unit::of(&session.client);
        let hands = Hands { txn: &mut txn, host: token.as_deref_mut(), unit: &mut unit };
        let (outcome, failed) = self.call_here(hands, session, known, argv, reply, Origin::Client);
        // Afterwards: SELECT is shown in its new database, and what has to come again is shown once.
        if !matches!(outcome, Outcome::Held) {
            self.feed_monitors(session, known, argv.all());
        }
        let mut flow = match outcome {
            Outcome::Done => Flow::Next,
            Outcome::Sleep(ms) => Flow::Sleep(ms),
            Outcome::Shutdown => Flow::Shutdown,
            Outcome::Block(block) => Flow::Blocked(self.park(&mut txn, session, known, argv, *block)),
            Outcome::Held => return self.postpone(session),
            Outcome::Migrate(migration) => {
                let host = token.expect("its row says that the token is taken");
                let argv = argv.all().iter().map(|arg| arg.to_vec()).collect();
                let work = Work::Migration(Some(migration));
                return Flow::Frozen(Frozen::new(self, txn, host, unit, work, Then::Alone { known, argv }));
            }
        };
        let ready = self.commit(&mut txn, unit);
        txn.release();
        drop(token);
        self.serve_ready(ready);
        match &mut flow {
            // It counts when it no longer waits.
            Flow::Blocked(parked) => parked.nanos = self.spent(session),
            _ => self.account(session, known, argv.all(), failed),
        }
        flow
    }

    /// Takes the shards of a request's keys for a transaction that has none yet, unless a frozen script holds one. The
    /// token is in hand where the command wants it.
    #[inline(always)]
    pub(super) fn lock_for<'k>(&'k self, txn: &mut Txn<'k>, known: &Known, argv: Argv<'_>) -> Result<(), Held> {
        let keys = &known.command.spec.keys;
        if let Some(index) = keys.lone_in(argv.len()) {
            return txn.enter_at(argv.key_hash(index));
        }
        match keys {
            Keys::None | Keys::Walk => Ok(()),
            Keys::All | Keys::AllShowing(..) => {
                txn.enter_all();
                Ok(())
            }
            keys => self.lock_all_of(txn, keys, argv),
        }
    }

    #[inline(never)]
    fn lock_all_of<'k>(&'k self, txn: &mut Txn<'k>, keys: &Keys, argv: Argv<'_>) -> Result<(), Held> {
        // A request whose keys cannot be told is left to its handler, which has the right error for it.
        let found = keys.find(argv.all()).unwrap_or_default();
        if let [(index, _)] = found[..] {
            return txn.enter_at(argv.key_hash(index));
        }
        let shards = Txn::shards_of(&self.node.keyspace, found.iter().map(|(i, _)| argv.key_hash(*i)));
        txn.enter_several(&shards)
    }

    /// Tells a transaction what the client and the command want of it.
    #[inline]
    pub(super) fn prepare(&self, txn: &mut Txn<'_>, session: &Session, known: &Known, argv: Argv<'_>) {
        if let Some(index) = known.command.spec.keys.lone_in(argv.len()) {
            txn.know(argv.all()[index], argv.key_hash(index));
        }
        txn.no_touch = session.client.marks.any(Marks::NO_TOUCH) && &*known.name != "touch"
            || known.command.spec.flags.has(Flags::NO_TOUCH);
        // One DEBUG OBJECT of an EXEC or a script sees expired keys; what follows it does not.
        txn.ignore_deadlines = false;
        txn.keep_expired = self.node.generation.load(Relaxed) != 0 && self.node.paused(true, txn.now_ms()).is_some();
    }

    /// Runs a handler, which may need the script host; an error becomes its reply. What it changed is added to the unit.
    /// Also says whether it failed.
    #[inline(never)]
    pub(super) fn call<'k>(
        &'k self,
        hands: Hands<'_, 'k>,
        session: &mut Session,
        known: &Known,
        argv: Argv<'_>,
        reply: &mut Reply,
        origin: Origin,
    ) -> (Outcome, bool) {
        let Hands { txn, host, unit } = hands;
        let hands = Hands { txn: &mut *txn, host, unit };
        let done = self.call_here(hands, session, known, argv, reply, origin);
        // The transaction goes on, and the arguments need not.
        txn.forget();
        done
    }

    /// The same as a part of the caller: most commands are run in one place.
    #[inline(always)]
    fn call_here<'k>(
        &'k self,
        hands: Hands<'_, 'k>,
        session: &mut Session,
        known: &Known,
        argv: Argv<'_>,
        reply: &mut Reply,
        origin: Origin,
    ) -> (Outcome, bool) {
        let Hands { txn, host, unit } = hands;
        let mark = reply.mark();
        let dirty = txn.dirty();
        let db = txn.db();
        let mut ctx = Ctx {
            args: argv,
            txn,
            reply,
            node: &self.node,
            commands: &self.commands,
            host,
            session,
            origin,
            rewrite: Default::default(),
        };
        let result = match known.command.run {
            Run::Handler(handler) | Run::Remote(handler) => handler(&mut ctx),
            Run::Hosted(handler) => match ctx.host.take() {
                Some(host) => handler(&mut ctx, host),
                None => Err(Error::Text("ERR This command is not allowed here")),
            },
            _ => Err(Error::Text("ERR This command is not allowed here")),
        };
        let rewrite = std::mem::take(&mut ctx.rewrite);
        if session.client.marks.any(Marks::TRACKING) && known.command.spec.flags.has(Flags::READONLY) {
            self.remember_reads(txn, session, known, argv);
        }
        // A handler may have looked at another database (MOVE, COPY); its request belongs to its own.
        txn.select(db);
        if txn.is_logged() {
            unit.add(txn, known, argv, rewrite, txn.dirty() > dirty);
        }
        match result {
            Ok(Outcome::Block(block)) if !matches!(origin, Origin::Client | Origin::Served) => {
                reply_timeout(block.on_timeout, reply);
                (Outcome::Done, false)
            }
            Ok(outcome) => (outcome, false),
            Err(Error::Held) if origin == Origin::Client => {
                reply.truncate(mark);
                (Outcome::Held, false)
            }
            Err(error) => {
                reply.truncate(mark);
                self.error(session, &error, reply);
                (Outcome::Done, true)
            }
        }
    }

    /// Remembers what a client that tracks has read. The shards of the keys are held.
    #[cold]
    fn remember_reads(&self, txn: &mut Txn<'_>, session: &Session, known: &Known, argv: Argv<'_>) {
        let marks = &session.client.marks;
        let caching = marks.any(Marks::TRACKING_CACHING);
        let (optin, optout) = (marks.any(Marks::TRACKING_OPTIN), marks.any(Marks::TRACKING_OPTOUT));
        if marks.any(Marks::TRACKING_BCAST) || (optin && !caching) || (optout && caching) {
            return;
        }
        // What this unit has changed before is no change of what is read now.
        self.invalidate_read(txn.modified_mut(), session.client.id);
        let found = known.command.spec.keys.find(argv.all()).unwrap_or_default();
        for (at, _) in found.iter().filter(|(_, access)| !access.is_channel()) {
            self.node.pubsub.tracking.remember(argv.at(*at), session.client.id);
        }
    }

    /// Nanoseconds since the session's moment; the next call begins now.
    fn spent(&self, session: &mut Session) -> u64 {
        let now_ns = self.node.clock.monotonic_ns();
        let nanos = now_ns.saturating_sub(session.moment.ns);
        session.moment = session.moment.at(now_ns);
        nanos
    }

    /// Counts one call, which began at the session's moment: statistics, slow log, latency monitor. The next one begins
    /// now.
    #[inline]
    pub(super) fn account(&self, session: &mut Session, known: &Known, argv: &[&[u8]], failed: bool) {
        let nanos = self.spent(session);
        self.account_spent(session, known, argv, failed, nanos);
    }

    /// Counts one call that took so long.
    #[inline(always)]
    pub(super) fn account_spent(&self, session: &Session, known: &Known, argv: &[&[u8]], failed: bool, nanos: u64) {
        let node = &self.node;
        let worker = node.stats.worker(session.client.worker());
        worker.commands.add(1);
        worker.command_max.raise(nanos);
        let count = &worker.by_command[known.index as usize];
        count.calls.add(1);
        count.nanos.add(nanos);
        count.failed.add(failed as u64);
        if node.config.latency_tracking.get() {
            count.histogram.record(nanos);
        }
        let slow_us = node.config.slowlog_log_slower_than.get();
        let latency_ms = node.config.latency_monitor_threshold.get();
        if slow_us >= 0
            && nanos >= (slow_us as u64).saturating_mul(1000)
            && !known.command.spec.flags.has(Flags::SKIP_SLOWLOG)
        {
            self.note_slow(session, known, argv, nanos / 1000);
        }
        if latency_ms > 0 && nanos >= (latency_ms as u64).saturating_mul(1_000_000) {
            self.note_latency_of(known, nanos / 1000);
        }
    }

    #[cold]
    fn note_latency_of(&self, known: &Known, micros: u64) {
        let event = if known.command.spec.flags.has(Flags::FAST) { "fast-command" } else { "command" };
        self.node.stats.latency.add(event, self.node.clock.now_ms() / 1000, micros / 1000);
    }

    #[cold]
    fn note_slow(&self, session: &Session, known: &Known, argv: &[&[u8]], micros: u64) {
        let node = &self.node;
        // A script's commands have no client of their own.
        let (addr, name) = match session.in_script {
            true => Default::default(),
            false => (session.client.addr.clone(), session.client.labels.read().name.clone()),
        };
        let slow =
            Slow { id: 0, at_s: node.clock.now_ms() / 1000, micros, argv: shorten(&redact(known, argv)), addr, name };
        node.stats.slowlog.add(node.config.slowlog_max_len.get().max(0) as usize, slow);
    }

    /// Shows a request to the clients that run MONITOR.
    #[inline]
    pub(super) fn feed_monitors(&self, session: &Session, known: &Known, argv: &[&[u8]]) {
        if self.node.monitored.load(Relaxed) && !known.command.spec.flags.any(Flags::SKIP_MONITOR.and(Flags::ADMIN)) {
            self.show_to_monitors(session, known, argv);
        }
    }

    /// The same whatever the flags of the command say.
    #[cold]
    pub(super) fn show_to_monitors(&self, session: &Session, known: &Known, argv: &[&[u8]]) {
        if !self.node.monitored.load(Relaxed) {
            return;
        }
        let monitors = self.node.monitors.read();
        if monitors.is_empty() {
            return;
        }
        let us = self.node.clock.now_us();
        let source = if session.in_script { "lua" } else { session.client.addr.as_str() };
        let mut line = format!("+{}.{:06} [{} {}]", us / 1_000_000, us % 1_000_000, session.db, source).into_bytes();
        for arg in redact(known, argv).iter() {
            line.push(b' ');
            crate::base::bytes::push_quoted(&mut line, arg);
        }
        line.extend_from_slice(b"\r\n");
        monitors.iter().for_each(|m| m.push(&line));
    }
}

/// The reply of a command that gave up waiting.
pub(super) fn reply_timeout(kind: TimeoutReply, reply: &mut Reply) {
    match kind {
        TimeoutReply::NullArray => reply.null_array(),
        TimeoutReply::Null => reply.null(),
        TimeoutReply::Ok => reply.ok(),
        TimeoutReply::Zero => reply.int(0),
        TimeoutReply::TwoZeros => {
            reply.array(2);
            reply.int(0);
            reply.int(0);
        }
    }
}

/// The same as bytes.
pub(super) fn timeout_bytes(block: &Block, proto: Proto) -> Vec<u8> {
    let mut reply = Reply::new(proto);
    reply_timeout(block.on_timeout, &mut reply);
    reply.take()
}
