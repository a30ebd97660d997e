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

#[test]
fn a_fault_inside_a_script_ends_the_script_and_its_machine() {
    // The script used to stay half way on its stack, for the next one to go on with.
    let mut server = larder().set("worker-threads", "2").start();
    let mut shop = server.connect();
    assert_eq!(shop.run("DEBUG SET-DISABLE-DENY-SCRIPTS 1").to_string(), "OK");
    let sha = shop.text("SCRIPT LOAD return#KEYS");
    let mut unlucky = server.connect();
    let body =
        "redis.call('SET', KEYS[1], '1') pcall(redis.call, 'DEBUG', 'PANIC') return redis.call('SET', KEYS[1], '2')";
    unlucky.send(&["EVAL", body, "1", "stock"]).expect("sent");
    let error = unlucky.receive().expect("an error").value.to_string();
    assert_eq!(error, "(error) ERR internal error, the connection is closed");
    assert!(unlucky.is_closed());
    // On either worker, by text and by SHA1 once it is loaded again.
    for mut client in [server.connect(), server.connect(), shop] {
        assert_eq!(client.call(&["EVAL", "return redis.call('GET', KEYS[1])", "1", "stock"]).to_string(), "\"1\"");
        assert_eq!(client.text("SCRIPT LOAD return#KEYS"), sha);
        assert_eq!(client.int(&format!("EVALSHA {sha} 2 a b")), 2);
    }
    assert!(server.is_alive());
}
