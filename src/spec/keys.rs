//! Where the keys of a request are.

use smallvec::SmallVec;
use std::num::NonZero;

/// What a command does with a key: the flags of COMMAND's key specs and what ACL's `%R` and `%W` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(pub u16);

impl Access {
    const RW_BIT: u16 = 1;
    const RO_BIT: u16 = 2;
    const OW_BIT: u16 = 4;
    const RM_BIT: u16 = 8;
    const ACCESS_BIT: u16 = 16;
    const UPDATE_BIT: u16 = 32;
    const INSERT_BIT: u16 = 64;
    const DELETE_BIT: u16 = 128;
    const NOT_KEY_BIT: u16 = 256;
    const INCOMPLETE_BIT: u16 = 512;
    const VARIABLE_BIT: u16 = 1024;

    /// `RO ACCESS`: the value is read and returned or used.
    pub const READ: Access = Access(Self::RO_BIT | Self::ACCESS_BIT);
    /// `RO`: only metadata of the key is read (TYPE, TTL, EXISTS).
    pub const META: Access = Access(Self::RO_BIT);
    /// `OW UPDATE`: overwritten without being read.
    pub const OVERWRITE: Access = Access(Self::OW_BIT | Self::UPDATE_BIT);
    /// `OW INSERT`.
    pub const CREATE: Access = Access(Self::OW_BIT | Self::INSERT_BIT);
    /// `RW UPDATE`: changed.
    pub const UPDATE: Access = Access(Self::RW_BIT | Self::UPDATE_BIT);
    /// `RW ACCESS UPDATE`: changed, and its old content is returned.
    pub const READ_UPDATE: Access = Access(Self::RW_BIT | Self::ACCESS_BIT | Self::UPDATE_BIT);
    /// `RW ACCESS`: read, and what was computed from it may be kept in it.
    pub const READ_KEEP: Access = Access(Self::RW_BIT | Self::ACCESS_BIT);
    /// `RW ACCESS INSERT`: read, and something is added.
    pub const READ_INSERT: Access = Access(Self::RW_BIT | Self::ACCESS_BIT | Self::INSERT_BIT);
    /// `RW INSERT`: something is added.
    pub const INSERT: Access = Access(Self::RW_BIT | Self::INSERT_BIT);
    /// `RW DELETE`: something in it is deleted.
    pub const DELETE: Access = Access(Self::RW_BIT | Self::DELETE_BIT);
    /// `RW ACCESS DELETE`: content is returned and deleted.
    pub const READ_DELETE: Access = Access(Self::RW_BIT | Self::ACCESS_BIT | Self::DELETE_BIT);
    /// `RM DELETE`: the key itself is deleted.
    pub const REMOVE: Access = Access(Self::RM_BIT | Self::DELETE_BIT);
    /// `NOT_KEY`: a shard channel, which has a slot but is no key.
    pub const CHANNEL: Access = Access(Self::NOT_KEY_BIT);
    /// With `INCOMPLETE`: further keys cannot be seen in the arguments.
    pub const fn incomplete(self) -> Access {
        Access(self.0 | Self::INCOMPLETE_BIT)
    }
    /// With `VARIABLE_FLAGS`: what is done depends on the arguments.
    pub const fn variable(self) -> Access {
        Access(self.0 | Self::VARIABLE_BIT)
    }

    /// The key's content is read or returned.
    pub const fn reads(self) -> bool {
        self.0 & (Self::ACCESS_BIT) != 0
    }
    /// The key is changed.
    pub const fn writes(self) -> bool {
        self.0 & (Self::UPDATE_BIT | Self::INSERT_BIT | Self::DELETE_BIT) != 0
    }
    /// No key at all.
    pub const fn is_channel(self) -> bool {
        self.0 & Self::NOT_KEY_BIT != 0
    }
    /// The wire names of the flags, in COMMAND's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [&str; 11] =
            ["RW", "RO", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags"];
        NAMES.into_iter().enumerate().filter(move |(i, _)| self.0 & (1 << i) != 0).map(|(_, n)| n)
    }
}

/// How one key spec finds its first key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(u8),
    /// After this word, searched from argument `from` (negative: from the end backwards).
    Keyword(&'static str, i8),
    /// Not to be told from the arguments.
    Unknown,
}

/// How one key spec goes on from its first key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// To argument `last` (negative: from the end, relative to the whole request), every `step`-th; a `limit` of 2
    /// means half of the rest (as XREAD has it), 0 or 1 no limit. `last` counts from the first key, as in Redis.
    Range {
        /// Last key, relative to the first; -1 is the last argument, -2 the one before.
        last: i16,
        /// Distance of two keys.
        step: u8,
        /// Divisor of what is left when `last` is -1.
        limit: u8,
    },
    /// A number of keys stands at `index`, the first key at `first`, both relative to the spec's begin.
    Numkeys {
        /// Where the count stands, relative to begin.
        index: u8,
        /// Where the first key stands, relative to begin.
        first: u8,
        /// Distance of two keys.
        step: u8,
    },
    /// Not to be told from the arguments.
    Unknown,
}

/// One key spec, as COMMAND INFO shows it.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is done with the keys.
    pub access: Access,
    /// How the first is found.
    pub begin: Begin,
    /// How the rest is found.
    pub find: Find,
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn one(index: u8, access: Access) -> KeySpec {
        KeySpec::range(index, 0, 1, access)
    }
    /// Keys from argument `first` to `last` (relative to first; negative: from the end) every `step`.
    pub const fn range(first: u8, last: i16, step: u8, access: Access) -> KeySpec {
        KeySpec { access, begin: Begin::Index(first), find: Find::Range { last, step, limit: 0 } }
    }
    /// A count at argument `index`, keys right after it.
    pub const fn numkeys(index: u8, access: Access) -> KeySpec {
        KeySpec { access, begin: Begin::Index(index), find: Find::Numkeys { index: 0, first: 1, step: 1 } }
    }
    /// After a word.
    pub const fn keyword(word: &'static str, from: i8, find: Find, access: Access) -> KeySpec {
        KeySpec { access, begin: Begin::Keyword(word, from), find }
    }
    /// Not to be told from the arguments.
    pub const fn unknown(access: Access) -> KeySpec {
        KeySpec { access, begin: Begin::Unknown, find: Find::Unknown }
    }
}

/// Which arguments of a request are keys, with what is done to each. At most as many as there are arguments.
pub type Found = SmallVec<[(usize, Access); 4]>;

/// The request's keys cannot be found: a count is no number, or is larger than the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKeys;

/// A command's keys.
#[derive(Clone, Copy)]
pub enum Keys {
    /// None.
    None,
    /// One, at this argument: the fast path.
    One(u8, Access),
    /// One, at this argument. What COMMAND shows is done with it, and what is done with it by a given request.
    Depends(u8, Access, fn(&[&[u8]]) -> Access),
    /// Found by key specs.
    Specs(&'static [KeySpec]),
    /// Found by a function; the specs are what COMMAND shows.
    By(fn(&[&[u8]]) -> Result<Found, BadKeys>, &'static [KeySpec]),
    /// The whole keyspace: all shards are held.
    All,
    /// The whole keyspace, as the values of some keys name others (SORT); what can be told from the arguments is found
    /// by a function, and the specs are what COMMAND shows.
    AllShowing(fn(&[&[u8]]) -> Result<Found, BadKeys>, &'static [KeySpec]),
    /// Any key, one shard after another: the command takes shards itself when it runs alone, and finds all held within
    /// MULTI.
    Walk,
}

impl Keys {
    /// One key at argument `index`.
    pub const fn one(index: u8, access: Access) -> Keys {
        Keys::One(index, access)
    }

    /// Where the key of a command that takes one key at a fixed place stands, if a request of `argc` arguments has it:
    /// it may be optional (MEMORY, OBJECT HELP).
    #[inline(always)]
    pub const fn lone_in(&self, argc: usize) -> Option<usize> {
        let (Keys::One(index, _) | Keys::Depends(index, ..)) = *self else { return None };
        if argc > index as usize { Some(index as usize) } else { None }
    }

    /// Where the first key stands, if its place is always the same and there is one; else 1, where most commands have it.
    pub const fn first_at(&self) -> NonZero<u32> {
        let at = match *self {
            Keys::One(index, _) | Keys::Depends(index, ..) => index as u32,
            Keys::Specs([KeySpec { begin: Begin::Index(index), find, .. }, ..]) => match *find {
                Find::Numkeys { first, .. } => *index as u32 + first as u32,
                _ => *index as u32,
            },
            _ => 1,
        };
        NonZero::<u32>::MIN.saturating_add(at.saturating_sub(1))
    }

    /// Whether the command itself holds every shard.
    pub const fn holds_all(&self) -> bool {
        matches!(self, Keys::All | Keys::AllShowing(..))
    }

    /// Whether a transaction with this command in it holds every shard.
    pub const fn is_wide(&self) -> bool {
        self.holds_all() || matches!(self, Keys::Walk)
    }

    /// The key specs, for COMMAND.
    pub fn specs(&self) -> SmallVec<[KeySpec; 4]> {
        match *self {
            Keys::None | Keys::All | Keys::Walk => SmallVec::new(),
            Keys::One(i, a) | Keys::Depends(i, a, _) => SmallVec::from_slice(&[KeySpec::one(i, a)]),
            Keys::Specs(s) | Keys::By(_, s) | Keys::AllShowing(_, s) => SmallVec::from_slice(s),
        }
    }

    /// The keys of a request whose arity has been checked.
    pub fn find(&self, argv: &[&[u8]]) -> Result<Found, BadKeys> {
        match *self {
            Keys::None | Keys::All | Keys::Walk => Ok(Found::new()),
            Keys::One(i, a) => Ok(one(i, argv, |_| a)),
            Keys::Depends(i, _, access) => Ok(one(i, argv, access)),
            Keys::By(f, _) | Keys::AllShowing(f, _) => f(argv),
            Keys::Specs(specs) => {
                let mut found = Found::new();
                for spec in specs {
                    find_one(spec, argv, &mut found)?;
                }
                Ok(found)
            }
        }
    }
}

/// The key at argument `index`, if there is such an argument.
fn one(index: u8, argv: &[&[u8]], access: impl Fn(&[&[u8]]) -> Access) -> Found {
    let index = index as usize;
    if index < argv.len() { Found::from_slice(&[(index, access(argv))]) } else { Found::new() }
}

/// Finds the keys of one spec, adding them to `found`.
pub fn find_one(spec: &KeySpec, argv: &[&[u8]], found: &mut Found) -> Result<(), BadKeys> {
    let first = match spec.begin {
        Begin::Index(i) => i as usize,
        Begin::Keyword(word, from) => match keyword_at(word, from, argv) {
            Some(at) => at + 1,
            None => return Ok(()),
        },
        Begin::Unknown => return Ok(()),
    };
    match spec.find {
        Find::Range { last, step, limit } => {
            let end = if last >= 0 {
                first + last as usize
            } else if limit > 1 && last == -1 {
                let rest = argv.len().saturating_sub(first);
                if rest == 0 {
                    return Ok(());
                }
                first + (rest / limit as usize).max(1) - 1
            } else {
                match argv.len().checked_sub(-last as usize) {
                    Some(end) => end,
                    None => return Err(BadKeys),
                }
            };
            if first >= argv.len() {
                return Ok(());
            }
            let mut at = first;
            while at <= end {
                if at >= argv.len() {
                    return Err(BadKeys);
                }
                found.push((at, spec.access));
                at += step.max(1) as usize;
            }
            Ok(())
        }
        Find::Numkeys { index, first: offset, step } => {
            let text = argv.get(first + index as usize).ok_or(BadKeys)?;
            let start = first + offset as usize;
            let step = step.max(1) as usize;
            let fits =
                |count: &usize| *count == 0 || start.saturating_add((count - 1).saturating_mul(step)) < argv.len();
            let count = parse_count(text).filter(fits);
            let count = count.or_else(|| leading_count(text).filter(fits)).ok_or(BadKeys)?;
            for k in 0..count {
                found.push((start + k * step, spec.access));
            }
            Ok(())
        }
        Find::Unknown => Ok(()),
    }
}

/// A count that is not spelt as it should be, as the original reads it (`atoi`): it knows the keys of a request that will
/// be refused. None at all is no count.
fn leading_count(text: &[u8]) -> Option<usize> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let count = digits.fold(0_i64, |count, digit| count.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    let count = if negative { -count } else { count } as i32;
    usize::try_from(count).ok().filter(|count| *count > 0)
}

fn parse_count(text: &[u8]) -> Option<usize> {
    let (first, rest) = text.split_first()?;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    let count = rest.iter().try_fold(digit(first)?, |count, byte| count.checked_mul(10)?.checked_add(digit(byte)?))?;
    Some(count as usize)
}

fn keyword_at(word: &str, from: i8, argv: &[&[u8]]) -> Option<usize> {
    let matches = |at: &usize| argv[*at].eq_ignore_ascii_case(word.as_bytes());
    if from >= 0 {
        (from as usize..argv.len()).find(matches)
    } else {
        let start = argv.len().checked_sub(-(from as i16) as usize)?;
        (1..=start).rev().find(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(k: Keys, line: &str) -> Result<Vec<usize>, BadKeys> {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        Ok(k.find(&argv)?.into_iter().map(|(i, _)| i).collect())
    }

    #[test]
    fn the_first_key_stands_at_a_place_of_its_own() {
        const EVAL: Keys = Keys::Specs(&[KeySpec::numkeys(2, Access::READ_UPDATE)]);
        assert_eq!(EVAL.first_at().get(), 3);
        assert_eq!(Keys::one(2, Access::READ).first_at().get(), 2);
        const MSET: Keys = Keys::Specs(&[KeySpec::range(1, -1, 2, Access::OVERWRITE)]);
        assert_eq!(MSET.first_at().get(), 1);
        assert_eq!(Keys::None.first_at().get(), 1);
    }

    #[test]
    fn keys_stand_where_the_specs_say() {
        const MSET: Keys = Keys::Specs(&[KeySpec::range(1, -1, 2, Access::OVERWRITE)]);
        const DEL: Keys = Keys::Specs(&[KeySpec::range(1, -1, 1, Access::REMOVE)]);
        const BLPOP: Keys = Keys::Specs(&[KeySpec::range(1, -2, 1, Access::READ_DELETE)]);
        const EVAL: Keys = Keys::Specs(&[KeySpec::numkeys(2, Access::READ_UPDATE)]);
        const XREAD: Keys =
            Keys::Specs(&[KeySpec::keyword("STREAMS", 1, Find::Range { last: -1, step: 1, limit: 2 }, Access::READ)]);
        let cases: &[(Keys, &str, Result<Vec<usize>, BadKeys>)] = &[
            (Keys::one(1, Access::READ), "GET a", Ok(vec![1])),
            (MSET, "MSET a 1 b 2", Ok(vec![1, 3])),
            (DEL, "DEL a b c", Ok(vec![1, 2, 3])),
            (BLPOP, "BLPOP a b 0", Ok(vec![1, 2])),
            (EVAL, "EVAL s 2 a b c", Ok(vec![3, 4])),
            (EVAL, "EVAL s 3 a b", Err(BadKeys)),
            (EVAL, "EVAL s x a b", Err(BadKeys)),
            (EVAL, "EVAL s -1 a b", Err(BadKeys)),
            (EVAL, "EVAL s 4294967295 a b", Err(BadKeys)),
            (XREAD, "XREAD COUNT 1 STREAMS a b 0 0", Ok(vec![4, 5])),
        ];
        for (k, line, want) in cases {
            assert_eq!(&keys(*k, line), want, "{line}");
        }
    }
}
