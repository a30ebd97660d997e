//! The first lines of the log.

use crate::config::{Config, REDIS_VERSION};
use std::io::IsTerminal;

/// What `--version` prints: the line of the server whose behaviour is kept, word for word, because tools count its words
/// and its numbers; `build` says who it is.
pub fn version() -> String {
    format!("Redis server v={REDIS_VERSION} sha=00000000:0 malloc={MALLOC} bits=64 build={BUILD}")
}

/// The allocator, as INFO and `--version` name it.
pub const MALLOC: &str = "jemalloc-5.3.0";

/// One word for this build.
const BUILD: &str = concat!("larder-", env!("CARGO_PKG_VERSION"));

/// Whether the banner is shown: to people at a terminal, and to those who ask for it.
pub fn is_wanted(config: &Config) -> bool {
    config.always_show_logo.get() || (config.logfile.is_empty() && std::io::stdout().is_terminal())
}

/// The banner: a shelf of jars, with what one wants to know of a process.
pub fn text(config: &Config, pid: u32) -> String {
    let larder = env!("CARGO_PKG_VERSION");
    let port = match (config.port.get(), config.unixsocket.string()) {
        (0, path) if !path.is_empty() => format!("Unix socket: {path}"),
        (port, _) => format!("Port: {port}"),
    };
    let workers = config.workers();
    format!(
        r"
     ___     ___     ___
    [___]   [___]   [___]      Larder {larder} (keeps to Redis {REDIS_VERSION}) 64 bit
    /   \   /   \   /   \
   | k v | | k v | | k v |     Running in standalone mode, {workers} worker threads
   |     | |     | |     |     {port}
   |_____| |_____| |_____|     PID: {pid}
  =========================
    \_|               |_/

"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_find_what_they_look_for() {
        let config = Config::new();
        let text = text(&config, 4711);
        assert!(text.contains(" PID: 4711\n"), "{text}");
        assert!(text.contains("Port: 6379"));
        assert!(version().contains("Redis server v=7.4."));
        assert!(!version().contains('\n'));
    }
}
