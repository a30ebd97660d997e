//! Rules: the words that make a user, such as `on >secret ~app:* +@read (+set ~tmp:*)`.

use super::commands::{Commands, family, of_category};
use super::hash_password;
use super::selector::{KeyPattern, Patterns, Selector};
use super::user::{PasswordHash, User};
use crate::base::bytes::split_args;
use crate::spec::Categories;
use std::fmt;

/// What is wrong with a rule. Its text is what ACL SETUSER and files say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such command, subcommand or category.
    Unknown,
    /// Not a rule.
    Syntax,
    /// A pattern of keys beside `~*`.
    AllKeys,
    /// A pattern of channels beside `&*`.
    AllChannels,
    /// The password to be removed is none of the user's.
    NoSuchPassword,
    /// Not 64 lower-case hex digits.
    BadHash,
    /// The user is there already.
    Duplicate,
    /// A subcommand with a first argument.
    FirstArgOfSubcommand,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Fault::Unknown => "Unknown command or category name in ACL",
            Fault::Syntax => "Syntax error",
            Fault::AllKeys => "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns",
            Fault::AllChannels => "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels",
            Fault::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Fault::BadHash => "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
            Fault::Duplicate => "Duplicate user found. A user can only be defined once in config files",
            Fault::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Whether a name or pattern has in it what would end it in a file: white space or a NUL.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// Puts the words of each selector that came as several arguments into one. Of such a word, what follows a NUL is lost.
///
/// # Errors
/// The place of a parenthesis that is never closed.
pub fn gather(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, usize> {
    let mut gathered: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<usize> = None;
    for (at, word) in words.iter().enumerate() {
        let closes = word.ends_with(b")");
        match (open, gathered.last_mut()) {
            (Some(_), Some(selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word.split(|byte| *byte == 0).next().unwrap_or_default());
                open = open.filter(|_| !closes);
            }
            _ => {
                gathered.push(word.to_vec());
                open = (word.starts_with(b"(") && !closes).then_some(at);
            }
        }
    }
    open.map_or(Ok(gathered), Err)
}

/// What rules mean on this server.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The commands that they name.
    pub commands: &'a dyn Commands,
    /// `acl-pubsub-default`: new users, and new selectors, may use every channel.
    pub open_channels: bool,
}

impl Rules<'_> {
    /// A user without rules.
    pub fn new_user(&self, name: &[u8]) -> User {
        User::new(name, self.open_channels)
    }

    /// Applies one rule. A user that a rule failed on may be half changed: it is to be thrown away.
    pub fn apply(&self, user: &mut User, word: &[u8]) -> Result<(), Fault> {
        match word.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => user.is_on = true,
            b"off" => user.is_on = false,
            b"nopass" => (user.no_pass, user.passwords) = (true, Vec::new()),
            b"resetpass" => (user.no_pass, user.passwords) = (false, Vec::new()),
            b"sanitize-payload" => user.sanitizes = true,
            b"skip-sanitize-payload" => user.sanitizes = false,
            b"clearselectors" => user.selectors.clear(),
            b"reset" => *user = self.new_user(&user.name),
            _ => match word[0] {
                b'>' => add_password(user, hash_password(&word[1..])),
                b'#' => add_password(user, read_hash(&word[1..])?),
                b'<' => remove_password(user, hash_password(&word[1..]))?,
                b'!' => remove_password(user, read_hash(&word[1..])?)?,
                b'(' if word.ends_with(b")") => user.selectors.push(self.selector(&word[1..word.len() - 1])?),
                _ => self.apply_to(&mut user.root, word)?,
            },
        }
        Ok(())
    }

    /// A selector from the rules between its parentheses. Rules whose quotes do not pair allow nothing.
    fn selector(&self, inner: &[u8]) -> Result<Selector, Fault> {
        // Splitting ends there: what follows would be lost.
        if inner.contains(&0) {
            return Err(Fault::Syntax);
        }
        let mut selector = Selector::new(self.open_channels);
        for word in split_args(inner).unwrap_or_default() {
            self.apply_to(&mut selector, &word)?;
        }
        Ok(selector)
    }

    fn apply_to(&self, selector: &mut Selector, word: &[u8]) -> Result<(), Fault> {
        match word.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => selector.keys = Patterns::All,
            b"resetkeys" => selector.keys = Patterns::Of(Vec::new()),
            b"allchannels" | b"&*" => selector.channels = Patterns::All,
            b"resetchannels" => selector.channels = Patterns::Of(Vec::new()),
            b"allcommands" | b"+@all" => selector.set_all_commands(true),
            b"nocommands" | b"-@all" => selector.set_all_commands(false),
            _ => match word {
                [b'~' | b'%', ..] => add_keys(selector, word)?,
                [b'&', pattern @ ..] => add_channels(selector, pattern)?,
                [sign @ (b'+' | b'-'), b'@', name @ ..] => self.set_category(selector, *sign == b'+', name)?,
                [b'+', name @ ..] => self.allow(selector, name)?,
                [b'-', name @ ..] => self.set_command(selector, false, name)?,
                _ => return Err(Fault::Syntax),
            },
        }
        Ok(())
    }

    fn set_category(&self, selector: &mut Selector, allowed: bool, name: &[u8]) -> Result<(), Fault> {
        let is_it = |known: &&(Categories, &str)| known.1.as_bytes().eq_ignore_ascii_case(name);
        let (category, _) = Categories::NAMES.iter().find(is_it).ok_or(Fault::Unknown)?;
        let commands = of_category(self.commands, *category);
        selector.set_commands(commands.into_iter(), allowed, &[b"@", name].concat());
        Ok(())
    }

    fn set_command(&self, selector: &mut Selector, allowed: bool, name: &[u8]) -> Result<(), Fault> {
        let command = self.commands.named(name).ok_or(Fault::Unknown)?;
        selector.set_commands(family(self.commands, command), allowed, self.commands.name(command).as_bytes());
        Ok(())
    }

    /// `+command`, `+container|subcommand`, or `+command|first-argument`.
    fn allow(&self, selector: &mut Selector, name: &[u8]) -> Result<(), Fault> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
            return self.set_command(selector, true, name);
        };
        let (front, last) = (&name[..bar], &name[bar + 1..]);
        let command = self.commands.named(front).ok_or(Fault::Unknown)?;
        if self.commands.parent(command).is_some() {
            return Err(Fault::FirstArgOfSubcommand);
        }
        // What has spaces in it could not be read back from a file.
        if last.is_empty() || has_spaces(last) {
            return Err(Fault::Syntax);
        }
        if family(self.commands, command).nth(1).is_some() {
            let sub = self.commands.named(name).ok_or(Fault::Unknown)?;
            selector.add_subcommand(sub, self.commands.name(sub).as_bytes());
            return Ok(());
        }
        tracing::warn!(
            "Deprecation warning: Allowing a first arg of an otherwise blocked command is a misuse of ACL and may get disabled in the future (offender: +{})",
            name.escape_ascii()
        );
        selector.add_first_arg(command, last, name);
        Ok(())
    }
}

fn add_password(user: &mut User, hash: PasswordHash) {
    user.no_pass = false;
    if !user.passwords.contains(&hash) {
        user.passwords.push(hash);
    }
}

fn remove_password(user: &mut User, hash: PasswordHash) -> Result<(), Fault> {
    let at = user.passwords.iter().position(|known| *known == hash).ok_or(Fault::NoSuchPassword)?;
    user.passwords.remove(at);
    Ok(())
}

fn read_hash(text: &[u8]) -> Result<PasswordHash, Fault> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(Fault::BadHash),
    };
    let mut hash = PasswordHash::default();
    if text.len() != 2 * hash.len() {
        return Err(Fault::BadHash);
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(hash)
}

/// `~pattern`, `%R~pattern`, `%W~pattern` or `%RW~pattern`.
fn add_keys(selector: &mut Selector, word: &[u8]) -> Result<(), Fault> {
    let Patterns::Of(patterns) = &mut selector.keys else { return Err(Fault::AllKeys) };
    let tilde = word.iter().position(|byte| *byte == b'~').ok_or(Fault::Syntax)?;
    let (reads, writes) = match word[..tilde].to_ascii_uppercase().as_slice() {
        b"" | b"%RW" | b"%WR" => (true, true),
        b"%R" => (true, false),
        b"%W" => (false, true),
        _ => return Err(Fault::Syntax),
    };
    let pattern = &word[tilde + 1..];
    if has_spaces(pattern) {
        return Err(Fault::Syntax);
    }
    match patterns.iter_mut().find(|known| known.pattern == pattern) {
        Some(known) => (known.reads, known.writes) = (known.reads | reads, known.writes | writes),
        None => patterns.push(KeyPattern { pattern: pattern.to_vec(), reads, writes }),
    }
    Ok(())
}

fn add_channels(selector: &mut Selector, pattern: &[u8]) -> Result<(), Fault> {
    let Patterns::Of(patterns) = &mut selector.channels else { return Err(Fault::AllChannels) };
    if has_spaces(pattern) {
        return Err(Fault::Syntax);
    }
    if !patterns.iter().any(|known| known == pattern) {
        patterns.push(pattern.to_vec());
    }
    Ok(())
}
