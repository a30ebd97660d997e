//! Rows: the process itself, its log, threads and how it ends.

macro_rules! process {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Process, log and threads" {
        /// Run in the background: detach from the terminal and write `pidfile`.
        daemonize: Flag = flag("daemonize", "no").immutable();
        /// Who waits to hear that the server is ready: `systemd` (READY=1 to $NOTIFY_SOCKET), `upstart` (SIGSTOP),
        /// `auto` (whichever the environment names) or `no`.
        supervised: Choice<Supervised> = choice("supervised", "no").immutable();
        /// Where the process id is written. Without a value nothing is written, except /var/run/redis.pid by a
        /// daemon.
        pidfile: Text = unset("pidfile").immutable();
        /// Worker threads, each with its own event loop; a connection lives on one at a time and its commands run
        /// there. 0 is one per core. Redis' name `io-threads` means the same directive.
        worker_threads: Num = int("worker-threads", 0, 128, "0").alias("io-threads").ours().immutable();
        /// Kept for files written for Redis: a worker always reads for its own connections.
        io_threads_do_reads: Flag = flag("io-threads-do-reads", "no").immutable().waits();
        /// Number of logical databases; SELECT takes 0 up to one less.
        databases: Num = int("databases", 1, INT, "16").immutable();
        /// How many times a second the housekeeping runs, 1 to 500. Expired keys do not depend on it.
        hz: Num = int("hz", 0, INT, "10");
        /// Let housekeeping run more often than `hz` when there are many clients.
        dynamic_hz: Flag = flag("dynamic-hz", "yes").waits();
        /// What is logged: debug, verbose, notice, warning or nothing.
        loglevel: Choice<Loglevel> = choice("loglevel", "notice");
        /// The file log lines are appended to; empty is standard output (and nowhere for a daemon). It is opened
        /// for every line, so it may be moved away at any time.
        logfile: Text = text("logfile", "").immutable();
        /// Log to the system log instead.
        syslog_enabled: Flag = flag("syslog-enabled", "no").immutable().off_only("log lines go to `logfile` only");
        /// The name in the system log.
        syslog_ident: Text = text("syslog-ident", "redis").immutable().waits();
        /// The facility in the system log.
        syslog_facility: Choice<SyslogFacility> = choice("syslog-facility", "local0").immutable().waits();
        /// Print the banner at every start, not only on a terminal.
        always_show_logo: Flag = flag("always-show-logo", "no").immutable();
        /// Replace the process title by `proc-title-template`.
        set_proc_title: Flag = flag("set-proc-title", "yes").immutable();
        /// The process title. Names in braces are replaced: title, listen-addr, server-mode, port, tls-port,
        /// unixsocket, config-file.
        proc_title_template: Text = text("proc-title-template", "{title} {listen-addr} {server-mode}")
            .hook(Hook::ProcTitle).check(check::title_template);
        /// The working directory: where dumps go and relative names start. Its full path is shown.
        dir: Text = text("dir", "./").protected().deny_while_loading().hook(Hook::Dir);
        /// What SIGTERM does: `default` (save if there are save points), or some of save, nosave, now, force.
        shutdown_on_sigterm: ShutdownFlags = choice("shutdown-on-sigterm", "default").many();
        /// What SIGINT does; the same words.
        shutdown_on_sigint: ShutdownFlags = choice("shutdown-on-sigint", "default").many();
        /// Seconds a shutdown waits for replicas that lag behind.
        shutdown_timeout: Num = int("shutdown-timeout", 0, INT, "10").waits();
        /// Ask the kernel to prefer (or spare) this process when memory runs out: `no` leaves its score alone,
        /// `relative` (or `yes`) adds `oom-score-adj-values` to it, `absolute` writes them as they are.
        oom_score_adj: Choice<OomScoreAdj> = choice("oom-score-adj", "no").hook(Hook::OomScore);
        /// The score as a primary, as a replica and for background jobs, each from -2000 to 2000.
        oom_score_adj_values: OomScoreValues = special("oom-score-adj-values", "0 200 800").hook(Hook::OomScore);
        /// Turn off transparent huge pages for this process where the system gives them to all (`always`), as Redis does
        /// because it forks. Larder does not, and looks keys up faster with them: `no` is better there. Where the system
        /// leaves it to programs (`madvise`), the allocator asks for them whatever stands here.
        disable_thp: Flag = flag("disable-thp", "yes").immutable();
        /// Let the allocator give memory back in a thread of its own.
        jemalloc_bg_thread: Flag = flag("jemalloc-bg-thread", "yes").waits();
        /// Cores for the worker threads, like `0-3,8`.
        server_cpulist: Text = unset("server-cpulist").alias("server_cpulist").immutable().off_only(NO_PINNING);
        /// Cores for background threads.
        bio_cpulist: Text = unset("bio-cpulist").alias("bio_cpulist").immutable().off_only(NO_PINNING);
        /// Cores for the rewrite of the append-only file.
        aof_rewrite_cpulist: Text = unset("aof-rewrite-cpulist").alias("aof_rewrite_cpulist").immutable()
            .off_only(NO_PINNING);
        /// Cores for a background save.
        bgsave_cpulist: Text = unset("bgsave-cpulist").alias("bgsave_cpulist").immutable().off_only(NO_PINNING);
        /// Write a report to the log when the process breaks down.
        crash_log_enabled: Flag = flag("crash-log-enabled", "yes").waits();
        /// Test the memory after a breakdown.
        crash_memcheck_enabled: Flag = flag("crash-memcheck-enabled", "yes").waits();
        /// Exit instead of aborting when an assertion fails.
        use_exit_on_panic: Flag = flag("use-exit-on-panic", "no").hidden().waits();
        /// Milliseconds without progress after which a trace is logged; 0 is never.
        watchdog_period: Num = int("watchdog-period", 0, INT, "0").hidden().off_only("there is no software watchdog");
        /// A file for every request and reply, for Redis' own developers.
        req_res_logfile: Text = unset("req-res-logfile").immutable().hidden()
            .off_only("requests and replies are not recorded");
        /// The locale SORT ALPHA compares by. Bytes are compared here, so only C and its like are taken.
        locale_collate: Text = text("locale-collate", "").check(check::locale);
        /// Names of start-up warnings to leave out.
        ignore_warnings: Text = text("ignore-warnings", "").waits();
        /// Who may use DEBUG: yes, no, or local (clients of this machine).
        enable_debug_command: Choice<Protected> = choice("enable-debug-command", "no").immutable();
        /// Who may use MODULE: yes, no, or local. Loadable modules are refused anyway.
        enable_module_command: Choice<Protected> = choice("enable-module-command", "no").immutable();
        /// Who may set protected directives (`dir`, `dbfilename`) by CONFIG SET: yes, no, or local.
        enable_protected_configs: Choice<Protected> = choice("enable-protected-configs", "no").immutable();
    } } };
}
