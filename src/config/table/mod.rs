//! Every directive, one row. The rows stand in the group files beside this one; from them come [`Config`]'s fields, the
//! table that CONFIG GET, SET and REWRITE walk, the parser of files and command lines, and `conf/larder.conf`.
//!
//! A row reads `field: Type = kind("name", range, default).what.it.is();` under its documentation. To add a directive,
//! add a row, run the tests, and regenerate `conf/larder.conf` as the failing test says.
//!
//! The group files are macros that hand their rows on to the next one, and the last hands all of them to `declare!`:
//! that is how one list becomes one struct although it stands in several files.

mod check;
pub mod title;

#[macro_use]
mod process;
#[macro_use]
mod network;
#[macro_use]
mod memory;
#[macro_use]
mod data;
#[macro_use]
mod insight;
#[macro_use]
mod persist;
#[macro_use]
mod replica;

use crate::config::Origin;
use crate::config::cell::{Cell, Choice, Flag, Num, Source, Text, by_space};
use crate::config::choices::*;
use crate::config::row::*;
use crate::config::special::*;
use std::sync::Mutex;

/// A row in its place: with what it is for and where its value lives.
pub struct Entry {
    /// What is declared.
    pub row: Row,
    /// The group's title in `conf/larder.conf`.
    pub group: &'static str,
    /// What it is for, line by line.
    pub doc: &'static [&'static str],
    /// Its live value.
    pub cell: fn(&Config) -> &dyn Cell,
}

macro_rules! declare {
    (; $(group $title:literal { $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $row:expr;)* })*) => {
        /// The live value of every directive, by name with `_` for `-`. See `conf/larder.conf` for the same in prose.
        #[derive(Default)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $field: $type,)*)*
            /// Where the configuration came from.
            pub origin: Origin,
            /// Held by whoever changes several values as one.
            pub(in crate::config) turn: Mutex<()>,
        }

        /// The rows, in the order of the groups.
        pub static TABLE: &[Entry] = &[$($(
            Entry { row: $row, group: $title, doc: &[$($doc),+], cell: |config| &config.$field },
        )*)*];
    };
}

/// Why no CPU list is taken.
const NO_PINNING: &str = "threads are not pinned to cores";
/// Said when save points are set.
const NO_DUMPS: &str = "Save points are set, but this version writes no dump file: the data lives in memory only.";

process! { network memory data insight persist replica declare; }

impl Config {
    /// Every directive at its default.
    pub fn new() -> Config {
        let config = Config::default();
        for entry in TABLE {
            entry.reset(&config);
        }
        config
    }
}

impl Entry {
    /// The value as CONFIG GET prints it.
    pub fn text(&self, config: &Config) -> Vec<u8> {
        (self.cell)(config).text(&self.row)
    }

    /// Puts the default in force.
    pub fn reset(&self, config: &Config) {
        self.restore(config, self.row.default.as_bytes());
    }

    /// Puts back a value that [`Entry::text`] gave.
    pub fn restore(&self, config: &Config, text: &[u8]) {
        let words = if self.row.many { by_space(text) } else { vec![text] };
        let words = if words.is_empty() { vec![&b""[..]] } else { words };
        let restored = (self.cell)(config).set(&self.row, &words, Source::Table);
        debug_assert_eq!(restored, Ok(()), "{} does not take its own value", self.row.name);
    }

    /// Takes over `words` after every check of the row. On an error the old value stands.
    pub fn set(&self, config: &Config, words: &[&[u8]], source: Source) -> Result<(), String> {
        let old = self.text(config);
        (self.cell)(config).set(&self.row, words, source)?;
        match self.row.ready {
            Ready::OffOnly(why) if self.text(config) != self.row.default.as_bytes() => {
                self.restore(config, &old);
                let off = self.row.default;
                Err(format!("{} can only be '{off}' in this version: {why}", self.row.name))
            }
            _ => Ok(()),
        }
    }

    /// What the operator should hear about the value in force.
    pub fn warning(&self, config: &Config) -> Option<&'static str> {
        match self.row.ready {
            Ready::Warns(warning) if !self.text(config).is_empty() => Some(warning),
            _ => None,
        }
    }
}

/// The entry of a name or an alias, in any case.
pub fn find(name: &[u8]) -> Option<&'static Entry> {
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    TABLE.iter().find(|entry| is(entry.row.name) || entry.row.alias.is_some_and(is))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The directives of Redis 7.4 that are settings, by name.
    const REDIS: &str = "
        acl-pubsub-default aclfile acllog-max-len active-defrag-cycle-max active-defrag-cycle-min
        active-defrag-ignore-bytes active-defrag-max-scan-fields active-defrag-threshold-lower
        active-defrag-threshold-upper active-expire-effort activedefrag activerehashing always-show-logo
        aof-disable-auto-gc aof-load-truncated aof-rewrite-cpulist aof-rewrite-incremental-fsync
        aof-timestamp-enabled aof-use-rdb-preamble appenddirname appendfilename appendfsync appendonly
        auto-aof-rewrite-min-size auto-aof-rewrite-percentage bgsave-cpulist bind bind-source-addr bio-cpulist
        busy-reply-threshold client-default-resp client-output-buffer-limit client-query-buffer-limit
        cluster-allow-pubsubshard-when-down cluster-allow-reads-when-down cluster-allow-replica-migration
        cluster-announce-bus-port cluster-announce-hostname cluster-announce-human-nodename cluster-announce-ip
        cluster-announce-port cluster-announce-tls-port cluster-config-file cluster-enabled
        cluster-link-sendbuf-limit cluster-migration-barrier cluster-node-timeout cluster-ping-interval
        cluster-port cluster-preferred-endpoint-type cluster-replica-no-failover
        cluster-replica-validity-factor cluster-require-full-coverage crash-log-enabled crash-memcheck-enabled
        daemonize databases dbfilename dir disable-thp dynamic-hz enable-debug-command enable-module-command
        enable-protected-configs hash-max-listpack-entries hash-max-listpack-value hide-user-data-from-log
        hll-sparse-max-bytes hz ignore-warnings io-threads io-threads-do-reads jemalloc-bg-thread
        key-load-delay latency-monitor-threshold latency-tracking latency-tracking-info-percentiles
        lazyfree-lazy-eviction lazyfree-lazy-expire lazyfree-lazy-server-del lazyfree-lazy-user-del
        lazyfree-lazy-user-flush lfu-decay-time lfu-log-factor list-compress-depth list-max-listpack-size
        loading-process-events-interval-bytes locale-collate logfile loglevel masterauth masteruser
        max-new-connections-per-cycle max-new-tls-connections-per-cycle maxclients maxmemory maxmemory-clients
        maxmemory-eviction-tenacity maxmemory-policy maxmemory-samples min-replicas-max-lag
        min-replicas-to-write no-appendfsync-on-rewrite notify-keyspace-events oom-score-adj
        oom-score-adj-values pidfile port proc-title-template propagation-error-behavior protected-mode
        proto-max-bulk-len rdb-del-sync-files rdb-key-save-delay rdb-save-incremental-fsync rdbchecksum
        rdbcompression repl-backlog-size repl-backlog-ttl repl-disable-tcp-nodelay repl-diskless-load
        repl-diskless-sync repl-diskless-sync-delay repl-diskless-sync-max-replicas repl-ping-replica-period
        repl-timeout replica-announce-ip replica-announce-port replica-announced
        replica-ignore-disk-write-errors replica-ignore-maxmemory replica-lazy-flush replica-priority
        replica-read-only replica-serve-stale-data replicaof req-res-logfile requirepass sanitize-dump-payload
        save server-cpulist set-max-intset-entries set-max-listpack-entries set-max-listpack-value
        set-proc-title shutdown-on-sigint shutdown-on-sigterm shutdown-timeout slowlog-log-slower-than
        slowlog-max-len socket-mark-id stop-writes-on-bgsave-error stream-node-max-bytes
        stream-node-max-entries supervised syslog-enabled syslog-facility syslog-ident tcp-backlog
        tcp-keepalive timeout tls-auth-clients tls-ca-cert-dir tls-ca-cert-file tls-cert-file tls-ciphers
        tls-ciphersuites tls-client-cert-file tls-client-key-file tls-client-key-file-pass tls-cluster
        tls-dh-params-file tls-key-file tls-key-file-pass tls-port tls-prefer-server-ciphers tls-protocols
        tls-replication tls-session-cache-size tls-session-cache-timeout tls-session-caching
        tracking-table-max-keys unixsocket unixsocketperm use-exit-on-panic watchdog-period
        zset-max-listpack-entries zset-max-listpack-value";

    /// Names of ours.
    const OURS: [&str; 2] = ["worker-threads", "lua-memory-limit"];

    #[test]
    fn every_directive_of_redis_is_known_and_none_is_invented() {
        let redis: HashSet<&str> = REDIS.split_whitespace().collect();
        for name in &redis {
            assert!(find(name.as_bytes()).is_some(), "{name} is missing");
        }
        for entry in TABLE {
            let known = redis.contains(entry.row.name) || OURS.contains(&entry.row.name);
            assert!(known, "{} is not a directive of Redis", entry.row.name);
            assert_eq!(entry.row.ours, OURS.contains(&entry.row.name), "{}", entry.row.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        for entry in TABLE {
            for name in entry.row.alias.iter().chain([&entry.row.name]) {
                assert!(seen.insert(*name), "{name} stands twice");
                assert_eq!(*name, name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn defaults_obey_their_own_rules() {
        let config = Config::new();
        for entry in TABLE {
            let text = entry.text(&config);
            let words = if entry.row.many { by_space(&text) } else { vec![&text[..]] };
            let words = if words.is_empty() { vec![&b""[..]] } else { words };
            assert_eq!(entry.set(&config, &words, Source::Table), Ok(()), "{}", entry.row.name);
            assert_eq!(entry.text(&config), text, "{} changes when set to its own value", entry.row.name);
        }
    }

    #[test]
    fn defaults_that_matter_most() {
        let config = Config::new();
        assert_eq!(config.port.get(), 6379);
        assert_eq!(config.maxmemory.size(), 0);
        assert_eq!(config.maxmemory_policy.get(), MaxmemoryPolicy::Noeviction);
        assert_eq!(config.proto_max_bulk_len.size(), 512 << 20);
        assert_eq!(config.bind.get().len(), 2);
        assert!(config.protected_mode.get());
        assert_eq!(config.client_output_buffer_limit.get(ClientClass::Pubsub).hard_bytes, 32 << 20);
        assert_eq!(config.notify_keyspace_events.bits(), 0);
    }

    #[test]
    fn what_has_no_mechanism_can_only_be_off() {
        let config = Config::new();
        let appendonly = find(b"appendonly").expect("known");
        assert_eq!(appendonly.set(&config, &[b"no"], Source::Command), Ok(()));
        let error = appendonly.set(&config, &[b"yes"], Source::Command).expect_err("there is no such file");
        assert!(error.starts_with("appendonly can only be 'no' in this version: "), "{error}");
        assert!(!config.appendonly.get());
    }
}
