//! What one row of the table says about a directive: its names, kind and range, default, whether it may change while
//! the server runs, and which hook acts when it does. A row only declares; nothing here acts.

/// One directive.
pub struct Row {
    /// The name CONFIG REWRITE writes.
    pub name: &'static str,
    /// A second name that works everywhere the first does.
    pub alias: Option<&'static str>,
    /// What its values look like.
    pub kind: Kind,
    /// The value it starts with, as it would stand in a file after the name.
    pub default: &'static str,
    /// Start-only: CONFIG SET refuses it.
    pub immutable: bool,
    /// Its value is a secret: kept out of MONITOR, SLOWLOG and the log.
    pub sensitive: bool,
    /// CONFIG GET shows it only when asked by its exact name.
    pub hidden: bool,
    /// CONFIG SET needs `enable-protected-configs`.
    pub protected: bool,
    /// CONFIG SET refuses it while data is being loaded.
    pub deny_while_loading: bool,
    /// Its first name is ours. Redis knows it by its alias, if at all: patterns and CONFIG REWRITE use that and nothing
    /// else, so that tools and files go on working with Redis.
    pub ours: bool,
    /// Takes several words.
    pub many: bool,
    /// Its hook runs even when the value stays the same (a file it names may have changed).
    pub volatile: bool,
    /// Who acts on a change.
    pub hook: Hook,
    /// Whether the mechanism behind it exists.
    pub ready: Ready,
    /// A check beyond kind and range.
    pub check: Option<Check>,
}

/// A check of a text beyond its kind; the refusal is Redis' text.
pub type Check = fn(&[u8]) -> Result<(), &'static str>;

/// The form of a value.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A number between `min` and `max`. Where `max` passes 2^63 the value is unsigned.
    Num {
        /// Smallest value.
        min: i128,
        /// Largest value.
        max: i128,
        /// How it is written.
        unit: Unit,
    },
    /// One of some words, or for the rows with `many` a set of them.
    Choice,
    /// Any text.
    Text {
        /// Whether the empty text means "not set", so that CONFIG REWRITE leaves the line out.
        empty_is_unset: bool,
    },
    /// Several words with a meaning of their own (`save`, `bind`, ...).
    Special,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Decimal digits.
    Plain,
    /// Bytes, with a suffix: `k` is 1000, `kb` is 1024.
    Memory,
    /// Bytes, or a percentage, which is kept as a negative number.
    MemoryOrPercent,
    /// Octal digits.
    Octal,
}

/// Whether a directive's mechanism exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It acts.
    Yes,
    /// It tunes something that does not exist yet and cannot be turned on: kept and shown, without effect.
    Waits,
    /// Only its default, which means off, is accepted; the text says why.
    OffOnly(&'static str),
    /// Accepted, with this warning when it is not the empty value.
    Warns(&'static str),
}

/// The actions that follow a change. The rooms below only name them; whoever owns the sockets and threads runs them
/// (see [`crate::config::live::Apply`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The new value is simply read where it matters.
    None,
    /// Listen on the new `port`.
    Port,
    /// Listen on the new addresses of `bind`.
    Bind,
    /// Find room for `maxclients` sockets.
    Maxclients,
    /// Keep below the new `maxmemory`.
    Maxmemory,
    /// Enter the directory `dir` and keep its full path.
    Dir,
    /// Set the process title.
    ProcTitle,
    /// Tell the kernel `oom-score-adj`.
    OomScore,
    /// Give the user `default` the password `requirepass`.
    Requirepass,
}

/// The largest `long`.
pub const LONG: i128 = i64::MAX as i128;
/// The largest `int`.
pub const INT: i128 = i32::MAX as i128;
/// The smallest `int`.
pub const INT_MIN: i128 = i32::MIN as i128;
/// The largest `unsigned int`.
pub const UINT: i128 = u32::MAX as i128;
/// The largest `unsigned long long`.
pub const ULONG: i128 = u64::MAX as i128;

/// `yes` or `no`.
pub const fn flag(name: &'static str, default: &'static str) -> Row {
    Row::new(name, Kind::Bool, default)
}

/// A whole number.
pub const fn int(name: &'static str, min: i128, max: i128, default: &'static str) -> Row {
    Row::new(name, Kind::Num { min, max, unit: Unit::Plain }, default)
}

/// A number of bytes.
pub const fn memory(name: &'static str, min: i128, max: i128, default: &'static str) -> Row {
    Row::new(name, Kind::Num { min, max, unit: Unit::Memory }, default)
}

/// A number of bytes or a percentage.
pub const fn percent(name: &'static str, min: i128, max: i128, default: &'static str) -> Row {
    Row::new(name, Kind::Num { min, max, unit: Unit::MemoryOrPercent }, default)
}

/// A number in octal.
pub const fn octal(name: &'static str, min: i128, max: i128, default: &'static str) -> Row {
    Row::new(name, Kind::Num { min, max, unit: Unit::Octal }, default)
}

/// One of some words.
pub const fn choice(name: &'static str, default: &'static str) -> Row {
    Row::new(name, Kind::Choice, default)
}

/// A text that may be empty.
pub const fn text(name: &'static str, default: &'static str) -> Row {
    Row::new(name, Kind::Text { empty_is_unset: false }, default)
}

/// A text whose empty value means that it is not set.
pub const fn unset(name: &'static str) -> Row {
    Row::new(name, Kind::Text { empty_is_unset: true }, "")
}

/// Several words.
pub const fn special(name: &'static str, default: &'static str) -> Row {
    Row { many: true, ..Row::new(name, Kind::Special, default) }
}

impl Row {
    const fn new(name: &'static str, kind: Kind, default: &'static str) -> Row {
        Row {
            name,
            alias: None,
            kind,
            default,
            immutable: false,
            sensitive: false,
            hidden: false,
            protected: false,
            deny_while_loading: false,
            ours: false,
            many: false,
            volatile: false,
            hook: Hook::None,
            ready: Ready::Yes,
            check: None,
        }
    }

    /// Also known as `alias`.
    pub const fn alias(self, alias: &'static str) -> Row {
        Row { alias: Some(alias), ..self }
    }

    /// Set by file or command line only.
    pub const fn immutable(self) -> Row {
        Row { immutable: true, ..self }
    }

    /// A secret.
    pub const fn sensitive(self) -> Row {
        Row { sensitive: true, ..self }
    }

    /// Not listed by patterns.
    pub const fn hidden(self) -> Row {
        Row { hidden: true, ..self }
    }

    /// Guarded by `enable-protected-configs`.
    pub const fn protected(self) -> Row {
        Row { protected: true, ..self }
    }

    /// Not while loading.
    pub const fn deny_while_loading(self) -> Row {
        Row { deny_while_loading: true, ..self }
    }

    /// A name of ours for something that Redis calls by the alias, or does not have.
    pub const fn ours(self) -> Row {
        Row { ours: true, ..self }
    }

    /// Whether Redis knows it by any name.
    pub const fn is_known_to_redis(&self) -> bool {
        !self.ours || self.alias.is_some()
    }

    /// The name that Redis knows.
    pub const fn redis_name(&self) -> &'static str {
        match self.alias {
            Some(alias) if self.ours => alias,
            _ => self.name,
        }
    }

    /// A set of words.
    pub const fn many(self) -> Row {
        Row { many: true, ..self }
    }

    /// Applied again even when unchanged.
    pub const fn volatile(self) -> Row {
        Row { volatile: true, ..self }
    }

    /// Followed by `hook`.
    pub const fn hook(self, hook: Hook) -> Row {
        Row { hook, ..self }
    }

    /// Checked by `check`.
    pub const fn check(self, check: Check) -> Row {
        Row { check: Some(check), ..self }
    }

    /// Without effect until its mechanism exists.
    pub const fn waits(self) -> Row {
        Row { ready: Ready::Waits, ..self }
    }

    /// Accepted only at its default.
    pub const fn off_only(self, why: &'static str) -> Row {
        Row { ready: Ready::OffOnly(why), ..self }
    }

    /// Accepted with a warning.
    pub const fn warns(self, warning: &'static str) -> Row {
        Row { ready: Ready::Warns(warning), ..self }
    }
}
