"""The metrics of a joined view: series that are linked to the traces that it is about."""

from __future__ import annotations

from collections import Counter
from typing import Any

from clew.api.answer import Answer
from clew.api.joined import fair_shares
from clew.api.parameters import SECOND, read_rfc3339, rfc3339
from clew.api.selection import Processes, TraceSelection
from clew.storage import queries

LINKS = ("exemplar", "attribute", "resource")  # strongest first
MetricRow = queries.LinkedHistogramsRow | queries.LinkedGaugesRow | queries.LinkedSumsRow


def read_linked_metrics(
    answer: Answer,
    selection: TraceSelection,
    count: int,
    processes: Processes,
    step: int,
    latency: list[dict[str, Any]],
    attributes: list[tuple[str, str]],
    limit: int,
) -> list[dict[str, Any]]:
    """Series of linked metrics: the strongest links first, and for each link the series that
    correlate most with the transaction's latency. Of series without a correlation, one of each
    metric comes before the second of any.

    `count`: how many traces the transaction has. `step`: seconds between points. `latency`: the
    points of the transaction's series; a series' `correlation` is Pearson's with their p95, None if
    there are too few points or no change. `attributes`: a series with one of these attributes
    belongs to the transaction. `limit`: of series."""
    if not processes.instances:
        return []
    points = [point for point in latency if point["p95"] is not None]
    parameters: dict[str, Any] = {
        **selection.parameters,
        **selection.slice_parameters(count),
        **processes.parameters,
        "hosts": list(processes.hosts),
        "step": step,
        "times": [read_rfc3339(point["time"]) // SECOND for point in points],
        "latencies": [point["p95"] for point in points],
        "by_attribute": bool(attributes),
        "carried": attributes,
    }
    histograms, gauges, sums = answer.in_parallel(
        lambda: answer.limited_rows(
            queries.LINKED_HISTOGRAMS, limit, per="linked_by", **parameters
        ),
        lambda: answer.limited_rows(queries.LINKED_GAUGES, limit, per="linked_by", **parameters),
        lambda: answer.limited_rows(queries.LINKED_SUMS, limit, per="linked_by", **parameters),
    )
    return _ranked(answer, [*histograms, *gauges, *sums], limit)


def _ranked(answer: Answer, rows: list[MetricRow], limit: int) -> list[dict[str, Any]]:
    by_link: dict[str, list[tuple[float, int, MetricRow]]] = {link: [] for link in LINKS}
    series_count: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        metric = (row["linked_by"], row["service"], row["name"])
        rank = (-abs(row["correlation"] or 0), series_count[metric])
        by_link[row["linked_by"]].append((*rank, row))
        series_count[metric] += 1
    if len(rows) > limit:
        answer.mark_truncated()
    ranked = [sorted(series, key=lambda entry: entry[:2]) for series in by_link.values()]
    return [_metric(row) for share in fair_shares(ranked, limit) for _, _, row in share]


def _metric(row: MetricRow) -> dict[str, Any]:
    return {
        "name": row["name"],
        "unit": row["unit"],
        "service": row["service"],
        "resource": row["resource"],
        "attributes": row["attributes"],
        "linked_by": row["linked_by"],
        "correlation": row["correlation"],
        "points": [
            {"time": rfc3339(time * SECOND), "value": value} for time, value in row["points"]
        ],
    }
