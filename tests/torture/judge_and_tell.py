"""Judges stored minutes and tells a webhook, on the clock of the events: in a process to be killed."""

from __future__ import annotations

from multiprocessing.synchronize import Event
from pathlib import Path

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.outbox import Outbox
from clew.analysis.alerts.records import AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.silences import Silences
from clew.analysis.traces.settling import settler_statements
from clew.analysis.watching.learner import Learner
from clew.analysis.watching.progress import WatcherProgress
from clew.analysis.watching.series import MINUTE, WatchedSeries
from clew.analysis.watching.watcher import SETTLED_AFTER, Inputs, Watcher
from clew.delivery.deliverer import Deliverer
from clew.delivery.senders import Sender
from clew.storage import Store
from support.loading import Running
from support.receivers import LOOPBACK


def run(dsn: str, file: Path, begin: float, end: float, is_ready: Event) -> None:
    """Go on where the last one was killed, up to the minute that ends at `end`, in seconds since
    1970. `is_ready` is set before the first minute."""
    now = begin

    def clock() -> float:
        return now

    store = Store(dsn)
    statements = settler_statements(store)
    progress = WatcherProgress(statements, False, clock)
    rulebook = Rulebook(statements, False, file)
    outbox = Outbox(statements)
    watched = WatchedSeries(statements)
    watcher = Watcher(
        statements,
        watched,
        rulebook,
        AlertRecords(statements),
        Silences(statements),
        Notes(statements),
        outbox,
        progress,
        Learner(statements, watched),
        Inputs(clock, lambda: ()),
    )
    deliverer = Deliverer(outbox, lambda: rulebook.current().all.receivers, Sender(LOOPBACK), clock)
    progress.begin(begin)
    is_ready.set()
    now = max(begin, progress.until) + SETTLED_AFTER
    while True:
        watcher.watch(Running())
        deliverer.deliver(Running())
        if progress.until >= end:
            return
        now += MINUTE
