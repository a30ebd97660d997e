//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. The engine runs them (`engine/multi.rs`); here are their rows.

use super::{Command, EngineOp};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys};

/// The family.
pub const COMMANDS: &[Command] = &[MULTI, EXEC, DISCARD, WATCH, UNWATCH];

const BASE: CommandSpec = CommandSpec {
    group: Group::Transactions,
    categories: Categories::TRANSACTION,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
    ..CommandSpec::BASE
};

const MULTI: Command = Command::engine(
    EngineOp::Multi,
    CommandSpec {
        name: "MULTI",
        summary: "Begins a transaction: the commands that follow are queued.",
        since: "1.2.0",
        ..BASE
    },
);

const EXEC: Command = Command::engine(
    EngineOp::Exec,
    CommandSpec {
        name: "EXEC",
        summary: "Runs the queued commands as one.",
        since: "1.2.0",
        complexity: "That of the commands queued",
        flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SKIP_SLOWLOG),
        ..BASE
    },
);

const DISCARD: Command = Command::engine(
    EngineOp::Discard,
    CommandSpec {
        name: "DISCARD",
        summary: "Drops the queued commands.",
        since: "2.0.0",
        complexity: "O(N) in the commands queued",
        ..BASE
    },
);

const WATCH: Command = Command::engine(
    EngineOp::Watch,
    CommandSpec {
        name: "WATCH",
        summary: "Lets the next EXEC run only if these keys have not changed.",
        since: "2.2.0",
        complexity: "O(1) for each key",
        arity: Arity::at_least(2),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::META)]),
        args: &[Arg::key("key").multiple()],
        ..BASE
    },
);

const UNWATCH: Command = Command::engine(
    EngineOp::Unwatch,
    CommandSpec { name: "UNWATCH", summary: "Forgets all watched keys.", since: "2.2.0", ..BASE },
);
