"""The row of clew_settled of one trace, in Python: of large traces, and what tests compare with.

queries/settling/settle_traces.sql does the same for many small traces at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from clew.analysis.traces.paths import (
    CLIENT,
    CONSUMER,
    PRODUCER,
    SERVER,
    Timed,
    entry_of,
    first_of_each,
    times_of,
)


class Span(NamedTuple):
    """A row of queries/settle_large.sql."""

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


EXTERNAL, DATABASE, QUEUE, TAKEN = 1, 2, 3, 4
TYPES = {EXTERNAL: "external", DATABASE: "database", QUEUE: "queue", TAKEN: "consumed"}


class Call(NamedTuple):
    source: str
    target: str
    type: str
    summary: str
    duration: int
    failed: bool


def row_of(trace_id: str, spans: Sequence[Span]) -> list[Any]:
    """The row of a trace up to OneIn, as queries/settle_traces.sql makes it of the same spans."""
    timed = [Timed(span.id, span.parent, span.kind, span.began, span.ended) for span in spans]
    times = times_of(timed)
    number = entry_of(timed)
    entry = spans[number]
    operations: dict[tuple[str, str, str], list[int]] = {}
    for span, its in zip(spans, times, strict=True):
        path = operations.setdefault((span.service, span.name, span.kind), [0, 0, 0])
        path[0] += 1
        path[1] += its.self_ns
        path[2] += its.path_ns
    calls = calls_of(spans, timed)
    return [
        entry.service,
        entry.name,
        entry.began,
        trace_id,
        entry.environment,
        entry.ended - entry.began,
        entry.failed,
        timed[number].rank,
        sorted({span.service for span in spans}),
        len(spans),
        *([key[part] for key in operations] for part in range(3)),
        *([path[part] for path in operations.values()] for part in range(3)),
        *([call[part] for call in calls] for part in range(len(Call._fields))),
    ]


def calls_of(spans: Sequence[Span], timed: Sequence[Timed]) -> list[Call]:
    """Who called whom: services by the parents of their spans; where the far side sent none, what a
    span's attributes name."""
    firsts = first_of_each(timed)
    callers = {
        number: firsts[span.parent] if span.parent in firsts and span.parent != span.id else None
        for number, span in ((number, spans[number]) for number in firsts.values())
    }
    calls: list[Call] = []
    answered, passing_on = set[int | None](), set[int | None]()
    for number, caller in callers.items():
        span, code = spans[number], timed[number].code
        by_queue = code == CONSUMER and span.type == TAKEN
        if caller is None:
            if span.parent and code in (SERVER, CONSUMER) and not by_queue:
                calls.append(_call("", span, span, span.failed))
            continue
        of, is_calling = spans[caller], timed[caller].code in (CLIENT, PRODUCER)
        if is_calling and code in (CLIENT, PRODUCER) and of.service == span.service:
            passing_on.add(caller)
        is_entered = is_calling and code in (SERVER, CONSUMER)
        if (of.service != span.service or is_entered) and not by_queue:
            answered.add(caller)
            failed = span.failed or (is_calling and of.failed)
            calls.append(_call(of.service, span, of if is_calling else span, failed))
    for number, caller in callers.items():
        span = spans[number]
        if (
            span.target
            and not (caller is not None and _is_part(number, caller, spans, timed))
            and not (span.type in (EXTERNAL, DATABASE) and number in answered)
            and not (span.type == EXTERNAL and number in passing_on)
        ):
            ends = (
                (span.target, span.service) if span.type == TAKEN else (span.service, span.target)
            )
            summary = span.summary[:200] or span.name
            took = span.ended - span.began
            calls.append(Call(*ends, TYPES[span.type], summary, took, span.failed))
    return calls


def _call(source: str, span: Span, took: Span, failed: bool) -> Call:
    return Call(source, span.service, "service", span.name, took.ended - took.began, failed)


def _is_part(number: int, caller: int, spans: Sequence[Span], timed: Sequence[Timed]) -> bool:
    """Whether what a span reaches is reached by its caller already: a driver's call within the call
    of an object mapper, a message that is processed within its receipt."""
    span, of = spans[number], spans[caller]
    if span.service != of.service:
        return False
    if {timed[number].code, timed[caller].code} <= {CLIENT, PRODUCER} and of.type in (
        DATABASE,
        QUEUE,
    ):
        return True
    return span.type == of.type == TAKEN
