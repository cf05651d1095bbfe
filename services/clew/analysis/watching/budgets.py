"""What transactions and operations cost in a window, against what they may: performance budgets.

`spendings` takes any window, so rules judge a day with it, and a gate the minutes of a release.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clew.analysis import queries
from clew.analysis.alerts.rules import Limits, Select
from clew.analysis.traces.times import datetime_text
from clew.analysis.watching.proofs import Proof, minutes_proof, proof
from clew.analysis.watching.replay.past import MAX_SERIES, QUANTILES, Past
from clew.analysis.watching.series import Series
from clew.storage.sql import Query

# Of each measure: the column of the statement that gives it, and what it is divided by.
COLUMNS = {
    "calls": ("calls", 1.0),
    "database_time": ("database_time_ms", 1e3),
    "cost": ("cost_ms", 1e3),
    "payload": ("payload", 1.0),
}


@dataclass(frozen=True)
class Spending:
    """One measure of one series. `value` and `limit` are in seconds, shares, bytes or calls; the
    value is nan where nothing is known of it. `requests`: what it rests on. `proof`: the statement
    that gives the value."""

    series: Series
    measure: str
    value: float
    limit: float
    requests: float
    proof: Proof

    @property
    def is_over(self) -> bool:
        """Whether more was spent than the limit allows."""
        return self.value > self.limit


def spendings(
    limits: Limits, select: Select, past: Past, count: int = MAX_SERIES
) -> Iterator[Spending]:
    """What the series of a selection cost in the window of `past`, those with the most requests
    first, at most so many. Raises StorageError."""
    series = past.select(select, count)
    if not series:
        return
    counts = past.counts(series)
    quantiles, _ = past.levels(series, past.end - past.start) if limits.p95 else (None, None)
    for place, (one, minutes) in enumerate(zip(series, counts, strict=True)):
        requests, failed = float(minutes.count.sum()), float(minutes.errors.sum())
        for measure, limit in limits.listed.items():
            if measure in COLUMNS:
                yield _spending(one, measure, limit, past)
                continue
            value = failed / requests if requests else math.nan
            if quantiles is not None and measure == "p95":
                value = float(quantiles[place, 0, QUANTILES.index("p95")]) / 1e9
            evidence = minutes_proof(one, past.start, past.end)
            yield Spending(past.named(one), measure, value, limit, requests, evidence)


def _spending(series: Series, measure: str, limit: float, past: Past) -> Spending:
    query, parameters = _statement(series, measure, past)
    (row,) = past.statements.rows(query, **parameters)
    column, divisor = COLUMNS[measure]
    value = row[column]
    return Spending(
        past.named(series),
        measure,
        math.nan if value is None else float(value) / divisor,
        limit,
        float(row["requests"] or 0),
        proof(query.name, parameters),
    )


def _statement(series: Series, measure: str, past: Past) -> tuple[Query[Any], dict[str, str]]:
    """The statement that gives a measure, and its parameters."""
    parameters = {
        "environment": series.environment,
        "start": datetime_text(past.start),
        "end": datetime_text(past.end),
    }
    service, name = series.service, series.name
    if series.kind == "defined" and measure == "payload":
        match = next((d.match for d in past.definitions if d.id == series.name), None)
        service, name = (match.service or "", match.operation or "") if match else ("", "")
    if measure == "payload":
        return queries.PROOF_PAYLOAD, parameters | {"service": service, "name": name}
    if series.kind == "defined":
        return queries.PROOF_DEFINED_BUDGET, parameters | {"name": name}
    return queries.PROOF_BUDGET, parameters | {"service": service, "name": name}
