//! What a connection does while a request of its waits: for a key, for the end of a pause, for a time.

use super::requests::run_guarded;
use super::{Conn, Turn};
use crate::client::{Marks, Sleep};
use crate::command::args::Argv;
use crate::command::ctx::UNBLOCKED;
use crate::engine::Flow;
use crate::engine::block::Parked;
use crate::keyspace::waiters::GaveUp;
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What follows after something was awaited.
pub(super) enum After {
    Next,
    Close,
    Shutdown,
}

/// What woke a waiting connection.
enum Woke {
    Rung,
    Served,
    Input(Turn),
    Time,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub(super) async fn follow(&mut self, flow: Flow<()>) -> After {
        match flow {
            Flow::Next => After::Next,
            Flow::Close => After::Close,
            Flow::Shutdown => After::Shutdown,
            Flow::Sleep(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                After::Next
            }
            Flow::Blocked(parked) => self.wait_parked(parked).await,
            Flow::Postponed(_) => self.wait_pause().await,
            Flow::Frozen(()) => self.run_frozen().await,
        }
    }

    /// Waits out a CLIENT PAUSE or a frozen script, then runs the request again. It looks again before it waits: what it
    /// is to wait for may have ended before it could be told, or the bell that told it have been taken for that of a
    /// message.
    async fn wait_pause(&mut self) -> After {
        self.session.client.marks.set(Marks::BLOCKED, true);
        let after = loop {
            let Some(argv) = self.postponed.take() else { break After::Next };
            let until_ms = match self.run_again(&argv) {
                Flow::Postponed(until_ms) => until_ms,
                flow => {
                    self.session.client.marks.set(Marks::BLOCKED, false);
                    return Box::pin(self.follow(flow)).await;
                }
            };
            self.postponed = Some(argv);
            match self.wait(Some(until_ms), None).await {
                Woke::Input(Turn::Close) => break After::Close,
                _ if self.session.client.marks.any(Marks::KILLED) => break After::Close,
                _ => {}
            }
        };
        self.session.client.marks.set(Marks::BLOCKED, false);
        after
    }

    fn run_again(&mut self, argv: &[Vec<u8>]) -> Flow<()> {
        let list: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let mut out = std::mem::take(&mut self.unsent);
        out.set_proto(self.session.proto);
        let engine = self.engine;
        self.session.moment = engine.node.clock.moment();
        let flow = run_guarded(engine, &mut self.session, Argv::new(&list), &mut out);
        self.unsent = out;
        flow
    }

    /// Waits until the parked command is served, unblocked, out of time or killed.
    async fn wait_parked(&mut self, parked: Box<Parked>) -> After {
        let after = loop {
            if self.take_served(&parked.sleep) {
                break After::Next;
            }
            let client = self.session.client.clone();
            let unblock = parked.sleep.unblock.swap(0, Relaxed);
            let now_ms = self.engine.node.clock.now_ms();
            let late = parked.deadline_ms.is_some_and(|at| at <= now_ms);
            let killed = client.marks.any(Marks::KILLED);
            if unblock != 0 || late || killed {
                match parked.ticket.give_up() {
                    GaveUp::Yes if killed => break After::Close,
                    GaveUp::Yes if unblock == 2 => {
                        self.engine.node.count_error(client.worker(), UNBLOCKED.as_bytes());
                        self.unsent.error(UNBLOCKED);
                        parked.sleep.failed.store(true, Relaxed);
                        break After::Next;
                    }
                    GaveUp::Yes => {
                        self.unsent.raw(&parked.timeout_reply);
                        break After::Next;
                    }
                    GaveUp::Served | GaveUp::BeingServed => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                }
            }
            match self.wait(parked.deadline_ms, Some(&parked.sleep)).await {
                Woke::Served => break After::Next,
                Woke::Input(Turn::Close) => {
                    while parked.ticket.give_up() == GaveUp::BeingServed {
                        tokio::task::yield_now().await;
                    }
                    break After::Close;
                }
                _ => {}
            }
        };
        self.engine.unpark(&self.session, &parked);
        after
    }

    fn take_served(&mut self, sleep: &Sleep) -> bool {
        match sleep.reply.lock().take() {
            Some(reply) => {
                self.unsent.raw(&reply);
                true
            }
            None => false,
        }
    }

    /// Waits for the bell, more input (which is only kept) or a time. The reply of a served command goes before the
    /// messages that its own change caused.
    async fn wait(&mut self, until_ms: Option<u64>, sleep: Option<&Sleep>) -> Woke {
        let now_ms = self.engine.node.clock.now_ms();
        let left = until_ms.map_or(Duration::from_secs(3600), |at| Duration::from_millis(at.saturating_sub(now_ms)));
        let wake = poll_fn(|cx| {
            if self.is_rung(cx) {
                let mut messages = Vec::new();
                self.session.client.mailbox.take(&mut messages);
                let served = sleep.is_some_and(|sleep| self.take_served(sleep));
                self.unsent.raw(&messages);
                return Poll::Ready(if served { Woke::Served } else { Woke::Rung });
            }
            if let Poll::Ready(false) = self.poll_write(cx) {
                return Poll::Ready(Woke::Input(Turn::Close));
            }
            let input = self.poll_keep_input(cx);
            self.note_memory();
            input.map(Woke::Input)
        });
        tokio::time::timeout(left, wake).await.unwrap_or(Woke::Time)
    }
}
