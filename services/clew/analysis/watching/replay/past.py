"""What was stored of a window, minute by minute, read once for all rules that are replayed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.analysis import queries
from clew.analysis.alerts.rules import Select
from clew.analysis.baselines import Floats
from clew.analysis.traces.times import HOUR, datetime_text
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching import learned
from clew.analysis.watching.evidence import kinds_of
from clew.analysis.watching.series import MINUTE, History, Series, SeriesKind, WatchedSeries
from clew.storage.statements import Statements

MAX_NAMES = 20_000
MAX_SERIES = 50  # of a rule
MAX_SLOTS = 400_000  # of quantiles of a rule, which cost 10 us each
RECENT = 7200  # seconds, whose hours clew_watch_1h may not have yet
QUANTILES = ("p50", "p75", "p95")  # of replay_levels.sql


@dataclass(frozen=True)
class Counts:
    """What a series did in each minute, [minutes]."""

    count: Floats
    errors: Floats
    value: Floats
    value_lost: Floats


class Past:
    """The whole minutes of [start, end), in seconds since 1970. For one thread; raises
    StorageError."""

    def __init__(
        self,
        statements: Statements,
        definitions: Sequence[Definition],
        start: float,
        end: float,
        zone: str = "UTC",
    ) -> None:
        self.start, self.end = int(start) // MINUTE * MINUTE, int(end) // MINUTE * MINUTE
        self.minutes = (self.end - self.start) // MINUTE
        self.definitions = definitions
        self.zone = zone
        self.statements = statements
        self.watched = WatchedSeries(statements)
        self._names: dict[str, list[Series]] = {}
        self._counts: dict[int, Counts] = {}
        self._received: npt.NDArray[np.bool_] | None = None

    def part(self, start: float, end: float) -> Past:
        """A part of the window."""
        return Past(self.statements, self.definitions, start, end, self.zone)

    def select(self, select: Select, limit: int = MAX_SERIES) -> list[Series]:
        """The series that a rule selects, those with the most requests first."""
        matching = [
            series
            for kind in kinds_of(select)
            for series in self._series(kind)
            if select.matches(self.named(series).labels)
        ]
        return matching[:limit]

    def labels(self, series: Series) -> dict[str, str]:
        """The labels of a series' alerts."""
        return self.named(series).labels

    def counts(self, series: Iterable[Series]) -> list[Counts]:
        """What these series did."""
        series = list(series)
        missing = [one for one in series if one.id not in self._counts]
        if missing:
            rows = self.statements.rows(
                queries.REPLAY_MINUTES, **self._window(), **_choice(missing)
            )
            by_id = {row["series"]: row for row in rows}
            for one in missing:
                self._counts[one.id] = self._spread_counts(by_id.get(one.id))
        return [self._counts[one.id] for one in series]

    def levels(
        self, series: Sequence[Series], step: int, limits: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Durations in slots of `step` seconds: [series, slots, p50 p75 p95], nanoseconds, nan
        without requests; and how many requests were slower than `limits` [series, hours of the
        week] nanoseconds, [series, slots]."""
        slots = -(-(self.end - self.start) // step)
        quantiles = np.full((len(series), slots, len(QUANTILES)), np.nan)
        slow = np.zeros((len(series), slots))
        rows = self.statements.rows(
            queries.REPLAY_LEVELS,
            **self._window(),
            **_choice(series),
            step=step,
            limits=[] if limits is None else limits.ravel().tolist(),
            zone=self.zone,
        )
        places = {one.id: place for place, one in enumerate(series)}
        for row in rows:
            at = np.asarray(row["slots"], np.int64)
            quantiles[places[row["series"]], at] = row["quantiles"]
            slow[places[row["series"]], at] = row["slow"]
        return quantiles, slow

    def burned(self, definition: Definition) -> dict[str, tuple[Floats, Floats]]:
        """Occurrences of a defined transaction and bad ones, [minutes], by environment."""
        slo = definition.slo
        latency = float("inf") if slo is None or slo.latency_ms is None else slo.latency_ms * 1e6
        rows = self.statements.rows(
            queries.REPLAY_BURN, **self._window(), id=definition.id, latency=latency
        )
        return {
            row["environment"]: (
                self._spread(row["minutes"], row["totals"]),
                self._spread(row["minutes"], row["bad_ones"]),
            )
            for row in rows
        }

    def histories(
        self, series: Sequence[Series], levels: Sequence[float] = learned.LEVELS
    ) -> list[History]:
        """The hours of the four weeks before the window's end, for learning, of those series that
        have any."""
        end = self.end // HOUR * HOUR
        ids = [one.id for one in series]
        start = end - learned.HOURS * HOUR
        return self.watched.history(start, end, levels, ids) if ids else []

    @property
    def is_received(self) -> npt.NDArray[np.bool_]:
        """In which minutes anything came, by whole hours: else clew may not have run."""
        if self._received is None:
            rows = self.statements.rows(queries.REPLAY_RECEIVED, **self._window())
            hours = {row["hour"] for row in rows}
            times = self.start + MINUTE * np.arange(self.minutes)
            self._received = np.isin(times // HOUR * HOUR, list(hours))
        return self._received

    def _series(self, kind: SeriesKind) -> list[Series]:
        """The series of a kind, those with the most requests first."""
        if kind not in self._names:
            rows = self.statements.rows(
                queries.REPLAY_SERIES, **self._window(), kinds=[kind], limit=MAX_NAMES
            )
            known = [
                Series(row["series"], kind, row["environment"], row["service"], row["name"])
                for row in rows
            ]
            ids = {series.id for series in known}
            recent = self.watched.slots(self.end - RECENT, self.end, RECENT)
            new = [slot.series for slot in recent if slot.series.kind == kind]
            self._names[kind] = known + [series for series in new if series.id not in ids]
        return self._names[kind]

    def named(self, series: Series) -> Series:
        """The series, if it is of a defined transaction with the definition's name."""
        return series.named({definition.id: definition.name for definition in self.definitions})

    def _window(self) -> dict[str, str]:
        return {"start": datetime_text(self.start), "end": datetime_text(self.end)}

    def _spread(self, minutes: Sequence[int], values: Sequence[float]) -> Floats:
        numbers = np.zeros(self.minutes)
        numbers[np.asarray(minutes, np.int64)] = values
        return numbers

    def _spread_counts(self, row: queries.ReplayMinutesRow | None) -> Counts:
        if row is None:
            return Counts(*(np.zeros(self.minutes) for _ in range(4)))
        columns = row["counts"], row["errors"], row["values"], row["values_lost"]
        return Counts(*(self._spread(row["minutes"], column) for column in columns))


def _choice(series: Sequence[Series]) -> dict[str, list[str] | list[int]]:
    """The parameters by which a statement reads these series."""
    is_any_name = any(one.kind == "service" for one in series)
    return {
        "series": [one.id for one in series],
        "services": sorted({one.service for one in series}),
        "names": [] if is_any_name else sorted({one.name for one in series}),
    }
