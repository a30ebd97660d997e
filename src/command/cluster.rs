//! CLUSTER, ASKING, READONLY and READWRITE: cluster mode is off, and they say so.

use super::Command;
use super::ctx::{Ctx, Result};
use super::error::Error;
use crate::spec::{Arity, Categories, CommandSpec, Flags, Group};

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
        Command::new(cluster_disabled, cluster_change("ADDSLOTS", -3, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("ADDSLOTSRANGE", -4, "7.0.0")),
        Command::new(cluster_disabled, cluster_change("BUMPEPOCH", 2, "3.0.0")),
        Command::new(cluster_disabled, cluster_admin("COUNT-FAILURE-REPORTS", 3, "3.0.0")),
        Command::new(cluster_disabled, cluster("COUNTKEYSINSLOT", 3, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("DELSLOTS", -3, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("DELSLOTSRANGE", -4, "7.0.0")),
        Command::new(cluster_disabled, cluster_change("FAILOVER", -2, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("FLUSHSLOTS", 2, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("FORGET", 3, "3.0.0")),
        Command::new(cluster_disabled, cluster("GETKEYSINSLOT", 4, "3.0.0")),
        Command::new(
            cluster_disabled,
            CommandSpec { flags: Flags::STALE.and(Flags::LOADING), ..cluster("HELP", 2, "5.0.0") },
        ),
        Command::new(cluster_disabled, cluster("INFO", 2, "3.0.0")),
        Command::new(cluster_disabled, cluster("KEYSLOT", 3, "3.0.0")),
        Command::new(cluster_disabled, cluster("LINKS", 2, "7.0.0")),
        Command::new(cluster_disabled, cluster_change("MEET", -4, "3.0.0")),
        Command::new(cluster_disabled, cluster("MYID", 2, "3.0.0")),
        Command::new(cluster_disabled, cluster("MYSHARDID", 2, "7.2.0")),
        Command::new(cluster_disabled, cluster("NODES", 2, "3.0.0")),
        Command::new(cluster_disabled, cluster_admin("REPLICAS", 3, "5.0.0")),
        Command::new(cluster_disabled, cluster_change("REPLICATE", 3, "3.0.0")),
        Command::new(
            cluster_disabled,
            CommandSpec { flags: CLUSTER_ADMIN.and(Flags::NOSCRIPT), ..cluster("RESET", -2, "3.0.0") },
        ),
        Command::new(cluster_disabled, cluster_change("SAVECONFIG", 2, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("SET-CONFIG-EPOCH", 3, "3.0.0")),
        Command::new(cluster_disabled, cluster_change("SETSLOT", -4, "3.0.0")),
        Command::new(cluster_disabled, cluster("SHARDS", 2, "7.0.0")),
        Command::new(
            cluster_disabled,
            CommandSpec { deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")), ..cluster_admin("SLAVES", 3, "3.0.0") },
        ),
        Command::new(
            cluster_disabled,
            CommandSpec { deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")), ..cluster("SLOTS", 2, "3.0.0") },
        ),
    ],
);

/// A subcommand of CLUSTER: all of them say that cluster support is disabled.
const fn cluster(name: &'static str, arity: i16, since: &'static str) -> CommandSpec {
    CommandSpec {
        name,
        since,
        arity: Arity(arity),
        summary: "Part of cluster mode, which is off.",
        flags: Flags::STALE,
        ..BASE
    }
}

const CLUSTER_ADMIN: Flags = Flags::STALE.and(Flags::ADMIN);

/// One that only an administrator should use.
const fn cluster_admin(name: &'static str, arity: i16, since: &'static str) -> CommandSpec {
    CommandSpec { flags: CLUSTER_ADMIN, ..cluster(name, arity, since) }
}

/// One that would change the cluster.
const fn cluster_change(name: &'static str, arity: i16, since: &'static str) -> CommandSpec {
    CommandSpec { flags: CLUSTER_ADMIN.and(Flags::NO_ASYNC_LOADING), ..cluster(name, arity, since) }
}

const ASKING: Command = Command::new(
    cluster_disabled,
    CommandSpec {
        name: "ASKING",
        summary: "The next command may use a slot that is being imported.",
        since: "3.0.0",
        arity: Arity::exactly(1),
        flags: Flags::FAST,
        categories: Categories::CONNECTION,
        ..BASE
    },
);

const READONLY: Command = Command::new(
    cluster_disabled,
    CommandSpec {
        name: "READONLY",
        summary: "Reads from a replica of the cluster.",
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        ..ASKING.spec
    },
);

const READWRITE: Command =
    Command::new(cluster_disabled, CommandSpec { name: "READWRITE", summary: "Ends READONLY.", ..READONLY.spec });

fn cluster_disabled(_: &mut Ctx<'_, '_>) -> Result {
    Err(Error::Text("ERR This instance has cluster support disabled"))
}
