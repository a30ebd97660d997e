//! DEL, RENAME, COPY and other commands on keys of any type.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::introspect::help;
use crate::keyspace::evict::{lfu, lru};
use crate::keyspace::namespace::Namespace;
use crate::keyspace::{Class, Entry, Txn};
use crate::resp::reply::Reply;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use crate::types::ValueRef;
use crate::types::string::StrRef;
use std::sync::atomic::Ordering::SeqCst;

/// The family.
pub const COMMANDS: &[Command] = &[DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, RENAMENX, COPY, MOVE, OBJECT];

const BASE: CommandSpec = CommandSpec { group: Group::Generic, categories: Categories::KEYSPACE, ..CommandSpec::BASE };

const DEL: Command = Command::new(
    del,
    CommandSpec {
        name: "DEL",
        summary: "Deletes keys.",
        complexity: "O(N) for N keys; what big values hold is freed in the background",
        arity: Arity::at_least(2),
        flags: Flags::WRITE,
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::REMOVE)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key").multiple()],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..BASE
    },
);

const UNLINK: Command = Command::new(
    unlink,
    CommandSpec {
        name: "UNLINK",
        summary: "Deletes keys and frees their values in the background.",
        since: "4.0.0",
        flags: Flags::WRITE.and(Flags::FAST),
        ..DEL.spec
    },
);

const EXISTS: Command = Command::new(
    exists,
    CommandSpec {
        name: "EXISTS",
        summary: "Counts which of the named keys exist; one named twice counts twice.",
        history: &[("3.0.3", "Takes several keys.")],
        complexity: "O(N) for N keys",
        arity: Arity::at_least(2),
        flags: Flags::READONLY.and(Flags::FAST).and(Flags::NO_TOUCH),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::META)]),
        args: &[Arg::key("key").multiple()],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..BASE
    },
);

const TOUCH: Command = Command::new(
    exists,
    CommandSpec {
        name: "TOUCH",
        summary: "Counts which of the named keys exist and marks them as just used.",
        since: "3.2.1",
        history: &[],
        flags: Flags::READONLY.and(Flags::FAST),
        ..EXISTS.spec
    },
);

const TYPE: Command = Command::new(
    type_of,
    CommandSpec {
        name: "TYPE",
        summary: "Returns the type of the value stored at a key.",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::FAST).and(Flags::NO_TOUCH),
        keys: Keys::one(1, Access::META),
        args: &[Arg::key("key")],
        ..BASE
    },
);

const RENAME: Command = Command::new(
    |ctx| rename(ctx, false),
    CommandSpec {
        name: "RENAME",
        summary: "Gives a key another name, in place of whatever had it.",
        arity: Arity::exactly(3),
        flags: Flags::WRITE,
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::OVERWRITE)]),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::key_of("newkey", 1)],
        ..BASE
    },
);

const RENAMENX: Command = Command::new(
    |ctx| rename(ctx, true),
    CommandSpec {
        name: "RENAMENX",
        summary: "Gives a key another name unless that is taken.",
        history: &[("3.2.0", "A key may be given the name that it has.")],
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ_DELETE), KeySpec::one(2, Access::CREATE)]),
        ..RENAME.spec
    },
);

const COPY: Command = Command::new(
    copy,
    CommandSpec {
        name: "COPY",
        summary: "Copies the value of a key to another key.",
        since: "6.2.0",
        complexity: "O(1) for strings and big collections, O(N) for small collections of N elements",
        arity: Arity::at_least(3),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::READ), KeySpec::one(2, Access::OVERWRITE)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::integer("destination-db").token("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ],
        ..BASE
    },
);

const MOVE: Command = Command::new(
    move_key,
    CommandSpec {
        name: "MOVE",
        summary: "Moves a key to another database unless its name is taken there.",
        arity: Arity::exactly(3),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::READ_UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::integer("db")],
        ..BASE
    },
);

const OBJECT: Command = Command::container(
    CommandSpec {
        name: "OBJECT",
        summary: "Tells how a key is stored.",
        since: "2.2.3",
        complexity: "That of the subcommand",
        group: Group::Generic,
        arity: Arity::at_least(2),
        ..CommandSpec::BASE
    },
    &[ENCODING, FREQ, IDLETIME, REFCOUNT, HELP],
);

/// What the subcommands of OBJECT share.
const ABOUT: CommandSpec = CommandSpec {
    since: "2.2.3",
    arity: Arity::exactly(3),
    flags: Flags::READONLY.and(Flags::NO_TOUCH),
    keys: Keys::one(2, Access::META),
    args: &[Arg::key("key")],
    tips: &["nondeterministic_output"],
    ..BASE
};

const ENCODING: Command = Command::new(
    |ctx| about(ctx, |reply, entry| reply.bulk(encoding(entry).as_bytes())),
    CommandSpec { name: "ENCODING", summary: "Returns the name of the encoding a key's value has.", ..ABOUT },
);

const FREQ: Command = Command::new(
    freq,
    CommandSpec {
        name: "FREQ",
        summary: "Returns how often a key is used, on a logarithmic scale.",
        since: "4.0.0",
        ..ABOUT
    },
);

const IDLETIME: Command = Command::new(
    idletime,
    CommandSpec { name: "IDLETIME", summary: "Returns how many seconds a key has not been used.", ..ABOUT },
);

const REFCOUNT: Command = Command::new(
    refcount,
    CommandSpec { name: "REFCOUNT", summary: "Returns how many references to a key's value there are.", ..ABOUT },
);

const HELP: Command = Command::new(
    object_help,
    CommandSpec {
        name: "HELP",
        summary: "Lists the subcommands.",
        since: "6.2.0",
        arity: Arity::exactly(2),
        flags: Flags::LOADING.and(Flags::STALE),
        ..BASE
    },
);

/// Redis keeps one object for each of the integers below this and shares it.
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count of a shared object.
const REFCOUNT_SHARED: i64 = i32::MAX as i64;

fn del(ctx: &mut Ctx<'_, '_>) -> Result {
    let is_lazy = ctx.node.config.lazyfree_lazy_user_del.get();
    delete_keys(ctx, if is_lazy { Txn::unlink } else { Txn::delete })
}

fn unlink(ctx: &mut Ctx<'_, '_>) -> Result {
    delete_keys(ctx, Txn::unlink)
}

fn delete_keys<'k>(ctx: &mut Ctx<'_, 'k>, delete: fn(&mut Txn<'k>, &[u8]) -> bool) -> Result {
    let mut deleted = 0;
    for key in ctx.args.rest(1) {
        deleted += i64::from(delete(ctx.txn, key));
    }
    ctx.reply.int(deleted);
    Ok(Outcome::Done)
}

fn exists(ctx: &mut Ctx<'_, '_>) -> Result {
    let found = ctx.args.rest(1).iter().filter(|key| ctx.txn.exists(key)).count();
    ctx.reply.int(found as i64);
    Ok(Outcome::Done)
}

fn type_of(ctx: &mut Ctx<'_, '_>) -> Result {
    let name = ctx.txn.get(&ctx.args[1]).map_or("none", |entry| entry.kind().name());
    ctx.reply.simple(name);
    Ok(Outcome::Done)
}

fn rename(ctx: &mut Ctx<'_, '_>, only_if_free: bool) -> Result {
    let argv = ctx.args.all();
    let (source, target) = (argv[1], argv[2]);
    if ctx.txn.peek(source).is_none() {
        return Err(Error::NoSuchKey);
    }
    let taken = ctx.txn.peek(target).is_some();
    let renamed = source != target && !(only_if_free && taken);
    if renamed {
        let before = ctx.txn.dirty();
        if let Some(old) = ctx.txn.take(target) {
            ctx.txn.keyspace().discard_replaced(old);
        }
        if let Some(mut entry) = ctx.txn.take(source) {
            entry.rename(target);
            ctx.txn.insert_entry(entry);
        }
        ctx.txn.recount_dirty(before, 1);
        ctx.txn.keyspace().names_moved.fetch_add(1, SeqCst);
        ctx.txn.event(Class::GENERIC, "rename_from", source);
        ctx.txn.event(Class::GENERIC, "rename_to", target);
    }
    if only_if_free {
        ctx.reply.int(renamed as i64);
    } else {
        ctx.reply.ok();
    }
    Ok(Outcome::Done)
}

fn copy(ctx: &mut Ctx<'_, '_>) -> Result {
    let argv = ctx.args.all();
    let (source, target) = (argv[1], argv[2]);
    let source_db = ctx.txn.db();
    let (mut target_db, mut replace) = (source_db, false);
    let mut words = ctx.args.cursor(3);
    while !words.is_done() {
        if words.word("replace") {
            replace = true;
        } else if words.word_with("db", 1) {
            target_db = database(ctx, words.int()?)?;
        } else {
            return Err(Error::Syntax);
        }
    }
    if source_db == target_db && source == target {
        return Err(Error::SameObject);
    }
    let copy = ctx.txn.get(source).map(|entry| entry.clone_with_key(target));
    ctx.txn.select(target_db);
    let copied = match copy {
        Some(copy) if replace || ctx.txn.peek(target).is_none() => {
            if let Some(StrRef::Int(_)) = copy.str() {
                copy.mark_raw();
            }
            let before = ctx.txn.dirty();
            if let Some(old) = ctx.txn.take(target) {
                ctx.txn.keyspace().discard_replaced(old);
            }
            ctx.txn.insert_entry(copy);
            ctx.txn.recount_dirty(before, 1);
            ctx.txn.event(Class::GENERIC, "copy_to", target);
            true
        }
        _ => false,
    };
    ctx.txn.select(source_db);
    ctx.reply.int(copied as i64);
    Ok(Outcome::Done)
}

fn move_key(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    let source_db = ctx.txn.db();
    let target_db = database(ctx, ctx.args.int(2)?)?;
    if source_db == target_db {
        return Err(Error::SameObject);
    }
    ctx.txn.select(target_db);
    let free = ctx.txn.peek(key).is_none();
    ctx.txn.select(source_db);
    let before = ctx.txn.dirty();
    let moved = if free { ctx.txn.take(key) } else { None };
    ctx.reply.int(moved.is_some() as i64);
    if let Some(entry) = moved {
        ctx.txn.select(target_db);
        ctx.txn.insert_entry(entry);
        ctx.txn.recount_dirty(before, 1);
        ctx.txn.select(source_db);
        ctx.txn.event(Class::GENERIC, "move_from", key);
        ctx.txn.select(target_db);
        ctx.txn.event(Class::GENERIC, "move_to", key);
        ctx.txn.select(source_db);
    }
    Ok(Outcome::Done)
}

/// A database number out of the arguments.
fn database(ctx: &Ctx<'_, '_>, number: i64) -> Result<usize> {
    if i32::try_from(number).is_err() {
        let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
        return Err(Error::Text(text));
    }
    usize::try_from(number).ok().filter(|db| *db < ctx.txn.keyspace().databases()).ok_or(Error::DbIndex)
}

/// Answers null without the key, else what `show` writes of its entry.
fn about(ctx: &mut Ctx<'_, '_>, show: impl Fn(&mut Reply, &Entry)) -> Result {
    match ctx.txn.get_untold(&ctx.args[2]) {
        Some(entry) => show(ctx.reply, entry),
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

/// The name of the encoding of a value.
pub fn encoding(entry: &Entry) -> &'static str {
    match entry.value() {
        ValueRef::Str(_) => entry.str_encoding().unwrap_or("raw"),
        ValueRef::List(list) => list.encoding(),
        ValueRef::Hash(hash) => hash.encoding(),
        ValueRef::Set(set) => set.encoding(),
        ValueRef::ZSet(zset) => zset.encoding(),
        ValueRef::Stream(_) => "stream",
    }
}

fn freq(ctx: &mut Ctx<'_, '_>) -> Result {
    let (namespace, now_ms) = (&ctx.txn.keyspace().namespace, ctx.txn.now_ms());
    match ctx.txn.get_untold(&ctx.args[2]).map(Entry::access) {
        None => ctx.reply.null(),
        Some(word) if namespace.policy().is_lfu() => ctx.reply.int(i64::from(lfu::counter(word, namespace, now_ms))),
        Some(_) => return Err(Error::Text(NO_LFU)),
    }
    Ok(Outcome::Done)
}

fn idletime(ctx: &mut Ctx<'_, '_>) -> Result {
    let (namespace, now_ms) = (&ctx.txn.keyspace().namespace, ctx.txn.now_ms());
    match ctx.txn.get_untold(&ctx.args[2]).map(Entry::access) {
        None => ctx.reply.null(),
        Some(_) if namespace.policy().is_lfu() => return Err(Error::Text(LFU)),
        Some(word) => ctx.reply.int(lru::idle_seconds(word, namespace, now_ms) as i64),
    }
    Ok(Outcome::Done)
}

const NO_LFU: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
    switching between policies at runtime LRU and LFU data will take some time to adjust.";
const LFU: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
    between policies at runtime LRU and LFU data will take some time to adjust.";

fn refcount(ctx: &mut Ctx<'_, '_>) -> Result {
    let namespace = &ctx.txn.keyspace().namespace;
    about(ctx, |reply, entry| reply.int(references_to(entry, namespace)))
}

/// Values are never shared between keys here; small integers answer as Redis' do, which are unless they are copies.
pub(super) fn references_to(entry: &Entry, namespace: &Namespace) -> i64 {
    let policy = namespace.policy();
    let shares = namespace.maxmemory_bytes() == 0 || !(policy.is_lru() || policy.is_lfu());
    let small = !entry.is_raw() && matches!(entry.str(), Some(StrRef::Int(0..SHARED_INTEGERS)));
    if shares && small { REFCOUNT_SHARED } else { 1 }
}

fn object_help(ctx: &mut Ctx<'_, '_>) -> Result {
    help(
        ctx,
        "OBJECT",
        &[
            ("ENCODING <key>", "Tell in which encoding the value of <key> is stored."),
            ("FREQ <key>", "Tell how often <key> is used, on a logarithmic scale. Needs an LFU policy."),
            ("IDLETIME <key>", "Tell how many seconds <key> has not been used. Needs a policy other than LFU."),
            ("REFCOUNT <key>", "Tell how many references to the value of <key> there are."),
        ],
    )
}
