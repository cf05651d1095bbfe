"""The course of each transaction of the list (`series`), counted again in plain Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import is_quantile, rfc3339
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import ERROR, MILLISECOND, MINUTE, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
HOURS = 5
ENTRIES = ("GET /", "POST /checkout", "Order")
WEB = Process("web", "web-1")
MANY = Process("many", "many-1")


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    spans: dict[str, list[Span]]  # by the name of the transaction


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five hours of two operations, some of whose roots never came; a service with too many names;
    and a defined transaction."""
    store = emptied()
    choice = random.Random(9)
    spans = []
    for number in range(400):
        start = BEGAN + choice.randrange(HOURS * 60 * MINUTE)
        process, name = (
            (WEB, choice.choice(ENTRIES[:2])) if number % 4 else (MANY, f"name {number % 203}")
        )
        spans.append(
            Span(
                f"{number + 1:032x}", f"{number + 1:016x}", "00000000000000ff" if number % 5 == 1 else "",
                process, name, SERVER, start, start + choice.randrange(1, 900) * MILLISECOND,
                ERROR if choice.random() < 0.2 else 0,
            )
        )  # fmt: skip
    spans += [
        replace(spans[0], trace=f"{number + 1000:032x}", parent="", process=MANY, name=f"name {number}", start=BEGAN, end=BEGAN + number)
        for number in range(203)
    ]  # fmt: skip
    Loader(Ingest(store), tmp_path_factory.mktemp("segments")).spans(spans)
    orders = [span for span in spans if span.name == "POST /checkout"]
    insert_definitions(store, {"name": "Order", "match": {"service": "web"}})
    insert_occurrences(
        store,
        [
            Occurrence("order", span.trace, span.start, span.duration, (span.trace,), end=span.end, is_error=span.is_error)
            for span in orders
        ],
    )  # fmt: skip
    names = {f"web: {name}": [span for span in spans if span.name == name] for name in ENTRIES[:2]}
    return Dataset(ApiClient(store), names | {"Order": orders})


@pytest.mark.parametrize("points", [2, 7, 30, 120])
@pytest.mark.parametrize(
    ("start", "minutes"), [(0, HOURS * 60), (17 * SECOND + 5, 200.5), (61 * SECOND, 1.5)]
)
def test_points_count_the_instances(
    dataset: Dataset, start: int, minutes: float, points: int
) -> None:
    first, end = BEGAN + start, BEGAN + start + int(minutes * MINUTE)
    document = dataset.api.get(
        "/api/v1/transactions", start=rfc3339(first), end=rfc3339(end), series=points, limit=1000
    )
    times = document["times"]
    assert 1 <= len(times) <= points
    assert times == sorted(times)
    edges = [*times[1:], rfc3339(end)]
    lengths = [_length(max(time, rfc3339(first)), edge) for time, edge in zip(times, edges, strict=True)]  # fmt: skip
    by_name = {row["name"]: row for row in document["transactions"]}
    for name, spans in dataset.spans.items():
        if name not in by_name:
            assert not [span for span in spans if first <= span.start < end]
            continue
        series = by_name[name]["series"]
        for place, (time, edge) in enumerate(zip(times, edges, strict=True)):
            inside = [
                span for span in spans
                if max(time, rfc3339(first)) <= rfc3339(span.start) < edge
            ]  # fmt: skip
            assert series["per_second"][place] == pytest.approx(len(inside) / lengths[place])
            if not inside:
                assert series["error_rate"][place] is series["p95"][place] is None
                continue
            errors = sum(span.is_error for span in inside)
            assert series["error_rate"][place] == pytest.approx(errors / len(inside))
            durations = [span.duration for span in inside]
            assert is_quantile(series["p95"][place] * 1e6, durations, 0.95)
    for row in document["transactions"]:
        counts = zip(row["series"]["per_second"], lengths, strict=True)
        assert sum(rate * length for rate, length in counts) == pytest.approx(row["count"])


def _length(start: str, end: str) -> float:
    """Seconds between two times of one day."""

    def seconds(time: str) -> float:
        hours, minutes, rest = time[11:-1].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    return seconds(end) - seconds(start)


def test_a_page_has_the_series_of_its_transactions(dataset: Dataset) -> None:
    window: dict[str, Any] = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 60 * MINUTE)}
    whole = dataset.api.get("/api/v1/transactions", **window, series=5, limit=1000)["transactions"]
    pages = dataset.api.pages("/api/v1/transactions", "transactions", **window, series=5, limit=60)
    assert [row for page in pages for row in page] == whole
    assert any(row["operation"] == "(other)" for row in whole)
    plain = dataset.api.get("/api/v1/transactions", **window)
    assert plain["times"] == []
    assert all(row["series"] is None for row in plain["transactions"])
    explained = dataset.api.get("/api/v1/transactions", **window, series=5, explain="true")
    before = dataset.api.get("/api/v1/transactions", **window, explain="true")
    # One statement for each kind of transactions.
    assert len(explained["sql"]) - len(before["sql"]) == 2
    for number in (1, 121):
        problem = dataset.api.problem("/api/v1/transactions", series=number)
        assert problem["status"] == 422
