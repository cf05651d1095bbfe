"""The versions that serve at the same time after a deployment, compared with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from clew.analysis import queries
from clew.analysis.baselines import Floats
from clew.analysis.detectors import regressions, versions
from clew.analysis.detectors.findings import Finding
from clew.analysis.traces.times import HOUR, datetime_text
from clew.analysis.watching.deployments import Deployment
from clew.analysis.watching.learned import Learned
from clew.storage.statements import Statements

HOURS = 24  # since a deployment, that are compared
STILL = 1200  # seconds before the end, within which a version must have served
MAX_ROWS = 200_000

Sides = dict[str, queries.WatchVersionsRow]  # of an hour, by version


@dataclass(frozen=True)
class VersionFinding:
    """A version that is worse than another at the same time, in the hours of [start, end), seconds
    since 1970. The finding's series is its place in what is learned; its values are nanoseconds, of
    `tail` a factor, of `error_rate` shares."""

    finding: Finding
    old: str
    new: str
    old_requests: float
    start: float
    end: float


def compare_versions(
    statements: Statements, learned: Learned, deployments: Iterable[Deployment], end: int
) -> list[VersionFinding]:
    """What is worse in the new versions of the day before `end`, the end of an hour. Raises
    StorageError."""
    newest = {
        (one.service, one.environment): one
        for one in deployments  # the oldest first
        if one.at >= end - HOURS * HOUR
    }
    if not newest:
        return []
    rows = statements.rows(
        queries.WATCH_VERSIONS,
        services=sorted({service for service, _ in newest}),
        start=datetime_text(end - HOURS * HOUR),
        end=datetime_text(end),
        limit=MAX_ROWS,
    )
    by_series: dict[int, dict[int, Sides]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["series"] in learned.places:
            by_series[learned.places[row["series"]]][row["hour"]][row["version"]] = row
    results = []
    for place, hours in by_series.items():
        series = learned.series[place]
        deployment = newest.get((series.service, series.environment))
        if deployment is not None and learned.is_judged[place]:
            results += _compared(learned, place, hours, deployment.version, end)
    return results


def _compared(
    learned: Learned, place: int, hours: dict[int, Sides], new: str, end: int
) -> list[VersionFinding]:
    """The new version of a series, if it still serves, against the one that serves most."""
    requests: dict[str, int] = defaultdict(int)
    for sides in hours.values():
        for version, row in sides.items():
            if version != new and new in sides:
                requests[version] += row["count"]
    last = max((sides[new]["last"] for sides in hours.values() if new in sides), default=0)
    if not requests or last < end - STILL:  # nobody is asked for what is gone
        return []
    old = max(requests, key=lambda version: requests[version])
    both = {hour: sides for hour, sides in sorted(hours.items()) if {old, new} <= sides.keys()}
    before, after = ([sides[version] for sides in both.values()] for version in (old, new))
    old_count, new_count = _column(before, "count"), _column(after, "count")
    old_failed, new_failed = _column(before, "errors"), _column(after, "errors")
    old_values, new_values = _measures(before, old_count), _measures(after, new_count)
    request = learned.shifts.request[[place]]
    shift, z = versions.compare(old_values, new_values, old_count, new_count, request)
    findings = versions.findings(shift, z, old_values, new_count)
    failures = old_failed, old_count, new_failed, new_count
    log_p = float(versions.more_failures(*(one.sum(1) for one in failures))[0])
    if log_p < 0:  # a normal deviate that is as rare
        findings.insert(0, _failures(*failures, z=float(np.sqrt(-2 * log_p))))
    start, until = float(min(both)), float(max(both) + HOUR)
    return [
        VersionFinding(
            replace(finding, series=place), old, new, float(old_count.sum()), start, until
        )
        for finding in findings
    ]


def _column(rows: Sequence[queries.WatchVersionsRow], name: Literal["count", "errors"]) -> Floats:
    return np.array([[float(row[name]) for row in rows]])


def _measures(rows: Sequence[queries.WatchVersionsRow], requests: Floats) -> Floats:
    return regressions.measures(np.log([[row["levels"] for row in rows]]), requests)


def _failures(
    old_failed: Floats, old_requests: Floats, new_failed: Floats, new_requests: Floats, z: float
) -> Finding:
    """That more requests of the new version fail. Arguments are [1, hours]."""
    old, new = float(old_requests.sum()), float(new_requests.sum())
    usual = float(old_failed.sum()) / old
    margin = 2 * float(np.sqrt((usual + 0.5 / old) * (1 / old + 1 / new)))
    hours = old_requests.shape[1]
    return Finding(
        series=0,
        kind="version",
        measure="error_rate",
        time=hours - 1,
        window=hours,
        value=float(new_failed.sum()) / new,
        expected=usual,
        lower=max(0.0, usual - margin),
        upper=usual + margin,
        requests=new,
        z=z,
        as_large=0,
        past=0,
        change_point=0,
        deployment=0,
    )
