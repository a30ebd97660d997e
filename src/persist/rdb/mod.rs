//! The RDB value format.

pub mod code;
pub mod read;
pub mod write;
