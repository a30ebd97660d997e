//! `redis.call`, `redis.pcall` and `redis.acl_check_cmd`: natives without mlua between.
//!
//! The command runs right here, on the machine's stack, with arguments that point into Lua's strings. An error is raised
//! as the table it is. Lua raises by jumping to the nearest protected call, over whatever frames stand between; so
//! [`enter`] is the only frame at that time, with nothing in it that would have to be dropped.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::from_ref;

use mlua::{Function, Lua, ffi, lua_State};
use smallvec::SmallVec;

use super::desk::{Desk, Dying};
use super::error::{Raised, push_error_table, until_nul, with_code};
use super::lua::set_pace;
use super::params::NoLimit;
use super::stack::{Seen, Stack};
use super::value;
use crate::base::num::F64Text;

/// What these natives stand on.
pub(super) struct Ground<'m> {
    pub lua: &'m Lua,
    pub desk: &'m Desk,
}

impl Ground<'_> {
    /// Whether so many bytes may be added: Lua itself does not look while a native runs.
    fn has_room(&self, bytes: usize) -> bool {
        self.lua.used_memory().saturating_add(bytes) <= self.desk.memory_limit
    }
}

/// What a native leaves on top of the stack.
#[derive(Clone, Copy)]
enum Left {
    /// Its result.
    Value,
    /// An error to be raised.
    Error,
}

/// One of the natives. Its arguments are all that is on the stack.
type Body = fn(&Ground<'_>, Stack) -> Result<Left, Dying>;

/// A native by its body. The ground must live as long as scripts run.
macro_rules! native {
    ($ground:expr, $body:path) => {{
        unsafe extern "C-unwind" fn entry(state: *mut lua_State) -> c_int {
            // SAFETY: Lua calls this as `make` has made it.
            unsafe { enter(state, $body) }
        }
        make($ground, entry)
    }};
}

/// `redis.call`
pub(super) fn call(ground: &Ground<'_>) -> mlua::Result<Function> {
    native!(ground, raising)
}

/// `redis.pcall`
pub(super) fn pcall(ground: &Ground<'_>) -> mlua::Result<Function> {
    native!(ground, returning)
}

/// `redis.acl_check_cmd`
pub(super) fn acl_check(ground: &Ground<'_>) -> mlua::Result<Function> {
    native!(ground, checking)
}

/// A function of Lua with the ground, and what raises a kill, beside it.
fn make(ground: &Ground<'_>, entry: ffi::lua_CFunction) -> mlua::Result<Function> {
    let kill = ground.lua.create_function(|_, ()| -> mlua::Result<()> { Err(Raised::Kill.into()) })?;
    // SAFETY: the closure takes one value and leaves one; errors of memory are caught by `exec_raw`.
    unsafe {
        ground.lua.exec_raw(kill, |state| {
            ffi::lua_pushlightuserdata(state, from_ref(ground).cast_mut().cast());
            ffi::lua_insert(state, -2);
            ffi::lua_pushcclosure(state, entry, 2);
        })
    }
}

/// Runs a body and hands over what it left.
///
/// # Safety
/// Called by Lua as a function made by [`make`], whose ground still stands.
unsafe fn enter(state: *mut lua_State, body: Body) -> c_int {
    // SAFETY: the first value beside the function is the ground.
    let ground = unsafe { &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Ground<'_>>() };
    // SAFETY: it is Lua's current stack; the limit is off while `guarded` runs.
    match guarded(ground, unsafe { Stack::new(state) }, body) {
        Ok(Left::Value) => 1,
        // SAFETY: nothing is left here to be dropped.
        Ok(Left::Error) => unsafe { ffi::lua_error(state) },
        // SAFETY: likewise; the second value beside the function is a native that raises.
        Err(Dying) => unsafe {
            ffi::lua_settop(state, 0);
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
            ffi::lua_call(state, 0, 0);
            0
        },
    }
}

/// No panic passes through frames of Lua: it is put by until the job has ended.
fn guarded(ground: &Ground<'_>, stack: Stack, body: Body) -> Result<Left, Dying> {
    let _open = NoLimit::enter(ground.lua, ground.desk.memory_limit);
    catch_unwind(AssertUnwindSafe(|| body(ground, stack))).unwrap_or_else(|panic| {
        *ground.desk.panic.borrow_mut() = Some(panic);
        Err(ground.desk.die())
    })
}

fn raising(ground: &Ground<'_>, stack: Stack) -> Result<Left, Dying> {
    run(ground, stack, Left::Error)
}

fn returning(ground: &Ground<'_>, stack: Stack) -> Result<Left, Dying> {
    run(ground, stack, Left::Value)
}

/// Runs a command; an error is left as `on_error` says.
fn run(ground: &Ground<'_>, stack: Stack, on_error: Left) -> Result<Left, Dying> {
    let desk = ground.desk;
    let mut numbers = Numbers::new();
    let args = match arguments(stack, &mut numbers) {
        Ok(args) => args,
        Err(refused) => return Ok(refuse(stack, refused, on_error)),
    };
    let resp3 = desk.script_resp3.get();
    let left = match desk.ask(|caller| Some(leave(ground, stack, caller.call(&args, resp3)?, on_error)))? {
        Some(left) => left,
        None => {
            desk.pause()?;
            desk.ask(|caller| leave(ground, stack, caller.end_call(), on_error))?
        }
    };
    desk.count_call()?;
    Ok(left)
}

/// From here on a reply changes the pace of the collector.
const LONG_BYTES: usize = 64 * 1024;

/// Leaves a reply in place of the arguments.
fn leave(ground: &Ground<'_>, stack: Stack, reply: &[u8], on_error: Left) -> Left {
    stack.cut(0);
    if reply.len() >= LONG_BYTES {
        set_pace(ground.lua, ground.desk, reply.len());
    }
    match (reply, on_error) {
        ([b'-', ..], Left::Error) => {
            push_error_table(stack, until_nul(&with_code(reply)), true);
            Left::Error
        }
        _ if ground.has_room(reply.len()) && value::to_lua(stack, reply) => Left::Value,
        _ => {
            stack.cut(0);
            stack.push_text(b"not enough memory");
            Left::Error
        }
    }
}

fn checking(ground: &Ground<'_>, stack: Stack) -> Result<Left, Dying> {
    let mut numbers = Numbers::new();
    let args = match arguments(stack, &mut numbers) {
        Ok(args) => args,
        Err(refused) => return Ok(refuse(stack, refused, Left::Error)),
    };
    match ground.desk.ask(|caller| caller.acl_check(&args))? {
        Some(allowed) => {
            stack.push_boolean(allowed);
            Ok(Left::Value)
        }
        None => Ok(refuse(stack, "Invalid command passed to redis.acl_check_cmd()", Left::Error)),
    }
}

fn refuse(stack: Stack, text: &str, left: Left) -> Left {
    push_error_table(stack, format!("ERR {text}").as_bytes(), false);
    left
}

/// Room for the texts of numbers.
type Numbers = SmallVec<[u8; 64]>;

/// The arguments of a native as those of a command.
fn arguments(stack: Stack, numbers: &mut Numbers) -> Result<SmallVec<[&[u8]; 16]>, &'static str> {
    let count = stack.height();
    if count == 0 {
        return Err("Please specify at least one argument for this redis lib call");
    }
    let mut args = SmallVec::with_capacity(count);
    let mut texts = SmallVec::<[(usize, usize); 8]>::new();
    for place in 1..=count {
        match stack.at(place as i32) {
            Seen::Text(text) => args.push(text),
            Seen::Number(number) => {
                push_number(numbers, number);
                texts.push((args.len(), numbers.len()));
                args.push(&[][..]);
            }
            _ => return Err("Lua redis lib command arguments must be strings or integers"),
        }
    }
    let mut from = 0;
    for (index, end) in texts {
        args[index] = &numbers[from..end];
        from = end;
    }
    Ok(args)
}

/// Whole numbers as integers, others with the digits that read back.
fn push_number(out: &mut Numbers, number: f64) {
    let whole = number as i64;
    if whole as f64 == number && whole != i64::MAX {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else if number.is_nan() && number.is_sign_negative() {
        // What 0/0 is on the machines Redis runs on; its sign is printed.
        out.extend_from_slice(b"-nan");
    } else {
        out.extend_from_slice(F64Text::new(number).as_bytes());
    }
}
