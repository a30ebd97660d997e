//! The servers that are measured, and what the kernel says they used.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Options;
use crate::support::client::Client;
use crate::support::server::{Server, Setup, larder, oracle};

/// A server under load: `larder:1` (with that many workers), `redis`, `echo` or `echo:2` (the floor, with that many
/// threads), or another build of any of these by its path, `PATH` or `PATH:WORKERS`.
pub struct Target {
    pub name: String,
    pub port: u16,
    pid: u32,
    /// Ends the process when dropped.
    _process: Process,
}

#[allow(dead_code, reason = "held for its drop")]
enum Process {
    Server(Server),
    Echo(Echo),
}

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Target {
    /// Starts the server with that name; `directives` go to all but the echo server.
    pub fn start(name: &str, directives: &[(&str, &str)]) -> Target {
        let setup = match name.split_once(':') {
            Some(("larder", workers)) => larder().set("worker-threads", workers),
            None if name == "larder" => larder().set("worker-threads", "1"),
            None if name == "redis" => oracle(),
            Some((path, workers)) => Setup::of(PathBuf::from(path)).set("worker-threads", workers),
            None => Setup::of(PathBuf::from(name)),
        };
        let server = directives.iter().fold(setup, |setup, (name, value)| setup.set(name, value)).start();
        Target { name: name.to_owned(), port: server.port(), pid: server.pid(), _process: Process::Server(server) }
    }

    /// Starts the floor, `echo` or `echo:THREADS`: fixed sizes of request and reply.
    pub fn echo(name: &str, request_bytes: usize, reply_bytes: usize) -> Target {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        drop(listener);
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["echo", "--port", &port.to_string()])
            .args(["--threads", name.split_once(':').map_or("1", |(_, threads)| threads)])
            .args(["--request", &request_bytes.to_string(), "--reply", &reply_bytes.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .expect("the echo server starts");
        let pid = child.id();
        while Client::tcp(port).is_err() {
            std::thread::yield_now();
        }
        Target { name: name.to_owned(), port, pid, _process: Process::Echo(Echo(child)) }
    }

    /// Whether it is the floor.
    pub fn is_echo(&self) -> bool {
        matches!(self._process, Process::Echo(_))
    }

    pub fn connect(&self) -> Client {
        Client::tcp(self.port).expect("the server accepts connections")
    }

    /// CPU time of all living threads so far, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the server lives");
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the server lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
    }

    /// `used_memory` of INFO, in bytes.
    pub fn used_memory(&self) -> u64 {
        let field = self.connect().info("memory", "used_memory").expect("INFO has used_memory");
        field.parse().expect("a number")
    }
}

/// The names given by `--targets`.
pub fn names(options: &Options, default: &str) -> Vec<String> {
    options.list("targets", default)
}

/// Sends requests through one connection, many at a time, and fails on an error reply.
pub fn fill(target: &Target, requests: impl Iterator<Item = Vec<u8>>) {
    let mut client = target.connect();
    let mut requests = requests.peekable();
    while requests.peek().is_some() {
        let batch: Vec<Vec<u8>> = requests.by_ref().take(500).collect();
        client.send_raw(&batch.concat()).expect("the server reads");
        for request in &batch {
            let reply = client.receive().expect("the server answers");
            assert!(!reply.raw.starts_with(b"-"), "{}: {}", request.escape_ascii(), reply.value);
        }
    }
}

/// The middle of the values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
