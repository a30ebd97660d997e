//! The engine: `execute` is the one way in.

pub mod apply;
pub mod block;
pub mod commit;
pub mod exec;
pub mod gate;
pub mod maintain;
pub mod multi;
pub mod script;
