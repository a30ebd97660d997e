//! What a connection holds while it waits: none of the buffers of its worker.

mod support;

use support::client::Client;
use support::server::larder;
use support::transcript::wait_until;

/// A number of the line that CLIENT LIST has for the client of this name.
fn field(asking: &mut Client, name: &str, field: &str) -> u64 {
    let list = asking.text("CLIENT LIST");
    let line = list.lines().find(|line| line.contains(&format!(" name={name} "))).expect("the client is listed");
    let value = line.split(' ').find_map(|part| part.strip_prefix(field)?.strip_prefix('='));
    value.expect("the field is there").parse().expect("a number")
}

/// The rest of a request was looked at once more before it waited, and the buffer for replies went with it.
#[test]
fn a_cut_off_request_keeps_no_buffer_of_the_worker() {
    let server = larder().set("worker-threads", "1").start();
    let mut asking = server.connect();
    let mut waiting = server.connect();
    waiting.run("CLIENT SETNAME waiting");
    // A reply that makes the worker's buffer large.
    waiting.call(&["ECHO", &"x".repeat(20_000)]);
    let before = field(&mut asking, "waiting", "tot-mem");
    waiting.send_raw(b"*2\r\n$3\r\nGET\r\n$4\r\npa").expect("sent");
    wait_until(|| field(&mut asking, "waiting", "qbuf") == 19).expect("the cut-off request has arrived");
    let after = field(&mut asking, "waiting", "tot-mem");
    assert!(after < before + 1000, "{after} bytes with a cut-off request, {before} without");
}

/// What was announced and does not come: its room was kept for as long as the client stayed silent.
#[test]
fn an_argument_that_does_not_come_gives_its_room_back() {
    let server = larder().start();
    let mut asking = server.connect();
    let mut waiting = server.connect();
    waiting.run("CLIENT SETNAME waiting");
    let value = "x".repeat(1_000_000);
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len());
    let (head, rest) = request.split_at(request.len() - value.len() - 2);
    // Nothing of it has come, then a part.
    for sent in [0, 300_000] {
        waiting.send_raw(format!("{head}{}", &rest[..sent]).as_bytes()).expect("sent");
        wait_until(|| field(&mut asking, "waiting", "qbuf-free") > 0).expect("there is room for it");
        wait_until(|| field(&mut asking, "waiting", "qbuf-free") == 0).expect("the room is given back");
        assert!(field(&mut asking, "waiting", "qbuf") >= sent as u64);
        waiting.send_raw(&rest.as_bytes()[sent..]).expect("sent");
        assert_eq!(waiting.receive().expect("an answer").raw, b"+OK\r\n");
        assert_eq!(asking.int("STRLEN a"), value.len() as i64);
        wait_until(|| field(&mut asking, "waiting", "qbuf") == 0).expect("nothing is left of it");
    }
}
