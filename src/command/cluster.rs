//! CLUSTER, ASKING, READONLY and READWRITE: cluster mode is off, and they say so.

use super::Command;
use super::ctx::{Ctx, Result};
use super::error::Error;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group};

/// The family.
pub const COMMANDS: &[Command] = &[CLUSTER, ASKING, READONLY, READWRITE];

const BASE: CommandSpec = CommandSpec { group: Group::Cluster, ..CommandSpec::BASE };

const CLUSTER: Command = Command::container(
    CommandSpec {
        name: "CLUSTER",
        summary: "A container for cluster commands.",
        since: "3.0.0",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        ..BASE
    },
    &[
        off(CommandSpec { complexity: OF_SLOTS, args: SLOTS, ..change("ADDSLOTS", -3, "3.0.0") }),
        off(CommandSpec { complexity: OF_SLOTS, args: RANGES, ..change("ADDSLOTSRANGE", -4, "7.0.0") }),
        off(CommandSpec { tips: VARIES, ..change("BUMPEPOCH", 2, "3.0.0") }),
        off(CommandSpec {
            complexity: "O(N) in the reports",
            args: NODE,
            tips: VARIES,
            ..admin("COUNT-FAILURE-REPORTS", 3, "3.0.0")
        }),
        off(CommandSpec { args: &[Arg::integer("slot")], ..row("COUNTKEYSINSLOT", 3, "3.0.0") }),
        off(CommandSpec { complexity: OF_SLOTS, args: SLOTS, ..change("DELSLOTS", -3, "3.0.0") }),
        off(CommandSpec { complexity: OF_SLOTS, args: RANGES, ..change("DELSLOTSRANGE", -4, "7.0.0") }),
        off(CommandSpec {
            args: &[
                Arg::one_of("options", &[Arg::word("force", "FORCE"), Arg::word("takeover", "TAKEOVER")]).optional()
            ],
            ..change("FAILOVER", -2, "3.0.0")
        }),
        off(change("FLUSHSLOTS", 2, "3.0.0")),
        off(CommandSpec { args: NODE, ..change("FORGET", 3, "3.0.0") }),
        off(CommandSpec {
            complexity: "O(N) in the keys asked for",
            args: &[Arg::integer("slot"), Arg::integer("count")],
            tips: VARIES,
            ..row("GETKEYSINSLOT", 4, "3.0.0")
        }),
        off(CommandSpec { flags: LOADING, ..row("HELP", 2, "5.0.0") }),
        off(CommandSpec { tips: VARIES, ..row("INFO", 2, "3.0.0") }),
        off(CommandSpec {
            complexity: "O(N) in the bytes of the key",
            args: &[Arg::string("key")],
            ..row("KEYSLOT", 3, "3.0.0")
        }),
        off(CommandSpec { complexity: OF_NODES, tips: VARIES, ..row("LINKS", 2, "7.0.0") }),
        off(CommandSpec {
            history: &[("4.0.0", "Takes the port of the cluster bus.")],
            args: &[
                Arg::string("ip"),
                Arg::integer("port"),
                Arg::integer("cluster-bus-port").optional().since("4.0.0"),
            ],
            ..change("MEET", -4, "3.0.0")
        }),
        off(row("MYID", 2, "3.0.0")),
        off(CommandSpec { tips: VARIES, ..row("MYSHARDID", 2, "7.2.0") }),
        off(CommandSpec { complexity: OF_NODES, tips: VARIES, ..row("NODES", 2, "3.0.0") }),
        off(replicas("REPLICAS", "5.0.0")),
        off(CommandSpec { args: NODE, ..change("REPLICATE", 3, "3.0.0") }),
        off(CommandSpec {
            complexity: OF_NODES,
            flags: ADMIN.and(Flags::NOSCRIPT),
            args: &[Arg::one_of("reset-type", &[Arg::word("hard", "HARD"), Arg::word("soft", "SOFT")]).optional()],
            ..row("RESET", -2, "3.0.0")
        }),
        off(change("SAVECONFIG", 2, "3.0.0")),
        off(CommandSpec { args: &[Arg::integer("config-epoch")], ..change("SET-CONFIG-EPOCH", 3, "3.0.0") }),
        off(CommandSpec {
            args: &[
                Arg::integer("slot"),
                Arg::one_of(
                    "subcommand",
                    &[
                        Arg::string("importing").shown("node-id").token("IMPORTING"),
                        Arg::string("migrating").shown("node-id").token("MIGRATING"),
                        Arg::string("node").shown("node-id").token("NODE"),
                        Arg::word("stable", "STABLE"),
                    ],
                ),
            ],
            ..change("SETSLOT", -4, "3.0.0")
        }),
        off(CommandSpec { complexity: OF_NODES, flags: LOADING, tips: VARIES, ..row("SHARDS", 2, "7.0.0") }),
        off(CommandSpec { deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")), ..replicas("SLAVES", "3.0.0") }),
        off(CommandSpec {
            deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
            history: &[("4.0.0", "Tells ids of nodes."), ("7.0.0", "Tells other addresses of nodes.")],
            complexity: OF_NODES,
            flags: LOADING,
            tips: VARIES,
            ..row("SLOTS", 2, "3.0.0")
        }),
    ],
);

const OF_SLOTS: &str = "O(N) in the slots named";
const OF_NODES: &str = "O(N) in the nodes";
const VARIES: &[&str] = &["nondeterministic_output"];
const SLOTS: &[Arg] = &[Arg::integer("slot").multiple()];
const RANGES: &[Arg] = &[Arg::block("range", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).multiple()];
const NODE: &[Arg] = &[Arg::string("node-id")];
const LOADING: Flags = Flags::STALE.and(Flags::LOADING);
const ADMIN: Flags = Flags::STALE.and(Flags::ADMIN);

/// What says that cluster support is disabled.
const fn off(spec: CommandSpec) -> Command {
    Command::new(cluster_disabled, spec)
}

/// A subcommand of CLUSTER.
const fn row(name: &'static str, arity: i16, since: &'static str) -> CommandSpec {
    CommandSpec {
        name,
        since,
        arity: Arity(arity),
        summary: "Part of cluster mode, which is off.",
        flags: Flags::STALE,
        ..BASE
    }
}

/// One that only an administrator should use.
const fn admin(name: &'static str, arity: i16, since: &'static str) -> CommandSpec {
    CommandSpec { flags: ADMIN, ..row(name, arity, since) }
}

/// One that would change the cluster.
const fn change(name: &'static str, arity: i16, since: &'static str) -> CommandSpec {
    CommandSpec { flags: ADMIN.and(Flags::NO_ASYNC_LOADING), ..row(name, arity, since) }
}

/// REPLICAS and its old name.
const fn replicas(name: &'static str, since: &'static str) -> CommandSpec {
    CommandSpec { complexity: "O(N) in the replicas", args: NODE, tips: VARIES, ..admin(name, 3, since) }
}

const ASKING: Command = off(CommandSpec {
    name: "ASKING",
    summary: "The next command may use a slot that is being imported.",
    since: "3.0.0",
    arity: Arity::exactly(1),
    flags: Flags::FAST,
    categories: Categories::CONNECTION,
    ..BASE
});

const READONLY: Command = off(CommandSpec {
    name: "READONLY",
    summary: "Reads from a replica of the cluster.",
    flags: LOADING.and(Flags::FAST),
    ..ASKING.spec
});

const READWRITE: Command = off(CommandSpec { name: "READWRITE", summary: "Ends READONLY.", ..READONLY.spec });

fn cluster_disabled(_: &mut Ctx<'_, '_>) -> Result {
    Err(Error::Text("ERR This instance has cluster support disabled"))
}
