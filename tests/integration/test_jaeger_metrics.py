"""The metrics of Jaeger's Monitor tab, compared with plain Python over the spans."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.traffic import (
    CLIENT,
    ERROR,
    MICROSECOND,
    SECOND,
    SERVER,
    Loader,
    Process,
    Span,
)

BEGAN = 1_780_308_000  # seconds, a full minute
END = BEGAN + 30 * 60
SHOP, STOCK = Process("shop", "shop-1"), Process("stock", "stock-1")
MILLISECOND = 1000 * MICROSECOND


def _spans() -> list[Span]:
    """Some spans in most minutes of half an hour: two operations of the shop, of which one fails
    now and then, its client spans, and another service."""
    spans = []
    for number in range(400):
        start = (BEGAN + number * number % 1700) * SECOND + number
        name = "POST /orders" if number % 3 else "GET /orders"
        span = Span(
            f"{number:032x}", f"{number + 1:016x}", "", SHOP, name, SERVER, start, start + (number + 1) * MILLISECOND
        )  # fmt: skip
        spans.append(replace(span, status=ERROR) if number % 7 == 0 else span)
        if number % 5 == 0:
            spans.append(replace(span, id=f"{number + 1:015x}c", kind=CLIENT, name="POST"))
        if number % 11 == 0:
            spans.append(replace(span, id=f"{number + 1:015x}d", process=STOCK, name="GET /stock"))
    return spans


@pytest.fixture
def spans() -> list[Span]:
    return _spans()


@pytest.fixture
def api(store: Store, ingest: Ingest, tmp_path: Path, spans: list[Span]) -> ApiClient:
    Loader(ingest, tmp_path).spans(spans)
    return ApiClient(store)


def _window(spans: list[Span], until: int, seconds: int) -> list[Span]:
    return [span for span in spans if until - seconds <= span.start // SECOND < until]


def _points(metric: dict[str, Any]) -> dict[int, float]:
    return {
        int(datetime.fromisoformat(point["timestamp"]).timestamp()): point["gaugeValue"][
            "doubleValue"
        ]
        for point in metric["metricPoints"]
    }


@pytest.mark.parametrize("rate_minutes", [1, 10])
def test_calls_errors_and_latencies_of_a_service(
    api: ApiClient, spans: list[Span], rate_minutes: int
) -> None:
    parameters = {
        "service": "shop",
        "endTs": END * 1000 + 17,
        "lookback": 25 * 60_000,
        "step": 60_000,
        "ratePer": rate_minutes * 60_000,
    }
    of_shop = [span for span in spans if span.service == "shop" and span.kind == SERVER]
    times = range(END - 24 * 60, END + 1, 60)
    windows = {time: _window(of_shop, time, rate_minutes * 60) for time in times}

    calls = api.get("/api/metrics/calls", **parameters)
    assert (calls["name"], calls["type"]) == ("service_call_rate", "GAUGE")
    (metric,) = calls["metrics"]
    assert metric["labels"] == [{"name": "service_name", "value": "shop"}]
    assert _points(metric) == pytest.approx(
        {time: len(window) / (rate_minutes * 60) for time, window in windows.items()}
    )

    errors = api.get("/api/metrics/errors", **parameters)
    assert errors["name"] == "service_error_rate"
    assert _points(errors["metrics"][0]) == pytest.approx(
        {
            time: sum(span.is_error for span in window) / len(window)
            for time, window in windows.items()
            if window
        }
    )

    for quantile in (0.5, 0.75, 0.95):
        latencies = api.get("/api/metrics/latencies", **parameters, quantile=quantile)
        assert latencies["name"] == "service_latencies"
        points = _points(latencies["metrics"][0])
        assert points.keys() == {time for time, window in windows.items() if window}
        for time, value in points.items():
            durations = sorted(span.duration / MILLISECOND for span in windows[time])
            rank = quantile * (len(durations) - 1)
            assert durations[int(rank)] * 0.98 <= value <= durations[-int(-rank // 1) or 0] * 1.02


def test_by_operation_and_kind(api: ApiClient, spans: list[Span]) -> None:
    parameters = {"endTs": END * 1000, "lookback": 60_000, "ratePer": 1_800_000}
    answer = api.get(
        "/api/metrics/calls", service=["shop", "stock"], groupByOperation="true", **parameters
    )
    assert answer["name"] == "service_operation_call_rate"
    counts: dict[tuple[str, str], int] = {}
    for span in spans:
        if span.kind == SERVER:
            counts[span.name, span.service] = counts.get((span.name, span.service), 0) + 1
    assert {
        tuple(label["value"] for label in metric["labels"]): _points(metric)
        for metric in answer["metrics"]
    } == {key: {END: pytest.approx(count / 1800)} for key, count in counts.items()}
    assert [label["name"] for label in answer["metrics"][0]["labels"]] == [
        "operation",
        "service_name",
    ]
    clients = api.get("/api/metrics/calls", service="shop", spanKind="client", **parameters)
    assert _points(clients["metrics"][0]) == {END: pytest.approx(80 / 1800)}
    both = api.get(
        "/api/metrics/calls", service="shop", spanKind=["client", "server"], **parameters
    )
    assert _points(both["metrics"][0]) == {END: pytest.approx(480 / 1800)}


def test_a_step_is_at_least_a_minute_and_a_long_window_has_few_points(api: ApiClient) -> None:
    assert api.get("/api/metrics/minstep")["data"] == 60_000
    for lookback, count in ((3_600_000, 60), (2 * 86_400_000, 960)):
        answer = api.get(
            "/api/metrics/calls", service="shop", endTs=END * 1000, lookback=lookback, step=100
        )
        points = _points(answer["metrics"][0])
        assert (len(points), max(points)) == (count, END)
    nothing = api.get("/api/metrics/calls", service="nobody", endTs=END * 1000)
    assert nothing["metrics"] == []


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("calls", {}),
        ("latencies", {"service": "shop"}),
        ("latencies", {"service": "shop", "quantile": "1.5"}),
        ("latencies", {"service": "shop", "quantile": "nan"}),
        ("calls", {"service": "shop", "spanKind": "servers"}),
        ("calls", {"service": "shop", "groupByOperation": "maybe"}),
        ("calls", {"service": "shop", "endTs": "now"}),
        ("calls", {"service": "shop", "lookback": "-1"}),
    ],
)
def test_a_malformed_parameter_is_status_400(
    store: Store, path: str, parameters: dict[str, str]
) -> None:
    response = ApiClient(store).response(f"/api/metrics/{path}", **parameters)
    assert (response.status_code, response.json()["data"]) == (400, None), response.text
    assert response.json()["errors"][0]["msg"]


@pytest.mark.parametrize("name", ["endTs", "lookback", "step", "ratePer"])
@pytest.mark.parametrize("value", [0, 10**15, 10**18 - 1])
def test_any_whole_number_is_answered(store: Store, name: str, value: int) -> None:
    assert (
        ApiClient(store).get("/api/metrics/calls", service="shop", **{name: value})["metrics"] == []
    )
