//! CONFIG GET and CONFIG SET: what is in force, and how several values change as one.

use crate::base::glob;
use crate::config::cell::{Source, by_space};
use crate::config::table::Entry;
use crate::config::table::{self, TABLE};
use crate::config::{Config, Hook};
use std::sync::PoisonError;

/// Acts on changes: the server's part of CONFIG SET and CONFIG REWRITE.
pub trait Apply: Send + Sync {
    /// Makes the new values behind `hook` true. An error is the reason as Redis gives it; all values are then put back
    /// and the hook is called once more.
    fn apply(&self, hook: Hook, config: &Config) -> Result<(), String>;

    /// Called after every change, also after one that was put back: tells the rooms that keep values of their own, and
    /// the operator what should be heard.
    fn adopt(&self, config: &Config, warnings: &[&'static str]);

    /// Brings the configuration to its file; `all` writes every directive. An error is the reply without `-ERR `.
    fn rewrite(&self, config: &Config, all: bool) -> Result<(), String>;

    /// The bytes of `aclfile`. An error is the reply without `-ERR `.
    fn read_users(&self, config: &Config) -> Result<Vec<u8>, String>;

    /// Replaces `aclfile` as a whole. An error is for the log.
    fn write_users(&self, config: &Config, text: &[u8]) -> Result<(), String>;
}

/// Who asks, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The client is on this machine.
    pub local: bool,
    /// Data is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET changed nothing. Its text is the reply without `-ERR `.
#[derive(Debug, PartialEq, Eq)]
pub enum SetError {
    /// Not while loading; the reply is -LOADING.
    Loading,
    /// No such directive.
    Unknown(Vec<u8>),
    /// The value of this directive, or what it stands for, is refused.
    Failed {
        /// The directive.
        name: Vec<u8>,
        /// The reason.
        why: String,
    },
}

impl SetError {
    /// What the client is told, in parts: names are what it wrote.
    pub fn parts(&self) -> [&[u8]; 4] {
        match self {
            SetError::Loading => [b"LOADING Redis is loading the dataset in memory", b"", b"", b""],
            SetError::Unknown(name) => {
                [b"ERR Unknown option or number of arguments for CONFIG SET - '", name, b"'", b""]
            }
            SetError::Failed { name, why } => {
                [b"ERR CONFIG SET failed (possibly related to argument '", name, b"') - ", why.as_bytes()]
            }
        }
    }
}

/// Names and values that fit any of `patterns`, each name once: by the name that was asked for where it is exact, by
/// both names of an aliased directive where it is a pattern.
pub fn get(config: &Config, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |name: &[u8], entry: &Entry| {
        if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name.to_vec(), entry.text(config)));
        }
    };
    for pattern in patterns {
        if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
            table::find(pattern).into_iter().for_each(|entry| add(pattern, entry));
            continue;
        }
        for entry in TABLE.iter().filter(|entry| !entry.row.hidden) {
            let names = [Some(entry.row.name).filter(|_| !entry.row.ours), entry.row.alias];
            let fits = names.into_iter().flatten().filter(|name| glob::matches_nocase(pattern, name.as_bytes()));
            fits.for_each(|name| add(name.as_bytes(), entry));
        }
    }
    found
}

/// Whether the value of `name` must stay out of logs.
pub fn is_sensitive(name: &[u8]) -> bool {
    table::find(name).is_some_and(|entry| entry.row.sensitive)
}

/// Sets all `pairs` or none.
pub fn set(config: &Config, pairs: &[(&[u8], &[u8])], asker: Asker, apply: &dyn Apply) -> Result<(), SetError> {
    let changes = admit(config, pairs, asker)?;
    let _turn = config.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let result = take_over(config, &changes, apply);
    let warnings: Vec<_> = changes.iter().filter_map(|change| change.entry.warning(config)).collect();
    apply.adopt(config, if result.is_ok() { &warnings } else { &[] });
    result
}

/// Sets and applies what was admitted, or puts everything back.
fn take_over(config: &Config, changes: &[Change], apply: &dyn Apply) -> Result<(), SetError> {
    let old: Vec<Vec<u8>> = changes.iter().map(|change| change.entry.text(config)).collect();
    let put_back = || changes.iter().zip(&old).for_each(|(change, old)| change.entry.restore(config, old));

    for change in changes {
        if let Err(why) = change.set(config) {
            put_back();
            return Err(change.failed(why));
        }
    }
    config.settle();

    let mut done: Vec<Hook> = Vec::new();
    for (change, old) in changes.iter().zip(&old) {
        let row = &change.entry.row;
        let changed = row.volatile || change.entry.text(config) != *old;
        if !changed || row.hook == Hook::None || done.contains(&row.hook) {
            continue;
        }
        done.push(row.hook);
        if let Err(why) = apply.apply(row.hook, config) {
            put_back();
            // What could be done could be undone; a second failure has nobody left to tell.
            done.into_iter().for_each(|hook| drop(apply.apply(hook, config)));
            return Err(change.failed(why));
        }
    }
    Ok(())
}

/// One admitted pair.
struct Change<'a> {
    entry: &'static Entry,
    name: &'a [u8],
    value: &'a [u8],
}

impl Change<'_> {
    fn set(&self, config: &Config) -> Result<(), String> {
        let words = if self.entry.row.many { by_space(self.value) } else { vec![self.value] };
        let words = if words.is_empty() { vec![&b""[..]] } else { words };
        self.entry.set(config, &words, Source::Command)
    }

    fn failed(&self, why: String) -> SetError {
        SetError::Failed { name: self.name.to_ascii_lowercase(), why }
    }
}

/// The checks that need no value.
fn admit<'a>(config: &Config, pairs: &[(&'a [u8], &'a [u8])], asker: Asker) -> Result<Vec<Change<'a>>, SetError> {
    let mut changes: Vec<Change> = Vec::new();
    for &(name, value) in pairs {
        let entry = table::find(name).ok_or_else(|| SetError::Unknown(name.to_vec()))?;
        let row = &entry.row;
        let refused = |why: &str| Err(SetError::Failed { name: name.to_vec(), why: why.into() });
        if row.immutable {
            return refused("can't set immutable config");
        }
        if row.protected && !config.enable_protected_configs.get().allows(asker.local) {
            return refused("can't set protected config");
        }
        if asker.loading && row.deny_while_loading {
            return Err(SetError::Loading);
        }
        if changes.iter().any(|earlier| earlier.name.eq_ignore_ascii_case(name)) {
            return refused("duplicate parameter");
        }
        changes.push(Change { entry, name, value });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::choices::Protected;
    use std::sync::Mutex;

    const ASKER: Asker = Asker { local: true, loading: false };

    /// Notes the hooks it was asked for and fails once at one of them.
    #[derive(Default)]
    struct Notes {
        hooks: Mutex<Vec<Hook>>,
        fails_at: Mutex<Option<Hook>>,
    }

    impl Apply for Notes {
        fn apply(&self, hook: Hook, _: &Config) -> Result<(), String> {
            self.hooks.lock().expect("no panic before").push(hook);
            let fails = self.fails_at.lock().expect("no panic before").take_if(|at| *at == hook).is_some();
            if fails { Err("it does not work".into()) } else { Ok(()) }
        }

        fn adopt(&self, _: &Config, _: &[&'static str]) {}

        fn rewrite(&self, _: &Config, _: bool) -> Result<(), String> {
            Ok(())
        }
        fn read_users(&self, _: &Config) -> Result<Vec<u8>, String> {
            Ok(Vec::new())
        }
        fn write_users(&self, _: &Config, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }

    /// What a client is told, without the code.
    fn text(error: &SetError) -> String {
        let whole = String::from_utf8(error.parts().concat()).expect("names of the tests are text");
        whole.strip_prefix("ERR ").unwrap_or(&whole).to_owned()
    }

    fn set_text(config: &Config, pairs: &[(&str, &str)], asker: Asker) -> String {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        set(config, &pairs, asker, &Notes::default()).map_or_else(|error| text(&error), |()| "OK".into())
    }

    fn get_text(config: &Config, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ASCII");
        get(config, &patterns).into_iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
    }

    #[test]
    fn get_by_names_and_patterns() {
        let config = Config::new();
        let cases: &[(&[&str], &[&str])] = &[
            (&["maxmemory"], &["maxmemory=0"]),
            (&["MAXMEMORY", "maxmemory"], &["MAXMEMORY=0"]),
            (&["Max*-POLICY"], &["maxmemory-policy=noeviction"]),
            (&["*of"], &["replicaof=", "slaveof="]),
            (&["slaveof"], &["slaveof="]),
            (&["key-load-delay"], &["key-load-delay=0"]),
            (&["key-loa*"], &[]),
            (&["nothing"], &[]),
            (&["hash-max-zip*", "hash-max-zip*"], &["hash-max-ziplist-entries=512", "hash-max-ziplist-value=64"]),
            (&["bind", "timeou?"], &["bind=* -::*", "timeout=0"]),
        ];
        for (patterns, want) in cases {
            assert_eq!(get_text(&config, patterns), *want, "{patterns:?}");
        }
    }

    #[test]
    fn set_several_or_none() {
        let config = Config::new();
        let failed =
            |name: &str, why: &str| format!("CONFIG SET failed (possibly related to argument '{name}') - {why}");
        let cases: &[(&[(&str, &str)], String)] = &[
            (&[("maxmemory", "10000001"), ("REPL-backlog-size", "10000002"), ("save", "3000 5")], "OK".into()),
            (
                &[("maxmemory", "1"), ("maxmemory-clients", "200%"), ("client-query-buffer-limit", "invalid")],
                failed("maxmemory-clients", "percentage argument must be less or equal to 100"),
            ),
            (&[("maxmemory", "1"), ("maxmemory", "2")], failed("maxmemory", "duplicate parameter")),
            (&[("maxmemory", "1"), ("daemonize", "yes")], failed("daemonize", "can't set immutable config")),
            (&[("maxmemory", "1"), ("dir", "x")], failed("dir", "can't set protected config")),
            (
                &[("maxmemory", "1"), ("foo", "x")],
                "Unknown option or number of arguments for CONFIG SET - 'foo'".into(),
            ),
            (&[("include", "x")], "Unknown option or number of arguments for CONFIG SET - 'include'".into()),
            (
                &[("appendonly", "yes")],
                failed("appendonly", "appendonly can only be 'no' in this version: there is no append-only file yet"),
            ),
        ];
        for (pairs, want) in cases {
            assert_eq!(set_text(&config, pairs, ASKER), *want, "{pairs:?}");
        }
        assert_eq!(get_text(&config, &["maxmemory", "save"]), ["maxmemory=10000001", "save=3000 5"]);
    }

    #[test]
    fn every_value_may_be_set_to_itself() {
        let config = Config::new();
        config.enable_protected_configs.store(Protected::Yes);
        for (name, value) in get(&config, &[b"*"]) {
            let result = set(&config, &[(&name, &value)], ASKER, &Notes::default());
            let immutable = table::find(&name).is_some_and(|entry| entry.row.immutable);
            assert_eq!(result.is_ok(), !immutable, "{}", String::from_utf8_lossy(&name));
        }
    }

    #[test]
    fn protected_and_loading() {
        let config = Config::new();
        let far = Asker { local: false, loading: false };
        let loading = Asker { local: true, loading: true };
        config.enable_protected_configs.store(Protected::Local);
        assert_eq!(set_text(&config, &[("dbfilename", "a")], ASKER), "OK");
        assert!(set_text(&config, &[("dbfilename", "a")], far).ends_with("can't set protected config"));
        assert_eq!(set_text(&config, &[("loglevel", "debug")], loading), "OK");
        assert!(set_text(&config, &[("dir", "a")], loading).starts_with("LOADING "));
    }

    #[test]
    fn a_hook_that_fails_puts_everything_back() {
        let config = Config::new();
        let notes = Notes { fails_at: Mutex::new(Some(Hook::Port)), ..Notes::default() };
        let pairs: [(&[u8], &[u8]); 4] =
            [(b"oom-score-adj", b"yes"), (b"oom-score-adj-values", b"1 1 1"), (b"maxmemory", b"9"), (b"port", b"1")];
        let error = set(&config, &pairs, ASKER, &notes).expect_err("the hook fails");
        assert_eq!(text(&error), "CONFIG SET failed (possibly related to argument 'port') - it does not work");
        let first = [Hook::OomScore, Hook::Maxmemory, Hook::Port];
        assert_eq!(*notes.hooks.lock().expect("no panic before"), [first, first].concat());
        let values = get_text(&config, &["oom-score-adj", "oom-score-adj-values", "maxmemory", "port"]);
        assert_eq!(values, ["oom-score-adj=no", "oom-score-adj-values=0 200 800", "maxmemory=0", "port=6379"]);
    }

    #[test]
    fn unchanged_values_wake_nobody() {
        let config = Config::new();
        let notes = Notes::default();
        set(&config, &[(b"port", b"6379"), (b"timeout", b"5")], ASKER, &notes).expect("fine");
        assert_eq!(*notes.hooks.lock().expect("no panic before"), []);
    }

    #[test]
    fn hz_stays_in_its_bounds() {
        let config = Config::new();
        assert_eq!(set_text(&config, &[("hz", "1000")], ASKER), "OK");
        assert_eq!(get_text(&config, &["hz"]), ["hz=500"]);
    }
}
