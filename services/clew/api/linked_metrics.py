"""The metrics of a joined view: series that are linked to the traces that it is about."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.api.answer import Answer
from clew.api.joined import fair_shares
from clew.api.parameters import SECOND, read_rfc3339, rfc3339
from clew.api.selection import Processes, TraceSelection
from clew.storage import queries

LINKS = ("exemplar", "attribute", "resource")  # strongest first
OF_HOST = "system."  # metrics of a host begin with it, whoever reports them
MetricRow = queries.LinkedHistogramsRow | queries.LinkedGaugesRow | queries.LinkedSumsRow
Points = list[tuple[int, float | None]]  # seconds since 1970, value


@dataclass(frozen=True)
class LinkedSeries:
    """A series of a metric and its link. `host`: of a metric that is of the host. `correlation`:
    Pearson's with the transaction's p95."""

    row: MetricRow
    points: Points
    linked_by: str
    host: str
    resource: str
    correlation: float | None

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.row["attributes"].items()))

    @property
    def source(self) -> tuple[Any, ...]:
        """Series of several services with the same source are of one host, and the same."""
        row = self.row
        if self.host:
            return row["name"], self.host, self.attributes
        return row["name"], row["service"], row["series"]

    @property
    def strength(self) -> float:
        return abs(self.correlation or 0.0)

    @property
    def document(self) -> dict[str, Any]:
        """As `models.LinkedMetric`."""
        row = self.row
        return {
            "name": row["name"],
            "unit": row["unit"],
            "service": row["service"],
            "resource": self.resource,
            "attributes": row["attributes"],
            "linked_by": self.linked_by,
            "correlation": self.correlation,
            "points": [
                {"time": rfc3339(time * SECOND), "value": value} for time, value in self.points
            ],
        }


def read_linked_metrics(
    answer: Answer,
    selection: TraceSelection,
    traces: int,
    processes: Processes,
    step: int,
    latency: list[dict[str, Any]],
    attributes: list[tuple[str, str]],
    limit: int,
    trace_ids: Collection[str] | None,
) -> list[dict[str, Any]]:
    """Series of linked metrics: the strongest links first, and for each link the series that
    correlate most with the transaction's latency. Of series without a correlation, one of each
    metric comes before the second of any.

    `traces`: how many the transaction has. `step`: seconds between points. `latency`: the
    points of the transaction's series; a series' `correlation` is Pearson's with their p95, None if
    there are too few points or no change. `attributes`: a series with one of these attributes
    belongs to the transaction. `limit`: of series. `trace_ids`: of all traces, if they are known
    and the window is short: then all exemplars of the series are read. The statements are flat, and
    the rest is computed here: statements that do all of it took 20 to 40 ms to plan."""
    if not processes.instances:
        return []
    parameters: dict[str, Any] = {
        **selection.window.parameters,
        **processes.parameters,
        "hosts": list(processes.hosts),
        "step": step,
        "carried": attributes,
        "with_exemplars": trace_ids is not None,
    }
    histograms, gauges, sums = answer.in_parallel(
        lambda: answer.rows(queries.LINKED_HISTOGRAMS, **parameters),
        lambda: answer.rows(queries.LINKED_GAUGES, **parameters),
        lambda: answer.rows(queries.LINKED_SUMS, **parameters),
    )
    latencies = {
        read_rfc3339(point["time"]) // SECOND: point["p95"]
        for point in latency
        if point["p95"] is not None
    }
    linked: list[LinkedSeries] = []
    kinds: list[tuple[str, Sequence[MetricRow], list[Points]]] = [
        ("exemplars_histograms", histograms, [row["points"] for row in histograms]),
        ("exemplars_gauges", gauges, [row["points"] for row in gauges]),
        ("exemplars_sums", sums, [list(_sum_points(row, step)) for row in sums]),
    ]
    by_exemplar = _linked_by_exemplars(
        answer, selection, traces, trace_ids, {form: rows for form, rows, _ in kinds}
    )
    for _, rows, points in kinds:
        series = [
            _linked_series(row, of_row, latencies, by_exemplar)
            for row, of_row in zip(rows, points, strict=True)
        ]
        linked += _in_order(_of_one_source(series))
    if len(linked) > limit:
        answer.mark_truncated()
    return [series.document for series in _most_telling(linked, limit)]


def _linked_by_exemplars(
    answer: Answer,
    selection: TraceSelection,
    traces: int,
    trace_ids: Collection[str] | None,
    rows_by_form: Mapping[str, Sequence[MetricRow]],
) -> set[int]:
    """Those of the series of all kinds that have one of the traces as an exemplar. If the traces
    are not known: one statement, over the tables of the kinds that have any exemplars."""
    candidates = [row for rows in rows_by_form.values() for row in rows if row["has_exemplars"]]
    if trace_ids is not None:
        ids = frozenset(trace_ids)
        return {row["series"] for row in candidates if not ids.isdisjoint(row["exemplars"])}
    if not candidates:
        return set()
    forms = [
        form for form, rows in rows_by_form.items() if any(row["has_exemplars"] for row in rows)
    ]
    parameters = selection.parameters | selection.slice_parameters(traces)
    form = forms[0] if len(forms) == 1 else "exemplars_all"
    parameters["forms"] = {**selection.forms, "exemplars": form}
    linked = answer.rows(
        queries.LINKED_EXEMPLARS,
        **parameters,
        services=sorted({row["service"] for row in candidates}),
        metrics=sorted({row["name"] for row in candidates}),
        series=[row["series"] for row in candidates],
    )
    return {row["series"] for row in linked}


def _linked_series(
    row: MetricRow, points: Points, latencies: Mapping[int, float], by_exemplar: set[int]
) -> LinkedSeries:
    is_link = (row["series"] in by_exemplar, row["by_attribute"], True)
    is_of_host = row["name"].startswith(OF_HOST) and row["host"] != ""
    return LinkedSeries(
        row,
        points,
        LINKS[is_link.index(True)],
        host=row["host"] if is_of_host else "",
        resource=row["host"] if is_of_host or not row["instance"] else row["instance"],
        correlation=_correlation(points, latencies),
    )


def _sum_points(row: queries.LinkedSumsRow, step: int) -> Iterator[tuple[int, float | None]]:
    for bin, rise, values in zip(*row["rises"], strict=True):
        yield bin, (rise or 0.0) / (values if row["is_level"] else step)


def _correlation(points: Points, latencies: Mapping[int, float]) -> float | None:
    """Rounded, so that the order in which values were added up does not decide a rank."""
    pairs = [(value, latencies[time]) for time, value in points if time in latencies]
    if len(pairs) < 3:
        return None
    values, others = zip(*pairs, strict=True)
    if None in values or min(values) == max(values):
        return None
    try:
        correlation = statistics.correlation(values, others)
    except (ValueError, OverflowError):  # the latency never changes, or values are too large
        return None
    return round(correlation, 6) if math.isfinite(correlation) else None


def _of_one_source(linked: list[LinkedSeries]) -> list[LinkedSeries]:
    """Of each source the series with the most points; none without points."""
    linked = [series for series in linked if series.points]
    linked.sort(
        key=lambda series: (-len(series.points), series.row["service"], series.row["series"])
    )
    by_source: dict[tuple[Any, ...], LinkedSeries] = {}
    for series in linked:
        by_source.setdefault(series.source, series)
    return list(by_source.values())


def _in_order(linked: list[LinkedSeries]) -> list[LinkedSeries]:
    """Those that correlate most first; of those that correlate alike, one of each metric before
    the second of any."""
    linked.sort(key=lambda series: (series.resource, series.attributes))
    alike: Counter[tuple[str, str, str]] = Counter()
    places = []
    for series in linked:
        metric = (series.linked_by, series.row["service"], series.row["name"])
        places.append((-series.strength, alike[metric], series.row["name"], series.row["service"]))
        alike[metric] += 1
    order = sorted(range(len(linked)), key=lambda number: places[number])
    return [linked[number] for number in order]


def _most_telling(linked: list[LinkedSeries], limit: int) -> list[LinkedSeries]:
    """At most `limit` of the series of all kinds, which are in order for each kind."""
    by_link: dict[str, list[tuple[float, int, LinkedSeries]]] = {link: [] for link in LINKS}
    count: Counter[tuple[str, str, str]] = Counter()
    for series in linked:
        metric = (series.linked_by, series.row["service"], series.row["name"])
        by_link[series.linked_by].append((-series.strength, count[metric], series))
        count[metric] += 1
    ranked = [sorted(entries, key=lambda entry: entry[:2]) for entries in by_link.values()]
    return [series for share in fair_shares(ranked, limit) for _, _, series in share]
