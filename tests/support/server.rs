//! A server process for one test: own directory, own port, own socket; gone when the test is over.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;

/// How long a server may take until it answers its first PING. Generous: the machine may be busy building.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A running server, killed when dropped. When the test is failing then and the server had ended or panicked, its log is
/// printed.
pub struct Server {
    child: Child,
    home: PathBuf,
    port: u16,
    /// Workers that connections are spread over, and how many there have been.
    spread: Option<(usize, AtomicUsize)>,
}

/// How to start a server: which binary, which arguments.
pub struct Setup {
    binary: PathBuf,
    file: Option<PathBuf>,
    arguments: Vec<String>,
    spread_over: Option<usize>,
}

/// Larder, or what `LARDER_BIN` names.
pub fn larder() -> Setup {
    Setup::of(std::env::var_os("LARDER_BIN").map_or_else(|| env!("CARGO_BIN_EXE_larder").into(), PathBuf::from))
}

/// The original: the `redis-server` in `PATH`, or what `ORACLE_BIN` names.
pub fn oracle() -> Setup {
    Setup::of(std::env::var_os("ORACLE_BIN").map_or_else(|| "redis-server".into(), PathBuf::from))
}

impl Setup {
    pub fn of(binary: PathBuf) -> Self {
        Setup { binary, file: None, arguments: Vec::new(), spread_over: None }
    }

    /// Adds a directive with its value, as on the command line: `set("maxmemory", "1mb")`.
    pub fn set(mut self, directive: &str, value: &str) -> Self {
        self.arguments.extend([format!("--{directive}"), value.to_owned()]);
        self
    }

    /// So many workers, with connections evenly spread over them: left alone, all would live on the first until it is busy.
    pub fn workers(mut self, workers: usize) -> Self {
        self.spread_over = Some(workers);
        self.set("worker-threads", &workers.to_string())
    }

    /// Starts from a configuration file; the other settings come after it.
    pub fn file(mut self, path: &Path) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts the server and waits until it answers PING.
    pub fn start(self) -> Server {
        let mut last = String::new();
        for _ in 0..5 {
            match self.attempt() {
                Ok(server) => return server,
                Err(error) => last = error,
            }
        }
        panic!("{} did not start: {last}", self.binary.display());
    }

    /// One try on a port that was free a moment ago; another process may have taken it since.
    fn attempt(&self) -> Result<Server, String> {
        let home = fresh_directory();
        let port = free_port();
        let log = File::create(home.join("log")).map_err(|error| error.to_string())?;
        let child = Command::new(&self.binary)
            .args(&self.file)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", &home.to_string_lossy(), "--enable-debug-command", "yes"])
            .args(["--unixsocket", &home.join("socket").to_string_lossy()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut server =
            Server { child, home, port, spread: self.spread_over.map(|workers| (workers, AtomicUsize::new(0))) };
        server.wait_for_ping()?;
        Ok(server)
    }
}

impl Server {
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The server's working directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn unix_socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// A new TCP connection.
    pub fn connect(&self) -> Client {
        self.placed(Client::tcp(self.port).expect("the server accepts connections"))
    }

    /// The next connection lives on the next worker.
    fn placed(&self, mut client: Client) -> Client {
        if let Some((workers, connections)) = &self.spread {
            let worker = connections.fetch_add(1, Ordering::Relaxed) % workers;
            assert_eq!(client.text(&format!("DEBUG WORKER {worker}")), "OK");
        }
        client
    }

    /// A new connection over the Unix socket.
    pub fn connect_unix(&self) -> Client {
        self.placed(Client::unix(&self.unix_socket()).expect("the server accepts connections on its Unix socket"))
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.join("log")).unwrap_or_default()).into_owned()
    }

    /// True while the process lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by name (`TERM`, `INT`, `HUP`).
    pub fn signal(&self, name: &str) {
        // Every shell has it built in; not every machine has it as a program.
        let line = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status();
        assert!(status.is_ok_and(|status| status.success()), "{line}");
    }

    /// Waits until the process has ended by itself.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    fn wait_for_ping(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}\n{}", self.log()));
            }
            if Client::tcp(self.port).is_ok_and(|mut client| client.is_answered()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no answer to PING\n{}", self.log()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let broken = !self.is_alive() || self.log().contains("panicked");
        if thread::panicking() && broken {
            eprintln!("--- log of the server, pid {} ---\n{}---", self.pid(), tail(&self.log(), 40));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// The last lines of a text.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| format!("{line}\n")).collect()
}

/// A new empty directory with a short path (socket names are limited to 107 bytes).
pub fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("larder-{}-{number}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => return path,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => panic!("cannot create {}: {error}", path.display()),
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
