//! Client-side caching: who remembers which key.

use crate::client::Client;
use dashmap::DashMap;
use std::sync::Arc;

/// Keys that clients have read and may have cached.
#[derive(Default)]
pub struct TrackingTable {
    keys: DashMap<Vec<u8>, Vec<Arc<Client>>>,
}

impl TrackingTable {
    /// The key has changed.
    pub fn invalidate(&self, key: &[u8]) {
        self.keys.remove(key);
    }
    /// All keys have changed.
    pub fn invalidate_all(&self) {
        self.keys.clear();
    }
    /// The client tracks no more.
    pub fn disable(&self, client: &Client) {
        self.keys.retain(|_, clients| {
            clients.retain(|c| c.id != client.id);
            !clients.is_empty()
        });
    }
}
