"""Series of the metrics that belong to traces."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

from clew.api.parameters import SECOND, Answer, rfc3339
from clew.storage import Row

MOST = 60  # series of each way they are linked
CANDIDATES = 1000  # series that the most telling ones are chosen from


def linked_metrics(
    answer: Answer,
    linked: dict[str, Any],
    processes: list[tuple[str, str]],
    step: int,
    latency: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Series of linked metrics, the strongest link and then the most telling first; of those that
    tell nothing, one of each metric before a second of any. `correlation` is Pearson's, with the
    p95 of `latency`; None where there are too few points or no change."""
    rows = answer.most(
        "linked_metrics",
        CANDIDATES,
        **linked,
        processes=processes,
        services=sorted({service for service, _ in processes}),
        step=step,
    )
    p95 = {point["time"]: point["p95"] for point in latency}
    links: dict[str, list[tuple[float, int, dict[str, Any]]]] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        metric = _metric(row, p95)
        kind = (metric["linked_by"], metric["service"], metric["name"])
        strength = abs(metric["correlation"] or 0)
        links.setdefault(metric["linked_by"], []).append((-strength, seen[kind], metric))
        seen[kind] += 1
    if any(len(found) > MOST for found in links.values()):
        answer.was_cut()
    return [
        metric
        for link in sorted(links)
        for _, _, metric in sorted(links[link], key=lambda each: each[:2])[:MOST]
    ]


def _metric(row: Row, p95: dict[str, float]) -> dict[str, Any]:
    points = [{"time": rfc3339(time * SECOND), "value": value} for time, value in row.pop("points")]
    pairs = [(point["value"], p95[point["time"]]) for point in points if point["time"] in p95]
    return row | {"points": points, "correlation": _correlation(pairs)}


def _correlation(pairs: list[tuple[float, float]]) -> float | None:
    if len(pairs) < 3:
        return None
    try:
        return statistics.correlation(*zip(*pairs, strict=True))
    except statistics.StatisticsError:
        return None
