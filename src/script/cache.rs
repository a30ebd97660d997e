//! Scripts by SHA1: what EVAL and SCRIPT LOAD keep.
//!
//! A script has a slot, the same number as in the table of compiled functions inside Lua. EVAL finds it by its body,
//! which costs one hash of the text instead of a SHA1; EVALSHA finds it by its digits. Scripts that came by EVAL stand
//! in one list by last use, and the oldest goes when there are 500 of them; a script once named by SCRIPT LOAD leaves
//! the list and stays until SCRIPT FLUSH.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use ahash::RandomState;

use super::flags::Flags;
use super::redis_api::sha1hex;

/// The SHA1 of a script, 40 lowercase hex digits.
pub type Sha = [u8; 40];

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Script {
    pub sha: Sha,
    pub body: Arc<[u8]>,
    pub flags: Flags,
    /// Came by EVAL and may be evicted.
    evictable: bool,
    older: u32,
    newer: u32,
}

/// The scripts of a server.
#[derive(Debug)]
pub(super) struct Cache {
    by_sha: HashMap<Sha, u32, RandomState>,
    by_body: HashMap<Arc<[u8]>, u32, RandomState>,
    slots: Vec<Option<Script>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    evictable: usize,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            by_sha: HashMap::default(),
            by_body: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            evictable: 0,
            bytes: 0,
        }
    }
}

impl Cache {
    /// How many scripts there are.
    pub fn len(&self) -> usize {
        self.by_sha.len()
    }

    /// Bytes the scripts take outside Lua.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The script in a slot.
    pub fn get(&self, slot: u32) -> &Script {
        self.slots[slot as usize].as_ref().expect("slots handed out are filled until evicted")
    }

    /// The slot of a body.
    pub fn find_body(&self, body: &[u8]) -> Option<u32> {
        self.by_body.get(body).copied()
    }

    /// The slot of a SHA1 in digits of either case.
    pub fn find_sha(&self, sha: &[u8]) -> Option<u32> {
        let mut digits: Sha = sha.try_into().ok()?;
        digits.make_ascii_lowercase();
        self.by_sha.get(&digits).copied()
    }

    /// The slot the next script will take.
    pub fn next_slot(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    /// Adds a script under [`Cache::next_slot`].
    pub fn insert(&mut self, body: &[u8], flags: Flags, by_eval: bool) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        let body: Arc<[u8]> = body.into();
        let sha = sha1hex(&body);
        self.bytes += bytes_of(&body);
        self.by_sha.insert(sha, slot);
        self.by_body.insert(Arc::clone(&body), slot);
        let script = Script { sha, body, flags, evictable: by_eval, older: NONE, newer: NONE };
        self.slots[slot as usize] = Some(script);
        if by_eval {
            self.push_newest(slot);
        }
        slot
    }

    /// Notes a use: the script is the last to go now.
    pub fn touch(&mut self, slot: u32) {
        if self.get(slot).evictable && self.newest != slot {
            self.unlink(slot);
            self.push_newest(slot);
        }
    }

    /// Keeps a script until the cache is emptied.
    pub fn keep(&mut self, slot: u32) {
        if self.get(slot).evictable {
            self.unlink(slot);
            self.script(slot).evictable = false;
        }
    }

    /// Removes the oldest script while `limit` or more may be evicted; returns its slot and SHA1.
    pub fn evict(&mut self, limit: usize) -> Option<(u32, Sha)> {
        if self.evictable < limit || self.oldest == NONE {
            return None;
        }
        let slot = self.oldest;
        self.unlink(slot);
        let script = self.slots[slot as usize].take().expect("listed scripts exist");
        self.bytes -= bytes_of(&script.body);
        self.by_sha.remove(&script.sha);
        self.by_body.remove(&script.body);
        self.free.push(slot);
        Some((slot, script.sha))
    }

    fn script(&mut self, slot: u32) -> &mut Script {
        self.slots[slot as usize].as_mut().expect("listed scripts exist")
    }

    fn push_newest(&mut self, slot: u32) {
        let before = std::mem::replace(&mut self.newest, slot);
        self.script(slot).older = before;
        self.script(slot).newer = NONE;
        match before {
            NONE => self.oldest = slot,
            before => self.script(before).newer = slot,
        }
        self.evictable += 1;
    }

    fn unlink(&mut self, slot: u32) {
        let (older, newer) = (self.get(slot).older, self.get(slot).newer);
        match older {
            NONE => self.oldest = newer,
            older => self.script(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.script(newer).older = older,
        }
        self.evictable -= 1;
    }
}

/// A script with its places in both maps and the list.
fn bytes_of(body: &[u8]) -> usize {
    body.len() + size_of::<Option<Script>>() + size_of::<(Sha, u32)>() + size_of::<(Arc<[u8]>, u32)>() + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_of(count: usize, limit: usize) -> (Cache, usize) {
        let (mut cache, mut evicted) = (Cache::default(), 0);
        for number in 1..=count {
            while cache.evict(limit).is_some() {
                evicted += 1;
            }
            cache.insert(format!("return {number}").as_bytes(), Flags::EVAL_COMPAT, true);
        }
        (cache, evicted)
    }

    #[test]
    fn a_script_is_found_by_body_and_by_sha_in_any_case() {
        let mut cache = Cache::default();
        let slot = cache.insert(b"return 1", Flags::EVAL_COMPAT, true);
        assert_eq!(cache.find_body(b"return 1"), Some(slot));
        assert_eq!(cache.find_sha(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"), Some(slot));
        assert_eq!(cache.find_sha(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(slot));
        assert_eq!(cache.find_sha(b"e0e1"), None);
        assert_eq!(cache.find_body(b"return 2"), None);
    }

    #[test]
    fn the_script_not_used_for_longest_goes_first() {
        let (mut cache, evicted) = cache_of(500, 500);
        assert_eq!((cache.len(), evicted), (500, 0));
        for body in ["return 1", "return 2"] {
            let slot = cache.find_body(body.as_bytes()).unwrap();
            cache.touch(slot);
        }
        assert!(cache.evict(500).is_some());
        cache.insert(b"return 1000", Flags::EVAL_COMPAT, true);
        assert!(cache.find_body(b"return 1").is_some() && cache.find_body(b"return 2").is_some());
        assert_eq!(cache.find_body(b"return 3"), None);
        assert_eq!(cache.len(), 500);
    }

    #[test]
    fn loaded_scripts_stay() {
        let mut cache = Cache::default();
        let kept = cache.insert(b"return 'kept'", Flags::EVAL_COMPAT, true);
        cache.keep(kept);
        for number in 0..20 {
            while cache.evict(5).is_some() {}
            cache.insert(format!("return {number}").as_bytes(), Flags::EVAL_COMPAT, true);
        }
        assert_eq!(cache.find_body(b"return 'kept'"), Some(kept));
        assert_eq!(cache.len(), 6);
        assert_eq!(cache.bytes(), cache.slots.iter().flatten().map(|script| bytes_of(&script.body)).sum::<usize>());
    }
}
