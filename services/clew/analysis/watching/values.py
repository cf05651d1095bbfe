"""Slow requests with one value of an attribute, of series that are known for a short time.

While less than three days of a series are known, a quarter of its requests may well be slow at
some hours. Where those with one value (a tenant, a flag, a host) are slow that were not before, and
the others are as they were, that is no hour of the day: the value is judged as if it were a series
of its own, by the test of any series that is known for a short time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clew.analysis import queries
from clew.analysis.detectors import counts, spikes
from clew.analysis.traces.times import HOUR, datetime_text
from clew.analysis.watching.learned import MIN_HOURS, YOUNG_SLOW, Learned
from clew.analysis.watching.recent import Recent
from clew.analysis.watching.series import MINUTE, Series
from clew.storage.statements import Statements

BEFORE = 3 * HOUR  # that a value is compared with, at most
KINDS = ("transaction", "operation")
WINDOWS = (5, 15)  # minutes
# Whole series are worth a look from here on, with the dispersion of a calm one, and without their
# worst minute. What is found is decided by `slowest`.
SUSPECT_RATIO, SUSPECT_P, SUSPECT_P_WITHOUT_WORST, CALM = 2.0, 1e-3, 0.05, 0.02
MAX_SUSPECTS = 5  # a minute; each takes a statement
MIN_REQUESTS = 10  # with a value, in the window and before it


@dataclass(frozen=True)
class ValueFinding:
    """The requests with a value of an attribute are slow. `place` of the series; `window` in
    minutes; shares of slow requests: `share` of those with the value, `usual` before, `others` now
    without it."""

    place: int
    key: str
    value: str
    window: int
    requests: int
    share: float
    usual: float
    others: float


def find_values(
    statements: Statements, learned: Learned, recent: Recent, at: float
) -> list[ValueFinding]:
    """What holds in the minutes before `at`, in seconds since 1970. Raises StorageError."""
    limits = learned.slow_limits(at - MINUTE)
    findings = []
    for place, window in suspects(learned, recent, at)[:MAX_SUSPECTS]:
        series, share = learned.series[place], float(learned.slow_share[place])
        rows = read_values(statements, series, float(limits[place]), at, window)
        if (row := slowest(rows, share)) is not None:
            whole = next(one for one in rows if not one["key"])
            rest = max(whole["requests"] - row["requests"], 1)
            findings.append(
                ValueFinding(
                    place,
                    row["key"],
                    row["value"],
                    window,
                    row["requests"],
                    row["slow"] / row["requests"],
                    row["slow_before"] / row["requests_before"],
                    (whole["slow"] - row["slow"]) / rest,
                )
            )
    return findings


def suspects(learned: Learned, recent: Recent, at: float) -> list[tuple[int, int]]:
    """The places of young series that have more slow requests than a calm series would, and the
    window in which they do: without their worst minute too."""
    is_young = (learned.hours < MIN_HOURS) & learned.is_judged
    young = [
        place for place in np.flatnonzero(is_young).tolist() if learned.series[place].kind in KINDS
    ]
    if not young:
        return []
    seen = recent.window(at, max(WINDOWS))
    windows: dict[int, int] = {}
    for window in WINDOWS:
        slow, requests = seen.slow[young, -window:], seen.requests[young, -window:]
        usual = requests * learned.slow_share[young, None]
        worst = (slow - usual).argmax(1)
        rows, is_suspect = np.arange(len(young)), np.ones(len(young), np.bool_)
        for without in (0.0, 1.0):
            count = slow.sum(1) - without * slow[rows, worst]
            mean = usual.sum(1) - without * usual[rows, worst]
            log_p = counts.log_tail(count, mean, np.full(len(young), CALM))
            limit = np.log(SUSPECT_P_WITHOUT_WORST if without else SUSPECT_P)
            is_many = (count >= spikes.MIN_BAD) & (count >= SUSPECT_RATIO * mean)
            is_suspect &= is_many & (log_p < limit)
        for row in np.flatnonzero(is_suspect):
            windows.setdefault(young[row], window)
    return list(windows.items())


def read_values(
    statements: Statements, series: Series, slow: float, at: float, window: int
) -> list[queries.WatchValuesRow]:
    """The requests of a series by value. `slow`: from how many nanoseconds on they are."""
    since = at - window * MINUTE
    return statements.rows(
        queries.WATCH_VALUES,
        service=series.service,
        name=series.name,
        environment=series.environment,
        roots=series.kind == "transaction",
        slow=slow,
        start=datetime_text(since - BEFORE),
        since=datetime_text(since),
        end=datetime_text(at),
        least=MIN_REQUESTS,
    )


def slowest(rows: Sequence[queries.WatchValuesRow], share: float) -> queries.WatchValuesRow | None:
    """The value whose requests are slow, more than usually (`share`) and than before, if the others
    are not; of several the one that is least likely by chance."""
    whole = next((row for row in rows if not row["key"]), None)
    if whole is None:
        return None
    best, best_p = None, np.log(min(spikes.SLOW_P)) - np.log(len(rows))
    for row in rows:
        rest = whole["requests"] - row["requests"]
        rest_slow = whole["slow"] - row["slow"]
        before = max(share, (row["slow_before"] + 0.5) / (row["requests_before"] + 1))
        mean = row["requests"] * before
        if rest < MIN_REQUESTS or row["slow"] < spikes.MIN_RATIO * mean:
            continue
        if rest_slow >= SUSPECT_RATIO * max(rest * share, 1.0):
            continue
        log_p = counts.log_tail(
            np.array([float(row["slow"])]), np.array([mean]), np.array([YOUNG_SLOW])
        )[0]
        if log_p < best_p:
            best, best_p = row, log_p
    return best
