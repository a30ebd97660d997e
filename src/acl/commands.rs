//! The commands there are, as rules name them, and sets of them.

use crate::spec::{Categories, CommandSpec};

/// The table of commands, handed in by the room that has it. Commands have numbers from 0 on.
pub trait Commands {
    /// How many there are, subcommands included.
    fn count(&self) -> u16;
    /// The number of a command by its full name (`get`, `config|get`), in any case and before any renaming.
    fn named(&self, name: &[u8]) -> Option<u16>;
    /// Its full name, in lower case.
    fn name(&self, command: u16) -> &str;
    /// What it is.
    fn spec(&self, command: u16) -> &CommandSpec;
    /// The container of a subcommand.
    fn parent(&self, command: u16) -> Option<u16>;
}

/// A command and all its subcommands.
pub fn family(commands: &dyn Commands, command: u16) -> impl Iterator<Item = u16> {
    (0..commands.count()).filter(move |other| *other == command || commands.parent(*other) == Some(command))
}

/// The commands of a category, with all subcommands of the containers among them.
pub fn of_category(commands: &dyn Commands, category: Categories) -> Vec<u16> {
    let is_in = |command: u16| commands.spec(command).all_categories().has(category);
    (0..commands.count()).filter(|command| is_in(*command) || commands.parent(*command).is_some_and(is_in)).collect()
}

/// A set of commands, as bits. What it says of the commands beyond its last bit it also says of those that a later
/// version may add: the last of `+@all` and `-@all`.
#[derive(Clone, Debug, Default)]
pub struct CommandSet {
    words: Vec<u64>,
    others: bool,
}

impl CommandSet {
    /// All commands, or none.
    pub fn all(allowed: bool) -> CommandSet {
        CommandSet { words: Vec::new(), others: allowed }
    }

    /// Whether a command is in it.
    #[inline]
    pub fn has(&self, command: u16) -> bool {
        self.words.get(command as usize / 64).map_or(self.others, |word| word & bit(command) != 0)
    }

    /// Puts a command in or takes it out.
    pub fn set(&mut self, command: u16, allowed: bool) {
        let index = command as usize / 64;
        if index >= self.words.len() {
            self.words.resize(index + 1, if self.others { u64::MAX } else { 0 });
        }
        match allowed {
            true => self.words[index] |= bit(command),
            false => self.words[index] &= !bit(command),
        }
    }

    /// Whether every command is in it.
    pub fn is_all(&self) -> bool {
        self.others && self.words.iter().all(|word| *word == u64::MAX)
    }

    /// Whether commands to come are in it.
    pub fn has_others(&self) -> bool {
        self.others
    }
}

/// Sets are equal when they say the same of every command, however many bits they have for it.
impl PartialEq for CommandSet {
    fn eq(&self, other: &CommandSet) -> bool {
        let word =
            |set: &CommandSet, at: usize| set.words.get(at).copied().unwrap_or(if set.others { u64::MAX } else { 0 });
        self.others == other.others
            && (0..self.words.len().max(other.words.len())).all(|at| word(self, at) == word(other, at))
    }
}

fn bit(command: u16) -> u64 {
    1 << (command % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_all_again_when_what_was_taken_out_is_back() {
        let mut set = CommandSet::all(true);
        assert!(set.is_all() && set.has(0) && set.has(900));
        set.set(130, false);
        assert!(!set.is_all() && !set.has(130) && set.has(129) && set.has(131) && set.has(900));
        set.set(130, true);
        assert!(set.is_all());
        assert_eq!(set, CommandSet::all(true));

        let mut few = CommandSet::all(false);
        few.set(63, true);
        assert!(few.has(63) && !few.has(62) && !few.has(64) && !few.has_others());
        assert_ne!(few, CommandSet::all(false));
    }
}
