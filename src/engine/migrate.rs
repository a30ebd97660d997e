//! The end of a MIGRATE: what came of it, under the shards that were held all the while.

use super::Engine;
use super::commit::Unit;
use crate::client::Session;
use crate::command::migrate::conversation::Migration;
use crate::keyspace::Txn;
use crate::resp::reply::Reply;

impl Engine {
    /// Deletes what has arrived and answers. True when the answer is an error, which keys that arrived before it do not
    /// keep from being deleted.
    pub(super) fn end_migration(
        &self,
        txn: &mut Txn<'_>,
        session: &Session,
        migration: &Migration,
        reply: &mut Reply,
        unit: &mut Unit,
    ) -> bool {
        let effect = migration.settle(txn);
        if txn.is_logged() {
            unit.log(effect);
        }
        match migration.error() {
            None => {
                reply.ok();
                false
            }
            Some(error) => {
                self.error(session, &error, reply);
                true
            }
        }
    }
}
