"""Which of two services calls the other in the traces that alerts are about. Where services call
each other, the call graph cannot say which of two is deeper; the examples of their alerts can."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from clew.analysis import queries
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.traces.times import HOUR, datetime_text
from clew.storage.statements import Statements

MAX_SPANS = 50_000
MAX_KEPT = 300  # traces

Place = tuple[str, str]  # a service and an operation of it
Below = Mapping[Place, Collection[Place]]  # what lies below each place


class Nesting:
    """For one thread. `is_above` raises StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._traces: dict[str, Below] = {}

    def is_above(self, record: AlertRecord, other: AlertRecord) -> bool:
        """Whether, in the example traces of an alert, spans of another one lie below its own."""
        return any(
            _matches(other, place)
            for below in self._read(record)
            for upper, places in below.items()
            if _matches(record, upper)
            for place in places
        )

    def _read(self, record: AlertRecord) -> Iterable[Below]:
        verdict = record.verdict
        missing = [trace for trace in verdict.examples if trace not in self._traces]
        if missing:
            if len(self._traces) > MAX_KEPT:
                self._traces.clear()
            begin = verdict.at - max(verdict.window, HOUR) - HOUR
            rows = self._statements.rows(
                queries.WATCH_NESTING,
                traces=missing,
                start=datetime_text(begin),
                end=datetime_text(verdict.at + HOUR),
                limit=MAX_SPANS,
            )
            for trace in missing:
                self._traces[trace] = _below([row for row in rows if row["trace"] == trace])
        return [self._traces[trace] for trace in verdict.examples if trace in self._traces]


def _matches(record: AlertRecord, place: Place) -> bool:
    """Whether a place is what an alert is about: its operation, or any of its service."""
    service, operation = place
    labels = record.labels
    return labels.get("service") == service and labels.get("operation", operation) == operation


def _below(rows: Iterable[queries.WatchNestingRow]) -> Below:
    rows = list(rows)
    parents = {row["span"]: row["parent"] for row in rows}
    places = {row["span"]: (row["service"], row["operation"]) for row in rows}
    below: dict[Place, set[Place]] = defaultdict(set)
    for span, place in places.items():
        above, passed = parents[span], {span}
        while above in places and above not in passed:
            passed.add(above)
            below[places[above]].add(place)
            above = parents[above]
    return below
