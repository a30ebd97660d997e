//! The desk between a virtual machine and its driver: what one side lays down before it switches to the other.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};

use super::door::{Ask, Door, Switch, Tell};
use super::error::{Fatal, Raised, ReplyErrors};
use super::library::Registered;
use super::{Caller, Tick};

/// Nested commands between looks at the clock.
const TICK_CALLS: u32 = 64;

/// What the machine is to do. Scripts and functions are known by number: their slot in a table inside Lua.
#[derive(Debug)]
pub(super) enum Job {
    /// Compile the body of an EVAL script into a slot.
    Compile { slot: u32, body: Vec<u8> },
    /// Forget the script in a slot.
    Forget { slot: u32 },
    /// Run a script or function with the KEYS and ARGV that are lent.
    Run { slot: u32 },
    /// Run the body of a library; functions it registers take slots from `first_slot` on.
    Load { first_slot: u32, body: Vec<u8> },
}

/// How a job ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// As asked; the reply of a run is written.
    Done,
    /// The body does not compile; the text is Lua's.
    BadSyntax(Vec<u8>),
    /// The script failed.
    Failed(Fatal),
    /// The script was killed where the place says.
    Killed(Option<(String, i64)>),
}

/// What natives may do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A script or function runs, or nothing does.
    Run,
    /// The body of a library runs: only registering is allowed.
    Load,
}

/// What a panic carries.
pub(super) type Panic = Box<dyn Any + Send>;

/// The desk. Both sides run on one thread, in turns.
#[derive(Debug)]
pub(super) struct Desk {
    /// What the driver lends while the machine runs.
    pub door: Door,
    /// The way to the driver; there from the machine's first breath.
    pub switch: OnceCell<Switch>,
    /// The next job.
    pub job: RefCell<Option<Job>>,
    /// The outcome of the last job.
    pub outcome: RefCell<Option<Outcome>>,
    /// The errors inside the reply of the job.
    pub errors: RefCell<ReplyErrors>,
    /// What a nested command panicked with: it ends the job, and then the machine.
    pub panic: RefCell<Option<Panic>>,
    /// Nested commands so far.
    pub calls: Cell<u32>,
    /// The clock at the last tick, in microseconds.
    pub tick_us: Cell<u64>,
    /// The protocol the script asked nested replies in.
    pub script_resp3: Cell<bool>,
    /// Set once the script is to die; natives that catch errors look here.
    pub killed: Cell<bool>,
    /// Where the kill found it.
    pub killed_at: RefCell<Option<(String, i64)>>,
    /// What the running code may do.
    pub phase: Cell<Phase>,
    /// Functions the library being loaded has registered so far.
    pub registered: RefCell<Vec<Registered>>,
    /// The slot of the next one.
    pub next_slot: Cell<u32>,
    /// Bytes Lua may hold.
    pub memory_limit: usize,
    /// Bytes Lua holds, as of the last job.
    pub memory_used: Cell<usize>,
    /// Whether this machine is the one of functions.
    pub functions: bool,
    /// `REDIS_VERSION` as three numbers.
    pub version: [u8; 3],
    /// Seed of `math.random`.
    pub seed: u64,
}

/// The script is to die.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dying;

impl From<Dying> for mlua::Error {
    fn from(_: Dying) -> mlua::Error {
        Raised::Kill.into()
    }
}

impl Desk {
    /// An empty desk.
    pub fn new(functions: bool, memory_limit: usize, version: [u8; 3], seed: u64) -> Self {
        Desk {
            door: Door::default(),
            switch: OnceCell::new(),
            job: RefCell::default(),
            outcome: RefCell::default(),
            errors: RefCell::default(),
            panic: RefCell::default(),
            calls: Cell::new(0),
            tick_us: Cell::new(0),
            script_resp3: Cell::new(false),
            killed: Cell::new(false),
            killed_at: RefCell::default(),
            phase: Cell::new(Phase::Run),
            registered: RefCell::default(),
            next_slot: Cell::new(0),
            memory_limit,
            memory_used: Cell::new(0),
            functions,
            version,
            seed,
        }
    }

    /// Asks the caller something.
    pub fn ask<R>(&self, question: impl FnOnce(&mut dyn Caller) -> R) -> Result<R, Dying> {
        self.door.visit(|visit| question(visit.caller)).ok_or_else(|| self.die())
    }

    /// Counts a nested command; every so many look at the clock.
    pub fn count_call(&self) -> Result<(), Dying> {
        let calls = self.calls.get().wrapping_add(1);
        self.calls.set(calls);
        if calls.is_multiple_of(TICK_CALLS) { self.tick() } else { Ok(()) }
    }

    /// Looks at the clock: the script goes on, now or later, or dies.
    pub fn tick(&self) -> Result<(), Dying> {
        if self.killed.get() {
            return Err(Dying);
        }
        let tick = self.door.visit(|visit| {
            self.tick_us.set(visit.caller.monotonic_us());
            visit.caller.tick()
        });
        match tick {
            // Compiling has no caller, and nobody waits for it.
            None | Some(Tick::Continue) => Ok(()),
            Some(Tick::Kill) => Err(self.die()),
            Some(Tick::Yield) => self.pause(),
        }
    }

    /// Goes on when the driver says so.
    pub fn pause(&self) -> Result<(), Dying> {
        match self.switch.get().map(|switch| switch.ask(Ask::Later)) {
            Some(Tell::Go) => Ok(()),
            _ => Err(self.die()),
        }
    }

    /// From now on whatever the script does ends it.
    pub fn die(&self) -> Dying {
        self.killed.set(true);
        Dying
    }
}
