//! Keeps the tree tidy: rooms import only what lies below them, every file says why it exists, nothing is left half done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms it may import, as the table in `src/lib.rs` says.
type Table = BTreeMap<String, BTreeSet<String>>;

#[test]
fn rooms_import_only_what_lies_below_them() {
    let table = table();
    let mut wrong = Vec::new();
    for path in sources("src") {
        let Some(room) = room_of(&path) else { continue };
        let allowed = &table.get(&room).unwrap_or_else(|| panic!("{room} is missing in the table of src/lib.rs"));
        let text = fs::read_to_string(&path).expect("a source file");
        for (number, line) in shipped_lines(&text) {
            for import in imports(line) {
                if import != room && table.contains_key(&import) && !allowed.contains(&import) {
                    wrong.push(format!("{}:{number}: {room} must not import {import}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn lower_rooms_need_no_runtime() {
    let runtime_free =
        ["base", "types", "resp", "spec", "keyspace", "effect", "config", "stats", "acl", "command", "engine"];
    let mut wrong = Vec::new();
    for path in sources("src") {
        if !room_of(&path).is_some_and(|room| runtime_free.contains(&room.as_str())) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        for (number, line) in shipped_lines(&text).filter(|(_, line)| line.contains("tokio::")) {
            wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
        }
    }
    assert!(wrong.is_empty(), "tokio below the line:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_half_done() {
    // Put together here, so that this file does not find itself.
    let marks = ["TO DO", "FIX ME", "XX X", "unimplemented !", "todo !("].map(|mark| mark.replace(' ', ""));
    let mut wrong = Vec::new();
    for path in ["src", "tests", "benches", "fuzz"].into_iter().flat_map(sources) {
        let text = fs::read_to_string(&path).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_why_it_exists() {
    let silent: Vec<String> = ["src", "tests", "benches", "fuzz"]
        .into_iter()
        .flat_map(sources)
        .filter(|path| !fs::read_to_string(path).expect("a source file").starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no `//!` at the head of:\n{}", silent.join("\n"));
}

/// Reads the table of rooms: `| [`name`], [`other`] | what | may import |`.
fn table() -> Table {
    let map = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let mut table = Table::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_end_matches(['|', ' ']).split(" | ").collect();
        let [rooms, _, allowed] = cells[..] else { panic!("not a row of three cells: {row}") };
        let rooms: Vec<&str> = rooms.split(',').map(|room| room.trim_matches(['[', ']', '`', ' '])).collect();
        let below: BTreeSet<String> = match allowed {
            "-" => BTreeSet::new(),
            "all above" | "everything" => table.keys().cloned().collect(),
            "command and below" => table.keys().cloned().collect(),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        table.extend(rooms.into_iter().map(|room| (room.to_owned(), below.clone())));
    }
    assert!(table.len() > 10, "the table of rooms was not found in src/lib.rs");
    table
}

/// The room of a file under `src/`; nothing for `lib.rs` and `main.rs`.
fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).ok()?;
    let room = inside.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (!matches!(room.as_str(), "lib" | "main")).then_some(room)
}

/// Lines with their numbers, up to the tests at the foot of the file: tests may look at anything.
fn shipped_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.take_while(|(_, line)| *line != "#[cfg(test)]").filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms named by `crate::room` in a line, and by `use crate::{a, b::c}`.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        if line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(top_level(list)),
            None => found.push(word(rest)),
        }
    }
    found
}

/// The first word of each element of a list in braces.
fn top_level(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut start = 0;
    let mut found = Vec::new();
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(word(list[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(word(list[start..].trim_start()));
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// All `.rs` files below a folder of the project.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if path.file_name().is_some_and(|name| name != "target") => open.push(path),
                false if path.extension().is_some_and(|kind| kind == "rs") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn imports_are_read_as_written() {
    assert_eq!(imports("use crate::keyspace::Txn;"), ["keyspace"]);
    assert_eq!(imports("use crate::{base::num, resp::{self, Reply}, node};"), ["base", "resp", "node"]);
    assert_eq!(imports("pub use crate::types::Value;"), ["types"]);
    assert_eq!(imports("let x = crate::stats::now(); mycrate::other();"), ["stats"]);
}
