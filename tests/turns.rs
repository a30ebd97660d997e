//! However much one client sends at once, others have their turn in between: told from what has been run by then, never from
//! a clock.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use support::client::Client;
use support::server::{Server, larder};

/// How often a command has been called.
fn calls(client: &mut Client, command: &str) -> usize {
    let line = client.info("commandstats", &format!("cmdstat_{command}")).unwrap_or_default();
    let calls = line.split(',').find_map(|field| field.strip_prefix("calls="));
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

/// Sends requests in one go from a thread, while another takes the replies.
fn send(server: &Server, requests: Vec<u8>) {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
    let mut reader = socket.try_clone().expect("a second handle");
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while reader.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    std::thread::spawn(move || {
        socket.write_all(&requests).expect("the server reads");
        // The connection stays until the test ends.
        std::mem::forget(socket);
    });
}

/// Sends slow requests together; how many had run when the first reply came, and another client asked.
fn run_by_the_first_reply(count: usize, key: &str) -> usize {
    let server = larder().workers(1).start();
    let (mut other, mut busy) = (server.connect(), server.connect());
    other.run(&format!("SETBIT {key} 80000000 1"));
    busy.send_raw(format!("BITCOUNT {key}\r\n").repeat(count).as_bytes()).expect("the server reads");
    busy.receive().expect("the first reply");
    let done = calls(&mut other, "bitcount");
    (1..count).for_each(|_| _ = busy.receive().expect("each has its reply"));
    assert_eq!(calls(&mut other, "bitcount"), count);
    done
}

/// What had come in one read was run to its end before anybody else was heard.
#[test]
fn others_are_heard_between_many_requests_that_take_long() {
    let done = run_by_the_first_reply(400, &"long".repeat(50));
    assert!((1..400).contains(&done), "{done} had run");
}

/// As in Redis, which reads 16 KB of a client at a time.
#[test]
fn a_few_requests_sent_together_are_run_before_others_are_heard() {
    assert_eq!(run_by_the_first_reply(100, "key"), 100);
}

/// A client whose requests never end was left only after a hundred reads of its socket.
#[test]
fn others_are_heard_often_while_one_client_sends_without_end() {
    const COUNT: usize = 1_500_000;
    let server = larder().workers(1).start();
    let mut other = server.connect();
    send(&server, b"*2\r\n$6\r\nSTRLEN\r\n$3\r\nkey\r\n".repeat(COUNT));
    let (mut turns, mut last) = (0, 0);
    while last < COUNT {
        let done = calls(&mut other, "strlen");
        turns += usize::from((1..COUNT).contains(&done) && done > last);
        last = done;
    }
    assert!(turns > 30, "heard {turns} times");
}

/// A client that is blocked may send very much; what it has sent is run in turns as well, in its order.
#[test]
fn what_came_while_blocked_is_run_in_turns_and_in_order() {
    const COUNT: usize = 300_000;
    let server = larder().workers(1).start();
    let (mut other, mut blocked) = (server.connect(), server.connect());
    blocked.send_raw(b"BLPOP wake 0\r\n").expect("the server reads");
    blocked.send_raw(&b"INCR count\r\n".repeat(COUNT)).expect("the server reads");
    other.run("RPUSH wake now");
    blocked.receive().expect("the reply of BLPOP");
    for count in 1..=COUNT {
        assert_eq!(blocked.receive().expect("a reply").raw, format!(":{count}\r\n").as_bytes());
    }
    assert_eq!(other.int("INCR count"), COUNT as i64 + 1);
}
