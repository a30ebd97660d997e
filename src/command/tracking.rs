//! The subcommands of CLIENT for client-side caching. Who is told of what is in `pubsub/tracking.rs`.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::client::{Marks, Session};
use crate::pubsub::tracking::Mode;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group};

const BASE: CommandSpec = CommandSpec {
    group: Group::Connection,
    categories: Categories::CONNECTION,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SENTINEL),
    ..CommandSpec::BASE
};

pub(super) const CACHING: Command = Command::new(
    caching,
    CommandSpec {
        name: "CACHING",
        since: "6.0.0",
        arity: Arity::exactly(3),
        summary: "Whether the next keys read are tracked.",
        args: &[Arg::one_of("mode", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])],
        ..BASE
    },
);

pub(super) const GETREDIR: Command = Command::new(
    getredir,
    CommandSpec {
        name: "GETREDIR",
        since: "6.0.0",
        arity: Arity::exactly(2),
        summary: "Where invalidations are sent.",
        ..BASE
    },
);

pub(super) const TRACKING: Command = Command::new(
    tracking,
    CommandSpec {
        name: "TRACKING",
        since: "6.0.0",
        arity: Arity::at_least(3),
        summary: "Tells this connection of changes to the keys it has read.",
        args: &[
            Arg::one_of("status", &[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
            Arg::integer("client-id").token("REDIRECT").optional(),
            Arg::string("prefix").token("PREFIX").optional().multiple().multiple_token(),
            Arg::word("bcast", "BCAST").optional(),
            Arg::word("optin", "OPTIN").optional(),
            Arg::word("optout", "OPTOUT").optional(),
            Arg::word("noloop", "NOLOOP").optional(),
        ],
        ..BASE
    },
);

pub(super) const TRACKINGINFO: Command = Command::new(
    trackinginfo,
    CommandSpec {
        name: "TRACKINGINFO",
        since: "6.2.0",
        arity: Arity::exactly(2),
        summary: "How this connection tracks.",
        ..BASE
    },
);

fn caching(ctx: &mut Ctx<'_, '_>) -> Result {
    let marks = &ctx.session.client.marks;
    if !marks.any(Marks::TRACKING) {
        return Err(Error::Text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    let (mode, error) = match () {
        () if ctx.args.is(2, "YES") => {
            (Marks::TRACKING_OPTIN, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
        }
        () if ctx.args.is(2, "NO") => {
            (Marks::TRACKING_OPTOUT, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
        }
        () => return Err(Error::Syntax),
    };
    if !marks.any(mode) {
        return Err(Error::Text(error));
    }
    marks.set(Marks::TRACKING_CACHING, true);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// The client that is told instead of this one: 0 for none, -1 when it does not track.
fn redirection(session: &Session) -> i64 {
    session.client.redirection()
}

fn getredir(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int(redirection(ctx.session));
    Ok(Outcome::Done)
}

fn tracking(ctx: &mut Ctx<'_, '_>) -> Result {
    let (mode, prefixes) = options(ctx)?;
    if ctx.args.is(2, "ON") {
        check(ctx.session, &mode, &prefixes)?;
        ctx.node.enable_tracking(ctx.session, mode, &prefixes);
    } else if ctx.args.is(2, "OFF") {
        ctx.node.disable_tracking(ctx.session);
    } else {
        return Err(Error::Syntax);
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn options<'a>(ctx: &Ctx<'a, '_>) -> Result<(Mode, Vec<&'a [u8]>)> {
    let mut mode = Mode::default();
    let mut prefixes = Vec::new();
    let mut cursor = ctx.args.cursor(3);
    while !cursor.is_done() {
        let has_value = cursor.left() > 1;
        if has_value && cursor.word("REDIRECT") {
            if mode.redirect != 0 {
                return Err(Error::Text("ERR A client can only redirect to a single other client"));
            }
            let id = crate::base::num::parse_i64(cursor.take()?).ok_or(Error::NotInteger)?;
            let known = u64::try_from(id).ok().filter(|id| ctx.node.clients.find(*id).is_some());
            mode.redirect = known.ok_or(Error::Text("ERR The client ID you want redirect to does not exist"))?;
        } else if has_value && cursor.word("PREFIX") {
            prefixes.push(cursor.take()?);
        } else {
            mode.marks |= match () {
                () if cursor.word("BCAST") => Marks::TRACKING_BCAST,
                () if cursor.word("OPTIN") => Marks::TRACKING_OPTIN,
                () if cursor.word("OPTOUT") => Marks::TRACKING_OPTOUT,
                () if cursor.word("NOLOOP") => Marks::TRACKING_NOLOOP,
                () => return Err(Error::Syntax),
            };
        }
    }
    Ok((mode, prefixes))
}

/// Whether the options fit together, and to what the client does already.
fn check(session: &Session, mode: &Mode, prefixes: &[&[u8]]) -> Result<()> {
    let marks = &session.client.marks;
    let wants = |mark: u32| mode.marks & mark != 0;
    let (bcast, optin, optout) = (Marks::TRACKING_BCAST, Marks::TRACKING_OPTIN, Marks::TRACKING_OPTOUT);
    let error = match () {
        () if !wants(bcast) && !prefixes.is_empty() => "ERR PREFIX option requires BCAST mode to be enabled",
        () if marks.any(Marks::TRACKING) && marks.any(bcast) != wants(bcast) => {
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
        }
        () if wants(bcast) && wants(optin | optout) => "ERR OPTIN and OPTOUT are not compatible with BCAST",
        () if wants(optin) && wants(optout) => "ERR You can't specify both OPTIN mode and OPTOUT mode",
        () if (wants(optin) && marks.any(optout)) || (wants(optout) && marks.any(optin)) => {
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
        }
        () => return check_prefixes(session, prefixes),
    };
    Err(Error::Text(error))
}

/// No prefix of one client may begin with another.
fn check_prefixes(session: &Session, prefixes: &[&[u8]]) -> Result<()> {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    for (at, prefix) in prefixes.iter().enumerate() {
        let existing = session.prefixes.iter().map(Vec::as_slice).find(|other| overlap(prefix, other));
        let provided = prefixes[at + 1..].iter().copied().find(|other| overlap(prefix, other));
        let (kind, other): (&[u8], &[u8]) = match (existing, provided) {
            (Some(other), _) => (b"an existing", other),
            (None, Some(other)) => (b"another provided", other),
            (None, None) => continue,
        };
        let tail: &[u8] = b"'. Prefixes for a single client must not overlap.";
        return Err(Error::of(&[b"ERR Prefix '", prefix, b"' overlaps with ", kind, b" prefix '", other, tail]));
    }
    Ok(())
}

fn trackinginfo(ctx: &mut Ctx<'_, '_>) -> Result {
    let marks = &ctx.session.client.marks;
    let on = if marks.any(Marks::TRACKING) { "on" } else { "off" };
    let caching = marks.any(Marks::TRACKING_CACHING);
    let flags: Vec<&str> = [
        (true, on),
        (marks.any(Marks::TRACKING_BCAST), "bcast"),
        (marks.any(Marks::TRACKING_OPTIN), "optin"),
        (marks.any(Marks::TRACKING_OPTIN) && caching, "caching-yes"),
        (marks.any(Marks::TRACKING_OPTOUT), "optout"),
        (marks.any(Marks::TRACKING_OPTOUT) && caching, "caching-no"),
        (marks.any(Marks::TRACKING_NOLOOP), "noloop"),
        (marks.any(Marks::TRACKING_BROKEN), "broken_redirect"),
    ]
    .into_iter()
    .filter_map(|(shown, flag)| shown.then_some(flag))
    .collect();
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(flags.len());
    flags.iter().for_each(|flag| ctx.reply.bulk(flag.as_bytes()));
    ctx.reply.bulk(b"redirect");
    ctx.reply.int(redirection(ctx.session));
    ctx.reply.bulk(b"prefixes");
    let mut prefixes = ctx.session.prefixes.clone();
    prefixes.sort_unstable();
    ctx.reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| ctx.reply.bulk(prefix));
    Ok(Outcome::Done)
}
