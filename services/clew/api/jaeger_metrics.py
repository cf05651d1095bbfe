"""The metrics of Jaeger's query API, which its Monitor tab shows: `/api/metrics/…`.

They come from the rollup of operations by the minute. A point at a time is about the `ratePer`
before it: with the defaults, each minute has the rate of the last ten. The minute that runs does
not count yet.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response

from clew.api.access import ScopedRoute
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.jaeger import JaegerQuery, MalformedParameter, read_bool, structured
from clew.api.parameters import EARLIEST, LATEST, SECOND
from clew.api.reference import json_response
from clew.storage import queries

router = APIRouter(include_in_schema=False, route_class=ScopedRoute)

MINUTE = 60
MAX_POINTS = 1000  # of a series; a step that would make more is lengthened
MAX_RATE_PER = 86400  # seconds
MAX_ROWS = 200_000
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")

Row = queries.JaegerMetricsRow


@dataclass(frozen=True)
class Metric:
    """One of the metrics: its name, its help, and a point's value, None where there is none."""

    name: str
    help: str
    value: Callable[[Row, int], float | None]


METRICS = {
    "latencies": Metric(
        "latencies", "quantile latency in milliseconds", lambda row, seconds: row["latency_ms"]
    ),
    "calls": Metric("call_rate", "calls/sec", lambda row, seconds: row["calls"] / seconds),
    "errors": Metric(
        "error_rate",
        "error rate, computed as a fraction of errors/sec over calls/sec",
        lambda row, seconds: row["errors"] / row["calls"],
    ),
}


class MetricsQuery(JaegerQuery):
    """The parameters of a metric. They raise MalformedParameter."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.services = self.all("service")
        if not self.services:
            raise MalformedParameter("parameter 'service' is required")
        self.by_operation = self._bool("groupByOperation")
        self.kinds = self.all("spanKind") or ["server"]
        for kind in self.kinds:
            if kind not in KINDS:
                raise MalformedParameter(
                    f"malformed parameter spanKind: {kind!r}; write one of {', '.join(KINDS)}"
                )
        now = time.time_ns() // 1_000_000
        end = min(max(self.number(now, "endTs") * 1_000_000, EARLIEST), LATEST)
        self.until = end // SECOND // MINUTE * MINUTE
        lookback = self._minutes(3_600_000, "lookback")
        self.step = max(self._minutes(5_000, "step"), _up_to_minutes(lookback / MAX_POINTS))
        self.points = max(1, math.ceil(lookback / self.step))
        self.span = min(self._minutes(600_000, "ratePer"), MAX_RATE_PER)
        self.quantile = self._quantile()

    def _minutes(self, default_ms: int, name: str) -> int:
        """Seconds, in whole minutes, from milliseconds."""
        return min(_up_to_minutes(self.number(default_ms, name) / 1000), LATEST // SECOND)

    def _bool(self, name: str) -> bool:
        try:
            return read_bool(self.first(name) or "false")
        except ValueError as error:
            raise MalformedParameter(
                f"malformed parameter {name}: {self.first(name)!r}; write true or false"
            ) from error

    def _quantile(self) -> float:
        try:
            quantile = float(self.first("quantile") or "0.95")
        except ValueError:
            quantile = math.nan
        if not 0 < quantile <= 1:
            raise MalformedParameter("malformed parameter quantile: write a number up to 1")
        return quantile


@router.get("/api/metrics/minstep")
@reads()
def min_step() -> Response:
    return structured(MINUTE * 1000)


@router.get("/api/metrics/{kind}")
@reads("traces")
def metrics(
    kind: Literal["latencies", "calls", "errors"],
    query: Annotated[MetricsQuery, Depends(MetricsQuery)],
    answer: AnswerDependency,
) -> Response:
    if kind == "latencies" and not query.first("quantile"):
        raise MalformedParameter("parameter 'quantile' is required")
    metric = METRICS[kind]
    rows = answer.rows(
        queries.JAEGER_METRICS,
        services=query.services,
        by_operation=query.by_operation,
        kinds=query.kinds,
        since=max(0, query.until - query.points * query.step - query.span),
        until=query.until,
        step=query.step,
        points=query.points,
        span=query.span,
        quantile=query.quantile,
        limit=MAX_ROWS,
    )
    subject = "service_operation" if query.by_operation else "service"
    of_quantile = f"{query.quantile:.2f}th " if kind == "latencies" else ""
    return json_response(
        {
            "name": f"{subject}_{metric.name}",
            "type": "GAUGE",
            "help": f"{of_quantile}{metric.help}, grouped by {subject.replace('_', ' & ')}",
            "metrics": [
                _series(metric, query, service, operation, {row["time"]: row for row in group})
                for (service, operation), group in groupby(
                    rows, key=lambda row: (row["service"], row["operation"])
                )
            ],
        }
    )


def _series(
    metric: Metric, query: MetricsQuery, service: str, operation: str, rows: dict[int, Row]
) -> dict[str, Any]:
    labels = [{"name": "operation", "value": operation}] if query.by_operation else []
    points = []
    for number in reversed(range(query.points)):
        point = query.until - number * query.step
        row = rows.get(point)
        if row is not None and row["calls"]:
            value = metric.value(row, query.span)
        else:  # there is no latency and no share of errors without calls
            value = 0.0 if metric is METRICS["calls"] else None
        if value is not None:
            points.append(
                {
                    "gaugeValue": {"doubleValue": value},
                    "timestamp": f"{datetime.fromtimestamp(point, UTC):%Y-%m-%dT%H:%M:%SZ}",
                }
            )
    return {
        "labels": [*labels, {"name": "service_name", "value": service}],
        "metricPoints": points,
    }


def _up_to_minutes(seconds: float) -> int:
    return max(MINUTE, math.ceil(seconds / MINUTE) * MINUTE)
