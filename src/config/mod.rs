//! Live configuration values and the names of the hooks that act on a change.

pub mod load;
pub mod rewrite;
pub mod table;
