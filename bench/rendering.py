"""The data set's day as OTLP.

The bytes of each shape are made once, by protobuf, with holes of fixed width for ids, times and
values; numpy fills them for thousands of traces at once.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from day import (
    INSTANCES,
    LARGE_AT,
    LARGE_TRACE,
    NAMES,
    NUMBER,
    SECOND,
    SLOW_FROM,
    SLOW_UNTIL,
    Bytes,
    Day,
    Flags,
    Floats,
    Ints,
    Traces,
    span_ids,
    zipf,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from shapes import (
    CLIENT,
    CONSUMER,
    DEPLOYED,
    INTERNAL,
    LEAST,
    ORDER,
    SERVER,
    SERVICES,
    SHAPES,
    SKU,
    STACK,
    TENANT,
    TOTAL,
    USER,
)

MS = 10**6
SKEWED, SKEW = ("inventory", 1), 2 * MS  # one instance whose clock is ahead
SECTION = 300  # spans of the large trace below one parent
IN_TRACE = 0.8  # of the log records
RARE_WORD, RARE_RECORDS = "unobtainium", 12
VOCABULARY, BODIES = 6_000, 1_500  # words; different records of each service

Running = tuple[str, int, bool]  # service, instance, whether of the new version
Value = Callable[[np.random.Generator, Floats], Floats]


# ---- bytes with holes


class Template:
    """Bytes with holes of fixed width, found by what stands in them."""

    def __init__(self, body: bytes, marks: Mapping[Hashable, bytes]) -> None:
        self._body = np.frombuffer(body, np.uint8)
        self.holes = {name: list(_found(body, mark)) for name, mark in marks.items()}

    def filled(self, count: int, values: Mapping[Hashable, Bytes]) -> Bytes:
        """So many copies, a row each, with the rows of `values` in the holes of their names."""
        rows = np.tile(self._body, (count, 1))
        for name, value in values.items():
            for hole in self.holes.get(name, ()):
                rows[:, hole : hole + value.shape[1]] = value
        return rows


def _found(body: bytes, mark: bytes) -> Iterator[int]:
    at = body.find(mark)
    while at >= 0:
        yield at
        at = body.find(mark, at + 1)


def mark(kind: int, number: int = 0) -> bytes:
    """Eight bytes that are nothing else, and a number as an integer and as a double."""
    return struct.pack("<I", number) + bytes([kind, 0xA5, 0x5A, 0x41])


def as_integer(eight: bytes) -> int:
    return int.from_bytes(eight, "little")


def as_double(eight: bytes) -> float:
    return float(struct.unpack("<d", eight)[0])


def eights(values: Ints | Floats) -> Bytes:
    """Fixed64 or double, a row each."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), 8)


def digits(values: Ints, width: int) -> Bytes:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return np.asarray(values[:, None] // powers % 10 + ord("0"), np.uint8)


TEXTS: dict[Hashable, bytes] = {
    name: text.partition("-")[2].encode()
    for name, text in {"user": USER, "sku": SKU, "tenant": TENANT, "order": ORDER}.items()
    if name != "tenant"
}


def wrapped(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def put(attributes: Any, values: Mapping[str, Any]) -> None:
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    for key, value in values.items():
        setattr(attributes.add(key=key).value, kinds[type(value)], value)


@cache
def resource(running: Running) -> bytes:
    service, instance, new = running
    number = SERVICES.index(service) if service in SERVICES else len(SERVICES)
    message = Resource()
    put(
        message.attributes,
        {
            "service.name": service,
            "service.instance.id": f"627cc493-f310-47de-96bd-{number:04}{instance:04}{new:04}",
            "service.version": "1.9.0" if new else "1.8.2",
            "service.namespace": "shop",
            "host.name": f"node-{(number + instance) % 4}",
            "process.pid": 100 * (number + 1) + 10 * new + instance,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.45.1",
            "deployment.environment.name": "production",
        },
    )
    return wrapped(1, message.SerializeToString())


SCOPE = wrapped(1, wrapped(1, b"shop.instrumentation") + wrapped(2, b"0.66b1"))


def request(running: Running, items: Iterable[bytes]) -> bytes:
    """An export request of one resource, of items that are fields 2 of its scope."""
    return wrapped(1, resource(running) + wrapped(2, SCOPE + b"".join(items)))


# ---- spans


WIDEST = max(len(shape.spans) for shape in SHAPES.values())


def _table(of: Callable[[Any], float]) -> Floats:
    """(shape, place) of a number of each span."""
    table = np.zeros((len(NAMES), WIDEST))
    for number, name in enumerate(NAMES):
        for place, span in enumerate(SHAPES[name].spans):
            table[number, place] = of(span)
    return table


AT, TAKES = _table(lambda span: span.at * MS), _table(lambda span: span.takes * MS)
SERVICE = _table(lambda span: SERVICES.index(span.service)).astype(np.int64)
SIZE = np.array([len(SHAPES[name].spans) for name in NAMES])
SPEAKING = [  # the places of each shape whose service writes log records
    [n for n, s in enumerate(SHAPES[name].spans) if s.call.kind in (SERVER, CONSUMER, INTERNAL)]
    for name in NAMES
]
FAILING = [[n for n, span in enumerate(SHAPES[name].spans) if span.call.failure] for name in NAMES]
TRACE_MARK, LINK_MARK = b"\xf1trace-id-here\xf2\xf3", b"\xf1link-id-there\xf2\xf3"
ID, START, END, LINKED = 1, 2, 3, 4


@cache
def template(shape: str, service: str) -> Template:
    """The spans of a shape that are one service's."""
    body = b""
    spans = SHAPES[shape].spans
    marks: dict[Hashable, bytes] = {"trace": TRACE_MARK, "link": LINK_MARK, **TEXTS}
    marks |= {"tenant": TENANT.encode(), "linked": mark(LINKED), "total": struct.pack("<d", TOTAL)}
    for place, placed in enumerate(spans):
        marks |= {("id", place): mark(ID, place), ("start", place): mark(START, place)}
        marks |= {("end", place): mark(END, place)}
        if placed.service == service:
            body += wrapped(2, _span(spans, place).SerializeToString())
    return Template(body, marks)


def _span(spans: Any, place: int) -> Any:
    call, service, parent = spans[place].call, spans[place].service, spans[place].parent
    span = Span(
        trace_id=TRACE_MARK,
        span_id=mark(ID, place),
        parent_span_id=b"" if parent < 0 else mark(ID, parent),
        name=call.name,
        kind=call.kind,
        start_time_unix_nano=as_integer(mark(START, place)),
        end_time_unix_nano=as_integer(mark(END, place)),
        flags=1,
    )
    put(span.attributes, call.attributes)
    if call.is_error:
        span.status.code = Status.STATUS_CODE_ERROR
    if call.kind == CONSUMER:
        span.links.add(trace_id=LINK_MARK, span_id=mark(LINKED))
    if call.failure:
        event = span.events.add(time_unix_nano=span.end_time_unix_nano, name="exception")
        put(event.attributes, _exception(service, *call.failure))
        span.status.message = call.failure[1]
    return span


def _exception(service: str, kind: str, message: str) -> dict[str, str]:
    trace = STACK.format(service=service, type=kind, message=message)
    return {
        "exception.type": kind,
        "exception.message": message,
        "exception.stacktrace": trace,
    }


def spans(day: Day, chance: np.random.Generator, traces: Traces) -> dict[Running, list[bytes]]:
    """The spans of these traces, by who sends them."""
    found: dict[Running, list[bytes]] = defaultdict(list)
    for number in np.unique(traces.shape):
        of_shape = traces.take(traces.shape == number)
        shape, count = SHAPES[NAMES[number]], len(of_shape)
        places = range(len(shape.spans))
        ids = span_ids(of_shape.id, places)
        values: dict[Hashable, Bytes] = {
            "trace": of_shape.id,
            "link": of_shape.link[:, :16],
            "linked": of_shape.link[:, 16:],
            "user": digits(of_shape.user, 5),
            "sku": digits(of_shape.sku, 6),
            "order": digits(of_shape.order, 10),
            "total": eights(of_shape.total),
            "tenant": tenants(of_shape.tenant),
        }
        for place, span in enumerate(shape.spans):
            start = day.start + of_shape.time + (AT[number, place] * of_shape.pace).astype(np.int64)
            takes = TAKES[number, place] * of_shape.pace
            if not span.call.calls:
                takes = takes * chance.uniform(LEAST, 1, count)
            if span.service == SKEWED[0]:
                where = of_shape.instance[:, SERVICES.index(span.service)]
                start = start + np.where(where == SKEWED[1], SKEW, 0)
            values[("id", place)] = ids[:, place]
            values[("start", place)] = eights(start)
            values[("end", place)] = eights(start + takes.astype(np.int64))
        for service in dict.fromkeys(span.service for span in shape.spans):
            rows = template(NAMES[number], service).filled(count, values)
            for running, which in running_of(day, service, of_shape.instance, of_shape.time):
                found[running].append(rows[which].tobytes())
    return found


def tenants(numbers: Ints) -> Bytes:
    text = np.tile(np.frombuffer(TENANT.encode(), np.uint8), (len(numbers), 1))
    text[:, -2:] = digits(numbers, 2)
    return text


def running_of(day: Day, service: str, instance: Ints, time: Ints) -> Iterator[tuple[Running, Any]]:
    """Each process of the service, and which of these (by the instances met, and time) are its."""
    number = SERVICES.index(service)
    new = day.is_new(time) & (service in DEPLOYED)
    for each in range(INSTANCES[number]):
        for version in (False, True):
            which = (instance[:, number] == each) & (new == version)
            if which.any():
                yield (service, each, version), which


def large_trace(day: Day) -> Iterator[tuple[bytes, int]]:
    """Requests of the one trace of `day.large` spans: a root, sections below it, statements."""
    began = day.start + int(LARGE_AT * day.length)
    each = 200_000  # nanoseconds
    trace = np.frombuffer(bytes.fromhex(LARGE_TRACE), np.uint8)
    sections = day.large // (SECTION + 1)
    statements = day.large - 1 - sections
    places = np.arange(day.large)
    ids = eights((places + 1) * 0x1000193)
    parent = np.where(places <= sections, 0, 1 + (places - 1 - sections) // SECTION)
    parent = np.minimum(parent, sections)
    start = began + np.where(
        places <= sections, (places - 1) * SECTION * each, (places - 1 - sections) * each
    )
    end = start + np.where(places <= sections, SECTION * each, each // 2)
    end[sections] = began + (statements + SECTION) * each
    start[0], end[0] = began - each, end.max() + each
    for kind, first, last in (
        ("root", 0, 1), ("section", 1, 1 + sections), ("statement", 1 + sections, day.large),
    ):  # fmt: skip
        made = _large_template(kind)
        for at in range(first, last, 10_000):
            rows = slice(at, min(at + 10_000, last))
            count = rows.stop - rows.start
            values: dict[Hashable, Bytes] = {
                "trace": np.tile(trace, (count, 1)), "id": ids[rows], "parent": ids[parent[rows]],
                "start": eights(start[rows]), "end": eights(end[rows]),
            }  # fmt: skip
            body = made.filled(count, values).tobytes()
            yield request(("reporting", 0, False), [body]), count


def _large_template(kind: str) -> Template:
    name = {"root": "nightly report", "section": "section", "statement": "SELECT orders"}[kind]
    marks: dict[Hashable, bytes] = {
        "trace": TRACE_MARK, "id": mark(ID), "parent": mark(ID, 1),
        "start": mark(START), "end": mark(END),
    }  # fmt: skip
    span = Span(
        trace_id=TRACE_MARK,
        span_id=mark(ID),
        parent_span_id=b"" if kind == "root" else mark(ID, 1),
        name=name,
        kind=CLIENT if kind == "statement" else INTERNAL,
        start_time_unix_nano=as_integer(mark(START)),
        end_time_unix_nano=as_integer(mark(END)),
    )
    if kind == "statement":
        put(span.attributes, {"db.system.name": "postgresql", "db.query.summary": name})
    return Template(wrapped(2, span.SerializeToString()), marks)


# ---- log records


@dataclass(frozen=True)
class Pool:
    """Log records to draw from, with holes at the same places for time and ids, and at their own
    for the user and the order that some name."""

    bodies: list[bytes]
    texts: list[str]

    def __post_init__(self) -> None:
        assert all(128 <= len(body) - 3 < 16384 for body in self.bodies)  # a length of two bytes

    def has(self, word: str) -> Flags:
        """Which of them have the word."""
        return np.array([word in text.split() for text in self.texts])

    @cached_property
    def lengths(self) -> Ints:
        return np.array([len(body) for body in self.bodies])

    @cached_property
    def holes(self) -> dict[Hashable, Ints]:
        """Where in each record a text begins, less than 0 where it does not occur."""
        return {
            name: np.array([body.find(text) for body in self.bodies])
            for name, text in TEXTS.items()
        }


def vocabulary() -> list[str]:
    """Words by how frequent they are."""
    known = ["request", "order", "cache", "stock", "retry", "timeout", "payment", "queue"]
    starts, vowels = "bcdfghjklmnprstvwz", "aeiou"
    made = [
        "".join(
            starts[n // 5**i // 18**i % 18] + vowels[n // 5**i // 18 ** (i + 1) % 5]
            for i in (0, 1, 2)
        )
        for n in range(7, 7 + 131 * VOCABULARY, 131)
    ]
    return list(dict.fromkeys(known + made))[:VOCABULARY]


TIME_AT, OBSERVED_AT, TRACE_AT, SPAN_AT = 4, 13, 23, 41


def _record(text: str, severity: str, attributes: Mapping[str, Any], traced: bool = True) -> bytes:
    levels: dict[str, Any] = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}
    rest = LogRecord(severity_number=levels[severity], severity_text=severity)
    rest.body.string_value = text
    put(rest.attributes, attributes)
    front = b"\x09" + bytes(8) + b"\x59" + bytes(8)
    if traced:
        front += b"\x4a\x10" + bytes(16) + b"\x52\x08" + bytes(8)
    return wrapped(2, front + rest.SerializeToString())


@cache
def narrative(service: str, traced: bool = True) -> Pool:
    """What a service says; records without a trace are its housekeeping."""
    chance = np.random.default_rng((17, SERVICES.index(service), traced))
    words, weights = vocabulary(), zipf(VOCABULARY)
    bodies, texts = [], []
    drawn = chance.choice(VOCABULARY, (BODIES, 9), p=weights)
    severities = chance.choice(["DEBUG", "INFO", "WARN"], BODIES, p=[0.1, 0.84, 0.06])
    for number, said in enumerate(drawn):
        text = " ".join(words[word] for word in said)
        text = f"{text} for {USER} in {number % 97} ms" if traced else f"housekeeping: {text}"
        attributes: dict[str, Any] = {
            "code.function.name": f"shop.{service}.{words[number % 40]}",
            "code.line.number": int(chance.integers(10, 400)),
            "thread.name": f"worker-{number % 8}",
        }
        if service == "notifications" and traced:
            attributes["order.id"] = ORDER
        bodies.append(_record(text, str(severities[number]), attributes, traced))
        texts.append(text)
    return Pool(bodies, texts)


@cache
def failure(shape: str, place: int) -> Pool:
    span = SHAPES[shape].spans[place]
    assert span.call.failure
    text = f"{span.call.name} failed: {span.call.failure[1]}"
    exception = _exception(span.service, *span.call.failure)
    return Pool([_record(text, "ERROR", exception)], [text])


@cache
def rare() -> Pool:
    text = f"the {RARE_WORD} of this run has been used up, none is left in the whole store house"
    attributes = {"code.function.name": "shop.inventory.use", "thread.name": "worker-1"}
    return Pool([_record(text, "WARN", attributes, traced=False)], [text])


@dataclass
class Said:
    """Records of one pool: which, who (by the instances met), and when."""

    service: str
    pool: Pool
    which: Ints
    instance: Ints
    time: Ints
    trace: Bytes | None = None
    span: Bytes | None = None
    user: Ints | None = None
    order: Ints | None = None


def said(day: Day, number: int, traces: Traces, bounds: Ints) -> Iterator[Said]:
    """What is logged in the stretch of that number, half as many records as there are spans."""
    chance = np.random.default_rng((day.seed, number, 2))
    left = int(SIZE[traces.shape].sum()) // 2
    for shape in np.unique(traces.shape):
        failing = FAILING[shape]
        if failing:
            rows = np.flatnonzero(traces.shape == shape)
            yield _in_trace(traces, rows, failing[0], failure(NAMES[shape], failing[0]), chance)
            left -= len(rows)
    notified = np.flatnonzero(traces.shape == NUMBER["notify"])
    if len(notified):
        yield _in_trace(traces, notified, 0, narrative("notifications"), chance)
        left -= len(notified)
    if RARE_RECORDS * number // day.stretches < RARE_RECORDS * (number + 1) // day.stretches:
        times = (
            RARE_RECORDS * (number + 1) // day.stretches - RARE_RECORDS * number // day.stretches
        )
        yield _alone(chance, "inventory", rare(), times, bounds)
        left -= times
    in_trace = int(left * IN_TRACE)
    rows = chance.integers(0, len(traces), in_trace) if len(traces) else np.zeros(0, np.int64)
    luck = chance.random(len(rows))
    for shape in np.unique(traces.shape[rows]):
        of_shape = traces.shape[rows] == shape
        speaking = SPEAKING[shape]
        turn = (luck[of_shape] * len(speaking)).astype(np.int64)
        for place_number, place in enumerate(speaking):
            chosen = rows[of_shape][turn == place_number]
            service = SHAPES[NAMES[shape]].spans[place].service
            yield _in_trace(traces, chosen, place, narrative(service), chance)
    alone = chance.multinomial(max(0, left - len(rows)), np.full(len(SERVICES), 1 / len(SERVICES)))
    for service, count in zip(SERVICES, alone, strict=True):
        yield _alone(chance, service, narrative(service, traced=False), int(count), bounds)


def _in_trace(
    traces: Traces, rows: Ints, place: int, pool: Pool, chance: np.random.Generator
) -> Said:
    shape = traces.shape[rows]
    pace = traces.pace[rows]
    within = (AT[shape, place] + TAKES[shape, place] * chance.uniform(0, LEAST, len(rows))) * pace
    return Said(
        SERVICES[SERVICE[shape[0], place]] if len(rows) else SERVICES[0],
        pool,
        chance.integers(0, len(pool.bodies), len(rows)),
        traces.instance[rows],
        traces.time[rows] + within.astype(np.int64),
        traces.id[rows],
        span_ids(traces.id[rows], [place])[:, 0],
        traces.user[rows],
        traces.order[rows],
    )


def _alone(chance: np.random.Generator, service: str, pool: Pool, count: int, bounds: Ints) -> Said:
    return Said(
        service,
        pool,
        chance.integers(0, len(pool.bodies), count),
        (chance.random((count, len(SERVICES))) * INSTANCES).astype(np.int64),
        chance.integers(bounds[0], bounds[1], count),
    )


def records(
    day: Day, number: int, traces: Traces, bounds: Ints
) -> tuple[dict[Running, list[bytes]], int]:
    """The log records of a stretch, by who sends them, and how many."""
    found: dict[Running, list[bytes]] = defaultdict(list)
    total = 0
    for each in said(day, number, traces, bounds):
        total += len(each.which)
        for running, which in running_of(day, each.service, each.instance, each.time):
            found[running].append(_written(day, each, which))
    return found, total


def _written(day: Day, said: Said, rows: Any) -> bytes:
    which = said.which[rows]
    bodies = said.pool.bodies
    flat = np.frombuffer(bytearray().join([bodies[each] for each in which.tolist()]), np.uint8)
    ends = np.cumsum(said.pool.lengths[which])
    at = np.concatenate([[0], ends[:-1]])
    time = eights(day.start + said.time[rows])
    _put(flat, at + TIME_AT, time)
    _put(flat, at + OBSERVED_AT, time)
    if said.trace is not None and said.span is not None:
        _put(flat, at + TRACE_AT, said.trace[rows])
        _put(flat, at + SPAN_AT, said.span[rows])
    for text, numbers in (("user", said.user), ("order", said.order)):
        if numbers is not None:
            holes = said.pool.holes[text][which]
            has = holes >= 0
            _put(flat, (at + holes)[has], digits(numbers[rows][has], len(TEXTS[text])))
    return flat.tobytes()


def _put(flat: Bytes, at: Ints, values: Bytes) -> None:
    flat[at[:, None] + np.arange(values.shape[1])] = values


# ---- metric points


@dataclass(frozen=True)
class Metric:
    """A metric of one point, but for histograms: `value` by the time as a share of the day."""

    name: str
    unit: str
    value: Value
    kind: str = "gauge"  # gauge, count (up and down), total (only up)
    attributes: tuple[tuple[str, str], ...] = ()


def _around(middle: float, spread: float, day: float = 0.0) -> Value:
    """Noise around a middle that goes with the day's traffic."""
    return lambda chance, when: (
        middle * (1 + day * np.sin(2 * np.pi * when)) + spread * chance.standard_normal(len(when))
    )


def _growing(each_day: float) -> Value:
    return lambda chance, when: np.floor(when * each_day)


def _pool(full: bool) -> Value:
    """Connections in use: all 50 of cart's in the slow hour."""

    def used(chance: np.random.Generator, when: Floats) -> Floats:
        slow = (when >= SLOW_FROM) & (when < SLOW_UNTIL) & full
        return np.where(slow, 48.0, 9.0) + chance.integers(-2, 3, len(when))

    return used


def _metrics(service: str) -> list[Metric]:
    return [
        Metric("process.cpu.utilization", "1", _around(0.35, 0.04, day=0.3)),
        Metric("process.memory.usage", "By", _around(3.1e8, 6e6, day=0.05), "count"),
        Metric("process.thread.count", "{thread}", _around(21, 1), "count"),
        Metric("process.open_file_descriptor.count", "{file}", _around(64, 5), "count"),
        *(
            Metric("process.cpu.time", "s", _growing(2e4), "total", (("process.cpu.state", state),))
            for state in ("user", "system")
        ),
        *(
            Metric("cpython.gc.collections", "{collection}", _growing(4e4 / 10**generation),
                   "total", (("cpython.gc.generation", str(generation)),))
            for generation in range(3)
        ),
        Metric("db.client.connection.count", "{connection}", _pool(service == "cart"), "count",
               (("db.client.connection.state", "used"),)),
        Metric("db.client.connection.pending_requests", "{request}", _around(1, 0.2), "count"),
        Metric("http.server.active_requests", "{request}", _around(4, 1, day=0.3), "count"),
        *(
            Metric("system.network.io", "By", _growing(6e10), "total",
                   (("network.io.direction", direction),))
            for direction in ("transmit", "receive")
        ),
    ]  # fmt: skip


BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]  # seconds
SHARES = np.array([0.05, 0.15, 0.25, 0.25, 0.15, 0.08, 0.04, 0.02, 0.005, 0.005])
POINT, WHEN, SINCE, BUCKET, SUM, COUNT, EXEMPLAR, EXEMPLAR_AT, EXEMPLAR_SPAN = range(10, 19)


def routes(service: str) -> list[str]:
    """What the service answers, in the order of the shapes."""
    return list(dict.fromkeys(
        span.call.name
        for shape in SHAPES.values()
        for span in shape.spans
        if span.service == service and span.call.kind == SERVER
    ))  # fmt: skip


@cache
def serving(service: str, route: str) -> dict[int, int]:
    """The place at which each shape is served by it, of those that are."""
    found: dict[int, int] = {}
    for number, name in enumerate(NAMES):
        for place, span in enumerate(SHAPES[name].spans):
            if (span.service, span.call.name) == (service, route) and span.call.kind == SERVER:
                found.setdefault(number, place)
    return found


def points_of(service: str) -> int:
    return len(_metrics(service)) + len(routes(service))


POINTS_OF_A_TICK = sum(
    points_of(service) * int(INSTANCES[number]) for number, service in enumerate(SERVICES)
)


def _trace_mark(number: int) -> bytes:
    return mark(EXEMPLAR, number) + mark(EXEMPLAR, number + 1000)


@cache
def metrics_template(running: Running) -> Template:
    service = running[0]
    message = ScopeMetrics()
    message.scope.name = "shop.instrumentation"
    marks: dict[Hashable, bytes] = {"time": mark(WHEN), "since": mark(SINCE)}
    when = {
        "time_unix_nano": as_integer(mark(WHEN)),
        "start_time_unix_nano": as_integer(mark(SINCE)),
    }
    for number, metric in enumerate(_metrics(service)):
        made = message.metrics.add(name=metric.name, unit=metric.unit)
        data = made.gauge if metric.kind == "gauge" else made.sum
        if metric.kind != "gauge":
            made.sum.aggregation_temporality = 2
            made.sum.is_monotonic = metric.kind == "total"
        point = data.data_points.add(as_double=as_double(mark(POINT, number)), **when)
        put(point.attributes, dict(metric.attributes))
        marks[("point", number)] = mark(POINT, number)
    made = message.metrics.add(name="http.server.request.duration", unit="s")
    made.histogram.aggregation_temporality = 1
    for number, route in enumerate(routes(service)):
        point = made.histogram.data_points.add(
            count=as_integer(mark(COUNT, number)),
            sum=as_double(mark(SUM, number)),
            bucket_counts=[as_integer(mark(BUCKET, number * 16 + n)) for n in range(len(SHARES))],
            explicit_bounds=BOUNDS,
            **when,
        )
        method, _, path = route.partition(" ")
        put(point.attributes, {"http.request.method": method, "http.route": path})
        point.exemplars.add(
            time_unix_nano=as_integer(mark(EXEMPLAR_AT, number)),
            as_double=as_double(mark(POINT, 1000 + number)),
            span_id=mark(EXEMPLAR_SPAN, number),
            trace_id=_trace_mark(number),
        )
        marks |= {("count", number): mark(COUNT, number), ("sum", number): mark(SUM, number)}
        marks |= {("trace", number): _trace_mark(number)}
        marks |= {("span", number): mark(EXEMPLAR_SPAN, number)}
        marks |= {("at", number): mark(EXEMPLAR_AT, number)}
        marks |= {("took", number): mark(POINT, 1000 + number)}
        for n in range(len(SHARES)):
            marks[("bucket", number, n)] = mark(BUCKET, number * 16 + n)
    if not routes(service):
        message.metrics.pop()
    body = wrapped(1, resource(running) + wrapped(2, message.SerializeToString()))
    return Template(body, marks)


def metrics(day: Day, number: int, traces: Traces, bounds: Ints) -> tuple[bytes, int]:
    """The points of a stretch as one request, each process exporting at each tick, and how many."""
    chance = np.random.default_rng((day.seed, number, 3))
    ticks = day.ticks(POINTS_OF_A_TICK)
    times = ticks[(ticks >= bounds[0]) & (ticks < bounds[1])]
    if not len(times) or not len(traces):
        return b"", 0
    body, count = [], 0
    for service_number, service in enumerate(SERVICES):
        for instance in range(int(INSTANCES[service_number])):
            here = np.full((len(times), len(SERVICES)), instance)
            for running, which in running_of(day, service, here, times):
                rows = _points(day, chance, running, times[which], traces)
                body.append(rows.tobytes())
                count += points_of(service) * len(rows)
    return b"".join(body), count


def _points(
    day: Day, chance: np.random.Generator, running: Running, times: Ints, traces: Traces
) -> Bytes:
    service, count = running[0], len(times)
    share = times / day.length
    values: dict[Hashable, Bytes] = {
        "time": eights(day.start + times),
        "since": eights(np.full(count, day.start)),
    }
    for number, metric in enumerate(_metrics(service)):
        values[("point", number)] = eights(metric.value(chance, share).astype(np.float64))
    for number, route in enumerate(routes(service)):
        buckets = chance.multinomial(chance.poisson(40, count), SHARES / SHARES.sum())
        total = buckets.sum(axis=1)
        values[("count", number)] = eights(total.astype(np.int64))
        values[("sum", number)] = eights(total * 0.06)
        for n in range(len(SHARES)):
            values[("bucket", number, n)] = eights(buckets[:, n].astype(np.int64))
        row, place = _exemplars(chance, running, route, traces, count)
        of = traces.take(row)
        ids = np.stack([span_ids(of.id, [each])[:, 0] for each in sorted(set(place.tolist()))])
        turn = np.searchsorted(np.unique(place), place)
        values[("trace", number)] = of.id
        values[("span", number)] = ids[turn, np.arange(count)]
        at = of.time + (AT[of.shape, place] * of.pace).astype(np.int64)
        values[("at", number)] = eights(day.start + at)
        values[("took", number)] = eights(TAKES[of.shape, place] * of.pace / SECOND)
    return metrics_template(running).filled(count, values)


def _exemplars(
    chance: np.random.Generator, running: Running, route: str, traces: Traces, count: int
) -> tuple[Ints, Ints]:
    """Traces of the stretch that this process answered by this route, and where in them; of
    another process, or any at all, where the stretch has none."""
    service, instance, _ = running
    places = serving(service, route)
    served = np.isin(traces.shape, list(places))
    here = served & (traces.instance[:, SERVICES.index(service)] == instance)
    found = next(
        rows for rows in (np.flatnonzero(here), np.flatnonzero(served), np.arange(len(traces)))
        if len(rows)
    )  # fmt: skip
    row = found[chance.integers(0, len(found), count)]
    by_shape = np.zeros(len(NAMES), np.int64)
    for shape, place in places.items():
        by_shape[shape] = place
    return row, by_shape[traces.shape[row]]
