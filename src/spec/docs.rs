//! Argument trees for COMMAND DOCS.

/// The kind of one argument, with the wire name of [`ArgKind::name`].
#[derive(Clone, Copy, Debug)]
pub enum ArgKind {
    /// A string.
    String,
    /// An integer.
    Integer,
    /// A double.
    Double,
    /// A key, described by the key spec of this index.
    Key(u8),
    /// A glob pattern.
    Pattern,
    /// A pattern of keys, described by the key spec of this index.
    KeyPattern(u8),
    /// Unix time in seconds or milliseconds.
    UnixTime,
    /// A literal word, its token.
    PureToken,
    /// One of the nested arguments.
    OneOf(&'static [Arg]),
    /// All of the nested arguments, in order.
    Block(&'static [Arg]),
}

impl ArgKind {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key(_) => "key",
            ArgKind::Pattern | ArgKind::KeyPattern(_) => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf(_) => "oneof",
            ArgKind::Block(_) => "block",
        }
    }
}

/// One node of an argument tree.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// The argument's name.
    pub name: &'static str,
    /// Its kind.
    pub kind: ArgKind,
    /// What stands for it in a line of syntax, or `""`: its name does.
    pub shown: &'static str,
    /// The literal word before it, or `""`.
    pub token: &'static str,
    /// The Redis version that introduced it, or `""`.
    pub since: &'static str,
    /// The Redis version from which on it should not be used any more, or `""`.
    pub deprecated: &'static str,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// The token is repeated too.
    pub multiple_token: bool,
}

impl Arg {
    const fn new(name: &'static str, kind: ArgKind) -> Arg {
        let (shown, token, since, deprecated) = ("", "", "", "");
        Arg { name, kind, shown, token, since, deprecated, optional: false, multiple: false, multiple_token: false }
    }
    /// A key of the first key spec.
    pub const fn key(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Key(0))
    }
    /// A key of the key spec `spec`.
    pub const fn key_of(name: &'static str, spec: u8) -> Arg {
        Arg::new(name, ArgKind::Key(spec))
    }
    /// A string.
    pub const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }
    /// An integer.
    pub const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Integer)
    }
    /// A double.
    pub const fn double(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Double)
    }
    /// A pattern.
    pub const fn pattern(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Pattern)
    }
    /// A pattern of the keys of the key spec `spec`.
    pub const fn pattern_of(name: &'static str, spec: u8) -> Arg {
        Arg::new(name, ArgKind::KeyPattern(spec))
    }
    /// A time.
    pub const fn unix_time(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::UnixTime)
    }
    /// A literal word.
    pub const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg::new(name, ArgKind::PureToken).token(token)
    }
    /// One of several.
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg::new(name, ArgKind::OneOf(args))
    }
    /// Several in order.
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg::new(name, ArgKind::Block(args))
    }
    /// With another text than its name in a line of syntax.
    pub const fn shown(mut self, text: &'static str) -> Arg {
        self.shown = text;
        self
    }
    /// With a literal word before it.
    pub const fn token(mut self, token: &'static str) -> Arg {
        self.token = token;
        self
    }
    /// That may be left out.
    pub const fn optional(mut self) -> Arg {
        self.optional = true;
        self
    }
    /// That may be repeated.
    pub const fn multiple(mut self) -> Arg {
        self.multiple = true;
        self
    }
    /// That may be repeated with its token.
    pub const fn multiple_token(mut self) -> Arg {
        self.multiple = true;
        self.multiple_token = true;
        self
    }
    /// That came with this Redis version.
    pub const fn since(mut self, version: &'static str) -> Arg {
        self.since = version;
        self
    }
    /// Not to be used from this Redis version on.
    pub const fn deprecated(mut self, version: &'static str) -> Arg {
        self.deprecated = version;
        self
    }
}
