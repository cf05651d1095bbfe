"""Series of the metrics that belong to traces."""

from __future__ import annotations

from collections import Counter
from typing import Any

from clew.api.answer import Answer
from clew.api.joined import About, Processes
from clew.api.parameters import SECOND, read_rfc3339, rfc3339
from clew.storage import queries

LINKS = ("exemplar", "attribute", "resource")  # the strongest first
MOST = 40  # series of each
Linked = queries.LinkedHistogramsRow | queries.LinkedGaugesRow | queries.LinkedSumsRow


def linked_metrics(
    answer: Answer,
    about: About,
    count: int,
    ran: Processes,
    step: int,
    latency: list[dict[str, Any]],
    carried: list[tuple[str, str]] | None = None,
) -> list[dict[str, Any]]:
    """Series of linked metrics, the strongest link and then the most telling first; of those that
    tell nothing, one of each metric before a second of any. `correlation` is Pearson's, with the
    p95 of `latency`; None where there are too few points or no change. `carried` are attributes
    that a series of the transaction's own has."""
    if not ran.instances:
        return []
    known = [point for point in latency if point["p95"] is not None]
    asked: dict[str, Any] = {
        **about.parameters,
        **about.slices(count),
        **ran.parameters,
        "hosts": list(ran.hosts),
        "step": step,
        "times": [read_rfc3339(point["time"]) // SECOND for point in known],
        "latencies": [point["p95"] for point in known],
        "by_attribute": bool(carried),
        "carried": carried or [],
    }
    kinds = answer.together(
        lambda: answer.most(queries.LINKED_HISTOGRAMS, MOST, each="linked_by", **asked),
        lambda: answer.most(queries.LINKED_GAUGES, MOST, each="linked_by", **asked),
        lambda: answer.most(queries.LINKED_SUMS, MOST, each="linked_by", **asked),
    )
    links: dict[str, list[tuple[float, int, Linked]]] = {link: [] for link in LINKS}
    seen: Counter[tuple[str, str, str]] = Counter()
    for row in (row for rows in kinds for row in rows):
        kind = (row["linked_by"], row["service"], row["name"])
        links[row["linked_by"]].append((-abs(row["correlation"] or 0), seen[kind], row))
        seen[kind] += 1
    if any(len(found) > MOST for found in links.values()):
        answer.was_cut()
    return [
        _metric(row)
        for found in links.values()
        for _, _, row in sorted(found, key=lambda each: each[:2])[:MOST]
    ]


def _metric(row: Linked) -> dict[str, Any]:
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
