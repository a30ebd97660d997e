//! One connection's loop.
//!
//! A turn reads what has arrived into the worker's scratch buffer ([`input`]), runs every complete request in it
//! ([`requests`]), and writes all replies at once ([`output`]). Between turns an idle connection owns no buffer: the
//! scratch, the room for arguments and the reply buffer belong to the worker, and only a cut-off request or unsent
//! replies are moved to buffers of the connection's own. What a request has to wait for is in [`wait`] and [`frozen`].

mod batch;
mod frozen;
mod input;
mod late;
mod output;
mod pending;
mod requests;
mod wait;

use super::desk::{Desk, at_desk};
use crate::client::{Client, Marks, Session};
use crate::command::args::KeyHash;
use crate::command::client::describe::describe;
use crate::engine::{Engine, Flow};
use crate::resp::reply::Reply;
use crate::resp::request::Parser;
use pending::Pending;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use wait::After;

/// A big argument on its way into a buffer of its own.
struct Big {
    buffer: Vec<u8>,
    len: usize,
    /// How many there are, this one among them.
    count: &'static AtomicUsize,
}

impl Big {
    /// One that begins with these bytes, of so many. There is room for the rest of it, up to a limit.
    fn begin(head: &[u8], len: usize, count: &'static AtomicUsize) -> Box<Big> {
        let mut buffer = Vec::with_capacity(len.min(BIG_ROOM_MAX).max(head.len()));
        buffer.extend_from_slice(head);
        count.fetch_add(1, Relaxed);
        Box::new(Big { buffer, len, count })
    }

    /// Makes room for more, if there is none: it grows as its bytes come, and ends with no more room than it needs, for it
    /// may become the value of a key. Once much has come the rest is believed: moving a few hundred megabytes once more would
    /// stop the worker.
    fn make_room(&mut self) {
        let have = self.buffer.len();
        if have == self.buffer.capacity() {
            let room = if have < BIG_MOVE_MAX { (2 * have).max(BIG_ROOM_MIN) } else { self.len };
            self.buffer.reserve_exact(self.len.min(room) - have);
        }
    }

    /// Gives back the room that is not used. What has come stays where it is, if the allocator can split its block.
    fn give_back(&mut self) {
        self.buffer.shrink_to_fit();
    }
}

impl Drop for Big {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Relaxed);
    }
}

/// The most room that is made for a big argument before its bytes come, and the least when they come.
const BIG_ROOM_MAX: usize = 1 << 20;
const BIG_ROOM_MIN: usize = 32 * 1024;

/// The most bytes that are moved at a time.
const BIG_MOVE_MAX: usize = 16 << 20;

/// Whoever has been silent for so long, in milliseconds, gives back the room for what it has not sent.
pub(super) const PATIENCE_MS: u64 = 2_000;

/// A request that waits for the end of a pause: rare, so it takes little room while there is none.
type Postponed = Option<Box<[Vec<u8>]>>;

/// What was set aside.
enum Aside {
    /// A lone request, with the hash of its key.
    Lone(KeyHash),
    /// Anything else.
    Input,
}

/// Why a turn ended.
enum Turn {
    /// Wait for more input.
    Next,
    /// Something to be awaited.
    Flow(Flow<()>),
    /// The peer closed, or broke the protocol, or the connection failed.
    Close,
    /// It is to live on another worker.
    Move,
}

/// Why a connection's loop ended.
pub(super) enum End {
    /// It is closed.
    Closed,
    /// It is closed, and the server is to be stopped.
    Stop,
    /// It is at rest and goes on on another worker.
    Moving,
}

/// One connection.
pub struct Conn<S> {
    engine: &'static Engine,
    stream: S,
    session: Session,
    parser: Parser,
    /// Bytes that are not a whole request yet, or a request set aside.
    pending: Pending,
    /// What is pending was set aside until other connections have been read.
    set_aside: Option<Aside>,
    /// It has more to run or to read, and others have their turn first.
    gives_way: bool,
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

impl<S> Conn<S> {
    /// A connection of a client that is in the registry.
    pub fn new(engine: &'static Engine, stream: S, client: Arc<Client>) -> Conn<S> {
        let user = engine.node.acl.initial();
        Conn {
            session: Session::new(client, user),
            engine,
            stream,
            parser: Parser::default(),
            pending: Pending::default(),
            set_aside: None,
            gives_way: false,
            big: None,
            expects_big: false,
            unsent: Reply::default(),
            is_slow: false,
            postponed: None,
            soft_since_ms: None,
        }
    }

    /// The connection with another socket, and the one that it had: how it leaves one runtime for another.
    pub(super) fn with_stream<T>(self, stream: T) -> (Conn<T>, S) {
        let conn = Conn {
            stream,
            engine: self.engine,
            session: self.session,
            parser: self.parser,
            pending: self.pending,
            set_aside: self.set_aside,
            gives_way: self.gives_way,
            big: self.big,
            expects_big: self.expects_big,
            unsent: self.unsent,
            is_slow: self.is_slow,
            postponed: self.postponed,
            soft_since_ms: self.soft_since_ms,
        };
        (conn, self.stream)
    }

    /// The end of a connection whose socket is lost.
    pub(super) fn abandon(mut self) {
        self.engine.close(&mut self.session);
    }

    /// The client at the other side.
    pub(super) fn client(&self) -> &Client {
        &self.session.client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Serves the connection until it ends or moves.
    pub(super) async fn run(&mut self) -> End {
        let mut end = End::Closed;
        self.note_memory();
        loop {
            let turn = self.turn().await;
            match turn {
                Turn::Next => {}
                Turn::Close => break,
                Turn::Move => return End::Moving,
                Turn::Flow(flow) => match Box::pin(self.follow(flow)).await {
                    After::Next => {}
                    After::Close => break,
                    After::Shutdown => {
                        end = End::Stop;
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
        end
    }

    /// Waits for input or messages and deals with them, until there is something to be awaited.
    async fn turn(&mut self) -> Turn {
        if self.client().marks.any(Marks::MOVING) {
            return Turn::Move;
        }
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
            if !self.unsent.is_empty() {
                if self.poll_write(cx) == Poll::Ready(false) {
                    return Poll::Ready(Turn::Close);
                }
                self.note_memory();
            }
            let turn = at_desk(|desk| self.poll_input(cx, desk));
            if self.session.client.marks.any(Marks::KILLED | Marks::MOVING) {
                return Poll::Ready(self.leave(turn));
            }
            match turn {
                Poll::Ready(Turn::Next) if std::mem::take(&mut self.gives_way) => {
                    // Others, and sockets that have become ready, come before this task is woken.
                    return pin!(yield_now()).poll(cx).map(|()| Turn::Next);
                }
                Poll::Ready(Turn::Next) => {}
                Poll::Ready(turn) => return Poll::Ready(turn),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The end of a turn that is the last one here.
    #[cold]
    fn leave(&mut self, turn: Poll<Turn>) -> Turn {
        match turn {
            _ if self.client().marks.any(Marks::KILLED) => Turn::Close,
            Poll::Ready(Turn::Next) | Poll::Pending => {
                // A request that was set aside runs over there, as any that is pending does.
                self.set_aside = None;
                Turn::Move
            }
            Poll::Ready(turn) => turn,
        }
    }

    /// Writes the messages that came; false when the connection is to be closed.
    #[cold]
    fn answer_bell(&mut self, cx: &mut Context<'_>) -> bool {
        self.take_messages();
        if self.session.client.marks.any(Marks::KILLED) || self.poll_write(cx) == Poll::Ready(false) {
            return false;
        }
        self.give_back_room();
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

    /// The client as the log tells of it.
    fn about(&self) -> String {
        let mut line = String::new();
        describe(&self.engine.node, &self.engine.commands, &self.session.client, None, &mut line);
        line
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
        if self.session.patient && self.waits_for_others(cx, &turn, desk) {
            return Poll::Pending;
        }
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

    /// Lets other connections run what they have read before the replies of this one are sent, if there are any. Scripts
    /// go through much code, and so does the kernel when it sends: taken in turns, each throws the other out of the
    /// processor's caches.
    #[cold]
    fn waits_for_others(&mut self, cx: &Context<'_>, turn: &Turn, desk: &mut Desk) -> bool {
        self.session.patient = false;
        let waits =
            matches!(turn, Turn::Next) && desk.ahead.is_worth_while() && !self.client().marks.any(Marks::KILLED);
        if waits {
            self.keep_unsent(&mut desk.tools);
            cx.waker().wake_by_ref();
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_big_argument_is_moved_while_it_is_small() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        const LEN: usize = 4 * BIG_MOVE_MAX + 1;
        let mut big = Big::begin(b"its beginning", LEN, &COUNT);
        let (mut moved, mut most) = (0, 0);
        while big.buffer.len() < LEN {
            let before = big.buffer.as_ptr();
            big.make_room();
            if big.buffer.as_ptr() != before {
                moved += big.buffer.len();
                most = most.max(big.buffer.len());
            }
            big.buffer.resize(big.buffer.capacity().min(LEN), b'x');
        }
        assert!(most <= BIG_MOVE_MAX && moved < 2 * BIG_MOVE_MAX, "{most} bytes at a time, {moved} in all");
        assert_eq!((&big.buffer[..13], big.buffer.capacity()), (&b"its beginning"[..], LEN));
    }

    #[test]
    fn who_falls_silent_keeps_room_for_what_has_come_only() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut big = Big::begin(b"", 32 * BIG_MOVE_MAX, &COUNT);
        while big.buffer.capacity() < 32 * BIG_MOVE_MAX {
            big.buffer.resize(big.buffer.capacity(), b'x');
            big.make_room();
        }
        let (came, before) = (big.buffer.len(), big.buffer.as_ptr());
        assert!(came <= 2 * BIG_MOVE_MAX);
        big.give_back();
        assert_eq!((big.buffer.capacity(), big.buffer.as_ptr()), (came, before));
    }
}
