"""The resources that can be full: each is a row of CONSTRAINTS with the metrics that it is computed
from, and a function from their points to the used share by source and slot.

A row whose use or limit nobody sends yields nothing. Names that the conventions had before stand
beside those of today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from clew.analysis.resources.points import Points, ResourcePoint, Shares

INTERPRETED = ("cpython", "python", "pypy", "nodejs")  # one thread at a time runs code

ConstraintName = Literal[
    "cpu_one_core",
    "cpu_container",
    "cpu_throttling",
    "cpu_host",
    "memory_container",
    "memory_host",
    "event_loop",
    "connection_pool",
    "filesystem",
    "disk",
]

POOL_COUNT = ("db.client.connection.count", "db.client.connections.usage")
POOL_SIZE = ("db.client.connection.max", "db.client.connections.max")
POOL_PENDING = (
    "db.client.connection.pending_requests",
    "db.client.connections.pending_requests",
)
POOL_NAME = ("db.client.connection.pool.name", "db.client.connections.pool.name", "pool.name")
CPU_SHARE = ("k8s.container.cpu.limit.utilization", "k8s.container.cpu_limit_utilization")
CPU_LIMIT = ("k8s.container.cpu.limit", "k8s.container.cpu_limit")
CPU_USED = ("container.cpu.usage", "container.cpu.time", "process.cpu.time")
THROTTLED = "container.cpu.throttling_data.throttled_periods"
PERIODS = "container.cpu.throttling_data.periods"
MEMORY_SHARE = ("k8s.container.memory_limit_utilization",)
MEMORY_LIMIT = (
    "k8s.container.memory.limit",
    "k8s.container.memory_limit",
    "container.memory.usage.limit",
)
MEMORY_USED = ("container.memory.usage", "container.memory.usage.total", "process.memory.usage")


def _ratio(part: Shares, whole: Shares) -> Shares:
    return {
        source: {
            at: value / whole[source][at]
            for at, value in slots.items()
            if whole.get(source, {}).get(at, 0) > 0
        }
        for source, slots in part.items()
    }


def _one_core(points: Points) -> Shares:
    runtimes = {point.source: point.runtime for point in points.first("process.cpu.time")}
    cores = points.sums("process.cpu.time")
    return {source: cores[source] for source in cores if runtimes[source] in INTERPRETED}


def _container_cpu(points: Points) -> Shares:
    used = points.greatest(
        "k8s.container.cpu.limit.utilization", "k8s.container.cpu_limit_utilization"
    )
    if used:
        return used
    limit = points.greatest("k8s.container.cpu.limit", "k8s.container.cpu_limit")
    return _ratio(
        points.sums("container.cpu.usage", "container.cpu.time", "process.cpu.time"), limit
    )


def _throttling(points: Points) -> Shares:
    return _ratio(points.sums(THROTTLED), points.sums(PERIODS))


def _host_cpu(points: Points) -> Shares:
    idle = points.sums("system.cpu.utilization", where="idle")
    times = points.sums("system.cpu.time", where="idle")
    return _without(idle or _ratio(times, points.sums("system.cpu.time")))


def _without(idle: Shares) -> Shares:
    return {
        source: {at: min(1.0, max(0.0, 1 - value)) for at, value in slots.items()}
        for source, slots in idle.items()
    }


def _container_memory(points: Points) -> Shares:
    used = points.greatest(*MEMORY_SHARE)
    return used or _ratio(points.sums(*MEMORY_USED), points.greatest(*MEMORY_LIMIT))


def _host_memory(points: Points) -> Shares:
    used = points.sums("system.memory.utilization", where="used")
    return used or _ratio(
        points.sums("system.memory.usage", where="used"), points.sums("system.memory.usage")
    )


def _pools(points: Points) -> Shares:
    """The fullest pool of each instance. A pool that requests wait for is full."""
    used: dict[tuple[str, str, int], float] = defaultdict(float)
    for point in points.first(*POOL_COUNT):
        if "used" in point.attributes.values():
            used[point.source, _pool(point), point.at] += point.value
    sizes = {
        (point.source, _pool(point), point.at): point.value for point in points.first(*POOL_SIZE)
    }
    result: Shares = defaultdict(dict)
    shares = {key: value / sizes[key] for key, value in used.items() if sizes.get(key, 0) > 0}
    for point in points.first(
        "db.client.connection.pending_requests", "db.client.connections.pending_requests"
    ):
        if point.value > 0:
            shares[point.source, _pool(point), point.at] = 1.0
    for (source, _, at), share in shares.items():
        result[source][at] = max(share, result[source].get(at, 0.0))
    return result


def _pool(point: ResourcePoint) -> str:
    return next((point.attributes[name] for name in POOL_NAME if name in point.attributes), "")


@dataclass(frozen=True)
class Constraint:
    """`has_replicas`: whether more instances give more of it."""

    name: ConstraintName
    metrics: tuple[str, ...]
    used: Callable[[Points], Shares]
    has_replicas: bool
    advice: str


CONSTRAINTS = (
    Constraint(
        "cpu_one_core",
        ("process.cpu.time",),
        _one_core,
        True,
        "one thread at a time runs Python or JavaScript, so a process has one core at most: run "
        "more processes",
    ),
    Constraint(
        "cpu_container",
        (*CPU_SHARE, *CPU_LIMIT, *CPU_USED),
        _container_cpu,
        True,
        "raise the container's CPU limit, or run more of them",
    ),
    Constraint(
        "cpu_throttling",
        (THROTTLED, PERIODS),
        _throttling,
        True,
        "the container is stopped in this share of the periods: raise its CPU limit",
    ),
    Constraint(
        "cpu_host",
        ("system.cpu.utilization", "system.cpu.time"),
        _host_cpu,
        False,
        "the host has no CPU time left: move something away, or take a larger one",
    ),
    Constraint(
        "memory_container",
        (*MEMORY_SHARE, *MEMORY_LIMIT, *MEMORY_USED),
        _container_memory,
        False,
        "raise the container's memory limit, or find what keeps memory",
    ),
    Constraint(
        "memory_host",
        ("system.memory.utilization", "system.memory.usage"),
        _host_memory,
        False,
        "the host has no memory left: move something away, or take a larger one",
    ),
    Constraint(
        "event_loop",
        ("nodejs.eventloop.utilization",),
        lambda points: points.greatest("nodejs.eventloop.utilization"),
        True,
        "the event loop is never idle: move work off it, or run more processes",
    ),
    Constraint(
        "connection_pool",
        (*POOL_COUNT, *POOL_SIZE, *POOL_PENDING),
        _pools,
        True,
        "requests wait for a connection: make calls shorter, then the pool larger",
    ),
    Constraint(
        "filesystem",
        ("system.filesystem.utilization",),
        lambda points: points.greatest("system.filesystem.utilization"),
        False,
        "free disk space",
    ),
    Constraint(
        "disk",
        ("system.disk.io_time",),
        lambda points: points.greatest("system.disk.io_time"),
        False,
        "the disk is busy all the time: write less, or take a faster one",
    ),
)
# What has no limit that metrics say: shown as it is.
USAGES = (
    "process.open_file_descriptor.count",
    "process.unix.file_descriptor.count",
    "process.thread.count",
    "process.memory.usage",
    "nodejs.eventloop.delay.p99",
    "system.network.errors",
    "system.network.dropped",
    "kafka.consumer_group.lag",
    "rabbitmq.message.current",
)
METRICS = sorted({*USAGES, *(name for one in CONSTRAINTS for name in one.metrics)})
