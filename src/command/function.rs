//! FUNCTION and FCALL: libraries of functions that stay.
//!
//! The engine runs functions (`engine/script`); here are their rows, and the handlers that look after the libraries of
//! the script host.

use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use super::script::{CALL, CALL_RO, FLUSH_MODE, MANAGE, busy_with, flush_mode, kill_kind};
use super::{Command, ScriptBy, introspect};
use crate::base::glob;
use crate::node::Node;
use crate::node::stage::{Act, Kind};
use crate::persist::rdb::dump::{self, DumpError};
use crate::script::library::{Library, RestorePolicy};
use crate::script::{Caller, Host, LogLevel, Tick};
use crate::spec::{Arg, Arity, CommandSpec, Flags, Group, Propagate};
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[FCALL, FCALL_RO, FUNCTION];

const FCALL_ARGS: &[Arg] = &[
    Arg::string("function"),
    Arg::integer("numkeys"),
    Arg::key("key").optional().multiple(),
    Arg::string("arg").optional().multiple(),
];

const FCALL: Command = Command::scripted(
    ScriptBy::Function,
    false,
    CommandSpec {
        name: "FCALL",
        summary: "Runs a function.",
        since: "7.0.0",
        complexity: "That of the function",
        args: FCALL_ARGS,
        ..CALL
    },
);

const FCALL_RO: Command = Command::scripted(
    ScriptBy::Function,
    true,
    CommandSpec {
        name: "FCALL_RO",
        summary: "Runs a function that may not write.",
        complexity: "That of the function",
        args: FCALL_ARGS,
        ..CALL_RO
    },
);

const BASE: CommandSpec = CommandSpec { since: "7.0.0", ..MANAGE };
const WRITE: CommandSpec = CommandSpec {
    flags: BASE.flags.and(Flags::WRITE),
    effect: Propagate::Verbatim,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..BASE
};

const FUNCTION: Command = Command::container(
    CommandSpec {
        name: "FUNCTION",
        summary: "A container for commands about functions.",
        since: "7.0.0",
        complexity: "That of the subcommand",
        group: Group::Scripting,
        arity: Arity::at_least(2),
        ..CommandSpec::BASE
    },
    &[
        Command::hosted(
            delete,
            CommandSpec {
                name: "DELETE",
                summary: "Deletes a library with its functions.",
                arity: Arity::exactly(3),
                args: &[Arg::string("library-name")],
                ..WRITE
            },
        ),
        Command::hosted(
            dump_all,
            CommandSpec {
                name: "DUMP",
                summary: "Returns all libraries as one payload.",
                complexity: "O(N) in the functions",
                ..BASE
            },
        ),
        Command::hosted(
            flush,
            CommandSpec {
                name: "FLUSH",
                summary: "Deletes all libraries.",
                complexity: "O(N) in the functions deleted",
                arity: Arity::at_least(2),
                args: &[FLUSH_MODE.optional()],
                ..WRITE
            },
        ),
        Command::new(
            help,
            CommandSpec {
                name: "HELP",
                summary: "Shows the subcommands.",
                flags: Flags::LOADING.and(Flags::STALE),
                ..BASE
            },
        ),
        Command::new(
            kill,
            CommandSpec {
                name: "KILL",
                summary: "Ends the function that runs.",
                flags: Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                ..BASE
            },
        ),
        Command::hosted(
            list,
            CommandSpec {
                name: "LIST",
                summary: "Lists libraries with their functions.",
                complexity: "O(N) in the functions",
                arity: Arity::at_least(2),
                args: &[
                    Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
                    Arg::word("withcode", "WITHCODE").optional(),
                ],
                tips: &["nondeterministic_output_order"],
                ..BASE
            },
        ),
        Command::hosted(
            load,
            CommandSpec {
                name: "LOAD",
                summary: "Creates a library from its code.",
                complexity: "O(1), compiling aside",
                arity: Arity::at_least(3),
                flags: WRITE.flags.and(Flags::DENYOOM),
                args: &[Arg::word("replace", "REPLACE").optional(), Arg::string("function-code")],
                ..WRITE
            },
        ),
        Command::hosted(
            restore,
            CommandSpec {
                name: "RESTORE",
                summary: "Creates libraries from a payload.",
                complexity: "O(N) in the functions of the payload",
                arity: Arity::at_least(3),
                flags: WRITE.flags.and(Flags::DENYOOM),
                args: &[
                    Arg::string("serialized-value"),
                    Arg::one_of(
                        "policy",
                        &[Arg::word("flush", "FLUSH"), Arg::word("append", "APPEND"), Arg::word("replace", "REPLACE")],
                    )
                    .optional(),
                ],
                ..WRITE
            },
        ),
        Command::new(
            stats,
            CommandSpec {
                name: "STATS",
                summary: "Tells what runs and how much is loaded.",
                flags: Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
                tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                ..BASE
            },
        ),
    ],
);

/// What the body of a library may ask while it is loaded: to log, and what time it is.
pub(super) struct Loading<'a>(pub(super) &'a Node);

impl Caller for Loading<'_> {
    fn call(&mut self, _: &[&[u8]], _: bool) -> Option<&[u8]> {
        Some(b"-ERR Commands cannot be called while a library is loaded\r\n")
    }
    fn acl_check(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }
    fn log(&mut self, level: LogLevel, text: &[u8]) {
        write_log(level, text);
    }
    fn set_repl(&mut self, _: u8) {}
    fn tick(&mut self) -> Tick {
        Tick::Continue
    }
    fn monotonic_us(&mut self) -> u64 {
        self.0.clock.monotonic_us()
    }
}

/// `redis.log`: a line in the server's log.
pub fn write_log(level: LogLevel, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    match level {
        LogLevel::Debug => tracing::trace!("{text}"),
        LogLevel::Verbose => tracing::debug!("{text}"),
        LogLevel::Notice => tracing::info!("{text}"),
        LogLevel::Warning => tracing::warn!("{text}"),
    }
}

fn delete(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    if !host.delete_library(&ctx.args[2]) {
        return Err(Error::Text("ERR Library not found"));
    }
    ctx.txn.count_dirty(1);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn dump_all(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let codes = host.libraries().iter().map(|library| &*library.code);
    ctx.reply.bulk(&dump::encode_libraries(codes, ctx.node.config.rdbcompression.get()));
    Ok(Outcome::Done)
}

fn flush(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    if ctx.args.len() > 3 {
        return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "FUNCTION"));
    }
    let in_background = flush_mode(ctx).ok_or(Error::Text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"))?;
    let functions = host.libraries().functions_len() as u64;
    let old = host.flush_functions();
    if in_background {
        // They and the machine they are in.
        ctx.node.keyspace.later.free(Box::new(old), functions + 1, 0);
    }
    ctx.txn.count_dirty(1);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    introspect::help(
        ctx,
        "FUNCTION",
        &[
            ("DELETE <LIBRARY NAME>", "Delete a library with all its functions."),
            ("DUMP", "Return all libraries as one payload for FUNCTION RESTORE."),
            (
                "FLUSH [ASYNC|SYNC]",
                "Delete all libraries, in the background with ASYNC.\n\
                 Without a mode, lazyfree-lazy-user-flush decides.",
            ),
            ("KILL", "End the function that runs, unless it has written already."),
            (
                "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
                "List libraries with their functions, those whose name matches the pattern,\nand with WITHCODE their code.",
            ),
            ("LOAD [REPLACE] <FUNCTION CODE>", "Create a library; with REPLACE in place of the one of the same name."),
            (
                "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
                "Create the libraries of a payload. Those that exist are deleted first (FLUSH),\n\
                 make it fail (APPEND, the default) or are replaced (REPLACE).",
            ),
            ("STATS", "Tell which function runs and for how long, and how many are loaded by engine."),
        ],
    )
}

fn kill(ctx: &mut Ctx<'_, '_>) -> Result {
    kill_kind(ctx, Kind::Function)
}

fn list(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = ctx.args.rest(2).iter();
    while let Some(word) = words.next() {
        if !with_code && word.eq_ignore_ascii_case(b"WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"LIBRARYNAME") {
            pattern = Some(*words.next().ok_or(Error::Text("ERR library name argument was not given"))?);
        } else {
            return Err(Error::of(&[b"ERR Unknown argument ", word]));
        }
    }
    let wanted = |library: &&Library| pattern.is_none_or(|pattern| glob::matches(pattern, &library.name));
    let shown: Vec<&Library> = host.libraries().iter().filter(wanted).collect();
    ctx.reply.array(shown.len());
    for library in shown {
        show_library(ctx, library, with_code);
    }
    Ok(Outcome::Done)
}

fn show_library(ctx: &mut Ctx<'_, '_>, library: &Library, with_code: bool) {
    let reply = &mut *ctx.reply;
    reply.map(3 + with_code as usize);
    reply.bulk(b"library_name");
    reply.bulk(&library.name);
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&function.name);
        reply.bulk(b"description");
        reply.bulk_or_null(function.description.as_deref());
        reply.bulk(b"flags");
        let flags: Vec<&str> = function.flags.names().collect();
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

fn load(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let (options, code) = (&ctx.args.all()[2..ctx.args.len() - 1], ctx.args.at(ctx.args.len() - 1));
    if let Some(word) = options.iter().find(|word| !word.eq_ignore_ascii_case(b"REPLACE")) {
        return Err(Error::of(&[b"ERR Unknown option given: ", word]));
    }
    let name = host.load_library(code, !options.is_empty(), &mut Loading(ctx.node)).map_err(Error::Owned)?;
    ctx.txn.count_dirty(1);
    ctx.reply.bulk(&name);
    Ok(Outcome::Done)
}

fn restore(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let policy = match ctx.args.len() {
        3 => RestorePolicy::Append,
        4 if ctx.args.is(3, "APPEND") => RestorePolicy::Append,
        4 if ctx.args.is(3, "FLUSH") => RestorePolicy::Flush,
        4 if ctx.args.is(3, "REPLACE") => RestorePolicy::Replace,
        4 => {
            return Err(Error::Text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "FUNCTION")),
    };
    let codes = dump::decode_libraries(&ctx.args[2], super::dump::checksum(ctx.node)).map_err(|error| match error {
        DumpError::Footer => Error::Text("ERR DUMP payload version or checksum are wrong"),
        DumpError::Value(_) => Error::Text("ERR failed loading functions payload"),
    })?;
    host.restore(&codes, policy, &mut Loading(ctx.node)).map_err(Error::Owned)?;
    ctx.txn.count_dirty(1);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn stats(ctx: &mut Ctx<'_, '_>) -> Result {
    let act = ctx.node.stage.act();
    match act.as_ref().map(|act| act.kind) {
        // What is not late is waited for, as any command waits.
        Some(_) if ctx.node.stage.busy().is_none() && ctx.origin == Origin::Client => return Err(Error::Held),
        Some(Kind::Script) => return Err(busy_with(Kind::Script)),
        _ => {}
    }
    let running_ms = |act: &Act| (ctx.node.clock.monotonic_us() / 1000).saturating_sub(act.started_ms);
    let running = act.as_ref().map(|act| (act, running_ms(act)));
    let board = &ctx.node.board;
    let counts = [board.libraries.load(Relaxed), board.functions.load(Relaxed)];
    let reply = &mut *ctx.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some((act, ms)) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&act.name);
            reply.bulk(b"command");
            reply.array(act.argv.len());
            act.argv.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(b"duration_ms");
            reply.int(ms as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(counts[0] as i64);
    reply.bulk(b"functions_count");
    reply.int(counts[1] as i64);
    Ok(Outcome::Done)
}
