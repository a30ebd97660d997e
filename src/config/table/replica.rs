//! Rows: replication and cluster.

macro_rules! replica {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Replication" {
        /// Follow this primary: host and port.
        replicaof: ReplicaOf = special("replicaof", "").alias("slaveof").immutable()
            .off_only("there is no replication yet");
        /// The password for the primary.
        masterauth: Text = unset("masterauth").sensitive().waits();
        /// The user for the primary.
        masteruser: Text = unset("masteruser").sensitive().waits();
        /// Serve data, perhaps old, while the primary is out of reach.
        replica_serve_stale_data: Flag = flag("replica-serve-stale-data", "yes").alias("slave-serve-stale-data").waits();
        /// Refuse writes of clients on a replica.
        replica_read_only: Flag = flag("replica-read-only", "yes").alias("slave-read-only").waits();
        /// Leave eviction on a replica to its primary.
        replica_ignore_maxmemory: Flag = flag("replica-ignore-maxmemory", "yes").alias("slave-ignore-maxmemory").waits();
        /// Free the old data in the background at a full sync.
        replica_lazy_flush: Flag = flag("replica-lazy-flush", "no").alias("slave-lazy-flush").waits();
        /// Sentinel promotes the replica with the lowest; 0 is never.
        replica_priority: Num = int("replica-priority", 0, INT, "100").alias("slave-priority").waits();
        /// Let Sentinel see this replica.
        replica_announced: Flag = flag("replica-announced", "yes").waits();
        /// The address a replica gives as its own.
        replica_announce_ip: Text = unset("replica-announce-ip").alias("slave-announce-ip").waits();
        /// The port a replica gives as its own; 0 is the real one.
        replica_announce_port: Num = int("replica-announce-port", 0, 65535, "0").alias("slave-announce-port").waits();
        /// Let a replica go on when its disk fails.
        replica_ignore_disk_write_errors: Flag = flag("replica-ignore-disk-write-errors", "no").waits();
        /// Send a full sync over the socket without a file.
        repl_diskless_sync: Flag = flag("repl-diskless-sync", "yes").waits();
        /// Seconds to wait for more replicas before it starts.
        repl_diskless_sync_delay: Num = int("repl-diskless-sync-delay", 0, INT, "5").waits();
        /// Replicas that make it start at once; 0 is no such number.
        repl_diskless_sync_max_replicas: Num = int("repl-diskless-sync-max-replicas", 0, INT, "0").waits();
        /// How a replica loads a full sync: disabled (through a file), on-empty-db or swapdb.
        repl_diskless_load: Choice<DisklessLoad> = choice("repl-diskless-load", "disabled").deny_while_loading().waits();
        /// Seconds between pings to replicas.
        repl_ping_replica_period: Num = int("repl-ping-replica-period", 1, INT, "10").alias("repl-ping-slave-period").waits();
        /// Seconds of silence after which the other side counts as gone.
        repl_timeout: Num = int("repl-timeout", 1, INT, "60").waits();
        /// Trade latency of the stream for fewer packets.
        repl_disable_tcp_nodelay: Flag = flag("repl-disable-tcp-nodelay", "no").waits();
        /// How much of the stream is kept for replicas that come back.
        repl_backlog_size: Num = memory("repl-backlog-size", 1, LONG, "1mb").waits();
        /// Seconds without a replica after which it is freed; 0 is never.
        repl_backlog_ttl: Num = int("repl-backlog-ttl", 0, LONG, "3600").waits();
        /// Refuse writes unless so many replicas are connected; 0 asks for none.
        min_replicas_to_write: Num =
            int("min-replicas-to-write", 0, INT, "0").alias("min-slaves-to-write").off_only("there are no replicas yet");
        /// Seconds a replica may lag to count for that.
        min_replicas_max_lag: Num = int("min-replicas-max-lag", 0, INT, "10").alias("min-slaves-max-lag");
        /// What a replica does when a replicated command fails: ignore, panic or panic-on-replicas.
        propagation_error_behavior: Choice<PropagationError> = choice("propagation-error-behavior", "ignore").waits();
    } group "Cluster" {
        /// Be a node of a cluster.
        cluster_enabled: Flag = flag("cluster-enabled", "no").immutable().off_only("there is no cluster mode yet");
        /// Where the node keeps what it knows of the cluster.
        cluster_config_file: Text = text("cluster-config-file", "nodes.conf").immutable().waits();
        /// Milliseconds of silence after which a node counts as failing.
        cluster_node_timeout: Num = int("cluster-node-timeout", 0, LONG, "15000").waits();
        /// Milliseconds between pings, for tests.
        cluster_ping_interval: Num = int("cluster-ping-interval", 0, LONG, "0").hidden().waits();
        /// The port of the cluster bus; 0 is `port` + 10000.
        cluster_port: Num = int("cluster-port", 0, 65535, "0").immutable().waits();
        /// The address a node gives as its own.
        cluster_announce_ip: Text = unset("cluster-announce-ip").waits();
        /// The port a node gives as its own; 0 is the real one.
        cluster_announce_port: Num = int("cluster-announce-port", 0, 65535, "0").waits();
        /// The same for TLS.
        cluster_announce_tls_port: Num = int("cluster-announce-tls-port", 0, 65535, "0").waits();
        /// The same for the bus.
        cluster_announce_bus_port: Num = int("cluster-announce-bus-port", 0, 65535, "0").waits();
        /// The name a node gives as its own.
        cluster_announce_hostname: Text = unset("cluster-announce-hostname").check(check::announced_hostname).waits();
        /// A name for people, used in the log.
        cluster_announce_human_nodename: Text = unset("cluster-announce-human-nodename")
            .check(check::announced_nodename).waits();
        /// What redirections name: ip, hostname or unknown-endpoint.
        cluster_preferred_endpoint_type: Choice<EndpointType> = choice("cluster-preferred-endpoint-type", "ip").waits();
        /// How stale a replica may be to stand for election, in node timeouts; 0 is any.
        cluster_replica_validity_factor: Num = int("cluster-replica-validity-factor", 0, INT, "10")
            .alias("cluster-slave-validity-factor").waits();
        /// Replicas a primary keeps when one moves to an orphan.
        cluster_migration_barrier: Num = int("cluster-migration-barrier", 0, INT, "1").waits();
        /// Let replicas move to primaries that have none.
        cluster_allow_replica_migration: Flag = flag("cluster-allow-replica-migration", "yes").waits();
        /// Never stand for election.
        cluster_replica_no_failover: Flag = flag("cluster-replica-no-failover", "no").alias("cluster-slave-no-failover").waits();
        /// Refuse commands unless every slot is served.
        cluster_require_full_coverage: Flag = flag("cluster-require-full-coverage", "yes").waits();
        /// Serve reads while the cluster is down.
        cluster_allow_reads_when_down: Flag = flag("cluster-allow-reads-when-down", "no").waits();
        /// Serve sharded publish and subscribe while the cluster is down.
        cluster_allow_pubsubshard_when_down: Flag = flag("cluster-allow-pubsubshard-when-down", "yes").waits();
        /// Most bytes that wait on one link of the bus; 0 is no limit.
        cluster_link_sendbuf_limit: Num = memory("cluster-link-sendbuf-limit", 0, ULONG, "0").waits();
    } } };
}
