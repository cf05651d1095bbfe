"""Alerts: the watcher, which judges the rules, and the deliverer, which tells of what it finds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.outbox import Outbox
from clew.analysis.alerts.records import AlertRecords
from clew.analysis.alerts.silences import Silences
from clew.analysis.traces.settling import settler_statements
from clew.analysis.watching.calls import read_calls
from clew.analysis.watching.diagnoser import LIMITS, Diagnoser
from clew.analysis.watching.evidence import SqlRunner
from clew.analysis.watching.learner import Learner
from clew.analysis.watching.progress import WatcherProgress
from clew.analysis.watching.series import WatchedSeries
from clew.analysis.watching.watcher import Inputs, Watcher
from clew.cli.parts.shared import Shared
from clew.delivery.addresses import Networks
from clew.delivery.deliverer import Deliverer
from clew.delivery.heartbeat import HeartbeatSender
from clew.delivery.senders import Sender
from clew.storage import Sessions, StorageError
from clew.storage.statements import Statements

PATIENCE = 0.5  # seconds for each of the two threads at the end
SQL_LIMITS = {"max_execution_time": "2", "max_result_rows": "1000"}
CATCH_UP = 5.0  # seconds that the watcher waits for what was received


@contextlib.asynccontextmanager
async def alerts(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Judge the rules of alerts and deliver what is found, while this is entered."""
    statements = settler_statements(shared.store)
    outbox_statements = settler_statements(shared.store)
    diagnoses = Statements(shared.store, LIMITS)
    diagnoser = Diagnoser(
        diagnoses,
        Notes(diagnoses),
        shared.registry.definitions,
        time.time,
        lambda: deliverer.wake(),
    )
    deliverer = Deliverer(
        Outbox(outbox_statements),
        lambda: shared.rulebook.current().all.receivers,
        Sender(Networks(shared.settings.alert_networks)),
        time.time,
        diagnoser,
    )
    watched = WatchedSeries(statements)
    watcher = Watcher(
        statements,
        watched,
        shared.rulebook,
        AlertRecords(statements),
        Silences(statements),
        Notes(statements),
        Outbox(statements),
        WatcherProgress(statements, shared.store.shared, time.time),
        Learner(statements, watched, shared.settings.watch_limit),
        replace(_inputs(shared), diagnose=diagnoser.ask),
        deliverer.wake,
    )
    heartbeat = HeartbeatSender(
        lambda: shared.rulebook.current().all.heartbeat,
        watcher.lag,
        Sender(Networks(shared.settings.alert_networks)),
        time.time,
    )
    shared.events.on_stopping(watcher.stop)
    shared.events.on_stopping(statements.stop)
    shared.events.on_stopping(diagnoses.stop)
    heartbeat.start()
    for worker in (watcher, deliverer, diagnoser):
        shared.pauses.register(_Paused(worker))
        worker.start()
    try:
        yield {}
    finally:
        if not await asyncio.to_thread(watcher.close, PATIENCE):
            shared.stuck.set()
        await asyncio.to_thread(diagnoser.close, PATIENCE)
        await asyncio.to_thread(heartbeat.close, PATIENCE)
        # It may wait for a receiver, which holds up nothing: it only must not write afterwards.
        if not await asyncio.to_thread(deliverer.close, PATIENCE):
            outbox_statements.stop()


def _inputs(shared: Shared) -> Inputs:
    last_insert = time.time()

    def inserted(signal: str) -> None:
        nonlocal last_insert
        if signal == "traces":
            last_insert = time.time()

    shared.events.on_inserted(inserted)
    calls = settler_statements(shared.store)
    return Inputs(
        time.time,
        shared.registry.definitions,
        lambda: float("inf") if shared.store.shared else last_insert,
        lambda: shared.freshness.catch_up_everything(CATCH_UP),
        shared.freshness.accepts,
        _sql_runner(shared),
        lambda at: read_calls(calls, at),
        shared.endpoints.get("api", ""),
    )


def _sql_runner(shared: Shared) -> SqlRunner:
    """Runs the statements of rules under the reading role, within its limits and SQL_LIMITS."""
    if not shared.store.embedded:

        def refuse(sql: str) -> Sequence[Mapping[str, object]]:
            raise StorageError("rules with sql are judged by the embedded engine only")

        return refuse
    sessions = Sessions(shared.store)

    def run(sql: str) -> Sequence[Mapping[str, object]]:
        with sessions.open(sql, settings=SQL_LIMITS) as session:
            lines = b"".join(session.read("JSONEachRow")).splitlines()
        return [json.loads(line) for line in lines]

    return run


class _Paused:
    """A worker as a Writer: it leaves nothing in part."""

    def __init__(self, worker: Watcher | Deliverer | Diagnoser) -> None:
        self._worker = worker

    def paused(self, reloaded_within: float | None = None) -> AbstractContextManager[None]:
        return self._worker.paused()
