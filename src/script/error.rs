//! How natives written in Rust raise errors a script can catch, and how an error that ends a script becomes a reply.
//!
//! mlua carries a Rust error through Lua as an opaque userdata. Scripts must never see one: they match on error texts
//! and index error tables. So natives return a [`Raised`] with what a native of Redis would have thrown, and every
//! place of `prelude.lua` that catches errors (pcall, xpcall, coroutine.resume, load) turns it back with [`unwrap`].
//! A kill is a `Raised` too; those places throw it again, so that no script can swallow it.

use std::cell::RefCell;
use std::fmt;

use mlua::{Error, Lua, Table, Value};
use smallvec::SmallVec;

use super::stack::Stack;
use crate::base::bytes::plain_line;
use crate::resp::reply::Reply;

/// What a native throws.
pub(super) enum Raised {
    /// A string, complete with its position.
    Text(Vec<u8>),
    /// An error table `{err = text}`.
    Reply {
        /// `CODE text`, without the minus.
        err: Vec<u8>,
        /// Statistics have counted this error already.
        counted: bool,
    },
    /// Any value a script threw through a native; taken once, to give its slot back at once.
    Value(RefCell<Option<Value>>),
    /// The script was killed.
    Kill,
}

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raised::Text(text) | Raised::Reply { err: text, .. } => f.write_str(&String::from_utf8_lossy(text)),
            Raised::Value(_) => f.write_str("a value thrown by a script"),
            Raised::Kill => f.write_str("script killed"),
        }
    }
}

impl std::error::Error for Raised {}

impl From<Raised> for Error {
    fn from(raised: Raised) -> Error {
        Error::external(raised)
    }
}

/// Raises `text` as a plain string without position.
pub(super) fn plain(text: impl Into<Vec<u8>>) -> Error {
    Raised::Text(text.into()).into()
}

/// Raises `{err = "ERR text"}`.
pub(super) fn reply(text: &str) -> Error {
    Raised::Reply { err: format!("ERR {text}").into_bytes(), counted: false }.into()
}

/// Raises `text` behind the position of the Lua code that called the running native.
pub(super) fn at_caller(lua: &Lua, text: impl AsRef<[u8]>) -> Error {
    let mut message = position(lua, 1).into_bytes();
    message.extend_from_slice(text.as_ref());
    plain(message)
}

/// Raises "bad argument #n to 'name' (..)" with the name the running native was called by. `index` counts from 1.
pub(super) fn bad_argument(lua: &Lua, index: usize, why: &str) -> Error {
    let (name, method) = lua
        .inspect_stack(0, |frame| {
            let names = frame.names();
            (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
        })
        .unwrap_or((None, false));
    let name = name.unwrap_or_else(|| "?".to_owned());
    let text = match index - usize::from(method && index > 0) {
        0 if method => format!("calling '{name}' on bad self ({why})"),
        index => format!("bad argument #{index} to '{name}' ({why})"),
    };
    at_caller(lua, text)
}

/// `chunk:line: ` of the function at `level` (0 is the running native), empty for natives.
fn position(lua: &Lua, level: usize) -> String {
    let found = lua.inspect_stack(level, |frame| {
        let line = frame.current_line()?;
        Some(format!("{}:{line}: ", frame.source().short_src.unwrap_or_default()))
    });
    found.flatten().unwrap_or_default()
}

/// The [`Raised`] inside an error that went through Lua, if that is what it is.
fn raised(error: &Error) -> Option<&Raised> {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => raised(cause),
        Error::ExternalError(inner) => inner.downcast_ref::<Raised>(),
        _ => None,
    }
}

/// Turns an error as Lua carries it into the value a script should see. `Err` when it may see none: a kill.
pub(super) fn unwrap(lua: &Lua, error: Value) -> mlua::Result<Value> {
    let Value::Error(error) = error else { return Ok(error) };
    match raised(&error) {
        Some(Raised::Kill) => Err(Raised::Kill.into()),
        Some(Raised::Text(text)) => Ok(Value::String(lua.create_string(text)?)),
        Some(Raised::Reply { err, counted }) => Ok(Value::Table(error_table(lua, err, *counted)?)),
        Some(Raised::Value(slot)) => Ok(slot.borrow_mut().take().unwrap_or(Value::Nil)),
        None => Ok(Value::String(lua.create_string(plain_text(&error))?)),
    }
}

/// The text of an error mlua itself made, as Lua would have said it.
pub(super) fn plain_text(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => plain_text(cause),
        Error::RuntimeError(text) | Error::MemoryError(text) => {
            text.split_once("\nstack traceback:").map_or(text.as_str(), |(text, _)| text).to_owned()
        }
        Error::SyntaxError { message, .. } => message.clone(),
        Error::StackError => "stack overflow".to_owned(),
        other => other.to_string(),
    }
}

/// `{err = text}`, marked when statistics have counted it.
pub(super) fn error_table(lua: &Lua, err: &[u8], counted: bool) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 1 + usize::from(counted))?;
    table.raw_set("err", lua.create_string(err)?)?;
    if counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// Pushes the same.
pub(super) fn push_error_table(stack: Stack, err: &[u8], counted: bool) {
    stack.push_table(0, 1 + usize::from(counted));
    stack.push_text(b"err");
    stack.push_text(err);
    stack.set_pair();
    if counted {
        stack.push_text(b"ignore_error_stats_update");
        stack.push_boolean(true);
        stack.set_pair();
    }
}

/// The bytes up to the first NUL: what is left of a Lua string where Redis treats it as a C string.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

/// Splits a text in either form Redis accepts, `-CODE text` or `text`, into the one it stores: `CODE text`.
pub(super) fn with_code(text: &[u8]) -> Vec<u8> {
    let (code, rest): (&[u8], &[u8]) = match text.strip_prefix(b"-") {
        None => (b"ERR", text),
        Some(rest) => match memchr::memchr(b' ', rest) {
            None => (b"ERR", rest),
            Some(space) => (&rest[..space], &rest[space + 1..]),
        },
    };
    let mut out = Vec::with_capacity(code.len() + 1 + rest.len());
    out.extend_from_slice(code);
    out.push(b' ');
    out.extend_from_slice(trim_newlines(rest));
    out
}

fn trim_newlines(mut text: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

/// The error that ended a script.
#[derive(Debug, Default)]
pub(super) struct Fatal {
    /// `CODE text`.
    pub text: Vec<u8>,
    /// Chunk and line of the Lua code that failed, if known.
    pub place: Option<(String, i64)>,
    /// Statistics have counted this error already.
    pub counted: bool,
}

/// The chunk name of the prelude; its frames are not the script's.
pub(super) const PRELUDE: &str = "=(sandbox)";

/// The message handler of the outermost call: turns what was raised into the error table Redis makes of it, with the
/// place added while the stack still stands. Level 1 is what raised.
pub(super) fn handle(lua: &Lua, error: Value) -> mlua::Result<Table> {
    let place = failing_place(lua);
    let table = match unwrap(lua, error)? {
        Value::Table(table) => table,
        other => error_table(lua, &[b"ERR ", message(lua, other, &place)?.as_slice()].concat(), false)?,
    };
    if let Some((source, line)) = place {
        table.raw_set("source", source)?;
        table.raw_set("line", line)?;
    }
    Ok(table)
}

/// The text of a thrown value. Errors of natives the prelude calls name the prelude: they get the script's position.
fn message(lua: &Lua, thrown: Value, place: &Option<(String, i64)>) -> mlua::Result<Vec<u8>> {
    let text = match lua.coerce_string(thrown.clone())? {
        Some(text) => text.as_bytes().to_vec(),
        None => thrown.to_string()?.into_bytes(),
    };
    let Some(rest) = text.strip_prefix(b"(sandbox):") else { return Ok(text) };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = rest[digits..].strip_prefix(b": ").unwrap_or(rest);
    Ok(match place {
        Some((source, line)) if *line > 0 => {
            [format!("{}:{line}: ", source.trim_start_matches('@')).as_bytes(), rest].concat()
        }
        _ => rest.to_vec(),
    })
}

/// Reads what a failed call came back with: the handler's table, or, where no handler runs (memory), what was raised.
pub(super) fn fatal(lua: &Lua, error: Value) -> mlua::Result<Fatal> {
    let Value::Table(table) = error else {
        let error = unwrap(lua, error)?;
        let text = lua.coerce_string(error)?.map_or(b"unknown error".to_vec(), |text| text.as_bytes().to_vec());
        return Ok(Fatal { text: [b"ERR ", until_nul(&text)].concat(), ..Fatal::default() });
    };
    let text = match lua.coerce_string(table.raw_get("err")?)? {
        Some(text) => until_nul(&text.as_bytes()).to_vec(),
        None => b"ERR unknown error".to_vec(),
    };
    let place = match (table.raw_get("source")?, table.raw_get("line")?) {
        (Value::String(source), Value::Integer(line)) => Some((source.to_string_lossy(), line)),
        _ => None,
    };
    let counted = matches!(table.raw_get("ignore_error_stats_update")?, Value::Boolean(true));
    Ok(Fatal { text, place, counted })
}

/// Where the script stood: the innermost frame, or the one below when that is a native. Frames of the prelude are
/// passed over, as Redis has natives in their place, and so are the tail calls between them.
pub(super) fn failing_place(lua: &Lua) -> Option<(String, i64)> {
    let mut native_seen = false;
    let mut prelude_seen = false;
    for level in 1.. {
        let (what, source, line) = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            (
                source.what,
                source.source.unwrap_or_default().into_owned(),
                frame.current_line().map_or(-1, |line| line as i64),
            )
        })?;
        match (what, source.as_str()) {
            (_, PRELUDE) => prelude_seen = true,
            ("C", _) if !native_seen => native_seen = true,
            ("C", _) if prelude_seen => return None,
            (_, "=(tail call)") if prelude_seen => {}
            _ => return Some((source, line)),
        }
    }
    None
}

/// An error inside a reply, for the server's error statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// `CODE text`, one line.
    pub text: Vec<u8>,
    /// Already counted when the nested command failed.
    pub counted: bool,
}

/// The errors of one reply; nearly always none or one.
pub type ReplyErrors = SmallVec<[ReplyError; 1]>;

/// Appends an error, one line whatever the script put in, and notes it.
pub(super) fn push_error(out: &mut Reply, errors: &mut ReplyErrors, text: &[u8], counted: bool) {
    out.error(text);
    errors.push(ReplyError { text: plain_line(text), counted });
}

impl Fatal {
    /// The text of the reply for a script called `name` (a SHA1 or a function).
    pub fn message(&self, name: &str) -> Vec<u8> {
        let mut text = self.text.clone();
        if let Some((source, line)) = &self.place {
            text.extend_from_slice(format!(" script: {name}, on {source}:{line}.").as_bytes());
        }
        text
    }
}
