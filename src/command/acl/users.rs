//! ACL SETUSER, DELUSER, LOAD and SAVE; GETUSER, LIST and USERS.

use super::effect::{self, Change};
use super::rules;
use crate::acl::file;
use crate::acl::rule::{gather, has_spaces};
use crate::acl::selector::Selector;
use crate::acl::user::{DEFAULT, channel_rules, hex, key_rules};
use crate::command::config::settings;
use crate::command::ctx::{Ctx, Outcome, Result};
use crate::command::error::Error;
use crate::resp::reply::Reply;
use std::sync::Arc;

pub(super) fn setuser(ctx: &mut Ctx<'_, '_>) -> Result {
    let name = ctx.args.at(2);
    if has_spaces(name) {
        return Err(Error::Text("ERR Usernames can't contain spaces or null characters"));
    }
    let words = ctx.args.rest(3);
    let words = gather(words)
        .map_err(|at| Error::of(&[b"ERR Unmatched parenthesis in acl selector starting at '", words[at], b"'."]))?;
    let rules = rules(ctx.commands, &ctx.node.config);
    let old = ctx.node.acl.user(name);
    let mut user = old.as_deref().cloned().unwrap_or_else(|| rules.new_user(name));
    for word in &words {
        rules.apply(&mut user, word).map_err(|fault| {
            Error::of(&[b"ERR Error in ACL SETUSER modifier '", word, format!("': {fault}").as_bytes()])
        })?;
    }
    let user = Arc::new(user);
    if let Some(old) = ctx.node.acl.put(user.clone()) {
        effect::apply(ctx, &[Change { old, new: Some(user) }]);
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

pub(super) fn deluser(ctx: &mut Ctx<'_, '_>) -> Result {
    let names = ctx.args.rest(2);
    if names.contains(&DEFAULT) {
        return Err(Error::Text("ERR The 'default' user cannot be removed"));
    }
    let gone = names.iter().filter_map(|name| ctx.node.acl.remove(name));
    let changes: Vec<Change> = gone.map(|old| Change { old, new: None }).collect();
    effect::apply(ctx, &changes);
    ctx.reply.int(changes.len() as i64);
    Ok(Outcome::Done)
}

/// What LOAD and SAVE answer without a file.
const NO_FILE: Error = Error::Text(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
);

pub(super) fn load(ctx: &mut Ctx<'_, '_>) -> Result {
    let config = &ctx.node.config;
    if config.aclfile.get().is_empty() {
        return Err(NO_FILE);
    }
    let wrong = |why: String| Error::owned(format!("ERR {why}"));
    let text = settings(ctx.node).read_users(config).map_err(wrong)?;
    let users = file::read(&text, &config.aclfile.string(), rules(ctx.commands, config)).map_err(wrong)?;
    let before = ctx.node.acl.replace(users);
    let changes: Vec<Change> = before
        .into_values()
        .map(|old| Change { new: ctx.node.acl.user(&old.name), old })
        .filter(|change| change.new.as_ref().is_none_or(|new| !Arc::ptr_eq(new, &change.old)))
        .collect();
    effect::apply(ctx, &changes);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

pub(super) fn save(ctx: &mut Ctx<'_, '_>) -> Result {
    let config = &ctx.node.config;
    if config.aclfile.get().is_empty() {
        return Err(NO_FILE);
    }
    let users = ctx.node.acl.all();
    let text = file::write(users.iter().map(Arc::as_ref));
    settings(ctx.node).write_users(config, &text).map_err(|why| {
        tracing::warn!("{why}");
        Error::Text("ERR There was an error trying to save the ACLs. Please check the server logs for more information")
    })?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

pub(super) fn getuser(ctx: &mut Ctx<'_, '_>) -> Result {
    let Some(user) = ctx.node.acl.user(ctx.args.at(2)) else {
        ctx.reply.null();
        return Ok(Outcome::Done);
    };
    let reply = &mut *ctx.reply;
    let flags: Vec<&str> = user.flags().collect();
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords.len());
    user.passwords.iter().for_each(|hash| reply.bulk(hex(hash).as_bytes()));
    describe(reply, &user.root);
    reply.bulk(b"selectors");
    reply.array(user.selectors.len());
    for selector in &user.selectors {
        reply.map(3);
        describe(reply, selector);
    }
    Ok(Outcome::Done)
}

/// The three fields of a selector.
fn describe(reply: &mut Reply, selector: &Selector) {
    let fields =
        [("commands", selector.command_rules()), ("keys", key_rules(selector)), ("channels", channel_rules(selector))];
    for (name, rules) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(&rules.join(&b' '));
    }
}

pub(super) fn list(ctx: &mut Ctx<'_, '_>) -> Result {
    let users = ctx.node.acl.all();
    ctx.reply.array(users.len());
    for user in users {
        let line = [b"user ", user.name.as_slice(), b" ", &user.rules()].concat();
        ctx.reply.bulk(&line);
    }
    Ok(Outcome::Done)
}

pub(super) fn users(ctx: &mut Ctx<'_, '_>) -> Result {
    let users = ctx.node.acl.all();
    ctx.reply.array(users.len());
    users.iter().for_each(|user| ctx.reply.bulk(&user.name));
    Ok(Outcome::Done)
}
