//! Configuration files, standard input and the command line, line by line, as `redis-server` reads them.
//!
//! One stream of lines: the file, then standard input, then the options of the command line, so the last word wins and
//! errors count lines through all three. The parser itself is pure; what a line needs of the outside (an `include`, the
//! directory to enter, the users and the names of commands) it asks of a [`World`].

use crate::base::bytes;
use crate::config::cell::Source;
use crate::config::table::Entry;
use crate::config::table::{self, TABLE};
use crate::config::{Config, REDIS_VERSION};
use std::fmt;

/// What a configuration may ask of the outside. Errors are texts for the operator.
pub trait World {
    /// The bytes of a file.
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, String>;

    /// The files a pattern with `*`, `?` or `[` matches, sorted; none is no error.
    fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>>;

    /// Enters a directory and returns its full path.
    fn enter(&mut self, dir: &[u8]) -> Result<Vec<u8>, String>;

    /// Gives a command another name; an empty one removes it.
    fn rename_command(&mut self, name: &[u8], to: &[u8]) -> Result<(), String>;

    /// Defines a user: a name and its rules.
    fn user(&mut self, words: &[Vec<u8>]) -> Result<(), String>;
}

/// Why a configuration was refused. Its text is what `redis-server` prints.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// A file cannot be read; belongs into the log.
    CannotOpen {
        /// As it was named.
        path: String,
        /// The system's reason.
        why: String,
    },
    /// A line is wrong; belongs on standard error.
    Line {
        /// Counted from 1.
        number: usize,
        /// The line without blanks around it.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The whole is wrong; belongs on standard error.
    Whole(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fault::CannotOpen { path, why } = self {
            return write!(out, "Fatal error, can't open config file '{path}': {why}");
        }
        write!(out, "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n")?;
        match self {
            Fault::Line { number, text, why } => {
                write!(out, "Reading the configuration file, at line {number}\n>>> '{text}'\n{why}")
            }
            Fault::Whole(why) | Fault::CannotOpen { why, .. } => write!(out, "{why}"),
        }
    }
}

/// What there is to read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The file, or a pattern of files.
    pub file: Option<Vec<u8>>,
    /// The bytes of standard input.
    pub stdin: Option<Vec<u8>>,
    /// The options of the command line, as lines.
    pub options: Vec<u8>,
}

/// Reads everything into `config`.
pub fn load(config: &Config, sources: &Sources, world: &mut dyn World) -> Result<(), Fault> {
    let mut loader = Loader { config, world, depth: 0 };
    let mut text = Vec::new();
    if let Some(file) = &sources.file {
        text = loader.read_all(file)?;
    }
    text.extend(sources.stdin.iter().flatten());
    if !sources.options.is_empty() {
        text.push(b'\n');
        text.extend(&sources.options);
    }
    loader.lines(&text)?;
    config.settle();
    Ok(())
}

/// What the operator should hear about a configuration that was accepted.
pub fn warnings(config: &Config) -> Vec<&'static str> {
    TABLE.iter().filter_map(|entry| entry.warning(config)).collect()
}

/// Reads any bytes as a configuration in an empty world: for fuzzing. Returns whether they were accepted.
pub fn parse(text: &[u8]) -> bool {
    let sources = Sources { stdin: Some(text.to_vec()), ..Sources::default() };
    load(&Config::new(), &sources, &mut Nowhere).is_ok()
}

/// A world with nothing in it.
pub(super) struct Nowhere;

impl World for Nowhere {
    fn read(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("No such file or directory".into())
    }
    fn expand(&mut self, _: &[u8]) -> Vec<Vec<u8>> {
        Vec::new()
    }
    fn enter(&mut self, dir: &[u8]) -> Result<Vec<u8>, String> {
        Ok(dir.to_vec())
    }
    fn rename_command(&mut self, _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn user(&mut self, _: &[Vec<u8>]) -> Result<(), String> {
        Ok(())
    }
}

struct Loader<'a> {
    config: &'a Config,
    world: &'a mut dyn World,
    depth: usize,
}

/// Files that include each other stop here instead of eating the stack.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Directives of older versions that are read and dropped.
const DROPPED: [&[u8]; 3] = [b"list-max-ziplist-entries", b"list-max-ziplist-value", b"lua-replicate-commands"];

/// A line that is refused, or a fault of an included file, which has its own lines.
enum Refusal {
    Why(String),
    Inner(Fault),
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Refusal {
        Refusal::Why(why.into())
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Refusal {
        Refusal::Why(why)
    }
}

impl Loader<'_> {
    /// The bytes of a file or of all files of a pattern.
    fn read_all(&mut self, path: &[u8]) -> Result<Vec<u8>, Fault> {
        let is_pattern = path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        let files = if is_pattern { self.world.expand(path) } else { vec![path.to_vec()] };
        let mut text = Vec::new();
        for file in files {
            // A file without an end of line must not run into the next one.
            if !text.is_empty() && !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            let read = self.world.read(&file);
            text.extend(read.map_err(|why| Fault::CannotOpen { path: bytes::to_text(&file), why })?);
        }
        Ok(text)
    }

    fn lines(&mut self, text: &[u8]) -> Result<(), Fault> {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trim(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            self.line(line).map_err(|refusal| match refusal {
                Refusal::Why(why) => Fault::Line { number: index + 1, text: bytes::to_text(line), why },
                Refusal::Inner(fault) => fault,
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut words = bytes::split_args(line).map_err(|_| "Unbalanced quotes in configuration line")?;
        let Some(name) = words.first_mut() else { return Ok(()) };
        name.make_ascii_lowercase();
        match table::find(&words[0]) {
            Some(entry) => self.directive(entry, &words[1..]),
            None => self.statement(&words),
        }
    }

    fn directive(&mut self, entry: &Entry, values: &[Vec<u8>]) -> Result<(), Refusal> {
        if !entry.row.many && values.len() != 1 {
            return Err("wrong number of arguments".into());
        }
        // One word for a directive of many is itself a line of words: save "3600 1 300 100".
        let inner = match values {
            [one] if entry.row.many && !one.is_empty() => {
                bytes::split_args(one).map_err(|_| "Unbalanced quotes in configuration line")?
            }
            _ => values.to_vec(),
        };
        let inner: Vec<&[u8]> = inner.iter().map(Vec::as_slice).collect();
        entry.set(self.config, &inner, Source::File)?;
        if entry.row.name == "dir" {
            let full = self.world.enter(&self.config.dir.get())?;
            self.config.dir.store(&full);
        }
        Ok(())
    }

    /// Lines that are not settings.
    fn statement(&mut self, words: &[Vec<u8>]) -> Result<(), Refusal> {
        let name = words[0].as_slice();
        match (name, words.len()) {
            (b"include", 2) => self.include(&words[1]),
            (b"rename-command", 3) => Ok(self.world.rename_command(&words[1], &words[2])?),
            (b"user", 2..) => Ok(self.world.user(&words[1..])?),
            (b"loadmodule", 2..) => Err("loadable modules are not supported".into()),
            (b"sentinel", 1) => Ok(()),
            (b"sentinel", _) => Err("sentinel directive while not in sentinel mode".into()),
            (_, 2) if DROPPED.contains(&name) => Ok(()),
            (_, 1) if name.contains(&b'.') => Err("Module config specified without value".into()),
            _ => Err("Bad directive or wrong number of arguments".into()),
        }
    }

    fn include(&mut self, path: &[u8]) -> Result<(), Refusal> {
        if self.depth == INCLUDE_DEPTH_MAX {
            return Err("include is nested too deeply".into());
        }
        self.depth += 1;
        let text = self.read_all(path).map_err(Refusal::Inner)?;
        self.lines(&text).map_err(Refusal::Inner)?;
        self.depth -= 1;
        Ok(())
    }
}

/// `line` without blanks at both ends.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::argv::{self, Start};
    use std::collections::BTreeMap;

    /// Files in memory; every directory exists but `/nonexist`.
    #[derive(Default)]
    struct Files {
        files: BTreeMap<&'static str, &'static str>,
        calls: Vec<String>,
    }

    impl World for Files {
        fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
            let text = self.files.get(bytes::to_text(path).as_str()).ok_or("No such file or directory")?;
            Ok(text.as_bytes().to_vec())
        }
        fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
            let names = self.files.keys().map(|name| name.as_bytes().to_vec());
            names.filter(|name| crate::base::glob::matches(pattern, name)).collect()
        }
        fn enter(&mut self, dir: &[u8]) -> Result<Vec<u8>, String> {
            if dir == b"/nonexist" { Err("No such file or directory".into()) } else { Ok(dir.to_vec()) }
        }
        fn rename_command(&mut self, name: &[u8], to: &[u8]) -> Result<(), String> {
            self.calls.push(format!("rename {} to {}", bytes::to_text(name), bytes::to_text(to)));
            Ok(())
        }
        fn user(&mut self, words: &[Vec<u8>]) -> Result<(), String> {
            self.calls.push(format!("user {}", bytes::to_text(&words.join(&b' '))));
            Ok(())
        }
    }

    fn load_text(text: &str) -> Result<Config, Fault> {
        let config = Config::new();
        let sources = Sources { stdin: Some(text.as_bytes().to_vec()), ..Sources::default() };
        load(&config, &sources, &mut Files::default()).map(|()| config)
    }

    #[test]
    fn a_stock_file_is_read() {
        let config = load_text(
            "# comment\n\n  PORT 7000 \r\nbind 127.0.0.1 -::1\nsave 900 1\nsave 300 10\nmaxmemory 100mb\n\
             proc-title-template \"{title} x\"\nclient-output-buffer-limit replica 1mb 1kb 9\nslave-read-only no\n\
             shutdown-on-sigterm \"nosave now\"\nlist-max-ziplist-entries 3\nhz 9999\nio-threads 4\n\
             hash-max-listpack-entries 20\nhash-max-ziplist-entries 21",
        )
        .expect("nothing wrong with it");
        assert_eq!(config.port.get(), 7000);
        assert_eq!(config.bind.get().len(), 2);
        assert_eq!(config.save.get().len(), 2);
        assert_eq!(config.maxmemory.size(), 100 << 20);
        assert_eq!(config.proc_title_template.string(), "{title} x");
        assert!(!config.replica_read_only.get());
        assert_eq!(config.hz.get(), 500);
        assert_eq!(config.workers(), 4);
        assert_eq!(config.hash_max_listpack_entries.get(), 21);
    }

    /// Asked of a real server, one by one.
    #[test]
    fn what_is_wrong_is_said_as_redis_says_it() {
        let cases: &[(&str, usize, &str)] = &[
            ("port 0\nfoo bar\nx", 2, "Bad directive or wrong number of arguments"),
            ("port 0\n\nmaxmemory 1 2", 3, "wrong number of arguments"),
            ("maxmemory \"abc", 1, "Unbalanced quotes in configuration line"),
            ("  MAXMEMORY 1tb  \r", 1, "argument must be a memory value"),
            ("user", 1, "Bad directive or wrong number of arguments"),
            ("sentinel monitor x", 1, "sentinel directive while not in sentinel mode"),
            ("a.b", 1, "Module config specified without value"),
            ("loadmodule", 1, "Bad directive or wrong number of arguments"),
            ("list-max-ziplist-entries", 1, "Bad directive or wrong number of arguments"),
            ("replicaof a b", 1, "Invalid master port"),
            ("replicaof a", 1, "wrong number of arguments"),
            ("bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", 1, "Too many bind addresses specified."),
            ("client-output-buffer-limit normal 0 0", 1, "Wrong number of arguments in buffer limit configuration."),
            ("save 1", 1, "Invalid save parameters"),
            ("appendfilename \"\"", 1, "appendfilename can't be empty"),
            ("appenddirname a/b", 1, "appenddirname can't be a path, just a dirname"),
            ("unixsocketperm 999", 1, "argument couldn't be parsed as an octal number"),
            ("oom-score-adj-values 1", 1, "wrong number of arguments"),
            ("databases 0", 1, "argument must be between 1 and 2147483647 inclusive"),
            ("dir /nonexist", 1, "No such file or directory"),
            ("enable-debug-command foo", 1, "argument(s) must be one of the following: no, yes, local"),
            ("shutdown-on-sigint", 1, "argument(s) must be one of the following: default, save, nosave, now, force"),
            (
                "cluster-enabled yes",
                1,
                "cluster-enabled can only be 'no' in this version: there is no cluster mode yet",
            ),
        ];
        for (text, number, why) in cases {
            let line = text.split('\n').nth(number - 1).expect("the line").trim();
            let want = Fault::Line { number: *number, text: line.into(), why: why.to_string() };
            assert_eq!(load_text(text).err(), Some(want), "{text}");
        }
        let fault = load_text("foo bar").err().expect("wrong").to_string();
        let want = "\n*** FATAL CONFIG FILE ERROR (Redis 7.4.1) ***\nReading the configuration file, at line 1\n\
                    >>> 'foo bar'\nBad directive or wrong number of arguments";
        assert_eq!(fault, want);
    }

    #[test]
    fn includes_patterns_renames_and_users() {
        let files = BTreeMap::from([
            ("main", "include parts/*.conf\ninclude none-*\nuser bob on\nrename-command flushall \"\"\nport 1"),
            ("parts/a.conf", "maxmemory 1mb\nport 2"),
            ("parts/b.conf", "maxmemory 2mb"),
            ("loop", "include loop"),
            ("missing", "include /gone"),
        ]);
        let mut world = Files { files, ..Files::default() };
        let config = Config::new();
        let file = |name: &str| Sources { file: Some(name.into()), ..Sources::default() };
        assert_eq!(load(&config, &file("main"), &mut world), Ok(()));
        assert_eq!((config.port.get(), config.maxmemory.size()), (1, 2 << 20));
        assert_eq!(world.calls, ["user bob on", "rename flushall to "]);
        let fault = load(&config, &file("loop"), &mut world).expect_err("endless");
        assert!(fault.to_string().ends_with("include is nested too deeply"), "{fault}");
        let fault = load(&config, &file("missing"), &mut world).expect_err("gone");
        assert_eq!(fault.to_string(), "Fatal error, can't open config file '/gone': No such file or directory");
    }

    /// Runs a command line after `port 0` in a file.
    fn command_line(words: &[&str]) -> Result<Config, String> {
        let argv: Vec<Vec<u8>> = ["larder", "file"].iter().chain(words).map(|word| word.as_bytes().to_vec()).collect();
        let Start::Serve { file, options, .. } = argv::read(&argv) else { return Err("not a start".into()) };
        let mut world = Files { files: BTreeMap::from([("file", "port 0\n")]), ..Files::default() };
        let config = Config::new();
        let sources = Sources { file, stdin: None, options };
        load(&config, &sources, &mut world).map(|()| config).map_err(|fault| fault.to_string())
    }

    #[test]
    fn command_lines_that_are_wrong() {
        let cases: &[(&[&str], &str)] = &[
            (&["--invalid"], "at line 3\n>>> 'invalid'\nBad directive or wrong number of arguments"),
            (&["foo"], ">>> '\"foo\"'\nBad directive or wrong number of arguments"),
            (&["--port"], ">>> 'port'\nwrong number of arguments"),
            (&["--port", "6380", "--loglevel"], ">>> 'loglevel'\nwrong number of arguments"),
            (&["--port", "6379", "6380"], ">>> 'port \"6379\" \"6380\"'\nwrong number of arguments"),
            (&["--port", "--loglevel", "verbose"], ">>> 'port \"--loglevel\" \"verbose\"'\nwrong number of arguments"),
            (
                &["--port", "--bla", "--loglevel", "verbose"],
                ">>> 'port \"--bla\"'\nargument couldn't be parsed into an integer",
            ),
            (
                &["--logfile", "--my--log--file", "--loglevel", "--bla"],
                ">>> 'loglevel \"--bla\"'\nargument(s) must be one of the following: debug, verbose, notice, warning, nothing",
            ),
            (&["--replicaof", "--127.0.0.1", "abc"], ">>> 'replicaof \"--127.0.0.1\" \"abc\"'\nInvalid master port"),
            (&["--replicaof", "--127.0.0.1", "--abc"], ">>> 'replicaof \"--127.0.0.1\"'\nwrong number of arguments"),
        ];
        for (words, want) in cases {
            let error = command_line(words).err().expect("wrong");
            assert!(error.ends_with(want), "{words:?}: {error}");
        }
    }

    #[test]
    fn command_lines_that_are_right() {
        type Check = fn(&Config) -> bool;
        let cases: &[(&[&str], Check)] = &[
            (&["--maxmemory 700mb", "--maxmemory-policy volatile-lru"], |c| c.maxmemory.size() == 700 << 20),
            (&["loglevel", "verbose", "--maxmemory '700mb'"], |c| {
                c.loglevel.word() == "verbose" && c.maxmemory.size() == 700 << 20
            }),
            (&["--proc-title-template", "--my--title", "--loglevel", "debug"], |c| {
                c.proc_title_template.string() == "--my--title" && c.loglevel.word() == "debug"
            }),
            (&["--save", "--loglevel", "verbose"], |c| c.save.get().is_empty() && c.loglevel.word() == "verbose"),
            (&["--loglevel", "verbose", "--save"], |c| c.save.get().is_empty()),
            (&["--save", "", "--loglevel", "verbose"], |c| c.save.get().is_empty()),
            (&["--proc-title-template", "--save", "--save", ""], |c| {
                c.proc_title_template.string() == "--save" && c.save.get().is_empty()
            }),
            (&["--shutdown-on-sigint", "nosave", "force", "now", "--shutdown-on-sigterm", "nosave force"], |c| {
                c.shutdown_on_sigint.bits().count_ones() == 3 && c.shutdown_on_sigterm.bits().count_ones() == 2
            }),
            (&["--port", "0", "--bind", "127.0.0.1", "::1"], |c| c.port.get() == 0 && c.bind.get().len() == 2),
        ];
        for (words, check) in cases {
            let config = command_line(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            assert!(check(&config), "{words:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let pieces: [&[u8]; 16] = [
            b"port ",
            b"save ",
            b"\"",
            b"'",
            b"\\x4",
            b"\n",
            b"\0",
            b"bind",
            b" ",
            b"include *",
            b"99999999999999999999",
            b"client-output-buffer-limit normal",
            b"-",
            b"%",
            b"gb",
            b"\xff\xfe",
        ];
        for _ in 0..2000 {
            let mut text = Vec::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.extend(pieces[(seed >> 60) as usize]);
            }
            parse(&text);
        }
    }
}
