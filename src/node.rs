//! Everything one process owns, built once, passed by reference; no globals.

pub mod stage;

use crate::acl::Acl;
use crate::base::later::Later;
use crate::base::rng::{Rng, secret_hex};
use crate::base::time::Clock;
use crate::client::eviction::ClientMemory;
use crate::client::registry::Registry;
use crate::client::{Client, Session};
use crate::config::live::Apply;
use crate::config::{Config, REDIS_VERSION_PARTS};
use crate::effect;
use crate::keyspace::{Held, Keyspace};
use crate::pubsub::PubSub;
use crate::pubsub::tracking::Mode;
use crate::script::host::Board;
use crate::script::{Host, Limits};
use crate::stats::Stats;
use parking_lot::{Mutex, MutexGuard, RwLock};
use stage::Stage;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// Until when, in Unix milliseconds.
    pub until_ms: u64,
    /// Only writes wait.
    pub writes_only: bool,
}

/// Everything one process owns.
pub struct Node {
    /// Live configuration.
    pub config: Arc<Config>,
    /// Who acts on its changes; nobody in a node without a server.
    pub settings: OnceLock<Box<dyn Apply>>,
    /// All databases.
    pub keyspace: Keyspace,
    /// The log of effects.
    pub log: effect::Log,
    /// All clients.
    pub clients: Registry,
    /// Their memory and its limit.
    pub client_memory: ClientMemory,
    /// Clients that run MONITOR.
    pub monitors: RwLock<Vec<Arc<Client>>>,
    /// Whether there is one.
    pub monitored: AtomicBool,
    /// Users.
    pub acl: Acl,
    /// Channels and patterns.
    pub pubsub: PubSub,
    /// Counters.
    pub stats: Stats,
    /// The clock.
    pub clock: Clock,
    /// The script token, which is the right to run scripts: its holder has the host, and alone may wait for shards
    /// while holding some.
    pub token: Mutex<Host>,
    /// What others may see of a frozen script.
    pub stage: Stage,
    /// What is known of scripts without the token.
    pub board: Arc<Board>,
    /// Scripts may run the commands that they may not (`DEBUG SET-DISABLE-DENY-SCRIPTS`).
    pub allow_noscript: AtomicBool,
    /// The checksums of payloads do not count (`DEBUG SET-SKIP-CHECKSUM-VALIDATION`).
    pub skip_checksums: AtomicBool,
    /// CLIENT PAUSE; changed only inside `Txn::all`.
    pub pause: RwLock<Pause>,
    /// Raised with every change of `pause`, role or loading, so that a gate passed before can be passed again.
    pub generation: AtomicU64,
    /// DEBUG PAUSE-CRON: the slow ticks stand still.
    pub cron_paused: AtomicBool,
    /// DEBUG QUICKLIST-PACKED-THRESHOLD in bytes; 0: by `list-max-listpack-size`.
    pub list_packed_threshold: AtomicU64,
    /// What the last DEBUG RELOAD wrote.
    pub reload_image: Mutex<Vec<u8>>,
    /// Where the dice of the next command come from.
    pub dice: AtomicU64,
    /// The run id of INFO: 40 hex digits.
    pub run_id: String,
    /// The id of this history of changes, for replicas: 40 hex digits.
    pub replid: RwLock<String>,
    /// When the server started, in Unix milliseconds.
    pub started_ms: u64,
}

/// A new id for a history of changes.
pub fn new_replid() -> String {
    secret_hex(40)
}

impl Node {
    /// A node with this configuration; `commands` is the number of commands that statistics are kept of.
    ///
    /// # Errors
    /// The background thread cannot be started.
    pub fn new(config: Arc<Config>, clock: Clock, commands: usize) -> std::io::Result<Node> {
        let mut rng = Rng::from_entropy();
        let workers = config.workers();
        let shards = (workers * 4).max(16);
        let later = Later::start()?;
        let databases = config.databases.get() as usize;
        let limits = Limits { memory_bytes: config.lua_memory_limit.size() as usize, ..Limits::default() };
        let host = Host::new(limits, REDIS_VERSION_PARTS, rng.next_u64());
        let keyspace = Keyspace::new(shards, databases, clock.clone(), later, rng.next_u64());
        Ok(Node {
            settings: OnceLock::new(),
            keyspace,
            log: effect::Log::default(),
            clients: Registry::default(),
            client_memory: ClientMemory::default(),
            monitors: RwLock::default(),
            monitored: AtomicBool::new(false),
            acl: Acl::default(),
            pubsub: PubSub::new(workers),
            stats: Stats::new(workers, commands),
            started_ms: clock.now_ms(),
            clock,
            board: host.board(),
            token: Mutex::new(host),
            stage: Stage::default(),
            allow_noscript: AtomicBool::new(false),
            skip_checksums: AtomicBool::new(false),
            pause: RwLock::default(),
            generation: AtomicU64::new(0),
            cron_paused: AtomicBool::new(false),
            list_packed_threshold: AtomicU64::new(0),
            reload_image: Mutex::default(),
            dice: AtomicU64::new(rng.next_u64()),
            run_id: secret_hex(40),
            replid: RwLock::new(new_replid()),
            config,
        })
    }

    /// Takes the script token, waiting for it unless a frozen script has it. The caller holds no shard.
    #[inline]
    pub fn wait_token(&self) -> Result<MutexGuard<'_, Host>, Held> {
        stage::wait_token(&self.token, &self.keyspace)
    }

    /// Dice for one command.
    pub fn rng(&self) -> Rng {
        Rng::from_seed(self.dice.fetch_add(1, Relaxed))
    }

    /// A client runs MONITOR from now on.
    pub fn add_monitor(&self, client: &Arc<Client>) {
        self.monitors.write().push(client.clone());
        self.monitored.store(true, Relaxed);
    }

    /// A client runs MONITOR no more.
    pub fn forget_monitor(&self, id: u64) {
        let mut monitors = self.monitors.write();
        monitors.retain(|m| m.id != id);
        self.monitored.store(!monitors.is_empty(), Relaxed);
    }

    /// A client tracks the keys it reads from now on, or changes how it does.
    pub fn enable_tracking(&self, session: &mut Session, mode: Mode, prefixes: &[&[u8]]) {
        let fresh = self.pubsub.tracking.enable(&session.client, mode, prefixes);
        fresh.iter().for_each(|prefix| session.client.keep(prefix.len()));
        session.prefixes.extend(fresh);
        // Whoever reads a key from now on holds its shard after this, and so does whoever changes it later.
        self.settle_tracking();
    }

    /// A client tracks no more.
    pub fn disable_tracking(&self, session: &mut Session) {
        let prefixes = std::mem::take(&mut session.prefixes);
        prefixes.iter().for_each(|prefix| session.client.let_go(prefix.len()));
        self.pubsub.tracking.disable(&session.client, &prefixes);
        self.settle_tracking();
    }

    /// Lets changes of keys be told to client-side caches as long as that matters.
    pub fn settle_tracking(&self) {
        self.pubsub.tracking.settle(|used| self.keyspace.interest.tracking.store(used, Relaxed));
    }

    /// Counts an error reply that a worker gives.
    pub fn count_error(&self, worker: usize, wire: &[u8]) {
        self.stats.worker(worker).errors.add(1);
        if let Some(given_up) = self.stats.error_codes.count(wire) {
            let words = given_up.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let count = given_up.len();
            tracing::warn!(
                "Errorstats stopped adding new errors because the number of errors reached the limit ({count})."
            );
            tracing::warn!("Current errors code list: {words}");
            self.keyspace.later.free(Box::new(given_up), count as u64, 0);
        }
    }

    /// Whether a command is to wait now: until when.
    pub fn paused(&self, writes: bool, now_ms: u64) -> Option<u64> {
        if self.generation.load(Relaxed) == 0 {
            return None;
        }
        let pause = *self.pause.read();
        (pause.until_ms > now_ms && (writes || !pause.writes_only)).then_some(pause.until_ms)
    }
}
