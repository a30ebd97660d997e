//! The functions of `string` that are not Lua's own: those with patterns, and `rep`, which must not build what memory
//! cannot hold. Meaning and texts are Lua 5.1's.

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::error::{Raised, at_caller, plain};
use super::params::{Natives, Pace, Pacer, Params, check_memory, new_string, type_name};
use super::patterns::{Capture, Failure, Matcher, is_plain};
use super::stack::set_limit;

/// Puts the natives into `table`, under the names the prelude takes them from.
pub(super) fn install(lua: &Lua, natives: &Natives, table: &Table) -> mlua::Result<()> {
    table.raw_set("find", natives.function(lua, |params| find(&params, true))?)?;
    table.raw_set("match", natives.function(lua, |params| find(&params, false))?)?;
    table.raw_set("match_from", natives.function(lua, |params| match_from(&params))?)?;
    table.raw_set("rep", natives.function(lua, |params| rep(&params))?)?;
    let pcall: Function = lua.globals().raw_get("pcall")?;
    let index = lua.load("local table, key = ... return table[key]").set_name("=(sandbox)").into_function()?;
    table.raw_set("gsub", natives.function(lua, move |params| gsub(&params, &pcall, &index))?)?;
    Ok(())
}

/// The byte a position names, from 0: negative ones count from the end.
fn start_of(position: i64, len: usize) -> usize {
    let from_one = if position < 0 { position.saturating_add(len as i64 + 1).max(0) } else { position };
    ((from_one - 1).max(0) as u64).min(len as u64) as usize
}

fn find(params: &Params<'_>, positions: bool) -> mlua::Result<MultiValue> {
    let (text, pattern) = (params.string(0)?, params.string(1)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let mut start = start_of(params.integer_or(2, 1)?, text.len());
    if positions && (params.truth(3) || is_plain(&pattern)) {
        let found = memchr::memmem::find(&text[start..], &pattern);
        return Ok(match found {
            Some(at) => MultiValue::from_vec(vec![number(start + at + 1), number(start + at + pattern.len())]),
            None => MultiValue::from_vec(vec![Value::Nil]),
        });
    }
    let anchored = pattern.first() == Some(&b'^');
    let pace = Pace::new(params.lua);
    let mut matcher = Matcher::new(&text, &pattern, &pace);
    loop {
        if let Some(end) = matched(params.lua, matcher.match_at(start, usize::from(anchored)))? {
            let mut results = Vec::new();
            if positions {
                results.extend([number(start + 1), number(end)]);
            }
            push_captures(params.lua, &matcher, (!positions).then_some((start, end)), &mut results)?;
            return Ok(MultiValue::from_vec(results));
        }
        start += 1;
        if anchored || start > text.len() {
            return Ok(MultiValue::from_vec(vec![Value::Nil]));
        }
    }
}

/// One step of `gmatch`: where to go on, and the captures; nothing at the end.
fn match_from(params: &Params<'_>) -> mlua::Result<MultiValue> {
    let (text, pattern) = (params.string(0)?, params.string(1)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let pace = Pace::new(params.lua);
    let mut matcher = Matcher::new(&text, &pattern, &pace);
    for start in params.integer(2)?.max(0) as usize..=text.len() {
        if let Some(end) = matched(params.lua, matcher.match_at(start, 0))? {
            let mut results = vec![number(if end == start { end + 1 } else { end })];
            push_captures(params.lua, &matcher, Some((start, end)), &mut results)?;
            return Ok(MultiValue::from_vec(results));
        }
    }
    Ok(MultiValue::new())
}

fn matched(lua: &Lua, outcome: Result<Option<usize>, Failure>) -> mlua::Result<Option<usize>> {
    outcome.map_err(|failure| failed(lua, failure))
}

fn failed(lua: &Lua, failure: Failure) -> mlua::Error {
    match failure {
        Failure::Malformed(text) => at_caller(lua, text),
        Failure::Stop(error) => error,
    }
}

fn number(value: usize) -> Value {
    Value::Number(value as f64)
}

/// The captures as values; the whole match when there are none and `whole` is given.
fn push_captures(
    lua: &Lua,
    matcher: &Matcher<'_>,
    whole: Option<(usize, usize)>,
    out: &mut Vec<Value>,
) -> mlua::Result<()> {
    if let (Some((start, end)), true) = (whole, matcher.captures().is_empty()) {
        out.push(new_string(lua, &matcher.text()[start..end])?);
    }
    for capture in matcher.captures() {
        out.push(capture_value(lua, matcher.text(), *capture)?);
    }
    Ok(())
}

fn capture_value(lua: &Lua, text: &[u8], capture: Capture) -> mlua::Result<Value> {
    match capture {
        Capture::Open(_) => Err(at_caller(lua, "unfinished capture")),
        Capture::Position(at) => Ok(number(at + 1)),
        Capture::Span(start, end) => new_string(lua, &text[start..end]),
    }
}

fn gsub(params: &Params<'_>, pcall: &Function, index: &Function) -> mlua::Result<(Value, Value)> {
    let lua = params.lua;
    let (text, pattern) = (params.string(0)?, params.string(1)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let replacement = match params.get(2) {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            Replacement::Text(params.string(2)?.as_bytes().to_vec())
        }
        Value::Table(_) => Replacement::Ask { function: index, table: Some(params.get(2)) },
        Value::Function(function) => Replacement::Ask { function, table: None },
        _ => return Err(params.error(2, "string/function/table expected")),
    };
    // The C of Lua takes this as a 32-bit integer.
    let limit = params.integer_or(3, text.len() as i64 + 1)? as i32;
    let anchored = pattern.first() == Some(&b'^');
    let pace = Pace::new(lua);
    let mut matcher = Matcher::new(&text, &pattern, &pace);
    let mut out = Vec::new();
    let (mut at, mut count) = (0, 0);
    while count < limit {
        let end = matched(lua, matcher.match_at(at, usize::from(anchored)))?;
        if let Some(end) = end {
            count += 1;
            replacement.push(lua, pcall, &matcher, (at, end), &mut out)?;
        }
        match end {
            Some(end) if end > at => at = end,
            _ if at < text.len() => {
                out.push(text[at]);
                at += 1;
            }
            _ => break,
        }
        if out.len() > 1 << 20 {
            check_memory(lua, out.len())?;
        }
        if anchored {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
    Ok((new_string(lua, &out)?, Value::Integer(i64::from(count))))
}

/// What `gsub` puts in place of a match.
enum Replacement<'a> {
    /// A text with `%0` to `%9`.
    Text(Vec<u8>),
    /// What a function answers to the captures, or to a table and the first capture.
    Ask { function: &'a Function, table: Option<&'a Value> },
}

impl Replacement<'_> {
    fn push(
        &self,
        lua: &Lua,
        pcall: &Function,
        matcher: &Matcher<'_>,
        (start, end): (usize, usize),
        out: &mut Vec<u8>,
    ) -> mlua::Result<()> {
        let whole = &matcher.text()[start..end];
        let (function, table) = match self {
            Replacement::Text(text) => return push_template(lua, text, matcher, whole, out),
            Replacement::Ask { function, table } => (function, table),
        };
        let mut args = vec![Value::Function((*function).clone())];
        args.extend(table.cloned());
        push_captures(lua, matcher, Some((start, end)), &mut args)?;
        if table.is_some() {
            args.truncate(3);
        }
        match guarded(lua, pcall, args)? {
            Value::Nil | Value::Boolean(false) => out.extend_from_slice(whole),
            answer @ (Value::String(_) | Value::Integer(_) | Value::Number(_)) => {
                let text = lua.coerce_string(answer)?.expect("strings and numbers have a text");
                out.extend_from_slice(&text.as_bytes());
            }
            other => return Err(at_caller(lua, format!("invalid replacement value (a {})", type_name(&other)))),
        }
        Ok(())
    }
}

/// Calls into the script from a native: under its memory limit, and with its errors kept as they are.
fn guarded(lua: &Lua, pcall: &Function, args: Vec<Value>) -> mlua::Result<Value> {
    let limit = lua.app_data_ref::<Pacer>().map_or(0, |pacer| pacer.limit);
    set_limit(lua, limit);
    let answer = pcall.call::<(bool, Value)>(MultiValue::from_vec(args));
    set_limit(lua, 0);
    match answer? {
        (true, value) => Ok(value),
        (false, Value::Error(error)) => Err(*error),
        (false, value) => Err(Raised::Value(std::cell::RefCell::new(Some(value))).into()),
    }
}

fn push_template(
    lua: &Lua,
    template: &[u8],
    matcher: &Matcher<'_>,
    whole: &[u8],
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    let mut bytes = template.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match bytes.next().copied().unwrap_or(0) {
            b'0' => out.extend_from_slice(whole),
            digit @ b'1'..=b'9' => match matcher.captures().get(usize::from(digit - b'1')) {
                None if digit == b'1' => out.extend_from_slice(whole),
                None => return Err(at_caller(lua, "invalid capture index")),
                Some(Capture::Open(_)) => return Err(at_caller(lua, "unfinished capture")),
                Some(Capture::Position(at)) => out.extend_from_slice((at + 1).to_string().as_bytes()),
                Some(Capture::Span(start, end)) => out.extend_from_slice(&matcher.text()[*start..*end]),
            },
            other => out.push(other),
        }
    }
    Ok(())
}

fn rep(params: &Params<'_>) -> mlua::Result<Value> {
    let text = params.string(0)?;
    // The C of Lua takes this as a 32-bit integer.
    let count = (params.integer(1)? as i32).max(0) as usize;
    let text = text.as_bytes();
    let len = text.len().checked_mul(count).ok_or_else(|| plain("not enough memory"))?;
    check_memory(params.lua, len.saturating_mul(2))?;
    new_string(params.lua, text.repeat(count))
}
