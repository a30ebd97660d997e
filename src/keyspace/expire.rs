//! Expiry by the wheel: keys and hash fields whose deadline has passed go without anybody touching them.
//!
//! Every deadline stands as a key hash in the wheel of its shard and database. When a slot fires, the keys with that
//! hash are looked up and judged by their real deadline: one that moved later is filed again, one that is gone costs
//! nothing. Expiry on touch is in `txn.rs`.

use super::change::Why;
use super::entry::Entry;
use super::txn::{Create, Txn};
use super::wheel::Due;
use crate::types::hash::Hash;
use smallvec::SmallVec;

/// Fields expired per hash in one step. What is left of them is due at the next millisecond.
const FIELDS_PER_STEP: usize = 1024;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys and fields expired.
    pub expired: usize,
    /// There is more to do now.
    pub more: bool,
}

impl Txn<'_> {
    /// Expires what is due in the shards held, at most about `budget` keys.
    pub fn sweep(&mut self, budget: usize) -> Swept {
        let mut swept = Swept::default();
        if self.keep_expired {
            return swept;
        }
        let (db_before, now_ms) = (self.db(), self.now_ms());
        let mut due: Vec<(usize, usize, Due)> = Vec::new();
        let mut left = budget;
        for (slot, shard) in self.shards_mut().enumerate() {
            for (db, part) in shard.dbs.iter_mut().enumerate() {
                let done = part.wheel.advance(now_ms, left, |item| due.push((slot, db, item)));
                left = left.saturating_sub(done);
                if left == 0 {
                    swept.more = true;
                    break;
                }
                if part.wheel.wants_compaction(part.volatile + part.volatile_fields) {
                    part.wheel.compact(&part.table, left);
                }
            }
        }
        for (slot, db, item) in due {
            self.select(db);
            self.settle_due(slot, item, &mut swept);
        }
        self.select(db_before);
        swept
    }

    /// Expires what an item of the wheel of a shard stands for, or files it again.
    fn settle_due(&mut self, slot: usize, item: Due, swept: &mut Swept) {
        let (db, now_ms) = (self.db(), self.now_ms());
        let mut dead: SmallVec<[Vec<u8>; 1]> = SmallVec::new();
        let mut fields: SmallVec<[Vec<u8>; 1]> = SmallVec::new();
        let Some(part) = self.shards_mut().nth(slot).map(|shard| &mut shard.dbs[db]) else { return };
        part.table.find_by_hash(item.hash, |entry| {
            if entry.expiry().is_some_and(|at| at <= now_ms) {
                dead.push(entry.key().to_vec());
                return false;
            }
            part.wheel.refile(item, entry);
            match entry.field_deadline() {
                Some(at) if at <= now_ms => fields.push(entry.key().to_vec()),
                Some(at) => part.wheel.add(at, item.hash),
                None => {}
            }
            false
        });
        swept.expired += dead.len();
        dead.iter().for_each(|key| self.expire(key));
        for key in fields {
            swept.expired += self.expire_fields(&key);
            if let Some(at) = self.peek(&key).and_then(Entry::field_deadline)
                && let Some(shard) = self.shards_mut().nth(slot)
            {
                shard.dbs[db].wheel.add(at, item.hash);
                swept.more |= at <= now_ms;
            }
        }
    }

    /// Removes the fields of a hash whose deadlines have passed, with their event and effect; returns how many.
    pub fn expire_fields(&mut self, key: &[u8]) -> usize {
        let now_ms = self.now_ms();
        self.remove_fields(key, |hash| hash.expire_due(now_ms, FIELDS_PER_STEP))
    }

    /// The same for those of the named fields whose deadlines have passed: what a command that names them does first.
    #[inline]
    pub fn expire_named<'n>(&mut self, key: &[u8], names: impl IntoIterator<Item = &'n &'n [u8]>) {
        if !self.keep_expired && self.has_volatile_fields(key) {
            self.expire_volatile(key, &names.into_iter().copied().collect::<SmallVec<[&[u8]; 16]>>());
        }
    }

    fn expire_volatile(&mut self, key: &[u8], names: &[&[u8]]) {
        let now_ms = self.now_ms();
        let Ok(Some(hash)) = self.peek_as::<Hash>(key) else { return };
        if hash.next_deadline().is_none_or(|at| at > now_ms) {
            return;
        }
        let is_due = |name: &&&[u8]| hash.get(name).is_some_and(|field| field.is_due(now_ms));
        let due: Vec<Vec<u8>> = names.iter().filter(is_due).map(|name| name.to_vec()).collect();
        if !due.is_empty() {
            self.remove_fields(key, |hash| due.into_iter().filter(|name| hash.remove(name)).collect());
        }
    }

    fn remove_fields(&mut self, key: &[u8], remove: impl FnOnce(&mut Hash) -> Vec<Vec<u8>>) -> usize {
        let fields = self.edit::<Hash, _>(key, Create::No, |hash, note| {
            let fields = remove(hash);
            if !fields.is_empty() {
                note.event("hexpired");
                note.uncounted();
            }
            fields
        });
        let fields = fields.ok().flatten().unwrap_or_default();
        let count = fields.len();
        if count > 0 {
            self.count_expired_fields(key, count as u64);
            self.gone(key, Why::Fields(fields));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::later::Later;
    use crate::base::time::Clock;
    use crate::keyspace::Keyspace;
    use crate::types::hash::{Deadline, HashLimits};

    /// Of a million fields that were due together, a thousand went, and the rest waited for the next look, five milliseconds
    /// later.
    #[test]
    fn a_step_says_that_fields_of_a_hash_are_left() {
        let keyspace = Keyspace::new(1, 1, Clock::manual(1000), Later::start().expect("a thread"), 1);
        const FIELDS: usize = 5 * FIELDS_PER_STEP / 2;
        let mut txn = Txn::lock(&keyspace, 0, 1000, &[0]);
        let filled = txn.edit::<Hash, _>(b"key", Create::Yes, |hash, note| {
            for number in 0..FIELDS {
                hash.set(number.to_string().as_bytes(), b"value", Deadline::At(2000), &HashLimits::default());
            }
            note.event("hset");
        });
        assert_eq!(filled, Ok(Some(())));
        drop(txn);
        let mut left = FIELDS;
        for now_ms in 2000.. {
            let mut txn = Txn::lock(&keyspace, 0, now_ms, &[0]);
            let swept = txn.sweep(100);
            left -= swept.expired;
            assert_eq!((swept.expired.min(FIELDS_PER_STEP), swept.more), (swept.expired, left > 0));
            if left == 0 {
                assert!(txn.peek(b"key").is_none(), "the hash goes with its last field");
                break;
            }
            assert!(now_ms < 2010, "{left} fields are left");
        }
    }
}
