//! Plays sequences to both servers, compares, shrinks what differs, and reports all of it at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use crate::Family;
use crate::audit::{Audit, Trace, carry};
use crate::compare::agree;
use crate::differences;
use crate::grammar::{Command, Grammar};
use crate::support::client::{Client, Frame, Value, typed};
use crate::support::random::{Random, seed};
use crate::support::server::{Server, larder, oracle};
use crate::support::transcript::{wait_until, words};

/// Commands of a sequence between two rounds of probes, and rounds in a sequence.
const COMMANDS_PER_ROUND: usize = 24;
const ROUNDS: usize = 3;
/// Sequences per family and protocol unless `DIFF_SEQUENCES` says otherwise.
const SEQUENCES: u64 = 60;
/// A report stops growing here; the first findings are what one repairs first.
const FINDINGS: usize = 40;
/// A reply that takes longer is taken for none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time for shrinking one sequence.
const SHRINKING: Duration = Duration::from_secs(20);
/// Requests in flight at once, so that pipelines are part of the test.
const BATCH: usize = 12;

/// Runs the family's sequences in one protocol; fails with everything found.
pub fn run(family: &Family, protocol: u8) {
    run_together(family, &[family], protocol);
}

/// The same, if the original knows `command`.
pub fn run_where(command: &str, family: &Family, protocol: u8) {
    match oracle().start().connect().run(&format!("COMMAND INFO {command}")) {
        Value::Array(found) if found != [Value::Null] => run(family, protocol),
        _ => println!("{}: left out, the original has no {command}", family.name),
    }
}

/// The same with the commands of several families, on the same keys.
pub fn run_together(family: &Family, families: &[&Family], protocol: u8) {
    let first_seed = seed("DIFF_SEED", 1);
    let sequences = seed("DIFF_SEQUENCES", SEQUENCES);
    println!("{} in RESP{protocol}: DIFF_SEED={first_seed} DIFF_SEQUENCES={sequences}", family.name);
    let mut pair = Pair::start(protocol);
    let mut audited = family.audited.then(|| Pair::start_audited(protocol));
    let grammar = Grammar::of(families);
    let mut findings: BTreeMap<String, String> = BTreeMap::new();
    let mut missing: BTreeSet<Vec<u8>> = BTreeSet::new();
    for number in 0..sequences {
        let mut sequence = generate(family, &grammar, first_seed.wrapping_add(number));
        // Every other sequence command by command, and with a look at what each leaves behind.
        let pair = match &mut audited {
            Some(audited) if number % 2 == 1 => audited,
            _ => &mut pair,
        };
        let mismatch = loop {
            sequence.retain(|command| !missing.contains(&name(command)));
            match pair.play(&sequence) {
                Some(mismatch) if mismatch.is_missing_command() => {
                    missing.insert(name(&mismatch.command));
                }
                other => break other,
            }
        };
        let Some(mismatch) = mismatch else { continue };
        if let Some((sequence, mismatch)) = pair.shrink(sequence, mismatch) {
            findings.entry(mismatch.label()).or_insert_with(|| report(&sequence, &mismatch, first_seed + number));
        }
        if findings.len() == FINDINGS {
            break;
        }
    }
    findings.values().for_each(|finding| println!("{finding}"));
    let missing: Vec<_> = missing.iter().map(|name| String::from_utf8_lossy(name)).collect();
    assert!(
        missing.is_empty(),
        "{} in RESP{protocol}: {} findings, commands missing: {missing:?}",
        family.name,
        findings.len()
    );
    assert!(findings.is_empty(), "{} in RESP{protocol}: {} findings", family.name, findings.len());
}

/// The sequence that belongs to a seed.
fn generate(family: &Family, grammar: &Grammar, seed: u64) -> Vec<Command> {
    let mut random = Random::new(seed);
    let mut sequence: Vec<Command> = family.setup.iter().map(|line| words(line).expect("a setup line")).collect();
    for _ in 0..ROUNDS {
        let round = sequence.len() + COMMANDS_PER_ROUND;
        while sequence.len() < round {
            sequence.extend(grammar.generate(&mut random));
        }
        for key in (1..=6).map(|number| format!("k{number}")) {
            for probe in family.probes {
                let words = probe.split(' ').map(|word| if word == "key" { key.as_str() } else { word });
                sequence.push(words.map(|word| word.as_bytes().to_vec()).collect());
            }
        }
    }
    sequence
}

/// Where two servers answered otherwise.
struct Mismatch {
    /// Of the replies, or of what is left behind.
    what: &'static str,
    at: usize,
    command: Command,
    ours: Result<Frame, String>,
    theirs: Result<Frame, String>,
}

impl Mismatch {
    /// Only the original knows the command: the rest of the sequence is worth playing without it.
    fn is_missing_command(&self) -> bool {
        let unknown = |reply: &Result<Frame, String>| {
            reply.as_ref().is_ok_and(|frame| frame.raw.starts_with(b"-ERR unknown command"))
        };
        unknown(&self.ours) && !unknown(&self.theirs)
    }

    /// Findings with the same label are taken for the same mistake.
    fn label(&self) -> String {
        let name = self.command.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase());
        let gist = |reply: &Result<Frame, String>| match reply {
            Ok(Frame { value: Value::Error(text), .. }) => String::from_utf8_lossy(text).chars().take(24).collect(),
            Ok(Frame { raw, .. }) => raw.iter().take(1).map(|byte| char::from(*byte)).collect(),
            Err(_) => "closed".to_owned(),
        };
        format!("{} | {} | {} | {}", self.what, name.unwrap_or_default(), gist(&self.ours), gist(&self.theirs))
    }
}

fn report(sequence: &[Command], mismatch: &Mismatch, seed: u64) -> String {
    let show = |reply: &Result<Frame, String>| match reply {
        Ok(frame) => cut(&frame.raw.escape_ascii().to_string()),
        Err(error) => format!("no reply: {error}"),
    };
    let commands: String = sequence.iter().map(|command| format!("  {}\n", typed(command))).collect();
    let (what, ours, theirs) = (mismatch.what, show(&mismatch.ours), show(&mismatch.theirs));
    format!("seed {seed}, {what}:\n{commands}    ours   {ours}\n    theirs {theirs}\n\n")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(600) {
        Some((at, _)) => format!("{}... ({} characters)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// The two servers, each with one connection.
struct Pair {
    ours: Side,
    theirs: Side,
}

struct Side {
    server: Server,
    client: Client,
    protocol: u8,
    start: fn() -> Server,
    audit: Option<Audit>,
}

impl Pair {
    fn start(protocol: u8) -> Self {
        Pair { ours: Side::start(protocol, || larder().start()), theirs: Side::start(protocol, || oracle().start()) }
    }

    fn start_audited(protocol: u8) -> Self {
        let mut pair = Pair::start(protocol);
        pair.ours.watch_over();
        pair.theirs.watch_over();
        pair
    }

    /// Plays a sequence on an empty keyspace up to the first difference.
    fn play(&mut self, sequence: &[Command]) -> Option<Mismatch> {
        self.ours.reset();
        self.theirs.reset();
        let size = if self.ours.audit.is_some() { 1 } else { BATCH };
        for (number, batch) in sequence.chunks(size).enumerate() {
            let (ours, left) = self.ours.play_and_look(batch);
            let (theirs, left_there) = self.theirs.play_and_look(batch);
            for (offset, command) in batch.iter().enumerate() {
                let (ours, theirs) = (&ours[offset], &theirs[offset]);
                let same = match (ours, theirs) {
                    (Ok(ours), Ok(theirs)) => {
                        agree(command, ours, theirs) || differences::known(command, &ours.value, &theirs.value)
                    }
                    (Err(_), Err(_)) => return None,
                    _ => false,
                };
                if !same {
                    let (ours, theirs) = (ours.clone(), theirs.clone());
                    let at = number * size + offset;
                    return Some(Mismatch { what: "reply", at, command: command.clone(), ours, theirs });
                }
            }
            for ((what, ours), (_, theirs)) in left.into_iter().zip(left_there) {
                if ours.raw != theirs.raw && !differences::known_trace(what, &batch[0], &ours.value, &theirs.value) {
                    let (at, command) = (number * size, batch[0].clone());
                    return Some(Mismatch { what, at, command, ours: Ok(ours), theirs: Ok(theirs) });
                }
            }
        }
        if self.ours.audit.is_some() { self.carry(sequence) } else { None }
    }

    /// Has each server read the other's dumps of what the sequence left, and give them back: the digests before and after.
    fn carry(&mut self, sequence: &[Command]) -> Option<Mismatch> {
        let (ours, theirs) = (&mut self.ours.client, &mut self.theirs.client);
        for client in [&mut *ours, &mut *theirs] {
            client.run("DISCARD");
            client.run("SELECT 0");
        }
        for key in ["k1", "k2", "k3", "k4", "k5", "k6", "lex:1", "a:stream"] {
            let there = carry(ours, theirs, key).map(|(before, after)| ("our dump", before, after));
            let back = carry(theirs, ours, key).map(|(before, after)| ("their dump", before, after));
            for (what, before, after) in there.into_iter().chain(back) {
                if before.raw != after.raw {
                    let (at, command) = (sequence.len() - 1, vec![b"DUMP".to_vec(), key.into()]);
                    return Some(Mismatch { what, at, command, ours: Ok(before), theirs: Ok(after) });
                }
            }
        }
        None
    }

    /// Leaves out commands as long as the difference stays. Nothing when it does not come again: then the clock
    /// stood between the two servers.
    fn shrink(&mut self, mut sequence: Vec<Command>, mut mismatch: Mismatch) -> Option<(Vec<Command>, Mismatch)> {
        sequence.truncate(mismatch.at + 1);
        mismatch = self.play(&sequence)?;
        sequence.truncate(mismatch.at + 1);
        let deadline = Instant::now() + SHRINKING;
        let mut step = sequence.len() / 2;
        while step > 0 {
            let mut at = 0;
            while at + step < sequence.len() && Instant::now() < deadline {
                let shorter: Vec<Command> = [&sequence[..at], &sequence[at + step..]].concat();
                match self
                    .play(&shorter)
                    .filter(|found| found.what == mismatch.what && found.command == mismatch.command)
                {
                    Some(found) => {
                        sequence = shorter;
                        sequence.truncate(found.at + 1);
                        mismatch = found;
                    }
                    None => at += step,
                }
            }
            step /= 2;
        }
        Some((sequence, mismatch))
    }
}

impl Side {
    fn start(protocol: u8, start: fn() -> Server) -> Self {
        let server = start();
        let client = server.connect();
        let mut side = Side { server, client, protocol, start, audit: None };
        side.configure();
        side
    }

    fn watch_over(&mut self) {
        self.audit = Some(Audit::start(&self.server));
    }

    /// Limits that keep a wrong offset from asking for gigabytes, and the encoding of sets that 7.0 has.
    fn configure(&mut self) {
        self.client.run("CONFIG SET proto-max-bulk-len 1048576");
        self.client.run("CONFIG SET set-max-listpack-entries 0");
    }

    /// An empty keyspace and a fresh session, whatever the last sequence left behind.
    fn reset(&mut self) {
        if !self.server.is_alive() {
            self.server = (self.start)();
            self.client = self.server.connect();
            self.configure();
            self.audit = self.audit.take().map(|_| Audit::start(&self.server));
        }
        self.client = Client::with_patience(self.server.port(), PATIENCE).expect("the server accepts connections");
        // What the last connection subscribed to is gone when it is.
        let alone = 1 + if self.audit.is_some() { Audit::CONNECTIONS } else { 0 };
        wait_until(|| self.client.info("clients", "connected_clients") == Some(alone.to_string()));
        self.client.run("FLUSHALL");
        if let Some(audit) = &mut self.audit {
            audit.reset();
        }
        if self.protocol == 3 {
            self.client.run("HELLO 3");
        }
    }

    /// Plays a batch; under an audit also what its one command left behind.
    fn play_and_look(&mut self, batch: &[Command]) -> (Vec<Result<Frame, String>>, Trace) {
        if let Some(audit) = &mut self.audit {
            audit.before(&batch[0]);
        }
        let replies = self.play(batch);
        let alive = replies.iter().all(Result::is_ok);
        let left = self.audit.as_mut().filter(|_| alive).map(|audit| audit.after().expect("the events of a command"));
        (replies, left.unwrap_or_default())
    }

    /// One reply per command; after an error of the connection, that error for all the rest.
    fn play(&mut self, batch: &[Command]) -> Vec<Result<Frame, String>> {
        let mut replies: Vec<Result<Frame, String>> = Vec::new();
        for run in batch.chunk_by(|one, other| !is_walk(one) && !is_walk(other)) {
            let result = match is_walk(&run[0]) {
                true => self.walk(&run[0]).map(|frame| replies.push(Ok(frame))),
                false => self.pipeline(run, &mut replies),
            };
            if let Err(error) = result {
                replies.resize(batch.len(), Err(error.to_string()));
                break;
            }
        }
        replies
    }

    fn pipeline(&mut self, run: &[Command], replies: &mut Vec<Result<Frame, String>>) -> io::Result<()> {
        let bytes: Vec<u8> = run.iter().flat_map(|command| crate::support::client::request(command)).collect();
        self.client.send_raw(&bytes)?;
        for _ in run {
            replies.push(Ok(self.client.receive()?));
        }
        Ok(())
    }

    /// `WALK SCAN ..` and `WALK HSCAN key ..`: calls until the cursor is 0 again; all elements as one array.
    fn walk(&mut self, command: &Command) -> io::Result<Frame> {
        let cursor_at = if command[1].eq_ignore_ascii_case(b"SCAN") { 1 } else { 2 };
        let mut cursor = b"0".to_vec();
        let mut elements: Vec<Value> = Vec::new();
        loop {
            let mut call = command[1..].to_vec();
            call.insert(cursor_at.min(call.len()), cursor);
            self.client.send(&call)?;
            let frame = self.client.receive()?;
            let Value::Array(parts) = &frame.value else { return Ok(frame) };
            let [Value::Bulk(next), Value::Array(found)] = parts.as_slice() else { return Ok(frame) };
            let pairs = !matches!(call[0].to_ascii_uppercase().as_slice(), b"SCAN" | b"SSCAN");
            elements.extend(found.chunks(if pairs { 2 } else { 1 }).map(|element| Value::Array(element.to_vec())));
            if next == b"0" {
                elements.sort_by_key(ToString::to_string);
                elements.dedup();
                return Ok(Frame {
                    raw: Value::Array(elements.clone()).to_string().into_bytes(),
                    value: Value::Array(elements),
                });
            }
            cursor = next.clone();
        }
    }
}

/// The name of the command that the servers see.
fn name(command: &Command) -> Vec<u8> {
    command[usize::from(is_walk(command))].to_ascii_uppercase()
}

fn is_walk(command: &Command) -> bool {
    command.len() > 1 && command[0] == b"WALK"
}
