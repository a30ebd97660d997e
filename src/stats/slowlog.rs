//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// Arguments kept of one command, and bytes of one argument.
pub const ARGS_MAX: usize = 32;
/// Bytes kept of one argument.
pub const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Debug, Clone)]
pub struct Slow {
    /// Its number, from 0.
    pub id: u64,
    /// Unix time in seconds.
    pub at_s: u64,
    /// How long it ran, in microseconds.
    pub micros: u64,
    /// Its arguments, shortened.
    pub argv: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// The slow log, newest first.
#[derive(Debug, Default)]
pub struct Slowlog {
    inner: Mutex<(VecDeque<Slow>, u64)>,
}

impl Slowlog {
    /// Adds a command, keeping at most `max`; with 0 it has no number either.
    pub fn add(&self, max: usize, mut slow: Slow) {
        if max == 0 {
            return;
        }
        let mut inner = self.inner.lock();
        slow.id = inner.1;
        inner.1 += 1;
        inner.0.push_front(slow);
        inner.0.truncate(max);
    }
    /// The newest `count`.
    pub fn newest(&self, count: usize) -> Vec<Slow> {
        self.inner.lock().0.iter().take(count).cloned().collect()
    }
    /// Number of commands kept.
    pub fn len(&self) -> usize {
        self.inner.lock().0.len()
    }
    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Forgets all.
    pub fn clear(&self) {
        self.inner.lock().0.clear();
    }
}

/// A request shortened for the slow log: at most 32 arguments of at most 128 bytes, with a note of what is missing.
pub fn shorten(argv: &[&[u8]]) -> Vec<Vec<u8>> {
    let shown = if argv.len() > ARGS_MAX { ARGS_MAX - 1 } else { argv.len() };
    let mut out: Vec<Vec<u8>> = argv[..shown]
        .iter()
        .map(|arg| {
            if arg.len() <= ARG_BYTES_MAX {
                return arg.to_vec();
            }
            let mut text = arg[..ARG_BYTES_MAX].to_vec();
            text.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes());
            text
        })
        .collect();
    if shown < argv.len() {
        out.push(format!("... ({} more arguments)", argv.len() - shown).into_bytes());
    }
    out
}
