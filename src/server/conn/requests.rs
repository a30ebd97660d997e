//! Running the requests that have been read: several together where they came together, so that the memory of all is
//! asked for before the first runs.

use super::batch::{Batch, View};
use super::output::FREE_BYTES;
use super::pending::Pending;
use super::{Aside, Big, Conn, Turn, late};
use crate::client::Session;
use crate::command::args::{Argv, KeyHash};
use crate::command::error::Error;
use crate::engine::{Engine, Flow, LocalFlow};
use crate::resp::args::Args;
use crate::resp::reply::{Mark, Reply};
use crate::resp::request::{Limits, Room, Step};
use crate::resp::whole::Words;
use crate::server::desk::{SCRATCH_BYTES, Tools};
use bytes::Bytes;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the requests of one connection run before others have their turn.
const SLICE_NS: u64 = 1_000_000;
/// So much, or what is left when it is less, always runs in one turn, as it does in Redis: clients count on what they sent
/// together being done before what others send later.
const TURN_BYTES: usize = 16 * 1024;

/// What the parser made of an input.
enum Parsed {
    /// A request, which ran; and how many bytes it was.
    Ran(Turn, usize),
    /// None that is all there; and what is left of the input.
    Left(Turn, Range<usize>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Runs the complete requests of what is pending, for a time.
    pub(super) fn run_pending(&mut self, tools: &mut Tools) -> Turn {
        let mut pending = std::mem::take(&mut self.pending);
        let (turn, left) = self.with_reply(tools, |conn, room, out| conn.run_requests(&pending, room, out));
        pending.keep(left);
        self.pending = pending;
        self.judge_query(turn)
    }

    /// Runs the complete requests of a buffer, for a time; what is left is pending.
    pub(super) fn run_buffer(&mut self, input: &[u8], tools: &mut Tools) -> Turn {
        let (turn, left) = self.with_reply(tools, |conn, room, out| conn.run_requests(input, room, out));
        self.pending = Pending::copy_of(&input[left]);
        self.judge_query(turn)
    }

    /// What becomes of a turn by the limit on what is pending.
    fn judge_query(&mut self, turn: Turn) -> Turn {
        if matches!(turn, Turn::Close) || self.query_over_limit() { Turn::Close } else { turn }
    }

    /// Runs a request that needs no parser; the hash of its key is known, if it has one.
    pub(super) fn run_lone(
        &mut self,
        words: &[&[u8]],
        hashed: Option<KeyHash>,
        input_bytes: usize,
        tools: &mut Tools,
    ) -> Turn {
        self.with_reply(tools, |conn, _, out| {
            let engine = conn.engine;
            conn.begin_requests(input_bytes);
            engine.node.stats.worker(conn.session.client.worker()).batch_max.raise(1);
            let argv = Argv::new(words).with_hash(hashed);
            let turn = conn.run_words(argv, out);
            conn.take_messages_into(out);
            conn.judge_query(turn)
        })
    }

    /// Lets something write replies: on the desk, or behind those that are not sent yet.
    #[inline]
    fn with_reply<R>(&mut self, tools: &mut Tools, run: impl FnOnce(&mut Self, &mut Room, &mut Reply) -> R) -> R {
        let (proto, limit) = (self.session.proto, self.reply_limit());
        let start = |out: &mut Reply| {
            out.set_proto(proto);
            out.set_limit(limit);
        };
        if self.unsent.is_empty() {
            start(&mut tools.reply);
            return run(self, &mut tools.room, &mut tools.reply);
        }
        let mut unsent = std::mem::take(&mut self.unsent);
        start(&mut unsent);
        let turn = run(self, &mut tools.room, &mut unsent);
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

    /// Runs the complete requests of an input until its time is over; also says what is left of it.
    fn run_requests(&mut self, input: &[u8], room: &mut Room, out: &mut Reply) -> (Turn, Range<usize>) {
        self.begin_requests(input.len());
        let until_ns = if input.len() > TURN_BYTES { self.session.moment.ns + SLICE_NS } else { u64::MAX };
        let mut batch = Batch::default();
        let mut at = 0;
        let ended = loop {
            batch.clear();
            if self.may_go_past_the_parser() {
                batch.collect(input, at);
            }
            let (turn, end) = if !batch.is_empty() {
                self.run_batch(&mut batch, until_ns, out)
            } else if at < input.len() {
                match self.run_parsed(&input[at..], room, out) {
                    Parsed::Ran(turn, bytes) => (turn, at + bytes),
                    Parsed::Left(turn, left) => break (turn, at + left.start..at + left.end),
                }
            } else {
                break (Turn::Next, at..at);
            };
            at = end;
            match turn {
                Turn::Next if self.session.moment.ns < until_ns || at == input.len() => {}
                Turn::Next => {
                    self.set_aside = Some(Aside::Input);
                    self.gives_way = true;
                    break (Turn::Next, at..input.len());
                }
                Turn::Close => return (Turn::Close, at..at),
                turn => break (turn, at..input.len()),
            }
        };
        self.take_messages_into(out);
        ended
    }

    /// Runs requests together, until one of them ends the turn or their time is over; says where in the input the last one
    /// ends.
    fn run_batch(&mut self, batch: &mut Batch<'_>, until_ns: u64, out: &mut Reply) -> (Turn, usize) {
        let count = batch.len();
        self.engine.node.stats.worker(self.session.client.worker()).batch_max.raise(count as u64);
        if count > 1 {
            let hashes = batch.note_keys(self.engine.first_key_at(&self.session));
            self.engine.prefetch(self.session.db, hashes, self.engine.collections_of(&self.session));
        }
        let batch = batch.view();
        let mut next = 0;
        loop {
            let last = self.run_some(batch, &mut next, until_ns, out);
            match self.turn_after(last, batch.argv(next - 1), out) {
                Turn::Next if next < count && self.session.moment.ns < until_ns => {}
                turn => return (turn, batch.end(next - 1)),
            }
        }
    }

    /// Runs some requests of a batch, from the next one on, until one has another end than to go on, or their time is over,
    /// or there is so much to be sent that the limits have to be looked at.
    fn run_some(&mut self, batch: View<'_>, next: &mut usize, until_ns: u64, out: &mut Reply) -> Flow<()> {
        let engine = self.engine;
        let place = Cell::new(*next);
        let name = || batch.argv(place.get()).at(0).to_vec();
        let flow = guarded(name, &mut self.session, out, |session, out, mark| {
            loop {
                let at = place.get();
                *mark = out.mark();
                match engine.execute(session, batch.argv(at), out) {
                    Flow::Next if at + 1 < batch.len() && out.len() <= FREE_BYTES && session.moment.ns < until_ns => {
                        place.set(at + 1);
                    }
                    flow => return flow,
                }
            }
        });
        *next = place.get() + 1;
        flow
    }

    /// Has the parser look for one request, and runs it.
    fn run_parsed(&mut self, input: &[u8], room: &mut Room, out: &mut Reply) -> Parsed {
        let mut parser = std::mem::take(&mut self.parser);
        parser.lend_room(room);
        let limits = Limits {
            unauthenticated: self.session.user.is_none(),
            bulk_len_max: self.engine.node.config.proto_max_bulk_len.get() as usize,
        };
        let step = parser.next(input, &limits);
        let turn = match step {
            Ok(Step::Request(request)) => self.run_one(parser.args(&request, input), out),
            _ => Turn::Next,
        };
        let consumed = parser.consumed();
        parser.return_room(room);
        self.parser = parser;
        match step {
            Ok(Step::Request(_)) => Parsed::Ran(turn, consumed),
            Ok(Step::NeedMore) => Parsed::Left(turn, consumed..input.len()),
            Ok(Step::NeedBulk { start, len }) => {
                self.big = Some(Big::begin(&input[start..], len, &self.engine.node.clients.halfway));
                self.expects_big = len >= SCRATCH_BYTES;
                Parsed::Left(turn, consumed..start)
            }
            Err(error) => {
                tracing::debug!("{error} from client: {}", self.about());
                self.engine.error(&self.session, &Error::owned(error.message()), out);
                self.session.closing = true;
                Parsed::Left(Turn::Flow(Flow::Close), consumed..input.len())
            }
        }
    }

    fn run_one(&mut self, args: Args<'_>, out: &mut Reply) -> Turn {
        let words: Words = args.iter().collect();
        let big: Vec<(usize, Bytes)> = (0..args.len()).filter_map(|i| args.shared(i).map(|b| (i, b.clone()))).collect();
        self.engine.node.stats.worker(self.session.client.worker()).batch_max.raise(1);
        self.run_words(Argv::with_big(&words, &big), out)
    }

    /// Runs one request.
    #[inline]
    fn run_words(&mut self, argv: Argv<'_>, out: &mut Reply) -> Turn {
        let flow = run_guarded(self.engine, &mut self.session, argv, out);
        self.turn_after(flow, argv, out)
    }

    /// What a request that ended so makes of the turn; it is kept when it has to wait for the end of a pause.
    #[inline]
    fn turn_after(&mut self, flow: Flow<()>, argv: Argv<'_>, out: &Reply) -> Turn {
        match flow {
            Flow::Next if out.len() > FREE_BYTES && self.output_over_limit(out.len()) => Turn::Close,
            Flow::Next => Turn::Next,
            flow => {
                if let Flow::Postponed(_) = flow {
                    self.postponed = Some(argv.all().iter().map(|word| word.to_vec()).collect());
                }
                Turn::Flow(flow)
            }
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

/// Runs a request; a panic in it closes the connection with an error and leaves no lock held.
pub(super) fn run_guarded(engine: &'static Engine, session: &mut Session, argv: Argv<'_>, out: &mut Reply) -> Flow<()> {
    guarded(|| argv.at(0).to_vec(), session, out, |session, out, _| engine.execute(session, argv, out))
}

/// Runs something that can fail by a panic, which closes the connection with an error and leaves no lock held. It notes
/// where its last reply begins; `name` tells what failed.
pub(super) fn guarded(
    name: impl FnOnce() -> Vec<u8>,
    session: &mut Session,
    out: &mut Reply,
    run: impl FnOnce(&mut Session, &mut Reply, &mut Mark) -> LocalFlow<'static>,
) -> Flow<()> {
    let mut mark = out.mark();
    let result = catch_unwind(AssertUnwindSafe(|| run(session, out, &mut mark)));
    result.map(|flow| flow.map(late::keep)).unwrap_or_else(|_| {
        tracing::error!("A command failed and its connection is closed: {:?}", String::from_utf8_lossy(&name()));
        out.truncate(mark);
        out.error("ERR internal error, the connection is closed");
        session.closing = true;
        Flow::Close
    })
}
