"""What the answers should be, worked out in plain Python from the spans as they were sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from support.traffic import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span, as_stored


@dataclass(frozen=True)
class Trace:
    """The spans of one trace, and the span it is known by."""

    id: str
    spans: tuple[Span, ...]

    @property
    def entry(self) -> Span:
        return min(self.spans, key=lambda span: (_rank(span), span.start, span.id))

    @property
    def rank(self) -> int:
        return _rank(self.entry)

    @property
    def has_transaction(self) -> bool:
        return self.rank < 2

    @property
    def start(self) -> int:
        return min(span.start for span in self.spans)

    @property
    def duration(self) -> int:
        return max(span.ended for span in self.spans) - self.start

    @property
    def services(self) -> list[str]:
        return sorted({span.service for span in self.spans})

    @property
    def errors(self) -> int:
        return sum(span.is_error for span in self.spans)

    @property
    def complete(self) -> bool:
        ids = {span.id for span in self.spans} | {""}
        return any(not span.parent for span in self.spans) and all(
            span.parent in ids for span in self.spans
        )


def traces_of(spans: Iterable[Span]) -> list[Trace]:
    groups: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        groups[span.trace].append(span)
    return [Trace(id, tuple(group)) for id, group in groups.items()]


def newest_first(traces: Iterable[Trace]) -> list[Trace]:
    return sorted(traces, key=lambda trace: (trace.start, trace.id), reverse=True)


def _rank(span: Span) -> int:
    if not span.parent:
        return 0
    return 1 if span.kind in (SERVER, CONSUMER) else 2


def self_times(spans: Sequence[Span]) -> dict[str, int]:
    """By span id: the time in which none of its children was running."""
    return {span.id: span.duration - _covered(span, spans) for span in firsts(spans)}


def firsts(spans: Sequence[Span]) -> list[Span]:
    """Of several spans with one id the one that is meant: the earliest, of those the longest."""
    return [
        min(
            (span for span in spans if span.id == id),
            key=lambda span: (span.start, -span.ended, span.parent, _order(span.kind)),
        )
        for id in {span.id for span in spans}
    ]


def _order(kind: int) -> int:
    return (SERVER, CLIENT, PRODUCER, CONSUMER).index(kind) if kind != INTERNAL else -1


def _covered(span: Span, spans: Sequence[Span]) -> int:
    covered, reached = 0, span.start
    for child in sorted(_children(span, spans), key=lambda child: child.start):
        begin, end = max(child.start, reached), min(child.ended, span.ended)
        if begin < end:
            covered += end - begin
            reached = end
    return covered


def critical_path(trace: Trace) -> dict[str, int]:
    """By id of each span that the trace waited for: the time on the path in that span itself."""
    path: dict[str, int] = {}
    meant = {span.id: span for span in firsts(trace.spans)}
    waiting = [trace.entry.id]
    while waiting:
        id = waiting.pop()
        if id not in path:
            waited_for = _waited_for(meant[id], trace.spans)
            path[id] = meant[id].duration - sum(end - begin for _, begin, end in waited_for)
            waiting += [child.id for child, _, _ in waited_for]
    return path


def _waited_for(span: Span, spans: Sequence[Span]) -> list[tuple[Span, int, int]]:
    reached, found = span.ended, []
    for child, begin, end in _by_end(span, _children(span, spans)):
        if begin < end <= reached:
            reached = begin
            found.append((child, begin, end))
    return found


def _by_end(span: Span, children: list[Span]) -> list[tuple[Span, int, int]]:
    """Children with the part of their time that can hold the span up, the last to end first."""
    parts = [(child, max(child.start, span.start), _end_within(span, child)) for child in children]
    inside = [part for part in parts if part[2] <= span.ended]
    return sorted(inside, key=lambda part: (part[2], part[1], part[0].id), reverse=True)


def _end_within(span: Span, child: Span) -> int:
    # A client waits for its server: what sticks out is the difference of two clocks.
    return min(child.ended, span.ended) if span.kind == CLIENT else child.ended


def _children(span: Span, spans: Sequence[Span]) -> list[Span]:
    return [other for other in firsts(spans) if other.parent == span.id != other.id]


Call = tuple[str, str, str, str, int, bool]  # source, target, type, summary, duration, failed


def calls(trace: Trace) -> Counter[Call]:
    """Who called whom in a trace."""
    meant = {span.id: span for span in firsts(trace.spans)}
    found: Counter[Call] = Counter()
    for span in meant.values():
        caller = None if span.parent == span.id else meant.get(span.parent)
        if (call := _service_call(span, caller)) is not None:
            found[call] += 1
        if (call := _other_call(span, caller, list(meant.values()))) is not None:
            found[call] += 1
    return found


def _service_call(span: Span, caller: Span | None) -> Call | None:
    if span.kind == CONSUMER and reached(span)[0] == "consumed":
        return None  # it came by the queue
    if caller is None:
        if span.parent and span.kind in (SERVER, CONSUMER):
            return "", span.service, "service", span.name, span.duration, span.is_error
        return None
    is_calling = caller.kind in (CLIENT, PRODUCER)
    if caller.service == span.service and not (is_calling and span.kind in (SERVER, CONSUMER)):
        return None
    took, failed = (
        (caller, caller.is_error or span.is_error) if is_calling else (span, span.is_error)
    )
    return caller.service, span.service, "service", span.name, took.duration, failed


def _other_call(span: Span, caller: Span | None, spans: Sequence[Span]) -> Call | None:
    type, target, summary = reached(span)
    if not target:
        return None
    inner = [child for child in _children(span, spans) if _is_within(child, span)]
    is_answered = any(_service_call(child, span) for child in _children(span, spans))
    if caller is not None and caller.service == span.service:
        outer = reached(caller)[0]
        if _is_within(span, caller) and outer in ("database", "queue"):
            return None
        if type == outer == "consumed":
            return None
    if (type in ("database", "external") and is_answered) or (type == "external" and inner):
        return None
    ends = (target, span.service) if type == "consumed" else (span.service, target)
    return *ends, type, summary or span.name, span.duration, span.is_error


def _is_within(span: Span, caller: Span) -> bool:
    return {span.kind, caller.kind} <= {CLIENT, PRODUCER} and span.service == caller.service


def reached(span: Span) -> tuple[str, str, str]:
    """What the span's attributes say it calls or takes from: type, name, summary."""
    if span.kind not in (CLIENT, PRODUCER, CONSUMER):
        return "", "", ""
    said = as_stored(span.attributes)

    def first(*keys: str) -> str:
        return next((said[key] for key in keys if said.get(key)), "")

    if span.kind != CONSUMER and (system := first("db.system.name", "db.system")):
        table = first("db.collection.name", "db.sql.table")
        words = f"{first('db.operation.name', 'db.operation')} {table}".strip()
        names = filter(None, (system, first("db.namespace", "db.name")))
        return "database", "/".join(names), first("db.query.summary") or words
    queue = (
        first("messaging.system"),
        first("messaging.destination.name", "messaging.destination"),
    )
    if any(queue):
        operation = first("messaging.operation.type", "messaging.operation")
        taken = span.kind == CONSUMER or operation in ("receive", "process")
        return "consumed" if taken else "queue", "/".join(filter(None, queue)), ""
    if span.kind == CONSUMER:
        return "", "", ""
    host = first("service.peer.name", "peer.service", "server.address", "net.peer.name")
    url = f"//{first('http.host')}" if first("http.host") else first("url.full", "http.url")
    return "external", host or urlsplit(url).hostname or "", ""


def is_quantile(value: float, values: Iterable[float], q: float) -> bool:
    """Whether `value` is within 1 % of the quantile, which lies between two of the values."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low, high = ordered[int(position)], ordered[min(int(position) + 1, len(ordered) - 1)]
    # The sketch cannot tell 0 from what is next to nothing, a nanosecond.
    return low * 0.99 - 1e-6 <= value <= high * 1.01 + 1e-6


def apdex(durations: Sequence[int]) -> float:
    """At T = 500 ms."""
    satisfied = sum(duration <= 500_000_000 for duration in durations)
    tolerating = sum(500_000_000 < duration <= 2_000_000_000 for duration in durations)
    return (satisfied + tolerating / 2) / len(durations)


def has_attribute(span: Span, text_filter: tuple[str, str, str]) -> bool:
    """What `attr=` asks of a span; its own attributes go before its resource's."""
    key, operator, value = text_filter
    attributes = as_stored(span.process.resource) | as_stored(span.attributes)
    found = attributes.get(key)
    if operator == "!=":
        return found != value
    if found is None:
        return False
    if operator == "=":
        return found == value
    if operator == "~":
        return value in found
    try:
        number = float(found)
    except ValueError:
        return False
    return number > float(value) if operator == ">" else number < float(value)


def rfc3339(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"
