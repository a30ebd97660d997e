//! The TTL family, and how every command reads an expiry time.
//!
//! Inside, a deadline is always Unix time in milliseconds; what is logged is always PEXPIREAT with that time, or DEL when
//! it has passed already, so that a replica or a file read later comes to the same end.

use super::Command;
use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use crate::base::bytes::folded;
use crate::base::num::{parse_i64, push_i64};
use crate::keyspace::Class;
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};

/// The family.
pub const COMMANDS: &[Command] = &[EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST];

const BASE: CommandSpec = CommandSpec { group: Group::Generic, categories: Categories::KEYSPACE, ..CommandSpec::BASE };

/// What the four commands that set a deadline share.
const SETS: CommandSpec = CommandSpec {
    arity: Arity::at_least(3),
    flags: Flags::WRITE.and(Flags::FAST),
    keys: Keys::one(1, Access::UPDATE),
    effect: Propagate::Rewritten,
    ..BASE
};

/// What the four commands that tell a deadline share.
const TELLS: CommandSpec = CommandSpec {
    arity: Arity::exactly(2),
    flags: Flags::READONLY.and(Flags::FAST).and(Flags::NO_TOUCH),
    keys: Keys::one(1, Access::READ),
    args: &[Arg::key("key")],
    ..BASE
};

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional()
.since("7.0.0");

const EXPIRE: Command = Command::new(
    |ctx| expire(ctx, Unit::Seconds, Base::Now, "expire"),
    CommandSpec {
        name: "EXPIRE",
        summary: "Gives a key a time to live in seconds.",
        history: &[("7.0.0", "Takes NX, XX, GT and LT.")],
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION],
        ..SETS
    },
);

const PEXPIRE: Command = Command::new(
    |ctx| expire(ctx, Unit::Milliseconds, Base::Now, "pexpire"),
    CommandSpec {
        name: "PEXPIRE",
        summary: "Gives a key a time to live in milliseconds.",
        since: "2.6.0",
        history: &[("7.0.0", "Takes NX, XX, GT and LT.")],
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION],
        ..SETS
    },
);

const EXPIREAT: Command = Command::new(
    |ctx| expire(ctx, Unit::Seconds, Base::Epoch, "expireat"),
    CommandSpec {
        name: "EXPIREAT",
        summary: "Lets a key expire at a Unix time in seconds.",
        since: "1.2.0",
        history: &[("7.0.0", "Takes NX, XX, GT and LT.")],
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION],
        ..SETS
    },
);

const PEXPIREAT: Command = Command::new(
    |ctx| expire(ctx, Unit::Milliseconds, Base::Epoch, "pexpireat"),
    CommandSpec {
        name: "PEXPIREAT",
        summary: "Lets a key expire at a Unix time in milliseconds.",
        since: "2.6.0",
        history: &[("7.0.0", "Takes NX, XX, GT and LT.")],
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION],
        ..SETS
    },
);

const TTL: Command = Command::new(
    |ctx| tell(ctx, |at, now_ms| (at.saturating_sub(now_ms) + 500) / 1000),
    CommandSpec {
        name: "TTL",
        summary: "Returns how many seconds a key has left.",
        history: &[("2.8.0", "Answers -2 for a missing key.")],
        tips: &["nondeterministic_output"],
        ..TELLS
    },
);

const PTTL: Command = Command::new(
    |ctx| tell(ctx, |at, now_ms| at.saturating_sub(now_ms)),
    CommandSpec {
        name: "PTTL",
        summary: "Returns how many milliseconds a key has left.",
        since: "2.6.0",
        history: &[("2.8.0", "Answers -2 for a missing key.")],
        tips: &["nondeterministic_output"],
        ..TELLS
    },
);

const EXPIRETIME: Command = Command::new(
    |ctx| tell(ctx, |at, _| at / 1000 + (at % 1000 + 500) / 1000),
    CommandSpec {
        name: "EXPIRETIME",
        summary: "Returns the Unix time in seconds at which a key expires.",
        since: "7.0.0",
        ..TELLS
    },
);

const PEXPIRETIME: Command = Command::new(
    |ctx| tell(ctx, |at, _| at),
    CommandSpec {
        name: "PEXPIRETIME",
        summary: "Returns the Unix time in milliseconds at which a key expires.",
        since: "7.0.0",
        ..TELLS
    },
);

const PERSIST: Command = Command::new(
    persist,
    CommandSpec {
        name: "PERSIST",
        summary: "Takes a key's deadline away.",
        since: "2.2.0",
        arity: Arity::exactly(2),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key")],
        ..BASE
    },
);

/// What a time is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What a time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Now.
    Now,
    /// 1970.
    Epoch,
}

/// Reads a time as EXPIRE takes it, negative included: Unix time in milliseconds, which may have passed. `command` is
/// the lower-case name for the error.
pub fn any_deadline(text: &[u8], unit: Unit, base: Base, now_ms: u64, command: &'static str) -> Result<i64> {
    let amount = parse_i64(text).ok_or(Error::NotInteger)?;
    let ms = match unit {
        Unit::Seconds => amount.checked_mul(1000),
        Unit::Milliseconds => Some(amount),
    };
    let at = match base {
        Base::Now => ms.and_then(|ms| ms.checked_add(now_ms as i64)),
        Base::Epoch => ms,
    };
    at.ok_or(Error::InvalidExpire(command))
}

/// Reads a time as SET's options take it: like [`any_deadline`], but it must be positive, as given and as it comes out.
pub fn positive_deadline(text: &[u8], unit: Unit, base: Base, now_ms: u64, command: &'static str) -> Result<u64> {
    if parse_i64(text).ok_or(Error::NotInteger)? <= 0 {
        return Err(Error::InvalidExpire(command));
    }
    let at = any_deadline(text, unit, base, now_ms, command)?;
    u64::try_from(at).ok().filter(|at| *at > 0).ok_or(Error::InvalidExpire(command))
}

/// Deletes or sets, as EXPIRE does with a deadline that may have passed: an effect in terms of absolute time is logged.
/// The key exists. Says whether it still does.
pub fn apply_deadline(ctx: &mut Ctx<'_, '_>, key: &[u8], at: i64, options: &[&[u8]]) -> bool {
    let passed = at <= ctx.now_ms() as i64;
    // What comes from the log is done as it was done there, or the clocks would decide.
    if passed && ctx.origin != Origin::Log {
        ctx.txn.delete(key);
        ctx.log_as(&[b"DEL", key]);
        return false;
    }
    ctx.txn.set_deadline(key, Some(at.max(0) as u64));
    let mut text = Vec::new();
    push_i64(&mut text, at);
    let effect: Vec<&[u8]> = [&b"PEXPIREAT"[..], key, &text].into_iter().chain(options.iter().copied()).collect();
    ctx.log_as(&effect);
    ctx.txn.event(Class::GENERIC, "expire", key);
    true
}

/// The conditions of EXPIRE.
#[derive(Clone, Copy, Default)]
struct Conditions {
    none: bool,
    some: bool,
    greater: bool,
    less: bool,
}

impl Conditions {
    fn parse(words: &[&[u8]]) -> Result<Conditions> {
        let mut conditions = Conditions::default();
        for word in words {
            match folded(word).as_slice() {
                b"nx" => conditions.none = true,
                b"xx" => conditions.some = true,
                b"gt" => conditions.greater = true,
                b"lt" => conditions.less = true,
                _ => return Err(Error::of(&[b"ERR Unsupported option ", word])),
            }
        }
        if conditions.none && (conditions.some || conditions.greater || conditions.less) {
            return Err(Error::Text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if conditions.greater && conditions.less {
            return Err(Error::Text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// May the deadline move from `old` to `at`? No deadline counts as one that never comes.
    fn hold(self, old: Option<u64>, at: i64) -> bool {
        let old = old.map(|old| old as i64);
        !(self.none && old.is_some()
            || self.some && old.is_none()
            || self.greater && old.is_none_or(|old| at <= old)
            || self.less && old.is_some_and(|old| at >= old))
    }
}

fn expire(ctx: &mut Ctx<'_, '_>, unit: Unit, base: Base, command: &'static str) -> Result {
    let argv = ctx.args.all();
    let (key, options) = (argv[1], ctx.args.rest(3));
    let conditions = Conditions::parse(options)?;
    let at = any_deadline(argv[2], unit, base, ctx.now_ms(), command)?;
    let old = ctx.txn.peek(key).map(|entry| entry.expiry());
    let done = old.is_some_and(|old| conditions.hold(old, at));
    if done {
        apply_deadline(ctx, key, at, options);
    }
    ctx.reply.int(done as i64);
    Ok(Outcome::Done)
}

/// Answers what `show` makes of deadline and now; -2 without a key, -1 without a deadline.
fn tell(ctx: &mut Ctx<'_, '_>, show: impl Fn(u64, u64) -> u64) -> Result {
    ctx.reply.int(match ctx.txn.deadline(&ctx.args[1]) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => show(at, ctx.txn.now_ms()) as i64,
    });
    Ok(Outcome::Done)
}

fn persist(ctx: &mut Ctx<'_, '_>) -> Result {
    let key = ctx.args.all()[1];
    let had = ctx.txn.peek(key).is_some_and(|entry| entry.expiry().is_some());
    if had {
        ctx.txn.set_deadline(key, None);
        ctx.txn.event(Class::GENERIC, "persist", key);
    }
    ctx.reply.int(had as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_deadlines() {
        let now = 1_700_000_000_000;
        let any = |text: &str, unit, base| any_deadline(text.as_bytes(), unit, base, now, "expire");
        assert_eq!(any("10", Unit::Seconds, Base::Now), Ok(now as i64 + 10_000));
        assert_eq!(any("-10", Unit::Milliseconds, Base::Now), Ok(now as i64 - 10));
        assert_eq!(any("10", Unit::Seconds, Base::Epoch), Ok(10_000));
        assert_eq!(any("9223372036854775807", Unit::Milliseconds, Base::Epoch), Ok(i64::MAX));
        assert_eq!(any("9223372036854775807", Unit::Milliseconds, Base::Now), Err(Error::InvalidExpire("expire")));
        assert_eq!(any("9223372036854776", Unit::Seconds, Base::Epoch), Err(Error::InvalidExpire("expire")));
        assert_eq!(any("x", Unit::Seconds, Base::Now), Err(Error::NotInteger));
        let positive = |text: &str| positive_deadline(text.as_bytes(), Unit::Seconds, Base::Now, now, "set");
        assert_eq!(positive("1"), Ok(now + 1000));
        assert_eq!(positive("0"), Err(Error::InvalidExpire("set")));
        assert_eq!(positive("-1"), Err(Error::InvalidExpire("set")));
    }

    #[test]
    fn conditions_take_no_deadline_for_never() {
        let holds = |words: &str, old, at| {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            Conditions::parse(&words).map(|conditions| conditions.hold(old, at))
        };
        for (words, old, at, want) in [
            ("nx", None, 5, true),
            ("nx", Some(5), 6, false),
            ("xx", None, 5, false),
            ("xx", Some(5), 4, true),
            ("gt", None, 5, false),
            ("gt", Some(5), 6, true),
            ("gt", Some(5), 5, false),
            ("lt", None, 5, true),
            ("lt", Some(5), 4, true),
            ("LT", Some(5), 5, false),
            ("xx lt", None, 5, false),
        ] {
            assert_eq!(holds(words, old, at), Ok(want), "{words} from {old:?} to {at}");
        }
        assert!(holds("gt lt", None, 0).is_err() && holds("nx gt", None, 0).is_err() && holds("up", None, 0).is_err());
    }
}
