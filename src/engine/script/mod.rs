//! Scripts: EVAL and FCALL as units of the engine.
//!
//! A script is one unit, as an EXEC is: one lock set, one moment, one list of effects. It takes the script token, then
//! the shards of the keys it declares; a command of it that touches another key takes that key's shard then, which the
//! token allows. What it may do is judged in `rules.rs`; how it runs commands is in `nested.rs`.

mod nested;
mod rules;

use super::commit::Unit;
use super::{Engine, Flow};
use crate::base::num::parse_i64;
use crate::client::{Marks, Session};
use crate::command::args::Argv;
use crate::command::error::Error;
use crate::command::{Known, ScriptBy, ScriptCall};
use crate::keyspace::Txn;
use crate::resp::reply::{Proto, Reply};
use crate::script::host::{Call, Script};
use crate::script::{Host, Progress};
use nested::{Nested, Run};

impl Engine {
    /// Runs a script that is a request of its own.
    pub(super) fn run_script_alone(
        &self,
        session: &mut Session,
        known: &Known,
        call: ScriptCall,
        argv: Argv<'_>,
        reply: &mut Reply,
    ) -> Flow {
        let now_ms = session.moment.unix_ms();
        let mut host = self.node.token.lock();
        let mut txn = match self.lock_for(known, argv, session.db, now_ms) {
            Ok(txn) => txn,
            Err(error) => {
                self.refuse(session, Some(known), &error, reply);
                return Flow::Next;
            }
        };
        let mut unit = Unit::of(&session.client);
        let failed = self.run_script(&mut txn, &mut host, session, known, call, argv, reply, &mut unit);
        let ready = self.commit(txn, unit);
        drop(host);
        self.serve_ready(ready);
        self.account(session, known, argv.all(), failed);
        Flow::Next
    }

    /// Runs a script within a transaction; true when its reply is, or has in it, an error.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run_script<'k>(
        &'k self,
        txn: &mut Txn<'k>,
        host: &mut Host,
        session: &mut Session,
        known: &Known,
        call: ScriptCall,
        argv: Argv<'_>,
        reply: &mut Reply,
        unit: &mut Unit,
    ) -> bool {
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
                return true;
            }
        };
        let (keys, args) = argv.rest(3).split_at(keys);
        let call = Call { keys, argv: args, resp3: session.proto == Proto::Resp3 };
        let mut run = Run::new(session, rules);
        let mut out = Vec::new();
        session.client.marks.set(Marks::LUA, true);
        let mut nested = Nested { engine: self, txn, unit, run: &mut run };
        let mut progress = host.start(&script, call, &mut nested, &mut out);
        let ended = loop {
            match progress {
                Progress::Done(ended) => break ended,
                Progress::Yielded => progress = host.resume(&mut nested, &mut out),
            }
        };
        session.client.marks.set(Marks::LUA, false);
        session.select(session.db);
        txn.select(session.db);
        reply.raw(&out);
        for error in ended.errors.iter().filter(|error| !error.counted) {
            self.node.count_error(session.client.worker, &error.text);
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
