//! Rows: dumps and the append-only file.

macro_rules! persist {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Dump file (RDB)" {
        /// Dump after so many seconds when at least so many changes were made; several pairs. Empty is never.
        save: SavePoints = special("save", "3600 1 300 100 60 10000").warns(NO_DUMPS);
        /// The name of the dump in `dir`.
        dbfilename: Text = text("dbfilename", "dump.rdb").protected().check(check::db_file_name).waits();
        /// Compress strings by LZF in dumps (and in DUMP payloads).
        rdbcompression: Flag = flag("rdbcompression", "yes");
        /// End a dump with a checksum.
        rdbchecksum: Flag = flag("rdbchecksum", "yes").immutable().waits();
        /// Refuse writes after a failed background save.
        stop_writes_on_bgsave_error: Flag = flag("stop-writes-on-bgsave-error", "yes").waits();
        /// Delete dumps that were only needed for replication.
        rdb_del_sync_files: Flag = flag("rdb-del-sync-files", "no").waits();
        /// Sync a dump to disk piece by piece.
        rdb_save_incremental_fsync: Flag = flag("rdb-save-incremental-fsync", "yes").waits();
        /// Microseconds to wait before each key of a dump, for tests.
        rdb_key_save_delay: Num = int("rdb-key-save-delay", INT_MIN, INT, "0").hidden().waits();
        /// Microseconds to wait before each key that is loaded, for tests.
        key_load_delay: Num = int("key-load-delay", INT_MIN, INT, "0").hidden().waits();
        /// Bytes loaded between two looks at the clients.
        loading_process_events_interval_bytes: Num =
            int("loading-process-events-interval-bytes", 1024, INT, "2097152").hidden().waits();
    } group "Append-only file (AOF)" {
        /// Log every change to a file.
        appendonly: Flag = flag("appendonly", "no").deny_while_loading().off_only("there is no append-only file yet");
        /// The base name of its files.
        appendfilename: Text = text("appendfilename", "appendonly.aof").immutable().check(check::append_file_name).waits();
        /// The directory of its files, in `dir`.
        appenddirname: Text = text("appenddirname", "appendonlydir").immutable().check(check::append_dir_name).waits();
        /// When it reaches the disk: everysec, always (before the reply) or no (as the system likes).
        appendfsync: Choice<Appendfsync> = choice("appendfsync", "everysec").waits();
        /// Do not sync while a rewrite or a dump is running.
        no_appendfsync_on_rewrite: Flag = flag("no-appendfsync-on-rewrite", "no").waits();
        /// Rewrite it when it has grown by so many percent; 0 is never.
        auto_aof_rewrite_percentage: Num = int("auto-aof-rewrite-percentage", 0, INT, "100").waits();
        /// But not below this size.
        auto_aof_rewrite_min_size: Num = memory("auto-aof-rewrite-min-size", 0, LONG, "64mb").waits();
        /// Load a file whose end is missing, with a warning.
        aof_load_truncated: Flag = flag("aof-load-truncated", "yes").waits();
        /// Begin a rewritten file with a dump.
        aof_use_rdb_preamble: Flag = flag("aof-use-rdb-preamble", "yes").waits();
        /// Write the time into it.
        aof_timestamp_enabled: Flag = flag("aof-timestamp-enabled", "no").waits();
        /// Sync a rewrite to disk piece by piece.
        aof_rewrite_incremental_fsync: Flag = flag("aof-rewrite-incremental-fsync", "yes").waits();
        /// Keep files that are no longer needed, for tests.
        aof_disable_auto_gc: Flag = flag("aof-disable-auto-gc", "no").hidden().waits();
    } } };
}
