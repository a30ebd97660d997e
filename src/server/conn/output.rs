//! Writing replies, as far as the socket takes them, and the limits on what it does not take.

use super::Conn;
use crate::client::{Client, ClientType, Marks};
use crate::config::special::ClientClass;
use crate::resp::reply::Reply;
use crate::server::desk::{Tools, at_desk};
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of replies that count for no output limit. Redis does not count the first 16 KiB, which are in a fixed buffer, but
/// counts all behind an array whose length comes last: this is between the two.
pub(super) const FREE_BYTES: usize = 8 * 1024;

/// Bytes beyond those that may wait for a client before it has authenticated, whatever the limits: nobody is to fill the
/// memory with refusals that he does not read (Redis since 7.4.3).
const STRANGER_BYTES: u64 = 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Writes the replies of this turn as far as the socket takes them, and keeps the rest: ready(true) when all is out,
    /// ready(false) when the connection failed.
    #[inline]
    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>, tools: &mut Tools) -> Poll<bool> {
        let written = self.poll_out(cx, &mut tools.reply);
        if written.is_ready() {
            tools.clear_reply();
        } else {
            self.keep_unsent(tools);
        }
        written
    }

    /// Keeps the replies of this turn, which nobody has written.
    pub(super) fn keep_unsent(&mut self, tools: &mut Tools) {
        if !tools.reply.is_empty() {
            self.unsent = tools.hand_out();
        }
    }

    /// The same for replies that are not sent yet; their buffer goes to the worker, so that an idle connection has none.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let written = self.poll_unsent(cx);
        if self.unsent.is_empty() {
            let unsent = std::mem::replace(&mut self.unsent, Reply::new(self.session.proto));
            at_desk(|desk| desk.tools.take_back(unsent));
        }
        written
    }

    /// Writes replies that are not sent yet.
    pub(super) fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut unsent = std::mem::take(&mut self.unsent);
        let written = self.poll_out(cx, &mut unsent);
        self.unsent = unsent;
        written
    }

    /// Writes as much as the socket takes.
    #[inline]
    fn poll_out(&mut self, cx: &mut Context<'_>, out: &mut Reply) -> Poll<bool> {
        while !out.is_empty() {
            let written = match out.single() {
                Some(bytes) => Pin::new(&mut self.stream).poll_write(cx, bytes),
                None => {
                    let mut slices = [IoSlice::new(&[]); 64];
                    let filled = out.io_slices(&mut slices);
                    Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..filled])
                }
            };
            match written {
                Poll::Ready(Ok(n)) if n > 0 => {
                    out.advance(n);
                    let client = &self.session.client;
                    let worker = self.engine.node.stats.worker(client.worker());
                    worker.net_out.add(n as u64);
                    worker.writes.add(1);
                    client.totals[1].store(client.totals[1].load(Relaxed) + n as u64, Relaxed);
                }
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {
                    self.count_slow(true);
                    let over = self.output_over_limit(out.len());
                    return if over { Poll::Ready(false) } else { Poll::Pending };
                }
            }
        }
        self.session.client.out_bytes.store(0, Relaxed);
        self.count_slow(false);
        Poll::Ready(true)
    }

    /// Counts the connection among those that wait for their socket, or no more.
    #[inline]
    pub(super) fn count_slow(&mut self, is_slow: bool) {
        if self.is_slow != is_slow {
            self.is_slow = is_slow;
            let slow = &self.engine.node.clients.slow;
            if is_slow {
                slow.fetch_add(1, Relaxed)
            } else {
                slow.fetch_sub(1, Relaxed)
            };
        }
    }

    /// Writes everything out before the connection closes.
    pub(super) async fn flush(&mut self) {
        let all = poll_fn(|cx| self.poll_write(cx));
        // A peer that does not read cannot hold its connection open.
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    }

    /// From how many bytes on a reply closes the client; 0: never.
    pub(super) fn reply_limit(&self) -> usize {
        let limits = &self.engine.node.config.client_output_buffer_limit;
        match limits.get(class_of(&self.session.client)).hard_bytes as usize {
            0 => 0,
            hard => hard.saturating_add(FREE_BYTES),
        }
    }

    /// Whether what waits for the client, `unsent` bytes of replies among it, passes the limits of its class
    /// (`client-output-buffer-limit`).
    pub(super) fn output_over_limit(&mut self, unsent: usize) -> bool {
        let client = &self.session.client;
        let limit = self.engine.node.config.client_output_buffer_limit.get(class_of(client));
        let bytes = (unsent as u64 + client.mailbox.bytes()).saturating_sub(FREE_BYTES as u64);
        client.out_bytes.store(unsent as u64, Relaxed);
        let now_ms = self.engine.node.clock.monotonic_us() / 1000;
        if limit.soft_bytes == 0 || bytes <= limit.soft_bytes {
            self.soft_since_ms = None;
        }
        let soft = limit.soft_bytes > 0 && bytes > limit.soft_bytes && {
            let since = *self.soft_since_ms.get_or_insert(now_ms);
            now_ms.saturating_sub(since) > limit.soft_seconds.max(0) as u64 * 1000
        };
        let hard = limit.hard_bytes > 0 && bytes > limit.hard_bytes;
        let over = soft || hard || (self.session.user.is_none() && bytes > STRANGER_BYTES);
        if over {
            client.marks.set(Marks::KILLED, true);
            self.engine.node.stats.outbox_disconnections.fetch_add(1, Relaxed);
            tracing::warn!(
                "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
                self.about()
            );
        }
        over
    }
}

/// The class of its output limits.
fn class_of(client: &Client) -> ClientClass {
    match client.client_type() {
        ClientType::Replica => ClientClass::Replica,
        ClientType::Pubsub => ClientClass::Pubsub,
        ClientType::Normal | ClientType::Primary => ClientClass::Normal,
    }
}
