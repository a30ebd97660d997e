//! ACL: who may do what.
//!
//! The rows, and what only looks: categories, the log, dry runs. Users are made and changed in `users.rs`, and what that
//! means for their clients is in `effect.rs`.

mod effect;
#[cfg(test)]
mod tests;
mod users;

use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::{Command, CommandTable};
use crate::acl::commands::Commands;
use crate::acl::rule::Rules;
use crate::acl::selector::Asked;
use crate::acl::user::DEFAULT;
use crate::base::rng;
use crate::config::Config;
use crate::config::choices::AclPubsubDefault;
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys};
use users::{deluser, getuser, list, load, save, setuser, users};

/// The family.
pub const COMMANDS: &[Command] = &[ACL];

const OPEN: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SENTINEL);
const ADMIN: Flags = OPEN.and(Flags::ADMIN);

const BASE: CommandSpec = CommandSpec { group: Group::Server, since: "6.0.0", flags: ADMIN, ..CommandSpec::BASE };

/// A row of what changes users: no command with keys is under way meanwhile.
const fn change(name: &'static str, summary: &'static str, arity: Arity) -> CommandSpec {
    CommandSpec { keys: Keys::All, ..row(name, summary, arity) }
}

const fn row(name: &'static str, summary: &'static str, arity: Arity) -> CommandSpec {
    CommandSpec { name, summary, arity, ..BASE }
}

const ACL: Command = Command::container(
    CommandSpec {
        name: "ACL",
        summary: "A container for commands on users.",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        flags: Flags::SENTINEL,
        ..BASE
    },
    &[
        Command::new(
            cat,
            CommandSpec {
                flags: OPEN,
                args: &[Arg::string("category").optional()],
                ..row("CAT", "The categories, or the commands of one.", Arity::at_least(2))
            },
        ),
        Command::new(
            deluser,
            CommandSpec {
                args: &[Arg::string("username").multiple()],
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..change("DELUSER", "Deletes users.", Arity::at_least(3))
            },
        ),
        Command::new(
            dryrun,
            CommandSpec {
                since: "7.0.0",
                args: &[Arg::string("username"), Arg::string("command"), Arg::string("arg").optional().multiple()],
                ..row("DRYRUN", "Whether a user may run a command.", Arity::at_least(4))
            },
        ),
        Command::new(
            genpass,
            CommandSpec {
                flags: OPEN,
                args: &[Arg::integer("bits").optional()],
                ..row("GENPASS", "A random password.", Arity::at_least(2))
            },
        ),
        Command::new(
            getuser,
            CommandSpec {
                history: &[
                    ("6.2.0", "Tells channels."),
                    ("7.0.0", "Tells selectors; keys and channels come as rules."),
                ],
                complexity: "O(N) in the rules of the user",
                args: &[Arg::string("username")],
                ..row("GETUSER", "The rules of a user.", Arity::exactly(3))
            },
        ),
        Command::new(
            help,
            CommandSpec { flags: OPEN.without(Flags::NOSCRIPT), ..row("HELP", "What there is.", Arity::exactly(2)) },
        ),
        Command::new(
            list,
            CommandSpec {
                complexity: "O(N) in the users",
                ..row("LIST", "All users with their rules.", Arity::exactly(2))
            },
        ),
        Command::new(
            load,
            CommandSpec {
                complexity: "O(N) in the users",
                ..change("LOAD", "Reads the users' file anew.", Arity::exactly(2))
            },
        ),
        Command::new(
            log,
            CommandSpec {
                history: &[("7.2.0", "An entry has an id and the times of its first and last event.")],
                complexity: "O(N) in the entries shown",
                args: &[Arg::one_of("operation", &[Arg::integer("count"), Arg::word("reset", "RESET")]).optional()],
                ..row("LOG", "Who was refused, newest first.", Arity::at_least(2))
            },
        ),
        Command::new(
            save,
            CommandSpec {
                complexity: "O(N) in the users",
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..row("SAVE", "Writes the users' file.", Arity::exactly(2))
            },
        ),
        Command::new(
            setuser,
            CommandSpec {
                history: &[("6.2.0", "Knows rules on channels."), ("7.0.0", "Knows selectors and rights by key.")],
                complexity: "O(N) in the rules given",
                args: &[Arg::string("username"), Arg::string("rule").optional().multiple()],
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..change("SETUSER", "Makes or changes a user.", Arity::at_least(3))
            },
        ),
        Command::new(
            users,
            CommandSpec {
                complexity: "O(N) in the users",
                ..row("USERS", "The names of all users.", Arity::exactly(2))
            },
        ),
        Command::new(
            whoami,
            CommandSpec { flags: OPEN, ..row("WHOAMI", "The user of this connection.", Arity::exactly(2)) },
        ),
    ],
);

fn help(ctx: &mut Ctx<'_, '_>) -> Result {
    super::introspect::help(
        ctx,
        "ACL",
        &[
            (
                "CAT [<category>]",
                "List all commands that belong to <category>, or all command categories\nwhen no category is specified.",
            ),
            ("DELUSER <username> [<username> ...]", "Delete a list of users."),
            (
                "DRYRUN <username> <command> [<arg> ...]",
                "Returns whether the user can execute the given command without executing the command.",
            ),
            ("GETUSER <username>", "Get the user's details."),
            (
                "GENPASS [<bits>]",
                "Generate a secure 256-bit user password. The optional `bits` argument can\nbe used to specify a different size.",
            ),
            ("LIST", "Show users details in config file format."),
            ("LOAD", "Reload users from the ACL file."),
            ("LOG [<count> | RESET]", "Show the ACL log entries."),
            ("SAVE", "Save the current config to the ACL file."),
            (
                "SETUSER <username> <attribute> [<attribute> ...]",
                "Create or modify a user with the specified attributes.",
            ),
            ("USERS", "List all the registered usernames."),
            ("WHOAMI", "Return the current connection username."),
        ],
    )
}

fn log(ctx: &mut Ctx<'_, '_>) -> Result {
    /// Entries shown when no number is given.
    const SHOWN: usize = 10;
    let count = match ctx.args.len() {
        2 => SHOWN,
        3 if ctx.args.is(2, "RESET") => {
            ctx.node.acl.log.clear();
            ctx.reply.ok();
            return Ok(Outcome::Done);
        }
        3 => usize::try_from(ctx.args.int(2)?).unwrap_or(0),
        _ => return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "ACL")),
    };
    let now_ms = ctx.now_ms();
    let entries = ctx.node.acl.log.newest(count);
    let reply = &mut *ctx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.map(10);
        reply.bulk(b"count");
        reply.int(entry.count as i64);
        let texts: [(&str, &[u8]); 4] = [
            ("reason", entry.refusal.reason.name().as_bytes()),
            ("context", entry.refusal.context.name().as_bytes()),
            ("object", &entry.refusal.object),
            ("username", &entry.refusal.username),
        ];
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text);
        }
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(entry.refusal.client_info.as_bytes());
        let numbers = [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ];
        for (name, number) in numbers {
            reply.bulk(name.as_bytes());
            reply.int(number as i64);
        }
    }
    Ok(Outcome::Done)
}

fn cat(ctx: &mut Ctx<'_, '_>) -> Result {
    match ctx.args.len() {
        2 => {
            ctx.reply.array(Categories::NAMES.len());
            Categories::NAMES.iter().for_each(|(_, name)| ctx.reply.bulk(name.as_bytes()));
        }
        3 => {
            let word = ctx.args.at(2);
            let found = Categories::NAMES.iter().find(|(_, name)| word.eq_ignore_ascii_case(name.as_bytes()));
            let (category, _) = found.ok_or_else(|| Error::of(&[b"ERR Unknown category '", word, b"'"]))?;
            let all = ctx.commands.all().iter();
            let of: Vec<_> = all.filter(|known| known.command.spec.all_categories().has(*category)).collect();
            ctx.reply.array(of.len());
            of.iter().for_each(|known| ctx.reply.bulk(known.name.as_bytes()));
        }
        _ => return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "ACL")),
    }
    Ok(Outcome::Done)
}

fn dryrun(ctx: &mut Ctx<'_, '_>) -> Result {
    let name = ctx.args.at(2);
    let user = ctx.node.acl.user(name).ok_or_else(|| Error::of(&[b"ERR User '", name, b"' not found"]))?;
    let request = ctx.args.rest(3);
    let unknown = |_| Error::of(&[b"ERR Command '", request[0], b"' not found"]);
    let known = ctx.commands.resolve(request).map_err(unknown)?;
    if !known.command.spec.arity.accepts(request.len()) {
        return Err(Error::Arity(known.name.to_string().into()));
    }
    match user.check(&Asked::of(ctx.commands, known.index, request)) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => ctx.reply.bulk(&denied.text(&user, &known.name, request, true)),
    }
    Ok(Outcome::Done)
}

fn genpass(ctx: &mut Ctx<'_, '_>) -> Result {
    let bits = match ctx.args.len() {
        2 => 256,
        3 => ctx.args.int(2)?,
        _ => return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "ACL")),
    };
    if !(1..=4096).contains(&bits) {
        return Err(Error::Text(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    // Four bits each.
    ctx.reply.bulk(rng::secret_hex((bits as usize).div_ceil(4)).as_bytes());
    Ok(Outcome::Done)
}

fn whoami(ctx: &mut Ctx<'_, '_>) -> Result {
    let name = ctx.session.user.as_ref().map_or(DEFAULT, |user| &user.name);
    ctx.reply.bulk(name);
    Ok(Outcome::Done)
}

/// What rules mean here.
pub fn rules<'a>(commands: &'a CommandTable, config: &Config) -> Rules<'a> {
    let open_channels = config.acl_pubsub_default.get() == AclPubsubDefault::Allchannels;
    Rules { commands, open_channels }
}

/// Rules name commands as they are called without `rename-command`.
impl Commands for CommandTable {
    fn count(&self) -> u16 {
        self.all().len() as u16
    }
    fn named(&self, name: &[u8]) -> Option<u16> {
        self.all().iter().find(|known| known.name.as_bytes().eq_ignore_ascii_case(name)).map(|known| known.index)
    }
    fn name(&self, command: u16) -> &str {
        &self.get(command).name
    }
    fn spec(&self, command: u16) -> &CommandSpec {
        &self.get(command).command.spec
    }
    fn parent(&self, command: u16) -> Option<u16> {
        self.get(command).parent
    }
}
