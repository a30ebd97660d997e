//! The ordered list of small checks before a command runs, each with the error it gives.

use super::Engine;
use crate::client::queue::Multi;
use crate::client::{Marks, Session};
use crate::command::args::Argv;
use crate::command::error::Error;
use crate::command::script::busy;
use crate::command::{EngineOp, Known, Run};
use crate::resp::reply::Proto;
use crate::spec::Flags;
use std::sync::atomic::Ordering::Relaxed;

/// What the gate says.
pub enum Verdict {
    /// Go on.
    Pass,
    /// Answer this error.
    Refuse(Error),
    /// Come back later, at this Unix time in milliseconds at the latest.
    Wait(u64),
}

/// Before AUTH.
pub const NOAUTH: Error = Error::Text("NOAUTH Authentication required.");

impl Engine {
    /// Judges one request.
    #[inline]
    pub(super) fn gate(&self, session: &mut Session, known: &Known, argv: Argv<'_>) -> Verdict {
        let spec = &known.command.spec;
        let judged = session.client.marks.any(Marks::JUDGED);
        if judged {
            self.renew_user(session);
        }
        if !spec.arity.accepts(argv.len()) {
            return Verdict::Refuse(Error::Arity(known.name.to_string().into()));
        }
        if session.user.is_none() && !spec.flags.has(Flags::NO_AUTH) {
            return Verdict::Refuse(NOAUTH);
        }
        if let Some(error) = self.protected(session, known) {
            return Verdict::Refuse(error);
        }
        if session.multi.is_some() && spec.flags.has(Flags::NO_MULTI) {
            return Verdict::Refuse(Error::Text("ERR Command not allowed inside a transaction"));
        }
        if judged && let Some(error) = self.judge(session, known, argv.all()) {
            return Verdict::Refuse(error);
        }
        if self.node.keyspace.namespace.maxmemory_bytes() > 0 {
            session.no_room = !self.make_room();
            if session.no_room && self.needs_room(session, known, argv) {
                return Verdict::Refuse(Error::OutOfMemory);
            }
        }
        if self.node.keyspace.interest.tracking.load(Relaxed) {
            self.limit_tracking();
        }
        if session.proto == Proto::Resp2 && session.is_subscriber() && !allowed_to_subscribers(known) {
            return Verdict::Refuse(Error::owned(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                known.name
            )));
        }
        if let Some(error) = busy(&self.node).filter(|_| !spec.flags.has(Flags::ALLOW_BUSY)) {
            return Verdict::Refuse(error);
        }
        if self.node.monitored.load(Relaxed) && session.client.marks.any(Marks::MONITOR) {
            return self.of_monitor(session, known, argv);
        }
        self.paused(session, known, argv)
    }

    /// Whether a request is refused while there is no room: those that may need more memory, and an EXEC of
    /// such.
    fn needs_room(&self, session: &Session, known: &Known, argv: Argv<'_>) -> bool {
        match &session.multi {
            Some(multi) if is_exec(known) => self.any_queued(multi, Flags::DENYOOM),
            _ => self.flags_of(known, argv.all()).has(Flags::DENYOOM),
        }
    }

    /// Whether a queued command has any of these flags.
    fn any_queued(&self, multi: &Multi, flags: Flags) -> bool {
        multi.iter().any(|queued| self.flags_of(self.commands.get(queued.number), &queued.argv).any(flags))
    }

    /// DEBUG and MODULE are off unless the configuration opens them.
    fn protected(&self, session: &Session, known: &Known) -> Option<Error> {
        let config = &self.node.config;
        let (allowed, name) = match known.command.spec.name {
            "DEBUG" => (config.allows_debug(session.client.addr.as_str()), "DEBUG"),
            "LOAD" | "UNLOAD" | "LOADEX" if known.name.starts_with("module|") => {
                (config.allows_modules(session.client.addr.as_str()), "MODULE")
            }
            _ => return None,
        };
        let option = name.to_ascii_lowercase();
        (!allowed).then(|| {
            Error::owned(format!(
                "ERR {name} command not allowed. If the enable-{option}-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
            ))
        })
    }

    /// A client that runs MONITOR counts as a replica: a pause does not hold it, and so it must leave the keys alone.
    fn of_monitor(&self, session: &Session, known: &Known, argv: Argv<'_>) -> Verdict {
        let touches = Flags::READONLY.and(Flags::WRITE).and(Flags::MAY_REPLICATE);
        match self.may(touches, session, known, argv) {
            true => Verdict::Refuse(Error::Text("ERR Replica can't interact with the keyspace")),
            false => Verdict::Pass,
        }
    }

    /// CLIENT PAUSE. Inside MULTI only EXEC waits.
    fn paused(&self, session: &Session, known: &Known, argv: Argv<'_>) -> Verdict {
        if self.node.generation.load(Relaxed) == 0 || (session.multi.is_some() && !is_exec(known)) {
            return Verdict::Pass;
        }
        let writes = self.may(Flags::WRITE.and(Flags::MAY_REPLICATE), session, known, argv);
        match self.node.paused(writes, self.node.clock.now_ms()) {
            Some(until_ms) => Verdict::Wait(until_ms),
            None => Verdict::Pass,
        }
    }

    /// Whether a request, or what EXEC would run, has any of these flags.
    fn may(&self, flags: Flags, session: &Session, known: &Known, argv: Argv<'_>) -> bool {
        match &session.multi {
            Some(multi) if is_exec(known) => self.any_queued(multi, flags),
            _ => self.flags_of(known, argv.all()).any(flags),
        }
    }
}

fn is_exec(known: &Known) -> bool {
    matches!(known.command.run, Run::Engine(EngineOp::Exec))
}

fn allowed_to_subscribers(known: &Known) -> bool {
    matches!(
        &*known.name,
        "subscribe"
            | "psubscribe"
            | "ssubscribe"
            | "unsubscribe"
            | "punsubscribe"
            | "sunsubscribe"
            | "ping"
            | "quit"
            | "reset"
    )
}
