"""Self times and the critical path of one trace.

queries/settling/settle_traces.sql computes the same for many small traces at once; tests compare
the two (ADR 0011). For one trace this module takes less time than planning that statement (60 ms),
and its time grows with n log n, where the statement's arrays grow with the square.

self time: the span's duration without the time in which at least one child was running.
critical: the span is on the path that determined when the trace's entry ended. Walking back from
the end of a span, the child that ended last is on the path, then the child that ended last before
that one started, and so on; the same holds for each of these children. A child that ends after its
parent did not delay it, unless the parent is a CLIENT span: a client waits for its server, so a
later end of the server is a difference between clocks, and is cut off.
path time: the duration of a span on the path without that of its children on the path.

Any trace is accepted: with missing parents, spans that are their own ancestors, and clocks that
differ. Of several spans with one id only the first counts; the others, usually a batch that was
sent twice, take no time. A client and a server that share one id, as Zipkin's do, are two spans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CODES = {
    f"{prefix}{name}": code
    for code, kind in enumerate(("Server", "Client", "Producer", "Consumer"), 1)
    for prefix, name in (("", kind), ("SPAN_KIND_", kind.upper()))
}
SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4
INVERTED_DIGITS = str.maketrans("0123456789abcdef", "fedcba9876543210")


class TimedSpan(NamedTuple):
    """A span of the trace: times in nanoseconds since 1970, `parent` '' for a root, `kind` as it is
    stored."""

    id: str
    parent: str
    kind: str
    start: int
    end: int

    @property
    def rank(self) -> int:
        """The rank as the trace's entry: 0 a root, 1 a SERVER or CONSUMER span, 2 any other."""
        return 0 if not self.parent else 1 if self.code in (SERVER, CONSUMER) else 2

    @property
    def code(self) -> int:
        """SERVER, CLIENT, PRODUCER, CONSUMER, or 0 for any other kind."""
        return CODES.get(self.kind, 0)


class SpanTimes(NamedTuple):
    """Self time and path time of a span in nanoseconds; `path_ns` is 0 unless it is critical."""

    self_ns: int
    path_ns: int
    critical: bool


def unique_ids(spans: Sequence[TimedSpan]) -> Sequence[TimedSpan]:
    """The spans, in which a SERVER span that shares its id with a CLIENT span has an id of its own
    (schema 0161) and is the CLIENT span's child. The children of the id become the SERVER span's,
    as in Jaeger."""
    ids_by_code: dict[int, set[str]] = {CLIENT: set(), SERVER: set()}
    for span in spans:
        if span.code in ids_by_code:
            ids_by_code[span.code].add(span.id)
    shared = ids_by_code[CLIENT] & ids_by_code[SERVER]
    return [_with_unique_ids(span, shared) for span in spans] if shared else spans


def _with_unique_ids(span: TimedSpan, shared: set[str]) -> TimedSpan:
    if span.code == SERVER and span.id in shared:
        return span._replace(id=span.id.translate(INVERTED_DIGITS), parent=span.id)
    if span.parent in shared:
        return span._replace(parent=span.parent.translate(INVERTED_DIGITS))
    return span


def entry_index(spans: Sequence[TimedSpan]) -> int:
    """The index of the trace's entry: its first root, or else its first SERVER or CONSUMER span, or
    else its first span. `spans` must not be empty."""
    return min(range(len(spans)), key=lambda n: (spans[n].rank, spans[n].start, spans[n].id))


def compute_times(spans: Sequence[TimedSpan]) -> list[SpanTimes]:
    """The times of each span of one trace, in the order of `spans`, which need not have unique ids.
    A span that ends before it starts has the duration 0."""
    if not spans:
        return []
    spans = unique_ids(spans)
    spans = [span if span.start <= span.end else span._replace(end=span.start) for span in spans]
    index_by_id = index_spans(spans)
    children_by_parent: dict[str, list[TimedSpan]] = defaultdict(list)
    for index in index_by_id.values():
        span = spans[index]
        if span.parent in index_by_id and span.parent != span.id:
            children_by_parent[span.parent].append(span)
    waits = {
        id: _wait_for_children(spans[index_by_id[id]], children)
        for id, children in children_by_parent.items()
    }
    critical_ids = _critical_path(spans[entry_index(spans)].id, waits)
    times = [SpanTimes(0, 0, False)] * len(spans)
    for id, index in index_by_id.items():
        span = spans[index]
        self_ns = path_ns = span.end - span.start
        if id in waits:
            self_ns -= _busy_time(span, children_by_parent[id])
            path_ns -= waits[id].duration
        is_critical = id in critical_ids
        times[index] = SpanTimes(self_ns, path_ns if is_critical else 0, is_critical)
    return times


def index_spans(spans: Sequence[TimedSpan]) -> dict[str, int]:
    """By id, the index of the span that counts: the one that started first, and of several the
    longest."""
    index_by_id: dict[str, int] = {}
    for index, span in enumerate(spans):
        first = index_by_id.setdefault(span.id, index)
        if first != index and _order(span) < _order(spans[first]):
            index_by_id[span.id] = index
    return index_by_id


def _order(span: TimedSpan) -> tuple[int, int, str, int]:
    return span.start, -span.end, span.parent, span.code


class _Wait(NamedTuple):
    """How long a span waited for children, in nanoseconds, and the ids of these children."""

    duration: int
    child_ids: list[str]


def _busy_time(span: TimedSpan, children: list[TimedSpan]) -> int:
    """For how long at least one of the children was running during the span."""
    busy, reached = 0, span.start
    for start, end in sorted((child.start, child.end) for child in children):
        start, end = max(start, reached), min(end, span.end)
        if start < end:
            busy += end - start
            reached = end
    return busy


def _wait_for_children(span: TimedSpan, children: list[TimedSpan]) -> _Wait:
    """For how long the span waited for children, and for which, the last child first."""
    is_client = span.code == CLIENT
    parts = sorted(
        (
            (min(child.end, span.end), max(child.start, span.start), child.id)
            for child in children
            if is_client or child.end <= span.end
        ),
        reverse=True,
    )
    duration, reached, child_ids = 0, span.end, []
    for end, start, id in parts:
        if start < end <= reached:
            duration += end - start
            reached = start
            child_ids.append(id)
    return _Wait(duration, child_ids)


def _critical_path(entry: str, waits: Mapping[str, _Wait]) -> set[str]:
    """The ids of the critical spans: the entry, and from there down every span waited for."""
    queue = [entry]
    critical_ids = {entry}
    while queue:
        wait = waits.get(queue.pop())
        new_ids = [id for id in wait.child_ids if id not in critical_ids] if wait else []
        critical_ids.update(new_ids)
        queue += new_ids
    return critical_ids
