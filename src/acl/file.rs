//! Users as text: the lines of `aclfile` and the `user` lines of the configuration.
//!
//! A line of the file is split at spaces, and nothing in it is quoted; a line of the configuration is split as all its
//! lines are, so its words may have to be quoted.

use super::rule::{Fault, Rules, gather, has_spaces};
use super::user::{DEFAULT, User};
use crate::base::bytes::{quoted, to_text};

/// The file, one user a line.
pub fn write<'a>(users: impl IntoIterator<Item = &'a User>) -> Vec<u8> {
    users.into_iter().flat_map(|user| [b"user ", user.name.as_slice(), b" ", &user.rules(), b"\n"].concat()).collect()
}

/// What follows `user` in the configuration.
pub fn config_line(user: &User) -> Vec<u8> {
    let mut words = vec![config_word(&user.name)];
    words.extend(user.rules().split(|byte| *byte == b' ').map(config_word));
    words.join(&b' ')
}

fn config_word(word: &[u8]) -> Vec<u8> {
    let is_plain = !word.is_empty() && !word.iter().any(|byte| matches!(byte, b'"' | b'\''));
    if is_plain { word.to_vec() } else { quoted(word) }
}

/// Reads a file called `name`.
///
/// # Errors
/// What is wrong with all its lines, in one text.
pub fn read(text: &[u8], name: &str, rules: Rules<'_>) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    let mut errors = String::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        match read_line(line, name, number, &users, rules) {
            Ok(user) => users.push(user),
            Err(why) => errors.push_str(&why),
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str("WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

fn read_line(line: &[u8], file: &str, number: usize, known: &[User], rules: Rules<'_>) -> Result<User, String> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [b"user", name, words @ ..] = words.as_slice() else {
        return Err(format!("{file}:{number} should start with user keyword followed by the username. "));
    };
    if has_spaces(name) {
        return Err(format!("'{file}:{number}: username '{}' contains invalid characters. ", to_text(name)));
    }
    if known.iter().any(|user| user.name == *name) {
        return Err(format!("WARNING: Duplicate user '{}' found on line {number}. ", to_text(name)));
    }
    let Ok(words) = gather(words) else {
        return Err(format!("{file}:{number}: Unmatched parenthesis in selector definition."));
    };
    let mut user = rules.new_user(name);
    let (mut errors, mut told) = (String::new(), false);
    for word in words.iter().map(|word| trim(word)) {
        match rules.apply(&mut user, word) {
            Ok(()) => {}
            // A command may be shown; anything else could be a password.
            Err(fault @ Fault::Unknown) => {
                let word = to_text(word);
                errors.push_str(&format!("{file}:{number}: Error in applying operation '{word}': {fault}. "));
            }
            Err(fault) if !told => {
                told = true;
                errors.push_str(&format!("{file}:{number}: {fault}. "));
            }
            Err(_) => {}
        }
    }
    if errors.is_empty() { Ok(user) } else { Err(errors) }
}

fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

/// A user that the configuration names: the word after `user` and the rules after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The name.
    pub name: Vec<u8>,
    /// The rules, each selector in one word.
    pub words: Vec<Vec<u8>>,
}

impl Declared {
    /// Takes what follows `user` in a line, and looks whether it could mean something. That a command is not known is no
    /// fault yet: the commands are looked up when all has been read.
    pub fn read(words: &[Vec<u8>], known: &[Declared], rules: Rules<'_>) -> Result<Declared, Fault> {
        let (name, words) = words.split_first().ok_or(Fault::Syntax)?;
        if known.iter().any(|other| other.name == *name) {
            return Err(Fault::Duplicate);
        }
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let words = gather(&words).map_err(|_| Fault::Unknown)?;
        let mut user = rules.new_user(name);
        for word in &words {
            match rules.apply(&mut user, word) {
                Ok(()) | Err(Fault::Unknown) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Declared { name: name.clone(), words })
    }

    /// The user it declares.
    ///
    /// # Errors
    /// The line for the log.
    pub fn user(&self, rules: Rules<'_>) -> Result<User, String> {
        if has_spaces(&self.name) {
            return Err("Spaces not allowed in ACL usernames".into());
        }
        let mut user = rules.new_user(&self.name);
        for word in &self.words {
            rules.apply(&mut user, word).map_err(|fault| {
                let (word, name) = (to_text(word), to_text(&self.name));
                format!("Error loading ACL rule '{word}' for the user named '{name}': {fault}")
            })?;
        }
        Ok(user)
    }
}

/// The users of a file or a configuration, with `default` among them.
pub fn with_default(mut users: Vec<User>, default: impl FnOnce() -> User) -> Vec<User> {
    if !users.iter().any(|user| user.name == DEFAULT) {
        users.push(default());
    }
    users
}
