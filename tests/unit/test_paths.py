"""Self time and the critical path of one trace, against the reference."""

from __future__ import annotations

import random

import pytest

from clew.analysis.traces.paths import Timed, Times, first_of_each, times_of
from support.reference import Trace, critical_path, self_times
from support.traffic import KIND_NAMES, SECOND, Process, Span, tangle

PROCESSES = [Process(name, f"{name}-1") for name in ("shop", "stock", "pay")]


def timed(span: Span) -> Timed:
    return Timed(span.id, span.parent, KIND_NAMES[span.kind], span.start, span.end)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 30])
def test_times_are_the_references(size: int) -> None:
    choice = random.Random(size)
    for _ in range(100):
        spans = tangle(choice, PROCESSES, size, 1000 * SECOND)
        own, path = self_times(spans), critical_path(Trace(spans[0].trace, tuple(spans)))
        meant = first_of_each([timed(span) for span in spans])
        for number, (span, found) in enumerate(
            zip(spans, times_of([timed(span) for span in spans]), strict=True)
        ):
            if meant[span.id] != number:
                assert found == Times(0, 0, False)
            else:
                assert found == Times(own[span.id], path.get(span.id, 0), span.id in path)


def test_a_trace_of_many_spans_is_no_burden() -> None:
    """One parent of many, and as many in a chain: no recursion, nothing quadratic."""
    count = 50_000
    flat = [Timed("root", "", "Server", 0, 2 * count)] + [
        Timed(str(number), "root", "Client", 2 * number, 2 * number + 1) for number in range(count)
    ]
    times = times_of(flat)
    assert times[0] == Times(count, count, True)
    assert all(each == Times(1, 1, True) for each in times[1:])
    deep = [
        Timed(
            str(number), str(number - 1) if number else "", "Internal", number, 2 * count - number
        )
        for number in range(count)
    ]
    assert times_of(deep)[0] == Times(2, 2, True)
    assert all(each.critical for each in times_of(deep))


def test_nothing_has_no_times() -> None:
    assert times_of([]) == []
