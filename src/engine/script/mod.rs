//! Scripts: EVAL and FCALL as units of the engine.
//!
//! A script is one unit, as an EXEC is: one lock set, one moment, one list of effects. It takes the script token, then
//! the shards of the keys it declares; a command of it that touches another key takes that key's shard then, which the
//! token allows. What it may do is judged in `rules.rs`; how it runs commands is in `nested.rs`; what becomes of one that
//! takes longer than a slice is in `frozen.rs`.

pub mod frozen;
mod nested;
mod rules;

use super::commit::Unit;
use super::hands::Hands;
use super::{Engine, Flow, LocalFlow};
use crate::base::num::parse_i64;
use crate::client::Session;
use crate::command::args::Argv;
use crate::command::error::Error;
use crate::command::{Known, ScriptBy, ScriptCall};
use crate::keyspace::Txn;
use crate::node::stage::Kind;
use crate::resp::reply::Reply;
use crate::script::host::{Call, Script};
use crate::script::{Ended, Host, Progress};
use frozen::{Frozen, Step, Then, Work};
use nested::{Nested, Run};

/// Why a unit with a script in it has the host in hand.
const HAS_HOST: &str = "whoever runs a script has taken the token";

impl Engine {
    /// Runs a script that is a request of its own.
    pub(super) fn run_script_alone<'e>(
        &'e self,
        session: &mut Session,
        known: &'e Known,
        call: ScriptCall,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> LocalFlow<'e> {
        let now_ms = session.moment.unix_ms();
        let Ok(mut host) = self.node.wait_token() else { return self.postpone(session) };
        let mut txn = Txn::empty(&self.node.keyspace, session.db, now_ms);
        let Ok(()) = self.lock_for(&mut txn, known, argv) else { return self.postpone(session) };
        if let Some(error) = self.revoked(session, known, argv.all()) {
            drop(txn);
            drop(host);
            self.refuse(session, Some(known), &error, reply);
            return Flow::Next;
        }
        let mut unit = Unit::of(&session.client);
        let hands = Hands { txn: &mut txn, host: Some(&mut host), unit: &mut unit };
        match self.run_script(hands, session, known, call, argv, reply) {
            Step::Ended(failed) => {
                self.end_unit(txn, Some(host), unit);
                self.account(session, known, argv.all(), failed);
                session.patient = true;
                Flow::Next
            }
            Step::Late(work) => {
                let argv = argv.all().iter().map(|arg| arg.to_vec()).collect();
                Flow::Frozen(Frozen::new(self, txn, host, unit, work, Then::Alone { known, argv }))
            }
        }
    }

    /// Starts a script within a transaction.
    pub(super) fn run_script<'e>(
        &'e self,
        hands: Hands<'_, 'e>,
        session: &mut Session,
        known: &Known,
        call: ScriptCall,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> Step {
        let Hands { txn, host, unit } = hands;
        let host = host.expect(HAS_HOST);
        // Shown before what it runs is.
        self.show_to_monitors(session, known, argv.all());
        let prepared = find(host, call.by, argv).and_then(|(script, keys)| {
            let rules = self.rules(session, script.flags, call)?;
            Ok((script, keys, rules))
        });
        let (script, keys, rules) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.error(session, &error, reply);
                return Step::Ended(true);
            }
        };
        let (keys, args) = argv.rest(3).split_at(keys);
        let kind = if call.by == ScriptBy::Function { Kind::Function } else { Kind::Script };
        let mut run = Run::new(session, rules, kind);
        session.in_script = true;
        run.begin_slice(session);
        let mut nested = Nested { engine: self, txn: &mut *txn, unit, session, run: &mut run };
        let progress = host.start(script, Call { keys, argv: args }, &mut nested, reply);
        run.end_slice(session);
        match progress {
            Progress::Done(ended) => {
                run.end();
                Step::Ended(self.end_script(txn, session, &ended))
            }
            Progress::Yielded => {
                run.name = host.active().map_or_else(Vec::new, <[u8]>::to_vec);
                Step::Late(Work::Script(Box::new(run)))
            }
        }
    }

    /// Lets a script go on for one more slice.
    pub(super) fn resume_script<'e>(
        &'e self,
        hands: Hands<'_, 'e>,
        session: &mut Session,
        mut run: Box<Run>,
        reply: &mut Reply,
    ) -> Step {
        let Hands { txn, host, unit } = hands;
        let host = host.expect(HAS_HOST);
        run.lengthen(&self.node.clock);
        run.begin_slice(session);
        let mut nested = Nested { engine: self, txn: &mut *txn, unit, session, run: &mut run };
        let progress = host.resume(&mut nested, reply);
        run.end_slice(session);
        match progress {
            Progress::Done(ended) => Step::Ended(self.end_script(txn, session, &ended)),
            Progress::Yielded => Step::Late(Work::Script(run)),
        }
    }

    fn end_script(&self, txn: &mut Txn<'_>, session: &mut Session, ended: &Ended) -> bool {
        session.in_script = false;
        session.select(session.db);
        txn.select(session.db);
        for error in ended.errors.iter().filter(|error| !error.counted) {
            self.node.count_error(session.client.worker(), &error.text);
        }
        !ended.errors.is_empty()
    }
}

/// The script a request names, and how many of its arguments are keys.
fn find(host: &mut Host, by: ScriptBy, argv: Argv<'_>) -> Result<(Script, usize), Error> {
    const NO_SCRIPT: Error = Error::Text("NOSCRIPT No matching script. Please use EVAL.");
    let name = argv.at(1);
    match by {
        ScriptBy::Body => {
            let keys = count_keys(argv, Error::NotInteger)?;
            Ok((host.script_by_body(name).map_err(Error::Owned)?, keys))
        }
        ScriptBy::Sha if name.len() != 40 => Err(NO_SCRIPT),
        ScriptBy::Sha => {
            let keys = count_keys(argv, Error::NotInteger)?;
            Ok((host.script_by_sha(name).ok_or(NO_SCRIPT)?, keys))
        }
        ScriptBy::Function => {
            let script = host.function(name).ok_or(Error::Text("ERR Function not found"))?;
            Ok((script, count_keys(argv, Error::Text("ERR Bad number of keys provided"))?))
        }
    }
}

fn count_keys(argv: Argv<'_>, no_number: Error) -> Result<usize, Error> {
    let keys = parse_i64(argv.at(2)).ok_or(no_number)?;
    if keys > argv.len() as i64 - 3 {
        return Err(Error::Text("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(keys).map_err(|_| Error::Text("ERR Number of keys can't be negative"))
}
