//! Searches: GEOSEARCH and GEOSEARCHSTORE, and the older GEORADIUS commands, which are the same with their shape in fixed
//! places. BYPOLYGON is that of Valkey 9: it needs no centre and measures distances from the mean of its corners, in
//! meters.

use super::super::Command;
use super::super::args::{Argv, Cursor};
use super::super::ctx::{Ctx, Outcome, Result};
use super::super::error::Error;
use super::super::zset;
use super::{BASE, UNIT, float_or, point_at, position_of, reply_point, unit_of};
use crate::base::num::parse_i64;
use crate::keyspace::{Class, Deadline};
use crate::spec::keys::{BadKeys, Find, Found};
use crate::spec::{Access, Arg, Arity, CommandSpec, Flags, KeySpec, Keys, Propagate};
use crate::types::Value;
use crate::types::geo::cover::cover;
use crate::types::geo::shape::{Search, Shape};
use crate::types::geo::{Point, distance_text};
use crate::types::zset::{ScoreRange, ZSet};
use std::ops::Bound;

pub(super) const GEORADIUS: Command = Command::new(
    georadius,
    CommandSpec {
        name: "GEORADIUS",
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`")),
        summary: "Finds members in a circle around a position.",
        since: "3.2.0",
        history: &[("6.2.0", "COUNT takes ANY."), ("7.0.0", "Units may be in capitals.")],
        complexity: "O(N+log(M)), N the members in the cells around the shape, M all of them",
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::By(
            radius_keys,
            &[
                KeySpec::one(1, Access::READ),
                KeySpec::keyword("STORE", 6, Find::Range { last: 0, step: 1, limit: 0 }, Access::OVERWRITE),
                KeySpec::keyword("STOREDIST", 6, Find::Range { last: 0, step: 1, limit: 0 }, Access::OVERWRITE),
            ],
        ),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::double("longitude"),
            Arg::double("latitude"),
            Arg::double("radius"),
            UNIT,
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block(
                "count-block",
                &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional().since("6.2.0")],
            )
            .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::one_of(
                "store",
                &[
                    Arg::key_of("storekey", 1).shown("key").token("STORE"),
                    Arg::key_of("storedistkey", 2).shown("key").token("STOREDIST"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

pub(super) const GEORADIUSBYMEMBER: Command = Command::new(
    georadiusbymember,
    CommandSpec {
        name: "GEORADIUSBYMEMBER",
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS` and `FROMMEMBER`")),
        summary: "Finds members in a circle around a member.",
        since: "3.2.0",
        history: &[("6.2.0", "COUNT takes ANY."), ("7.0.0", "Units may be in capitals.")],
        complexity: "O(N+log(M)), N the members in the cells around the shape, M all of them",
        arity: Arity::at_least(5),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::By(
            by_member_keys,
            &[
                KeySpec::one(1, Access::READ),
                KeySpec::keyword("STORE", 5, Find::Range { last: 0, step: 1, limit: 0 }, Access::OVERWRITE),
                KeySpec::keyword("STOREDIST", 5, Find::Range { last: 0, step: 1, limit: 0 }, Access::OVERWRITE),
            ],
        ),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("key"),
            Arg::string("member"),
            Arg::double("radius"),
            UNIT,
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block("count-block", &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()])
                .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::one_of(
                "store",
                &[
                    Arg::key_of("storekey", 1).shown("key").token("STORE"),
                    Arg::key_of("storedistkey", 2).shown("key").token("STOREDIST"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
);

pub(super) const GEORADIUSBYMEMBER_RO: Command = Command::new(
    georadiusbymember_ro,
    CommandSpec {
        name: "GEORADIUSBYMEMBER_RO",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with `BYRADIUS` and `FROMMEMBER`")),
        summary: "Finds members in a circle around a member, without storing them.",
        since: "3.2.10",
        history: &[("6.2.0", "COUNT takes ANY."), ("7.0.0", "Units may be in capitals.")],
        complexity: "O(N+log(M)), N the members in the cells around the shape, M all of them",
        arity: Arity::at_least(5),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::string("member"),
            Arg::double("radius"),
            UNIT,
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block("count-block", &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()])
                .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
        ],
        ..BASE
    },
);

pub(super) const GEORADIUS_RO: Command = Command::new(
    georadius_ro,
    CommandSpec {
        name: "GEORADIUS_RO",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with `BYRADIUS`")),
        summary: "Finds members in a circle around a position, without storing them.",
        since: "3.2.10",
        history: &[("6.2.0", "COUNT takes ANY."), ("7.0.0", "Units may be in capitals.")],
        complexity: "O(N+log(M)), N the members in the cells around the shape, M all of them",
        arity: Arity::at_least(6),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::double("longitude"),
            Arg::double("latitude"),
            Arg::double("radius"),
            UNIT,
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block(
                "count-block",
                &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional().since("6.2.0")],
            )
            .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
        ],
        ..BASE
    },
);

pub(super) const GEOSEARCH: Command = Command::new(
    geosearch,
    CommandSpec {
        name: "GEOSEARCH",
        summary: "Finds members in a circle, a box or a polygon.",
        since: "6.2.0",
        history: &[("7.0.0", "Units may be in capitals."), ("9.0.0", "Takes BYPOLYGON.")],
        complexity: "O(N+log(M)), N the members in the cells around the shape, M all of them",
        arity: Arity::at_least(7),
        flags: Flags::READONLY,
        keys: Keys::one(1, Access::READ),
        args: &[
            Arg::key("key"),
            Arg::one_of(
                "from",
                &[
                    Arg::string("member").token("FROMMEMBER"),
                    Arg::block("fromlonlat", &[Arg::double("longitude"), Arg::double("latitude")]).token("FROMLONLAT"),
                ],
            ),
            Arg::one_of(
                "by",
                &[
                    Arg::block("circle", &[Arg::double("radius").token("BYRADIUS"), UNIT]),
                    Arg::block("box", &[Arg::double("width").token("BYBOX"), Arg::double("height"), UNIT]),
                    Arg::block(
                        "polygon",
                        &[
                            Arg::integer("num-vertices").token("BYPOLYGON"),
                            Arg::block("vertices", &[Arg::double("longitude"), Arg::double("latitude")]).multiple(),
                        ],
                    )
                    .since("9.0.0"),
                ],
            ),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::block("count-block", &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()])
                .optional(),
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
        ],
        ..BASE
    },
);

pub(super) const GEOSEARCHSTORE: Command = Command::new(
    geosearchstore,
    CommandSpec {
        name: "GEOSEARCHSTORE",
        summary: "Stores the members in a circle, a box or a polygon as a sorted set.",
        since: "6.2.0",
        history: &[("7.0.0", "Units may be in capitals."), ("9.0.0", "Takes BYPOLYGON.")],
        complexity: "O(N+log(M)), N the members in the cells around the shape, M all of them",
        arity: Arity::at_least(8),
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Specs(&[KeySpec::one(1, Access::OVERWRITE), KeySpec::one(2, Access::READ)]),
        effect: Propagate::Verbatim,
        args: &[
            Arg::key("destination"),
            Arg::key_of("source", 1),
            Arg::one_of(
                "from",
                &[
                    Arg::string("member").token("FROMMEMBER"),
                    Arg::block("fromlonlat", &[Arg::double("longitude"), Arg::double("latitude")]).token("FROMLONLAT"),
                ],
            ),
            Arg::one_of(
                "by",
                &[
                    Arg::block("circle", &[Arg::double("radius").token("BYRADIUS"), UNIT]),
                    Arg::block("box", &[Arg::double("width").token("BYBOX"), Arg::double("height"), UNIT]),
                    Arg::block(
                        "polygon",
                        &[
                            Arg::integer("num-vertices").token("BYPOLYGON"),
                            Arg::block("vertices", &[Arg::double("longitude"), Arg::double("latitude")]).multiple(),
                        ],
                    )
                    .since("9.0.0"),
                ],
            ),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::block("count-block", &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()])
                .optional(),
            Arg::word("storedist", "STOREDIST").optional(),
        ],
        ..BASE
    },
);

/// The source, and the targets that STORE and STOREDIST name.
fn keys_of(argv: &[&[u8]], options_at: usize) -> std::result::Result<Found, BadKeys> {
    let (mut places, mut distances) = (Found::new(), Found::new());
    let mut at = options_at;
    while at + 1 < argv.len() {
        let named = match () {
            () if argv[at].eq_ignore_ascii_case(b"STORE") => Some(&mut places),
            () if argv[at].eq_ignore_ascii_case(b"STOREDIST") => Some(&mut distances),
            () => None,
        };
        if let Some(named) = named {
            at += 1;
            named.push((at, Access::OVERWRITE));
        }
        at += 1;
    }
    Ok([(1, Access::READ)].into_iter().chain(places).chain(distances).collect())
}

fn radius_keys(argv: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    keys_of(argv, RADIUS_OPTIONS_AT)
}

fn by_member_keys(argv: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    keys_of(argv, BY_MEMBER_OPTIONS_AT)
}

const RADIUS_OPTIONS_AT: usize = 6;
const BY_MEMBER_OPTIONS_AT: usize = 5;

const NOT_A_MEMBER: Error = Error::Text("ERR could not decode requested zset member");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// Which words a command knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// GEORADIUS: centre and radius stand in fixed places; STORE takes a key.
    Radius,
    /// The same without STORE.
    RadiusReadOnly,
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }
}

/// A request, read.
struct Request<'a> {
    form: Form,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    any: bool,
    order: Option<Order>,
    count: Option<usize>,
    store: Option<&'a [u8]>,
    store_distance: bool,
    center: Center,
    outline: Option<(Shape, f64)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Center {
    None,
    /// A position given, or that of a member.
    At(Point),
    /// A member of a key that does not exist.
    Nowhere,
}

impl<'a> Request<'a> {
    fn new(form: Form) -> Request<'a> {
        Request {
            form,
            with_distance: false,
            with_hash: false,
            with_position: false,
            any: false,
            order: None,
            count: None,
            store: None,
            store_distance: false,
            center: Center::None,
            outline: None,
        }
    }

    /// Reads the options from argument `first` on.
    fn read(&mut self, args: Argv<'a>, first: usize, source: Option<&ZSet>) -> Result<()> {
        let mut options = args.cursor(first);
        let mut from_member = false;
        while !options.is_done() {
            if options.word("WITHDIST") {
                self.with_distance = true;
            } else if options.word("WITHHASH") {
                self.with_hash = true;
            } else if options.word("WITHCOORD") {
                self.with_position = true;
            } else if options.word("ANY") {
                self.any = true;
            } else if options.word("ASC") {
                self.order = Some(Order::Ascending);
            } else if options.word("DESC") {
                self.order = Some(Order::Descending);
            } else if options.word_with("COUNT", 1) {
                let count = options.int()?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or(Error::Text("ERR COUNT must be > 0"))?);
            } else if self.form == Form::Radius && options.word_with("STORE", 1) {
                (self.store, self.store_distance) = (Some(options.take()?), false);
            } else if self.form == Form::Radius && options.word_with("STOREDIST", 1) {
                (self.store, self.store_distance) = (Some(options.take()?), true);
            } else if self.form == Form::SearchStore && options.word("STOREDIST") {
                self.store_distance = true;
            } else if !self.form.is_search() {
                return Err(Error::Syntax);
            } else if self.has_corners() {
                self.read_outline(args, &mut options)?;
            } else if (self.center == Center::None || from_member) && options.word_with("FROMMEMBER", 1) {
                from_member = true;
                self.center = center_of(source, options.take()?)?;
            } else if !from_member && options.word_with("FROMLONLAT", 2) {
                self.center = Center::At(point_at(args, options.at())?);
                skip(&mut options, 2)?;
            } else {
                self.read_outline(args, &mut options)?;
            }
        }
        Ok(())
    }

    /// Whether the outline is a polygon, which needs no centre and takes none.
    fn has_corners(&self) -> bool {
        matches!(self.outline, Some((Shape::Polygon(_), _)))
    }

    /// Reads BYRADIUS, BYBOX or BYPOLYGON; the last of a kind counts, two kinds do not go together.
    fn read_outline(&mut self, args: Argv<'a>, options: &mut Cursor<'a>) -> Result<()> {
        let is = |outline: &Option<(Shape, f64)>, kind: fn(&Shape) -> bool| {
            outline.as_ref().is_none_or(|(shape, _)| kind(shape))
        };
        self.outline =
            Some(if is(&self.outline, |shape| matches!(shape, Shape::Radius(_))) && options.word_with("BYRADIUS", 2) {
                radius(options)?
            } else if is(&self.outline, |shape| matches!(shape, Shape::Box { .. })) && options.word_with("BYBOX", 3) {
                rectangle(options)?
            } else if (self.outline.is_none() && self.center == Center::None || self.has_corners())
                && options.word_with("BYPOLYGON", 1)
            {
                polygon(args, options)?
            } else {
                return Err(Error::Syntax);
            });
        Ok(())
    }

    /// What does not go together, in the order in which the original finds it.
    fn check(&self, name: &[u8]) -> Result<()> {
        let search_error =
            |text: &[u8]| Err(Error::of(&[b"ERR exactly one of ", text, b" can be specified for ", name]));
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_position) {
            let command = if self.form == Form::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Error::owned(format!(
                "ERR {command} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if self.center == Center::None && self.form.is_search() && !self.has_corners() {
            return search_error(b"FROMMEMBER or FROMLONLAT");
        }
        if self.form.is_search() && self.outline.is_none() {
            return search_error(b"BYRADIUS and BYBOX");
        }
        if self.any && self.count.is_none() {
            return Err(Error::Text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The shape in its place; `None` when the place is a member of nothing.
    fn search(&mut self) -> Option<Search> {
        match (self.outline.take()?, self.center) {
            ((Shape::Polygon(corners), unit), _) => Some(Search::polygon(corners, unit)),
            ((shape, unit), Center::At(center)) => Some(Search { center, shape, unit }),
            _ => None,
        }
    }
}

fn skip(options: &mut Cursor<'_>, count: usize) -> Result<()> {
    (0..count).try_for_each(|_| options.take().map(|_| ()))
}

fn center_of(source: Option<&ZSet>, member: &[u8]) -> Result<Center> {
    match source {
        None => Ok(Center::Nowhere),
        Some(_) => position_of(source, member).map(Center::At).ok_or(NOT_A_MEMBER),
    }
}

fn radius(options: &mut Cursor<'_>) -> Result<(Shape, f64)> {
    let radius = float_or(options.take()?, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(Error::Text("ERR radius cannot be negative"));
    }
    Ok((Shape::Radius(radius), unit_of(options.take()?)?.meters()))
}

fn rectangle(options: &mut Cursor<'_>) -> Result<(Shape, f64)> {
    let width = float_or(options.take()?, "ERR need numeric width")?;
    let height = float_or(options.take()?, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(Error::Text("ERR height or width cannot be negative"));
    }
    Ok((Shape::Box { width, height }, unit_of(options.take()?)?.meters()))
}

fn polygon(args: Argv<'_>, options: &mut Cursor<'_>) -> Result<(Shape, f64)> {
    const FEWEST: i32 = 3;
    let count = parse_i64(options.take()?).and_then(|count| i32::try_from(count).ok());
    let count = count.ok_or(Error::Text("ERR invalid number of vertices"))?;
    if count < FEWEST || (options.left() / 2) < count as usize {
        return Err(Error::Text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"));
    }
    let count = count as usize;
    let first = options.at();
    let corners = (0..count).map(|corner| point_at(args, first + corner * 2)).collect::<Result<Vec<Point>>>()?;
    skip(options, count * 2)?;
    Ok((Shape::Polygon(corners), 1.0))
}

fn georadius(ctx: &mut Ctx<'_, '_>) -> Result {
    search_around_position(ctx, Form::Radius)
}

fn georadius_ro(ctx: &mut Ctx<'_, '_>) -> Result {
    search_around_position(ctx, Form::RadiusReadOnly)
}

fn georadiusbymember(ctx: &mut Ctx<'_, '_>) -> Result {
    search_around_member(ctx, Form::Radius)
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_, '_>) -> Result {
    search_around_member(ctx, Form::RadiusReadOnly)
}

fn search_around_position(ctx: &mut Ctx<'_, '_>, form: Form) -> Result {
    let mut request = Request::new(form);
    // The type of the key is judged before the arguments.
    ctx.txn.read::<ZSet>(&ctx.args[1])?;
    request.center = Center::At(point_at(ctx.args, 2)?);
    request.outline = Some(radius(&mut ctx.args.cursor(RADIUS_OPTIONS_AT - 2))?);
    request.read(ctx.args, RADIUS_OPTIONS_AT, None)?;
    answer(ctx, request, 1)
}

fn search_around_member(ctx: &mut Ctx<'_, '_>, form: Form) -> Result {
    let mut request = Request::new(form);
    let source = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    request.center = center_of(source.as_deref(), &ctx.args[2])?;
    // Without a source the radius is not looked at.
    if source.is_some() {
        request.outline = Some(radius(&mut ctx.args.cursor(BY_MEMBER_OPTIONS_AT - 2))?);
    }
    request.read(ctx.args, BY_MEMBER_OPTIONS_AT, source.as_deref())?;
    answer(ctx, request, 1)
}

fn geosearch(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut request = Request::new(Form::Search);
    let source = ctx.txn.read::<ZSet>(&ctx.args[1])?;
    request.read(ctx.args, 2, source.as_deref())?;
    answer(ctx, request, 1)
}

fn geosearchstore(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut request = Request::new(Form::SearchStore);
    let source = ctx.txn.read::<ZSet>(&ctx.args[2])?;
    request.store = Some(ctx.args.all()[1]);
    request.read(ctx.args, 3, source.as_deref())?;
    answer(ctx, request, 2)
}

/// A member found.
struct Hit {
    member: Vec<u8>,
    score: f64,
    position: Point,
    /// In meters, from the centre.
    distance: f64,
}

/// All members within the shape, in the order of the cells around it; stops at `limit`.
fn hits(zset: &ZSet, search: &Search, limit: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    for scores in cover(search) {
        let range = ScoreRange { min: Bound::Included(scores.start as f64), max: Bound::Excluded(scores.end as f64) };
        for pair in zset.iter(zset.ranks_by_score(&range)) {
            if hits.len() >= limit {
                return hits;
            }
            let position = Point::of_score(pair.score);
            if let Some(distance) = search.distance_within(position) {
                hits.push(Hit { member: pair.member.to_vec(), score: pair.score, position, distance });
            }
        }
    }
    hits
}

fn sort(hits: &mut [Hit], order: Order) {
    let by_distance = |a: &Hit, b: &Hit| a.distance.total_cmp(&b.distance);
    match order {
        Order::Ascending => hits.sort_by(by_distance),
        Order::Descending => hits.sort_by(|a, b| by_distance(b, a)),
    }
}

fn answer(ctx: &mut Ctx<'_, '_>, mut request: Request<'_>, source_at: usize) -> Result {
    request.check(&ctx.args[0])?;
    // It has been counted as read before.
    let source = ctx.txn.peek_as::<ZSet>(&ctx.args[source_at])?;
    let mut found = Vec::new();
    let mut unit = 1.0;
    if let (Some(zset), Some(search)) = (source, request.search()) {
        let limit = request.count.filter(|_| request.any).unwrap_or(usize::MAX);
        found = hits(&zset, &search, limit);
        unit = search.unit;
    }
    // The nearest so many are meant, unless any will do.
    let nearest = Some(Order::Ascending).filter(|_| request.count.is_some() && !request.any);
    if let Some(order) = request.order.or(nearest) {
        sort(&mut found, order);
    }
    found.truncate(request.count.unwrap_or(usize::MAX));
    found.iter_mut().for_each(|hit| hit.distance /= unit);
    match request.store {
        Some(target) => store(ctx, &request, target, &found),
        None => reply(ctx, &request, &found),
    }
    Ok(Outcome::Done)
}

fn reply(ctx: &mut Ctx<'_, '_>, request: &Request<'_>, hits: &[Hit]) {
    let reply = &mut *ctx.reply;
    let extras = [request.with_distance, request.with_hash, request.with_position];
    let extras = extras.into_iter().filter(|extra| *extra).count();
    reply.array(hits.len());
    for hit in hits {
        if extras > 0 {
            reply.array(extras + 1);
        }
        reply.bulk(&hit.member);
        if request.with_distance {
            reply.bulk(distance_text(hit.distance).as_bytes());
        }
        if request.with_hash {
            reply.int(hit.score as i64);
        }
        if request.with_position {
            reply_point(reply, hit.position);
        }
    }
}

fn store(ctx: &mut Ctx<'_, '_>, request: &Request<'_>, target: &[u8], hits: &[Hit]) {
    if hits.is_empty() {
        ctx.txn.delete_target(target);
    } else {
        let limits = zset::limits(ctx.node);
        let longest = hits.iter().map(|hit| hit.member.len()).max().unwrap_or(0);
        let mut stored = ZSet::for_members(hits.len(), longest, &limits);
        for hit in hits {
            stored.set(&hit.member, if request.store_distance { hit.distance } else { hit.score }, &limits);
        }
        ctx.txn.insert(target, Value::ZSet(stored), Deadline::Clear);
        ctx.txn.count_dirty(hits.len() as u64 - 1);
        let event = if request.form.is_search() { "geosearchstore" } else { "georadiusstore" };
        ctx.txn.event(Class::ZSET, event, target);
    }
    ctx.reply.int(hits.len() as i64);
}
