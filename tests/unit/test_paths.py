"""Self times and the critical path of one trace, compared with the reference."""

from __future__ import annotations

import random

import pytest

from clew.analysis.traces.paths import (
    SpanTimes,
    TimedSpan,
    compute_times,
    index_spans,
    unique_ids,
)
from support.reference import Trace, critical_path, self_times, with_own_ids
from support.traffic import KIND_NAMES, SECOND, Process, Span, tangle

PROCESSES = [Process(name, f"{name}-1") for name in ("shop", "stock", "pay")]


def timed(span: Span) -> TimedSpan:
    return TimedSpan(span.id, span.parent, KIND_NAMES[span.kind], span.start, span.end)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 30])
def test_times_equal_the_reference(size: int) -> None:
    choice = random.Random(size)
    for _ in range(100):
        spans = tangle(choice, PROCESSES, size, 1000 * SECOND)
        shown = with_own_ids(spans)
        self_ns, path = self_times(shown), critical_path(Trace(spans[0].trace, tuple(shown)))
        index_by_id = index_spans([timed(span) for span in shown])
        times = compute_times([timed(span) for span in spans])
        assert list(unique_ids([timed(span) for span in spans])) == list(map(timed, shown))
        for index, span in enumerate(shown):
            if index_by_id[span.id] != index:
                assert times[index] == SpanTimes(0, 0, False)
            else:
                assert times[index] == SpanTimes(
                    self_ns[span.id], path.get(span.id, 0), span.id in path
                )


def test_a_trace_of_many_spans_needs_neither_recursion_nor_quadratic_time() -> None:
    """One parent of 50,000 spans, and a chain of 50,000 spans."""
    count = 50_000
    flat = [TimedSpan("root", "", "Server", 0, 2 * count)] + [
        TimedSpan(str(number), "root", "Client", 2 * number, 2 * number + 1)
        for number in range(count)
    ]
    times = compute_times(flat)
    assert times[0] == SpanTimes(count, count, True)
    assert all(child == SpanTimes(1, 1, True) for child in times[1:])
    deep = [
        TimedSpan(
            str(number), str(number - 1) if number else "", "Internal", number, 2 * count - number
        )
        for number in range(count)
    ]
    times = compute_times(deep)
    assert times[0] == SpanTimes(2, 2, True)
    assert all(span.critical for span in times)


def test_no_spans_have_no_times() -> None:
    assert compute_times([]) == []
