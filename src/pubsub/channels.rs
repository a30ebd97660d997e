//! Subscribers of exact names and of shard channels.

use super::Message;
use crate::client::Client;
use crate::client::rounds::Rounds;
use ahash::RandomState;
use dashmap::DashMap;
use std::sync::Arc;

/// Channels and their subscribers.
#[derive(Default)]
pub struct Channels {
    map: DashMap<Vec<u8>, Vec<Arc<Client>>, RandomState>,
}

impl Channels {
    /// Subscribes a client, which is not subscribed yet.
    pub fn subscribe(&self, channel: &[u8], client: &Arc<Client>) {
        self.map.entry(channel.to_vec()).or_default().push(client.clone());
    }
    /// Unsubscribes a client.
    pub fn unsubscribe(&self, channel: &[u8], id: u64) {
        if let dashmap::Entry::Occupied(mut entry) = self.map.entry(channel.to_vec()) {
            entry.get_mut().retain(|c| c.id != id);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }
    /// Sends a message to every subscriber; returns their number.
    pub fn publish(&self, kind: &[u8], channel: &[u8], message: &[u8], rounds: &Rounds) -> usize {
        let Some(subscribers) = self.map.get(channel) else { return 0 };
        let parts = [kind, channel, message];
        let mut push = Message::new(&parts);
        subscribers.iter().for_each(|client| push.deliver(client, rounds));
        subscribers.len()
    }
    /// Calls `f` with every subscriber of a channel.
    pub fn each(&self, channel: &[u8], f: impl FnMut(&Client)) {
        if let Some(subscribers) = self.map.get(channel) {
            subscribers.iter().map(Arc::as_ref).for_each(f);
        }
    }
    /// Calls `f` with every subscriber and what it is subscribed to.
    pub fn each_subscription(&self, mut f: impl FnMut(&Arc<Client>, &[u8])) {
        self.map.iter().for_each(|entry| entry.value().iter().for_each(|client| f(client, entry.key())));
    }
    /// Number of subscribers of a channel.
    pub fn count(&self, channel: &[u8]) -> usize {
        self.map.get(channel).map_or(0, |s| s.len())
    }
    /// Names of all channels with subscribers.
    pub fn names(&self) -> Vec<Vec<u8>> {
        self.map.iter().map(|e| e.key().clone()).collect()
    }
    /// Number of channels with subscribers.
    pub fn len(&self) -> usize {
        self.map.len()
    }
    /// Whether nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}
