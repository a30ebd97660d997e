//! DEL, RENAME, COPY and other commands on keys of any type.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
