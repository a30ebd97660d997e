//! Subscribers of glob patterns.

use super::Message;
use crate::base::glob;
use crate::client::Client;
use crate::client::rounds::Rounds;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Patterns and their subscribers.
#[derive(Default)]
pub struct Patterns {
    map: RwLock<BTreeMap<Vec<u8>, Vec<Arc<Client>>>>,
}

impl Patterns {
    /// Subscribes a client, which is not subscribed yet.
    pub fn subscribe(&self, pattern: &[u8], client: &Arc<Client>) {
        self.map.write().entry(pattern.to_vec()).or_default().push(client.clone());
    }
    /// Unsubscribes a client.
    pub fn unsubscribe(&self, pattern: &[u8], id: u64) {
        let mut map = self.map.write();
        if let Some(list) = map.get_mut(pattern) {
            list.retain(|c| c.id != id);
            if list.is_empty() {
                map.remove(pattern);
            }
        }
    }
    /// Sends a message to the subscribers of every pattern that matches the channel; returns their number.
    pub fn publish(&self, channel: &[u8], message: &[u8], rounds: &Rounds) -> usize {
        let map = self.map.read();
        let mut count = 0;
        for (pattern, subscribers) in map.iter().filter(|(p, _)| glob::matches(p, channel)) {
            let parts: [&[u8]; 4] = [b"pmessage", pattern, channel, message];
            let mut push = Message::new(&parts);
            subscribers.iter().for_each(|client| push.deliver(client, rounds));
            count += subscribers.len();
        }
        count
    }
    /// Calls `f` with every subscriber of a pattern that matches the channel.
    pub fn each(&self, channel: &[u8], f: impl FnMut(&Client)) {
        let map = self.map.read();
        let subscribers = map.iter().filter(|(p, _)| glob::matches(p, channel)).flat_map(|(_, clients)| clients);
        subscribers.map(Arc::as_ref).for_each(f);
    }
    /// Calls `f` with every subscriber and what it is subscribed to.
    pub fn each_subscription(&self, mut f: impl FnMut(&Arc<Client>, &[u8])) {
        self.map.read().iter().for_each(|(pattern, clients)| clients.iter().for_each(|client| f(client, pattern)));
    }
    /// Number of patterns.
    pub fn len(&self) -> usize {
        self.map.read().len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.read().is_empty()
    }
}
