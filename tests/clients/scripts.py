"""Clients of other languages: each script lists its tests and runs the one it is told to."""

import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.environ.get("NODE_MODULES", os.path.join(HERE, "node_modules"))
RUN_BY = {"ioredis.js": "node", "node_redis.js": "node", "bullmq.js": "node", "php_site.php": "php"}


def run(script, *arguments):
    """Runs a script; its output, with its errors when it fails."""
    environment = {**os.environ, "NODE_PATH": MODULES}
    command = [RUN_BY[script], os.path.join(HERE, script), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode()


def tested(script, name):
    return lambda server: run(script, str(server.port), name)


TESTS = [
    (f"{script}: {name}", tested(script, name))
    for script in RUN_BY
    for name in run(script, "--list").splitlines()
]
