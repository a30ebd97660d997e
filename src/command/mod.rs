//! The table of all commands and the look-up.
//!
//! Each family is one file with its declared rows (`COMMANDS`) and its handlers; a command touches no other place.
//! Read `string.rs` as the example. Handlers are plain functions of a [`Ctx`](ctx::Ctx); what only the engine can do
//! (MULTI, EXEC, scripts) is a row with an [`EngineOp`].

pub mod acl;
pub mod args;
pub mod bits;
mod bulks;
pub mod client;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod ctx;
pub mod debug;
pub mod dump;
pub mod error;
pub mod expire;
pub mod function;
pub mod geo;
pub mod hash;
pub mod hll;
pub mod info;
pub mod introspect;
pub mod key;
pub mod lcs;
pub mod list;
pub mod memory;
pub mod migrate;
mod multi_pop;
mod names;
pub mod observe;
pub mod pubsub;
mod reload;
mod sample;
pub mod scan;
pub mod script;
pub mod server;
pub mod set;
pub mod sort;
pub mod stream;
pub mod string;
mod tracking;
pub mod txn;
pub mod zset;

use crate::script::Host;
use crate::spec::CommandSpec;
use ctx::{Ctx, Outcome};
use error::Error;
use names::Names;
use std::collections::HashMap;

/// A handler.
pub type Handler = fn(&mut Ctx<'_, '_>) -> Result<Outcome, Error>;

/// A handler that also needs the script host: the token is taken before it runs.
pub type HostHandler = fn(&mut Ctx<'_, '_>, &mut Host) -> Result<Outcome, Error>;

/// What only the engine can do, because it goes beyond one locked set of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineOp {
    /// MULTI.
    Multi,
    /// EXEC.
    Exec,
    /// DISCARD.
    Discard,
    /// WATCH.
    Watch,
    /// UNWATCH.
    Unwatch,
    /// RESET.
    Reset,
    /// EVAL and FCALL in all their forms.
    Script(ScriptCall),
}

/// Which script a command runs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptCall {
    /// How it names its script.
    pub by: ScriptBy,
    /// Writes are refused whatever the script says (EVAL_RO).
    pub read_only: bool,
}

/// How a command names its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptBy {
    /// By its text.
    Body,
    /// By the SHA1 of its text.
    Sha,
    /// By the name of a function.
    Function,
}

/// How a command runs.
#[derive(Clone, Copy)]
pub enum Run {
    /// A handler under the locks of its keys.
    Handler(Handler),
    /// A handler under the script token.
    Hosted(HostHandler),
    /// A handler that may end with something to be done elsewhere: the token is taken before it runs, for its unit is
    /// frozen meanwhile.
    Remote(Handler),
    /// The engine itself.
    Engine(EngineOp),
    /// Only its subcommands run.
    Container,
}

/// A command: its row, how it runs, its subcommands.
pub struct Command {
    /// The row.
    pub spec: CommandSpec,
    /// How it runs.
    pub run: Run,
    /// Subcommands of a container.
    pub subcommands: &'static [Command],
}

impl Command {
    /// Whether the script token is taken before its shards.
    pub const fn wants_token(&self) -> bool {
        matches!(self.run, Run::Hosted(_) | Run::Remote(_) | Run::Engine(EngineOp::Script(_)))
    }
    /// A command with a handler.
    pub const fn new(handler: Handler, spec: CommandSpec) -> Command {
        Command { spec, run: Run::Handler(handler), subcommands: &[] }
    }
    /// A command whose handler needs the script host. It has no keys.
    pub const fn hosted(handler: HostHandler, spec: CommandSpec) -> Command {
        Command { spec, run: Run::Hosted(handler), subcommands: &[] }
    }
    /// A command whose handler may end with something to be done elsewhere.
    pub const fn remote(handler: Handler, spec: CommandSpec) -> Command {
        Command { spec, run: Run::Remote(handler), subcommands: &[] }
    }
    /// A command that the engine runs.
    pub const fn engine(op: EngineOp, spec: CommandSpec) -> Command {
        Command { spec, run: Run::Engine(op), subcommands: &[] }
    }
    /// A command that runs a script.
    pub const fn scripted(by: ScriptBy, read_only: bool, spec: CommandSpec) -> Command {
        Command::engine(EngineOp::Script(ScriptCall { by, read_only }), spec)
    }
    /// A container of subcommands.
    pub const fn container(spec: CommandSpec, subcommands: &'static [Command]) -> Command {
        Command { spec, run: Run::Container, subcommands }
    }
    /// A container that also runs without a subcommand (COMMAND).
    pub const fn container_with(handler: Handler, spec: CommandSpec, subcommands: &'static [Command]) -> Command {
        Command { spec, run: Run::Handler(handler), subcommands }
    }
}

/// All families.
const FAMILIES: &[&[Command]] = &[
    acl::COMMANDS,
    bits::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    observe::COMMANDS,
    dump::COMMANDS,
    expire::COMMANDS,
    function::COMMANDS,
    geo::COMMANDS,
    hash::COMMANDS,
    hll::COMMANDS,
    info::COMMANDS,
    introspect::COMMANDS,
    key::COMMANDS,
    lcs::COMMANDS,
    list::COMMANDS,
    memory::COMMANDS,
    migrate::COMMANDS,
    pubsub::COMMANDS,
    scan::COMMANDS,
    script::COMMANDS,
    server::COMMANDS,
    set::COMMANDS,
    sort::COMMANDS,
    stream::COMMANDS,
    string::COMMANDS,
    string::compare::COMMANDS,
    txn::COMMANDS,
    zset::COMMANDS,
];

/// A command of a running server, with the number under which its statistics are kept.
pub struct Known {
    /// The command.
    pub command: &'static Command,
    /// Its number, from 0 without gaps.
    pub index: u16,
    /// `get`, or `config|get`: the full name in lower case, after `rename-command`.
    pub name: Box<str>,
    /// Number of the container of a subcommand.
    pub parent: Option<u16>,
}

/// All commands of a running server, by name.
pub struct CommandTable {
    known: Vec<Known>,
    top: HashMap<Box<[u8]>, u16, ahash::RandomState>,
    /// Those of `top` that fit.
    short: Names,
    sub: HashMap<(u16, Box<[u8]>), u16, ahash::RandomState>,
}

/// A word is longer than any command: it cannot be looked up.
const NAME_MAX: usize = 64;

impl CommandTable {
    /// The table, with `rename-command` applied: (old name, new name; empty disables).
    ///
    /// # Errors
    /// The old name is unknown or the new one is taken: the text for the configuration error.
    pub fn new(renames: &[(Vec<u8>, Vec<u8>)]) -> Result<CommandTable, &'static str> {
        let short = Names::new(std::iter::empty());
        let mut table = CommandTable { known: Vec::new(), top: HashMap::default(), short, sub: HashMap::default() };
        for command in FAMILIES.iter().copied().flatten() {
            let parent = table.add(command, command.spec.name.to_ascii_lowercase(), None);
            table.top.insert(command.spec.name.to_ascii_lowercase().into_bytes().into(), parent);
            for sub in command.subcommands {
                let word = sub.spec.name.to_ascii_lowercase();
                let index = table.add(sub, format!("{}|{word}", command.spec.name.to_ascii_lowercase()), Some(parent));
                table.sub.insert((parent, word.into_bytes().into()), index);
            }
        }
        for (old, new) in renames {
            let index =
                table.top.remove(old.to_ascii_lowercase().as_slice()).ok_or("No such command in rename-command")?;
            if new.is_empty() {
                continue;
            }
            let new = new.to_ascii_lowercase();
            if table.top.insert(new.into(), index).is_some() {
                return Err("Target command name already exists");
            }
        }
        table.short = Names::new(table.top.iter().map(|(name, index)| (&**name, *index)));
        Ok(table)
    }

    fn add(&mut self, command: &'static Command, name: String, parent: Option<u16>) -> u16 {
        let index = self.known.len() as u16;
        self.known.push(Known { command, index, name: name.into(), parent });
        index
    }

    /// The command or container of this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Known> {
        let index = if names::fits(name) { self.short.find(name) } else { self.find_long(name) };
        index.map(|index| &self.known[index as usize])
    }
    #[cold]
    fn find_long(&self, name: &[u8]) -> Option<u16> {
        if name.len() > NAME_MAX {
            return None;
        }
        self.top.get(&*name.to_ascii_lowercase()).copied()
    }
    /// A subcommand of a container.
    pub fn find_sub(&self, container: &Known, word: &[u8]) -> Option<&Known> {
        if word.len() > NAME_MAX {
            return None;
        }
        let at = (container.index, word.to_ascii_lowercase().into());
        self.sub.get(&at).map(|i| &self.known[*i as usize])
    }
    /// The command a request names, its subcommand included.
    ///
    /// # Errors
    /// The text for an unknown command or subcommand.
    pub fn resolve(&self, argv: &[&[u8]]) -> Result<&Known, Error> {
        let found = self.find(argv[0]).ok_or_else(|| unknown(argv))?;
        if found.command.subcommands.is_empty() {
            return Ok(found);
        }
        match argv.get(1) {
            None => Ok(found),
            Some(word) => self
                .find_sub(found, word)
                .ok_or_else(|| Error::UnknownSubcommand(word.to_vec(), argv[0].to_ascii_uppercase())),
        }
    }
    /// The command of this number.
    pub fn get(&self, index: u16) -> &Known {
        &self.known[index as usize]
    }
    /// All commands, subcommands included, in the order of their numbers.
    pub fn all(&self) -> &[Known] {
        &self.known
    }
    /// Names and numbers of the commands that can be called, containers but no subcommands.
    pub fn callable(&self) -> impl Iterator<Item = (&[u8], &Known)> {
        self.top.iter().map(|(n, i)| (&**n, &self.known[*i as usize]))
    }
}

/// As much of a word as an error shows: it ends at a NUL, as texts do in C.
fn shown(word: &[u8], room: usize) -> &[u8] {
    let end = word.iter().position(|byte| *byte == 0).unwrap_or(word.len());
    &word[..end.min(room)]
}

/// The error for a command that does not exist, with the beginning of its arguments.
fn unknown(argv: &[&[u8]]) -> Error {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(shown(argv[0], 128));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut room = 128usize;
    for arg in &argv[1..] {
        if room == 0 {
            break;
        }
        let shown = shown(arg, room);
        text.push(b'\'');
        text.extend_from_slice(shown);
        text.extend_from_slice(b"' ");
        room = room.saturating_sub(shown.len() + 3);
    }
    Error::Owned(text)
}
