//! The wire as strange clients use it: what ends a connection, what is counted, what the log tells of it.

mod support;

use std::fs;

use support::client::{Client, Value};
use support::server::{fresh_directory, larder, oracle};
use support::transcript::wait_until;

/// Browsers can be led to send requests here; the words are no commands anywhere.
#[test]
fn what_only_http_says_ends_the_connection_without_a_word() {
    for setup in [larder(), oracle()] {
        let server = setup.start();
        for request in ["Host: localhost\r\n", "post / HTTP/1.1\r\n", "*2\r\n$4\r\nPOST\r\n$1\r\n/\r\n"] {
            let mut client = server.connect();
            client.send_raw(request.as_bytes()).expect("it is sent");
            assert!(client.receive().is_err(), "{request:?} is answered by nothing");
        }
        assert_eq!(server.connect().run("PING"), Value::Simple(b"PONG".to_vec()));
    }
}

#[test]
fn a_protocol_error_counts_as_an_error() {
    let errors = |client: &mut Client| client.info("errorstats", "errorstat_ERR").unwrap_or_default();
    for setup in [larder(), oracle()] {
        let server = setup.start();
        let mut client = server.connect();
        client.send_raw(b"*1\r\nx\r\n").expect("it is sent");
        client.receive().expect("an error");
        assert_eq!(errors(&mut server.connect()), "count=1");
    }
}

/// As the cluster clients of today find the slot of a channel.
#[test]
fn a_channel_of_a_shard_stands_where_a_key_would() {
    for setup in [larder(), oracle()] {
        let server = setup.start();
        let mut client = server.connect();
        for (command, range) in [("SPUBLISH", [1, 1, 1]), ("SSUBSCRIBE", [1, -1, 1]), ("SUNSUBSCRIBE", [1, -1, 1])] {
            let Value::Array(found) = client.call(&["COMMAND", "INFO", command]) else { panic!("an array") };
            let [Value::Array(row)] = &found[..] else { panic!("one row") };
            assert_eq!(row[3..6], range.map(Value::Int), "{command}");
        }
        client.send(&["COMMAND", "INFO", "nosuch"]).expect("it is sent");
        assert_eq!(client.receive().expect("an answer").raw, b"*1\r\n$-1\r\n");
    }
}

#[test]
fn a_command_that_was_renamed_gives_help_by_its_new_name() {
    for setup in [larder(), oracle()] {
        let home = fresh_directory();
        let file = home.join("renamed.conf");
        fs::write(&file, "rename-command CONFIG settings\n").expect("a file in a fresh directory");
        let server = setup.file(&file).start();
        let Value::Error(text) = server.connect().run("settings NOSUCH") else { panic!("an error") };
        assert_eq!(String::from_utf8_lossy(&text), "ERR unknown subcommand 'NOSUCH'. Try SETTINGS HELP.");
        fs::remove_dir_all(home).expect("the directory is there");
    }
}

#[test]
fn the_log_tells_who_comes_and_goes() {
    for setup in [larder(), oracle()] {
        let home = fresh_directory();
        let log = home.join("log");
        let server = setup.set("loglevel", "verbose").set("logfile", &log.to_string_lossy()).start();
        let tells = |word: &str| fs::read_to_string(&log).unwrap_or_default().contains(word);
        let mut client = server.connect();
        client.run("CLIENT SETNAME visitor");
        assert!(tells("Configuration loaded") && tells(" - Accepted 127.0.0.1:"));
        drop(client);
        wait_until(|| tells(" - Client closed connection id=") && tells(" name=visitor ")).expect("its end is told");
        server.connect().send_raw(b"*1\r\nx\r\n").expect("it is sent");
        wait_until(|| tells("Protocol error") && tells(" from client: ")).expect("its mistake is told");
        fs::remove_dir_all(home).expect("the directory is there");
    }
}

#[test]
fn the_slow_log_tells_no_client_for_what_a_script_calls() {
    // Redis 7.0 has an address for nobody.
    for (setup, nobody) in [(larder(), &["\"\""][..]), (oracle(), &["\"?:0\"", "\"\""])] {
        let server = setup.set("slowlog-log-slower-than", "0").start();
        let mut client = server.connect();
        client.run("CLIENT SETNAME visitor");
        client.call(&["EVAL", "return redis.call('GET', 'key')", "0"]);
        let Value::Array(entries) = client.run("SLOWLOG GET 2") else { panic!("an array") };
        let ends: Vec<String> = entries
            .iter()
            .map(|entry| {
                let Value::Array(fields) = entry else { panic!("an array") };
                format!("{} {}", fields[4], fields[5])
            })
            .collect();
        assert!(ends[0].starts_with("\"127.0.0.1:") && ends[0].ends_with(" \"visitor\""), "{ends:?}");
        assert!(nobody.iter().any(|addr| ends[1] == format!("{addr} \"\"")), "{ends:?}");
    }
}

/// Replies of scripts are sent when the scripts of others have run.
#[test]
fn scripts_of_many_clients_at_once_answer_each_its_own() {
    let server = larder().workers(1).start();
    let script = |text: &str| ["EVAL", "return ARGV[1]", "1", "key", text].map(str::to_owned);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for round in 0..50 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&script(&format!("{number}:{round}"))).expect("it is sent");
            if number % 3 == 0 {
                client.send(&["PING"]).expect("it is sent");
            }
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let text = format!("{number}:{round}");
            assert_eq!(client.receive().expect("a reply").value, Value::Bulk(text.into_bytes()));
            if number % 3 == 0 {
                assert_eq!(client.receive().expect("a reply").value, Value::Simple(b"PONG".to_vec()));
            }
        }
    }
    // Whoever leaves, or is shown out, has the replies to what came before; an idle client holds no buffer.
    for client in &mut clients {
        client.send(&script("last")).expect("it is sent");
        client.send(&["QUIT"]).expect("it is sent");
    }
    for client in &mut clients {
        assert_eq!(client.receive().expect("a reply").value, Value::Bulk(b"last".to_vec()));
        assert_eq!(client.receive().expect("a reply").value, Value::Simple(b"OK".to_vec()));
        assert!(client.is_closed());
    }
    let (mut client, mut watcher) = (server.connect(), server.connect());
    let id = client.int("CLIENT ID");
    let mut held = || {
        let list = watcher.text(&format!("CLIENT LIST ID {id}"));
        list.split(' ').find(|field| field.starts_with("tot-mem=")).expect("a field of each client").to_owned()
    };
    let before = held();
    client.call(&script("idle"));
    assert_eq!(held(), before);
}

/// But for CLUSTER, which is off and says so.
#[test]
fn the_help_of_a_container_names_every_subcommand() {
    for setup in [larder(), oracle()] {
        let server = setup.start();
        let mut client = server.connect();
        let Value::Array(rows) = client.run("COMMAND") else { panic!("an array") };
        for row in rows {
            let Value::Array(row) = row else { panic!("a row") };
            let (Value::Bulk(container), Value::Array(subcommands)) = (&row[0], &row[9]) else { panic!("{row:?}") };
            if subcommands.is_empty() || container == b"cluster" {
                continue;
            }
            let lines = client.call(&[container, &b"HELP"[..].to_vec()]).lines();
            let words: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
            for subcommand in subcommands {
                let Value::Array(row) = subcommand else { panic!("a row") };
                let Value::Bulk(name) = &row[0] else { panic!("a name") };
                let name = String::from_utf8_lossy(name).into_owned();
                let word = name.split('|').next_back().expect("a word");
                let named = |line: &String| line.split_whitespace().any(|found| found == word);
                assert!(words.iter().any(named), "{name} in\n{}", lines.join("\n"));
            }
        }
    }
}

/// Refusals that nobody reads would fill the memory, and it takes no password to be refused.
#[test]
fn a_stranger_who_does_not_read_is_closed() {
    let server = larder().set("requirepass", "sesame").start();
    let (mut stranger, mut admin) = (server.connect(), server.connect());
    assert_eq!(admin.text("AUTH sesame"), "OK");
    let requests = b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n5\r\n".repeat(1000);
    let sent = (0..2000).take_while(|_| stranger.send_raw(&requests).is_ok()).count();
    assert!(sent < 2000, "the connection is closed");
    assert_eq!(admin.info("stats", "client_output_buffer_limit_disconnections").as_deref(), Some("1"));
    // Nobody else was.
    let clients = admin.run("CLIENT LIST").to_string();
    assert_eq!(clients.matches("addr=").count() / 2, 1, "{clients}");
}
