//! The library `cmsgpack`: MessagePack as lua-cmsgpack 0.4.0 writes and reads it.
//!
//! Whole numbers take the shortest integer form, others a float if that keeps their value, else a double. Tables nest
//! 16 deep, what is below becomes nil. Reading nests 1,000 deep.

use mlua::{Lua, MultiValue, Table, Value};

use super::error::{at_caller, bad_argument, plain};
use super::params::{Natives, Pace, Params, RESULTS_MAX, check_memory, new_string, to_integer};

/// Tables nested deeper are written as nil.
const NESTING_MAX: usize = 16;

/// Containers nested deeper are not read.
const DEPTH_MAX: usize = 1000;

/// The library.
pub(super) fn table(lua: &Lua, natives: &Natives) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", natives.function(lua, |params| pack(&params))?)?;
    table.raw_set("unpack", natives.function(lua, |params| unpack(&params, 0, 0))?)?;
    let unpack_one = natives.function(lua, |params| unpack(&params, 1, params.integer_or(1, 0)? as i32))?;
    table.raw_set("unpack_one", unpack_one)?;
    let unpack_limit = natives.function(lua, |params| {
        let limit = params.integer(1)? as i32;
        unpack(&params, limit, params.integer_or(2, 0)? as i32)
    })?;
    table.raw_set("unpack_limit", unpack_limit)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

// Writing.

fn pack(params: &Params<'_>) -> mlua::Result<Value> {
    if params.len() == 0 {
        return Err(bad_argument(params.lua, 0, "MessagePack pack needs input."));
    }
    let pace = Pace::new(params.lua);
    let mut writer = Writer { lua: params.lua, pace: &pace, out: Vec::with_capacity(256), checked: 1 << 20 };
    for value in params.all() {
        writer.value(value, 0)?;
    }
    new_string(params.lua, &writer.out)
}

struct Writer<'a> {
    lua: &'a Lua,
    pace: &'a Pace<'a>,
    out: Vec<u8>,
    /// Memory is looked at again when the text is this long.
    checked: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, level: usize) -> mlua::Result<()> {
        self.pace.step()?;
        if self.out.len() > self.checked {
            check_memory(self.lua, self.out.len())?;
            self.checked = self.out.len() * 2;
        }
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Boolean(truth) => self.out.push(0xc2 + u8::from(*truth)),
            Value::Integer(number) => self.integer(*number),
            Value::Number(number) => self.number(*number),
            Value::Table(table) if level < NESTING_MAX => return self.table(table, level),
            _ => self.out.push(0xc0),
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        match text.len() {
            len @ 0..=31 => self.out.push(0xa0 | len as u8),
            len @ 32..=0xff => self.out.extend_from_slice(&[0xd9, len as u8]),
            len => self.sized(0xda, len),
        }
        self.out.extend_from_slice(text);
    }

    /// A type byte with a 16-bit length, or the next one with a 32-bit length.
    fn sized(&mut self, short: u8, len: usize) {
        match u16::try_from(len) {
            Ok(len) => {
                self.out.push(short);
                self.out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                self.out.push(short + 1);
                self.out.extend_from_slice(&(len as u32).to_be_bytes());
            }
        }
    }

    fn number(&mut self, number: f64) {
        let whole = to_integer(number);
        if number.is_finite() && whole as f64 == number {
            self.integer(whole);
        } else if f64::from(number as f32) == number {
            self.out.push(0xca);
            self.out.extend_from_slice(&(number as f32).to_be_bytes());
        } else {
            self.out.push(0xcb);
            self.out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn integer(&mut self, number: i64) {
        let bytes = number.to_be_bytes();
        let (kind, len) = match number {
            -0x20..0x80 => return self.out.push(number as u8),
            0x80..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -0x80..-0x20 => (0xd0, 1),
            -0x8000..-0x80 => (0xd1, 2),
            -0x8000_0000..-0x8000 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.out.push(kind);
        self.out.extend_from_slice(&bytes[8 - len..]);
    }

    fn table(&mut self, table: &Table, level: usize) -> mlua::Result<()> {
        let (count, is_array) = self.shape(table)?;
        if is_array {
            if count <= 15 {
                self.out.push(0x90 | count as u8)
            } else {
                self.sized(0xdc, count)
            }
            for index in 1..=count {
                self.value(&table.raw_get(index)?, level + 1)?;
            }
            return Ok(());
        }
        if count <= 15 {
            self.out.push(0x80 | count as u8)
        } else {
            self.sized(0xde, count)
        }
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, level + 1)?;
            self.value(&value, level + 1)?;
        }
        Ok(())
    }

    /// How many entries a table has, and whether they are exactly 1 to that number.
    fn shape(&self, table: &Table) -> mlua::Result<(usize, bool)> {
        let (mut count, mut max, mut only_indexes) = (0, 0, true);
        for pair in table.pairs::<Value, Value>() {
            self.pace.step()?;
            count += 1;
            match pair?.0 {
                Value::Integer(key) if key > 0 => max = max.max(key as usize),
                _ => only_indexes = false,
            }
        }
        Ok((count, only_indexes && max == count))
    }
}

// Reading.

fn unpack(params: &Params<'_>, limit: i32, offset: i32) -> mlua::Result<MultiValue> {
    let lua = params.lua;
    let text = params.string(0)?;
    let text = text.as_bytes();
    if offset < 0 || limit < 0 {
        let len = text.len();
        return Err(at_caller(lua, format!("Invalid request to unpack with offset of {offset} and limit of {len}.")));
    }
    if offset as usize > text.len() {
        let len = text.len();
        return Err(at_caller(lua, format!("Start offset {offset} greater than input length {len}.")));
    }
    let all = limit == 0 && offset == 0;
    let pace = Pace::new(lua);
    let mut reader = Reader { lua, pace: &pace, rest: &text[offset as usize..] };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && (all || values.len() < limit as usize) {
        if values.len() >= RESULTS_MAX {
            return Err(at_caller(lua, "stack overflow (in function mp_unpack_full)"));
        }
        values.push(reader.value(0)?);
    }
    if !all {
        let next = if reader.rest.is_empty() { -1 } else { (text.len() - reader.rest.len()) as i64 };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_vec(values))
}

struct Reader<'a> {
    lua: &'a Lua,
    pace: &'a Pace<'a>,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| at_caller(self.lua, "Missing bytes in input."))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `len` bytes as one big-endian number.
    fn unsigned(&mut self, len: usize) -> mlua::Result<u64> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The same with a sign.
    fn signed(&mut self, len: usize) -> mlua::Result<f64> {
        let unused = 64 - 8 * len as u32;
        Ok(((self.unsigned(len)? << unused) as i64 >> unused) as f64)
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        self.pace.step()?;
        if depth > DEPTH_MAX {
            return Err(at_caller(self.lua, "stack overflow (in function mp_decode_to_lua_type)"));
        }
        let kind = self.take(1)?[0];
        Ok(match kind {
            0x00..=0x7f => Value::Integer(i64::from(kind)),
            0xe0..=0xff => Value::Integer(i64::from(kind as i8)),
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Boolean(kind == 0xc3),
            // The original hands eight bytes to Lua as a signed number.
            0xcc..=0xcf => Value::Number(self.unsigned(1 << (kind - 0xcc))? as i64 as f64),
            0xd0..=0xd3 => Value::Number(self.signed(1 << (kind - 0xd0))?),
            0xca => Value::Number(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            0xcb => Value::Number(f64::from_bits(self.unsigned(8)?)),
            0xa0..=0xbf => self.string(u64::from(kind & 31))?,
            0xd9..=0xdb => self.sized_string(1 << (kind - 0xd9))?,
            0x90..=0x9f => self.array(u64::from(kind & 15), depth)?,
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (kind - 0xdc))?;
                self.array(len, depth)?
            }
            0x80..=0x8f => self.map(u64::from(kind & 15), depth)?,
            0xde | 0xdf => {
                let len = self.unsigned(2 << (kind - 0xde))?;
                self.map(len, depth)?
            }
            _ => return Err(at_caller(self.lua, "Bad data format in input.")),
        })
    }

    fn sized_string(&mut self, len_bytes: usize) -> mlua::Result<Value> {
        let len = self.unsigned(len_bytes)?;
        self.string(len)
    }

    fn string(&mut self, len: u64) -> mlua::Result<Value> {
        let text = self.take(len as usize)?;
        new_string(self.lua, text)
    }

    fn array(&mut self, len: u64, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for index in 1..=len {
            table.raw_set(index, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: u64, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            // The state would raise these through frames of Rust.
            match key {
                Value::Nil => return Err(plain("table index is nil")),
                Value::Number(key) if key.is_nan() => return Err(plain("table index is NaN")),
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}
