//! The library `struct`: C structures as strings, as Roberto Ierusalimschy's struct 0.2 packs them.
//!
//! `<` `>` byte order, `!n` alignment, `b B h H l L T` integers of 1, 2 and 8 bytes, `in In` of n bytes (4 without),
//! `f d` floats, `x` padding, `s` a string with its NUL, `cn` n bytes (`c0`: all of it, or as many as the number just
//! read). Sizes never wrap: the format of an attack ends in an error.

use mlua::{Lua, MultiValue, Table, Value};

use super::error::{at_caller, bad_argument};
use super::params::{Natives, Params, RESULTS_MAX, check_memory, new_string, to_integer};

/// Bytes of the widest integer.
const INTEGER_MAX: usize = 32;

/// The alignment `!` without a number asks for.
const ALIGN_MAX: usize = 8;

/// The library.
pub(super) fn table(lua: &Lua, natives: &Natives) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", natives.function(lua, |params| pack(&params))?)?;
    table.raw_set("unpack", natives.function(lua, |params| unpack(&params))?)?;
    table.raw_set("size", natives.function(lua, |params| size(&params))?)?;
    Ok(table)
}

/// A format read option by option.
struct Format<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
    big_endian: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, text: &'a [u8]) -> Self {
        Format { lua, rest: super::error::until_nul(text), big_endian: cfg!(target_endian = "big"), align: 1 }
    }

    /// The next option with its size in bytes.
    fn next(&mut self) -> mlua::Result<Option<(u8, usize)>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_MAX {
                    let text = format!("integral size {size} is larger than limit of {INTEGER_MAX}");
                    return Err(at_caller(self.lua, text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut number = 0i32;
        while let Some((digit, rest)) = self.rest.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
            let next = number.checked_mul(10).and_then(|number| number.checked_add(i32::from(digit - b'0')));
            number = next.ok_or_else(|| at_caller(self.lua, "integral size overflow"))?;
            self.rest = rest;
        }
        Ok(number as usize)
    }

    /// Padding bytes before an option at `position`.
    fn padding(&self, position: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.align);
        // As the original: sizes that are no power of two give what this mask gives.
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// Byte order and alignment; anything else is refused.
    fn control(&mut self, option: u8) -> mlua::Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    return Err(at_caller(self.lua, format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            other => {
                let why = format!("invalid format option '{}'", char::from(other));
                return Err(bad_argument(self.lua, 1, &why));
            }
        }
        Ok(())
    }

    /// Bytes in the order of the format, given in little-endian order.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }
}

fn pack(params: &Params<'_>) -> mlua::Result<Value> {
    let text = params.string(0)?;
    let text = text.as_bytes();
    let mut format = Format::new(params.lua, &text);
    let mut out: Vec<u8> = Vec::new();
    let mut arg = 1;
    // The original has a nil of its own behind the arguments, which its texts betray.
    let missing = |arg: usize, expected: &str| match params.len() {
        len if arg >= len => Err(params.error(arg, &format!("{expected} expected, got nil"))),
        _ => Ok(()),
    };
    while let Some((option, size)) = format.next()? {
        out.resize(out.len() + format.padding(out.len(), option, size), 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                missing(arg, "number")?;
                push_integer(&mut out, params.number(arg)?, size, format.big_endian);
                arg += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                missing(arg, "number")?;
                out.extend_from_slice(&format.ordered((params.number(arg)? as f32).to_le_bytes()));
                arg += 1;
            }
            b'd' => {
                missing(arg, "number")?;
                out.extend_from_slice(&format.ordered(params.number(arg)?.to_le_bytes()));
                arg += 1;
            }
            b'c' | b's' => {
                missing(arg, "string")?;
                let value = params.string(arg)?;
                let value = value.as_bytes();
                arg += 1;
                let size = if size == 0 { value.len() } else { size };
                if value.len() < size {
                    return Err(params.error(arg, "string too short"));
                }
                check_memory(params.lua, out.len() + size)?;
                out.extend_from_slice(&value[..size]);
                if option == b's' {
                    out.push(0);
                }
            }
            option => format.control(option)?,
        }
    }
    new_string(params.lua, &out)
}

/// The low `size` bytes of a number; beyond eight they are zero.
fn push_integer(out: &mut Vec<u8>, number: f64, size: usize, big_endian: bool) {
    let value = if number < 0.0 { to_integer(number) as u64 } else { number as u64 };
    let start = out.len();
    out.extend_from_slice(&value.to_le_bytes()[..size.min(8)]);
    out.resize(start + size, 0);
    if big_endian {
        out[start..].reverse();
    }
}

fn unpack(params: &Params<'_>) -> mlua::Result<MultiValue> {
    let (text, data) = (params.string(0)?, params.string(1)?);
    let (text, data) = (text.as_bytes(), data.as_bytes());
    let short = || params.error(1, "data string too short");
    let mut at = match params.integer_or(2, 1)? {
        position @ 1.. => (position - 1) as usize,
        _ => return Err(params.error(2, "offset must be 1 or greater")),
    };
    let mut format = Format::new(params.lua, &text);
    let mut values = Vec::new();
    while let Some((option, size)) = format.next()? {
        at = at.saturating_add(format.padding(at, option, size));
        if at > data.len() || size > data.len() - at {
            return Err(short());
        }
        if values.len() >= RESULTS_MAX {
            return Err(at_caller(params.lua, "stack overflow (too many results)"));
        }
        let field = &data[at..at + size];
        let mut taken = size;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let value = read_integer(field, format.big_endian, option.is_ascii_lowercase());
                values.push(Value::Number(value));
            }
            b'x' => {}
            b'f' => {
                let bytes = format.ordered(field.try_into().expect("the field is four bytes"));
                values.push(Value::Number(f64::from(f32::from_le_bytes(bytes))));
            }
            b'd' => {
                let bytes = format.ordered(field.try_into().expect("the field is eight bytes"));
                values.push(Value::Number(f64::from_le_bytes(bytes)));
            }
            b'c' if size == 0 => {
                let Some(Value::Number(len)) = values.pop() else {
                    return Err(at_caller(params.lua, "format 'c0' needs a previous size"));
                };
                taken = usize::try_from(to_integer(len)).unwrap_or(usize::MAX);
                let field = at.checked_add(taken).and_then(|end| data.get(at..end)).ok_or_else(short)?;
                values.push(new_string(params.lua, field)?);
            }
            b'c' => values.push(new_string(params.lua, field)?),
            b's' => {
                let end =
                    memchr::memchr(0, &data[at..]).ok_or_else(|| at_caller(params.lua, "unfinished string in data"))?;
                values.push(new_string(params.lua, &data[at..at + end])?);
                taken = end + 1;
            }
            option => format.control(option)?,
        }
        at += taken;
    }
    values.push(Value::Integer(at as i64 + 1));
    Ok(MultiValue::from_vec(values))
}

/// An integer of any width; bytes above the eighth are shifted out.
fn read_integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
    if !signed {
        return value as f64;
    }
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    ((value << unused.min(63)) as i64 >> unused.min(63)) as f64
}

fn size(params: &Params<'_>) -> mlua::Result<i64> {
    let text = params.string(0)?;
    let text = text.as_bytes();
    let mut format = Format::new(params.lua, &text);
    let mut total = 0usize;
    while let Some((option, size)) = format.next()? {
        total = total.saturating_add(format.padding(total, option, size));
        match (option, size) {
            (b's', _) => return Err(params.error(0, "option 's' has no fixed size")),
            (b'c', 0) => return Err(params.error(0, "option 'c0' has no fixed size")),
            (option, _) if !option.is_ascii_alphanumeric() => format.control(option)?,
            _ => {}
        }
        total = total.saturating_add(size);
    }
    Ok(i64::try_from(total).unwrap_or(i64::MAX))
}
