//! May this user run this?
//!
//! There is one user, `default`, with or without a password (`requirepass`). It may run everything.

pub mod log;

use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: Vec<u8>,
    /// SHA-256 of its passwords; none: any password will do.
    pub passwords: Vec<[u8; 32]>,
}

/// All users.
pub struct Acl {
    default: RwLock<Arc<User>>,
    /// Who was refused.
    pub log: log::AclLog,
}

impl Default for Acl {
    fn default() -> Self {
        let user = User { name: b"default".to_vec(), passwords: Vec::new() };
        Acl { default: RwLock::new(Arc::new(user)), log: log::AclLog::default() }
    }
}

/// The SHA-256 of a password.
pub fn hash_password(password: &[u8]) -> [u8; 32] {
    Sha256::digest(password).into()
}

impl Acl {
    /// The default user.
    pub fn default_user(&self) -> Arc<User> {
        self.default.read().clone()
    }
    /// `requirepass`: an empty password clears it.
    pub fn require_password(&self, password: &[u8]) {
        let passwords = if password.is_empty() { Vec::new() } else { vec![hash_password(password)] };
        *self.default.write() = Arc::new(User { name: b"default".to_vec(), passwords });
    }
    /// The user a new connection has without AUTH.
    pub fn initial(&self) -> Option<Arc<User>> {
        let user = self.default_user();
        user.passwords.is_empty().then_some(user)
    }
    /// The user of this name and password. Passwords are compared in constant time, by their hashes.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let user = self.default_user();
        let hash = hash_password(password);
        let matches = user.passwords.iter().fold(user.passwords.is_empty(), |found, known| {
            let difference = known.iter().zip(&hash).fold(0u8, |d, (a, b)| d | (a ^ b));
            found | (difference == 0)
        });
        (name == user.name.as_slice() && matches).then_some(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_user_needs_its_password_once_it_has_one() {
        let acl = Acl::default();
        assert!(acl.initial().is_some());
        assert!(acl.authenticate(b"default", b"anything").is_some());
        acl.require_password(b"secret");
        assert!(acl.initial().is_none());
        assert!(acl.authenticate(b"default", b"Secret").is_none());
        assert!(acl.authenticate(b"django", b"secret").is_none());
        assert!(acl.authenticate(b"default", b"secret").is_some());
    }
}
