//! The table `redis`, also known as `server`: what a script may ask of the outside, and the small helpers beside it.
//!
//! Texts of errors are Redis' own. Those raised as tables (`{err = "ERR .."}`) carry no position; the outermost handler
//! adds where the script stood.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};
use sha1::{Digest, Sha1};

use super::LogLevel;
use super::calls::{self, Ground};
use super::desk::{Desk, Phase};
use super::error::{self, Raised, error_table, reply, until_nul, with_code};
use super::flags::{BAD_NAME, Flags, valid_name};
use super::library::Registered;
use super::params::{Natives, Pacer, Params, to_integer, to_number};

/// The natives that ask the driver.
pub(super) struct Asking {
    /// `redis.call`
    pub call: Function,
    /// `redis.pcall`
    pub pcall: Function,
    /// `redis.acl_check_cmd`
    pub acl_check: Function,
    /// `redis.log`
    pub log: Function,
    /// `redis.set_repl`
    pub set_repl: Function,
}

impl Asking {
    /// Makes them.
    pub fn new(natives: &Natives, ground: &Ground<'_>, desk: &Rc<Desk>) -> mlua::Result<Asking> {
        let lua = ground.lua;
        let shared = Rc::clone(desk);
        let log = natives.function(lua, move |params| log(&shared, &params))?;
        let shared = Rc::clone(desk);
        let set_repl = natives.function(lua, move |params| set_repl(&shared, &params))?;
        let (call, pcall) = (calls::call(ground)?, calls::pcall(ground)?);
        Ok(Asking { call, pcall, acl_check: calls::acl_check(ground)?, log, set_repl })
    }
}

fn log(desk: &Desk, params: &Params<'_>) -> mlua::Result<()> {
    let lua = params.lua;
    let [level, parts @ ..] = params.all() else {
        return Err(reply("redis.log() requires two arguments or more."));
    };
    if parts.is_empty() {
        return Err(reply("redis.log() requires two arguments or more."));
    }
    let level = to_number(lua, level)?.ok_or_else(|| reply("First argument must be a number (log level)."))?;
    let level = match to_integer(level) {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => return Err(reply("Invalid log level.")),
    };
    let mut line = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if let Some(text) = lua.coerce_string(part.clone())? {
            if index > 0 {
                line.push(b' ');
            }
            line.extend_from_slice(&text.as_bytes());
        }
    }
    Ok(desk.ask(|caller| caller.log(level, &line))?)
}

fn set_repl(desk: &Desk, params: &Params<'_>) -> mlua::Result<()> {
    let [targets] = params.all() else {
        return Err(reply("redis.set_repl() requires one argument."));
    };
    let targets = to_integer(to_number(params.lua, targets)?.unwrap_or(0.0));
    if targets & !3 != 0 {
        return Err(reply("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."));
    }
    Ok(desk.ask(|caller| caller.set_repl(targets as u8))?)
}

/// The table `redis` as scripts and functions see it while they run.
pub(super) fn table(lua: &Lua, natives: &Natives, asking: &Asking, desk: &Rc<Desk>) -> mlua::Result<Table> {
    let redis = common(lua, asking, desk)?;
    redis.raw_set("call", &asking.call)?;
    redis.raw_set("pcall", &asking.pcall)?;
    redis.raw_set("acl_check_cmd", &asking.acl_check)?;
    redis.raw_set("set_repl", &asking.set_repl)?;
    for (name, targets) in [("NONE", 0), ("AOF", 1), ("SLAVE", 2), ("REPLICA", 2), ("ALL", 3)] {
        redis.raw_set(format!("REPL_{name}"), targets)?;
    }
    let shared = Rc::clone(desk);
    redis.raw_set("setresp", natives.function(lua, move |params| set_resp(&shared, &params))?)?;
    redis.raw_set("sha1hex", natives.function(lua, |params| sha1hex_of(&params))?)?;
    redis.raw_set("error_reply", natives.function(lua, |params| error_reply(&params))?)?;
    redis.raw_set("status_reply", natives.function(lua, |params| status_reply(&params))?)?;
    redis.raw_set("replicate_commands", natives.function(lua, |_| Ok(true))?)?;
    // No debugger can be attached, so a breakpoint never stops and a debug line has no reader.
    redis.raw_set("breakpoint", natives.function(lua, |_| Ok(false))?)?;
    redis.raw_set("debug", natives.function(lua, |_| Ok(()))?)?;
    Ok(redis)
}

/// The table `redis` as the body of a library sees it. `slots` takes the functions it registers.
pub(super) fn library_table(
    lua: &Lua,
    natives: &Natives,
    asking: &Asking,
    desk: &Rc<Desk>,
    slots: &Table,
) -> mlua::Result<Table> {
    let redis = common(lua, asking, desk)?;
    let (shared, slots) = (Rc::clone(desk), slots.clone());
    let register = natives.function(lua, move |params| register_function(&shared, &slots, &params))?;
    redis.raw_set("register_function", register)?;
    Ok(redis)
}

/// What both have.
fn common(lua: &Lua, asking: &Asking, desk: &Desk) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    redis.raw_set("log", &asking.log)?;
    for (level, name) in ["DEBUG", "VERBOSE", "NOTICE", "WARNING"].into_iter().enumerate() {
        redis.raw_set(format!("LOG_{name}"), level)?;
    }
    let [major, minor, patch] = desk.version;
    redis.raw_set("REDIS_VERSION", format!("{major}.{minor}.{patch}"))?;
    redis.raw_set("REDIS_VERSION_NUM", u32::from_be_bytes([0, major, minor, patch]))?;
    Ok(redis)
}

fn set_resp(desk: &Desk, params: &Params<'_>) -> mlua::Result<()> {
    if params.len() != 1 {
        return Err(reply("redis.setresp() requires one argument."));
    }
    match to_number(params.lua, params.get(0))?.map(to_integer) {
        Some(version @ (2 | 3)) => desk.script_resp3.set(version == 3),
        _ => return Err(reply("RESP version must be 2 or 3.")),
    }
    Ok(())
}

fn sha1hex_of(params: &Params<'_>) -> mlua::Result<Value> {
    if params.len() != 1 {
        return Err(reply("wrong number of arguments"));
    }
    let text = params.lua.coerce_string(params.get(0).clone())?;
    let hex = match text {
        Some(text) => sha1hex(&text.as_bytes()),
        None => sha1hex(b""),
    };
    Ok(Value::String(params.lua.create_string(hex)?))
}

/// The SHA1 of a text as 40 lowercase hex digits.
pub(super) fn sha1hex(text: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 40];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(Sha1::digest(text)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

fn error_reply(params: &Params<'_>) -> mlua::Result<Table> {
    let [Value::String(text)] = params.all() else {
        return error_table(params.lua, b"ERR wrong number or type of arguments", false);
    };
    let text = text.as_bytes();
    let text = until_nul(&text);
    let err = if text.starts_with(b"-") { with_code(text) } else { with_code(&[b"-", text].concat()) };
    error_table(params.lua, &err, false)
}

fn status_reply(params: &Params<'_>) -> mlua::Result<Table> {
    let [Value::String(text)] = params.all() else {
        return error_table(params.lua, b"ERR wrong number or type of arguments", false);
    };
    let table = params.lua.create_table_with_capacity(0, 1)?;
    table.raw_set("ok", text)?;
    Ok(table)
}

fn register_function(desk: &Desk, slots: &Table, params: &Params<'_>) -> mlua::Result<()> {
    if desk.phase.get() != Phase::Load {
        return Err(reply("redis.register_function can only be called on FUNCTION LOAD command"));
    }
    let (mut function, callback) = match params.len() {
        1 => named_arguments(params)?,
        2 => positional_arguments(params)?,
        _ => return Err(reply("wrong number of arguments to redis.register_function")),
    };
    if !valid_name(&function.name) {
        return Err(reply(BAD_NAME));
    }
    let mut registered = desk.registered.borrow_mut();
    if registered.iter().any(|other| other.name == function.name) {
        return Err(reply("Function already exists in the library"));
    }
    function.slot = desk.next_slot.get();
    desk.next_slot.set(function.slot + 1);
    slots.raw_set(function.slot, callback)?;
    registered.push(function);
    Ok(())
}

fn positional_arguments(params: &Params<'_>) -> mlua::Result<(Registered, Function)> {
    let name = text_of(params.lua, params.get(0))?
        .ok_or_else(|| reply("first argument to redis.register_function must be a string"))?;
    let callback = params
        .get(1)
        .as_function()
        .cloned()
        .ok_or_else(|| reply("second argument to redis.register_function must be a function"))?;
    Ok((Registered { name, ..Registered::default() }, callback))
}

fn named_arguments(params: &Params<'_>) -> mlua::Result<(Registered, Function)> {
    let lua = params.lua;
    let Value::Table(given) = params.get(0) else {
        return Err(reply(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing \
             named arguments).",
        ));
    };
    let mut function = Registered::default();
    let (mut name, mut callback) = (None, None);
    for pair in given.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(key) = key else {
            return Err(reply(match text_of(lua, &key)? {
                Some(_) => "unknown argument given to redis.register_function",
                None => "named argument key given to redis.register_function is not a string",
            }));
        };
        match &*key.as_bytes() {
            b"function_name" => {
                name = Some(text_of(lua, &value)?.ok_or_else(|| {
                    reply("function_name argument given to redis.register_function must be a string")
                })?);
            }
            b"description" => {
                function.description =
                    Some(text_of(lua, &value)?.ok_or_else(|| {
                        reply("description argument given to redis.register_function must be a string")
                    })?);
            }
            b"callback" => {
                let given = value
                    .as_function()
                    .ok_or_else(|| reply("callback argument given to redis.register_function must be a function"))?;
                callback = Some(given.clone());
            }
            b"flags" => {
                let given = value.as_table().ok_or_else(|| {
                    reply("flags argument to redis.register_function must be a table representing function flags")
                })?;
                function.flags = flags_of(given)?;
            }
            _ => return Err(reply("unknown argument given to redis.register_function")),
        }
    }
    function.name = name.ok_or_else(|| reply("redis.register_function must get a function name argument"))?;
    let callback = callback.ok_or_else(|| reply("redis.register_function must get a callback argument"))?;
    Ok((function, callback))
}

fn flags_of(given: &Table) -> mlua::Result<Flags> {
    let mut flags = Flags::default();
    for index in 1.. {
        match given.raw_get(index)? {
            Value::Nil => break,
            Value::String(name) => {
                flags = flags.and(Flags::named(&name.as_bytes()).ok_or_else(|| reply("unknown flag given"))?);
            }
            _ => return Err(reply("unknown flag given")),
        }
    }
    Ok(flags)
}

/// A string, or a number as its text.
fn text_of(lua: &Lua, value: &Value) -> mlua::Result<Option<Vec<u8>>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            Ok(lua.coerce_string(value.clone())?.map(|text| text.as_bytes().to_vec()))
        }
        _ => Ok(None),
    }
}

/// The natives of the prelude's own use: turning errors back, naming callers, the outermost handler.
pub(super) fn prelude_natives(lua: &Lua, natives: &Natives, desk: &Rc<Desk>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let shared = Rc::clone(desk);
    let unwrap = natives.function(lua, move |params| {
        if shared.killed.get() { Err(Raised::Kill.into()) } else { error::unwrap(params.lua, params.get(0).clone()) }
    })?;
    table.raw_set("unwrap", unwrap)?;
    let shared = Rc::clone(desk);
    table.raw_set("tick", natives.function(lua, |params| Pacer::tick(params.lua))?)?;
    table.raw_set("dying", natives.function(lua, move |_| Ok(shared.killed.get()))?)?;
    let shared = Rc::clone(desk);
    let handler = natives.function(lua, move |params| {
        if shared.killed.get() {
            *shared.killed_at.borrow_mut() = error::failing_place(params.lua);
            return Ok(Value::Nil);
        }
        Ok(Value::Table(error::handle(params.lua, params.get(0).clone())?))
    })?;
    table.raw_set("handler", handler)?;
    let called_as = natives.function(lua, |params| {
        let level = params.integer(0)?.clamp(0, 16) as usize;
        let name = params.lua.inspect_stack(level, |frame| frame.names().name.map(|name| name.into_owned()));
        Ok(name.flatten().unwrap_or_else(|| "?".to_owned()))
    })?;
    table.raw_set("called_as", called_as)?;
    Ok(table)
}
