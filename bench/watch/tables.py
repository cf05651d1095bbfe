"""Series of the suite through the tables and the watcher, beside the detectors on arrays.

Hours of four weeks and minutes of some days are written as rollups; the watcher then judges a day,
minute by minute, on the clock of the events. What it finds is compared with what the detectors find
in the same minutes of the arrays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType

import numpy as np
import numpy.typing as npt

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.outbox import Outbox
from clew.analysis.alerts.records import AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.silences import Silences
from clew.analysis.traces.settling import settler_statements
from clew.analysis.watching.learner import Learner
from clew.analysis.watching.progress import WatcherProgress
from clew.analysis.watching.series import WatchedSeries
from clew.analysis.watching.standing import REGRESSION
from clew.analysis.watching.watcher import SETTLED_AFTER, Inputs, Watcher
from clew.storage import Store, migrate

from .figures import Row, least
from .histograms import HISTORY, Case, reduced
from .suite import hourly, minutely

# Series of these, whose second deployment is within FROM and UNTIL, minutes of the week.
SCENARIOS = (
    "control",
    "lat20",
    "lat50",
    "tail20",
    "tail50",
    "err",
    "drop50",
    "spikeL",
    "spikeE",
    "spikeR",
)
DRAWN = 12  # series of a scenario, of which those with such a deployment are taken
FROM, UNTIL = 2880, 3060
FIRST, LAST = FROM - 60, UNTIL + 120  # minutes that are judged
LOADED_FROM = FIRST - 1440
SAME_WITHIN = 3  # minutes, and hours of a regression, that two findings may lie apart
MEASURES = ("slow_rate", "error_rate", "rate", "regression")
UNIT, LOW = 1e8, -2.0  # nanoseconds that a logarithm of 0 stands for; where the first bucket begins
NEVER = np.inf

HOURS = """
INSERT INTO otel.{table}
    ({time}, Environment, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, DurationSum,
    DurationMax, Sketch)
SELECT at, 'prod', service, 'GET /', 'Server', true, count(), any(failed), sum(duration),
    max(duration), quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(duration)
FROM
(
    SELECT at, service, failed, arrayJoin(arrayFlatten(arrayMap(
        (n, bucket) -> arrayMap(
            i -> toUInt64(exp({low} + (bucket + (i + 0.5) / n) * {width}) * {unit}), range(n)),
        counts, range(length(counts))))) AS duration
    FROM otel.clew_made
)
GROUP BY at, service
"""
MADE = """
CREATE TABLE otel.clew_made
    (at DateTime, service String, failed UInt64, counts Array(UInt32)) ENGINE = Memory
"""


@dataclass(frozen=True)
class Chosen:
    """One series: its histograms [times, buckets] and failed requests by hour and by minute, and
    what the detectors on arrays find: the first minute of the week, by measure."""

    service: str
    hours: npt.NDArray[np.int64]
    failed_hours: npt.NDArray[np.int64]
    minutes: npt.NDArray[np.int64]
    failed_minutes: npt.NDArray[np.int64]
    deployments: npt.NDArray[np.int64]
    found: Mapping[str, float]


def choose(suite: ModuleType, kind: str, seed: int) -> list[Chosen]:
    """Series whose deployment is within the minutes that are judged."""
    chosen = []
    for scenario in SCENARIOS:
        made = suite.make(kind, scenario, DRAWN, seed)
        places = np.flatnonzero((made["T0"] >= FROM) & (made["T0"] < UNTIL))
        if not len(places):
            continue
        part = {
            name: value[places] if isinstance(value, np.ndarray) else value
            for name, value in made.items()
        }
        arrays = found_in_arrays(reduced(part, float(suite.G)))
        chosen += [
            Chosen(
                f"{scenario}-{place}",
                made["hh"][place],
                made["eh"][place],
                made["hm"][place],
                made["em"][place],
                np.array([made["T1"][place], made["T0"][place]]),
                {measure: float(first[number]) for measure, first in arrays.items()},
            )
            for number, place in enumerate(places)
        ]
    return chosen


def found_in_arrays(part: Case) -> dict[str, npt.NDArray[np.float64]]:
    """By measure the first minute of the week, of those that are judged, at which a series has a
    finding; NEVER if there is none."""
    alarms, _ = minutely(part)
    first = {measure: _first(alarm[:, FIRST:LAST]) + FIRST for measure, alarm in alarms.items()}
    by_hour = hourly(part).alarms[:, FIRST // 60 : LAST // 60]
    return first | {"regression": (_first(by_hour) + 1) * 60 + FIRST}


def _first(alarms: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return np.where(alarms.any(1), alarms.argmax(1), NEVER)


class Tables:
    """A database with the series, and a watcher over it. The suite's week begins on a Monday."""

    def __init__(self, store: Store, suite: ModuleType, chosen: Iterable[Chosen]) -> None:
        self._store = store
        self._width = float(suite.G)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today - timedelta(days=today.weekday() + 7)
        self.week = monday.timestamp()
        self._command(MADE)
        chosen = list(chosen)
        history = self.week - HISTORY * 3600
        self._load(
            "clew_operations_1h",
            "Hour",
            3600,
            history,
            {one.service: (one.hours, one.failed_hours) for one in chosen},
        )
        hours = LOADED_FROM // 60
        early = {
            one.service: (
                one.minutes[:LOADED_FROM].reshape(hours, 60, -1).sum(1),
                one.failed_minutes[:LOADED_FROM].reshape(hours, 60).sum(1),
            )
            for one in chosen
        }
        self._load("clew_operations_1h", "Hour", 3600, self.week, early)
        minutes = slice(LOADED_FROM, LAST)
        self._load(
            "clew_operations_1m",
            "Minute",
            60,
            self.week + LOADED_FROM * 60,
            {one.service: (one.minutes[minutes], one.failed_minutes[minutes]) for one in chosen},
        )
        self._deploy(history, chosen)

    def found(self) -> dict[tuple[str, str], float]:
        """The first minute of the week at which the watcher has a finding, by service and
        measure."""
        now = self.week + FIRST * 60 + SETTLED_AFTER
        statements = settler_statements(self._store)
        watched = WatchedSeries(statements)
        watcher = Watcher(
            statements,
            watched,
            Rulebook(statements, False, None),
            AlertRecords(statements),
            Silences(statements),
            Notes(statements),
            Outbox(statements),
            WatcherProgress(statements, False, lambda: now),
            Learner(statements, watched),
            Inputs(lambda: now, lambda: ()),
        )
        watcher.watch(Running())
        now = self.week + LAST * 60 + SETTLED_AFTER
        watcher.watch(Running())
        found: dict[tuple[str, str], float] = {}
        with self._store.client() as client:
            rows = client.query(CHANGES).result_rows
        for service, measure, at in rows:
            found[service, measure] = (at - self.week) / 60 - 1
        return found

    def _load(
        self,
        table: str,
        time: str,
        step: int,
        start: float,
        series: Mapping[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    ) -> None:
        """Insert histograms as rollups, one series after the other: each request is a duration."""
        for service, (counts, failed) in series.items():
            rows = [
                (
                    datetime.fromtimestamp(start + place * step, UTC),
                    service,
                    int(bad),
                    list(map(int, histogram)),
                )
                for place, (histogram, bad) in enumerate(zip(counts, failed, strict=True))
                if histogram.any()
            ]
            with self._store.client() as client:
                client.insert("clew_made", rows, database="otel")
            self._command(
                HOURS.format(table=table, time=time, low=LOW, width=self._width, unit=UNIT)
            )
            self._command("TRUNCATE TABLE otel.clew_made")

    def _deploy(self, history: float, chosen: Iterable[Chosen]) -> None:
        rows = [
            (one.service, f"1.{number}", datetime.fromtimestamp(at, UTC))
            for one in chosen
            for number, at in enumerate((history, *(self.week + one.deployments * 60)))
        ]
        with self._store.client() as client:
            client.insert(
                "clew_operations",
                [
                    (service, "GET /", "Server", True, "prod", version, at, at)
                    for service, version, at in rows
                ],
                column_names=[
                    "ServiceName", "SpanName", "SpanKind", "IsRoot", "Environment",
                    "ServiceVersion", "FirstSeen", "LastSeen",
                ],
                database="otel",
            )  # fmt: skip

    def _command(self, sql: str) -> None:
        with self._store.client() as client:
            client.command(sql)


class Running:
    """A Stop that never stops the work."""

    def check(self) -> None:
        pass


# Of the alerts of one series the one of its transaction, and of regressions that of the service.
CHANGES = f"""
SELECT
    JSONExtractString(Verdict, 'labels', 'service') AS service,
    if(startsWith(JSONExtractString(Verdict, 'rule'), '{REGRESSION}'), 'regression',
        JSONExtractString(Verdict, 'labels', 'measure')) AS measure,
    toFloat64(min(At)) AS first
FROM otel.clew_alert_changes FINAL
WHERE State = 'firing'
GROUP BY service, measure
"""


def rows(suite: ModuleType, kind: str, seed: int) -> list[Row]:
    """How many of the findings are the same."""
    chosen = choose(suite, kind, seed)
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"chdb://{directory}/db")
        migrate(store)
        found = Tables(store, suite, chosen).found()
        store.close()
    pairs = [
        (measure, one.found[measure], found.get((one.service, measure), NEVER))
        for one in chosen
        for measure in MEASURES
    ]
    same = [_is_same(*pair) for pair in pairs]
    both = [(a, b) for _, a, b in pairs if np.isfinite(a) or np.isfinite(b)]
    agree = [np.isfinite(a) == np.isfinite(b) for _, a, b in pairs]
    return [
        least(
            f"{kind}: findings of tables and watcher as of arrays, {len(chosen)} series",
            float(np.mean(agree)),
            1.0,
            len(pairs),
            findings=len(both),
            same_time=float(np.mean(same)),
        )
    ]


def _is_same(measure: str, array: float, table: float) -> bool:
    if not (np.isfinite(array) and np.isfinite(table)):
        return bool(np.isfinite(array) == np.isfinite(table))
    return abs(array - table) <= SAME_WITHIN * (60 if measure == "regression" else 1)
