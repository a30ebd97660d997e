"""A cache of build artifacts for a whole company, with redis-py: some users may push, others only pull, and the operator
sees who tried what."""

import hashlib
import os
import tempfile

import redis

from harness import Server, equal, raises

USERS = """\
user default off
user admin on >admin-pw ~* &* +@all
user ci on >ci-pw ~artifact:* &artifact:* +@read +@write +@pubsub +@connection +@transaction -@dangerous
user laptop on >laptop-pw %R~artifact:* &artifact:* +@read +subscribe +@connection -@dangerous
user tools on >tools-pw (%R~artifact:* +@read +@connection) (~tools:* +@read +@write -@dangerous)
"""


class Cache:
    """An artifact and its index entry, as one of them would write it."""

    def __init__(self, server, user, password=None, protocol=2):
        self.redis = redis.Redis(
            host="127.0.0.1",
            port=server.port,
            username=user,
            password=password or f"{user}-pw",
            protocol=protocol,
            decode_responses=False,
        )

    def push(self, name, content):
        digest = hashlib.sha256(content).hexdigest()
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.set(f"artifact:blob:{digest}", content, ex=3600)
            pipe.hset("artifact:index", name, digest)
            pipe.publish("artifact:pushed", name)
            pipe.execute()
        return digest

    def pull(self, name):
        digest = self.redis.hget("artifact:index", name)
        return digest and self.redis.get(b"artifact:blob:" + digest)


class ServerWithUsers(Server):
    """A server whose users stand in a file."""

    def __init__(self, text):
        self.users = tempfile.NamedTemporaryFile("w", suffix=".acl", delete=False)
        self.users.write(text)
        self.users.flush()
        super().__init__("--aclfile", self.users.name)

    def stop(self):
        super().stop()
        os.unlink(self.users.name)


def test_some_push_and_others_only_pull(_server):
    server = ServerWithUsers(USERS)
    try:
        for protocol in (2, 3):
            ci, laptop = Cache(server, "ci", protocol=protocol), Cache(server, "laptop", protocol=protocol)
            blob = os.urandom(200_000)
            ci.push("app.tar", blob)
            equal(laptop.pull("app.tar"), blob)
            equal(Cache(server, "tools", protocol=protocol).pull("app.tar"), blob)
            error = raises(redis.exceptions.NoPermissionError, laptop.push, "app.tar", b"evil")
            assert "Command # 1" in str(error) or "permissions" in str(error), error
            equal(laptop.pull("app.tar"), blob)
            raises(redis.exceptions.NoPermissionError, laptop.redis.delete, "artifact:index")
            raises(redis.exceptions.NoPermissionError, ci.redis.get, "payroll")
            raises(redis.exceptions.NoPermissionError, ci.redis.flushall)
            raises(redis.exceptions.NoPermissionError, ci.redis.config_get, "*")
        raises(redis.exceptions.AuthenticationError, Cache(server, "laptop", "guess").redis.ping)
        raises(redis.exceptions.AuthenticationError, redis.Redis(host="127.0.0.1", port=server.port).ping)
    finally:
        server.stop()


def test_listeners_hear_of_new_artifacts_until_they_may_not(_server):
    server = ServerWithUsers(USERS)
    try:
        ci, laptop, admin = Cache(server, "ci"), Cache(server, "laptop"), Cache(server, "admin").redis
        listener = laptop.redis.pubsub()
        listener.subscribe("artifact:pushed")
        equal(listener.get_message(timeout=5)["type"], "subscribe")
        ci.push("lib.so", b"1")
        equal(listener.get_message(timeout=5)["data"], b"lib.so")
        raises(redis.exceptions.NoPermissionError, laptop.redis.publish, "artifact:pushed", "fake")
        admin.acl_setuser("laptop", channels=[], reset_channels=True)
        raises(redis.exceptions.ConnectionError, listener.connection.read_response)
        equal(admin.pubsub_numsub("artifact:pushed"), [(b"artifact:pushed", 0)])
    finally:
        server.stop()


def test_the_operator_manages_users_and_reads_the_log(_server):
    server = ServerWithUsers(USERS)
    try:
        admin = Cache(server, "admin").redis
        equal(sorted(admin.acl_users()), ["admin", "ci", "default", "laptop", "tools"])
        equal(admin.acl_whoami(), "admin")
        assert "read" in admin.acl_cat() and "get" in admin.acl_cat("read")
        created = admin.acl_setuser(
            "guest", enabled=True, nopass=True, categories=["+@read", "+@connection"], commands=["-keys"], keys=["artifact:public:*"], reset=True
        )
        equal(created, True)
        guest = admin.acl_getuser("guest")
        equal(guest["flags"][:2], ["on", "nopass"])
        equal(guest["categories"], ["-@all", "+@read", "+@connection"])
        equal(guest["commands"], ["-keys"])
        equal(guest["keys"], "~artifact:public:*" if isinstance(guest["keys"], str) else ["~artifact:public:*"])
        admin.acl_log_reset()
        snoop = Cache(server, "guest", "any").redis
        raises(redis.exceptions.NoPermissionError, snoop.get, "artifact:private:1")
        raises(redis.exceptions.NoPermissionError, snoop.get, "artifact:private:1")
        raises(redis.exceptions.NoPermissionError, snoop.keys)
        log = admin.acl_log()
        entries = [(entry["reason"], entry["object"], entry["count"]) for entry in log]
        equal(entries, [("command", "keys", 1), ("key", "artifact:private:1", 2)])
        equal(log[0]["client-info"]["user"], "guest")
        equal(admin.info("stats")["acl_access_denied_key"], 2)
        equal(admin.acl_save(), True)
        equal(admin.acl_deluser("guest"), 1)
        raises(redis.exceptions.RedisError, snoop.ping)
        equal(admin.acl_load(), True)
        assert admin.acl_getuser("guest"), "it was saved"
        equal(admin.execute_command("ACL DRYRUN", "guest", "GET", "artifact:public:1"), b"OK")
    finally:
        server.stop()
