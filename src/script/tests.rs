//! Scripts as users write them, against a server that is a map. What they answer was asked of redis-server 7.0.15,
//! save where 7.4 is known to differ.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::Ordering;

use super::host::{Call, Ended, Host, Progress};
use super::library::RestorePolicy;
use super::{Caller, Limits, LogLevel, Tick};
use crate::resp::reply::{Proto, Reply};

/// A map with the commands the tests need, and a clock that moves with every look.
#[derive(Default)]
struct Fake {
    map: HashMap<Vec<u8>, Vec<u8>>,
    reply: Vec<u8>,
    log: Vec<(LogLevel, Vec<u8>)>,
    targets: Option<u8>,
    clock_us: u64,
    ticks: u32,
    yield_every: u32,
    kill_after: Option<u32>,
}

impl Caller for Fake {
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Option<&[u8]> {
        let out = &mut self.reply;
        out.clear();
        let name = String::from_utf8_lossy(args[0]).to_lowercase();
        match (name.as_str(), &args[1..]) {
            ("ping", []) => out.extend_from_slice(b"+PONG\r\n"),
            ("set", [key, value]) => {
                self.map.insert(key.to_vec(), value.to_vec());
                out.extend_from_slice(b"+OK\r\n");
            }
            ("get", [key]) => match self.map.get(*key) {
                Some(value) => bulk(out, value),
                None => out.extend_from_slice(if resp3 { b"_\r\n" } else { b"$-1\r\n" }),
            },
            ("echo", [text]) => bulk(out, text),
            ("argc", rest) => write!(out, ":{}\r\n", rest.len()).unwrap(),
            ("raw", [reply]) => out.extend_from_slice(reply),
            ("get" | "set", _) => {
                out.extend_from_slice(b"-ERR Wrong number of args calling Redis command from script\r\n");
            }
            _ => out.extend_from_slice(b"-ERR Unknown Redis command called from script\r\n"),
        }
        Some(out)
    }

    fn acl_check(&mut self, args: &[&[u8]]) -> Option<bool> {
        match args[0] {
            b"nosuch" => None,
            name => Some(name != b"hset"),
        }
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.log.push((level, text.to_vec()));
    }

    fn set_repl(&mut self, targets: u8) {
        self.targets = Some(targets);
    }

    fn tick(&mut self) -> Tick {
        self.ticks += 1;
        if self.kill_after.is_some_and(|ticks| self.ticks > ticks) {
            return Tick::Kill;
        }
        if self.yield_every > 0 && self.ticks.is_multiple_of(self.yield_every) { Tick::Yield } else { Tick::Continue }
    }

    fn monotonic_us(&mut self) -> u64 {
        self.clock_us += 1_000;
        self.clock_us
    }
}

fn bulk(out: &mut Vec<u8>, text: &[u8]) {
    write!(out, "${}\r\n", text.len()).unwrap();
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn host() -> Host {
    Host::new(Limits { memory_bytes: 16 << 20, ..Limits::default() }, [7, 4, 2], 1)
}

fn run(host: &mut Host, fake: &mut Fake, body: &str, keys: &[&[u8]], argv: &[&[u8]], resp3: bool) -> (String, Ended) {
    let mut out = Reply::new(if resp3 { Proto::Resp3 } else { Proto::Resp2 });
    let script = match host.script_by_body(body.as_bytes()) {
        Ok(script) => script,
        Err(text) => return (format!("-{}\r\n", String::from_utf8_lossy(&text)), Ended::default()),
    };
    let mut progress = host.start(script, Call { keys, argv }, fake, &mut out);
    loop {
        match progress {
            Progress::Done(ended) => return (String::from_utf8_lossy(&out.take()).into_owned(), ended),
            Progress::Yielded => progress = host.resume(fake, &mut out),
        }
    }
}

/// Runs each script without arguments; `%` in an answer stands for the suffix that names script and line 1.
fn check(cases: &[(&str, &str)]) {
    let (mut host, mut fake) = (host(), Fake::default());
    for (body, want) in cases {
        let (got, _) = run(&mut host, &mut fake, body, &[], &[], false);
        let script = host.script_by_body(body.as_bytes());
        let sha = script.map_or(String::new(), |script| String::from_utf8_lossy(host.name(script)).into_owned());
        let want = want.replace('%', &format!(" script: {sha}, on @user_script:1."));
        assert_eq!(got.trim_end_matches("\r\n"), want.replace('|', "\r\n"), "{body}");
    }
}

#[test]
fn values_become_replies() {
    check(&[
        ("return 'hello'", "$5|hello"),
        ("return 3.99", ":3"),
        ("return -3.99", ":-3"),
        ("return 1e300", ":-9223372036854775808"),
        ("return 0/0", ":-9223372036854775808"),
        ("return true", ":1"),
        ("return false", "$-1"),
        ("return nil", "$-1"),
        ("return", "$-1"),
        ("return function() end", "$-1"),
        ("return {1,2,3,'ciao',{1,2}}", "*5|:1|:2|:3|$4|ciao|*2|:1|:2"),
        ("return {1,nil,3}", "*1|:1"),
        ("return _G", "*0"),
        ("return {ok='fine'}", "+fine"),
        ("return {ok='a\\r\\nb'}", "+a  b"),
        ("return {ok=5}", "*0"),
        ("return {err='ERR this is an error'}", "-ERR this is an error"),
        ("return {err='x y\\r\\nz\\r\\n'}", "-x y  z"),
        ("return {err='a\\0b'}", "-a"),
        ("return {{err='a b'},{err='c d'}}", "*2|-a b|-c d"),
        ("return {ok='x',err='y z'}", "-y z"),
        ("return {double=3.14}", "$4|3.14"),
        ("return {double=1e20}", "$5|1e+20"),
        ("return {double='x'}", "*0"),
        ("return {map={a=1}}", "*2|$1|a|:1"),
        ("return {set={x=1}}", "*1|$1|x"),
        ("return {big_number='12\\r\\n3'}", "$5|12  3"),
        ("return {verbatim_string={format='txt',string='hi'}}", "$2|hi"),
        ("return setmetatable({},{__index=function() foo() end})", "*0"),
        ("redis.setresp(3) return {true,false}", "*2|:1|:0"),
    ]);
}

#[test]
fn resp3_clients_get_resp3_kinds() {
    let cases = [
        ("return {double=3.14}", ",3.14\r\n"),
        ("return {map={a=1}}", "%1\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={x=1}}", "~1\r\n$1\r\nx\r\n"),
        ("return {big_number='12'}", "(12\r\n"),
        ("return {verbatim_string={format='txt',string='hi'}}", "=6\r\ntxt:hi\r\n"),
        ("return nil", "_\r\n"),
        ("return {true,false}", "*2\r\n:1\r\n_\r\n"),
        ("redis.setresp(3) return {true,false}", "*2\r\n#t\r\n#f\r\n"),
    ];
    let (mut host, mut fake) = (host(), Fake::default());
    for (body, want) in cases {
        assert_eq!(run(&mut host, &mut fake, body, &[], &[], true).0, want, "{body}");
    }
}

#[test]
fn replies_of_commands_become_values() {
    let cases: &[(&str, &str, &str)] = &[
        ("+OK\r\n", "return r.ok", "$2\r\nOK\r\n"),
        ("-WRONGTYPE no\r\n", "return r.err", "$12\r\nWRONGTYPE no\r\n"),
        (":7\r\n", "return r + 1", ":8\r\n"),
        ("$-1\r\n", "return type(r)", "$7\r\nboolean\r\n"),
        ("*-1\r\n", "return type(r)", "$7\r\nboolean\r\n"),
        ("*2\r\n$1\r\na\r\n*1\r\n:5\r\n", "return r[2][1]", ":5\r\n"),
        ("_\r\n", "return type(r)", "$3\r\nnil\r\n"),
        ("#t\r\n", "return tostring(r)", "$4\r\ntrue\r\n"),
        (",3.5\r\n", "return tostring(r.double)", "$3\r\n3.5\r\n"),
        (",-inf\r\n", "return tostring(r.double)", "$4\r\n-inf\r\n"),
        ("(123\r\n", "return r.big_number", "$3\r\n123\r\n"),
        (
            "=8\r\nmkd:a\r\nb\r\n",
            "return {r.verbatim_string.format, r.verbatim_string.string}",
            "*2\r\n$3\r\nmkd\r\n$4\r\na\r\nb\r\n",
        ),
        ("%1\r\n$1\r\nk\r\n:1\r\n", "return r.map.k", ":1\r\n"),
        ("~1\r\n$1\r\nm\r\n", "return tostring(r.set.m)", "$4\r\ntrue\r\n"),
        ("|1\r\n+key\r\n+value\r\n:3\r\n", "return r", ":3\r\n"),
        ("%1\r\n_\r\n:1\r\n", "return type(next(r.map))", "$3\r\nnil\r\n"),
    ];
    let (mut host, mut fake) = (host(), Fake::default());
    for (reply, then, want) in cases {
        let body = format!("local r = redis.pcall('raw', ARGV[1]) {then}");
        assert_eq!(run(&mut host, &mut fake, &body, &[], &[reply.as_bytes()], false).0, *want, "{reply:?}");
    }
}

#[test]
fn numbers_reach_commands_as_seven_four_prints_them() {
    check(&[
        ("return redis.call('echo', 0.1)", "$3|0.1"),
        ("return redis.call('echo', 1e20)", "$5|1e+20"),
        ("return redis.call('echo', 100000000)", "$9|100000000"),
        ("return redis.call('echo', 9007199254740991)", "$16|9007199254740991"),
        ("return redis.call('echo', -0.0)", "$1|0"),
        ("return redis.call('echo', 0/0)", "$4|-nan"),
        ("return redis.call('echo', 1e-300)", "$6|1e-300"),
        ("return redis.call('echo', -2^63)", "$20|-9223372036854775808"),
        ("return redis.call('argc', 1, 'a', 2.5, 'b', 3)", ":5"),
    ]);
}

#[test]
fn errors_name_script_and_line() {
    check(&[
        ("return redis.call('nosuch')", "-ERR Unknown Redis command called from script%"),
        ("return redis.pcall('nosuch')", "-ERR Unknown Redis command called from script"),
        ("redis.call('set','a')", "-ERR Wrong number of args calling Redis command from script%"),
        ("return redis.call()", "-ERR Please specify at least one argument for this redis lib call%"),
        ("return redis.call({})", "-ERR Lua redis lib command arguments must be strings or integers%"),
        ("error('x')", "-ERR user_script:1: x%"),
        ("error('x', 0)", "-ERR x%"),
        ("error(nil)", "-ERR nil%"),
        ("error({err='MY thing'})", "-MY thing%"),
        ("error({})", "-ERR unknown error%"),
        ("error(redis.error_reply('FOO bar'))", "-FOO bar%"),
        ("return x", "-ERR user_script:1: Script attempted to access nonexistent global variable 'x'%"),
        ("return 1 +", "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'"),
        ("local a = {} return a.b.c", "-ERR user_script:1: attempt to index field 'b' (a nil value)%"),
        ("return cjson.decode('{')", "-ERR user_script:1: Expected object key string but found T_END at character 2%"),
        ("return string.find('a','(')", "-ERR user_script:1: unfinished capture%"),
        ("('x'):rep()", "-ERR user_script:1: bad argument #1 to 'rep' (number expected, got no value)%"),
        ("coroutine.wrap(function() redis.call('nosuch') end)()", "-ERR Unknown Redis command called from script%"),
        ("for k in pairs(nil) do end", "-ERR user_script:1: bad argument #1 to 'pairs' (table expected, got nil)%"),
        ("redis.sha1hex()", "-ERR wrong number of arguments%"),
        ("redis.log(redis.LOG_DEBUG)", "-ERR redis.log() requires two arguments or more.%"),
        ("redis.log(9, 'x')", "-ERR Invalid log level.%"),
        ("redis.setresp(4)", "-ERR RESP version must be 2 or 3.%"),
        ("redis.set_repl(9)", "-ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.%"),
        ("redis.acl_check_cmd('nosuch')", "-ERR Invalid command passed to redis.acl_check_cmd()%"),
        ("local f, e = load(function() error('inner') end) return e", "-ERR user_script:1: inner"),
    ]);
}

#[test]
fn errors_are_counted_once() {
    let (mut host, mut fake) = (host(), Fake::default());
    let mut counted = |body: &str| -> Vec<(String, bool)> {
        let (_, reply) = run(&mut host, &mut fake, body, &[], &[], false);
        reply.errors.iter().map(|e| (String::from_utf8_lossy(&e.text).into_owned(), e.counted)).collect()
    };
    let unknown = "ERR Unknown Redis command called from script";
    assert_eq!(counted("return redis.pcall('nosuch')"), [(unknown.to_owned(), true)]);
    assert!(counted("return redis.call('nosuch')")[0].1);
    assert_eq!(counted("return redis.error_reply('MY own')"), [("MY own".to_owned(), false)]);
    assert_eq!(counted("return {redis.error_reply('A b'), redis.pcall('nosuch')}").len(), 2);
    assert!(counted("redis.pcall('nosuch') return 1").is_empty());
}

#[test]
fn pcall_sees_texts_as_before_errors_were_tables() {
    check(&[
        (
            "local ok, e = pcall(redis.call, 'nosuch') return {type(e), e}",
            "*2|$6|string|$44|ERR Unknown Redis command called from script",
        ),
        ("return {pcall(error, {err='x y'})}", "*2|$-1|$3|x y"),
        ("local ok, e = pcall(error, {1}) return {type(e), e[1]}", "*2|$5|table|:1"),
        ("local ok, e = pcall(error) return type(e)", "$3|nil"),
        (
            "return {pcall(function() local x = nil; return x.y end)}",
            "*2|$-1|$55|user_script:1: attempt to index local 'x' (a nil value)",
        ),
        (
            "return {xpcall(function() error('a') end, function(e) return 'H:' .. e end)}",
            "*2|$-1|$18|H:user_script:1: a",
        ),
        (
            "local co = coroutine.create(function() redis.call('nosuch') end) local ok, e = coroutine.resume(co) \
          return type(e)",
            "$5|table",
        ),
        ("return {pcall(string.gsub, 'abc', '%w', function() error({err='X y'}) end)}", "*2|$-1|$3|X y"),
    ]);
}

#[test]
fn the_sandbox_cannot_be_changed() {
    let modify = "-ERR user_script:1: Attempt to modify a readonly table%";
    let refused = "-ERR Attempt to modify a readonly table%";
    check(&[
        ("x = 1", modify),
        ("_G.x = 1", modify),
        ("redis = nil", modify),
        ("_G = {}", modify),
        ("KEYS = {}", modify),
        ("redis.call = 1", modify),
        ("server.call = 1", modify),
        ("cjson.encode = 1", modify),
        ("cmsgpack.pack = 1", modify),
        ("bit.lshift = 1", modify),
        ("string.upper = nil", modify),
        ("getmetatable(_G).__index = {}", modify),
        ("getmetatable('').__index = 1", modify),
        ("getmetatable('').__index.upper = nil", modify),
        ("setmetatable(_G, {})", refused),
        ("setmetatable(string, {})", refused),
        ("setmetatable(getmetatable(_G), {})", refused),
        ("rawset(_G, 'a', 1)", refused),
        ("rawset(redis, 'a', 1)", refused),
        ("rawset(getmetatable(''), 'a', 1)", refused),
        ("table.insert(redis, 1)", refused),
        ("KEYS[1] = 'x' return KEYS", "*1|$1|x"),
        ("local n = 0 for k in pairs(os) do n = n + 1 assert(k == 'clock') end return n", ":1"),
        ("local n = 0 for k in pairs(redis) do n = n + 1 end return n", ":23"),
        ("return {type(next(_G)), rawget(_G, 'nosuch'), type(rawget(_G, 'redis'))}", "*1|$6|string"),
        ("return os.execute()", "-ERR user_script:1: attempt to call field 'execute' (a nil value)%"),
        (
            "return loadstring(string.dump(function() return 1 end))()",
            "-ERR user_script:1: attempt to call a nil value%",
        ),
        (
            "local f, e = loadstring('\\27abc') return e",
            "$52|[string \"\u{1b}abc\"]:1: unexpected symbol near 'char(27)'",
        ),
        ("return tostring(getmetatable(redis))", "$3|nil"),
        ("return tostring(server == redis)", "$4|true"),
        ("return {collectgarbage('stop'), collectgarbage('count') > 0}", "*2|:0|:1"),
    ]);
    let gone = "debug dofile getfenv io loadfile module newproxy package print require setfenv";
    for name in gone.split(' ') {
        let want = format!("-ERR user_script:1: Script attempted to access nonexistent global variable '{name}'%");
        check(&[(&format!("{name}()"), &want)]);
    }
}

#[test]
fn a_script_leaves_nothing_for_the_next_one() {
    let (mut host, mut fake) = (host(), Fake::default());
    for attack in [
        "string.find = nil",
        "pcall(rawset, string, 'x', 1)",
        "pcall(table.insert, redis, 'x')",
        "pcall(function() getmetatable('').__index = nil end)",
        "local s = string pcall(setmetatable, s, {__index = function() return 'owned' end})",
    ] {
        run(&mut host, &mut fake, attack, &[], &[], false);
    }
    let look = "return {redis[1] or 'none', string.x or 'none', ('a'):upper(), type(string.find)}";
    let (got, _) = run(&mut host, &mut fake, look, &[], &[], false);
    assert_eq!(got, "*4\r\n$4\r\nnone\r\n$4\r\nnone\r\n$1\r\nA\r\n$8\r\nfunction\r\n");
}

#[test]
fn libraries_answer_like_the_originals() {
    check(&[
        ("return cjson.encode({1,2,{a='x/\"y'}})", "$20|[1,2,{\"a\":\"x\\/\\\"y\"}]"),
        ("return cjson.encode({})", "$2|{}"),
        ("return cjson.encode({[1]=1,[2]=2,[4]=4})", "$12|[1,2,null,4]"),
        (
            "return cjson.encode({[1]=1,[100]=2})",
            "-ERR user_script:1: Cannot serialise table: excessively sparse array%",
        ),
        ("return cjson.encode(2^53) .. ' ' .. cjson.encode(0.1)", "$22|9.007199254741e+15 0.1"),
        ("return cjson.decode('\"\\\\ud83d\\\\ude00\"')", "$4|\u{1f600}"),
        ("return cjson.decode('[1,{\"a\":[true,null]}]')[2].a", "*2|:1|$-1"),
        ("return tostring(cjson.decode('null') == cjson.null)", "$4|true"),
        (
            "return cjson.decode(('['):rep(1001))",
            "-ERR user_script:1: Found too many nested data structures (1001) at character 1001%",
        ),
        (
            "local h = '' local s = cmsgpack.pack(1,-1,255,-129,2^40,0.5,0.1,'a',true,nil,{1,2},{a=1}) \
          for i = 1, #s do h = h .. bit.tohex(s:byte(i), 2) end return h",
            "$82|01ffccffd1ff7fcf0000010000000000ca3f000000cb3fb999999999999aa161c3c092010281a16101",
        ),
        ("return {cmsgpack.unpack_one('\\1\\2\\3', 1)}", "*2|:2|:2"),
        ("return {cmsgpack.unpack_limit('\\1\\2\\3', 2)}", "*3|:2|:1|:2"),
        ("return cmsgpack.unpack('\\193')", "-ERR user_script:1: Bad data format in input.%"),
        ("return cmsgpack.unpack('\\129\\192\\1')", "-ERR table index is nil%"),
        ("return {struct.unpack('>bBhH', '\\255\\255\\255\\254\\255\\254')}", "*5|:-1|:255|:-2|:65534|:7"),
        ("return {struct.size('!4bi'), struct.size('>T')}", "*2|:8|:8"),
        ("return struct.size('i33')", "-ERR user_script:1: integral size 33 is larger than limit of 32%"),
        (
            "return {bit.tohex(255), bit.tohex(65535, -2147483648), bit.tobit(0xffffffff), bit.rol(0x12345678, 8)}",
            "*4|$8|000000ff|$8|0000FFFF|:-1|:878082066",
        ),
        (
            "math.randomseed(123) local r = {} for i = 1, 5 do r[i] = math.random(1000) end return r",
            "*5|:280|:415|:926|:130|:125",
        ),
        ("return {string.find('hello', '(l)(l)')}", "*4|:3|:4|$1|l|$1|l"),
        ("return {string.gsub('hello world', 'o', '0')}", "*2|$11|hell0 w0rld|:2"),
        ("return {string.match('2024-01-02', '(%d+)-(%d+)')}", "*2|$4|2024|$2|01"),
        (
            "local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do r[#r + 1] = k .. v end return r",
            "*2|$2|a1|$2|b2",
        ),
        ("return redis.sha1hex('abc')", "$40|a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}", "*2|$5|7.4.2|:459778"),
    ]);
}

#[test]
fn hostile_input_ends_in_an_error() {
    let (mut host, mut fake) = (host(), Fake::default());
    for (body, want) in [
        (
            "return cjson.encode((function() local t = {} for i = 1, 1e5 do t = {t} end return t end)())",
            "excessive nesting",
        ),
        ("return cmsgpack.unpack(('\\145'):rep(1e6))", "stack overflow"),
        ("return {cmsgpack.unpack(('\\1'):rep(1e6))}", "stack overflow"),
        ("return cmsgpack.unpack('\\221\\255\\255\\255\\255')", "Missing bytes"),
        ("return cmsgpack.unpack('\\219\\255\\255\\255\\255x')", "Missing bytes"),
        ("return struct.pack('c2147483647', 'x')", "string too short"),
        ("return {struct.unpack('c2147483647', 'x')}", "data string too short"),
        ("return unpack({}, 0, 2^31 - 1)", "too many results to unpack"),
        ("return string.rep('x', 2^31 - 1)", "not enough memory"),
        ("local s = 'x' while true do s = s .. s end", "not enough memory"),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", "not enough memory"),
        ("table.insert({}, -2147483648, 1)", "position out of bounds"),
        ("string.find(('a'):rep(100000), ('.-'):rep(100000) .. 'b')", "pattern too complex"),
        ("local a = {} a[1] = {a} return a", "reached lua stack limit"),
        ("local a = {} a.map = {x = a} return a", "reached lua stack limit"),
        ("local a = {} a.set = {[a] = true} return a", "reached lua stack limit"),
        ("local a = {} a.verbatim_string = a a.map = a return a", "not enough memory for the reply"),
        ("local a = {} a[1] = a a[2] = a return a", "not enough memory for the reply"),
        (
            "local s = ('x'):rep(1e6) local a = {} for i = 1, 1e3 do a[i] = s end return a",
            "not enough memory for the reply",
        ),
        ("return loadstring(('a='):rep(1e5) .. '1') or error('no')", "no"),
    ] {
        let (got, _) = run(&mut host, &mut fake, body, &[], &[], false);
        assert!(got.contains(want), "{body}: {got}");
        let (alive, _) = run(&mut host, &mut fake, "return 'alive'", &[], &[], false);
        assert_eq!(alive, "$5\r\nalive\r\n", "after {body}");
    }
    // The memory came back.
    assert!(host.board().vm_eval_bytes.load(Ordering::Relaxed) < 8 << 20);
}

#[test]
fn calls_take_thousands_of_arguments() {
    check(&[
        ("local t = {} for i = 1, 7999 do t[i] = 1 end return redis.call('argc', 'l', unpack(t))", ":8000"),
        ("local t = {} for i = 1, 7500 do t[i] = 'x' .. i end return redis.call('argc', unpack(t))", ":7500"),
        (
            "local t = {} for i = 1, 7501 do t[i] = 'x' .. i end return redis.call('argc', unpack(t))",
            "-ERR user_script:1: too many results to unpack%",
        ),
    ]);
}

/// Bounds are ints of C: their fractions fall away, and so does what is beyond 32 bits.
#[test]
fn unpack_reads_its_bounds_as_lua_does() {
    check(&[
        ("return select('#', unpack({1, 2, 3}, -1, 5))", ":7"),
        ("return select('#', unpack({1, 2, 3}, -2147483648, -2147483646))", ":3"),
        ("return select('#', unpack({1, 2, 3}, 2147483646, 2147483647))", ":2"),
        ("return {unpack({1, 2, 3}, -4294967295, 2)}", "*2|:1|:2"),
        ("return {unpack({1, 2, 3}, 1, 4294967298)}", "*2|:1|:2"),
        ("return {unpack({1, 2, 3}, 1.9, 2.9)}", "*2|:1|:2"),
        ("return select('#', unpack({1, 2, 3}, -1.9, 2.9))", ":4"),
        ("return {unpack({1, 2, 3}, 1, 2^31)}", "*0"),
        ("return {unpack({1, 2, 3}, 1, 1e300)}", "*0"),
        ("return {unpack({1, 2, 3}, 1, -1e300)}", "*0"),
        ("return {unpack({1, 2, 3}, 1, 0/0)}", "*0"),
        ("return {unpack({1, 2, 3}, -2147483648, -2)}", "-ERR user_script:1: too many results to unpack%"),
    ]);
}

#[test]
fn no_loop_survives_a_kill() {
    let (mut host, mut fake) = (host(), Fake { yield_every: 7, ..Fake::default() });
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(redis.call, 'ping') end",
        "while true do redis.pcall('nosuch') end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local f f = function() pcall(f) return f() end f()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "while true do load(function() while true do end end) end",
        "local t = setmetatable({}, {__index = function() while true do end end}) while true do pcall(function() \
         return t.x end) end",
        "while true do pcall(string.find, ('a'):rep(40), ('a*'):rep(30) .. 'b') end",
        "while true do pcall(string.gsub, 'a', 'a', function() while true do end end) end",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
    ] {
        fake.ticks = 0;
        fake.kill_after = Some(20);
        let (got, reply) = run(&mut host, &mut fake, body, &[], &[], false);
        assert!(got.starts_with("-ERR Script killed by user with SCRIPT KILL."), "{body}: {got}");
        assert!(reply.killed);
        fake.kill_after = None;
        assert_eq!(run(&mut host, &mut fake, "return 'alive'", &[], &[], false).0, "$5\r\nalive\r\n");
    }
}

#[test]
fn a_script_that_yields_goes_on_where_it_was() {
    let (mut host, mut fake) = (host(), Fake { yield_every: 1, ..Fake::default() });
    let script = host.script_by_body(b"local n = 0 for i = 1, 100000 do n = n + i end return n").unwrap();
    let mut out = Reply::default();
    let call = Call { keys: &[], argv: &[] };
    assert_eq!(host.start(script, call, &mut fake, &mut out), Progress::Yielded);
    assert!(host.running() && out.is_empty());
    while host.resume(&mut fake, &mut out) == Progress::Yielded {}
    assert_eq!(out.take(), b":5000050000\r\n");
    assert!(!host.running());
}

#[test]
fn a_script_left_behind_is_ended_by_the_next_and_by_drop() {
    let (mut host, mut fake) = (host(), Fake { yield_every: 1, ..Fake::default() });
    let endless = host.script_by_body(b"while true do end").unwrap();
    let mut out = Reply::default();
    let call = Call { keys: &[], argv: &[] };
    assert_eq!(host.start(endless, call, &mut fake, &mut out), Progress::Yielded);
    fake.yield_every = 0;
    assert_eq!(run(&mut host, &mut fake, "return 1", &[], &[], false).0, ":1\r\n");
    fake.yield_every = 1;
    assert_eq!(host.start(endless, call, &mut fake, &mut out), Progress::Yielded);
    drop(host);
}

#[test]
fn a_host_works_on_any_thread() {
    let mut host = host();
    for _ in 0..3 {
        host = std::thread::spawn(move || {
            let mut fake = Fake::default();
            let (got, _) = run(&mut host, &mut fake, "return redis.call('echo', KEYS[1])", &[b"k"], &[], false);
            assert_eq!(got, "$1\r\nk\r\n");
            host
        })
        .join()
        .unwrap();
    }
}

#[test]
fn scripts_reach_the_outside() {
    let (mut host, mut fake) = (host(), Fake::default());
    let mut eval = |body: &str| run(&mut host, &mut fake, body, &[b"key"], &[b"v1", b"v2"], false).0;
    assert_eq!(
        eval("return {KEYS[1], ARGV[1], ARGV[2], #KEYS, #ARGV}"),
        "*5\r\n$3\r\nkey\r\n$2\r\nv1\r\n$2\r\nv2\r\n:1\r\n:2\r\n"
    );
    assert_eq!(eval("return redis.call('set', KEYS[1], ARGV[1])"), "+OK\r\n");
    assert_eq!(eval("return redis.call('get', KEYS[1])"), "$2\r\nv1\r\n");
    assert_eq!(
        eval("return {redis.acl_check_cmd('set', 'x', 1), redis.acl_check_cmd('hset', 'x')}"),
        "*2\r\n:1\r\n$-1\r\n"
    );
    eval("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')");
    eval("redis.set_repl(redis.REPL_AOF)");
    assert_eq!(fake.log, [(LogLevel::Warning, b"a 1 b".to_vec())]);
    assert_eq!(fake.targets, Some(1));
}

#[test]
fn eval_scripts_make_room_and_loaded_ones_stay() {
    let mut host = Host::new(Limits { eval_scripts: 5, ..Limits::default() }, [7, 4, 2], 1);
    let mut fake = Fake::default();
    let sha = host.load_script(b"return 'kept'").unwrap();
    for number in 0..20 {
        run(&mut host, &mut fake, &format!("return {number}"), &[], &[], false);
    }
    assert!(host.script_by_sha(&sha.to_ascii_uppercase()).is_some());
    assert!(host.script_by_body(b"return 19").is_ok());
    let board = host.board();
    assert_eq!(board.evicted_scripts.load(Ordering::Relaxed), 15);
    assert_eq!(board.cached_scripts.load(Ordering::Relaxed), 6);
    drop(host.flush_scripts());
    assert!(host.script_by_sha(&sha).is_none());
    assert_eq!(board.cached_scripts.load(Ordering::Relaxed), 0);
    assert_eq!(board.vm_eval_bytes.load(Ordering::Relaxed), 0);
}

// Functions.

fn load(host: &mut Host, name: &str, body: &str) -> Result<String, String> {
    let code = format!("#!lua name={name}\n{body}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    host.load_library(code.as_bytes(), true, &mut Fake::default()).map(text).map_err(text)
}

fn fcall(host: &mut Host, name: &str, keys: &[&[u8]], argv: &[&[u8]]) -> String {
    let (mut fake, mut out) = (Fake::default(), Reply::default());
    let Some(function) = host.function(name.as_bytes()) else { return "no function".to_owned() };
    let call = Call { keys, argv };
    assert!(matches!(host.start(function, call, &mut fake, &mut out), Progress::Done(_)));
    String::from_utf8(out.take()).unwrap()
}

#[test]
fn functions_are_registered_and_called() {
    let mut host = host();
    let body = "local function inc(a) return a + 1 end
        redis.register_function('f1', function(keys, args) return {keys[1], args[1], inc(1)} end)
        redis.register_function{function_name='f2', callback=function() return redis.call('nosuch') end,
                                description='d', flags={'no-writes', 'allow-oom'}}";
    assert_eq!(load(&mut host, "lib", body), Ok("lib".to_owned()));
    assert_eq!(fcall(&mut host, "F1", &[b"k"], &[b"a"]), "*3\r\n$1\r\nk\r\n$1\r\na\r\n:2\r\n");
    assert_eq!(
        fcall(&mut host, "f2", &[], &[]),
        "-ERR Unknown Redis command called from script script: f2, on @user_function:4.\r\n"
    );
    let function = host.libraries().function(b"f2").unwrap();
    assert_eq!(function.flags.names().collect::<Vec<_>>(), ["no-writes", "allow-oom"]);
    assert_eq!(function.description.as_deref(), Some(b"d".as_slice()));
    assert_eq!(host.board().functions.load(Ordering::Relaxed), 2);
    assert!(host.board().function_flags(b"F2").is_some());
    assert!(host.delete_library(b"lib") && !host.delete_library(b"lib"));
    assert_eq!(fcall(&mut host, "f1", &[], &[]), "no function");
}

#[test]
fn a_library_that_fails_leaves_the_old_one() {
    let mut host = host();
    load(&mut host, "lib", "redis.register_function('f', function() return 1 end)").unwrap();
    let missing = |name: &str| {
        format!(
            "ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent \
                 global variable '{name}'"
        )
    };
    let registering = |text: &str| format!("ERR Error registering functions: ERR {text}");
    let bad_name = "Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                    character long";
    for (body, want) in [
        (
            "redis.register_function('f'",
            "ERR Error compiling function: user_function:2: ')' expected near '<eof>'".to_owned(),
        ),
        ("return 1", "ERR No functions registered".to_owned()),
        ("error('x')", missing("error")),
        ("return math.random()", missing("math")),
        ("return redis.call('ping')", missing("call")),
        ("local m = getmetatable(_G)", missing("getmetatable")),
        ("a = 1", registering("user_function:2: Attempt to modify a readonly table")),
        ("redis.x = 1", registering("user_function:2: Attempt to modify a readonly table")),
        ("local a = 1 while true do a = a + 1 end", registering("FUNCTION LOAD timeout")),
        ("redis.register_function()", registering("wrong number of arguments to redis.register_function")),
        (
            "redis.register_function('a', 5)",
            registering("second argument to redis.register_function must be a function"),
        ),
        ("redis.register_function({}, 5)", registering("first argument to redis.register_function must be a string")),
        ("redis.register_function('a b', function() end)", registering(bad_name)),
        ("redis.register_function{1,2}", registering("unknown argument given to redis.register_function")),
        (
            "redis.register_function{callback=function() end}",
            registering("redis.register_function must get a function name argument"),
        ),
        (
            "redis.register_function{function_name='q', callback=function() end, flags={'x'}}",
            registering("unknown flag given"),
        ),
        (
            "redis.register_function('q', function() end) redis.register_function('q', function() end)",
            registering("Function already exists in the library"),
        ),
    ] {
        assert_eq!(load(&mut host, "lib", body), Err(want), "{body}");
        assert_eq!(fcall(&mut host, "f", &[], &[]), ":1\r\n");
    }
    let taken = load(&mut host, "other", "redis.register_function('F', function() end)");
    assert_eq!(taken, Err("ERR Function F already exists".to_owned()));
    let twice = host.load_library(b"#!lua name=lib\nreturn", false, &mut Fake::default());
    assert_eq!(twice, Err(b"ERR Library 'lib' already exists".to_vec()));
}

#[test]
fn the_load_api_stays_where_it_belongs() {
    let mut host = host();
    let body = "local lib = redis
        redis.register_function('f1', function() lib.math = math end)
        redis.register_function('f2', function() lib.register_function('f3', function() end) end)
        redis.register_function('f4', function() redis.register_function('f5', function() end) end)
        redis.register_function('f6', function() getmetatable(_G).__index['redis'] = 1 end)";
    load(&mut host, "lib", body).unwrap();
    let mut answer = |name: &str| fcall(&mut host, name, &[], &[]);
    assert!(answer("f1").contains("Attempt to modify a readonly table"));
    assert!(answer("f2").contains("redis.register_function can only be called on FUNCTION LOAD command"));
    assert!(answer("f4").contains("attempt to call field 'register_function' (a nil value)"));
    assert!(answer("f6").contains("Attempt to modify a readonly table"));
}

#[test]
fn libraries_are_restored_all_or_none() {
    let mut host = host();
    let code = |lib: &str, function: &str, value: u32| {
        format!("#!lua name={lib}\nredis.register_function('{function}', function() return {value} end)").into_bytes()
    };
    let fake = &mut Fake::default();
    host.restore(&[code("a", "f", 1), code("b", "g", 2)], RestorePolicy::Append, fake).unwrap();
    let taken = host.restore(&[code("c", "h", 3), code("a", "f", 9)], RestorePolicy::Append, fake);
    assert_eq!(taken, Err(b"ERR Library a already exists".to_vec()));
    let clash = host.restore(&[code("a", "g", 9)], RestorePolicy::Replace, fake);
    assert_eq!(clash, Err(b"ERR Function g already exists".to_vec()));
    assert_eq!(fcall(&mut host, "f", &[], &[]), ":1\r\n");
    assert_eq!(fcall(&mut host, "h", &[], &[]), "no function");
    host.restore(&[code("a", "f", 9)], RestorePolicy::Replace, fake).unwrap();
    assert_eq!(fcall(&mut host, "f", &[], &[]), ":9\r\n");
    host.restore(&[code("z", "f", 5)], RestorePolicy::Flush, fake).unwrap();
    assert_eq!(fcall(&mut host, "f", &[], &[]), ":5\r\n");
    assert_eq!(host.libraries().len(), 1);
    drop(host.flush_functions());
    assert_eq!(host.board().vm_functions_bytes.load(Ordering::Relaxed), 0);
    assert_eq!(fcall(&mut host, "f", &[], &[]), "no function");
}

#[test]
fn a_script_finds_its_own_keys_and_arguments_whatever_the_last_one_did_with_them() {
    let (mut host, mut fake) = (host(), Fake::default());
    let look = "local seen = {} for k, v in pairs(KEYS) do seen[#seen + 1] = tostring(k) .. '=' .. v end \
                return {#KEYS, #ARGV, KEYS[1], KEYS[2] or 'none', KEYS[3] or 'none', ARGV.x or 'none', \
                        getmetatable(KEYS) and 'meta' or 'plain', table.concat(seen, ' ')}";
    for did in [
        "",
        "KEYS[1] = nil",
        "KEYS[1] = 'other' KEYS[2] = 'more'",
        "KEYS[3] = 'far' ARGV.x = 'field'",
        "KEYS[1.5] = 'between' KEYS[0] = 'before' KEYS[-1] = 'below'",
        "ARGV[KEYS] = KEYS KEYS[true] = ARGV",
        "setmetatable(KEYS, {__index = function() return 'ghost' end})",
        "for i = 1, 1000 do KEYS[i] = i end for i = 1, 1000 do KEYS[i] = nil end",
        "KEYS[2] = 'x' error('failed')",
        "KEYS[2] = 'x' local s = 'x' while true do s = s .. s end",
    ] {
        let many: Vec<Vec<u8>> = (0..100).map(|number: u32| number.to_string().into_bytes()).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        for (last_keys, keys) in [(1, 1), (1, 2), (2, 1), (1, 0), (0, 1), (100, 1), (1, 100)] {
            run(&mut host, &mut fake, did, &many[..last_keys], &[b"a"], false);
            let (got, _) = run(&mut host, &mut fake, look, &many[..keys], &[], false);
            let item = |at: usize, or: &str| many[..keys].get(at).map_or(or.to_owned(), |key| shown(key));
            let pairs: Vec<String> = (0..keys).map(|at| format!("{}={at}", at + 1)).collect();
            let none = shown(b"none");
            let want = format!(
                "*8\r\n:{keys}\r\n:0\r\n{}{}{}{none}{}{}",
                item(0, "$-1\r\n"),
                item(1, &none),
                item(2, &none),
                shown(b"plain"),
                shown(pairs.join(" ").as_bytes()),
            );
            // A list ends before its first nil.
            let want = if keys == 0 { "*2\r\n:0\r\n:0\r\n".to_owned() } else { want };
            assert_eq!(got, want, "after {did:?} with {last_keys} keys");
        }
    }
}

/// A bulk.
fn shown(text: &[u8]) -> String {
    format!("${}\r\n{}\r\n", text.len(), String::from_utf8_lossy(text))
}

#[test]
fn the_room_that_a_script_has_made_in_its_lists_does_not_stay() {
    let (mut host, mut fake) = (host(), Fake::default());
    let board = host.board();
    let used = || board.vm_eval_bytes.load(Ordering::Relaxed);
    run(&mut host, &mut fake, "for i = 1, 1e6 do KEYS[i] = i end for i = 1, 1e6 do KEYS[i] = nil end", &[], &[], false);
    assert!(used() < 1 << 20, "{} bytes", used());
    // What is too little to be worth a collection goes when the lists are made anew.
    run(&mut host, &mut fake, "for i = 1, 1e5 do KEYS[i] = i end for i = 1, 1e5 do KEYS[i] = nil end", &[], &[], false);
    for _ in 0..100 {
        run(&mut host, &mut fake, "return 1", &[], &[], false);
    }
    run(&mut host, &mut fake, "collectgarbage()", &[], &[], false);
    assert!(used() < 80 * 1024, "{} bytes", used());
}

#[test]
fn ten_thousand_scripts_do_not_leak() {
    let (mut host, mut fake) = (host(), Fake::default());
    let board = host.board();
    for number in 0..10_000 {
        run(
            &mut host,
            &mut fake,
            "return redis.call('set', KEYS[1], ARGV[1])",
            &[b"x"],
            &[number.to_string().as_bytes()],
            false,
        );
    }
    let used = || board.vm_eval_bytes.load(Ordering::Relaxed);
    // Garbage is collected when there is much of it beside what is live, and then all of it is.
    assert!(used() < 200 * 1024, "{} bytes", used());
    run(&mut host, &mut fake, "collectgarbage()", &[], &[], false);
    assert!(used() < 80 * 1024, "{} bytes", used());
}

/// The collector begins a round whenever it has ended one, which keeps small heaps small. A heap that grows to much was
/// walked forty times on its way: most of what a script over a big value took. A weak entry tells when a round is over.
#[test]
fn a_heap_that_grows_is_walked_a_few_times() {
    let mut host = Host::new(Limits { memory_bytes: 1 << 30, ..Limits::default() }, [7, 4, 2], 1);
    let by_hand = "kept[i] = 'text ' .. i";
    let by_replies =
        "if i % 4000 == 0 then kept[i] = redis.call('raw', (ARGV[1]:gsub('key', ('%03d'):format(i / 4000)))) end";
    let texts: String = (0..5000).map(|number| format!("$8\r\nkey:{number:04}\r\n")).collect();
    let reply = format!("*5000\r\n{texts}");
    for grow in [by_hand, by_replies] {
        let body = format!(
            "local rounds, kept, seen = 0, {{}}, setmetatable({{{{}}}}, {{__mode = 'v'}})
             for i = 1, 400000 do
                 {grow}
                 if not seen[1] then rounds, seen[1] = rounds + (i > 100000 and 1 or 0), {{}} end
             end
             return rounds"
        );
        let (rounds, _) = run(&mut host, &mut Fake::default(), &body, &[], &[reply.as_bytes()], false);
        let rounds: u32 = rounds.trim_matches([':', '\r', '\n']).parse().expect("a number");
        assert!(rounds < 10, "{rounds} rounds: {grow}");
    }
}

/// A dashboard that watches `used_memory_scripts` sees what scripts keep, not the pace of the collector.
#[test]
fn scripts_that_keep_nothing_never_show_much_memory() {
    let (mut host, mut fake) = (host(), Fake::default());
    let board = host.board();
    let most = (0..5_000).map(|_| {
        run(&mut host, &mut fake, "return redis.call('argc', KEYS[1])", &[b"x"], &[], false);
        board.vm_eval_bytes.load(Ordering::Relaxed)
    });
    let most = most.max().expect("they have run");
    assert!(most < 100 * 1024, "{most} bytes");
}
