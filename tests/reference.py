"""What the answers should be, worked out in plain Python from the spans as they were sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from traffic import CLIENT, CONSUMER, SERVER, Span, as_stored


@dataclass(frozen=True)
class Trace:
    """The spans of one trace, and the span it is known by."""

    id: str
    spans: tuple[Span, ...]

    @property
    def entry(self) -> Span:
        return min(self.spans, key=lambda span: (_rank(span), span.start, span.id))

    @property
    def has_transaction(self) -> bool:
        return _rank(self.entry) < 2

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
    return {span.id: span.duration - covered_time(span, spans) for span in spans}


def covered_time(span: Span, spans: Sequence[Span]) -> int:
    """For how long at least one of the span's children was running while it was."""
    covered, reached = 0, span.start
    for child in sorted(_children(span, spans), key=lambda child: child.start):
        begin, end = max(child.start, reached), min(child.ended, span.ended)
        if begin < end:
            covered += end - begin
            reached = end
    return covered


def critical_path(trace: Trace) -> dict[str, int]:
    """By id of each span that the trace waited for: the time on the path in that span itself; in
    all of them, if several have the id."""
    path: dict[str, int] = {}
    waiting = [trace.entry.id]
    while waiting:
        id = waiting.pop()
        if id in path:
            continue
        path[id] = 0
        for span in trace.spans:
            if span.id == id:
                waited_for = _waited_for(span, trace.spans)
                path[id] += span.duration - sum(end - begin for _, begin, end in waited_for)
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
    return [other for other in spans if other.parent == span.id != other.id]


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
