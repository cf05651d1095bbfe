"""A reference for answers: computes them in plain Python from the spans that were sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from urllib.parse import urlsplit

from support.traffic import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span, as_stored


@dataclass(frozen=True)
class Trace:
    """The spans of one trace."""

    id: str
    spans: tuple[Span, ...]

    @property
    def entry(self) -> Span:
        """The span by which the trace came in, see the glossary."""
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
    return [Trace(id, tuple(with_own_ids(group))) for id, group in groups.items()]


def with_own_ids(spans: Sequence[Span]) -> list[Span]:
    """The spans as they are shown: servers that share an id with a client are its children, under
    an id of their own."""
    kinds = defaultdict(set)
    for span in spans:
        kinds[span.id].add(span.kind)
    servers = {
        id: f"{int(id, 16) ^ (2**64 - 1):016x}"
        for id, kinds_of_id in kinds.items()
        if kinds_of_id >= {CLIENT, SERVER}
    }
    return [
        replace(span, id=servers[span.id], parent=span.id)
        if span.kind == SERVER and span.id in servers
        else replace(span, parent=servers.get(span.parent, span.parent))
        for span in spans
    ]


def newest_first(traces: Iterable[Trace]) -> list[Trace]:
    return sorted(traces, key=lambda trace: (trace.start, trace.id), reverse=True)


def _rank(span: Span) -> int:
    if not span.parent:
        return 0
    return 1 if span.kind in (SERVER, CONSUMER) else 2


def self_times(spans: Sequence[Span]) -> dict[str, int]:
    """By span id: the time in which no child of the span was running."""
    return {
        span.id: 0 if _is_watching(span, spans) else span.duration - _covered(span, spans)
        for span in counted_spans(spans)
    }


def _is_watching(span: Span, spans: Sequence[Span]) -> bool:
    """Whether a leaf ran for the same time as a sibling with children."""
    if span.parent == span.id or _children(span, spans):
        return False
    parent = _stored_parent(span, spans)
    for other in _children(parent, spans) if parent else []:
        overlap = min(span.ended, other.ended) - max(span.start, other.start)
        longest = max(span.duration, other.duration)
        if 0 < overlap >= longest - longest // 10 and _children(other, spans):
            return True
    return False


def counted_spans(spans: Sequence[Span]) -> list[Span]:
    """Of several spans with one id the one that counts: the first, and of several the longest."""
    groups: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        groups[span.id].append(span)
    return [
        min(group, key=lambda span: (span.start, -span.ended, span.parent, _order(span.kind)))
        for group in groups.values()
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
    """By id of each critical span: its path time."""
    path: dict[str, int] = {}
    spans = {span.id: span for span in counted_spans(trace.spans)}
    queue = [trace.entry.id]
    while queue:
        id = queue.pop()
        if id not in path:
            children = _critical_children(spans[id], trace.spans)
            path[id] = spans[id].duration - sum(end - begin for _, begin, end in children)
            queue += [child.id for child, _, _ in children]
    return path


def _critical_children(span: Span, spans: Sequence[Span]) -> list[tuple[Span, int, int]]:
    """The children that the span waited for, each with the start and the end of the wait."""
    reached, children = span.ended, []
    for child, begin, end in _by_end(span, _children(span, spans)):
        if begin < end <= reached:
            reached = begin
            children.append((child, begin, end))
    return children


def _by_end(span: Span, children: list[Span]) -> list[tuple[Span, int, int]]:
    """Children with the part of their time in which the span can wait for them, the last to end
    first."""
    parts = [(child, max(child.start, span.start), _end_within(span, child)) for child in children]
    inside = [part for part in parts if part[2] <= span.ended]
    return sorted(inside, key=lambda part: (part[2], part[1], part[0].id), reverse=True)


def _end_within(span: Span, child: Span) -> int:
    # A client waits for its server, so a later end of the server is a difference between clocks.
    return min(child.ended, span.ended) if span.kind == CLIENT else child.ended


def _children(span: Span, spans: Sequence[Span]) -> list[Span]:
    return [other for other in counted_spans(spans) if other.parent == span.id != other.id]


def links(trace: Trace) -> dict[str, int]:
    """By span id, the self time of the spans that waited for calls only."""
    spans, self_ns = counted_spans(trace.spans), self_times(trace.spans)
    waits = {}
    for span in spans:
        children = _children(span, spans)
        answers = [child for child in children if _service_call(child, span)]
        caller = _stored_parent(span, spans)
        reaches = call_target(span)[0] != "consumed" and _target_call(span, caller, spans)
        if len(answers) == len(children) if answers else reaches:
            waits[span.id] = self_ns[span.id]
    return waits


def own_times(trace: Trace) -> Counter[tuple[str, str, str, int]]:
    """Of each call its source, target, type and Call.Own."""
    spans, waits = counted_spans(trace.spans), links(trace)
    counts: Counter[tuple[str, str, str, int]] = Counter()
    for span in spans:
        caller = _stored_parent(span, spans)
        if (call := _service_call(span, caller)) is not None:
            siblings = _children(caller, spans) if caller else []
            answers = sum(_service_call(child, caller) is not None for child in siblings)
            counts[*call[:3], waits.get(caller.id, 0) // answers if caller else 0] += 1
        if (call := _target_call(span, caller, spans)) is not None:
            is_answered = any(_service_call(child, span) for child in _children(span, spans))
            waiting = 0 if is_answered or call[2] == "consumed" else waits.get(span.id, 0)
            counts[*call[:3], waiting] += 1
    return counts


def _stored_parent(span: Span, spans: Sequence[Span]) -> Span | None:
    return next((other for other in spans if other.id == span.parent != span.id), None)


Call = tuple[str, str, str, str, int, bool]  # source, target, type, summary, duration, is_error


def calls(trace: Trace) -> Counter[Call]:
    """The calls of a trace: which service called which service, database, queue or host."""
    spans = {span.id: span for span in counted_spans(trace.spans)}
    counts: Counter[Call] = Counter()
    for span in spans.values():
        caller = None if span.parent == span.id else spans.get(span.parent)
        if (call := _service_call(span, caller)) is not None:
            counts[call] += 1
        if (call := _target_call(span, caller, list(spans.values()))) is not None:
            counts[call] += 1
    return counts


def _service_call(span: Span, caller: Span | None) -> Call | None:
    if span.kind == CONSUMER and call_target(span)[0] == "consumed":
        return None  # the call goes through the queue
    if caller is None:
        if span.parent and span.kind in (SERVER, CONSUMER):
            return "", span.service, "service", span.name, span.duration, span.is_error
        return None
    is_client = caller.kind in (CLIENT, PRODUCER)
    if caller.service == span.service and not (is_client and span.kind in (SERVER, CONSUMER)):
        return None
    duration, is_error = span.duration, span.is_error
    if is_client:
        duration, is_error = caller.duration, caller.is_error or span.is_error
    return caller.service, span.service, "service", span.name, duration, is_error


def _target_call(span: Span, caller: Span | None, spans: Sequence[Span]) -> Call | None:
    type, target, summary = call_target(span)
    if not target:
        return None
    inner = [child for child in _children(span, spans) if _is_within(child, span)]
    is_answered = any(_service_call(child, span) for child in _children(span, spans))
    if caller is not None and caller.service == span.service:
        outer = call_target(caller)[0]
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


def call_target(span: Span) -> tuple[str, str, str]:
    """What the span's attributes name as its target: type, name, summary."""
    if span.kind not in (CLIENT, PRODUCER, CONSUMER):
        return "", "", ""
    attributes = as_stored(span.attributes)

    def first(*keys: str) -> str:
        return next((attributes[key] for key in keys if attributes.get(key)), "")

    host = first("service.peer.name", "peer.service", "server.address", "net.peer.name")
    url = f"//{first('http.host')}" if first("http.host") else first("url.full", "http.url")
    method = ["", *first("rpc.method").split("/")]
    peer = (
        host
        or urlsplit(url).hostname
        or first("rpc.service")
        or method[-2]
        or first("network.peer.address", "net.peer.ip", "faas.invoked_name")
        or first("gen_ai.provider.name", "rpc.system.name", "rpc.system")
    )
    database = (
        first("db.system.name", "db.system", "db.type"),
        first("db.namespace", "db.name", "db.instance"),
    )
    collection = first("db.collection.name", "db.sql.table")
    statement = first("db.query.text", "db.statement", "db.collection.name")
    if span.kind != CONSUMER and any((*database, statement)):
        words = f"{first('db.operation.name', 'db.operation')} {collection}".strip()
        name = "/".join(filter(None, database)) or peer or "database"
        return "database", name, first("db.query.summary") or words
    queue = (
        first("messaging.system"),
        first("messaging.destination.name", "messaging.destination")
        or first("messaging.source.name", "message_bus.destination"),
    )
    if any(queue):
        operation = first("messaging.operation.type", "messaging.operation")
        is_consumed = span.kind == CONSUMER or operation in ("receive", "process")
        return "consumed" if is_consumed else "queue", "/".join(filter(None, queue)), ""
    if span.kind == CONSUMER:
        return "", "", ""
    return "external", peer, ""


def is_quantile(value: float, values: Iterable[float], q: float) -> bool:
    """Whether `value` is within 1 % of the quantile, which lies between two of the values."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    lower, upper = ordered[int(position)], ordered[min(int(position) + 1, len(ordered) - 1)]
    # The sketch does not tell 0 from 1 ns.
    return lower * 0.99 - 1e-6 <= value <= upper * 1.01 + 1e-6


def apdex(durations: Sequence[int]) -> float:
    """At T = 500 ms."""
    satisfied = sum(duration <= 500_000_000 for duration in durations)
    tolerating = sum(500_000_000 < duration <= 2_000_000_000 for duration in durations)
    return (satisfied + tolerating / 2) / len(durations)


def has_attribute(span: Span, text_filter: tuple[str, str, str]) -> bool:
    """Whether a span passes `attr=`; the span's attributes go before its resource's."""
    key, operator, value = text_filter
    attributes = as_stored(span.process.resource) | as_stored(span.attributes)
    actual = attributes.get(key)
    if operator == "!=":
        return actual != value
    if actual is None:
        return False
    if operator == "=":
        return actual == value
    if operator == "~":
        return value in actual
    if operator == " in ":
        return actual in (part.strip() for part in value.split(","))
    if operator == " exists":
        return True
    try:
        number = float(actual)
    except ValueError:
        return False
    compare = {">": gt, ">=": ge, "<": lt, "<=": le}[operator]
    return bool(compare(number, float(value)))


def rfc3339(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"
