//! ACL LOG: who was refused, newest first.
//!
//! A refusal like one of the last minute only raises its count.

use super::selector::Denied;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How long refusals of the same kind are one entry, in milliseconds.
const SAME_MS: u64 = 60_000;

/// How many of the newest entries are looked at for one of the same kind.
const LOOKED_AT: usize = 10;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
    /// The log-in.
    Auth,
}

impl Reason {
    /// As ACL LOG names it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Reason {
        match denied {
            Denied::Command => Reason::Command,
            Denied::Key(_) => Reason::Key,
            Denied::Channel(_) => Reason::Channel,
        }
    }
}

/// Where it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// By itself.
    TopLevel,
    /// In a transaction, as it was queued or as it ran.
    Multi,
    /// In a script.
    Script,
}

impl Context {
    /// As ACL LOG names it.
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was refused.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel; of a log-in, the command as it was sent.
    pub object: Vec<u8>,
    /// The user; of a log-in, the name that was tried.
    pub username: Vec<u8>,
    /// The client's line of CLIENT LIST.
    pub client_info: String,
}

impl Refusal {
    /// Whether the two differ in nothing but the client.
    fn is_like(&self, other: &Refusal) -> bool {
        (self.reason, self.context) == (other.reason, other.context)
            && self.object == other.object
            && self.username == other.username
    }
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

/// The log, and how many refusals there were.
#[derive(Default)]
pub struct AclLog {
    entries: Mutex<(VecDeque<Entry>, u64)>,
    /// By their reason.
    counts: [AtomicU64; 4],
}

impl AclLog {
    /// Adds a refusal, keeping at most `entries_max`; with none kept, those there are stay.
    pub fn add(&self, refusal: Refusal, now_ms: u64, entries_max: usize) {
        self.counts[refusal.reason as usize].fetch_add(1, Relaxed);
        if entries_max == 0 {
            return;
        }
        let (entries, next_id) = &mut *self.entries.lock();
        let is_same =
            |entry: &Entry| entry.refusal.is_like(&refusal) && now_ms.saturating_sub(entry.updated_ms) <= SAME_MS;
        let entry = match entries.iter().take(LOOKED_AT).position(is_same).and_then(|at| entries.remove(at)) {
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
        self.entries.lock().0.iter().take(count).cloned().collect()
    }
    /// Forgets all; numbers go on.
    pub fn clear(&self) {
        self.entries.lock().0.clear();
    }
    /// How many refusals of this reason there were.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: Reason, object: &str, name: &str) -> Refusal {
        Refusal {
            reason,
            context: Context::TopLevel,
            object: object.as_bytes().to_vec(),
            username: name.as_bytes().to_vec(),
            client_info: String::new(),
        }
    }

    #[test]
    fn the_same_within_a_minute_is_one_entry() {
        let log = AclLog::default();
        for (name, now_ms) in [("anna", 1000), ("bert", 2000), ("anna", 50_000), ("anna", 200_000)] {
            log.add(refusal(Reason::Auth, "AUTH", name), now_ms, 3);
        }
        let seen: Vec<_> =
            log.newest(10).into_iter().map(|e| (e.id, e.count, e.refusal.username, e.created_ms)).collect();
        let anna = b"anna".to_vec();
        assert_eq!(seen, [(2, 1, anna.clone(), 200_000), (0, 2, anna, 1000), (1, 1, b"bert".to_vec(), 2000)]);
        log.add(refusal(Reason::Auth, "AUTH", "carl"), 200_001, 1);
        assert_eq!(log.newest(10).len(), 1);
        log.clear();
        assert!(log.newest(10).is_empty());
        assert_eq!((log.count(Reason::Auth), log.count(Reason::Key)), (5, 0));
    }

    #[test]
    fn another_reason_context_or_object_is_another_entry() {
        let log = AclLog::default();
        let get = refusal(Reason::Command, "get", "anna");
        log.add(get.clone(), 1, 128);
        log.add(Refusal { context: Context::Multi, ..get.clone() }, 1, 128);
        log.add(Refusal { reason: Reason::Key, ..get.clone() }, 1, 128);
        log.add(Refusal { object: b"set".to_vec(), ..get.clone() }, 1, 128);
        log.add(get.clone(), 1, 128);
        assert_eq!(log.newest(10).iter().map(|entry| entry.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        log.add(get, 1, 0);
        assert_eq!(log.newest(10).len(), 4, "none is added, and none lost");
        // What is far down is not looked for.
        (0..10).for_each(|n| log.add(refusal(Reason::Key, &n.to_string(), "anna"), 1, 128));
        log.add(refusal(Reason::Key, "get", "anna"), 1, 128);
        assert_eq!(log.newest(1)[0].count, 1);
    }
}
