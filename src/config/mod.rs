//! shim
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
#[derive(Debug)]
pub struct Num(pub AtomicI64);
impl Num {
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}
#[derive(Debug)]
pub struct Flag(pub AtomicBool);
impl Flag {
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}
#[derive(Debug)]
pub struct Config {
    pub databases: Num,
    pub slowlog_log_slower_than: Num,
    pub slowlog_max_len: Num,
    pub latency_tracking: Flag,
    pub latency_monitor_threshold: Num,
    pub port: Num,
    pub proto_max_bulk_len: Num,
    pub maxclients: Num,
}
impl Config {
    pub fn shim(port: i64) -> Config {
        let n = |v| Num(AtomicI64::new(v));
        Config {
            databases: n(16),
            slowlog_log_slower_than: n(10000),
            slowlog_max_len: n(128),
            latency_tracking: Flag(AtomicBool::new(true)),
            latency_monitor_threshold: n(0),
            port: n(port),
            proto_max_bulk_len: n(512 << 20),
            maxclients: n(10000),
        }
    }
    pub fn workers(&self) -> usize {
        1
    }
    pub fn allows_debug(&self, _: &str) -> bool {
        true
    }
    pub fn allows_modules(&self, _: &str) -> bool {
        false
    }
}
