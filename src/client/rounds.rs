//! The rounds of the postmen: each worker has one, who wakes the clients of that worker that have been sent messages.
//!
//! A publisher leaves a message in a mailbox and the client's name with the postman, once for however many messages come
//! before he rings. So a crowd on another worker costs its publisher one wake-up of a thread and not one for each client,
//! and messages may gather before the clients' tasks write them (`server/postman.rs`).

use super::Client;
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::Waker;

/// The rounds of all workers. Their locks come before those of mailboxes.
#[derive(Default)]
pub struct Rounds(Box<[Mutex<Round>]>);

#[derive(Default)]
struct Round {
    /// Whom to wake.
    clients: Vec<Arc<Client>>,
    /// The postman, as soon as there is one.
    postman: Option<Waker>,
}

impl Rounds {
    /// The rounds of so many workers.
    pub fn new(workers: usize) -> Rounds {
        Rounds((0..workers).map(|_| Mutex::default()).collect())
    }

    /// A client has a message and nobody is on the way to wake it. Where there is no postman, it is woken at once.
    pub fn add(&self, client: &Arc<Client>) {
        let Some(round) = self.0.get(client.worker()) else { return client.mailbox.wake() };
        let mut round = round.lock();
        let Some(postman) = &round.postman else { return client.mailbox.wake() };
        if round.clients.is_empty() {
            postman.wake_by_ref();
        }
        round.clients.push(client.clone());
    }

    /// Whether there is somebody for the postman of a worker to wake; if not, he is woken when there is.
    pub fn listen(&self, worker: usize, postman: &Waker) -> bool {
        let mut round = self.0[worker].lock();
        if !round.postman.as_ref().is_some_and(|known| known.will_wake(postman)) {
            round.postman = Some(postman.clone());
        }
        !round.clients.is_empty()
    }

    /// Exchanges the clients that a worker's postman is to wake for those he has woken, whose list is empty: publishers
    /// do not wait for him.
    pub fn exchange(&self, worker: usize, clients: &mut Vec<Arc<Client>>) {
        debug_assert!(clients.is_empty());
        std::mem::swap(&mut self.0[worker].lock().clients, clients);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::registry::Registry;
    use crate::client::{Peer, sheet};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn the_postman_is_called_once_and_given_each_client_once() {
        let (rounds, clients) = (Rounds::new(2), Registry::default());
        let (postman, task) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
        let calls = || (postman.0.load(Relaxed), task.0.load(Relaxed));
        let crowd: Vec<_> = (0..3).map(|_| clients.add(1, Peer::default(), 0)).collect();
        for client in &crowd {
            client.mailbox.listen(&task.clone().into());
        }
        let send = || {
            let note = sheet::print(0, |out| out.extend_from_slice(b"+m\r\n"));
            crowd.iter().filter(|client| client.mailbox.leave(&note)).for_each(|client| rounds.add(client));
        };
        send();
        assert_eq!(calls(), (0, 3), "no postman yet");
        crowd.iter().for_each(|client| client.mailbox.take(&mut Vec::new()));
        assert!(!rounds.listen(1, &postman.clone().into()));
        send();
        send();
        assert_eq!(calls(), (1, 3));
        assert!(rounds.listen(1, &postman.clone().into()));
        let mut woken = Vec::new();
        rounds.exchange(0, &mut woken);
        assert!(woken.is_empty(), "they live on another worker");
        rounds.exchange(1, &mut woken);
        assert_eq!(woken.iter().map(|client| client.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!rounds.listen(1, &postman.clone().into()));
    }
}
