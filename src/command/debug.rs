//! DEBUG: what tests and the curious need. Subcommands that would show C internals are not there.
//!
//! Every DEBUG holds the whole keyspace while it runs, as it does in Redis.

use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::key::references_to;
use super::reload::reload;
use super::{Command, Handler};
use crate::base::glob;
use crate::base::num::{parse_f64, parse_i64};
use crate::client::Marks;
use crate::config::number;
use crate::keyspace::digest::{self, Digest};
use crate::keyspace::evict::lru;
use crate::keyspace::{Deadline, Entry};
use crate::persist::rdb::dump;
use crate::resp::reply::Proto;
use crate::spec::{Arity, CommandSpec, Flags, Group, Keys};
use crate::types::ValueRef;
use crate::types::string::NewStr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The family.
pub const COMMANDS: &[Command] = &[DEBUG];

const DEBUG: Command = Command::new(
    debug,
    CommandSpec {
        name: "DEBUG",
        summary: "A container for commands that help with debugging.",
        since: "1.0.0",
        complexity: "That of the subcommand",
        group: Group::Server,
        arity: Arity::at_least(2),
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::SYSCMD),
        keys: Keys::All,
        ..CommandSpec::BASE
    },
);

/// Word, number of arguments after it (at least, at most), handler, form and text of HELP.
const TABLE: &[(&str, usize, usize, Handler, &str, &str)] = &[
    ("CHANGE-REPL-ID", 0, 0, change_repl_id, "CHANGE-REPL-ID", "Change the replication IDs of the instance."),
    (
        "CONFIG-REWRITE-FORCE-ALL",
        0,
        0,
        rewrite_all,
        "CONFIG-REWRITE-FORCE-ALL",
        "Like CONFIG REWRITE but writes all configuration options, including\nkeywords not listed in original configuration file or default values.",
    ),
    ("DIGEST", 0, 0, dataset_digest, "DIGEST", "Output a hex signature representing the current DB content."),
    (
        "DIGEST-VALUE",
        0,
        usize::MAX,
        digest_value,
        "DIGEST-VALUE <key> [<key> ...]",
        "Output a hex signature of the values of all the specified keys.",
    ),
    ("ERROR", 1, 1, error, "ERROR <string>", "Return a Redis protocol error with <string> as message."),
    ("HELP", 0, 0, help, "", ""),
    ("LISTPACK", 1, 1, listpack, "LISTPACK <key>", "Show low level info about the listpack encoding of <key>."),
    ("LOG", 1, 1, log, "LOG <message>", "Write <message> to the server log."),
    ("OBJECT", 1, 2, object, "OBJECT <key> [fast]", "Show low level info about <key> and associated value."),
    ("PANIC", 0, 0, panic, "PANIC", "Fail in the middle of a command: its connection is closed, the server goes on."),
    ("PAUSE-CRON", 1, 1, pause_cron, "PAUSE-CRON <0|1>", "Stop periodic cron job processing."),
    (
        "POPULATE",
        1,
        3,
        populate,
        "POPULATE <count> [<prefix>] [<size>]",
        "Create <count> string keys named key:<num>. If <prefix> is specified then\nit is used instead of the 'key' prefix. These are not propagated to replicas.\nCluster slots are not respected so keys not belonging to the current node\ncan be created in cluster mode.",
    ),
    (
        "PROTOCOL",
        1,
        1,
        protocol,
        "PROTOCOL <type>",
        "Reply with a test value of the specified type. <type> can be: string,\ninteger, double, null, array, set, map, attrib, push, verbatim, true, false, bignum.",
    ),
    (
        "QUICKLIST-PACKED-THRESHOLD",
        1,
        1,
        packed_threshold,
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "Sets the threshold for elements to be inserted as plain vs packed nodes\nDefault value is 1GB, allows values up to 4GB. Setting to 0 restores to default.",
    ),
    (
        "RELOAD",
        0,
        usize::MAX,
        reload,
        "RELOAD [option ...]",
        "Save the keyspace in memory as an RDB file would hold it, empty it and load\nit again. Valid <option> values:\n* MERGE: conflicting keys will be loaded from the image over what is there.\n* NOFLUSH: the existing keys will not be removed before loading.\n* NOSAVE: the image of the last RELOAD is loaded.",
    ),
    (
        "REPLYBUFFER",
        2,
        2,
        reply_buffer,
        "REPLYBUFFER RESIZING <0|1>",
        "Reply buffers belong to workers and not to clients here: there is none to be\nresized, on or off.",
    ),
    (
        "SET-ACTIVE-EXPIRE",
        1,
        1,
        set_active_expire,
        "SET-ACTIVE-EXPIRE <0|1>",
        "Setting it to 0 disables expiring keys in background when they are not\naccessed (otherwise the Redis behavior). Setting it to 1 reenables back the\ndefault.",
    ),
    (
        "SET-DISABLE-DENY-SCRIPTS",
        1,
        1,
        set_allow_noscript,
        "SET-DISABLE-DENY-SCRIPTS <0|1>",
        "Setting it to 1 lets scripts run the commands that they may not.",
    ),
    (
        "SET-SKIP-CHECKSUM-VALIDATION",
        1,
        1,
        set_skip_checksums,
        "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
        "Setting it to 1 lets RESTORE and FUNCTION RESTORE take payloads whose checksum\nis wrong; what they hold is checked all the same.",
    ),
    ("SLEEP", 1, 1, sleep, "SLEEP <seconds>", "Stop the server for <seconds>. Decimals allowed."),
    (
        "STRINGMATCH-LEN",
        2,
        2,
        stringmatch_len,
        "STRINGMATCH-LEN <size> <pattern>",
        "Run the string matching routine on a string of 'a' of <size> bytes.",
    ),
    (
        "WORKER",
        0,
        1,
        worker,
        "WORKER [<number>]",
        "Return the number of the worker that this connection lives on. With a <number>,\nit moves to that worker for good.",
    ),
];

fn debug(ctx: &mut Ctx<'_, '_>) -> Result {
    let extra = ctx.args.len() - 2;
    let found = TABLE.iter().find(|(word, least, most, ..)| ctx.args.is(1, word) && (*least..=*most).contains(&extra));
    match found {
        Some((_, _, _, handler, ..)) => handler(ctx),
        None => Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "DEBUG")),
    }
}

fn change_repl_id(ctx: &mut Ctx<'_, '_>) -> Result {
    *ctx.node.replid.write() = crate::node::new_replid();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// What any fault in a command comes to: the caller of the engine closes this connection and goes on with the others.
fn panic(_: &mut Ctx<'_, '_>) -> Result {
    panic!("DEBUG PANIC was asked for");
}

fn rewrite_all(ctx: &mut Ctx<'_, '_>) -> Result {
    super::config::rewrite_file(ctx.node, true)?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    let forms: Vec<(&str, &str)> = TABLE.iter().filter(|row| !row.4.is_empty()).map(|row| (row.4, row.5)).collect();
    super::introspect::help(ctx, "DEBUG", &forms)
}

fn dataset_digest(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut total = Digest::default();
    for db in 0..ctx.node.keyspace.databases() {
        if ctx.txn.shards().all(|shard| shard.dbs[db].table.is_empty()) {
            continue;
        }
        total.mix(&(db as u32).to_be_bytes());
        for shard in ctx.txn.shards() {
            shard.dbs[db].table.for_each(|entry| total.add(&digest::of_entry(entry).0));
        }
    }
    ctx.reply.simple(total.hex());
    Ok(Outcome::Done)
}

fn digest_value(ctx: &mut Ctx<'_, '_>) -> Result {
    let keys = ctx.args.rest(2);
    ctx.reply.array(keys.len());
    for key in keys {
        let mut digest = Digest::default();
        if let Some(entry) = ctx.txn.peek(key) {
            digest::add_value(&mut digest, entry);
        }
        ctx.reply.simple(digest.hex());
    }
    Ok(Outcome::Done)
}

fn error(ctx: &mut Ctx<'_, '_>) -> Result {
    Err(Error::Owned(ctx.args[2].to_vec()))
}

fn listpack(ctx: &mut Ctx<'_, '_>) -> Result {
    let entry = ctx.txn.peek(ctx.args.at(2)).ok_or(Error::NoSuchKey)?;
    let packed = matches!(encoding_of(entry), "listpack" | "listpackex");
    if !packed {
        return Err(Error::Text("ERR Not a listpack encoded object."));
    }
    let text = format!("{{total bytes {}}} {{kind {}}}", entry.heap_bytes(), encoding_of(entry));
    tracing::info!("{text}");
    ctx.reply.simple("Listpack structure printed on stdout");
    Ok(Outcome::Done)
}

fn log(ctx: &mut Ctx<'_, '_>) -> Result {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(&ctx.args[2]));
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// The encoding's name, as OBJECT ENCODING has it.
pub fn encoding_of(entry: &Entry) -> &'static str {
    match entry.value() {
        ValueRef::Str(_) => entry.str_encoding().unwrap_or("raw"),
        ValueRef::List(v) => v.encoding(),
        ValueRef::Hash(v) => v.encoding(),
        ValueRef::Set(v) => v.encoding(),
        ValueRef::ZSet(v) => v.encoding(),
        ValueRef::Stream(_) => "stream",
    }
}

fn object(ctx: &mut Ctx<'_, '_>) -> Result {
    let now_ms = ctx.now_ms();
    // An expired key that is still there is shown.
    ctx.txn.ignore_deadlines = true;
    let entry = ctx.txn.peek(ctx.args.at(2)).ok_or(Error::NoSuchKey)?;
    let idle = lru::idle_seconds(entry.access(), &ctx.txn.keyspace().namespace, now_ms);
    let mut text = format!(
        "Value at:{:p} refcount:{} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{idle}",
        std::ptr::from_ref(entry),
        references_to(entry, &ctx.txn.keyspace().namespace),
        encoding_of(entry),
        dump::saved_bytes(entry.value(), ctx.node.config.rdbcompression.get()),
        entry.access(),
    );
    if let ValueRef::List(list) = entry.value()
        && list.encoding() == "quicklist"
    {
        let nodes = list.node_count();
        let average = list.len() as f64 / nodes.max(1) as f64;
        text.push_str(&format!(
            " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:{}",
            ctx.node.config.list_max_listpack_size.get(),
            (ctx.node.config.list_compress_depth.get() != 0) as u8,
        ));
    }
    ctx.reply.simple(text);
    Ok(Outcome::Done)
}

fn populate(ctx: &mut Ctx<'_, '_>) -> Result {
    let positive = |at| ctx.args.int(at).ok().filter(|number| *number >= 0).ok_or(Error::NotPositive);
    let count = positive(2)?;
    let prefix: Vec<u8> = ctx.args.all().get(3).map_or(b"key".to_vec(), |p| p.to_vec());
    let size = match ctx.args.all().get(4) {
        Some(_) => positive(4)? as u64,
        None => 0,
    };
    if size > ctx.node.config.proto_max_bulk_len.size() {
        return Err(Error::StringTooLong);
    }
    for n in 0..count {
        let mut key = prefix.clone();
        key.extend_from_slice(format!(":{n}").as_bytes());
        if ctx.txn.peek(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{n}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        ctx.txn.set_str(&key, NewStr::from_bytes(&value), Deadline::Clear);
    }
    ctx.log_nothing();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn protocol(ctx: &mut Ctx<'_, '_>) -> Result {
    let reply = &mut *ctx.reply;
    match ctx.args[2].to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.int(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.int(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.int(n);
                reply.bool(n == 1);
            }
        }
        b"attrib" => {
            if reply.proto() == Proto::Resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if reply.proto() == Proto::Resp2 => {
            return Err(Error::Text("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            // Clients that drop pushes wait for an answer all the same.
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        b"verbatim" => reply.verbatim(b"txt", b"This is a verbatim\nstring"),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"bignum" => reply.bignum(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(Error::Text(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Outcome::Done)
}

fn pause_cron(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.node.cron_paused.store(parse_i64(&ctx.args[2]).unwrap_or(0) != 0, Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn reply_buffer(ctx: &mut Ctx<'_, '_>) -> Result {
    if !ctx.args.is(2, "RESIZING") {
        return Err(Error::Text("ERR Only RESIZING is known: clients have no reply buffers of their own here"));
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn packed_threshold(ctx: &mut Ctx<'_, '_>) -> Result {
    let bytes = number::memory(&ctx.args[2]).filter(|n| *n <= 4 << 30);
    let bytes = bytes.ok_or(Error::Text("ERR argument must be a memory value bigger than 1 and smaller than 4gb"))?;
    ctx.node.list_packed_threshold.store(bytes, Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn set_allow_noscript(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.node.allow_noscript.store(&ctx.args[2] != b"0", Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn set_skip_checksums(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.node.skip_checksums.store(parse_i64(&ctx.args[2]).unwrap_or(0) != 0, Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn set_active_expire(ctx: &mut Ctx<'_, '_>) -> Result {
    let on = parse_i64(&ctx.args[2]).unwrap_or(0) != 0;
    ctx.node.keyspace.interest.active_expire.store(on, Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn sleep(ctx: &mut Ctx<'_, '_>) -> Result {
    let seconds = parse_f64(&ctx.args[2]).unwrap_or(0.0).clamp(0.0, 3600.0);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn stringmatch_len(ctx: &mut Ctx<'_, '_>) -> Result {
    let size = usize::try_from(ctx.args.int(2)?).ok().filter(|n| *n <= 1 << 30).ok_or(Error::OutOfRange)?;
    let text = vec![b'a'; size];
    ctx.reply.int(glob::matches(&ctx.args[3], &text) as i64);
    Ok(Outcome::Done)
}

fn worker(ctx: &mut Ctx<'_, '_>) -> Result {
    let client = &ctx.session.client;
    if ctx.args.len() == 2 {
        ctx.reply.int(client.worker() as i64);
        return Ok(Outcome::Done);
    }
    let workers = ctx.node.config.workers();
    let wanted = usize::try_from(ctx.args.int(2)?).ok().filter(|worker| *worker < workers).ok_or(Error::OutOfRange)?;
    client.marks.set(Marks::PINNED, true);
    client.send_to(wanted);
    ctx.reply.ok();
    Ok(Outcome::Done)
}
