"""The row of clew_settled for one trace, computed in Python.

The settler uses it for large traces and for few traces (clew.analysis.traces.few). For many small
traces at once, queries/settling/settle_traces.sql computes the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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


SERVICE = "service"
TYPES = {EXTERNAL: "external", DATABASE: "database", QUEUE: "queue", CONSUMED: "consumed"}


class ServiceCall(NamedTuple):
    """A call of `target` by `source`, as an element of the columns Call.*; `duration` in ns.
    `caller`: the index of the span that waited for it, if there is one."""

    source: str
    target: str
    type: str
    summary: str
    duration: int
    is_error: bool
    caller: int | None


CALL_COLUMNS = len(ServiceCall._fields) - 1


def settled_row(trace_id: str, spans: Sequence[SpanRow]) -> tuple[list[Any], list[Any]]:
    """The row of a trace: up to the column OneIn, and from Path.Most on. `spans` must not be
    empty."""
    timed = unique_ids(
        [TimedSpan(span.id, span.parent, span.kind, span.began, span.ended) for span in spans]
    )
    entry_number = entry_index(timed)
    entry = spans[entry_number]
    parents = parents_of(timed)
    times = compute_times(timed)
    calls = service_calls(spans, timed, parents)
    answers = Counter(call.caller for call in calls if call.type == SERVICE)
    links = waits_for_calls(calls, answers, parents, [span_times.self_ns for span_times in times])
    path: dict[tuple[str, str, str], list[int]] = {}
    repetitions: dict[tuple[int | None, str, str, str], int] = defaultdict(int)
    for index, span in enumerate(spans):
        operation = (span.service, span.name, span.kind)
        totals = path.setdefault(operation, [0, 0, 0, 1, 0])
        totals[0] += 1
        totals[1] += times[index].self_ns
        totals[2] += times[index].path_ns
        totals[4] += links.get(index, 0)
        if (parent := parents.get(index)) is not None:
            repetitions[parent, *operation] += 1
            totals[3] = max(totals[3], repetitions[parent, *operation])
    columns = [
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
        *([call[part] for call in calls] for part in range(CALL_COLUMNS)),
    ]
    return columns, [
        *([totals[part] for totals in path.values()] for part in (3, 4)),
        [_own_time(call, answers[call.caller], links) for call in calls],
    ]


def parents_of(timed: Sequence[TimedSpan]) -> dict[int, int | None]:
    """The index of the parent of each span that counts: None where no parent is stored. `timed`:
    spans with unique ids."""
    index_by_id = index_spans(timed)
    return {
        index: index_by_id[span.parent]
        if span.parent in index_by_id and span.parent != span.id
        else None
        for index, span in ((index, timed[index]) for index in index_by_id.values())
    }


def waits_for_calls(
    calls: Sequence[ServiceCall],
    answers: Counter[int | None],
    parents: dict[int, int | None],
    self_ns: Sequence[int],
) -> dict[int, int]:
    """By index, the self time of the spans that waited for calls only: all of their children are
    calls, or they reach a target without spans. `answers`: by index, the children that are calls.
    """
    children = Counter(parents.values())
    return {
        call.caller: self_ns[call.caller]
        for call in calls
        if call.caller is not None and answers[call.caller] in (0, children[call.caller])
    }


def _own_time(call: ServiceCall, answers: int, links: dict[int, int]) -> int:
    """The column Call.Own. `answers`: the calls of services by the same caller."""
    if call.caller is None or (answers and call.type != SERVICE):
        return 0
    return links.get(call.caller, 0) // max(answers, 1)


def service_calls(
    spans: Sequence[SpanRow], timed: Sequence[TimedSpan], parents: dict[int, int | None]
) -> list[ServiceCall]:
    """Which service called which: by the parents of the spans, and, where the callee sent no spans,
    by the target that a span's attributes name. `timed`: the same spans with unique ids; `parents`:
    of `parents_of`."""
    calls: list[ServiceCall] = []
    # Spans whose callee sent spans, and spans with a client span of their service as a child.
    answered, nesting = set[int | None](), set[int | None]()
    for index, parent in parents.items():
        span, code = spans[index], timed[index].code
        is_entry = code in (SERVER, CONSUMER)
        from_queue = code == CONSUMER and span.type == CONSUMED
        if parent is None:
            if span.parent and is_entry and not from_queue:
                calls.append(_service_call("", span, span, span.failed, None))
            continue
        caller = spans[parent]
        is_client = timed[parent].code in (CLIENT, PRODUCER)
        if is_client and code in (CLIENT, PRODUCER) and caller.service == span.service:
            nesting.add(parent)
        if (caller.service != span.service or (is_client and is_entry)) and not from_queue:
            answered.add(parent)
            is_error = span.failed or (is_client and caller.failed)
            timing = caller if is_client else span
            calls.append(_service_call(caller.service, span, timing, is_error, parent))
    for index, parent in parents.items():
        span = spans[index]
        if (
            span.target
            and not (parent is not None and _repeats_parent(index, parent, spans, timed))
            and not (span.type in (EXTERNAL, DATABASE) and index in answered)
            and not (span.type == EXTERNAL and index in nesting)
        ):
            calls.append(_target_call(span, index))
    return calls


def _service_call(
    source: str, span: SpanRow, timing: SpanRow, is_error: bool, caller: int | None
) -> ServiceCall:
    duration = timing.ended - timing.began
    return ServiceCall(source, span.service, SERVICE, span.name, duration, is_error, caller)


def _target_call(span: SpanRow, index: int) -> ServiceCall:
    source, target = span.service, span.target
    if span.type == CONSUMED:
        source, target = target, source
    summary = span.summary[:200] or span.name
    duration = span.ended - span.began
    # Who takes a message from a queue does not wait for the queue.
    caller = None if span.type == CONSUMED else index
    return ServiceCall(source, target, TYPES[span.type], summary, duration, span.failed, caller)


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
