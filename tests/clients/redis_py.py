"""redis-py as applications use it: both parsers, both protocols, over TCP and over the Unix socket."""

import threading
import time

import redis
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser
from redis.cache import CacheConfig

from harness import equal, raises

PARSERS = [
    ("hiredis, RESP2", 2, _HiredisParser),
    ("hiredis, RESP3", 3, _HiredisParser),
    ("python, RESP2", 2, _RESP2Parser),
    ("python, RESP3", 3, _RESP3Parser),
]


def client(server, protocol=2, parser=_HiredisParser, **named):
    pool = redis.ConnectionPool(host="127.0.0.1", port=server.port, protocol=protocol, parser_class=parser, **named)
    return redis.Redis(connection_pool=pool)


def keeps_strings(r):
    equal(r.set("page:/", "<html>", ex=300), True)
    equal(r.get("page:/"), b"<html>")
    assert 290 < r.ttl("page:/") <= 300
    equal(r.set("page:/", "new", nx=True), None)
    equal(r.set("page:/", "new", xx=True, get=True), b"<html>")
    equal(r.getdel("page:/"), b"new")
    equal(r.get("page:/"), None)
    equal(r.incr("visits", 5), 5)
    equal(r.incrbyfloat("ratio", 0.5), 0.5)
    equal(r.mset({"a": 1, "b": 2}), True)
    equal(r.mget("a", "gone", "b"), [b"1", None, b"2"])
    equal(r.append("a", "x"), 2)
    raises(redis.ResponseError, r.incr, "a")
    big = bytes(range(256)) * 8192
    r.set("big", big)
    equal(r.get("big"), big)
    equal(r.exists("a", "b", "gone"), 2)
    equal(r.delete("a", "b", "gone"), 2)


def keeps_collections(r):
    equal(r.hset("user:1", mapping={"name": "anna", "age": 30}), 2)
    equal(r.hgetall("user:1"), {b"name": b"anna", b"age": b"30"})
    equal(r.rpush("queue", 1, 2, 3), 3)
    equal(r.lrange("queue", 0, -1), [b"1", b"2", b"3"])
    equal(tuple(r.blpop("queue", timeout=1)), (b"queue", b"1"))
    equal(r.sadd("tags", "a", "b"), 2)
    equal(r.smembers("tags"), {b"a", b"b"})
    equal(r.zadd("board", {"anna": 10, "bert": 7.5}), 2)
    equal([tuple(pair) for pair in r.zrange("board", 0, -1, withscores=True)], [(b"bert", 7.5), (b"anna", 10.0)])
    equal(r.zscore("board", "bert"), 7.5)
    raises(redis.ResponseError, r.lpush, "board", "x")


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set(f"k{number}", number).get(f"k{number}")
        replies = pipe.execute()
    equal(replies[1::2], [str(number).encode() for number in range(1000)])


def keeps_transactions(r):
    r.set("stock", 10)
    with r.pipeline() as pipe:
        pipe.watch("stock")
        left = int(pipe.get("stock"))
        pipe.multi()
        pipe.set("stock", left - 1).incr("sold")
        equal(pipe.execute(), [True, 1])
    with r.pipeline() as pipe:
        pipe.watch("stock")
        r.set("stock", 0)
        pipe.multi()
        pipe.set("stock", 100)
        raises(redis.WatchError, pipe.execute)
    equal(r.get("stock"), b"0")


def publishes(r):
    listener = r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("news")
    listener.psubscribe("chat:*")
    for _ in range(2):
        listener.get_message(timeout=5)
    equal(r.publish("news", "hello"), 1)
    equal(r.publish("chat:1", "hi"), 1)
    got = []
    deadline = time.monotonic() + 10
    while len(got) < 2 and time.monotonic() < deadline:
        message = listener.get_message(timeout=1)
        if message:
            got.append((message["type"], message["channel"], message["data"]))
    equal(got, [("message", b"news", b"hello"), ("pmessage", b"chat:1", b"hi")])
    listener.close()


def scans(r):
    r.mset({f"item:{number}": number for number in range(500)})
    r.set("other", 1)
    equal(len(set(r.scan_iter(match="item:*", count=50))), 500)
    equal(r.dbsize(), 501)
    assert r.randomkey() is not None
    equal(sorted(r.keys("item:49?")), [f"item:49{digit}".encode() for digit in range(10)])


def answers_about_itself(r):
    equal(r.ping(), True)
    equal(r.echo("hi"), b"hi")
    equal(r.client_setname("worker"), True)
    equal(r.client_getname() in (b"worker", "worker"), True)
    assert any(entry["name"] == "worker" for entry in r.client_list())
    assert r.info()["redis_version"].startswith("7.")
    equal(r.config_set("maxmemory", "100mb"), True)
    equal(r.config_get("maxmemory"), {"maxmemory": "104857600"})
    r.config_set("maxmemory", 0)
    assert isinstance(r.time()[0], int)
    assert "get" in r.command()
    assert r.memory_usage("gone") is None
    equal(r.slowlog_len() >= 0, True)


BEHAVIOURS = [keeps_strings, keeps_collections, pipelines, keeps_transactions, publishes, scans, answers_about_itself]


def tested(behaviour, protocol, parser):
    return lambda server: behaviour(client(server, protocol, parser))


TESTS = [
    (f"{behaviour.__name__} ({label})", tested(behaviour, protocol, parser))
    for label, protocol, parser in PARSERS
    for behaviour in BEHAVIOURS
]


def test_the_unix_socket_serves_as_well(server):
    r = redis.Redis(unix_socket_path=server.unix_socket)
    equal(r.set("a", 1), True)
    equal(r.get("a"), b"1")


def test_a_url_selects_a_database(server):
    r = redis.Redis.from_url(f"redis://127.0.0.1:{server.port}/3", decode_responses=True)
    r.set("a", "in three")
    equal(r.get("a"), "in three")
    equal(client(server).get("a"), None)
    equal(client(server).info("keyspace")["db3"]["keys"], 1)


def test_a_worker_waits_for_a_job(server):
    r = client(server)
    got = []
    worker = threading.Thread(target=lambda: got.append(tuple(client(server).blpop(["jobs", "later"], timeout=20))))
    worker.start()
    while r.info("clients")["blocked_clients"] == 0:
        time.sleep(0.005)
    r.rpush("jobs", "first")
    worker.join(30)
    equal(got, [(b"jobs", b"first")])


def test_an_event_log_is_read_by_a_group(server):
    r = client(server)
    for number in range(10):
        r.xadd("events", {"n": number})
    r.xgroup_create("events", "workers", id="0")
    batch = r.xreadgroup("workers", "one", {"events": ">"}, count=4)
    [[name, entries]] = batch if isinstance(batch, list) else [[key, value[0]] for key, value in batch.items()]
    equal(name, b"events")
    equal(len(entries), 4)
    equal(r.xack("events", "workers", *[entry[0] for entry in entries]), 4)
    equal(r.xpending("events", "workers")["pending"], 0)
    equal(r.xlen("events"), 10)


def test_a_client_side_cache_follows_changes(server):
    plain = client(server)
    cached = redis.Redis(host="127.0.0.1", port=server.port, protocol=3, cache_config=CacheConfig())

    def follows(read, expected):
        deadline = time.monotonic() + 10
        while read() != expected:
            assert time.monotonic() < deadline, f"{read()!r} is not {expected!r}"

    plain.set("page", "old")
    equal(cached.get("page"), b"old")
    equal(cached.get_cache().size, 1)
    gets = plain.info("commandstats")["cmdstat_get"]["calls"]
    equal(cached.get("page"), b"old")
    equal(plain.info("commandstats")["cmdstat_get"]["calls"], gets)
    plain.set("page", "new")
    follows(lambda: cached.get("page"), b"new")
    plain.hset("user", "name", "anna")
    equal(cached.hget("user", "name"), b"anna")
    plain.delete("user")
    follows(lambda: cached.hget("user", "name"), None)
    cached.mget("page", "other")
    plain.flushall()
    follows(lambda: cached.get("page"), None)
    plain.set("short", "lived", px=50)
    cached.get("short")
    follows(lambda: cached.get("short"), None)


def test_a_rate_limiter_runs_as_a_script(server):
    r = client(server)
    limiter = r.register_script(
        "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end "
        "if n > tonumber(ARGV[2]) then return 0 end return 1"
    )
    equal([limiter(keys=["ip:1"], args=[60, 3]) for _ in range(5)], [1, 1, 1, 0, 0])
    assert 0 < r.ttl("ip:1") <= 60


def test_a_lock_is_held_by_one(server):
    r = client(server)
    with r.lock("report", timeout=30) as lock:
        assert lock.owned()
        equal(r.lock("report", timeout=30).acquire(blocking=False), False)
        equal(lock.extend(10), True)
    equal(r.exists("report"), 0)


def test_many_threads_count_exactly(server):
    r = client(server)

    def count():
        for _ in range(500):
            r.incr("total")

    threads = [threading.Thread(target=count) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    equal(r.get("total"), b"4000")


def test_a_wrong_password_is_refused(server):
    r = client(server)
    r.config_set("requirepass", "secret")
    try:
        raises(redis.AuthenticationError, client(server).ping)
        raises(redis.AuthenticationError, client(server, password="wrong").ping)
        equal(client(server, password="secret").ping(), True)
        equal(client(server, protocol=3, username="default", password="secret").ping(), True)
    finally:
        r.config_set("requirepass", "")
