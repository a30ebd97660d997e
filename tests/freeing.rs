//! Whatever command makes a big value go: a worker does not free it, the background thread does. Counted in objects handed
//! over (`lazyfreed_objects`), never in time.

mod support;

use support::client::Client;
use support::server::larder;

/// Scripts that make `big` a value of so many elements that it is freed in the background.
const MAKERS: [(&str, &str); 5] = [
    ("list", "for i = 1, 8000 do redis.call('RPUSH', KEYS[1], 'element:' .. i) end"),
    ("hash", "for i = 1, 8000 do redis.call('HSET', KEYS[1], 'field:' .. i, 'value') end"),
    ("set", "for i = 1, 8000 do redis.call('SADD', KEYS[1], 'member:' .. i) end"),
    ("zset", "for i = 1, 8000 do redis.call('ZADD', KEYS[1], i, 'member:' .. i) end"),
    ("stream", "for i = 1, 8000 do redis.call('XADD', KEYS[1], '*', 'field', 'value') end"),
];

/// Commands that make `big` go, whatever it holds. `small` is a set.
const ANY: &[&[&str]] = &[
    &["DEL", "big"],
    &["UNLINK", "big"],
    &["SET", "big", "small"],
    &["MSET", "big", "small"],
    &["RENAME", "small", "big"],
    &["COPY", "small", "big", "REPLACE"],
    &["SUNIONSTORE", "big", "small"],
    &["SINTERSTORE", "big", "none"],
    &["ZUNIONSTORE", "big", "1", "small"],
    &["SORT", "small", "ALPHA", "STORE", "big"],
    &["PEXPIRE", "big", "-1"],
    &["EVAL", "return redis.call('DEL', KEYS[1])", "1", "big"],
    &["FLUSHDB"],
    &["FLUSHALL", "ASYNC"],
];

/// Commands that empty a value of one type at once.
const OWN: &[(&str, &[&str])] = &[
    ("list", &["LTRIM", "big", "1", "0"]),
    ("set", &["SPOP", "big", "8000"]),
    ("zset", &["ZREMRANGEBYRANK", "big", "0", "-1"]),
    ("zset", &["ZREMRANGEBYSCORE", "big", "-inf", "+inf"]),
    ("zset", &["ZREMRANGEBYRANK", "big", "5", "-6"]),
];

fn freed(client: &mut Client) -> String {
    while client.info("memory", "lazyfree_pending_objects").as_deref() != Some("0") {
        std::thread::yield_now();
    }
    client.info("memory", "lazyfreed_objects").expect("a field")
}

/// Makes `big` and `small`, runs the command, and looks at who freed.
fn judge(client: &mut Client, kind: &str, maker: &str, prepare: &[&[&str]], command: &[&str]) {
    client.run("FLUSHALL");
    client.call(&["EVAL", maker, "1", "big"]);
    client.run("SADD small member");
    prepare.iter().for_each(|step| _ = client.call(step));
    freed(client);
    client.run("CONFIG RESETSTAT");
    let reply = client.call(command).to_string();
    assert!(!reply.starts_with("(error)"), "{command:?} of a {kind}: {reply}");
    assert_ne!(freed(client), "0", "{command:?} of a {kind} hands over what it removes");
}

#[test]
fn big_values_are_freed_in_the_background_whatever_makes_them_go() {
    let server = larder().start();
    let mut client = server.connect();
    for (kind, maker) in MAKERS {
        ANY.iter().for_each(|command| judge(&mut client, kind, maker, &[], command));
        let own = OWN.iter().filter(|(of, _)| *of == kind);
        own.for_each(|(_, command)| judge(&mut client, kind, maker, &[], command));
    }
    let (kind, maker) = MAKERS[4];
    let group: &[&[&str]] =
        &[&["XGROUP", "CREATE", "big", "g", "0"], &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "big", ">"]];
    judge(&mut client, kind, maker, group, &["XGROUP", "DESTROY", "big", "g"]);
}

/// A hash too small to be big, and too large to be free of charge.
const MIDDLING: &str = "for i = 1, 600 do redis.call('HSET', KEYS[1], i, i) end";

#[test]
fn middling_values_are_freed_in_the_background_where_the_configuration_says_so() {
    let server = larder().start();
    let mut client = server.connect();
    client.run("SADD small member");
    for (directive, command) in [
        ("lazyfree-lazy-user-del", "DEL middling"),
        ("lazyfree-lazy-server-del", "SET middling text"),
        ("lazyfree-lazy-server-del", "SUNIONSTORE middling small"),
        ("lazyfree-lazy-server-del", "SINTERSTORE middling none"),
        ("lazyfree-lazy-server-del", "COPY small middling REPLACE"),
        ("lazyfree-lazy-expire", "EXISTS middling"),
    ] {
        for (setting, count) in [("no", "0"), ("yes", "1")] {
            client.run("DEL middling");
            client.call(&["EVAL", MIDDLING, "1", "middling"]);
            client.run(&format!("CONFIG SET {directive} {setting}"));
            freed(&mut client);
            client.run("CONFIG RESETSTAT");
            if directive == "lazyfree-lazy-expire" {
                client.run("PEXPIRE middling 1");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            client.run(command);
            assert_eq!(freed(&mut client), count, "{command} with {directive} {setting}");
        }
        client.run(&format!("CONFIG SET {directive} no"));
    }
}
