//! One virtual machine: the Lua state, built behind its sandbox, and the loop that serves jobs.
//!
//! The machine lives on the stack of its [`Seat`] from birth to end. Natives that need the outside switch to the
//! driver from where they are, however deep inside Lua: the hook too, without a call into Lua, which at the limit of
//! nesting would fail.
//!
//! A script is called on Lua's bare stack ([`Stack`]); everything else goes through mlua.
//!
//! # Memory
//! Lua's allocator refuses to grow beyond [`Desk::memory_limit`] while Lua code runs; natives work with the limit off
//! (see [`super::params::NoLimit`]). A job that leaves much garbage is followed by a full collection, so memory comes
//! back at once. Else the collector's own pace will do, but for compiling: every [`STEP_EVERY`] scripts a step of its.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;

use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};

use super::calls::Ground;
use super::desk::{Desk, Job, Outcome, Phase};
use super::door::{Ask, Switch, Tell};
use super::error::{Fatal, PRELUDE, Raised, fatal, plain_text, until_nul, unwrap};
use super::lists::List;
use super::params::{Natives, Pacer};
use super::redis_api::{self, Asking};
use super::seat::Seat;
use super::stack::Stack;
use super::stack::set_limit;
use super::value::Writer;
use super::{bitlib, cjson, cmsgpack, mathlib, strings, structs};

/// Instructions between looks at the clock. An instruction can take a nanosecond or join strings of 100 MB, so the
/// distance starts small, grows while looks come too often and shrinks when they come too late.
const TICK_FIRST: u32 = 1_000;
const TICK_MIN: u32 = 100;
const TICK_MAX: u32 = 100_000;

/// Microseconds between looks at the clock that are too few or too many.
const TICK_SOON_US: u64 = 200;
const TICK_LATE_US: u64 = 2_000;

/// Scripts compiled between steps of the collector.
const STEP_EVERY: u32 = 50;

/// How big those steps are.
const STEP_KBYTES: i32 = 400;

/// The pace of the collector: it begins a round as soon as it has ended one, and looks at so many percent of what has been
/// allocated meanwhile. What INFO shows as the memory of scripts is then near to what is live, below 100 KB while they keep
/// nothing; Lua's own pace, 200 and 200, doubles it and is not measurably cheaper.
const GC_PAUSE: i32 = 100;
const GC_STEP: i32 = 300;

/// The pause of a heap with so much in it that walking it again and again is what takes the time: a reply of two million
/// texts is put together four times as fast. Garbage may then be as much as is live, so a heap near the limit has the other.
const GC_PAUSE_LARGE: i32 = 200;
const LARGE_BYTES: usize = 1 << 20;

/// Garbage beyond this, and beyond as much as is live, is collected at once.
const GARBAGE_BYTES: usize = 4 << 20;

/// So many arguments change the pace of the collector.
const MANY: usize = 1024;

/// What the least of values takes inside a table.
const SLOT_BYTES: usize = 16;

/// Sets the pace of the collector by what Lua holds and is about to hold beside it.
pub(super) fn set_pace(lua: &Lua, desk: &Desk, bytes_more: usize) {
    let bytes = lua.used_memory().saturating_add(bytes_more);
    let is_large = (LARGE_BYTES..desk.memory_limit / 3).contains(&bytes);
    lua.gc_set_pause(if is_large { GC_PAUSE_LARGE } else { GC_PAUSE });
}

/// A machine on its seat; `None` when there is no address space for its stack.
pub(super) fn start(desk: Desk) -> Option<Seat> {
    Seat::new(Rc::new(desk), body)
}

fn body(switch: Switch, desk: Rc<Desk>) {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS, LuaOptions::new())
        .expect("the libraries are among those mlua holds safe");
    let switch = desk.switch.get_or_init(|| switch);
    let ground = Ground { lua: &lua, desk: &desk };
    let machine = Machine::new(&ground, &desk).expect("the sandbox builds: it depends on nothing from outside");
    machine.serve(switch);
}

/// The entry points of the prelude.
struct Machine<'a> {
    lua: &'a Lua,
    desk: &'a Rc<Desk>,
    compile: Function,
    load: Function,
    slots: Table,
    run: Entry,
    /// Scripts and libraries so far.
    compiled: Cell<u32>,
    /// Instructions between ticks.
    distance: Rc<Cell<u32>>,
    /// Bytes in use after the last full collection.
    live: Cell<usize>,
}

/// What calling a script takes. The first values on the stack stay there, where no script can reach them: the handler of
/// errors, the scripts and functions by slot, and for scripts their globals, KEYS and ARGV.
struct Entry {
    stack: Stack,
    /// KEYS and ARGV of scripts; functions have them as arguments.
    lists: Option<[List; 2]>,
}

const HANDLER: i32 = 1;
const SLOTS: i32 = 2;
const GLOBALS: i32 = 3;

impl Entry {
    /// The stack is that of the main thread, and used between calls of mlua only.
    #[allow(unsafe_code)]
    fn new(lua: &Lua, slots: &Table, handler: Function, globals: Option<Table>) -> mlua::Result<Entry> {
        // SAFETY: the main thread lives as long as `lua`, and the limit is off but for `Stack::call`. No more than twenty
        // values are there at a time, but where room is asked for.
        let stack = unsafe { Stack::of(lua)? };
        assert_eq!(stack.height(), 0, "mlua leaves nothing on the stack");
        stack.push(lua, handler)?;
        stack.push(lua, slots)?;
        let Some(globals) = globals else { return Ok(Entry { stack, lists: None }) };
        stack.push(lua, globals)?;
        Ok(Entry { stack, lists: Some(["KEYS", "ARGV"].map(|name| List::new(stack, GLOBALS, name))) })
    }

    /// Pushes the script with its arguments, whose number is returned.
    fn push(&self, slot: u32, keys: &[&[u8]], argv: &[&[u8]]) -> usize {
        let stack = self.stack;
        stack.push_item_of(SLOTS, slot as usize);
        let Some([own_keys, own_argv]) = &self.lists else {
            stack.push_texts(keys);
            stack.push_texts(argv);
            return 2;
        };
        own_keys.fill(stack, keys);
        own_argv.fill(stack, argv);
        0
    }

    /// Forgets the arguments of the script that has run.
    fn clear(&self) {
        self.lists.iter().flatten().for_each(|list| list.clear(self.stack));
    }

    /// The same, and whatever room it may have left in them.
    fn start_over(&self) {
        self.lists.iter().flatten().for_each(|list| list.renew(self.stack, 0));
    }
}

impl<'a> Machine<'a> {
    fn new(ground: &Ground<'a>, desk: &'a Rc<Desk>) -> mlua::Result<Self> {
        let lua = ground.lua;
        let native = Natives::new(desk.memory_limit);
        let asking = Asking::new(&native, ground, desk)?;
        let slots = lua.create_table()?;
        let natives = redis_api::prelude_natives(lua, &native, desk)?;
        let first_native: Function = natives.raw_get("unwrap")?;
        let handler = natives.raw_get("handler")?;
        strings::install(lua, &native, &natives)?;
        mathlib::install(lua, &native, &natives, desk.seed)?;
        let libraries = lua.create_table()?;
        libraries.raw_set("redis", redis_api::table(lua, &native, &asking, desk)?)?;
        libraries.raw_set("library", redis_api::library_table(lua, &native, &asking, desk, &slots)?)?;
        libraries.raw_set("bit", bitlib::table(lua, &native)?)?;
        libraries.raw_set("cjson", cjson::table(lua, &native)?)?;
        libraries.raw_set("cmsgpack", cmsgpack::table(lua, &native)?)?;
        libraries.raw_set("struct", structs::table(lua, &native)?)?;
        let entries: Table = lua.load(include_str!("prelude.lua")).set_name(PRELUDE).call((
            natives,
            libraries,
            &slots,
            desk.functions,
        ))?;
        lua.set_app_data(Pacer { desk: Rc::clone(desk), limit: desk.memory_limit });
        let distance = Rc::new(Cell::new(0));
        set_tick(lua, desk, &distance, TICK_FIRST)?;
        // The first native of all makes room for an error of mlua's, for which 8,000 arguments would leave no stack.
        first_native.call::<Value>(Value::Nil)?;
        lua.gc_set_pause(GC_PAUSE);
        lua.gc_set_step_multiplier(GC_STEP);
        lua.gc_collect()?;
        let globals = if desk.functions { None } else { Some(entries.raw_get("globals")?) };
        let run = Entry::new(lua, &slots, handler, globals)?;
        let (compile, load) = (entries.raw_get("compile")?, entries.raw_get("load")?);
        let live = Cell::new(lua.used_memory());
        desk.memory_used.set(live.get());
        Ok(Machine { lua, desk, compile, load, slots, run, compiled: Cell::new(0), distance, live })
    }

    fn serve(&self, switch: &Switch) {
        let desk = self.desk;
        loop {
            match switch.ask(Ask::Idle) {
                Tell::Go => {}
                Tell::Kill => continue,
                Tell::Quit => return,
            }
            let Some(job) = desk.job.take() else { continue };
            let compiles = matches!(job, Job::Compile { .. } | Job::Load { .. });
            let outcome = self.perform(job).unwrap_or_else(|error| failed(plain_text(&error)));
            *desk.outcome.borrow_mut() = Some(outcome);
            if let Some(panic) = desk.panic.take() {
                resume_unwind(panic);
            }
            self.collect(compiles);
        }
    }

    fn perform(&self, job: Job) -> mlua::Result<Outcome> {
        let desk = self.desk;
        desk.killed.set(false);
        desk.killed_at.take();
        if self.distance.get() != TICK_FIRST {
            set_tick(self.lua, desk, &self.distance, TICK_FIRST)?;
        }
        match job {
            Job::Compile { slot, body } => {
                let body = self.lua.create_string(body)?;
                let wrong: Value = self.limited(&self.compile, (slot, body))?;
                Ok(if wrong.is_nil() { Outcome::Done } else { Outcome::BadSyntax(text_of(self.lua, &wrong)) })
            }
            Job::Forget { slot } => {
                self.slots.raw_set(slot, Value::Nil)?;
                Ok(Outcome::Done)
            }
            Job::Run { slot } => self.run(slot),
            Job::Load { first_slot, body } => self.load(first_slot, body),
        }
    }

    /// Calls into Lua under the memory limit.
    fn limited<R: mlua::FromLuaMulti>(&self, function: &Function, args: impl mlua::IntoLuaMulti) -> mlua::Result<R> {
        let args = args.into_lua_multi(self.lua)?;
        set_limit(self.lua, self.desk.memory_limit);
        let result = function.call(args);
        set_limit(self.lua, 0);
        result
    }

    fn run(&self, slot: u32) -> mlua::Result<Outcome> {
        let (stack, desk) = (self.run.stack, self.desk);
        desk.script_resp3.set(false);
        desk.errors.borrow_mut().clear();
        let height = stack.height();
        let pushed = desk.door.visit(|visit| {
            if visit.argv.len() >= MANY {
                set_pace(self.lua, desk, visit.argv.iter().map(|text| text.len()).sum());
            }
            self.run.push(slot, visit.keys, visit.argv)
        });
        let args = pushed.expect("whoever runs a script lends its arguments");
        let ended_well = stack.call(self.lua, desk.memory_limit, args, HANDLER);
        let outcome = if !ended_well || desk.killed.get() {
            stack.take(self.lua).and_then(|value| self.failure(value))
        } else {
            desk.door.visit(|visit| {
                // As many values as Lua could hold apart, and as many bytes as it could hold at all.
                Writer {
                    stack,
                    values_left: desk.memory_limit / SLOT_BYTES,
                    bytes_max: visit.out.len().saturating_add(desk.memory_limit),
                    out: visit.out,
                    errors: &mut desk.errors.borrow_mut(),
                    script_resp3: desk.script_resp3.get(),
                }
                .write();
            });
            Ok(Outcome::Done)
        };
        stack.cut(height);
        self.run.clear();
        outcome
    }

    fn load(&self, first_slot: u32, body: Vec<u8>) -> mlua::Result<Outcome> {
        let desk = self.desk;
        desk.registered.borrow_mut().clear();
        desk.next_slot.set(first_slot);
        let body = self.lua.create_string(body)?;
        desk.phase.set(Phase::Load);
        let answer = self.limited::<(Option<bool>, Value, Value)>(&self.load, body);
        desk.phase.set(Phase::Run);
        Ok(match answer? {
            (Some(_), wrong, _) => Outcome::BadSyntax(text_of(self.lua, &wrong)),
            (None, Value::Boolean(true), _) if !desk.killed.get() => Outcome::Done,
            (None, _, value) => self.failure(value)?,
        })
    }

    /// Why a run failed.
    fn failure(&self, value: Value) -> mlua::Result<Outcome> {
        if self.desk.killed.get() {
            return Ok(Outcome::Killed(self.desk.killed_at.take()));
        }
        fatal(self.lua, value).map(Outcome::Failed)
    }

    /// Compiling leaves more garbage than running, and what stays of it grows with every script: it pays its share.
    fn collect(&self, compiles: bool) {
        let used = self.lua.used_memory();
        self.desk.memory_used.set(used);
        let live = self.live.get();
        if used > live + live.max(GARBAGE_BYTES) {
            self.run.start_over();
            // Twice: what finalizers held goes in the second round.
            let done = self.lua.gc_collect().and_then(|()| self.lua.gc_collect());
            debug_assert!(done.is_ok(), "no finalizer of ours fails");
            self.live.set(self.lua.used_memory());
            self.desk.memory_used.set(self.live.get());
            return set_pace(self.lua, self.desk, 0);
        }
        if compiles {
            let compiled = self.compiled.get().wrapping_add(1);
            self.compiled.set(compiled);
            if compiled.is_multiple_of(STEP_EVERY) {
                let done = self.lua.gc_step_kbytes(STEP_KBYTES);
                debug_assert!(done.is_ok(), "no finalizer of ours fails");
            }
        }
    }
}

/// Sets the hook of the running thread; threads it makes take it over.
fn set_tick(lua: &Lua, desk: &Rc<Desk>, distance: &Rc<Cell<u32>>, instructions: u32) -> mlua::Result<()> {
    distance.set(instructions);
    let (desk, distance) = (Rc::clone(desk), Rc::clone(distance));
    let triggers = HookTriggers::new().every_nth_instruction(instructions);
    lua.set_global_hook(triggers, move |lua, _| tick(lua, &desk, &distance))
}

/// The hook: asks the driver, and dies if told to.
fn tick(lua: &Lua, desk: &Rc<Desk>, distance: &Rc<Cell<u32>>) -> mlua::Result<VmState> {
    if desk.killed.get() {
        return Err(Raised::Kill.into());
    }
    let before_us = desk.tick_us.get();
    desk.tick()?;
    set_pace(lua, desk, 0);
    let now = distance.get();
    let next = match desk.tick_us.get().saturating_sub(before_us) {
        ..TICK_SOON_US => (now * 2).min(TICK_MAX),
        TICK_LATE_US.. => (now / 8).max(TICK_MIN),
        _ => now,
    };
    if next != now {
        set_tick(lua, desk, distance, next)?;
    }
    Ok(VmState::Continue)
}

fn failed(text: String) -> Outcome {
    Outcome::Failed(Fatal { text: format!("ERR {text}").into_bytes(), place: None, counted: false })
}

/// The text of an error value.
fn text_of(lua: &Lua, value: &Value) -> Vec<u8> {
    let value = unwrap(lua, value.clone()).unwrap_or(Value::Nil);
    match lua.coerce_string(value) {
        Ok(Some(text)) => until_nul(&text.as_bytes()).to_vec(),
        _ => b"unknown error".to_vec(),
    }
}
