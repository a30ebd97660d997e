//! The program as an administrator meets it: command lines, configuration files, signals, files it leaves.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::client::Client;
use support::server::{Setup, fresh_directory, larder, oracle};
use support::transcript::wait_until;

/// A directory that goes with the test.
struct Home(PathBuf);

impl Home {
    fn new() -> Home {
        Home(fresh_directory())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file in a fresh directory");
        path
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the program to its end. Whoever calls this gives it a reason to end.
fn run(setup: &Setup, home: &Home, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(setup.binary())
        .args(arguments)
        .current_dir(&home.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(stdin.as_bytes()).expect("the program reads its input");
    drop(input);
    child.wait_with_output().expect("the program ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_wrong_line_stops_the_start_with_the_words_of_the_original() {
    let lines = [
        "maxmemory lots",
        "maxmemory 1x",
        "nonsense 5",
        "port 99999",
        "maxmemory-policy best",
        "include /nonexistent/x.conf",
        "tcp-keepalive",
        "rename-command GET",
        "rename-command NOSUCH X",
        "requirepass \"half",
        "save 1",
        "client-output-buffer-limit normal 1 2",
        "hz x",
        "databases 0",
        "unixsocketperm 9999",
        "bind",
        "appendonly maybe",
        "notify-keyspace-events Q",
        "oom-score-adj-values 1 2",
        "latency-tracking-info-percentiles 101",
        "maxclients 0",
        "dir /nonexistent",
        "timeout -1",
        "lfu-log-factor -1",
        "proto-max-bulk-len 10",
        "list-max-listpack-size x",
    ];
    let home = Home::new();
    let refusal = |setup: &Setup| {
        let output = run(setup, &home, &["bad.conf", "--port", "0"], "");
        assert!(!output.status.success());
        let shown = text(&output.stderr);
        // The version stands in the headline.
        shown.lines().filter(|l| !l.contains("FATAL CONFIG FILE ERROR")).collect::<Vec<_>>().join("\n")
    };
    for line in lines {
        home.write("bad.conf", &format!("# A cache.\n{line}\n"));
        assert_eq!(refusal(&larder()), refusal(&oracle()), "{line}");
    }
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let home = Home::new();
    for (line, word) in [
        ("appendonly yes", "appendonly"),
        ("cluster-enabled yes", "cluster-enabled"),
        ("replicaof 127.0.0.1 6379", "replicaof"),
        ("tls-port 6390", "tls-port"),
    ] {
        home.write("later.conf", &format!("{line}\nport 0\n"));
        let output = run(&larder(), &home, &["later.conf"], "");
        assert!(!output.status.success(), "{line}");
        assert!(text(&output.stderr).contains(word), "{line}: {}", text(&output.stderr));
    }
    let output = run(&larder(), &home, &["--test-memory", "100"], "");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("--test-memory is not available"));
}

#[test]
fn it_tells_its_version_and_how_to_call_it() {
    let home = Home::new();
    for flag in ["--version", "-v"] {
        let output = run(&larder(), &home, &[flag], "");
        assert!(output.status.success());
        // Programs that start a server take the third word, or the first number, for its version.
        assert!(text(&output.stdout).starts_with("Redis server v=7.4."), "{}", text(&output.stdout));
    }
    for flag in ["--help", "-h"] {
        let output = run(&larder(), &home, &[flag], "");
        assert!(text(&output.stderr).starts_with("Usage: "), "{}", text(&output.stderr));
    }
}

#[test]
fn a_file_its_includes_the_input_and_the_command_line_follow_each_other() {
    let home = Home::new();
    home.write("more.conf", "maxmemory 1g\nmaxmemory-policy allkeys-lfu\nhz 20\n");
    let file = home.write(
        "main.conf",
        &format!(
            "include {}\nhz 30\nrename-command FLUSHALL \"\"\nrename-command GET fetch\n",
            home.path("more.conf").display()
        ),
    );
    let server = larder().file(&file).set("maxmemory", "100mb").start();
    let mut client = server.connect();
    let got = |client: &mut Client, name: &str| client.run(&format!("CONFIG GET {name}")).to_string();
    assert!(got(&mut client, "maxmemory").contains("104857600"));
    assert!(got(&mut client, "maxmemory-policy").contains("allkeys-lfu"));
    assert!(got(&mut client, "hz").contains("30"));
    assert!(client.run("FLUSHALL").to_string().contains("unknown command"));
    assert!(client.run("GET page").to_string().contains("unknown command"));
    client.run("SET page 1");
    assert_eq!(client.run("FETCH page").to_string(), "\"1\"");
}

#[test]
fn several_settings_change_together_or_not_at_all() {
    let server = larder().start();
    let mut client = server.connect();
    assert!(
        client
            .run("CONFIG SET maxmemory 100mb hz lots")
            .to_string()
            .contains("failed (possibly related to argument 'hz')")
    );
    assert!(client.run("CONFIG GET maxmemory").to_string().contains("\"0\""));
    assert_eq!(client.run("CONFIG SET maxmemory 100mb hz 50").to_string(), "OK");
    assert!(client.run("CONFIG GET maxmem*y").to_string().contains("104857600"));
}

#[test]
fn rewrite_keeps_comments_and_order() {
    let home = Home::new();
    let file = home.write("site.conf", "# The shop's cache.\nport 0\n\n# Half of the machine.\nmaxmemory 1gb\nhz 20\n");
    let server = larder().file(&file).start();
    let mut client = server.connect();
    assert_eq!(client.run("CONFIG SET maxmemory 2gb maxmemory-policy allkeys-lru").to_string(), "OK");
    assert_eq!(client.run("CONFIG REWRITE").to_string(), "OK");
    let text = home.read("site.conf");
    let kept = text.find("# Half of the machine.\nmaxmemory 2gb\nhz 20\n");
    assert!(text.starts_with("# The shop's cache.\n") && kept.is_some(), "{text}");
    assert!(text.contains("\nmaxmemory-policy allkeys-lru\n"), "{text}");
}

#[test]
fn signals_end_it_gracefully_and_a_hangup_does_not() {
    for name in ["TERM", "INT"] {
        let mut server = larder().start();
        server.signal("HUP");
        assert_eq!(server.connect().run("PING").to_string(), "PONG");
        server.signal(name);
        assert!(server.wait().expect("it ends").success(), "{name}");
        let log = server.log();
        assert!(log.contains("Received SIG") && log.contains("bye bye"), "{log}");
        assert!(!server.unix_socket().exists());
    }
}

#[test]
fn the_log_says_when_it_is_ready_for_whom() {
    let server = larder().start();
    let log = server.log();
    assert!(log.contains("Ready to accept connections tcp"), "{log}");
    assert!(log.contains("Ready to accept connections unix"), "{log}");
    assert!(log.contains(&format!("pid={}", server.pid())) || log.contains(&format!("{}:", server.pid())), "{log}");
}

#[test]
fn it_goes_to_the_background_and_leaves_its_pid() {
    let home = Home::new();
    let socket = home.path("sock");
    let config = format!(
        "daemonize yes\nport 0\nunixsocket {}\npidfile {}\nlogfile {}\ndir {}\nsave \"\"\n",
        socket.display(),
        home.path("pid").display(),
        home.path("log").display(),
        home.0.display()
    );
    home.write("bg.conf", &config);
    let output = run(&larder(), &home, &["bg.conf"], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut client = wait_for(&socket);
    assert_eq!(home.read("pid").trim(), client.info("server", "process_id").expect("a pid"));
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    wait_until(|| !home.path("pid").exists()).expect("the pid file goes with the process");
    assert!(home.read("log").contains("bye bye"), "{}", home.read("log"));
}

#[test]
fn a_link_called_redis_server_and_a_configuration_on_the_input_will_do() {
    let home = Home::new();
    let link = home.path("redis-server");
    symlink(larder().binary(), &link).expect("a link");
    let socket = home.path("sock");
    let mut child = Command::new(&link)
        .args(["-", "--save", ""])
        .current_dir(&home.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the link starts");
    let mut input = child.stdin.take().expect("a pipe");
    writeln!(input, "port 0\nunixsocket {}\nrequirepass sesame", socket.display()).expect("read");
    drop(input);
    let mut client = wait_for(&socket);
    assert!(client.run("PING").to_string().contains("NOAUTH"));
    assert_eq!(client.run("AUTH sesame").to_string(), "OK");
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert!(child.wait().expect("it ends").success());
}

/// A process that ends closes what it has open in no order: its listeners could outlive the connection of whoever asked.
#[test]
fn whoever_has_shut_the_server_down_finds_nobody_there() {
    for _ in 0..20 {
        let server = larder().set("busy-reply-threshold", "1").start();
        let (mut stuck, mut client) = (server.connect(), server.connect());
        stuck.send(&["EVAL", "while true do end", "0"]).expect("sent");
        wait_until(|| client.run("PING").to_string().contains("BUSY")).expect("a script that does not end");
        client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
        assert!(client.is_closed());
        assert!(Client::tcp(server.port()).is_err(), "the port is closed before the connection is");
    }
}

#[test]
fn the_port_moves_while_clients_stay() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    for workers in ["1", "2"] {
        let server = larder().set("worker-threads", workers).start();
        let mut client = server.connect();
        let port = free();
        assert_eq!(client.text(&format!("CONFIG SET port {port}")), "OK");
        assert_eq!(Client::tcp(port).expect("the new port is open").text("PING"), "PONG");
        assert!(Client::tcp(server.port()).is_err(), "the old port is closed");
        assert_eq!(client.text(&format!("CONFIG SET port {}", server.port())), "OK");
        assert_eq!(server.connect().text("PING"), "PONG");
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = other.local_addr().expect("its address").port();
        assert!(client.run(&format!("CONFIG SET port {taken}")).to_string().contains("Unable to listen on this port"));
        assert_eq!(client.text("PING"), "PONG");
    }
}

/// A connection to a server that is just starting.
fn wait_for(socket: &Path) -> Client {
    wait_until(|| {
        Client::unix(socket)
            .is_ok_and(|mut client| client.ping().is_ok() || client.run("PING").to_string().contains("NOAUTH"))
    })
    .expect("the server answers");
    Client::unix(socket).expect("the server answers")
}
