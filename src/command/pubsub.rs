//! The PUBLISH and SUBSCRIBE families.

use super::Command;

/// The family.
pub const COMMANDS: &[Command] = &[];
