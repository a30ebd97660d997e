//! One request that names very many things takes a time that grows with their number. Nothing here looks at a clock: what
//! grows with the square of the number is not done while the test's client is still patient.

mod support;

use support::server::larder;

/// So many names that their square takes hours.
const MANY: usize = 400_000;

fn names(first: &str) -> Vec<String> {
    let numbered = (0..MANY).map(|number| format!("name:{number}"));
    std::iter::once(first.to_owned()).chain(numbered).collect()
}

/// Every key was compared with all that were watched before.
#[test]
fn many_keys_are_watched_at_once_and_each_once() {
    let server = larder().start();
    let mut client = server.connect();
    let request = names("WATCH");
    for _ in 0..2 {
        client.send(&request).expect("the server reads");
        assert_eq!(client.receive().expect("a reply in time").raw, b"+OK\r\n");
        assert_eq!(client.info("clients", "total_watched_keys"), Some(MANY.to_string()));
    }
    client.run("SET name:7 value");
    client.run("MULTI");
    client.run("PING");
    assert_eq!(client.run("EXEC").to_string(), "(nil)");
    assert_eq!(client.info("clients", "total_watched_keys").as_deref(), Some("0"));
}
