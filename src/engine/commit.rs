//! The one way out: what a unit (a command, an EXEC, a script) changed leaves here, before its shards are unlocked.
//!
//! In this order: effects enter the log, keyspace events are published, client-side caches are invalidated, and ready
//! keys are handed back to be served.

use super::Engine;
use crate::client::Client;
use crate::command::Known;
use crate::command::args::Argv;
use crate::command::ctx::Rewrite;
use crate::effect::Effect;
use crate::keyspace::change::{Event, Gone, Modified, Why};
use crate::keyspace::{Changes, Class, Txn};
use crate::pubsub::tracking::Changed;
use crate::spec::Propagate;

/// The effects of one unit, in order.
#[derive(Debug, Default)]
pub struct Unit {
    effects: Vec<Effect>,
    /// The id of the client whose unit it is; 0 for nobody's.
    by: u64,
}

impl Unit {
    /// A unit of this client.
    pub(super) fn of(client: &Client) -> Unit {
        Unit { by: client.id, ..Unit::default() }
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }
    /// Adds effects.
    pub(super) fn log(&mut self, effects: impl IntoIterator<Item = Effect>) {
        self.effects.extend(effects);
    }
    /// Adds what one command did.
    pub(super) fn add(&mut self, txn: &Txn<'_>, known: &Known, argv: Argv<'_>, rewrite: Rewrite, changed: bool) {
        match rewrite {
            Rewrite::As(effects) => self.effects.extend(effects),
            Rewrite::Verbatim if changed && known.command.spec.effect != Propagate::Never => {
                self.effects.push(Effect::new(txn.db() as u32, argv.all()));
            }
            Rewrite::Verbatim => {}
        }
    }
}

/// Keys that somebody waits for and that changed: (database, key).
pub type Ready = Vec<(u32, Box<[u8]>)>;

impl Engine {
    /// Publishes everything a unit changed and serves whom it woke; the shards stay held. Returns the keys still to be
    /// served, when they are not.
    #[inline(always)]
    pub(super) fn commit<'k>(&'k self, txn: &mut Txn<'k>, unit: Unit) -> Option<Ready> {
        if unit.is_empty() && txn.finish_silently() { None } else { self.commit_news(txn, unit) }
    }

    /// The end of a transaction: commits, unlocks, lets go of what else is in hand (the token), and serves whom it woke.
    pub(super) fn end<'k, T>(&'k self, mut txn: Txn<'k>, unit: Unit, in_hand: T) {
        let ready = self.commit(&mut txn, unit);
        drop(txn);
        drop(in_hand);
        self.serve_ready(ready);
    }

    #[inline(never)]
    fn commit_news<'k>(&'k self, txn: &mut Txn<'k>, unit: Unit) -> Option<Ready> {
        let mut ready = self.publish(txn, unit);
        if !ready.is_empty() {
            self.serve_held(txn, &mut ready);
        }
        (!ready.is_empty()).then_some(ready)
    }

    /// Publishes everything a unit changed; the shards stay held. Returns the keys that somebody waits for.
    pub(super) fn publish(&self, txn: &mut Txn<'_>, unit: Unit) -> Ready {
        let changes = txn.finish();
        if changes.is_none() && unit.effects.is_empty() {
            return Ready::new();
        }
        self.publish_changes(txn.is_logged(), *changes.unwrap_or_default(), unit)
    }

    fn publish_changes(&self, logged: bool, mut changes: Changes, unit: Unit) -> Ready {
        if logged {
            let mut effects: Vec<Effect> = changes.gone.iter().map(effect_of).collect();
            effects.extend(unit.effects);
            if !effects.is_empty() {
                self.node.log.append(&effects);
            }
        }
        let notify = self.node.keyspace.notify_classes();
        for event in &changes.events {
            self.publish_event(notify, event);
        }
        if changes.flushed || !changes.modified.is_empty() {
            self.invalidate(&mut changes, unit.by);
        }
        changes.ready
    }

    /// Tells those who may have cached what changed.
    #[cold]
    fn invalidate(&self, changes: &mut Changes, by: u64) {
        let (tracking, clients) = (&self.node.pubsub.tracking, &self.node.clients);
        self.invalidate_read(&mut changes.modified, by);
        let changed: Vec<Changed<'_>> = changes.modified.iter().map(|modified| changed(modified, by)).collect();
        tracking.broadcast(&changed, clients);
        if changes.flushed {
            tracking.invalidate_all(clients);
        }
    }

    /// Tells those who have read what changed, if they have not been told yet.
    pub(super) fn invalidate_read(&self, modified: &mut [Modified], by: u64) {
        for modified in modified.iter_mut().filter(|modified| !modified.told) {
            modified.told = true;
            self.node.pubsub.tracking.invalidate(changed(modified, by), &self.node.clients);
        }
    }

    fn publish_event(&self, notify: Class, event: &Event) {
        if !notify.any(event.class) {
            return;
        }
        let channel = |kind: &str, tail: &[u8]| {
            let mut name = format!("__{kind}@{}__:", event.db).into_bytes();
            name.extend_from_slice(tail);
            name
        };
        if notify.any(Class::KEYSPACE) {
            self.node.pubsub.publish(&channel("keyspace", &event.key), event.name.as_bytes());
        }
        if notify.any(Class::KEYEVENT) {
            self.node.pubsub.publish(&channel("keyevent", event.name.as_bytes()), &event.key);
        }
    }
}

/// What client-side caches hear of a key that a unit of this client changed.
fn changed(modified: &Modified, by: u64) -> Changed<'_> {
    Changed { key: &modified.key, by: if modified.by_command { by } else { 0 } }
}

fn effect_of(gone: &Gone) -> Effect {
    match &gone.why {
        Why::Expired | Why::Evicted => Effect::new(gone.db, &[b"DEL", &gone.key]),
        Why::Fields(fields) => {
            let mut argv: Vec<&[u8]> = vec![b"HDEL", &gone.key];
            argv.extend(fields.iter().map(Vec::as_slice));
            Effect::new(gone.db, &argv)
        }
    }
}
