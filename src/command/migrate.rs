//! MIGRATE: keys move to another server.
//!
//! The handler says what is to be sent and no more: a [`Migration`], which knows no socket. The engine freezes the unit
//! with the shards of its keys, the server room carries the migration to its target, and what came of it is settled
//! under the same shards: a key that the target acknowledged is deleted here. So a key is never in neither place, and
//! whoever asks for one that is on its way waits.
//!
//! A conversation is AUTH if there is a password, SELECT if another database is selected on the connection, and one
//! RESTORE per key, all sent before the first reply is read.

use super::Command;
use super::args::Argv;
use super::ctx::{Ctx, Origin, Outcome, Result};
use super::error::Error;
use crate::effect::Effect;
use crate::keyspace::{Entry, Txn};
use crate::persist::rdb::dump::encode;
use crate::spec::keys::{BadKeys, Find, Found};
use crate::spec::{Access, Arg, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Keys, Propagate};
use std::fmt;
use std::time::Duration;

/// The family.
pub const COMMANDS: &[Command] = &[MIGRATE];

const MIGRATE: Command = Command::remote(
    migrate,
    CommandSpec {
        name: "MIGRATE",
        summary: "Moves keys to another server, each at once: it is here or there.",
        since: "2.6.0",
        history: &[
            ("3.0.0", "Takes COPY and REPLACE."),
            ("3.0.6", "Takes KEYS."),
            ("4.0.7", "Takes AUTH."),
            ("6.0.0", "Takes AUTH2."),
        ],
        complexity: "That of DUMP and DEL here and of RESTORE there, for each key, and O(N) to send N bytes",
        group: Group::Generic,
        arity: Arity::at_least(6),
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        keys: Keys::By(
            find_keys,
            &[
                KeySpec::one(3, Access::READ_DELETE),
                KeySpec::keyword(
                    "KEYS",
                    -2,
                    Find::Range { last: -1, step: 1, limit: 0 },
                    Access::READ_DELETE.incomplete(),
                ),
            ],
        ),
        effect: Propagate::Rewritten,
        args: &[
            Arg::string("host"),
            Arg::integer("port"),
            Arg::one_of("key-selector", &[Arg::key("key"), Arg::word("empty-string", "")]),
            Arg::integer("destination-db"),
            Arg::integer("timeout"),
            Arg::word("copy", "COPY").since("3.0.0").optional(),
            Arg::word("replace", "REPLACE").since("3.0.0").optional(),
            Arg::one_of(
                "authentication",
                &[
                    Arg::string("auth").shown("password").token("AUTH").since("4.0.7"),
                    Arg::block("auth2", &[Arg::string("username"), Arg::string("password")])
                        .token("AUTH2")
                        .since("6.0.0"),
                ],
            )
            .optional(),
            Arg::key_of("keys", 1).shown("key").token("KEYS").since("3.0.6").optional().multiple(),
        ],
        tips: &["nondeterministic_output"],
        ..CommandSpec::BASE
    },
);

/// Argument 3, or what follows KEYS. The words behind AUTH and AUTH2 are no options.
fn find_keys(argv: &[&[u8]]) -> std::result::Result<Found, BadKeys> {
    let mut at = 6;
    while at + 1 < argv.len() {
        match argv[at].to_ascii_lowercase().as_slice() {
            b"keys" if argv[3].is_empty() => {
                return Ok((at + 1..argv.len()).map(|key| (key, Access::READ_DELETE)).collect());
            }
            b"keys" => return Err(BadKeys),
            b"auth" => at += 2,
            b"auth2" => at += 3,
            _ => at += 1,
        }
    }
    Ok(Found::from_slice(&[(3, Access::READ_DELETE)]))
}

/// The options of a request.
#[derive(Default)]
struct Options<'a> {
    copy: bool,
    replace: bool,
    /// The arguments of AUTH.
    auth: Vec<&'a [u8]>,
    /// What follows KEYS.
    keys: Option<&'a [&'a [u8]]>,
}

impl<'a> Options<'a> {
    fn parse(args: Argv<'a>) -> Result<Options<'a>> {
        let mut options = Options::default();
        let mut words = args.cursor(6);
        while !words.is_done() {
            if words.word("COPY") {
                options.copy = true;
            } else if words.word("REPLACE") {
                options.replace = true;
            } else if words.word_with("AUTH", 1) {
                options.auth = vec![words.take()?];
            } else if words.word_with("AUTH2", 2) {
                options.auth = vec![words.take()?, words.take()?];
            } else if words.word("KEYS") {
                if !args.at(3).is_empty() {
                    return Err(Error::Text(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                options.keys = Some(words.rest());
                break;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

fn migrate(ctx: &mut Ctx<'_, '_>) -> Result {
    let args = ctx.args;
    let options = Options::parse(args)?;
    let timeout_ms = args.int(5)?;
    let db = args.int(4)?;
    let keys = options.keys.unwrap_or(&args.all()[3..4]);
    let mut cargo = Cargo::default();
    for key in keys {
        if let Some(entry) = ctx.txn.get(key) {
            let payload = encode(entry.value(), ctx.node.config.rdbcompression.get());
            cargo.add(key, ttl_ms(entry, ctx.now_ms()), &payload, options.replace);
        }
    }
    if cargo.keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(Outcome::Done);
    }
    // A log has the DEL that became of it.
    if ctx.origin == Origin::Log {
        return Err(Error::Text("ERR This command is not allowed here"));
    }
    Ok(Outcome::Migrate(Box::new(Migration {
        target: Target { host: args.at(1).to_vec(), port: args.at(2).to_vec() },
        timeout: Duration::from_millis(if timeout_ms <= 0 { TIMEOUT_MS } else { timeout_ms as u64 }),
        db,
        copy: options.copy,
        auth: auth_request(&options.auth),
        cargo,
        selects: false,
        answers: Answers::default(),
    })))
}

/// The time-out of a request that has none.
const TIMEOUT_MS: u64 = 1000;

/// What RESTORE says of a deadline; 0: there is none.
fn ttl_ms(entry: &Entry, now_ms: u64) -> u64 {
    entry.expiry().map_or(0, |at| at.saturating_sub(now_ms).max(1))
}

fn auth_request(words: &[&[u8]]) -> Vec<u8> {
    let mut request = Vec::new();
    if !words.is_empty() {
        let argv: Vec<&[u8]> = [b"AUTH".as_slice()].into_iter().chain(words.iter().copied()).collect();
        Effect::encode(&argv, &mut request);
    }
    request
}

/// The keys that are sent.
#[derive(Default)]
struct Cargo {
    keys: Vec<Vec<u8>>,
    /// A RESTORE for each.
    requests: Vec<u8>,
}

impl Cargo {
    fn add(&mut self, key: &[u8], ttl_ms: u64, payload: &[u8], replace: bool) {
        let mut number = itoa::Buffer::new();
        let ttl = number.format(ttl_ms).as_bytes();
        let argv: [&[u8]; 5] = [b"RESTORE", key, ttl, payload, b"REPLACE"];
        Effect::encode(&argv[..if replace { 5 } else { 4 }], &mut self.requests);
        self.keys.push(key.to_vec());
    }
}

/// Where to, as the request says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: Vec<u8>,
    /// Port, in digits.
    pub port: Vec<u8>,
}

/// What broke a conversation, in the words of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no way to the target.
    Connect,
    /// The target does not take what is sent.
    Write,
    /// A reply does not come, or is none.
    Read,
}

/// No database is known to be selected.
pub const NOT_SELECTED: i64 = -1;

/// A migration under way: what is sent, and what has been answered.
pub struct Migration {
    /// Where to.
    pub target: Target,
    /// How long nothing may happen.
    pub timeout: Duration,
    db: i64,
    /// The keys stay here too.
    copy: bool,
    /// The request, if there is a password.
    auth: Vec<u8>,
    cargo: Cargo,
    /// The conversation has a SELECT.
    selects: bool,
    answers: Answers,
}

/// Shows neither password nor values.
impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration").field("target", &self.target).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Answers {
    /// Replies read, those to AUTH and SELECT among them.
    count: usize,
    /// The first error.
    error: Option<Vec<u8>>,
    /// It was AUTH or SELECT that failed: no key is where it should be.
    is_astray: bool,
    /// Indexes of keys that the target has.
    arrived: Vec<usize>,
    failure: Option<Failure>,
}

impl Migration {
    /// Begins a conversation on a connection on which this database is selected.
    pub fn begin(&mut self, selected: i64) {
        self.selects = selected != self.db;
        self.answers = Answers::default();
    }

    /// What is to be sent, piece by piece.
    pub fn requests(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut select = Vec::new();
        if self.selects {
            Effect::encode(&[b"SELECT".as_slice(), self.db.to_string().as_bytes()], &mut select);
        }
        let pieces = self.cargo.requests.chunks(PIECE_BYTES).map(<[u8]>::to_vec);
        [self.auth.clone(), select].into_iter().chain(pieces).filter(|piece| !piece.is_empty())
    }

    fn preludes(&self) -> usize {
        usize::from(!self.auth.is_empty()) + usize::from(self.selects)
    }

    /// Whether a reply is still to come.
    pub fn awaits_reply(&self) -> bool {
        self.answers.count < self.preludes() + self.cargo.keys.len()
    }

    /// Whether the reply to no key has come: the conversation can be begun again.
    pub fn is_unanswered(&self) -> bool {
        self.answers.count <= self.preludes()
    }

    /// Takes the next reply, a line without its end. Redis takes whatever is no error for an OK; here a target that does
    /// not speak the protocol gets no key.
    ///
    /// # Errors
    /// It is no status and no error.
    pub fn take_reply(&mut self, line: &[u8]) -> std::result::Result<(), Failure> {
        let preludes = self.preludes();
        let answers = &mut self.answers;
        let index = answers.count.checked_sub(preludes);
        match (line.first(), index) {
            (Some(b'-'), _) => {
                answers.error.get_or_insert_with(|| line[1..].to_vec());
                answers.is_astray |= index.is_none();
            }
            (Some(b'+'), Some(index)) if !answers.is_astray => answers.arrived.push(index),
            (Some(b'+'), _) => {}
            _ => return Err(Failure::Read),
        }
        answers.count += 1;
        Ok(())
    }

    /// The conversation broke.
    pub fn fail(&mut self, failure: Failure) {
        self.answers.failure = Some(failure);
    }

    /// The database that is selected after a conversation that did not break.
    pub fn selected(&self) -> i64 {
        if self.answers.error.is_none() { self.db } else { NOT_SELECTED }
    }

    /// Deletes here what has arrived there, and returns what the log is told.
    pub fn settle(&self, txn: &mut Txn<'_>) -> Option<Effect> {
        if self.copy || self.answers.arrived.is_empty() {
            return None;
        }
        let keys = || self.answers.arrived.iter().map(|index| self.cargo.keys[*index].as_slice());
        keys().for_each(|key| {
            txn.delete(key);
        });
        let argv: Vec<&[u8]> = [b"DEL".as_slice()].into_iter().chain(keys()).collect();
        Some(Effect::new(txn.db() as u32, &argv))
    }

    /// What the client is told when it is not OK.
    pub fn error(&self) -> Option<Error> {
        let answers = &self.answers;
        match (&answers.error, answers.failure) {
            (Some(text), _) if !self.is_unanswered() => {
                Some(Error::of(&[b"ERR Target instance replied with error: ", text]))
            }
            (_, Some(Failure::Connect)) => Some(Error::Text("IOERR error or timeout connecting to the client")),
            (_, Some(Failure::Write)) => Some(Error::Text("IOERR error or timeout writing to target instance")),
            (_, Some(Failure::Read)) => Some(Error::Text("IOERR error or timeout reading to target instance")),
            _ => None,
        }
    }
}

/// Bytes sent at once.
const PIECE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(auth: &[&[u8]]) -> Migration {
        let mut cargo = Cargo::default();
        for key in [b"a", b"b", b"c"] {
            cargo.add(key, 0, b"value", false);
        }
        Migration {
            target: Target { host: b"h".to_vec(), port: b"1".to_vec() },
            timeout: Duration::from_millis(TIMEOUT_MS),
            db: 2,
            copy: false,
            auth: auth_request(auth),
            cargo,
            selects: false,
            answers: Answers::default(),
        }
    }

    /// Feeds replies until one is none or none is left, in which case the target breaks off.
    fn answered(auth: &[&[u8]], selected: i64, replies: &str) -> (Vec<usize>, String) {
        let mut migration = migration(auth);
        migration.begin(selected);
        let mut replies = replies.split_terminator(' ');
        while migration.awaits_reply() {
            if replies.next().is_none_or(|reply| migration.take_reply(reply.as_bytes()).is_err()) {
                migration.fail(Failure::Read);
                break;
            }
        }
        assert_eq!(replies.next(), None, "more replies than requests");
        let error = migration.error().map_or(String::new(), |error| String::from_utf8_lossy(&error.wire()).into());
        (migration.answers.arrived, error.replace("ERR Target instance replied with error: ", "told: "))
    }

    #[test]
    fn each_reply_counts_for_its_key() {
        const READ: &str = "IOERR error or timeout reading to target instance";
        let cases: &[(&[&[u8]], i64, &str, &[usize], &str)] = &[
            (&[], 2, "+OK +OK +OK", &[0, 1, 2], ""),
            (&[], NOT_SELECTED, "+OK +OK +OK +OK", &[0, 1, 2], ""),
            (&[b"p"], 2, "+OK +OK -BUSY +OK", &[0, 2], "told: BUSY"),
            (&[], 2, "-ONE +OK -TWO", &[1], "told: ONE"),
            // Where nothing is as it should be, no key has arrived, whatever the target says.
            (&[b"u", b"p"], 0, "-WRONG +OK +OK +OK +OK", &[], "told: WRONG"),
            (&[], 0, "-RANGE +OK +OK +OK", &[], "told: RANGE"),
            (&[b"p"], 0, "-WRONG -RANGE -NO -NO -NO", &[], "told: WRONG"),
            // Broken off.
            (&[], 2, "", &[], READ),
            (&[], 2, "+OK", &[0], READ),
            (&[], 2, "+OK -BUSY", &[0], "told: BUSY"),
            (&[b"p"], 2, "-WRONG", &[], READ),
            (&[], 2, "+OK :1", &[0], READ),
            (&[], 2, "$-1", &[], READ),
        ];
        for (auth, selected, replies, arrived, error) in cases {
            let want = (arrived.to_vec(), (*error).to_owned());
            assert_eq!(answered(auth, *selected, replies), want, "{replies:?}");
        }
    }

    #[test]
    fn keys_are_found_as_they_are_read() {
        let cases: &[(&str, Option<&[usize]>)] = &[
            ("k 0 1", Some(&[3])),
            ("k 0 1 COPY", Some(&[3])),
            ("_ 0 1 KEYS a b", Some(&[7, 8])),
            ("_ 0 1 auth keys keys a", Some(&[9])),
            ("_ 0 1 AUTH2 keys keys KEYS a", Some(&[10])),
            ("k 0 1 KEYS a", None),
            ("_ 0 1 KEYS", Some(&[3])),
            ("k 0 1 AUTH KEYS", Some(&[3])),
        ];
        for (rest, want) in cases {
            let line = format!("MIGRATE h 1 {rest}");
            let argv: Vec<&[u8]> =
                line.split(' ').map(|word| if word == "_" { b"" } else { word.as_bytes() }).collect();
            let found = find_keys(&argv).map(|found| found.iter().map(|(at, _)| *at).collect::<Vec<_>>());
            assert_eq!(found.ok().as_deref(), *want, "{line}");
        }
    }
}
