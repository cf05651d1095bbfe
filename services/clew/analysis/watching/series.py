"""The series that are watched, read from the tables by the minute and by the hour.

`clew_watch_1m` has the last minutes of all operations; `clew_watch_1h` the hours of every series,
which `fill_hours` computes from the rollups once an hour is over, and again when late rows came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clew.analysis import queries
from clew.analysis.traces.times import HOUR, datetime_text
from clew.analysis.watching.process_metrics import METRICS
from clew.storage.statements import Statements

SeriesKind = Literal["transaction", "defined", "operation", "service", "dependency", "process"]
MINUTE = 60  # seconds
# The quantiles of durations that watch_minutes.sql and watch_hours.sql compute.
LEVELS = (*(level / 100 for level in range(5, 100, 5)), 0.98, 0.99)
MAX_NAMES = 20_000
MAX_METRIC_SLOTS = 200_000
HOURS_AT_ONCE = 24 * HOUR  # seconds; of one statement that fills hours

Numbers = npt.NDArray[np.float64]
NO_LEVELS: Numbers = np.full(len(LEVELS), np.nan)


@dataclass(frozen=True)
class Series:
    """What is watched. `id` is the same everywhere and for good: cityHash64 of the other fields.

    kind         service                  name
    transaction  of the root span         its operation
    defined      ''                       the id of the definition
    operation    the service              the span's name
    service      the service              ''
    dependency   the service that calls   database, external host or queue
    process      the service              the metric"""

    id: int
    kind: SeriesKind
    environment: str
    service: str
    name: str

    def named(self, names: Mapping[str, str]) -> Series:
        """The series; if it is of a defined transaction, with the definition's name. `names`: those
        of definitions, by id."""
        if self.kind != "defined":
            return self
        return replace(self, name=names.get(self.name, self.name))

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which rules select it and alerts are named."""
        labels = {"environment": self.environment, "service": self.service}
        match self.kind:
            case "transaction":
                labels |= {
                    "transaction": f"{self.service}: {self.name}",
                    "operation": self.name,
                }
            case "defined":
                labels["transaction"] = self.name
            case "operation" | "dependency":
                labels[self.kind] = self.name
            case "process":
                labels["metric"] = self.name
        return {name: value for name, value in labels.items() if value}


@dataclass(frozen=True)
class Slot:
    """What a series did in a time, mostly a minute, which begins at `at`, in seconds since 1970.
    `levels`: the durations in nanoseconds at LEVELS; `value` and `value_lost`: sums of business
    value."""

    series: Series
    at: int
    count: int
    errors: int
    levels: Numbers
    value: float = 0.0
    value_lost: float = 0.0

    def quantile(self, level: float) -> float:
        """The duration at one of LEVELS, in seconds; NaN without requests."""
        return float(self.levels[LEVELS.index(level)]) / 1e9 if self.count else float("nan")

    def slower_than(self, duration: float) -> float:
        """How many requests took longer than `duration` nanoseconds, from the distribution's
        quantiles: exact at a quantile, interpolated between two of them."""
        if not self.count:
            return 0.0
        below = np.interp(duration, self.levels, LEVELS, left=0.0, right=1.0)
        return float(self.count * (1.0 - below))


@dataclass(frozen=True)
class MetricSlot:
    """A stream of a metric in a time that begins at `at`, in seconds since 1970. `labels`: its
    attributes, sorted; `value` None: a rate of a single point."""

    service: str
    environment: str
    labels: tuple[tuple[str, str], ...]
    at: float
    value: float | None


@dataclass(frozen=True)
class History:
    """The hours of a series, one element an hour from `start` on, in seconds since 1970. Hours
    without a row have a count of 0 and quantiles that are NaN. `levels`: [hours, quantiles that
    were asked for], nanoseconds."""

    series: Series
    start: int
    count: Numbers
    errors: Numbers
    levels: Numbers
    value: Numbers
    value_lost: Numbers
    value_squares: Numbers
    worst: Numbers


class Sized(NamedTuple):
    """A series with its requests, or slots of five minutes of a process, and how many series there
    are in all."""

    series: Series
    requests: float
    total: int


class Used(NamedTuple):
    """What the instances of a service used: their mean, that of the one that used most, its name,
    and the mean of the others, nan without any."""

    mean: float
    worst: float
    instance: str
    others: float


class WatchedSeries:
    """Reads and fills the tables of the watcher. For one thread; raises StorageError."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        self._streams: dict[int, tuple[int, str]] = {}  # of processes: id of the series, instance

    def slots(self, start: float, end: float, step: int = MINUTE) -> list[Slot]:
        """What all series did in [start, end), whole minutes, in slots of `step` seconds, in the
        order of their times. Series without requests have none."""
        rows = self.statements.rows(
            queries.WATCH_MINUTES, start=datetime_text(start), end=datetime_text(end), step=step
        )
        return [
            Slot(
                _series(row),
                row["at"],
                row["count"],
                row["errors"],
                np.asarray(row["levels"], np.float64),
                row["value"],
                row["value_lost"],
            )
            for row in rows
        ]

    def last_seen(self, end: float) -> dict[Series, float]:
        """When each series that had a request in the last three days had its last one before
        `end`: the start of that minute."""
        rows = self.statements.rows(queries.WATCH_LAST_SEEN, end=datetime_text(end))
        return {_series(row): float(row["at"]) for row in rows}

    def burned(
        self, end: float, ids: Mapping[str, float], windows: Sequence[int]
    ) -> dict[tuple[str, str], dict[int, tuple[int, int]]]:
        """Occurrences, and bad ones, in each of the windows before `end`, by the definition's id
        and the environment. `ids`: the longest duration of a good occurrence in nanoseconds, by
        the definition's id."""
        rows = self.statements.rows(
            queries.WATCH_BURN,
            end=datetime_text(end),
            ids=list(ids),
            latencies=list(ids.values()),
            windows=list(windows),
        )
        return {
            (row["id"], row["environment"]): dict(
                zip(windows, zip(row["totals"], row["bad"], strict=True), strict=True)
            )
            for row in rows
        }

    def metric(self, name: str, start: float, end: float, step: int) -> list[MetricSlot]:
        """A metric in [start, end), by stream and then by slots of `step` seconds."""
        rows = self.statements.rows(
            queries.WATCH_METRIC,
            metric=name,
            start=datetime_text(start),
            end=datetime_text(end),
            step=step,
            limit=MAX_METRIC_SLOTS,
        )
        return [
            MetricSlot(
                row["service"],
                row["environment"],
                tuple(sorted(row["attributes"].items())),
                float(row["at"]),
                row["number"],
            )
            for row in rows
        ]

    def fill_hours(self, start: float, end: float, version: int) -> None:
        """Compute the whole hours that [start, end) touches. `version` is greater than that of any
        run before; a run that is repeated leaves the same rows."""
        hour = int(start) // HOUR * HOUR
        while hour < end:
            until = min(hour + HOURS_AT_ONCE, -(-int(end) // HOUR) * HOUR)
            window = {"start": datetime_text(hour), "end": datetime_text(until)}
            self.statements.insert(
                "clew_watch_1h", queries.WATCH_HOURS, COLUMNS, **window, version=version
            )
            self.statements.insert(
                "clew_watch_1h",
                queries.WATCH_PROCESS_HOURS,
                COLUMNS,
                **window,
                version=version,
                metrics=",".join(METRICS),
                service="",
            )
            hour = until

    def process_slots(self, start: float, end: float) -> dict[int, dict[int, Used]]:
        """What processes used in [start, end), by the series' id and the begin of the slot of five
        minutes."""
        window = {
            "metrics": ",".join(METRICS),
            "start": datetime_text(start),
            "end": datetime_text(end),
        }
        rows = self.statements.rows(queries.WATCH_PROCESS_SLOTS, **window)
        if any(row["stream"] not in self._streams for row in rows):
            known = self.statements.rows(queries.WATCH_PROCESS_STREAMS, service="", **window)
            self._streams = dict.fromkeys((row["stream"] for row in rows), (0, ""))
            self._streams |= {row["stream"]: (row["series"], row["instance"]) for row in known}
        used: dict[int, dict[int, dict[str, float]]] = {}
        for row in rows:
            series, instance = self._streams[row["stream"]]
            if series and not math.isnan(row["amount"]):
                instances = used.setdefault(series, {}).setdefault(row["at"], {})
                instances[instance] = instances.get(instance, 0.0) + row["amount"]
        return {
            series: {at: _used(one) for at, one in slots.items()} for series, slots in used.items()
        }

    def largest(self, start: float, end: float, limit: int) -> list[Sized]:
        """The series with the most value and requests in [start, end), at most `limit`."""
        rows = self.statements.rows(
            queries.WATCH_SERIES,
            start=datetime_text(start),
            end=datetime_text(end),
            limit=limit,
        )
        return [Sized(_series(row), row["slots"], row["total"]) for row in rows]

    def names(self, start: float, end: float, service: str = "") -> list[Series]:
        """The series that had requests in [start, end), of a service or of all."""
        rows = self.statements.rows(
            queries.WATCH_NAMES,
            start=datetime_text(start),
            end=datetime_text(end),
            service=service,
            limit=MAX_NAMES,
        )
        return [_series(row) for row in rows]

    def history(
        self, start: float, end: float, levels: Sequence[float], ids: Iterable[int] = ()
    ) -> list[History]:
        """The hours in [start, end) of the series with these ids, of all if there are none.
        `levels`: which of LEVELS to read."""
        first = int(start) // HOUR * HOUR
        length = max(0, -(-(int(end) - first) // HOUR))
        rows = self.statements.rows(
            queries.WATCH_HISTORY,
            start=datetime_text(first),
            end=datetime_text(end),
            places=[LEVELS.index(level) + 1 for level in levels],
            series=list(ids),
        )
        return [_history(row, first, length, len(levels)) for row in rows]


COLUMNS = (
    "Hour, Series, Kind, Environment, ServiceName, Name, Count, Errors, Levels, Value, "
    "ValueLost, ValueSquares, Worst, Version"
)


def _used(instances: Mapping[str, float]) -> Used:
    total, count = sum(instances.values()), len(instances)
    instance = max(instances, key=lambda name: instances[name])
    worst = instances[instance]
    others = (total - worst) / (count - 1) if count > 1 else math.nan
    return Used(total / count, worst, instance, others)


def _series(
    row: queries.WatchMinutesRow
    | queries.WatchHistoryRow
    | queries.WatchLastSeenRow
    | queries.WatchNamesRow
    | queries.WatchSeriesRow,
) -> Series:
    kind: SeriesKind = row["kind"]  # type: ignore[assignment]
    return Series(row["series"], kind, row["environment"], row["service"], row["name"])


def _history(row: queries.WatchHistoryRow, start: int, length: int, levels: int) -> History:
    places = (np.asarray(row["hours"], np.int64) - start) // HOUR

    def spread(values: Sequence[float]) -> Numbers:
        numbers = np.zeros(length)
        numbers[places] = values
        return numbers

    durations = np.full((length, levels), np.nan)
    durations[places] = row["levels"]
    return History(
        _series(row),
        start,
        spread(row["counts"]),
        spread(row["errors"]),
        durations,
        spread(row["values"]),
        spread(row["values_lost"]),
        spread(row["squares"]),
        spread(row["worst"]),
    )
