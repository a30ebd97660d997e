"""Job queues and a rate limiter that live on scripts: celery, rq, and a limiter as one writes it."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import redis
from celery import Celery
from rq import Queue, SimpleWorker
from rq.job import Job

from harness import equal


def url(server, db=0):
    return f"redis://127.0.0.1:{server.port}/{db}"


APP = """
    import os
    from celery import Celery
    app = Celery("larder", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
    app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)

    @app.task(name="add")
    def add(a, b):
        return a + b

    @app.task(name="fail", bind=True, max_retries=1)
    def fail(self):
        raise self.retry(countdown=0) if self.request.retries == 0 else ValueError("twice")
"""


def test_celery_runs_tasks_and_keeps_results(server):
    with open(os.path.join(server.home, "larder_tasks.py"), "w", encoding="utf-8") as file:
        file.write(textwrap.dedent(APP))
    environment = {**os.environ, "BROKER": url(server), "BACKEND": url(server, 1), "PYTHONPATH": server.home}
    command = [sys.executable, "-m", "celery", "-A", "larder_tasks", "worker", "--pool", "solo", "--loglevel", "WARNING"]
    log = os.path.join(server.home, "celery.log")
    with open(log, "wb") as output:
        worker = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        app = Celery("larder", broker=url(server), backend=url(server, 1))
        results = [app.send_task("add", (number, 1)) for number in range(20)]
        equal([result.get(timeout=60) for result in results], list(range(1, 21)))
        failed = app.send_task("fail")
        assert isinstance(failed.get(timeout=60, propagate=False), Exception)
        equal(failed.status, "FAILURE")
        late = app.send_task("add", (40, 2), countdown=1)
        equal(late.get(timeout=60), 42)
    finally:
        worker.terminate()
        worker.wait(timeout=60)


def test_rq_runs_jobs_in_order(server):
    connection = redis.Redis(host="127.0.0.1", port=server.port)
    queue = Queue(connection=connection)
    jobs = [queue.enqueue("operator.add", number, 1) for number in range(10)]
    broken = queue.enqueue("operator.truediv", 1, 0)
    after = queue.enqueue("operator.mul", 6, 7, depends_on=jobs[-1])
    SimpleWorker([queue], connection=connection).work(burst=True, with_scheduler=False, logging_level="CRITICAL")
    equal([Job.fetch(job.id, connection=connection).return_value() for job in jobs], list(range(1, 11)))
    assert Job.fetch(broken.id, connection=connection).is_failed
    equal(Job.fetch(after.id, connection=connection).return_value(), 42)
    equal(queue.count, 0)


# A sliding window: at most ARGV[2] calls in ARGV[1] microseconds, by the server's own clock.
LIMITER = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, at - ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], at, at .. '-' .. redis.call('INCR', KEYS[1] .. ':calls'))
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[1] / 1000))
return 1
"""


def test_a_rate_limiter_lets_through_as_many_as_it_says(server):
    r = redis.Redis(host="127.0.0.1", port=server.port)
    limiter = r.register_script(LIMITER)
    window_us, limit = 60_000_000, 25
    passed = []

    def call():
        for _ in range(20):
            passed.append(limiter(keys=["limit:anna"], args=[window_us, limit], client=redis.Redis(host="127.0.0.1", port=server.port)))

    threads = [threading.Thread(target=call) for _ in range(5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    equal((sum(passed), len(passed)), (limit, 100))
    equal(r.zcard("limit:anna"), limit)
    # A window that is over by the time of the next call lets it through.
    equal(limiter(keys=["limit:anna"], args=[1, limit]), 1)
    time.sleep(0.002)
    equal(limiter(keys=["limit:anna"], args=[1, 1]), 1)
