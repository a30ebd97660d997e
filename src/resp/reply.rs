//! The reply writer for RESP2 and RESP3.
//!
//! A [`Reply`] is what goes out on one connection: small parts are written one behind the other into one buffer, and
//! big strings are queued between them by reference, so that a value of megabytes is never copied. In order:
//!
//! ```text
//! own:    [ $5 hello :1 $100000\r\n | \r\n :2 ]
//! shared:                           ^ at 19: the 100000 bytes
//! ```
//!
//! The socket takes the parts in order as [`IoSlice`]s and reports what it took by [`Reply::advance`]. A [`Mark`] (a
//! place to cut back to, or an array whose length is not known yet) holds until the next `advance` or `clear`.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::base::num::F64Text;

/// Strings of this size and more are queued by reference.
pub const SHARED_MIN: usize = 16 * 1024;

/// An open array's header is put before at most this much by moving it; before more, as a part of its own.
const MOVED_MAX: usize = 4 * 1024;

/// The version of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// The protocol every client speaks until it says HELLO 3.
    #[default]
    Resp2,
    /// Maps, sets, doubles, booleans, nulls and pushes of their own type.
    Resp3,
}

impl Proto {
    /// 2 or 3.
    pub fn number(self) -> u8 {
        match self {
            Proto::Resp2 => 2,
            Proto::Resp3 => 3,
        }
    }
}

/// A place in a reply: see [`Reply::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Mark {
    own: usize,
    shared: usize,
}

/// Replies on their way to one client.
#[derive(Debug, Default)]
pub struct Reply {
    proto: Proto,
    own: Vec<u8>,
    /// How much of `own` is already sent.
    sent: usize,
    /// Big parts, each in front of the byte of `own` at its place; places never fall.
    shared: Vec<(usize, Bytes)>,
    /// How many of `shared` are already sent.
    shared_sent: usize,
    /// Bytes in `shared` not sent yet.
    shared_bytes: usize,
    /// See [`Reply::set_limit`].
    limit: usize,
}

impl Reply {
    /// An empty reply.
    pub fn new(proto: Proto) -> Self {
        Reply { proto, ..Reply::default() }
    }

    /// The protocol replies are written in.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the protocol of what is written from now on (HELLO).
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.own.extend_from_slice(b"+OK\r\n");
    }

    /// `+QUEUED`.
    pub fn queued(&mut self) {
        self.own.extend_from_slice(b"+QUEUED\r\n");
    }

    /// `+PONG`.
    pub fn pong(&mut self) {
        self.own.extend_from_slice(b"+PONG\r\n");
    }

    /// A status line; line breaks within become spaces.
    pub fn simple(&mut self, status: impl AsRef<[u8]>) {
        self.line(b'+', status.as_ref());
    }

    /// An error line, given with its code and without the dash (`ERR no such key`). Line breaks at the end are dropped,
    /// those within become spaces.
    pub fn error(&mut self, message: impl AsRef<[u8]>) {
        let message = message.as_ref();
        let end = message.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        self.line(b'-', &message[..end]);
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A string, copied.
    #[inline]
    pub fn bulk(&mut self, text: &[u8]) {
        self.own.reserve(text.len() + 32);
        self.header(b'$', text.len() as i64);
        self.own.extend_from_slice(text);
        self.own.extend_from_slice(b"\r\n");
    }

    /// A string, or null.
    #[inline]
    pub fn bulk_or_null(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.bulk(text),
            None => self.null(),
        }
    }

    /// A string that is the decimal of an integer.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A string held by reference: queued as it is from [`SHARED_MIN`] bytes on, copied below.
    pub fn bulk_shared(&mut self, text: &Bytes) {
        if text.len() < SHARED_MIN {
            return self.bulk(text);
        }
        self.header(b'$', text.len() as i64);
        self.raw_shared(text.clone());
        self.own.extend_from_slice(b"\r\n");
    }

    /// No value: the null string of RESP2, the null of RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.own.extend_from_slice(match self.proto {
            Proto::Resp2 => b"$-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// No array: the null array of RESP2, the null of RESP3.
    pub fn null_array(&mut self) {
        self.own.extend_from_slice(match self.proto {
            Proto::Resp2 => b"*-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array of `len` elements, which the caller writes next.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// The head of a map of `len` pairs; in RESP2 an array of twice as many elements.
    pub fn map(&mut self, len: usize) {
        self.aggregate(Aggregate::Map, len);
    }

    /// The head of a set of `len` members; in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(Aggregate::Set, len);
    }

    /// The head of a push (a message nobody asked for) of `len` elements; in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.aggregate(Aggregate::Push, len);
    }

    /// The head of an attribute of `len` pairs in front of the reply proper. RESP3 only.
    pub fn attribute(&mut self, len: usize) {
        debug_assert_eq!(self.proto, Proto::Resp3, "RESP2 has no attributes");
        self.header(b'|', len as i64);
    }

    /// A double; in RESP2 a string.
    pub fn double(&mut self, value: f64) {
        let text = F64Text::new(value);
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A truth value; in RESP2 the integer 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.own.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
        });
    }

    /// An integer of any size, given by its digits; in RESP2 a string.
    pub fn bignum(&mut self, digits: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits),
            Proto::Resp3 => self.line(b'(', digits),
        }
    }

    /// A text meant for people with its format (`txt`, `mkd`); in RESP2 a string.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if self.proto == Proto::Resp2 {
            return self.bulk(text);
        }
        self.header(b'=', text.len() as i64 + 4);
        self.own.extend_from_slice(format);
        self.own.push(b':');
        self.own.extend_from_slice(text);
        self.own.extend_from_slice(b"\r\n");
    }

    /// Bytes that are already in the protocol.
    pub fn raw(&mut self, wire: &[u8]) {
        self.own.extend_from_slice(wire);
    }

    /// Bytes that are already in the protocol, by reference whatever their size.
    pub fn raw_shared(&mut self, wire: Bytes) {
        if !wire.is_empty() {
            self.shared_bytes += wire.len();
            self.shared.push((self.own.len(), wire));
        }
    }

    /// Another reply's unsent parts behind this one's; the other is left empty.
    pub fn append(&mut self, other: &mut Reply) {
        let offset = self.own.len() as isize - other.sent as isize;
        self.own.extend_from_slice(&other.own[other.sent..]);
        let parts = other.shared.drain(..).skip(other.shared_sent);
        self.shared.extend(parts.map(|(at, part)| ((at as isize + offset) as usize, part)));
        self.shared_bytes += other.shared_bytes;
        other.clear();
    }

    /// Opens an array whose length [`Reply::end_array`] will tell.
    pub fn begin_array(&mut self) -> Mark {
        self.mark()
    }

    /// Closes an array opened by [`Reply::begin_array`].
    pub fn end_array(&mut self, mark: Mark, len: usize) {
        self.insert_header(mark, b'*', len);
    }

    /// Closes a map of `len` pairs opened by [`Reply::begin_array`].
    pub fn end_map(&mut self, mark: Mark, len: usize) {
        let (kind, len) = Aggregate::Map.head(self.proto, len);
        self.insert_header(mark, kind, len);
    }

    /// Closes a set opened by [`Reply::begin_array`].
    pub fn end_set(&mut self, mark: Mark, len: usize) {
        let (kind, len) = Aggregate::Set.head(self.proto, len);
        self.insert_header(mark, kind, len);
    }

    /// Closes a push opened by [`Reply::begin_array`].
    pub fn end_push(&mut self, mark: Mark, len: usize) {
        let (kind, len) = Aggregate::Push.head(self.proto, len);
        self.insert_header(mark, kind, len);
    }

    /// Here and now: what is written later can be cut off again.
    pub fn mark(&self) -> Mark {
        Mark { own: self.own.len(), shared: self.shared.len() }
    }

    /// Has nothing been written since the mark?
    pub fn is_at(&self, mark: Mark) -> bool {
        self.mark() == mark
    }

    /// Cuts off everything written since the mark.
    pub fn truncate(&mut self, mark: Mark) {
        self.own.truncate(mark.own);
        self.shared_bytes -= self.shared[mark.shared..].iter().map(|(_, part)| part.len()).sum::<usize>();
        self.shared.truncate(mark.shared);
    }

    /// A copy of everything written since the mark, in one piece.
    pub fn since(&self, mark: Mark) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.own.len() - mark.own);
        let mut from = mark.own;
        for (at, part) in &self.shared[mark.shared..] {
            out.extend_from_slice(&self.own[from..*at]);
            out.extend_from_slice(part);
            from = *at;
        }
        out.extend_from_slice(&self.own[from..]);
        out
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.own.len() - self.sent + self.shared_bytes
    }

    /// From how many bytes on the client will be closed for it; 0: never.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Whether whoever waits for this reply will be closed for its size: there is no use in going on with it.
    #[inline]
    pub fn is_too_long(&self) -> bool {
        self.limit != 0 && self.len() > self.limit
    }

    /// Is nothing left to send?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held for waiting replies, room of the own buffer included.
    pub fn memory_bytes(&self) -> usize {
        self.own.capacity() + self.shared_bytes + self.shared.capacity() * size_of::<(usize, Bytes)>()
    }

    /// Forgets everything; keeps the room.
    pub fn clear(&mut self) {
        self.own.clear();
        self.sent = 0;
        self.shared.clear();
        self.shared_sent = 0;
        self.shared_bytes = 0;
    }

    /// Gives back room beyond `keep` bytes once everything is sent.
    pub fn shrink(&mut self, keep: usize) {
        if self.is_empty() {
            self.clear();
            self.own.shrink_to(keep);
            self.shared.shrink_to(0);
        }
    }

    /// All that waits as one slice, if no part is shared: what a plain `write` takes.
    #[inline]
    pub fn single(&self) -> Option<&[u8]> {
        (self.shared_bytes == 0).then(|| &self.own[self.sent..])
    }

    /// All that waits as one slice; shared parts are copied for it.
    pub fn one_piece(&mut self) -> &[u8] {
        if self.shared_bytes > 0 {
            self.own = self.take();
        }
        &self.own[self.sent..]
    }

    /// Puts the parts that wait, in order, into `slices`; returns how many it filled.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, part) in slices.iter_mut().zip(self.parts()) {
            *slot = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    /// The parts that wait, in order, none of them empty.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.sent;
        let waiting = &self.shared[self.shared_sent..];
        let before = waiting.iter().flat_map(move |(at, part)| {
            let own = &self.own[from..*at];
            from = *at;
            [own, &part[..]]
        });
        let tail_from = waiting.last().map_or(self.sent, |(at, _)| *at);
        before.chain([&self.own[tail_from..]]).filter(|part| !part.is_empty())
    }

    /// Notes that the first `count` waiting bytes are sent.
    pub fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.len(), "more sent than there was");
        while let Some((at, part)) = self.shared.get_mut(self.shared_sent) {
            let own = (*at - self.sent).min(count);
            self.sent += own;
            count -= own;
            if self.sent < *at || count < part.len() {
                let taken = if self.sent < *at { 0 } else { count };
                part.advance(taken);
                self.shared_bytes -= taken;
                return;
            }
            count -= part.len();
            self.shared_bytes -= part.len();
            *part = Bytes::new();
            self.shared_sent += 1;
        }
        self.sent += count;
        if self.sent == self.own.len() {
            self.clear();
        } else {
            self.compact();
        }
    }

    /// Everything that waits, in one piece; the reply is left empty. For tests and small replies.
    pub fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        for part in self.parts() {
            out.extend_from_slice(part);
        }
        self.clear();
        out
    }

    /// Moves what waits to the front when more than half of a large buffer is sent, so that a slow reader's buffer does
    /// not only grow. Nothing shared waits when this is called.
    fn compact(&mut self) {
        if self.sent > SHARED_MIN && self.sent > self.own.len() / 2 {
            self.own.drain(..self.sent);
            self.sent = 0;
            self.shared.clear();
            self.shared_sent = 0;
        }
    }

    fn aggregate(&mut self, kind: Aggregate, len: usize) {
        let (kind, len) = kind.head(self.proto, len);
        self.header(kind, len as i64);
    }

    /// A type byte, a number and a line break. Small numbers are one store each.
    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        let digit = |value: u32| b'0' + value as u8;
        let value = match u32::try_from(value) {
            Ok(value @ 0..=999) => value,
            _ => return self.line(kind, itoa::Buffer::new().format(value).as_bytes()),
        };
        let (high, low) = (value / 100, value % 100);
        let (line, len) = match value {
            0..=9 => ([kind, digit(value), b'\r', b'\n', 0, 0, 0, 0], 4),
            10..=99 => ([kind, digit(value / 10), digit(value % 10), b'\r', b'\n', 0, 0, 0], 5),
            _ => ([kind, digit(high), digit(low / 10), digit(low % 10), b'\r', b'\n', 0, 0], 6),
        };
        // All eight bytes are written and the last ones taken back: one store.
        let end = self.own.len() + len;
        self.own.extend_from_slice(&line);
        self.own.truncate(end);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.own.reserve(text.len() + 3);
        self.own.push(kind);
        let start = self.own.len();
        self.own.extend_from_slice(text);
        if memchr::memchr2(b'\r', b'\n', text).is_some() {
            for byte in &mut self.own[start..] {
                if matches!(*byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
        self.own.extend_from_slice(b"\r\n");
    }

    /// Puts a header in front of everything written since the mark.
    fn insert_header(&mut self, mark: Mark, kind: u8, len: usize) {
        let mut head = Reply::new(self.proto);
        head.header(kind, len as i64);
        if self.own.len() - mark.own > MOVED_MAX {
            self.shared_bytes += head.own.len();
            self.shared.insert(mark.shared, (mark.own, Bytes::from(head.own)));
            return;
        }
        let width = head.own.len();
        self.own.splice(mark.own..mark.own, head.own);
        for (at, _) in &mut self.shared[mark.shared..] {
            *at += width;
        }
    }
}

/// Kinds of aggregates RESP2 shows as plain arrays.
#[derive(Clone, Copy)]
enum Aggregate {
    Map,
    Set,
    Push,
}

impl Aggregate {
    fn head(self, proto: Proto, len: usize) -> (u8, usize) {
        match (proto, self) {
            (Proto::Resp3, Aggregate::Map) => (b'%', len),
            (Proto::Resp3, Aggregate::Set) => (b'~', len),
            (Proto::Resp3, Aggregate::Push) => (b'>', len),
            (Proto::Resp2, Aggregate::Map) => (b'*', len * 2),
            (Proto::Resp2, Aggregate::Set | Aggregate::Push) => (b'*', len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Writes with `write` in both protocols and shows the two results.
    fn both(write: impl Fn(&mut Reply)) -> [String; 2] {
        [Proto::Resp2, Proto::Resp3].map(|proto| {
            let mut reply = Reply::new(proto);
            write(&mut reply);
            String::from_utf8(reply.take()).expect("text")
        })
    }

    #[test]
    fn every_type_in_both_protocols() {
        let cases: Vec<([String; 2], &str, &str)> = vec![
            (both(|r| r.ok()), "+OK\r\n", "+OK\r\n"),
            (both(|r| r.simple("a\r\nb")), "+a  b\r\n", "+a  b\r\n"),
            (both(|r| r.error("ERR a\nb\r\n")), "-ERR a b\r\n", "-ERR a b\r\n"),
            (both(|r| r.int(-5)), ":-5\r\n", ":-5\r\n"),
            (both(|r| r.int(7)), ":7\r\n", ":7\r\n"),
            (both(|r| r.int(42)), ":42\r\n", ":42\r\n"),
            (both(|r| r.int(678)), ":678\r\n", ":678\r\n"),
            (both(|r| r.int(i64::MIN)), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (both(|r| r.bulk(b"hello")), "$5\r\nhello\r\n", "$5\r\nhello\r\n"),
            (both(|r| r.bulk(b"")), "$0\r\n\r\n", "$0\r\n\r\n"),
            (both(|r| r.bulk_int(1234)), "$4\r\n1234\r\n", "$4\r\n1234\r\n"),
            (both(|r| r.null()), "$-1\r\n", "_\r\n"),
            (both(|r| r.null_array()), "*-1\r\n", "_\r\n"),
            (both(|r| r.array(1000)), "*1000\r\n", "*1000\r\n"),
            (both(|r| r.map(3)), "*6\r\n", "%3\r\n"),
            (both(|r| r.set(3)), "*3\r\n", "~3\r\n"),
            (both(|r| r.push(3)), "*3\r\n", ">3\r\n"),
            (both(|r| r.double(1.5)), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (both(|r| r.double(f64::INFINITY)), "$3\r\ninf\r\n", ",inf\r\n"),
            (both(|r| r.bool(true)), ":1\r\n", "#t\r\n"),
            (both(|r| r.bignum(b"123")), "$3\r\n123\r\n", "(123\r\n"),
            (both(|r| r.verbatim(b"txt", b"hi")), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (got, resp2, resp3) in cases {
            assert_eq!(got, [resp2, resp3]);
        }
    }

    #[test]
    fn lengths_told_late_stand_in_front() {
        for filler in [0, 10, MOVED_MAX + 1] {
            let [got, _] = both(|r| {
                r.int(1);
                let outer = r.begin_array();
                r.bulk(&vec![b'x'; filler]);
                let inner = r.begin_array();
                r.bulk_shared(&Bytes::from(vec![b'y'; SHARED_MIN]));
                r.end_map(inner, 1);
                r.end_array(outer, 2);
            });
            let (x, y) = ("x".repeat(filler), "y".repeat(SHARED_MIN));
            assert_eq!(got, format!(":1\r\n*2\r\n${filler}\r\n{x}\r\n*2\r\n$16384\r\n{y}\r\n"));
        }
    }

    #[test]
    fn a_mark_cuts_back() {
        let mut reply = Reply::new(Proto::Resp2);
        reply.ok();
        let mark = reply.mark();
        reply.bulk_shared(&Bytes::from(vec![b'y'; SHARED_MIN]));
        assert_eq!(reply.since(mark).len(), SHARED_MIN + 10);
        assert!(!reply.is_at(mark));
        reply.truncate(mark);
        assert!(reply.is_at(mark));
        assert_eq!(reply.take(), b"+OK\r\n");
    }

    /// Random writes, taken in random steps, against one plain buffer.
    #[test]
    fn parts_leave_in_order_whatever_the_socket_takes() {
        let seed = 99;
        let mut rng = Rng::from_seed(seed);
        let (mut reply, mut model, mut got) = (Reply::new(Proto::Resp2), Vec::new(), Vec::new());
        for _ in 0..3000 {
            let mut piece = Reply::new(Proto::Resp2);
            let mark = piece.begin_array();
            match rng.below(4) {
                0 => piece.int(rng.next_u64() as i64),
                1 => piece.bulk(&vec![b'a'; rng.index(6000)]),
                2 => piece.bulk_shared(&Bytes::from(vec![b'b'; rng.index(3 * SHARED_MIN)])),
                _ => piece.ok(),
            }
            piece.end_array(mark, 1);
            model.extend_from_slice(&piece.since(mark));
            reply.append(&mut piece);
            assert!(piece.is_empty());
            if rng.below(2) == 0 {
                let mut slices = [IoSlice::new(&[]); 4];
                let filled = reply.io_slices(&mut slices);
                let offered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = rng.index(offered.len() + 1);
                got.extend_from_slice(&offered[..taken]);
                reply.advance(taken);
            }
            assert_eq!(reply.len(), model.len() - got.len(), "seed {seed}");
        }
        got.extend_from_slice(&reply.take());
        assert!(got == model, "seed {seed}");
        assert_eq!((reply.len(), reply.single()), (0, Some(&b""[..])));
    }
}
