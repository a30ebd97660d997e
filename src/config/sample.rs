//! `conf/larder.conf`, made from the table: every directive with its documentation at its default.

use crate::config::Config;
use crate::config::row::Ready;
use crate::config::table::Entry;
use crate::config::table::TABLE;

const HEAD: &str = "\
# Larder configuration: every directive with its default. A redis.conf works as well.
#
# Start with it: larder /path/to/larder.conf. Directives on the command line win: larder larder.conf --port 7777.
# Sizes take units: 1k is 1000 bytes, 1kb is 1024, and so on for m, mb, g and gb, in any case. A line of another file
# can be read in place: include /path/to/other.conf (patterns work). Most values can be read and changed while the
# server runs: CONFIG GET, CONFIG SET, CONFIG REWRITE.
#
# This file is made from the table in src/config/table; a test compares the two.
";

/// The text of `conf/larder.conf`.
pub fn text() -> String {
    let config = Config::new();
    let mut out = HEAD.to_string();
    let mut group = "";
    for entry in TABLE.iter().filter(|entry| !entry.row.hidden) {
        if entry.group != group {
            group = entry.group;
            out.push_str(&format!("\n{}\n# {group}\n{}\n", "#".repeat(80), "#".repeat(80)));
        }
        out.push('\n');
        out.push_str(&directive(entry, &config));
    }
    out
}

fn directive(entry: &Entry, config: &Config) -> String {
    let mut out: String = entry.doc.iter().map(|line| format!("#{line}\n")).collect();
    let remarks = remarks(entry);
    if !remarks.is_empty() {
        out.push_str(&format!("# ({})\n", remarks.join(" ")));
    }
    let lines = (entry.cell)(config).lines(&entry.row);
    let set = !entry.row.default.is_empty();
    for line in &lines {
        let mark = if set { "" } else { "# " };
        let text = String::from_utf8_lossy(&line.text);
        let text = text.replacen(entry.row.redis_name(), entry.row.name, 1);
        out.push_str(&format!("{mark}{text}\n"));
    }
    if lines.is_empty() {
        out.push_str(&format!("# {} \"\"\n", entry.row.name));
    }
    out
}

fn remarks(entry: &Entry) -> Vec<String> {
    let row = &entry.row;
    let mut remarks = Vec::new();
    remarks.extend(row.alias.map(|alias| format!("Also {alias}.")));
    remarks.extend(row.immutable.then(|| "Start only.".to_string()));
    match row.ready {
        Ready::Yes => {}
        Ready::Waits => remarks.push("Known and kept, without effect in this version.".into()),
        Ready::OffOnly(why) => remarks.push(format!("Can only be off in this version: {why}.")),
        Ready::Warns(_) => remarks.push("Known and kept, without effect in this version: no dump is written.".into()),
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/larder.conf");

    #[test]
    fn the_file_agrees_with_the_table() {
        let file = std::fs::read_to_string(PATH).unwrap_or_default();
        let text = text();
        let differs = file.lines().zip(text.lines()).find(|(file, text)| file != text);
        assert!(
            file == text,
            "conf/larder.conf differs from the table (first at {differs:?}); make it anew with\n    \
             cargo test --lib config::sample::tests::regenerate -- --ignored"
        );
    }

    #[test]
    #[ignore = "writes conf/larder.conf; run it after changing the table"]
    fn regenerate() {
        std::fs::write(PATH, text()).expect("the file can be written");
    }

    #[test]
    fn the_files_in_conf_are_accepted() {
        for name in ["larder.conf", "minimal.conf"] {
            let path = format!("{}/conf/{name}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read(&path).expect("it is there");
            assert!(crate::config::load::parse(&text), "{name}");
        }
    }
}
