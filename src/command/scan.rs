//! SCAN, KEYS, DBSIZE and RANDOMKEY: commands that look at keys nobody named.
//!
//! Run alone they take shards themselves, one after another, and never wait for one while holding another; within MULTI
//! all shards are held before; a script takes what it needs, since it holds the token. Other families read the options
//! of their own SCAN with [`ScanOptions`].

use super::Command;
use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use crate::base::bytes::folded;
use crate::base::glob;
use crate::base::num::{parse_i64, parse_u64_loose};
use crate::base::rng::Rng;
use crate::keyspace::entry::Entry;
use crate::keyspace::scan::Place;
use crate::resp::reply::Reply;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys};
use crate::types::Kind;
use std::sync::atomic::Ordering::SeqCst;

/// The family.
pub const COMMANDS: &[Command] = &[SCAN, KEYS, DBSIZE, RANDOMKEY];

const BASE: CommandSpec =
    CommandSpec { group: Group::Generic, categories: Categories::KEYSPACE, keys: Keys::Walk, ..CommandSpec::BASE };

const SCAN: Command = Command::new(
    scan,
    CommandSpec {
        name: "SCAN",
        summary: "Walks over the names of all keys, some with every call.",
        since: "2.8.0",
        history: &[("6.0.0", "Takes TYPE.")],
        complexity: "O(1) per call, O(N) for a whole walk over N keys",
        arity: Arity::at_least(2),
        flags: Flags::READONLY.and(Flags::NO_TOUCH),
        args: &[
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::string("type").token("TYPE").optional().since("6.0.0"),
        ],
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..BASE
    },
);

const KEYS: Command = Command::new(
    keys,
    CommandSpec {
        name: "KEYS",
        summary: "Returns the names of all keys that fit a pattern.",
        complexity: "O(N) for N keys in the database",
        arity: Arity::exactly(2),
        flags: Flags::READONLY.and(Flags::NO_TOUCH).and(Flags::SLOW_JOB),
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        args: &[Arg::pattern("pattern")],
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        ..BASE
    },
);

const DBSIZE: Command = Command::new(
    dbsize,
    CommandSpec {
        name: "DBSIZE",
        summary: "Counts the keys of the database.",
        group: Group::Server,
        arity: Arity::exactly(1),
        flags: Flags::READONLY.and(Flags::FAST),
        // A sum over shards taken in turn would miss keys on their way from one to another.
        keys: Keys::All,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        ..BASE
    },
);

const RANDOMKEY: Command = Command::new(
    randomkey,
    CommandSpec {
        name: "RANDOMKEY",
        summary: "Returns the name of a key drawn at random.",
        arity: Arity::exactly(1),
        flags: Flags::READONLY.and(Flags::NO_TOUCH),
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        ..BASE
    },
);

/// How many times KEYS walks again because keys changed their names, before it holds everything.
const WALKS_MAX: usize = 3;
/// How many expired keys RANDOMKEY draws before it gives up.
const DRAWS_MAX: usize = 100;

/// What is scanned: which options it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanOf {
    /// The keyspace: TYPE.
    Keys,
    /// A hash: NOVALUES.
    Hash,
    /// A set.
    Set,
    /// A sorted set: NOSCORES.
    SortedSet,
}

/// The options of SCAN, HSCAN, SSCAN and ZSCAN.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions<'a> {
    /// Only what fits; `None` is everything.
    pub pattern: Option<&'a [u8]>,
    /// About how many elements to visit.
    pub count: usize,
    /// Only keys of this type; `Some(None)` is a type that does not exist.
    pub kind: Option<Option<Kind>>,
    /// Fields without their values, members without their scores.
    pub names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the words behind the cursor.
    pub fn parse(words: &[&'a [u8]], of: ScanOf) -> Result<ScanOptions<'a>> {
        let mut options = ScanOptions { pattern: None, count: 10, kind: None, names_only: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match (folded(word).as_slice(), words.len() > 0) {
                (b"count", true) => {
                    let count = words.next().and_then(|text| parse_i64(text)).ok_or(Error::NotInteger)?;
                    options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::Syntax)?;
                }
                (b"match", true) => options.pattern = words.next().copied().filter(|pattern| *pattern != b"*"),
                (b"type", true) if of == ScanOf::Keys => {
                    options.kind = words.next().map(|name| Kind::from_name(name));
                }
                (b"novalues", _) if of == ScanOf::Hash => options.names_only = true,
                (b"novalues", _) => return Err(Error::Text("ERR NOVALUES option can only be used in HSCAN")),
                (b"noscores", _) if of == ScanOf::SortedSet => options.names_only = true,
                (b"noscores", _) => return Err(Error::Text("ERR NOSCORES option can only be used in ZSCAN")),
                _ => return Err(Error::Syntax),
            }
        }
        Ok(options)
    }

    /// Whether a name fits the pattern.
    pub fn fits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    /// Whether a value is of the type asked for.
    fn takes(&self, entry: &Entry) -> bool {
        self.kind.is_none_or(|kind| kind == Some(entry.kind()))
    }
}

/// Reads the cursor of SCAN, HSCAN, SSCAN and ZSCAN.
pub fn parse_cursor(text: &[u8]) -> Result<u64> {
    parse_u64_loose(text).ok_or(Error::Text("ERR invalid cursor"))
}

/// Replies with one step over a collection: `walk` writes the elements to the reply it is given and returns the next
/// cursor and how many entries it wrote.
pub fn reply_step(reply: &mut Reply, walk: impl FnOnce(&mut Reply) -> (u64, usize)) {
    let mut elements = Reply::new(reply.proto());
    let (next, count) = walk(&mut elements);
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(count);
    reply.append(&mut elements);
}

/// Replies with the only step over a missing key.
pub fn reply_no_step(reply: &mut Reply) {
    reply_step(reply, |_| (0, 0));
}

fn scan(ctx: &mut Ctx<'_, '_>) -> Result {
    let cursor = parse_cursor(&ctx.args[1])?;
    let options = ScanOptions::parse(ctx.args.rest(2), ScanOf::Keys)?;
    let shards = ctx.txn.keyspace().shard_count();
    let mut walk = Walk { found: Reply::new(ctx.reply.proto()), count: 0, visited: 0, expired: Vec::new() };
    let mut place = Some(Place::decode(cursor, shards));
    // A table with few keys left in it would otherwise be walked to its end by one call.
    let mut steps = options.count.saturating_mul(10).max(64);
    while let Some(at) = place.filter(|_| walk.visited < options.count && steps > 0) {
        if !hold(ctx, at.shard)? {
            break;
        }
        let cursor = walk.step(ctx, at, &options);
        place = if cursor == 0 { at.next_shard(shards) } else { Some(Place { cursor, ..at }) };
        steps -= 1;
    }
    if !ctx.txn.keep_expired {
        walk.expired.iter().for_each(|key| ctx.txn.expire(key));
    }
    ctx.reply.array(2);
    let next = place.map_or(0, |place| place.encode(shards));
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.array(walk.count);
    ctx.reply.append(&mut walk.found);
    Ok(Outcome::Done)
}

/// What one SCAN has found.
struct Walk {
    found: Reply,
    count: usize,
    visited: usize,
    expired: Vec<Box<[u8]>>,
}

impl Walk {
    /// Visits the next bucket or so of a shard that is held; returns the place in its table to go on with.
    fn step(&mut self, ctx: &Ctx<'_, '_>, at: Place, options: &ScanOptions<'_>) -> u64 {
        let now_ms = ctx.txn.now_ms();
        let Some(shard) = ctx.txn.held_shard(at.shard) else { return at.cursor };
        shard.dbs[ctx.txn.db()].table.scan(at.cursor, |entry| {
            self.visited += 1;
            if !options.fits(entry.key()) {
                return;
            }
            if entry.expiry().is_some_and(|at| at <= now_ms) {
                self.expired.push(entry.key().into());
            } else if options.takes(entry) {
                self.found.bulk(entry.key());
                self.count += 1;
            }
        })
    }
}

fn keys(ctx: &mut Ctx<'_, '_>) -> Result {
    let pattern = ctx.args.all()[1];
    let keyspace = ctx.txn.keyspace();
    if ctx.txn.holds_nothing() && ctx.origin != Origin::Script {
        for _ in 0..WALKS_MAX {
            let moved = keyspace.names_moved.load(SeqCst);
            let mark = ctx.reply.begin_array();
            let mut listing = Listing::new(pattern, ctx.txn.now_ms());
            keyspace.each_key(ctx.txn.db(), |entry| listing.add(entry, ctx.reply))?;
            if keyspace.names_moved.load(SeqCst) == moved {
                ctx.reply.end_array(mark, listing.count);
                return Ok(Outcome::Done);
            }
            ctx.reply.truncate(mark);
        }
    }
    hold_all(ctx)?;
    let mark = ctx.reply.begin_array();
    let mut listing = Listing::new(pattern, ctx.txn.now_ms());
    let db = ctx.txn.db();
    for shard in ctx.txn.shards() {
        let mut cursor = 0;
        loop {
            cursor = shard.dbs[db].table.scan(cursor, |entry| listing.add(entry, ctx.reply));
            if cursor == 0 {
                break;
            }
        }
    }
    ctx.reply.end_array(mark, listing.count);
    Ok(Outcome::Done)
}

/// What KEYS replies.
struct Listing<'p> {
    pattern: &'p [u8],
    now_ms: u64,
    count: usize,
}

impl<'p> Listing<'p> {
    fn new(pattern: &'p [u8], now_ms: u64) -> Listing<'p> {
        Listing { pattern, now_ms, count: 0 }
    }

    fn add(&mut self, entry: &Entry, reply: &mut Reply) {
        let fits = self.pattern == b"*" || glob::matches(self.pattern, entry.key());
        if fits && entry.expiry().is_none_or(|at| at > self.now_ms) {
            reply.bulk(entry.key());
            self.count += 1;
        }
    }
}

fn dbsize(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int(ctx.txn.len() as i64);
    Ok(Outcome::Done)
}

fn randomkey(ctx: &mut Ctx<'_, '_>) -> Result {
    let (mut sizes, seed) = shard_sizes(ctx)?;
    let mut rng = Rng::from_seed(seed);
    for _ in 0..DRAWS_MAX {
        let Some(shard) = draw_shard(&sizes, &mut rng) else { break };
        if !hold(ctx, shard)? {
            continue;
        }
        match draw_key(ctx, shard) {
            Draw::Live(key) => {
                ctx.reply.bulk(&key);
                return Ok(Outcome::Done);
            }
            Draw::Expired(key) if !ctx.txn.keep_expired => ctx.txn.expire(&key),
            Draw::Expired(_) => {}
            Draw::Empty => sizes[shard as usize] = 0,
        }
    }
    ctx.reply.null();
    Ok(Outcome::Done)
}

/// How many keys each shard has, and a seed from the first one's generator.
fn shard_sizes(ctx: &mut Ctx<'_, '_>) -> Result<(Vec<usize>, u64)> {
    if !ctx.txn.holds_nothing() {
        hold_all(ctx)?;
    }
    let db = ctx.txn.db();
    let (mut sizes, mut seed) = (Vec::new(), None);
    ctx.txn.each_shard(|shard| {
        sizes.push(shard.dbs[db].table.len());
        seed.get_or_insert_with(|| shard.rng.next_u64());
    })?;
    Ok((sizes, seed.unwrap_or_default()))
}

/// What a draw from one shard gave.
enum Draw {
    Live(Box<[u8]>),
    Expired(Box<[u8]>),
    Empty,
}

/// A shard, drawn with the weight of its keys; `None` when none has any.
fn draw_shard(sizes: &[usize], rng: &mut Rng) -> Option<u32> {
    let mut at = rng.index(sizes.iter().sum());
    for (shard, size) in sizes.iter().enumerate() {
        if at < *size {
            return Some(shard as u32);
        }
        at -= size;
    }
    None
}

fn draw_key(ctx: &mut Ctx<'_, '_>, shard: u32) -> Draw {
    let (db, now_ms) = (ctx.txn.db(), ctx.txn.now_ms());
    let Some(shard) = ctx.txn.held_shard_mut(shard) else { return Draw::Empty };
    match shard.dbs[db].table.random(&mut shard.rng) {
        None => Draw::Empty,
        Some(entry) if entry.expiry().is_some_and(|at| at <= now_ms) => Draw::Expired(entry.key().into()),
        Some(entry) => Draw::Live(entry.key().into()),
    }
}

/// Takes one more shard: waiting when none is held yet or a script asks, else only if it is free.
fn hold(ctx: &mut Ctx<'_, '_>, shard: u32) -> Result<bool> {
    if ctx.txn.held_shard(shard).is_some() {
        return Ok(true);
    }
    if ctx.txn.holds_nothing() {
        ctx.txn.enter(shard)?;
        return Ok(true);
    }
    if ctx.origin == Origin::Script {
        ctx.txn.extend(&[shard]);
        return Ok(true);
    }
    Ok(ctx.txn.try_extend(&[shard]))
}

/// Takes every shard that is not held yet. A script has the token; anybody else with less than all has nothing, and
/// takes the token first.
fn hold_all(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.txn.holds_all() {
        return Ok(());
    }
    let shards: Vec<u32> = (0..ctx.txn.keyspace().shard_count() as u32).collect();
    let token = if ctx.origin == Origin::Script { None } else { Some(ctx.node.wait_token()?) };
    ctx.txn.extend(&shards);
    drop(token);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, of: ScanOf) -> Result<(bool, usize, bool)> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        ScanOptions::parse(&words, of).map(|o| (o.pattern.is_some(), o.count, o.kind.is_some() || o.names_only))
    }

    #[test]
    fn options_belong_to_what_is_scanned() {
        for (line, of, want) in [
            ("", ScanOf::Keys, Ok((false, 10, false))),
            ("match a* count 5 type string", ScanOf::Keys, Ok((true, 5, true))),
            ("MATCH *", ScanOf::Set, Ok((false, 10, false))),
            ("count 0", ScanOf::Keys, Err(Error::Syntax)),
            ("count -1", ScanOf::Keys, Err(Error::Syntax)),
            ("count x", ScanOf::Keys, Err(Error::NotInteger)),
            ("count", ScanOf::Keys, Err(Error::Syntax)),
            ("type set", ScanOf::SortedSet, Err(Error::Syntax)),
            ("novalues", ScanOf::Hash, Ok((false, 10, true))),
            ("count 3 NOSCORES", ScanOf::SortedSet, Ok((false, 3, true))),
        ] {
            assert_eq!(parse(line, of), want, "{line}");
        }
        assert!(parse("novalues", ScanOf::SortedSet).is_err() && parse("noscores", ScanOf::Hash).is_err());
        assert_eq!(parse_cursor(b"-1"), Err(Error::Text("ERR invalid cursor")));
        assert_eq!(parse_cursor(b"18446744073709551615"), Ok(u64::MAX));
    }
}
