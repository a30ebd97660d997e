//! A fault in a command is its own connection's end and nobody else's.

mod support;

use support::server::larder;

#[test]
fn a_fault_closes_its_connection_and_leaves_no_lock_behind() {
    let mut server = larder().set("worker-threads", "2").start();
    let mut shop = server.connect();
    let keys: Vec<String> = (0..200).map(|i| format!("page:{i}")).collect();
    let mset: Vec<&str> = ["MSET"].into_iter().chain(keys.iter().flat_map(|key| [key.as_str(), "text"])).collect();
    shop.call(&mset);

    let mut unlucky = server.connect();
    unlucky.send(&["SET", "mine", "1"]).expect("sent");
    unlucky.send(&["DEBUG", "PANIC"]).expect("sent");
    assert_eq!(unlucky.receive().expect("the reply before").raw, b"+OK\r\n");
    let error = unlucky.receive().expect("an error").value.to_string();
    assert_eq!(error, "(error) ERR internal error, the connection is closed");
    assert!(unlucky.is_closed());

    // Every shard can be taken, the token too, by old connections and new ones.
    shop.call(&mset);
    assert_eq!(server.connect().int("DBSIZE"), 201);
    assert_eq!(shop.run("FLUSHALL").to_string(), "OK");
    assert!(server.is_alive());
    assert!(server.log().contains("A command failed and its connection is closed"), "{}", server.log());
}

#[test]
fn a_fault_inside_exec_lets_go_of_what_it_watched() {
    let server = larder().set("worker-threads", "2").start();
    let mut unlucky = server.connect();
    for line in ["WATCH stock", "MULTI", "SET stock 1", "DEBUG PANIC", "SET stock 2", "EXEC"] {
        unlucky.send(&line.split(' ').collect::<Vec<_>>()).expect("sent");
    }
    assert!(unlucky.is_closed());
    let mut shop = server.connect();
    assert_eq!(shop.run("SET stock 3").to_string(), "OK");
    assert_eq!(shop.info("clients", "watching_clients").as_deref(), Some("0"));
    assert_eq!(shop.info("clients", "total_watched_keys").as_deref(), Some("0"));
}
