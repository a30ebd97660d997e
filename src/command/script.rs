//! The EVAL and FUNCTION families.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
