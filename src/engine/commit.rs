//! The one way out: what a unit (a command, an EXEC, a script) changed leaves here, before its shards are unlocked.
//!
//! In this order: effects enter the log, keyspace events are published, client-side caches are invalidated, and ready
//! keys are handed back to be served.

use super::Engine;
use crate::command::Known;
use crate::command::args::Argv;
use crate::command::ctx::Rewrite;
use crate::effect::Effect;
use crate::keyspace::change::{Event, Gone, Why};
use crate::keyspace::{Changes, Class, Txn};
use crate::spec::Propagate;

/// The effects of one unit, in order.
#[derive(Debug, Default)]
pub struct Unit {
    effects: Vec<Effect>,
}

impl Unit {
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
    /// Publishes everything a unit changed, serves whom it woke, then unlocks. Returns the keys still to be served.
    #[inline]
    pub(super) fn commit<'k>(&'k self, mut txn: Txn<'k>, unit: Unit) -> Ready {
        let mut ready = self.publish(&mut txn, unit);
        if !ready.is_empty() {
            self.serve_held(&mut txn, &mut ready);
        }
        ready
    }

    /// Publishes everything a unit changed; the shards stay held. Returns the keys that somebody waits for.
    #[inline]
    pub(super) fn publish(&self, txn: &mut Txn<'_>, unit: Unit) -> Ready {
        let changes = txn.finish();
        if changes.is_none() && unit.effects.is_empty() {
            return Ready::new();
        }
        self.publish_changes(txn.is_logged(), *changes.unwrap_or_default(), unit)
    }

    fn publish_changes(&self, logged: bool, changes: Changes, unit: Unit) -> Ready {
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
        for (_, key) in &changes.modified {
            self.node.pubsub.tracking.invalidate(key);
        }
        changes.ready
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
