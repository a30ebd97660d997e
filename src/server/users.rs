//! The users of a starting server, and the file they may come from.

use super::start::reason;
use crate::acl::file::{self, Declared};
use crate::acl::user::User;
use crate::base::bytes::to_text;
use crate::command::acl::rules;
use crate::config::{Config, rewrite};
use crate::engine::Engine;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Users declared twice over.
const TWO_PLACES: &str = "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup is very likely to lead to configuration errors and security holes, please define either an ACL file or declare users directly in your redis.conf, but not both.";

/// Sets the users that the configuration declares or its file has.
///
/// # Errors
/// The line for the log of why the server cannot start.
pub fn load(engine: &Engine, declared: &[Declared]) -> Result<(), String> {
    let (acl, config) = (&engine.node.acl, &engine.node.config);
    let rules = rules(&engine.commands, config);
    acl.require_password(&config.requirepass.get());
    let has_file = !config.aclfile.get().is_empty();
    if has_file && !declared.is_empty() {
        return Err(TWO_PLACES.into());
    }
    for user in declared {
        let user = user.user(rules).map_err(|why| {
            tracing::warn!("{why}");
            "Critical error while loading ACLs. Exiting."
        })?;
        warn_if_off(&user);
        acl.put(Arc::new(user));
    }
    if has_file {
        let users = read(config).and_then(|text| file::read(&text, &config.aclfile.string(), rules));
        acl.replace(users.map_err(|why| format!("Aborting Redis startup because of ACL errors: {why}"))?);
    }
    Ok(())
}

fn warn_if_off(user: &User) {
    if !user.is_on {
        tracing::info!(
            "The user '{}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error.",
            to_text(&user.name)
        );
    }
}

fn path(config: &Config) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&config.aclfile.get()))
}

/// The bytes of `aclfile`.
///
/// # Errors
/// The reply, or line for the log, of why they cannot be read.
pub fn read(config: &Config) -> Result<Vec<u8>, String> {
    let name = config.aclfile.string();
    std::fs::read(path(config))
        .map_err(|error| format!("Error loading ACLs, opening file '{name}': {}", reason(&error)))
}

/// Replaces `aclfile` as a whole.
///
/// # Errors
/// The line for the log.
pub fn write(config: &Config, text: &[u8]) -> Result<(), String> {
    let name = config.aclfile.string();
    rewrite::write(&path(config), text).map_err(|error| format!("Saving ACLs to '{name}': {}", reason(&error)))
}
