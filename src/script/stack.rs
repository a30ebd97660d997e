//! Lua's stack as it is: what every EVAL and every `redis.call` goes through.
//!
//! mlua holds each value it hands out in a slot of its own with a count on the heap; for the few values that a short
//! script moves that is most of its cost (a call of a native with two arguments: 350 ns, 60 ns from here). So calling a
//! script, `redis.call`, and the values and replies between them are made of these few steps; everything else is built on
//! mlua.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use mlua::{IntoLua, Lua, Value, ffi, lua_State};

/// The stack of one thread of Lua. Places are counted from the top: -1 is the last value pushed.
///
/// Whoever makes one answers for all its copies, see [`Stack::new`]; with that the steps below cannot do harm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack(*mut lua_State);

/// A value on the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(&'a [u8]),
    Table,
    Other,
}

impl Stack {
    /// The stack of this thread of Lua.
    ///
    /// # Safety
    /// As long as any copy is used:
    /// - the thread of Lua lives, and nothing else uses it;
    /// - the memory limit is off, except within [`Stack::call`]: then nothing here raises an error, which would jump
    ///   over frames of Rust;
    /// - no more is pushed than [`Stack::room`] has answered for, beyond the 20 places every native begins with;
    /// - places named hold values, tables where tables are asked for; a text is no longer read once it is popped.
    pub unsafe fn new(state: *mut lua_State) -> Stack {
        Stack(state)
    }

    /// The stack of the thread that mlua is at.
    ///
    /// # Safety
    /// See [`Stack::new`].
    pub unsafe fn of(lua: &Lua) -> mlua::Result<Stack> {
        let mut at = std::ptr::null_mut();
        // SAFETY: the closure only looks.
        unsafe { lua.exec_raw::<()>((), |state| at = state)? };
        Ok(Stack(at))
    }

    /// Makes sure of so many places more; false when there cannot be as many.
    pub fn room(self, places: usize) -> bool {
        // SAFETY: see `new`.
        unsafe { ffi::lua_checkstack(self.0, places as c_int) != 0 }
    }

    /// How many values there are.
    pub fn height(self) -> usize {
        // SAFETY: see `new`.
        unsafe { ffi::lua_gettop(self.0) as usize }
    }

    /// Takes off values until there are so many.
    pub fn cut(self, height: usize) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_settop(self.0, height as c_int) }
    }

    /// Takes off so many values.
    pub fn pop(self, count: usize) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_settop(self.0, -(count as c_int) - 1) }
    }

    /// The value at a place, also counted from the bottom, where 1 is a native's first argument.
    pub fn at<'a>(self, place: i32) -> Seen<'a> {
        // SAFETY: see `new`. The bytes of a string stay where they are while it is on the stack.
        unsafe {
            match ffi::lua_type(self.0, place) {
                ffi::LUA_TNIL | ffi::LUA_TNONE => Seen::Nil,
                ffi::LUA_TBOOLEAN => Seen::Boolean(ffi::lua_toboolean(self.0, place) != 0),
                ffi::LUA_TNUMBER => Seen::Number(ffi::lua_tonumber(self.0, place)),
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let start = ffi::lua_tolstring(self.0, place, &raw mut len);
                    Seen::Text(std::slice::from_raw_parts(start.cast(), len))
                }
                ffi::LUA_TTABLE => Seen::Table,
                _ => Seen::Other,
            }
        }
    }

    /// The last value pushed.
    pub fn top<'a>(self) -> Seen<'a> {
        self.at(-1)
    }

    pub fn push_nil(self) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_pushnil(self.0) }
    }

    pub fn push_boolean(self, truth: bool) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(truth)) }
    }

    pub fn push_number(self, number: f64) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_pushnumber(self.0, number) }
    }

    pub fn push_text(self, text: &[u8]) {
        // SAFETY: see `new`. Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.0, text.as_ptr().cast::<c_char>(), text.len()) }
    }

    /// Pushes the value at a place once more.
    pub fn push_copy(self, place: i32) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_pushvalue(self.0, place) }
    }

    /// Pushes a value of mlua's.
    pub fn push(self, lua: &Lua, value: impl IntoLua) -> mlua::Result<()> {
        let mut kept = ffi::LUA_NOREF;
        // SAFETY: see `new`. The one argument is taken off the stack, and errors of memory are caught by `exec_raw`; what is
        // kept is pushed and given up at once.
        unsafe {
            lua.exec_raw::<()>(value, |state| kept = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX))?;
            ffi::lua_rawgeti_(self.0, ffi::LUA_REGISTRYINDEX, kept);
            ffi::luaL_unref(self.0, ffi::LUA_REGISTRYINDEX, kept);
        }
        Ok(())
    }

    /// Pushes an empty table with room for a list and for fields.
    pub fn push_table(self, list: usize, fields: usize) {
        let (list, fields) = (list.min(TABLE_ROOM_MAX), fields.min(TABLE_ROOM_MAX));
        // SAFETY: see `new`.
        unsafe { ffi::lua_createtable(self.0, list as c_int, fields as c_int) }
    }

    /// Pushes a list of texts.
    pub fn push_texts(self, texts: &[&[u8]]) {
        self.push_table(texts.len(), 0);
        self.set_texts(texts);
    }

    /// Makes texts the first items of the table on top.
    pub fn set_texts(self, texts: &[&[u8]]) {
        for (index, text) in texts.iter().enumerate() {
            self.push_text(text);
            self.set_item(index + 1);
        }
    }

    /// Puts the value on top into the table below it as item `index`, and takes it off.
    pub fn set_item(self, index: usize) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_rawseti_(self.0, -2, index as c_int) }
    }

    /// Puts the two values on top into the table below them, as key and value, and takes them off. A key that Lua cannot
    /// have is left out.
    pub fn set_pair(self) {
        let is_key = match self.at(-2) {
            Seen::Nil => false,
            Seen::Number(number) => !number.is_nan(),
            _ => true,
        };
        if is_key {
            // SAFETY: see `new`.
            unsafe { ffi::lua_rawset(self.0, -3) }
        } else {
            self.pop(2);
        }
    }

    /// Pushes item `index` of the table on top, and returns it.
    pub fn push_item<'a>(self, index: usize) -> Seen<'a> {
        self.push_item_of(-1, index);
        self.top()
    }

    /// Pushes item `index` of the table at a place.
    pub fn push_item_of(self, place: i32, index: usize) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_rawgeti_(self.0, place, index as c_int) }
    }

    /// Pushes a field of the table on top, asking no metatable, and returns it.
    pub fn push_field<'a>(self, name: &str) -> Seen<'a> {
        self.push_text(name.as_bytes());
        // SAFETY: see `new`.
        unsafe { ffi::lua_rawget(self.0, -2) };
        self.top()
    }

    /// Puts the value on top at a place in place of what is there, and takes it off.
    pub fn replace(self, place: i32) {
        // SAFETY: see `new`.
        unsafe { ffi::lua_replace(self.0, place) }
    }

    /// Whether the table on top has a metatable.
    pub fn has_metatable(self) -> bool {
        // SAFETY: see `new`. A metatable is pushed if there is one.
        let has_one = unsafe { ffi::lua_getmetatable(self.0, -1) != 0 };
        if has_one {
            self.pop(1);
        }
        has_one
    }

    /// A border of the table on top: up to here its items may be a list.
    pub fn list_len(self) -> usize {
        // SAFETY: see `new`.
        unsafe { ffi::lua_objlen(self.0, -1) }
    }

    /// Exchanges the key on top for the next one of the table below it and its value; false, with nothing pushed, at the
    /// end.
    pub fn next(self) -> bool {
        // SAFETY: see `new`. The key came from here, or is nil, and the table has not changed since.
        unsafe { ffi::lua_next(self.0, -2) != 0 }
    }

    /// Takes the value on top off, as mlua's.
    pub fn take(self, lua: &Lua) -> mlua::Result<Value> {
        // SAFETY: see `new`; what is kept is pushed and given up at once.
        unsafe {
            let kept = ffi::luaL_ref(self.0, ffi::LUA_REGISTRYINDEX);
            lua.exec_raw((), |state| {
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, kept);
                ffi::luaL_unref(state, ffi::LUA_REGISTRYINDEX, kept);
            })
        }
    }

    /// Calls the function below its `args` arguments in protected mode and under the memory limit: one result, or what
    /// the function at the place `handler` has made of an error, takes their place. True when it ended well.
    pub fn call(self, lua: &Lua, limit: usize, args: usize, handler: i32) -> bool {
        set_limit(lua, limit);
        // SAFETY: see `new`.
        let status = unsafe { ffi::lua_pcall(self.0, args as c_int, 1, handler) };
        set_limit(lua, 0);
        status == ffi::LUA_OK
    }
}

/// No table is made with more room than this: it grows when it is needed.
const TABLE_ROOM_MAX: usize = 1 << 20;

/// Sets the memory limit; 0 is none.
pub(super) fn set_limit(lua: &Lua, bytes: usize) {
    lua.set_memory_limit(bytes).expect("the state has the allocator of mlua");
}
