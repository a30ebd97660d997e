//! The arguments of a native, checked in the words of Lua's own auxiliary library.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{FromLuaMulti, Function, IntoLua, Lua, MultiValue, Value};

use super::desk::Desk;
use super::error::{self, plain};
use super::stack::set_limit;

/// The arguments of a call, counted from 1 in error texts and from 0 here.
pub(super) struct Params<'a> {
    pub lua: &'a Lua,
    values: &'a [Value],
}

/// How many results a native may hand back: each costs a slot of a table that ends at 8,000.
pub(super) const RESULTS_MAX: usize = 4_000;

impl<'a> Params<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument, nil when absent.
    pub fn get(&self, index: usize) -> &'a Value {
        const NIL: &Value = &Value::Nil;
        self.values.get(index).unwrap_or(NIL)
    }

    /// All of them.
    pub fn all(&self) -> &'a [Value] {
        self.values
    }

    /// Lua's name for the type of an argument; "no value" when absent.
    pub fn type_name(&self, index: usize) -> &'static str {
        self.values.get(index).map_or("no value", type_name)
    }

    /// The error of an argument of the wrong type.
    pub fn type_error(&self, index: usize, expected: &str) -> mlua::Error {
        self.error(index, &format!("{expected} expected, got {}", self.type_name(index)))
    }

    /// The error of an argument with the reason.
    pub fn error(&self, index: usize, why: &str) -> mlua::Error {
        error::bad_argument(self.lua, index + 1, why)
    }

    /// A string, or a number as its text.
    pub fn string(&self, index: usize) -> mlua::Result<mlua::String> {
        match self.get(index) {
            Value::String(text) => Ok(text.clone()),
            value @ (Value::Integer(_) | Value::Number(_)) => {
                Ok(self.lua.coerce_string(value.clone())?.expect("a number has a text"))
            }
            _ => Err(self.type_error(index, "string")),
        }
    }

    /// A number, or a string that reads as one.
    pub fn number(&self, index: usize) -> mlua::Result<f64> {
        to_number(self.lua, self.get(index))?.ok_or_else(|| self.type_error(index, "number"))
    }

    /// A number cut to an integer the way the C of Lua does it.
    pub fn integer(&self, index: usize) -> mlua::Result<i64> {
        Ok(to_integer(self.number(index)?))
    }

    /// An integer, `or` when absent or nil.
    pub fn integer_or(&self, index: usize, or: i64) -> mlua::Result<i64> {
        if self.get(index).is_nil() { Ok(or) } else { self.integer(index) }
    }

    /// What counts as true.
    pub fn truth(&self, index: usize) -> bool {
        !matches!(self.get(index), Value::Nil | Value::Boolean(false))
    }
}

/// Lua's name for the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) | Value::Other(_) => "userdata",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
    }
}

/// A number, or a string that reads as one.
pub(super) fn to_number(lua: &Lua, value: &Value) -> mlua::Result<Option<f64>> {
    match value {
        Value::Integer(number) => Ok(Some(*number as f64)),
        Value::Number(number) => Ok(Some(*number)),
        Value::String(_) => lua.coerce_number(value.clone()),
        _ => Ok(None),
    }
}

/// What `(long long)number` gives on the machines Redis runs on.
pub(super) fn to_integer(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// Hands out natives. While one runs the memory limit of Lua is off, so that building values needs no guard around
/// every allocation; natives that build much ask [`Pace`] now and then.
#[derive(Clone)]
pub(super) struct Natives {
    limit: usize,
}

impl Natives {
    /// For a machine with this memory limit.
    pub fn new(limit: usize) -> Self {
        Natives { limit }
    }

    /// A native with its arguments checked by itself.
    pub fn function<F, R>(&self, lua: &Lua, native: F) -> mlua::Result<Function>
    where
        F: Fn(Params<'_>) -> mlua::Result<R> + 'static,
        R: mlua::IntoLuaMulti,
    {
        let limit = self.limit;
        lua.create_function(move |lua, values: Values| {
            let _open = NoLimit::enter(lua, limit);
            native(Params { lua, values: values.0.as_slice() })?.into_lua_multi(lua)
        })
    }
}

/// All arguments in one piece of memory.
pub(super) struct Values(pub Vec<Value>);

impl FromLuaMulti for Values {
    fn from_lua_multi(values: MultiValue, _: &Lua) -> mlua::Result<Self> {
        Ok(Values(values.into_vec()))
    }
}

/// While this lives Lua's memory limit is off.
pub(super) struct NoLimit<'a> {
    lua: &'a Lua,
    limit: usize,
}

impl<'a> NoLimit<'a> {
    /// Takes the limit off until dropped.
    pub fn enter(lua: &'a Lua, limit: usize) -> Self {
        set_limit(lua, 0);
        NoLimit { lua, limit }
    }
}

impl Drop for NoLimit<'_> {
    fn drop(&mut self) {
        set_limit(self.lua, self.limit);
    }
}

/// What a native that may take long checks every so many steps: the clock and the memory.
pub(super) struct Pace<'a> {
    lua: &'a Lua,
    left: Cell<u32>,
}

/// The desk, where a [`super::Tick`] can be asked for, and the limit, where any native can find them.
pub(super) struct Pacer {
    pub desk: Rc<Desk>,
    pub limit: usize,
}

impl Pacer {
    /// Looks at the clock. `Err` when the script is to die.
    pub fn tick(lua: &Lua) -> mlua::Result<()> {
        let desk = match lua.app_data_ref::<Pacer>() {
            Some(pacer) => Rc::clone(&pacer.desk),
            None => return Ok(()),
        };
        Ok(desk.tick()?)
    }
}

/// Steps between looks at the clock.
const STEPS: u32 = 50_000;

impl<'a> Pace<'a> {
    /// Starts counting.
    pub fn new(lua: &'a Lua) -> Self {
        Pace { lua, left: Cell::new(STEPS) }
    }

    /// One step of work. `Err` when the script is to die.
    #[inline]
    pub fn step(&self) -> mlua::Result<()> {
        match self.left.get() {
            0 => {
                self.left.set(STEPS);
                self.look()
            }
            left => {
                self.left.set(left - 1);
                Ok(())
            }
        }
    }

    #[cold]
    fn look(&self) -> mlua::Result<()> {
        check_memory(self.lua, 0)?;
        Pacer::tick(self.lua)
    }
}

/// Whether `more` bytes may be added; the error is the one Lua raises.
pub(super) fn check_memory(lua: &Lua, more: usize) -> mlua::Result<()> {
    let limit = lua.app_data_ref::<Pacer>().map_or(usize::MAX, |pacer| pacer.limit);
    if lua.used_memory().saturating_add(more) > limit { Err(plain("not enough memory")) } else { Ok(()) }
}

/// A Lua string of these bytes, if memory allows.
pub(super) fn new_string(lua: &Lua, bytes: impl AsRef<[u8]>) -> mlua::Result<Value> {
    check_memory(lua, bytes.as_ref().len())?;
    lua.create_string(bytes)?.into_lua(lua)
}
