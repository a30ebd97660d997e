//! Expiry by the wheel: keys and hash fields whose deadline has passed go without anybody touching them.
//!
//! Every deadline stands as a key hash in the wheel of its shard and database. When a slot fires, the keys with that
//! hash are looked up and judged by their real deadline: one that moved later is filed again, one that is gone costs
//! nothing. Expiry on touch is in `txn.rs`.

use super::change::Why;
use super::txn::{Create, Txn};
use crate::types::hash::Hash;

/// Fields expired per hash in one step.
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
        let mut due: Vec<(usize, u64)> = Vec::new();
        for shard in self.shards_mut() {
            for (db, part) in shard.dbs.iter_mut().enumerate() {
                let left = budget.saturating_sub(due.len());
                if left == 0 {
                    swept.more = true;
                    break;
                }
                part.wheel.advance(now_ms, left, |hash| due.push((db, hash)));
            }
        }
        swept.more |= due.len() >= budget;
        for (db, hash) in due {
            self.select(db);
            swept.expired += self.expire_hash(hash, now_ms);
        }
        self.select(db_before);
        swept
    }

    /// Expires, or files again, the keys with this hash.
    fn expire_hash(&mut self, hash: u64, now_ms: u64) -> usize {
        let slot_db = self.db();
        let mut dead: Option<Vec<u8>> = None;
        let mut fields: Option<Vec<u8>> = None;
        let mut later: Option<u64> = None;
        for shard in self.shards() {
            let part = &shard.dbs[slot_db];
            part.table.find_by_hash(hash, |entry| {
                let field = entry.field_deadline();
                match entry.expiry() {
                    Some(at) if at <= now_ms => dead = Some(entry.key().to_vec()),
                    _ if field.is_some_and(|at| at <= now_ms) => fields = Some(entry.key().to_vec()),
                    whole => later = whole.into_iter().chain(field).min().or(later),
                }
                false
            });
        }
        if let Some(key) = dead {
            self.expire(&key);
            return 1;
        }
        if let Some(key) = fields {
            let expired = self.expire_fields(&key);
            let next = self.peek(&key).and_then(|e| e.expiry().into_iter().chain(e.field_deadline()).min());
            if let Some(at) = next {
                self.file(hash, at);
            }
            return expired;
        }
        if let Some(at) = later {
            self.file(hash, at);
        }
        0
    }

    fn file(&mut self, hash: u64, at: u64) {
        let db = self.db();
        let shard = self.keyspace().shard_of(hash);
        let single = self.shards().count() == 1;
        let index = if single { 0 } else { shard };
        if let Some(shard) = self.shards_mut().nth(index) {
            shard.dbs[db].wheel.add(at, hash);
        }
    }

    /// Removes the fields of a hash whose deadlines have passed, with their event and effect; returns how many.
    pub fn expire_fields(&mut self, key: &[u8]) -> usize {
        let now_ms = self.now_ms();
        let fields = self.edit::<Hash, _>(key, Create::No, |hash, note| {
            let fields = hash.expire_due(now_ms, FIELDS_PER_STEP);
            if !fields.is_empty() {
                note.event("hexpired");
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
