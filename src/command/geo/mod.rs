//! Geo commands: positions on the earth kept as the scores of a sorted set. The arithmetic is in `types::geo`; searches
//! are in `search`.

mod search;

use super::Command;
use super::args::Argv;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::zset;
use crate::base::num;
use crate::resp::reply::{Proto, Reply};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, Keys, Propagate};
use crate::types::geo::{GeoUnit, Point, distance_text};
use crate::types::zset::{AddIf, ZSet};

/// The family.
pub const COMMANDS: &[Command] = &[
    GEOADD,
    GEODIST,
    GEOHASH,
    GEOPOS,
    search::GEORADIUS,
    search::GEORADIUSBYMEMBER,
    search::GEORADIUSBYMEMBER_RO,
    search::GEORADIUS_RO,
    search::GEOSEARCH,
    search::GEOSEARCHSTORE,
];

/// What all rows of this family share.
const BASE: CommandSpec = CommandSpec { group: Group::Geo, categories: Categories::GEO, ..CommandSpec::BASE };

const UNIT: Arg =
    Arg::one_of("unit", &[Arg::word("m", "M"), Arg::word("km", "KM"), Arg::word("ft", "FT"), Arg::word("mi", "MI")]);

const GEOADD: Command = Command::new(
    geoadd,
    CommandSpec {
        name: "GEOADD",
        summary: "Adds members at positions on the earth.",
        since: "3.2.0",
        history: &[("6.2.0", "Takes NX, XX and CH.")],
        complexity: "O(log(N)) for each member, N those of the sorted set",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::one(1, Access::UPDATE),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional().since("6.2.0"),
            Arg::word("change", "CH").optional().since("6.2.0"),
            Arg::block("data", &[Arg::double("longitude"), Arg::double("latitude"), Arg::string("member")]).multiple(),
        ],
        ..BASE
    },
);

const GEODIST: Command = Command::new(
    geodist,
    CommandSpec {
        name: "GEODIST",
        summary: "Returns the distance between two members.",
        since: "3.2.0",
        complexity: "O(1)",
        arity: Arity::at_least(4),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member1"), Arg::string("member2"), UNIT.optional()],
        ..BASE
    },
);

const GEOHASH: Command = Command::new(
    geohash,
    CommandSpec {
        name: "GEOHASH",
        summary: "Returns the standard geohash strings of members.",
        since: "3.2.0",
        complexity: "O(1) for each member named",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member").optional().multiple()],
        ..BASE
    },
);

const GEOPOS: Command = Command::new(
    geopos,
    CommandSpec {
        name: "GEOPOS",
        summary: "Returns the positions of members.",
        since: "3.2.0",
        complexity: "O(1) for each member named",
        arity: Arity::at_least(2),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[Arg::key("key"), Arg::string("member").optional().multiple()],
        ..BASE
    },
);

/// Reads two arguments as a position.
fn point_at(args: Argv<'_>, index: usize) -> Result<Point> {
    let (longitude, latitude) = (args.float(index)?, args.float(index + 1)?);
    let outside = || Error::owned(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"));
    Point::new(longitude, latitude).ok_or_else(outside)
}

fn unit_of(text: &[u8]) -> Result<GeoUnit> {
    GeoUnit::parse(text).ok_or(Error::Text("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Where a member is, if it is there.
fn position_of(zset: Option<&ZSet>, member: &[u8]) -> Option<Point> {
    zset?.score(member).map(Point::of_score)
}

/// Both parts of a position with 17 decimals and without trailing zeros.
fn reply_point(reply: &mut Reply, point: Point) {
    reply.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        match reply.proto() {
            Proto::Resp2 => reply.bulk(text.as_bytes()),
            Proto::Resp3 => reply.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}

fn geoadd(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut conditions = AddIf::default();
    let mut count_changed = false;
    let mut args = ctx.args.cursor(2);
    loop {
        if args.word("NX") {
            conditions.absent = true;
        } else if args.word("XX") {
            conditions.present = true;
        } else if args.word("CH") {
            count_changed = true;
        } else {
            break;
        }
    }
    let first = args.at();
    if args.is_done() || !args.left().is_multiple_of(3) || (conditions.absent && conditions.present) {
        return Err(Error::Syntax);
    }
    let members =
        (first..ctx.args.len()).step_by(3).map(|at| Ok((point_at(ctx.args, at)?.score(), ctx.args.all()[at + 2])));
    let members = members.collect::<Result<Vec<(u64, &[u8])>>>()?;
    let pairs = members.iter().map(|(score, member)| (*score as f64, *member)).collect();
    let tally = zset::apply(ctx, &zset::Add { conditions, count_changed, pairs })?;
    if tally.new + tally.updated > 0 {
        log_as_zadd(ctx, first, &members);
    }
    ctx.reply.int((tally.new + if count_changed { tally.updated } else { 0 }) as i64);
    Ok(Outcome::Done)
}

/// Logs the ZADD that a GEOADD comes to; its options, in front of argument `first`, are the same.
fn log_as_zadd(ctx: &mut Ctx<'_, '_>, first: usize, members: &[(u64, &[u8])]) {
    if !ctx.txn.is_logged() {
        return;
    }
    let scores: Vec<String> = members.iter().map(|(score, _)| score.to_string()).collect();
    let mut command: Vec<&[u8]> = vec![b"zadd"];
    command.extend(&ctx.args.all()[1..first]);
    for ((_, member), score) in members.iter().zip(&scores) {
        command.extend([score.as_bytes(), *member]);
    }
    ctx.log_as(&command);
}

fn geodist(ctx: &mut Ctx<'_, '_>) -> Result {
    let unit = match ctx.args.len() {
        4 => GeoUnit::Meters,
        5 => unit_of(&ctx.args[4])?,
        _ => return Err(Error::Syntax),
    };
    let zset = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    let zset = zset.as_deref();
    match (position_of(zset, &ctx.args[2]), position_of(zset, &ctx.args[3])) {
        (Some(from), Some(to)) => ctx.reply.bulk(distance_text(from.distance(to) / unit.meters()).as_bytes()),
        _ => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn geohash(ctx: &mut Ctx<'_, '_>) -> Result {
    let (zset, members) = (ctx.txn.read::<ZSet>(&ctx.args[1])?, ctx.args.rest(2));
    ctx.reply.array(members.len());
    for member in members {
        match position_of(zset.as_deref(), member) {
            Some(point) => ctx.reply.bulk(&point.geohash()),
            None => ctx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn geopos(ctx: &mut Ctx<'_, '_>) -> Result {
    let (zset, members) = (ctx.txn.read::<ZSet>(&ctx.args[1])?, ctx.args.rest(2));
    ctx.reply.array(members.len());
    for member in members {
        match position_of(zset.as_deref(), member) {
            Some(point) => reply_point(ctx.reply, point),
            None => ctx.reply.null_array(),
        }
    }
    Ok(Outcome::Done)
}

/// A number with an error text of its own.
fn float_or(text: &[u8], error: &'static str) -> Result<f64> {
    num::parse_f64(text).ok_or(Error::Text(error))
}
