//! Log lines in Redis' format, behind `tracing`.
//!
//! ```text
//! 12345:M 22 Nov 2026 18:54:51.801 * Ready to accept connections tcp
//! pid:role and local time           level
//! ```
//! The role is `C` until the server runs, then `M` (primary) or `S` (replica). `tracing`'s levels stand for Redis':
//! `trace!` is debug (`.`), `debug!` is verbose (`-`), `info!` is notice (`*`), `warn!` and `error!` are warning (`#`).
//! `loglevel` is read for every event, so CONFIG SET acts at once. The file is opened for every line, so that it may be
//! rotated at any time; lines are rare and the kernel's name cache makes that cheap.

use crate::base::time::Clock;
use crate::config::Config;
use crate::config::choices::Loglevel;
use crate::server::process::{self, LocalTime};
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};

/// What the process is, for the second field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not yet a server.
    Starting = b'C' as isize,
    /// A primary.
    Primary = b'M' as isize,
    /// A replica.
    Replica = b'S' as isize,
}

static ROLE: AtomicU8 = AtomicU8::new(b'C');

/// Says what the process is from now on.
pub fn set_role(role: Role) {
    ROLE.store(role as u8, Relaxed);
}

/// Sends every event of this crate to the log that `config` names. Later calls change nothing.
pub fn install(config: Arc<Config>) {
    // The first log of a process stays; only tests come here twice.
    let _ = tracing::subscriber::set_global_default(Log { config, clock: Clock::real() });
}

/// Writes text to the log as it is, without time and level: for the banner.
pub fn write_raw(config: &Config, text: &str) {
    if config.loglevel.get() != Loglevel::Nothing {
        write(config, text.as_bytes());
    }
}

/// Appends bytes to the log file or to standard output. A log that cannot be written is no reason to stop.
fn write(config: &Config, bytes: &[u8]) {
    let file = config.logfile.string();
    let _ = if file.is_empty() {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    } else {
        OpenOptions::new().append(true).create(true).open(file).and_then(|mut file| file.write_all(bytes))
    };
}

struct Log {
    config: Arc<Config>,
    clock: Clock,
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata) && shows(self.config.loglevel.get(), metadata.level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        let now_us = self.clock.now_us();
        let time = process::local_time((now_us / 1_000_000) as i64);
        let millis = now_us % 1_000_000 / 1000;
        let text = line(std::process::id(), ROLE.load(Relaxed), time, millis, event.metadata().level(), &message.text);
        write(&self.config, text.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Only what this crate says is logged, not what its libraries whisper.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().split("::").next() == Some("larder")
}

/// Whether a line of this level is written at this `loglevel`.
fn shows(loglevel: Loglevel, level: &Level) -> bool {
    match loglevel {
        Loglevel::Debug => true,
        Loglevel::Verbose => *level <= Level::DEBUG,
        Loglevel::Notice => *level <= Level::INFO,
        Loglevel::Warning => *level <= Level::WARN,
        Loglevel::Nothing => false,
    }
}

/// One line of the log.
fn line(pid: u32, role: u8, time: LocalTime, millis: u64, level: &Level, message: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mark = match *level {
        Level::TRACE => '.',
        Level::DEBUG => '-',
        Level::INFO => '*',
        _ => '#',
    };
    let LocalTime { year, month, day, hour, minute, second } = time;
    let month = MONTHS.get(month).unwrap_or(&"???");
    let role = char::from(role);
    format!("{pid}:{role} {day:02} {month} {year} {hour:02}:{minute:02}:{second:02}.{millis:03} {mark} {message}\n")
}

/// An event's message, and its other fields as `name=value` behind it.
#[derive(Default)]
struct Message {
    text: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.text, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_those_of_redis() {
        let time = LocalTime { year: 2026, month: 10, day: 2, hour: 18, minute: 4, second: 51 };
        let text = line(17302, b'M', time, 7, &Level::INFO, "Ready to accept connections tcp");
        assert_eq!(text, "17302:M 02 Nov 2026 18:04:51.007 * Ready to accept connections tcp\n");
        for (level, mark) in [(Level::TRACE, '.'), (Level::DEBUG, '-'), (Level::WARN, '#'), (Level::ERROR, '#')] {
            assert!(line(1, b'S', time, 0, &level, "x").ends_with(&format!(" {mark} x\n")));
        }
    }

    #[test]
    fn loglevels_cut_from_below() {
        let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
        let shown = |loglevel| levels.iter().filter(|level| shows(loglevel, level)).count();
        assert_eq!(shown(Loglevel::Debug), 5);
        assert_eq!(shown(Loglevel::Verbose), 4);
        assert_eq!(shown(Loglevel::Notice), 3);
        assert_eq!(shown(Loglevel::Warning), 2);
        assert_eq!(shown(Loglevel::Nothing), 0);
    }

    #[test]
    fn events_reach_the_file_and_loglevel_acts_at_once() {
        let path = std::env::temp_dir().join(format!("larder-log-{}.log", std::process::id()));
        let config = Arc::new(Config::new());
        config.logfile.store(path.to_string_lossy().as_bytes());
        let log = Log { config: config.clone(), clock: Clock::manual(0) };
        tracing::subscriber::with_default(log, || {
            tracing::info!("heard {}", 1);
            tracing::debug!("not heard");
            config.loglevel.store(Loglevel::Verbose);
            tracing::debug!(keys = 3, "heard 2");
            config.loglevel.store(Loglevel::Nothing);
            tracing::error!("not heard");
        });
        let text = std::fs::read_to_string(&path).expect("lines were written");
        std::fs::remove_file(&path).expect("the test's own file");
        let messages: Vec<&str> = text.lines().map(|line| line.rsplit(".000 ").next().unwrap_or_default()).collect();
        assert_eq!(messages, ["* heard 1", "- heard 2 keys=3"]);
    }
}
