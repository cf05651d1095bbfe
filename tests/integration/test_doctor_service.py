"""`clew doctor -- CMD` on real services: one that is in order, and one with several faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.capture import capturing, free_port

# It ends by itself when it has answered some requests: a test does not wait for a time.
SERVICE = """
import logging
import multiprocessing
import os
import sys
import threading
import time

import requests
from flask import Flask
from opentelemetry import trace
from requests.adapters import HTTPAdapter
from werkzeug.serving import make_server

port, faults = int(sys.argv[1]), sys.argv[2:]
app = Flask(__name__)
log = logging.getLogger("shop")
if "level" in faults:
    logging.basicConfig(level=logging.ERROR)
answers = 0


class Stripping(HTTPAdapter):
    def send(self, request, **options):
        if "propagation" in faults:
            del request.headers["traceparent"]
        return super().send(request, **options)


session = requests.Session()
session.mount("http://", Stripping())


@app.get("/")
def root():
    global answers
    log.info("looking")
    answers += 1
    if answers == 4:
        threading.Thread(target=server.shutdown).start()
    tracer = trace.get_tracer("shop.native")
    with tracer.start_as_current_span("call", kind=trace.SpanKind.CLIENT) as span:
        if "conventions" in faults:
            span.set_attribute("http.method", "GET")
        return session.get(f"http://127.0.0.1:{port}/leaf").text


@app.get("/leaf")
def leaf():
    return "leaf"


server = make_server("127.0.0.1", port, app, threaded=True)
server.serve_forever()
# What a process measures of itself begins after a second.
time.sleep(1.5)
"""


def _doctor(
    directory: Path, endpoint: str, *faults: str, **more: str
) -> tuple[int, dict[str, Any]]:
    """The exit status of a run, and the verdicts by the name of the check."""
    (directory / "shop.py").write_text(SERVICE)
    port = str(free_port())
    result = subprocess.run(
        [
            *(sys.executable, "-m", "clew.cli", "doctor", "--json", "--seconds", "120"),
            *("--endpoint", endpoint, "--request", f"http://127.0.0.1:{port}/"),
            *("--", sys.executable, "shop.py", port, *faults),
        ],
        env={**os.environ, "CLEW_FLUSH_TIMEOUT": "20", **more},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
    )
    document = json.loads(result.stdout)
    return result.returncode, {check["check"]: check for check in document["checks"]} | {
        "output": {"status": "", "text": result.stderr}
    }


def test_a_service_in_order_is_handed_on_and_has_no_fault(tmp_path: Path) -> None:
    with capturing() as capture:
        status, checks = _doctor(tmp_path, capture.url)
    assert status == 0, checks
    found = {name: check["status"] for name, check in checks.items() if check["status"]}
    assert set(found.values()) <= {"ok", "none"}
    for name in ("endpoint", "key", "clock", "agent", "traces", "metrics", "logs", "propagation"):
        assert found[name] == "ok", checks[name]
    assert checks["service"]["text"].endswith("with status 0")
    assert "service shop" in checks["agent"]["text"]
    # What the doctor took, the receiver got; what the service printed, stderr.
    assert capture.spans_named("GET /")
    assert capture.logs_saying("looking")
    assert "clew: service shop" in checks["output"]["text"]


@contextmanager
def _refusing() -> Iterator[str]:
    """A receiver that knows no key, an hour ahead."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(401)
            self.send_header("content-length", "0")
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + 3600)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_every_fault_of_a_service_is_said_with_its_mend(tmp_path: Path) -> None:
    with _refusing() as endpoint:
        status, checks = _doctor(
            tmp_path, endpoint, "level", "propagation", "conventions", CLEW_API_KEY="wrong"
        )
    assert status == 1
    wrong = {name for name, check in checks.items() if check["status"] in ("warn", "fail")}
    assert wrong == {"key", "clock", "log level", "propagation", "conventions"}, checks
    assert "not known" in checks["key"]["text"]
    assert "behind" in checks["clock"]["text"]
    assert "ERROR" in checks["log level"]["text"]
    assert "called shop GET /leaf" in checks["propagation"]["text"]
    assert "shop.native writes http.method" in checks["conventions"]["text"]
    assert all(checks[name]["mend"] for name in wrong)


@pytest.mark.slow
def test_nothing_is_recorded_and_nobody_listens(tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    status, checks = _doctor(tmp_path, endpoint, CLEW_SAMPLE="0")
    assert status == 1
    wrong = {name for name, check in checks.items() if check["status"] in ("warn", "fail")}
    assert wrong == {"endpoint", "sampling"}, checks
    assert "connection refused" in checks["endpoint"]["text"]
    # The doctor's own requests ask to be recorded.
    assert checks["traces"]["status"] == "ok"
    assert "CLEW_SAMPLE=1" in checks["sampling"]["mend"]


def test_a_command_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "clew.cli", "doctor", "--", str(tmp_path / "nothing")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("clew: doctor: ")
