"""A seeded day of a shop's telemetry, sent as OTLP through the running collector.

    python bench/dataset.py --data DIR [--spans 20000000] [--hours 24] [--seed 1]
    python bench/dataset.py --endpoint http://127.0.0.1:4318 [--api http://127.0.0.1:4319] …
    python bench/dataset.py --truth [--spans …]

So many spans in about an eighth as many traces, half as many log records, a quarter as many metric
points, in order of time and ending now (or at --end); about so many: traces are not cut. The shapes
of the traces stand in bench/shapes.py. With --data a `clew up` is started on the directory, and
stopped once all of it is stored. What is in it is known without reading it: `truth`.

In the 21st of the 24 parts of the day POST /cart is slow for tenant-01 alone, and the pool of
cart's connections is full. From the middle of the day on four services run a new version, of which
`orders` fails five times as often. One trace in the last tenth of the day is of 100,000 spans.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import rendering
from day import (
    LARGE_AT,
    LARGE_TRACE,
    NAMES,
    NUMBER,
    SECOND,
    SLOW_FROM,
    SLOW_TENANT,
    SLOW_UNTIL,
    TENANTS,
    Day,
    Ints,
    Traces,
)
from process import Up, run, send_each
from rendering import MS, RARE_WORD, SIZE, TAKES, vocabulary
from shapes import SHAPES

CONNECTIONS = 4
PATIENCE = 7200  # seconds until all of it is settled
SETTLED_AGAIN_AFTER = 60  # seconds: traces that have been quiet are settled once more
KINDS = ("", "Internal", "Server", "Client", "Producer", "Consumer")


# Put into force before anything is sent.
DEFINITIONS = """
transactions:
  - name: Checkout
    match: {service: storefront, operation: "POST /checkout"}
    key: order.id
    value: order.total
    user: user.id
    steps:
      - {name: order, match: {service: orders}}
      - {name: pay, match: {service: payments}}
      - {name: ship, match: {service: fulfilment}}
    slo: {latency_ms: 500, objective: 0.95}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--spans", type=int, default=20_000_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--end", type=int, help="nanoseconds since the epoch; default now")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="start clew on this directory")
    where.add_argument("--endpoint", help="OTLP over HTTP")
    where.add_argument("--truth", action="store_true", help="say what would be in it")
    where.add_argument("--dry", action="store_true", help="make it and throw it away")
    parser.add_argument("--api", help="with --endpoint: wait until all of it is stored")
    given = parser.parse_args()
    day = Day(given.spans, given.hours, given.seed, given.end or time.time_ns())
    if given.truth:
        print(json.dumps(truth(day), indent=1))
    elif given.dry:
        sent: Counter[str] = Counter()
        began = time.process_time()
        size = sum(len(body) for _, body in requests(day, sent))
        took = time.process_time() - began
        print(f"{_counts(sent)}; {sent['spans'] / took:,.0f} spans a CPU-second, {size:,} bytes")
    elif given.endpoint:
        write(day, given.endpoint, given.api)
    else:
        build(day, given.data)


def build(day: Day, directory: Path) -> None:
    """Write the day into a data directory with a `clew up` of its own, and have another one settle
    it; what it is stands in dataset.json there. A directory that has one is only settled. While so
    much comes in, a settler would leave out traces."""
    directory.mkdir(parents=True, exist_ok=True)
    described = directory / "dataset.json"
    if described.exists():
        day = read(described)
    else:
        with Up(directory, "unsettled") as up:
            define(up.endpoints["api"])
            sent = write(day, up.endpoints["otlp_http"], up.endpoints["api"])
        asked = {"spans": day.spans, "hours": day.hours, "seed": day.seed, "start": day.start}
        described.write_text(json.dumps(asked | {"sent": sent}))
    with Up(directory) as up:
        wait_until_settled(up.endpoints["api"], day)
        time.sleep(SETTLED_AGAIN_AFTER)
        up.settle()


def read(described: Path) -> Day:
    """The day that a dataset.json describes."""
    asked = json.loads(described.read_text())
    day = Day(asked["spans"], asked["hours"], asked["seed"], 0)
    day.start = asked["start"]
    return day


def wait_until_settled(api: str, day: Day) -> None:
    """Return once every order of the day is known with its outcome."""
    orders = truth(day, words=False)["orders"]
    expected = orders["placed"], orders["failed"]
    began = time.monotonic()
    while True:
        answer = httpx.get(f"{api}/api/v1/transactions", params=window(day, 24), timeout=60)
        listed = answer.raise_for_status().json()["transactions"]
        found = [(each["count"], each["errors"]) for each in listed if each["id"] == "checkout"]
        if found == [expected]:
            print(f"settled after {time.monotonic() - began:,.0f} s", flush=True)
            return
        if time.monotonic() > began + PATIENCE:
            raise SystemExit(f"not settled: {found} of {expected} orders (placed, failed)")
        time.sleep(5)


def window(day: Day, hours: float) -> dict[str, str]:
    """The last of the day's 24 parts, as parameters of a request."""
    times = {"start": day.start + int((1 - hours / 24) * day.length), "end": day.start + day.length}
    return {name: _rfc3339(time_ns) for name, time_ns in times.items()}


def _rfc3339(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09}Z"


def define(api: str) -> None:
    yaml = {"content-type": "application/yaml"}
    where = f"{api}/api/v1/definitions"
    httpx.put(where, content=DEFINITIONS, headers=yaml, timeout=60).raise_for_status()


def write(day: Day, endpoint: str, api: str | None) -> Counter[str]:
    """Send the day; with the API's address return only when all of it is stored. What was sent."""
    sent: Counter[str] = Counter()
    began = time.monotonic()
    run(lambda: send_each(endpoint, requests(day, sent), CONNECTIONS))
    print(f"sent in {time.monotonic() - began:,.0f} s: {_counts(sent)}", flush=True)
    while api and (pending := _pending(api)):
        print(f"{pending:,} pending", flush=True)
        time.sleep(2)
    if api:
        print(f"stored after {time.monotonic() - began:,.0f} s", flush=True)
    return sent


def _pending(api: str) -> int:
    window = {"start": "-1d", "wait": "10"}
    answer = httpx.get(f"{api}/api/v1/ledger", params=window, timeout=60)
    return sum(signal["pending"] for signal in answer.json()["signals"])


def _counts(sent: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sent.items())


def requests(day: Day, sent: Counter[str]) -> Iterator[tuple[str, bytes]]:
    """(path, body) in order of time; `sent` counts what is in them."""
    large_at = int(LARGE_AT * day.length)
    for number, (traces, bounds) in enumerate(day.plan()):
        chance = np.random.default_rng((day.seed, number, 1))
        sent["traces"] += len(traces)
        sent["spans"] += int(SIZE[traces.shape].sum())
        for running, spans in rendering.spans(day, chance, traces).items():
            yield "/v1/traces", rendering.request(running, spans)
        if bounds[0] <= large_at < bounds[1]:
            sent["traces"] += 1
            for body, count in rendering.large_trace(day):
                sent["spans"] += count
                yield "/v1/traces", body
        records, count = rendering.records(day, number, traces, bounds)
        sent["log records"] += count
        for running, texts in records.items():
            yield "/v1/logs", rendering.request(running, texts)
        points, count = rendering.metrics(day, number, traces, bounds)
        sent["points"] += count
        if points:
            yield "/v1/metrics", points


def truth(day: Day, *, words: bool = True) -> dict[str, Any]:
    """What the day holds, counted in its plan; by the hour means by the 24th part of the day."""
    parts = list(day.plan())
    traces = Traces.of(part for part, _ in parts)
    by_shape = np.bincount(traces.shape, minlength=len(NAMES))
    hour = traces.time * 24 // day.length
    transactions: dict[str, Any] = {}
    operations: dict[str, Counter[str]] = defaultdict(Counter)
    edges: Counter[str] = Counter()
    for name, times in zip(NAMES, by_shape.tolist(), strict=True):
        shape = SHAPES[name]
        for span in shape.spans:
            operation = operations[f"{span.service}: {span.call.name} ({KINDS[span.call.kind]})"]
            operation["count"] += times
            operation["errors"] += times * span.call.is_error
        for source, target, kind in shape.edges:
            edges[f"{source} > {target} ({kind})"] += times
    for name in dict.fromkeys(shape.name for shape in SHAPES.values()):
        numbers = [NUMBER[each] for each in NAMES if SHAPES[each].name == name]
        rows = np.isin(traces.shape, numbers)
        took = TAKES[traces.shape[rows], 0] * traces.pace[rows] / MS
        transactions[name] = {
            "count": int(rows.sum()),
            "errors": int(sum(by_shape[each] for each in numbers if SHAPES[NAMES[each]].is_error)),
            "by_hour": np.bincount(hour[rows], minlength=24).tolist(),
            "duration_ms": dict(
                zip(("p50", "p95"), np.quantile(took, (0.5, 0.95)).tolist(), strict=True)
            )
            if len(took)
            else None,
        }
    return {
        "traces": len(traces) + 1,
        "spans": int(by_shape @ SIZE) + day.large,
        "large_trace": {"trace_id": LARGE_TRACE, "spans": day.large},
        "transactions": transactions,
        "operations": operations,
        "edges": edges,
        "orders": _orders(traces),
        "tenants": np.bincount(traces.tenant, minlength=TENANTS).tolist(),
        "slow": {
            "operation": SHAPES["cart slow"].name,
            "tenant": f"tenant-{SLOW_TENANT:02}",
            "count": int(by_shape[NUMBER["cart slow"]]),
            "hours": [SLOW_FROM * 24, SLOW_UNTIL * 24],
        },
        "words": _words(day, parts) if words else {},
    }


def _orders(traces: Traces) -> dict[str, Any]:
    """Of the orders whose checkout began in the day."""

    def of(name: str) -> Traces:
        return traces.take(traces.shape == NUMBER[name])

    paid, declined = of("checkout"), of("checkout declined")
    lost = declined.take(~np.isin(declined.order, paid.order))
    value = float(paid.total.sum() + lost.total.sum())
    return {
        "attempts": len(paid) + len(declined),
        "placed": len(paid) + len(lost),
        "failed": len(lost),
        "value": round(value, 2),
        "lost": round(float(lost.total.sum()), 2),
        "webhooks": len(of("webhook")),
        "fulfilled": len(of("fulfil")),
        "notified": len(of("notify")),
        "last": f"o-{paid.order[-1]:010}" if len(paid) else None,
    }


def _words(day: Day, parts: list[tuple[Traces, Ints]]) -> dict[str, int]:
    """How many log records have the most frequent word, one in the middle, and the rarest."""
    words = {vocabulary()[0]: 0, vocabulary()[300]: 0, RARE_WORD: 0}
    for number, (traces, bounds) in enumerate(parts):
        for said in rendering.said(day, number, traces, bounds):
            for word in words:
                words[word] += int(said.pool.has(word)[said.which].sum())
    return words


if __name__ == "__main__":
    main()
