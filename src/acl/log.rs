//! ACL LOG: who was refused, newest first.
//!
//! A refusal like one of the last minute only raises its count. With one user that may do everything, the only refusal
//! is a wrong name or password.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// How long refusals of the same kind are one entry, in milliseconds.
const SAME_MS: u64 = 60_000;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The command as it was sent.
    pub object: Vec<u8>,
    /// The name that was tried.
    pub username: Vec<u8>,
    /// The client's line of CLIENT LIST.
    pub client_info: String,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 0.
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    /// What happened, as of the last time.
    pub refusal: Refusal,
    /// When it happened first, in Unix milliseconds.
    pub created_ms: u64,
    /// When it happened last.
    pub updated_ms: u64,
}

/// The log.
#[derive(Default)]
pub struct AclLog(Mutex<(VecDeque<Entry>, u64)>);

impl AclLog {
    /// Adds a refusal, keeping at most `entries_max`.
    pub fn add(&self, refusal: Refusal, now_ms: u64, entries_max: usize) {
        let (entries, next_id) = &mut *self.0.lock();
        let is_same = |entry: &Entry| {
            entry.refusal.object == refusal.object
                && entry.refusal.username == refusal.username
                && now_ms.saturating_sub(entry.updated_ms) <= SAME_MS
        };
        let entry = match entries.iter().position(is_same).and_then(|at| entries.remove(at)) {
            Some(old) => Entry { count: old.count + 1, refusal, updated_ms: now_ms, ..old },
            None => {
                *next_id += 1;
                Entry { id: *next_id - 1, count: 1, refusal, created_ms: now_ms, updated_ms: now_ms }
            }
        };
        entries.push_front(entry);
        entries.truncate(entries_max);
    }
    /// The newest entries, at most `count`.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.0.lock().0.iter().take(count).cloned().collect()
    }
    /// Forgets all; numbers go on.
    pub fn clear(&self) {
        self.0.lock().0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_within_a_minute_is_one_entry() {
        let log = AclLog::default();
        let refusal = |name: &str| Refusal {
            object: b"AUTH".to_vec(),
            username: name.as_bytes().to_vec(),
            client_info: String::new(),
        };
        for (name, now_ms) in [("anna", 1000), ("bert", 2000), ("anna", 50_000), ("anna", 200_000)] {
            log.add(refusal(name), now_ms, 3);
        }
        let seen: Vec<_> =
            log.newest(10).into_iter().map(|e| (e.id, e.count, e.refusal.username, e.created_ms)).collect();
        let anna = b"anna".to_vec();
        assert_eq!(seen, [(2, 1, anna.clone(), 200_000), (0, 2, anna, 1000), (1, 1, b"bert".to_vec(), 2000)]);
        log.add(refusal("carl"), 200_001, 1);
        assert_eq!(log.newest(10).len(), 1);
        log.clear();
        assert!(log.newest(10).is_empty());
    }
}
