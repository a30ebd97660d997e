//! HELLO, AUTH, SELECT, CLIENT.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
