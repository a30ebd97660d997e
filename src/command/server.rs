//! FLUSHALL, SWAPDB, TIME, ROLE, SHUTDOWN and other commands on the server as a whole.

use super::Command;
use super::ctx::{Block, Ctx, Origin, Outcome, Result, TimeoutReply};
use super::error::Error;
use crate::base::num::parse_i64;
use crate::client::Marks;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use std::ops::Range;

/// The family.
pub const COMMANDS: &[Command] = &[
    FLUSHALL,
    FLUSHDB,
    SWAPDB,
    TIME,
    LASTSAVE,
    ROLE,
    WAIT,
    WAITAOF,
    SHUTDOWN,
    MONITOR,
    LOLWUT,
    MODULE,
    REPLICAOF,
    SLAVEOF,
    SAVE,
    BGSAVE,
    BGREWRITEAOF,
];

const BASE: CommandSpec = CommandSpec { group: Group::Server, ..CommandSpec::BASE };
const FLUSH_ARGS: &[Arg] = &[Arg::one_of(
    "flush-type",
    &[Arg::word("async", "ASYNC").since("4.0.0"), Arg::word("sync", "SYNC").since("6.2.0")],
)
.optional()];

const FLUSHALL: Command = Command::new(
    flushall,
    CommandSpec {
        name: "FLUSHALL",
        summary: "Empties all databases.",
        history: &[("4.0.0", "Takes ASYNC."), ("6.2.0", "Takes SYNC.")],
        complexity: "O(N) in the keys of all databases",
        arity: Arity::at_least(1),
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        keys: Keys::All,
        effect: Propagate::Rewritten,
        args: FLUSH_ARGS,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..BASE
    },
);

const FLUSHDB: Command = Command::new(
    flushdb,
    CommandSpec {
        name: "FLUSHDB",
        summary: "Empties the database.",
        history: &[("4.0.0", "Takes ASYNC."), ("6.2.0", "Takes SYNC.")],
        complexity: "O(N) in the keys of the database",
        ..FLUSHALL.spec
    },
);

const SWAPDB: Command = Command::new(
    swapdb,
    CommandSpec {
        name: "SWAPDB",
        summary: "Swaps two databases.",
        since: "4.0.0",
        complexity: "O(N) in the clients that watch keys of either database or wait for them",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::FAST),
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        keys: Keys::All,
        effect: Propagate::Verbatim,
        args: &[Arg::integer("index1"), Arg::integer("index2")],
        ..BASE
    },
);

const TIME: Command = Command::new(
    time,
    CommandSpec {
        name: "TIME",
        summary: "The server's clock.",
        since: "2.6.0",
        arity: Arity::exactly(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const LASTSAVE: Command = Command::new(
    lastsave,
    CommandSpec {
        name: "LASTSAVE",
        summary: "When the data was last saved.",
        arity: Arity::exactly(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        categories: Categories::ADMIN.and(Categories::DANGEROUS),
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const ROLE: Command = Command::new(
    role,
    CommandSpec {
        name: "ROLE",
        summary: "The replication role.",
        since: "2.8.12",
        arity: Arity::exactly(1),
        flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::SENTINEL),
        categories: Categories::ADMIN.and(Categories::DANGEROUS),
        ..BASE
    },
);

const WAIT: Command = Command::new(
    wait,
    CommandSpec {
        name: "WAIT",
        summary: "Waits until replicas have the writes of this connection.",
        since: "3.0.0",
        group: Group::Generic,
        arity: Arity::exactly(3),
        flags: Flags::BLOCKING,
        categories: Categories::CONNECTION,
        args: &[Arg::integer("numreplicas"), Arg::integer("timeout")],
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        ..BASE
    },
);

const WAITAOF: Command = Command::new(
    waitaof,
    CommandSpec {
        name: "WAITAOF",
        summary: "Waits until the writes of this connection are on disk here and at replicas.",
        since: "7.2.0",
        arity: Arity::exactly(4),
        args: &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
        ..WAIT.spec
    },
);

const SHUTDOWN: Command = Command::new(
    shutdown,
    CommandSpec {
        name: "SHUTDOWN",
        summary: "Stops the server.",
        history: &[("7.0.0", "Takes NOW, FORCE and ABORT.")],
        complexity: "O(N) in the keys of all databases if they are saved, else O(1)",
        arity: Arity::at_least(1),
        flags: Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::NO_MULTI)
            .and(Flags::ALLOW_BUSY)
            .and(Flags::SENTINEL),
        args: &[
            Arg::one_of("save-selector", &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")]).optional(),
            Arg::word("now", "NOW").optional().since("7.0.0"),
            Arg::word("force", "FORCE").optional().since("7.0.0"),
            Arg::word("abort", "ABORT").optional().since("7.0.0"),
        ],
        ..BASE
    },
);

const MONITOR: Command = Command::new(
    monitor,
    CommandSpec {
        name: "MONITOR",
        summary: "Shows every command that the server runs.",
        complexity: "",
        arity: Arity::exactly(1),
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        ..BASE
    },
);

const LOLWUT: Command = Command::new(
    lolwut,
    CommandSpec {
        name: "LOLWUT",
        summary: "A picture, and the version.",
        since: "5.0.0",
        complexity: "",
        arity: Arity::at_least(1),
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::integer("version").token("VERSION").optional()],
        keys: Keys::Walk,
        ..BASE
    },
);

const MODULE: Command = Command::container(
    CommandSpec {
        name: "MODULE",
        summary: "A container for commands on modules.",
        since: "4.0.0",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        ..BASE
    },
    &[
        Command::new(
            module_help,
            CommandSpec {
                name: "HELP",
                summary: "What there is.",
                since: "5.0.0",
                arity: Arity::exactly(2),
                flags: Flags::LOADING.and(Flags::STALE),
                ..BASE
            },
        ),
        Command::new(
            module_list,
            CommandSpec {
                name: "LIST",
                summary: "The modules loaded.",
                since: "4.0.0",
                complexity: "O(N) in the modules",
                arity: Arity::exactly(2),
                flags: Flags::ADMIN.and(Flags::NOSCRIPT),
                tips: &["nondeterministic_output_order"],
                ..BASE
            },
        ),
        Command::new(module_refused, module_load("LOAD", "4.0.0", Arity::at_least(3), LOAD_ARGS)),
        Command::new(module_refused, module_load("LOADEX", "7.0.0", Arity::at_least(3), LOADEX_ARGS)),
        Command::new(module_refused, module_load("UNLOAD", "4.0.0", Arity::exactly(3), &[Arg::string("name")])),
    ],
);

const LOAD_ARGS: &[Arg] = &[Arg::string("path"), Arg::string("arg").optional().multiple()];
const LOADEX_ARGS: &[Arg] = &[
    Arg::string("path"),
    Arg::block("configs", &[Arg::string("name"), Arg::string("value")]).token("CONFIG").optional().multiple_token(),
    Arg::string("args").token("ARGS").optional().multiple(),
];

const fn module_load(name: &'static str, since: &'static str, arity: Arity, args: &'static [Arg]) -> CommandSpec {
    CommandSpec {
        name,
        summary: "Refused: modules cannot be loaded here.",
        since,
        arity,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        args,
        ..BASE
    }
}

const REPLICAOF: Command = Command::new(
    replicaof,
    CommandSpec {
        name: "REPLICAOF",
        summary: "Follows another server, or none.",
        since: "5.0.0",
        arity: Arity::exactly(3),
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        args: &[Arg::one_of(
            "args",
            &[
                Arg::block("host-port", &[Arg::string("host"), Arg::integer("port")]),
                Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
            ],
        )],
        ..BASE
    },
);

const SLAVEOF: Command = Command::new(
    replicaof,
    CommandSpec { name: "SLAVEOF", since: "1.0.0", deprecated: Some(("5.0.0", "`REPLICAOF`")), ..REPLICAOF.spec },
);

const SAVE: Command = Command::new(
    no_files,
    CommandSpec {
        name: "SAVE",
        summary: "Saves the data to a file.",
        complexity: "O(N) in the keys of all databases",
        arity: Arity::exactly(1),
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
        ..BASE
    },
);

const BGSAVE: Command = Command::new(
    no_files,
    CommandSpec {
        name: "BGSAVE",
        summary: "Saves the data to a file in the background.",
        history: &[("3.2.2", "Takes SCHEDULE.")],
        arity: Arity::at_least(1),
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        args: &[Arg::word("schedule", "SCHEDULE").optional().since("3.2.2")],
        ..BASE
    },
);

const BGREWRITEAOF: Command = Command::new(
    no_files,
    CommandSpec {
        name: "BGREWRITEAOF",
        summary: "Writes the append-only file anew.",
        arity: Arity::exactly(1),
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        ..BASE
    },
);

/// Reads FLUSHALL's option: whether the freeing is to be waited for.
fn flush_sync(ctx: &Ctx<'_, '_>) -> Result<bool> {
    match ctx.args.len() {
        1 => Ok(!ctx.node.config.lazyfree_lazy_user_flush.get()),
        2 if ctx.args.is(1, "SYNC") => Ok(true),
        2 if ctx.args.is(1, "ASYNC") => Ok(false),
        _ => Err(Error::Syntax),
    }
}

fn flushall(ctx: &mut Ctx<'_, '_>) -> Result {
    let wait = flush_sync(ctx)?;
    let databases = ctx.node.keyspace.databases();
    flush(ctx, 0..databases, wait, b"FLUSHALL")
}

/// Empties databases and waits until the memory is free, if that is asked for and the client can wait. The original frees
/// in place where it cannot; here nobody waits for the freeing then, and it is not counted as lazy.
fn flush(ctx: &mut Ctx<'_, '_>, dbs: Range<usize>, wait: bool, name: &[u8]) -> Result {
    let may_wait = ctx.may_block();
    let removed = ctx.txn.flush(dbs, !wait || may_wait);
    // Logged even if there was nothing, which is no change.
    ctx.log_as(&[name]);
    if wait && may_wait && removed > 0 {
        let block = Block { until_freed: true, ..Block::new(Vec::new(), None, TimeoutReply::Ok) };
        return Ok(Outcome::Block(Box::new(block)));
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn flushdb(ctx: &mut Ctx<'_, '_>) -> Result {
    let wait = flush_sync(ctx)?;
    let db = ctx.session.db;
    flush(ctx, db..db + 1, wait, b"FLUSHDB")
}

fn swapdb(ctx: &mut Ctx<'_, '_>) -> Result {
    let index = |i: usize| parse_i64(ctx.args.at(i)).filter(|n| i32::try_from(*n).is_ok());
    let a = index(1).ok_or(Error::Text("ERR invalid first DB index"))?;
    let b = index(2).ok_or(Error::Text("ERR invalid second DB index"))?;
    let within = |n: i64| usize::try_from(n).ok().filter(|n| *n < ctx.node.keyspace.databases());
    let (a, b) = (within(a).ok_or(Error::DbIndex)?, within(b).ok_or(Error::DbIndex)?);
    if a != b {
        ctx.txn.swap(a, b);
    } else {
        ctx.txn.count_dirty(1);
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn time(ctx: &mut Ctx<'_, '_>) -> Result {
    // Time stands still while a script runs, until it is late: one that waits for a moment sees it come.
    let frozen_us = ctx.session.frozen_us.filter(|_| ctx.node.stage.busy().is_none());
    let us = frozen_us.unwrap_or_else(|| ctx.node.clock.now_us());
    ctx.reply.array(2);
    ctx.reply.bulk_int((us / 1_000_000) as i64);
    ctx.reply.bulk_int((us % 1_000_000) as i64);
    Ok(Outcome::Done)
}

fn lastsave(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int((ctx.node.started_ms / 1000) as i64);
    Ok(Outcome::Done)
}

fn role(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(ctx.node.log.offset() as i64);
    ctx.reply.array(0);
    Ok(Outcome::Done)
}

fn wait_timeout(text: &[u8], now_ms: u64) -> Result<i64> {
    match parse_i64(text).ok_or(Error::Text("ERR timeout is not an integer or out of range"))? {
        ..0 => Err(Error::TimeoutNegative),
        ms if ms > i64::MAX - now_ms as i64 => Err(Error::TimeoutRange),
        ms => Ok(ms),
    }
}

/// A lone primary: no replica will ever acknowledge, so a client that asks for one waits out its time.
fn wait(ctx: &mut Ctx<'_, '_>) -> Result {
    let replicas = ctx.args.int(1)?;
    let ms = wait_timeout(ctx.args.at(2), ctx.now_ms())?;
    if replicas <= 0 || !ctx.may_block() {
        ctx.reply.int(0);
        return Ok(Outcome::Done);
    }
    let deadline_ms = (ms > 0).then(|| ctx.now_ms() + ms as u64);
    Ok(Outcome::Block(Box::new(Block::new(Vec::new(), deadline_ms, TimeoutReply::Zero))))
}

fn waitaof(ctx: &mut Ctx<'_, '_>) -> Result {
    let local = ctx.args.int(1)?;
    if !(0..=1).contains(&local) {
        return Err(Error::Text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = parse_i64(ctx.args.at(2)).filter(|count| *count >= 0).ok_or(Error::NotPositive)?;
    let ms = wait_timeout(ctx.args.at(3), ctx.now_ms())?;
    if local > 0 {
        return Err(Error::Text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    if replicas == 0 || !ctx.may_block() {
        ctx.reply.array(2);
        ctx.reply.int(0);
        ctx.reply.int(0);
        return Ok(Outcome::Done);
    }
    let deadline_ms = (ms > 0).then(|| ctx.now_ms() + ms as u64);
    Ok(Outcome::Block(Box::new(Block::new(Vec::new(), deadline_ms, TimeoutReply::TwoZeros))))
}

fn shutdown(ctx: &mut Ctx<'_, '_>) -> Result {
    let (mut save, mut nosave, mut abort, mut other) = (false, false, false, false);
    for word in ctx.args.rest(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"now" | b"force" => other = true,
            b"abort" => abort = true,
            _ => return Err(Error::Syntax),
        }
    }
    if (save && nosave) || (abort && (save || nosave || other)) {
        return Err(Error::Syntax);
    }
    if abort {
        return Err(Error::Text("ERR No shutdown in progress."));
    }
    if let Some(error) = super::script::busy(ctx.node).filter(|_| !nosave) {
        return Err(error);
    }
    if save {
        return no_files(ctx);
    }
    Ok(Outcome::Shutdown)
}

fn monitor(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.origin == Origin::Exec {
        return Err(Error::Text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let client = &ctx.session.client;
    if !client.marks.any(Marks::MONITOR) {
        client.marks.set(Marks::MONITOR, true);
        ctx.node.add_monitor(client);
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// A larder: a shelf of jars, as full as the database.
fn lolwut(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.args.len() > 2 && ctx.args.is(1, "VERSION") {
        ctx.args.int(2)?;
    }
    let mut keys = 0;
    ctx.txn.each_shard(|shard| keys += shard.dbs.iter().map(|db| db.table.len() as u64).sum::<u64>())?;
    let full = (keys.checked_ilog10().map_or(0, |n| n + 1)).min(8) as usize;
    let row = |jar: &str, empty: &str| format!(" {}{}\n", jar.repeat(full), empty.repeat(8 - full));
    let text = format!(
        "{}{}{}{}\nLarder ver. {} (Redis ver. {})\n",
        row(" .-. ", "     "),
        row(" |#| ", "     "),
        row(" |_| ", "     "),
        "-".repeat(42),
        env!("CARGO_PKG_VERSION"),
        crate::config::REDIS_VERSION
    );
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn module_help(ctx: &mut Ctx<'_, '_>) -> Result {
    const REFUSED: &str = "Refused: no modules can be loaded.";
    super::introspect::help(
        ctx,
        "MODULE",
        &[
            ("LIST", "Return a list of loaded modules."),
            ("LOAD <path> [<arg> ...]", REFUSED),
            ("LOADEX <path> [[CONFIG NAME VALUE] ...] [ARGS ...]", REFUSED),
            ("UNLOAD <name>", REFUSED),
        ],
    )
}

fn module_list(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.array(0);
    Ok(Outcome::Done)
}

fn module_refused(_: &mut Ctx<'_, '_>) -> Result {
    Err(Error::Text("ERR Error loading the extension. Larder loads no modules."))
}

fn replicaof(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.args.is(1, "NO") && ctx.args.is(2, "ONE") {
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    parse_i64(ctx.args.at(2)).filter(|p| (0..=65535).contains(p)).ok_or(Error::Text("ERR Invalid master port"))?;
    Err(Error::Text("ERR This version of Larder cannot follow another server yet."))
}

fn no_files(_: &mut Ctx<'_, '_>) -> Result {
    Err(Error::Text("ERR This version of Larder keeps its data in memory only and writes no files yet."))
}
