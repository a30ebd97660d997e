//! DEBUG RELOAD: the whole keyspace is written as an RDB file would be, emptied and read back, all in memory.
//!
//! What was written stays in the node, because NOSAVE reads what the last RELOAD wrote. Nothing of it is logged: the data
//! are the same afterwards.

use super::ctx::{Ctx, Outcome, Result};
use super::dump::limits;
use super::error::Error;
use super::function::Loading;
use crate::base::hash::key_hash;
use crate::keyspace::evict::{self, lfu, lru};
use crate::keyspace::{Entry, Txn};
use crate::persist::rdb::code::{RdbError, VERSION_BASE};
use crate::persist::rdb::file::{FileReader, FileWriter, KeyInfo, Piece, Use};
use crate::persist::rdb::read::Loaded;
use crate::persist::rdb::write::type_of;
use crate::script::Host;
use crate::script::library::RestorePolicy;

/// What is done of save, flush and load, and whether what is there already may be loaded over.
struct Options {
    save: bool,
    flush: bool,
    merge: bool,
}

fn options(ctx: &Ctx<'_, '_>) -> Result<Options> {
    let mut options = Options { save: true, flush: true, merge: false };
    let mut words = ctx.args.cursor(2);
    while !words.is_done() {
        if words.word("MERGE") {
            options.merge = true;
        } else if words.word("NOFLUSH") {
            options.flush = false;
        } else if words.word("NOSAVE") {
            options.save = false;
        } else {
            return Err(Error::Text("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
        }
    }
    Ok(options)
}

/// `DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]`.
pub(super) fn reload(ctx: &mut Ctx<'_, '_>) -> Result {
    let Some(host) = ctx.host.take() else {
        return Err(Error::Text("ERR DEBUG RELOAD is not allowed from script"));
    };
    let options = options(ctx)?;
    let mut image = ctx.node.reload_image.lock();
    if options.save {
        *image = written(ctx.txn, host, ctx.node.config.rdbcompression.get());
    }
    if options.flush {
        ctx.txn.flush(0..ctx.node.keyspace.databases(), false);
        drop(host.flush_functions());
    }
    ctx.log_nothing();
    let failed = Error::Text("ERR Error trying to load the RDB dump, check server logs");
    if let Err(error) = load(ctx, host, &image, options.merge) {
        tracing::warn!("DEBUG RELOAD: {error:?}");
        return Err(failed);
    }
    tracing::warn!("DB reloaded by DEBUG RELOAD");
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// The keyspace as a file of the lowest version that holds it.
fn written(txn: &Txn<'_>, host: &Host, compress: bool) -> Vec<u8> {
    let mut version = VERSION_BASE;
    for part in txn.shards().flat_map(|shard| &shard.dbs) {
        part.table.for_each(|entry| version = version.max(type_of(&entry.value()).version()));
    }
    let mut image = Vec::new();
    let mut file = FileWriter::begin(&mut image, version, compress);
    host.libraries().iter().for_each(|library| file.function(&library.code));
    for db in 0..txn.keyspace().databases() {
        let parts = || txn.shards().map(|shard| &shard.dbs[db]);
        let (keys, volatile) = parts().fold((0, 0), |(k, v), part| (k + part.table.len(), v + part.volatile));
        if keys == 0 {
            continue;
        }
        file.database(db, keys, volatile);
        parts().for_each(|part| part.table.for_each(|entry| file.key(entry.key(), entry.value(), info(txn, entry))));
    }
    file.end();
    image
}

fn info(txn: &Txn<'_>, entry: &Entry) -> KeyInfo {
    let (namespace, now_ms) = (&txn.keyspace().namespace, txn.now_ms());
    let policy = namespace.policy();
    let used = if policy.is_lfu() {
        Use::Frequency(lfu::counter(entry.access(), namespace, now_ms).min(255) as u8)
    } else if policy.is_lru() {
        Use::Idle(lru::idle_seconds(entry.access(), namespace, now_ms))
    } else {
        Use::Unknown
    };
    KeyInfo { expiry: entry.expiry(), used }
}

/// Puts the keys of an image into the keyspace, but for those whose deadline has passed, and its libraries into the host.
/// What is there already is replaced under `merge` and ends the loading otherwise.
fn load(ctx: &mut Ctx<'_, '_>, host: &mut Host, image: &[u8], merge: bool) -> std::result::Result<(), RdbError> {
    let mut file = FileReader::begin(image, limits(ctx.node))?;
    let txn = &mut *ctx.txn;
    let mut db = 0;
    while let Some(piece) = file.next_piece()? {
        match piece {
            Piece::Database(number) => {
                let within = usize::try_from(number).ok().filter(|&number| number < txn.keyspace().databases());
                db = within.ok_or(RdbError::Malformed("more databases than there are"))?;
            }
            Piece::Key(_, _, info) if info.expiry.is_some_and(|at| at <= txn.now_ms()) => {}
            Piece::Key(key, loaded, info) => put(txn, db, &key, loaded, info, merge)?,
            Piece::Aux(..) | Piece::Sizes(..) => {}
            Piece::Function(code) => {
                let policy = if merge { RestorePolicy::Replace } else { RestorePolicy::Append };
                let loaded = host.restore(&[code], policy, &mut Loading(ctx.node));
                loaded
                    .map_err(|_| RdbError::Malformed("a function library that is there already, or does not load"))?;
            }
        }
    }
    Ok(())
}

fn put(
    txn: &mut Txn<'_>,
    db: usize,
    key: &[u8],
    loaded: Loaded,
    info: KeyInfo,
    merge: bool,
) -> std::result::Result<(), RdbError> {
    let entry = match loaded {
        Loaded::Str(text) => Entry::new_str(key, &text, info.expiry),
        Loaded::Value(value) => Entry::new_value(key, value, info.expiry),
    };
    let (keyspace, now_ms) = (txn.keyspace(), txn.now_ms());
    let namespace = &keyspace.namespace;
    entry.set_access(match info.used {
        Use::Frequency(counter) if namespace.policy().is_lfu() => lfu::with_counter(counter, now_ms),
        Use::Idle(seconds) if !namespace.policy().is_lfu() => lru::idle_for(seconds, namespace, now_ms),
        _ => evict::fresh(namespace, now_ms),
    });
    let hash = key_hash(key);
    let shard = txn.held_shard_mut(keyspace.shard_of(hash) as u32).expect("DEBUG holds every shard");
    if merge {
        shard.take(db, hash, key).into_iter().for_each(|old| keyspace.discard(old));
    } else if shard.dbs[db].table.get(hash, key).is_some() {
        return Err(RdbError::Malformed("a key that is there already"));
    }
    shard.put(db, hash, entry);
    Ok(())
}
