//! What happened to which key: the events that leave a transaction.
//!
//! A [`Class`] has the bit values of Redis' notification flags, so that a `notify-keyspace-events` value can be
//! compared with it directly.

/// A set of notification classes; the bits are those of Redis (`K` = 1, `E` = 2, `g` = 4 and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Class(pub u32);

impl Class {
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Class = Class(1);
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Class = Class(2);
    /// `g`: DEL, EXPIRE, RENAME and other commands on keys of any type.
    pub const GENERIC: Class = Class(4);
    /// `$`: strings.
    pub const STRING: Class = Class(8);
    /// `l`: lists.
    pub const LIST: Class = Class(16);
    /// `s`: sets.
    pub const SET: Class = Class(32);
    /// `h`: hashes.
    pub const HASH: Class = Class(64);
    /// `z`: sorted sets.
    pub const ZSET: Class = Class(128);
    /// `x`: expired.
    pub const EXPIRED: Class = Class(256);
    /// `e`: evicted.
    pub const EVICTED: Class = Class(512);
    /// `t`: streams.
    pub const STREAM: Class = Class(1024);
    /// `m`: a read of a missing key.
    pub const KEY_MISS: Class = Class(2048);
    /// `n`: a new key.
    pub const NEW: Class = Class(16384);

    /// Whether any of `other` is in it.
    #[inline]
    pub const fn any(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }
}

/// One keyspace event, to be published by `engine::commit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Database number.
    pub db: u32,
    /// Its class.
    pub class: Class,
    /// Its name, such as `lpush`.
    pub name: &'static str,
    /// The key.
    pub key: Box<[u8]>,
}

/// A key that went away without a command saying so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Database number.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// Why.
    pub why: Why,
}

/// Why a key (or fields of a hash) went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its deadline passed.
    Expired,
    /// Memory was needed.
    Evicted,
    /// The deadlines of these fields passed; the key itself may live on.
    Fields(Vec<Vec<u8>>),
}

/// A key that changed, in whatever database: client-side caches know none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modified {
    /// The key.
    pub key: Box<[u8]>,
    /// A command changed it; otherwise it expired or was evicted.
    pub by_command: bool,
    /// Those who had read it have been told already, before somebody read it again in the same unit.
    pub told: bool,
}

/// Everything a transaction leaves behind for `engine::commit`.
#[derive(Debug, Default)]
pub struct Changes {
    /// Events, in order; recorded only for the classes that somebody listens to.
    pub events: Vec<Event>,
    /// Keys changed, for client-side caching; recorded only while somebody tracks.
    pub modified: Vec<Modified>,
    /// A database was emptied, for client-side caching; recorded only while somebody tracks.
    pub flushed: bool,
    /// Keys that expired or were evicted, for the log; recorded only while somebody reads the log.
    pub gone: Vec<Gone>,
    /// Keys that somebody waits for and that changed.
    pub ready: Vec<(u32, Box<[u8]>)>,
}
