"""What rules are judged by at a time: read from the tables when a rule asks, once for all rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from clew.analysis.alerts.rules import Select
from clew.analysis.detectors.findings import Sensitivity
from clew.analysis.traces.times import HOUR
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.deployments import Deployment
from clew.analysis.watching.minutes import Usual
from clew.analysis.watching.processes import SLOT, WINDOW, Processes, ProcessFinding
from clew.analysis.watching.series import (
    MINUTE,
    MetricSlot,
    Series,
    SeriesKind,
    Slot,
    Used,
    WatchedSeries,
)
from clew.analysis.watching.shifts import Shifted
from clew.analysis.watching.values import ValueFinding, find_values


def kinds_of(select: Select) -> tuple[SeriesKind, ...]:
    """The kinds of series that a selection means: of those that have what it names, the ones that
    have nothing more."""
    if select.metric is not None:
        return ("process",)
    if select.transaction is not None:
        return ("transaction", "defined")
    if select.dependency is not None:
        return ("dependency",)
    return ("operation",) if select.operation is not None else ("service",)


def whole_minutes(window: float) -> int:
    """A window, in seconds, as those that are judged: in whole minutes."""
    return max(MINUTE, round(window / MINUTE) * MINUTE)


Result = TypeVar("Result")

# Seconds: a deployment is beside a change that began within an hour after it, or two minutes
# before, as minutes are coarse. A change that is noticed began within a day.
DEPLOYED_BEFORE, DEPLOYED_AFTER = 3600.0, 120.0
DEPLOYED_WITHIN = 26 * 3600.0

PROCESSES = "processes"  # the name by which their slots are kept
ProcessSlots = Mapping[int, Mapping[int, Used]]  # by series' id and the slot's begin

SqlRunner = Callable[[str], Sequence[Mapping[str, object]]]
Burned = Mapping[int, tuple[int, int]]  # occurrences and bad ones by window, in seconds


@dataclass
class Evidence:
    """What was stored before `at`, in seconds since 1970, the end of a minute.

    `last_seen`: when each series had its last request. `since`: since when clew has watched;
    before, it knows of no silence. `is_received`: whether telemetry was taken in at that time.
    `usual` and `shifted`: the tests of the minute and of the hour, None while nothing is learned;
    `alerts`: the labels of the alerts that there are, by rule. `last_insert`: when rows were stored
    last; windows after that are empty, and not read. `run_sql` runs a rule's statement under the
    reading role; `hours`: what `regularly` has read, kept from minute to minute;
    `read_deployments`: those of a time; `processes`: what is usual of processes."""

    at: float
    watched: WatchedSeries
    definitions: Sequence[Definition]
    last_seen: Mapping[Series, float]
    since: float = 0.0
    is_received: bool = True
    usual: Usual | None = None
    shifted: Shifted | None = None
    alerts: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    last_insert: float = float("inf")
    zone: str = "UTC"
    run_sql: SqlRunner = lambda sql: ()
    hours: dict[tuple[str, float], Any] = field(default_factory=dict)
    read_deployments: Callable[[float, float], Sequence[Deployment]] = lambda start, end: ()
    processes: Processes | None = None

    def __post_init__(self) -> None:
        self.last_seen = {self.named(series): seen for series, seen in self.last_seen.items()}
        self._slots: dict[float, list[Slot]] = {}

    @cached_property
    def names(self) -> dict[str, str]:
        """The names of defined transactions by id."""
        return {definition.id: definition.name for definition in self.definitions}

    def tracked(self, rule: str) -> Sequence[Mapping[str, str]]:
        """The labels of the rule's alerts."""
        return self.alerts.get(rule, ())

    def place(self, labels: Mapping[str, str]) -> int | None:
        """The place among the learned series of the one with these labels, `measure` apart."""
        if self.usual is None:
            return None
        plain = {name: value for name, value in labels.items() if name != "measure"}
        return self._places.get(frozenset(plain.items()))

    @cached_property
    def _places(self) -> dict[frozenset[tuple[str, str]], int]:
        assert self.usual is not None
        return {
            frozenset(self.named(series).labels.items()): place
            for place, series in enumerate(self.usual.learned.series)
        }

    def deployment(self, series: Series, began: float) -> Deployment | None:
        """The deployment of a series' service beside a change that began then, if there is one."""
        for deployment in reversed(self._deployments):
            is_same = (deployment.service, deployment.environment) == (
                series.service,
                series.environment,
            )
            if is_same and -DEPLOYED_AFTER <= began - deployment.at <= DEPLOYED_BEFORE:
                return deployment
        return None

    @cached_property
    def _deployments(self) -> Sequence[Deployment]:
        return self.read_deployments(self.at - DEPLOYED_WITHIN, self.at)

    def slots(self, window: float) -> list[Slot]:
        """What each series did in the whole minutes of a window before `at`, as one slot."""
        seconds = whole_minutes(window)
        if self.at - seconds > self.last_insert:
            return []
        if seconds not in self._slots:
            slots = self.watched.slots(self.at - seconds, self.at, seconds)
            self._slots[seconds] = [replace(slot, series=self.named(slot.series)) for slot in slots]
        return self._slots[seconds]

    def in_tables(self, series: Series) -> Series:
        """The series as the tables name it: the opposite of `named`."""
        if series.kind != "defined":
            return series
        ids = {definition.name: definition.id for definition in self.definitions}
        return replace(series, name=ids.get(series.name, series.name))

    def named(self, series: Series) -> Series:
        """The series, if it is of a defined transaction with the definition's name."""
        return series.named(self.names)

    def burned(self, definition: Definition, windows: Sequence[int]) -> dict[str, Burned]:
        """Occurrences and bad ones of a defined transaction in windows (seconds) before `at`, by
        environment."""
        slo = definition.slo
        latency = float("inf") if slo is None or slo.latency_ms is None else slo.latency_ms * 1e6
        counts = self.watched.burned(self.at, {definition.id: latency}, windows)
        return {environment: burned for (_, environment), burned in counts.items()}

    def metric(self, name: str, window: float, step: int) -> list[MetricSlot]:
        """A metric's streams in a window (seconds) before `at`, in slots of `step` seconds."""
        return self.watched.metric(name, self.at - window, self.at, step)

    def metric_hours(self, name: str, count: int) -> list[MetricSlot]:
        """A metric's streams in the last `count` whole hours. Read once an hour."""
        end = self.at // HOUR * HOUR
        return self.regularly(
            f"metric {name}", lambda: self.watched.metric(name, end - count * HOUR, end, HOUR)
        )

    def process_findings(self, sensitivity: Sensitivity) -> Sequence[ProcessFinding]:
        """The series of processes that use more than ever. Read every five minutes, of which the
        slots before are known."""
        processes, end = self.processes, self.at // SLOT * SLOT
        if processes is None:
            return ()
        earlier: ProcessSlots | None = self.hours.get((PROCESSES, end - SLOT))

        def read() -> ProcessSlots:
            if earlier is None:
                return self.watched.process_slots(end - WINDOW, end)
            newest = self.watched.process_slots(end - SLOT, end)
            begin = end - WINDOW
            return {
                series: {at: value for at, value in earlier.get(series, {}).items() if at >= begin}
                | newest.get(series, {})
                for series in {*earlier, *newest}
            }

        return processes.findings(self.regularly(PROCESSES, read, SLOT), end, sensitivity)

    @cached_property
    def value_findings(self) -> Sequence[ValueFinding]:
        """Values of attributes whose requests are slow, of series that are known for a short
        time."""
        if self.usual is None:
            return ()
        usual = self.usual
        return find_values(self.watched.statements, usual.learned, usual.recent, self.at)

    def regularly(self, name: str, read: Callable[[], Result], every: int = HOUR) -> Result:
        """What is read once an hour, or every so many seconds, by a name."""
        at = self.at // every * every
        if (name, at) not in self.hours:
            for old in [key for key in self.hours if key[0] == name or key[1] < self.at - HOUR]:
                del self.hours[old]
            self.hours[name, at] = read()
        result: Result = self.hours[name, at]
        return result

    def selected(self, select: Select, window: float) -> list[Slot]:
        """The slots of the series that a rule selects."""
        kinds = kinds_of(select)
        return [
            slot
            for slot in self.slots(window)
            if slot.series.kind in kinds and select.matches(slot.series.labels)
        ]
