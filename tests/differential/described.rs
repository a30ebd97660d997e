//! COMMAND INFO and COMMAND DOCS beside the original's: all that is no prose, for every command that both know.
//!
//! Of arguments the tokens are compared, and the whole trees where the original is 7.2 or later: 7.2 named most
//! arguments anew.

use std::collections::BTreeMap;

use crate::support::client::{Client, Value};
use crate::support::server::{larder, oracle};

/// What is said of one command, by field.
type Facts = BTreeMap<&'static str, String>;

/// Of these commands 7.2 and 7.4 say something else than the 7.0 that Debian ships.
const CHANGED: &[(&str, &str)] = &[
    ("acl|deluser", "tips"),
    ("acl|log", "fields"),
    ("acl|save", "tips"),
    ("acl|setuser", "tips"),
    ("blmove", "flags"),
    ("blpop", "flags"),
    ("brpop", "flags"),
    ("brpoplpush", "flags"),
    ("bzpopmax", "flags"),
    ("bzpopmin", "flags"),
    ("client|kill", "history tokens"),
    ("client|pause", "since"),
    ("client|setname", "tips"),
    ("cluster|shards", "flags"),
    ("cluster|slots", "flags"),
    ("command|getkeys", "arity fields"),
    ("command|getkeysandflags", "arity fields"),
    ("config|resetstat", "tips"),
    ("config|rewrite", "tips"),
    ("georadius_ro", "history"),
    ("georadiusbymember", "history"),
    ("georadiusbymember_ro", "fields"),
    ("hscan", "tokens"),
    ("latency|reset", "tips"),
    ("msetnx", "tips"),
    ("psetex", "fields"),
    ("quit", "fields"),
    ("randomkey", "tips"),
    ("scan", "tips"),
    ("setex", "fields"),
    ("setnx", "fields"),
    ("sinterstore", "keys"),
    ("wait", "categories flags"),
    ("xinfo|consumers", "fields"),
    ("xinfo|stream", "history"),
    ("xread", "fields"),
    ("zrank", "arity fields tokens"),
    ("zrevrank", "arity fields tokens"),
];

/// And of these we do: they take options of later originals.
const AHEAD: &[(&str, &str)] = &[
    ("bitop", "arguments fields tokens"),
    ("geosearch", "arguments history tokens"),
    ("geosearchstore", "arguments history tokens"),
    ("set", "arguments history tokens"),
    ("zscan", "arguments fields history tokens"),
];

#[test]
fn commands_are_described_as_the_original_describes_them() {
    let (ours, theirs) = (larder().start(), oracle().start());
    let (ours, theirs) = (described(&mut ours.connect()), described(&mut theirs.connect()));
    if theirs.contains_key("hgetex") {
        println!("left out, the original is later than 7.4");
        return;
    }
    let changed: &[_] = if theirs.contains_key("hexpire") { &[] } else { CHANGED };
    let known = |name: &str, field: &str| {
        let excused = |(of, fields): &(&str, &str)| *of == name && fields.split(' ').any(|word| word == field);
        changed.iter().chain(AHEAD).any(excused)
    };
    let mut differ = Vec::new();
    for (name, facts) in &theirs {
        let Some(own) = ours.get(name) else { continue };
        for (field, fact) in facts.iter().filter(|(field, _)| !known(name, field)) {
            let own = own.get(field).map_or("nothing", String::as_str);
            if own != fact {
                differ.push(format!("{name}: {field}\nours:\n{own}\ntheirs:\n{fact}\n"));
            }
        }
    }
    assert!(differ.is_empty(), "{}{} differences", differ.join("\n"), differ.len());
    assert!(theirs.keys().filter(|name| !ours.contains_key(*name)).count() < 5, "commands are missing");
}

/// What a server says of its commands and subcommands.
fn described(client: &mut Client) -> BTreeMap<String, Facts> {
    client.run("HELLO 3");
    let mut all = BTreeMap::new();
    let mut rows = items(client.run("COMMAND"));
    while let Some(Value::Array(mut row)) = rows.pop() {
        rows.extend(items(row.remove(9)));
        all.insert(text(&row[0]), info(&row));
    }
    let mut pages = pairs(client.run("COMMAND DOCS"));
    while let Some((name, page)) = pages.pop() {
        let page = pairs(page);
        if let Some((_, subcommands)) = page.iter().find(|(field, _)| text(field) == "subcommands") {
            pages.extend(pairs(subcommands.clone()));
        }
        docs(&page, all.get_mut(&text(&name)).expect("COMMAND has a row of what COMMAND DOCS has a page of"));
    }
    all
}

/// The facts of a row of COMMAND.
fn info(row: &[Value]) -> Facts {
    let fields = ["name", "arity", "flags", "first", "last", "step", "categories", "tips", "keys"];
    fields.into_iter().zip(row).map(|(field, value)| (field, without_prose(value).to_string())).collect()
}

/// The facts of a page of COMMAND DOCS.
fn docs(page: &[(Value, Value)], facts: &mut Facts) {
    let fields: Vec<String> = page.iter().map(|(field, _)| text(field)).collect();
    facts.insert("fields", fields.join(" "));
    for (field, value) in page {
        match text(field).as_str() {
            "since" => facts.insert("since", text(value)),
            "group" => facts.insert("group", text(value)),
            "doc_flags" => facts.insert("doc_flags", value.to_string()),
            "deprecated_since" => facts.insert("deprecated_since", text(value)),
            "history" => {
                let versions = items(value.clone()).into_iter().map(|change| text(&items(change)[0]));
                facts.insert("history", versions.collect::<Vec<_>>().join(" "))
            }
            "arguments" => {
                let mut tokens = Vec::new();
                collect_tokens(value, &mut tokens);
                facts.insert("tokens", tokens.join(" "));
                let tree = value.to_string();
                if tree.contains("display_text") { facts.insert("arguments", tree) } else { None }
            }
            _ => None,
        };
    }
}

/// Every literal word of a tree of arguments, with the version that it came with.
fn collect_tokens(arguments: &Value, into: &mut Vec<String>) {
    for argument in items(arguments.clone()) {
        let fields = pairs(argument);
        let field = |name: &str| fields.iter().find(|(field, _)| text(field) == name).map(|(_, value)| value);
        if let Some(token) = field("token") {
            into.push(
                [Some(text(token)), field("since").map(text)].into_iter().flatten().collect::<Vec<_>>().join("@"),
            );
        }
        if let Some(nested) = field("arguments") {
            collect_tokens(nested, into);
        }
    }
}

/// The same, with the notes of key specs there but empty.
fn without_prose(value: &Value) -> Value {
    let inner = |items: &[Value]| items.iter().map(without_prose).collect();
    match value {
        Value::Array(items) => Value::Array(inner(items)),
        Value::Set(items) => Value::Set(inner(items)),
        Value::Map(pairs) => Value::Map(
            pairs
                .iter()
                .map(|(field, value)| match text(field).as_str() {
                    "notes" => (field.clone(), Value::Null),
                    _ => (field.clone(), without_prose(value)),
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) | Value::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("a text was expected, got {other}"),
    }
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        other => panic!("a list was expected, got {other}"),
    }
}

fn pairs(value: Value) -> Vec<(Value, Value)> {
    match value {
        Value::Map(pairs) => pairs,
        other => panic!("a map was expected, got {other}"),
    }
}
