"""An occurrence, made of what its traces contribute, in Python. queries/occurrences/occurrences.sql
computes the same for many. Times are nanoseconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clew.analysis.transactions.contributions import Contribution, StepSpan, merge_intervals

MAX_TRACE_IDS = 1000  # that a row names
MAX_UINT16, MAX_UINT32 = (1 << 16) - 1, (1 << 32) - 1


class Occurrence(NamedTuple):
    """A row of clew_occurrences, with its columns in their order, up to Version."""

    transaction: str
    time: int
    key: str
    environment: str
    trace_ids: Sequence[str]
    start: int
    end: int
    working: int
    entry_trace_id: str
    entry_span_id: str
    entry_service: str
    entry_operation: str
    entry_duration: int
    attempts: int
    is_error: bool
    user: str
    value: float | None
    services: Sequence[str]
    span_count: int
    error_count: int
    step_numbers: Sequence[int]
    step_services: Sequence[str]
    step_starts: Sequence[int]
    step_durations: Sequence[int]
    step_errors: Sequence[bool]
    step_trace_ids: Sequence[str]


def combine(contributions: Sequence[Contribution]) -> Occurrence | None:
    """The occurrence that the traces make; None if none of them has an entry."""
    traces = sorted(contributions, key=lambda trace: (trace.start, trace.trace_id))
    attempts = [(entry, trace) for trace in traces for entry in trace.entries]
    if not attempts:
        return None
    attempts.sort(key=lambda attempt: (attempt[0].start, attempt[1].trace_id, attempt[0]))
    last_entry, last_trace = attempts[-1]  # the last attempt decides
    steps = _first_steps(traces)
    # Who says a user and a value: the trace of the last attempt, then those with an entry.
    describing = sorted(traces, key=lambda trace: (trace is not last_trace, not trace.entries))
    values = (trace.value for trace in describing if trace.value is not None)
    busy = merge_intervals(interval for trace in traces for interval in trace.busy)
    return Occurrence(
        transaction=last_trace.transaction,
        time=attempts[0][0].start,
        key=last_trace.key,
        environment=last_trace.environment,
        trace_ids=[trace.trace_id for trace in traces[:MAX_TRACE_IDS]],
        start=traces[0].start,
        end=max(trace.end for trace in traces),
        working=sum(end - start for start, end in busy),
        entry_trace_id=last_trace.trace_id,
        entry_span_id=last_entry.span_id,
        entry_service=last_entry.service,
        entry_operation=last_entry.operation,
        entry_duration=last_entry.duration,
        attempts=min(len(attempts), MAX_UINT16),
        is_error=last_entry.is_error
        or (last_trace.root_is_error and bool(last_trace.steps))
        or _failed_apart(traces),
        user=next((trace.user for trace in describing if trace.user), ""),
        value=next(values, None),
        services=sorted({service for trace in traces for service in trace.services}),
        span_count=min(sum(trace.span_count for trace in traces), MAX_UINT32),
        error_count=min(sum(trace.error_count for trace in traces), MAX_UINT32),
        step_numbers=[step.number for step, _ in steps],
        step_services=[step.service for step, _ in steps],
        step_starts=[step.start for step, _ in steps],
        step_durations=[step.duration for step, _ in steps],
        step_errors=[step.is_error for step, _ in steps],
        step_trace_ids=[trace.trace_id for _, trace in steps],
    )


def _first_steps(traces: Sequence[Contribution]) -> list[tuple[StepSpan, Contribution]]:
    """The first span of each step, by number, with its trace."""
    steps = [(step, trace) for trace in traces for step in trace.steps]
    steps.sort(key=lambda pair: (pair[0].number, pair[0].start, pair[1].trace_id))
    first: dict[int, tuple[StepSpan, Contribution]] = {}
    for step, trace in steps:
        first.setdefault(step.number, (step, trace))
    return list(first.values())


def _failed_apart(traces: Sequence[Contribution]) -> bool:
    """Whether the root failed of the latest trace that reached a step apart from any attempt."""
    latest: dict[int, tuple[int, str, bool]] = {}
    for trace in traces:
        for step in trace.steps if not trace.entries else ():
            place = (step.start, trace.trace_id, trace.root_is_error)
            latest[step.number] = max(latest.get(step.number, place), place)
    return any(root_is_error for _, _, root_is_error in latest.values())
