//! EVAL in its four forms and SCRIPT: scripts known by their text or its SHA1.
//!
//! The engine runs scripts (`engine/script`); here are their rows, and the handlers that look after the cache of the
//! script host.

use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use super::introspect;
use super::{Command, ScriptBy};
use crate::node::Node;
use crate::node::stage::{Killed, Kind};
use crate::script::Host;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys};
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT];

/// What EVAL and FCALL have in common.
pub(super) const CALL: CommandSpec = CommandSpec {
    complexity: "That of the script",
    group: Group::Scripting,
    arity: Arity::at_least(3),
    flags: Flags::NOSCRIPT
        .and(Flags::STALE)
        .and(Flags::SKIP_MONITOR)
        .and(Flags::MAY_REPLICATE)
        .and(Flags::NO_MANDATORY_KEYS)
        .and(Flags::MOVABLE_KEYS),
    categories: Categories::SCRIPTING,
    keys: Keys::Specs(&[KeySpec::numkeys(2, Access::READ_UPDATE)]),
    key_notes: &["Nobody knows what is done with them: the worst is assumed."],
    ..CommandSpec::BASE
};

/// The same for the forms that refuse writes.
pub(super) const CALL_RO: CommandSpec = CommandSpec {
    since: "7.0.0",
    flags: CALL.flags.without(Flags::MAY_REPLICATE).and(Flags::READONLY),
    keys: Keys::Specs(&[KeySpec::numkeys(2, Access::READ)]),
    ..CALL
};

const BODY_ARGS: &[Arg] = &[
    Arg::string("script"),
    Arg::integer("numkeys"),
    Arg::key("key").optional().multiple(),
    Arg::string("arg").optional().multiple(),
];

const SHA_ARGS: &[Arg] = &[
    Arg::string("sha1"),
    Arg::integer("numkeys"),
    Arg::key("key").optional().multiple(),
    Arg::string("arg").optional().multiple(),
];

const EVAL: Command = Command::scripted(
    ScriptBy::Body,
    false,
    CommandSpec { name: "EVAL", summary: "Runs a Lua script.", since: "2.6.0", args: BODY_ARGS, ..CALL },
);

const EVALSHA: Command = Command::scripted(
    ScriptBy::Sha,
    false,
    CommandSpec {
        name: "EVALSHA",
        summary: "Runs a cached Lua script by its SHA1.",
        since: "2.6.0",
        key_notes: &[],
        args: SHA_ARGS,
        ..CALL
    },
);

const EVAL_RO: Command = Command::scripted(
    ScriptBy::Body,
    true,
    CommandSpec { name: "EVAL_RO", summary: "Runs a Lua script that may not write.", args: BODY_ARGS, ..CALL_RO },
);

const EVALSHA_RO: Command = Command::scripted(
    ScriptBy::Sha,
    true,
    CommandSpec {
        name: "EVALSHA_RO",
        summary: "Runs a cached Lua script that may not write, by its SHA1.",
        key_notes: &[],
        args: SHA_ARGS,
        ..CALL_RO
    },
);

/// What the subcommands of SCRIPT and FUNCTION have in common.
pub(super) const MANAGE: CommandSpec = CommandSpec {
    since: "2.6.0",
    group: Group::Scripting,
    flags: Flags::NOSCRIPT,
    categories: Categories::SCRIPTING,
    arity: Arity::exactly(2),
    ..CommandSpec::BASE
};

/// `ASYNC` or `SYNC`.
pub(super) const FLUSH_MODE: Arg = Arg::one_of("flush-type", &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")]);

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const SCRIPT: Command = Command::container(
    CommandSpec {
        name: "SCRIPT",
        summary: "A container for the management of Lua scripts.",
        since: "2.6.0",
        complexity: "That of the subcommand",
        group: Group::Scripting,
        arity: Arity::at_least(2),
        ..CommandSpec::BASE
    },
    &[
        Command::new(
            debug,
            CommandSpec {
                name: "DEBUG",
                summary: "Would set the debug mode of scripts; only NO is accepted.",
                since: "3.2.0",
                arity: Arity::exactly(3),
                args: &[Arg::one_of(
                    "mode",
                    &[Arg::word("yes", "YES"), Arg::word("sync", "SYNC"), Arg::word("no", "NO")],
                )],
                ..MANAGE
            },
        ),
        Command::hosted(
            exists,
            CommandSpec {
                name: "EXISTS",
                summary: "Says which scripts are cached.",
                complexity: "O(N) in the scripts named",
                arity: Arity::at_least(3),
                args: &[Arg::string("sha1").multiple()],
                tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
                ..MANAGE
            },
        ),
        Command::hosted(
            flush,
            CommandSpec {
                name: "FLUSH",
                summary: "Forgets all cached scripts.",
                history: &[("6.2.0", "Takes ASYNC and SYNC.")],
                complexity: "O(N) in the scripts cached",
                arity: Arity::at_least(2),
                args: &[FLUSH_MODE.optional().since("6.2.0")],
                tips: ALL_NODES,
                ..MANAGE
            },
        ),
        Command::new(
            help,
            CommandSpec {
                name: "HELP",
                summary: "Shows the subcommands.",
                since: "5.0.0",
                flags: Flags::LOADING.and(Flags::STALE),
                ..MANAGE
            },
        ),
        Command::new(
            kill,
            CommandSpec {
                name: "KILL",
                summary: "Ends the script that runs.",
                flags: Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                ..MANAGE
            },
        ),
        Command::hosted(
            load,
            CommandSpec {
                name: "LOAD",
                summary: "Caches a script without running it.",
                complexity: "O(N) in the bytes of the script",
                arity: Arity::exactly(3),
                flags: Flags::NOSCRIPT.and(Flags::STALE),
                args: &[Arg::string("script")],
                tips: ALL_NODES,
                ..MANAGE
            },
        ),
        Command::hosted(
            show,
            CommandSpec {
                name: "SHOW",
                summary: "Returns the text of a cached script (a command of Valkey).",
                since: "8.0.0",
                arity: Arity::exactly(3),
                flags: Flags::NOSCRIPT.and(Flags::STALE),
                args: &[Arg::string("sha1")],
                ..MANAGE
            },
        ),
    ],
);

const NO_SCRIPT: Error = Error::Text("NOSCRIPT No matching script. Please use EVAL.");

fn debug(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.args.is(2, "NO") {
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    if ctx.args.is(2, "YES") || ctx.args.is(2, "SYNC") {
        return Err(Error::Text("ERR This server has no debugger of scripts"));
    }
    Err(Error::Text("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn exists(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let digests = ctx.args.rest(2);
    ctx.reply.array(digests.len());
    digests.iter().for_each(|sha| ctx.reply.int(host.script_body(sha).is_some() as i64));
    Ok(Outcome::Done)
}

/// Whether what is flushed is to be freed in the background.
pub(super) fn flush_mode(ctx: &Ctx<'_, '_>) -> Option<bool> {
    match ctx.args.len() {
        2 => Some(ctx.node.config.lazyfree_lazy_user_flush.get()),
        3 if ctx.args.is(2, "ASYNC") => Some(true),
        3 if ctx.args.is(2, "SYNC") => Some(false),
        _ => None,
    }
}

fn flush(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let in_background = flush_mode(ctx).ok_or(Error::Text("ERR SCRIPT FLUSH only support SYNC|ASYNC option"))?;
    let scripts = ctx.node.board.cached_scripts.load(Relaxed);
    let old = host.flush_scripts();
    if in_background {
        // They and the machine they are in.
        ctx.node.keyspace.later.free(Box::new(old), scripts + 1, 0);
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    introspect::help(
        ctx,
        "SCRIPT",
        &[
            ("DEBUG (YES|SYNC|NO)", "Set the debug mode of scripts. There is no debugger here: only NO is accepted."),
            ("EXISTS <sha1> [<sha1> ...]", "Say for each SHA1 whether its script is cached."),
            (
                "FLUSH [ASYNC|SYNC]",
                "Forget all cached scripts, in the background with ASYNC.\n\
                 Without a mode, lazyfree-lazy-user-flush decides.",
            ),
            ("KILL", "End the script that runs, unless it has written already."),
            ("LOAD <script>", "Cache a script and return its SHA1."),
            ("SHOW <sha1>", "Return the text of a cached script."),
        ],
    )
}

fn kill(ctx: &mut Ctx<'_, '_>) -> Result {
    kill_kind(ctx, Kind::Script)
}

/// SCRIPT KILL and FUNCTION KILL.
pub(super) fn kill_kind(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result {
    match ctx.node.stage.kill(kind) {
        Killed::Yes => {
            ctx.reply.ok();
            Ok(Outcome::Done)
        }
        // It is not late: the request waits, as it would for any command.
        Killed::NotYet if ctx.origin == Origin::Client => Err(Error::Held),
        Killed::Nothing | Killed::NotYet => Err(Error::Text("NOTBUSY No scripts in execution right now.")),
        Killed::Wrote => Err(Error::Text(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the \
             script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
        )),
        Killed::Other(other) => Err(busy_with(other)),
    }
}

/// The answer of most commands while a script is past its time.
pub fn busy(node: &Node) -> Option<Error> {
    node.stage.busy().map(busy_with)
}

pub(super) fn busy_with(kind: Kind) -> Error {
    Error::Text(match kind {
        Kind::Script => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        Kind::Function => "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    })
}

fn load(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let sha = host.load_script(&ctx.args[2]).map_err(Error::Owned)?;
    ctx.reply.bulk(&sha);
    Ok(Outcome::Done)
}

fn show(ctx: &mut Ctx<'_, '_>, host: &mut Host) -> Result {
    let body = host.script_body(&ctx.args[2]).ok_or(NO_SCRIPT)?;
    ctx.reply.bulk(&body);
    Ok(Outcome::Done)
}
