//! The library `bit`: 32-bit operations with signed results, as BitOp defines them.

use mlua::{Lua, Table};

use super::params::{Natives, Params};

/// The 32 bits of a number: rounded to the nearest whole, then modulo 2^32. Adding 1.5 * 2^52 leaves just these in the
/// low half of a double.
fn bits(params: &Params<'_>, index: usize) -> mlua::Result<u32> {
    Ok((params.number(index)? + 6_755_399_441_055_744.0).to_bits() as u32)
}

/// The library.
pub(super) fn table(lua: &Lua, natives: &Natives) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let one: [(&str, fn(u32) -> u32); 3] = [("tobit", |x| x), ("bnot", |x| !x), ("bswap", u32::swap_bytes)];
    for (name, operate) in one {
        table.raw_set(name, natives.function(lua, move |params| Ok(operate(bits(&params, 0)?) as i32))?)?;
    }
    let many: [(&str, fn(u32, u32) -> u32); 3] =
        [("band", |x, y| x & y), ("bor", |x, y| x | y), ("bxor", |x, y| x ^ y)];
    for (name, operate) in many {
        table.raw_set(name, natives.function(lua, move |params| fold(&params, operate))?)?;
    }
    let shifts: [(&str, fn(u32, u32) -> u32); 5] = [
        ("lshift", |x, n| x << n),
        ("rshift", |x, n| x >> n),
        ("arshift", |x, n| (x as i32 >> n) as u32),
        ("rol", u32::rotate_left),
        ("ror", u32::rotate_right),
    ];
    for (name, operate) in shifts {
        let shift = move |params: Params<'_>| Ok(operate(bits(&params, 0)?, bits(&params, 1)? & 31) as i32);
        table.raw_set(name, natives.function(lua, shift)?)?;
    }
    table.raw_set("tohex", natives.function(lua, |params| tohex(&params))?)?;
    Ok(table)
}

fn fold(params: &Params<'_>, operate: fn(u32, u32) -> u32) -> mlua::Result<i32> {
    let mut result = bits(params, 0)?;
    for index in 1..params.len() {
        result = operate(result, bits(params, index)?);
    }
    Ok(result as i32)
}

/// Up to eight hex digits, the low ones; a negative count asks for capitals.
fn tohex(params: &Params<'_>) -> mlua::Result<String> {
    let value = bits(params, 0)?;
    let digits = if params.get(1).is_nil() && params.len() < 2 { 8 } else { bits(params, 1)? as i32 };
    let count = digits.unsigned_abs().min(8) as usize;
    let all = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(all[8 - count..].to_owned())
}
