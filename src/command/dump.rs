//! DUMP and RESTORE.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
