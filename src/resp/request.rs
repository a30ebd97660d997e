//! The incremental request parser: multibulk and inline, without I/O; arguments are slices of the read buffer.
//!
//! The connection owns the buffer and appends to it what it reads; the parser owns the places of arguments in it. One
//! turn of a connection:
//!
//! ```text
//! read into buf
//! while let Step::Request(request) = parser.next(&buf, &limits)? { collect it }
//! run each: parser.args(&request, &buf)
//! drop the first parser.consumed() bytes of buf      (requests of the turn are void now)
//! ```
//!
//! What is known of an unfinished request is kept, so that every byte is looked at once however small the pieces are.
//! A bulk string of [`OWNED_MIN`] bytes and more is not collected in the buffer: [`Step::NeedBulk`] asks the connection
//! to read it straight into a buffer of its own and hand that over by [`Parser::give_bulk`]. Ordinary requests cost no
//! allocation; where they are all there, they need no parser ([`whole`](super::whole)).
//!
//! Leniency is Redis': the two bytes behind a bulk string and the one behind a `\r` are skipped unread, empty requests
//! (`*0`, `*-1`, an empty line) are skipped without a reply, and a NUL within a line hides its end until the line is
//! too long.

use bytes::Bytes;

use crate::base::bytes::split_args_into;
use crate::base::num::parse_i64;
use crate::resp::args::{Arg, Args, OWNED_MIN, Source};
use crate::resp::whole::number;

/// Longest inline command, and longest line that announces a count or length.
pub const LINE_MAX: usize = 64 * 1024;
/// Most arguments of a request before AUTH.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
/// Longest argument of a request before AUTH.
const UNAUTHENTICATED_BULK_MAX: usize = 16384;
/// Room for arguments kept between turns.
const ARGS_KEPT: usize = 256;

/// What a client may send at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The client has yet to say who it is. While it does, run every request before asking for the next: an AUTH among
    /// pipelined requests lifts the limit for those behind it.
    pub unauthenticated: bool,
    /// Longest argument (`proto-max-bulk-len`).
    pub bulk_len_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { unauthenticated: false, bulk_len_max: 512 << 20 }
    }
}

/// What the parser has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One more request is complete.
    Request(Request),
    /// The buffer ends within a request, or between two.
    NeedMore,
    /// A big argument of `len` bytes starts at `start` of the buffer and goes on beyond its end. Move what is there to a
    /// buffer of its own, cut the read buffer off at `start`, read the rest of the `len` bytes, and call
    /// [`Parser::give_bulk`]. Until then the parser says the same again, so requests found before may run first.
    NeedBulk {
        /// Where in the buffer the argument starts.
        start: usize,
        /// Its length; the line break behind it is not counted and goes to the read buffer.
        len: usize,
    },
}

/// A complete request: a ticket for [`Parser::args`], good until [`Parser::consumed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    first: u32,
    count: u32,
    /// Where in the buffer it ends.
    pub end: usize,
    /// Its length on the wire, empty requests in front of it included: what a replica adds to its offset.
    pub wire_bytes: u64,
}

/// The client does not speak the protocol; the connection answers this and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// No line end within 64 KiB of an inline command.
    TooBigInline,
    /// The quotes of an inline command do not pair.
    UnbalancedQuotes,
    /// No line end within 64 KiB of a `*`.
    TooBigCount,
    /// The count behind a `*` is not one.
    InvalidCount,
    /// Too many arguments before AUTH.
    UnauthenticatedCount,
    /// No line end within 64 KiB of a `$`.
    TooBigLength,
    /// Something else where a `$` belongs.
    ExpectedDollar(u8),
    /// The length behind a `$` is not one, or is beyond `proto-max-bulk-len`.
    InvalidLength,
    /// Too long an argument before AUTH.
    UnauthenticatedLength,
}

impl ProtocolError {
    /// The error reply, code included, without the dash.
    pub fn message(self) -> Vec<u8> {
        let what: &[u8] = match self {
            ProtocolError::TooBigInline => b"too big inline request",
            ProtocolError::UnbalancedQuotes => b"unbalanced quotes in request",
            ProtocolError::TooBigCount => b"too big mbulk count string",
            ProtocolError::InvalidCount => b"invalid multibulk length",
            ProtocolError::UnauthenticatedCount => b"unauthenticated multibulk length",
            ProtocolError::TooBigLength => b"too big bulk count string",
            ProtocolError::ExpectedDollar(got) => &[&b"expected '$', got '"[..], &[got], b"'"].concat(),
            ProtocolError::InvalidLength => b"invalid bulk length",
            ProtocolError::UnauthenticatedLength => b"unauthenticated bulk length",
        };
        [b"ERR Protocol error: ", what].concat()
    }
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.message()))
    }
}

impl std::error::Error for ProtocolError {}

/// Room for arguments, which parsers that are between two requests can do without: see [`Parser::lend_room`].
#[derive(Debug, Default)]
pub struct Room(Vec<Arg>);

/// Reads requests out of one connection's bytes.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
    /// The next byte of the buffer to look at.
    at: usize,
    /// No end of the line at `at` lies before this.
    scanned: usize,
    /// Arguments of complete requests, then those of the unfinished one.
    args: Vec<Arg>,
    /// Unquoted words of complete inline requests.
    inline: Vec<u8>,
    /// Big arguments, in the order of `args`.
    owned: Vec<Bytes>,
    unfinished: Unfinished,
}

/// Where the unfinished request starts; all equal to the ends when there is none.
#[derive(Debug, Default)]
struct Unfinished {
    /// Offset in the buffer.
    start: usize,
    /// Index into `args`.
    first_arg: usize,
    /// Index into `owned`.
    first_owned: usize,
    /// Its bytes that are not in the buffer: big arguments, and empty requests in front of it.
    bytes_elsewhere: u64,
}

/// What comes next in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A request.
    #[default]
    Start,
    /// The length of an argument; `left` are still to come, this one included.
    Length { left: usize },
    /// An argument.
    Body { left: usize, len: usize },
    /// The line break behind a big argument.
    BodyEnd { left: usize },
}

impl Parser {
    /// A parser at the start of a connection.
    pub fn new() -> Self {
        Parser::default()
    }

    /// Looks for the next request in the buffer, which holds what it held at the last call (less what
    /// [`Parser::consumed`] said) and perhaps more behind it.
    pub fn next(&mut self, buf: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        loop {
            let more = match self.state {
                State::Start => match buf.get(self.at) {
                    None => return Ok(Step::NeedMore),
                    Some(b'*') => self.read_count(buf, limits)?,
                    Some(_) => self.read_inline(buf)?,
                },
                State::Length { left: 0 } => return Ok(Step::Request(self.finish())),
                State::Length { left } => self.read_length(buf, limits, left)?,
                State::Body { left, len } if len < OWNED_MIN => self.read_body(buf, left, len),
                State::Body { left, len } => {
                    if buf.len() - self.at < len {
                        return Ok(Step::NeedBulk { start: self.at, len });
                    }
                    self.push_owned(Bytes::copy_from_slice(&buf[self.at..self.at + len]));
                    self.at += len;
                    self.state = State::BodyEnd { left: left - 1 };
                    true
                }
                State::BodyEnd { left } => self.skip_body_end(buf, left),
            };
            if !more {
                return Ok(Step::NeedMore);
            }
        }
    }

    /// Takes this room for arguments, unless the parser has its own.
    #[inline]
    pub fn lend_room(&mut self, room: &mut Room) {
        if self.args.capacity() == 0 {
            std::mem::swap(&mut self.args, &mut room.0);
        }
    }

    /// Gives its room back, unless arguments of an unfinished request are in it.
    #[inline]
    pub fn return_room(&mut self, room: &mut Room) {
        if self.args.is_empty() {
            let own = std::mem::take(&mut self.args);
            if room.0.capacity() == 0 {
                room.0 = own;
            }
        }
    }

    /// Hands over the big argument [`Step::NeedBulk`] asked for; the buffer ends where it said the argument starts.
    ///
    /// # Panics
    /// If none was asked for, or its length is another one.
    pub fn give_bulk(&mut self, bulk: Bytes) {
        let State::Body { left, len } = self.state else { panic!("no argument is awaited") };
        assert_eq!(bulk.len(), len, "the argument has the length that was asked for");
        self.unfinished.bytes_elsewhere += len as u64;
        self.push_owned(bulk);
        self.state = State::BodyEnd { left: left - 1 };
    }

    /// Bytes of big arguments of an unfinished request that were handed over.
    pub fn held_bytes(&self) -> u64 {
        self.unfinished.bytes_elsewhere
    }

    /// The arguments of a request of this turn.
    #[inline]
    pub fn args<'a>(&'a self, request: &Request, buf: &'a [u8]) -> Args<'a> {
        let first = request.first as usize;
        Args {
            args: &self.args[first..first + request.count as usize],
            buffer: buf,
            inline: &self.inline,
            owned: &self.owned,
        }
    }

    /// Ends a turn: forgets its complete requests and tells how many bytes to drop from the front of the buffer.
    #[must_use = "the bytes are to be dropped from the buffer"]
    pub fn consumed(&mut self) -> usize {
        if self.state == State::Start {
            // Empty requests behind the last real one go too, or a flood of them would fill the buffer.
            self.unfinished.bytes_elsewhere += (self.at - self.unfinished.start) as u64;
            self.unfinished.start = self.at;
        }
        let Unfinished { start, first_arg, first_owned, bytes_elsewhere } = self.unfinished;
        if start == 0 && first_arg == 0 {
            return 0;
        }
        self.args.drain(..first_arg);
        self.owned.drain(..first_owned);
        self.inline.clear();
        for arg in &mut self.args {
            arg.at -= if arg.source == Source::Owned { first_owned } else { start };
        }
        self.at -= start;
        self.scanned = self.scanned.saturating_sub(start);
        self.unfinished = Unfinished { bytes_elsewhere, ..Unfinished::default() };
        if self.args.is_empty() {
            self.args.shrink_to(ARGS_KEPT);
            self.inline.shrink_to(ARGS_KEPT);
        }
        start
    }

    /// Bytes of memory held beside the buffer.
    pub fn memory_bytes(&self) -> usize {
        self.args.capacity() * size_of::<Arg>()
            + self.inline.capacity()
            + self.owned.capacity() * size_of::<Bytes>()
            + self.owned.iter().map(Bytes::len).sum::<usize>()
    }

    /// Gives back all room not in use: for a connection that falls asleep.
    pub fn shrink(&mut self) {
        self.args.shrink_to_fit();
        self.inline.shrink_to_fit();
        self.owned.shrink_to_fit();
    }

    /// Is the parser as it was at the start, so that requests may go past it?
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.state == State::Start && self.args.is_empty() && self.at == 0 && self.unfinished.bytes_elsewhere == 0
    }

    /// Is the parser between two requests?
    pub fn is_idle(&self) -> bool {
        self.state == State::Start
    }

    fn finish(&mut self) -> Request {
        let done = &mut self.unfinished;
        let request = Request {
            first: done.first_arg as u32,
            count: (self.args.len() - done.first_arg) as u32,
            end: self.at,
            wire_bytes: (self.at - done.start) as u64 + done.bytes_elsewhere,
        };
        *done = Unfinished {
            start: self.at,
            first_arg: self.args.len(),
            first_owned: self.owned.len(),
            bytes_elsewhere: 0,
        };
        self.state = State::Start;
        request
    }

    /// The line `*count`.
    #[inline]
    fn read_count(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let (count, next) = match number(b'*', buf, self.at) {
            Some((count, next)) => (count as i64, next),
            None => {
                let Some((line, next)) = self.find_line(buf, ProtocolError::TooBigCount)? else { return Ok(false) };
                let count = parse_i64(&line[1..]).filter(|count| *count <= i64::from(i32::MAX));
                (count.ok_or(ProtocolError::InvalidCount)?, next)
            }
        };
        if limits.unauthenticated && count > UNAUTHENTICATED_ARGS_MAX {
            return Err(ProtocolError::UnauthenticatedCount);
        }
        self.at = next;
        // An empty request is skipped: its bytes count to the next one's.
        if count > 0 {
            self.state = State::Length { left: count as usize };
        }
        Ok(true)
    }

    /// The line `$length`.
    #[inline]
    fn read_length(&mut self, buf: &[u8], limits: &Limits, left: usize) -> Result<bool, ProtocolError> {
        let (len, next) = match number(b'$', buf, self.at) {
            Some(found) => found,
            None => {
                let Some((line, next)) = self.find_line(buf, ProtocolError::TooBigLength)? else { return Ok(false) };
                if buf[self.at] != b'$' {
                    // The text is one line, so a line break in it would show as a space.
                    let got = if buf[self.at] == b'\r' { b' ' } else { buf[self.at] };
                    return Err(ProtocolError::ExpectedDollar(got));
                }
                let len = parse_i64(&line[1..]).and_then(|len| usize::try_from(len).ok());
                (len.ok_or(ProtocolError::InvalidLength)?, next)
            }
        };
        if len > limits.bulk_len_max {
            return Err(ProtocolError::InvalidLength);
        }
        if limits.unauthenticated && len > UNAUTHENTICATED_BULK_MAX {
            return Err(ProtocolError::UnauthenticatedLength);
        }
        self.at = next;
        self.state = State::Body { left, len };
        Ok(true)
    }

    /// An ordinary argument and the two bytes behind it.
    #[inline]
    fn read_body(&mut self, buf: &[u8], left: usize, len: usize) -> bool {
        if buf.len() - self.at < len + 2 {
            return false;
        }
        self.args.push(Arg { at: self.at, len: len as u32, source: Source::Buffer });
        self.at += len + 2;
        self.state = State::Length { left: left - 1 };
        true
    }

    fn skip_body_end(&mut self, buf: &[u8], left: usize) -> bool {
        if buf.len() - self.at < 2 {
            return false;
        }
        self.at += 2;
        self.state = State::Length { left };
        true
    }

    fn push_owned(&mut self, bulk: Bytes) {
        self.args.push(Arg { at: self.owned.len(), len: 0, source: Source::Owned });
        self.owned.push(bulk);
    }

    /// A line of words.
    fn read_inline(&mut self, buf: &[u8]) -> Result<bool, ProtocolError> {
        let Some(end) = self.find(b'\n', buf) else {
            return too_long(buf.len() - self.at, ProtocolError::TooBigInline).map(|()| false);
        };
        let line = &buf[self.at..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > u32::MAX as usize {
            return Err(ProtocolError::TooBigInline);
        }
        self.at = end + 1;
        let words = self.args.len();
        let (args, inline) = (&mut self.args, &mut self.inline);
        let split = split_args_into(line, inline, |word| {
            args.push(Arg { at: word.start, len: word.len() as u32, source: Source::Inline });
        });
        split.map_err(|_| ProtocolError::UnbalancedQuotes)?;
        if self.args.len() > words {
            self.state = State::Length { left: 0 };
        }
        Ok(true)
    }

    /// The line at `at` up to its `\r`, and where the next one starts: one byte behind the `\r`, whatever it is.
    fn find_line<'b>(
        &mut self,
        buf: &'b [u8],
        too_big: ProtocolError,
    ) -> Result<Option<(&'b [u8], usize)>, ProtocolError> {
        match self.find(b'\r', buf) {
            Some(end) => Ok((end + 2 <= buf.len()).then(|| (&buf[self.at..end], end + 2))),
            None => too_long(buf.len() - self.at, too_big).map(|()| None),
        }
    }

    /// Where the line at `at` ends, if its end is there and no NUL hides it.
    fn find(&mut self, end: u8, buf: &[u8]) -> Option<usize> {
        let from = self.scanned.max(self.at);
        match memchr::memchr2(end, 0, &buf[from..]) {
            Some(found) => {
                self.scanned = from + found;
                (buf[self.scanned] == end).then_some(self.scanned)
            }
            None => {
                self.scanned = buf.len();
                None
            }
        }
    }
}

fn too_long(line: usize, error: ProtocolError) -> Result<(), ProtocolError> {
    if line > LINE_MAX { Err(error) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// All requests of `wire`, fed in pieces that end at `cuts`, or the error behind them.
    fn parse(wire: &[u8], cuts: &[usize], limits: &Limits) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let (mut parser, mut buf, mut out) = (Parser::new(), Vec::new(), Vec::new());
        let mut bulk: Option<(Vec<u8>, usize)> = None;
        let mut fed = 0;
        let mut wire_bytes = 0;
        for cut in cuts.iter().copied().chain([wire.len()]) {
            let mut piece = &wire[fed.min(cut)..cut];
            fed = fed.max(cut);
            while !piece.is_empty() {
                if let Some((mut body, len)) = bulk.take() {
                    let (head, tail) = piece.split_at(piece.len().min(len - body.len()));
                    body.extend_from_slice(head);
                    piece = tail;
                    if body.len() < len {
                        bulk = Some((body, len));
                        break;
                    }
                    parser.give_bulk(Bytes::from(body));
                } else {
                    buf.extend_from_slice(piece);
                    piece = &[];
                }
                let mut requests = Vec::new();
                let end = loop {
                    match parser.next(&buf, limits) {
                        Ok(Step::Request(request)) => requests.push(request),
                        other => break other,
                    }
                };
                for request in &requests {
                    wire_bytes += request.wire_bytes;
                    out.push(parser.args(request, &buf).iter().map(<[u8]>::to_vec).collect());
                }
                if let Err(error) = end {
                    return (out, Some(error));
                }
                buf.drain(..parser.consumed());
                if let Ok(Step::NeedBulk { start, len }) = parser.next(&buf, limits) {
                    bulk = Some((buf.split_off(start), len));
                }
            }
        }
        if parser.is_idle() && buf.is_empty() {
            let waiting = parser.unfinished.bytes_elsewhere;
            assert_eq!(wire_bytes + waiting, wire.len() as u64, "every byte belongs to a request");
        }
        (out, None)
    }

    fn whole(wire: &[u8]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        parse(wire, &[], &Limits::default())
    }

    fn words(line: &[&str]) -> Vec<Vec<u8>> {
        line.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn requests_as_clients_send_them() {
        for (wire, want) in [
            ("*1\r\n$4\r\nPING\r\n", vec![words(&["PING"])]),
            ("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", vec![words(&["SET", "k", ""])]),
            ("PING\r\nPING\n*1\r\n$4\r\nPING\r\n", vec![words(&["PING"]); 3]),
            ("*0\r\n*-1\r\n*-7\r\n\r\n\n  \r\nPING\r\n", vec![words(&["PING"])]),
            ("set \"a b\" 'c\\'d'\r\n", vec![words(&["set", "a b", "c'd"])]),
            ("*1\rX$4\rYPINGxx", vec![words(&["PING"])]),
            ("*1\r\n$4\r\nPINGxxPING\r\n", vec![words(&["PING"]), words(&["PING"])]),
            ("*3\r\n$3\r\nSET\r\n", vec![]),
            ("*1\n$4\nPING\n", vec![]),
            ("PING\0\r\n", vec![]),
            ("*1\0\r\n", vec![]),
            ("PING\r\r\n", vec![words(&["PING"])]),
        ] {
            assert_eq!(whole(wire.as_bytes()), (want, None), "{wire:?}");
        }
    }

    /// Every text is what a real server answers to the same bytes.
    #[test]
    fn protocol_errors_in_the_words_of_redis() {
        let long = |head: &str, fill: u8, len: usize| [head.as_bytes(), &vec![fill; len]].concat();
        for (wire, want) in [
            (b"*x\r\n".to_vec(), "invalid multibulk length"),
            (b"*\r\n".to_vec(), "invalid multibulk length"),
            (b"*01\r\n".to_vec(), "invalid multibulk length"),
            (b"*+1\r\n".to_vec(), "invalid multibulk length"),
            (b"*2147483648\r\n".to_vec(), "invalid multibulk length"),
            (b"*1\r\nx\r\n".to_vec(), "expected '$', got 'x'"),
            (b"*1\r\n\r\n".to_vec(), "expected '$', got ' '"),
            (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$536870913\r\n".to_vec(), "invalid bulk length"),
            (b"get \"a\r\n".to_vec(), "unbalanced quotes in request"),
            (long("", b'a', LINE_MAX + 1), "too big inline request"),
            (long("*", b'1', LINE_MAX), "too big mbulk count string"),
            (long("*1\r\n$", b'1', LINE_MAX), "too big bulk count string"),
        ] {
            let (requests, error) = whole(&wire);
            assert!(requests.is_empty());
            let error = error.unwrap_or_else(|| panic!("{want}: no error"));
            assert_eq!(error.to_string(), format!("ERR Protocol error: {want}"));
        }
        assert_eq!(whole(&long("", b'a', LINE_MAX)), (vec![], None), "exactly 64 KiB may still end");
        assert_eq!(ProtocolError::ExpectedDollar(0xff).message().last_chunk(), Some(b"'\xff'"));
    }

    #[test]
    fn strangers_may_send_little() {
        let limits = Limits { unauthenticated: true, ..Limits::default() };
        let ask = |wire: &[u8]| parse(wire, &[], &limits).1;
        assert_eq!(ask(b"*10\r\n"), None);
        assert_eq!(ask(b"*11\r\n"), Some(ProtocolError::UnauthenticatedCount));
        assert_eq!(ask(b"*1\r\n$16384\r\n"), None);
        assert_eq!(ask(b"*1\r\n$16385\r\n"), Some(ProtocolError::UnauthenticatedLength));
        let limits = Limits { bulk_len_max: 100, ..Limits::default() };
        assert_eq!(parse(b"*1\r\n$101\r\n", &[], &limits).1, Some(ProtocolError::InvalidLength));
    }

    #[test]
    fn requests_before_an_error_still_count() {
        let (requests, error) = whole(b"PING\r\n*1\r\nabc\r\n");
        assert_eq!((requests, error), (vec![words(&["PING"])], Some(ProtocolError::ExpectedDollar(b'a'))));
    }

    #[test]
    fn big_arguments_come_in_their_own_buffer() {
        let big = vec![b'v'; OWNED_MIN];
        let head = b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$32768\r\n";
        let mut buf = [&head[..], b"vvv"].concat();
        let mut parser = Parser::new();
        let limits = Limits::default();
        assert!(matches!(parser.next(&buf, &limits), Ok(Step::Request(_))));
        assert_eq!(parser.next(&buf, &limits), Ok(Step::NeedBulk { start: head.len(), len: OWNED_MIN }));
        buf.drain(..parser.consumed());
        let Ok(Step::NeedBulk { start, len }) = parser.next(&buf, &limits) else { panic!("it asks again") };
        assert_eq!((buf.split_off(start), len), (b"vvv".to_vec(), OWNED_MIN));
        parser.give_bulk(Bytes::from(big.clone()));
        assert_eq!(parser.next(&buf, &limits), Ok(Step::NeedMore));
        buf.extend_from_slice(b"\r\nPING\r\n");
        let Ok(Step::Request(set)) = parser.next(&buf, &limits) else { panic!("complete") };
        assert_eq!(parser.args(&set, &buf).iter().collect::<Vec<_>>(), [&b"SET"[..], b"k", &big]);
        assert!(parser.args(&set, &buf).shared(2).is_some());
        assert!(matches!(parser.next(&buf, &limits), Ok(Step::Request(_))));
        assert_eq!(set.wire_bytes, (head.len() - 6 + OWNED_MIN + 2) as u64);
    }

    /// However the bytes are cut, the same requests come out.
    #[test]
    fn pieces_make_the_same_requests_as_the_whole() {
        let seed = 2024;
        let mut rng = Rng::from_seed(seed);
        for round in 0..300 {
            let mut wire = Vec::new();
            for _ in 0..rng.below(6) {
                push_random_request(&mut rng, &mut wire);
            }
            let want = whole(&wire);
            for _ in 0..5 {
                let mut cuts: Vec<usize> = (0..rng.below(40)).map(|_| rng.index(wire.len() + 1)).collect();
                cuts.sort_unstable();
                assert!(parse(&wire, &cuts, &Limits::default()) == want, "seed {seed}, round {round}, cuts {cuts:?}");
            }
        }
    }

    fn push_random_request(rng: &mut Rng, wire: &mut Vec<u8>) {
        match rng.below(10) {
            0 => wire.extend_from_slice(b"*0\r\n"),
            1 => wire.extend_from_slice(b"\r\n"),
            2 => wire.extend_from_slice(b"inline 'a b' \"c\\x41\"\r\n"),
            3 => wire.extend_from_slice(&[b'*', rng.next_u64() as u8, b'\r', b'\n']),
            _ => {
                let count = rng.below(5) + 1;
                wire.extend_from_slice(format!("*{count}\r\n").as_bytes());
                for _ in 0..count {
                    let len = if rng.below(20) == 0 { OWNED_MIN - 2 + rng.index(5) } else { rng.index(1200) };
                    wire.extend_from_slice(format!("${len}\r\n").as_bytes());
                    wire.extend((0..len).map(|at| at as u8));
                    wire.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    #[test]
    fn a_flood_of_empty_requests_fills_nothing() {
        let (mut parser, mut buf) = (Parser::new(), b"\r\n*0\r\n".repeat(1000));
        assert_eq!(parser.next(&buf, &Limits::default()), Ok(Step::NeedMore));
        buf.drain(..parser.consumed());
        assert!(buf.is_empty());
        buf.extend_from_slice(b"PING\r\n");
        let Ok(Step::Request(ping)) = parser.next(&buf, &Limits::default()) else { panic!("complete") };
        assert_eq!(ping.wire_bytes, 6006);
    }

    #[test]
    fn a_trickle_is_looked_at_once() {
        // A line of 64 KiB, one byte at a time: quadratic scanning would take minutes under Miri and seconds here.
        let (mut parser, mut buf) = (Parser::new(), Vec::new());
        for _ in 0..LINE_MAX {
            buf.push(b'a');
            assert_eq!(parser.next(&buf, &Limits::default()), Ok(Step::NeedMore));
            assert_eq!(parser.scanned, buf.len());
        }
    }
}
