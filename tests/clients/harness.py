"""A server for client tests, and a runner that needs nothing but Python.

A test is a function whose name starts with `test_` and which takes the server; its name is a sentence. Every test finds
an empty keyspace. The last line counts: 'N passed, N failed'.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

LARDER = os.environ.get("LARDER_BIN", "")


class Server:
    """A running server on a free port and a Unix socket, in a directory of its own."""

    def __init__(self, *arguments):
        self.home = tempfile.mkdtemp(prefix="larder-clients-")
        self.unix_socket = os.path.join(self.home, "socket")
        self.log = os.path.join(self.home, "log")
        self.port = free_port()
        command = [LARDER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.home]
        command += ["--unixsocket", self.unix_socket, *arguments]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if self.typed("PING").startswith((b"+PONG", b"-NOAUTH")):
                    return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"the server did not start:\n{self.tail()}")

    def typed(self, line):
        """Sends an inline command and returns the first bytes of the reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(line.encode() + b"\r\n")
            return connection.recv(65536)

    def cli(self, *arguments, stdin=None, timeout=60, status=0):
        """Runs redis-cli against the server; its output."""
        command = ["redis-cli", "-p", str(self.port), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout)
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.decode("utf-8", "replace")

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raises(kind, call, *arguments, **named):
    """The error that a call must raise."""
    try:
        result = call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, got {result!r}")


def equal(got, expected):
    assert got == expected, f"expected {expected!r}, got {got!r}"


def run(modules):
    """Runs the tests of all modules; the process ends with 1 when one failed."""
    passed, failed = 0, []
    for module in modules:
        server = Server(*getattr(module, "ARGUMENTS", ()))
        try:
            for name, test in tests_of(module):
                server.typed("FLUSHALL")
                label = f"{module.__name__}: {name}"
                try:
                    test(server)
                    passed += 1
                    print(f"ok      {label}", flush=True)
                except Exception:
                    failed.append(label)
                    print(f"FAILED  {label}\n{traceback.format_exc()}", flush=True)
                    if server.process.poll() is not None:
                        print(f"the server has ended:\n{server.tail()}")
                        server.stop()
                        server = Server(*getattr(module, "ARGUMENTS", ()))
        finally:
            server.stop()
    for label in failed:
        print(f"FAILED  {label}")
    print(f"clients: {passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


def tests_of(module):
    """Name and function of each test, in the order of the file; a module may add its own list TESTS."""
    own = [(name, test) for name, test in vars(module).items() if name.startswith("test_") and callable(test)]
    return [*getattr(module, "TESTS", []), *own]
