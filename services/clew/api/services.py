"""Services and their operations: rate, errors, duration."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from fastapi import APIRouter

from clew.api.parameters import Answering, CommonParameters, Window, rfc3339
from clew.storage import Row

router = APIRouter(prefix="/api/v1/services", tags=["services"])

MAX_OPERATIONS = 10_000


@router.get("")
def list_services(
    common: CommonParameters, answer: Answering, service: str | None = None
) -> dict[str, Any]:
    """Every service of the window with its operations, the most frequent first."""
    rows = answer.most(
        "services",
        MAX_OPERATIONS,
        **common.window.parameters,
        environment=common.environment,
        service=service,
    )
    services = [
        _service(name, list(operations), common.window)
        for name, operations in groupby(rows, key=lambda row: row["service"])
    ]
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        services=services,
    )


def _service(name: str, rows: list[Row], window: Window) -> dict[str, Any]:
    """A service's own rate is that of the requests it took: its SERVER and CONSUMER operations, or
    all of them where it has none."""
    taken = [row for row in rows if row["kind"] in ("Server", "Consumer")] or rows
    count = sum(row["count"] for row in taken)
    errors = sum(row["errors"] for row in taken)
    return {
        "service": name,
        "count": count,
        "errors": errors,
        "error_rate": errors / count if count else 0.0,
        "per_second": count / window.seconds,
        "operations": [_operation(row, window) for row in rows],
    }


def _operation(row: Row, window: Window) -> dict[str, Any]:
    p50, p90, p95, p99 = row["quantiles"]
    return {
        "operation": row["operation"],
        "kind": row["kind"],
        "count": row["count"],
        "errors": row["errors"],
        "error_rate": row["errors"] / row["count"],
        "per_second": row["count"] / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]},
    }
