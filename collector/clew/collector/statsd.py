"""StatsD in, over UDP, TCP and Unix sockets, as OTLP metrics: counters, gauges, timers, histograms,
distributions and sets, with sample rates and DogStatsD's tags, packed values, events and service
checks.

Samples are aggregated for INTERVAL and then go the way of every request: checked, written to the
spool, counted by the ledger. A sender is never answered, so what comes in between a flush and a
kill of the process is lost, as is what the kernel drops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA, Metric

from clew.collector import otlp
from clew.collector.limits import NoTally, Overloaded, Tally
from clew.collector.otlp import Batch

logger = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds
MAX_LINE = 64 << 10  # bytes; a datagram is no longer
MAX_SERIES = 100_000  # in one interval; samples of further ones are dropped
MAX_EVENTS = 10_000  # in one interval
GAUGE_KEPT = 360  # intervals that a gauge's value is kept for changes, after it was last set
READS_AT_ONCE = 256  # datagrams, before other connections have their turn
RECEIVE_BUFFER = 4 << 20  # bytes
COMPLAINT_EVERY = 60.0  # seconds
SCOPE = "clew.statsd"

# Milliseconds. A timer's buckets; the ends are open.
BOUNDS = (*(0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000),)
TYPES = {"c": "c", "g": "g", "s": "s", "ms": "ms", "h": "h", "d": "h"}
# Tags of the resource, with the names of OpenTelemetry's conventions: DogStatsD's unified ones too.
RESOURCE_TAGS = {
    "service": "service.name",
    "service.name": "service.name",
    "env": "deployment.environment.name",
    "version": "service.version",
    "host": "host.name",
}
STATUSES = ("ok", "warning", "critical", "unknown")  # of a service check, by its number
SEVERITIES = {"error": 17, "warning": 13, "info": 9, "success": 9}  # OTLP's, by an event's type

Tags = tuple[tuple[str, str], ...]
Append = Callable[[str, Batch], Awaitable[None]]


@dataclass(frozen=True)
class Sample:
    """One line's values. kind: c, g, s, ms or h. is_change: of a gauge, with + or -. weight: how
    many samples each value stands for."""

    name: str
    kind: str
    values: tuple[float | str, ...]
    tags: Tags
    weight: float = 1.0
    is_change: bool = False


@dataclass(frozen=True)
class Event:
    """An event or a message of a service check."""

    name: str
    body: str
    severity: int
    tags: Tags
    seconds: int = 0  # since 1970; 0 is now


def parse(line: str) -> Iterator[Sample | Event]:
    """What one line says. Raises ValueError for what is not StatsD; unknown fields are ignored."""
    if line.startswith("_e{"):
        yield _event(line)
    elif line.startswith("_sc|"):
        yield from _service_check(line)
    else:
        yield _sample(line)


def _sample(line: str) -> Sample:
    head, *fields = line.split("|")
    name, colon, text = head.partition(":")
    if not (name and colon and text and fields) or fields[0] not in TYPES:
        raise ValueError("write name:value|type, with a type of c, g, ms, h, d or s")
    kind, weight = TYPES[fields[0]], 1.0
    tags: Tags = ()
    for part in fields[1:]:
        if part.startswith("@"):
            rate = float(part[1:])
            if not 0 < rate <= 1:
                raise ValueError("a sample rate is above 0 and at most 1")
            weight = 1 / rate
        elif part.startswith("#"):
            tags = _tags(part[1:])
    if kind == "s":
        return Sample(name, kind, (text,), tags, weight)
    texts = text.split(":")
    values = tuple(float(value) for value in texts)
    if any(value - value != 0 for value in values):
        raise ValueError("a value is a number")
    is_change = kind == "g" and texts[-1][0] in "+-"
    return Sample(name, kind, values, tags, weight, is_change)


def _tags(text: str) -> Tags:
    pairs = (tag.partition(":") for tag in text.split(",") if tag)
    return tuple(sorted({key: value for key, _, value in pairs}.items()))


def _event(line: str) -> Event:
    """`_e{5,4}:title|text|d:time|h:host|t:type|#tags`; the lengths are of bytes in UTF-8."""
    match = re.match(r"_e\{(\d+),(\d+)\}:", line)
    if match is None:
        raise ValueError("an event begins with _e{length,length}:")
    rest = line[match.end() :].encode()
    title_end = int(match[1])
    text_end = title_end + 1 + int(match[2])
    if len(rest) < text_end or rest[title_end : title_end + 1] != b"|":
        raise ValueError("an event's lengths do not fit its text")
    title = rest[:title_end].decode(errors="replace")
    body = rest[title_end + 1 : text_end].decode(errors="replace").replace("\\n", "\n")
    options = _options(rest[text_end:].decode(errors="replace").split("|"))
    tags = dict(_tags(options.get("#", "")))
    if host := options.get("h"):
        tags.setdefault("host", host)
    severity = SEVERITIES.get(options.get("t", "info"), 9)
    text = f"{title}\n{body}" if body else title
    return Event("statsd.event", text, severity, tuple(sorted(tags.items())), _time(options))


def _service_check(line: str) -> Iterator[Sample | Event]:
    """`_sc|name|status|d:time|h:host|#tags|m:message`: a gauge, and a log record of a message."""
    _, name, status, *fields = [*line.split("|"), "", ""][:3] + line.split("|")[3:]
    if not name or status not in ("0", "1", "2", "3"):
        raise ValueError("a service check is _sc|name|status, with a status of 0 to 3")
    options = _options(fields)
    tags = dict(_tags(options.get("#", "")))
    if host := options.get("h"):
        tags.setdefault("host", host)
    yield Sample(name, "g", (float(status),), tuple(sorted(tags.items())))
    if message := options.get("m"):
        severity = (9, 13, 17, 13)[int(status)]
        tags |= {"statsd.check.name": name, "statsd.check.status": STATUSES[int(status)]}
        yield Event(
            "statsd.service_check", message, severity, tuple(sorted(tags.items())), _time(options)
        )


def _options(fields: Iterable[str]) -> dict[str, str]:
    options = {}
    for part in fields:
        if part.startswith("#"):
            options["#"] = part[1:]
        elif part[1:2] == ":":
            options[part[0]] = part[2:]
    return options


def _time(options: dict[str, str]) -> int:
    text = options.get("d", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 11 else 0


@dataclass
class _Histogram:
    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BOUNDS) + 1))
    count: float = 0.0
    sum: float = 0.0
    minimum: float = float("inf")
    maximum: float = float("-inf")

    def add(self, value: float, weight: float) -> None:
        self.counts[bisect_left(BOUNDS, value)] += weight
        self.count += weight
        self.sum += value * weight
        self.minimum, self.maximum = min(self.minimum, value), max(self.maximum, value)


Series = tuple[str, str, Tags]  # name, kind, tags


class Aggregator:
    """What came in within an interval, by series. A gauge keeps its value for later changes."""

    def __init__(self, service: str, started: int) -> None:
        self._service = service
        self._started = started  # nanoseconds since 1970
        self._sums: dict[Series, float] = {}
        self._histograms: dict[Series, _Histogram] = {}
        self._sets: dict[Series, set[str]] = {}
        self._gauges: dict[
            Series, tuple[float, int]
        ] = {}  # value, and the interval of the last one
        self._interval = 0
        self._events: list[Event] = []
        self.dropped = 0  # samples and events, for want of room

    def add(self, item: Sample | Event) -> None:
        if isinstance(item, Event):
            if len(self._events) < MAX_EVENTS:
                self._events.append(item)
            else:
                self.dropped += 1
            return
        series = (item.name, item.kind, item.tags)
        if not self._has_room(series):
            self.dropped += 1
        elif item.kind == "c":
            total = sum(value for value in item.values if not isinstance(value, str))
            self._sums[series] = self._sums.get(series, 0.0) + total * item.weight
        elif item.kind == "s":
            self._sets.setdefault(series, set()).update(map(str, item.values))
        elif item.kind == "g":
            before = self._gauges[series][0] if item.is_change and series in self._gauges else 0.0
            self._gauges[series] = (before + float(item.values[-1]), self._interval)
        else:
            histogram = self._histograms.setdefault(series, _Histogram())
            for value in item.values:
                histogram.add(float(value), item.weight)

    def _has_room(self, series: Series) -> bool:
        kinds: tuple[Mapping[Series, object], ...] = (
            *(self._sums, self._sets, self._gauges, self._histograms),
        )
        known = any(series in kind for kind in kinds)
        return known or sum(len(kind) for kind in kinds) < MAX_SERIES

    def take(self, now: int) -> dict[str, bytes]:
        """OTLP requests of what came in, by signal, and begin the next interval. `now`: nanoseconds
        since 1970. Gauges that were not set in it are left out."""
        metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
        scopes = _Scopes(metrics, self._service)
        for (name, _, tags), total in self._sums.items():
            point = scopes.metric(tags, name, "sum", "").sum.data_points.add(as_double=total)
            self._stamp(point, tags, now)
        for (name, _, tags), (value, interval) in self._gauges.items():
            if interval == self._interval:
                metric = scopes.metric(tags, name, "gauge", "")
                self._stamp(metric.gauge.data_points.add(as_double=value), tags, now)
        for (name, _, tags), members in self._sets.items():
            metric = scopes.metric(tags, name, "gauge", "")
            self._stamp(metric.gauge.data_points.add(as_double=len(members)), tags, now)
        for (name, kind, tags), histogram in self._histograms.items():
            metric = scopes.metric(tags, name, "histogram", "ms" if kind == "ms" else "")
            counts = [round(count) for count in histogram.counts]
            distribution = metric.histogram.data_points.add(
                count=sum(counts), sum=histogram.sum, min=histogram.minimum, max=histogram.maximum,
                bucket_counts=counts, explicit_bounds=BOUNDS,
            )  # fmt: skip
            self._stamp(distribution, tags, now)
        self._add_events(logs, now)
        self._sums, self._histograms, self._sets, self._events = {}, {}, {}, []
        self._interval, self._started = self._interval + 1, now
        oldest = self._interval - GAUGE_KEPT
        if any(interval < oldest for _, interval in self._gauges.values()):
            self._gauges = {
                series: gauge for series, gauge in self._gauges.items() if gauge[1] >= oldest
            }
        bodies = {"metrics": metrics.SerializeToString(), "logs": logs.SerializeToString()}
        return {signal: body for signal, body in bodies.items() if body}

    def _stamp(self, point: object, tags: Tags, now: int) -> None:
        point.start_time_unix_nano, point.time_unix_nano = self._started, now  # type: ignore[attr-defined]
        for key, value in tags:
            if key not in RESOURCE_TAGS:
                point.attributes.add(key=key).value.string_value = value  # type: ignore[attr-defined]

    def _add_events(self, request: ExportLogsServiceRequest, now: int) -> None:
        scopes = {}
        for event in self._events:
            resource = _resource(event.tags, self._service)
            if resource not in scopes:
                group = request.resource_logs.add()
                for key, value in resource:
                    group.resource.attributes.add(key=key).value.string_value = value
                scopes[resource] = group.scope_logs.add()
                scopes[resource].scope.name = SCOPE
            record = scopes[resource].log_records.add(
                time_unix_nano=event.seconds * 10**9 or now, observed_time_unix_nano=now,
                severity_number=event.severity, event_name=event.name,
            )  # fmt: skip
            record.body.string_value = event.body
            for key, value in event.tags:
                if key not in RESOURCE_TAGS:
                    record.attributes.add(key=key).value.string_value = value


def _resource(tags: Tags, service: str) -> Tags:
    attributes = {RESOURCE_TAGS[key]: value for key, value in tags if key in RESOURCE_TAGS}
    return tuple(sorted(({"service.name": service} | attributes).items()))


class _Scopes:
    """The metrics of a request, by resource, name and kind: points of one metric stand together."""

    def __init__(self, request: ExportMetricsServiceRequest, service: str) -> None:
        self._request = request
        self._service = service
        self._metrics: dict[tuple[Tags, str, str, str], Metric] = {}
        self._scopes: dict[Tags, object] = {}

    def metric(self, tags: Tags, name: str, kind: str, unit: str) -> Metric:
        resource = _resource(tags, self._service)
        key = (resource, name, kind, unit)
        if key not in self._metrics:
            metric = self._scope(resource).metrics.add(name=name, unit=unit)  # type: ignore[attr-defined]
            if kind != "gauge":
                getattr(metric, kind).aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA
            self._metrics[key] = metric
        return self._metrics[key]

    def _scope(self, resource: Tags) -> object:
        if resource not in self._scopes:
            group = self._request.resource_metrics.add()
            for key, value in resource:
                group.resource.attributes.add(key=key).value.string_value = value
            scope = group.scope_metrics.add()
            scope.scope.name = SCOPE
            self._scopes[resource] = scope
        return self._scopes[resource]


class StatsdReceiver:
    """Takes lines from the sockets, and appends what they say once in INTERVAL.

    `service` is the service.name of samples without a tag for it. Runs on one event loop."""

    def __init__(self, append: Append, service: str, tally: Tally | None = None) -> None:
        self._append = append
        self._tally = tally or NoTally()
        self._aggregator = Aggregator(service, time.time_ns())
        self._datagrams: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._waiting: list[tuple[str, Batch]] = []  # refused by the spool, for the next interval
        self._flushing: asyncio.Task[None] | None = None
        self._complained_at = 0.0

    async def start(self, datagrams: list[socket.socket], streams: list[socket.socket]) -> None:
        """Read from bound sockets: of datagrams, and those that connections are made to."""
        loop = asyncio.get_running_loop()
        for receiving in datagrams:
            receiving.setblocking(False)
            with contextlib.suppress(OSError):
                receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            loop.add_reader(receiving.fileno(), self._receive, receiving)
            self._datagrams.append(receiving)
        for listening in streams:
            self._servers.append(
                await asyncio.start_server(self._read_lines, sock=listening, limit=MAX_LINE)
            )
        self._flushing = asyncio.create_task(self._flush_regularly())

    async def stop(self) -> None:
        """Stop reading, and append what came in."""
        loop = asyncio.get_running_loop()
        for receiving in self._datagrams:
            self._receive(receiving)
            loop.remove_reader(receiving.fileno())
            receiving.close()
        for server in self._servers:
            server.close()
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing
        await self.flush()

    async def flush(self) -> None:
        """Append what came in since the last flush. What the spool refuses waits for the next."""
        requests = self._aggregator.take(time.time_ns())
        if self._aggregator.dropped:
            self._complain("more than %d series at once: samples are dropped", MAX_SERIES)
            self._aggregator.dropped = 0
        for signal, body in requests.items():
            self._waiting.append((signal, otlp.decode_protobuf(signal, body)))
        while self._waiting:
            try:
                await self._append(*self._waiting[0])
            except Overloaded as error:
                if sum(len(batch.body) for _, batch in self._waiting) > MAX_LINE << 10:
                    signal, _ = self._waiting.pop(0)
                    self._tally.count_refused(signal)
                self._complain("what came by StatsD waits: %s", error)
                return
            self._waiting.pop(0)

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.flush()
            except Exception:
                logger.exception("what came by StatsD in this interval could not be appended")

    def _receive(self, receiving: socket.socket) -> None:
        for _ in range(READS_AT_ONCE):
            try:
                datagram = receiving.recv(MAX_LINE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._complain("a StatsD socket cannot be read: %s", error)
                return
            for line in datagram.split(b"\n"):
                self.add_line(line)

    async def _read_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                self.add_line(line)
        except (ValueError, ConnectionError) as error:
            self._complain("a StatsD connection is closed: %s", error)
        finally:
            writer.close()

    def add_line(self, line: bytes) -> None:
        """Add what a line says; one that is not StatsD is counted and complained of."""
        text = line.strip().decode(errors="replace")
        if not text:
            return
        try:
            items = list(parse(text))
        except (ValueError, OverflowError) as error:
            self._tally.count_unreadable("metrics")
            self._complain("%r is not StatsD: %s", text[:200], error)
            return
        for item in items:
            self._aggregator.add(item)

    def _complain(self, message: str, *values: object) -> None:
        now = time.monotonic()
        if now >= self._complained_at + COMPLAINT_EVERY or not self._complained_at:
            self._complained_at = now
            logger.warning(message, *values)
