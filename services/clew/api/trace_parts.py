"""Parts of a trace beside its spans: log records, metrics and transactions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Extent, extent_parameters, rfc3339
from clew.storage import queries

MAX_LOGS = 1000  # for each kind of link
MAX_OCCURRENCES = 100
# A trace is short, so metrics of its processes are shown from before and after it too.
METRICS_MARGIN = 300 * SECOND
MAX_METRICS = 8  # of each type, over all services: each costs 4 ms of CPU time
MAX_SERIES = 60  # of each type
CUMULATIVE = 2

Point = tuple[int, float | None]  # seconds since 1970, value
ProcessSeries = queries.TraceGaugesRow | queries.TraceSumsRow


@dataclass(frozen=True)
class TraceExtent:
    """Where the spans of a trace lie: from the first start to the last end, in nanoseconds since
    1970, and in which processes, as (service, instance), sorted."""

    start: int
    end: int
    processes: tuple[tuple[str, str], ...]

    @property
    def services(self) -> list[str]:
        return sorted({service for service, _ in self.processes})

    def parameters(self, margin: int = 0) -> dict[str, str]:
        """The parameters `start` and `end` of queries; see `extent_parameters`."""
        times = Extent(start=rfc3339(self.start), end=rfc3339(self.end))
        return extent_parameters([times], margin)


def read_transactions(
    answer: Answer,
    trace_id: str,
    automatic: tuple[str, str] | None,
    occurrences: list[queries.TraceOccurrencesRow],
) -> dict[str, Any]:
    """The transactions that a trace belongs to, as the members `transaction` (the first) and
    `transactions`: defined ones that match one of its spans, other defined ones, and the automatic
    one. `automatic`: its id and name, None if there is none."""
    transactions: list[dict[str, Any]] = []
    if occurrences:
        is_entry = {(row["id"], row["key"]): row["is_entry"] for row in occurrences}
        names = answer.rows(queries.TRACE_OCCURRENCE_NAMES, keys=sorted(is_entry))
        names.sort(key=lambda row: not is_entry[row["id"], row["key"]])
        transactions = [
            {
                "id": row["id"],
                "name": row["name"] or row["id"],
                "key": row["key"],
                "source": "defined",
                "trace_ids": row["trace_ids"],
            }
            for row in names
        ]
    if automatic is not None:
        id, name = automatic
        transactions.append(
            {"source": "auto", "id": id, "name": name, "key": trace_id, "trace_ids": [trace_id]}
        )
    first = transactions[0] if transactions else None
    return {
        "transaction": first and {name: first[name] for name in ("id", "name", "key")},
        "transactions": transactions,
    }


def read_logs(answer: Answer, trace_id: str, extent: TraceExtent) -> list[queries.TraceLogsRow]:
    """Log records with the trace's id, and those of its processes without a trace id."""
    return answer.limited_rows(
        queries.TRACE_LOGS,
        MAX_LOGS,
        per="linked_by",
        trace_id=trace_id,
        processes=list(extent.processes),
        **extent.parameters(),
    )


def read_metrics(answer: Answer, trace_id: str, extent: TraceExtent) -> list[dict[str, Any]]:
    """Series of metrics around the trace: histograms with an exemplar of it, then gauges and sums
    of its processes. Only a few metrics of each type, because each costs time."""
    services = extent.services
    parameters: dict[str, Any] = {
        "services": services,
        "trace_id": trace_id,
        **extent.parameters(METRICS_MARGIN),
    }
    processes = list(extent.processes)
    metrics_per_service = max(1, MAX_METRICS // len(services))
    process_parameters = parameters | {"processes": processes, "names": metrics_per_service}
    exemplars, gauges, sums = answer.in_parallel(
        lambda: answer.rows(queries.TRACE_EXEMPLARS, **parameters),
        lambda: answer.rows(queries.TRACE_GAUGES, **process_parameters),
        lambda: answer.rows(queries.TRACE_SUMS, **process_parameters),
    )
    series = [
        *_histograms(exemplars),
        *(_series(row, row["points"], _link(row)) for row in gauges[:MAX_SERIES]),
        *(_series(row, _rates(row), _link(row)) for row in sums[:MAX_SERIES]),
    ]
    return sorted(series, key=lambda one: str(one["linked_by"]))


def _link(row: ProcessSeries) -> str:
    return "exemplar" if row["by_exemplar"] else "resource"


def _series(
    row: ProcessSeries | queries.TraceExemplarsRow, points: Sequence[Point], linked_by: str
) -> dict[str, Any]:
    return {
        "name": row["name"],
        "unit": row["unit"],
        "service": row["service"],
        "resource": row["resource"],
        "attributes": row["attributes"],
        "linked_by": linked_by,
        "points": [{"time": rfc3339(time * SECOND), "value": value} for time, value in points],
        "correlation": None,
    }


def _rates(row: queries.TraceSumsRow) -> list[Point]:
    """The points of a non-monotonic sum; of a monotonic one its rate per second between points. A
    counter that fell was reset to 0."""
    points = list(dict(row["points"]).items())  # of points within one second, the last
    if not row["is_monotonic"] and row["temporality"] == CUMULATIVE:
        return points
    rates: list[Point] = []
    for (previous_time, previous), (time, value) in pairwise(points):
        if value is None or previous is None or time <= previous_time:
            continue
        is_increase = row["temporality"] == CUMULATIVE and value >= previous
        increase = value - previous if is_increase else value
        rates.append((time, increase / (time - previous_time)))
    return rates


def _histograms(rows: list[queries.TraceExemplarsRow]) -> Iterator[dict[str, Any]]:
    by_series: dict[str, list[queries.TraceExemplarsRow]] = {}
    for row in rows:
        key = json.dumps([row["name"], row["service"], row["resource"], row["attributes"]])
        by_series.setdefault(key, []).append(row)
    for series in by_series.values():
        points = [(row["time"], p95) for row in series if (p95 := _p95(row)) is not None]
        yield _series(series[0], points, "exemplar")


def _p95(row: queries.TraceExemplarsRow) -> float | None:
    """The upper bound of the bucket that contains the p95; for the last bucket, which has none, its
    lower bound."""
    rank = 0.95 * sum(row["counts"])
    if not row["bounds"] or not rank:
        return None
    cumulative = 0
    for count, bound in zip(row["counts"], [*row["bounds"], row["bounds"][-1]], strict=False):
        cumulative += count
        if cumulative >= rank:
            return bound
    return None
