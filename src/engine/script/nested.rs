//! The commands of a script: looked up, judged, run within the script's transaction, counted.
//!
//! They run in the session of the script's client, which for the time of a slice has the script's database, protocol and
//! moment in place of its own.

use super::rules::Rules;
use crate::base::hash::key_hash;
use crate::base::time::{Clock, Moment};
use crate::client::{Marks, Session};
use crate::command::Known;
use crate::command::args::Argv;
use crate::command::ctx::{Origin, Outcome};
use crate::command::error::Error;
use crate::command::function::write_log;
use crate::command::migrate::conversation::Migration;
use crate::engine::Engine;
use crate::engine::commit::Unit;
use crate::engine::hands::Hands;
use crate::keyspace::Txn;
use crate::node::stage::Kind;
use crate::resp::reply::{Proto, Reply};
use crate::script::{Caller, LogLevel, Tick};
use crate::spec::{Flags, Keys};
use std::cell::Cell;
use std::mem::swap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

thread_local! {
    /// A reply with room, for the commands of the next script of this worker.
    static SPARE: Cell<Reply> = Cell::default();
}

/// Room beyond this is given back after a script.
const SPARE_BYTES: usize = 16 * 1024;

/// How long a script runs before it gives its thread to others, in nanoseconds.
const SLICE_NS: u64 = 1_000_000;

/// One script on its way: what outlives a slice of it.
pub(in crate::engine) struct Run {
    /// What it is to SCRIPT KILL and FUNCTION KILL.
    pub kind: Kind,
    /// Name of the function, or SHA1; known once it is late.
    pub name: Vec<u8>,
    /// When it began, in monotonic nanoseconds.
    pub started_ns: u64,
    /// A command that writes has run.
    pub wrote: bool,
    /// The MIGRATE that it waits for; nothing while that is carried out.
    pub migration: Option<Box<Migration>>,
    /// The number and the words of the command that waits for it.
    awaited: Option<(u16, Vec<Vec<u8>>)>,
    slice_ends_ns: u64,
    /// It has been frozen before: others know of it.
    is_late: bool,
    /// Its own side of the session while it is frozen, the client's while it runs.
    aside: Aside,
    rules: Rules,
    /// Effects are logged (`redis.set_repl`). The log is one: what goes to the file or to replicas goes to both.
    logged: bool,
    /// The reply of the last command.
    reply: Reply,
}

/// What a script and its client do not share of their session.
struct Aside {
    db: usize,
    proto: Proto,
    moment: Moment,
    frozen_us: Option<u64>,
}

impl Run {
    /// A script of this client.
    pub fn new(session: &Session, rules: Rules, kind: Kind) -> Run {
        let moment = session.moment;
        Run {
            kind,
            name: Vec::new(),
            started_ns: moment.ns,
            wrote: false,
            migration: None,
            awaited: None,
            slice_ends_ns: moment.ns + SLICE_NS,
            is_late: false,
            aside: Aside { db: session.db, proto: Proto::Resp2, moment, frozen_us: Some(moment.unix_us()) },
            rules,
            logged: true,
            reply: SPARE.take(),
        }
    }

    /// It has another slice from now on; the first one began with its request.
    pub fn lengthen(&mut self, clock: &Clock) {
        self.slice_ends_ns = clock.monotonic_ns() + SLICE_NS;
    }

    /// It has the session for a slice.
    pub fn begin_slice(&mut self, session: &mut Session) {
        self.exchange(session);
    }

    /// The client has its session back.
    pub fn end_slice(&mut self, session: &mut Session) {
        self.exchange(session);
        self.is_late = true;
    }

    /// It has ended.
    pub fn end(mut self) {
        self.reply.clear();
        if self.reply.memory_bytes() > SPARE_BYTES {
            self.reply.shrink(SPARE_BYTES);
        }
        SPARE.set(self.reply);
    }

    fn exchange(&mut self, session: &mut Session) {
        let aside = &mut self.aside;
        swap(&mut aside.db, &mut session.db);
        swap(&mut aside.proto, &mut session.proto);
        swap(&mut aside.moment, &mut session.moment);
        swap(&mut aside.frozen_us, &mut session.frozen_us);
    }
}

/// What a running script sees of the server.
pub(super) struct Nested<'a, 'k> {
    pub engine: &'k Engine,
    pub txn: &'a mut Txn<'k>,
    pub unit: &'a mut Unit,
    pub session: &'a mut Session,
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
        } else if let Err(error) = self.judge(known, args) {
            Err(error)
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

    /// Judges a command by the rules of whoever runs the script. They do not change meanwhile: that takes the token.
    fn judge(&self, known: &Known, args: &[&[u8]]) -> Result<(), Error> {
        let session = &*self.session;
        if session.client.marks.any(Marks::RESTRICTED) {
            self.engine.judge_called(session, known, args)
        } else {
            Ok(())
        }
    }

    /// Takes the shards of a command's keys that are not held yet: the script has the token.
    fn hold_keys(&mut self, known: &Known, args: &[&[u8]]) {
        let keyspace = self.txn.keyspace();
        match known.command.spec.keys {
            Keys::None => {}
            keys if keys.is_wide() => {
                let all: Vec<u32> = (0..keyspace.shard_count() as u32).collect();
                self.txn.extend(&all);
            }
            keys => match keys.lone_in(args.len()) {
                Some(index) => self.txn.extend(&[keyspace.shard_of(key_hash(args[index])) as u32]),
                None => {
                    let found = keys.find(args).unwrap_or_default();
                    self.txn.extend(&Txn::shards_of(keyspace, found.iter().map(|(i, _)| key_hash(args[*i]))));
                }
            },
        }
    }

    fn run(&mut self, known: &Known, args: &[&[u8]]) {
        let (engine, session, run) = (self.engine, &mut *self.session, &mut *self.run);
        session.moment = session.moment.at(engine.node.clock.monotonic_ns());
        run.wrote |= known.command.spec.flags.has(Flags::WRITE);
        self.txn.select(session.db);
        let mut unlogged = Unit::default();
        let unit = if run.logged { &mut *self.unit } else { &mut unlogged };
        let argv = Argv::new(args);
        engine.prepare(self.txn, session, known, argv);
        let hands = Hands { txn: &mut *self.txn, host: None, unit };
        let (outcome, failed) = engine.call(hands, session, known, argv, &mut run.reply, Origin::Script);
        engine.feed_monitors(session, known, args);
        match outcome {
            // DEBUG SLEEP: the point of it is that everybody waits.
            Outcome::Sleep(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Outcome::Migrate(migration) => {
                run.migration = Some(migration);
                run.awaited = Some((known.index, args.iter().map(|arg| arg.to_vec()).collect()));
                return;
            }
            _ => {}
        }
        engine.account(session, known, args, failed);
    }
}

impl Caller for Nested<'_, '_> {
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Option<&[u8]> {
        self.run.reply.clear();
        let proto = if resp3 { Proto::Resp3 } else { Proto::Resp2 };
        self.run.reply.set_proto(proto);
        self.session.proto = proto;
        match self.admit(args) {
            Ok(known) => {
                self.hold_keys(known, args);
                self.run(known, args);
            }
            Err((known, error)) => {
                let worker = self.session.client.worker();
                if let Some(known) = known {
                    self.engine.node.stats.worker(worker).by_command[known.index as usize].rejected.add(1);
                }
                self.engine.error(self.session, &error, &mut self.run.reply);
            }
        }
        if self.run.awaited.is_some() {
            return None;
        }
        Some(self.run.reply.one_piece())
    }

    fn end_call(&mut self) -> &[u8] {
        let (engine, session, run) = (self.engine, &mut *self.session, &mut *self.run);
        let (index, argv) = run.awaited.take().expect("a call awaits its reply");
        let migration = run.migration.take().expect("whoever carries a migration out puts it back");
        let mut unlogged = Unit::default();
        let unit = if run.logged { &mut *self.unit } else { &mut unlogged };
        self.txn.select(session.db);
        let failed = engine.end_migration(self.txn, session, &migration, &mut run.reply, unit);
        let args: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        engine.account(session, engine.commands.get(index), &args, failed);
        run.reply.one_piece()
    }

    fn acl_check(&mut self, args: &[&[u8]]) -> Option<bool> {
        let known = self.engine.commands.resolve(args).ok()?;
        Some(self.session.user.as_ref().is_none_or(|user| user.check(&known.asked(args)).is_ok()))
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
