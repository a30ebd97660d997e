//! A user: who it is, how it proves that, and what it may do.
//!
//! A user is a snapshot that never changes: sessions share it, and a change of the rules is another snapshot
//! (`acl/mod.rs`).

use super::selector::{Asked, Denied, KeyPattern, Patterns, Selector};
use std::fmt::Write;

/// The SHA-256 of a password.
pub type PasswordHash = [u8; 32];

/// A user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Its name.
    pub name: Vec<u8>,
    /// It may log in.
    pub is_on: bool,
    /// Any password will do.
    pub no_pass: bool,
    /// Values it RESTOREs are to be looked through, where that is a matter of trust.
    pub sanitizes: bool,
    /// Its passwords.
    pub passwords: Vec<PasswordHash>,
    /// Its own rules.
    pub root: Selector,
    /// Further sets of rules.
    pub selectors: Vec<Selector>,
}

/// The name of the user a connection starts as.
pub const DEFAULT: &[u8] = b"default";

impl User {
    /// A user that can do nothing yet.
    pub fn new(name: &[u8], open_channels: bool) -> User {
        User {
            name: name.to_vec(),
            is_on: false,
            no_pass: false,
            sanitizes: true,
            passwords: Vec::new(),
            root: Selector::new(open_channels),
            selectors: Vec::new(),
        }
    }

    /// The user `default` of a server that says nothing of users: it may do everything, without a password.
    pub fn open() -> User {
        User { is_on: true, no_pass: true, root: Selector::open(), ..User::new(DEFAULT, true) }
    }

    fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Whether its requests have to be judged: no selector lets everything through.
    pub fn is_restricted(&self) -> bool {
        !self.all_selectors().any(Selector::is_open)
    }

    /// Whether this is the hash of a password of its own. All are compared, and each to its end, whatever comes out.
    pub fn knows(&self, hash: &PasswordHash) -> bool {
        let differs = |known: &PasswordHash| known.iter().zip(hash).fold(0u8, |seen, (a, b)| seen | (a ^ b)) != 0;
        self.passwords.iter().fold(false, |found, known| found | !differs(known))
    }

    /// Judges a request: of what its selectors have against it, that of the one it came furthest with.
    pub fn check(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        let mut worst = Denied::Command;
        for selector in self.all_selectors() {
            match selector.check(asked) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether a selector lets the request through that may read every key: where keys are reached which the request
    /// does not name.
    pub fn may_read_all_keys(&self, asked: &Asked<'_>) -> bool {
        self.all_selectors().any(|selector| selector.reads_all_keys() && selector.check(asked).is_ok())
    }

    /// Whether it may listen to a channel, or a pattern of channels.
    pub fn may_listen(&self, name: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.allows_channel(name, is_pattern))
    }

    /// Whether some pattern of channels that `old` had is gone, so that who listens has to be looked at.
    pub fn lost_channels(&self, old: &User) -> bool {
        let is_kept = |pattern: &Vec<u8>| {
            self.all_selectors()
                .any(|selector| matches!(&selector.channels, Patterns::Of(known) if known.contains(pattern)))
        };
        !self.all_selectors().any(|selector| selector.channels == Patterns::All)
            && old.all_selectors().any(|selector| match &selector.channels {
                Patterns::All => true,
                Patterns::Of(known) => !known.iter().all(is_kept),
            })
    }

    /// What is set of it, as ACL GETUSER names it.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let on = if self.is_on { "on" } else { "off" };
        let sanitize = if self.sanitizes { "sanitize-payload" } else { "skip-sanitize-payload" };
        [Some(on), self.no_pass.then_some("nopass"), Some(sanitize)].into_iter().flatten()
    }

    /// The rules that make it, as ACL LIST and files have them.
    pub fn rules(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords.iter().map(|hash| format!("#{}", hex(hash)).into_bytes()));
        words.extend(selector_words(&self.root));
        for selector in &self.selectors {
            let inner: Vec<Vec<u8>> = selector_words(selector).iter().map(|word| within_selector(word)).collect();
            words.push([b"(", inner.join(&b' ').as_slice(), b")"].concat());
        }
        words.join(&b' ')
    }
}

/// A hash in hex.
pub fn hex(hash: &PasswordHash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A pattern of keys as a rule.
fn key_rule(known: &KeyPattern) -> Vec<u8> {
    let access: &[u8] = match (known.reads, known.writes) {
        (true, false) => b"%R~",
        (false, true) => b"%W~",
        _ => b"~",
    };
    [access, &known.pattern].concat()
}

/// The keys of a selector as rules.
pub fn key_rules(selector: &Selector) -> Vec<Vec<u8>> {
    match &selector.keys {
        Patterns::All => vec![b"~*".to_vec()],
        Patterns::Of(patterns) => patterns.iter().map(key_rule).collect(),
    }
}

/// The channels of a selector as rules.
pub fn channel_rules(selector: &Selector) -> Vec<Vec<u8>> {
    match &selector.channels {
        Patterns::All => vec![b"&*".to_vec()],
        Patterns::Of(patterns) => patterns.iter().map(|pattern| [b"&", pattern.as_slice()].concat()).collect(),
    }
}

/// All rules of a selector; the last one is its commands.
fn selector_words(selector: &Selector) -> Vec<Vec<u8>> {
    let mut words = key_rules(selector);
    if selector.channels != Patterns::All {
        words.push(b"resetchannels".to_vec());
    }
    words.extend(channel_rules(selector));
    words.extend(selector.command_rules());
    words
}

/// A rule as it has to be written within parentheses, where quotes have a meaning and a `)` may be taken for the end.
/// Rules have no spaces in them.
fn within_selector(word: &[u8]) -> Vec<u8> {
    let is_plain = !word.iter().any(|byte| matches!(byte, b'"' | b'\'')) && !word.ends_with(b")");
    if is_plain { word.to_vec() } else { crate::base::bytes::quoted(word) }
}
