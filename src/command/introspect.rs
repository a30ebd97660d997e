//! COMMAND, SLOWLOG, LATENCY.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
