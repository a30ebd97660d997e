//! Scripts that mean harm: each ends in an error, the server lives, the next user finds everything as it was, and the
//! memory comes back.

mod support;

use std::time::Duration;

use support::client::{Client, Value};
use support::server::larder;

/// Scripts and what their error says.
const ERRORS: &[(&str, &str)] = &[
    // Nesting.
    ("local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)", "excessive"),
    ("return cjson.decode(string.rep('[', 1000000))", "nested"),
    ("return cjson.decode(string.rep('{\"a\":', 1000000))", "nested"),
    ("return cmsgpack.unpack(string.rep('\\145', 1000000))", ""),
    ("return cmsgpack.unpack('\\221' .. string.rep('\\129\\1', 1000000))", ""),
    ("local function f() return 1 + f() end return f()", "stack overflow"),
    ("local t = {} t.t = t return cjson.encode(t)", "excessive"),
    ("local function nest(n) return n == 0 and {} or {nest(n - 1)} end return string.rep(nest(150000), 2)", ""),
    // Counts.
    ("return unpack({}, 1, 2147483647)", "too many results"),
    ("return unpack({}, -2147483648, 2147483647)", "too many results"),
    ("return unpack({}, 1, 2^31)", "too many results"),
    ("return redis.call('ECHO', unpack({}, 1, 7000000))", "too many results"),
    ("return struct.pack('i100000000', 1)", "larger than limit"),
    ("return struct.pack('>' .. string.rep('I8', 300000))", ""),
    ("return struct.unpack('c2147483647', 'x')", "too short"),
    ("return struct.unpack('s', 'x', 2^53)", ""),
    ("return string.format('%999999d', 1)", "format"),
    ("return cmsgpack.unpack('\\221', 2^31)", ""),
    // Bombs.
    ("local s = 'x' while true do s = s .. s end", "not enough memory"),
    ("local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end", "not enough memory"),
    ("return string.find(string.rep('a', 300000), string.rep('a?', 300000) .. 'b')", ""),
    // Tables that everybody shares.
    ("redis.call = nil", "readonly"),
    ("string.rep = nil", "readonly"),
    ("cjson.encode = nil", "readonly"),
    ("_G.print = 1", "readonly"),
    ("rawset(_G, 'x', 1)", "readonly"),
    ("rawset(redis, 'call', 1)", "readonly"),
    ("setmetatable(_G, {__index = function() return 1 end})", "readonly"),
    ("setmetatable(string, {})", "readonly"),
    ("getmetatable(_G).__index = 1", ""),
    ("getmetatable('').__index = {}", ""),
    ("getmetatable('').__add = function() return 1 end", ""),
    ("KEYS = nil", ""),
    ("return load(string.dump(function() end))()", ""),
    ("return loadstring('\\27Lua')()", ""),
    ("return io.open('/etc/passwd')", "nonexistent"),
    ("return os.execute('true')", ""),
    ("return require('os')", "nonexistent"),
    ("return debug.getregistry()", "nonexistent"),
    ("return getfenv(0).x.y", ""),
    ("setfenv(redis.call, {})", ""),
    // Errors that would break the protocol.
    ("error('a\\r\\n+OK\\r\\nb\\0c')", "a"),
    ("error({err = 'x\\r\\n:1\\r\\n\\0y'})", "x"),
    ("return {err = 'x\\r\\n:1\\r\\n\\0y'}", "x"),
    ("return redis.error_reply('-x\\r\\n$-1\\r\\n')", ""),
    ("return redis.call('\\r\\n')", "Unknown"),
    ("return redis.call('GET', 'a', 'b\\r\\n')", "Wrong number"),
    ("error(setmetatable({}, {__tostring = error}))", ""),
    ("error()", ""),
];

/// Scripts that never end by themselves.
const ENDLESS: &[&str] = &[
    "while true do end",
    "while true do pcall(error) end",
    "while true do pcall(function() while true do end end) end",
    "repeat local t = {} until false",
    "local function f() return f() end f()",
    "local function f(...) return f(1, ...) end f()",
    "while true do redis.pcall('GET') end",
    "while true do redis.call('PING') end",
    "while true do string.rep('x', 1000) end",
    "local c = coroutine and coroutine.wrap(function() while true do end end) or function() while true do end end c()",
    "setmetatable({}, {__index = function(t, k) while true do end end}).x()",
    "table.sort({1, 2, 3}, function() while true do end end)",
    "string.gsub('x', 'x', function() while true do end end)",
];

fn used_bytes(client: &mut Client) -> u64 {
    client.info("memory", "used_memory").and_then(|text| text.parse().ok()).expect("a number of bytes")
}

/// What every user may count on, whoever was there before.
fn find_all_well(client: &mut Client) {
    let script = "return {string.rep('ab', 2), cjson.encode({1}), tostring(next(_G) ~= nil), redis.call('PING').ok, ('x'):upper()}";
    let Value::Array(items) = client.call(&["EVAL", script, "0"]) else { panic!("the next user is served") };
    let texts: Vec<String> = items.iter().map(Value::to_string).collect();
    assert_eq!(texts.join(" "), "\"abab\" \"[1]\" \"true\" \"PONG\" \"X\"", "the next user finds all well");
}

#[test]
fn hostile_scripts_end_in_an_error() {
    let server = larder().start();
    // A bomb fills a gigabyte before it is stopped.
    let mut client = Client::with_patience(server.port(), Duration::from_secs(180)).expect("the server accepts");
    find_all_well(&mut client);
    let before = used_bytes(&mut client);
    let mut wrong = Vec::new();
    for (script, says) in ERRORS {
        let reply = client.call(&["EVAL", script, "0"]);
        if !matches!(&reply, Value::Error(text) if String::from_utf8_lossy(text).contains(says)) {
            wrong.push(format!(
                "{script}: {says:?} was expected, got {}",
                reply.to_string().chars().take(200).collect::<String>()
            ));
        }
        client.ping().unwrap_or_else(|error| panic!("{script}: {error}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    find_all_well(&mut client);
    client.run("SCRIPT FLUSH SYNC");
    let after = used_bytes(&mut client);
    assert!(after < before + (16 << 20), "the memory returns: {before} bytes before, {after} after");
}

#[test]
fn endless_scripts_are_killed() {
    let server = larder().set("busy-reply-threshold", "20").start();
    let (mut victim, mut killer) = (server.connect(), server.connect());
    for script in ENDLESS {
        victim.send(&["EVAL", script, "1", "key"]).expect("the script is sent");
        while killer.run("SCRIPT KILL") != Value::Simple(b"OK".to_vec()) {}
        let reply = victim.receive().expect("the script is answered").value;
        let Value::Error(text) = &reply else { panic!("{script}: an error was expected, got {reply}") };
        assert!(String::from_utf8_lossy(text).contains("killed"), "{script}: {}", String::from_utf8_lossy(text));
        find_all_well(&mut killer);
    }
}

#[test]
fn other_keys_are_served_while_a_script_runs() {
    let server = larder().set("busy-reply-threshold", "60000").start();
    let (mut slow, mut quick) = (server.connect(), server.connect());
    // It runs until somebody tells it to stop, by a key that it does not hold before it looks.
    quick.run("SET held before");
    let script = "redis.call('SET', KEYS[1], 'during') local n = 0 \
                  while n < 20000000 do n = n + 1 end redis.call('SET', KEYS[1], 'after')";
    slow.send(&["EVAL", script, "1", "held"]).expect("the script is sent");
    let mut served = 0;
    for key in 0..50 {
        assert_eq!(quick.run(&format!("SET other:{key} x")), Value::Simple(b"OK".to_vec()));
        served += 1;
    }
    assert_eq!(served, 50);
    // Whatever the moment, nobody sees the middle of it.
    let seen = quick.text("GET held");
    assert!(seen == "before" || seen == "after", "a script is seen whole or not at all, not {seen:?}");
    assert_eq!(slow.receive().expect("the script ends").value, Value::Null);
    assert_eq!(quick.text("GET held"), "after");
}
