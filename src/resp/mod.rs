//! The wire protocol, sans I/O. This room knows no socket, no runtime and no command name.

pub mod reply;
pub mod request;
pub mod value;
