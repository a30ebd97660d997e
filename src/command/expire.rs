//! The TTL family.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
