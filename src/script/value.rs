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

use mlua::{Lua, Table, Value};

use crate::base::num::{parse_f64, push_f64, push_i64};

use super::error::{ReplyErrors, error_table, push_error, until_nul, with_code};
use super::params::to_integer;

/// How deep a returned value may nest. Redis ends at 7,995, where the stack of Lua does.
const DEPTH_MAX: usize = 7_000;

/// How deep a reply of a command may nest; none comes near.
const REPLY_DEPTH_MAX: usize = 128;

/// A command's reply as a Lua value.
pub(super) fn to_lua(lua: &Lua, reply: &[u8]) -> mlua::Result<Value> {
    let mut reader = Reader { lua, rest: reply };
    reader.value(0)
}

struct Reader<'a> {
    lua: &'a Lua,
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

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let lua = self.lua;
        let Some((&kind, rest)) = self.rest.split_first() else { return Ok(Value::Nil) };
        self.rest = rest;
        let line = self.line();
        if depth > REPLY_DEPTH_MAX {
            return Ok(Value::Nil);
        }
        Ok(match kind {
            b'+' => Value::Table(one_field(lua, "ok", Value::String(lua.create_string(line)?))?),
            b'-' => Value::Table(error_table(lua, &with_code(&[b"-", line].concat()), true)?),
            b':' => Value::Number(length(line) as f64),
            b'$' if line.starts_with(b"-") => Value::Boolean(false),
            b'$' => Value::String(lua.create_string(self.bytes(length(line) as usize))?),
            b'*' if line.starts_with(b"-") => Value::Boolean(false),
            b'*' => Value::Table(self.array(length(line) as usize, depth)?),
            b'%' => {
                let map = lua.create_table_with_capacity(0, length(line) as usize)?;
                for _ in 0..length(line) {
                    let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
                    set_key(&map, key, value)?;
                }
                Value::Table(one_field(lua, "map", Value::Table(map))?)
            }
            b'~' => {
                let set = lua.create_table_with_capacity(0, length(line) as usize)?;
                for _ in 0..length(line) {
                    set_key(&set, self.value(depth + 1)?, Value::Boolean(true))?;
                }
                Value::Table(one_field(lua, "set", Value::Table(set))?)
            }
            b'_' => Value::Nil,
            b'#' => Value::Boolean(line == b"t"),
            b',' => Value::Table(one_field(lua, "double", Value::Number(parse_f64(line).unwrap_or(f64::NAN)))?),
            b'(' => Value::Table(one_field(lua, "big_number", Value::String(lua.create_string(line)?))?),
            b'=' => {
                let text = self.bytes(length(line) as usize);
                let verbatim = lua.create_table_with_capacity(0, 2)?;
                verbatim.raw_set("format", lua.create_string(text.get(..3).unwrap_or(b"txt"))?)?;
                verbatim.raw_set("string", lua.create_string(text.get(4..).unwrap_or(b""))?)?;
                Value::Table(one_field(lua, "verbatim_string", Value::Table(verbatim))?)
            }
            b'|' => {
                for _ in 0..length(line) * 2 {
                    self.value(depth + 1)?;
                }
                self.value(depth)?
            }
            _ => Value::Nil,
        })
    }

    fn array(&mut self, len: usize, depth: usize) -> mlua::Result<Table> {
        let array = self.lua.create_table_with_capacity(len, 0)?;
        for index in 1..=len {
            array.raw_set(index, self.value(depth + 1)?)?;
        }
        Ok(array)
    }
}

/// Sets a field, unless the key is one Lua cannot have: it would raise that through frames of Rust.
fn set_key(table: &Table, key: Value, value: Value) -> mlua::Result<()> {
    if key.is_nil() { Ok(()) } else { table.raw_set(key, value) }
}

fn length(line: &[u8]) -> i64 {
    crate::base::num::parse_i64(line).unwrap_or(0)
}

fn one_field(lua: &Lua, name: &str, value: Value) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(table)
}

/// Writes what a script returned.
pub(super) struct Writer<'a> {
    /// Bytes of the reply.
    pub out: &'a mut Vec<u8>,
    /// Errors inside it.
    pub errors: &'a mut ReplyErrors,
    /// What the client speaks.
    pub client_resp3: bool,
    /// What the script asked for with `redis.setresp`.
    pub script_resp3: bool,
}

impl Writer<'_> {
    /// Appends the reply a value stands for.
    pub fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        if depth > DEPTH_MAX {
            push_error(self.out, self.errors, b"ERR reached lua stack limit", false);
            return Ok(());
        }
        match value {
            Value::String(text) => self.bulk(&text.as_bytes()),
            Value::Boolean(truth) if self.script_resp3 => self.boolean(*truth),
            Value::Boolean(true) => self.integer(1),
            Value::Integer(number) => self.integer(*number),
            Value::Number(number) => self.integer(to_integer(*number)),
            Value::Table(table) => return self.table(table, depth),
            _ => self.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if self.special(table, depth)? {
            return Ok(());
        }
        let guess = table.raw_len();
        let start = self.out.len();
        self.header(b'*', guess);
        let body = self.out.len();
        for index in 1..=guess {
            let item: Value = table.raw_get(index)?;
            if item.is_nil() {
                self.replace_header(start, body, b'*', index - 1);
                break;
            }
            self.value(&item, depth + 1)?;
        }
        Ok(())
    }

    /// Writes a table with one of the names that mean something; false when it has none.
    fn special(&mut self, table: &Table, depth: usize) -> mlua::Result<bool> {
        if let Value::String(text) = table.raw_get("err")? {
            let counted = matches!(table.raw_get("ignore_error_stats_update")?, Value::Boolean(true));
            push_error(self.out, self.errors, until_nul(&text.as_bytes()), counted);
        } else if let Value::String(text) = table.raw_get("ok")? {
            self.out.push(b'+');
            self.one_line(until_nul(&text.as_bytes()));
        } else if let Some(number) = as_number(&table.raw_get("double")?) {
            self.double(number);
        } else if let Value::String(text) = table.raw_get("big_number")? {
            self.big_number(&text.as_bytes());
        } else if let Some((format, text)) = verbatim_parts(table)? {
            self.verbatim(&format.as_bytes(), &text.as_bytes());
        } else if let Value::Table(map) = table.raw_get("map")? {
            self.pairs(&map, depth, true)?;
        } else if let Value::Table(set) = table.raw_get("set")? {
            self.pairs(&set, depth, false)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn pairs(&mut self, table: &Table, depth: usize, with_values: bool) -> mlua::Result<()> {
        let start = self.out.len();
        self.header(b'*', 0);
        let body = self.out.len();
        let mut count = 0;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, depth + 1)?;
            if with_values {
                self.value(&value, depth + 1)?;
            }
            count += 1;
        }
        match (self.client_resp3, with_values) {
            (true, true) => self.replace_header(start, body, b'%', count),
            (true, false) => self.replace_header(start, body, b'~', count),
            (false, true) => self.replace_header(start, body, b'*', count * 2),
            (false, false) => self.replace_header(start, body, b'*', count),
        }
        Ok(())
    }

    fn header(&mut self, kind: u8, len: usize) {
        self.out.push(kind);
        push_i64(self.out, len as i64);
        self.out.extend_from_slice(b"\r\n");
    }

    fn replace_header(&mut self, start: usize, body: usize, kind: u8, len: usize) {
        let mut header = vec![kind];
        push_i64(&mut header, len as i64);
        header.extend_from_slice(b"\r\n");
        self.out.splice(start..body, header);
    }

    fn bulk(&mut self, text: &[u8]) {
        self.header(b'$', text.len());
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn integer(&mut self, number: i64) {
        self.out.push(b':');
        push_i64(self.out, number);
        self.out.extend_from_slice(b"\r\n");
    }

    fn boolean(&mut self, truth: bool) {
        self.out.extend_from_slice(match (self.client_resp3, truth) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        });
    }

    fn null(&mut self) {
        self.out.extend_from_slice(if self.client_resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    fn double(&mut self, number: f64) {
        if self.client_resp3 {
            self.out.push(b',');
            push_f64(self.out, number);
            self.out.extend_from_slice(b"\r\n");
        } else {
            let mut text = Vec::with_capacity(24);
            push_f64(&mut text, number);
            self.bulk(&text);
        }
    }

    fn big_number(&mut self, text: &[u8]) {
        let line = spaces_for_breaks(text);
        if self.client_resp3 {
            self.out.push(b'(');
            self.out.extend_from_slice(&line);
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.bulk(&line);
        }
    }

    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        if !self.client_resp3 {
            return self.bulk(text);
        }
        let mut prefix = *b"   :";
        for (slot, byte) in prefix.iter_mut().zip(until_nul(format).iter().take(3)) {
            *slot = *byte;
        }
        self.header(b'=', text.len() + prefix.len());
        self.out.extend_from_slice(&prefix);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn one_line(&mut self, text: &[u8]) {
        self.out.extend_from_slice(&spaces_for_breaks(text));
        self.out.extend_from_slice(b"\r\n");
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn verbatim_parts(table: &Table) -> mlua::Result<Option<(mlua::String, mlua::String)>> {
    let Value::Table(verbatim) = table.raw_get("verbatim_string")? else { return Ok(None) };
    Ok(match (verbatim.raw_get("format")?, verbatim.raw_get("string")?) {
        (Value::String(format), Value::String(text)) => Some((format, text)),
        _ => None,
    })
}

fn spaces_for_breaks(text: &[u8]) -> Vec<u8> {
    text.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect()
}
