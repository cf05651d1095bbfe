"""Series of the metrics that belong to traces."""

from __future__ import annotations

from typing import Any

from clew.api.joined import About, Processes
from clew.api.parameters import SECOND, Answer, read_rfc3339, rfc3339
from clew.storage import Row

MOST = 60  # series of each way they are linked


def linked_metrics(
    answer: Answer,
    about: About,
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
    rows = answer.most(
        "linked_metrics",
        MOST,
        each="linked_by",
        **about.parameters | ran.parameters,
        hosts=list(ran.hosts),
        step=step,
        times=[read_rfc3339(point["time"]) // SECOND for point in known],
        latencies=[point["p95"] for point in known],
        by_attribute=bool(carried),
        carried=carried or [],
    )
    return [_metric(row) for row in rows]


def _metric(row: Row) -> dict[str, Any]:
    del row["alike"]
    points = [{"time": rfc3339(time * SECOND), "value": value} for time, value in row.pop("points")]
    return row | {"points": points}
