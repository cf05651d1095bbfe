"""A watcher over the model of the shop: minutes of event time, as fast as they can be judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shop.model import Shop
from shop.telemetry import logs_request, metrics_request, traces_request

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.outbox import Outbox
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.silences import Silences
from clew.analysis.traces.settling import Settling, settler_statements
from clew.analysis.watching.calls import read_calls
from clew.analysis.watching.learner import Learner
from clew.analysis.watching.progress import WatcherProgress
from clew.analysis.watching.series import WatchedSeries
from clew.analysis.watching.watcher import SETTLED_AFTER, Inputs, Watcher
from clew.storage import Ingest, Store
from support.loading import Running, settle
from support.traffic import Loader

RULES = "defaults: {receiver: team}\nreceivers: {team: {webhook: {url: 'https://team.example/'}}}\n"
AT_ONCE = 60  # minutes that are loaded in one insert
TOLD_WITHIN = 10  # minutes


@dataclass(frozen=True)
class Message:
    """What was told of a minute since the shop's start."""

    minute: int
    notification: Notification


class WatchedShop:
    """Loads `minutes` of the shop. `start`: of its first minute, seconds since 1970. `more_rules`:
    of the alerts file, beside who is told."""

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        directory: Path,
        shop: Shop,
        start: float,
        minutes: int,
        more_rules: str = "",
    ) -> None:
        self._start = start
        self.now = start
        loader = Loader(ingest, directory)
        for first in range(0, minutes, AT_ONCE):
            made = [shop.minute() for _ in range(first, min(first + AT_ONCE, minutes))]
            loader.request("traces", traces_request(span for one in made for span in one.spans))
            loader.request("logs", logs_request(log for one in made for log in one.logs))
            loader.request("metrics", metrics_request(p for one in made for p in one.points))
        settle(Settling(store))
        rules = directory / "alerts.yaml"
        rules.write_text(RULES + more_rules)
        statements = settler_statements(store)
        self.records = AlertRecords(statements)
        self.outbox = Outbox(statements)
        watched = WatchedSeries(statements)
        self._watcher = Watcher(
            statements,
            watched,
            Rulebook(statements, False, rules),
            self.records,
            Silences(statements),
            Notes(statements),
            self.outbox,
            WatcherProgress(statements, False, lambda: self.now),
            Learner(statements, watched),
            Inputs(
                lambda: self.now,
                lambda: (),
                calls=lambda at: read_calls(statements, at),
            ),
        )

    def watch(self, minute: int) -> None:
        """Judge the minutes up to this one; the first call begins there."""
        self.now = self._start + 60 * minute + SETTLED_AFTER
        self._watcher.watch(Running())

    def watch_from(self, first: int, last: int) -> None:
        """Judge the minutes between two, soon enough for people to be told."""
        for minute in (*range(first, last, TOLD_WITHIN), last):
            self.watch(minute)

    def messages(self) -> list[Message]:
        """What was told, the oldest first."""
        return [
            Message(round((entry.notification.at - self._start) / 60), entry.notification)
            for entry in self.outbox.waiting()
        ]

    def open(self) -> list[AlertRecord]:
        """The alerts that are open."""
        return [record for record in self.records.all().values() if record.state.is_open]
