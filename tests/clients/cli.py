"""redis-cli and redis-benchmark as operators type them."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from harness import Server, equal


def test_config_get_and_set(server):
    equal(server.cli("config", "get", "maxmemory"), "maxmemory\n0\n")
    equal(server.cli("config", "set", "maxmemory", "100mb"), "OK\n")
    equal(server.cli("config", "get", "maxmemory"), "maxmemory\n104857600\n")
    equal(server.cli("config", "set", "maxmemory", "1g"), "OK\n")
    equal(server.cli("config", "get", "maxmemory"), "maxmemory\n1000000000\n")
    equal(server.cli("config", "set", "maxmemory", "0"), "OK\n")
    assert "hz" in server.cli("config", "get", "*")


def test_keys_and_info(server):
    server.cli("mset", "a", "1", "b", "2")
    equal(sorted(server.cli("keys", "*").split()), ["a", "b"])
    info = server.cli("info")
    for section in ("Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Keyspace"):
        assert f"# {section}\r\n" in info.replace("\n", "\r\n").replace("\r\r", "\r"), section
    assert "db0:keys=2,expires=0" in info
    assert re.search(r"^used_memory:\d+", info, re.M)


def test_formats(server):
    server.cli("rpush", "l", "a", "b")
    equal(server.cli("--csv", "lrange", "l", "0", "-1"), '"a","b"\n')
    equal(server.cli("--json", "lrange", "l", "0", "-1"), '["a","b"]\n')
    equal(server.cli("--no-raw", "lrange", "l", "0", "-1"), '1) "a"\n2) "b"\n')
    server.cli("hset", "h", "f", "v")
    equal(server.cli("-3", "--no-raw", "hgetall", "h"), '1# "f" => "v"\n')
    equal(server.cli("-3", "--json", "hgetall", "h"), '{"f":"v"}\n')
    equal(server.cli("-x", "set", "from-stdin", stdin=b"some\nbytes"), "OK\n")
    equal(server.cli("-n", "3", "set", "a", "1"), "OK\n")
    equal(server.cli("-n", "3", "dbsize"), "1\n")
    equal(server.cli("-r", "3", "incr", "counter"), "1\n2\n3\n")


def test_a_script_of_commands(server):
    equal(server.cli(stdin=b"set a 1\nincr a\nget a\nnosuch\n"),
          "OK\n2\n2\nERR unknown command 'nosuch', with args beginning with: \n\n")


def test_eval_of_a_file(server):
    path = os.path.join(server.home, "script.lua")
    with open(path, "w", encoding="utf-8") as script:
        script.write("return {KEYS[1], ARGV[1], redis.call('SET', KEYS[1], ARGV[1])}")
    equal(server.cli("--eval", path, "key", ",", "value"), "key\nvalue\nOK\n")


def populated(server):
    server.cli(stdin=b"".join(b"set key:%d %s\n" % (number, b"x" * (1 + number % 50)) for number in range(300)))
    server.cli("set", "huge", "x" * 5000)
    server.cli("rpush", "list", *"abc")
    server.cli("hset", "hash", "f", "v", "g", "w")
    server.cli("zadd", "zset", "1", "a")
    server.cli("sadd", "set", "a", "b")


def test_bigkeys(server):
    populated(server)
    report = server.cli("--bigkeys")
    assert "Sampled 305 keys in the keyspace!" in report, report
    assert re.search(r"Biggest string found .*huge.* has 5000 bytes", report), report
    assert re.search(r"Biggest +list found .*list.* has 3 items", report), report


def test_memkeys(server):
    populated(server)
    report = server.cli("--memkeys")
    assert "Sampled 305 keys in the keyspace!" in report, report
    assert re.search(r"Biggest string found .*huge.* has \d+ bytes", report), report


def test_hotkeys(server):
    populated(server)
    server.cli("config", "set", "maxmemory-policy", "allkeys-lfu")
    try:
        server.cli("-r", "300", "get", "key:7")
        report = server.cli("--hotkeys")
        assert "Sampled 305 keys in the keyspace!" in report, report
        assert re.search(r"hot key found with counter: \d+\tkeyname: \"?key:7", report), report
    finally:
        server.cli("config", "set", "maxmemory-policy", "noeviction")


def test_scan(server):
    populated(server)
    equal(len(server.cli("--scan").split()), 305)
    equal(len(server.cli("--scan", "--pattern", "key:1?").split()), 10)


def test_stat(server):
    lines = follow(["redis-cli", "-p", str(server.port), "--stat", "-i", "0.1"], 4)
    assert "keys" in lines[1] and "mem" in lines[1], lines
    assert re.match(r"\d+ +\d", lines[2]), lines


def test_latency(server):
    report = server.cli("--latency", "-i", "1", "--csv")
    assert len(report.strip().split(",")) >= 3, report
    history = follow(["redis-cli", "-p", str(server.port), "--latency-history", "-i", "1", "--raw"], 1)
    assert history, history


def test_intrinsic_tools_of_memory(server):
    server.cli("set", "a", "value")
    assert int(server.cli("memory", "usage", "a")) > 0
    assert "peak.allocated" in server.cli("memory", "stats")
    assert server.cli("memory", "doctor")


def test_pipe(server):
    def request(*words):
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    stream = b"".join(request(b"SET", b"k%d" % number, b"v%d" % number) for number in range(20_000))
    report = server.cli("--pipe", stdin=stream + request(b"INCR", b"k1"), status=1)
    assert "errors: 1, replies: 20001" in report, report
    equal(server.cli("dbsize"), "20000\n")
    equal(server.cli("--pipe", stdin=b"SET inline 1\r\n").count("errors: 0, replies: 1"), 1)


def test_monitor(server):
    watcher = subprocess.Popen(["redis-cli", "-p", str(server.port), "monitor"], stdout=subprocess.PIPE)
    try:
        equal(watcher.stdout.readline(), b"OK\n")
        server.cli("set", "a", 'with "quotes"')
        line = next(line for line in watcher.stdout if b'"set"' in line)
        assert re.match(rb'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "set" "a" "with \\"quotes\\""', line), line
    finally:
        watcher.kill()
        watcher.wait()


def test_subscribe(server):
    listener = subprocess.Popen(["redis-cli", "-p", str(server.port), "subscribe", "news"], stdout=subprocess.PIPE)
    try:
        equal([listener.stdout.readline() for _ in range(3)], [b"subscribe\n", b"news\n", b"1\n"])
        equal(server.cli("publish", "news", "hello"), "1\n")
        equal([listener.stdout.readline() for _ in range(3)], [b"message\n", b"news\n", b"hello\n"])
    finally:
        listener.kill()
        listener.wait()


def test_a_password(server):
    guarded = Server("--requirepass", "secret")
    try:
        equal(guarded.cli("ping"), "NOAUTH Authentication required.\n\n")
        equal(guarded.cli("-a", "secret", "--no-auth-warning", "ping"), "PONG\n")
        equal(guarded.cli("--user", "default", "--pass", "secret", "--no-auth-warning", "ping"), "PONG\n")
        equal(guarded.cli("-u", f"redis://default:secret@127.0.0.1:{guarded.port}", "--no-auth-warning", "ping"), "PONG\n")
    finally:
        guarded.stop()


def test_an_interactive_session(server):
    """Typed at a terminal: prompts, hints and help come from COMMAND DOCS."""
    shown = typed_at_a_terminal(server, [
        ("set greeting hello", b"OK"),
        ("get greeting", b'"hello"'),
        ("select 2", b"[2]>"),
        ("multi", b"(TX)>"),
        ("incr a", b"QUEUED"),
        ("exec", b"(integer) 1"),
        ("hello 3", b'"proto"'),
        ("help set", b"key value [NX|XX"),
    ])
    assert b"127.0.0.1:%d>" % server.port in shown, shown


def test_redis_benchmark(server):
    for depth in ("1", "16"):
        command = ["redis-benchmark", "-p", str(server.port), "-t", "ping,set,get,incr,mset", "-n", "5000", "-P", depth, "-q"]
        done = subprocess.run(command, capture_output=True, timeout=300)
        report = done.stdout.decode().replace("\r", "\n")
        equal(done.returncode, 0)
        for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"):
            assert re.search(rf"^{re.escape(name)}: [\d.]+ requests per second", report, re.M), report
    assert int(server.cli("get", "counter:__rand_int__")) >= 10000


def test_redis_benchmark_with_random_keys_and_csv(server):
    command = ["redis-benchmark", "-p", str(server.port), "-r", "1000", "-n", "5000", "-P", "8", "--csv", "-t", "set,lpush,sadd"]
    done = subprocess.run(command, capture_output=True, timeout=300)
    equal(done.returncode, 0)
    equal([line.split(",")[0] for line in done.stdout.decode().splitlines()[1:]], ['"SET"', '"LPUSH"', '"SADD"'])


def follow(command, count):
    """The first lines of a program that does not end by itself."""
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        return [program.stdout.readline().decode() for _ in range(count)]
    finally:
        program.kill()
        program.wait()


def typed_at_a_terminal(server, dialogue):
    """Types lines into redis-cli on a pseudo-terminal and waits for each answer; everything shown."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        os.environ["REDISCLI_HISTFILE"] = "/dev/null"
        os.execvp("redis-cli", ["redis-cli", "-p", str(server.port)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    shown = b""
    # The whole prompt: what is typed before it is there gets lost, and "> " alone is in many a reply.
    prompt = rb":%d(\[\d+\])?(\(TX\))?> " % server.port

    def until(pattern, start):
        nonlocal shown
        deadline = time.monotonic() + 20
        while not re.search(pattern, shown[start:]):
            assert time.monotonic() < deadline, f"{pattern!r} did not appear in {shown[start:]!r}"
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536)

    try:
        until(prompt, 0)
        for line, answer in dialogue:
            start = len(shown)
            os.write(terminal, line.encode() + b"\r")
            until(b"\r\n", start)
            start = shown.index(b"\r\n", start)
            until(re.escape(answer), start)
            until(prompt, start)
        return shown
    finally:
        os.write(terminal, b"quit\r")
        os.close(terminal)
        os.waitpid(process, 0)
