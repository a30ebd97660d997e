"""Sidekiq as a Rails site runs it: one process takes jobs off lists and sorted sets, another puts them there."""

import json
import os
import subprocess
import time

import redis

from harness import equal

HERE = os.path.dirname(os.path.abspath(__file__))
JOBS = os.path.join(HERE, "sidekiq_jobs.rb")


def environment(server):
    return {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{server.port}/0"}


def ruby(server, script):
    """Runs a script that knows the jobs; what it prints."""
    command = ["ruby", "-r", "sidekiq/api", "-r", JOBS, "-e", script]
    done = subprocess.run(command, capture_output=True, timeout=60, env=environment(server))
    assert done.returncode == 0, f"{script}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode().strip()


class Process:
    """A running `sidekiq`."""

    def __init__(self, server, threads=5):
        self.log = os.path.join(server.home, "sidekiq.log")
        command = ["sidekiq", "-r", JOBS, "-c", str(threads), "-t", "1"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, env=environment(server), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=60)

    def until(self, holds):
        """Waits until something holds."""
        deadline = time.monotonic() + 60
        while not holds():
            assert self.process.poll() is None and time.monotonic() < deadline, open(self.log, encoding="utf-8").read()
            time.sleep(0.02)


def test_jobs_run_once_and_late_ones_when_their_time_has_come(server):
    r = redis.Redis(port=server.port, decode_responses=True)
    ruby(server, "50.times { |number| Add.perform_async(number) }; Add.perform_in(0.5, 1000)")
    ruby(server, "Sidekiq::Client.push_bulk('class' => Add, 'args' => (1..200).map { |_| [1] })")
    equal(ruby(server, "puts Sidekiq::Queue.new.size, Sidekiq::ScheduledSet.new.size").split(), ["250", "1"])
    with Process(server) as sidekiq:
        sidekiq.until(lambda: r.get("ran") == "251")
        sidekiq.until(lambda: r.get("stat:processed") == "251")
    equal(r.get("sum"), str(sum(range(50)) + 1000 + 200))
    equal(ruby(server, "puts Sidekiq::Queue.new.size, Sidekiq::ScheduledSet.new.size").split(), ["0", "0"])


def test_a_failed_job_is_tried_again_and_a_hopeless_one_is_laid_aside(server):
    r = redis.Redis(port=server.port, decode_responses=True)
    ruby(server, "Shaky.perform_async; Hopeless.perform_async")
    with Process(server) as sidekiq:
        sidekiq.until(lambda: r.get("ran") == "1" and r.zcard("dead") == 1)
        sidekiq.until(lambda: r.get("stat:failed") == "2")
    equal(r.get("tries"), "2")
    equal(ruby(server, "puts Sidekiq::DeadSet.new.first.klass, Sidekiq::RetrySet.new.size").split(), ["Hopeless", "0"])


def test_a_job_that_the_end_of_the_process_stops_goes_back_to_its_queue(server):
    r = redis.Redis(port=server.port, decode_responses=True)
    ruby(server, "Slow.perform_async")
    # With one thread, as another would still wait for a job and take it along to its end.
    with Process(server, threads=1) as sidekiq:
        sidekiq.until(lambda: r.get("slow") == "began")
        equal(ruby(server, "puts Sidekiq::Queue.new.size"), "0")
    (job,) = r.lrange("queue:default", 0, -1)
    equal(json.loads(job)["class"], "Slow")
