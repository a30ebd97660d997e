"""A Django site's day: the backend Django ships and django-redis, both as they are configured in the field."""

import time

import django
from django.conf import settings

from harness import equal, raises

settings.configure(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"},
        "extra": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/1",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        },
        "compressed": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/2",
            "OPTIONS": {"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"},
        },
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    USE_TZ=True,
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402 (settings come first)
from django.core.cache import caches  # noqa: E402


def opened(server, name):
    """The cache with that name, pointed at the server."""
    for alias, database in (("default", 0), ("extra", 1), ("compressed", 2)):
        settings.CACHES[alias]["LOCATION"] = f"redis://127.0.0.1:{server.port}/{database}"
    caches.settings = caches.configure_settings(settings.CACHES)
    for alias in settings.CACHES:
        if hasattr(caches._connections, alias):
            delattr(caches._connections, alias)
    return caches[name]


def sets_and_gets(cache):
    for value in ["text", b"bytes", 42, 1.5, None, True, ["list", {"of": "things"}], "ü" * 10_000]:
        cache.set("key", value)
        equal(cache.get("key", "default"), value)
    equal(cache.get("gone"), None)
    equal(cache.get("gone", "default"), "default")


def keeps_timeouts(cache):
    cache.set("minute", 1, 60)
    cache.set("forever", 1, None)
    cache.set("never", 1, 0)
    cache.set("past", 1, -1)
    cache.set("brief", 1, 1)
    equal([cache.get(key) for key in ("minute", "forever", "never", "past")], [1, 1, None, None])
    deadline = time.monotonic() + 10
    while cache.get("brief") is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    equal(cache.get("brief"), None)
    equal(cache.touch("minute", 600), True)
    equal(cache.touch("minute", None), True)
    equal(cache.touch("gone", 10), False)
    equal(cache.touch("minute", 0), True)
    equal(cache.get("minute"), None)


def adds_once(cache):
    equal(cache.add("lock", "one", 30), True)
    equal(cache.add("lock", "two", 30), False)
    equal(cache.get("lock"), "one")
    equal(cache.get_or_set("page", lambda: "built", 30), "built")
    equal(cache.get_or_set("page", "other", 30), "built")


def counts(cache):
    cache.set("visits", 1)
    equal(cache.incr("visits"), 2)
    equal(cache.incr("visits", 40), 42)
    equal(cache.decr("visits", 2), 40)
    equal(cache.get("visits"), 40)
    raises(ValueError, cache.incr, "gone")


def works_on_many(cache):
    equal(cache.set_many({f"k{number}": number for number in range(100)}, 60) or [], [])
    equal(cache.get_many(["k1", "k99", "gone"]), {"k1": 1, "k99": 99})
    cache.delete_many(["k1", "k2"])
    equal(cache.get_many(["k1", "k2", "k3"]), {"k3": 3})
    cache.set_many({"a": 1, "b": 2}, None)
    equal(cache.delete("a"), True)
    equal(cache.delete("a"), False)
    equal("b" in cache, True)
    equal(cache.has_key("a"), False)


def clears(cache):
    cache.set("a", 1)
    cache.clear()
    equal(cache.get("a"), None)


def keeps_versions(cache):
    cache.set("page", "old", version=1)
    cache.set("page", "new", version=2)
    equal(cache.get("page"), "old")
    equal(cache.get("page", version=2), "new")
    equal(cache.incr_version("page", version=2), 3)
    equal(cache.get("page", version=3), "new")
    equal(cache.get("page", version=2), None)
    equal(cache.decr_version("page", version=3), 2)
    equal(cache.get_many(["page"], version=2), {"page": "new"})


def keeps_a_session(_cache):
    session = SessionStore()
    session["user"] = 7
    session.set_expiry(300)
    session.save()
    again = SessionStore(session_key=session.session_key)
    equal(again["user"], 7)
    again.flush()
    equal(SessionStore(session_key=session.session_key).get("user"), None)


DAY = [sets_and_gets, keeps_timeouts, adds_once, counts, works_on_many, clears, keeps_versions, keeps_a_session]


def tested(behaviour, name):
    return lambda server: behaviour(opened(server, name))


TESTS = [(f"{work.__name__} ({name})", tested(work, name)) for name in ("default", "extra", "compressed") for work in DAY]


def test_what_only_django_redis_has(server):
    cache = opened(server, "extra")
    cache.set("foo_1", 1, timeout=100)
    cache.set("foo_2", 2, timeout=None)
    assert 90 < cache.ttl("foo_1") <= 100
    equal(cache.ttl("foo_2"), None)
    equal(cache.ttl("gone"), 0)
    equal(cache.persist("foo_1"), True)
    equal(cache.expire("foo_1", timeout=50), True)
    equal(sorted(cache.keys("foo_*")), ["foo_1", "foo_2"])
    equal(sorted(cache.iter_keys("foo_*")), ["foo_1", "foo_2"])
    equal(cache.set("foo_1", 3, nx=True) or False, False)
    equal(cache.delete_pattern("foo_*"), 2)


def test_a_lock_of_django_redis(server):
    cache = opened(server, "extra")
    with cache.lock("report", timeout=10):
        equal(cache.lock("report", timeout=10).acquire(blocking=False), False)
    equal(cache.lock("report", timeout=10).acquire(blocking=False), True)
