//! The desk between a virtual machine and its driver: what one side lays down before it switches to the other.

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

use super::error::{Fatal, ReplyErrors};
use super::library::Registered;

/// One argument of a nested command; small ones without an allocation.
pub(super) type Word = SmallVec<[u8; 40]>;

/// Why the machine switched to its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Waiting for a job; the outcome of the last one is on the desk.
    Idle,
    /// Run the command in [`Desk::words`], reply into [`Desk::reply`].
    Call,
    /// Check the command in [`Desk::words`], answer in [`Desk::allowed`].
    AclCheck,
    /// Write [`Desk::line`] to the log at [`Desk::number`].
    Log,
    /// Send effects to [`Desk::number`].
    SetRepl,
    /// Time may have passed.
    Tick,
}

/// What the driver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// The answer is on the desk, or there is a job on it.
    Go,
    /// Raise the error nobody can catch.
    Kill,
    /// Leave the loop.
    Quit,
}

/// What the machine is to do. Scripts and functions are known by number: their slot in a table inside Lua.
#[derive(Debug)]
pub(super) enum Job {
    /// Compile the body of an EVAL script into a slot.
    Compile { slot: u32, body: Vec<u8> },
    /// Forget the script in a slot.
    Forget { slot: u32 },
    /// Run a script or function with the KEYS and ARGV in [`Desk::words`] (the first `keys` of them).
    Run { slot: u32, keys: usize },
    /// Run the body of a library; functions it registers take slots from `first_slot` on.
    Load { first_slot: u32, body: Vec<u8> },
}

/// How a job ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// As asked; the reply of a run is in [`Desk::reply`].
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

/// The desk. Both sides run on one thread, in turns.
#[derive(Debug)]
pub(super) struct Desk {
    /// The next job.
    pub job: RefCell<Option<Job>>,
    /// The outcome of the last job.
    pub outcome: RefCell<Option<Outcome>>,
    /// Arguments of a nested command, or KEYS and ARGV of a job.
    pub words: RefCell<Vec<Word>>,
    /// The reply of a nested command, or of the whole job.
    pub reply: RefCell<Vec<u8>>,
    /// The errors inside the reply of the job.
    pub errors: RefCell<ReplyErrors>,
    /// The line for the log.
    pub line: RefCell<Vec<u8>>,
    /// The level of a log line, the targets of `set_repl`.
    pub number: Cell<u8>,
    /// The answer to an ACL check.
    pub allowed: Cell<Option<bool>>,
    /// The driver's clock at the last tick, in microseconds.
    pub tick_us: Cell<u64>,
    /// The protocol the script asked nested replies in.
    pub script_resp3: Cell<bool>,
    /// The protocol of the client that waits for the reply.
    pub client_resp3: Cell<bool>,
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

impl Desk {
    /// An empty desk.
    pub fn new(functions: bool, memory_limit: usize, version: [u8; 3], seed: u64) -> Self {
        Desk {
            job: RefCell::default(),
            outcome: RefCell::default(),
            words: RefCell::default(),
            reply: RefCell::default(),
            errors: RefCell::default(),
            line: RefCell::default(),
            number: Cell::new(0),
            allowed: Cell::new(None),
            tick_us: Cell::new(0),
            script_resp3: Cell::new(false),
            client_resp3: Cell::new(false),
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
}
