//! FLUSHALL, TIME, DEBUG, MEMORY and other commands on the server.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
