//! Larder beside Debian's `redis-server`, in turn and in one run: what an operation, a key, a connection costs.
//!
//! ```text
//! cargo bench --bench load -- cpu                              GET and SET of 64 B at pipeline 1, 16 and 64
//! cargo bench --bench load -- cpu --commands hset,zadd --depths 16
//! cargo bench --bench load -- cpu --targets larder:2,larder:1,echo:2,echo [--zipf]
//! cargo bench --bench load -- cpu --commands publish [--subscribers 100]
//! cargo bench --bench load -- memory [--keys 5000000] [--shapes small,ttl,large,hash10]
//! cargo bench --bench load -- idle [--connections 10000]       bytes per idle connection, CPU of an idle server
//! cargo bench --bench load -- accept [--connections 2000]    CPU per connection that comes and goes
//! cargo bench --bench load -- growth [--keys 5000000]          latency while the table grows
//! cargo bench --bench load -- expiry [--keys 1000000]          how late expired keys go, and what that costs
//! cargo bench --bench load -- beside [--connections 8]         latency of GET while a client runs scripts
//! ```
//! The measure is the CPU time of the server's threads (from `/proc/PID/task/*/schedstat`) divided by operations: on a
//! shared machine wall time is noise. Figures are medians of rounds that alternate between the servers. The floor is a
//! bare tokio server with a task per connection that answers with as many bytes ([`echo`]), `echo:2` with two threads.

mod accept;
mod beside;
mod cpu;
mod echo;
mod expiry;
mod generator;
mod growth;
mod memory;
mod mix;
#[path = "../../tests/support/mod.rs"]
mod support;
mod target;

use std::collections::BTreeMap;

/// What stands behind the name of a mode: `--name value` pairs and bare `--name`s.
pub struct Options(BTreeMap<String, String>);

impl Options {
    fn parse(words: &[String]) -> Self {
        let mut options = BTreeMap::new();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else { panic!("an option was expected, got {word:?}") };
            let value = words.next_if(|next| !next.starts_with("--")).cloned().unwrap_or_default();
            options.insert(name.to_owned(), value);
        }
        Options(options)
    }

    /// True when the option was given, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The option's value as it stands.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    /// The option's value cut at commas.
    pub fn list(&self, name: &str, default: &str) -> Vec<String> {
        self.text(name, default).split(',').map(str::to_owned).collect()
    }

    /// The option's value as a count.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        let text = self.text(name, "");
        if text.is_empty() {
            default
        } else {
            text.parse().unwrap_or_else(|_| panic!("--{name}: a number, not {text:?}"))
        }
    }

    /// The option's value as a number with a fraction.
    pub fn real(&self, name: &str, default: f64) -> f64 {
        let text = self.text(name, "");
        if text.is_empty() {
            default
        } else {
            text.parse().unwrap_or_else(|_| panic!("--{name}: a number, not {text:?}"))
        }
    }
}

fn main() {
    // Cargo adds `--bench` at the end.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let mode = words.first().map_or("cpu", String::as_str);
    let options = Options::parse(words.get(1..).unwrap_or_default());
    match mode {
        "cpu" => cpu::run(&options),
        "memory" => memory::run(&options),
        "idle" => memory::idle(&options),
        "accept" => accept::run(&options),
        "growth" => growth::run(&options),
        "expiry" => expiry::run(&options),
        "beside" => beside::run(&options),
        "echo" => echo::serve(&options),
        _ => println!(
            "modes: cpu, memory, idle, accept, growth, expiry, beside; the head of benches/load/main.rs says what they take"
        ),
    }
}
