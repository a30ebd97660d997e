//! Running the requests that have been read: several together where they came together, so that the memory of all is
//! asked for before the first runs.

use super::output::FREE_BYTES;
use super::{Big, Conn, Postponed, Turn, frozen};
use crate::base::hash::key_hash;
use crate::client::Session;
use crate::command::args::{Argv, KeyHash};
use crate::command::error::Error;
use crate::engine::{Engine, Flow, LocalFlow};
use crate::resp::reply::Reply;
use crate::resp::request::{Limits, Parser, ProtocolError, Request, Step, Words};
use crate::server::desk::{SCRATCH_BYTES, Tools};
use bytes::Bytes;
use smallvec::SmallVec;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncWrite};

/// Requests parsed, prefetched and run together.
const BATCH_MAX: usize = 64;

/// The hashes of their keys.
type Hashed = SmallVec<[Option<KeyHash>; BATCH_MAX]>;

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub(super) fn run_pending(&mut self, tools: &mut Tools) -> Turn {
        let pending = std::mem::take(&mut self.pending);
        self.run_buffer(&pending, tools)
    }

    /// Runs the complete requests of a buffer; what is left goes to `pending`.
    pub(super) fn run_buffer(&mut self, input: &[u8], tools: &mut Tools) -> Turn {
        self.parser.lend_room(&mut tools.room);
        let turn = self.with_reply(tools, |conn, out| conn.run_requests(input, out));
        self.parser.return_room(&mut tools.room);
        turn
    }

    /// Runs a request that needs no parser; the hash of its key is known, if it has one.
    pub(super) fn run_lone(
        &mut self,
        words: &[&[u8]],
        hashed: Option<KeyHash>,
        input_bytes: usize,
        tools: &mut Tools,
    ) -> Turn {
        self.with_reply(tools, |conn, out| {
            let engine = conn.engine;
            conn.begin_requests(input_bytes);
            engine.node.stats.worker(conn.session.client.worker()).batch_max.raise(1);
            let argv = Argv::new(words).with_hash(hashed);
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
        let mut hashed = Hashed::new();
        let result = 'input: loop {
            batch.clear();
            let end = self.collect(engine, input, &mut batch);
            engine.node.stats.worker(self.session.client.worker()).batch_max.raise(batch.len() as u64);
            self.fetch_ahead(engine, &batch, input, &mut hashed);
            for (index, request) in batch.iter().enumerate() {
                match self.run_one(engine, request, hashed.get(index).copied().flatten(), input, out) {
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
                    self.big = Some(Big::begin(&input[start..], len, &engine.node.clients.halfway));
                    self.expects_big = len >= SCRATCH_BYTES;
                    let consumed = self.parser.consumed();
                    self.pending = input[consumed..start].to_vec();
                    self.take_messages_into(out);
                    return if self.query_over_limit() { Turn::Close } else { Turn::Next };
                }
                Err(error) => {
                    tracing::debug!("{error} from client: {}", self.about());
                    engine.error(&self.session, &Error::owned(error.message()), out);
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

    /// Asks for the memory of requests that run together, and notes the hash of what is most likely the key of each.
    fn fetch_ahead(&self, engine: &Engine, batch: &[Request], input: &[u8], hashed: &mut Hashed) {
        hashed.clear();
        if batch.len() < 2 {
            return;
        }
        let at = engine.first_key_at(&self.session);
        let key = |request| self.parser.args(request, input).try_get(at);
        hashed.extend(batch.iter().map(|request| Some(KeyHash { at, hash: key_hash(key(request)?) })));
        let hashes = hashed.iter().flatten().map(|known| known.hash).collect();
        engine.prefetch(self.session.db, hashes, engine.collections_of(&self.session));
    }

    fn run_one(
        &mut self,
        engine: &'static Engine,
        request: &Request,
        hashed: Option<KeyHash>,
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
            let argv = Argv::new(&words).with_hash(hashed);
            run_words(engine, &mut self.session, &mut self.postponed, argv, out)
        }
    }

    /// Puts messages from elsewhere behind the replies produced so far.
    fn take_messages_into(&self, out: &mut Reply) {
        let client = &self.session.client;
        if client.mailbox.is_rung() {
            client.mailbox.take_into(out);
        }
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
pub(super) fn run_guarded(engine: &'static Engine, session: &mut Session, argv: Argv<'_>, out: &mut Reply) -> Flow<()> {
    let name = argv.at(0);
    guarded(name, session, out, |session, out| engine.execute(session, argv, out))
}

pub(super) fn guarded(
    name: impl AsRef<[u8]>,
    session: &mut Session,
    out: &mut Reply,
    run: impl FnOnce(&mut Session, &mut Reply) -> LocalFlow<'static>,
) -> Flow<()> {
    let mark = out.mark();
    let result = catch_unwind(AssertUnwindSafe(|| run(session, out)));
    result.map(|flow| flow.map(frozen::keep)).unwrap_or_else(|_| {
        let name = String::from_utf8_lossy(name.as_ref()).into_owned();
        tracing::error!("A command failed and its connection is closed: {name:?}");
        out.truncate(mark);
        out.error("ERR internal error, the connection is closed");
        session.closing = true;
        Flow::Close
    })
}
