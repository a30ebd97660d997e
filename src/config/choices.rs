//! The words of the directives that are one of several words, as enums. The order is the one error texts list.

use crate::config::cell::Word;

/// Declares an enum whose variants have one or two words.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $($word:literal)|+,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl Word for $name {
            const ALL: &'static [$name] = &[$($name::$variant,)*];
            const WORDS: &'static [(&'static str, $name)] = &[$($(($word, $name::$variant),)+)*];

            fn number(self) -> u8 {
                self as u8
            }
        }
    )* };
}

words! {
    /// `loglevel`.
    Loglevel {
        /// Everything.
        Debug = "debug",
        /// Much, rarely useful.
        Verbose = "verbose",
        /// What one wants to know in production.
        Notice = "notice",
        /// Only what is important or critical.
        Warning = "warning",
        /// No lines at all.
        Nothing = "nothing",
    }

    /// `maxmemory-policy`.
    MaxmemoryPolicy {
        /// Least recently used among keys with an expiry.
        VolatileLru = "volatile-lru",
        /// Least frequently used among keys with an expiry.
        VolatileLfu = "volatile-lfu",
        /// Any key with an expiry.
        VolatileRandom = "volatile-random",
        /// The key that expires first.
        VolatileTtl = "volatile-ttl",
        /// Least recently used of all keys.
        AllkeysLru = "allkeys-lru",
        /// Least frequently used of all keys.
        AllkeysLfu = "allkeys-lfu",
        /// Any key.
        AllkeysRandom = "allkeys-random",
        /// Refuse writes instead.
        Noeviction = "noeviction",
    }

    /// `acl-pubsub-default`.
    AclPubsubDefault {
        /// New users may use every channel.
        Allchannels = "allchannels",
        /// New users may use none.
        Resetchannels = "resetchannels",
    }

    /// `appendfsync`.
    Appendfsync {
        /// Once a second.
        Everysec = "everysec",
        /// Before every reply.
        Always = "always",
        /// When the system likes.
        No = "no",
    }

    /// `cluster-preferred-endpoint-type`.
    EndpointType {
        /// The node's address.
        Ip = "ip",
        /// Its announced name.
        Hostname = "hostname",
        /// Whatever the client already used.
        UnknownEndpoint = "unknown-endpoint",
    }

    /// `enable-debug-command`, `enable-module-command`, `enable-protected-configs`.
    Protected {
        /// Nobody may.
        No = "no",
        /// Everybody may.
        Yes = "yes",
        /// Clients of this machine may.
        Local = "local",
    }

    /// `oom-score-adj`.
    OomScoreAdj {
        /// Left alone.
        No = "no",
        /// Added to the score at the start.
        Relative = "yes" | "relative",
        /// Written as it is.
        Absolute = "absolute",
    }

    /// `propagation-error-behavior`.
    PropagationError {
        /// Log it and go on.
        Ignore = "ignore",
        /// Stop the process.
        Panic = "panic",
        /// Stop only replicas.
        PanicOnReplicas = "panic-on-replicas",
    }

    /// `repl-diskless-load`.
    DisklessLoad {
        /// Through a file.
        Disabled = "disabled",
        /// From the socket when there is nothing to lose.
        OnEmptyDb = "on-empty-db",
        /// From the socket beside the old data.
        Swapdb = "swapdb",
    }

    /// `sanitize-dump-payload`.
    SanitizePayload {
        /// Trust the checksum.
        No = "no",
        /// Check every nested value.
        Yes = "yes",
        /// Check only what clients send.
        Clients = "clients",
    }

    /// `supervised`.
    Supervised {
        /// Raise SIGSTOP when ready.
        Upstart = "upstart",
        /// Tell `$NOTIFY_SOCKET` when ready.
        Systemd = "systemd",
        /// Whatever the environment asks for.
        Auto = "auto",
        /// Nobody waits for us.
        No = "no",
    }

    /// `syslog-facility`.
    SyslogFacility {
        /// User-level messages.
        User = "user",
        /// Local use 0.
        Local0 = "local0",
        /// Local use 1.
        Local1 = "local1",
        /// Local use 2.
        Local2 = "local2",
        /// Local use 3.
        Local3 = "local3",
        /// Local use 4.
        Local4 = "local4",
        /// Local use 5.
        Local5 = "local5",
        /// Local use 6.
        Local6 = "local6",
        /// Local use 7.
        Local7 = "local7",
    }

    /// `tls-auth-clients`.
    TlsAuthClients {
        /// No client certificate is asked for.
        No = "no",
        /// A valid one is required.
        Yes = "yes",
        /// One is checked when given.
        Optional = "optional",
    }
}

impl Protected {
    /// Whether a client may do what this guards.
    pub fn allows(self, from_this_machine: bool) -> bool {
        match self {
            Protected::No => false,
            Protected::Yes => true,
            Protected::Local => from_this_machine,
        }
    }
}
