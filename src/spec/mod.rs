//! A command as data: name, arity, flags, categories, keys, documentation. No handlers.
//!
//! One row per command is the only place where these facts stand; look-up, COMMAND, ACL categories, arity errors, the
//! out-of-memory and read-only gates, the lock set and the effect policy are derived from it.

pub mod docs;
pub mod keys;

pub use docs::Arg;
pub use keys::{Access, KeySpec, Keys};

/// What one command is. Build a row with [`CommandSpec::BASE`] for the fields that do not matter.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// Upper-case name; of a subcommand, the name of the subcommand alone.
    pub name: &'static str,
    /// One sentence for COMMAND DOCS, in our own words.
    pub summary: &'static str,
    /// The Redis version that introduced it.
    pub since: &'static str,
    /// The Redis version from which on another command is to be preferred, and which one.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// What it has learned since: the Redis version and, in our own words, what that added.
    pub history: &'static [(&'static str, &'static str)],
    /// Time complexity, as shown by COMMAND DOCS; `""` where nothing is said about it.
    pub complexity: &'static str,
    /// The group of COMMAND DOCS.
    pub group: Group,
    /// Number of arguments, the name included.
    pub arity: Arity,
    /// Behavioural flags.
    pub flags: Flags,
    /// ACL categories beyond those that follow from the flags.
    pub categories: Categories,
    /// Where the keys are.
    pub keys: Keys,
    /// Why the key specs say what they say, one note for each; `""` and what is left out are none.
    pub key_notes: &'static [&'static str],
    /// Which arguments are channels to publish to or to listen on.
    pub channels: Channels,
    /// How a change made by it is written to the log.
    pub effect: Propagate,
    /// Argument tree of COMMAND DOCS.
    pub args: &'static [Arg],
    /// COMMAND tips, such as `nondeterministic_output`.
    pub tips: &'static [&'static str],
}

impl CommandSpec {
    /// A row with nothing in it, for struct update syntax.
    pub const BASE: CommandSpec = CommandSpec {
        name: "",
        summary: "",
        since: "1.0.0",
        deprecated: None,
        history: &[],
        complexity: "O(1)",
        group: Group::Generic,
        arity: Arity(1),
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: Keys::None,
        key_notes: &[],
        channels: Channels::None,
        effect: Propagate::Never,
        args: &[],
        tips: &[],
    };

    /// The ACL categories, those that follow from the flags included.
    pub fn all_categories(&self) -> Categories {
        let f = self.flags;
        let mut c = self.categories;
        if f.has(Flags::WRITE) {
            c = c.and(Categories::WRITE);
        }
        if f.has(Flags::READONLY) && !c.has(Categories::SCRIPTING) {
            c = c.and(Categories::READ);
        }
        if f.has(Flags::ADMIN) {
            c = c.and(Categories::ADMIN).and(Categories::DANGEROUS);
        }
        if f.has(Flags::PUBSUB) {
            c = c.and(Categories::PUBSUB);
        }
        if f.has(Flags::FAST) {
            c = c.and(Categories::FAST);
        } else {
            c = c.and(Categories::SLOW);
        }
        if f.has(Flags::BLOCKING) {
            c = c.and(Categories::BLOCKING);
        }
        c
    }
}

/// Number of arguments, the command's name included; negative: at least so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity(pub i16);

impl Arity {
    /// Exactly `n` arguments, the name included.
    pub const fn exactly(n: i16) -> Arity {
        Arity(n)
    }
    /// At least `n` arguments, the name included.
    pub const fn at_least(n: i16) -> Arity {
        Arity(-n)
    }
    /// Whether a request of `argc` arguments fits.
    #[inline]
    pub fn accepts(self, argc: usize) -> bool {
        if self.0 >= 0 { argc == self.0 as usize } else { argc >= -(self.0 as i32) as usize }
    }
}

macro_rules! bitset {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $flag:ident = $bit:expr, $text:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub struct $name(pub u32);
        impl $name {
            /// Nothing set.
            pub const NONE: $name = $name(0);
            $($(#[$fdoc])* pub const $flag: $name = $name(1 << $bit);)*
            /// Every member with its wire name, in wire order.
            pub const NAMES: &'static [($name, &'static str)] = &[$(($name::$flag, $text)),*];
            /// Both sets together.
            pub const fn and(self, other: $name) -> $name { $name(self.0 | other.0) }
            /// This set without `other`.
            pub const fn without(self, other: $name) -> $name { $name(self.0 & !other.0) }
            /// Whether all of `other` is in it.
            #[inline]
            pub const fn has(self, other: $name) -> bool { self.0 & other.0 == other.0 }
            /// Whether any of `other` is in it.
            #[inline]
            pub const fn any(self, other: $name) -> bool { self.0 & other.0 != 0 }
            /// The wire names of the members.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().filter(move |(f, _)| self.has(*f)).map(|(_, n)| *n)
            }
        }
    };
}

bitset! {
    /// Behavioural flags, in the order COMMAND prints them.
    Flags {
        /// Changes keys.
        WRITE = 0, "write";
        /// Only reads keys.
        READONLY = 1, "readonly";
        /// Refused when memory is over the limit.
        DENYOOM = 2, "denyoom";
        /// Loads code.
        MODULE = 3, "module";
        /// For administrators.
        ADMIN = 4, "admin";
        /// Publish and subscribe.
        PUBSUB = 5, "pubsub";
        /// Not from a script.
        NOSCRIPT = 6, "noscript";
        /// May block the client.
        BLOCKING = 7, "blocking";
        /// Allowed while a file is loaded.
        LOADING = 8, "loading";
        /// Allowed on a replica with stale data.
        STALE = 9, "stale";
        /// Not shown by MONITOR.
        SKIP_MONITOR = 10, "skip_monitor";
        /// Not in the slow log.
        SKIP_SLOWLOG = 11, "skip_slowlog";
        /// ASKING is implied.
        ASKING = 12, "asking";
        /// Constant or logarithmic time.
        FAST = 13, "fast";
        /// Allowed before AUTH.
        NO_AUTH = 14, "no_auth";
        /// May cause replication without WRITE (COMMAND does not tell).
        MAY_REPLICATE = 15, "";
        /// Its container's mandatory keys are not checked.
        NO_MANDATORY_KEYS = 16, "no_mandatory_keys";
        /// Not on an asynchronously loading replica.
        NO_ASYNC_LOADING = 17, "no_async_loading";
        /// Not inside MULTI.
        NO_MULTI = 18, "no_multi";
        /// Keys are found by running a function over the arguments.
        MOVABLE_KEYS = 19, "movablekeys";
        /// Allowed while a script is over its time.
        ALLOW_BUSY = 20, "allow_busy";
        /// Known to Sentinel.
        SENTINEL = 21, "";
        /// Runs long: moved off the worker's loop.
        SLOW_JOB = 22, "";
        /// Does not touch the access clock of the keys (TYPE, OBJECT, TTL ..).
        NO_TOUCH = 23, "";
        /// Meant for the system itself and who works on it (COMMAND DOCS tells, among its `doc_flags`).
        SYSCMD = 24, "";
    }
}

bitset! {
    /// ACL categories, in the order ACL CAT prints them.
    Categories {
        /// The generic key commands.
        KEYSPACE = 0, "keyspace";
        /// Reads.
        READ = 1, "read";
        /// Writes.
        WRITE = 2, "write";
        /// Sets.
        SET = 3, "set";
        /// Sorted sets.
        SORTEDSET = 4, "sortedset";
        /// Lists.
        LIST = 5, "list";
        /// Hashes.
        HASH = 6, "hash";
        /// Strings.
        STRING = 7, "string";
        /// Bitmaps.
        BITMAP = 8, "bitmap";
        /// HyperLogLog.
        HYPERLOGLOG = 9, "hyperloglog";
        /// Geo.
        GEO = 10, "geo";
        /// Streams.
        STREAM = 11, "stream";
        /// Publish and subscribe.
        PUBSUB = 12, "pubsub";
        /// For administrators.
        ADMIN = 13, "admin";
        /// Fast.
        FAST = 14, "fast";
        /// Slow.
        SLOW = 15, "slow";
        /// May block.
        BLOCKING = 16, "blocking";
        /// Dangerous.
        DANGEROUS = 17, "dangerous";
        /// The session.
        CONNECTION = 18, "connection";
        /// Transactions.
        TRANSACTION = 19, "transaction";
        /// Scripts.
        SCRIPTING = 20, "scripting";
    }
}

/// The group of COMMAND DOCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Keys of any type.
    Generic,
    /// Strings.
    String,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Hashes.
    Hash,
    /// Publish and subscribe.
    Pubsub,
    /// Transactions.
    Transactions,
    /// The session.
    Connection,
    /// The server.
    Server,
    /// Scripts and functions.
    Scripting,
    /// HyperLogLog.
    Hyperloglog,
    /// Cluster.
    Cluster,
    /// Geo.
    Geo,
    /// Streams.
    Stream,
    /// Bitmaps.
    Bitmap,
}

impl Group {
    /// The name in COMMAND DOCS and COMMAND LIST FILTERBY.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::Hyperloglog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
        }
    }
}

/// Which arguments of a request are channels that it publishes to or listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// The first.
    First,
    /// All.
    All,
    /// All, and they are patterns of names.
    Patterns,
}

impl Channels {
    /// Their places in a request of `argc` arguments.
    pub fn places(self, argc: usize) -> std::ops::Range<usize> {
        match self {
            Channels::None => 0..0,
            Channels::First => 1..argc.min(2),
            Channels::All | Channels::Patterns => 1..argc,
        }
    }
}

/// How a change is written to the log of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagate {
    /// The request as it came, when it changed something.
    Verbatim,
    /// What the handler says (`Ctx::rewrite`); verbatim when it says nothing but changed something.
    Rewritten,
    /// Nothing; such a command changes no key.
    Never,
}
