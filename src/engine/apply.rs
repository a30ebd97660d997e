//! Commands from elsewhere: a log read back.
//!
//! The effects of one keyspace, run in another, make it equal. They pass no gate: what the log says has happened.

use super::Engine;
use super::commit::Unit;
use super::hands::Hands;
use crate::client::Session;
use crate::command::args::Argv;
use crate::command::ctx::Origin;
use crate::keyspace::Txn;
use crate::resp::reply::{Proto, Reply};

/// Reads a log into an engine.
pub struct Apply<'e> {
    engine: &'e Engine,
    session: Session,
}

/// Why a log could not be applied.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bytes are no requests.
    Malformed,
    /// A command that does not exist, or that answered an error.
    Failed(String),
    /// A frozen script holds what the command needs: it is to be run again.
    Held,
}

impl<'e> Apply<'e> {
    /// Begins in database 0. There is no user: nobody asks for what has happened.
    pub fn new(engine: &'e Engine) -> Apply<'e> {
        Apply { engine, session: Session::new(engine.node.clients.unlisted(), None) }
    }

    /// Runs one effect.
    ///
    /// # Errors
    /// The command is unknown or answers an error.
    pub fn run(&mut self, argv: &[&[u8]]) -> Result<(), Refused> {
        let known = self.engine.commands.resolve(argv).map_err(|e| failed(&e.wire()))?;
        if matches!(&*known.name, "multi" | "exec") {
            return Ok(());
        }
        let args = Argv::new(argv);
        let now_ms = self.engine.node.clock.now_ms();
        let mut token = None;
        if known.command.wants_token() || known.command.spec.keys.holds_all() {
            token = Some(self.engine.node.wait_token().map_err(|_| Refused::Held)?);
        }
        let mut txn = Txn::empty(&self.engine.node.keyspace, self.session.db, now_ms);
        self.engine.lock_for(&mut txn, known, args).map_err(|_| Refused::Held)?;
        txn.ignore_deadlines = true;
        let mut reply = Reply::new(Proto::Resp2);
        let mut unit = Unit::default();
        let hands = Hands { txn: &mut txn, host: token.as_deref_mut(), unit: &mut unit };
        self.engine.call(hands, &mut self.session, known, args, &mut reply, Origin::Log);
        self.engine.end(txn, unit, token);
        let bytes = reply.take();
        if bytes.first() == Some(&b'-') { Err(failed(&bytes[1..])) } else { Ok(()) }
    }
}

fn failed(text: &[u8]) -> Refused {
    Refused::Failed(String::from_utf8_lossy(text).trim_end().to_string())
}
