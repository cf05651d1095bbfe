"""The row of clew_settled for one trace, computed in Python.

The settler uses it for large traces and for few traces (clew.analysis.traces.few). For many small
traces at once, queries/settling/settle_traces.sql computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from clew.analysis.traces.paths import (
    CLIENT,
    CONSUMER,
    PRODUCER,
    SERVER,
    TimedSpan,
    compute_times,
    entry_index,
    index_spans,
    unique_ids,
)
from clew.analysis.traces.targets import CONSUMED, DATABASE, EXTERNAL, QUEUE


class SpanRow(NamedTuple):
    """A row of queries/settling/settle_large.sql, with its columns' names. `began` and `ended` are
    nanoseconds since 1970, `inserted` is in seconds; `type` is the kind of `target`, see below."""

    id: str
    parent: str
    began: int
    ended: int
    failed: bool
    type: int
    service: str
    name: str
    kind: str
    environment: str
    target: str
    summary: str
    inserted: int


TYPES = {EXTERNAL: "external", DATABASE: "database", QUEUE: "queue", CONSUMED: "consumed"}


class ServiceCall(NamedTuple):
    """A call of `target` by `source`, as an element of the columns Call.*; `duration` in ns."""

    source: str
    target: str
    type: str
    summary: str
    duration: int
    is_error: bool


def settled_row(trace_id: str, spans: Sequence[SpanRow]) -> list[Any]:
    """The row of a trace, up to the column OneIn. `spans` must not be empty."""
    timed = unique_ids(
        [TimedSpan(span.id, span.parent, span.kind, span.began, span.ended) for span in spans]
    )
    entry_number = entry_index(timed)
    entry = spans[entry_number]
    path: dict[tuple[str, str, str], list[int]] = {}
    for span, times in zip(spans, compute_times(timed), strict=True):
        totals = path.setdefault((span.service, span.name, span.kind), [0, 0, 0])
        totals[0] += 1
        totals[1] += times.self_ns
        totals[2] += times.path_ns
    calls = service_calls(spans, timed)
    return [
        entry.service,
        entry.name,
        entry.began,
        trace_id,
        entry.environment,
        entry.ended - entry.began,
        entry.failed,
        timed[entry_number].rank,
        sorted({span.service for span in spans}),
        len(spans),
        *([operation[part] for operation in path] for part in range(3)),
        *([totals[part] for totals in path.values()] for part in range(3)),
        *([call[part] for call in calls] for part in range(len(ServiceCall._fields))),
    ]


def service_calls(spans: Sequence[SpanRow], timed: Sequence[TimedSpan]) -> list[ServiceCall]:
    """Which service called which: by the parents of the spans, and, where the callee sent no spans,
    by the target that a span's attributes name. `timed`: the same spans with unique ids."""
    index_by_id = index_spans(timed)
    parents = {
        index: index_by_id[span.parent]
        if span.parent in index_by_id and span.parent != span.id
        else None
        for index, span in ((index, timed[index]) for index in index_by_id.values())
    }
    calls: list[ServiceCall] = []
    # Spans whose callee sent spans, and spans with a client span of their service as a child.
    answered, nesting = set[int | None](), set[int | None]()
    for index, parent in parents.items():
        span, code = spans[index], timed[index].code
        is_entry = code in (SERVER, CONSUMER)
        from_queue = code == CONSUMER and span.type == CONSUMED
        if parent is None:
            if span.parent and is_entry and not from_queue:
                calls.append(_service_call("", span, span, span.failed))
            continue
        caller = spans[parent]
        is_client = timed[parent].code in (CLIENT, PRODUCER)
        if is_client and code in (CLIENT, PRODUCER) and caller.service == span.service:
            nesting.add(parent)
        if (caller.service != span.service or (is_client and is_entry)) and not from_queue:
            answered.add(parent)
            is_error = span.failed or (is_client and caller.failed)
            timing = caller if is_client else span
            calls.append(_service_call(caller.service, span, timing, is_error))
    for index, parent in parents.items():
        span = spans[index]
        if (
            span.target
            and not (parent is not None and _repeats_parent(index, parent, spans, timed))
            and not (span.type in (EXTERNAL, DATABASE) and index in answered)
            and not (span.type == EXTERNAL and index in nesting)
        ):
            calls.append(_target_call(span))
    return calls


def _service_call(source: str, span: SpanRow, timing: SpanRow, is_error: bool) -> ServiceCall:
    duration = timing.ended - timing.began
    return ServiceCall(source, span.service, "service", span.name, duration, is_error)


def _target_call(span: SpanRow) -> ServiceCall:
    source, target = span.service, span.target
    if span.type == CONSUMED:
        source, target = target, source
    summary = span.summary[:200] or span.name
    duration = span.ended - span.began
    return ServiceCall(source, target, TYPES[span.type], summary, duration, span.failed)


def _repeats_parent(
    index: int, parent: int, spans: Sequence[SpanRow], timed: Sequence[TimedSpan]
) -> bool:
    """Whether the parent's call is the same call: of an object mapper around its driver's, or of
    the receipt of a message around its processing."""
    span, caller = spans[index], spans[parent]
    if span.service != caller.service:
        return False
    if {timed[index].code, timed[parent].code} <= {CLIENT, PRODUCER} and caller.type in (
        DATABASE,
        QUEUE,
    ):
        return True
    return span.type == caller.type == CONSUMED
