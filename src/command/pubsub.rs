//! The PUBLISH and SUBSCRIBE families.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::base::glob;
use crate::client::{ClientType, Marks};
use crate::spec::{Access, Arg, Arity, Channels, CommandSpec, Flags, Group, KeySpec, Keys};
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] =
    &[PUBLISH, PUBSUB, SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE, PUNSUBSCRIBE, SPUBLISH, SSUBSCRIBE, SUNSUBSCRIBE];

const SUBSCRIBER: Flags = Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);
const PUBLISHER: Flags = Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::MAY_REPLICATE);

const BASE: CommandSpec = CommandSpec { group: Group::Pubsub, flags: SUBSCRIBER, ..CommandSpec::BASE };

const PUBLISH: Command = Command::new(
    publish,
    CommandSpec {
        name: "PUBLISH",
        summary: "Sends a message to a channel.",
        since: "2.0.0",
        complexity: "O(N+M), N the subscribers of the channel, M the patterns of all clients",
        arity: Arity::exactly(3),
        flags: PUBLISHER.and(Flags::SENTINEL),
        channels: Channels::First,
        args: &[Arg::string("channel"), Arg::string("message")],
        ..BASE
    },
);

const SPUBLISH: Command = Command::new(
    spublish,
    CommandSpec {
        name: "SPUBLISH",
        summary: "Sends a message to a shard channel.",
        since: "7.0.0",
        complexity: "O(N) in the subscribers of the shard channel",
        arity: Arity::exactly(3),
        flags: PUBLISHER,
        keys: Keys::Specs(&[KeySpec::one(1, Access::CHANNEL)]),
        channels: Channels::First,
        args: &[Arg::string("shardchannel"), Arg::string("message")],
        ..BASE
    },
);

const SUBSCRIBE: Command = Command::new(
    subscribe,
    CommandSpec {
        name: "SUBSCRIBE",
        summary: "Listens to channels.",
        since: "2.0.0",
        complexity: "O(N) in the channels named",
        arity: Arity::at_least(2),
        flags: SUBSCRIBER.and(Flags::SENTINEL),
        channels: Channels::All,
        args: &[Arg::string("channel").multiple()],
        ..BASE
    },
);

const PSUBSCRIBE: Command = Command::new(
    psubscribe,
    CommandSpec {
        name: "PSUBSCRIBE",
        summary: "Listens to all channels that match patterns.",
        since: "2.0.0",
        complexity: "O(N) in the patterns named",
        arity: Arity::at_least(2),
        flags: SUBSCRIBER.and(Flags::SENTINEL),
        channels: Channels::Patterns,
        args: &[Arg::pattern("pattern").multiple()],
        ..BASE
    },
);

const SSUBSCRIBE: Command = Command::new(
    ssubscribe,
    CommandSpec {
        name: "SSUBSCRIBE",
        summary: "Listens to shard channels.",
        since: "7.0.0",
        complexity: "O(N) in the shard channels named",
        arity: Arity::at_least(2),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::CHANNEL)]),
        channels: Channels::All,
        args: &[Arg::string("shardchannel").multiple()],
        ..BASE
    },
);

const UNSUBSCRIBE: Command = Command::new(
    unsubscribe,
    CommandSpec {
        name: "UNSUBSCRIBE",
        summary: "Stops listening to channels.",
        since: "2.0.0",
        complexity: "O(N) in the channels left",
        arity: Arity::at_least(1),
        flags: SUBSCRIBER.and(Flags::SENTINEL),
        args: &[Arg::string("channel").optional().multiple()],
        ..BASE
    },
);

const PUNSUBSCRIBE: Command = Command::new(
    punsubscribe,
    CommandSpec {
        name: "PUNSUBSCRIBE",
        summary: "Stops listening to patterns.",
        since: "2.0.0",
        complexity: "O(N) in the patterns left",
        arity: Arity::at_least(1),
        flags: SUBSCRIBER.and(Flags::SENTINEL),
        args: &[Arg::pattern("pattern").optional().multiple()],
        ..BASE
    },
);

const SUNSUBSCRIBE: Command = Command::new(
    sunsubscribe,
    CommandSpec {
        name: "SUNSUBSCRIBE",
        summary: "Stops listening to shard channels.",
        since: "7.0.0",
        complexity: "O(N) in the shard channels left",
        arity: Arity::at_least(1),
        keys: Keys::Specs(&[KeySpec::range(1, -1, 1, Access::CHANNEL)]),
        args: &[Arg::string("shardchannel").optional().multiple()],
        ..BASE
    },
);

const PUBSUB: Command = Command::container(
    CommandSpec {
        name: "PUBSUB",
        summary: "A container for commands on channels.",
        since: "2.8.0",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        flags: Flags::NONE,
        ..BASE
    },
    &[
        Command::new(
            channels,
            look("CHANNELS", "2.8.0", Arity::at_least(2), "Channels that somebody listens to.", ONE_PATTERN),
        ),
        Command::new(
            help,
            CommandSpec {
                complexity: "O(1)",
                flags: Flags::LOADING.and(Flags::STALE),
                ..look("HELP", "6.2.0", Arity::exactly(2), "What there is.", &[])
            },
        ),
        Command::new(
            numpat,
            CommandSpec {
                complexity: "O(1)",
                ..look("NUMPAT", "2.8.0", Arity::exactly(2), "Number of patterns.", &[])
            },
        ),
        Command::new(
            numsub,
            look(
                "NUMSUB",
                "2.8.0",
                Arity::at_least(2),
                "Number of subscribers of channels.",
                &[Arg::string("channel").optional().multiple()],
            ),
        ),
        Command::new(
            shardchannels,
            look("SHARDCHANNELS", "7.0.0", Arity::at_least(2), "Shard channels that somebody listens to.", ONE_PATTERN),
        ),
        Command::new(
            shardnumsub,
            look(
                "SHARDNUMSUB",
                "7.0.0",
                Arity::at_least(2),
                "Number of subscribers of shard channels.",
                &[Arg::string("shardchannel").optional().multiple()],
            ),
        ),
    ],
);

const ONE_PATTERN: &[Arg] = &[Arg::pattern("pattern").optional()];

const fn look(
    name: &'static str,
    since: &'static str,
    arity: Arity,
    summary: &'static str,
    args: &'static [Arg],
) -> CommandSpec {
    let flags = Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE);
    CommandSpec { name, since, arity, summary, args, flags, complexity: "O(N)", ..BASE }
}

fn publish(ctx: &mut Ctx<'_, '_>) -> Result {
    let (channel, message) = (ctx.args.at(1), ctx.args.at(2));
    let receivers = ctx.node.pubsub.publish(channel, message);
    let receivers = ctx.node.pubsub.listening(channel, receivers, &ctx.session.client);
    ctx.log_as(&[b"PUBLISH", channel, message]);
    ctx.reply.int(receivers as i64);
    Ok(Outcome::Done)
}

fn spublish(ctx: &mut Ctx<'_, '_>) -> Result {
    let (channel, message) = (ctx.args.at(1), ctx.args.at(2));
    let receivers = ctx.node.pubsub.publish_shard(channel, message);
    let receivers = ctx.node.pubsub.listening_to_shard(channel, receivers, &ctx.session.client);
    ctx.log_as(&[b"SPUBLISH", channel, message]);
    ctx.reply.int(receivers as i64);
    Ok(Outcome::Done)
}

/// Which kind of subscription: its place in `Session::subscribed` and the words of its confirmations.
#[derive(Clone, Copy)]
enum Kind {
    Channel = 0,
    Pattern = 1,
    Shard = 2,
}

impl Kind {
    fn words(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Kind::Channel => (b"subscribe", b"unsubscribe"),
            Kind::Pattern => (b"psubscribe", b"punsubscribe"),
            Kind::Shard => (b"ssubscribe", b"sunsubscribe"),
        }
    }
}

/// Confirms one change: the kind, the name, and how many subscriptions there are now.
fn confirm(ctx: &mut Ctx<'_, '_>, kind: Kind, word: &[u8], name: Option<&[u8]>) {
    let session = &mut *ctx.session;
    for (count, set) in session.client.subscriptions.iter().zip(&session.subscribed) {
        count.store(set.len() as u32, Relaxed);
    }
    let client_type = if session.is_subscriber() { ClientType::Pubsub } else { ClientType::Normal };
    session.client.kind.store(client_type as u8, Relaxed);
    let count = match kind {
        Kind::Shard => session.subscribed[2].len(),
        Kind::Channel | Kind::Pattern => session.subscription_count(),
    };
    ctx.session.pushed = true;
    ctx.reply.push(3);
    ctx.reply.bulk(word);
    match name {
        Some(name) => ctx.reply.bulk(name),
        None => ctx.reply.null(),
    }
    ctx.reply.int(count as i64);
}

fn subscribe_to(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result {
    for name in ctx.args.rest(1) {
        if ctx.session.subscribed[kind as usize].insert(name.to_vec()) {
            let (pubsub, client) = (&ctx.node.pubsub, &ctx.session.client);
            client.keep(name.len());
            match kind {
                Kind::Channel => pubsub.channels.subscribe(name, client),
                Kind::Pattern => pubsub.patterns.subscribe(name, client),
                Kind::Shard => pubsub.shard_channels.subscribe(name, client),
            }
        }
        confirm(ctx, kind, kind.words().0, Some(name));
    }
    if ctx.session.client.marks.any(Marks::USER_CHANGED) && !may_still_listen(ctx, kind) {
        ctx.session.closing = true;
    }
    Ok(Outcome::Done)
}

/// Whether the user, which has changed since the request was judged, may listen to what it names. Whoever changed it
/// closes those that are listeners already, and may have come too early to see this one.
fn may_still_listen(ctx: &Ctx<'_, '_>, kind: Kind) -> bool {
    let user = ctx.node.acl.user(&ctx.session.client.user_name());
    let is_pattern = matches!(kind, Kind::Pattern);
    user.is_some_and(|user| ctx.args.rest(1).iter().all(|name| user.may_listen(name, is_pattern)))
}

fn unsubscribe_from(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result {
    let all: Vec<Vec<u8>> = ctx.session.subscribed[kind as usize].iter().cloned().collect();
    let names: Vec<&[u8]> = match ctx.args.len() {
        1 => all.iter().map(Vec::as_slice).collect(),
        _ => ctx.args.rest(1).to_vec(),
    };
    for name in &names {
        if ctx.session.subscribed[kind as usize].remove(*name) {
            let (pubsub, id) = (&ctx.node.pubsub, ctx.session.client.id);
            ctx.session.client.let_go(name.len());
            match kind {
                Kind::Channel => pubsub.channels.unsubscribe(name, id),
                Kind::Pattern => pubsub.patterns.unsubscribe(name, id),
                Kind::Shard => pubsub.shard_channels.unsubscribe(name, id),
            }
        }
        confirm(ctx, kind, kind.words().1, Some(name));
    }
    if names.is_empty() {
        confirm(ctx, kind, kind.words().1, None);
    }
    Ok(Outcome::Done)
}

fn subscribe(ctx: &mut Ctx<'_, '_>) -> Result {
    subscribe_to(ctx, Kind::Channel)
}
fn psubscribe(ctx: &mut Ctx<'_, '_>) -> Result {
    subscribe_to(ctx, Kind::Pattern)
}
fn ssubscribe(ctx: &mut Ctx<'_, '_>) -> Result {
    subscribe_to(ctx, Kind::Shard)
}
fn unsubscribe(ctx: &mut Ctx<'_, '_>) -> Result {
    unsubscribe_from(ctx, Kind::Channel)
}
fn punsubscribe(ctx: &mut Ctx<'_, '_>) -> Result {
    unsubscribe_from(ctx, Kind::Pattern)
}
fn sunsubscribe(ctx: &mut Ctx<'_, '_>) -> Result {
    unsubscribe_from(ctx, Kind::Shard)
}

fn reply_names(ctx: &mut Ctx<'_, '_>, mut names: Vec<Vec<u8>>) -> Result {
    if ctx.args.len() > 3 {
        return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "PUBSUB"));
    }
    if let Some(pattern) = ctx.args.all().get(2) {
        names.retain(|n| glob::matches(pattern, n));
    }
    ctx.reply.array(names.len());
    names.iter().for_each(|n| ctx.reply.bulk(n));
    Ok(Outcome::Done)
}

fn channels(ctx: &mut Ctx<'_, '_>) -> Result {
    let names = ctx.node.pubsub.channels.names();
    reply_names(ctx, names)
}
fn shardchannels(ctx: &mut Ctx<'_, '_>) -> Result {
    let names = ctx.node.pubsub.shard_channels.names();
    reply_names(ctx, names)
}

fn numsub(ctx: &mut Ctx<'_, '_>) -> Result {
    let names = ctx.args.rest(2);
    ctx.reply.array(names.len() * 2);
    for name in names {
        ctx.reply.bulk(name);
        ctx.reply.int(ctx.node.pubsub.channels.count(name) as i64);
    }
    Ok(Outcome::Done)
}
fn shardnumsub(ctx: &mut Ctx<'_, '_>) -> Result {
    let names = ctx.args.rest(2);
    ctx.reply.array(names.len() * 2);
    for name in names {
        ctx.reply.bulk(name);
        ctx.reply.int(ctx.node.pubsub.shard_channels.count(name) as i64);
    }
    Ok(Outcome::Done)
}

fn numpat(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int(ctx.node.pubsub.patterns.len() as i64);
    Ok(Outcome::Done)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    super::introspect::help(
        ctx,
        "PUBSUB",
        &[
            ("CHANNELS [<pattern>]", "Return the currently active channels matching a <pattern> (default: '*')."),
            ("NUMPAT", "Return number of subscriptions to patterns."),
            (
                "NUMSUB [<channel> ...]",
                "Return the number of subscribers for the specified channels, excluding pattern subscriptions(default: no channels).",
            ),
            (
                "SHARDCHANNELS [<pattern>]",
                "Return the currently active shard level channels matching a <pattern> (default: '*').",
            ),
            (
                "SHARDNUMSUB [<shardchannel> ...]",
                "Return the number of subscribers for the specified shard level channel(s)",
            ),
        ],
    )
}
