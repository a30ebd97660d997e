//! Rows: what the server tells about itself.

macro_rules! insight {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Events, latency and slow commands" {
        /// Which changes are published, as letters: K (by key), E (by event), and g $ l s h z x e t d or A for all of
        /// these, m (misses), n (new keys). Empty publishes nothing.
        notify_keyspace_events: EventClasses = text("notify-keyspace-events", "");
        /// Milliseconds from which an event counts as slow for LATENCY; 0 watches nothing.
        latency_monitor_threshold: Num = int("latency-monitor-threshold", 0, LONG, "0");
        /// Keep a histogram of the time of each command.
        latency_tracking: Flag = flag("latency-tracking", "yes");
        /// The percentiles INFO latencystats reports.
        latency_tracking_info_percentiles: Percentiles = special("latency-tracking-info-percentiles", "50 99 99.9");
        /// Microseconds from which a command enters the SLOWLOG; 0 logs all, -1 none.
        slowlog_log_slower_than: Num = int("slowlog-log-slower-than", -1, LONG, "10000");
        /// How many slow commands are kept.
        slowlog_max_len: Num = int("slowlog-max-len", 0, LONG, "128");
        /// Keep keys and values out of crash reports and the log.
        hide_user_data_from_log: Flag = flag("hide-user-data-from-log", "no").waits();
    } } };
}
