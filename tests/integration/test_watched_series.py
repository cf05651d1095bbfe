"""The series of the watcher: minutes and hours equal a count over the spans that were sent."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from clew.analysis.traces.settling import Settling, settler_statements
from clew.analysis.watching.series import LEVELS, WatchedSeries
from clew.storage import Ingest, Store
from support.loading import settle
from support.traffic import (
    CONSUMER,
    ERROR,
    MINUTE,
    SECOND,
    SERVER,
    Loader,
    Process,
    Span,
    tangle,
)

PROCESSES = [Process(name, f"{name}-1") for name in ("shop", "stock")]
QUIET = Process("timer", "timer-1")  # its roots are of kind INTERNAL
BEGAN = 1_790_000_000 // 3600 * 3600  # seconds
Key = tuple[str, str, str, int]


@pytest.fixture
def spans(ingest: Ingest, tmp_path: Path) -> list[Span]:
    """Spans of three minutes on either side of a full hour."""
    choice = random.Random(5)
    sent: list[Span] = []
    for minute in range(-2, 2):
        at = (BEGAN * SECOND) + minute * MINUTE
        for _ in range(12):
            sent += tangle(choice, PROCESSES, 6, at)
        sent.append(
            Span(
                choice.randbytes(16).hex(), choice.randbytes(8).hex(), "", QUIET, "tick", 1,
                at, at + SECOND, status=ERROR if minute == 1 else 0,
            )
        )  # fmt: skip
    Loader(ingest, tmp_path).spans(sent)
    return sent


def counted(spans: list[Span], seconds: int) -> dict[Key, tuple[int, int]]:
    """Requests and errors of each series by minute or hour, as Series and its docstring say."""
    served = {s.process.service for s in spans if s.kind in (SERVER, CONSUMER)}
    counts: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for span in spans:
        service, is_root = span.process.service, span.parent == ""
        at = span.start // SECOND // seconds * seconds
        keys: list[Key] = [("operation", service, span.name, at)]
        if is_root:
            keys.append(("transaction", service, span.name, at))
        if span.kind in (SERVER, CONSUMER) or (is_root and service not in served):
            keys.append(("service", service, "", at))
        for key in keys:
            counts[key][0] += 1
            counts[key][1] += span.status == ERROR
    return {key: (count, errors) for key, (count, errors) in counts.items()}


def test_minutes_and_hours_count_the_spans(store: Store, spans: list[Span]) -> None:
    watched = WatchedSeries(settler_statements(store))
    minutes = watched.slots(BEGAN - 600, BEGAN + 600)
    assert {
        (m.series.kind, m.series.service, m.series.name, m.at): (m.count, m.errors)
        for m in minutes
        if m.series.kind != "dependency"
    } == counted(spans, 60)
    (tick,) = [m for m in minutes if m.series.kind == "service" and m.at == BEGAN + 60
               and m.series.service == "timer"]  # fmt: skip
    assert (tick.count, tick.errors) == (1, 1)
    assert np.allclose(tick.levels, 1e9, rtol=0.011)
    assert tick.series.labels == {"environment": "prod", "service": "timer"}

    watched.fill_hours(BEGAN - 600, BEGAN + 600, version=1)
    watched.fill_hours(BEGAN - 600, BEGAN + 600, version=2)
    history = watched.history(BEGAN - 7200, BEGAN + 3600, (0.5, 0.95))
    assert {
        (h.series.kind, h.series.service, h.series.name, h.start + hour * 3600): (count, errors)
        for h in history
        if h.series.kind != "dependency"
        for hour, (count, errors) in enumerate(zip(h.count, h.errors, strict=True))
        if count
    } == counted(spans, 3600)
    (one,) = watched.history(BEGAN - 7200, BEGAN + 3600, (0.5, 0.95), [tick.series.id])
    assert one.series == tick.series
    assert one.count.tolist() == [0, 2, 2]
    assert np.isnan(one.levels[0]).all()
    assert one.levels[2] == pytest.approx([1e9, 1e9], rel=0.011)


def test_dependencies_are_series(store: Store, spans: list[Span]) -> None:
    settle(Settling(store))
    watched = WatchedSeries(settler_statements(store))
    minutes = watched.slots(BEGAN - 600, BEGAN + 600)
    dependencies = {m.series for m in minutes if m.series.kind == "dependency"}
    assert dependencies
    assert all(each.labels["dependency"] and each.labels["service"] for each in dependencies)
    # What was seen last are the same series, each in its last minute.
    last = watched.last_seen(BEGAN + 600)
    assert last == {minute.series: float(minute.at) for minute in minutes}
    watched.fill_hours(BEGAN - 600, BEGAN + 600, version=1)
    by_hour = watched.history(BEGAN - 3600, BEGAN + 3600, ())
    assert {h.series for h in by_hour if h.series.kind == "dependency"} == dependencies
    assert sum(h.count.sum() for h in by_hour if h.series.kind == "dependency") == sum(
        m.count for m in minutes if m.series.kind == "dependency"
    )


def test_a_share_of_slow_requests_is_read_from_the_quantiles(
    store: Store, spans: list[Span]
) -> None:
    watched = WatchedSeries(settler_statements(store))
    minute = max(watched.slots(BEGAN - 600, BEGAN + 600), key=lambda each: each.count)
    assert minute.slower_than(-1) == minute.count
    assert minute.slower_than(float(minute.levels[-1]) + 1) == 0
    at_median = float(minute.levels[LEVELS.index(0.5)])
    assert 0 <= minute.slower_than(at_median) <= minute.count * 0.5 + 1e-6
