//! The library `cjson`: JSON with the choices, limits and texts of lua-cjson 2.1.0.
//!
//! A table is an array when all its keys are whole numbers from 1 on and not too many are missing; the empty table is
//! an object. Numbers print with 14 digits. Nesting ends at 1,000 both ways, whatever a script configures beyond: here
//! values in flight take slots of a table that ends at 8,000.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{LightUserData, Lua, Table, Value};

use super::error::at_caller;
use super::number::{push_general, scan};
use super::params::{Natives, Pace, Params, check_memory, new_string, type_name};

/// What a script may configure; one per `cjson.new()`.
#[derive(Debug)]
struct Config {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_max_depth: i64,
    decode_max_depth: i64,
    precision: i64,
    keep_buffer: bool,
    /// 0 refuse, 1 write, 2 write null.
    encode_invalid: usize,
    decode_invalid: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: DEPTH_MAX,
            decode_max_depth: DEPTH_MAX,
            precision: 14,
            keep_buffer: true,
            encode_invalid: 0,
            decode_invalid: true,
        }
    }
}

const DEPTH_MAX: i64 = 1000;

/// The library, with a configuration of its own.
pub(super) fn table(lua: &Lua, natives: &Natives) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let config = Rc::new(RefCell::new(Config::default()));
    let set = |name: &str, native: fn(&Config, &Params<'_>) -> mlua::Result<Value>| {
        let shared = Rc::clone(&config);
        table.raw_set(name, natives.function(lua, move |params| native(&shared.borrow(), &params))?)
    };
    set("encode", encode)?;
    set("decode", decode)?;
    let configure = |name: &str, native: fn(&mut Config, &Params<'_>) -> mlua::Result<Vec<Value>>| {
        let shared = Rc::clone(&config);
        let native = natives
            .function(lua, move |params| native(&mut shared.borrow_mut(), &params).map(mlua::Variadic::from_iter))?;
        table.raw_set(name, native)
    };
    configure("encode_sparse_array", |config, params| {
        at_most(params, 3)?;
        Ok(vec![
            switch(params, 0, &mut config.sparse_convert)?,
            integer(params, 1, &mut config.sparse_ratio, 0, i64::from(i32::MAX))?,
            integer(params, 2, &mut config.sparse_safe, 0, i64::from(i32::MAX))?,
        ])
    })?;
    configure("encode_max_depth", |config, params| {
        at_most(params, 1)?;
        Ok(vec![integer(params, 0, &mut config.encode_max_depth, 1, i64::from(i32::MAX))?])
    })?;
    configure("decode_max_depth", |config, params| {
        at_most(params, 1)?;
        Ok(vec![integer(params, 0, &mut config.decode_max_depth, 1, i64::from(i32::MAX))?])
    })?;
    configure("encode_number_precision", |config, params| {
        at_most(params, 1)?;
        Ok(vec![integer(params, 0, &mut config.precision, 1, 14)?])
    })?;
    configure("encode_keep_buffer", |config, params| {
        at_most(params, 1)?;
        Ok(vec![switch(params, 0, &mut config.keep_buffer)?])
    })?;
    configure("encode_invalid_numbers", |config, params| {
        at_most(params, 1)?;
        if !params.get(0).is_nil() {
            config.encode_invalid = match params.get(0) {
                Value::Boolean(on) => usize::from(*on),
                _ => option(params, 0, &["off", "on", "null"])?,
            };
        }
        Ok(vec![match config.encode_invalid {
            2 => Value::String(params.lua.create_string("null")?),
            setting => Value::Boolean(setting == 1),
        }])
    })?;
    configure("decode_invalid_numbers", |config, params| {
        at_most(params, 1)?;
        Ok(vec![switch(params, 0, &mut config.decode_invalid)?])
    })?;
    let again = natives.clone();
    table.raw_set("new", natives.function(lua, move |params| self::table(params.lua, &again))?)?;
    table.raw_set("null", null())?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

/// What stands for JSON's null.
fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}

fn at_most(params: &Params<'_>, count: usize) -> mlua::Result<()> {
    if params.len() > count { Err(params.error(count, "found too many arguments")) } else { Ok(()) }
}

fn integer(params: &Params<'_>, index: usize, setting: &mut i64, min: i64, max: i64) -> mlua::Result<Value> {
    if !params.get(index).is_nil() {
        let value = i64::from(params.integer(index)? as i32);
        if !(min..=max).contains(&value) {
            return Err(params.error(0, &format!("expected integer between {min} and {max}")));
        }
        *setting = value;
    }
    Ok(Value::Integer(*setting))
}

fn switch(params: &Params<'_>, index: usize, setting: &mut bool) -> mlua::Result<Value> {
    match params.get(index) {
        Value::Nil => {}
        Value::Boolean(on) => *setting = *on,
        _ => *setting = option(params, index, &["off", "on"])? == 1,
    }
    Ok(Value::Boolean(*setting))
}

fn option(params: &Params<'_>, index: usize, options: &[&str]) -> mlua::Result<usize> {
    let name = params.string(index)?;
    let known = options.iter().position(|option| name == *option);
    known.ok_or_else(|| params.error(index, &format!("invalid option '{}'", name.to_string_lossy())))
}

// Writing.

fn encode(config: &Config, params: &Params<'_>) -> mlua::Result<Value> {
    if params.len() != 1 {
        return Err(params.error(0, "expected 1 argument"));
    }
    let pace = Pace::new(params.lua);
    let mut writer = Writer { lua: params.lua, config, pace: &pace, out: Vec::with_capacity(256), checked: 1 << 20 };
    writer.value(params.get(0), 0)?;
    new_string(params.lua, &writer.out)
}

struct Writer<'a> {
    lua: &'a Lua,
    config: &'a Config,
    pace: &'a Pace<'a>,
    out: Vec<u8>,
    /// Memory is looked at again when the text is this long.
    checked: usize,
}

impl Writer<'_> {
    fn refuse(&self, value: &Value, why: &str) -> mlua::Error {
        at_caller(self.lua, format!("Cannot serialise {}: {why}", type_name(value)))
    }

    fn value(&mut self, value: &Value, depth: i64) -> mlua::Result<()> {
        self.pace.step()?;
        if self.out.len() > self.checked {
            check_memory(self.lua, self.out.len())?;
            self.checked = self.out.len() * 2;
        }
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(number) => self.number(value, *number as f64)?,
            Value::Number(number) => self.number(value, *number)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Table(table) => return self.table(value, table, depth + 1),
            _ => return Err(self.refuse(value, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, value: &Value, table: &Table, depth: i64) -> mlua::Result<()> {
        if depth > self.config.encode_max_depth.min(DEPTH_MAX) {
            return Err(at_caller(self.lua, format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_len(value, table)? {
            Some(len) if len > 0 => self.array(table, len, depth),
            _ => self.object(table, depth),
        }
    }

    /// The highest index of an array, `None` for an object.
    fn array_len(&self, value: &Value, table: &Table) -> mlua::Result<Option<i64>> {
        let (mut max, mut items) = (0, 0);
        for pair in table.pairs::<Value, Value>() {
            self.pace.step()?;
            match pair?.0 {
                Value::Integer(key) if key >= 1 => {
                    max = max.max(key);
                    items += 1;
                }
                Value::Number(key) if key >= 1.0 && key == key.floor() => {
                    max = i64::MAX;
                    items += 1;
                }
                _ => return Ok(None),
            }
        }
        let config = self.config;
        if config.sparse_ratio > 0 && max > items * config.sparse_ratio && max > config.sparse_safe {
            if !config.sparse_convert {
                return Err(self.refuse(value, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max))
    }

    fn array(&mut self, table: &Table, len: i64, depth: i64) -> mlua::Result<()> {
        self.out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(index)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> mlua::Result<()> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !first {
                self.out.push(b',');
            }
            first = false;
            match &key {
                Value::String(text) => self.string(&text.as_bytes()),
                Value::Integer(number) => self.number_key(&key, *number as f64)?,
                Value::Number(number) => self.number_key(&key, *number)?,
                _ => return Err(self.refuse(&key, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number_key(&mut self, key: &Value, number: f64) -> mlua::Result<()> {
        self.out.push(b'"');
        self.number(key, number)?;
        self.out.push(b'"');
        Ok(())
    }

    fn number(&mut self, value: &Value, number: f64) -> mlua::Result<()> {
        match self.config.encode_invalid {
            0 if !number.is_finite() => return Err(self.refuse(value, "must not be NaN or Inf")),
            1 if number.is_nan() => self.out.extend_from_slice(b"nan"),
            2 if !number.is_finite() => self.out.extend_from_slice(b"null"),
            _ => push_general(&mut self.out, number, self.config.precision as usize),
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut rest = text;
        while let Some(at) = rest.iter().position(|b| needs_escape(*b)) {
            self.out.extend_from_slice(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let letter = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            _ => return self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        };
        self.out.extend_from_slice(&[b'\\', letter]);
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 32 || matches!(byte, b'"' | b'\\' | b'/' | 127)
}

// Reading.

fn decode(config: &Config, params: &Params<'_>) -> mlua::Result<Value> {
    if params.len() != 1 {
        return Err(params.error(0, "expected 1 argument"));
    }
    let text = params.string(0)?;
    let text = text.as_bytes();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(at_caller(params.lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let pace = Pace::new(params.lua);
    let mut reader = Reader { lua: params.lua, config, pace: &pace, text: &text, at: 0, depth: 0 };
    let token = reader.next()?;
    let value = reader.value(token)?;
    let token = reader.next()?;
    match token.kind {
        Kind::End => Ok(value),
        _ => Err(reader.unexpected("the end", &token)),
    }
}

/// What the reader found.
enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::ObjectBegin => "T_OBJ_BEGIN",
            Kind::ObjectEnd => "T_OBJ_END",
            Kind::ArrayBegin => "T_ARR_BEGIN",
            Kind::ArrayEnd => "T_ARR_END",
            Kind::String(_) => "T_STRING",
            Kind::Number(_) => "T_NUMBER",
            Kind::Boolean(_) => "T_BOOLEAN",
            Kind::Null => "T_NULL",
            Kind::Colon => "T_COLON",
            Kind::Comma => "T_COMMA",
            Kind::End => "T_END",
            Kind::Error(what) => what,
        }
    }
}

struct Token {
    kind: Kind,
    at: usize,
}

struct Reader<'a> {
    lua: &'a Lua,
    config: &'a Config,
    pace: &'a Pace<'a>,
    text: &'a [u8],
    at: usize,
    depth: i64,
}

impl Reader<'_> {
    fn unexpected(&self, wanted: &str, token: &Token) -> mlua::Error {
        let (found, at) = (token.kind.name(), token.at + 1);
        at_caller(self.lua, format!("Expected {wanted} but found {found} at character {at}"))
    }

    fn descend(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        if self.depth > self.config.decode_max_depth.min(DEPTH_MAX) {
            let (depth, at) = (self.depth, self.at);
            let text = format!("Found too many nested data structures ({depth}) at character {at}");
            return Err(at_caller(self.lua, text));
        }
        Ok(())
    }

    fn value(&mut self, token: Token) -> mlua::Result<Value> {
        Ok(match token.kind {
            Kind::String(text) => Value::String(self.lua.create_string(text)?),
            Kind::Number(number) => Value::Number(number),
            Kind::Boolean(truth) => Value::Boolean(truth),
            Kind::Null => null(),
            Kind::ObjectBegin => Value::Table(self.object()?),
            Kind::ArrayBegin => Value::Table(self.array()?),
            _ => return Err(self.unexpected("value", &token)),
        })
    }

    fn object(&mut self) -> mlua::Result<Table> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next()?;
        if !matches!(token.kind, Kind::ObjectEnd) {
            loop {
                let Kind::String(key) = token.kind else { return Err(self.unexpected("object key string", &token)) };
                let key = self.lua.create_string(key)?;
                token = self.next()?;
                if !matches!(token.kind, Kind::Colon) {
                    return Err(self.unexpected("colon", &token));
                }
                token = self.next()?;
                table.raw_set(key, self.value(token)?)?;
                token = self.next()?;
                match token.kind {
                    Kind::ObjectEnd => break,
                    Kind::Comma => token = self.next()?,
                    _ => return Err(self.unexpected("comma or object end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(table)
    }

    fn array(&mut self) -> mlua::Result<Table> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next()?;
        if !matches!(token.kind, Kind::ArrayEnd) {
            for index in 1.. {
                table.raw_set(index, self.value(token)?)?;
                token = self.next()?;
                match token.kind {
                    Kind::ArrayEnd => break,
                    Kind::Comma => token = self.next()?,
                    _ => return Err(self.unexpected("comma or array end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(table)
    }

    fn peek(&self) -> u8 {
        self.byte(self.at)
    }

    /// A byte of the text, NUL behind its end.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> mlua::Result<Token> {
        self.pace.step()?;
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let byte = self.peek();
        let single = match byte {
            b'{' => Some(Kind::ObjectBegin),
            b'}' => Some(Kind::ObjectEnd),
            b'[' => Some(Kind::ArrayBegin),
            b']' => Some(Kind::ArrayEnd),
            b':' => Some(Kind::Colon),
            b',' => Some(Kind::Comma),
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            return Ok(Token { kind, at });
        }
        let rest = &self.text[at.min(self.text.len())..];
        let word = |kind: Kind, len: usize| (kind, len);
        let (kind, len) = match byte {
            0 => word(Kind::End, 0),
            b'"' => return Ok(self.string(at)),
            b'-' | b'0'..=b'9' if !self.config.decode_invalid && invalid_number(rest) => {
                word(Kind::Error("invalid number"), 0)
            }
            b'-' | b'0'..=b'9' => number(rest),
            _ if rest.starts_with(b"true") => word(Kind::Boolean(true), 4),
            _ if rest.starts_with(b"false") => word(Kind::Boolean(false), 5),
            _ if rest.starts_with(b"null") => word(Kind::Null, 4),
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' if self.config.decode_invalid && invalid_number(rest) => {
                number(rest)
            }
            _ => word(Kind::Error("invalid token"), 0),
        };
        self.at += len;
        Ok(Token { kind, at })
    }

    /// A string, from its opening quote.
    fn string(&mut self, at: usize) -> Token {
        let mut out = Vec::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at.min(self.text.len())..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0)).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Token { kind: Kind::String(out), at };
                }
                b'\\' => {
                    let escaped = match self.byte(self.at + 1) {
                        b'u' => match self.unicode(&mut out) {
                            Some(()) => continue,
                            None => return Token { kind: Kind::Error("invalid unicode escape code"), at: self.at },
                        },
                        letter @ (b'"' | b'\\' | b'/') => letter,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        _ => return Token { kind: Kind::Error("invalid escape code"), at: self.at },
                    };
                    out.push(escaped);
                    self.at += 2;
                }
                _ => return Token { kind: Kind::Error("unexpected end of string"), at: self.at },
            }
        }
    }

    /// `\u` with four digits, or a pair of them, as UTF-8.
    fn unicode(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let mut code = self.hex4(self.at + 2)?;
        let mut len = 6;
        if code & 0xF800 == 0xD800 {
            if code & 0x400 != 0 || self.byte(self.at + 6) != b'\\' || self.byte(self.at + 7) != b'u' {
                return None;
            }
            let low = self.hex4(self.at + 8)?;
            if low & 0xFC00 != 0xDC00 {
                return None;
            }
            code = ((code & 0x3FF) << 10 | low & 0x3FF) + 0x10000;
            len = 12;
        }
        let character = char::from_u32(code)?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Some(())
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        (at..at + 4).try_fold(0, |code, at| Some(code << 4 | (self.byte(at) as char).to_digit(16)?))
    }
}

fn number(text: &[u8]) -> (Kind, usize) {
    match scan(text) {
        (_, 0) => (Kind::Error("invalid number"), 0),
        (number, len) => (Kind::Number(number), len),
    }
}

/// Whether what starts here is a number to C but not to JSON.
fn invalid_number(text: &[u8]) -> bool {
    if text.first() == Some(&b'+') {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match text {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [b'0'..=b'9', ..] => false,
        _ => text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")),
    }
}
