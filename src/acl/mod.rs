//! May this user run this?
//!
//! A [`User`] is a snapshot that never changes; [`Acl`] has the present one of every name. A session keeps the snapshot
//! it runs with, so a request takes no lock: whoever changes users tells the sessions concerned by a mark on their
//! client, while no command with keys is under way (`command/acl/effect.rs`), and a session with that mark looks its user
//! up again before it goes on (`engine/access.rs`).
//!
//! Read `rule.rs` for what rules there are, `selector.rs` for what they mean.

pub mod commands;
pub mod file;
pub mod log;
pub mod rule;
pub mod selector;
pub mod user;

use parking_lot::RwLock;
use selector::Denied;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use user::{DEFAULT, PasswordHash, User};

/// Users by name.
pub type Users = BTreeMap<Vec<u8>, Arc<User>>;

/// All users.
pub struct Acl {
    /// `default` is always among them.
    users: RwLock<Users>,
    /// Who was refused.
    pub log: log::AclLog,
}

impl Default for Acl {
    fn default() -> Self {
        let users = Users::from([(DEFAULT.to_vec(), Arc::new(User::open()))]);
        Acl { users: RwLock::new(users), log: log::AclLog::default() }
    }
}

/// The SHA-256 of a password.
pub fn hash_password(password: &[u8]) -> PasswordHash {
    Sha256::digest(password).into()
}

impl Acl {
    /// The user of this name.
    pub fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// The user `default`.
    pub fn default_user(&self) -> Arc<User> {
        self.user(DEFAULT).expect("`put` and `replace` keep it, and `remove` leaves it")
    }

    /// All users, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// The user a new connection has without AUTH.
    pub fn initial(&self) -> Option<Arc<User>> {
        Some(self.default_user()).filter(|user| user.is_on && user.no_pass)
    }

    /// Logs in, calling `enter` with the user if there is one of this name and password that is on. Until that returns,
    /// no user changes: who looks for sessions of a user afterwards finds the one that `enter` makes.
    pub fn log_in<R>(&self, name: &[u8], password: &[u8], enter: impl FnOnce(&Arc<User>) -> R) -> Option<R> {
        let hash = hash_password(password);
        let users = self.users.read();
        let user = users.get(name)?;
        let knows = user.knows(&hash);
        (user.is_on && (user.no_pass || knows)).then(|| enter(user))
    }

    /// Sets a user; returns the one it had of that name.
    pub fn put(&self, user: Arc<User>) -> Option<Arc<User>> {
        self.users.write().insert(user.name.clone(), user)
    }

    /// Removes a user, but never `default`.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT { None } else { self.users.write().remove(name) }
    }

    /// Puts these users, and an open `default` if there is none among them, in the place of all there are; returns those.
    /// Users that are the same as before stay as they are, so that their sessions need not know.
    pub fn replace(&self, users: Vec<User>) -> Users {
        let users = file::with_default(users, User::open);
        let mut present = self.users.write();
        let mut next = Users::new();
        for user in users {
            let kept = present.get(&user.name).filter(|old| ***old == user).cloned();
            next.insert(user.name.clone(), kept.unwrap_or_else(|| Arc::new(user)));
        }
        std::mem::replace(&mut *present, next)
    }

    /// `requirepass`: the one password of `default`; an empty one lets everybody in.
    pub fn require_password(&self, password: &[u8]) {
        let mut users = self.users.write();
        let Some(user) = users.get_mut(DEFAULT) else { return };
        let user = Arc::make_mut(user);
        user.no_pass = password.is_empty();
        user.passwords = if password.is_empty() { Vec::new() } else { vec![hash_password(password)] };
    }
}

impl Denied {
    /// Why a request was refused; `command` is the full name of its command. In detail it names the key or channel.
    pub fn text(&self, user: &User, command: &str, argv: &[&[u8]], in_detail: bool) -> Vec<u8> {
        let accesses = |at: usize, what: &str| {
            let parts: [&[u8]; 5] =
                [b"User ", &user.name, b" has no permissions to access the '", argv[at], what.as_bytes()];
            parts.concat()
        };
        match *self {
            Denied::Command => {
                let (before, after) = (b" has no permissions to run the '", b"' command");
                [b"User ", user.name.as_slice(), before, command.as_bytes(), after].concat()
            }
            Denied::Key(at) if in_detail => accesses(at, "' key"),
            Denied::Channel(at) if in_detail => accesses(at, "' channel"),
            Denied::Key(_) => b"No permissions to access a key".to_vec(),
            Denied::Channel(_) => b"No permissions to access a channel".to_vec(),
        }
    }
}
