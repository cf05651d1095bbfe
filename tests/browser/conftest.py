"""Debian's Chromium on the built web UI, over the real API on the real engine in this process."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from clew.access import HostGuard, Hosts
from clew.api import create_app
from clew.cli import servers
from clew.clickhouse import Application
from clew.collector.spool import SegmentIds
from clew.storage import Reader, Sessions, Store
from clew.web import STATIC, Web
from support.seeded import Seeded, seed

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
QUIET_LOOKS = 6  # so often a page must wait for nothing; each look is a turn of its main thread
PATIENCE = 180_000  # milliseconds: for a machine that is busy with other work


@dataclass(frozen=True)
class Site:
    """A running API with its pages. `seeded`: what is stored."""

    url: str
    clickhouse: str
    store: Store
    seeded: Seeded


@contextmanager
def _served(make: Callable[[str], Any]) -> Iterator[str]:
    """The URL of an application that runs in a thread; `make` gets the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = servers.Server(HostGuard(make(url), Hosts("127.0.0.1")), None, 1)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    try:
        yield url
    finally:
        server.stop()
        thread.join()


@contextmanager
def serving(store: Store, **options: Any) -> Iterator[tuple[str, str]]:
    """The URLs of the API with its pages, and of ClickHouse's protocol, over this engine."""
    port = Application(Sessions(store), SegmentIds().next)
    endpoints = {"otlp_http": "http://127.0.0.1:4318", "otlp_grpc": "http://127.0.0.1:4317"}

    def api(url: str) -> Any:
        endpoints["api"] = url
        reader = Reader(store)
        return create_app(reader, lambda: True, pages=Web(), endpoints=endpoints, **options)

    with _served(lambda url: port) as clickhouse, _served(api) as url:
        endpoints["clickhouse"] = clickhouse
        try:
            yield url, clickhouse
        finally:
            port.close()


@pytest.fixture(scope="module")
def site(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With half an hour of a shop's telemetry."""
    store = emptied()
    seeded = seed(store, tmp_path_factory.mktemp("seed"))
    with serving(store) as (url, clickhouse):
        yield Site(url, clickhouse, store, seeded)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser. Where something of it is missing, tests are skipped, or with
    CLEW_BROWSER=required they fail."""
    missing = pytest.fail if os.environ.get("CLEW_BROWSER") == "required" else pytest.skip
    if importlib.util.find_spec("playwright") is None:
        missing("needs Playwright: make test-browser installs it")
    if CHROMIUM is None:
        missing("needs a browser: Debian's package chromium")
    if not (STATIC / "index.html").exists():
        missing("needs the built web UI: make ui, with Node.js 20.19 or newer")
    playwright = importlib.import_module("playwright.sync_api")
    with playwright.sync_playwright() as running:
        # As root, Chromium runs without its sandbox or not at all.
        browser = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Visitor:
    """A browser with a fresh profile. `complaints`: what the pages wrote to the console, errors of
    their scripts, refused contents, and requests to other servers."""

    def __init__(self, chromium: Any, url: str, **options: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._open: set[Any] = set()
        self.context = chromium.new_context(
            **{"viewport": DESKTOP, "timezone_id": "UTC", **options}
        )
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._requested)
        self.page.on("requestfinished", lambda request: self._open.discard(request))
        self.page.on("requestfailed", lambda request: self._open.discard(request))

    def _heard(self, message: Any) -> None:
        # Chromium writes a line for every status that is not a success: tests of errors want those.
        if "Failed to load resource" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def _requested(self, request: Any) -> None:
        self.requests.append(request.url)
        self._open.add(request)
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"request to {request.url}")

    def open(self, path: str) -> Any:
        """The page at the path, when it waits for nothing more."""
        self.page.goto(self.url + path)
        return self.settle()

    def settle(self) -> Any:
        """The page, once it has waited for nothing for a while: no request is open, nothing loads."""
        deadline = time.monotonic() + PATIENCE / 1000
        quiet = 0
        while quiet < QUIET_LOOKS:
            assert time.monotonic() < deadline, f"{self.page.url} still waits"
            self.page.wait_for_timeout(50)
            is_busy = self._open or self.page.locator(".loading").count()
            quiet = 0 if is_busy else quiet + 1
        return self.page

    def tree(self) -> str:
        """The accessible tree of the page, as text."""
        return str(self.page.locator("body").aria_snapshot())

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(chromium: Any, site: Site) -> Iterator[Callable[..., Visitor]]:
    """A function that makes visitors of the site; none of them may have complaints."""
    visitors: list[Visitor] = []

    def make(**options: Any) -> Visitor:
        visitors.append(Visitor(chromium, site.url, **options))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()
    assert [visitor.complaints for visitor in visitors] == [[] for _ in visitors]
