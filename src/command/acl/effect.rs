//! What a change of users means for their clients.
//!
//! Clients of a deleted user are closed, and so are those that listen to a channel which their user may use no more. All
//! others are told to look their user up again before they go on. All shards are held meanwhile: a command with keys is
//! through before, or sees the mark once it has its shards.

use crate::acl::user::User;
use crate::client::{Client, Marks};
use crate::command::ctx::Ctx;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A user as it was and as it is; `None` is gone.
pub(super) struct Change {
    pub old: Arc<User>,
    pub new: Option<Arc<User>>,
}

/// Lets clients know of these changes, which have been made.
pub(super) fn apply(ctx: &mut Ctx<'_, '_>, changes: &[Change]) {
    let changes: Changes<'_> = changes.iter().map(|change| (change.old.name.as_slice(), change)).collect();
    for client in ctx.node.clients.those(|client| change_of(&changes, client).is_some()) {
        client.marks.set(Marks::USER_CHANGED, true);
        if change_of(&changes, &client).is_some_and(|change| change.new.is_none()) {
            close(ctx, &client);
        }
    }
    for client in listeners(ctx, &changes) {
        close(ctx, &client);
    }
}

type Changes<'c> = BTreeMap<&'c [u8], &'c Change>;

fn change_of<'c>(changes: &Changes<'c>, client: &Client) -> Option<&'c Change> {
    changes.get(client.labels.read().user.as_slice()).copied()
}

/// Clients that listen to what their user may not listen to any more. With all that the old user had left to the new
/// one, nobody is looked at.
fn listeners(ctx: &Ctx<'_, '_>, changes: &Changes<'_>) -> Vec<Arc<Client>> {
    let is_narrowed = |change: &Change| change.new.as_ref().is_some_and(|new| new.lost_channels(&change.old));
    let narrowed: Changes<'_> =
        changes.iter().filter(|(_, change)| is_narrowed(change)).map(|(name, change)| (*name, *change)).collect();
    let mut found = Vec::new();
    if narrowed.is_empty() {
        return found;
    }
    ctx.node.pubsub.each_subscription(|client, name, is_pattern| {
        let user = change_of(&narrowed, client).and_then(|change| change.new.as_ref());
        if user.is_some_and(|user| !user.may_listen(name, is_pattern)) {
            found.push(client.clone());
        }
    });
    found
}

/// Closes a client; the one that asked for the change has its reply before.
fn close(ctx: &mut Ctx<'_, '_>, client: &Arc<Client>) {
    if client.id == ctx.session.client.id {
        ctx.session.closing = true;
    } else {
        client.kill();
    }
}
