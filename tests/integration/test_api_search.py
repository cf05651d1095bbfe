"""The search of traces: by when their spans ran, by scope, links and events, and by odd keys."""

from __future__ import annotations

import itertools
import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.api import traces as api_traces
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import load
from support.reference import rfc3339
from support.traffic import (
    CLIENT,
    ERROR,
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    Loader,
    Log,
    Point,
    Process,
    Span,
)

BEGAN = 1_780_308_000 * SECOND
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
NIGHT, API, PHONE = (Process(name, f"{name}-1") for name in ("night", "api", "phone"))


@pytest.fixture
def loader(ingest: Ingest, tmp_path: Path) -> Loader:
    return Loader(ingest, tmp_path)


@pytest.fixture
def api(store: Store) -> ApiClient:
    return ApiClient(store)


def _span(trace: int, id: int, parent: int, start: int, **members: Any) -> Span:
    """A span of 20 ms; `start` in nanoseconds since BEGAN, `parent` 0 is none."""
    began = BEGAN + start
    span = Span(
        f"{trace:032x}", f"{id:016x}", f"{parent:016x}" if parent else "", API,
        "work", SERVER, began, began + 20 * MILLISECOND,
    )  # fmt: skip
    return replace(span, **members)


def _search(api: ApiClient, since: int, until: int, **parameters: Any) -> list[int]:
    """The traces found in a window, in nanoseconds since BEGAN."""
    window = {"start": rfc3339(BEGAN + since), "end": rfc3339(BEGAN + until)}
    traces = api.get("/api/v1/traces", **window, **parameters)["traces"]
    return [int(trace["trace_id"], 16) for trace in traces]


def _nightly(loader: Loader) -> None:
    """A trace of 200 minutes, in two inserts, with a failure three minutes before its end."""
    root = _span(1, 1, 0, 0, process=NIGHT, name="nightly", end=BEGAN + 200 * MINUTE)
    loader.spans([root, _span(1, 2, 1, MINUTE)])
    loader.spans([_span(1, 3, 1, 197 * MINUTE, status=ERROR, name="step")])


def test_a_trace_is_where_its_matching_spans_start(loader: Loader, api: ApiClient) -> None:
    _nightly(loader)
    last_hour = (140 * MINUTE, 200 * MINUTE)
    assert _search(api, *last_hour) == [1]
    assert _search(api, *last_hour, status="error") == [1]
    assert _search(api, *last_hour, service="night") == []
    assert _search(api, 0, MINUTE, service="night") == [1]
    assert _search(api, 0, MINUTE, status="error") == []
    assert _search(api, 100 * MINUTE, 190 * MINUTE) == []  # it runs, but no span starts
    (trace,) = api.get(
        "/api/v1/traces", start=rfc3339(BEGAN), end=rfc3339(BEGAN + DAY), service="api"
    )["traces"]
    assert trace["start"] == rfc3339(BEGAN)
    assert trace["matched_at"] == rfc3339(BEGAN + 197 * MINUTE)
    assert trace["duration_ms"] == 200 * MINUTE / MILLISECOND


def test_durations_and_the_transaction_are_those_of_the_whole_trace(
    loader: Loader, api: ApiClient
) -> None:
    _nightly(loader)
    names = api.get("/api/v1/transactions", start=rfc3339(BEGAN), end=rfc3339(BEGAN + HOUR))
    (transaction,) = names["transactions"]
    for within in ((140 * MINUTE, 200 * MINUTE), (196 * MINUTE, 198 * MINUTE)):
        assert _search(api, *within, status="error", min_duration_ms=11e6) == [1]
        assert _search(api, *within, status="error", min_duration_ms=13e6) == []
        assert _search(api, *within, status="error", max_duration_ms=11e6) == []
        assert _search(api, *within, max_duration_ms=13e6) == [1]
        assert _search(api, *within, status="error", transaction=transaction["id"]) == [1]


@pytest.mark.parametrize("skew", [-DAY, -2 * HOUR, 2 * HOUR, DAY])
def test_a_clock_that_is_wrong_hides_no_other_span(
    loader: Loader, api: ApiClient, skew: int
) -> None:
    tap = _span(7, 1, 0, skew, process=PHONE, name="tap", kind=CLIENT)
    order = _span(7, 2, 1, 0, status=ERROR)
    loader.spans([tap])
    loader.spans([order])
    assert _search(api, -HOUR, HOUR, status="error") == [7]
    assert _search(api, -2 * DAY, 2 * DAY, status="error") == [7]
    assert _search(api, -HOUR, HOUR) == [7]
    assert _search(api, -HOUR, HOUR, service="phone") == []
    assert _search(api, -HOUR, HOUR, status="error", min_duration_ms=HOUR / 1e6) == [7]
    phones = {"start": rfc3339(BEGAN + skew), "end": rfc3339(BEGAN + skew + 1)}
    (transaction,) = api.get("/api/v1/transactions", **phones)["transactions"]
    assert _search(api, -HOUR, HOUR, status="error", transaction=transaction["id"]) == [7]


def test_a_window_that_ends_now_includes_clocks_that_are_ahead(
    loader: Loader, api: ApiClient
) -> None:
    offset = time.time_ns() - BEGAN
    ahead = [_span(number, 1, 0, offset + number * 2 * MINUTE) for number in range(1, 4)]
    loader.spans([*ahead, _span(9, 1, 0, offset - MINUTE), _span(8, 1, 0, offset + 2 * DAY)])
    pages = api.pages("/api/v1/traces", "traces", start="-1h", limit=2)
    ids = [int(trace["trace_id"], 16) for page in pages for trace in page]
    assert ids == [3, 2, 1, 9]
    now = rfc3339(time.time_ns())
    assert len(api.get("/api/v1/traces", start="-1h", end=now)["traces"]) == 1


@pytest.mark.parametrize(("limit", "rest_rows"), [(1, 300_000), (3, 300_000), (3, 1), (1000, 1)])
def test_each_trace_stands_once_at_its_newest_matching_span(
    loader: Loader, api: ApiClient, limit: int, rest_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the rest of the window is read at once, or is too large for that."""
    monkeypatch.setattr(api_traces, "REST_ROWS", rest_rows)
    choice = random.Random(limit)
    spans = [
        _span(trace, 100 * trace + number, 0, choice.randint(0, 7 * 60) * MINUTE,
              status=status, attributes={"failed": "yes"} if status else {})
        for trace in range(1, 30)
        for number in range(choice.randint(1, 6))
        for status in choice.choices((0, ERROR))
    ]  # fmt: skip
    loader.spans(spans)
    since, until = HOUR, 6 * HOUR + 90 * SECOND
    window = {"start": rfc3339(BEGAN + since), "end": rfc3339(BEGAN + until)}
    for parameters, status in (
        ({}, None),
        ({"status": "error"}, ERROR),
        ({"attr": "failed=yes"}, ERROR),
    ):
        newest: dict[str, int] = {}
        for span in spans:
            if since <= span.start - BEGAN < until and status in (None, span.status):
                newest[span.trace] = max(newest.get(span.trace, 0), span.start)
        pages = api.pages("/api/v1/traces", "traces", **window, **parameters, limit=limit)
        found = [(trace["matched_at"], trace["trace_id"]) for trace in itertools.chain(*pages)]
        expected = [(rfc3339(start), trace) for trace, start in newest.items()]
        assert found == sorted(expected, reverse=True)
        assert all(len(page) == limit for page in pages[:-1])


REQUEST = ExportTraceServiceRequest()
_resource = REQUEST.resource_spans.add()
for _number in range(3):
    _scope = _resource.scope_spans.add()
    _scope.scope.name, _scope.scope.version = f"library {_number}", f"1.{_number}"
    _scope.scope.attributes.add(key="build").value.string_value = f"b{_number}"
    _sent = _scope.spans.add(
        trace_id=(_number + 1).to_bytes(16, "big"),
        span_id=(_number + 1).to_bytes(8, "big"),
        name="work",
        start_time_unix_nano=BEGAN,
        end_time_unix_nano=BEGAN + 1,
    )
    _sent.attributes.add(key="size").value.int_value = 10 * _number
    _sent.attributes.add(key='a=b>c "d"\n\'é').value.string_value = f"odd {_number}"
    _sent.attributes.add(key="scope.name").value.string_value = "mine"
    _sent.attributes.add(key="letter").value.string_value = "xyz"[_number]
    if _number:
        _link = _sent.links.add(trace_id=bytes([0] * 8 + [0xAB] * 8), span_id=bytes([_number] * 8))
        _link.attributes.add(key="kind").value.string_value = f"retry {_number}"
        _event = _sent.events.add(name=f"event {_number}", time_unix_nano=BEGAN)
        _event.attributes.add(key="exception.type").value.string_value = "Timeout"
        _event.attributes.add(key="attempt").value.int_value = _number
ODD_KEY = json.dumps('a=b>c "d"\n\'é')


@pytest.fixture
def odd(ingest: Ingest, tmp_path: Path) -> None:
    load(ingest, tmp_path, ("traces", REQUEST.SerializeToString()))


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("text", "traces"),
    [
        ("scope.name=library 1", {2}),
        ("scope.name!=library 1", {1, 3}),
        ("scope.name~library", {1, 2, 3}),
        ("otel.scope.version in 1.0,1.2", {1, 3}),
        ("scope.version>=1.1", {2, 3}),
        ("scope.build=b2", {3}),
        ("scope.build exists", {1, 2, 3}),
        ("scope.other exists", set()),
        ('"scope.name"=mine', {1, 2, 3}),
        ("link.trace_id=abababababababab", {2, 3}),
        ("link.trace_id=0000000000000000ABABABABABABABAB", {2, 3}),
        ("link.trace_id exists", {2, 3}),
        ("link.span_id in 101010101010101,3", {2}),
        ("link.kind=retry 2", {3}),
        ("link.kind~retry", {2, 3}),
        ("event.name=event 1", {2}),
        ("event.exception.type=Timeout", {2, 3}),
        ("event.attempt>1", {3}),
        ("event.attempt<=1", {2}),
        ("event.attempt!=1", {1, 3}),
        ("size>=10", {2, 3}),
        ("size<=10", {1, 2}),
        ("size in 0,20", {1, 3}),
        ('size in ["10", 20]', {2, 3}),
        ("letter in (x, z)", {1, 3}),
        ("letter in x,", {1}),
        ("size exists", {1, 2, 3}),
        ("no.such.key exists", set()),
        ('no.such.key in "",x', set()),
        (f"{ODD_KEY}=odd 1", {2}),
        (f"{ODD_KEY} in odd 1,odd 2", {2, 3}),
        (f"{ODD_KEY} exists", {1, 2, 3}),
        (f"{ODD_KEY}~2", {3}),
    ],
)
def test_scopes_links_events_and_odd_keys(api: ApiClient, text: str, traces: set[int]) -> None:
    assert set(_search(api, 0, MINUTE, attr=text)) == traces


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("tags", "traces"),
    [
        ({"size": "10"}, {2}),
        ({"otel.scope.name": "library 2"}, {3}),
        ({"otel.scope.name": "library 2", "exception.type": "Timeout"}, {3}),
        ({"otel.scope.name": "library 0", "exception.type": "Timeout"}, set()),
        ({"otel.scope.version": "1.1", "size": "10"}, {2}),
        ({"build": "b0"}, {1}),
        ({"exception.type": "Timeout"}, {2, 3}),
        ({"exception.type": "Timeout", "size": "20"}, {3}),
        ({"event": "event 1"}, {2}),
        ({"kind": "retry 2"}, {3}),
        ({"kind": "retry 2", "build": "b1"}, set()),
        ({"size": ""}, set()),
        ({"no.such.key": "x"}, set()),
    ],
)
def test_a_tag_of_jaeger_stands_anywhere_on_a_span(
    api: ApiClient, tags: dict[str, str], traces: set[int]
) -> None:
    window = {"start": BEGAN // 1000, "end": BEGAN // 1000 + 1000}
    answer = api.get("/api/traces", **window, tags=json.dumps(tags), limit=10)
    assert {int(trace["traceID"], 16) for trace in answer["data"]} == traces


@pytest.mark.usefixtures("odd")
def test_a_service_without_a_name_has_one_in_jaeger(api: ApiClient) -> None:
    assert api.get("/api/services")["data"] == ["unknown_service"]
    assert api.get("/api/services/unknown_service/operations")["data"] == ["work"]
    window = {"start": BEGAN // 1000, "end": BEGAN // 1000 + 1000}
    answer = api.get("/api/traces", **window, service="unknown_service")
    assert len(answer["data"]) == 3
    (process,) = answer["data"][0]["processes"].values()
    assert process["serviceName"] == "unknown_service"


def test_a_service_with_a_line_break_in_its_name(loader: Loader, api: ApiClient) -> None:
    loader.spans([_span(1, 1, 0, 0, process=Process("a/b\nc", "1"))])
    assert api.get("/api/services/a%2Fb%0Ac/operations")["data"] == ["work"]
    assert api.get("/api/services/a/b%0Ac/operations")["data"] == ["work"]


FILTERS: dict[str, set[str]] = {
    "shop.city in Rome,Oslo": {"Rome", "Oslo"},
    "shop.city exists": {"Rome", "Oslo", "Bern"},
    "shop.size>=20": {"Oslo", "Bern"},
    "shop.size<=20": {"Rome", "Oslo"},
    '"a=b" exists': {"Bern"},
    "scope.name exists": set(),
    '"scope.name"=mine': {"Rome"},
}


@pytest.mark.parametrize(("text", "cities"), FILTERS.items(), ids=FILTERS.keys())
def test_log_records_and_metrics_take_the_same_filters(
    loader: Loader, api: ApiClient, text: str, cities: set[str]
) -> None:
    attributes: list[dict[str, Any]] = [
        {"shop.city": "Rome", "shop.size": 10, "scope.name": "mine"},
        {"shop.city": "Oslo", "shop.size": 20},
        {"shop.city": "Bern", "shop.size": 30, "a=b": "c"},
    ]
    loader.logs(Log(BEGAN, API, "INFO", "sold", one) for one in attributes)
    loader.points(Point("stock", "1", "gauge", API, BEGAN, 1.0, one) for one in attributes)
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + MINUTE)}
    logs = api.get("/api/v1/logs", **window, attr=text)["logs"]
    assert {log["attributes"]["shop.city"] for log in logs} == cities
    query = api.get("/api/v1/metrics/query", **window, name="stock", by="shop.city", attr=text)
    assert {series["labels"]["shop.city"] for series in query["series"]} == cities


@pytest.mark.parametrize(
    "id", ["abc0000000000def", "ABC0000000000DEF", "0" * 16 + "ABC0000000000DEF"]
)
def test_an_id_of_64_bits_or_in_capitals(loader: Loader, api: ApiClient, id: str) -> None:
    span = _span(0xABC0000000000DEF, 1, 0, 0, name="GET /")
    loader.spans([span])
    assert api.get(f"/api/v1/traces/{id}")["trace_id"] == span.trace
    assert api.get(f"/api/traces/{id}")["data"][0]["traceID"] == span.trace
    assert api.get(f"/api/v3/traces/{id}")["result"]["resourceSpans"]
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + HOUR)}
    (transaction,) = api.get("/api/v1/transactions", **window)["transactions"]
    instance = api.get(f"/api/v1/transactions/{transaction['id']}/instances/{id}")["instance"]
    assert instance["key"] == span.trace
