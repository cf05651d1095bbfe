"""A watcher over stored spans, on a clock of its own, that can be started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.outbox import Outbox
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.silences import Silences
from clew.analysis.alerts.states import State
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.learner import Learner
from clew.analysis.watching.progress import WatcherProgress
from clew.analysis.watching.series import WatchedSeries
from clew.analysis.watching.watcher import SETTLED_AFTER, Inputs, Watcher
from clew.storage import Ingest, StorageError, Store
from clew.storage.rows import Rows
from clew.storage.statements import Statements
from support.loading import Running
from support.traffic import ERROR, MILLISECOND, OK, SECOND, SERVER, Loader, Process, Span

BEGAN = int(time.time()) // 3600 * 3600 - 4 * 3600 + 600  # seconds; what follows is in one hour
PAYMENTS, SHOP = Process("payments", "payments-1"), Process("shop", "shop-1")
RULES = """
defaults: {receiver: team, keep_firing_for: 2m}
rules:
  - {name: payments fail, select: {service: payments}, when: error_rate > 5%, over: 2m, severity: page}
  - {name: shop slow, select: {service: shop}, when: p95 > 500ms, over: 2m}
  - {name: sync silent, select: {operation: sync}, absent: 3h}
  - {name: both, all: [payments fail, shop slow]}
route: [{match: {severity: page}, receiver: oncall, repeat: 10m}]
receivers:
  team: {webhook: {url: "https://team.example/"}}
  oncall: {webhook: {url: "https://oncall.example/"}}
"""


class Crash(StorageError):
    """The process is gone."""


class Crashing(Statements):
    """Statements of a process that is killed before, or just after, one of its writes."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.writes = 0
        self.dies_at = -1
        self.is_written = False

    def insert_rows(self, rows: Rows) -> None:
        self.writes += 1
        if self.writes == self.dies_at and not self.is_written:
            raise Crash
        super().insert_rows(rows)
        if self.writes == self.dies_at:
            raise Crash


class World:
    """A store with spans, a clock, and a watcher that can be started again."""

    def __init__(self, store: Store, ingest: Ingest, directory: Path, rules: str = RULES) -> None:
        self.store = store
        self.now = float(BEGAN)
        self.number = 0
        self.statements = Crashing(store)
        self.loader = Loader(ingest, directory)
        self.file = directory / "alerts.yaml"
        self.file.write_text(rules)
        self.inputs: dict[str, Any] = {}
        self.definitions: tuple[Definition, ...] = ()
        self.limit = 2000  # series
        self.start()

    def start(self) -> None:
        """A watcher that knows nothing but what is stored."""
        statements = self.statements
        self.outbox = Outbox(statements)
        self.records = AlertRecords(statements)
        self.silences = Silences(statements)
        self.notes = Notes(statements)
        watched = WatchedSeries(statements)
        self.watcher = Watcher(
            statements,
            watched,
            Rulebook(statements, False, self.file),
            self.records,
            self.silences,
            self.notes,
            self.outbox,
            WatcherProgress(statements, False, lambda: self.now),
            Learner(statements, watched, self.limit),
            Inputs(lambda: self.now, lambda: self.definitions, **self.inputs),
        )

    def minute(self, *, failing: bool = False, slow: bool = False, quiet: bool = False) -> None:
        """A minute of traffic, and the watcher after it."""
        if not quiet:
            self.loader.spans(self._spans(failing, slow))
        self.now += 60
        self.watch()

    def minutes(self, number: int, *, failing: bool = False, slow: bool = False) -> None:
        """So many of them, loaded at once and watched one after the other."""
        began = self.now
        spans: list[Span] = []
        for passed in range(number):
            self.now = began + 60 * passed
            spans += self._spans(failing, slow)
        self.loader.spans(spans)
        for passed in range(number):
            self.now = began + 60 * (passed + 1)
            self.watch()

    def watch(self) -> None:
        late = self.now + SETTLED_AFTER
        self.now, before = late, self.now
        try:
            self.watcher.watch(Running())
        finally:
            self.now = before

    def _spans(self, failing: bool, slow: bool) -> Iterator[Span]:
        for second in range(0, 60, 3):
            start = int((self.now + second) * SECOND)
            for process, name, duration, status in (
                (PAYMENTS, "POST /charges", 50, ERROR if failing and second % 2 else OK),
                (SHOP, "GET /", 900 if slow else 100, OK),
            ):
                self.number += 1
                yield Span(
                    f"{self.number:032x}", f"{self.number:016x}", "", process, name, SERVER,
                    start, start + duration * MILLISECOND, status=status,
                )  # fmt: skip

    def state(self, rule: str) -> State:
        return self.record(rule).state.state

    def record(self, rule: str) -> AlertRecord:
        (record,) = [each for each in self.records.all().values() if each.rule == rule]
        return record

    def record_of(self, **labels: str) -> AlertRecord:
        (record,) = [
            each for each in self.records.all().values() if labels.items() <= each.labels.items()
        ]
        return record

    def told(self) -> list[tuple[str, str, str]]:
        """Receiver, rule and transition of what is in the outbox, the oldest first."""
        return [
            (entry.receiver, entry.notification.rule, str(entry.notification.transition))
            for entry in self.outbox.waiting()
        ]


def prove(world: World, record: AlertRecord) -> list[dict[str, Any]]:
    """The rows of the verdict's own statement."""
    with world.store.client() as client:
        answer = client.query(record.verdict.sql, parameters=dict(record.verdict.parameters))
        return list(answer.named_results())


HOURS = """
INSERT INTO otel.clew_watch_1h
    (Hour, Series, Kind, Environment, ServiceName, Name, Count, Errors, Levels, Value, ValueLost, ValueSquares, Worst, Version)
SELECT
    toStartOfHour(toDateTime({now:UInt32})) - toIntervalHour(1 + number) AS Hour,
    cityHash64({kind:String}, {environment:String}, {service:String}, {name:String}),
    {kind:String}, {environment:String}, {service:String}, {name:String},
    600, 60 + randNormal(0, 7), arrayMap(x -> toFloat32(Value * (0.97 + 0.003 * x)), range(21)),
    {value:Float64} * exp(randNormal(0, 0.05)) AS Value, 0.1 * Value * exp(randNormal(0, 0.1)), Value * 100, Value, 1
FROM numbers(672)
"""


def remember_hours(
    store: Store,
    now: int,
    kind: str,
    service: str,
    name: str,
    value: float,
    environment: str = "prod",
) -> None:
    """Four weeks of hours of a series before `now`: 600 requests each, a tenth of which failed;
    `value` with 5 % of noise."""
    parameters = {
        "now": now,
        "kind": kind,
        "environment": environment,
        "service": service,
        "name": name,
        "value": value,
    }
    with store.client() as client:
        client.command(HOURS, parameters=parameters)
