//! A selector: one set of rules that lets a request through or does not. A user has one of its own and may have more.
//!
//! A request passes a selector when its command, all its keys and all its channels do. Rules of different selectors are
//! never put together: that is what they are for.

use super::commands::{CommandSet, Commands};
use crate::base::glob;
use crate::spec::keys::Found;
use crate::spec::{Access, Channels, CommandSpec, Flags};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// A request that is judged.
pub struct Asked<'a> {
    /// The number of its command.
    pub command: u16,
    /// What that is.
    pub spec: &'a CommandSpec,
    /// It is a subcommand.
    pub is_sub: bool,
    /// The request, the command's name first.
    pub argv: &'a [&'a [u8]],
    /// Its keys, looked for once for all selectors.
    keys: OnceCell<Found>,
}

impl<'a> Asked<'a> {
    /// A request for this command.
    pub fn new(command: u16, spec: &'a CommandSpec, is_sub: bool, argv: &'a [&'a [u8]]) -> Asked<'a> {
        Asked { command, spec, is_sub, argv, keys: OnceCell::new() }
    }

    /// A request for the command of this number in a table.
    pub fn of(commands: &'a dyn Commands, command: u16, argv: &'a [&'a [u8]]) -> Asked<'a> {
        Asked::new(command, commands.spec(command), commands.parent(command).is_some(), argv)
    }

    /// Where its keys are. A request whose keys cannot be told has none: its handler refuses it.
    fn keys(&self) -> &Found {
        self.keys.get_or_init(|| self.spec.keys.find(self.argv).unwrap_or_default())
    }
}

/// What a request may not do. The later a variant, the further the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command.
    Command,
    /// The key at this place.
    Key(usize),
    /// The channel at this place.
    Channel(usize),
}

/// A pattern of keys, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    /// A glob.
    pub pattern: Vec<u8>,
    /// Their content may be read.
    pub reads: bool,
    /// They may be changed.
    pub writes: bool,
}

impl KeyPattern {
    fn allows(&self, access: Access) -> bool {
        (self.reads || !access.reads()) && (self.writes || !access.writes())
    }
}

/// What a list of patterns lets through: everything, or what one of them matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patterns<P> {
    /// Everything.
    All,
    /// These.
    Of(Vec<P>),
}

/// One change of the commands, kept in the words of whoever made it, to be shown again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRule {
    /// `+` rather than `-`.
    pub allows: bool,
    /// `get`, `config|get`, `select|0` or `@string`, in lower case.
    pub what: Vec<u8>,
}

/// A set of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    commands: CommandSet,
    /// First arguments with which a command runs that does not run otherwise, in lower case.
    first_args: BTreeMap<u16, BTreeSet<Vec<u8>>>,
    /// The rules that made the two above, since the last `+@all` or `-@all`.
    rules: Vec<CommandRule>,
    /// The keys.
    pub keys: Patterns<KeyPattern>,
    /// The channels.
    pub channels: Patterns<Vec<u8>>,
}

impl Selector {
    /// Lets nothing through, but for channels where new users have those.
    pub fn new(open_channels: bool) -> Selector {
        Selector {
            commands: CommandSet::all(false),
            first_args: BTreeMap::new(),
            rules: Vec::new(),
            keys: Patterns::Of(Vec::new()),
            channels: if open_channels { Patterns::All } else { Patterns::Of(Vec::new()) },
        }
    }

    /// Lets everything through.
    pub fn open() -> Selector {
        Selector { commands: CommandSet::all(true), keys: Patterns::All, ..Selector::new(true) }
    }

    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        self.commands.is_all() && self.keys == Patterns::All && self.channels == Patterns::All
    }

    /// `+@all` or `-@all`: what was said before does not matter any more.
    pub fn set_all_commands(&mut self, allowed: bool) {
        self.commands = CommandSet::all(allowed);
        self.first_args.clear();
        self.rules.clear();
    }

    /// Allows or forbids commands, by a rule that is shown as `what`.
    pub fn set_commands(&mut self, which: impl Iterator<Item = u16>, allowed: bool, what: &[u8]) {
        for command in which {
            self.commands.set(command, allowed);
            self.first_args.remove(&command);
        }
        self.keep_rule(allowed, what);
    }

    /// Allows a subcommand, and leaves what is said of it as a command of its own.
    pub fn add_subcommand(&mut self, command: u16, what: &[u8]) {
        self.commands.set(command, true);
        self.keep_rule(true, what);
    }

    /// Allows a command with this first argument.
    pub fn add_first_arg(&mut self, command: u16, arg: &[u8], what: &[u8]) {
        self.first_args.entry(command).or_default().insert(arg.to_ascii_lowercase());
        self.keep_rule(true, what);
    }

    /// A new rule takes the place of those on the same thing or a part of it.
    fn keep_rule(&mut self, allows: bool, what: &[u8]) {
        let what = what.to_ascii_lowercase();
        let is_part =
            |old: &[u8]| old.strip_prefix(what.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'|');
        self.rules.retain(|rule| !is_part(&rule.what));
        self.rules.push(CommandRule { allows, what });
    }

    /// The commands as rules.
    pub fn command_rules(&self) -> Vec<Vec<u8>> {
        let sign = |allows: bool| if allows { b"+".as_slice() } else { b"-" };
        let all = [sign(self.commands.has_others()), b"@all"].concat();
        let rules = self.rules.iter().map(|rule| [sign(rule.allows), &rule.what].concat());
        std::iter::once(all).chain(rules).collect()
    }

    /// Judges a request: what of it is forbidden, if anything.
    pub fn check(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        self.check_command(asked)?;
        if let Patterns::Of(patterns) = &self.keys {
            let allowed = |key: &[u8], access: Access| {
                patterns.iter().any(|known| known.allows(access) && glob::matches(&known.pattern, key))
            };
            let keys = asked.keys().iter().filter(|(_, access)| !access.is_channel());
            for (at, access) in keys {
                if !allowed(asked.argv[*at], *access) {
                    return Err(Denied::Key(*at));
                }
            }
        }
        let is_pattern = asked.spec.channels == Channels::Patterns;
        for at in asked.spec.channels.places(asked.argv.len()) {
            if !self.allows_channel(asked.argv[at], is_pattern) {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }

    fn check_command(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        if self.commands.has(asked.command) || asked.spec.flags.has(Flags::NO_AUTH) {
            return Ok(());
        }
        let first = asked.argv.get(1 + asked.is_sub as usize);
        let args = self.first_args.get(&asked.command);
        match (args, first) {
            (Some(args), Some(first)) if args.contains(&first.to_ascii_lowercase()) => Ok(()),
            _ => Err(Denied::Command),
        }
    }

    /// Whether a channel may be used; a pattern of channels has to be allowed in the very same words.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        match &self.channels {
            Patterns::All => true,
            Patterns::Of(known) if is_pattern => known.iter().any(|pattern| pattern == name),
            Patterns::Of(known) => known.iter().any(|pattern| glob::matches(pattern, name)),
        }
    }

    /// Whether every key may be read.
    pub fn reads_all_keys(&self) -> bool {
        match &self.keys {
            Patterns::All => true,
            Patterns::Of(patterns) => patterns.iter().any(|known| known.reads && known.pattern == b"*"),
        }
    }
}
