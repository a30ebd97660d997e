//! `maxmemory-clients`: how much memory all clients take together, and which of them go when it is too much.
//!
//! Every connection counts what it holds at the end of each of its turns, if there is a limit; what others put in its
//! mailbox counts when it takes it out, and ten times a second. The largest clients go first.

use super::registry::Registry;
use super::{Client, ClientType, Marks};
use crate::base::system::closed_by_peer;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// So many of the largest clients are asked whether they have hung up, before any is evicted.
const LOOKED_AT_MAX: usize = 16;

/// The memory of all clients and its limit.
#[derive(Debug, Default)]
pub struct ClientMemory {
    /// In bytes; 0: none.
    limit: AtomicU64,
    /// In bytes. A client's share is taken out only after it was put in, but readers may see it the other way round.
    total: AtomicI64,
    /// Held while a client is counted or evicted, so that none is counted again after it was given up.
    counting: Mutex<()>,
}

impl ClientMemory {
    /// Sets the limit from `maxmemory-clients` (negative: percent of `maxmemory`) and `maxmemory`, in bytes.
    pub fn set_limit(&self, maxmemory_clients: i64, maxmemory_bytes: u64) {
        let limit = match maxmemory_clients {
            bytes @ 0.. => bytes as u64,
            percent => (u128::from(maxmemory_bytes) * u128::from(percent.unsigned_abs()) / 100) as u64,
        };
        self.limit.store(limit, Relaxed);
    }

    /// Whether there is a limit.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.limit.load(Relaxed) != 0
    }

    fn is_over(&self) -> bool {
        self.total.load(Relaxed) > self.limit.load(Relaxed) as i64
    }

    /// Counts what a client holds now; says whether all of them hold too much.
    pub fn count(&self, client: &Client) -> bool {
        let _one_at_a_time = self.counting.lock();
        let counts = matches!(client.client_type(), ClientType::Normal | ClientType::Pubsub);
        let now = if counts && !client.marks.any(Marks::KILLED | Marks::GONE) { client.memory_bytes() } else { 0 };
        let before = client.counted_bytes.swap(now, Relaxed);
        self.total.fetch_add(now as i64 - before as i64, Relaxed);
        self.is_over()
    }

    /// The client is gone, also for whoever is about to count it.
    pub fn forget(&self, client: &Client) {
        let _one_at_a_time = self.counting.lock();
        client.marks.set(Marks::GONE, true);
        self.take_out(client);
    }

    fn take_out(&self, client: &Client) {
        self.total.fetch_sub(client.counted_bytes.swap(0, Relaxed) as i64, Relaxed);
    }

    /// Kills clients, the largest first, until the rest is within the limit; returns those killed.
    pub fn evict(&self, clients: &Registry) -> Vec<Arc<Client>> {
        let _one_at_a_time = self.counting.lock();
        let mut killed = Vec::new();
        if !self.is_limited() || !self.is_over() {
            return killed;
        }
        let mut all = clients.all();
        all.sort_by_cached_key(|client| std::cmp::Reverse(client.counted_bytes.load(Relaxed)));
        self.let_go_closed(&all);
        for client in all {
            if !self.is_over() {
                break;
            }
            if client.counted_bytes.load(Relaxed) > 0 && !client.marks.any(Marks::NO_EVICT) {
                client.kill();
                self.take_out(&client);
                killed.push(client);
            }
        }
        killed
    }

    /// The largest of these clients that have hung up make room by themselves, though their workers have not noticed yet:
    /// nobody is to be evicted for what they held. What they sent before they hung up is still run.
    fn let_go_closed(&self, largest_first: &[Arc<Client>]) {
        for client in largest_first.iter().take(LOOKED_AT_MAX) {
            if closed_by_peer(std::iter::once(client.fd)) > 0 {
                self.take_out(client);
            }
        }
    }

    /// Counts all clients anew.
    pub fn count_all(&self, clients: &Registry) {
        clients.all().iter().for_each(|client| {
            self.count(client);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Peer;

    #[test]
    fn the_largest_go_first_and_no_more_than_needed() {
        let (clients, memory) = (Registry::default(), ClientMemory::default());
        let base = clients.unlisted().memory_bytes();
        let sizes = [100_000, 3_000_000, 1_000_000, 2_000_000];
        let held = sizes.map(|bytes| {
            let client = clients.add(0, connected_by(-1), 0);
            client.buffers[0].store(bytes, Relaxed);
            client
        });
        let killed = || held.each_ref().map(|client| client.marks.any(Marks::KILLED));
        memory.count_all(&clients);
        assert!(memory.evict(&clients).is_empty(), "no limit");
        held[1].marks.set(Marks::NO_EVICT, true);
        memory.set_limit(4_200_000 + 4 * base as i64, 0);
        assert_eq!(memory.evict(&clients).len(), 1);
        assert_eq!(killed(), [false, false, false, true]);
        assert!(memory.evict(&clients).is_empty());
        // A percentage, and a client that grows.
        memory.set_limit(-50, 2 * (4_200_000 + 4 * base));
        held[0].buffers[0].store(500_000, Relaxed);
        assert!(memory.count(&held[0]));
        assert_eq!(memory.evict(&clients).len(), 1);
        assert_eq!(killed(), [false, false, true, true]);
        // The one that may not go is too large by itself: all others go.
        memory.set_limit(1, 0);
        assert_eq!(memory.evict(&clients).len(), 1);
        assert_eq!(killed(), [true, false, true, true]);
        held.iter().for_each(|client| memory.forget(client));
        assert_eq!(memory.total.load(Relaxed), 0);
    }

    fn connected_by(fd: i32) -> Peer {
        Peer { fd, ..Peer::default() }
    }

    /// Whoever counts all clients has a list of them, from which one may go meanwhile.
    #[test]
    fn who_is_gone_is_not_counted_again() {
        let (clients, memory) = (Registry::default(), ClientMemory::default());
        let client = clients.add(0, connected_by(-1), 0);
        memory.set_limit(1_000_000, 0);
        memory.count(&client);
        memory.forget(&client);
        memory.count(&client);
        assert_eq!(memory.total.load(Relaxed), 0);
    }

    #[test]
    fn who_has_hung_up_makes_room_before_others_are_evicted() {
        use std::os::fd::AsRawFd;
        let (here, there) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let (clients, memory) = (Registry::default(), ClientMemory::default());
        let large = clients.add(0, connected_by(here.as_raw_fd()), 0);
        large.marks.set(Marks::NO_EVICT, true);
        large.buffers[0].store(1_000_000, Relaxed);
        let small = clients.add(0, connected_by(-1), 0);
        drop(there);
        memory.set_limit(100_000, 0);
        memory.count_all(&clients);
        assert!(memory.evict(&clients).is_empty(), "nobody but who has left");
        assert!(!small.marks.any(Marks::KILLED));
        assert!(!large.marks.any(Marks::KILLED), "what it has sent is still to be run");
    }
}
