//! Dirty marks for WATCH: who watches a key of this shard.
//!
//! A watcher is a flag shared with its session. A change of the key sets the flag; EXEC looks at it. The map lives in
//! the shard and is read under its lock, so a mark can neither be lost nor come late.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag of one session: set when something it watches has changed.
pub type Dirty = Arc<AtomicBool>;

/// The watched keys of one shard.
#[derive(Default)]
pub struct WatchMap {
    keys: HashMap<(u32, Box<[u8]>), Vec<Dirty>>,
}

impl WatchMap {
    /// Whether nobody watches anything here: the usual case.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
    /// Number of keys watched.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
    /// The watched keys of one of two databases.
    pub fn keys_of(&self, dbs: [u32; 2]) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().filter(move |(db, _)| dbs.contains(db)).map(|(_, key)| &**key)
    }
    /// Adds a watcher of `key`; false if it is one already.
    pub fn add(&mut self, db: u32, key: &[u8], dirty: &Dirty) -> bool {
        let list = self.keys.entry((db, key.into())).or_default();
        let is_new = !list.iter().any(|d| Arc::ptr_eq(d, dirty));
        if is_new {
            list.push(dirty.clone());
        }
        is_new
    }
    /// Removes a watcher of `key`.
    pub fn remove(&mut self, db: u32, key: &[u8], dirty: &Dirty) {
        let at = (db, Box::from(key));
        if let Some(list) = self.keys.get_mut(&at) {
            list.retain(|d| !Arc::ptr_eq(d, dirty));
            if list.is_empty() {
                self.keys.remove(&at);
            }
        }
    }
    /// The key changed.
    pub fn mark(&self, db: u32, key: &[u8]) {
        if let Some(list) = self.keys.get(&(db, Box::from(key))) {
            list.iter().for_each(|d| d.store(true, Ordering::Release));
        }
    }
    /// Every watched key of `db` for which `changed` holds has changed (FLUSHDB, SWAPDB).
    pub fn mark_db(&self, db: u32, changed: impl Fn(&[u8]) -> bool) {
        for ((d, key), list) in &self.keys {
            if *d == db && changed(key) {
                list.iter().for_each(|d| d.store(true, Ordering::Release));
            }
        }
    }
}
