"""Metrics as DogStatsD, for those who run an agent of Datadog's or New Relic's on the host.

Counters are sent as what was added since the last reading (`c`), other sums and gauges as they are
(`g`), histograms as distributions (`d`): each bucket as one sample, with a rate that makes it count
for all values in it. So the receiver's count and sum are exact, and its percentiles as good as the
buckets; what several processes send adds up there. Metrics of the host (`system.*`) are left out:
the agent on the host reads them.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from clew.agent import settings

_log = logging.getLogger(__name__)

UDP_SIZE, UNIX_SIZE = 1432, 8192  # bytes of a datagram: what every network and agent takes
MAX_TAG = 200  # characters
BUCKETS = 80  # of a histogram: 5 % from value to value over a range of 1 to 1000
DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
# Datadog's unified tags, from the resource.
UNIFIED = {
    "service.name": "service",
    "deployment.environment.name": "env",
    "deployment.environment": "env",
    "service.version": "version",
}


class StatsdExporter(MetricExporter):
    """Sends lines to the address of CLEW_STATSD, as datagrams of UDP or of a Unix socket. Never
    waits: what the socket does not take at once is dropped, and counted in `dropped`, in lines."""

    is_for_hosts = False

    def __init__(self) -> None:
        super().__init__(
            preferred_temporality={
                Counter: DELTA,
                ObservableCounter: DELTA,
                Histogram: DELTA,
                UpDownCounter: CUMULATIVE,
                ObservableUpDownCounter: CUMULATIVE,
                ObservableGauge: CUMULATIVE,
            },
            preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation(BUCKETS)},
        )
        self._address = settings.value(os.environ, "CLEW_STATSD").split(",")[0].strip()
        self._is_unix = self._address.startswith("unix:")
        self._size = UNIX_SIZE if self._is_unix else UDP_SIZE
        self._socket: socket.socket | None = None
        self._last_count = 0  # lines of the last datagram
        self.dropped = 0

    def export(
        self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any
    ) -> MetricExportResult:
        dropped = sum(map(self._send, datagrams(lines(metrics_data), self._size)))
        if not dropped:
            return MetricExportResult.SUCCESS
        self.dropped += dropped
        _log.warning("%s does not take lines of StatsD: %d dropped", self._address, dropped)
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self._close()

    def _send(self, datagram: bytes) -> int:
        """The number of lines that are known to be lost by now."""
        count = datagram.count(b"\n") + 1
        lost = 0
        for _ in range(2):
            try:
                if self._socket is None:
                    self._socket = _connect(self._address)
                self._socket.send(datagram)
                self._last_count = count
                return lost
            except (BlockingIOError, InterruptedError):
                return lost + count
            except ConnectionRefusedError:
                if self._is_unix:  # of a receiver that may have started anew since
                    self._close()
                else:  # UDP says it of the datagram before
                    lost += self._last_count
                    self._last_count = 0
            except OSError:
                self._close()
        return lost + count

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _connect(address: str) -> socket.socket:
    """A socket that does not wait. Raises OSError."""
    if address.startswith("unix:"):
        family = socket.AF_UNIX
        target: Any = address.removeprefix("unix:").removeprefix("//")
    else:
        host, colon, port = address.rpartition(":")
        if not (colon and port.isdecimal()):
            raise OSError("CLEW_STATSD is to be host:port or unix:PATH")
        host = host.strip("[]") or "127.0.0.1"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        target = (host, int(port))
    connection = socket.socket(family, socket.SOCK_DGRAM)
    try:
        connection.setblocking(False)
        connection.connect(target)
    except OSError:
        connection.close()
        raise
    return connection


def datagrams(groups: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The lines in datagrams of at most `size` bytes; a line that is longer is one of its own. What
    is in one of `groups` stays together."""
    waiting: list[bytes] = []
    length = -1
    for group in groups:
        if waiting and length + 1 + len(group) > size:
            yield b"\n".join(waiting)
            waiting, length = [], -1
        waiting.append(group)
        length += 1 + len(group)
    if waiting:
        yield b"\n".join(waiting)


def lines(metrics_data: Any) -> Iterator[bytes]:
    """A line for each value of each metric; two where a value needs two."""
    for group in metrics_data.resource_metrics:
        resource = {
            tag: str(group.resource.attributes[key])
            for key, tag in UNIFIED.items()
            if group.resource.attributes.get(key)
        }
        process = group.resource.attributes.get("process.pid")
        of_process = {} if process is None else {"process.pid": process}
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                if not metric.name.startswith("system."):
                    yield from _metric(metric, resource, of_process)


def _metric(
    metric: Any, resource: Mapping[str, str], of_process: Mapping[str, Any]
) -> Iterator[bytes]:
    name = _name(metric.name)
    data = metric.data
    is_delta = getattr(data, "aggregation_temporality", CUMULATIVE) == DELTA
    for point in data.data_points:
        if hasattr(point, "count"):
            tags = _tags(point.attributes, resource)
            for value, count in samples(point):
                yield f"{name}:{_number(value)}|d{_rate(count)}{tags}".encode()
        elif not math.isfinite(point.value):
            continue
        elif is_delta and getattr(data, "is_monotonic", False):
            if point.value:
                yield f"{name}:{_number(point.value)}|c{_tags(point.attributes, resource)}".encode()
        else:
            # The receiver keeps one value for all that has the same tags: each process has its own.
            tags = _tags(point.attributes, {**of_process, **resource})
            line = f"{name}:{_number(point.value)}|g{tags}"
            # A sign makes it a change for some receivers.
            yield (f"{name}:0|g{tags}\n{line}" if point.value < 0 else line).encode()


def samples(point: Any) -> Iterator[tuple[float, int]]:
    """A value for each bucket of a histogram's point, and how many it stands for. They lie where
    all of them add up to the point's sum."""
    buckets = [bucket for bucket in _buckets(point) if bucket[2]]
    middle = sum((lower + upper) / 2 * count for lower, upper, count in buckets)
    width = sum((upper - lower) / 2 * count for lower, upper, count in buckets)
    shift = max(-1.0, min(1.0, (point.sum - middle) / width)) if width else 0.0
    for lower, upper, count in buckets:
        yield (lower + upper) / 2 + shift * (upper - lower) / 2, count


def _buckets(point: Any) -> Iterator[tuple[float, float, int]]:
    """Lower and upper bound and count of each bucket, within the point's minimum and maximum."""
    for lower, upper, count in (
        _explicit(point) if hasattr(point, "bucket_counts") else _exponential(point)
    ):
        lower = max(lower, point.min)
        yield lower, max(lower, min(upper, point.max)), count


def _explicit(point: Any) -> Iterator[tuple[float, float, int]]:
    bounds = [-math.inf, *point.explicit_bounds, math.inf]
    return zip(bounds, bounds[1:], point.bucket_counts, strict=False)


def _exponential(point: Any) -> Iterator[tuple[float, float, int]]:
    def bound(index: int) -> float:
        exponent = index * 2.0**-point.scale
        return 2.0**exponent if exponent < 1024 else math.inf

    for index, count in enumerate(point.negative.bucket_counts, point.negative.offset):
        yield -bound(index + 1), -bound(index), count
    yield 0.0, 0.0, point.zero_count
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
        yield bound(index), bound(index + 1), count


# ---- text

_NAME = re.compile(r"[^\w.\-/]", re.ASCII)
_TAG = re.compile(r"[,|\s#@]")


def _name(name: str) -> str:
    return _NAME.sub("_", name)


def _tags(attributes: Mapping[str, Any] | None, more: Mapping[str, Any]) -> str:
    """Attributes and more, of which the latter win, as tags."""
    tags = {key.replace(":", "_"): value for key, value in (attributes or {}).items()} | dict(more)
    texts = (f"{_TAG.sub('_', key)}:{_TAG.sub('_', _text(value))}" for key, value in tags.items())
    text = ",".join(text[:MAX_TAG] for text in texts)
    return f"|#{text}" if text else ""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _rate(count: int) -> str:
    """The sample rate of which the receiver makes at least `count` again, and hardly more."""
    if count == 1:
        return ""
    rate = 1 / count
    if 1 / rate < count:
        rate = math.nextafter(rate, 0)
    return f"|@{rate!r}"
