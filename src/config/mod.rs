//! Live configuration: every directive once, where its value lives, and how files, the command line and CONFIG change it.
//!
//! - [`table`]: the rows, and [`Config`] made from them
//! - [`row`], [`cell`], [`choices`], [`special`], [`number`]: what a row says and what a value is
//! - [`load`], [`argv`]: from a file and a command line to values
//! - [`live`]: CONFIG GET and SET · [`rewrite`]: CONFIG REWRITE · [`sample`]: `conf/larder.conf`
//!
//! This room knows no sockets and no commands. What must happen after a change is only named here ([`Hook`]); the owner
//! of the thing does it through [`live::Apply`]. Files are reached through [`load::World`], so the parser runs under
//! tests and fuzzers without a disk.

pub mod argv;
pub mod cell;
pub mod choices;
pub mod live;
pub mod load;
pub mod number;
pub mod rewrite;
pub mod row;
pub mod sample;
pub mod special;
pub mod table;

pub use row::Hook;
pub use table::Config;

use std::path::PathBuf;
use std::sync::OnceLock;

/// The Redis version whose behaviour we keep; clients switch features on it.
pub const REDIS_VERSION: &str = "7.4.1";

/// The same as numbers.
pub const REDIS_VERSION_PARTS: [u8; 3] = [7, 4, 1];

/// Where the configuration came from; set once at the start.
#[derive(Default)]
pub struct Origin {
    /// The full path of the configuration file, if there is one.
    pub file: OnceLock<PathBuf>,
    /// The program and its arguments.
    pub argv: OnceLock<Vec<Vec<u8>>>,
}

impl Config {
    /// Worker threads to start: `worker-threads`, or one per core.
    pub fn workers(&self) -> usize {
        match self.worker_threads.get() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads as usize,
        }
    }

    /// Whether a client at `addr` may use DEBUG.
    pub fn allows_debug(&self, addr: &str) -> bool {
        self.enable_debug_command.get().allows(is_local(addr))
    }

    /// Whether a client at `addr` may use MODULE LOAD and its like.
    pub fn allows_modules(&self, addr: &str) -> bool {
        self.enable_module_command.get().allows(is_local(addr))
    }

    /// Brings values into the bounds in which they work, as Redis does without complaint.
    pub(in crate::config) fn settle(&self) {
        const HZ_MAX: i64 = 500;
        self.hz.store(self.hz.get().clamp(1, HZ_MAX));
    }
}

/// Whether a client's address, as CLIENT LIST shows it, is of this machine: a loopback one or a Unix socket.
pub fn is_local(addr: &str) -> bool {
    addr.starts_with("127.0.0.1:") || addr.starts_with("[::1]:") || addr.starts_with('/')
}
