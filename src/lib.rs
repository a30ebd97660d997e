//! Larder: a Redis-protocol cache server. This file is the map.
//!
//! # The one idea
//! A command is a synchronous function over a locked set of shards that reads and changes entries, writes its reply
//! into a buffer, and leaves a list of changes. Everything else is who calls it and what becomes of the changes.
//! There is one way in ([`engine::execute`](engine)) and one way out ([`engine::commit`]).
//!
//! # Rooms, from the leaves up (a lower room never imports a higher one; `tests/tidy.rs` holds the imports to it)
//! | room | what it is | may import |
//! |---|---|---|
//! | [`base`] | time, randomness, numbers, globs, hashes, the allocator | - |
//! | [`types`] | pure data structures: what a key can hold | base |
//! | [`resp`] | the wire protocol without I/O | base |
//! | [`spec`] | a command as data | base |
//! | [`keyspace`] | shards, transactions, expiry, eviction, memory, scan, the cut | base, types |
//! | [`effect`] | changes as replicas and the AOF replay them | base, resp |
//! | [`config`], [`stats`] | directives; counters | base, spec |
//! | [`acl`] | users, their rules, and what these let through | base, spec |
//! | [`client`] | per-client state, registry, outbox | base, resp, acl |
//! | [`pubsub`] | channels, patterns, tracking | base, resp, client |
//! | [`script`] | the Lua host; it calls a `Caller` | base, resp |
//! | [`persist`] | RDB bytes | base, types, resp, keyspace, effect |
//! | [`node`] | owns one of each of the above | all above |
//! | [`command`] | one file per family: declared rows and handlers | all above |
//! | [`engine`] | gate, lock, run, commit, block, maintain | command and below |
//! | [`server`] | sockets, tasks, timers, signals | everything |
//!
//! # Reading order
//! README, this file, `command/string.rs`, `keyspace/txn.rs`, `engine/commit.rs`.
//!
//! # Invariants
//! 1. All shards of a command are taken before its handler runs; nobody waits for a shard while holding one (the one
//!    exception: the holder of the script token).
//! 2. No `.await` while a `Txn` lives: handlers are plain functions.
//! 3. Every change leaves through `engine::commit` before its shards are unlocked; the order of the log agrees with
//!    the order of each key.
//! 4. A handler's reply depends only on the transaction, its arguments and the node: the same code serves a client,
//!    MULTI, a script and a log read back.
//! 5. Time and randomness come from `base`; `now` is read once per command, EXEC or script.
//! 6. Keys found by `spec::keys` are the keys touched, and the keys that users are judged by.
//! 7. Everything has a limit, and every limit is a row of `config::table`.
//!
//! # Glossary
//! *key*, *field*, *member*, *score*, *database*: as in Redis. *Shard*: a part of the keyspace behind one lock.
//! *Entry*: one key with its header and value. *Effect*: a change as a command in RESP. *Cut*: a point-in-time walk.
//! *Ticket*: a blocked command's place in the queue of a key. *Token*: the right to run a script, or a MIGRATE.

pub mod acl;
pub mod base;
pub mod client;
pub mod command;
pub mod config;
pub mod effect;
pub mod engine;
pub mod keyspace;
pub mod node;
pub mod persist;
pub mod pubsub;
pub mod resp;
pub mod script;
pub mod server;
pub mod spec;
pub mod stats;
pub mod types;

// Tools that watch memory (Miri; sanitizers, which fuzzing runs under) have to see every block.
#[cfg(not(any(miri, fuzzing)))]
#[global_allocator]
static ALLOCATOR: base::alloc::CountingJemalloc = base::alloc::CountingJemalloc;
