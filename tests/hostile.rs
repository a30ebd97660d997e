//! Scripts that mean harm: each ends in an error, the server lives, the next user finds everything as it was, and the
//! memory comes back.

mod support;

use std::time::Duration;

use support::client::{Client, Value};
use support::random::{Random, seed};
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
    ("return unpack({}, 0, 2^31 - 1)", "too many results"),
    ("return redis.call('ECHO', unpack({}, 1, 7998))", "too many results"),
    ("local t = {} for i = 1, 7000 do t[i] = 'x' end return redis.call('ECHO', unpack(t))", "Wrong number"),
    ("return redis.call('ECHO', unpack({}, 1, 7000000))", "too many results"),
    ("return struct.pack('i100000000', 1)", "larger than limit"),
    ("return struct.pack('>' .. string.rep('I8', 300000))", ""),
    ("return struct.unpack('c2147483647', 'x')", "too short"),
    ("return struct.unpack('s', 'x', 2^53)", ""),
    ("return string.format('%999999d', 1)", "format"),
    ("return cmsgpack.unpack('\\221', 2^31)", ""),
    ("return struct.pack('c2147483648', 'x')", ""),
    ("return struct.unpack('c0', 'x', 2147483648)", ""),
    ("return struct.unpack('>I8', 'x', -2147483648)", ""),
    ("return struct.size('!2147483648i')", ""),
    // Bombs.
    ("local s = 'x' while true do s = s .. s end", "not enough memory"),
    ("local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end", "not enough memory"),
    ("return string.find(string.rep('a', 300000), string.rep('a?', 300000) .. 'b')", ""),
    // The parser: long brackets without an end, more locals, upvalues and nested blocks than it has room for.
    ("return loadstring('return [' .. string.rep('=', 1000000))()", "attempt to call"),
    ("return loadstring('return [' .. string.rep('=', 1000000) .. '[')()", "attempt to call"),
    ("return loadstring('--[' .. string.rep('=', 1000000) .. '[')()", "attempt to call"),
    ("return loadstring('return \\\"' .. string.rep('\\\\', 1000001))()", "attempt to call"),
    ("return loadstring(string.rep('local a ', 201))()", "attempt to call"),
    ("return loadstring(string.rep('do ', 100000))()", "attempt to call"),
    ("return loadstring('return ' .. string.rep('(', 100000))()", "attempt to call"),
    ("return loadstring('return ' .. string.rep('{', 100000))()", "attempt to call"),
    ("return loadstring('return ' .. string.rep('-', 2) .. string.rep('not ', 100000))().x", "attempt to"),
    // Values that are no argument.
    ("return redis.call('GET', setmetatable({}, {__tostring = function() return 'x' end}))", "strings or integers"),
    ("return redis.call('GET', function() end)", "strings or integers"),
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
    ("getmetatable('').__index = function() return function() return 'owned' end end", ""),
    ("getmetatable('').__eq, getmetatable('').__concat = nil, error", ""),
    ("rawset(getmetatable(''), '__index', {})", "readonly"),
    ("setmetatable('', {})", "table expected"),
    ("getmetatable(redis).__index = {}", ""),
    ("getmetatable(_G).__newindex = nil", ""),
    ("rawset(getmetatable(_G), '__newindex', nil)", "readonly"),
    ("table.insert(string, 'x')", "readonly"),
    ("newproxy(true)", "nonexistent"),
    ("coroutine.wrap(function() redis.call('NOSUCH') end)()", "Unknown"),
    ("table.sort({3, 2, 1}, function() redis.call('NOSUCH') end)", "Unknown"),
    ("string.gsub('x', 'x', function() redis.call('NOSUCH') end)", "Unknown"),
    ("for k in redis.call, 'NOSUCH' do end", "strings or integers"),
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
    "while true do pcall(redis.call, 'NOSUCH') end",
    "while true do redis.acl_check_cmd('GET', 'key') end",
    "coroutine.wrap(function() while true do redis.call('PING') end end)()",
    "table.sort({1, 2, 3}, function() while true do redis.call('PING') end end)",
    "string.gsub('x', 'x', function() while true do redis.call('PING') end end)",
    "xpcall(function() while true do redis.call('PING') end end, function() while true do end end)",
    "while true do pcall(cjson.decode, string.rep('[', 999)) end",
    "while true do cmsgpack.unpack(cmsgpack.pack({1, {2}, 'x'})) end",
    "while true do struct.unpack('i4', struct.pack('i4', 1)) end",
    "while true do pcall(loadstring, string.rep('do ', 1000)) end",
    "local t = {} while true do if #t < 100000 then t[#t + 1] = string.rep('x', 1000) end end",
];

/// Scripts that try to hurt and must come to this end.
const HARMLESS: &[(&str, &str)] = &[
    ("", "(nil)"),
    // As an int of C that is below zero.
    ("return #{unpack({}, 1, 2^31)}", "(integer) 0"),
    ("return bit.tohex(0x12345678, -2147483648)", "\"12345678\""),
    // The parser must keep the name of what it reads alive by itself.
    (
        "local n = 0 for i = 1, 300 do \
           local sent = false \
           local f = load(function() collectgarbage() if sent then return nil end sent = true return 'return ' .. i end, \
             'name' .. string.rep('x', i)) \
           if f() == i then n = n + 1 end \
         end return n",
        "(integer) 300",
    ),
    (
        "local n = 0 for i = 1, 20000 do local f = loadstring('return ' .. i, string.rep('n', i % 500)) n = n + f() - i end \
         collectgarbage() return n",
        "(integer) 0",
    ),
    ("local t = setmetatable({}, {__index = error}) return {t, {err = t}, {ok = t}, {map = t}}", ""),
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
    let mut other = Client::with_patience(server.port(), Duration::from_secs(180)).expect("the server accepts");
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
        find_all_well(&mut other);
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
    let before = used_bytes(&mut killer);
    for script in ENDLESS {
        victim.send(&["EVAL", script, "1", "key"]).expect("the script is sent");
        while killer.run("SCRIPT KILL") != Value::Simple(b"OK".to_vec()) {}
        let reply = victim.receive().expect("the script is answered").value;
        let Value::Error(text) = &reply else { panic!("{script}: an error was expected, got {reply}") };
        assert!(String::from_utf8_lossy(text).contains("killed"), "{script}: {}", String::from_utf8_lossy(text));
        find_all_well(&mut killer);
    }
    let after = used_bytes(&mut killer);
    assert!(after < before + (16 << 20), "the memory returns: {before} bytes before, {after} after");
}

/// The clock stands still for a script, deadlines included; a late one may look at it, so that waiting for it ends.
#[test]
fn a_script_that_waits_for_the_clock_ends() {
    let server = larder().set("busy-reply-threshold", "20").start();
    let mut client = server.connect();
    client.run("SET key value EX 100");
    let script = "local function us() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end \
                  local start, left = us(), redis.call('PTTL', KEYS[1]) \
                  while us() <= start do end \
                  return {us() > start, redis.call('PTTL', KEYS[1]) == left}";
    assert_eq!(client.call(&["EVAL", script, "1", "key"]).to_string(), "1) (integer) 1\n2) (integer) 1");
}

#[test]
fn what_only_looks_dangerous_is_answered() {
    let server = larder().start();
    let (mut client, mut other) = (server.connect(), server.connect());
    for (script, want) in HARMLESS {
        let reply = client.call(&["EVAL", script, "0"]).to_string();
        assert!(reply.contains(want), "{script}: {want} was expected, got {reply}");
        find_all_well(&mut other);
    }
}

#[test]
fn garbage_is_no_script() {
    let server = larder().start();
    let (mut client, mut other) = (server.connect(), server.connect());
    let seed = seed("HOSTILE_SEED", 1);
    println!("HOSTILE_SEED={seed}");
    let mut random = Random::new(seed);
    let words: [&[u8]; 8] =
        [b"return ", b"#!lua ", b"name=x", b"\x1bLua", b"\n", b"\0", b"[==[", b"redis.call('GET', KEYS[1]) "];
    for _ in 0..500 {
        let mut body = Vec::new();
        for _ in 0..random.below(6) {
            match random.below(3) {
                0 => body.extend((0..random.below(20)).map(|_| random.below(256) as u8)),
                _ => body.extend_from_slice(words[random.below(words.len() as u64) as usize]),
            }
        }
        for request in
            [&[&b"EVAL"[..], &body, b"1", b"key"][..], &[b"SCRIPT", b"LOAD", &body], &[b"FUNCTION", b"LOAD", &body]]
        {
            client.call(request);
        }
    }
    find_all_well(&mut other);
}

#[test]
fn the_memory_of_scripts_has_a_limit_of_its_own() {
    let server = larder().set("lua-memory-limit", "16mb").start();
    let (mut client, mut other) = (server.connect(), server.connect());
    client.call(&["SET", "big", &"x".repeat(1 << 20)]);
    client.call(&["EVAL", "for i = 1, 1000 do redis.call('RPUSH', 'list', i) end", "0"]);
    let before = used_bytes(&mut client);
    for script in [
        "return string.rep('x', 17000000)",
        // A table with all the room it needs: nothing grows but what the commands bring.
        "local t = {} for i = 1, 100000 do t[i] = true end \
         for i = 1, 100000 do t[i] = redis.call('GETRANGE', 'big', i, -1) end",
        "local t = {} while true do t[#t + 1] = redis.call('LRANGE', 'list', 0, -1) end",
        "local t = {} while true do t[#t + 1] = redis.pcall('NOSUCH') end",
        "return cjson.encode(string.rep('\\1', 4000000))",
        "local s = string.rep('x', 1000000) local t = {} for i = 1, 30 do t[i] = s end return cjson.encode(t)",
        "local s = string.rep('x', 1000000) local t = {} for i = 1, 30 do t[i] = s end return cmsgpack.pack(t)",
        "local s = string.rep('x', 1000000) local t = {} for i = 1, 30 do t[i] = s end return table.concat(t)",
        "return string.gsub(string.rep('x', 1000000), 'x', string.rep('y', 100))",
        "local f = {} for i = 1, 1e9 do f[i] = function() return i end end",
    ] {
        let reply = client.call(&["EVAL", script, "0"]);
        assert!(reply.to_string().contains("not enough memory"), "{script}: {reply}");
        find_all_well(&mut other);
    }
    assert_eq!(client.call(&["EVAL", "return #string.rep('x', 4000000)", "0"]), Value::Int(4_000_000));
    let after = used_bytes(&mut client);
    assert!(after < before + (8 << 20), "the memory returns: {before} bytes before, {after} after");
    assert_eq!(client.run("CONFIG GET lua-memory-limit").to_string().matches("16777216").count(), 1);
    assert!(!client.run("CONFIG GET lua*").to_string().contains("lua-memory-limit"));
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
