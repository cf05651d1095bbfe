"""OpenTelemetry's SDK in a page, in a real browser: beacons (which send credentials), XMLHttpRequest and fetch pass
CORS, and what was sent is stored. Nothing that is built stays: the bundle is in a temporary directory."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from npm import NODE, NPM, REASON, install

from support.processes import Clew
from support.stored import ask, wait_until_loaded

HERE = Path(__file__).parent / "browser"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WAYS = ("beacon", "xhr", "fetch", "fetch-protobuf")

pytestmark = [
    pytest.mark.slow,  # the first run fetches 50 MB; a browser
    pytest.mark.skipif(NODE is None or NPM is None, reason=REASON),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: Debian's package chromium"),
]


class Site(ThreadingHTTPServer):
    """Serves the page. `reports` are what pages have sent; None at the end."""

    daemon_threads = True

    def __init__(self, script: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.reports: queue.Queue[Any] = queue.Queue()
        self.origin = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/end":
            self.server.reports.put(None)
        pages = {"/": b"<!doctype html><script src=/page.js></script>", "/end": b"done"}
        kind = "text/javascript" if path == "/page.js" else "text/html"
        self._answer(self.server.script if path == "/page.js" else pages.get(path, b""), kind)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.reports.put(json.loads(body))
        self._answer(b"", "text/plain")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    installed = install(HERE)
    bundle = tmp_path_factory.mktemp("bundle") / "page.js"
    subprocess.run(
        [installed / "node_modules/.bin/esbuild", "page.js", "--bundle", "--log-level=error", f"--outfile={bundle}"],
        cwd=installed, check=True,
    )  # fmt: skip
    with Site(bundle.read_bytes()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def browser(profile: Path, url: str) -> Iterator[None]:
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    )
    with (profile.parent / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [str(CHROMIUM), *flags, f"--user-data-dir={profile}", url], stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def clew(site: Site, tmp_path: Path) -> Iterator[Clew]:
    running = Clew(
        tmp_path / "data", "--cors-origins", site.origin, "--cors-headers", "x-team, x-other"
    )
    yield running
    running.stop()


def _span_count(clew: Clew, report: dict[str, str]) -> int:
    trace = clew.get(f"/api/v1/traces/{report.get('trace')}").json()
    return len(trace.get("spans", ()))


def test_a_page_sends_in_every_way_that_exporters_have(
    site: Site, clew: Clew, tmp_path: Path
) -> None:
    parameters = {"ways": " ".join(WAYS), "collector": clew.endpoints["otlp_http"]}
    with browser(tmp_path / "profile", f"{site.origin}/?{urlencode(parameters)}"):
        reports = list(iter(lambda: site.reports.get(timeout=60), None))
        # What a page sends while it is left may be on its way.
        deadline = time.monotonic() + 30
        while any(_span_count(clew, report) < 3 for report in reports):
            assert time.monotonic() < deadline, reports
            time.sleep(0.2)
    assert [report["way"] for report in reports] == list(WAYS), reports
    assert not [report for report in reports if "error" in report], reports
    wait_until_loaded(clew.data)
    assert clew.stop() == 0
    assert "Traceback" not in clew.log.read_text()
    spans, logs = ask(
        clew,
        "SELECT ServiceName AS service, TraceId AS trace, groupArray(SpanName) AS names, "
        "countIf(ParentSpanId = '') AS roots, anyIf(SpanAttributes, SpanName = 'visit') AS visit, "
        "anyIf(SpanAttributes['ui.text'], SpanName = 'click') AS text "
        "FROM otel.otel_traces WHERE startsWith(ServiceName, 'browser-') GROUP BY service, trace",
        "SELECT ServiceName AS service, TraceId AS trace, Body AS body FROM otel.otel_logs "
        "WHERE startsWith(ServiceName, 'browser-')",
    )
    sent = {f"browser-{report['way']}": report["trace"] for report in reports}
    assert {row["service"]: row["trace"] for row in spans} == sent
    for row in spans:
        assert sorted(row["names"]) == ["click", "leave", "visit"], row
        assert (row["roots"], row["text"]) == (1, "Zur Kasse – ü 😀")
        assert row["visit"] == {"width": "1280", "visible": "true"}
    assert {row["service"]: (row["trace"], row["body"]) for row in logs} == {
        service: (trace, "slow script") for service, trace in sent.items()
    }
