//! The script host: Lua 5.1 with the sandbox, the libraries and the error texts scripts of Redis 7.4 expect.
//!
//! This room runs scripts and knows no keyspace, client or socket: whatever a script wants from outside it asks of the
//! [`Caller`] handed in with every step. Where to read next: [`host`] is the face (EVAL, FCALL, FUNCTION LOAD),
//! [`lua`] is one virtual machine on its own stack, `prelude.lua` is the sandbox as scripts see it.
//!
//! # The shape
//! ```text
//!  Host ── cache (scripts by SHA1)        Vm = coroutine { Lua, natives, serve loop }
//!    │  └─ library (functions)                  ▲ job,                │ idle, later
//!    └── Vm of EVAL, Vm of FUNCTION ────────────┘  visit              ▼
//!                                               driver: waits until the job is done, or late
//! ```
//! A script runs on a stack of its own, and so do the commands it calls: the driver lends the machine its
//! `&mut dyn Caller` for as long as that runs. Every 64 commands and every 100 to 100,000 instructions there is a *tick*,
//! which may answer "come back later": then the machine switches to the driver, [`Progress::Yielded`] returns to the
//! worker's loop with the script frozen in place, and [`host::Host::resume`] goes on. One VM for EVAL and one for
//! functions exist per server; whoever holds the script token holds the [`host::Host`].
//!
//! # Limits
//! The memory of a VM ([`Limits::memory_bytes`]), 500 EVAL scripts kept, 500 ms for loading a library, nesting as the
//! libraries document. A kill cannot be caught by the script.

pub mod bitlib;
pub mod cache;
mod calls;
pub mod cjson;
pub mod cmsgpack;
mod desk;
mod door;
pub mod error;
pub mod flags;
pub mod host;
pub mod library;
mod lists;
pub mod lua;
mod mathlib;
mod number;
mod params;
mod patterns;
mod redis_api;
mod seat;
mod stack;
mod strings;
pub mod structs;
pub mod value;

pub use error::ReplyError;
pub use flags::Flags;
pub use host::{Ended, Host, Progress};

/// What a script may ask of the server that runs it. One value serves one script from start to end.
pub trait Caller {
    /// Runs one command for the script and returns its reply as RESP, errors as `-CODE text\r\n`. `resp3` is the protocol
    /// the reply is wanted in. All checks of a nested command (known, arity, allowed from scripts, ACL, memory,
    /// read-only) are the caller's. `None` when the command waits for something outside: the script is frozen until it
    /// has come, and [`end_call`](Caller::end_call) has the reply.
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Option<&[u8]>;

    /// The reply that was awaited.
    fn end_call(&mut self) -> &[u8] {
        b""
    }

    /// Whether the user may run this command line; `None` when there is no such command.
    fn acl_check(&mut self, args: &[&[u8]]) -> Option<bool>;

    /// Writes a line to the server's log.
    fn log(&mut self, level: LogLevel, text: &[u8]);

    /// `redis.set_repl`: where the effects of the commands that follow go (bit 0 the AOF, bit 1 replicas).
    fn set_repl(&mut self, targets: u8);

    /// Called every 64 nested commands, and some 5,000 times a second while Lua works: go on, come back later, or stop
    /// here.
    fn tick(&mut self) -> Tick;

    /// A monotonic clock in microseconds; bounds the loading of libraries.
    fn monotonic_us(&mut self) -> u64;
}

/// The answer to [`Caller::tick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Go on.
    Continue,
    /// Freeze the script and return [`Progress::Yielded`].
    Yield,
    /// End the script with the error of SCRIPT KILL or FUNCTION KILL.
    Kill,
}

/// The levels of `redis.log`, in Redis' order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

/// What bounds a virtual machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes one VM may hold; a script that wants more gets "not enough memory".
    pub memory_bytes: usize,
    /// How many scripts that came by EVAL are kept before the least recently used one goes.
    pub eval_scripts: usize,
    /// How long the body of a library may run at FUNCTION LOAD, in microseconds.
    pub load_us: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes: 1 << 30, eval_scripts: 500, load_us: 500_000 }
    }
}

#[cfg(test)]
mod tests;
