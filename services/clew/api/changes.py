"""How transactions changed against a baseline: a window of time before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query

from clew.api.parameters import Window, parse_time, rfc3339
from clew.api.problems import Problem

# A growth of the error rate counts in proportion to the baseline's, but never to less than this.
LEAST_ERROR_RATE = 0.01

BaselineStart = Annotated[
    str | None,
    Query(
        description="Start of the baseline's window, with which each transaction is compared "
        "(`change`). Default: with `baseline_end`, as long before it as the window is long."
    ),
]
BaselineEnd = Annotated[
    str | None,
    Query(
        description="End of the baseline's window. Default: with `baseline_start`, as long after "
        "it as the window is long."
    ),
]


def baseline_window(window: Window, start: str | None, end: str | None) -> Window | None:
    """The baseline's window; None if neither of its ends is given. Raises Problem 400."""
    if start is None and end is None:
        return None
    now, length = time.time_ns(), window.end - window.start
    last = None if end is None else parse_time(end, now, "baseline_end")
    if start is not None:
        first = parse_time(start, now, "baseline_start")
        baseline = Window(first, first + length if last is None else last)
    else:
        baseline = Window(max(0, (last or 0) - length), last or 0)
    if baseline.start >= baseline.end:
        raise Problem(400, "baseline_start is not before baseline_end")
    return baseline


def window_before(window: Window) -> Window:
    """The window that ends where this one starts, as long as this one."""
    length = window.end - window.start
    start = max(0, window.start - length)
    return Window(start, max(start + 1, window.start))


def change_of(
    transaction: Mapping[str, Any], before: Mapping[str, Any] | None, baseline: Window
) -> dict[str, Any]:
    """A transaction's change as `models.Change`; `before` is the transaction in the baseline's
    window, None if it did not occur."""
    change: dict[str, Any] = {
        "baseline": {"start": rfc3339(baseline.start), "end": rfc3339(baseline.end)},
        "count": before["count"] if before else 0,
        "per_second": None,
        "error_rate": None,
        "p95": None,
        "score": None,
    }
    if before is None:
        return change
    rate = _growth(transaction["per_second"], before["per_second"])
    p95 = _growth(transaction["duration_ms"]["p95"], before["duration_ms"]["p95"])
    errors = transaction["error_rate"] - before["error_rate"]
    score = rate + p95 + errors / max(before["error_rate"], LEAST_ERROR_RATE)
    return change | {"per_second": rate, "error_rate": errors, "p95": p95, "score": score}


def _growth(now: float, before: float) -> float:
    """The relative growth: 1 is twice as much."""
    if before:
        return now / before - 1
    return 0.0 if now == before else 1.0
