//! The wire protocol, sans I/O. This room knows no socket, no runtime and no command name.
//!
//! [`request`] turns bytes into requests whose arguments ([`args`]) are slices of the read buffer, [`whole`] does so for
//! those that need no parser; [`reply`] turns answers into bytes; [`value`] reads those back for scripts and tests.

pub mod args;
pub mod reply;
pub mod request;
pub mod value;
pub mod whole;
