//! What a request touches is what its user was judged by.
//!
//! Rules for keys are worth something only if a command reaches no key that its row does not name. So each command of the
//! table is run in argument forms made from its own description, odd ones among them, and looked at from outside:
//!
//! - a key that was not judged neither changes nor matters: without it, the reply and all other keys are the same;
//! - a key judged for reading only does not change;
//! - of a key not judged for reading, nothing shows up in the reply or in another key.
//!
//! Scripts are judged command by command, SORT's patterns need the right to read everything, and MIGRATE talks to
//! another server: they have tests of their own.
//!
//! `ACCESS_SEED=7 ACCESS_FORMS=5000 cargo test --test access` makes other forms, and more of them.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/random.rs"]
mod random;

use larder::base::time::Clock;
use larder::client::{Peer, Session};
use larder::command::args::Argv;
use larder::command::{CommandTable, Known, Run};
use larder::config::Config;
use larder::engine::Engine;
use larder::node::Node;
use larder::resp::reply::{Proto, Reply};
use larder::spec::docs::{Arg, ArgKind};
use larder::spec::keys::Found;
use larder::spec::{Access, Flags, Keys};
use random::{Random, seed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A key of each type; every value has a part that is found nowhere else.
const SETUP: &[(&str, &str)] = &[
    ("str", "SET str <str> PX 100000"),
    ("num", "SET num 7"),
    ("bits", "SETBIT bits 9 1"),
    ("list", "RPUSH list <list> 3 1 2"),
    ("set", "SADD set <set> m1 m2"),
    ("hash", "HSET hash f1 <hash> f2 2"),
    ("zset", "ZADD zset 1 <zset> 2 m1 3 m2"),
    ("geo", "GEOADD geo 13.36 38.11 <geo> 15.08 37.5 m1"),
    ("stream", "XADD stream 1-1 f1 <stream>"),
    ("hll", "PFADD hll <hll> m1"),
];

/// Names under which something may appear, and databases in which it may.
const OTHERS: &[&str] = &["new", "new2"];
const DBS: u32 = 2;

struct World {
    engine: Engine,
    admin: Session,
}

/// What a key holds: its payload and its deadline.
type State = BTreeMap<(u32, String), Vec<u8>>;

impl World {
    fn new() -> World {
        let commands = CommandTable::new(&[]).expect("nothing is renamed");
        let clock = Clock::manual(1_700_000_000_000);
        let node = Node::new(Arc::new(Config::new()), clock, commands.all().len()).expect("a node");
        let engine = Engine { node, commands };
        engine.adopt_config();
        let admin = session(&engine);
        World { engine, admin }
    }

    fn run(&self, session: &mut Session, argv: &[&[u8]]) -> Vec<u8> {
        let mut reply = Reply::new(Proto::Resp2);
        session.moment = self.engine.node.clock.moment();
        self.engine.execute(session, Argv::new(argv), &mut reply);
        reply.take()
    }

    fn line(&mut self, line: &str) -> Vec<u8> {
        let mut admin = std::mem::replace(&mut self.admin, session(&self.engine));
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let reply = self.run(&mut admin, &argv);
        self.admin = admin;
        reply
    }

    /// The keys as they are at the start, but for one.
    fn set_up(&mut self, without: Option<&str>) {
        self.line("FLUSHALL SYNC");
        for (key, line) in SETUP.iter().filter(|(key, _)| Some(*key) != without) {
            assert!(!self.line(line).starts_with(b"-"), "{key}");
            if *key == "stream" {
                self.line("XGROUP CREATE stream g1 0");
            }
        }
    }

    fn state(&mut self) -> State {
        let mut state = State::new();
        for db in 0..DBS {
            self.line(&format!("SELECT {db}"));
            if self.line("DBSIZE") == b":0\r\n" {
                continue;
            }
            for key in names() {
                let payload = self.line(&format!("DUMP {key}"));
                if payload != b"$-1\r\n" {
                    let deadline = self.line(&format!("PEXPIRETIME {key}"));
                    state.insert((db, key.to_owned()), [payload, deadline].concat());
                }
            }
        }
        self.line("SELECT 0");
        state
    }

    /// The reply to a request on fresh keys, and what they are afterwards.
    fn try_out(&mut self, argv: &[Vec<u8>], blocking: bool, without: Option<&str>) -> (Vec<u8>, State, State) {
        self.set_up(without);
        let before = self.state();
        // Chance is the same each time.
        self.engine.node.dice.store(11, Relaxed);
        let mut session = session(&self.engine);
        let request: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let reply = if blocking {
            // In a transaction nothing waits.
            self.run(&mut session, &[b"MULTI"]);
            self.run(&mut session, &request);
            self.run(&mut session, &[b"EXEC"])
        } else {
            self.run(&mut session, &request)
        };
        self.engine.close(&mut session);
        (reply, before, self.state())
    }
}

fn session(engine: &Engine) -> Session {
    Session::new(engine.node.clients.add(0, Peer::default(), 0), engine.node.acl.initial())
}

fn names() -> impl Iterator<Item = &'static str> {
    SETUP.iter().map(|(key, _)| *key).chain(OTHERS.iter().copied())
}

/// Makes argument forms of one command.
struct Forms<'r> {
    random: &'r mut Random,
    /// The keys that a count announced.
    announced: Option<u64>,
}

impl Forms<'_> {
    fn request(&mut self, known: &Known) -> Vec<Vec<u8>> {
        let mut argv: Vec<Vec<u8>> = known.name.split('|').map(|word| word.as_bytes().to_vec()).collect();
        self.args(known.command.spec.args, &mut argv);
        let first = known.name.split('|').count();
        match self.random.below(6) {
            // A word that some command takes for an option, and a key behind it.
            0 => {
                let at = self.random.between(first as i64, argv.len() as i64) as usize;
                argv.insert(at, self.key());
                argv.insert(at, self.option(known.command.spec.args));
            }
            1 if argv.len() > first => {
                let (from, to) = (self.place(first, &argv), self.place(first, &argv));
                let word = argv[from].clone();
                argv.insert(to, word);
            }
            2 if argv.len() > first => {
                let at = self.place(first, &argv);
                argv[at] = self.key();
            }
            _ => {}
        }
        argv
    }

    fn place(&mut self, first: usize, argv: &[Vec<u8>]) -> usize {
        self.random.between(first as i64, argv.len() as i64 - 1) as usize
    }

    fn args(&mut self, args: &[Arg], argv: &mut Vec<Vec<u8>>) {
        for arg in args {
            if arg.optional && self.random.one_in(2) {
                continue;
            }
            let times = match (arg.multiple, self.announced) {
                (true, Some(count)) => std::mem::take(&mut self.announced).map_or(count, |count| count),
                (true, None) => self.random.between(1, 3) as u64,
                (false, _) => 1,
            };
            for time in 0..times {
                if !arg.token.is_empty() && (time == 0 || arg.multiple_token) {
                    argv.push(arg.token.as_bytes().to_vec());
                }
                self.value(arg, argv);
            }
        }
    }

    fn value(&mut self, arg: &Arg, argv: &mut Vec<Vec<u8>>) {
        match arg.kind {
            ArgKind::PureToken => {}
            ArgKind::OneOf(args) => {
                let one = *self.random.pick(args);
                self.args(&[Arg { optional: false, ..one }], argv);
            }
            ArgKind::Block(args) => self.args(args, argv),
            ArgKind::Key(_) => argv.push(self.key()),
            ArgKind::Integer if arg.name == "numkeys" => {
                let count = self.random.between(1, 3) as u64;
                self.announced = Some(if self.random.one_in(8) { count + 1 } else { count });
                argv.push(count.to_string().into_bytes());
            }
            ArgKind::Integer => argv.push(self.word(&["0", "1", "2", "-1", "100", "7", "x"])),
            ArgKind::Double => argv.push(self.word(&["0.01", "1", "13.4", "38", "100", "x"])),
            ArgKind::UnixTime => argv.push(self.word(&["1", "1800000000", "1800000000000"])),
            ArgKind::Pattern | ArgKind::KeyPattern(_) => argv.push(self.word(&["*", "list*", "m?"])),
            ArgKind::String => {
                let words = ["m1", "f1", "1", "0", "g1", "c1", "km", "1-1", "0-1", "$", ">", "-", "+", "(1", "[m", "w"];
                let word = if self.random.one_in(8) { self.key() } else { self.word(&words) };
                argv.push(word);
            }
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let names: Vec<&str> = names().collect();
        self.word(&names)
    }

    fn word(&mut self, words: &[&str]) -> Vec<u8> {
        self.random.pick(words).as_bytes().to_vec()
    }

    /// A token of the command, or one that moves keys about in others.
    fn option(&mut self, args: &[Arg]) -> Vec<u8> {
        let mut tokens = vec!["STORE", "STOREDIST", "GET", "STREAMS", "KEYS", "DB", "BY", "LIMIT", "COUNT", "WEIGHTS"];
        collect_tokens(args, &mut tokens);
        self.word(&tokens)
    }
}

fn collect_tokens<'a>(args: &'a [Arg], tokens: &mut Vec<&'a str>) {
    for arg in args {
        if !arg.token.is_empty() {
            tokens.push(arg.token);
        }
        if let ArgKind::OneOf(inner) | ArgKind::Block(inner) = arg.kind {
            collect_tokens(inner, tokens);
        }
    }
}

/// Commands whose keys stand in their arguments.
fn is_judged_by_keys(known: &Known) -> bool {
    let spec = &known.command.spec;
    let names_keys = !matches!(spec.keys, Keys::None | Keys::All | Keys::Walk);
    names_keys
        && !matches!(known.command.run, Run::Engine(_))
        && !matches!(spec.name, "MIGRATE" | "WATCH")
        && !spec.flags.has(Flags::PUBSUB)
}

type Judged = BTreeMap<String, Vec<Access>>;

/// What the request is judged by, for each name.
fn judged(known: &Known, argv: &[Vec<u8>]) -> Judged {
    let slices: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
    let found: Found = known.command.spec.keys.find(&slices).unwrap_or_default();
    let mut judged = Judged::new();
    for (at, access) in found {
        judged.entry(String::from_utf8_lossy(&argv[at]).into_owned()).or_default().push(access);
    }
    judged
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

fn differing<'s>(one: &'s State, other: &'s State) -> Vec<&'s (u32, String)> {
    one.keys().chain(other.keys()).filter(|key| one.get(key) != other.get(key)).collect()
}

/// What a request does that its user was not judged for.
fn trespass(world: &mut World, known: &Known, argv: &[Vec<u8>], judged: &Judged) -> Option<String> {
    let blocking = known.command.spec.flags.has(Flags::BLOCKING);
    let (reply, before, after) = world.try_out(argv, blocking, None);
    let says = |word: &str| argv.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let reads_all = known.command.spec.name.starts_with("SORT") && (says("BY") || says("GET"));
    for (_, key) in differing(&before, &after) {
        // As in Redis: reading for a group needs the right to read only, though the group takes note of it.
        if known.command.spec.name == "XREADGROUP" && judged.contains_key(key) {
            continue;
        }
        let accesses = judged.get(key).map_or(&[][..], Vec::as_slice);
        // What is computed from a key may be kept in it (PFCOUNT).
        let may_change = |access: &Access| access.writes() || access.names().any(|name| name == "RW");
        if !accesses.iter().any(may_change) {
            return Some(format!("changes {key}, judged for {accesses:?}"));
        }
    }
    if reads_all {
        return None;
    }
    for (key, _) in SETUP {
        let accesses = judged.get(*key).map_or(&[][..], Vec::as_slice);
        let secret = format!("<{key}>");
        if !accesses.iter().any(|access| access.reads()) {
            let named = argv.iter().any(|arg| contains(arg, &secret));
            let shown = contains(&reply, &secret);
            let moved = after.iter().any(|((_, other), value)| other != key && contains(value, &secret));
            if !named && (shown || moved) {
                return Some(format!("shows what {key} holds, judged for {accesses:?}"));
            }
        }
        if accesses.is_empty() {
            let (reply_without, _, mut after_without) = world.try_out(argv, blocking, Some(key));
            let mut after = after.clone();
            after.retain(|(_, name), _| name != key);
            after_without.retain(|(_, name), _| name != key);
            if reply_without != reply {
                let (one, other) = (reply.escape_ascii(), reply_without.escape_ascii());
                return Some(format!("looks at {key}: {one} with it, {other} without"));
            }
            if let Some((_, other)) = differing(&after, &after_without).first() {
                return Some(format!("makes {other} depend on {key}"));
            }
        }
    }
    None
}

#[test]
fn requests_touch_the_keys_they_are_judged_by() {
    let (first_seed, forms) = (seed("ACCESS_SEED", 1), seed("ACCESS_FORMS", 6));
    println!("ACCESS_SEED={first_seed} ACCESS_FORMS={forms}");
    let mut world = World::new();
    let commands = CommandTable::new(&[]).expect("nothing is renamed");
    let mut random = Random::new(first_seed);
    let (mut tried, mut ran, mut wrong) = (0, 0, Vec::new());
    for known in commands.all().iter().filter(|known| is_judged_by_keys(known)) {
        for _ in 0..forms {
            let argv = Forms { random: &mut random, announced: None }.request(known);
            if !known.command.spec.arity.accepts(argv.len()) {
                continue;
            }
            tried += 1;
            let judged = judged(known, &argv);
            ran += !judged.is_empty() as u64;
            if let Some(what) = trespass(&mut world, known, &argv, &judged) {
                let request: Vec<String> = argv.iter().map(|arg| arg.escape_ascii().to_string()).collect();
                wrong.push(format!("{}\n    {what}", request.join(" ")));
                break;
            }
        }
    }
    println!("{tried} requests, {ran} of them with keys");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(ran * 10 > tried * 9, "most forms make sense");
}

/// Requests with a key that they touch, and how a row that forgot it is found out.
#[test]
fn a_key_that_a_row_forgets_is_noticed() {
    let cases = [
        ("COPY str new", "new", "changes new"),
        ("COPY str new DB 1", "new", "changes new"),
        ("COPY str new", "str", "shows what str holds"),
        ("GEORADIUS geo 13 38 900 km STORE new", "new", "changes new"),
        ("SORT list ALPHA STORE new", "new", "changes new"),
        ("STRLEN str", "str", "looks at str"),
        ("ZUNIONSTORE new 2 zset zset", "zset", "shows what zset holds"),
        ("SINTERCARD 2 set set", "set", "looks at set"),
        ("BLMOVE list new LEFT RIGHT 0", "list", "changes list"),
        ("XREADGROUP GROUP g1 c1 STREAMS stream >", "stream", "changes stream"),
    ];
    let mut world = World::new();
    let commands = CommandTable::new(&[]).expect("nothing is renamed");
    for (line, forgotten, want) in cases {
        let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let slices: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let known = commands.resolve(&slices).expect("a command");
        let mut judged = judged(known, &argv);
        judged.remove(forgotten);
        let what = trespass(&mut world, known, &argv, &judged).unwrap_or_default();
        assert!(what.starts_with(want), "{line} without {forgotten}: {what:?}");
    }
}
