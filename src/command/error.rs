//! Every error text that goes to the wire, byte for byte as Redis has it. Handlers name a variant, never a text.

use crate::keyspace::{Held, WrongType};
use std::borrow::Cow;

/// What a command answers when it cannot do what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type.
    WrongType,
    /// The words of the command do not fit together.
    Syntax,
    /// Not a 64-bit integer.
    NotInteger,
    /// Not a float.
    NotFloat,
    /// Outside its range.
    OutOfRange,
    /// An integer that must not be negative.
    NotPositive,
    /// A timeout that is no number.
    TimeoutNotFloat,
    /// A timeout below zero.
    TimeoutNegative,
    /// A timeout too large.
    TimeoutRange,
    /// The key does not exist.
    NoSuchKey,
    /// The index is outside the list.
    IndexRange,
    /// A database number outside the range.
    DbIndex,
    /// Source and target are the same.
    SameObject,
    /// A float that became NaN or infinite.
    NanOrInfinity,
    /// The string would be longer than `proto-max-bulk-len`.
    StringTooLong,
    /// An integer that would overflow.
    Overflow,
    /// An expiry that makes no sense, with the command's name in lower case.
    InvalidExpire(&'static str),
    /// The wrong number of arguments, with the command's full name in lower case.
    Arity(Cow<'static, str>),
    /// No such subcommand of the command that was called by this name.
    UnknownSubcommand(Vec<u8>, Vec<u8>),
    /// A subcommand with arguments that it does not take, in the words that containers use.
    WrongSubcommand(Vec<u8>, &'static str),
    /// A frozen script holds what the command needs: the engine runs it again later, and no client sees this.
    Held,
    /// Out of memory.
    OutOfMemory,
    /// A text with its own code word, such as `NOAUTH Authentication required.`.
    Text(&'static str),
    /// The same, composed; code word first.
    Owned(Vec<u8>),
}

impl Error {
    /// The composed text, which begins with its code word.
    pub fn owned(text: impl Into<Vec<u8>>) -> Error {
        Error::Owned(text.into())
    }

    /// A text made of parts, some of which a client wrote: each ends at its first NUL byte, as in the original.
    pub fn of(parts: &[&[u8]]) -> Error {
        Error::Owned(parts.iter().flat_map(|part| part.split(|byte| *byte == 0).next()).flatten().copied().collect())
    }

    /// The bytes after the `-`, code word first.
    pub fn wire(&self) -> Cow<'_, [u8]> {
        let text: Cow<'static, str> = match self {
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
            Error::Syntax => "ERR syntax error".into(),
            Error::NotInteger => "ERR value is not an integer or out of range".into(),
            Error::NotFloat => "ERR value is not a valid float".into(),
            Error::OutOfRange => "ERR value is out of range".into(),
            Error::NotPositive => "ERR value is out of range, must be positive".into(),
            Error::TimeoutNotFloat => "ERR timeout is not a float or out of range".into(),
            Error::TimeoutNegative => "ERR timeout is negative".into(),
            Error::TimeoutRange => "ERR timeout is out of range".into(),
            Error::NoSuchKey => "ERR no such key".into(),
            Error::IndexRange => "ERR index out of range".into(),
            Error::DbIndex => "ERR DB index is out of range".into(),
            Error::SameObject => "ERR source and destination objects are the same".into(),
            Error::NanOrInfinity => "ERR increment would produce NaN or Infinity".into(),
            Error::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)".into(),
            Error::Overflow => "ERR increment or decrement would overflow".into(),
            Error::InvalidExpire(command) => format!("ERR invalid expire time in '{command}' command").into(),
            Error::Arity(command) => format!("ERR wrong number of arguments for '{command}' command").into(),
            Error::UnknownSubcommand(word, container) => {
                return Cow::Owned(subcommand("ERR unknown subcommand '", word, container));
            }
            Error::WrongSubcommand(word, container) => {
                let what = "ERR unknown subcommand or wrong number of arguments for '";
                return Cow::Owned(subcommand(what, word, container.as_bytes()));
            }
            Error::Held => "ERR a script holds the keys of this command".into(),
            Error::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.".into(),
            Error::Text(text) => (*text).into(),
            Error::Owned(text) => return Cow::Borrowed(text),
        };
        match text {
            Cow::Borrowed(t) => Cow::Borrowed(t.as_bytes()),
            Cow::Owned(t) => Cow::Owned(t.into_bytes()),
        }
    }
}

/// What is wrong with a subcommand, of which a client sees no more than its beginning.
fn subcommand(what: &str, word: &[u8], container: &[u8]) -> Vec<u8> {
    let word = until_nul(&word[..word.len().min(128)]);
    [what.as_bytes(), word, b"'. Try ", until_nul(container), b" HELP."].concat()
}

impl From<WrongType> for Error {
    fn from(_: WrongType) -> Error {
        Error::WrongType
    }
}

impl From<Held> for Error {
    fn from(_: Held) -> Error {
        Error::Held
    }
}

/// A word as Redis shows it within an error: what follows a NUL is lost.
pub fn until_nul(word: &[u8]) -> &[u8] {
    word.split(|b| *b == 0).next().unwrap_or_default()
}
