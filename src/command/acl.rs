//! ACL.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
