//! Counters, padded so that workers do not share cache lines.

pub mod latency;
pub mod slowlog;
