//! Park, serve, time out: commands that wait for a key.
//!
//! A command that finds nothing parks a ticket under each of its keys before its shards are unlocked, so no wake-up is
//! lost. When a commit finds a waiter of a changed key, it runs the waiter's command again for it, first come first:
//! within the pusher's own transaction when the shards needed are free, otherwise right after, with empty hands. The
//! reply goes to the sleeper. A ticket is taken once (`keyspace/waiters.rs`).

use super::Engine;
use super::commit::{Ready, Unit};
use super::exec::timeout_bytes;
use super::hands::Hands;
use crate::acl::user::User;
use crate::base::hash::key_hash;
use crate::client::{Client, Marks, Session, Sleep};
use crate::command::Known;
use crate::command::args::Argv;
use crate::command::ctx::{Block, Origin, Outcome};
use crate::keyspace::waiters::Ticket;
use crate::keyspace::{Held, Txn};
use crate::node::stage::Chore;
use crate::resp::reply::{Proto, Reply};
use crate::types::Kind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a parked client waits with.
pub struct Parked {
    /// Where its reply will be.
    pub sleep: Arc<Sleep>,
    /// Its place in the queues.
    pub ticket: Arc<Ticket>,
    /// Unix time in milliseconds after which it gives up.
    pub deadline_ms: Option<u64>,
    /// What it answers then.
    pub timeout_reply: Vec<u8>,
    /// How long it ran before it parked, in nanoseconds.
    pub(super) nanos: u64,
    command: u16,
    /// The request, for the slow log.
    argv: Vec<Vec<u8>>,
    db: u32,
    keys: Vec<Vec<u8>>,
}

/// What is needed to serve a ticket: the command, and who asked.
struct Sleeper {
    client: Arc<Client>,
    user: Option<Arc<User>>,
    sleep: Arc<Sleep>,
    db: usize,
    proto: Proto,
    command: u16,
    /// What the key has to hold before the command is run again.
    kind: Option<Kind>,
    argv: Vec<Vec<u8>>,
}

/// How serving one ticket went.
enum Served {
    /// It has its reply.
    Yes,
    /// Still nothing for it.
    No,
    /// Its shards are not at hand.
    Busy,
}

impl Engine {
    /// Parks a command under its keys. The shards are held.
    pub(super) fn park(
        &self,
        txn: &mut Txn<'_>,
        session: &Session,
        known: &Known,
        argv: Argv<'_>,
        block: Block,
    ) -> Box<Parked> {
        let sleep = Arc::new(Sleep::default());
        let timeout_reply = timeout_bytes(&block, session.proto);
        let request: Vec<Vec<u8>> = argv.all().iter().map(|a| a.to_vec()).collect();
        let sleeper = Sleeper {
            client: session.client.clone(),
            user: session.user.clone(),
            sleep: sleep.clone(),
            db: session.db,
            proto: session.proto,
            command: known.index,
            kind: block.kind,
            argv: block.argv.unwrap_or_else(|| request.clone()),
        };
        let ticket = Ticket::new(Box::new(sleeper), block.on_gone);
        for key in &block.keys {
            txn.waiters_of(key).park(session.db as u32, key, ticket.clone());
        }
        if block.until_freed {
            let (ticket, sleep) = (ticket.clone(), sleep.clone());
            let (client, reply) = (session.client.clone(), timeout_reply.clone());
            self.node.keyspace.later.when_freed(move || {
                if ticket.begin() {
                    *sleep.reply.lock() = Some(reply);
                    ticket.finish();
                    client.mailbox.ring();
                }
            });
        }
        session.client.marks.set(Marks::BLOCKED, true);
        session.client.arg_bytes[0].store(request.iter().map(|arg| arg.len() as u64).sum(), Relaxed);
        *session.client.sleeping.lock() = Some(sleep.clone());
        Box::new(Parked {
            sleep,
            ticket,
            deadline_ms: block.deadline_ms,
            timeout_reply,
            nanos: 0,
            command: known.index,
            argv: request,
            db: session.db as u32,
            keys: block.keys,
        })
    }

    /// The client no longer waits: served, timed out, unblocked or gone. Its command counts now.
    pub fn unpark(&self, session: &Session, parked: &Parked) {
        let client = &session.client;
        if !parked.sleep.refused.load(Relaxed) {
            let failed = parked.sleep.failed.load(Relaxed);
            let argv: Vec<&[u8]> = parked.argv.iter().map(Vec::as_slice).collect();
            self.account_spent(session, self.commands.get(parked.command), &argv, failed, parked.nanos);
        }
        client.marks.set(Marks::BLOCKED, false);
        client.arg_bytes[0].store(0, Relaxed);
        *client.sleeping.lock() = None;
        for key in &parked.keys {
            self.chore(Chore::Unpark { db: parked.db, key: key.clone(), ticket: parked.ticket.clone() });
        }
    }

    /// Serves waiters of ready keys within the transaction that made them ready, as far as their shards are free.
    /// What could not be served stays in `ready`.
    pub(super) fn serve_held<'k>(&'k self, txn: &mut Txn<'k>, ready: &mut Ready) {
        let db = txn.db();
        let mut left = Ready::new();
        // Serving may make further keys ready (BLMOVE): they join the end of the queue.
        while !ready.is_empty() {
            let (key_db, key) = ready.remove(0);
            if !self.serve_key(txn, key_db, &key, ready) {
                left.push((key_db, key));
            }
        }
        // What was found expired on the way goes now.
        left.extend(self.publish(txn, Unit::default()));
        txn.select(db);
        *ready = left;
    }

    /// Serves waiters of ready keys with empty hands.
    #[inline]
    pub(super) fn serve_ready(&self, ready: Option<Ready>) {
        if let Some(ready) = ready {
            ready.into_iter().for_each(|(db, key)| self.chore(Chore::Serve { db, key }));
        }
    }

    /// Serves the waiters of one key with empty hands.
    pub(super) fn serve_waiters(&self, db: u32, key: &[u8]) -> Result<(), Held> {
        let keyspace = &self.node.keyspace;
        loop {
            let now_ms = self.node.clock.now_ms();
            let hash = crate::base::hash::key_hash(key);
            let head = Txn::of_key(keyspace, db as usize, now_ms, hash)?.waiters_of(key).live(db, key);
            let Some(ticket) = head.first() else { return Ok(()) };
            let shards = self.shards_of_ticket(ticket, key);
            let mut txn = Txn::of_shards(keyspace, db as usize, now_ms, &shards)?;
            let mut more = Ready::new();
            let done = self.serve_key(&mut txn, db, key, &mut more);
            let rest = self.commit(&mut txn, Unit::default());
            drop(txn);
            self.serve_ready(Some(more));
            self.serve_ready(rest);
            if done {
                return Ok(());
            }
        }
    }

    fn shards_of_ticket(&self, ticket: &Ticket, key: &[u8]) -> Vec<u32> {
        let keyspace = &self.node.keyspace;
        let mut keys: Vec<Vec<u8>> = vec![key.to_vec()];
        if let Some(sleeper) = ticket.sleeper.downcast_ref::<Sleeper>() {
            let slices: Vec<&[u8]> = sleeper.argv.iter().map(Vec::as_slice).collect();
            let spec = &self.commands.get(sleeper.command).command.spec;
            keys.extend(spec.keys.find(&slices).unwrap_or_default().iter().map(|(i, _)| slices[*i].to_vec()));
        }
        Txn::shards_of(keyspace, keys.iter().map(|key| key_hash(key))).to_vec()
    }

    /// Serves the waiters of one key in order; false when one's shards were not free.
    fn serve_key<'k>(&'k self, txn: &mut Txn<'k>, db: u32, key: &[u8], ready: &mut Ready) -> bool {
        let tickets = txn.waiters_of(key).live(db, key);
        for ticket in tickets {
            match self.serve_one(txn, &ticket, key, ready) {
                Served::Yes | Served::No => {}
                Served::Busy => return false,
            }
        }
        true
    }

    fn serve_one<'k>(&'k self, txn: &mut Txn<'k>, ticket: &Arc<Ticket>, key: &[u8], ready: &mut Ready) -> Served {
        let Some(sleeper) = ticket.sleeper.downcast_ref::<Sleeper>() else { return Served::No };
        txn.select(sleeper.db);
        txn.renew(self.node.clock.now_ms());
        // Looked at first, because it is cheap: of many who wait for a key, most find that it is gone again.
        let is_there = txn.peek(key).is_some_and(|entry| sleeper.kind == Some(entry.kind()));
        if !is_there && !ticket.on_gone {
            return Served::No;
        }
        if !txn.try_extend(&self.shards_of_ticket(ticket, key)) {
            return Served::Busy;
        }
        let known = self.commands.get(sleeper.command);
        let slices: Vec<&[u8]> = sleeper.argv.iter().map(Vec::as_slice).collect();
        let mut session = Session::guest(sleeper.client.clone(), self.user_of(sleeper));
        session.db = sleeper.db;
        session.proto = sleeper.proto;
        let mut reply = Reply::new(sleeper.proto);
        let mut unit = Unit::of(&sleeper.client);
        if sleeper.client.marks.any(Marks::KILLED) || !ticket.begin() {
            return Served::No;
        }
        if session.client.marks.any(Marks::JUDGED)
            && let Some(error) = self.judge(&session, known, &slices)
        {
            self.refuse(&mut session, Some(known), &error, &mut reply);
            sleeper.sleep.refused.store(true, Relaxed);
            self.wake(sleeper, ticket, reply);
            return Served::Yes;
        }
        // An error ends the wait, too: another of its keys may be of a type that it cannot use.
        let hands = Hands { txn: &mut *txn, host: None, unit: &mut unit };
        let (outcome, failed) = self.call(hands, &mut session, known, Argv::new(&slices), &mut reply, Origin::Served);
        if matches!(outcome, Outcome::Block(_)) {
            ticket.release();
            return Served::No;
        }
        sleeper.sleep.failed.store(failed, Relaxed);
        self.wake(sleeper, ticket, reply);
        ready.extend(self.publish(txn, unit));
        Served::Yes
    }

    /// Hands a sleeper its reply.
    fn wake(&self, sleeper: &Sleeper, ticket: &Ticket, mut reply: Reply) {
        *sleeper.sleep.reply.lock() = Some(reply.take());
        ticket.finish();
        sleeper.client.mailbox.ring();
    }

    /// The user a sleeper is now. Its own session has not seen a change yet.
    fn user_of(&self, sleeper: &Sleeper) -> Option<Arc<User>> {
        if !sleeper.client.marks.any(Marks::USER_CHANGED) {
            return sleeper.user.clone();
        }
        self.node.acl.user(&sleeper.client.user_name())
    }
}
