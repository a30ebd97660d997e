//! What a handler may touch.
//!
//! A handler is a plain function `fn(&mut Ctx) -> Result<Outcome, Error>`: it reads and changes entries through
//! `ctx.txn` (every shard of its keys is held), writes its reply to `ctx.reply`, and may read the services of
//! `ctx.node`. It never awaits, spawns or sleeps. On `Err` nothing may have been written to the reply.

use super::CommandTable;
use super::args::Argv;
use super::error::Error;
use super::migrate::conversation::Migration;
use crate::base::longdouble::LongDouble;
use crate::client::Session;
use crate::effect::Effect;
use crate::keyspace::Txn;
use crate::node::Node;
use crate::resp::reply::Reply;
use crate::script::Host;
use crate::types::Kind;
use crate::types::packed::listpack::LpValue;
use crate::types::string::StrRef;

/// Who runs the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client,
    /// A client, from the queue of its MULTI.
    Exec,
    /// A script.
    Script,
    /// A blocked client whose key became ready.
    Served,
    /// The log of another keyspace: a primary, a file.
    Log,
}

/// How a handler ends when it ends well.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is written.
    Done,
    /// Nothing to answer yet: wait for a key. In a box, as every handler's answer has room for it.
    Block(Box<Block>),
    /// Hold the reply back for so many milliseconds, with no shard held (DEBUG SLEEP, WAIT).
    Sleep(u64),
    /// Nothing was done, as a frozen script holds what is needed: run it again later. Handlers say so by
    /// [`Error::Held`].
    Held,
    /// The migration is to be carried out, with the shards held, and then settled.
    Migrate(Box<Migration>),
    /// Stop the server.
    Shutdown,
}

/// What a command waits for.
#[derive(Debug)]
pub struct Block {
    /// Wake when one of these keys changes.
    pub keys: Vec<Vec<u8>>,
    /// Unix time in milliseconds after which it gives up; `None`: never.
    pub deadline_ms: Option<u64>,
    /// What it answers when it gives up, and where blocking is not possible (in MULTI, in a script).
    pub on_timeout: TimeoutReply,
    /// The request to run when a key is ready, when it is not the request that came (XREAD's `$`).
    pub argv: Option<Vec<Vec<u8>>>,
    /// Wake when a key holds a value of this kind; any other is passed over.
    pub kind: Option<Kind>,
    /// Wake also when the key is deleted or changes its type.
    pub on_gone: bool,
    /// Wake with the reply of giving up when everything on its way to be freed is free.
    pub until_freed: bool,
}

impl Block {
    /// Waits for keys, whatever they hold.
    pub fn new(keys: Vec<Vec<u8>>, deadline_ms: Option<u64>, on_timeout: TimeoutReply) -> Block {
        Block { keys, deadline_ms, on_timeout, argv: None, kind: None, on_gone: false, until_freed: false }
    }

    /// Waits for one of these keys to hold a value of this kind; gives up with a null array.
    pub fn on_keys(keys: &[&[u8]], deadline_ms: Option<u64>, kind: Kind) -> Block {
        let keys = keys.iter().map(|key| key.to_vec()).collect();
        Block { kind: Some(kind), ..Block::new(keys, deadline_ms, TimeoutReply::NullArray) }
    }
}

/// The reply of a command that gave up waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReply {
    /// A null array (`*-1`; `_` in RESP3).
    NullArray,
    /// A null (`$-1`; `_` in RESP3).
    Null,
    /// The integer 0.
    Zero,
    /// An array of two zeros.
    TwoZeros,
    /// OK.
    Ok,
}

/// What a handler returns.
pub type Result<T = Outcome> = std::result::Result<T, Error>;

/// How the change is written to the log.
#[derive(Debug, Default)]
pub enum Rewrite {
    /// As the request came.
    #[default]
    Verbatim,
    /// As these commands.
    As(Vec<Effect>),
}

/// What a handler may touch.
pub struct Ctx<'a, 'k> {
    /// The request.
    pub args: Argv<'a>,
    /// The shards of its keys.
    pub txn: &'a mut Txn<'k>,
    /// Its reply.
    pub reply: &'a mut Reply,
    /// The services of the process.
    pub node: &'k Node,
    /// The commands of this server.
    pub commands: &'k CommandTable,
    /// The script host, where the token is in hand and no script runs.
    pub host: Option<&'a mut Host>,
    /// The client's session.
    pub session: &'a mut Session,
    /// Who runs it.
    pub origin: Origin,
    /// How its change is logged.
    pub rewrite: Rewrite,
}

impl Ctx<'_, '_> {
    /// Unix time in milliseconds, read once for this command, EXEC or script.
    pub fn now_ms(&self) -> u64 {
        self.txn.now_ms()
    }
    /// Logs this command instead of the request; may be called several times. Cheap when nobody reads the log.
    pub fn log_as(&mut self, argv: &[&[u8]]) {
        if !self.txn.is_logged() {
            return;
        }
        let effect = Effect::new(self.session.db as u32, argv);
        match &mut self.rewrite {
            Rewrite::As(effects) => effects.push(effect),
            rewrite => *rewrite = Rewrite::As(vec![effect]),
        }
    }
    /// Logs nothing of this command beyond what [`log_as`](Ctx::log_as) says.
    pub fn log_nothing(&mut self) {
        if let Rewrite::Verbatim = self.rewrite {
            self.rewrite = Rewrite::As(Vec::new());
        }
    }
    /// Whether the command could block: not in MULTI, not in a script.
    pub fn may_block(&self) -> bool {
        matches!(self.origin, Origin::Client | Origin::Served)
    }
}

/// Reads a blocking command's timeout in seconds: the deadline in Unix milliseconds, or `None` for 0.
pub fn timeout_deadline(text: &[u8], now_ms: u64) -> Result<Option<u64>> {
    let ms = LongDouble::parse(text).ok_or(Error::TimeoutNotFloat)?.seconds_in_ms();
    match i64::try_from(ms) {
        Err(_) if ms > 0 => Err(Error::TimeoutRange),
        Err(_) | Ok(..0) => Err(Error::TimeoutNegative),
        Ok(0) => Ok(None),
        Ok(ms) => {
            now_ms.checked_add(ms as u64).filter(|at| *at <= i64::MAX as u64).map(Some).ok_or(Error::TimeoutRange)
        }
    }
}

/// Replies with a string: big ones by reference.
#[inline]
pub fn reply_str(reply: &mut Reply, value: StrRef<'_>) {
    match value {
        StrRef::Bytes(bytes) => reply.bulk(bytes),
        StrRef::Int(n) => reply.bulk_int(n),
        StrRef::Shared(bytes) => reply.bulk_shared(bytes),
    }
}

/// Replies with an element of a collection.
#[inline]
pub fn reply_value(reply: &mut Reply, value: LpValue<'_>) {
    match value {
        LpValue::Str(bytes) => reply.bulk(bytes),
        LpValue::Int(int) => reply.bulk_int(int),
    }
}

/// What CLIENT UNBLOCK ERROR makes a blocked command answer.
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
