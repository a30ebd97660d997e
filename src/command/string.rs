//! String commands.
