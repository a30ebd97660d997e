//! The id of an entry: `milliseconds-sequence`, ordered as one 128-bit number.

use crate::base::num;
use std::fmt;

/// The id of a stream's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix milliseconds, unless the client chose otherwise.
    pub ms: u64,
    /// Counts the entries of one millisecond.
    pub seq: u64,
}

/// An id of XADD: what the client left to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`: now.
    Auto,
    /// `ms-*`: the next of that millisecond.
    AutoSeq(u64),
    /// Exactly this one.
    Exact(StreamId),
}

/// Longer texts are no ids, whatever they hold.
const TEXT_MAX: usize = 127;

impl StreamId {
    /// `0-0`, which no entry can have.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The largest id.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The id with these two parts.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The id right behind this one; `None` behind the last.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// The id right before this one; `None` before the first.
    pub fn prev(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_sub(1).map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }

    /// Reads `ms` or `ms-seq`; a missing sequence is `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        let (ms, seq) = halves(text)?;
        let seq = seq.map_or(Some(missing_seq), num::parse_u64_loose)?;
        Some(StreamId { ms: num::parse_u64_loose(ms)?, seq })
    }

    /// Reads one end of a range: `-`, `+` or an id.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        match text {
            b"-" => Some(StreamId::MIN),
            b"+" => Some(StreamId::MAX),
            _ => StreamId::parse(text, missing_seq),
        }
    }

    /// Reads one end of a range that may be exclusive, `(ms-seq`; returns whether it is.
    pub fn parse_interval(text: &[u8], missing_seq: u64) -> Option<(StreamId, bool)> {
        match text {
            [b'(', rest @ ..] if !rest.is_empty() => Some((StreamId::parse(rest, missing_seq)?, true)),
            _ => Some((StreamId::parse_bound(text, missing_seq)?, false)),
        }
    }

    /// The text of this id, without an allocation.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; 41], len: 0 };
        text.push(itoa::Buffer::new().format(self.ms).as_bytes());
        text.push(b"-");
        text.push(itoa::Buffer::new().format(self.seq).as_bytes());
        text
    }

    /// The 16 bytes of this id as RDB files and radix trees hold it: both parts big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The id of such 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId { ms: (both >> 64) as u64, seq: both as u64 }
    }
}

/// The text of an id: two numbers of up to 20 digits and a dash.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; 41],
    len: usize,
}

impl IdText {
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl NewId {
    /// Reads `*`, `ms-*`, `ms` (sequence 0) or `ms-seq`.
    pub fn parse(text: &[u8]) -> Option<NewId> {
        if text == b"*" {
            return Some(NewId::Auto);
        }
        match halves(text)? {
            (ms, Some(b"*")) => num::parse_u64_loose(ms).map(NewId::AutoSeq),
            _ => StreamId::parse(text, 0).map(NewId::Exact),
        }
    }
}

/// The two sides of the first dash. A NUL byte ends the text, as it does in the original.
fn halves(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let text = text.split(|byte| *byte == 0).next()?;
    let mut halves = text.splitn(2, |byte| *byte == b'-');
    Some((halves.next()?, halves.next()))
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn ids_are_read_as_ms_and_seq() {
        let cases: [(&str, Option<StreamId>); 15] = [
            ("1-2", Some(id(1, 2))),
            ("1", Some(id(1, 99))),
            ("0-0", Some(id(0, 0))),
            ("18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            ("18446744073709551616-0", None),
            ("1-18446744073709551616", None),
            ("1-", None),
            ("-1", None),
            ("-", None),
            ("+", None),
            ("", None),
            ("1-2-3", None),
            ("a-1", None),
            ("1-*", None),
            ("*", None),
        ];
        for (text, want) in cases {
            assert_eq!(StreamId::parse(text.as_bytes(), 99), want, "{text}");
        }
        assert_eq!(StreamId::parse(&[b'0'; 128], 0), None);
    }

    #[test]
    fn bounds_may_be_open_or_infinite() {
        assert_eq!(StreamId::parse_bound(b"-", 5), Some(StreamId::MIN));
        assert_eq!(StreamId::parse_bound(b"+", 5), Some(StreamId::MAX));
        let cases = [
            ("-", Some((StreamId::MIN, false))),
            ("+", Some((StreamId::MAX, false))),
            ("(1-2", Some((id(1, 2), true))),
            ("(1", Some((id(1, 7), true))),
            ("1", Some((id(1, 7), false))),
            ("(", None),
            ("(-", None),
            ("(+", None),
            ("((1", None),
        ];
        for (text, want) in cases {
            assert_eq!(StreamId::parse_interval(text.as_bytes(), 7), want, "{text}");
        }
    }

    #[test]
    fn new_ids_may_leave_the_rest_to_the_server() {
        let cases = [
            ("*", Some(NewId::Auto)),
            ("5-*", Some(NewId::AutoSeq(5))),
            ("5", Some(NewId::Exact(id(5, 0)))),
            ("5-6", Some(NewId::Exact(id(5, 6)))),
            ("*-5", None),
            ("5-**", None),
            ("-*", None),
            ("+", None),
        ];
        for (text, want) in cases {
            assert_eq!(NewId::parse(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn neighbours_and_bytes() {
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(id(2, 0).prev(), Some(id(1, u64::MAX)));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.prev()), (None, None));
        assert_eq!(StreamId::from_bytes(id(7, 9).to_bytes()), id(7, 9));
        assert_eq!(id(1526919030474, 55).to_string(), "1526919030474-55");
        assert_eq!(StreamId::MAX.text().as_bytes(), b"18446744073709551615-18446744073709551615");
    }
}
