//! Replies of commands as Lua values, and what a script returns as a reply.
//!
//! | RESP | Lua | back |
//! |---|---|---|
//! | `+text` | `{ok = text}` | status |
//! | `-text` | `{err = text}` | error |
//! | `:1` | number | integer, cut toward zero |
//! | `$` | string | bulk |
//! | null of RESP2 | `false` | null |
//! | `*` | array, up to the first nil on the way back | array |
//! | `_` | `nil` | null |
//! | `#t` | boolean | `:1` and null under RESP2, boolean under RESP3 |
//! | `,` | `{double = n}` | double |
//! | `(` | `{big_number = text}` | big number |
//! | `=` | `{verbatim_string = {format =, string =}}` | verbatim |
//! | `%` | `{map = {..}}` | map |
//! | `~` | `{set = {member = true ..}}` | set |
//!
//! The kinds of RESP3 reach a script only after `redis.setresp(3)`. Fields are read raw: no metamethod of a script runs
//! while its value becomes a reply.

use super::error::{ReplyErrors, push_error, push_error_table, until_nul, with_code};
use super::params::to_integer;
use super::stack::{Seen, Stack};
use crate::base::num::{parse_f64, parse_i64};
use crate::resp::reply::Reply;

/// How deep a returned value may nest. Redis ends at 7,995, where the stack of Lua does.
const DEPTH_MAX: usize = 7_000;

/// How deep a reply of a command may nest; none comes near.
const REPLY_DEPTH_MAX: usize = 128;

/// Elements a table of Lua can have, and so an aggregate in a reply of a command.
const ELEMENTS_MAX: usize = 1 << 25;

/// Places of Lua's stack that one level of nesting needs.
const PLACES: usize = 8;

/// Pushes a command's reply as a Lua value; false when it is too big for one, with whatever pushed.
pub(super) fn to_lua(stack: Stack, reply: &[u8]) -> bool {
    let mut reader = Reader { stack, rest: reply };
    reader.value(0).is_ok()
}

/// The reply is too big for Lua.
struct TooBig;

struct Reader<'a> {
    stack: Stack,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next line without its end. Replies are our own, so a cut one ends the value, no more.
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or(&[]);
        line
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest.get(2..).unwrap_or(&[]);
        bytes
    }

    fn value(&mut self, depth: usize) -> Result<(), TooBig> {
        let stack = self.stack;
        let Some((&kind, rest)) = self.rest.split_first() else {
            stack.push_nil();
            return Ok(());
        };
        self.rest = rest;
        let line = self.line();
        if depth > REPLY_DEPTH_MAX || !stack.room(PLACES) {
            stack.push_nil();
            return Ok(());
        }
        match kind {
            b'$' | b'*' if line.starts_with(b"-") => stack.push_boolean(false),
            b'$' => stack.push_text(self.bytes(length(line)?)),
            b'+' => one_field(stack, "ok", |stack| stack.push_text(line)),
            b':' => stack.push_number(parse_i64(line).unwrap_or(0) as f64),
            b'-' => push_error_table(stack, &with_code(&[b"-", line].concat()), true),
            b'*' => self.array(elements(line)?, depth)?,
            b'%' => self.table("map", elements(line)?, |reader| {
                reader.value(depth + 1)?;
                reader.value(depth + 1)
            })?,
            b'~' => self.table("set", elements(line)?, |reader| {
                reader.value(depth + 1)?;
                reader.stack.push_boolean(true);
                Ok(())
            })?,
            b'#' => stack.push_boolean(line == b"t"),
            b',' => one_field(stack, "double", |stack| stack.push_number(parse_f64(line).unwrap_or(f64::NAN))),
            b'(' => one_field(stack, "big_number", |stack| stack.push_text(line)),
            b'=' => {
                let text = self.bytes(length(line)?);
                one_field(stack, "verbatim_string", |stack| {
                    stack.push_table(0, 2);
                    set_text(stack, "format", text.get(..3).unwrap_or(b"txt"));
                    set_text(stack, "string", text.get(4..).unwrap_or(b""));
                });
            }
            b'|' => {
                for _ in 0..elements(line)? * 2 {
                    self.value(depth + 1)?;
                    stack.pop(1);
                }
                self.value(depth)?;
            }
            _ => stack.push_nil(),
        }
        Ok(())
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), TooBig> {
        self.stack.push_table(len, 0);
        for index in 1..=len {
            self.value(depth + 1)?;
            self.stack.set_item(index);
        }
        Ok(())
    }

    /// A table under a name, filled by pairs.
    fn table(
        &mut self,
        name: &str,
        len: usize,
        mut pair: impl FnMut(&mut Self) -> Result<(), TooBig>,
    ) -> Result<(), TooBig> {
        let stack = self.stack;
        stack.push_table(0, 1);
        stack.push_text(name.as_bytes());
        stack.push_table(0, len);
        for _ in 0..len {
            pair(self)?;
            stack.set_pair();
        }
        stack.set_pair();
        Ok(())
    }
}

fn length(line: &[u8]) -> Result<usize, TooBig> {
    usize::try_from(parse_i64(line).unwrap_or(0)).map_err(|_| TooBig)
}

fn elements(line: &[u8]) -> Result<usize, TooBig> {
    length(line).and_then(|count| if count > ELEMENTS_MAX { Err(TooBig) } else { Ok(count) })
}

fn one_field(stack: Stack, name: &str, push: impl FnOnce(Stack)) {
    stack.push_table(0, 1);
    stack.push_text(name.as_bytes());
    push(stack);
    stack.set_pair();
}

fn set_text(stack: Stack, name: &str, text: &[u8]) {
    stack.push_text(name.as_bytes());
    stack.push_text(text);
    stack.set_pair();
}

/// Writes what a script returned.
pub(super) struct Writer<'a> {
    /// Where the value is, on top.
    pub stack: Stack,
    /// The reply.
    pub out: &'a mut Reply,
    /// Errors inside it.
    pub errors: &'a mut ReplyErrors,
    /// What the script asked for with `redis.setresp`.
    pub script_resp3: bool,
    /// Values that may still be written. A table that holds itself twice stands for more than there is of anything.
    pub values_left: usize,
    /// Bytes that the reply may grow to.
    pub bytes_max: usize,
}

impl Writer<'_> {
    /// Appends the reply that the value returned stands for, or an error when that is too large.
    pub fn write(&mut self) {
        let mark = self.out.mark();
        self.value(0);
        if self.is_full() {
            self.out.truncate(mark);
            self.errors.clear();
            push_error(self.out, self.errors, b"ERR not enough memory for the reply", false);
        }
    }

    fn is_full(&self) -> bool {
        self.values_left == 0 || self.out.len() > self.bytes_max
    }

    /// Appends the reply that the value on top stands for. It stays there.
    fn value(&mut self, depth: usize) {
        if self.is_full() {
            return;
        }
        self.values_left -= 1;
        if depth > DEPTH_MAX || !self.stack.room(PLACES) {
            return push_error(self.out, self.errors, b"ERR reached lua stack limit", false);
        }
        match self.stack.top() {
            Seen::Text(text) => self.out.bulk(text),
            Seen::Boolean(truth) if self.script_resp3 => self.out.bool(truth),
            Seen::Boolean(true) => self.out.int(1),
            Seen::Number(number) => self.out.int(to_integer(number)),
            Seen::Table => self.table(depth),
            _ => self.out.null(),
        }
    }

    fn table(&mut self, depth: usize) {
        let height = self.stack.height();
        let done = self.special(depth);
        self.stack.cut(height);
        if !done {
            self.list(depth);
        }
    }

    /// A list ends before its first nil.
    fn list(&mut self, depth: usize) {
        let stack = self.stack;
        let is_item = |index: &usize| {
            let is_item = stack.push_item(*index) != Seen::Nil;
            stack.pop(1);
            is_item
        };
        let len = (1..=stack.list_len()).take_while(is_item).count();
        self.out.array(len);
        for index in 1..=len {
            if self.is_full() {
                return;
            }
            stack.push_item(index);
            self.value(depth + 1);
            stack.pop(1);
        }
    }

    /// Writes a table with one of the names that mean something; false when it has none. What it pushes stays.
    fn special(&mut self, depth: usize) -> bool {
        let stack = self.stack;
        if let Seen::Text(text) = stack.push_field("err") {
            stack.push_copy(-2);
            let counted = stack.push_field("ignore_error_stats_update") == Seen::Boolean(true);
            push_error(self.out, self.errors, until_nul(text), counted);
            return true;
        }
        stack.pop(1);
        if let Seen::Text(text) = stack.push_field("ok") {
            self.out.simple(until_nul(text));
            return true;
        }
        stack.pop(1);
        if let Seen::Number(number) = stack.push_field("double") {
            self.out.double(number);
            return true;
        }
        stack.pop(1);
        if let Seen::Text(text) = stack.push_field("big_number") {
            self.out.bignum(&spaces_for_breaks(text));
            return true;
        }
        stack.pop(1);
        if stack.push_field("verbatim_string") == Seen::Table && self.verbatim() {
            return true;
        }
        stack.pop(1);
        if stack.push_field("map") == Seen::Table {
            self.pairs(depth, true);
            return true;
        }
        stack.pop(1);
        if stack.push_field("set") == Seen::Table {
            self.pairs(depth, false);
            return true;
        }
        false
    }

    /// Writes the verbatim string that the table on top stands for; false, with the table on top, when it is none.
    fn verbatim(&mut self) -> bool {
        let stack = self.stack;
        let height = stack.height();
        if let Seen::Text(format) = stack.push_field("format") {
            stack.push_copy(-2);
            if let Seen::Text(text) = stack.push_field("string") {
                let mut three = *b"   ";
                for (slot, byte) in three.iter_mut().zip(until_nul(format)) {
                    *slot = *byte;
                }
                self.out.verbatim(&three, text);
                return true;
            }
        }
        stack.cut(height);
        false
    }

    /// Writes the table on top, with or without its values.
    fn pairs(&mut self, depth: usize, with_values: bool) {
        let stack = self.stack;
        let mut count = 0;
        stack.push_nil();
        while stack.next() {
            stack.pop(1);
            count += 1;
        }
        if with_values {
            self.out.map(count)
        } else {
            self.out.set(count)
        }
        stack.push_nil();
        while !self.is_full() && stack.next() {
            stack.push_copy(-2);
            self.value(depth + 1);
            stack.pop(1);
            if with_values {
                self.value(depth + 1);
            }
            stack.pop(1);
        }
    }
}

fn spaces_for_breaks(text: &[u8]) -> Vec<u8> {
    text.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect()
}
