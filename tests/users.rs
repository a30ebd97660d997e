//! Users beyond one session: their file, a restart, changes while they are at work, and what a server says at its start of
//! users that make no sense.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::client::{Client, Value, typed};
use support::server::{Setup, fresh_directory, larder, oracle};
use support::transcript::wait_until;

fn lines(value: &Value) -> Vec<String> {
    value.lines()
}

/// A directory of its own, gone with the test.
struct Home(std::path::PathBuf);

impl Home {
    fn new() -> Home {
        Home(fresh_directory())
    }
    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        std::fs::write(self.file(name), text).expect("the test's own directory");
        self.file(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with_file(setup: Setup, path: &Path) -> Setup {
    setup.set("aclfile", &path.to_string_lossy())
}

/// Four workers, so that changes and requests meet.
fn server() -> Setup {
    match std::env::var_os("LARDER_BIN") {
        Some(_) => larder(),
        None => larder().workers(4),
    }
}

/// Users whose rules are hard to write down.
fn make_odd_users(client: &mut Client) {
    let users: &[&[&str]] = &[
        &["plain", "on", ">secret", "~a:*", "&news", "+@read", "-get", "+config|get", "+select|0"],
        &["quotes", "nopass", "~\"a", "~it's", "~a\\b", "&\"c\"", "+get"],
        &["paren", "on", "(~a) +get)", "(\"~\\\"q\" +set %R~b)", "(~) &x' +@all)"],
        &["é\u{1}", "on", "~ключ:*", "%W~\u{1}*", "+@all", "-@dangerous"],
        &["(", "off", ")".trim_end_matches(')'), "allkeys", "allchannels", "allcommands"],
        &["user", "skip-sanitize-payload", "~", "&", "(allkeys allchannels +@all -acl|log)"],
        &["#", "on", "~(", "~)", "~*)"],
    ];
    for user in users {
        let mut call = vec!["ACL", "SETUSER"];
        call.extend_from_slice(user);
        assert_eq!(lines(&client.call(&call)), ["OK"], "{}", typed(&call));
    }
}

#[test]
fn what_is_saved_is_loaded_again() {
    let home = Home::new();
    let path = home.write("users.acl", "user default on nopass ~* &* +@all\n");
    let server = with_file(larder(), &path).start();
    let mut client = server.connect();
    make_odd_users(&mut client);
    let before = lines(&client.run("ACL LIST"));
    assert_eq!(before.len(), 8);
    assert_eq!(lines(&client.run("ACL SAVE")), ["OK"]);
    let saved = std::fs::read(&path).expect("the file");
    client.run("ACL DELUSER plain quotes paren");
    assert_eq!(lines(&client.run("ACL LOAD")), ["OK"]);
    assert_eq!(lines(&client.run("ACL LIST")), before);
    client.run("ACL SAVE");
    assert_eq!(std::fs::read(&path).expect("the file"), saved);
    let again = with_file(larder(), &path).start();
    assert_eq!(lines(&again.connect().run("ACL LIST")), before);
}

#[test]
fn a_rewritten_configuration_has_the_users() {
    let home = Home::new();
    let path = home.write("larder.conf", "# Users below.\nuser plain on >old\nport 0\n");
    let before = {
        let server = larder().file(&path).start();
        let mut client = server.connect();
        make_odd_users(&mut client);
        client.run("ACL SETUSER default >secret -flushdb");
        assert_eq!(lines(&client.run("CONFIG REWRITE")), ["OK"]);
        lines(&client.run("ACL LIST"))
    };
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains("\nuser plain on "), "the line stays in its place:\n{text}");
    // The directory of the run that wrote it is gone.
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("dir ")).collect();
    home.write("larder.conf", &kept.join("\n"));
    let server = larder().file(&path).start();
    let mut client = server.connect();
    client.call(&["AUTH", "secret"]);
    assert_eq!(lines(&client.run("ACL LIST")), before);
    assert_eq!(
        lines(&client.run("FLUSHDB")),
        ["(error) NOPERM User default has no permissions to run the 'flushdb' command"]
    );
}

/// The same words as the original for every way in which a file can be wrong; nothing changes then.
#[test]
fn a_wrong_file_is_refused_whole() {
    let files = [
        "# no comments\n",
        "user\n",
        "usr a on\n",
        "user a on\nuser a off\n",
        "user default on\nuser b on\nuser default off\n",
        "user a +nosuch -@nosuch %x~y\n",
        "user a ~* ~b &* &c\n",
        "user a (+get\n",
        "user a on )\n",
        "user a #abc >secret <other\n",
        "user a\tb on\n",
        "user a on (+nosuch)\n\n  user b on ((+get)\n",
        "user a on\nuser b +get|x|y +config|get|z\n",
    ];
    let answers = |setup: Setup| {
        let server = setup.set("aclfile", "users.acl").set("dir", ".");
        let home = Home::new();
        std::fs::write(home.file("users.acl"), "user keep on\n").expect("written");
        let server = server.set("dir", &home.0.to_string_lossy()).start();
        let mut client = server.connect();
        let mut answers = Vec::new();
        for file in files {
            home.write("users.acl", file);
            let answer = lines(&client.run("ACL LOAD"));
            answers.push((file, answer, lines(&client.run("ACL USERS"))));
        }
        std::fs::remove_file(home.file("users.acl")).expect("it is there");
        answers.push(("(gone)", lines(&client.run("ACL LOAD")), lines(&client.run("ACL USERS"))));
        answers
    };
    let (ours, theirs) = (answers(larder()), answers(oracle()));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
        assert_eq!(ours.2, ["1) \"default\"", "2) \"keep\""], "{}", ours.0);
    }
}

#[test]
fn users_that_make_no_sense_stop_the_start() {
    let home = Home::new();
    home.write("good.acl", "user a on\n");
    home.write("bad.acl", "user a +nosuch\n");
    let cases: &[(&[&str], &str)] = &[
        (&["--user", "a", "on", "--user", "a", "off"], "Duplicate user found"),
        (&["--user", "a", "on", "#abc"], "The password hash must be exactly 64 characters"),
        (&["--user", "a", "on", "+nosuch"], "Error loading ACL rule '+nosuch' for the user named 'a'"),
        (&["--user", "a", "on", "--aclfile", "good.acl"], "please define either an ACL file or declare users"),
        (&["--aclfile", "bad.acl"], "bad.acl:1: Error in applying operation '+nosuch'"),
        (&["--aclfile", "none.acl"], "Error loading ACLs, opening file 'none.acl': No such file or directory"),
    ];
    for (arguments, want) in cases {
        for setup in [larder(), oracle()] {
            let output = std::process::Command::new(setup.binary())
                .args(["--port", "0", "--unixsocket"])
                .arg(home.file("socket"))
                .args(["--dir", &home.0.to_string_lossy()])
                .args(*arguments)
                .output()
                .expect("it runs");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!output.status.success(), "{arguments:?}");
            assert!(said.contains(want), "{arguments:?} of {}: {said}", setup.binary().display());
        }
    }
}

#[test]
fn loading_closes_only_those_who_lost_something() {
    let home = Home::new();
    let text = "user stays on nopass ~* &* +@all\nuser narrowed on nopass ~* &a &b +@all\nuser gone on nopass ~* &* +@all\n\
                user me on nopass ~* &* +@all\n";
    let path = home.write("users.acl", text);
    let server = with_file(server(), &path).start();
    let as_user = |name: &str| {
        let mut client = server.connect();
        client.run("HELLO 3");
        assert_eq!(lines(&client.call(&["AUTH", name, "x"])), ["OK"]);
        client
    };
    let mut stays = as_user("stays");
    stays.run("SUBSCRIBE a");
    let [mut listens_to_a, mut listens_to_b, mut idle] =
        [as_user("narrowed"), as_user("narrowed"), as_user("narrowed")];
    listens_to_a.run("SUBSCRIBE a");
    listens_to_b.run("SUBSCRIBE b");
    let mut gone = as_user("gone");
    let mut me = as_user("me");
    home.write("users.acl", "user stays on nopass ~* &* +@all\nuser narrowed on nopass %R~* &a +@all\n");
    assert_eq!(lines(&me.run("ACL LOAD")), ["OK"], "the one who asks has the answer");
    assert!(me.is_closed(), "and goes then, as its user is gone");
    assert!(gone.is_closed() && listens_to_b.is_closed());
    assert_eq!(lines(&idle.run("SET k v")), ["(error) NOPERM No permissions to access a key"]);
    let mut other = as_user("stays");
    let _ = wait_until(|| other.int("PUBLISH a x") == 2);
    assert_eq!(lines(&stays.receive().expect("a message").value)[1], "2) \"a\"");
    assert_eq!(lines(&listens_to_a.receive().expect("a message").value)[1], "2) \"a\"");
    assert_eq!(lines(&other.run("ACL USERS")), ["1) \"default\"", "2) \"narrowed\"", "3) \"stays\""]);
}

/// When ACL SETUSER has answered, no request runs by the rules of before: clients on all workers raise a counter, and
/// after the right to do so is gone, it stands still.
#[test]
fn a_change_holds_once_it_is_answered() {
    let server = server().start();
    let mut admin = server.connect();
    admin.run("ACL SETUSER bob on nopass ~* +@all");
    let stop = AtomicBool::new(false);
    let requests = ["INCR n", "EVAL return+redis.call('incr','n') 1 n", "MULTI|INCR n|EXEC", "MSET n2 1 n3 1|INCR n"];
    thread::scope(|scope| {
        for request in requests.iter().chain(&requests) {
            let mut client = server.connect();
            client.run("AUTH bob x");
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for line in request.split('|') {
                        let words: Vec<String> = line.split(' ').map(|word| word.replace('+', " ")).collect();
                        client.call(&words);
                    }
                }
            });
        }
        for round in 0..150 {
            let (take, give) = [("-incr", "+incr"), ("resetkeys", "~*")][round % 2];
            assert_eq!(lines(&admin.call(&["ACL", "SETUSER", "bob", take])), ["OK"]);
            let before = admin.text("GET n");
            (0..20).for_each(|_| drop(admin.run("PING")));
            assert_eq!(admin.text("GET n"), before, "round {round}");
            assert_eq!(lines(&admin.call(&["ACL", "SETUSER", "bob", give])), ["OK"]);
            if round % 10 == 0 {
                let _ = wait_until(|| admin.text("GET n") != before);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(admin.int("INCR n") > 100, "they did work in between");
}

/// Nobody who subscribes while the right to is taken away goes on listening.
#[test]
fn nobody_listens_without_the_right_to() {
    let server = server().start();
    let mut admin = server.connect();
    for _ in 0..60 {
        admin.run("ACL SETUSER eve reset on nopass &news:* +@all");
        thread::scope(|scope| {
            let listeners: Vec<_> = (0..4)
                .map(|number| {
                    let mut client = server.connect();
                    client.run("AUTH eve x");
                    scope.spawn(move || {
                        // Refused, or closed, or both.
                        let _ = client.send(&["SUBSCRIBE".to_owned(), format!("news:{number}")]);
                        let _ = client.receive();
                        client
                    })
                })
                .collect();
            admin.run("ACL SETUSER eve resetchannels");
            let clients: Vec<Client> = listeners.into_iter().map(|thread| thread.join().expect("no panic")).collect();
            let silent = wait_until(|| lines(&admin.run("PUBSUB CHANNELS")) == ["(empty array)"]);
            assert!(silent.is_some(), "{:?}", lines(&admin.run("PUBSUB CHANNELS")));
            drop(clients);
        });
    }
}

#[test]
fn the_sample_of_users_is_right() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/users.acl");
    let home = Home::new();
    let path = home.write("users.acl", &std::fs::read_to_string(sample).expect("the sample"));
    let server = with_file(larder(), &path).start();
    let mut admin = server.connect();
    assert_eq!(lines(&admin.run("AUTH admin change-this-admin")), ["OK"]);
    let judge = |client: &mut Client, line: &str| lines(&client.run(&format!("ACL DRYRUN {line}"))).concat();
    for (line, allowed) in [
        ("push SET artifact:1 x", true),
        ("push SET other x", false),
        ("push FLUSHALL", false),
        ("pull GET artifact:1", true),
        ("pull SET artifact:1 x", false),
        ("pull KEYS *", false),
        ("app PUBLISH app:news x", true),
        ("app CONFIG SET maxmemory 1", false),
        ("queue BLPOP jobs:1 0", true),
        ("queue GET config:1", true),
        ("queue RPUSH config:1 x", false),
        ("metrics INFO", true),
        ("metrics GET artifact:1", false),
    ] {
        assert_eq!(judge(&mut admin, line) == "OK", allowed, "{line}: {}", judge(&mut admin, line));
    }
    assert_eq!(
        lines(&server.connect().run("PING")),
        ["(error) NOAUTH Authentication required."],
        "nobody is in without a password"
    );
}
