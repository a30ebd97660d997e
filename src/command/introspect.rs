//! COMMAND: what this server can do, told from the rows of the table.

use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use super::{Command, CommandTable, Known};
use crate::base::glob;
use crate::resp::reply::Reply;
use crate::spec::docs::ArgKind;
use crate::spec::keys::{Begin, Find, Found, KeySpec, find_one};
use crate::spec::{Arg, Arity, Categories, CommandSpec, Flags, Group, Keys};

/// The family.
pub const COMMANDS: &[Command] = &[COMMAND];

const BASE: CommandSpec = CommandSpec {
    group: Group::Server,
    categories: Categories::CONNECTION,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::SENTINEL),
    since: "2.8.13",
    complexity: "O(N) in the commands there are",
    tips: &["nondeterministic_output_order"],
    ..CommandSpec::BASE
};

const COMMAND: Command = Command::container_with(
    command,
    CommandSpec { name: "COMMAND", summary: "What every command is.", arity: Arity::at_least(1), ..BASE },
    &[
        Command::new(
            count,
            CommandSpec {
                name: "COUNT",
                summary: "Number of commands.",
                complexity: "O(1)",
                arity: Arity::exactly(2),
                tips: &[],
                ..BASE
            },
        ),
        Command::new(
            docs,
            CommandSpec {
                name: "DOCS",
                summary: "Documentation of commands.",
                since: "7.0.0",
                complexity: "O(N) in the commands named",
                arity: Arity::at_least(2),
                args: &[Arg::string("command-name").optional().multiple()],
                ..BASE
            },
        ),
        Command::new(
            getkeys,
            CommandSpec {
                name: "GETKEYS",
                summary: "The keys of a request.",
                complexity: "O(N) in the arguments of the request",
                arity: Arity::at_least(3),
                args: &[Arg::string("command"), Arg::string("arg").optional().multiple()],
                tips: &[],
                ..BASE
            },
        ),
        Command::new(
            getkeysandflags,
            CommandSpec {
                name: "GETKEYSANDFLAGS",
                summary: "The keys of a request, and what it does with them.",
                since: "7.0.0",
                complexity: "O(N) in the arguments of the request",
                arity: Arity::at_least(3),
                args: &[Arg::string("command"), Arg::string("arg").optional().multiple()],
                tips: &[],
                ..BASE
            },
        ),
        Command::new(
            help_command,
            CommandSpec {
                name: "HELP",
                summary: "What there is.",
                since: "5.0.0",
                complexity: "O(1)",
                arity: Arity::exactly(2),
                tips: &[],
                ..BASE
            },
        ),
        Command::new(
            info,
            CommandSpec {
                name: "INFO",
                summary: "What these commands are.",
                history: &[("7.0.0", "Without names it tells of all commands.")],
                complexity: "O(N) in the commands named",
                arity: Arity::at_least(2),
                args: &[Arg::string("command-name").optional().multiple()],
                ..BASE
            },
        ),
        Command::new(
            list,
            CommandSpec {
                name: "LIST",
                summary: "Names of commands.",
                since: "7.0.0",
                arity: Arity::at_least(2),
                args: &[Arg::one_of(
                    "filterby",
                    &[
                        Arg::string("module-name").token("MODULE"),
                        Arg::string("category").token("ACLCAT"),
                        Arg::pattern("pattern").token("PATTERN"),
                    ],
                )
                .token("FILTERBY")
                .optional()],
                ..BASE
            },
        ),
    ],
);

/// The reply of a container's HELP: a headline, then each form with what it does, then HELP itself.
pub fn help(ctx: &mut Ctx<'_, '_>, container: &str, forms: &[(&str, &str)]) -> Result {
    let lines = forms.iter().map(|(_, text)| 1 + text.lines().count()).sum::<usize>();
    ctx.reply.array(lines + 3);
    ctx.reply.simple(format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (form, text) in forms {
        ctx.reply.simple(form);
        text.lines().for_each(|line| ctx.reply.simple(format!("    {line}")));
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
    Ok(Outcome::Done)
}

fn help_command(ctx: &mut Ctx<'_, '_>) -> Result {
    help(
        ctx,
        "COMMAND",
        &[
            ("(no subcommand)", "Return details about all Redis commands."),
            ("COUNT", "Return the total number of commands in this Redis server."),
            ("LIST", "Return a list of all commands in this Redis server."),
            (
                "INFO [<command-name> ...]",
                "Return details about multiple Redis commands.\nIf no command names are given, documentation details for all\ncommands are returned.",
            ),
            (
                "DOCS [<command-name> ...]",
                "Return documentation details about multiple Redis commands.\nIf no command names are given, documentation details for all\ncommands are returned.",
            ),
            ("GETKEYS <full-command>", "Return the keys from a full Redis command."),
            ("GETKEYSANDFLAGS <full-command>", "Return the keys and the access flags from a full Redis command."),
        ],
    )
}

fn top_level(table: &CommandTable) -> impl Iterator<Item = &Known> {
    let mut all: Vec<(&[u8], &Known)> = table.callable().collect();
    all.sort_unstable_by_key(|(_, k)| k.index);
    all.into_iter().map(|(_, k)| k)
}

fn command(ctx: &mut Ctx<'_, '_>) -> Result {
    let table = ctx.commands;
    let all: Vec<&Known> = top_level(table).collect();
    ctx.reply.array(all.len());
    all.into_iter().for_each(|k| describe(ctx.reply, table, k));
    Ok(Outcome::Done)
}

fn count(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int(ctx.commands.callable().count() as i64);
    Ok(Outcome::Done)
}

/// `get`, or `config|get`.
fn find<'t>(table: &'t CommandTable, name: &[u8]) -> Option<&'t Known> {
    match name.iter().position(|b| *b == b'|') {
        None => table.find(name),
        Some(bar) => table.find(&name[..bar]).and_then(|parent| table.find_sub(parent, &name[bar + 1..])),
    }
}

fn info(ctx: &mut Ctx<'_, '_>) -> Result {
    if ctx.args.len() == 2 {
        return command(ctx);
    }
    let names = ctx.args.rest(2);
    ctx.reply.array(names.len());
    for name in names {
        match find(ctx.commands, name) {
            Some(known) => describe(ctx.reply, ctx.commands, known),
            None => ctx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

/// The name as clients see it.
fn shown_name(known: &Known) -> &str {
    &known.name
}

/// One element of COMMAND INFO.
fn describe(reply: &mut Reply, table: &CommandTable, known: &Known) {
    let spec = &known.command.spec;
    reply.array(10);
    reply.bulk(shown_name(known).as_bytes());
    reply.int(spec.arity.0 as i64);
    let derived = if is_movable(&spec.keys) { Flags::MOVABLE_KEYS } else { Flags::NONE };
    let flags: Vec<&str> = spec.flags.and(derived).names().filter(|n| !n.is_empty()).collect();
    reply.set(flags.len());
    flags.iter().for_each(|f| reply.simple(f));
    let (first, last, step) = legacy_range(&spec.keys);
    reply.int(first);
    reply.int(last);
    reply.int(step);
    let categories: Vec<&str> = spec.all_categories().names().collect();
    reply.set(categories.len());
    categories.iter().for_each(|c| reply.simple(format!("@{c}")));
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|t| reply.bulk(t.as_bytes()));
    let keys = spec.keys.specs();
    reply.set(keys.len());
    for (index, keys) in keys.iter().enumerate() {
        describe_key_spec(reply, keys, spec.key_notes.get(index).copied().unwrap_or_default());
    }
    let subcommands = subcommands(table, known);
    // The type of none is another than that of some, as in the original.
    match subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    subcommands.into_iter().for_each(|s| describe(reply, table, s));
}

fn subcommands<'t>(table: &'t CommandTable, known: &Known) -> Vec<&'t Known> {
    table.all().iter().filter(|k| k.parent == Some(known.index)).collect()
}

fn is_movable(keys: &Keys) -> bool {
    match keys {
        Keys::By(..) | Keys::AllShowing(..) => true,
        Keys::Specs(specs) => specs
            .iter()
            .any(|s| matches!(s.find, Find::Numkeys { .. } | Find::Unknown) || !matches!(s.begin, Begin::Index(_))),
        _ => false,
    }
}

/// First key, last key and step as COMMAND showed them before there were key specs: those of the ranges that begin at
/// an index, put together.
fn legacy_range(keys: &Keys) -> (i64, i64, i64) {
    let (mut first, mut last, mut step) = (0i64, 0i64, 0i64);
    for spec in keys.specs() {
        let (Begin::Index(begin), Find::Range { last: end, step: by, .. }) = (spec.begin, spec.find) else { continue };
        let end = if end >= 0 { begin as i64 + end as i64 } else { end as i64 };
        if first == 0 {
            (first, last, step) = (begin as i64, end, by as i64);
        } else {
            first = first.min(begin as i64);
            last = if last < 0 || end < 0 { last.min(end) } else { last.max(end) };
        }
    }
    (first, last, step)
}

fn describe_key_spec(reply: &mut Reply, spec: &KeySpec, note: &str) {
    reply.map(3 + !note.is_empty() as usize);
    text_if_any(reply, "notes", note);
    reply.bulk(b"flags");
    let flags: Vec<&str> = spec.access.names().collect();
    reply.set(flags.len());
    flags.iter().for_each(|f| reply.simple(f));
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    match spec.begin {
        Begin::Index(index) => {
            reply.bulk(b"index");
            reply.bulk(b"spec");
            reply.map(1);
            reply.bulk(b"index");
            reply.int(index as i64);
        }
        Begin::Keyword(word, from) => {
            reply.bulk(b"keyword");
            reply.bulk(b"spec");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.int(from as i64);
        }
        Begin::Unknown => unknown(reply),
    }
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    match spec.find {
        Find::Range { last, step, limit } => {
            reply.bulk(b"range");
            reply.bulk(b"spec");
            number_map(reply, &[("lastkey", last as i64), ("keystep", step as i64), ("limit", limit as i64)]);
        }
        Find::Numkeys { index, first, step } => {
            reply.bulk(b"keynum");
            reply.bulk(b"spec");
            number_map(reply, &[("keynumidx", index as i64), ("firstkey", first as i64), ("keystep", step as i64)]);
        }
        Find::Unknown => unknown(reply),
    }
}

fn unknown(reply: &mut Reply) {
    reply.bulk(b"unknown");
    reply.bulk(b"spec");
    reply.map(0);
}

fn number_map(reply: &mut Reply, pairs: &[(&str, i64)]) {
    reply.map(pairs.len());
    for (name, n) in pairs {
        reply.bulk(name.as_bytes());
        reply.int(*n);
    }
}

fn docs(ctx: &mut Ctx<'_, '_>) -> Result {
    let table = ctx.commands;
    let found: Vec<&Known> = match ctx.args.len() {
        2 => top_level(table).collect(),
        _ => ctx.args.rest(2).iter().filter_map(|n| find(table, n)).collect(),
    };
    ctx.reply.map(found.len());
    for known in found {
        ctx.reply.bulk(shown_name(known).as_bytes());
        document(ctx.reply, table, known);
    }
    Ok(Outcome::Done)
}

fn document(reply: &mut Reply, table: &CommandTable, known: &Known) {
    let spec = &known.command.spec;
    let subcommands = subcommands(table, known);
    let (deprecated_since, replaced_by) = spec.deprecated.unwrap_or_default();
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ];
    let advice = [("deprecated_since", deprecated_since), ("replaced_by", replaced_by)];
    let doc_flags: Vec<&str> = [(spec.deprecated.is_some(), "deprecated"), (spec.flags.has(Flags::SYSCMD), "syscmd")]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
    let lists = [doc_flags.len(), spec.history.len(), spec.args.len(), subcommands.len()];
    let said = texts.iter().chain(&advice).filter(|(_, text)| !text.is_empty()).count();
    reply.map(said + lists.iter().filter(|len| **len > 0).count());
    texts.iter().for_each(|(name, text)| text_if_any(reply, name, text));
    if !doc_flags.is_empty() {
        reply.bulk(b"doc_flags");
        reply.set(doc_flags.len());
        doc_flags.iter().for_each(|flag| reply.simple(flag));
    }
    advice.iter().for_each(|(name, text)| text_if_any(reply, name, text));
    if !spec.history.is_empty() {
        reply.bulk(b"history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !spec.args.is_empty() {
        reply.bulk(b"arguments");
        document_args(reply, spec.args);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for sub in subcommands {
            reply.bulk(shown_name(sub).as_bytes());
            document(reply, table, sub);
        }
    }
}

fn document_args(reply: &mut Reply, args: &[Arg]) {
    reply.array(args.len());
    for arg in args {
        let nested = match arg.kind {
            ArgKind::OneOf(args) | ArgKind::Block(args) => Some(args),
            _ => None,
        };
        let flags: Vec<&str> =
            [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")]
                .into_iter()
                .filter_map(|(on, name)| on.then_some(name))
                .collect();
        let key_spec = match arg.kind {
            ArgKind::Key(index) | ArgKind::KeyPattern(index) => Some(index),
            _ => None,
        };
        let shows_text = nested.is_none();
        let has_token = !arg.token.is_empty() || matches!(arg.kind, ArgKind::PureToken);
        let pairs = 2
            + shows_text as usize
            + key_spec.is_some() as usize
            + has_token as usize
            + !arg.since.is_empty() as usize
            + !arg.deprecated.is_empty() as usize
            + !flags.is_empty() as usize
            + nested.is_some() as usize;
        reply.map(pairs);
        text_pair(reply, "name", arg.name);
        text_pair(reply, "type", arg.kind.name());
        if shows_text {
            text_pair(reply, "display_text", if arg.shown.is_empty() { arg.name } else { arg.shown });
        }
        if let Some(index) = key_spec {
            reply.bulk(b"key_spec_index");
            reply.int(index as i64);
        }
        if has_token {
            text_pair(reply, "token", arg.token);
        }
        text_if_any(reply, "since", arg.since);
        text_if_any(reply, "deprecated_since", arg.deprecated);
        if !flags.is_empty() {
            reply.bulk(b"flags");
            reply.set(flags.len());
            flags.iter().for_each(|f| reply.simple(f));
        }
        if let Some(nested) = nested {
            reply.bulk(b"arguments");
            document_args(reply, nested);
        }
    }
}

fn text_pair(reply: &mut Reply, name: &str, text: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(text.as_bytes());
}

fn text_if_any(reply: &mut Reply, name: &str, text: &str) {
    if !text.is_empty() {
        text_pair(reply, name, text);
    }
}

/// The keys of the request that follows in the arguments.
fn keys_of(ctx: &Ctx<'_, '_>) -> Result<Found> {
    let request = ctx.args.rest(2);
    let known = ctx.commands.resolve(request).map_err(|_| Error::Text("ERR Invalid command specified"))?;
    let spec = &known.command.spec;
    if spec.keys.specs().iter().all(|keys| keys.access.is_channel()) {
        return Err(Error::Text("ERR The command has no key arguments"));
    }
    if !spec.arity.accepts(request.len()) {
        return Err(Error::Text("ERR Invalid number of arguments specified for command"));
    }
    let invalid = Error::Text("ERR Invalid arguments specified for command");
    match spec.keys.find(request) {
        // Keys that may be left out (the sources of PFMERGE) are asked for here.
        Ok(found) if !found.is_empty() && !spec.keys.specs().iter().any(|keys| lacks_keys(keys, request)) => Ok(found),
        _ if spec.flags.has(Flags::NO_MANDATORY_KEYS) => Ok(Found::new()),
        _ => Err(invalid),
    }
}

/// Whether a spec that says where its keys begin finds none.
fn lacks_keys(keys: &KeySpec, request: &[&[u8]]) -> bool {
    let mut found = Found::new();
    matches!(keys.begin, Begin::Index(_))
        && !matches!(keys.find, Find::Unknown)
        && find_one(keys, request, &mut found).is_ok()
        && found.is_empty()
}

fn getkeys(ctx: &mut Ctx<'_, '_>) -> Result {
    let found = keys_of(ctx)?;
    ctx.reply.array(found.len());
    for (index, _) in found {
        ctx.reply.bulk(ctx.args.at(index + 2));
    }
    Ok(Outcome::Done)
}

fn getkeysandflags(ctx: &mut Ctx<'_, '_>) -> Result {
    let found = keys_of(ctx)?;
    ctx.reply.array(found.len());
    for (index, access) in found {
        ctx.reply.array(2);
        ctx.reply.bulk(ctx.args.at(index + 2));
        let flags: Vec<&str> = access.names().collect();
        ctx.reply.set(flags.len());
        flags.iter().for_each(|f| ctx.reply.simple(f));
    }
    Ok(Outcome::Done)
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result {
    let keep: Box<dyn Fn(&Known) -> bool> = match ctx.args.len() {
        2 => Box::new(|_| true),
        5 if ctx.args.is(2, "FILTERBY") => {
            let value = ctx.args.at(4).to_vec();
            match () {
                () if ctx.args.is(3, "MODULE") => Box::new(|_| false),
                () if ctx.args.is(3, "ACLCAT") => {
                    let name = String::from_utf8_lossy(&value).to_ascii_lowercase();
                    let category = Categories::NAMES.iter().find(|(_, n)| *n == name).map(|(c, _)| *c);
                    Box::new(move |k| category.is_some_and(|c| k.command.spec.all_categories().has(c)))
                }
                () if ctx.args.is(3, "PATTERN") => {
                    Box::new(move |k| glob::matches_nocase(&value, shown_name(k).as_bytes()))
                }
                () => return Err(Error::Syntax),
            }
        }
        _ => return Err(Error::Syntax),
    };
    let names: Vec<&str> = ctx.commands.all().iter().filter(|k| keep(k)).map(shown_name).collect();
    ctx.reply.array(names.len());
    names.iter().for_each(|n| ctx.reply.bulk(n.as_bytes()));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row with its full name.
    fn rows() -> Vec<(String, &'static CommandSpec)> {
        let table = CommandTable::new(&[]).expect("nothing is renamed");
        table.all().iter().map(|known| (known.name.to_string(), &known.command.spec)).collect()
    }

    /// Every argument of a tree.
    fn all_args(args: &'static [Arg]) -> Vec<&'static Arg> {
        let nested = |arg: &Arg| match arg.kind {
            ArgKind::OneOf(args) | ArgKind::Block(args) => args,
            _ => &[],
        };
        args.iter().flat_map(|arg| std::iter::once(arg).chain(all_args(nested(arg)))).collect()
    }

    fn version(text: &str) -> Vec<u32> {
        text.split('.').map(|part| part.parse().expect("a number between the dots")).collect()
    }

    #[test]
    fn arguments_that_came_later_than_their_command_are_in_its_history() {
        for (name, spec) in rows() {
            for arg in all_args(spec.args).into_iter().filter(|arg| !arg.since.is_empty()) {
                let told = spec.history.iter().any(|(since, _)| *since == arg.since);
                assert!(told || version(arg.since) <= version(spec.since), "{name}: {} since {}", arg.name, arg.since);
            }
        }
    }

    #[test]
    fn histories_run_forward() {
        for (name, spec) in rows() {
            assert!(spec.history.is_sorted_by_key(|(since, _)| version(since)), "{name}: {:?}", spec.history);
            assert!(spec.history.iter().all(|(_, change)| change.ends_with('.')), "{name}: {:?}", spec.history);
        }
    }

    #[test]
    fn what_is_said_of_key_specs_is_said_of_those_there_are() {
        for (name, spec) in rows() {
            let specs = spec.keys.specs().len();
            assert!(spec.key_notes.len() <= specs, "{name}: {:?}", spec.key_notes);
            for arg in all_args(spec.args) {
                let (ArgKind::Key(index) | ArgKind::KeyPattern(index)) = arg.kind else { continue };
                assert!(usize::from(index) < specs, "{name}: {} has key spec {index} of {specs}", arg.name);
            }
        }
    }
}
