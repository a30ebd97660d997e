//! An owned reply tree, for scripts and tests.
//!
//! [`RespValue::parse`] reads one reply of either protocol from the front of a buffer; [`RespValue::write`] writes it
//! again, in RESP2 with the same flattening as [`Reply`] itself. Nesting is limited, so that foreign bytes cannot exhaust
//! the stack.

use crate::base::num::{F64Text, parse_f64, parse_i64};
use crate::resp::reply::{Proto, Reply};

/// How deep replies may nest.
const DEPTH_MAX: usize = 128;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub enum RespValue {
    /// `+OK`: a status line.
    Simple(Vec<u8>),
    /// `-ERR ..`: an error line without the dash.
    Error(Vec<u8>),
    /// `:1`.
    Int(i64),
    /// `$..`: a string.
    Bulk(Vec<u8>),
    /// `$-1`: no string (RESP2).
    NullBulk,
    /// `*-1`: no array (RESP2).
    NullArray,
    /// `_`: nothing (RESP3).
    Null,
    /// `*..`.
    Array(Vec<RespValue>),
    /// `%..`: pairs in their order.
    Map(Vec<(RespValue, RespValue)>),
    /// `~..`.
    Set(Vec<RespValue>),
    /// `>..`: a message nobody asked for.
    Push(Vec<RespValue>),
    /// `,1.5`.
    Double(f64),
    /// `#t`, `#f`.
    Bool(bool),
    /// `(123`: digits with an optional sign.
    BigNumber(Vec<u8>),
    /// `=..`: a text with its three-letter format.
    Verbatim([u8; 3], Vec<u8>),
    /// `|..`: pairs about the reply that follows, and that reply.
    Attribute(Vec<(RespValue, RespValue)>, Box<RespValue>),
}

/// The bytes are not a reply: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The first byte is none of the types.
    UnknownType(u8),
    /// A length or number does not read as one.
    BadNumber,
    /// A string does not end with a line break, or a boolean or verbatim text is not one.
    BadForm,
    /// Nested deeper than 128 levels.
    TooDeep,
}

impl std::fmt::Display for ReplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplyError::UnknownType(byte) => write!(f, "unknown reply type {:?}", *byte as char),
            ReplyError::BadNumber => f.write_str("malformed number in reply"),
            ReplyError::BadForm => f.write_str("malformed reply"),
            ReplyError::TooDeep => f.write_str("reply nested too deep"),
        }
    }
}

impl std::error::Error for ReplyError {}

impl RespValue {
    /// Reads the reply at the front of `wire`: it and its length, or nothing if more bytes are needed.
    pub fn parse(wire: &[u8]) -> Result<Option<(RespValue, usize)>, ReplyError> {
        let mut reader = Reader { wire, at: 0 };
        match reader.value(0) {
            Ok(value) => Ok(Some((value, reader.at))),
            Err(Stop::NeedMore) => Ok(None),
            Err(Stop::Bad(error)) => Err(error),
        }
    }

    /// Writes the reply in the protocol of `reply`.
    pub fn write(&self, reply: &mut Reply) {
        match self {
            RespValue::Simple(text) => reply.simple(text),
            RespValue::Error(text) => reply.error(text),
            RespValue::Int(value) => reply.int(*value),
            RespValue::Bulk(text) => reply.bulk(text),
            RespValue::NullBulk | RespValue::Null => reply.null(),
            RespValue::NullArray => reply.null_array(),
            RespValue::Array(items) => {
                reply.array(items.len());
                write_all(items, reply);
            }
            RespValue::Set(items) => {
                reply.set(items.len());
                write_all(items, reply);
            }
            RespValue::Push(items) => {
                reply.push(items.len());
                write_all(items, reply);
            }
            RespValue::Map(pairs) => {
                reply.map(pairs.len());
                write_pairs(pairs, reply);
            }
            RespValue::Double(value) => reply.double(*value),
            RespValue::Bool(value) => reply.bool(*value),
            RespValue::BigNumber(digits) => reply.bignum(digits),
            RespValue::Verbatim(format, text) => reply.verbatim(format, text),
            RespValue::Attribute(pairs, value) => {
                if reply.proto() == Proto::Resp3 {
                    reply.attribute(pairs.len());
                    write_pairs(pairs, reply);
                }
                value.write(reply);
            }
        }
    }

    /// Is it an error?
    pub fn is_error(&self) -> bool {
        matches!(self, RespValue::Error(_))
    }

    /// Is it one of the three nulls?
    pub fn is_null(&self) -> bool {
        matches!(self, RespValue::NullBulk | RespValue::NullArray | RespValue::Null)
    }

    /// The text of a status, string, verbatim text or big number.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            RespValue::Simple(text)
            | RespValue::Bulk(text)
            | RespValue::Verbatim(_, text)
            | RespValue::BigNumber(text) => Some(text),
            _ => None,
        }
    }

    /// The integer.
    pub fn int(&self) -> Option<i64> {
        match self {
            RespValue::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn items(&self) -> Option<&[RespValue]> {
        match self {
            RespValue::Array(items) | RespValue::Set(items) | RespValue::Push(items) => Some(items),
            _ => None,
        }
    }
}

/// As redis-cli would show it on one line; for messages of failed tests.
impl std::fmt::Display for RespValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RespValue::Simple(text) => f.write_str(&String::from_utf8_lossy(text)),
            RespValue::Error(text) => write!(f, "(error) {}", String::from_utf8_lossy(text)),
            RespValue::Int(value) => write!(f, "(integer) {value}"),
            RespValue::Bulk(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            RespValue::NullBulk | RespValue::Null => f.write_str("(nil)"),
            RespValue::NullArray => f.write_str("(nil array)"),
            RespValue::Array(items) => show_all(f, "[", items, "]"),
            RespValue::Set(items) => show_all(f, "~[", items, "]"),
            RespValue::Push(items) => show_all(f, ">[", items, "]"),
            RespValue::Map(pairs) => show_pairs(f, pairs),
            RespValue::Double(value) => {
                write!(f, "(double) {}", String::from_utf8_lossy(F64Text::new(*value).as_bytes()))
            }
            RespValue::Bool(value) => write!(f, "({value})"),
            RespValue::BigNumber(digits) => write!(f, "(big number) {}", String::from_utf8_lossy(digits)),
            RespValue::Verbatim(_, text) => write!(f, "(verbatim) {:?}", String::from_utf8_lossy(text)),
            RespValue::Attribute(pairs, value) => {
                f.write_str("|")?;
                show_pairs(f, pairs)?;
                write!(f, " {value}")
            }
        }
    }
}

fn show_all(f: &mut std::fmt::Formatter<'_>, open: &str, items: &[RespValue], close: &str) -> std::fmt::Result {
    f.write_str(open)?;
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str(close)
}

fn show_pairs(f: &mut std::fmt::Formatter<'_>, pairs: &[(RespValue, RespValue)]) -> std::fmt::Result {
    f.write_str("{")?;
    for (at, (name, value)) in pairs.iter().enumerate() {
        write!(f, "{}{name}: {value}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str("}")
}

fn write_all(items: &[RespValue], reply: &mut Reply) {
    for item in items {
        item.write(reply);
    }
}

fn write_pairs(pairs: &[(RespValue, RespValue)], reply: &mut Reply) {
    for (name, value) in pairs {
        name.write(reply);
        value.write(reply);
    }
}

struct Reader<'a> {
    wire: &'a [u8],
    at: usize,
}

/// Why reading ended before a whole reply.
enum Stop {
    NeedMore,
    Bad(ReplyError),
}

impl From<ReplyError> for Stop {
    fn from(error: ReplyError) -> Self {
        Stop::Bad(error)
    }
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<RespValue, Stop> {
        if depth > DEPTH_MAX {
            return Err(ReplyError::TooDeep.into());
        }
        let line = self.line()?;
        let (Some(kind), body) = (line.first(), line.get(1..).unwrap_or_default()) else {
            return Err(ReplyError::BadForm.into());
        };
        Ok(match kind {
            b'+' => RespValue::Simple(body.to_vec()),
            b'-' => RespValue::Error(body.to_vec()),
            b':' => RespValue::Int(number(body)?),
            b'(' => RespValue::BigNumber(body.to_vec()),
            b',' => RespValue::Double(double(body)?),
            b'_' => RespValue::Null,
            b'#' => match body {
                b"t" => RespValue::Bool(true),
                b"f" => RespValue::Bool(false),
                _ => return Err(ReplyError::BadForm.into()),
            },
            b'$' if body == b"-1" => RespValue::NullBulk,
            b'$' => RespValue::Bulk(self.string(body)?.to_vec()),
            b'=' => self.verbatim(body)?,
            b'*' if body == b"-1" => RespValue::NullArray,
            b'*' => RespValue::Array(self.items(body, depth)?),
            b'~' => RespValue::Set(self.items(body, depth)?),
            b'>' => RespValue::Push(self.items(body, depth)?),
            b'%' => RespValue::Map(self.pairs(body, depth)?),
            b'|' => {
                let pairs = self.pairs(body, depth)?;
                RespValue::Attribute(pairs, Box::new(self.value(depth + 1)?))
            }
            other => return Err(ReplyError::UnknownType(*other).into()),
        })
    }

    /// The next line without its break.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.wire[self.at..];
        let end = memchr::memchr(b'\n', rest).ok_or(Stop::NeedMore)?;
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").ok_or(Stop::Bad(ReplyError::BadForm))
    }

    fn string(&mut self, length: &[u8]) -> Result<&'a [u8], Stop> {
        let len = count(length)?;
        let rest = &self.wire[self.at..];
        let end = len.checked_add(2).ok_or(ReplyError::BadNumber)?;
        let text = rest.get(..end).ok_or(Stop::NeedMore)?.strip_suffix(b"\r\n").ok_or(ReplyError::BadForm)?;
        self.at += end;
        Ok(text)
    }

    fn verbatim(&mut self, length: &[u8]) -> Result<RespValue, Stop> {
        match self.string(length)? {
            [a, b, c, b':', text @ ..] => Ok(RespValue::Verbatim([*a, *b, *c], text.to_vec())),
            _ => Err(ReplyError::BadForm.into()),
        }
    }

    fn items(&mut self, length: &[u8], depth: usize) -> Result<Vec<RespValue>, Stop> {
        (0..count(length)?).map(|_| self.value(depth + 1)).collect()
    }

    fn pairs(&mut self, length: &[u8], depth: usize) -> Result<Vec<(RespValue, RespValue)>, Stop> {
        (0..count(length)?).map(|_| Ok((self.value(depth + 1)?, self.value(depth + 1)?))).collect()
    }
}

fn number(text: &[u8]) -> Result<i64, ReplyError> {
    parse_i64(text).ok_or(ReplyError::BadNumber)
}

fn count(text: &[u8]) -> Result<usize, ReplyError> {
    usize::try_from(number(text)?).map_err(|_| ReplyError::BadNumber)
}

fn double(text: &[u8]) -> Result<f64, ReplyError> {
    match text {
        b"nan" | b"-nan" => Ok(f64::NAN),
        _ => parse_f64(text).ok_or(ReplyError::BadNumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESP3: &[u8] =
        b"*11\r\n+OK\r\n-ERR no\r\n:-7\r\n$2\r\nhi\r\n_\r\n%1\r\n+a\r\n:1\r\n~1\r\n#t\r\n>1\r\n,1.5\r\n\
        (123456789012345678901234567890\r\n=6\r\ntxt:hi\r\n|1\r\n+x\r\n#f\r\n:2\r\n";

    #[test]
    fn every_type_is_read_and_written_back() {
        let (value, len) = RespValue::parse(RESP3).expect("well formed").expect("whole");
        assert_eq!(len, RESP3.len());
        let mut reply = Reply::new(Proto::Resp3);
        value.write(&mut reply);
        assert_eq!(String::from_utf8_lossy(&reply.take()), String::from_utf8_lossy(RESP3));
        let mut reply = Reply::new(Proto::Resp2);
        value.write(&mut reply);
        let want = "*11\r\n+OK\r\n-ERR no\r\n:-7\r\n$2\r\nhi\r\n$-1\r\n*2\r\n+a\r\n:1\r\n*1\r\n:1\r\n*1\r\n$3\r\n1.5\r\n\
            $30\r\n123456789012345678901234567890\r\n$2\r\nhi\r\n:2\r\n";
        assert_eq!(String::from_utf8_lossy(&reply.take()), want);
    }

    #[test]
    fn every_prefix_asks_for_more() {
        for cut in 0..RESP3.len() {
            assert_eq!(RespValue::parse(&RESP3[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn malformed_replies_are_named() {
        for (wire, want) in [
            (&b"?\r\n"[..], ReplyError::UnknownType(b'?')),
            (b":x\r\n", ReplyError::BadNumber),
            (b"$-2\r\n", ReplyError::BadNumber),
            (b"$1\r\nab\r\n", ReplyError::BadForm),
            (b"+a\n", ReplyError::BadForm),
            (b"\r\n", ReplyError::BadForm),
            (b"#x\r\n", ReplyError::BadForm),
        ] {
            assert_eq!(RespValue::parse(wire), Err(want), "{:?}", String::from_utf8_lossy(wire));
        }
        assert_eq!(RespValue::parse(&b"*1\r\n".repeat(DEPTH_MAX + 2)), Err(ReplyError::TooDeep));
    }

    #[test]
    fn replies_show_on_one_line() {
        let (value, _) =
            RespValue::parse(b"*3\r\n$1\r\na\r\n$-1\r\n%1\r\n+k\r\n,2\r\n").expect("well formed").expect("whole");
        assert_eq!(value.to_string(), "[\"a\", (nil), {k: (double) 2}]");
    }
}
