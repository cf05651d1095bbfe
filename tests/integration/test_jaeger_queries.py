"""Every kind of query that Jaeger asks of a storage: tags in each of five places or spread over them, with an operation
and durations; several traces; a trace over several minutes; limits. Each search has decoys that miss one condition."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.storage import Ingest, Store
from support.any_values import any_value
from support.api_client import ApiClient
from support.loading import load
from support.traffic import SECOND

MONDAY = 1_780_308_000 * SECOND  # 2026-06-01 10:00
HOUR = 3600 * SECOND
TAGS: dict[str, Any] = {"colour": "red", "count": 123, "share": 72.5, "urgent": True}
TEXTS = {"colour": "red", "count": "123", "share": "72.5", "urgent": "true"}
KEYS = list(TAGS)
PLACES = ("span", "resource", "scope", "event", "link")
# Where each tag stands. In the last ones they are spread, as two events of one span are.
SPREADS: dict[str, dict[str, tuple[str, ...]]] = {
    **{place: dict.fromkeys(KEYS, (place,)) for place in PLACES},
    "spread": {"colour": ("resource",), "count": ("event",), "share": ("span",), "urgent": ("span",)},
    "spread widely": {"colour": ("scope",), "count": ("link",), "share": ("event",), "urgent": ("resource",)},
    "repeated": dict.fromkeys(KEYS, PLACES),
}  # fmt: skip
# Durations in nanoseconds, as the search has them and as the span that meets them has it.
DURATIONS = {"any": (None, None), "at most": (None, 2000), "between": (4500, 5500)}


class Traces:
    """Builds the request, and the ids of the traces that each search has to find."""

    def __init__(self) -> None:
        self.request = ExportTraceServiceRequest()
        self.wanted: dict[str, set[str]] = {}
        self._ids = count(1)

    def add(
        self,
        service: str,
        *,
        operation: str = "place",
        start: int = MONDAY,
        duration: int = 5000,
        tags: dict[str, Any] | None = None,
        spread: dict[str, tuple[str, ...]] | None = None,
        trace: str = "",
    ) -> str:
        """Add a span; returns its trace's id."""
        number = next(self._ids)
        trace = trace or f"{number:032x}"
        resource = self.request.resource_spans.add()
        scope = resource.scope_spans.add()
        span = scope.spans.add(
            trace_id=bytes.fromhex(trace), span_id=number.to_bytes(8, "big"), name=operation,
            start_time_unix_nano=start, end_time_unix_nano=start + duration,
        )  # fmt: skip
        resource.resource.attributes.add(key="service.name").value.string_value = service
        scope.scope.name, scope.scope.version = "testing", "1.1.1"
        holders = {"span": span, "resource": resource.resource, "scope": scope.scope}
        for key, places in (spread or {}).items():
            if key not in (tags or {}):
                continue
            for place in places:
                if place == "event":
                    holder = span.events.add(time_unix_nano=start)
                elif place == "link":
                    holder = span.links.add(trace_id=b"\xff" * 16, span_id=b"\xff" * 8)
                else:
                    holder = holders[place]
                holder.attributes.add(key=key).value.CopyFrom(any_value((tags or {})[key]))
        return trace


def _name(spread: str, operation: str, durations: str) -> str:
    return f"{spread}, {operation or 'any'}, {durations}"


SEARCHES = [
    (spread, operation, durations)
    for spread in SPREADS
    for operation in ("", "order")
    for durations in DURATIONS
]


def _traces() -> Traces:
    traces = Traces()
    for spread, operation, durations in SEARCHES:
        service = _name(spread, operation, durations)
        low, high = DURATIONS[durations]
        right: dict[str, Any] = {
            "operation": operation or "place",
            "duration": {"any": 5000, "at most": 1000, "between": 5000}[durations],
            "tags": TAGS,
            "spread": SPREADS[spread],
        }
        traces.wanted[service] = {traces.add(service, **right)}
        # One tag less, one with another value, all under other keys, and the tags over two spans.
        traces.add(service, **right | {"tags": {key: TAGS[key] for key in KEYS[1:]}})
        traces.add(service, **right | {"tags": TAGS | {"count": 124}})
        traces.add(service, **right | {"tags": {f"{key}2": value for key, value in TAGS.items()}})
        halves = [{key: TAGS[key] for key in keys} for keys in (KEYS[:2], KEYS[2:])]
        two = traces.add(service, **right | {"tags": halves[0]})
        traces.add(service, **right | {"tags": halves[1], "trace": two})
        traces.add(f"{service} elsewhere", **right)
        if operation:
            traces.add(service, **right | {"operation": "order2"})
        if high:
            traces.add(service, **right | {"duration": high + 1})
        if low:
            traces.add(service, **right | {"duration": low - 1})
        traces.add(service, **right | {"start": MONDAY + 3 * HOUR})
    return traces


@pytest.fixture(scope="module")
def traces() -> Traces:
    return _traces()


@pytest.fixture(scope="module")
def api(
    emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory, traces: Traces
) -> ApiClient:
    store = emptied()
    body = traces.request.SerializeToString()
    load(Ingest(store), tmp_path_factory.mktemp("queries"), ("traces", body))
    return ApiClient(store)


def _found(api: ApiClient, service: str, **conditions: Any) -> list[set[str]]:
    """The traces that a search finds, by each of the three ways."""
    old = {"start": (MONDAY - HOUR) // 1000, "end": (MONDAY + HOUR) // 1000, "limit": 1000}
    new = {
        "query.startTimeMin": "2026-06-01T09:00:00Z",
        "query.startTimeMax": "2026-06-01T11:00:00Z",
        "query.searchDepth": 1000,
    }
    names = {
        "operation": "query.operationName", "minDuration": "query.durationMin", "maxDuration": "query.durationMax",
        "tags": "query.attributes",
    }  # fmt: skip
    found = api.get("/api/traces", **old, service=service, **conditions)["data"]
    renamed = {names[name]: value for name, value in conditions.items()}
    parameters = {**new, "query.serviceName": service, **renamed}
    summaries = api.get("/api/v3/trace-summaries", **parameters)["summaries"]
    whole = api.response("/api/v3/traces", **parameters)
    spans = (
        [
            span["traceId"]
            for resource in whole.json()["result"]["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        if whole.status_code == 200
        else []
    )
    return [
        {trace["traceID"] for trace in found},
        {summary["traceId"] for summary in summaries},
        set(spans),
    ]


@pytest.mark.parametrize(("spread", "operation", "durations"), SEARCHES, ids=map(str, SEARCHES))
def test_tags_operation_and_durations_hold_of_one_span(
    api: ApiClient, traces: Traces, spread: str, operation: str, durations: str
) -> None:
    service = _name(spread, operation, durations)
    low, high = DURATIONS[durations]
    conditions: dict[str, Any] = {"tags": json.dumps(TEXTS)}
    if operation:
        conditions["operation"] = operation
    if low:
        conditions["minDuration"] = f"{low / 1000}us"
    if high:
        conditions["maxDuration"] = f"{high}ns"
    assert _found(api, service, **conditions) == [traces.wanted[service]] * 3


def test_tags_may_have_their_own_types_in_the_older_api(api: ApiClient, traces: Traces) -> None:
    service = _name("spread", "", "any")
    found = api.get(
        "/api/traces", service=service, tags=json.dumps(TAGS),
        start=(MONDAY - HOUR) // 1000, end=(MONDAY + HOUR) // 1000,
    )["data"]  # fmt: skip
    assert {trace["traceID"] for trace in found} == traces.wanted[service]


def test_service_alone_operation_alone_and_durations_alone(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    traces = Traces()
    ids = {
        (operation, duration): traces.add("shop", operation=operation, duration=duration)
        for operation in ("order", "order list")
        for duration in (999, 1000, 1001, 4499, 4500, 5500, 5501)
    }
    traces.add("shop list")
    # A trace of two services, and one whose span of the right duration is another service's.
    both = traces.add("stock", operation="order", duration=1000)
    traces.add("shop", operation="get", duration=9000, trace=both)
    load(ingest, tmp_path, ("traces", traces.request.SerializeToString()))
    api = ApiClient(store)

    def wanted(matches: Callable[[str, int], bool]) -> set[str]:
        return {id for (operation, duration), id in ids.items() if matches(operation, duration)}

    assert _found(api, "shop") == [{*ids.values(), both}] * 3
    assert _found(api, "stock") == [{both}] * 3
    assert _found(api, "shop", operation="order") == [wanted(lambda o, d: o == "order")] * 3
    assert _found(api, "shop", maxDuration="1us") == [wanted(lambda o, d: d <= 1000)] * 3
    assert (
        _found(api, "shop", minDuration="4.5us", maxDuration="5500ns")
        == [wanted(lambda o, d: 4500 <= d <= 5500)] * 3
    )
    assert (
        _found(api, "shop", operation="order", minDuration="4.5us", maxDuration="5.5us")
        == [wanted(lambda o, d: o == "order" and 4500 <= d <= 5500)] * 3
    )
    assert (
        _found(api, "shop", operation="order", maxDuration="2us")
        == [wanted(lambda o, d: o == "order" and d <= 2000)] * 3
    )


def test_a_trace_over_several_minutes_is_whole_and_found_in_each(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    traces = Traces()
    trace = traces.add("shop", operation="first", start=MONDAY + 180 * SECOND)
    traces.add("shop", operation="second", start=MONDAY + 300 * SECOND, trace=trace)
    others = [traces.add("shop", start=MONDAY + minute * 60 * SECOND) for minute in (1, 10)]
    load(ingest, tmp_path, ("traces", traces.request.SerializeToString()))
    api = ApiClient(store)

    def search(first_minute: float, last_minute: float, **more: Any) -> list[tuple[str, int]]:
        start, end = (
            int(MONDAY + minute * 60 * SECOND) // 1000 for minute in (first_minute, last_minute)
        )
        found = api.get("/api/traces", service="shop", start=start, end=end, **more)["data"]
        return [(trace["traceID"], len(trace["spans"])) for trace in found]

    assert search(2, 7) == [(trace, 2)]
    assert search(2, 4) == [(trace, 2)]
    assert search(4, 7) == [(trace, 2)]
    assert search(4, 7, operation="first") == []
    assert search(5.5, 9) == []
    assert {id for id, _ in search(0, 11)} == {trace, *others}
    assert [id for id, _ in search(0, 11, limit=1)] == [others[1]]
