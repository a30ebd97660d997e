//! The host: scripts by text, by SHA1 and by function name, run step by step.
//!
//! ```text
//!  script = host.script_by_body(..)?          compile or find
//!  progress = host.start(&script, call, caller, out)
//!  while progress is Yielded { .. let the loop live ..; progress = host.resume(caller, out) }
//! ```
//! Whoever holds the server's script token holds the host; nothing here locks. A script that yielded owns its machine
//! until it is done: whatever needs a machine before that ends it.
//! What others may want to know without the
//! token (memory, counts, the flags a gate judges by) is on the [`Board`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::cache::{Cache, Sha};
use super::desk::{Desk, Job, Outcome};
use super::door::{Ask, Tell, Visit};
use super::error::{ReplyErrors, push_error};
use super::flags::{Flags, eval_shebang, library_shebang};
use super::library::{Libraries, Library, RestorePolicy};
use super::seat::Seat;
use super::{Caller, Limits, LogLevel, Tick, lua};
use crate::base::bytes::plain_line;
use crate::resp::reply::Reply;

/// A script or function ready to run. Good until the host loads, evicts or flushes.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    slot: u32,
    /// It is a function, not a script of EVAL.
    is_function: bool,
    /// What it declares.
    pub flags: Flags,
}

/// What a script is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `KEYS`.
    pub keys: &'a [&'a [u8]],
    /// `ARGV`.
    pub argv: &'a [&'a [u8]],
}

/// How far a script got.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It ended; its reply has been appended to `out`.
    Done(Ended),
    /// It used up its time for now; call [`Host::resume`].
    Yielded,
}

/// What the reply of an ended script means to statistics.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The errors inside the reply; any means the command failed.
    pub errors: ReplyErrors,
    /// The script was killed.
    pub killed: bool,
}

/// What is known of scripts without the token.
#[derive(Debug, Default)]
pub struct Board {
    /// `used_memory_vm_eval`: bytes inside the VM of EVAL.
    pub vm_eval_bytes: AtomicU64,
    /// `used_memory_vm_functions`: bytes inside the VM of functions.
    pub vm_functions_bytes: AtomicU64,
    /// `used_memory_scripts_eval`: bytes of cached scripts outside Lua.
    pub scripts_bytes: AtomicU64,
    /// `used_memory_functions`: bytes of libraries outside Lua.
    pub functions_bytes: AtomicU64,
    /// `number_of_cached_scripts`
    pub cached_scripts: AtomicU64,
    /// `number_of_libraries`
    pub libraries: AtomicU64,
    /// `number_of_functions`
    pub functions: AtomicU64,
    /// `evicted_scripts`
    pub evicted_scripts: AtomicU64,
    /// Flags of cached scripts with a shebang.
    scripts: RwLock<HashMap<Sha, Flags, ahash::RandomState>>,
    /// Flags of functions by lowercase name.
    names: RwLock<HashMap<Vec<u8>, Flags, ahash::RandomState>>,
}

impl Board {
    /// Bytes of the VM of EVAL, of the VM of functions, of cached scripts and of libraries.
    pub fn bytes(&self) -> [u64; 4] {
        let gauges = [&self.vm_eval_bytes, &self.vm_functions_bytes, &self.scripts_bytes, &self.functions_bytes];
        gauges.map(|gauge| gauge.load(Ordering::Relaxed))
    }

    /// The flags of a cached script that declares any.
    pub fn script_flags(&self, sha: &[u8]) -> Option<Flags> {
        let mut digits: Sha = sha.try_into().ok()?;
        digits.make_ascii_lowercase();
        self.scripts.read().get(&digits).copied()
    }

    /// The flags of a function.
    pub fn function_flags(&self, name: &[u8]) -> Option<Flags> {
        self.names.read().get(&name.to_ascii_lowercase()).copied()
    }
}

/// Everything about scripts of one server.
pub struct Host {
    limits: Limits,
    version: [u8; 3],
    seed: u64,
    cache: Cache,
    libraries: Libraries,
    eval: Option<Seat>,
    functions: Option<Seat>,
    /// The first slot no function has taken.
    next_slot: u32,
    /// The script or function under way.
    active: Option<Script>,
    board: Arc<Board>,
}

impl Host {
    /// A host without scripts. `version` is what `redis.REDIS_VERSION` says; `seed` starts `math.random`.
    pub fn new(limits: Limits, version: [u8; 3], seed: u64) -> Self {
        Host {
            limits,
            version,
            seed,
            cache: Cache::default(),
            libraries: Libraries::default(),
            eval: None,
            functions: None,
            next_slot: 1,
            active: None,
            board: Arc::default(),
        }
    }

    /// What others may know.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// What the script under way is called.
    pub fn active(&self) -> Option<&[u8]> {
        self.active.map(|script| self.name(script))
    }

    /// The SHA1 of a script in digits, or the name of a function.
    pub(super) fn name(&self, script: Script) -> &[u8] {
        if !script.is_function {
            return &self.cache.get(script.slot).sha;
        }
        let mut functions = self.libraries.iter().flat_map(|library| &library.functions);
        functions.find(|function| function.slot == script.slot).map_or(b"", |function| &function.name)
    }

    /// Whether a script is under way.
    pub fn running(&self) -> bool {
        self.active.is_some()
    }

    // Scripts.

    /// The script with this text, compiled and cached if need be (EVAL). `Err` is the text of the reply.
    pub fn script_by_body(&mut self, body: &[u8]) -> Result<Script, Vec<u8>> {
        let slot = match self.cache.find_body(body).filter(|_| self.eval_alive()) {
            Some(slot) => {
                self.cache.touch(slot);
                slot
            }
            None => self.add_script(body, true)?,
        };
        Ok(self.script(slot))
    }

    /// The cached script with this SHA1 (EVALSHA).
    pub fn script_by_sha(&mut self, sha: &[u8]) -> Option<Script> {
        let slot = self.cache.find_sha(sha).filter(|_| self.eval_alive())?;
        self.cache.touch(slot);
        Some(self.script(slot))
    }

    /// Compiles and keeps a script (SCRIPT LOAD). `Err` is the text of the reply.
    pub fn load_script(&mut self, body: &[u8]) -> Result<Sha, Vec<u8>> {
        let slot = match self.cache.find_body(body).filter(|_| self.eval_alive()) {
            Some(slot) => slot,
            None => self.add_script(body, false)?,
        };
        self.cache.keep(slot);
        Ok(self.cache.get(slot).sha)
    }

    /// The text of a cached script (SCRIPT EXISTS, SCRIPT SHOW).
    pub fn script_body(&self, sha: &[u8]) -> Option<Arc<[u8]>> {
        self.cache.find_sha(sha).map(|slot| Arc::clone(&self.cache.get(slot).body))
    }

    /// Forgets all scripts and their VM (SCRIPT FLUSH). What is returned may be dropped anywhere.
    pub fn flush_scripts(&mut self) -> impl Send + use<> {
        self.abort();
        let old = (self.eval.take(), std::mem::take(&mut self.cache));
        self.board.scripts.write().clear();
        self.publish();
        old
    }

    fn eval_alive(&self) -> bool {
        self.eval.as_ref().is_some_and(Seat::alive)
    }

    fn script(&self, slot: u32) -> Script {
        Script { slot, is_function: false, flags: self.cache.get(slot).flags }
    }

    fn add_script(&mut self, body: &[u8], by_eval: bool) -> Result<u32, Vec<u8>> {
        self.abort();
        let (flags, start) = eval_shebang(body).map_err(|text| [b"ERR ", text.as_slice()].concat())?;
        if !self.eval_alive() {
            drop(self.flush_scripts());
            self.eval = Some(self.new_seat(false)?);
        }
        if by_eval {
            self.evict();
        }
        let slot = self.cache.next_slot();
        let seat = self.eval.as_mut().expect("built above");
        match perform(seat, Job::Compile { slot, body: body[start..].to_vec() }) {
            Outcome::Done => {}
            Outcome::BadSyntax(text) => {
                return Err([b"ERR Error compiling script (new function): ", plain_line(&text).as_slice()].concat());
            }
            Outcome::Failed(fatal) => return Err(fatal.text),
            Outcome::Killed(_) => return Err(b"ERR Script killed".to_vec()),
        }
        self.cache.insert(body, flags, by_eval);
        if flags != Flags::EVAL_COMPAT {
            self.board.scripts.write().insert(self.cache.get(slot).sha, flags);
        }
        self.publish();
        Ok(slot)
    }

    fn evict(&mut self) {
        while let Some((slot, sha)) = self.cache.evict(self.limits.eval_scripts) {
            self.board.scripts.write().remove(&sha);
            self.board.evicted_scripts.fetch_add(1, Ordering::Relaxed);
            if let Some(seat) = &mut self.eval {
                perform(seat, Job::Forget { slot });
            }
        }
    }

    // Functions.

    /// The libraries, for FUNCTION LIST, DUMP and STATS and for the RDB file.
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// The function of this name (FCALL).
    pub fn function(&self, name: &[u8]) -> Option<Script> {
        let function = self.libraries.function(name).filter(|_| self.functions.is_some())?;
        Some(Script { slot: function.slot, is_function: true, flags: function.flags })
    }

    /// Loads a library and returns its name (FUNCTION LOAD). `Err` is the text of the reply.
    pub fn load_library(&mut self, code: &[u8], replace: bool, caller: &mut dyn Caller) -> Result<Vec<u8>, Vec<u8>> {
        let (name, start) = library_shebang(code).map_err(err)?;
        if !replace && self.libraries.get(&name).is_some() {
            return Err(err([b"Library '", name.as_slice(), b"' already exists"].concat()));
        }
        let library = self.run_library(&name, code, start, caller)?;
        if let Err(text) = self.libraries.check_functions(&library, &[&name]) {
            self.forget(&library);
            return Err(err(text));
        }
        self.replace_library(library);
        self.publish();
        Ok(name)
    }

    /// Adds the libraries with these codes, all or none (FUNCTION RESTORE, loading an RDB file). `Err` is the text of
    /// the reply.
    pub fn restore(
        &mut self,
        codes: &[Vec<u8>],
        policy: RestorePolicy,
        caller: &mut dyn Caller,
    ) -> Result<(), Vec<u8>> {
        let mut loaded = Libraries::default();
        let checked = self.load_all(codes, &mut loaded, caller).and_then(|()| self.check_restore(&loaded, policy));
        if let Err(text) = checked {
            loaded.iter().for_each(|library| self.forget(library));
            self.publish();
            return Err(text);
        }
        if policy == RestorePolicy::Flush {
            let old: Vec<Vec<u8>> = self.libraries.iter().map(|library| library.name.clone()).collect();
            old.iter().for_each(|name| self.remove_library(name));
        }
        for library in loaded.iter() {
            self.replace_library(library.clone());
        }
        self.publish();
        Ok(())
    }

    fn load_all(&mut self, codes: &[Vec<u8>], loaded: &mut Libraries, caller: &mut dyn Caller) -> Result<(), Vec<u8>> {
        for code in codes {
            let (name, start) = library_shebang(code).map_err(err)?;
            if loaded.get(&name).is_some() {
                return Err(err([b"Library '", name.as_slice(), b"' already exists"].concat()));
            }
            let library = self.run_library(&name, code, start, caller)?;
            if let Err(text) = loaded.check_functions(&library, &[]) {
                self.forget(&library);
                return Err(err(text));
            }
            loaded.insert(library);
        }
        Ok(())
    }

    fn check_restore(&self, loaded: &Libraries, policy: RestorePolicy) -> Result<(), Vec<u8>> {
        if policy == RestorePolicy::Flush {
            return Ok(());
        }
        let taken = loaded.iter().find(|library| self.libraries.get(&library.name).is_some());
        if let (Some(library), RestorePolicy::Append) = (taken, policy) {
            return Err(err([b"Library ", library.name.as_slice(), b" already exists"].concat()));
        }
        let replaced: Vec<&[u8]> = loaded.iter().map(|library| library.name.as_slice()).collect();
        loaded.iter().try_for_each(|library| self.libraries.check_functions(library, &replaced).map_err(err))
    }

    /// Removes a library (FUNCTION DELETE); false when there is none of this name.
    pub fn delete_library(&mut self, name: &[u8]) -> bool {
        let known = self.libraries.get(name).is_some();
        self.remove_library(name);
        self.publish();
        known
    }

    /// Forgets all libraries and their VM (FUNCTION FLUSH). What is returned may be dropped anywhere.
    pub fn flush_functions(&mut self) -> impl Send + use<> {
        self.abort();
        let old = (self.functions.take(), std::mem::take(&mut self.libraries));
        self.board.names.write().clear();
        self.publish();
        old
    }

    /// Runs the body of a library and collects what it registers.
    fn run_library(
        &mut self,
        name: &[u8],
        code: &[u8],
        start: usize,
        caller: &mut dyn Caller,
    ) -> Result<Library, Vec<u8>> {
        self.abort();
        self.ensure_functions(caller)?;
        let first_slot = self.next_slot;
        let seat = self.functions.as_mut().expect("built above");
        let outcome = load(seat, Job::Load { first_slot, body: code[start..].to_vec() }, self.limits.load_us, caller);
        let functions = seat.desk().registered.take();
        self.next_slot += functions.len() as u32;
        let library = Library { name: name.to_vec(), code: code.into(), functions };
        let wrong = match outcome {
            Outcome::Done if library.functions.is_empty() => b"No functions registered".to_vec(),
            Outcome::Done => return Ok(library),
            Outcome::BadSyntax(text) => [b"Error compiling function: ", plain_line(&text).as_slice()].concat(),
            Outcome::Failed(fatal) => [b"Error registering functions: ", plain_line(&fatal.text).as_slice()].concat(),
            Outcome::Killed(_) => b"Error registering functions: ERR FUNCTION LOAD timeout".to_vec(),
        };
        self.forget(&library);
        Err(err(wrong))
    }

    /// Makes sure there is a live VM of functions. One that died of a panic is rebuilt from the code of its libraries.
    fn ensure_functions(&mut self, caller: &mut dyn Caller) -> Result<(), Vec<u8>> {
        if self.functions.as_ref().is_some_and(Seat::alive) {
            return Ok(());
        }
        self.functions = Some(self.new_seat(true)?);
        self.next_slot = 1;
        let old = std::mem::take(&mut self.libraries);
        for library in old.iter() {
            let (_, start) = library_shebang(&library.code).map_err(err)?;
            let again = self.run_library(&library.name, &library.code, start, caller)?;
            self.libraries.insert(again);
        }
        Ok(())
    }

    fn replace_library(&mut self, library: Library) {
        self.remove_library(&library.name.clone());
        let mut names = self.board.names.write();
        for function in &library.functions {
            names.insert(function.name.to_ascii_lowercase(), function.flags);
        }
        drop(names);
        self.libraries.insert(library);
    }

    fn remove_library(&mut self, name: &[u8]) {
        let Some(library) = self.libraries.remove(name) else { return };
        let mut names = self.board.names.write();
        for function in &library.functions {
            names.remove(&function.name.to_ascii_lowercase());
        }
        drop(names);
        self.forget(&library);
    }

    /// Gives up the callbacks of a library.
    fn forget(&mut self, library: &Library) {
        self.abort();
        let Some(seat) = self.functions.as_mut().filter(|seat| seat.alive()) else { return };
        for function in &library.functions {
            perform(seat, Job::Forget { slot: function.slot });
        }
    }

    // Running.

    /// Starts a script. Its reply is appended to `out` once it is done. A script still under way from before is ended.
    pub fn start(&mut self, script: Script, call: Call<'_>, caller: &mut dyn Caller, out: &mut Reply) -> Progress {
        self.abort();
        let Some(seat) = self.seat(script) else {
            return lost(out);
        };
        *seat.desk().job.borrow_mut() = Some(Job::Run { slot: script.slot });
        self.active = Some(script);
        self.go_on(Visit { caller, keys: call.keys, argv: call.argv, out })
    }

    /// Lets a script that yielded go on.
    pub fn resume(&mut self, caller: &mut dyn Caller, out: &mut Reply) -> Progress {
        self.go_on(Visit { caller, keys: &[], argv: &[], out })
    }

    fn go_on(&mut self, mut visit: Visit<'_>) -> Progress {
        let Some(active) = self.active.take() else { return lost(visit.out) };
        let Some(seat) = self.seat(active) else { return lost(visit.out) };
        if seat.resume(Tell::Go, Some(&mut visit)) == Ask::Later {
            self.active = Some(active);
            return Progress::Yielded;
        }
        let used = seat.desk().memory_used.get() as u64;
        let outcome = seat.desk().outcome.take();
        let errors = seat.desk().errors.take();
        let gauge = if active.is_function { &self.board.vm_functions_bytes } else { &self.board.vm_eval_bytes };
        gauge.store(used, Ordering::Relaxed);
        Progress::Done(match outcome {
            Some(Outcome::Done) => Ended { errors, killed: false },
            outcome => self.fail(active, outcome, visit.out),
        })
    }

    /// Ends a script under way without a reply: everything it asks is answered with a kill.
    pub fn abort(&mut self) {
        if let Some(active) = self.active.take()
            && let Some(seat) = self.seat(active)
        {
            seat.abort();
        }
    }

    fn seat(&mut self, script: Script) -> Option<&mut Seat> {
        let seat = if script.is_function { &mut self.functions } else { &mut self.eval };
        seat.as_mut().filter(|seat| seat.alive())
    }

    /// Writes why a script did not end well.
    #[cold]
    fn fail(&self, script: Script, outcome: Option<Outcome>, out: &mut Reply) -> Ended {
        let mut ended = Ended::default();
        let name = || String::from_utf8_lossy(self.name(script));
        match outcome {
            Some(Outcome::Failed(fatal)) => push_error(out, &mut ended.errors, &fatal.message(&name()), fatal.counted),
            Some(Outcome::Killed(place)) => {
                let by = if script.is_function { "FUNCTION" } else { "SCRIPT" };
                let mut text = format!("ERR Script killed by user with {by} KILL.");
                if let Some((source, line)) = place {
                    text.push_str(&format!(" script: {}, on {source}:{line}.", name()));
                }
                push_error(out, &mut ended.errors, text.as_bytes(), false);
                ended.killed = true;
            }
            _ => push_error(out, &mut ended.errors, b"ERR the script did not run", false),
        }
        ended
    }

    fn new_seat(&self, functions: bool) -> Result<Seat, Vec<u8>> {
        let desk = Desk::new(functions, self.limits.memory_bytes, self.version, self.seed);
        lua::start(desk).ok_or_else(|| b"ERR not enough memory".to_vec())
    }

    fn publish(&self) {
        let bytes = |seat: &Option<Seat>| seat.as_ref().map_or(0, |seat| seat.desk().memory_used.get());
        let board = &self.board;
        for (gauge, value) in [
            (&board.vm_eval_bytes, bytes(&self.eval)),
            (&board.vm_functions_bytes, bytes(&self.functions)),
            (&board.scripts_bytes, self.cache.bytes()),
            (&board.functions_bytes, self.libraries.bytes()),
            (&board.cached_scripts, self.cache.len()),
            (&board.libraries, self.libraries.len()),
            (&board.functions, self.libraries.functions_len()),
        ] {
            gauge.store(value as u64, Ordering::Relaxed);
        }
    }
}

fn err(text: Vec<u8>) -> Vec<u8> {
    [b"ERR ", text.as_slice()].concat()
}

/// The reply when the machine died under its script.
fn lost(out: &mut Reply) -> Progress {
    let mut ended = Ended::default();
    push_error(out, &mut ended.errors, b"ERR the script engine was restarted", false);
    Progress::Done(ended)
}

/// Runs a job that asks nothing.
fn perform(seat: &mut Seat, job: Job) -> Outcome {
    *seat.desk().job.borrow_mut() = Some(job);
    while seat.resume(Tell::Go, None) != Ask::Idle {}
    seat.desk().outcome.take().unwrap_or(Outcome::Done)
}

/// Runs the body of a library, which may log and take `limit_us`, no more.
fn load(seat: &mut Seat, job: Job, limit_us: u64, caller: &mut dyn Caller) -> Outcome {
    *seat.desk().job.borrow_mut() = Some(job);
    let until_us = caller.monotonic_us().saturating_add(limit_us);
    let (mut body, mut out) = (LibraryBody { caller, until_us }, Reply::default());
    let mut visit = Visit { caller: &mut body, keys: &[], argv: &[], out: &mut out };
    while seat.resume(Tell::Go, Some(&mut visit)) != Ask::Idle {}
    seat.desk().outcome.take().unwrap_or(Outcome::Done)
}

/// What the body of a library may ask: to log, for as long as it has time.
struct LibraryBody<'a> {
    caller: &'a mut dyn Caller,
    until_us: u64,
}

impl Caller for LibraryBody<'_> {
    fn call(&mut self, _: &[&[u8]], _: bool) -> Option<&[u8]> {
        Some(b"-ERR Commands cannot be called while a library is loaded\r\n")
    }

    fn acl_check(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.caller.log(level, text);
    }

    fn set_repl(&mut self, _: u8) {}

    fn tick(&mut self) -> Tick {
        if self.caller.monotonic_us() > self.until_us { Tick::Kill } else { Tick::Continue }
    }

    fn monotonic_us(&mut self) -> u64 {
        self.caller.monotonic_us()
    }
}
