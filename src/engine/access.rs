//! Whether the user of a session may do what it asks: judged at the gate, and again wherever a request runs later than it
//! was judged (in EXEC, in a script, when a blocked client is served).
//!
//! A user may change at any time. Whoever changes it holds all shards, and marks the clients concerned before letting go.
//! So a request is judged without a lock, and once it holds its shards one look at the mark tells whether the judgement
//! still holds; if not, it is judged again, under its locks.

use super::Engine;
use super::gate::NOAUTH;
use crate::acl::log::{Context, Refusal};
use crate::acl::selector::{Asked, Denied};
use crate::acl::user::User;
use crate::client::{Marks, Session};
use crate::command::Known;
use crate::command::client::describe::describe;
use crate::command::error::Error;
use crate::spec::Flags;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Known {
    /// A request for this command, to be judged.
    pub(super) fn asked<'a>(&'a self, argv: &'a [&'a [u8]]) -> Asked<'a> {
        Asked::new(self.index, &self.command.spec, self.parent.is_some(), argv)
    }
}

impl Engine {
    /// Looks up the user of a session again if it has changed; one that is gone ends the session.
    #[cold]
    pub(super) fn renew_user(&self, session: &mut Session) {
        let client = session.client.clone();
        if !client.marks.any(Marks::USER_CHANGED) {
            return;
        }
        // First the mark: a change that comes after the look-up sets it again.
        client.marks.set(Marks::USER_CHANGED, false);
        let user = self.node.acl.user(&client.user_name());
        if client.marks.any(Marks::KILLED) || user.is_none() {
            session.set_user(None);
            session.closing = true;
        } else if session.user.is_some() {
            session.set_user(user);
        } else {
            session.set_user(self.node.acl.initial());
        }
    }

    /// Judges a request that has passed the gate again, if its user has changed since. Its shards are held.
    #[inline]
    pub(super) fn revoked(&self, session: &mut Session, known: &Known, argv: &[&[u8]]) -> Option<Error> {
        if session.client.marks.any(Marks::USER_CHANGED) { self.judge_again(session, known, argv) } else { None }
    }

    #[cold]
    fn judge_again(&self, session: &mut Session, known: &Known, argv: &[&[u8]]) -> Option<Error> {
        self.renew_user(session);
        if session.user.is_none() && !known.command.spec.flags.has(Flags::NO_AUTH) {
            return Some(NOAUTH);
        }
        self.judge(session, known, argv)
    }

    /// Judges a request by the rules of the session's user: the error to answer, if it may not run.
    #[cold]
    pub(super) fn judge(&self, session: &Session, known: &Known, argv: &[&[u8]]) -> Option<Error> {
        let (user, denied) = denied(session, known, argv)?;
        session.client.last_command.store(known.index, Relaxed);
        let context = if session.multi.is_some() { Context::Multi } else { Context::TopLevel };
        self.note_denied(session, &user, known, argv, denied, context);
        Some(Error::of(&[b"NOPERM ", &denied.text(&user, &known.name, argv, false)]))
    }

    /// Judges a command of EXEC as it runs: its user may have changed since it was queued.
    pub(super) fn judge_queued(&self, session: &mut Session, known: &Known, argv: &[&[u8]]) -> Option<Error> {
        if !session.client.marks.any(Marks::JUDGED) {
            return None;
        }
        self.renew_user(session);
        let denied = match denied(session, known, argv) {
            Some((user, denied)) => {
                self.note_denied(session, &user, known, argv, denied, Context::Multi);
                denied
            }
            // The transaction has deleted its own user.
            None if session.user.is_none() => Denied::Command,
            None => return None,
        };
        let why = match denied {
            Denied::Command => "no permission to execute the command or subcommand",
            Denied::Key(_) => "no permission to touch the specified keys",
            Denied::Channel(_) => "no permission to access one of the channels used as arguments to the command",
        };
        Some(Error::owned(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {why}"
        )))
    }

    /// Judges a command of a script.
    #[cold]
    pub(super) fn judge_called(&self, session: &Session, known: &Known, argv: &[&[u8]]) -> Result<(), Error> {
        let Some((user, denied)) = denied(session, known, argv) else { return Ok(()) };
        self.note_denied(session, &user, known, argv, denied, Context::Script);
        Err(Error::of(&[b"ERR ACL failure in script: ", &denied.text(&user, &known.name, argv, false)]))
    }

    fn note_denied(
        &self,
        session: &Session,
        user: &User,
        known: &Known,
        argv: &[&[u8]],
        denied: Denied,
        context: Context,
    ) {
        let object = match denied {
            Denied::Command => known.name.as_bytes(),
            Denied::Key(at) | Denied::Channel(at) => argv[at],
        };
        let mut client_info = String::new();
        let bytes = argv.iter().map(|arg| arg.len() as u64).sum();
        describe(&self.node, &self.commands, &session.client, Some(bytes), &mut client_info);
        let refusal = Refusal {
            reason: denied.into(),
            context,
            object: object.to_vec(),
            username: user.name.clone(),
            client_info,
        };
        let entries_max = self.node.config.acllog_max_len.size() as usize;
        self.node.acl.log.add(refusal, self.node.clock.now_ms(), entries_max);
    }
}

/// What the user of a session may not do of a request. Who is nobody yet passes: the gate lets it come no further than
/// the commands that need no user; a log read back has none, and may do everything.
fn denied(session: &Session, known: &Known, argv: &[&[u8]]) -> Option<(Arc<User>, Denied)> {
    let user = session.user.as_ref()?;
    user.check(&known.asked(argv)).err().map(|denied| (user.clone(), denied))
}
