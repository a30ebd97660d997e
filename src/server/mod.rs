//! Run and graceful stop.

pub mod conn;
pub mod control;
pub mod cron;
pub mod listen;
pub mod log;
pub mod signal;
