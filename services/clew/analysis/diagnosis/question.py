"""What a diagnosis is asked: which traces, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from clew.analysis.impact import Objective
from clew.storage.sql import Query, RowT

SECOND = 10**9
# Traces of a set that are read: more make no difference to a mean and cost time.
MOST_TRACES = 60_000


class Rows(Protocol):
    """Runs queries: a request's reading, or a background thread's statements."""

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        """The rows of a query. Raises StorageError."""


@dataclass(frozen=True)
class TimeRange:
    """Nanoseconds since 1970: `start` is part of it, `end` is not."""

    start: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / SECOND


@dataclass(frozen=True)
class Question:
    """Which traces are compared: those of the window (A) with those of the baseline that are not in
    the window (B).

    Of one transaction, if given: of an automatic one the entry's service and names (`named`: these,
    or all others), of a defined one its id and `objective`. Of traces that meet a service and an
    operation, if given. `a_one_in`, `b_one_in`: of each set one trace in so many is read."""

    window: TimeRange
    baseline: TimeRange
    environment: str | None = None
    entry_service: str | None = None
    entry_names: Sequence[str] = ()
    entry_named: bool = True
    transaction: str | None = None
    objective: Objective | None = None
    service: str | None = None
    operation: str | None = None
    a_one_in: int = 1
    b_one_in: int = 1

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements."""
        return {
            "start": sql_time(self.window.start),
            "end": sql_time(self.window.end),
            "baseline_start": sql_time(self.baseline.start),
            "baseline_end": sql_time(self.baseline.end),
            "a_one_in": self.a_one_in,
            "b_one_in": self.b_one_in,
            "environment": self.environment,
            "entry_service": self.entry_service,
            "entry_names": list(self.entry_names),
            "entry_named": self.entry_named,
            "transaction": self.transaction,
            "service": self.service,
            "operation": self.operation,
        }

    @property
    def seconds(self) -> float:
        """How long the window and its baseline last together, with what is between them."""
        start = min(self.window.start, self.baseline.start)
        return (max(self.window.end, self.baseline.end) - start) / SECOND

    @property
    def usual_seconds(self) -> float:
        """How long the baseline lasts without the window."""
        a, b = self.window, self.baseline
        shared = max(0, min(a.end, b.end) - max(a.start, b.start))
        return max(1.0, b.seconds - shared / SECOND)

    def sampled(self, a_traces: int, b_traces: int) -> Question:
        """The question about at most MOST_TRACES of each set, which have so many."""
        return replace(
            self,
            a_one_in=max(1, -(-a_traces // MOST_TRACES)),
            b_one_in=max(1, -(-b_traces // MOST_TRACES)),
        )


def sql_time(nanoseconds: int) -> str:
    """A DateTime64(9) as text."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{fraction:09}"
