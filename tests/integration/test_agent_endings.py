"""Processes that end in a way of their own under `clew run`: what they recorded arrives, and they
end as they do without the agent."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support.capture import Capture, answering, capturing, under_clew_run

WORK = """
import logging, os, signal, sqlite3, sys, threading, time
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from opentelemetry import trace

def work(number):
    with trace.get_tracer("shop").start_as_current_span(f"job {number}"):
        logging.warning("in job %s", number)

def by_processes(method):
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=work, args=(number,)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print([process.exitcode for process in processes])

def by_pool():
    pool = multiprocessing.Pool(2)
    pool.map(work, range(2))
    pool.terminate()
    pool.join()

def by_executor():
    with ProcessPoolExecutor(2) as executor:
        list(executor.map(work, range(2)))

def by_hard_exit():
    for number in range(2):
        child = os.fork()
        if child == 0:
            work(number)
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

def by_sigterm_in_c():
    work(0)
    work(1)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    sqlite3.connect(":memory:").execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    ).fetchall()

def by_restored_default():
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    assert previous is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    work(0)
    work(1)
    signal.signal(signal.SIGTERM, previous)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

def by_many_sigterms():
    from opentelemetry import metrics
    hang = lambda options: time.sleep(60) or []
    metrics.get_meter("shop").create_observable_gauge("hangs", [hang])
    work(0)
    work(1)
    def insist():
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.001)
    threading.Thread(target=insist, daemon=True).start()
    time.sleep(60)

if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
"""
ENDINGS = (
    "by_processes fork",
    "by_pool",
    "by_hard_exit",
    "by_sigterm_in_c",
    "by_restored_default",
    "by_many_sigterms",
)
LIKE_OTHERS = ("by_processes spawn", "by_processes forkserver", "by_executor")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "ending", [*ENDINGS, *(pytest.param(ending, marks=pytest.mark.slow) for ending in LIKE_OTHERS)]
)
def test_what_a_process_recorded_arrives_and_it_ends_as_without_the_agent(
    ending: str, tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text(WORK)
    command = [sys.executable, "jobs.py", *ending.split()]
    expected = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    with capturing() as capture:
        actual = _run(command, tmp_path, capture)
    assert (actual.returncode, actual.stdout) == (expected.returncode, expected.stdout)
    assert sorted(span.proto.name for span in capture.spans) == ["job 0", "job 1"]
    for span in capture.spans:
        (log,) = [log for log in capture.logs if log.trace_id == span.trace_id]
        assert log.resource["service.instance.id"] == span.resource["service.instance.id"]
        assert span.service == "jobs"


def test_a_process_that_recorded_nothing_ends_without_a_request(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("import os\nif os.fork() == 0: os._exit(0)\nos.wait()")
    with capturing() as capture:
        result = _run([sys.executable, "jobs.py"], tmp_path, capture)
    assert "clew: service jobs" in result.stderr
    assert not capture.requests


def _run(command: list[str], directory: Path, capture: Capture) -> subprocess.CompletedProcess[str]:
    # Nothing is sent by the clock: what arrives was flushed at the end.
    rarely = {
        "OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BLRP_SCHEDULE_DELAY": "600000",
        "CLEW_FLUSH_TIMEOUT": "5",  # a busy machine may need more than the 1.5 s of a service
    }  # fmt: skip
    env = {key: text for key, text in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        under_clew_run(command, endpoint=capture.url),
        env={**env, **rarely},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["503", "401", "http://collector.invalid:4318"])
def test_a_collector_that_takes_nothing_changes_neither_status_nor_output(
    endpoint: str, tmp_path: Path
) -> None:
    program = """
import logging, sys
from opentelemetry import trace
for number in range(20_000):
    with trace.get_tracer("shop").start_as_current_span("job") as span:
        span.set_attribute("text", "x" * 50_000)
print("done")
sys.exit(5)
"""
    with _refusing(int(endpoint) if endpoint.isdigit() else 500) as address:
        result = subprocess.run(
            under_clew_run(
                [sys.executable, "-c", program],
                endpoint=address if endpoint.isdigit() else endpoint,
            ),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (result.returncode, result.stdout) == (5, "done\n")
    assert result.stderr.count("telemetry is not being delivered") == 1
    assert "Traceback" not in result.stderr


@contextlib.contextmanager
def _refusing(status: int) -> Iterator[str]:
    """A receiver that answers every request with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler) as url:
        yield url
