//! What a unit has in hand while its commands run.

use super::commit::Unit;
use crate::keyspace::Txn;
use crate::script::Host;

/// The shards, the script host and the effects of a unit.
pub(in crate::engine) struct Hands<'a, 'k> {
    /// The shards of its keys.
    pub txn: &'a mut Txn<'k>,
    /// The script host, where the token is in hand and no script runs.
    pub host: Option<&'a mut Host>,
    /// What it has changed so far.
    pub unit: &'a mut Unit,
}
