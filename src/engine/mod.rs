//! The engine: [`Engine::execute`] is the one way in.
//!
//! A request is resolved to a command, passes the gate (`gate.rs`), is queued when its session is inside MULTI
//! (`multi.rs`), runs under the locks of its keys (`exec.rs`), and what it changed leaves by `commit.rs` before the
//! locks are released. A command that finds nothing parks (`block.rs`). Nothing here knows a socket: the caller is
//! told what to do next by a [`Flow`].

mod access;
pub mod apply;
pub mod block;
pub mod commit;
pub mod exec;
pub mod gate;
mod hands;
pub mod maintain;
mod migrate;
pub mod multi;
mod prefetch;
mod redact;
pub mod script;
pub mod settings;

use crate::base::bytes::same;
use crate::client::{ClientType, Marks, ReplyMode, Session};
use crate::command::args::Argv;
use crate::command::error::Error;
use crate::command::{CommandTable, EngineOp, Known, Run};
use crate::node::Node;
use crate::resp::reply::{Mark, Reply};
use block::Parked;
pub use prefetch::Hashes;
use script::frozen::Frozen;
use std::sync::atomic::Ordering::Relaxed;

/// A node and the commands it knows.
pub struct Engine {
    /// Everything the process owns.
    pub node: Node,
    /// The commands.
    pub commands: CommandTable,
}

/// What the caller has to do after a request. `L` is how a frozen unit is handed over.
pub enum Flow<L> {
    /// Go on; the reply is written (or is not wanted).
    Next,
    /// The client waits: see [`Parked`].
    Blocked(Box<Parked>),
    /// Run the same request again when the mailbox is rung, at the latest at this Unix time in milliseconds: a pause
    /// or a frozen unit is in its way.
    Postponed(u64),
    /// A unit takes long: let others have a turn, or carry its migration out, then [resume](Engine::resume) it.
    Frozen(L),
    /// Hold the reply back for so many milliseconds.
    Sleep(u64),
    /// Close after the replies so far.
    Close,
    /// Stop the server.
    Shutdown,
}

/// Whether this word begins a line that only HTTP has.
fn is_of_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// What the engine answers: a frozen unit comes with all it holds, and cannot leave its thread.
pub type LocalFlow<'e> = Flow<Box<Frozen<'e>>>;

impl<L> Flow<L> {
    /// The same with a frozen unit handed over in another way.
    pub fn map<M>(self, keep: impl FnOnce(L) -> M) -> Flow<M> {
        match self {
            Flow::Next => Flow::Next,
            Flow::Blocked(parked) => Flow::Blocked(parked),
            Flow::Postponed(until_ms) => Flow::Postponed(until_ms),
            Flow::Frozen(frozen) => Flow::Frozen(keep(frozen)),
            Flow::Sleep(ms) => Flow::Sleep(ms),
            Flow::Close => Flow::Close,
            Flow::Shutdown => Flow::Shutdown,
        }
    }
}

impl Engine {
    /// Runs one request of a client.
    pub fn execute(&self, session: &mut Session, argv: Argv<'_>, reply: &mut Reply) -> LocalFlow<'_> {
        let mut mark = reply.mark();
        let mut flow = self.execute_inner(session, argv, reply, &mut mark);
        if matches!(flow, Flow::Postponed(_)) {
            return flow;
        }
        if session.client.marks.any(Marks::TRACKING_CACHING) && !matches!(flow, Flow::Frozen(_)) {
            self.end_caching(session, argv.at(0));
        }
        if session.reply_mode != ReplyMode::On {
            if let Flow::Frozen(frozen) = &mut flow {
                frozen.is_silent = matches!(session.reply_mode, ReplyMode::Off | ReplyMode::Skip);
            }
            self.silence(session, reply, mark);
        }
        if session.closing { Flow::Close } else { flow }
    }

    /// CLIENT REPLY OFF and SKIP: the reply is taken back, unless it is a push.
    #[cold]
    fn silence(&self, session: &mut Session, reply: &mut Reply, mark: Mark) {
        let keeps = std::mem::take(&mut session.pushed);
        if session.reply_mode != ReplyMode::SkipNext && !keeps {
            reply.truncate(mark);
        }
        session.reply_mode = match session.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode => mode,
        };
    }

    /// CLIENT CACHING is for the next command that is not CLIENT, or the next transaction.
    #[cold]
    pub(in crate::engine) fn end_caching(&self, session: &Session, name: &[u8]) {
        let is_client = self.commands.find(name).is_some_and(|known| known.command.spec.name == "CLIENT");
        if session.multi.is_none() && !is_client {
            session.client.marks.set(Marks::TRACKING_CACHING, false);
        }
    }

    /// Runs a request; `mark` is where its reply begins, behind the messages that came before it.
    fn execute_inner(
        &self,
        session: &mut Session,
        argv: Argv<'_>,
        reply: &mut Reply,
        mark: &mut Mark,
    ) -> LocalFlow<'_> {
        let known = match self.resolve(session, argv) {
            Ok(known) => known,
            Err(error) => {
                if is_of_http(argv.at(0)) {
                    tracing::warn!(
                        "Possible SECURITY ATTACK detected: {} sends POST or Host:, as a browser does that somebody leads here (cross protocol scripting). The connection is aborted.",
                        session.client.addr
                    );
                    return Flow::Close;
                }
                self.refuse(session, None, &error, reply);
                return Flow::Next;
            }
        };
        match self.gate(session, known, argv) {
            gate::Verdict::Pass => {}
            gate::Verdict::Refuse(error) => {
                self.refuse(session, Some(known), &error, reply);
                return Flow::Next;
            }
            gate::Verdict::Wait(until_ms) => return Flow::Postponed(until_ms),
        }
        let client = &session.client;
        if client.mailbox.is_rung() {
            client.mailbox.take_into(reply);
            *mark = reply.mark();
        }
        client.last_command.store(known.index, Relaxed);
        client.totals[2].store(client.totals[2].load(Relaxed) + 1, Relaxed);
        if session.multi.is_some() && !multi::runs_inside(known) {
            self.queue(session, known, argv, reply);
            return Flow::Next;
        }
        match known.command.run {
            Run::Handler(_) | Run::Hosted(_) | Run::Remote(_) => self.run_single(session, known, argv, reply),
            Run::Engine(op) => self.run_engine(op, session, known, argv, reply),
            Run::Container => {
                let error = Error::Arity(known.name.to_string().into());
                self.refuse(session, Some(known), &error, reply);
                Flow::Next
            }
        }
    }

    /// Finds the command of a request; most requests repeat the last one's name.
    #[inline]
    fn resolve(&self, session: &mut Session, argv: Argv<'_>) -> Result<&Known, Error> {
        let name = argv.at(0);
        let (last, len, index) = &session.last_name;
        if name.len() == *len as usize && same(name, &last[..name.len()]) {
            return Ok(self.commands.get(*index));
        }
        let known = self.commands.resolve(argv.all())?;
        if known.parent.is_none() && known.command.subcommands.is_empty() && name.len() <= last.len() {
            let mut bytes = [0; 16];
            bytes[..name.len()].copy_from_slice(name);
            session.last_name = (bytes, name.len() as u8, known.index);
        }
        Ok(known)
    }

    fn run_engine(
        &self,
        op: EngineOp,
        session: &mut Session,
        known: &Known,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> LocalFlow<'_> {
        let worker = self.node.stats.worker(session.client.worker());
        let errors = worker.errors.get();
        // WATCH may have to wait and come again; whoever leaves MONITOR by RESET does not see it.
        let shown_after = matches!(op, EngineOp::Watch | EngineOp::Reset);
        if !shown_after && !matches!(op, EngineOp::Exec | EngineOp::Script(_)) {
            self.feed_monitors(session, known, argv.all());
        }
        let flow = match op {
            EngineOp::Multi => self.begin_multi(session, reply),
            EngineOp::Exec => return self.exec_multi(session, known, argv, reply),
            EngineOp::Discard => self.discard_multi(session, reply),
            EngineOp::Watch => self.watch(session, known, argv, reply),
            EngineOp::Unwatch => self.unwatch(session, reply),
            EngineOp::Reset => self.reset(session, reply),
            EngineOp::Script(call) => {
                return self.run_script_alone(session, self.commands.get(known.index), call, argv, reply);
            }
        };
        if let Flow::Next = flow {
            if shown_after {
                self.feed_monitors(session, known, argv.all());
            }
            self.account(session, known, argv.all(), worker.errors.get() > errors);
        }
        flow
    }

    /// Answers an error to a request that did not run; inside MULTI it aborts the transaction.
    pub fn refuse(&self, session: &mut Session, known: Option<&Known>, error: &Error, reply: &mut Reply) {
        if let Some(multi) = &mut session.multi {
            multi.aborted = true;
        }
        if let Some(known) = known {
            self.node.stats.worker(session.client.worker()).by_command[known.index as usize].rejected.add(1);
            // EXEC refused ends the transaction, as Redis does.
            if matches!(known.command.run, Run::Engine(EngineOp::Exec)) {
                self.leave_multi(session);
                let mut text = b"EXECABORT Transaction discarded because of: ".to_vec();
                let wire = error.wire();
                text.extend_from_slice(wire.strip_prefix(b"ERR ").unwrap_or(&wire));
                self.error(session, &Error::Owned(text), reply);
                return;
            }
        }
        self.error(session, error, reply);
    }

    /// Writes an error reply and counts it.
    pub fn error(&self, session: &Session, error: &Error, reply: &mut Reply) {
        let wire = error.wire();
        self.node.count_error(session.client.worker(), &wire);
        reply.error(&wire);
    }

    /// Ends a session: what it left in registries goes.
    pub fn close(&self, session: &mut Session) {
        self.leave_multi(session);
        self.unsubscribe_all(session);
        let client = &session.client;
        if client.marks.any(Marks::MONITOR) {
            self.node.forget_monitor(client.id);
        }
        self.node.clients.remove(client.id);
        self.node.client_memory.forget(client);
        self.node.disable_tracking(session);
    }

    /// Ends all subscriptions of a session, silently.
    pub fn unsubscribe_all(&self, session: &mut Session) {
        let pubsub = &self.node.pubsub;
        let id = session.client.id;
        let [channels, patterns, shard] = std::mem::take(&mut session.subscribed);
        [&channels, &patterns, &shard].into_iter().flatten().for_each(|name| session.client.let_go(name.len()));
        channels.iter().for_each(|c| pubsub.channels.unsubscribe(c, id));
        patterns.iter().for_each(|p| pubsub.patterns.unsubscribe(p, id));
        shard.iter().for_each(|c| pubsub.shard_channels.unsubscribe(c, id));
        session.client.subscriptions.iter().for_each(|n| n.store(0, Relaxed));
        session.client.kind.store(ClientType::Normal as u8, Relaxed);
    }
}
