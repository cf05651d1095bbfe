"""What limits a service, from points of metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clew.analysis.resources.constraints import METRICS
from clew.analysis.resources.limits import Bottleneck, bottlenecks, leaks, usages
from clew.analysis.resources.points import Points, ResourcePoint

SLOTS = range(0, 60 * 60, 60)
LOAD = {at: 10 + 40 * (1 + np.sin(at / 600)) for at in SLOTS}


def series(metric: str, value: Any, source: str = "a", **attributes: str) -> list[ResourcePoint]:
    """A point for each slot: a number, or a function of the slot."""
    return [
        ResourcePoint(
            metric, source, "cpython", attributes, at, value(at) if callable(value) else value
        )
        for at in SLOTS
    ]


def listed(*parts: list[ResourcePoint]) -> dict[str, Bottleneck]:
    points = Points(point for part in parts for point in part)
    return {one.constraint.name: one for one in bottlenecks(points, LOAD)}


def test_one_core_of_a_python_process_is_fitted_to_the_load() -> None:
    cores = lambda at: (0.05 + LOAD[at] / 110) / 2  # noqa: E731
    parts = [series("process.cpu.time", cores, type=type) for type in ("user", "system")]
    (one,) = listed(*parts).values()
    assert one.constraint.name == "cpu_one_core"
    assert one.peak == pytest.approx(0.05 + 90 / 110, abs=0.01)
    assert one.fit is not None
    assert one.fit.r2 > 0.99
    assert one.fit.saturation == pytest.approx(0.95 * 110, rel=0.01)
    assert one.replicas == 2
    assert one.headroom == pytest.approx(0.13, abs=0.01)


def test_what_the_load_does_not_explain_has_no_fit() -> None:
    choice = np.random.default_rng(1)
    (one,) = listed(series("process.cpu.time", lambda at: choice.random())).values()
    assert (one.fit, one.replicas) == (None, None)
    assert "the load explains" in one.reason


@pytest.mark.parametrize(
    ("name", "peak", "parts"),
    [
        ("cpu_host", 0.75, [series("system.cpu.utilization", 0.25, state="idle"), series("system.cpu.utilization", 0.6, state="user")]),
        ("cpu_host", 0.75, [series("system.cpu.time", 1.0, **{"cpu.mode": "idle"}), series("system.cpu.time", 3.0, **{"cpu.mode": "user"})]),
        ("memory_host", 0.5, [series("system.memory.usage", 4e9, state="used"), series("system.memory.usage", 4e9, state="free")]),
        ("memory_container", 0.75, [series("process.memory.usage", 3e8), series("k8s.container.memory.limit", 4e8)]),
        ("cpu_container", 0.9, [series("k8s.container.cpu_limit_utilization", 0.9)]),
        ("cpu_throttling", 0.2, [series("container.cpu.throttling_data.periods", 10.0), series("container.cpu.throttling_data.throttled_periods", 2.0)]),
        ("event_loop", 0.97, [series("nodejs.eventloop.utilization", 0.97)]),
        ("connection_pool", 0.8, [series("db.client.connection.count", 8, state="used", **{"pool.name": "x"}), series("db.client.connection.count", 2, state="idle", **{"pool.name": "x"}), series("db.client.connection.max", 10, **{"pool.name": "x"})]),
        ("connection_pool", 1.0, [series("db.client.connection.pending_requests", 3, **{"pool.name": "x"})]),
        ("filesystem", 0.95, [series("system.filesystem.utilization", 0.95, device="d"), series("system.filesystem.utilization", 0.1, device="e")]),
        ("disk", 0.4, [series("system.disk.io_time", 0.4)]),
    ],
)  # fmt: skip
def test_each_resource_is_read_from_its_metrics(
    name: str, peak: float, parts: list[list[ResourcePoint]]
) -> None:
    assert listed(*parts)[name].peak == pytest.approx(peak)
    assert {point.metric for part in parts for point in part} <= set(METRICS)


def test_a_limit_that_nobody_sends_is_no_constraint() -> None:
    assert listed(series("process.memory.usage", 3e8)) == {}
    (usage,) = usages(Points(series("process.memory.usage", 3e8)))
    assert (usage.metric, usage.mean, usage.peak, usage.source) == (
        "process.memory.usage",
        3e8,
        3e8,
        "a",
    )


def memory(value: Any, hours: int = 6) -> Points:
    return Points(
        ResourcePoint("process.memory.usage", "a", "", {}, at, value(at))
        for at in range(0, hours * 3600, 300)
    )


def test_memory_that_only_grows_is_a_leak_and_a_saw_is_none() -> None:
    choice = np.random.default_rng(2)
    (leak,) = leaks(memory(lambda at: 1e8 * (1 + 0.05 * at / 3600) + 1e5 * choice.normal()))
    assert leak.bytes_per_hour == pytest.approx(5e6, rel=0.05)
    assert leak.hours > 5
    assert leaks(memory(lambda at: 1e8 + 1e7 * (at % 3600) / 3600)) == []
    assert leaks(memory(lambda at: 1e8)) == []
    assert leaks(memory(lambda at: 1e8 + at * 1e4, hours=1)) == []
