//! The commands of a script: looked up, judged, run within the script's transaction, counted.

use super::rules::Rules;
use crate::base::hash::key_hash;
use crate::base::time::Clock;
use crate::client::Session;
use crate::command::Known;
use crate::command::args::Argv;
use crate::command::ctx::{Origin, Outcome};
use crate::command::error::Error;
use crate::command::function::write_log;
use crate::engine::Engine;
use crate::engine::commit::Unit;
use crate::keyspace::Txn;
use crate::node::stage::Kind;
use crate::resp::reply::{Proto, Reply};
use crate::script::host::Name;
use crate::script::{Caller, LogLevel, Tick};
use crate::spec::{Flags, Keys};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a script runs before it gives its thread to others, in nanoseconds.
const SLICE_NS: u64 = 1_000_000;

/// One script on its way: what outlives a slice of it.
pub(in crate::engine) struct Run {
    /// What it is to SCRIPT KILL and FUNCTION KILL.
    pub kind: Kind,
    /// Name of the function, or SHA1; known once it is late.
    pub name: Name,
    /// When it began, in monotonic nanoseconds.
    pub started_ns: u64,
    /// A command that writes has run.
    pub wrote: bool,
    slice_ends_ns: u64,
    /// It has been frozen before: others know of it.
    is_late: bool,
    /// The session its commands run in: the caller's user, a database and a protocol of its own.
    guest: Session,
    rules: Rules,
    /// Effects are logged (`redis.set_repl`). The log is one: what goes to the file or to replicas goes to both.
    logged: bool,
    /// The reply of the last command.
    reply: Reply,
}

impl Run {
    /// A script of this client.
    pub fn new(session: &Session, rules: Rules, kind: Kind, clock: &Clock) -> Run {
        let mut guest = Session::new(session.client.clone(), session.user.clone());
        guest.db = session.db;
        guest.moment = session.moment;
        guest.frozen_us = Some(session.moment.unix_us());
        let started_ns = clock.monotonic_ns();
        Run {
            kind,
            name: Name::new(),
            started_ns,
            wrote: false,
            slice_ends_ns: started_ns + SLICE_NS,
            is_late: false,
            guest,
            rules,
            logged: true,
            reply: Reply::default(),
        }
    }

    /// It goes on after others had their turn.
    pub fn begin_slice(&mut self, clock: &Clock) {
        self.is_late = true;
        self.slice_ends_ns = clock.monotonic_ns() + SLICE_NS;
    }
}

/// What a running script sees of the server.
pub(super) struct Nested<'a, 'k> {
    pub engine: &'k Engine,
    pub txn: &'a mut Txn<'k>,
    pub unit: &'a mut Unit,
    pub run: &'a mut Run,
}

impl<'k> Nested<'_, 'k> {
    /// Looks a command up and judges whether the script may run it now. The error comes with the command, if it is one.
    fn admit(&self, args: &[&[u8]]) -> Result<&'k Known, (Option<&'k Known>, Error)> {
        let refuse = |text| Err(Error::Text(text));
        let Ok(known) = self.engine.commands.resolve(args) else {
            return Err((None, Error::Text("ERR Unknown Redis command called from script")));
        };
        let spec = &known.command.spec;
        let writes = spec.flags.has(Flags::WRITE);
        let judged = if !spec.arity.accepts(args.len()) {
            refuse("ERR Wrong number of args calling Redis command from script")
        } else if spec.flags.has(Flags::NOSCRIPT) && !self.engine.node.allow_noscript.load(Relaxed) {
            refuse("ERR This Redis command is not allowed from script")
        } else if self.run.rules.read_only && (writes || spec.flags.has(Flags::MAY_REPLICATE)) {
            refuse("ERR Write commands are not allowed from read-only scripts.")
        } else if self.run.rules.no_room && !self.run.wrote && spec.flags.has(Flags::DENYOOM) {
            Err(Error::OutOfMemory)
        } else if writes && self.run.is_late && !self.run.wrote && !self.engine.node.stage.may_write() {
            refuse("ERR The script is about to be killed")
        } else {
            Ok(())
        };
        judged.map(|()| known).map_err(|error| (Some(known), error))
    }

    /// Takes the shards of a command's keys that are not held yet: the script has the token.
    fn hold_keys(&mut self, known: &Known, args: &[&[u8]]) {
        let keyspace = self.txn.keyspace();
        match known.command.spec.keys {
            Keys::None => {}
            Keys::One(index, _) => {
                if let Some(key) = args.get(index as usize) {
                    self.txn.extend(&[keyspace.shard_of(key_hash(key)) as u32]);
                }
            }
            keys if keys.is_wide() => {
                let all: Vec<u32> = (0..keyspace.shard_count() as u32).collect();
                self.txn.extend(&all);
            }
            keys => {
                let found = keys.find(args).unwrap_or_default();
                self.txn.extend(&Txn::shards_of(keyspace, found.iter().map(|(i, _)| args[*i])));
            }
        }
    }

    fn run(&mut self, known: &Known, args: &[&[u8]]) {
        let (engine, run) = (self.engine, &mut *self.run);
        run.guest.moment = run.guest.moment.at(engine.node.clock.monotonic_ns());
        run.wrote |= known.command.spec.flags.has(Flags::WRITE);
        engine.feed_monitors(&run.guest, known, args);
        self.txn.select(run.guest.db);
        engine.prepare(self.txn, &run.guest, known);
        let mut unlogged = Unit::default();
        let unit = if run.logged { &mut *self.unit } else { &mut unlogged };
        let argv = Argv::new(args);
        let (outcome, failed) =
            engine.call(self.txn, None, &mut run.guest, known, argv, &mut run.reply, Origin::Script, unit);
        if let Outcome::Sleep(ms) = outcome {
            // DEBUG SLEEP: the point of it is that everybody waits.
            std::thread::sleep(Duration::from_millis(ms));
        }
        engine.account(&mut run.guest, known, args, failed);
    }
}

impl Caller for Nested<'_, '_> {
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> &[u8] {
        self.run.reply.clear();
        let proto = if resp3 { Proto::Resp3 } else { Proto::Resp2 };
        self.run.reply.set_proto(proto);
        self.run.guest.proto = proto;
        match self.admit(args) {
            Ok(known) => {
                self.hold_keys(known, args);
                self.run(known, args);
            }
            Err((known, error)) => {
                let worker = self.run.guest.client.worker;
                if let Some(known) = known {
                    self.engine.node.stats.worker(worker).by_command[known.index as usize].rejected.add(1);
                }
                self.engine.error(&self.run.guest, &error, &mut self.run.reply);
            }
        }
        self.run.reply.one_piece()
    }

    fn acl_check(&mut self, args: &[&[u8]]) -> Option<bool> {
        // There is one user, who may run everything.
        self.engine.commands.resolve(args).is_ok().then_some(true)
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        write_log(level, text);
    }

    fn set_repl(&mut self, targets: u8) {
        self.run.logged = targets != 0;
    }

    fn tick(&mut self) -> Tick {
        let node = &self.engine.node;
        if self.run.is_late && node.stage.is_killed() {
            return Tick::Kill;
        }
        if node.clock.monotonic_ns() < self.run.slice_ends_ns { Tick::Continue } else { Tick::Yield }
    }

    fn monotonic_us(&mut self) -> u64 {
        self.engine.node.clock.monotonic_us()
    }
}
