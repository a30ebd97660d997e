//! One connection's loop.
//!
//! A turn reads what has arrived into the worker's scratch buffer, runs every complete request in it, and writes all
//! replies at once. Between turns an idle connection owns no buffer: the scratch, the room for arguments and the reply
//! buffer belong to the worker, and only a cut-off request or unsent replies are moved to buffers of the connection's own.

use super::desk::{Desk, SCRATCH_BYTES, Tools, at_desk};
use super::migrate;
use crate::base::hash::key_hash;
use crate::client::{Client, ClientType, Marks, Session, Sleep};
use crate::command::args::Argv;
use crate::command::ctx::UNBLOCKED;
use crate::command::migrate::Migration;
use crate::config::special::ClientClass;
use crate::engine::block::Parked;
use crate::engine::script::frozen::Frozen;
use crate::engine::{Engine, Flow, LocalFlow};
use crate::keyspace::waiters::GaveUp;
use crate::resp::reply::Reply;
use crate::resp::request::{LONE_BULK_MAX, Limits, Parser, ProtocolError, Request, Step, Words, lone};
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Requests parsed, prefetched and run together.
const BATCH_MAX: usize = 64;
/// Bytes of replies that count for no output limit. Redis does not count the first 16 KiB, which are in a fixed buffer, but
/// counts all behind an array whose length comes last: this is between the two.
const FREE_BYTES: usize = 8 * 1024;
/// Bytes read at once of a client that sends very big arguments: what goes before one, and little of the argument itself,
/// which has to be copied from there.
const HEAD_BYTES: usize = 2 * 1024;

thread_local! {
    /// The frozen unit, if it is one of this worker's clients that runs it. It must not leave the thread,
    /// while the task of its client might as far as the compiler knows.
    static LATE: Cell<Option<Box<Frozen<'static>>>> = const { Cell::new(None) };
}

/// A big argument on its way into a buffer of its own.
struct Big {
    buffer: BytesMut,
    len: usize,
}

/// A request that waits for the end of a pause: rare, so it takes little room while there is none.
type Postponed = Option<Box<[Vec<u8>]>>;

/// Why a turn ended.
enum Turn {
    /// Wait for more input.
    Next,
    /// Something to be awaited.
    Flow(Flow<()>),
    /// The peer closed, or broke the protocol, or the connection failed.
    Close,
}

/// One connection.
pub struct Conn<S> {
    engine: &'static Engine,
    stream: S,
    session: Session,
    parser: Parser,
    /// Bytes that are not a whole request yet, or a request set aside.
    pending: Vec<u8>,
    /// What is pending is a request that was set aside until other connections have been read, with a key of this hash.
    set_aside: Option<u64>,
    big: Option<Box<Big>>,
    /// Its last argument was bigger than what is read at once: the next one may be as well.
    expects_big: bool,
    /// Replies that the socket did not take yet.
    unsent: Reply,
    /// It counts among the slow clients.
    is_slow: bool,
    /// A request that waits for the end of a pause.
    postponed: Postponed,
    /// Since when its output is above the soft limit, in monotonic milliseconds.
    soft_since_ms: Option<u64>,
}

/// What woke a waiting connection.
enum Woke {
    Rung,
    Served,
    Input(Turn),
    Time,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// A connection of a client that is in the registry.
    pub fn new(engine: &'static Engine, stream: S, client: Arc<Client>) -> Conn<S> {
        let user = engine.node.acl.initial();
        Conn {
            session: Session::new(client, user),
            engine,
            stream,
            parser: Parser::default(),
            pending: Vec::new(),
            set_aside: None,
            big: None,
            expects_big: false,
            unsent: Reply::default(),
            is_slow: false,
            postponed: None,
            soft_since_ms: None,
        }
    }

    /// Serves the connection to its end. Returns true when the server is to be stopped.
    pub async fn run(&mut self) -> bool {
        let mut stop = false;
        self.note_memory();
        loop {
            let turn = self.turn().await;
            match turn {
                Turn::Next => {}
                Turn::Close => break,
                Turn::Flow(flow) => match Box::pin(self.follow(flow)).await {
                    After::Next => {}
                    After::Close => break,
                    After::Shutdown => {
                        stop = true;
                        break;
                    }
                },
            }
            if self.session.client.marks.any(Marks::KILLED) {
                break;
            }
        }
        // It is gone from all registries before its last reply leaves: whoever has read that finds it nowhere.
        self.engine.close(&mut self.session);
        if !self.session.client.marks.any(Marks::KILLED) {
            Box::pin(self.flush()).await;
        }
        self.count_slow(false);
        stop
    }

    /// Waits for input or messages and deals with them, until there is something to be awaited.
    async fn turn(&mut self) -> Turn {
        if !self.pending.is_empty() && self.big.is_none() && self.postponed.is_none() {
            // What was left by a request that blocked comes before new input.
            let turn = at_desk(|desk| {
                let turn = self.run_pending(&mut desk.tools);
                self.keep_unsent(&mut desk.tools);
                turn
            });
            if !matches!(turn, Turn::Next) {
                return turn;
            }
        }
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            if self.is_rung(cx) && !self.answer_bell(cx) {
                return Poll::Ready(Turn::Close);
            }
            if !self.unsent.is_empty()
                && let Poll::Ready(false) = self.poll_write(cx)
            {
                return Poll::Ready(Turn::Close);
            }
            let turn = at_desk(|desk| self.poll_input(cx, desk));
            if self.session.client.marks.any(Marks::KILLED) {
                return Poll::Ready(Turn::Close);
            }
            match turn {
                Poll::Ready(Turn::Next) => {}
                Poll::Ready(turn) => return Poll::Ready(turn),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes the messages that came; false when the connection is to be closed.
    #[cold]
    fn answer_bell(&mut self, cx: &mut Context<'_>) -> bool {
        self.take_messages();
        if self.session.client.marks.any(Marks::KILLED) || self.poll_write(cx) == Poll::Ready(false) {
            return false;
        }
        self.note_memory();
        // Take the place at the bell again.
        if self.is_rung(cx) {
            cx.waker().wake_by_ref();
        }
        true
    }

    /// Whether the bell has rung; if not, the task is woken when it does. A waker stays in the mailbox, so most turns need
    /// not look.
    fn is_rung(&self, cx: &Context<'_>) -> bool {
        let mailbox = &self.session.client.mailbox;
        !mailbox.is_quiet() && mailbox.listen(cx.waker())
    }

    /// Tells others what it holds; evicts whoever holds too much, which may be itself.
    fn note_memory(&self) {
        let client = &self.session.client;
        client.mailbox.settle();
        // A big argument counts whole as soon as it is announced: that is what it will take.
        let big = self.big.as_ref().map_or(0, |big| big.len);
        client.buffers[0].store((self.pending.capacity() + big) as u64 + self.parser.held_bytes(), Relaxed);
        client.buffers[1].store(self.unsent.memory_bytes() as u64, Relaxed);
        self.engine.count_client(client);
    }

    /// Moves messages from elsewhere behind the replies produced so far.
    fn take_messages(&mut self) {
        if self.unsent.is_empty() {
            // They go out with the buffer of the worker, which gets it back when they are written.
            at_desk(|desk| std::mem::swap(&mut desk.tools.reply, &mut self.unsent));
            self.unsent.set_proto(self.session.proto);
        }
        self.session.client.mailbox.take_into(&mut self.unsent);
    }

    /// Reads once, runs what is complete and writes the replies.
    fn poll_input(&mut self, cx: &mut Context<'_>, desk: &mut Desk) -> Poll<Turn> {
        let turn = ready!(self.poll_requests(cx, desk));
        let client = &self.session.client;
        let failed = if client.marks.any(Marks::KILLED) {
            // Nobody will read its replies, and what was too much for it is too much to keep.
            desk.tools.reply = Reply::default();
            true
        } else if self.unsent.is_empty() {
            self.poll_reply(cx, &mut desk.tools) == Poll::Ready(false)
        } else {
            let written = self.poll_unsent(cx);
            if self.unsent.is_empty() {
                desk.tools.take_back(std::mem::replace(&mut self.unsent, Reply::new(self.session.proto)));
            }
            written == Poll::Ready(false)
        };
        self.note_memory();
        Poll::Ready(if failed { Turn::Close } else { turn })
    }

    /// Reads once and runs what is complete; the replies are on the desk, or behind those that are not sent yet.
    fn poll_requests(&mut self, cx: &mut Context<'_>, desk: &mut Desk) -> Poll<Turn> {
        if let Some(hash) = self.set_aside.take() {
            desk.ahead.fetch_entries(self.engine);
            let input = std::mem::take(&mut self.pending);
            let turn = {
                let mut words = Words::new();
                assert!(lone(&input, &mut words), "only lone requests are set aside");
                self.run_lone(&words, Some(hash), input.len(), &mut desk.tools)
            };
            desk.ahead.take_back(input);
            return Poll::Ready(turn);
        }
        if self.big.is_some() {
            return self.poll_big(cx, &mut desk.tools);
        }
        let room = if self.expects_big { HEAD_BYTES } else { desk.scratch.len() };
        let mut buffer = ReadBuf::new(&mut desk.scratch[..room]);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {}
            _ => return Poll::Ready(Turn::Close),
        }
        let input = buffer.filled();
        self.count_input(input.len());
        self.expects_big &= input.len() < room;
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(input);
            return Poll::Ready(self.run_pending(&mut desk.tools));
        }
        let mut words = Words::new();
        if !self.may_go_past_the_parser() || !lone(input, &mut words) {
            return Poll::Ready(self.run_buffer(input, &mut desk.tools));
        }
        let hash = words.get(1).map(|key| key_hash(key));
        if let Some(hash) = hash
            && let Some(copy) = desk.ahead.set_aside(self.engine, self.session.db, hash, input)
        {
            self.pending = copy;
            self.set_aside = Some(hash);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.run_lone(&words, hash, input.len(), &mut desk.tools))
    }

    /// Whether the parser, asked for a [`lone`] request, would have nothing to say but its arguments.
    #[inline]
    fn may_go_past_the_parser(&self) -> bool {
        self.parser.is_fresh()
            && self.session.user.is_some()
            && self.engine.node.config.proto_max_bulk_len.get() >= LONE_BULK_MAX as i64
    }

    fn count_input(&self, bytes: usize) {
        let client = &self.session.client;
        let worker = self.engine.node.stats.worker(client.worker);
        worker.net_in.add(bytes as u64);
        worker.reads.add(1);
        client.totals[0].store(client.totals[0].load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Reads a big argument straight into its own buffer.
    fn poll_big(&mut self, cx: &mut Context<'_>, tools: &mut Tools) -> Poll<Turn> {
        let Some(big) = &mut self.big else { return Poll::Ready(Turn::Next) };
        let have = big.buffer.len();
        if have == big.buffer.capacity() {
            // Grows as its bytes come, and ends with no more room than it needs: it may become the value of a key.
            let mut larger = BytesMut::with_capacity(big.len.min(2 * have));
            larger.extend_from_slice(&big.buffer);
            big.buffer = larger;
        }
        let room = (big.buffer.capacity() - have).min(big.len - have);
        let mut rest = (&mut big.buffer).limit(room);
        let read = match ready!(pin!(self.stream.read_buf(&mut rest)).poll(cx)) {
            Ok(read) if read > 0 => read,
            _ => return Poll::Ready(Turn::Close),
        };
        let done = big.buffer.len() == big.len;
        self.count_input(read);
        self.session.client.last_ms.store(self.engine.node.clock.monotonic_us() / 1000, Relaxed);
        if self.query_over_limit() {
            return Poll::Ready(Turn::Close);
        }
        if done && let Some(big) = self.big.take() {
            self.parser.give_bulk(big.buffer.freeze());
            return Poll::Ready(self.run_pending(tools));
        }
        Poll::Ready(Turn::Next)
    }

    fn run_pending(&mut self, tools: &mut Tools) -> Turn {
        let pending = std::mem::take(&mut self.pending);
        self.run_buffer(&pending, tools)
    }

    /// Runs the complete requests of a buffer; what is left goes to `pending`.
    fn run_buffer(&mut self, input: &[u8], tools: &mut Tools) -> Turn {
        self.parser.lend_room(&mut tools.room);
        let turn = self.with_reply(tools, |conn, out| conn.run_requests(input, out));
        self.parser.return_room(&mut tools.room);
        turn
    }

    /// Runs a request that needs no parser; the hash of argument 1 is known, if there is one.
    fn run_lone(&mut self, words: &[&[u8]], hash: Option<u64>, input_bytes: usize, tools: &mut Tools) -> Turn {
        self.with_reply(tools, |conn, out| {
            let engine = conn.engine;
            conn.begin_requests(input_bytes);
            engine.node.stats.worker(conn.session.client.worker).batch_max.raise(1);
            let argv = Argv::new(words).with_hash(hash);
            let turn = match run_words(engine, &mut conn.session, &mut conn.postponed, argv, out) {
                Flow::Next if out.len() > FREE_BYTES && conn.output_over_limit(out.len()) => return Turn::Close,
                Flow::Next => Turn::Next,
                flow => Turn::Flow(flow),
            };
            conn.take_messages_into(out);
            if conn.query_over_limit() { Turn::Close } else { turn }
        })
    }

    /// Lets something write replies: on the desk, or behind those that are not sent yet.
    #[inline]
    fn with_reply(&mut self, tools: &mut Tools, run: impl FnOnce(&mut Self, &mut Reply) -> Turn) -> Turn {
        let (proto, limit) = (self.session.proto, self.reply_limit());
        let start = |out: &mut Reply| {
            out.set_proto(proto);
            out.set_limit(limit);
        };
        if self.unsent.is_empty() {
            start(&mut tools.reply);
            return run(self, &mut tools.reply);
        }
        let mut unsent = std::mem::take(&mut self.unsent);
        start(&mut unsent);
        let turn = run(self, &mut unsent);
        self.unsent = unsent;
        turn
    }

    /// Requests begin now that came with so many bytes.
    #[inline]
    fn begin_requests(&mut self, input_bytes: usize) {
        self.session.moment = self.engine.node.clock.moment();
        self.session.client.last_ms.store(self.session.moment.ns / 1_000_000, Relaxed);
        self.session.client.query[0].store(input_bytes as u64, Relaxed);
    }

    fn run_requests(&mut self, input: &[u8], out: &mut Reply) -> Turn {
        let engine = self.engine;
        self.begin_requests(input.len());
        let mut batch: SmallVec<[Request; BATCH_MAX]> = SmallVec::new();
        let result = 'input: loop {
            batch.clear();
            let end = self.collect(engine, input, &mut batch);
            engine.node.stats.worker(self.session.client.worker).batch_max.raise(batch.len() as u64);
            let hashes = self.fetch_ahead(engine, &batch, input);
            for (index, request) in batch.iter().enumerate() {
                match self.run_one(engine, request, hashes.get(index).copied().flatten(), input, out) {
                    Flow::Next if out.len() > FREE_BYTES && self.output_over_limit(out.len()) => return Turn::Close,
                    Flow::Next => {}
                    flow => {
                        if index + 1 < batch.len() {
                            // What was parsed behind it is parsed again when it goes on.
                            self.pending = input[request.end..].to_vec();
                            self.parser = Parser::default();
                            self.take_messages_into(out);
                            return Turn::Flow(flow);
                        }
                        break 'input Turn::Flow(flow);
                    }
                }
            }
            match end {
                Ok(Step::Request(_)) => {}
                Ok(Step::NeedMore) => break Turn::Next,
                Ok(Step::NeedBulk { start, len }) => {
                    let mut buffer = BytesMut::with_capacity(len.min(1 << 20));
                    buffer.extend_from_slice(&input[start..]);
                    self.big = Some(Box::new(Big { buffer, len }));
                    self.expects_big = len >= SCRATCH_BYTES;
                    let consumed = self.parser.consumed();
                    self.pending = input[consumed..start].to_vec();
                    self.take_messages_into(out);
                    return if self.query_over_limit() { Turn::Close } else { Turn::Next };
                }
                Err(error) => {
                    out.error(error.message());
                    self.session.closing = true;
                    break Turn::Flow(Flow::Close);
                }
            }
        };
        let consumed = self.parser.consumed();
        if consumed < input.len() {
            self.pending = input[consumed..].to_vec();
        }
        self.take_messages_into(out);
        if self.query_over_limit() { Turn::Close } else { result }
    }

    /// Whether what the client sent, and is no whole request yet, passes `client-query-buffer-limit`.
    fn query_over_limit(&self) -> bool {
        let client = &self.session.client;
        let bytes = self.pending.len() + self.big.as_ref().map_or(0, |big| big.buffer.len());
        // Big arguments are in buffers of their own, without what stands before them.
        let held = self.parser.held_bytes();
        let (used, room) = match &self.big {
            Some(big) => (big.buffer.len(), big.buffer.capacity()),
            None if held > 0 => (0, 0),
            None => (self.pending.len(), self.pending.capacity()),
        };
        client.query[0].store(held + used as u64, Relaxed);
        client.query[1].store((room - used) as u64, Relaxed);
        let queued = self.session.multi.as_ref().map_or(0, |multi| multi.bytes());
        let over = (bytes + queued) as i64 > self.engine.node.config.client_query_buffer_limit.get();
        if over {
            self.engine.node.stats.query_disconnections.fetch_add(1, Relaxed);
            tracing::warn!(
                "Closing client that reached max query buffer length: id={} addr={}",
                client.id,
                client.addr
            );
        }
        over
    }

    /// From how many bytes on a reply closes the client; 0: never.
    fn reply_limit(&self) -> usize {
        let limits = &self.engine.node.config.client_output_buffer_limit;
        match limits.get(class_of(&self.session.client)).hard_bytes as usize {
            0 => 0,
            hard => hard.saturating_add(FREE_BYTES),
        }
    }

    /// Whether what waits for the client, `unsent` bytes of replies among it, passes the limits of its class
    /// (`client-output-buffer-limit`).
    fn output_over_limit(&mut self, unsent: usize) -> bool {
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
        let over = soft || (limit.hard_bytes > 0 && bytes > limit.hard_bytes);
        if over {
            client.marks.set(Marks::KILLED, true);
            self.engine.node.stats.outbox_disconnections.fetch_add(1, Relaxed);
            tracing::warn!(
                "Client id={} addr={} omem={bytes} scheduled to be closed ASAP for overcoming of output buffer limits.",
                client.id,
                client.addr
            );
        }
        over
    }

    /// Parses requests that can run together; returns what ended the collection.
    fn collect(
        &mut self,
        engine: &Engine,
        input: &[u8],
        batch: &mut SmallVec<[Request; BATCH_MAX]>,
    ) -> Result<Step, ProtocolError> {
        let limits = Limits {
            unauthenticated: self.session.user.is_none(),
            bulk_len_max: engine.node.config.proto_max_bulk_len.get() as usize,
        };
        loop {
            let step = self.parser.next(input, &limits);
            let Ok(Step::Request(request)) = step else { return step };
            batch.push(request);
            // Before AUTH every request may change the limits; a request with a big argument runs by itself.
            if batch.len() == BATCH_MAX || limits.unauthenticated || self.parser.args(&request, input).has_shared() {
                return step;
            }
        }
    }

    /// Asks for the memory of requests that run together; returns the hash of argument 1 of each, where there is one.
    fn fetch_ahead(&self, engine: &Engine, batch: &[Request], input: &[u8]) -> SmallVec<[Option<u64>; BATCH_MAX]> {
        if batch.len() < 2 {
            return SmallVec::new();
        }
        let at = engine.first_key_at(&self.session);
        let first = |request| self.parser.args(request, input).try_get(at).map(key_hash);
        let hashes: SmallVec<[Option<u64>; BATCH_MAX]> = batch.iter().map(first).collect();
        let collections = engine.collections_of(&self.session);
        engine.prefetch(self.session.db, hashes.iter().copied().flatten().collect(), collections);
        if at == 1 { hashes } else { SmallVec::new() }
    }

    fn run_one(
        &mut self,
        engine: &'static Engine,
        request: &Request,
        hash: Option<u64>,
        input: &[u8],
        out: &mut Reply,
    ) -> Flow<()> {
        let args = self.parser.args(request, input);
        let mut words = Words::new();
        args.iter().for_each(|word| words.push(word));
        if args.has_shared() {
            let big: Vec<(usize, Bytes)> =
                (0..args.len()).filter_map(|i| args.shared(i).map(|b| (i, b.clone()))).collect();
            run_words(engine, &mut self.session, &mut self.postponed, Argv::with_big(&words, &big), out)
        } else {
            let argv = Argv::new(&words).with_hash(hash);
            run_words(engine, &mut self.session, &mut self.postponed, argv, out)
        }
    }

    /// Puts messages from elsewhere behind the replies produced so far.
    fn take_messages_into(&self, out: &mut Reply) {
        if self.session.client.mailbox.is_rung() {
            self.session.client.mailbox.take_into(out);
        }
    }

    /// Writes the replies of this turn as far as the socket takes them, and keeps the rest: ready(true) when all is out,
    /// ready(false) when the connection failed.
    #[inline]
    fn poll_reply(&mut self, cx: &mut Context<'_>, tools: &mut Tools) -> Poll<bool> {
        let written = self.poll_out(cx, &mut tools.reply);
        if written.is_ready() {
            tools.clear_reply();
        } else {
            self.keep_unsent(tools);
        }
        written
    }

    /// Keeps the replies of this turn, which nobody has written.
    fn keep_unsent(&mut self, tools: &mut Tools) {
        if !tools.reply.is_empty() {
            self.unsent = std::mem::take(&mut tools.reply);
        }
    }

    /// The same for replies that are not sent yet; their buffer goes to the worker, so that an idle connection has none.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let written = self.poll_unsent(cx);
        if self.unsent.is_empty() {
            let unsent = std::mem::replace(&mut self.unsent, Reply::new(self.session.proto));
            at_desk(|desk| desk.tools.take_back(unsent));
        }
        written
    }

    /// Writes replies that are not sent yet.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
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
                    let worker = self.engine.node.stats.worker(client.worker);
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
    fn count_slow(&mut self, is_slow: bool) {
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
    async fn flush(&mut self) {
        let all = poll_fn(|cx| self.poll_write(cx));
        // A peer that does not read cannot hold its connection open.
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    }
}

/// What follows after something was awaited.
enum After {
    Next,
    Close,
    Shutdown,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    async fn follow(&mut self, flow: Flow<()>) -> After {
        match flow {
            Flow::Next => After::Next,
            Flow::Close => After::Close,
            Flow::Shutdown => After::Shutdown,
            Flow::Sleep(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                After::Next
            }
            Flow::Blocked(parked) => self.wait_parked(parked).await,
            Flow::Postponed(until_ms) => self.wait_pause(until_ms).await,
            Flow::Frozen(()) => self.run_frozen().await,
        }
    }

    /// Runs a frozen unit slice by slice, and carries its migrations out; meanwhile the worker serves others. A client
    /// that goes away does not end it.
    async fn run_frozen(&mut self) -> After {
        let client = self.session.client.clone();
        client.marks.set(Marks::FROZEN, true);
        let flow = self.run_slices().await;
        // It has not been idle.
        client.last_ms.store(self.engine.node.clock.monotonic_us() / 1000, Relaxed);
        client.marks.set(Marks::FROZEN, false);
        Box::pin(self.follow(flow)).await
    }

    async fn run_slices(&mut self) -> Flow<()> {
        loop {
            match take_migration() {
                None => tokio::task::yield_now().await,
                Some(migration) => {
                    let unfreeze = Unfreeze;
                    let migration = migrate::carry(migration, &self.engine.node.stats).await;
                    std::mem::forget(unfreeze);
                    give_back(migration);
                }
            }
            let Some(frozen) = LATE.take() else { return Flow::Next };
            let mut out = std::mem::take(&mut self.unsent);
            out.set_proto(self.session.proto);
            let engine = self.engine;
            let flow = guarded("a frozen unit", &mut self.session, &mut out, |session, out| {
                engine.resume(frozen, session, out)
            });
            self.unsent = out;
            match flow {
                Flow::Frozen(()) => {}
                flow => return flow,
            }
        }
    }

    /// Waits out a CLIENT PAUSE or a frozen script, then runs the request again.
    async fn wait_pause(&mut self, mut until_ms: u64) -> After {
        self.session.client.marks.set(Marks::BLOCKED, true);
        let after = loop {
            match self.wait(Some(until_ms), None).await {
                Woke::Input(Turn::Close) => break After::Close,
                _ if self.session.client.marks.any(Marks::KILLED) => break After::Close,
                _ => {}
            }
            let Some(argv) = self.postponed.take() else { break After::Next };
            let list: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
            let mut out = std::mem::take(&mut self.unsent);
            out.set_proto(self.session.proto);
            let engine = self.engine;
            self.session.moment = engine.node.clock.moment();
            let flow = run_guarded(engine, &mut self.session, Argv::new(&list), &mut out);
            self.unsent = out;
            match flow {
                Flow::Postponed(at) => {
                    self.postponed = Some(argv);
                    until_ms = at;
                }
                flow => {
                    self.session.client.marks.set(Marks::BLOCKED, false);
                    return Box::pin(self.follow(flow)).await;
                }
            }
        };
        self.session.client.marks.set(Marks::BLOCKED, false);
        after
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
                        self.engine.node.count_error(client.worker, UNBLOCKED.as_bytes());
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

    /// Reads without running anything, so that a closed connection is noticed.
    fn poll_keep_input(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        at_desk(|desk| {
            let mut buffer = ReadBuf::new(&mut desk.scratch);
            loop {
                match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                    Ok(()) if !buffer.filled().is_empty() => {
                        self.pending.extend_from_slice(buffer.filled());
                        buffer.clear();
                        let limit = self.engine.node.config.client_query_buffer_limit.get() as usize;
                        if self.pending.len() > limit {
                            return Poll::Ready(Turn::Close);
                        }
                    }
                    _ => return Poll::Ready(Turn::Close),
                }
            }
        })
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

/// Takes out what the frozen unit waits for.
fn take_migration() -> Option<Box<Migration>> {
    let mut frozen = LATE.take()?;
    let migration = frozen.migration().take();
    LATE.set(Some(frozen));
    migration
}

/// Gives the frozen unit what it waited for.
fn give_back(migration: Box<Migration>) {
    if let Some(mut frozen) = LATE.take() {
        *frozen.migration() = Some(migration);
        LATE.set(Some(frozen));
    }
}

/// Lets go of the frozen unit when its task ends while it waits: a fault, or the end of the server.
struct Unfreeze;

impl Drop for Unfreeze {
    fn drop(&mut self) {
        drop(LATE.take());
    }
}

/// Runs one request; keeps it in `postponed` when it has to wait for the end of a pause.
#[inline]
fn run_words(
    engine: &'static Engine,
    session: &mut Session,
    postponed: &mut Postponed,
    argv: Argv<'_>,
    out: &mut Reply,
) -> Flow<()> {
    let flow = run_guarded(engine, session, argv, out);
    if let Flow::Postponed(_) = flow {
        *postponed = Some(argv.all().iter().map(|word| word.to_vec()).collect());
    }
    flow
}

/// Runs a request; a panic in it closes the connection with an error and leaves no lock held.
fn run_guarded(engine: &'static Engine, session: &mut Session, argv: Argv<'_>, out: &mut Reply) -> Flow<()> {
    let name = argv.at(0);
    guarded(name, session, out, |session, out| engine.execute(session, argv, out))
}

fn guarded(
    name: impl AsRef<[u8]>,
    session: &mut Session,
    out: &mut Reply,
    run: impl FnOnce(&mut Session, &mut Reply) -> LocalFlow<'static>,
) -> Flow<()> {
    let mark = out.mark();
    let result = catch_unwind(AssertUnwindSafe(|| run(session, out)));
    result.map(|flow| flow.map(|frozen| LATE.set(Some(frozen)))).unwrap_or_else(|_| {
        let name = String::from_utf8_lossy(name.as_ref()).into_owned();
        tracing::error!("A command failed and its connection is closed: {name:?}");
        out.truncate(mark);
        out.error("ERR internal error, the connection is closed");
        session.closing = true;
        Flow::Close
    })
}
