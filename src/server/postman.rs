//! The postman of a worker: wakes the worker's clients that have been sent messages.

use crate::engine::Engine;
use std::future::poll_fn;
use std::task::Poll;

/// Goes his rounds for ever.
///
/// What a message costs is the write to each client's socket, and messages that go out together share it. So requests
/// come first: once those at hand are answered and the sockets have been looked at again, the clients are woken, behind
/// whoever was ready by then. While nobody sends anything, that is at once; under load it is a turn later.
pub(super) async fn run(engine: &Engine, worker: usize) {
    let rounds = &engine.node.pubsub.rounds;
    let mut clients = Vec::new();
    loop {
        poll_fn(|cx| if rounds.listen(worker, cx.waker()) { Poll::Ready(()) } else { Poll::Pending }).await;
        tokio::task::yield_now().await;
        rounds.exchange(worker, &mut clients);
        clients.drain(..).for_each(|client| client.mailbox.wake());
    }
}
