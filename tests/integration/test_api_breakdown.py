"""Where the time goes, for slow traces and for the others, what is called, what is thrown, and many
names, against plain Python."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clew.api import joined
from clew.storage import Ingest, Store
from support.asking import Api
from support.reference import Trace, is_quantile, rfc3339, traces_of
from support.settled import Call, path_of, settle
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
class Shown:
    answer: dict[str, Any]
    traces: list[Trace]
    calls: dict[str, list[Call]]

    @property
    def p95(self) -> float:
        """In nanoseconds, as the answer has it."""
        return float(self.answer["transaction"]["duration_ms"]["p95"]) * 1e6

    @property
    def rows(self) -> dict[Operation, dict[str, Any]]:
        return {
            (row["service"], row["operation"], row["kind"]): row for row in self.answer["breakdown"]
        }


@pytest.fixture(scope="module")
def shown(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Shown:
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
    # Settled twice: the later version counts.
    settle(store, traces[:50], {trace.id: calls[trace.id] * 2 for trace in traces}, version=1)
    settle(store, traces, calls, version=2)
    api = Api(store)
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **WINDOW)["transactions"])
    return Shown(api.get(f"/api/v1/transactions/{id}", **WINDOW), traces, calls)


def test_the_slow_and_the_typical_are_told_apart(shown: Shown) -> None:
    slow = [trace for trace in shown.traces if trace.entry.duration > shown.p95]
    typical = [trace for trace in shown.traces if trace.entry.duration <= shown.p95]
    assert 0 < len(slow) < len(typical)
    for name, traces in (("slow", slow), ("typical", typical)):
        parts: dict[Operation, list[int]] = defaultdict(lambda: [0, 0, 0])
        for trace in traces:
            for operation, times in path_of(trace).items():
                parts[operation] = [a + b for a, b in zip(parts[operation], times, strict=True)]
        whole = [sum(part[number] for part in parts.values()) for number in range(3)]
        for operation, row in shown.rows.items():
            calls, own, critical = parts[operation]
            assert row[name] == {
                "calls_per_trace": pytest.approx(calls / len(traces)),
                "self_time_ms_per_trace": pytest.approx(own / 1e6 / len(traces), abs=1e-9),
                "share": pytest.approx(own / whole[1], abs=1e-12),
                "critical_share": pytest.approx(critical / whole[2], abs=1e-12),
            }


def test_what_the_p95_would_be_without_an_operation(shown: Shown) -> None:
    assert len(shown.rows) > 5
    for operation, row in shown.rows.items():
        durations = [
            max(1, trace.entry.duration - path_of(trace).get(operation, (0, 0, 0))[2])
            for trace in shown.traces
        ]
        without = row["p95_without_ms"] * 1e6
        # Never more than the p95, which is within 1 % itself.
        assert is_quantile(without, durations, 0.95) or without == shown.p95
        assert without <= shown.p95


def test_what_was_called(shown: Shown) -> None:
    expected: dict[tuple[str, ...], list[Call]] = defaultdict(list)
    for call in itertools.chain(*shown.calls.values()):
        source, target, type, summary, _, _ = call
        expected[type, target, source, summary].append(call)
    found = {
        (row["type"], row["name"], row["source"], row["summary"]): row
        for row in shown.answer["dependencies"]
    }
    assert found.keys() == expected.keys()
    for key, row in found.items():
        calls = expected[key]
        durations = [call[4] for call in calls]
        assert row["calls"] == len(calls)
        assert row["errors"] == sum(call[5] for call in calls)
        assert row["error_rate"] == pytest.approx(row["errors"] / len(calls))
        assert row["calls_per_trace"] == pytest.approx(len(calls) / len(shown.traces))
        assert row["total_ms"] == pytest.approx(sum(durations) / 1e6)
        assert is_quantile(row["duration_ms"]["p50"] * 1e6, durations, 0.5)
        assert is_quantile(row["duration_ms"]["p95"] * 1e6, durations, 0.95)
    times = [row["total_ms"] for row in shown.answer["dependencies"]]
    assert times == sorted(times, reverse=True)


def test_a_sample_says_how_far_off_it_may_be(store: Store, ingest: Ingest, tmp_path: Any) -> None:
    """One trace in four is settled; the shares are within a few standard errors of those of all."""
    generator, choice = Generator(8, PROCESSES), random.Random(8)
    spans = [
        span
        for _ in range(200)
        for span in generator.trace(WEB, "GET /", BEGAN + choice.randrange(10 * MINUTE))
    ]
    Loader(ingest, tmp_path).spans(spans)
    traces = traces_of(spans)
    settled = choice.sample(traces, 50)
    settle(store, settled, one_in=4)
    api = Api(store)
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **WINDOW)["transactions"])
    answer = api.get(f"/api/v1/transactions/{id}", **WINDOW)
    assert answer["transaction"]["count"] == 200
    own = [sum(times[1] for times in path_of(trace).values()) for trace in settled]
    errors = []
    for row in answer["breakdown"]:
        operation = (row["service"], row["operation"], row["kind"])
        parts = [path_of(trace).get(operation, (0, 0, 0)) for trace in settled]
        share = sum(part[1] for part in parts) / sum(own)
        assert row["calls"] == 4 * sum(part[0] for part in parts)
        assert row["share"] == pytest.approx(share)
        squares = sum((part[1] - share * all) ** 2 for part, all in zip(parts, own, strict=True))
        errors.append((4 * 3 * squares) ** 0.5 / (4 * sum(own)))
    assert answer["sample"] == {"traces": 50, "of": 200, "error": pytest.approx(max(errors))}
    assert 0 < max(errors) < 0.5


def test_of_a_frequent_transaction_slices_of_the_window_are_read(
    store: Store, ingest: Ingest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are those of all traces, to be expected from those of the slices; the shares are the
    slices' own, with an error that their differences say."""
    monkeypatch.setattr(joined, "WHOLE_TRACES", 100)
    monkeypatch.setattr(joined, "SLICES", 10)
    generator = Generator(9, PROCESSES)
    spans = [
        span
        for number in range(400)
        for span in generator.trace(WEB, "GET /", BEGAN + number * SECOND + number)
    ]
    Loader(ingest, tmp_path).spans(spans)
    traces = traces_of(spans)
    calls = {trace.id: [("web", "db", "database", "SELECT", 5, False)] for trace in traces}
    settle(store, traces, calls)
    api = Api(store)
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 400 * SECOND)}
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **window)["transactions"])
    answer = api.get(f"/api/v1/transactions/{id}", **window)
    # The first 10 of each 40 seconds.
    read = [trace for trace in traces if (trace.start - BEGAN) % (40 * SECOND) < 10 * SECOND]
    assert len(read) == 100
    assert (answer["sample"]["traces"], answer["sample"]["of"]) == (100, 400)
    paths = [path_of(trace) for trace in read]
    slices = [(trace.start - BEGAN) // (40 * SECOND) for trace in read]
    own = [sum(times[1] for times in path.values()) for path in paths]
    errors = []
    for row in answer["breakdown"]:
        parts = [
            path.get((row["service"], row["operation"], row["kind"]), (0, 0, 0)) for path in paths
        ]
        share = sum(part[1] for part in parts) / sum(own)
        assert row["calls"] == 4 * sum(part[0] for part in parts)
        assert row["self_time_ms"] == pytest.approx(4 * sum(part[1] for part in parts) / 1e6)
        assert row["share"] == pytest.approx(share)
        off = [0.0] * 10
        for at, part, all in zip(slices, parts, own, strict=True):
            off[at] += part[1] - share * all
        errors.append((sum(each**2 for each in off) * 10 / 9) ** 0.5 / sum(own))
    assert answer["sample"]["error"] == pytest.approx(max(errors))
    (called,) = answer["dependencies"]
    assert (called["calls"], called["calls_per_trace"]) == (400, 1)
    assert called["total_ms"] == pytest.approx(400 * 5e-6)


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


@pytest.mark.parametrize(("stack", "frame"), FRAMES.values(), ids=FRAMES.keys())
def test_exceptions_are_told_apart_by_the_innermost_frame_of_their_own(
    store: Store, ingest: Ingest, tmp_path: Any, stack: str, frame: str | None
) -> None:
    loader = Loader(ingest, tmp_path)
    thrown = [
        exception("Failed", f"order {number}")
        | {"exception.stacktrace": stack.replace("{line}", str(number))}
        for number in range(10, 13)
    ]
    for number, attributes in enumerate(thrown):
        trace, span = f"{number + 1:032x}", f"{number + 1:016x}"
        event = Event(BEGAN + number, "exception", attributes)
        loader.spans(
            [
                Span(
                    trace, span, "", WEB, "GET /", SERVER, BEGAN, BEGAN + SECOND,
                    status=ERROR, events=(event,),
                )
            ]
        )  # fmt: skip
        # The span's own, logged without its stack: the same one.
        loader.logs(
            [
                Log(
                    BEGAN + number, WEB, "ERROR", "failed",
                    exception("Failed", f"order {number + 10}"), trace=trace, span=span,
                )
            ]
        )  # fmt: skip
    api = Api(store)
    (id,) = (row["id"] for row in api.get("/api/v1/transactions", **WINDOW)["transactions"])
    (found,) = api.get(f"/api/v1/transactions/{id}", **WINDOW)["exceptions"]
    assert (found["message"], found["count"]) == ("order #", 3)
    assert found["frame"] == frame


def test_many_names_of_a_service_are_one_transaction(
    store: Store, ingest: Ingest, tmp_path: Any
) -> None:
    loader = Loader(ingest, tmp_path)
    names = [f"GET /{number}" for number in range(230)]
    few = Process("few", "few-1")
    spans = [
        Span(
            f"{place + 1:032x}", f"{place + 1:016x}", "", process, name, SERVER,
            BEGAN + place * SECOND, BEGAN + (place + 1) * SECOND,
        )
        for place, (process, name) in enumerate(
            # Each name once in turn, and those beyond the first 200 once more.
            [*((WEB, name) for name in names), *((WEB, name) for name in names[200:]), (few, "GET /")]
        )
    ]  # fmt: skip
    # What came first counts, not what arrived first.
    loader.spans(reversed(spans))
    settle(store, traces_of(spans))
    api = Api(store)
    listed = api.get("/api/v1/transactions", **WINDOW, limit=1000)
    assert listed["overflow"] == [{"service": "web", "names": 230}]
    first = listed["transactions"][0]
    assert (first["name"], first["count"]) == ("web: (other)", 60)
    assert {row["operation"] for row in listed["transactions"] if row["service"] == "web"} == {
        "(other)",
        *names[:200],
    }
    pages = api.pages("/api/v1/transactions", "transactions", **WINDOW, limit=60)
    assert list(itertools.chain(*pages)) == listed["transactions"]
    joined = api.get(f"/api/v1/transactions/{first['id']}", **WINDOW)
    assert joined["transaction"] == first
    assert joined["sample"]["traces"] == 60
    assert {row["operation"] for row in joined["breakdown"]} == set(names[200:])
    others = {span.trace for span in spans if span.name in names[200:]}
    instances = api.get(f"/api/v1/transactions/{first['id']}/instances", **WINDOW, limit=1000)[
        "instances"
    ]
    assert {row["key"] for row in instances} == others
    key = instances[0]["key"]
    assert (
        api.get(f"/api/v1/transactions/{first['id']}/instances/{key}")["instance"] == instances[0]
    )
    compared = api.get("/api/v1/compare", **WINDOW, transaction=first["id"], attr="a=b")
    assert (compared["a"]["traces"], compared["b"]["traces"]) == (0, 60)
    found = api.get("/api/v1/traces", **WINDOW, transaction=first["id"], limit=1000)["traces"]
    assert {trace["trace_id"] for trace in found} == others
