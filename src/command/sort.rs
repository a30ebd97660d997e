//! SORT and SORT_RO.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
