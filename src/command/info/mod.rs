//! INFO: what the server knows of itself, as lines of `field:value` in sections.
//!
//! Fields that belong to mechanisms which do not exist here (fork, modules, replicas) have the value that says so. The
//! sections on single commands are in [`commands`].

mod commands;

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use crate::acl::log::Reason;
use crate::base::num::human_bytes;
use crate::base::{alloc, system};
use crate::client::{Client, ClientType, Marks};
use crate::command::CommandTable;
use crate::config::REDIS_VERSION;
use crate::config::cell::Word;
use crate::keyspace::shard::Shard;
use crate::keyspace::{Held, Txn};
use crate::node::Node;
use crate::script::host::Board;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys};
use crate::stats::Worker;
use crate::stats::rate::Metric;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[INFO];

const INFO: Command = Command::new(
    info,
    CommandSpec {
        name: "INFO",
        summary: "What the server knows of itself.",
        history: &[("7.0.0", "Takes several sections.")],
        group: Group::Server,
        arity: Arity::at_least(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::SENTINEL),
        categories: Categories::DANGEROUS,
        keys: Keys::Walk,
        args: &[Arg::string("section").optional().multiple()],
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        ..CommandSpec::BASE
    },
);

/// When a section is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    /// Always, unless other sections are named.
    Default,
    /// With `all` and `everything`.
    All,
    /// When named.
    Named,
}

struct Section {
    title: &'static str,
    shown: Shown,
    write: fn(&View<'_>, &mut Page),
}

const SECTIONS: &[Section] = &[
    Section { title: "Server", shown: Shown::Default, write: server },
    Section { title: "Clients", shown: Shown::Default, write: clients },
    Section { title: "Memory", shown: Shown::Default, write: memory },
    Section { title: "Persistence", shown: Shown::Default, write: persistence },
    Section { title: "Stats", shown: Shown::Default, write: stats },
    Section { title: "Replication", shown: Shown::Default, write: replication },
    Section { title: "CPU", shown: Shown::Default, write: cpu },
    Section { title: "Modules", shown: Shown::Default, write: |_, _| {} },
    Section { title: "Commandstats", shown: Shown::All, write: commands::calls },
    Section { title: "Errorstats", shown: Shown::Default, write: commands::errors },
    Section { title: "Latencystats", shown: Shown::All, write: commands::latency },
    Section { title: "Cluster", shown: Shown::Default, write: cluster },
    Section { title: "Keyspace", shown: Shown::Default, write: keyspace },
    Section { title: "Debug", shown: Shown::Named, write: debug },
];

fn info(ctx: &mut Ctx<'_, '_>) -> Result {
    let view = View {
        node: ctx.node,
        commands: ctx.commands,
        totals: Totals::of(ctx.txn)?,
        clients: ctx.node.clients.all(),
        now_ms: ctx.now_ms(),
    };
    let mut page = Page::default();
    for section in SECTIONS.iter().filter(|section| is_asked(section, ctx.args.rest(1))) {
        page.title(section.title);
        (section.write)(&view, &mut page);
    }
    ctx.reply.verbatim(b"txt", page.0.as_bytes());
    Ok(Outcome::Done)
}

/// Whether a section is shown for these words.
fn is_asked(section: &Section, words: &[&[u8]]) -> bool {
    let by = |word: &&[u8]| match word.to_ascii_lowercase().as_slice() {
        b"default" => section.shown == Shown::Default,
        b"all" | b"everything" => section.shown <= Shown::All,
        name => name == section.title.to_ascii_lowercase().as_bytes(),
    };
    if words.is_empty() { section.shown == Shown::Default } else { words.iter().any(by) }
}

/// The text of the reply.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    fn title(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\r\n" };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{gap}# {title}\r\n");
    }

    fn field(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human_bytes(bytes));
    }

    fn fields(&mut self, fields: &[(&str, u64)]) {
        fields.iter().for_each(|(name, value)| self.field(name, value));
    }
}

/// What the sections look at, taken together so that they agree.
struct View<'a> {
    node: &'a Node,
    commands: &'a CommandTable,
    totals: Totals,
    clients: Vec<Arc<Client>>,
    now_ms: u64,
}

impl View<'_> {
    fn count_clients(&self, is: impl Fn(&Client) -> bool) -> u64 {
        self.clients.iter().filter(|client| is(client)).count() as u64
    }

    fn buffer_bytes(&self, kind: ClientType) -> u64 {
        let of_kind = self.clients.iter().filter(|client| client.client_type() == kind);
        of_kind.map(|client| client.memory_bytes()).sum()
    }
}

/// Sums over all shards.
#[derive(Default)]
struct Totals {
    hits: u64,
    misses: u64,
    changes: u64,
    expired: u64,
    expired_fields: u64,
    watched: u64,
    waited_for: u64,
    waited_for_on_gone: u64,
    dbs: Vec<DbTotals>,
}

#[derive(Default, Clone)]
struct DbTotals {
    keys: u64,
    volatile: u64,
    deadlines: u128,
    volatile_fields: u64,
}

impl DbTotals {
    /// How long keys with a deadline have on average, in milliseconds.
    fn average_ttl_ms(&self, now_ms: u64) -> u64 {
        let average = self.deadlines.checked_div(u128::from(self.volatile)).unwrap_or(0);
        average.saturating_sub(u128::from(now_ms)) as u64
    }
}

impl Totals {
    fn of(txn: &mut Txn<'_>) -> std::result::Result<Totals, Held> {
        let mut totals = Totals { dbs: vec![DbTotals::default(); txn.keyspace().databases()], ..Totals::default() };
        txn.each_shard(|shard| totals.add(shard))?;
        Ok(totals)
    }

    fn add(&mut self, shard: &Shard) {
        self.hits += shard.counters.hits.get();
        self.misses += shard.counters.misses.get();
        self.changes += shard.counters.dirty;
        self.expired += shard.counters.expired;
        self.expired_fields += shard.counters.expired_fields;
        self.watched += shard.watch.len() as u64;
        self.waited_for += shard.waiters.len() as u64;
        self.waited_for_on_gone += shard.waiters.len_on_gone() as u64;
        for (total, db) in self.dbs.iter_mut().zip(&shard.dbs) {
            total.keys += db.table.len() as u64;
            total.volatile += db.volatile as u64;
            total.deadlines += db.deadlines;
            total.volatile_fields += db.volatile_fields as u64;
        }
    }
}

fn server(view: &View<'_>, page: &mut Page) {
    let (node, config) = (view.node, &view.node.config);
    let uptime_s = view.now_ms.saturating_sub(node.started_ms) / 1000;
    page.field("redis_version", REDIS_VERSION);
    page.field("server_name", "larder");
    page.field("larder_version", env!("CARGO_PKG_VERSION"));
    page.field("redis_git_sha1", "00000000");
    page.field("redis_git_dirty", 0);
    page.field("redis_build_id", concat!("larder-", env!("CARGO_PKG_VERSION")));
    page.field("redis_mode", "standalone");
    page.field("os", system::name());
    page.field("arch_bits", usize::BITS);
    page.field("monotonic_clock", "POSIX clock_gettime");
    page.field("multiplexing_api", "epoll");
    page.field("atomicvar_api", "rust-std");
    page.field("gcc_version", "0.0.0");
    page.field("process_id", std::process::id());
    page.field("process_supervised", supervisor(node));
    page.field("run_id", &node.run_id);
    page.field("tcp_port", config.port.get());
    page.field("server_time_usec", node.clock.now_us());
    page.field("uptime_in_seconds", uptime_s);
    page.field("uptime_in_days", uptime_s / 86_400);
    page.field("hz", config.hz.get());
    page.field("configured_hz", config.hz.get());
    // The clock of the LRU policies: seconds in 24 bits.
    page.field("lru_clock", (view.now_ms / 1000) & 0xff_ffff);
    page.field("executable", system::executable());
    page.field("config_file", config.origin.file.get().map_or(String::new(), |path| path.display().to_string()));
    page.field("io_threads_active", u8::from(config.workers() > 1));
    page.field("worker_threads", config.workers());
    listeners(node, page);
}

fn supervisor(node: &Node) -> &'static str {
    let configured = node.config.supervised.get();
    let words = crate::config::choices::Supervised::WORDS;
    words.iter().find(|(_, word)| *word == configured).map_or("no", |(name, _)| name)
}

fn listeners(node: &Node, page: &mut Page) {
    let config = &node.config;
    let mut number = 0;
    let mut listener = |text: String| {
        page.field(format_args!("listener{number}"), text);
        number += 1;
    };
    let bound = config.bind.get();
    if config.port.get() != 0 && !bound.is_empty() {
        let binds: String = bound.iter().map(|addr| format!(",bind={}", String::from_utf8_lossy(addr))).collect();
        listener(format!("name=tcp{binds},port={}", config.port.get()));
    }
    if !config.unixsocket.is_empty() {
        listener(format!("name=unix,bind={}", config.unixsocket.string()));
    }
}

fn clients(view: &View<'_>, page: &mut Page) {
    let most = |bytes: fn(&Client) -> u64| view.clients.iter().map(|client| bytes(client)).max().unwrap_or(0);
    let marked = |marks| view.count_clients(|client| client.marks.any(marks));
    page.fields(&[
        ("connected_clients", view.clients.len() as u64),
        ("cluster_connections", 0),
        ("maxclients", view.node.config.maxclients.size()),
        ("client_recent_max_input_buffer", most(|client| client.query[1].load(Relaxed))),
        ("client_recent_max_output_buffer", most(|client| client.out_bytes.load(Relaxed))),
        ("blocked_clients", marked(Marks::BLOCKED)),
        ("tracking_clients", view.node.pubsub.tracking.clients() as u64),
        ("pubsub_clients", view.count_clients(|client| client.subscriptions.iter().any(|n| n.load(Relaxed) > 0))),
        ("watching_clients", view.count_clients(|client| client.watching.load(Relaxed) > 0)),
        ("clients_in_timeout_table", 0),
        ("total_watched_keys", view.totals.watched),
        ("total_blocking_keys", view.totals.waited_for),
        ("total_blocking_keys_on_nokey", view.totals.waited_for_on_gone),
    ]);
}

fn ratio(of: u64, to: u64) -> String {
    format!("{:.2}", of as f64 / to.max(1) as f64)
}

fn percent(of: u64, to: u64) -> String {
    format!("{:.2}%", of as f64 * 100.0 / to.max(1) as f64)
}

fn memory(view: &View<'_>, page: &mut Page) {
    let (config, keyspace) = (&view.node.config, &view.node.keyspace);
    // What is shown here is what eviction sees.
    alloc::settle();
    let (used, peak) = (alloc::used_memory() as u64, alloc::used_memory_peak() as u64);
    let (resident, heap) = (system::resident_bytes(), alloc::stats());
    let startup = view.node.stats.startup_bytes.load(Relaxed);
    let normal = view.buffer_bytes(ClientType::Normal) + view.buffer_bytes(ClientType::Pubsub);
    let overhead = startup + normal;
    let dataset = used.saturating_sub(overhead);
    page.bytes("used_memory", used);
    page.bytes("used_memory_rss", resident);
    page.bytes("used_memory_peak", peak);
    page.field("used_memory_peak_perc", percent(used, peak));
    page.fields(&[
        ("used_memory_overhead", overhead),
        ("used_memory_startup", startup),
        ("used_memory_dataset", dataset),
    ]);
    page.field("used_memory_dataset_perc", percent(dataset, used.saturating_sub(startup)));
    page.fields(&[
        ("allocator_allocated", heap.allocated as u64),
        ("allocator_active", heap.active as u64),
        ("allocator_resident", heap.resident as u64),
        ("allocator_muzzy", 0),
    ]);
    page.bytes("total_system_memory", system::memory_bytes());
    scripts(page, &view.node.board);
    page.bytes("maxmemory", config.maxmemory.size());
    page.field("maxmemory_policy", config.maxmemory_policy.word());
    fragmentation(page, used, resident, heap);
    page.fields(&[
        ("mem_not_counted_for_evict", keyspace.not_counted.bytes()),
        ("mem_replication_backlog", 0),
        ("mem_total_replication_buffers", 0),
        ("mem_clients_slaves", 0),
        ("mem_clients_normal", normal),
        ("mem_cluster_links", 0),
        ("mem_aof_buffer", 0),
    ]);
    page.field("mem_allocator", alloc::version());
    page.fields(&[
        ("mem_overhead_db_hashtable_rehashing", 0),
        ("active_defrag_running", 0),
        ("lazyfree_pending_objects", keyspace.later.pending_objects()),
        ("lazyfreed_objects", keyspace.later.freed_objects()),
    ]);
}

/// Memory of scripts and functions.
fn scripts(page: &mut Page, board: &Board) {
    let [vm_eval, vm_functions, evals, functions] = board.bytes();
    page.fields(&[("used_memory_lua", vm_eval), ("used_memory_vm_eval", vm_eval)]);
    page.field("used_memory_lua_human", human_bytes(vm_eval));
    page.fields(&[
        ("used_memory_scripts_eval", evals),
        ("number_of_cached_scripts", board.cached_scripts.load(Relaxed)),
        ("number_of_functions", board.functions.load(Relaxed)),
        ("number_of_libraries", board.libraries.load(Relaxed)),
        ("used_memory_vm_functions", vm_functions),
    ]);
    page.bytes("used_memory_vm_total", vm_eval + vm_functions);
    page.field("used_memory_functions", functions);
    page.bytes("used_memory_scripts", evals + functions);
}

fn fragmentation(page: &mut Page, used: u64, resident: u64, heap: alloc::Stats) {
    let (allocated, active, held) = (heap.allocated as u64, heap.active as u64, heap.resident as u64);
    let mut pair = |name: &str, bytes: &str, of: u64, to: u64| {
        page.field(name, ratio(of, to));
        page.field(bytes, of as i64 - to as i64);
    };
    pair("allocator_frag_ratio", "allocator_frag_bytes", active, allocated);
    pair("allocator_rss_ratio", "allocator_rss_bytes", held, active);
    pair("rss_overhead_ratio", "rss_overhead_bytes", resident, held);
    pair("mem_fragmentation_ratio", "mem_fragmentation_bytes", resident, used);
}

/// Nothing is written to disk, and nothing forks.
fn persistence(view: &View<'_>, page: &mut Page) {
    page.fields(&[
        ("loading", 0),
        ("async_loading", 0),
        ("current_cow_peak", 0),
        ("current_cow_size", 0),
        ("current_cow_size_age", 0),
    ]);
    page.field("current_fork_perc", "0.00");
    page.fields(&[
        ("current_save_keys_processed", 0),
        ("current_save_keys_total", 0),
        ("rdb_changes_since_last_save", view.node.keyspace.dirty.load(Relaxed) + view.totals.changes),
        ("rdb_bgsave_in_progress", 0),
        ("rdb_last_save_time", view.node.started_ms / 1000),
    ]);
    page.field("rdb_last_bgsave_status", "ok");
    page.field("rdb_last_bgsave_time_sec", -1);
    page.field("rdb_current_bgsave_time_sec", -1);
    page.fields(&[
        ("rdb_saves", 0),
        ("rdb_last_cow_size", 0),
        ("rdb_last_load_keys_expired", 0),
        ("rdb_last_load_keys_loaded", 0),
        ("aof_enabled", 0),
        ("aof_rewrite_in_progress", 0),
        ("aof_rewrite_scheduled", 0),
    ]);
    page.field("aof_last_rewrite_time_sec", -1);
    page.field("aof_current_rewrite_time_sec", -1);
    page.field("aof_last_bgrewrite_status", "ok");
    page.fields(&[("aof_rewrites", 0), ("aof_rewrites_consecutive_failures", 0)]);
    page.field("aof_last_write_status", "ok");
    page.fields(&[("aof_last_cow_size", 0), ("module_fork_in_progress", 0), ("module_fork_last_cow_size", 0)]);
}

fn stats(view: &View<'_>, page: &mut Page) {
    let (stats, node, totals) = (&view.node.stats, view.node, &view.totals);
    let (tracking, denied) = (&node.pubsub.tracking, &node.acl.log);
    page.fields(&[
        ("total_connections_received", stats.sum(|worker| worker.connections.get())),
        ("total_commands_processed", stats.sum(|worker| worker.commands.get())),
        ("instantaneous_ops_per_sec", stats.rates.mean(Metric::Commands)),
        ("total_net_input_bytes", stats.sum(|worker| worker.net_in.get())),
        ("total_net_output_bytes", stats.sum(|worker| worker.net_out.get())),
        ("total_net_repl_input_bytes", 0),
        ("total_net_repl_output_bytes", 0),
    ]);
    let kilobytes = |metric| format!("{:.2}", stats.rates.mean(metric) as f64 / 1024.0);
    page.field("instantaneous_input_kbps", kilobytes(Metric::NetIn));
    page.field("instantaneous_output_kbps", kilobytes(Metric::NetOut));
    page.field("instantaneous_input_repl_kbps", "0.00");
    page.field("instantaneous_output_repl_kbps", "0.00");
    page.fields(&[
        ("rejected_connections", stats.rejected_connections.load(Relaxed)),
        ("sync_full", 0),
        ("sync_partial_ok", 0),
        ("sync_partial_err", 0),
        ("expired_subkeys", totals.expired_fields),
        ("expired_keys", totals.expired),
    ]);
    let exceeded_us = node.keyspace.namespace.exceeded_now_us(node.clock.monotonic_us());
    page.field("expired_stale_perc", "0.00");
    page.fields(&[
        ("expired_time_cap_reached_count", 0),
        ("expire_cycle_cpu_milliseconds", 0),
        ("evicted_keys", node.keyspace.namespace.evicted.load(Relaxed)),
        ("evicted_clients", stats.evicted_clients.load(Relaxed)),
        ("evicted_scripts", node.board.evicted_scripts.load(Relaxed)),
        ("total_eviction_exceeded_time", (node.keyspace.namespace.exceeded_us.load(Relaxed) + exceeded_us) / 1000),
        ("current_eviction_exceeded_time", exceeded_us / 1000),
        ("keyspace_hits", totals.hits),
        ("keyspace_misses", totals.misses),
        ("pubsub_channels", node.pubsub.channels.len() as u64),
        ("pubsub_patterns", node.pubsub.patterns.len() as u64),
        ("pubsubshard_channels", node.pubsub.shard_channels.len() as u64),
        ("latest_fork_usec", 0),
        ("total_forks", 0),
        ("migrate_cached_sockets", stats.migrate_sockets.load(Relaxed)),
        ("slave_expires_tracked_keys", 0),
        ("active_defrag_hits", 0),
        ("active_defrag_misses", 0),
        ("active_defrag_key_hits", 0),
        ("active_defrag_key_misses", 0),
        ("total_active_defrag_time", 0),
        ("current_active_defrag_time", 0),
        ("tracking_total_keys", tracking.keys() as u64),
        ("tracking_total_items", tracking.items() as u64),
        ("tracking_total_prefixes", tracking.prefixes() as u64),
        ("unexpected_error_replies", 0),
        ("total_error_replies", stats.sum(|worker| worker.errors.get())),
        ("dump_payload_sanitizations", 0),
        ("total_reads_processed", stats.sum(|worker| worker.reads.get())),
        ("total_writes_processed", stats.sum(|worker| worker.writes.get())),
        ("io_threaded_reads_processed", 0),
        ("io_threaded_writes_processed", 0),
        ("client_query_buffer_limit_disconnections", stats.query_disconnections.load(Relaxed)),
        ("client_output_buffer_limit_disconnections", stats.outbox_disconnections.load(Relaxed)),
        ("reply_buffer_shrinks", 0),
        ("reply_buffer_expands", 0),
        ("eventloop_cycles", stats.turns()),
        ("eventloop_duration_sum", stats.turn_micros()),
        ("eventloop_duration_cmd_sum", stats.command_micros()),
        ("instantaneous_eventloop_cycles_per_sec", stats.rates.mean(Metric::Turns)),
        ("instantaneous_eventloop_duration_usec", stats.rates.mean(Metric::TurnMicros)),
        ("acl_access_denied_auth", denied.count(Reason::Auth)),
        ("acl_access_denied_cmd", denied.count(Reason::Command)),
        ("acl_access_denied_key", denied.count(Reason::Key)),
        ("acl_access_denied_channel", denied.count(Reason::Channel)),
    ]);
}

/// A primary without replicas.
fn replication(view: &View<'_>, page: &mut Page) {
    let config = &view.node.config;
    page.field("role", "master");
    page.field("connected_slaves", 0);
    if config.min_replicas_to_write.get() > 0 && config.min_replicas_max_lag.get() > 0 {
        page.field("min_slaves_good_slaves", 0);
    }
    page.field("master_failover_state", "no-failover");
    let replid = view.node.replid.read();
    page.field("master_replid", &*replid);
    page.field("master_replid2", "0".repeat(replid.len()));
    page.field("master_repl_offset", view.node.log.offset());
    page.field("second_repl_offset", -1);
    page.field("repl_backlog_active", 0);
    page.field("repl_backlog_size", config.repl_backlog_size.get());
    page.field("repl_backlog_first_byte_offset", 0);
    page.field("repl_backlog_histlen", 0);
}

fn cpu(_: &View<'_>, page: &mut Page) {
    let mut time =
        |name: &str, micros: u64| page.field(name, format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    let (all, children, main) = (system::cpu_time(), system::cpu_time_of_children(), system::cpu_time_of_main_thread());
    time("used_cpu_sys", all.system_us);
    time("used_cpu_user", all.user_us);
    time("used_cpu_sys_children", children.system_us);
    time("used_cpu_user_children", children.user_us);
    time("used_cpu_sys_main_thread", main.system_us);
    time("used_cpu_user_main_thread", main.user_us);
}

fn cluster(_: &View<'_>, page: &mut Page) {
    page.field("cluster_enabled", 0);
}

fn keyspace(view: &View<'_>, page: &mut Page) {
    for (number, db) in view.totals.dbs.iter().enumerate().filter(|(_, db)| db.keys > 0) {
        let DbTotals { keys, volatile, volatile_fields, .. } = db;
        let average_ttl_ms = db.average_ttl_ms(view.now_ms);
        page.field(
            format_args!("db{number}"),
            format_args!("keys={keys},expires={volatile},avg_ttl={average_ttl_ms},subexpiry={volatile_fields}"),
        );
    }
}

fn debug(view: &View<'_>, page: &mut Page) {
    let stats = &view.node.stats;
    let most = |of: fn(&Worker) -> u64| stats.workers().map(of).max().unwrap_or(0);
    let [_, ticks_ns, tick_max_ns] = stats.ticks.each_ref().map(|n| n.load(Relaxed));
    page.fields(&[
        ("eventloop_duration_aof_sum", 0),
        ("eventloop_duration_cron_sum", ticks_ns / 1000),
        ("eventloop_duration_max", most(|worker| worker.command_max.get()).max(tick_max_ns) / 1000),
        ("eventloop_cmd_per_cycle_max", most(|worker| worker.batch_max.get())),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        SECTIONS.iter().filter(|section| is_asked(section, &words)).map(|section| section.title).collect()
    }

    #[test]
    fn sections_are_chosen_by_words() {
        let default = shown(&[]);
        assert_eq!(default.len(), 11);
        assert!(!default.contains(&"Commandstats") && !default.contains(&"Debug"));
        assert_eq!(shown(&["default"]), default);
        assert_eq!(shown(&["all"]).len(), 13);
        assert_eq!(shown(&["cpu", "ALL"]), shown(&["everything"]));
        assert_eq!(shown(&["commandSTATS"]), ["Commandstats"]);
        assert_eq!(shown(&["cpu", "sentinel"]), ["CPU"]);
        assert_eq!(shown(&["nothing"]), [""; 0]);
    }

    #[test]
    fn pages_are_lines_in_sections() {
        let mut page = Page::default();
        page.title("A");
        page.bytes("x", 2048);
        page.title("B");
        page.field("y", ratio(3, 2));
        assert_eq!(page.0, "# A\r\nx:2048\r\nx_human:2.00K\r\n\r\n# B\r\ny:1.50\r\n");
        assert_eq!((ratio(1, 0), percent(1, 3)), ("1.00".into(), "33.33%".into()));
    }
}
