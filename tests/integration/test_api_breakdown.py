"""The breakdown of slow and of typical traces, dependencies, exceptions and services with many names,
compared with plain Python."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clew.api import selection
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import Trace, is_quantile, rfc3339, traces_of
from support.settled import Call, insert_settled, path_of
from support.traffic import (
    ERROR,
    MINUTE,
    SECOND,
    SERVER,
    Event,
    Generator,
    Loader,
    Log,
    Process,
    Span,
    exception,
)

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 10 * MINUTE)}
WEB = Process("web", "web-1")
PROCESSES = (WEB, Process("orders", "orders-1"), Process("payments", "payments-1"))
Operation = tuple[str, str, str]


@dataclass(frozen=True)
class Dataset:
    answer: dict[str, Any]
    traces: list[Trace]
    calls: dict[str, list[Call]]

    @property
    def p95(self) -> float:
        """The transaction's p95 in nanoseconds, as the response has it."""
        return float(self.answer["transaction"]["duration_ms"]["p95"]) * 1e6

    @property
    def rows(self) -> dict[Operation, dict[str, Any]]:
        return {
            (row["service"], row["operation"], row["kind"]): row for row in self.answer["breakdown"]
        }


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    generator, choice = Generator(7, PROCESSES), random.Random(7)
    spans = [
        span
        for _ in range(150)
        for span in generator.trace(WEB, "GET /", BEGAN + choice.randrange(10 * MINUTE))
    ]
    loader.spans(spans)
    traces = traces_of(spans)
    calls: dict[str, list[Call]] = {
        trace.id: [
            (
                choice.choice(("web", "orders")), *choice.choice(
                    (("postgresql", "database"), ("mails", "queue"), ("bank", "external"))
                ), choice.choice(("SELECT a", "it's")), choice.randrange(1, SECOND),
                choice.random() < 0.2,
            )
            for _ in range(choice.randrange(4))
        ]
        for trace in traces
    }  # fmt: skip
    # Settled twice: only the later version counts.
    insert_settled(
        store, traces[:50], {trace.id: calls[trace.id] * 2 for trace in traces}, version=1
    )
    insert_settled(store, traces, calls, version=2)
    api = ApiClient(store)
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **WINDOW)["transactions"])
    return Dataset(api.get(f"/api/v1/transactions/{id}", **WINDOW), traces, calls)


def test_the_breakdown_of_slow_and_of_typical_traces(dataset: Dataset) -> None:
    slow = [trace for trace in dataset.traces if trace.entry.duration > dataset.p95]
    typical = [trace for trace in dataset.traces if trace.entry.duration <= dataset.p95]
    assert 0 < len(slow) < len(typical)
    for name, traces in (("slow", slow), ("typical", typical)):
        parts: dict[Operation, list[int]] = defaultdict(lambda: [0, 0, 0])
        for trace in traces:
            for operation, times in path_of(trace).items():
                parts[operation] = [a + b for a, b in zip(parts[operation], times, strict=True)]
        totals = [sum(part[number] for part in parts.values()) for number in range(3)]
        for operation, row in dataset.rows.items():
            calls, self_times, critical = parts[operation]
            assert row[name] == {
                "calls_per_trace": pytest.approx(calls / len(traces)),
                "self_time_ms_per_trace": pytest.approx(self_times / 1e6 / len(traces), abs=1e-9),
                "share": pytest.approx(self_times / totals[1], abs=1e-12),
                "critical_share": pytest.approx(critical / totals[2], abs=1e-12),
            }


def test_the_p95_without_an_operation(dataset: Dataset) -> None:
    assert len(dataset.rows) > 5
    for operation, row in dataset.rows.items():
        durations = [
            max(1, trace.entry.duration - path_of(trace).get(operation, (0, 0, 0))[2])
            for trace in dataset.traces
        ]
        without = row["p95_without_ms"] * 1e6
        # At most the p95, which itself is within 1 %.
        assert is_quantile(without, durations, 0.95) or without == dataset.p95
        assert without <= dataset.p95


def test_dependencies_are_the_calls_of_the_traces(dataset: Dataset) -> None:
    expected: dict[tuple[str, ...], list[Call]] = defaultdict(list)
    for call in itertools.chain(*dataset.calls.values()):
        source, target, type, summary, _, _ = call
        expected[type, target, source, summary].append(call)
    results = {
        (row["type"], row["name"], row["source"], row["summary"]): row
        for row in dataset.answer["dependencies"]
    }
    assert results.keys() == expected.keys()
    for key, row in results.items():
        calls = expected[key]
        durations = [call[4] for call in calls]
        assert row["calls"] == len(calls)
        assert row["errors"] == sum(call[5] for call in calls)
        assert row["error_rate"] == pytest.approx(row["errors"] / len(calls))
        assert row["calls_per_trace"] == pytest.approx(len(calls) / len(dataset.traces))
        assert row["total_ms"] == pytest.approx(sum(durations) / 1e6)
        assert is_quantile(row["duration_ms"]["p50"] * 1e6, durations, 0.5)
        assert is_quantile(row["duration_ms"]["p95"] * 1e6, durations, 0.95)
    times = [row["total_ms"] for row in dataset.answer["dependencies"]]
    assert times == sorted(times, reverse=True)


def test_a_sample_has_a_standard_error(store: Store, ingest: Ingest, tmp_path: Any) -> None:
    """One trace in four is settled and stands for four."""
    generator, choice = Generator(8, PROCESSES), random.Random(8)
    spans = [
        span
        for _ in range(200)
        for span in generator.trace(WEB, "GET /", BEGAN + choice.randrange(10 * MINUTE))
    ]
    Loader(ingest, tmp_path).spans(spans)
    traces = traces_of(spans)
    settled = choice.sample(traces, 50)
    insert_settled(store, settled, one_in=4)
    api = ApiClient(store)
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **WINDOW)["transactions"])
    answer = api.get(f"/api/v1/transactions/{id}", **WINDOW)
    assert answer["transaction"]["count"] == 200
    self_times = [sum(times[1] for times in path_of(trace).values()) for trace in settled]
    errors = []
    for row in answer["breakdown"]:
        operation = (row["service"], row["operation"], row["kind"])
        parts = [path_of(trace).get(operation, (0, 0, 0)) for trace in settled]
        share = sum(part[1] for part in parts) / sum(self_times)
        assert row["calls"] == 4 * sum(part[0] for part in parts)
        assert row["share"] == pytest.approx(share)
        squares = sum(
            (part[1] - share * self_time) ** 2
            for part, self_time in zip(parts, self_times, strict=True)
        )
        errors.append((4 * 3 * squares) ** 0.5 / (4 * sum(self_times)))
    assert answer["sample"] == {"traces": 50, "of": 200, "error": pytest.approx(max(errors))}
    assert 0 < max(errors) < 0.5


def test_a_frequent_transaction_is_read_in_slices_of_the_window(
    store: Store, ingest: Ingest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and times are scaled up to all traces. Shares are those of the slices; their error
    comes from the differences between slices."""
    monkeypatch.setattr(selection, "MAX_TRACES", 100)
    monkeypatch.setattr(selection, "SLICES", 10)
    generator = Generator(9, PROCESSES)
    spans = [
        span
        for number in range(400)
        for span in generator.trace(WEB, "GET /", BEGAN + number * SECOND + number)
    ]
    Loader(ingest, tmp_path).spans(spans)
    traces = traces_of(spans)
    calls = {trace.id: [("web", "db", "database", "SELECT", 5, False)] for trace in traces}
    insert_settled(store, traces, calls)
    api = ApiClient(store)
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 400 * SECOND)}
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **window)["transactions"])
    answer = api.get(f"/api/v1/transactions/{id}", **window)
    # The first 10 of each 40 seconds.
    read = [trace for trace in traces if (trace.start - BEGAN) % (40 * SECOND) < 10 * SECOND]
    assert len(read) == 100
    assert (answer["sample"]["traces"], answer["sample"]["of"]) == (100, 400)
    paths = [path_of(trace) for trace in read]
    slices = [(trace.start - BEGAN) // (40 * SECOND) for trace in read]
    self_times = [sum(times[1] for times in path.values()) for path in paths]
    errors = []
    for row in answer["breakdown"]:
        parts = [
            path.get((row["service"], row["operation"], row["kind"]), (0, 0, 0)) for path in paths
        ]
        share = sum(part[1] for part in parts) / sum(self_times)
        assert row["calls"] == 4 * sum(part[0] for part in parts)
        assert row["self_time_ms"] == pytest.approx(4 * sum(part[1] for part in parts) / 1e6)
        assert row["share"] == pytest.approx(share)
        deviations = [0.0] * 10
        for number_of_slice, part, self_time in zip(slices, parts, self_times, strict=True):
            deviations[number_of_slice] += part[1] - share * self_time
        errors.append(
            (sum(deviation**2 for deviation in deviations) * 10 / 9) ** 0.5 / sum(self_times)
        )
    assert answer["sample"]["error"] == pytest.approx(max(errors))
    (dependency,) = answer["dependencies"]
    assert (dependency["calls"], dependency["calls_per_trace"]) == (400, 1)
    assert dependency["total_ms"] == pytest.approx(400 * 5e-6)


PYTHON = """Traceback (most recent call last):
  File "/app/shop/orders.py", line {line}, in place
    pay(order)
  File "/app/shop/payments.py", line 7, in pay
    client.post(url)
  File "/usr/lib/python3.11/site-packages/httpx/_client.py", line 1144, in post
    return self.request(url)
  File "<frozen importlib._bootstrap>", line 241, in _call
httpx.ConnectError: at last, order {line} failed"""
JAVA = """java.lang.IllegalStateException: order {line}
\tat java.base/java.util.Optional.orElseThrow(Optional.java:403)
\tat org.springframework.web.Dispatcher.run(Dispatcher.java:12)
\tat com.shop.payments.Charge.pay(Charge.java:{line})
\tat com.shop.Main.main(Main.java:5)"""
NODE = """Error: order {line}
    at node:internal/process/task_queues:95:5
    at Client.post (/app/node_modules/got/index.js:1:2)
    at pay (/app/src/payments.js:{line}:13)
    at main (/app/src/main.js:3:1)"""
GO = """goroutine 1 [running]:
runtime/debug.Stack()
\t/usr/local/go/src/runtime/debug/stack.go:24 +0x5e
main.pay(...)
\t/app/payments.go:{line} +0x1d
main.main()
\t/app/main.go:9 +0x25"""
RUBY = """/usr/local/bundle/gems/net-http/lib/net/http.rb:987:in `connect'
/app/lib/payments.rb:{line}:in `pay'
/app/lib/main.rb:3:in `<main>'"""
FRAMES = {
    "python": (PYTHON, 'File "/app/shop/payments.py", in pay'),
    "java": (JAVA, "at com.shop.payments.Charge.pay(Charge.java)"),
    "node": (NODE, "at pay (/app/src/payments.js)"),
    "go": (GO, "/app/payments.go"),
    "ruby": (RUBY, "/app/lib/payments.rb:in `pay'"),
    "none": ("no frames at all", None),
    "library's own": ('  File "/usr/lib/python3.11/json/decoder.py", line 3, in f\nE', None),
}


def test_exceptions_are_grouped_by_the_innermost_frame_of_the_services_own_code(
    store: Store, ingest: Ingest, tmp_path: Any
) -> None:
    spans, logs, ids = [], [], itertools.count(1)
    for name, (stack, _) in FRAMES.items():
        process = Process(name, name)
        for number in range(10, 13):
            trace, span = f"{next(ids):032x}", f"{next(ids):016x}"
            attributes = exception("Failed", f"order {number}")
            attributes |= {"exception.stacktrace": stack.replace("{line}", str(number))}
            spans.append(
                Span(
                    trace, span, "", process, "GET /", SERVER, BEGAN, BEGAN + SECOND,
                    status=ERROR, events=(Event(BEGAN + number, "exception", attributes),),
                )
            )  # fmt: skip
            # The span's exception again, logged without its stack.
            logged = exception("Failed", f"order {number + 10}")
            logs.append(
                Log(BEGAN + number, process, "ERROR", "failed", logged, trace=trace, span=span)
            )
    loader = Loader(ingest, tmp_path)
    loader.spans(spans)
    loader.logs(logs)
    api = ApiClient(store)
    listed = api.get("/api/v1/transactions", **WINDOW)["transactions"]
    assert {row["service"] for row in listed} == FRAMES.keys()
    for row in listed:
        (group,) = api.get(f"/api/v1/transactions/{row['id']}", **WINDOW)["exceptions"]
        assert (group["message"], group["count"]) == ("order #", 3)
        assert group["frame"] == FRAMES[row["service"]][1], row["service"]


def test_names_beyond_the_first_200_are_one_transaction(
    store: Store, ingest: Ingest, tmp_path: Any
) -> None:
    loader = Loader(ingest, tmp_path)
    names = [f"GET /{number}" for number in range(230)]
    small_service = Process("few", "few-1")
    spans = [
        Span(
            f"{place + 1:032x}", f"{place + 1:016x}", "", process, name, SERVER,
            BEGAN + place * SECOND, BEGAN + (place + 1) * SECOND,
        )
        for place, (process, name) in enumerate(
            # Each name once, and the names beyond the first 200 a second time.
            [*((WEB, name) for name in names), *((WEB, name) for name in names[200:]), (small_service, "GET /")]
        )
    ]  # fmt: skip
    # The order is by the time of spans, not by their arrival.
    loader.spans(reversed(spans))
    insert_settled(store, traces_of(spans))
    api = ApiClient(store)
    answer = api.get("/api/v1/transactions", **WINDOW, limit=1000)
    assert answer["overflow"] == [{"service": "web", "names": 230}]
    transactions = answer["transactions"]
    first = transactions[0]
    assert (first["name"], first["count"]) == ("web: (other)", 60)
    assert {row["operation"] for row in transactions if row["service"] == "web"} == {
        "(other)",
        *names[:200],
    }
    pages = api.pages("/api/v1/transactions", "transactions", **WINDOW, limit=60)
    assert list(itertools.chain(*pages)) == transactions
    joined = api.get(f"/api/v1/transactions/{first['id']}", **WINDOW)
    assert joined["transaction"] == first
    assert joined["sample"]["traces"] == 60
    assert {row["operation"] for row in joined["breakdown"]} == set(names[200:])
    other_ids = {span.trace for span in spans if span.name in names[200:]}
    instances = api.get(f"/api/v1/transactions/{first['id']}/instances", **WINDOW, limit=1000)[
        "instances"
    ]
    assert {row["key"] for row in instances} == other_ids
    key = instances[0]["key"]
    assert (
        api.get(f"/api/v1/transactions/{first['id']}/instances/{key}")["instance"] == instances[0]
    )
    compared = api.get("/api/v1/compare", **WINDOW, transaction=first["id"], attr="a=b")
    assert (compared["a"]["traces"], compared["b"]["traces"]) == (0, 60)
    traces = api.get("/api/v1/traces", **WINDOW, transaction=first["id"], limit=1000)["traces"]
    assert {trace["trace_id"] for trace in traces} == other_ids
