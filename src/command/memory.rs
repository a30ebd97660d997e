//! MEMORY: where the bytes go.
//!
//! Numbers are those of the allocator and of the tables themselves; what belongs to mechanisms that do not exist here
//! (replicas, cluster links, an append-only file) is 0.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::base::hash::key_hash;
use crate::base::{alloc, system};
use crate::client::{Client, ClientType};
use crate::keyspace::shard::Shard;
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, Group, Keys};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[MEMORY];

const BASE: CommandSpec = CommandSpec { group: Group::Server, since: "4.0.0", ..CommandSpec::BASE };
const REPORT_TIPS: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

const MEMORY: Command = Command::container(
    CommandSpec {
        name: "MEMORY",
        summary: "A container for commands on memory.",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        ..BASE
    },
    &[
        Command::new(
            doctor,
            CommandSpec {
                name: "DOCTOR",
                summary: "Looks for what is wrong with the memory.",
                arity: Arity::exactly(2),
                keys: Keys::Walk,
                tips: REPORT_TIPS,
                ..BASE
            },
        ),
        Command::new(
            help,
            CommandSpec {
                name: "HELP",
                summary: "What there is.",
                arity: Arity::exactly(2),
                flags: Flags::LOADING.and(Flags::STALE),
                ..BASE
            },
        ),
        Command::new(
            malloc_stats,
            CommandSpec {
                name: "MALLOC-STATS",
                summary: "The allocator's own report.",
                complexity: "Grows with the memory in use",
                arity: Arity::exactly(2),
                tips: REPORT_TIPS,
                ..BASE
            },
        ),
        Command::new(
            purge,
            CommandSpec {
                name: "PURGE",
                summary: "Gives unused memory back to the system.",
                complexity: "Grows with the memory in use",
                arity: Arity::exactly(2),
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                ..BASE
            },
        ),
        Command::new(
            stats,
            CommandSpec {
                name: "STATS",
                summary: "What the memory is used for.",
                arity: Arity::exactly(2),
                keys: Keys::Walk,
                tips: REPORT_TIPS,
                ..BASE
            },
        ),
        Command::new(
            usage,
            CommandSpec {
                name: "USAGE",
                summary: "The bytes of a key and its value.",
                complexity: "O(1)",
                arity: Arity::at_least(3),
                flags: Flags::READONLY.and(Flags::NO_TOUCH),
                keys: Keys::one(2, Access::META),
                args: &[Arg::key("key"), Arg::integer("count").token("SAMPLES").optional()],
                ..BASE
            },
        ),
    ],
);

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    super::introspect::help(
        ctx,
        "MEMORY",
        &[
            ("DOCTOR", "Return memory problems reports."),
            ("MALLOC-STATS", "Return internal statistics report from the memory allocator."),
            ("PURGE", "Attempt to purge dirty pages for reclamation by the allocator."),
            ("STATS", "Return information about the memory usage of the server."),
            (
                "USAGE <key> [SAMPLES <count>]",
                "Return memory in bytes used by <key> and its value. Nested values are\nsampled up to <count> times (default: 5, 0 means sample all).",
            ),
        ],
    )
}

/// What the key's value and the key hold, exactly; with SAMPLES too, as nothing needs to be estimated.
fn usage(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut words = ctx.args.cursor(3);
    while !words.is_done() {
        if !words.word_with("SAMPLES", 1) {
            return Err(Error::Syntax);
        }
        if words.int()? < 0 {
            return Err(Error::Syntax);
        }
    }
    let key = ctx.args.at(2);
    let Some(entry) = ctx.txn.peek(key) else {
        ctx.reply.null();
        return Ok(Outcome::Done);
    };
    let shard = ctx.node.keyspace.shard_of(key_hash(key)) as u32;
    let table = ctx.txn.held_shard(shard).map(|shard| &shard.dbs[ctx.txn.db()].table);
    let share = table.map_or(0, |table| table.table_bytes().div_ceil(table.slots().max(1)));
    ctx.reply.int((entry.heap_bytes() + share) as i64);
    Ok(Outcome::Done)
}

fn malloc_stats(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.verbatim(b"txt", &alloc::report());
    Ok(Outcome::Done)
}

fn purge(ctx: &mut Ctx<'_, '_>) -> Result {
    if !alloc::purge() {
        return Err(Error::Text("ERR Error purging dirty pages"));
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// One database in all shards.
#[derive(Default, Clone)]
struct DbBytes {
    keys: u64,
    /// Of the tables, without the entries.
    tables: u64,
    /// Of the wheels of deadlines.
    wheels: u64,
}

/// Where the memory is, in bytes.
struct Overview {
    /// Bytes of cached scripts, and of libraries of functions.
    scripts: [u64; 2],
    used: u64,
    peak: u64,
    startup: u64,
    /// Buffers of all clients.
    clients: u64,
    dbs: Vec<DbBytes>,
    heap: alloc::Stats,
    resident: u64,
}

impl Overview {
    fn of(ctx: &mut Ctx<'_, '_>) -> Result<Overview> {
        let keyspace = &ctx.node.keyspace;
        let mut dbs = vec![DbBytes::default(); keyspace.databases()];
        let mut add = |shard: &Shard| {
            for (total, db) in dbs.iter_mut().zip(&shard.dbs) {
                total.keys += db.table.len() as u64;
                total.tables += db.table.table_bytes() as u64;
                total.wheels += db.wheel.heap_bytes() as u64;
            }
        };
        ctx.txn.each_shard(|shard| add(shard))?;
        let buffers = |client: &Client| match client.client_type() {
            ClientType::Normal | ClientType::Pubsub => client.memory_bytes(),
            _ => 0,
        };
        let board = &ctx.node.board;
        Ok(Overview {
            used: alloc::used_memory() as u64,
            peak: alloc::used_memory_peak() as u64,
            startup: ctx.node.stats.startup_bytes.load(Relaxed),
            clients: ctx.node.clients.all().iter().map(|client| buffers(client)).sum(),
            scripts: [board.scripts_bytes.load(Relaxed), board.functions_bytes.load(Relaxed)],
            dbs,
            heap: alloc::stats(),
            resident: system::resident_bytes(),
        })
    }

    fn keys(&self) -> u64 {
        self.dbs.iter().map(|db| db.keys).sum()
    }
    fn tables(&self) -> u64 {
        self.dbs.iter().map(|db| db.tables + db.wheels).sum()
    }
    fn overhead(&self) -> u64 {
        self.startup + self.clients + self.scripts[0] + self.scripts[1] + self.tables()
    }
    fn dataset(&self) -> u64 {
        self.used.saturating_sub(self.overhead())
    }
    /// What was allocated since the server began.
    fn grown(&self) -> u64 {
        self.used.saturating_sub(self.startup)
    }
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

/// A value of MEMORY STATS.
enum Stat {
    Int(i64),
    Float(f64),
    /// Bytes of a database's tables and wheels.
    Db(i64, i64),
}

fn stats(ctx: &mut Ctx<'_, '_>) -> Result {
    let of = Overview::of(ctx)?;
    let int = |bytes: u64| Stat::Int(bytes as i64);
    let (allocated, active, held) = (of.heap.allocated as u64, of.heap.active as u64, of.heap.resident as u64);
    let mut fields: Vec<(String, Stat)> = Vec::with_capacity(40);
    let mut put = |name: &str, stat: Stat| fields.push((name.to_owned(), stat));
    put("peak.allocated", int(of.peak));
    put("total.allocated", int(of.used));
    put("startup.allocated", int(of.startup));
    put("replication.backlog", int(0));
    put("clients.slaves", int(0));
    put("clients.normal", int(of.clients));
    put("cluster.links", int(0));
    put("aof.buffer", int(0));
    put("lua.caches", int(of.scripts[0]));
    put("functions.caches", int(of.scripts[1]));
    for (number, db) in of.dbs.iter().enumerate().filter(|(_, db)| db.keys > 0) {
        put(&format!("db.{number}"), Stat::Db(db.tables as i64, db.wheels as i64));
    }
    put("overhead.db.hashtable.lut", int(of.tables()));
    put("overhead.db.hashtable.rehashing", int(0));
    put("db.dict.rehashing.count", int(0));
    put("overhead.total", int(of.overhead()));
    put("keys.count", int(of.keys()));
    put("keys.bytes-per-key", int(of.grown().checked_div(of.keys()).unwrap_or(0)));
    put("dataset.bytes", int(of.dataset()));
    put("dataset.percentage", Stat::Float(100.0 * ratio(of.dataset(), of.grown())));
    put("peak.percentage", Stat::Float(100.0 * ratio(of.used, of.peak)));
    put("allocator.allocated", int(allocated));
    put("allocator.active", int(active));
    put("allocator.resident", int(held));
    put("allocator.muzzy", int(0));
    let pairs = [
        ("allocator-fragmentation.ratio", "allocator-fragmentation.bytes", active, allocated),
        ("allocator-rss.ratio", "allocator-rss.bytes", held, active),
        ("rss-overhead.ratio", "rss-overhead.bytes", of.resident, held),
        ("fragmentation", "fragmentation.bytes", of.resident, of.used),
    ];
    for (ratio_name, bytes_name, of, to) in pairs {
        put(ratio_name, Stat::Float(ratio(of, to)));
        put(bytes_name, Stat::Int(of as i64 - to as i64));
    }
    ctx.reply.map(fields.len());
    for (name, stat) in fields {
        ctx.reply.bulk(name.as_bytes());
        match stat {
            Stat::Int(int) => ctx.reply.int(int),
            Stat::Float(float) => ctx.reply.double(float),
            Stat::Db(tables, wheels) => {
                ctx.reply.map(2);
                ctx.reply.bulk(b"overhead.hashtable.main");
                ctx.reply.int(tables);
                ctx.reply.bulk(b"overhead.hashtable.expires");
                ctx.reply.int(wheels);
            }
        }
    }
    Ok(Outcome::Done)
}

/// Below this nothing can be said: the fixed parts outweigh the data.
const TOO_LITTLE_BYTES: u64 = 5 << 20;
/// A difference of fewer bytes is no concern, whatever its ratio.
const NOISE_BYTES: u64 = 10 << 20;

/// What is worth telling about the memory: a headline and an advice each.
fn findings(of: &Overview, clients: u64) -> Vec<(&'static str, &'static str)> {
    let (allocated, active, held) = (of.heap.allocated as u64, of.heap.active as u64, of.heap.resident as u64);
    let wide = |of: u64, to: u64, limit: f64| ratio(of, to) > limit && of.saturating_sub(to) > NOISE_BYTES;
    let mut found = Vec::new();
    if ratio(of.peak, of.used) > 1.5 {
        found.push((
            "Peak memory",
            "the peak was more than 1.5 times what is used now. The allocator may keep pages from then, so a high fragmentation now need not mean anything; MEMORY PURGE gives unused pages back.",
        ));
    }
    if wide(of.resident, of.used, 1.4) {
        found.push((
            "Total fragmentation",
            "the process holds more than 1.4 times the memory it uses. The next lines, if there are any, say where.",
        ));
    }
    if wide(active, allocated, 1.1) {
        found.push((
            "Allocator fragmentation",
            "pages are partly empty, by more than a tenth: values of one size were replaced by values of another.",
        ));
    }
    if wide(held, active, 1.1) {
        found.push((
            "Unused pages",
            "the allocator holds pages without live blocks. It gives them back with time, or with MEMORY PURGE.",
        ));
    }
    if wide(of.resident, held, 1.1) {
        found.push((
            "Memory beside the allocator",
            "the process holds memory that is not the allocator's: stacks, code, files mapped by libraries.",
        ));
    }
    if clients > 0 && of.clients / clients > 200 * 1024 {
        found.push((
            "Client buffers",
            "clients have more than 200 KiB of buffers on average: look for slow readers and big requests with CLIENT LIST (qbuf, omem).",
        ));
    }
    found
}

fn doctor(ctx: &mut Ctx<'_, '_>) -> Result {
    let of = Overview::of(ctx)?;
    let found = findings(&of, ctx.node.clients.all().len() as u64);
    let mut text = String::new();
    if of.used < TOO_LITTLE_BYTES {
        text.push_str("This instance is empty or uses very little memory: nothing can be said of it yet.");
    } else if found.is_empty() {
        text.push_str("No memory problem was found.");
    } else {
        text.push_str("These memory problems were found:\n\n");
        for (headline, advice) in found {
            // Writing to a string does not fail.
            let _ = writeln!(text, " * {headline}: {advice}");
        }
    }
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(Outcome::Done)
}
