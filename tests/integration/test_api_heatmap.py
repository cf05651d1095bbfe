"""The heatmap of a transaction, counted again in plain Python; and what its cells and regions lead to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from clew.analysis.traces.settling import Settling
from clew.api.heatmap import BOUNDS, MAX_COLUMNS
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import settle
from support.reference import rfc3339
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import ERROR, MINUTE, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": rfc3339(BEGAN + 17), "end": rfc3339(BEGAN + 20 * MINUTE)}
WEB = Process("web", "web-1")
PAYMENTS = Process("payments", "payments-1")
ORDER = {"name": "Order", "match": {"service": "payments"}}
COUNT = 150
# Durations on both sides of bounds, the shortest and a long one.
DURATIONS = (0, 1, 2, 999, 1000, 1001, 10**6, 10**6 - 1, 1333521, 1333522, 5 * 10**8, 80 * SECOND)


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    roots: list[Span]
    entries: list[Span]  # those of the defined transaction, further in


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Traces of the web, some without their root, in which payments are entered for a third of the
    time."""
    store = emptied()
    choice = random.Random(5)
    roots, entries, missing = [], [], []
    for number in range(COUNT):
        start = BEGAN + choice.randrange(22 * MINUTE)
        took = choice.choice(DURATIONS) if number % 3 else int(10 ** choice.uniform(3, 9))
        status = ERROR if number % 7 == 0 else 0
        root = Span(
            f"{number + 1:032x}", f"{2 * number + 1:016x}", "", WEB, "GET /", SERVER, start,
            start + took, status, attributes={"tenant": "acme" if took > 10**8 else f"t{number % 4}"},
        )  # fmt: skip
        lost = replace(root, parent="00000000000000ff")
        roots.append(root)
        missing.append(lost if number % 5 == 0 else root)
        entries.append(
            replace(
                root, id=f"{2 * number + 2:016x}", parent=root.id, process=PAYMENTS, name="pay",
                end=start + took // 3, start=start, attributes={},
            )
        )  # fmt: skip
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    loader.spans([*missing, *entries])
    settle(Settling(store))
    insert_definitions(store, ORDER)
    insert_occurrences(
        store,
        [
            Occurrence(
                "order", f"k{number}", entry.start, entry.duration, (entry.trace,), end=entry.end,
                is_error=entry.is_error,
            )
            for number, entry in enumerate(entries)
        ],
    )  # fmt: skip
    return Dataset(ApiClient(store), roots, entries)


def _path(dataset: Dataset, name: str) -> str:
    rows = dataset.api.get("/api/v1/transactions", **WINDOW)["transactions"]
    (id,) = (row["id"] for row in rows if row["name"] == name)
    return f"/api/v1/transactions/{id}"


def _cells(document: dict[str, Any], member: str) -> list[tuple[dict[str, Any], int]]:
    """The cells that are not empty: the parameters that select what is in it, and the number."""
    ends = [*document["times"][1:], document["end"]]
    bounds = document["bounds_ms"]
    return [
        (
            {
                "start": max(start, document["start"]), "end": end,
                "min_duration_ms": low, "max_duration_ms": high,
            },
            count,
        )
        for start, end, column in zip(document["times"], ends, document[member], strict=True)
        for (low, high), count in zip(pairwise(bounds), column, strict=True)
        if count
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["web: GET /", "Order"])
def test_each_cell_counts_its_instances(dataset: Dataset, name: str) -> None:
    document = dataset.api.get(f"{_path(dataset, name)}/heatmap", **WINDOW)
    spans = dataset.entries if name == "Order" else dataset.roots
    window = [
        span for span in spans
        if WINDOW["start"] <= rfc3339(span.start) < WINDOW["end"]
    ]  # fmt: skip
    for member, counted in (
        ("counts", window),
        ("errors", [span for span in window if span.is_error]),
    ):
        cells = _cells(document, member)
        assert sum(count for _, count in cells) == len(counted)
        for cell, count in cells:
            assert count == sum(
                cell["start"] <= rfc3339(span.start) < cell["end"]
                and cell["min_duration_ms"] <= span.duration / 1e6 < cell["max_duration_ms"]
                for span in counted
            )
    assert document["times"][0] <= document["start"]
    assert len(document["times"]) <= MAX_COLUMNS
    assert document["truncated"] is False


@pytest.mark.parametrize("name", ["web: GET /", "Order"])
def test_a_cell_leads_to_its_instances(dataset: Dataset, name: str) -> None:
    path = _path(dataset, name)
    document = dataset.api.get(f"{path}/heatmap", **WINDOW)
    for cell, count in random.Random(1).sample(_cells(document, "counts"), 12):
        instances = dataset.api.get(f"{path}/instances", **cell)["instances"]
        assert len(instances) == count


@pytest.mark.parametrize("name", ["web: GET /", "Order"])
@pytest.mark.parametrize("with_baseline", [False, True], ids=["other traces", "a longer window"])
def test_a_region_is_compared_with_the_rest(
    dataset: Dataset, name: str, with_baseline: bool
) -> None:
    path = _path(dataset, name)
    id = path.rpartition("/")[2]
    document = dataset.api.get(f"{path}/heatmap", **WINDOW)
    times, bounds = document["times"], document["bounds_ms"]
    first = len(times) // 4 if with_baseline else 0
    start = times[first] if first else WINDOW["start"]
    last = next(number for number, bound in enumerate(bounds) if bound > 100)
    region = {"start": start, "end": WINDOW["end"], "min_duration_ms": bounds[last]}
    baseline = {"baseline_start": WINDOW["start"], "baseline_end": WINDOW["end"]}
    answer = dataset.api.get(
        "/api/v1/compare", **region, **(baseline if with_baseline else {}), transaction=id
    )
    counts = document["counts"]
    inside = sum(sum(column[last:]) for column in counts[first:])
    assert answer["a"]["traces"] == inside > 0
    assert answer["b"]["traces"] == sum(map(sum, counts)) - inside
    if name != "Order":
        assert answer["attributes"][0]["key"] == "tenant"
        assert answer["attributes"][0]["value"] == "acme"


def test_both_sets_of_a_comparison_have_durations(dataset: Dataset) -> None:
    id = _path(dataset, "web: GET /").rpartition("/")[2]

    def sizes(**parameters: Any) -> tuple[int, int]:
        answer = dataset.api.get("/api/v1/compare", **WINDOW, **parameters, transaction=id)
        return answer["a"]["traces"], answer["b"]["traces"]

    def number(low: float, high: float) -> int:
        return sum(
            low <= span.duration / 1e6 <= high and WINDOW["start"] <= rfc3339(span.start) < WINDOW["end"]
            for span in dataset.roots
        )  # fmt: skip

    assert sizes(min_duration_ms=500, baseline_max_duration_ms=1) == (
        number(500, 1e9), number(0, 1),
    )  # fmt: skip
    # A trace of A is never one of B.
    assert sizes(min_duration_ms=1, baseline_min_duration_ms=0.5) == (
        number(1, 1e9), number(0.5, 1e9) - number(1, 1e9),
    )  # fmt: skip
    assert sizes(max_duration_ms=0, attr="tenant=t1")[0] == sum(
        span.duration == 0 and span.attributes["tenant"] == "t1"
        and WINDOW["start"] <= rfc3339(span.start) < WINDOW["end"]
        for span in dataset.roots
    )  # fmt: skip
    total = number(0, 1e9)
    assert sum(sizes(max_duration_ms=0, attr="tenant=t1")) == total
    assert sizes(min_duration_ms=1e300)[0] == 0
    for parameters in ({"slow": "true", "min_duration_ms": 1}, {"baseline_min_duration_ms": 1}):
        assert dataset.api.problem("/api/v1/compare", **parameters)["status"] == 400


def test_a_heatmap_without_instances(dataset: Dataset) -> None:
    path = f"{_path(dataset, 'Order')}/heatmap"
    document = dataset.api.get(path, start=rfc3339(BEGAN - MINUTE), end=rfc3339(BEGAN - SECOND))
    assert document["bounds_ms"] == []
    assert document["counts"] == document["errors"] == [[]] * len(document["times"])
    assert dataset.api.problem("/api/v1/transactions/unknown/heatmap")["status"] == 404


def test_bounds_are_ascending_and_reach_the_longest_duration() -> None:
    assert BOUNDS[0] == 1
    assert all(low < high <= 3 * low for low, high in pairwise(BOUNDS))
    assert BOUNDS[-1] < 1 << 63 < 2 * BOUNDS[-1]
