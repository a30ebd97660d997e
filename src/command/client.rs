//! CLIENT: who is connected, and what the session is called.

pub mod describe;

use super::Command;
use super::connection::check_name;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::tracking;
use crate::base::num::parse_i64;
use crate::client::{Client, ClientType, Marks, ReplyMode};
use crate::node::Pause;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys};
use describe::describe_in;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The family.
pub const COMMANDS: &[Command] = &[CLIENT];

const BASE: CommandSpec = CommandSpec {
    group: Group::Connection,
    categories: Categories::CONNECTION,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SENTINEL),
    ..CommandSpec::BASE
};
const ADMIN: Flags = BASE.flags.and(Flags::ADMIN);
const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

const CLIENT: Command = Command::container(
    CommandSpec {
        name: "CLIENT",
        summary: "A container for commands on client connections.",
        since: "2.4.0",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        categories: Categories::NONE,
        flags: Flags::SENTINEL,
        ..BASE
    },
    &[
        Command::new(getname, sub("GETNAME", "2.6.9", Arity::exactly(2), "The name of the connection.", &[])),
        Command::new(
            help,
            CommandSpec {
                flags: Flags::LOADING.and(Flags::STALE),
                ..sub("HELP", "5.0.0", Arity::exactly(2), "What there is.", &[])
            },
        ),
        Command::new(id, sub("ID", "5.0.0", Arity::exactly(2), "The id of the connection.", &[])),
        Command::new(
            info,
            CommandSpec {
                tips: NONDETERMINISTIC,
                ..sub("INFO", "6.2.0", Arity::exactly(2), "The line of CLIENT LIST for this connection.", &[])
            },
        ),
        Command::new(
            kill,
            CommandSpec {
                history: &[
                    ("2.8.12", "Takes filters."),
                    ("2.8.12", "Takes ID."),
                    ("3.2.0", "TYPE knows MASTER."),
                    ("5.0.0", "TYPE knows REPLICA, which was SLAVE."),
                    ("6.2.0", "Takes LADDR."),
                    ("7.4.0", "Takes MAXAGE."),
                ],
                complexity: "O(N) in the connections",
                flags: ADMIN,
                ..sub("KILL", "2.4.0", Arity::at_least(3), "Closes connections.", KILL_ARGS)
            },
        ),
        Command::new(
            list,
            CommandSpec {
                history: &[
                    ("2.8.12", "Tells id."),
                    ("5.0.0", "Takes TYPE."),
                    ("6.0.0", "Tells user."),
                    ("6.2.0", "Takes ID; tells argv-mem, tot-mem, laddr and redir."),
                    ("7.0.0", "Tells resp, multi-mem, rbs and rbp."),
                    ("7.0.3", "Tells ssub."),
                ],
                complexity: "O(N) in the connections",
                flags: ADMIN,
                tips: NONDETERMINISTIC,
                ..sub("LIST", "2.4.0", Arity::at_least(2), "Lists connections.", LIST_ARGS)
            },
        ),
        Command::new(
            no_evict,
            CommandSpec {
                flags: ADMIN,
                ..sub("NO-EVICT", "7.0.0", Arity::exactly(3), "Spares this connection from client eviction.", ON_OFF)
            },
        ),
        Command::new(
            no_touch,
            sub("NO-TOUCH", "7.2.0", Arity::exactly(3), "Reads of this connection leave no trace on keys.", ON_OFF),
        ),
        Command::new(
            pause,
            CommandSpec {
                history: &[("6.2.0", "Takes WRITE and ALL.")],
                flags: ADMIN,
                keys: Keys::All,
                ..sub("PAUSE", "3.0.0", Arity::at_least(3), "Lets commands wait for a while.", PAUSE_ARGS)
            },
        ),
        Command::new(
            reply,
            sub("REPLY", "3.2.0", Arity::exactly(3), "Whether this connection gets replies.", REPLY_ARGS),
        ),
        Command::new(
            setinfo,
            CommandSpec {
                tips: ON_ALL_NODES,
                ..sub("SETINFO", "7.2.0", Arity::exactly(4), "Names the library of this connection.", SETINFO_ARGS)
            },
        ),
        Command::new(
            setname,
            CommandSpec {
                tips: ON_ALL_NODES,
                ..sub(
                    "SETNAME",
                    "2.6.9",
                    Arity::exactly(3),
                    "Names this connection.",
                    &[Arg::string("connection-name")],
                )
            },
        ),
        tracking::CACHING,
        tracking::GETREDIR,
        tracking::TRACKING,
        tracking::TRACKINGINFO,
        Command::new(
            unblock,
            CommandSpec {
                flags: ADMIN,
                ..sub("UNBLOCK", "5.0.0", Arity::at_least(3), "Wakes a blocked connection.", UNBLOCK_ARGS)
            },
        ),
        Command::new(
            unpause,
            CommandSpec {
                complexity: "O(N) in the clients that wait",
                flags: ADMIN,
                keys: Keys::All,
                ..sub("UNPAUSE", "6.2.0", Arity::exactly(2), "Ends a CLIENT PAUSE.", &[])
            },
        ),
    ],
);

const fn sub(
    name: &'static str,
    since: &'static str,
    arity: Arity,
    summary: &'static str,
    args: &'static [Arg],
) -> CommandSpec {
    CommandSpec { name, since, arity, summary, args, ..BASE }
}

const ON_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const ON_OFF: &[Arg] = &[Arg::one_of("enabled", &[Arg::word("on", "ON"), Arg::word("off", "OFF")])];
const REPLY_ARGS: &[Arg] =
    &[Arg::one_of("action", &[Arg::word("on", "ON"), Arg::word("off", "OFF"), Arg::word("skip", "SKIP")])];
const SETINFO_ARGS: &[Arg] =
    &[Arg::one_of("attr", &[Arg::string("libname").token("LIB-NAME"), Arg::string("libver").token("LIB-VER")])];
const UNBLOCK_ARGS: &[Arg] = &[
    Arg::integer("client-id"),
    Arg::one_of("unblock-type", &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")]).optional(),
];
const PAUSE_ARGS: &[Arg] = &[
    Arg::integer("timeout"),
    Arg::one_of("mode", &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")]).optional().since("6.2.0"),
];
const TYPES: &[Arg] = &[
    Arg::word("normal", "NORMAL"),
    Arg::word("master", "MASTER"),
    Arg::word("replica", "REPLICA"),
    Arg::word("pubsub", "PUBSUB"),
];
const TYPES_TO_KILL: &[Arg] = &[
    Arg::word("normal", "NORMAL"),
    Arg::word("master", "MASTER").since("3.2.0"),
    Arg::word("slave", "SLAVE"),
    Arg::word("replica", "REPLICA").since("5.0.0"),
    Arg::word("pubsub", "PUBSUB"),
];
const LIST_ARGS: &[Arg] = &[
    Arg::one_of("client-type", TYPES).token("TYPE").optional().since("5.0.0"),
    Arg::integer("client-id").token("ID").optional().multiple().since("6.2.0"),
];
const KILL_ARGS: &[Arg] = &[Arg::one_of(
    "filter",
    &[
        Arg::string("old-format").shown("ip:port").deprecated("2.8.12"),
        Arg::one_of(
            "new-format",
            &[
                Arg::integer("client-id").token("ID").optional().since("2.8.12"),
                Arg::one_of("client-type", TYPES_TO_KILL).token("TYPE").optional().since("2.8.12"),
                Arg::string("username").token("USER").optional(),
                Arg::string("addr").shown("ip:port").token("ADDR").optional(),
                Arg::string("laddr").shown("ip:port").token("LADDR").optional().since("6.2.0"),
                Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")]).token("SKIPME").optional(),
                Arg::integer("maxage").token("MAXAGE").optional().since("7.4.0"),
            ],
        )
        .multiple(),
    ],
)];

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    super::introspect::help(
        ctx,
        "CLIENT",
        &[
            ("CACHING (YES|NO)", "Have the keys of the next command tracked, or not, in OPTIN or OPTOUT mode."),
            ("GETNAME", "Return the name of the current connection."),
            ("GETREDIR", "Return the ID of the client that is told of changed keys; 0 if nobody else is."),
            ("ID", "Return the ID of the current connection."),
            ("INFO", "Return information about the current client connection."),
            ("KILL <ip:port>", "Kill connection made from <ip:port>."),
            (
                "KILL <option> <value> [<option> <value> [...]]",
                "Kill connections. Options are: ADDR, LADDR, TYPE, USER, SKIPME, ID, MAXAGE.",
            ),
            ("LIST [options ...]", "Return information about client connections. Options: TYPE, ID."),
            ("NO-EVICT (ON|OFF)", "Protect current client connection from eviction."),
            ("NO-TOUCH (ON|OFF)", "Will not touch LRU/LFU stats when this mode is on."),
            ("PAUSE <timeout> [WRITE|ALL]", "Suspend all, or just write, clients for <timeout> milliseconds."),
            ("REPLY (ON|OFF|SKIP)", "Control the replies sent to the current connection."),
            ("SETINFO <option> <value>", "Set client meta attr. Options are: LIB-NAME, LIB-VER."),
            ("SETNAME <name>", "Assign the name <name> to the current connection."),
            (
                "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
                "Be told, or not, when keys that this connection has read change.",
            ),
            ("TRACKINGINFO", "Return how this connection tracks keys."),
            ("UNBLOCK <clientid> [TIMEOUT|ERROR]", "Unblock the specified blocked client."),
            ("UNPAUSE", "Stop the current client pause, resuming traffic."),
        ],
    )
}

fn getname(ctx: &mut Ctx<'_, '_>) -> Result {
    let labels = ctx.session.client.labels.read();
    match labels.name.is_empty() {
        true => ctx.reply.null(),
        false => ctx.reply.bulk(&labels.name),
    }
    Ok(Outcome::Done)
}

fn id(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int(ctx.session.client.id as i64);
    Ok(Outcome::Done)
}

fn info(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut text = String::new();
    describe_in(ctx, &ctx.session.client, &mut text);
    text.push('\n');
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut kind = None;
    let mut ids: Option<Vec<u64>> = None;
    if ctx.args.len() == 4 && ctx.args.is(2, "TYPE") {
        kind = Some(client_type(&ctx.args[3])?);
    } else if ctx.args.len() > 3 && ctx.args.is(2, "ID") {
        let parse = |a: &&[u8]| parse_i64(a).ok_or(Error::Text("ERR Invalid client ID"));
        ids = Some(ctx.args.rest(3).iter().map(|a| parse(a).map(|n| n as u64)).collect::<std::result::Result<_, _>>()?);
    } else if ctx.args.len() != 2 {
        return Err(Error::Syntax);
    }
    let clients: Vec<Arc<Client>> = match ids {
        Some(ids) => ids.iter().filter_map(|id| ctx.node.clients.find(*id)).collect(),
        None => ctx.node.clients.all(),
    };
    let mut text = String::new();
    for client in clients.iter().filter(|c| kind.is_none_or(|k| c.client_type() == k)) {
        describe_in(ctx, client, &mut text);
        text.push('\n');
    }
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn client_type(name: &[u8]) -> std::result::Result<ClientType, Error> {
    ClientType::from_name(name).ok_or_else(|| Error::of(&[b"ERR Unknown client type '", name, b"'"]))
}

/// The filters of CLIENT KILL.
struct KillFilter {
    id: Option<u64>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    kind: Option<ClientType>,
    user: Option<Vec<u8>>,
    max_age_s: Option<u64>,
    skip_me: bool,
}

impl KillFilter {
    fn matches(&self, c: &Client, now_ms: u64) -> bool {
        self.id.is_none_or(|id| c.id == id)
            && self.addr.as_ref().is_none_or(|a| c.addr.as_bytes() == a)
            && self.laddr.as_ref().is_none_or(|a| c.laddr.as_bytes() == a)
            && self.kind.is_none_or(|k| c.client_type() == k)
            && self.user.as_ref().is_none_or(|u| c.labels.read().user == *u)
            && self.max_age_s.is_none_or(|s| now_ms.saturating_sub(c.created_ms) / 1000 >= s)
    }
}

fn kill_filter(ctx: &Ctx<'_, '_>) -> std::result::Result<KillFilter, Error> {
    let mut filter =
        KillFilter { id: None, addr: None, laddr: None, kind: None, user: None, max_age_s: None, skip_me: true };
    let mut cursor = ctx.args.cursor(2);
    while !cursor.is_done() {
        if cursor.left() < 2 {
            return Err(Error::Syntax);
        }
        if cursor.word("ID") {
            let id = parse_i64(cursor.take()?).filter(|n| *n > 0);
            filter.id = Some(id.ok_or(Error::Text("ERR client-id should be greater than 0"))? as u64);
        } else if cursor.word("MAXAGE") {
            let age = parse_i64(cursor.take()?).ok_or(Error::Text("ERR maxage is not an integer or out of range"))?;
            if age <= 0 {
                return Err(Error::Text("ERR maxage should be greater than 0"));
            }
            filter.max_age_s = Some(age as u64);
        } else if cursor.word("TYPE") {
            filter.kind = Some(client_type(cursor.take()?)?);
        } else if cursor.word("ADDR") {
            filter.addr = Some(cursor.take()?.to_vec());
        } else if cursor.word("LADDR") {
            filter.laddr = Some(cursor.take()?.to_vec());
        } else if cursor.word("USER") {
            let name = cursor.take()?;
            if ctx.node.acl.user(name).is_none() {
                return Err(Error::of(&[b"ERR No such user '", name, b"'"]));
            }
            filter.user = Some(name.to_vec());
        } else if cursor.word("SKIPME") {
            filter.skip_me = match cursor.take()?.to_ascii_lowercase().as_slice() {
                b"yes" => true,
                b"no" => false,
                _ => return Err(Error::Syntax),
            };
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(filter)
}

fn kill(ctx: &mut Ctx<'_, '_>) -> Result {
    let old_form = ctx.args.len() == 3;
    let filter = match old_form {
        true => KillFilter {
            id: None,
            addr: Some(ctx.args[2].to_vec()),
            laddr: None,
            kind: None,
            user: None,
            max_age_s: None,
            skip_me: false,
        },
        false => kill_filter(ctx)?,
    };
    let now_ms = ctx.node.clock.monotonic_us() / 1000;
    let me = ctx.session.client.id;
    let mut killed = 0;
    for client in ctx.node.clients.all() {
        if !filter.matches(&client, now_ms) || (client.id == me && filter.skip_me) {
            continue;
        }
        killed += 1;
        if client.id == me {
            ctx.session.closing = true;
        } else {
            client.kill();
        }
    }
    match old_form {
        true if killed == 0 => return Err(Error::Text("ERR No such client")),
        true => ctx.reply.ok(),
        false => ctx.reply.int(killed),
    }
    Ok(Outcome::Done)
}

fn on_off(ctx: &Ctx<'_, '_>) -> std::result::Result<bool, Error> {
    match () {
        () if ctx.args.is(2, "ON") => Ok(true),
        () if ctx.args.is(2, "OFF") => Ok(false),
        () => Err(Error::Syntax),
    }
}

fn no_evict(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.session.client.marks.set(Marks::NO_EVICT, on_off(ctx)?);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn no_touch(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.session.client.marks.set(Marks::NO_TOUCH, on_off(ctx)?);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn pause(ctx: &mut Ctx<'_, '_>) -> Result {
    let writes_only = match ctx.args.len() {
        3 => false,
        4 if ctx.args.is(3, "WRITE") => true,
        4 if ctx.args.is(3, "ALL") => false,
        _ => return Err(Error::Text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let ms = parse_i64(&ctx.args[2]).ok_or(Error::Text("ERR timeout is not an integer or out of range"))?;
    if ms < 0 {
        return Err(Error::Text("ERR timeout is negative"));
    }
    let until_ms = ctx.now_ms() + ms as u64;
    if until_ms > i64::MAX as u64 {
        return Err(Error::TimeoutRange);
    }
    let mut pause = ctx.node.pause.write();
    // A pause that is on can be made longer and wider, never shorter or narrower.
    let running = pause.until_ms > ctx.now_ms();
    *pause = Pause {
        until_ms: if running { pause.until_ms.max(until_ms) } else { until_ms },
        writes_only: writes_only && (!running || pause.writes_only),
    };
    ctx.node.generation.fetch_add(1, Relaxed);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn unpause(ctx: &mut Ctx<'_, '_>) -> Result {
    *ctx.node.pause.write() = Pause::default();
    ctx.node.generation.fetch_add(1, Relaxed);
    ctx.node.clients.all().iter().filter(|c| c.marks.any(Marks::BLOCKED)).for_each(|c| c.mailbox.ring());
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn reply(ctx: &mut Ctx<'_, '_>) -> Result {
    match () {
        () if ctx.args.is(2, "ON") => {
            ctx.session.reply_mode = ReplyMode::On;
            ctx.reply.ok();
        }
        () if ctx.args.is(2, "OFF") => ctx.session.reply_mode = ReplyMode::Off,
        () if ctx.args.is(2, "SKIP") => {
            if ctx.session.reply_mode != ReplyMode::Off {
                ctx.session.reply_mode = ReplyMode::SkipNext;
            }
        }
        () => return Err(Error::Syntax),
    }
    Ok(Outcome::Done)
}

fn setinfo(ctx: &mut Ctx<'_, '_>) -> Result {
    let value = &ctx.args[3];
    let mut labels = ctx.session.client.labels.write();
    match () {
        () if ctx.args.is(2, "LIB-NAME") => {
            check_name(value, &ctx.args[2])?;
            labels.lib_name = value.to_vec();
        }
        () if ctx.args.is(2, "LIB-VER") => {
            check_name(value, &ctx.args[2])?;
            labels.lib_ver = value.to_vec();
        }
        () => {
            return Err(Error::of(&[b"ERR Unrecognized option '", &ctx.args[2], b"'"]));
        }
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn setname(ctx: &mut Ctx<'_, '_>) -> Result {
    check_name(&ctx.args[2], b"Client names")?;
    ctx.session.client.labels.write().name = ctx.args[2].to_vec();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn unblock(ctx: &mut Ctx<'_, '_>) -> Result {
    let how = match ctx.args.len() {
        3 => 1,
        4 if ctx.args.is(3, "TIMEOUT") => 1,
        4 if ctx.args.is(3, "ERROR") => 2,
        4 => return Err(Error::Text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "CLIENT")),
    };
    let id = ctx.args.int(2)?;
    let woken = ctx.node.clients.find(id as u64).is_some_and(|client| {
        let sleeping = client.sleeping.lock().clone();
        sleeping.is_some_and(|sleep| {
            sleep.unblock.store(how, Relaxed);
            client.mailbox.ring();
            true
        })
    });
    ctx.reply.int(woken as i64);
    Ok(Outcome::Done)
}
