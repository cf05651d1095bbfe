"""Self times and the critical path of one trace, compared with the reference."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from clew.analysis.traces.paths import (
    SpanColumns,
    SpanTimes,
    TimedSpan,
    compute_times,
    entry_index,
    index_spans,
    shown_spans,
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


@pytest.mark.parametrize("size", [1, 3, 8, 30])
def test_segments_are_the_path_time(size: int) -> None:
    choice = random.Random(size)
    for _ in range(100):
        spans = tangle(choice, PROCESSES, size, 1000 * SECOND)
        shown = [span for _, span in shown_spans([timed(span) for span in spans])]
        columns = SpanColumns.from_spans(shown)
        segments = columns.critical_segments(columns.entry)
        for row, times in enumerate(columns.times(columns.entry)):
            assert times.critical == (row in segments)
            start, end = columns.starts[row], columns.ends[row]
            bounds = segments.get(row, [])
            if bounds is None:
                assert times.path_ns == end - start
                continue
            assert times.path_ns == sum(bounds[1::2]) - sum(bounds[::2])
            assert all(low < high for low, high in pairwise(bounds))
            assert all(start <= bound <= end for bound in bounds)
        assert columns.entry == entry_index(shown)


@pytest.mark.parametrize("size", [1, 3, 8, 30])
def test_in_pre_order_each_span_is_below_its_parent(size: int) -> None:
    choice = random.Random(size)
    for _ in range(100):
        spans = tangle(choice, PROCESSES, size, 1000 * SECOND)
        shown = [span for _, span in shown_spans([timed(span) for span in spans])]
        rows, depths = SpanColumns.from_spans(shown).pre_order()
        assert sorted(rows) == list(range(len(shown)))
        ancestors: list[str] = []
        for row, depth in zip(rows, depths, strict=True):
            del ancestors[depth:]
            assert len(ancestors) == depth
            if ancestors:
                assert ancestors[-1] == shown[row].parent
            ancestors.append(shown[row].id)


def test_a_cycle_is_entered_at_its_first_span() -> None:
    """c, b and a are a cycle; d hangs from it and starts before it."""
    spans = [
        TimedSpan(id, parent, "Internal", start, 9)
        for id, parent, start in (("d", "b", 0), ("a", "c", 1), ("b", "a", 2), ("c", "b", 3))
    ]
    assert SpanColumns.from_spans(spans).pre_order() == ([1, 2, 0, 3], [0, 1, 2, 2])


def test_no_spans_have_no_times() -> None:
    assert compute_times([]) == []


def test_a_leaf_that_ran_beside_a_call_waited_for_it() -> None:
    """A filter around a client's call, which the client's span does not lie within."""
    spans = [
        TimedSpan("root", "", "Server", 0, 200),
        TimedSpan("filter", "root", "Internal", 10, 110),
        TimedSpan("client", "root", "Client", 15, 110),
        TimedSpan("server", "client", "Server", 20, 100),
        TimedSpan("query", "root", "Client", 30, 110),  # shorter by more than a tenth
        TimedSpan("after", "root", "Internal", 110, 190),
    ]
    times = compute_times(spans)
    assert [span.self_ns for span in times] == [20, 0, 15, 80, 80, 80]
    assert sum(span.path_ns for span in times) == 200
