//! All clients: looked up by id, listed, killed.

use super::{Client, Marks, Peer};
use crate::resp::reply::Proto;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The clients of one server.
#[derive(Default)]
pub struct Registry {
    clients: DashMap<u64, Arc<Client>>,
    next_id: AtomicU64,
    /// How many wait for their socket to take more output.
    pub slow: AtomicUsize,
    /// How many are in the midst of a big argument.
    pub halfway: AtomicUsize,
}

impl Registry {
    /// A new client with the next id.
    pub fn add(&self, worker: usize, peer: Peer, now_ms: u64) -> Arc<Client> {
        let id = self.next_id.fetch_add(1, Relaxed) + 1;
        let client = Arc::new(Client::new(id, worker, peer, now_ms, Proto::Resp2));
        self.clients.insert(id, client.clone());
        client
    }
    /// A client that is nobody's connection (a script's, a log's): it has no id in the list.
    pub fn unlisted(&self) -> Arc<Client> {
        Arc::new(Client::new(0, 0, Peer::default(), 0, Proto::Resp2))
    }
    /// The client goes away.
    pub fn remove(&self, id: u64) {
        self.clients.remove(&id);
    }
    /// The client of this id.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.clients.get(&id).map(|c| c.clone())
    }
    /// Number of clients.
    pub fn len(&self) -> usize {
        self.clients.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
    /// The clients of which this is true, in no order; cheap where they are few.
    pub fn those(&self, is: impl Fn(&Client) -> bool) -> Vec<Arc<Client>> {
        self.clients.iter().filter(|client| is(client)).map(|client| client.value().clone()).collect()
    }
    /// All clients, by id, but for those that have been killed and are on their way out.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let clients = self.clients.iter().map(|c| c.value().clone());
        let mut all: Vec<_> = clients.filter(|c| !c.marks.any(Marks::KILLED)).collect();
        all.sort_unstable_by_key(|c| c.id);
        all
    }
}
