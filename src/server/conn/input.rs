//! Reading: what has arrived goes to the parser, past it when it is a lone request, or straight into the buffer of a big
//! argument.

use super::{Aside, Conn, PATIENCE_MS, Turn};
use crate::command::args::KeyHash;
use crate::resp::whole::{Words, lone};
use crate::server::ahead::Ahead;
use crate::server::desk::{Desk, SCRATCH_BYTES, Tools, at_desk};
use bytes::BufMut;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes read at once of a client that sends very big arguments: what goes before one, and little of the argument itself,
/// which has to be copied from there.
const HEAD_BYTES: usize = 2 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Reads once and runs what is complete; the replies are on the desk, or behind those that are not sent yet.
    pub(super) fn poll_requests(&mut self, cx: &mut Context<'_>, desk: &mut Desk) -> Poll<Turn> {
        if self.set_aside.is_some() {
            // Whoever was ready has been read by now. What a connection set aside that has closed or moved goes with the rest.
            desk.ahead.fetch_entries(self.engine);
        }
        match self.set_aside.take() {
            None => {}
            Some(Aside::Input) => return Poll::Ready(self.run_pending(&mut desk.tools)),
            Some(Aside::Lone(key)) => {
                let input = std::mem::take(&mut self.pending).into_vec();
                let turn = {
                    let mut words = Words::new();
                    assert!(lone(&input, &mut words), "it was when it was set aside");
                    self.run_lone(&words, Some(key), input.len(), &mut desk.tools)
                };
                desk.ahead.take_back(input);
                return Poll::Ready(turn);
            }
        }
        if self.big.is_some() {
            return self.poll_big(cx, desk);
        }
        let room = if self.expects_big { HEAD_BYTES } else { desk.scratch.len() };
        let mut buffer = ReadBuf::new(&mut desk.scratch[..room]);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {}
            _ => return Poll::Ready(self.hung_up()),
        }
        let input = buffer.filled();
        self.count_input(input.len());
        self.expects_big &= input.len() < room;
        // Then there is more to read.
        self.gives_way = input.len() == SCRATCH_BYTES;
        if !self.pending.is_empty() {
            self.pending.extend(input);
            return self.run_in_order(cx, &desk.ahead, &mut desk.tools);
        }
        let mut words = Words::new();
        if !self.may_go_past_the_parser() || !lone(input, &mut words) {
            if desk.ahead.is_waiting() {
                self.pending.extend(input);
                return self.run_in_order(cx, &desk.ahead, &mut desk.tools);
            }
            return Poll::Ready(self.run_buffer(input, &mut desk.tools));
        }
        let at = self.engine.first_key_at(&self.session);
        let key = KeyHash::of(&words, at);
        if let Some(known) = key
            && let Some(copy) = desk.ahead.set_aside(self.engine, self.session.db, known.hash, input)
        {
            self.pending = copy.into();
            self.set_aside = Some(Aside::Lone(known));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if desk.ahead.is_waiting() {
            self.pending.extend(input);
            return self.run_in_order(cx, &desk.ahead, &mut desk.tools);
        }
        Poll::Ready(self.run_lone(&words, key, input.len(), &mut desk.tools))
    }

    /// Runs what is pending, behind the requests that are set aside.
    fn run_in_order(&mut self, cx: &Context<'_>, ahead: &Ahead, tools: &mut Tools) -> Poll<Turn> {
        if !ahead.is_waiting() {
            return Poll::Ready(self.run_pending(tools));
        }
        self.set_aside = Some(Aside::Input);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the parser, asked for an ordinary request, would have nothing to say but its arguments.
    #[inline]
    pub(super) fn may_go_past_the_parser(&self) -> bool {
        self.parser.is_fresh() && self.session.user.is_some()
    }

    pub(super) fn count_input(&self, bytes: usize) {
        let client = &self.session.client;
        let worker = self.engine.node.stats.worker(client.worker());
        worker.net_in.add(bytes as u64);
        worker.reads.add(1);
        client.totals[0].store(client.totals[0].load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Reads a big argument straight into its own buffer.
    fn poll_big(&mut self, cx: &mut Context<'_>, desk: &mut Desk) -> Poll<Turn> {
        let Some(big) = &mut self.big else { return Poll::Ready(Turn::Next) };
        big.make_room();
        let have = big.buffer.len();
        let room = (big.buffer.capacity() - have).min(big.len - have);
        let mut rest = (&mut big.buffer).limit(room);
        let read = match ready!(pin!(self.stream.read_buf(&mut rest)).poll(cx)) {
            Ok(read) if read > 0 => read,
            _ => return Poll::Ready(self.hung_up()),
        };
        let done = big.buffer.len() == big.len;
        self.gives_way = read >= SCRATCH_BYTES;
        self.count_input(read);
        self.session.client.last_ms.store(self.engine.node.clock.monotonic_us() / 1000, Relaxed);
        if self.query_over_limit() {
            return Poll::Ready(Turn::Close);
        }
        if done && let Some(mut big) = self.big.take() {
            self.parser.give_bulk(std::mem::take(&mut big.buffer).into());
            return self.run_in_order(cx, &desk.ahead, &mut desk.tools);
        }
        Poll::Ready(Turn::Next)
    }

    #[cold]
    fn hung_up(&self) -> Turn {
        tracing::debug!("Client closed connection {}", self.about());
        Turn::Close
    }

    /// Reads without running anything, so that a closed connection is noticed.
    pub(super) fn poll_keep_input(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        at_desk(|desk| {
            let mut buffer = ReadBuf::new(&mut desk.scratch);
            loop {
                match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                    Ok(()) if !buffer.filled().is_empty() => {
                        self.pending.extend(buffer.filled());
                        buffer.clear();
                        let limit = self.engine.node.config.client_query_buffer_limit.get() as usize;
                        if self.pending.len() > limit {
                            return Poll::Ready(Turn::Close);
                        }
                    }
                    _ => return Poll::Ready(self.hung_up()),
                }
            }
        })
    }

    /// Gives back the room for the rest of a request, if the client has been silent in the midst of it.
    pub(super) fn give_back_room(&mut self) {
        if self.big.is_none() && self.pending.len() == self.pending.capacity() {
            return;
        }
        let now_ms = self.engine.node.clock.monotonic_us() / 1000;
        if now_ms.saturating_sub(self.session.client.last_ms.load(Relaxed)) > PATIENCE_MS {
            self.pending.shrink();
            self.big.iter_mut().for_each(|big| big.give_back());
            self.note_query();
        }
    }

    /// Tells others what is kept of requests that are not whole yet.
    fn note_query(&self) {
        let client = &self.session.client;
        // Big arguments are in buffers of their own, without what stands before them.
        let held = self.parser.held_bytes();
        let (used, room) = match &self.big {
            Some(big) => (big.buffer.len(), big.buffer.capacity()),
            None if held > 0 => (0, 0),
            None => (self.pending.len(), self.pending.capacity()),
        };
        client.query[0].store(held + used as u64, Relaxed);
        client.query[1].store((room - used) as u64, Relaxed);
    }

    /// Whether what the client sent, and is no whole request yet, passes `client-query-buffer-limit`.
    pub(super) fn query_over_limit(&self) -> bool {
        self.note_query();
        let bytes = self.pending.len() + self.big.as_ref().map_or(0, |big| big.buffer.len());
        let queued = self.session.multi.as_ref().map_or(0, |multi| multi.bytes());
        let over = (bytes + queued) as i64 > self.engine.node.config.client_query_buffer_limit.get();
        if over {
            self.engine.node.stats.query_disconnections.fetch_add(1, Relaxed);
            tracing::warn!("Closing client that reached max query buffer length: {}", self.about());
        }
        over
    }
}
