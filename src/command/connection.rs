//! HELLO, AUTH, SELECT, PING, ECHO, QUIT, RESET. CLIENT is in `client.rs`.

use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use super::{Command, EngineOp};
use crate::acl::log::{Context, Reason, Refusal};
use crate::acl::user::DEFAULT;
use crate::client::Session;
use crate::resp::reply::Proto;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group};

/// The family.
pub const COMMANDS: &[Command] = &[AUTH, ECHO, HELLO, PING, QUIT, RESET, SELECT];

const BASE: CommandSpec =
    CommandSpec { group: Group::Connection, categories: Categories::CONNECTION, ..CommandSpec::BASE };

/// What every command before AUTH shares.
const OPEN: Flags = Flags::NOSCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY)
    .and(Flags::SENTINEL);

const AUTH: Command = Command::new(
    auth,
    CommandSpec {
        name: "AUTH",
        summary: "Says who the client is.",
        history: &[("6.0.0", "Takes a user name.")],
        complexity: "O(N) in the passwords of the user",
        arity: Arity::at_least(2),
        flags: OPEN,
        args: &[Arg::string("username").optional().since("6.0.0"), Arg::string("password")],
        ..BASE
    },
);

const ECHO: Command = Command::new(
    echo,
    CommandSpec {
        name: "ECHO",
        summary: "Answers with the string that it is given.",
        arity: Arity::exactly(2),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        args: &[Arg::string("message")],
        ..BASE
    },
);

const HELLO: Command = Command::new(
    hello,
    CommandSpec {
        name: "HELLO",
        summary: "Shakes hands with the server and chooses the protocol.",
        since: "6.0.0",
        history: &[("6.2.0", "The protocol may be left out.")],
        arity: Arity::at_least(1),
        flags: OPEN,
        args: &[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block("auth", &[Arg::string("username"), Arg::string("password")]).token("AUTH").optional(),
                Arg::string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()],
        ..BASE
    },
);

const PING: Command = Command::new(
    ping,
    CommandSpec {
        name: "PING",
        summary: "Tells that the server is alive.",
        arity: Arity::at_least(1),
        flags: Flags::FAST.and(Flags::SENTINEL),
        args: &[Arg::string("message").optional()],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..BASE
    },
);

const QUIT: Command = Command::new(
    quit,
    CommandSpec {
        name: "QUIT",
        deprecated: Some(("7.2.0", "just closing the connection")),
        summary: "Ends the connection after its reply.",
        arity: Arity::at_least(1),
        flags: OPEN.without(Flags::SENTINEL),
        ..BASE
    },
);

const RESET: Command = Command::engine(
    EngineOp::Reset,
    CommandSpec {
        name: "RESET",
        summary: "Makes the session as new.",
        since: "6.2.0",
        arity: Arity::exactly(1),
        flags: OPEN.without(Flags::SENTINEL),
        ..BASE
    },
);

const SELECT: Command = Command::new(
    select,
    CommandSpec {
        name: "SELECT",
        summary: "Changes the database.",
        arity: Arity::exactly(2),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        args: &[Arg::integer("index")],
        ..BASE
    },
);

const WRONGPASS: Error = Error::Text("WRONGPASS invalid username-password pair or user is disabled.");

/// Authenticates the session, or says why not.
fn log_in(ctx: &mut Ctx<'_, '_>, name: &[u8], password: &[u8]) -> std::result::Result<(), Error> {
    let session = &mut *ctx.session;
    let entered = ctx.node.acl.log_in(name, password, |user| {
        session.client.labels.write().user = user.name.clone();
        session.set_user(Some(user.clone()));
    });
    entered.ok_or_else(|| {
        let mut client_info = String::new();
        super::client::describe::describe_in(ctx, &ctx.session.client, &mut client_info);
        let refusal = Refusal {
            reason: Reason::Auth,
            context: if ctx.origin == Origin::Exec { Context::Multi } else { Context::TopLevel },
            object: ctx.args.at(0).to_vec(),
            username: name.to_vec(),
            client_info,
        };
        let entries_max = ctx.node.config.acllog_max_len.size() as usize;
        ctx.node.acl.log.add(refusal, ctx.now_ms(), entries_max);
        WRONGPASS
    })
}

fn auth(ctx: &mut Ctx<'_, '_>) -> Result {
    let args = ctx.args;
    match args.len() {
        2 => {
            if ctx.node.acl.default_user().no_pass {
                return Err(Error::Text(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                ));
            }
            log_in(ctx, DEFAULT, &args[1])?;
        }
        3 => log_in(ctx, &args[1], &args[2])?,
        _ => return Err(Error::Syntax),
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn echo(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.bulk(&ctx.args[1]);
    Ok(Outcome::Done)
}

/// A name may hold anything printable but spaces.
pub(super) fn check_name(name: &[u8], what: &[u8]) -> std::result::Result<(), Error> {
    match name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        true => Ok(()),
        false => {
            Err(Error::owned([b"ERR ", what, b" cannot contain spaces, newlines or special characters."].concat()))
        }
    }
}

fn hello(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut cursor = ctx.args.cursor(1);
    let mut proto = ctx.session.proto;
    if let Some(version) = cursor.peek() {
        proto = match crate::base::num::parse_i64(version) {
            None => return Err(Error::Text("ERR Protocol version is not an integer or out of range")),
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err(Error::Text("NOPROTO unsupported protocol version")),
        };
        cursor.take()?;
    }
    let mut credentials = None;
    let mut name = None;
    while !cursor.is_done() {
        if cursor.word_with("AUTH", 2) {
            credentials = Some((cursor.take()?, cursor.take()?));
        } else if cursor.word_with("SETNAME", 1) {
            let wanted = cursor.take()?;
            check_name(wanted, b"Client names")?;
            name = Some(wanted);
        } else {
            return Err(Error::of(&[b"ERR Syntax error in HELLO option '", cursor.take()?, b"'"]));
        }
    }
    if let Some((user, password)) = credentials {
        log_in(ctx, user, password)?;
    }
    if ctx.session.user.is_none() {
        return Err(Error::Text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.session.client.labels.write().name = name.to_vec();
    }
    ctx.session.set_proto(proto);
    ctx.reply.set_proto(proto);
    greet(ctx);
    Ok(Outcome::Done)
}

fn greet(ctx: &mut Ctx<'_, '_>) {
    let id = ctx.session.client.id as i64;
    let reply = &mut *ctx.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(crate::config::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(ctx.session.proto.number() as i64);
    reply.bulk(b"id");
    reply.int(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}

fn ping(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.args.len() > 2 {
        return Err(Error::Arity("ping".into()));
    }
    let subscriber = |s: &Session| s.is_subscriber() && s.proto == Proto::Resp2;
    if subscriber(ctx.session) {
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(ctx.args.all().get(1).copied().unwrap_or_default());
    } else {
        match ctx.args.all().get(1) {
            Some(message) => ctx.reply.bulk(message),
            None => ctx.reply.pong(),
        }
    }
    Ok(Outcome::Done)
}

fn quit(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.ok();
    ctx.session.closing = true;
    Ok(Outcome::Done)
}

fn select(ctx: &mut Ctx<'_, '_>) -> Result {
    let db = ctx.args.int(1)?;
    if i32::try_from(db).is_err() {
        return Err(Error::Text("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    if db < 0 || db as usize >= ctx.node.keyspace.databases() {
        return Err(Error::DbIndex);
    }
    ctx.session.select(db as usize);
    ctx.txn.select(db as usize);
    ctx.reply.ok();
    Ok(Outcome::Done)
}
