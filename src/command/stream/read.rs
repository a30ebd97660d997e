//! Commands that follow streams: XREAD on its own, XREADGROUP as a consumer of a group. Both may wait for entries.
//!
//! A client that waits is one whose handler found nothing: the handler runs again when one of its streams changes. `$`
//! means the end of the stream when the client asked, so a waiting request has it replaced by that id. What XREADGROUP
//! changes goes to the log as the claims that bring a replica to the same state.

use super::super::Command;
use super::super::args::Argv;
use super::super::ctx::{Block, Ctx, Outcome, Result};
use super::super::error::Error;
use super::{BASE, Effects, id_arg, limit_of, reply_entries, reply_entry, reply_id};
use crate::keyspace::txn::Create;
use crate::resp::reply::{Proto, Reply};
use crate::spec::keys::{BadKeys, Find, Found};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::Kind;
use crate::types::group::{ConsumerId, Group};
use crate::types::stream::{Log, Stream, StreamId};

pub(super) const XREAD: Command = Command::new(
    xread,
    CommandSpec {
        name: "XREAD",
        summary: "Returns entries of several streams that are newer than given IDs, waiting for them if told to.",
        since: "5.0.0",
        complexity: "",
        arity: Arity::at_least(4),
        flags: Flags::BLOCKING.and(Flags::READONLY),
        keys: Keys::By(
            stream_keys,
            &[KeySpec::keyword("STREAMS", 1, Find::Range { last: -1, step: 1, limit: 2 }, Access::READ)],
        ),
        args: &[
            Arg::integer("count").token("COUNT").optional(),
            Arg::integer("milliseconds").token("BLOCK").optional(),
            Arg::block("streams", &[Arg::key("key").multiple(), Arg::string("id").multiple()]).token("STREAMS"),
        ],
        ..BASE
    },
);

pub(super) const XREADGROUP: Command = Command::new(
    xreadgroup,
    CommandSpec {
        name: "XREADGROUP",
        summary: "Returns entries of several streams to a consumer of a group, waiting for them if told to.",
        since: "5.0.0",
        complexity: "O(N) in the entries returned; adding to a stream for which N clients wait is O(N)",
        arity: Arity::at_least(7),
        flags: Flags::BLOCKING.and(Flags::WRITE),
        keys: Keys::By(
            stream_keys,
            &[KeySpec::keyword("STREAMS", 4, Find::Range { last: -1, step: 1, limit: 2 }, Access::READ)],
        ),
        effect: Propagate::Rewritten,
        args: &[
            Arg::block("group-block", &[Arg::string("group"), Arg::string("consumer")]).token("GROUP"),
            Arg::integer("count").token("COUNT").optional(),
            Arg::integer("milliseconds").token("BLOCK").optional(),
            Arg::word("noack", "NOACK").optional(),
            Arg::block("streams", &[Arg::key("key").multiple(), Arg::string("id").multiple()]).token("STREAMS"),
        ],
        ..BASE
    },
);

/// The keys: the first half of what follows STREAMS. Options before it are stepped over with their values, which a
/// search for the word would not do.
fn stream_keys(argv: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    let is = |at: usize, word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
    let mut at = 1;
    while at < argv.len() && !is(at, "STREAMS") {
        at += match () {
            () if is(at, "BLOCK") || is(at, "COUNT") => 2,
            () if is(at, "GROUP") => 3,
            () if is(at, "NOACK") => 1,
            () => return Err(BadKeys),
        };
    }
    let streams = argv.len().saturating_sub(at + 1);
    // Without as many IDs as keys the handler answers; whoever asks for the keys gets the first half.
    if streams < 2 {
        return Err(BadKeys);
    }
    Ok((at + 1..at + 1 + streams / 2).map(|key| (key, Access::READ)).collect())
}

/// A request, read.
struct Request<'a> {
    count: i64,
    /// Present with BLOCK: the deadline, or `None` for ever.
    block: Option<Option<u64>>,
    group: Option<Reader<'a>>,
    no_ack: bool,
    keys: &'a [&'a [u8]],
    ids: &'a [&'a [u8]],
    ids_at: usize,
}

/// Who reads through a group.
#[derive(Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
}

/// The place from which one stream is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Behind this id; with a group, what the consumer was given before and has not acknowledged.
    After(StreamId),
    /// `>`: what nobody in the group was given yet.
    New,
}

fn request<'a>(args: Argv<'a>, now_ms: u64, grouped: bool) -> Result<Request<'a>> {
    const GROUP_OF_XREAD: Error =
        Error::Text("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
    const NOACK_OF_XREAD: Error =
        Error::Text("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
    const NO_GROUP_OPTION: Error = Error::Text("ERR Missing GROUP option for XREADGROUP");
    let mut read = Request { count: 0, block: None, group: None, no_ack: false, keys: &[], ids: &[], ids_at: 0 };
    let mut cursor = args.cursor(1);
    loop {
        if cursor.word_with("BLOCK", 1) {
            read.block = Some(deadline(cursor.take()?, now_ms)?);
        } else if cursor.word_with("COUNT", 1) {
            read.count = cursor.int()?;
        } else if cursor.word_with("STREAMS", 1) {
            let streams = cursor.left();
            if !streams.is_multiple_of(2) {
                return Err(unbalanced(grouped));
            }
            (read.keys, read.ids) = cursor.rest().split_at(streams / 2);
            read.ids_at = cursor.at() + streams / 2;
            break;
        } else if cursor.word_with("GROUP", 2) {
            if !grouped {
                return Err(GROUP_OF_XREAD);
            }
            read.group = Some(Reader { group: cursor.take()?, consumer: cursor.take()? });
        } else if cursor.word("NOACK") {
            if !grouped {
                return Err(NOACK_OF_XREAD);
            }
            read.no_ack = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    if grouped && read.group.is_none() { Err(NO_GROUP_OPTION) } else { Ok(read) }
}

fn unbalanced(grouped: bool) -> Error {
    let (name, symbol) = if grouped { ("xreadgroup", '>') } else { ("xread", '$') };
    Error::owned(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
    ))
}

/// Reads a timeout in milliseconds.
fn deadline(text: &[u8], now_ms: u64) -> Result<Option<u64>> {
    const NOT_INTEGER: Error = Error::Text("ERR timeout is not an integer or out of range");
    let timeout = crate::base::num::parse_i64(text).ok_or(NOT_INTEGER)?;
    match u64::try_from(timeout).map_err(|_| Error::TimeoutNegative)? {
        0 => Ok(None),
        ms => now_ms.checked_add(ms).filter(|at| *at <= i64::MAX as u64).map(Some).ok_or(Error::TimeoutRange),
    }
}

/// The reply: a map of streams in RESP3, an array of pairs in RESP2; opened with the first stream.
struct Streams {
    mark: Option<crate::resp::reply::Mark>,
    len: usize,
}

impl Streams {
    fn open(&mut self, reply: &mut Reply, key: &[u8]) {
        self.mark.get_or_insert_with(|| reply.begin_array());
        self.len += 1;
        if reply.proto() == Proto::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
    }

    /// Closes it; false when nothing was served.
    fn close(self, reply: &mut Reply) -> bool {
        let Some(mark) = self.mark else { return false };
        match reply.proto() {
            Proto::Resp2 => reply.end_array(mark, self.len),
            Proto::Resp3 => reply.end_map(mark, self.len),
        }
        true
    }
}

/// Waits if the request may wait, or answers that there is nothing.
fn wait(ctx: &mut Ctx<'_, '_>, request: &Request<'_>, argv: Option<Vec<Vec<u8>>>) -> Outcome {
    let Some(deadline_ms) = request.block else {
        ctx.reply.null_array();
        return Outcome::Done;
    };
    let on_gone = request.group.is_some();
    Outcome::Block(Box::new(Block { argv, on_gone, ..Block::on_keys(request.keys, deadline_ms, Kind::Stream) }))
}

fn xread(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = request(ctx.args, ctx.now_ms(), false)?;
    let mut after = Vec::with_capacity(request.ids.len());
    for (key, text) in request.keys.iter().zip(request.ids) {
        after.push(start_of(ctx.txn.read::<Stream>(key)?, text)?);
    }
    let mut streams = Streams { mark: None, len: 0 };
    for (key, after) in request.keys.iter().zip(&after) {
        let Some(stream) = ctx.txn.read::<Stream>(key)? else { continue };
        let log = stream.log();
        if log.last_live_id().is_some_and(|last| last > *after) {
            streams.open(ctx.reply, key);
            let start = after.next().unwrap_or(StreamId::MAX);
            reply_entries(ctx.reply, log.range(start, StreamId::MAX), limit_of(request.count));
        }
    }
    if streams.close(ctx.reply) {
        return Ok(Outcome::Done);
    }
    let argv = request.ids.contains(&&b"$"[..]).then(|| settled_argv(ctx.args, &request, &after));
    Ok(wait(ctx, &request, argv))
}

/// The id behind which XREAD reads one stream.
fn start_of(stream: Option<&Stream>, text: &[u8]) -> Result<StreamId> {
    const NEW_OF_XREAD: Error = Error::Text(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    );
    let log = stream.map(Stream::log);
    match text {
        b"$" => Ok(log.map_or(StreamId::MIN, |log| log.last_id())),
        // The last entry there is: 7.4.1 takes the last id, whose entry may have been deleted.
        b"+" => Ok(log.map_or(Ok(StreamId::MIN), |log| {
            let last = log.last_live_id().unwrap_or(log.last_id());
            last.prev().ok_or(Error::Text("ERR the stream last element ID is 0-0"))
        })?),
        b">" => Err(NEW_OF_XREAD),
        text => id_arg(text),
    }
}

/// The request with the ids that `$` stands for now.
fn settled_argv(args: Argv<'_>, request: &Request<'_>, after: &[StreamId]) -> Vec<Vec<u8>> {
    let mut argv: Vec<Vec<u8>> = args.all().iter().map(|arg| arg.to_vec()).collect();
    for (at, id) in after.iter().enumerate() {
        if request.ids[at] == b"$" {
            argv[request.ids_at + at] = id.text().as_bytes().to_vec();
        }
    }
    argv
}

fn xreadgroup(ctx: &mut Ctx<'_, '_>) -> Result {
    let request = request(ctx.args, ctx.now_ms(), true)?;
    let Some(reader) = request.group else { return Err(Error::Syntax) };
    let mut from = Vec::with_capacity(request.ids.len());
    for (key, text) in request.keys.iter().zip(request.ids) {
        let stream = ctx.txn.read::<Stream>(key)?;
        if stream.is_none_or(|stream| stream.group(reader.group).is_none()) {
            return Err(no_group_to_read(key, reader.group));
        }
        from.push(start_in_group(text)?);
    }
    let mut streams = Streams { mark: None, len: 0 };
    let mut effects = Effects::of(ctx);
    for (key, from) in request.keys.iter().zip(&from) {
        read_one(ctx, &request, reader, key, *from, &mut streams, &mut effects)?;
    }
    effects.log(ctx);
    if streams.close(ctx.reply) {
        return Ok(Outcome::Done);
    }
    Ok(wait(ctx, &request, None))
}

fn no_group_to_read(key: &[u8], group: &[u8]) -> Error {
    let tail = b"' in XREADGROUP with GROUP option";
    Error::of(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, tail])
}

fn start_in_group(text: &[u8]) -> Result<From> {
    let meaningless = |sign: &str| {
        Error::owned(format!(
            "ERR The {sign} ID is meaningless in the context of XREADGROUP: you want to read the history of this \
             consumer by specifying a proper ID, or use the > ID to get new messages. The {sign} ID would just return \
             an empty result set."
        ))
    };
    match text {
        b"$" => Err(meaningless("$")),
        b"+" => Err(meaningless("+")),
        b">" => Ok(From::New),
        // The largest id is how the original writes `>`.
        text => Ok(Some(id_arg(text)?).filter(|id| *id != StreamId::MAX).map_or(From::New, From::After)),
    }
}

/// Reads one stream for a consumer, which is created when it is missing.
fn read_one(
    ctx: &mut Ctx<'_, '_>,
    request: &Request<'_>,
    reader: Reader<'_>,
    key: &[u8],
    from: From,
    streams: &mut Streams,
    effects: &mut Effects,
) -> Result<()> {
    let now = ctx.now_ms() as i64;
    let reply = &mut *ctx.reply;
    // Looked up once for its group, and now to be read.
    ctx.txn.get(key);
    ctx.txn.edit::<Stream, _>(key, Create::No, |stream, note| {
        note.hide();
        let Some((mut group, log)) = stream.group_mut(reader.group) else { return };
        let mut changes = 0;
        let consumer = match group.create_consumer(reader.consumer, now) {
            Some(consumer) => {
                changes += 1;
                note.event("xgroup-createconsumer");
                if request.no_ack {
                    effects.push(&[b"XGROUP", b"CREATECONSUMER", key, reader.group, reader.consumer]);
                }
                consumer
            }
            None => match group.find_consumer(reader.consumer) {
                Some(consumer) => consumer,
                None => return,
            },
        };
        group.mark_seen(consumer, now);
        let mut delivery = Delivery { key, reader, consumer, now, limit: limit_of(request.count) };
        match from {
            // No change that is counted: nothing of it is told to replicas.
            From::After(id) => {
                streams.open(reply, key);
                delivery.history(&mut group, log, id, reply);
            }
            From::New if log.last_live_id().is_some_and(|last| last > group.last_id()) => {
                changes += 1;
                streams.open(reply, key);
                delivery.fresh(&mut group, log, !request.no_ack, reply, effects);
            }
            From::New => {}
        }
        note.changed(changes);
    })?;
    Ok(())
}

/// Giving entries of one stream to one consumer.
struct Delivery<'a> {
    key: &'a [u8],
    reader: Reader<'a>,
    consumer: ConsumerId,
    now: i64,
    limit: usize,
}

impl Delivery<'_> {
    /// What the consumer was given before and has not acknowledged; an entry deleted since is shown without fields.
    fn history(&mut self, group: &mut Group, log: &Log, after: StreamId, reply: &mut Reply) {
        let start = after.next().unwrap_or(StreamId::MAX);
        let ids: Vec<StreamId> = group.pending_of(self.consumer, start).map(|(id, _)| id).take(self.limit).collect();
        reply.array(ids.len());
        for id in ids {
            match log.get(id) {
                Some(entry) => {
                    reply_entry(reply, &entry);
                    group.redeliver(id, self.now);
                }
                None => {
                    reply.array(2);
                    reply_id(reply, id);
                    reply.null_array();
                }
            }
        }
    }

    /// What nobody in the group was given yet.
    fn fresh(&mut self, group: &mut Group, log: &Log, to_acknowledge: bool, reply: &mut Reply, effects: &mut Effects) {
        let start = group.last_id().next().unwrap_or(StreamId::MAX);
        let array = reply.begin_array();
        let mut len = 0;
        for entry in log.range(start, StreamId::MAX).take(self.limit) {
            group.advance(entry.id, log);
            reply_entry(reply, &entry);
            len += 1;
            if to_acknowledge {
                group.deliver(entry.id, self.consumer, self.now);
                if let Some(nack) = group.nack(entry.id) {
                    effects.push_claim(self.key, self.reader.group, group, entry.id, nack);
                }
            }
        }
        reply.end_array(array, len);
        if len > 0 {
            effects.push_position(self.key, self.reader.group, group);
        }
    }
}
