//! CONFIG: the configuration, and the counters of INFO set back.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::introspect;
use crate::config::live::{self, Apply, Asker};
use crate::config::{Config, Hook, is_local};
use crate::keyspace::shard::{Counters, Shard};
use crate::node::Node;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys};
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[CONFIG];

const BASE: CommandSpec = CommandSpec {
    group: Group::Server,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    categories: Categories::NONE,
    since: "2.0.0",
    ..CommandSpec::BASE
};

const CONFIG: Command = Command::container(
    CommandSpec {
        name: "CONFIG",
        summary: "A container for commands on the configuration.",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        flags: Flags::NONE,
        ..BASE
    },
    &[
        Command::new(
            get,
            CommandSpec {
                name: "GET",
                summary: "The values of directives, by names and patterns.",
                history: &[("7.0.0", "Takes several patterns.")],
                complexity: "O(N) in the directives named",
                arity: Arity::at_least(3),
                args: &[Arg::string("parameter").multiple()],
                ..BASE
            },
        ),
        Command::new(
            help,
            CommandSpec {
                name: "HELP",
                summary: "What there is.",
                since: "5.0.0",
                arity: Arity::exactly(2),
                flags: Flags::LOADING.and(Flags::STALE),
                ..BASE
            },
        ),
        Command::new(
            reset_stat,
            CommandSpec {
                name: "RESETSTAT",
                summary: "Sets the counters of INFO back to zero.",
                arity: Arity::exactly(2),
                keys: Keys::Walk,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..BASE
            },
        ),
        Command::new(
            rewrite,
            CommandSpec {
                name: "REWRITE",
                summary: "Writes the values in force into the configuration file.",
                since: "2.8.0",
                arity: Arity::exactly(2),
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..BASE
            },
        ),
        Command::new(
            set,
            CommandSpec {
                name: "SET",
                summary: "Sets directives, all or none.",
                history: &[("7.0.0", "Takes several directives.")],
                complexity: "O(N) in the directives named",
                arity: Arity::at_least(4),
                args: &[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()],
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..BASE
            },
        ),
    ],
);

/// A node without a server: values change, nothing has to follow.
struct Alone;

impl Apply for Alone {
    fn apply(&self, _: Hook, _: &Config) -> std::result::Result<(), String> {
        Ok(())
    }

    fn adopt(&self, _: &Config, _: &[&'static str]) {}

    fn rewrite(&self, _: &Config, _: bool) -> std::result::Result<(), String> {
        Err("The server is running without a config file".into())
    }

    fn read_users(&self, _: &Config) -> std::result::Result<Vec<u8>, String> {
        Err("The server is running without files".into())
    }

    fn write_users(&self, _: &Config, _: &[u8]) -> std::result::Result<(), String> {
        Err("The server is running without files".into())
    }
}

/// Who acts on changes in this node.
pub(super) fn settings(node: &Node) -> &dyn Apply {
    node.settings.get().map_or(&Alone, |settings| &**settings)
}

fn get(ctx: &mut Ctx<'_, '_>) -> Result {
    let found = live::get(&ctx.node.config, ctx.args.rest(2));
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(&name);
        ctx.reply.bulk(&value);
    }
    Ok(Outcome::Done)
}

fn set(ctx: &mut Ctx<'_, '_>) -> Result {
    let words = ctx.args.rest(2);
    if !words.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let asker = Asker { local: is_local(&ctx.session.client.addr), loading: false };
    let result = live::set(&ctx.node.config, &pairs, asker, settings(ctx.node));
    result.map_err(|error| Error::of(&error.parts()))?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn rewrite(ctx: &mut Ctx<'_, '_>) -> Result {
    rewrite_file(ctx.node, false)?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Brings the configuration to its file; `all` writes every directive (DEBUG CONFIG-REWRITE-FORCE-ALL).
pub(super) fn rewrite_file(node: &Node, all: bool) -> std::result::Result<(), Error> {
    settings(node).rewrite(&node.config, all).map_err(|why| Error::owned(format!("ERR {why}")))
}

fn reset_stat(ctx: &mut Ctx<'_, '_>) -> Result {
    // What has changed since the last save is no statistic.
    let reset = |shard: &mut Shard| {
        shard.counters = Counters { dirty: shard.counters.dirty, ..Counters::default() };
    };
    let keyspace = ctx.txn.keyspace();
    ctx.txn.each_shard(reset)?;
    keyspace.namespace.evicted.store(0, Relaxed);
    keyspace.namespace.exceeded_us.store(0, Relaxed);
    keyspace.later.reset_freed();
    ctx.node.stats.reset();
    ctx.node.board.evicted_scripts.store(0, Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    introspect::help(
        ctx,
        "CONFIG",
        &[
            ("GET <pattern>", "Return parameters matching the glob-like <pattern> and their values."),
            ("SET <directive> <value>", "Set the configuration <directive> to <value>."),
            ("RESETSTAT", "Reset statistics reported by the INFO command."),
            ("REWRITE", "Rewrite the configuration file."),
        ],
    )
}
