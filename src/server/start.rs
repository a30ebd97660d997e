//! From a command line to a configured process, in the order of `redis-server`: read the configuration, check the log,
//! go into the background, say hello. No thread runs before the end of this.

use crate::acl::file::Declared;
use crate::acl::rule::Rules;
use crate::base::{bytes, glob};
use crate::command::CommandTable;
use crate::config::argv::{self, Start};
use crate::config::choices::Supervised;
use crate::config::load::{self, Fault, Sources, World};
use crate::config::table::title;
use crate::config::{Config, REDIS_VERSION};
use crate::server::{banner, log, process};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Files the server needs besides one per client: listeners, logs, runtimes.
const FILES_RESERVED: u64 = 32;

/// Runs the program: `argv` with its name first.
pub fn main(argv: Vec<Vec<u8>>) -> ExitCode {
    let program = argv.first().map_or_else(|| "larder".into(), |name| bytes::to_text(name));
    match argv::read(&argv) {
        Start::Version => say(&banner::version()),
        Start::Help => {
            eprint!("{}", argv::usage(&program));
            ExitCode::FAILURE
        }
        Start::TestMemory => refuse("--test-memory is not available: test the machine with memtester or memtest86+."),
        Start::CheckSystem => refuse("--check-system is not available: nothing here depends on fork or copy-on-write."),
        Start::Sentinel => {
            refuse("There is no Sentinel mode: run redis-sentinel or valkey-sentinel beside the server.")
        }
        Start::Serve { file, stdin, options } => serve(argv, file, stdin, options),
    }
}

fn say(text: &str) -> ExitCode {
    // Nobody may be reading any more.
    let _ = writeln!(io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

fn serve(argv: Vec<Vec<u8>>, file: Option<Vec<u8>>, stdin: bool, options: Vec<u8>) -> ExitCode {
    let config = Arc::new(Config::new());
    config.dir.store(&current_dir());
    log::install(config.clone());
    let mut disk = Disk::default();
    let loaded = configure(&config, argv, file, stdin, options, &mut disk);
    match loaded {
        Ok(()) => {}
        Err(fault @ Fault::CannotOpen { .. }) => {
            tracing::warn!("{fault}");
            return ExitCode::FAILURE;
        }
        Err(fault) => return refuse(&fault.to_string()),
    }
    match settle(&config).and_then(|()| crate::server::run(config.clone(), &disk.renames, &disk.users)) {
        Ok(()) => {
            remove_pidfile(&config);
            ExitCode::SUCCESS
        }
        Err(why) => {
            tracing::warn!("{why}");
            remove_pidfile(&config);
            ExitCode::FAILURE
        }
    }
}

/// Reads every source into `config`.
fn configure(
    config: &Config,
    argv: Vec<Vec<u8>>,
    file: Option<Vec<u8>>,
    stdin: bool,
    options: Vec<u8>,
    disk: &mut Disk,
) -> Result<(), Fault> {
    if let Some(name) = &file {
        // Set once; nobody was here before.
        let _ = config.origin.file.set(full_path(name));
    }
    let _ = config.origin.argv.set(argv);
    let mut input = None;
    if stdin {
        tracing::info!("Reading config from stdin");
        let mut text = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut text);
        read.map_err(|error| Fault::CannotOpen { path: "-".into(), why: reason(&error) })?;
        input = Some(text);
    }
    load::load(config, &Sources { file, stdin: input, options }, disk)?;
    let logfile = config.logfile.string();
    if !logfile.is_empty() {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(&logfile);
        opened.map_err(|error| Fault::Whole(format!("Can't open the log file: {}", reason(&error))))?;
    }
    Ok(())
}

/// Makes the process what the configuration says, and says hello.
fn settle(config: &Config) -> Result<(), String> {
    let supervised = supervisor(config);
    if config.daemonize.get() && supervised == Supervised::No {
        process::daemonize().map_err(|error| format!("Can't go into the background: {}", reason(&error)))?;
    }
    greet(config);
    if supervised == Supervised::Upstart {
        process::stop_self();
    }
    // As in Redis: where the system leaves it to programs to ask for huge pages, there is nothing to turn off.
    if config.disable_thp.get() && process::huge_pages_unasked() && process::disable_huge_pages().is_err() {
        tracing::debug!("Transparent huge pages could not be turned off for this process.");
    }
    write_pidfile(config);
    fit_clients(config);
    if config.set_proc_title.get() {
        process::prepare_title();
        show_title(config);
    }
    log::set_role(log::Role::Primary);
    match banner::is_wanted(config) {
        true => log::write_raw(config, &banner::text(config, std::process::id())),
        false => tracing::info!("Running mode=standalone, port={}.", config.port.get()),
    }
    load::warnings(config).into_iter().for_each(|warning| tracing::warn!("WARNING: {warning}"));
    Ok(())
}

fn greet(config: &Config) {
    let (larder, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    tracing::info!("oO0OoO0OoO0Oo Larder is starting oO0OoO0OoO0Oo");
    tracing::info!(
        "Larder version={larder}, Redis version={REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid={pid}, just started"
    );
    match config.origin.argv.get().map_or(0, |argv| argv.len()) {
        2.. => tracing::info!("Configuration loaded"),
        _ => tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use {} /path/to/larder.conf",
            program(config)
        ),
    }
}

fn program(config: &Config) -> String {
    let argv = config.origin.argv.get();
    argv.and_then(|argv| argv.first()).map_or_else(|| "larder".into(), |name| bytes::to_text(name))
}

/// Who waits for us, after a look at the environment when it is to be found out.
fn supervisor(config: &Config) -> Supervised {
    let has = |name| std::env::var_os(name).is_some();
    match config.supervised.get() {
        Supervised::Auto if has("UPSTART_JOB") => Supervised::Upstart,
        Supervised::Auto if has("NOTIFY_SOCKET") => Supervised::Systemd,
        Supervised::Auto => Supervised::No,
        Supervised::Upstart if !has("UPSTART_JOB") => {
            tracing::warn!("upstart supervision requested, but UPSTART_JOB not found!");
            Supervised::No
        }
        Supervised::Systemd if !has("NOTIFY_SOCKET") => {
            tracing::warn!("systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found!");
            Supervised::No
        }
        other => other,
    }
}

/// Tells systemd, if it asked, that connections are accepted.
pub fn tell_ready(config: &Config) {
    if supervisor(config) != Supervised::Systemd {
        return;
    }
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = notify(&socket, b"STATUS=Ready to accept connections\nREADY=1\n") {
        tracing::warn!("systemd could not be told that the server is ready: {}", reason(&error));
    }
}

/// One datagram to a socket of systemd; a leading `@` means a name without a file.
fn notify(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let name = socket.as_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(socket))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address).map(drop)
}

/// Makes room for `maxclients` sockets, or lowers it to what there is room for.
fn fit_clients(config: &Config) {
    let wanted = config.maxclients.size() + FILES_RESERVED;
    let before = process::open_files();
    let granted = process::raise_open_files(wanted);
    if granted >= wanted {
        if granted > before {
            tracing::info!("Increased maximum number of open files to {granted} (it was originally set to {before}).");
        }
        return;
    }
    let clients = granted.saturating_sub(FILES_RESERVED).max(1);
    tracing::warn!(
        "You requested maxclients of {} requiring at least {wanted} max file descriptors.",
        config.maxclients.get()
    );
    tracing::warn!(
        "Current maximum open files is {granted}. maxclients has been reduced to {clients} to compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'."
    );
    config.maxclients.store(clients as i64);
}

/// CONFIG SET maxclients: makes room for the new number or says how many there is room for.
pub fn raise_maxclients(config: &Config) -> Result<(), String> {
    let granted = process::raise_open_files(config.maxclients.size() + FILES_RESERVED);
    let clients = granted.saturating_sub(FILES_RESERVED);
    if config.maxclients.size() <= clients {
        return Ok(());
    }
    Err(format!("The operating system is not able to handle the specified number of clients, try with {clients}"))
}

/// Sets the process title by its template.
pub fn show_title(config: &Config) {
    if !config.set_proc_title.get() {
        return;
    }
    let value = |name: &str| match name {
        "title" => program(config),
        "listen-addr" => listen_address(config),
        "port" => config.port.get().to_string(),
        "tls-port" => config.tls_port.get().to_string(),
        "unixsocket" => config.unixsocket.string(),
        "config-file" => config.origin.file.get().map_or(String::new(), |path| path.to_string_lossy().into_owned()),
        _ => String::new(),
    };
    if let Some(text) = title::expand(&config.proc_title_template.string(), value) {
        process::set_title(&text);
    }
}

/// The first address and the port, or the Unix socket.
fn listen_address(config: &Config) -> String {
    match config.port.get() {
        0 => format!("unixsocket:{}", config.unixsocket.string()),
        port => {
            format!("{}:{port}", config.bind.get().first().map_or_else(|| "*".into(), |first| bytes::to_text(first)))
        }
    }
}

/// The name of the file with the process id, where one is wanted.
fn pidfile(config: &Config) -> Option<String> {
    match (config.pidfile.string(), config.daemonize.get()) {
        (path, _) if !path.is_empty() => Some(path),
        (_, true) => Some("/var/run/redis.pid".into()),
        _ => None,
    }
}

fn write_pidfile(config: &Config) {
    let Some(path) = pidfile(config) else { return };
    if let Err(error) = std::fs::write(&path, format!("{}\n", std::process::id())) {
        tracing::info!("Failed to write PID file: {}", reason(&error));
    }
}

fn remove_pidfile(config: &Config) {
    if let Some(path) = pidfile(config) {
        // It may not have been written.
        if std::fs::remove_file(path).is_ok() {
            tracing::info!("Removing the pid file.");
        }
    }
}

/// The system's words for an error, without Rust's number behind them.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

fn current_dir() -> Vec<u8> {
    std::env::current_dir().map_or_else(|_| b"./".to_vec(), |dir| dir.into_os_string().into_vec())
}

fn full_path(name: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(name));
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The real world of a configuration.
#[derive(Default)]
struct Disk {
    /// Commands under other names: old and new.
    renames: Vec<(Vec<u8>, Vec<u8>)>,
    /// Users declared so far.
    users: Vec<Declared>,
}

impl World for Disk {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
        std::fs::read(OsStr::from_bytes(path)).map_err(|error| reason(&error))
    }

    fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        let mut found = expand(pattern);
        found.sort();
        found
    }

    fn enter(&mut self, dir: &[u8]) -> Result<Vec<u8>, String> {
        enter(dir)
    }

    fn rename_command(&mut self, name: &[u8], to: &[u8]) -> Result<(), String> {
        self.renames.push((name.to_vec(), to.to_vec()));
        CommandTable::new(&self.renames).map(drop).map_err(str::to_string)
    }

    fn user(&mut self, words: &[Vec<u8>]) -> Result<(), String> {
        let commands = CommandTable::new(&[]).map_err(str::to_string)?;
        let rules = Rules { commands: &commands, open_channels: false };
        let declared = Declared::read(words, &self.users, rules).map_err(|fault| {
            let name = words.first().map_or(String::new(), |name| bytes::to_text(name));
            format!("Error in user declaration '{name}': {fault}")
        })?;
        self.users.push(declared);
        Ok(())
    }
}

/// Enters a directory; its full path or the system's reason.
pub fn enter(dir: &[u8]) -> Result<Vec<u8>, String> {
    std::env::set_current_dir(OsStr::from_bytes(dir)).map_err(|error| reason(&error))?;
    Ok(current_dir())
}

/// The paths that fit a pattern, one part after another.
fn expand(pattern: &[u8]) -> Vec<Vec<u8>> {
    let start: &[u8] = if pattern.starts_with(b"/") { b"/" } else { b"" };
    let parts = pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.fold(vec![start.to_vec()], |paths, part| paths.iter().flat_map(|path| step(path, part)).collect())
}

/// The paths that go on from `path` by a part of a pattern.
fn step(path: &[u8], part: &[u8]) -> Vec<Vec<u8>> {
    let join = |name: &[u8]| match path {
        b"" => name.to_vec(),
        _ if path.ends_with(b"/") => [path, name].concat(),
        _ => [path, b"/", name].concat(),
    };
    if glob::is_literal(part) {
        let next = join(part);
        return if Path::new(OsStr::from_bytes(&next)).exists() { vec![next] } else { Vec::new() };
    }
    let dir = if path.is_empty() { b"." } else { path };
    let Ok(entries) = std::fs::read_dir(OsStr::from_bytes(dir)) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().into_vec()));
    // As in a shell, a star does not show hidden files.
    let shown = names.filter(|name| !name.starts_with(b".") || part.starts_with(b"."));
    shown.filter(|name| glob::matches(part, name)).map(|name| join(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_files() {
        let dir = std::env::temp_dir().join(format!("larder-glob-{}", std::process::id()));
        for name in ["a/x.conf", "a/y.conf", "b/x.conf", "b/.hidden.conf", "b/z.txt"] {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("the test's own directory");
            std::fs::write(path, "").expect("written");
        }
        let found = |pattern: &str| {
            let full = dir.join(pattern).into_os_string().into_vec();
            let prefix = dir.as_os_str().len() + 1;
            let names = Disk::default().expand(&full).into_iter();
            names.map(|path| bytes::to_text(&path[prefix..])).collect::<Vec<_>>()
        };
        assert_eq!(found("*/x.conf"), ["a/x.conf", "b/x.conf"]);
        assert_eq!(found("b/*.conf"), ["b/x.conf"]);
        assert_eq!(found("[ab]/?.conf"), ["a/x.conf", "a/y.conf", "b/x.conf"]);
        assert_eq!(found("c/*"), [""; 0]);
        std::fs::remove_dir_all(&dir).expect("the test's own directory");
    }

    #[test]
    fn errors_read_as_the_system_says_them() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ENOENT)), "No such file or directory");
    }
}
