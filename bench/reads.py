"""How long the API's answers take over the day of bench/dataset.py, and how that grows.

    python bench/reads.py [--spans 2000000,20000000] [--calls 50]
    python bench/reads.py DIR [DIR …]

Each directory is one that `bench/dataset.py --data` made (with --spans it is made first, and
removed). `clew up` runs on it as a process of its own and is asked over HTTP, one call after the
other; windows end where the data set's day ends. What is printed are the median and the 95th
percentile of so many calls, after three to warm up, beside the bar that the 95th has to stay below
(at 20 million spans); and the CPU time of the server's process: that of the first call, and the
median of the others beside the bar for it (at 2 million). CPU time says more on a machine that has
other work. Of the large trace it is five calls, and how far memory rose above what it was before.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from dataset import build, read, truth, window
from day import LARGE_TRACE, Day
from process import Up
from rendering import RARE_WORD, vocabulary

WARM_UP = 3
LARGE_CALLS = 5
MEMORY_BAR = 500  # MB


@dataclass(frozen=True)
class Call:
    """`hours` is the window, up to the end of the day; `bar` milliseconds, `cpu_bar` those of CPU
    time at 2 million spans. `microseconds`: the window is written as Jaeger's clients write it."""

    name: str
    path: str
    bar: float | None = None
    hours: float | None = 24
    parameters: tuple[tuple[str, str], ...] = ()
    cpu_bar: float | None = None
    microseconds: bool = False


@dataclass(frozen=True)
class Measured:
    """Milliseconds; without any the endpoint is not there. `cpu`: of the server, the median;
    `cold`: likewise of the first call."""

    times: list[float]
    cpu: float = 0.0
    cold: float = 0.0
    memory: float = 0.0  # MB that it rose by
    size: int = 0  # bytes of the answer

    @property
    def p95(self) -> float:
        return self.times[min(len(self.times) - 1, int(len(self.times) * 0.95))]

    def __str__(self) -> str:
        if not self.times:
            return "not there"
        return f"{self.median:,.0f} / {self.p95:,.0f}; CPU {self.cpu:,.0f}, first {self.cold:,.0f}"

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR")
    parser.add_argument("--spans", default="2000000")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument(
        "--only", default="", help="of the calls, those with this pattern in their name"
    )
    given = parser.parse_args()
    with ExitStack() as stack:
        directories = given.directories
        if not directories:
            top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            directories = [top / spans for spans in given.spans.split(",")]
            for directory in directories:
                build(Day(int(directory.name), 24, 1, time.time_ns()), directory)
        results = [measure(directory, given.calls, given.only) for directory in directories]
    report(results)


def measure(directory: Path, calls: int, only: str) -> dict[Call, Measured]:
    day = read(directory / "dataset.json")
    print(f"{directory}: {day.spans:,} spans", flush=True)
    with Up(directory) as up:
        up.settle()
        # The same question again and again: none is to be answered from the cache.
        headers = {"cache-control": "no-cache"}
        with httpx.Client(base_url=up.endpoints["api"], timeout=120, headers=headers) as api:
            results = {}
            for call in every_call(api, day):
                if re.search(only, call.name):
                    results[call] = _measured(api, up, day, call, calls)
                    print(f"{call.name:45} {results[call]}", flush=True)
    return results


def every_call(api: httpx.Client, day: Day) -> Iterator[Call]:
    known = truth(day, words=False)
    whole = window(day, 24)
    listed = api.get("/api/v1/transactions", params=whole).raise_for_status().json()
    _compare(listed["transactions"], known)
    one = f"/api/v1/transactions/{listed['transactions'][0]['id']}"
    found = api.get("/api/v1/traces", params=whole | {"transaction": one.rpartition("/")[2]})
    trace = found.raise_for_status().json()["traces"][0]["trace_id"]
    order = (("attr", f"order.id={known['orders']['last']}"),)
    tenant = (("attr", "tenant.id=tenant-00"),)
    long = (("min_duration_ms", "5000"),)
    of_transaction = (("transaction", one.rpartition("/")[2]),)
    slow = next(
        each["id"]
        for each in listed["transactions"]
        if f"{each['service']}: {each['operation']}" == known["slow"]["operation"]
    )
    yield Call("transactions, 24 h", "/api/v1/transactions", 100, cpu_bar=40)
    yield Call("transactions, 1 h", "/api/v1/transactions", 100, 1)
    yield Call("joined view, 1 h", one, 400, 1, cpu_bar=150)
    yield Call("joined view, 24 h", one, 1500)
    yield Call("trace by id", f"/api/v1/traces/{trace}", 50, None, cpu_bar=70)
    yield Call("outline of a trace", f"/api/v1/traces/{trace}/outline", None, None, cpu_bar=40)
    yield Call("trace by id, Jaeger", f"/api/traces/{trace}", None, None, cpu_bar=40)
    for name, more in (
        ("service, operation, duration", {"operation": "POST /checkout", "minDuration": "300ms"}),
        ("rare attribute", {"tags": json.dumps(dict((order[0][1].split("="),)))}),
        ("absent attribute", {"tags": '{"order.id":"none"}'}),
    ):
        asked = tuple(({"service": "storefront", "limit": "20"} | more).items())
        yield Call(f"{name}, 24 h, Jaeger", "/api/traces", None, 24, asked, 40, True)
    for hours, bar in ((1, 300), (24, 2000)):
        traces = "/api/v1/traces"
        yield Call(f"traces by an attribute, frequent, {hours} h", traces, bar, hours, tenant)
        yield Call(f"traces by an attribute, rare, {hours} h", traces, bar, hours, order)
        yield Call(f"traces by time, {hours} h", traces, bar, hours)
        yield Call(f"traces by duration, {hours} h", traces, bar, hours, long)
        yield Call(f"traces by transaction, {hours} h", traces, bar, hours, of_transaction)
    yield Call("service map, 24 h", "/api/v1/services/map", 200)
    yield Call("services, 24 h", "/api/v1/services")
    for kind, word in (("frequent", vocabulary()[0]), ("rare", RARE_WORD)):
        yield Call(f"logs by a {kind} word, 24 h", "/api/v1/logs", 500, 24, (("query", word),))
    yield Call("instances, 24 h", f"{one}/instances")
    yield Call("joined view of Checkout, 24 h", "/api/v1/transactions/checkout", 1500)
    yield Call("instances of Checkout, 24 h", "/api/v1/transactions/checkout/instances")
    yield Call("funnel of Checkout, 24 h", "/api/v1/transactions/checkout/funnel")
    compared = (("transaction", slow), ("slow", "true"))
    yield Call("compare, slow with normal, 4 h", "/api/v1/compare", None, 4, compared)
    one_transaction = (("transaction", slow),)
    for name, traces_of in (("all traces", ()), ("a transaction", one_transaction)):
        yield Call(f"diagnosis of {name}, 5 min", "/api/v1/diagnose", None, 5 / 60, traces_of, 500)
    yield Call("trace of 100,000 spans", f"/api/v1/traces/{LARGE_TRACE}", 3000, None)


def _compare(listed: list[dict[str, Any]], known: dict[str, Any]) -> None:
    """Say where the list differs from what was sent: how long a wrong answer took says nothing."""
    found = {each["name"]: (each["count"], each["errors"]) for each in listed}
    orders = known["orders"]
    sent = {name: (each["count"], each["errors"]) for name, each in known["transactions"].items()}
    for name, counts in (sent | {"Checkout": (orders["placed"], orders["failed"])}).items():
        if found.get(name) != counts:
            print(f"{name}: {found.get(name)} where {counts} were sent", flush=True)


def asked(day: Day, call: Call) -> dict[str, str]:
    """The parameters of the call's request."""
    times = window(day, call.hours) if call.hours else {}
    if call.microseconds:
        end = (day.start + day.length) // 1000
        start = end - int((call.hours or 0) / 24 * day.length / 1000)
        times = {"start": str(start), "end": str(end)}
    return times | dict(call.parameters)


def _measured(api: httpx.Client, up: Up, day: Day, call: Call, calls: int) -> Measured:
    parameters = asked(day, call)
    large = LARGE_TRACE in call.path
    before = up.memory()
    up.forget_most_memory()
    times = []
    cpu_times = []
    for number in range((LARGE_CALLS if large else calls) + WARM_UP * (not large)):
        cpu, began = up.cpu(), time.perf_counter()
        answer: Any = api.get(call.path, params=parameters)
        took = 1000 * (time.perf_counter() - began)
        cpu_times.append(1000 * (up.cpu() - cpu))
        if answer.status_code == 404:
            return Measured([])
        answer.raise_for_status()
        if large or number >= WARM_UP:
            times.append(took)
    rose = (up.memory("VmHWM") - before) / 1e6
    cpu = statistics.median(cpu_times[-len(times) :])
    return Measured(sorted(times), cpu, cpu_times[0], rose, len(answer.content))


def report(results: list[dict[Call, Measured]]) -> None:
    """A table: a row for each call, p50 / p95 in ms of each directory, and what grew how much."""
    calls = {call.name: call for each in results for call in each}
    head = "| call | bar | CPU bar | p50 / p95; CPU, ms |"
    print(f"\n{head}" + " |" * (len(results) - 1) + " grows |")
    print("|-|-|-|" + "-|" * len(results) + "-|")
    for name, call in calls.items():
        row = [next(m for c, m in each.items() if c.name == name) for each in results]
        bar = f"{call.bar:,.0f}" if call.bar else ""
        first, last = row[0], row[-1]
        grown = (
            f"{last.median / first.median:.1f}"
            if len(row) > 1 and first.times and last.times
            else ""
        )
        missed = " (over)" if call.bar and last.times and last.p95 > call.bar else ""
        cpu_bar = f"{call.cpu_bar:,.0f}" if call.cpu_bar else ""
        measured = " | ".join(map(str, row))
        print(f"| {name} | {bar} | {cpu_bar} | {measured}{missed} | {grown} |")
        if LARGE_TRACE in call.path and last.times:
            rose = " | ".join(f"{each.memory:,.0f} MB" for each in row)
            print(f"| memory it took above that before | {MEMORY_BAR} MB | | {rose} | |")


if __name__ == "__main__":
    main()
