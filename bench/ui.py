"""What the web UI costs a browser: CPU time, memory and lines of large traces; bytes and requests.

    python bench/ui.py [--spans 100000] [--runs 5]

The traces of bench/outlines.py go into a `clew up` of its own, and Chromium opens each with an
empty cache. `make test-browser` says what that needs, and installs Playwright. Printed are medians
of so many runs, after one to warm the server up. Milliseconds are of CPU time:

server, page process, main thread   until the first line of the waterfall is in the document: of
          clew, of the process that shows the page, and of that process' main thread alone
heap      megabytes of JavaScript's heap after a collection, once the critical path is drawn
frame     of the main thread, for 120 pixels of scrolling
fold      of the main thread, for no longer folding equal leaves
search    of the main thread, for a search that finds a sixteenth of the spans
rows      lines in the document, at most

Then of each page: kilobytes of scripts and styles that it loads, with gzip, and its requests of
data, in all and at most at once.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from outlines import NAMES, SHAPES, Trace, bodies, load
from playwright.sync_api import sync_playwright
from process import Measured, Up

# What a large trace may cost.
BARS = {
    "first row: server + page process": 1000.0,
    "main thread": 300.0,
    "heap MB": 40.0,
    "frame": 8.0,
    "fold": 100.0,
    "search": 100.0,
    "rows": 200.0,
}
LARGEST_KB, STYLES_KB = 340, 20  # with gzip, of a page
REQUESTS, AT_ONCE = 15, 6
OWN_WINDOW = b"--top-chrome-webui"
FRAMES = 60
SCROLL = """async frames => {
    const list = document.querySelector(".waterfall")
    let most = 0
    for (let frame = 0; frame < frames; frame++) {
        list.scrollTop += 120
        await new Promise(requestAnimationFrame)
        most = Math.max(most, document.querySelectorAll(".line").length)
    }
    return most
}"""
PATIENCE = 180_000  # milliseconds
QUIET_LOOKS = 6  # so often a page must wait for nothing
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]  # as root there is no sandbox


class Renderers:
    """The processes of the browser that run pages; not the one that draws Chromium's own window,
    which it has without a screen too (300 to 500 ms of CPU time for each new context)."""

    def __init__(self, browser: Any) -> None:
        self._session = browser.new_browser_cdp_session()

    def cpu(self) -> dict[int, float]:
        """Seconds of each by its id."""
        answer = self._session.send("SystemInfo.getProcessInfo")
        ids = [each["id"] for each in answer["processInfo"] if each["type"] == "renderer"]
        return {id: _cpu_of(id) for id in ids if OWN_WINDOW not in _command_of(id)}


def _command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _cpu_of(pid: int) -> float:
    process = Measured()
    process.pid = pid
    return process.cpu()


class Tab:
    """A page in a browser with an empty cache."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self._session = self.context.new_cdp_session(self.page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metric(self, name: str) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(float(each["value"]) for each in metrics if each["name"] == name)

    def main_thread(self) -> float:
        """Milliseconds of CPU time that its tasks took."""
        return self.metric("TaskDuration") * 1000

    def heap(self) -> float:
        """Megabytes in use after a collection."""
        self._session.send("HeapProfiler.collectGarbage")
        return self.metric("JSHeapUsedSize") / 1e6

    def cost(self, act: Callable[[], Any]) -> float:
        """Milliseconds of the main thread for what `act` does."""
        before = self.main_thread()
        act()
        self.page.evaluate(
            "() => new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))"
        )
        return self.main_thread() - before


def measure(up: Up, browser: Any, trace: Trace) -> dict[str, float]:
    """The figures of one opening of a trace, by the names of the table."""
    renderers = Renderers(browser)
    tab = Tab(browser)
    page = tab.page
    server, before, main = up.cpu(), renderers.cpu(), tab.main_thread()
    page.goto(f"{up.endpoints['api']}/traces/{trace.id.hex()}", wait_until="commit")
    page.locator(".line").first.wait_for()
    server, after = (up.cpu() - server) * 1000, renderers.cpu()
    process = sum(used - before.get(pid, 0.0) for pid, used in after.items()) * 1000
    figures = {
        "server": server,
        "page process": process,
        "first row: server + page process": server + process,
        "main thread": tab.main_thread() - main,
    }
    page.locator(".critical").first.wait_for()
    figures["heap MB"] = tab.heap()
    rows = 0

    def scroll() -> None:
        nonlocal rows
        rows = page.evaluate(SCROLL, FRAMES)

    figures["frame"] = tab.cost(scroll) / FRAMES
    figures["fold"] = tab.cost(page.get_by_role("button", name="Fold", exact=True).click)

    def search() -> None:
        page.get_by_label("Find in the trace").fill(NAMES[0])
        page.locator(".find [role=status]").wait_for()

    figures["search"] = tab.cost(search)
    figures["rows"] = rows
    tab.context.close()
    return figures


class Weight:
    """What a page loads: bytes with gzip by the kind of the file, and requests of data."""

    def __init__(self, page: Any) -> None:
        self.kilobytes: dict[str, float] = {"script": 0.0, "stylesheet": 0.0}
        self.requests = self.at_once = 0
        self._open: set[Any] = set()
        page.on("request", self._began)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", lambda request: self._open.discard(request))

    @property
    def waits(self) -> bool:
        return bool(self._open)

    def _began(self, request: Any) -> None:
        if "/api/" in request.url:
            self.requests += 1
            self._open.add(request)
            self.at_once = max(self.at_once, len(self._open))

    def _ended(self, request: Any) -> None:
        self._open.discard(request)
        if request.resource_type in self.kilobytes:
            body = gzip.compress(request.response().body())
            self.kilobytes[request.resource_type] += len(body) / 1000


def weigh(up: Up, browser: Any, path: str) -> Weight:
    """The weight of a page in a browser with an empty cache."""
    tab = Tab(browser)
    weight = Weight(tab.page)
    tab.page.goto(up.endpoints["api"] + path)
    quiet = 0
    while quiet < QUIET_LOOKS:
        tab.page.wait_for_timeout(100)
        is_busy = weight.waits or tab.page.locator(".loading").count()
        quiet = 0 if is_busy else quiet + 1
    tab.context.close()
    return weight


def print_traces(up: Up, browser: Any, traces: dict[str, Trace], runs: int) -> bool:
    """The table of large traces; whether a figure is over its bar."""
    is_over = False
    header: list[str] = []
    for name, trace in traces.items():
        measure(up, browser, trace)
        each = [measure(up, browser, trace) for _ in range(runs)]
        median = {figure: statistics.median(run[figure] for run in each) for figure in each[0]}
        if not header:
            header = list(median)
            print(f"| trace | {' | '.join(header)} |")
            print(f"|-|{'-:|' * len(header)}")
        values = (f"{value:.0f}" if value > 20 else f"{value:.1f}" for value in median.values())
        print(f"| {name} | {' | '.join(values)} |")
        is_over |= any(median[figure] > bar for figure, bar in BARS.items())
    print(f"| bar | {' | '.join(f'{BARS[name]:.0f}' if name in BARS else '' for name in header)} |")
    return is_over


def print_pages(up: Up, browser: Any, trace: Trace) -> bool:
    """The table of pages; whether a figure is over its bar."""
    answer = httpx.get(f"{up.endpoints['api']}/api/v1/transactions", timeout=60).json()
    transaction = answer["transactions"][0]["id"]
    paths = {
        "transactions": "/",
        "transaction": f"/transactions/{transaction}",
        "traces": "/traces",
        "trace": f"/traces/{trace.id.hex()}",
        "start": "/start",
        "login": "/login",
    }
    is_over = False
    print("\n| page | scripts, KB | styles, KB | requests | at once |\n|-|-:|-:|-:|-:|")
    for name, path in paths.items():
        weight = weigh(up, browser, path)
        scripts, styles = weight.kilobytes["script"], weight.kilobytes["stylesheet"]
        print(f"| {name} | {scripts:.0f} | {styles:.1f} | {weight.requests} | {weight.at_once} |")
        is_over |= scripts + styles > LARGEST_KB or styles > STYLES_KB
        is_over |= weight.requests > REQUESTS or weight.at_once > AT_ONCE
    return is_over


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    chromium = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if chromium is None:
        raise SystemExit("bench/ui.py needs Debian's package chromium")
    began = (time.time_ns() // 10**9 - 1800) * 10**9
    traces = {name: Trace(number, began) for number, name in enumerate(SHAPES, 1)}
    with tempfile.TemporaryDirectory() as directory, Up(Path(directory)) as up:
        for name, trace in traces.items():
            SHAPES[name](trace, options.spans)
            load(up, bodies(trace))
        up.settle()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            is_over = print_traces(up, browser, traces, options.runs)
            is_over |= print_pages(up, browser, traces["calls"])
            browser.close()
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
