//! What a command leaves behind beside its reply: its key events, whether who watches the key learns of it, by how much
//! it counts as a change and as hits and misses, and, when a sequence is over, values that the other server reads from a dump and gives back.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use crate::grammar::Command;
use crate::support::client::{Client, Frame, Value};
use crate::support::server::Server;

/// Two more connections to a server: one hears its key events, one watches a key.
pub struct Audit {
    listener: Client,
    watcher: Client,
    /// Changes, hits and misses when they were last looked at.
    counted: [i64; 3],
}

/// What was left behind, and its name in reports.
pub type Trace = Vec<(&'static str, Frame)>;

impl Audit {
    /// Connections that an audit holds.
    pub const CONNECTIONS: usize = 2;

    pub fn start(server: &Server) -> Self {
        let (mut listener, mut watcher) = (server.connect(), server.connect());
        watcher.run("CONFIG SET notify-keyspace-events EAmn");
        // Keys whose time has passed go when a command meets them, and at no other time.
        watcher.run("DEBUG SET-ACTIVE-EXPIRE 0");
        listener.run("HELLO 3");
        listener.run("PSUBSCRIBE __keyevent@*");
        Audit { listener, watcher, counted: [0; 3] }
    }

    /// Forgets what happened until now.
    pub fn reset(&mut self) {
        self.watcher.run("UNWATCH");
        self.events().expect("the events so far");
        self.counted = self.counts();
    }

    /// Watches one of the command's keys.
    pub fn before(&mut self, command: &Command) {
        if let Some(key) = watched(command) {
            // Of a key whose time has passed the original remembers that; here it goes.
            self.watcher.call(&[b"EXISTS", key]);
            self.reset();
            self.watcher.call(&[b"WATCH", key]);
        }
    }

    /// What the command has left behind.
    pub fn after(&mut self) -> io::Result<Trace> {
        let events = self.events()?;
        let more: Vec<i64> = self.counts().iter().zip(&self.counted).map(|(now, before)| now - before).collect();
        self.counted.iter_mut().zip(&more).for_each(|(count, more)| *count += more);
        self.watcher.run("MULTI");
        let touched = self.watcher.run("EXEC");
        let named = [
            ("events", events),
            ("changes", Value::Int(more[0])),
            ("hits", Value::Int(more[1])),
            ("misses", Value::Int(more[2])),
            ("watch", touched),
        ];
        Ok(named.map(|(name, value)| (name, frame(value))).into())
    }

    fn events(&mut self) -> io::Result<Value> {
        self.listener.send(&["PING"])?;
        let mut events = Vec::new();
        loop {
            match self.listener.receive()?.value {
                Value::Push(parts) => events.push(Value::Array(parts.into_iter().skip(2).collect())),
                _ => return Ok(Value::Array(events)),
            }
        }
    }

    /// Changes, hits and misses so far.
    fn counts(&mut self) -> [i64; 3] {
        let fields = ["rdb_changes_since_last_save", "keyspace_hits", "keyspace_misses"];
        let text = self.watcher.text("INFO persistence stats");
        fields.map(|field| {
            let digits = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            digits.and_then(|digits| digits.parse().ok()).expect("a count")
        })
    }
}

pub fn frame(value: Value) -> Frame {
    Frame { raw: value.to_string().into_bytes(), value }
}

/// For every other command one of the words that look like keys; always the same one for the same command.
fn watched(command: &Command) -> Option<&[u8]> {
    let keys: Vec<&Vec<u8>> = command.iter().skip(1).filter(|word| is_key(word)).collect();
    let mut hasher = DefaultHasher::new();
    command.hash(&mut hasher);
    let hash = hasher.finish() as usize;
    keys.get(hash / 2 % keys.len().max(1)).filter(|_| hash.is_multiple_of(2)).map(|key| key.as_slice())
}

fn is_key(word: &[u8]) -> bool {
    word.starts_with(b"a:")
        || word.starts_with(b"lex:")
        || word.len() == 2 && word[0] == b'k' && word[1].is_ascii_digit()
}

/// Carries the value of `key` to another server and back, as `copy`; the digests of both, if there is a value.
pub fn carry(here: &mut Client, there: &mut Client, key: &str) -> Option<(Frame, Frame)> {
    let mut payload = here.run(&format!("DUMP {key}"));
    for (client, name) in [(&mut *there, "there"), (&mut *here, "here")] {
        let Value::Bulk(bytes) = &payload else { return None };
        let restored = client.call(&[b"RESTORE".as_slice(), b"copy", b"0", bytes, b"REPLACE"]);
        if matches!(&restored, Value::Error(text) if text.ends_with(b"version or checksum are wrong")) {
            // A stream with a consumer that was never active needs a later version than the original has.
            return None;
        }
        if matches!(restored, Value::Error(_)) {
            return Some((frame(Value::Bulk(name.into())), frame(restored)));
        }
        payload = client.run("DUMP copy");
    }
    here.run(&format!("PERSIST {key}"));
    let digest = here.run(&format!("DEBUG DIGEST-VALUE {key}"));
    Some((frame(digest), frame(here.run("DEBUG DIGEST-VALUE copy"))))
}
