"""What is computed from stored rows: the settler, and the steps that rest on settled traces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager

from clew.analysis import Settler
from clew.analysis.findings.step import Findings
from clew.analysis.steps import Step
from clew.analysis.traces.attributes import Attributes
from clew.analysis.traces.edges import Edges
from clew.analysis.traces.settling import settler_statements
from clew.cli.parts.shared import Shared
from clew.storage import Store
from clew.storage.statements import Statements

QUIET_REST = 60.0  # seconds between passes, while reads ask for what they need
PATIENCE = 0.5  # seconds for the settler: it was told to stop when the process began to


def steps_of(store: Store, statements: Statements) -> Sequence[Step]:
    """The steps over settled traces, in the order in which they run. A new one goes here."""
    return (Edges(statements), Attributes(statements), Findings(statements))


@contextlib.asynccontextmanager
async def analysis(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Settle what is inserted, while this is entered."""
    statements = settler_statements(shared.store)
    steps = steps_of(shared.store, statements)
    rest = QUIET_REST if shared.loads_on_demand else None
    settler = Settler(shared.store, shared.occurrences, statements, steps, rest)

    def inserted(signal: str) -> None:
        if signal in ("traces", "logs"):
            settler.wake()

    shared.events.on_inserted(inserted)
    shared.freshness.register_settler(settler)
    shared.events.on_shortened(settler.requeue)
    shared.events.on_stopping(settler.stop)
    shared.pauses.register(_Paused(settler))
    settler.start()
    try:
        yield {}
    finally:
        if not await asyncio.to_thread(settler.close, PATIENCE):
            shared.stuck.set()


class _Paused:
    """The settler as a Writer: it leaves nothing in part."""

    def __init__(self, settler: Settler) -> None:
        self._settler = settler

    def paused(self, reloaded_within: float | None = None) -> AbstractContextManager[None]:
        return self._settler.paused()
