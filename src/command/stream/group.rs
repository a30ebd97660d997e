//! Commands that manage consumer groups: XGROUP, XACK, XPENDING.

use super::super::Command;
use super::super::ctx::{Ctx, Outcome, Result};
use super::super::error::Error;
use super::super::introspect;
use super::{BAD_ID, BASE, id_arg, interval_end, interval_start, no_group, reply_id, stored};
use crate::keyspace::txn::{Create, Note};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Keys, Propagate};
use crate::types::group::Group;
use crate::types::stream::{Stream, StreamId};

pub(super) const XGROUP: Command = Command::container(
    CommandSpec {
        name: "XGROUP",
        summary: "The commands that manage consumer groups.",
        since: "5.0.0",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        categories: Categories::NONE,
        ..BASE
    },
    &[CREATE, CREATECONSUMER, DELCONSUMER, DESTROY, HELP, SETID],
);

const CREATE: Command = Command::new(
    create,
    CommandSpec {
        name: "CREATE",
        summary: "Creates a group of consumers.",
        since: "5.0.0",
        history: &[("7.0.0", "Takes ENTRIESREAD.")],
        complexity: "O(1)",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(2, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]),
            Arg::word("mkstream", "MKSTREAM").optional(),
            Arg::integer("entriesread").shown("entries-read").token("ENTRIESREAD").optional(),
        ],
        ..BASE
    },
);

const CREATECONSUMER: Command = Command::new(
    createconsumer,
    CommandSpec {
        name: "CREATECONSUMER",
        summary: "Creates a consumer of a group.",
        since: "6.2.0",
        complexity: "O(1)",
        arity: Arity::exactly(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(2, Access::INSERT),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
        ..BASE
    },
);

const DELCONSUMER: Command = Command::new(
    delconsumer,
    CommandSpec {
        name: "DELCONSUMER",
        summary: "Removes a consumer from its group, with what it has not acknowledged.",
        since: "5.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(5),
        flags: Flags::WRITE,
        keys: Keys::one(2, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
        ..BASE
    },
);

const DESTROY: Command = Command::new(
    destroy,
    CommandSpec {
        name: "DESTROY",
        summary: "Removes a consumer group.",
        since: "5.0.0",
        complexity: "O(N) in the entries not acknowledged",
        arity: Arity::exactly(4),
        flags: Flags::WRITE,
        keys: Keys::one(2, Access::DELETE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("group")],
        ..BASE
    },
);

const HELP: Command = Command::new(
    help,
    CommandSpec {
        name: "HELP",
        summary: "Lists the subcommands.",
        since: "5.0.0",
        complexity: "O(1)",
        arity: Arity::exactly(2),
        flags: Flags::LOADING.and(Flags::STALE),
        ..BASE
    },
);

const SETID: Command = Command::new(
    setid,
    CommandSpec {
        name: "SETID",
        summary: "Moves a consumer group to another place of its stream.",
        since: "5.0.0",
        history: &[("7.0.0", "Takes ENTRIESREAD.")],
        complexity: "O(1)",
        arity: Arity::at_least(5),
        flags: Flags::WRITE,
        keys: Keys::one(2, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]),
            Arg::integer("entriesread").shown("entries-read").token("ENTRIESREAD").optional(),
        ],
        ..BASE
    },
);

pub(super) const XACK: Command = Command::new(
    xack,
    CommandSpec {
        name: "XACK",
        summary: "Acknowledges entries that a consumer of a group was given.",
        since: "5.0.0",
        complexity: "O(1) for each entry",
        arity: Arity::at_least(4),
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[Arg::key("key"), Arg::string("group"), Arg::string("id").multiple()],
        ..BASE
    },
);

pub(super) const XPENDING: Command = Command::new(
    xpending,
    CommandSpec {
        name: "XPENDING",
        summary: "Shows the entries of a group that were not acknowledged.",
        since: "5.0.0",
        history: &[("6.2.0", "Takes IDLE; ranges may exclude their ends.")],
        complexity: "O(N) in the entries returned, or looked at with IDLE",
        arity: Arity::at_least(3),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::block(
                "filters",
                &[
                    Arg::integer("min-idle-time").token("IDLE").optional().since("6.2.0"),
                    Arg::string("start"),
                    Arg::string("end"),
                    Arg::integer("count"),
                    Arg::string("consumer").optional(),
                ],
            )
            .optional(),
        ],
        tips: &["nondeterministic_output"],
        ..BASE
    },
);

const NO_KEY: Error = Error::Text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);

/// What may follow CREATE's and SETID's id.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

fn options(ctx: &Ctx<'_, '_>, creates: bool) -> Result<Options> {
    const BAD_READ: Error = Error::Text("ERR value for ENTRIESREAD must be positive or -1");
    let mut read = Options::default();
    let mut args = ctx.args.cursor(5);
    while !args.is_done() {
        if creates && args.word("MKSTREAM") {
            read.make_stream = true;
        } else if args.word_with("ENTRIESREAD", 1) {
            read.entries_read = match args.int()? {
                -1 => None,
                entries => Some(u64::try_from(entries).map_err(|_| BAD_READ)?),
            };
        } else {
            return Err(Error::WrongSubcommand(ctx.args[1].to_vec(), "XGROUP"));
        }
    }
    Ok(read)
}

/// The key and the group, which must both exist.
fn checked<'a>(ctx: &Ctx<'a, '_>) -> Result<(&'a [u8], &'a [u8])> {
    let (key, name) = (ctx.args.all()[2], ctx.args.all()[3]);
    let stream = stored(ctx, key)?.ok_or(NO_KEY)?;
    match stream.group(name) {
        Some(_) => Ok((key, name)),
        None => Err(Error::of(&[b"NOGROUP No such consumer group '", name, b"' for key name '", key, b"'"])),
    }
}

/// Edits a group that is known to exist.
fn edit_group<R>(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    name: &[u8],
    edit: impl FnOnce(&mut Group, &mut Note) -> R,
) -> Result<Option<R>> {
    let edited = ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        note.hide();
        stream.group_mut(name).map(|(mut group, _)| edit(&mut group, note))
    })?;
    Ok(edited.flatten())
}

fn create(ctx: &mut Ctx<'_, '_>) -> Result {
    const TAKEN: Error = Error::Text("BUSYGROUP Consumer Group name already exists");
    let options = options(ctx, true)?;
    let (key, name, text) = (ctx.args.all()[2], ctx.args.all()[3], ctx.args.all()[4]);
    let stream = stored(ctx, key)?;
    let exists = stream.is_some();
    if !exists && !options.make_stream {
        return Err(NO_KEY);
    }
    if ctx.args.len() > 8 {
        return Err(Error::WrongSubcommand(ctx.args[1].to_vec(), "XGROUP"));
    }
    let at = match text {
        b"$" => stream.map_or(StreamId::MIN, |stream| stream.log().last_id()),
        text => id_arg(text)?,
    };
    let added = ctx.txn.edit::<Stream, _>(key, Create::Yes, |stream, note| {
        let added = stream.add_group(name, Group::new(at, options.entries_read));
        if added {
            note.event("xgroup-create");
        }
        if exists {
            note.hide();
        }
        added
    })?;
    match added {
        Some(true) => ctx.reply.ok(),
        _ => return Err(TAKEN),
    }
    Ok(Outcome::Done)
}

fn setid(ctx: &mut Ctx<'_, '_>) -> Result {
    let options = options(ctx, false)?;
    let (key, name) = checked(ctx)?;
    if ctx.args.len() > 7 {
        return Err(Error::WrongSubcommand(ctx.args[1].to_vec(), "XGROUP"));
    }
    let at = match &ctx.args[4] {
        b"$" => stored(ctx, key)?.map_or(StreamId::MIN, |stream| stream.log().last_id()),
        text => StreamId::parse_bound(text, 0).ok_or(BAD_ID)?,
    };
    edit_group(ctx, key, name, |group, note| {
        group.set_position(at, options.entries_read);
        note.event("xgroup-setid");
    })?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn destroy(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, name) = (ctx.args.all()[2], ctx.args.all()[3]);
    stored(ctx, key)?.ok_or(NO_KEY)?;
    let removed = ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        let removed = stream.remove_group(name);
        removed.is_some_and(|group| {
            note.event("xgroup-destroy");
            // Who waits as a consumer of the group must be told.
            note.hide_from_watchers();
            let bytes = group.heap_bytes();
            note.discard(group, bytes);
            true
        })
    })?;
    ctx.reply.int(i64::from(removed == Some(true)));
    Ok(Outcome::Done)
}

fn createconsumer(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, name) = checked(ctx)?;
    let (consumer, now) = (ctx.args.all()[4], ctx.now_ms() as i64);
    let created = edit_group(ctx, key, name, |group, note| {
        let created = group.create_consumer(consumer, now).is_some();
        if created {
            note.event("xgroup-createconsumer");
        }
        created
    })?;
    ctx.reply.int(i64::from(created == Some(true)));
    Ok(Outcome::Done)
}

fn delconsumer(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, name) = checked(ctx)?;
    let consumer = ctx.args.all()[4];
    let pending = edit_group(ctx, key, name, |group, note| match group.find_consumer(consumer) {
        Some(id) => {
            note.event("xgroup-delconsumer");
            group.remove_consumer(id)
        }
        None => 0,
    })?;
    ctx.reply.int(pending.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    introspect::help(
        ctx,
        "XGROUP",
        &[
            (
                "CREATE <key> <groupname> <id|$> [option]",
                "Create a new consumer group. Options are:\n* MKSTREAM\n  Create the empty stream if it does not exist.\n* ENTRIESREAD entries_read\n  Set the group's entries_read counter (internal use).",
            ),
            ("CREATECONSUMER <key> <groupname> <consumer>", "Create a new consumer in the specified group."),
            ("DELCONSUMER <key> <groupname> <consumer>", "Remove the specified consumer."),
            ("DESTROY <key> <groupname>", "Remove the specified group."),
            (
                "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
                "Set the current group ID and entries_read counter.",
            ),
        ],
    )
}

fn xack(ctx: &mut Ctx<'_, '_>) -> Result {
    let (key, name) = (ctx.args.all()[1], ctx.args.all()[2]);
    let group = ctx.txn.read::<Stream>(key)?.and_then(|stream| stream.group(name));
    if group.is_none() {
        ctx.reply.int(0);
        return Ok(Outcome::Done);
    }
    let ids = ctx.args.rest(3).iter().map(|text| id_arg(text)).collect::<Result<Vec<StreamId>>>()?;
    let acknowledged = edit_group(ctx, key, name, |group, note| {
        let acknowledged = ids.iter().filter(|id| group.ack(**id).is_some()).count();
        note.changed(acknowledged as u64);
        acknowledged
    })?;
    ctx.reply.int(acknowledged.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

/// Which pending entries XPENDING lists.
struct Listing<'a> {
    min_idle: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

fn listing<'a>(ctx: &Ctx<'a, '_>) -> Result<Option<Listing<'a>>> {
    let args = ctx.args;
    if args.len() == 3 {
        return Ok(None);
    }
    if !(6..=9).contains(&args.len()) {
        return Err(Error::Syntax);
    }
    let (mut min_idle, mut first) = (0, 3);
    if args.is(3, "IDLE") {
        min_idle = args.int(4)?;
        if args.len() < 8 {
            return Err(Error::Syntax);
        }
        first = 5;
    }
    let count = args.int(first + 2)?;
    let (start, end) = (interval_start(&args[first])?, interval_end(&args[first + 1])?);
    let count = usize::try_from(count).unwrap_or(0);
    Ok(Some(Listing { min_idle, start, end, count, consumer: args.all().get(first + 3).copied() }))
}

fn xpending(ctx: &mut Ctx<'_, '_>) -> Result {
    let listing = listing(ctx)?;
    let (key, name) = (ctx.args.all()[1], ctx.args.all()[2]);
    let group = ctx.txn.read::<Stream>(key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_group(key, name))?;
    let (now, reply) = (ctx.txn.now_ms() as i64, &mut *ctx.reply);
    match listing {
        None => reply_summary(reply, group),
        Some(listing) => reply_listing(reply, group, &listing, now),
    }
    Ok(Outcome::Done)
}

fn reply_summary(reply: &mut crate::resp::reply::Reply, group: &Group) {
    reply.array(4);
    reply.int(group.pending_count() as i64);
    let Some((first, last)) = group.pending_edges() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first);
    reply_id(reply, last);
    let array = reply.begin_array();
    let mut len = 0;
    for (_, consumer) in group.consumers().filter(|(_, consumer)| consumer.pending_count() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(consumer.pending_count() as i64);
        len += 1;
    }
    reply.end_array(array, len);
}

fn reply_listing(reply: &mut crate::resp::reply::Reply, group: &Group, listing: &Listing<'_>, now: i64) {
    let owner = match listing.consumer.map(|name| group.find_consumer(name)) {
        Some(None) => return reply.array(0),
        Some(owner) => owner,
        None => None,
    };
    let of_owner = owner.map(|owner| group.pending_of(owner, listing.start));
    let of_group = owner.is_none().then(|| group.pending_from(listing.start));
    let entries = of_owner.into_iter().flatten().chain(of_group.into_iter().flatten());
    let array = reply.begin_array();
    let mut len = 0;
    let in_range = entries.take_while(|(id, _)| *id <= listing.end);
    let idle = |time: i64| now.saturating_sub(time);
    let long_idle = in_range.filter(|(_, nack)| listing.min_idle == 0 || idle(nack.delivery_time) >= listing.min_idle);
    for (id, nack) in long_idle.take(listing.count) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(nack.consumer).name());
        reply.int(idle(nack.delivery_time).max(0));
        reply.int(nack.delivery_count as i64);
        len += 1;
    }
    reply.end_array(array, len);
}
