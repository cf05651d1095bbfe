"""Answers to commands on the same machine, over a socket in the data directory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

from clew.cli import backfill, backup
from clew.cli import control as commands
from clew.cli.parts.shared import Shared

CAUGHT_UP_WITHIN = 10.0  # seconds that a backup waits for what was received before it


@contextlib.asynccontextmanager
async def control(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Answer `clew backup` and `clew backfill`, while this is entered; on a server they need no
    answer."""
    if not shared.store.embedded:
        yield {}
        return

    @contextlib.contextmanager
    def paused() -> Iterator[None]:
        shared.freshness.catch_up_everything(CAUGHT_UP_WITHIN)
        with shared.pauses.paused(backup.RELOADED_WITHIN):
            yield

    answers = {
        "backup": backup.answering(shared.store, paused),
        "backfill": backfill.answering(shared.store, shared.occurrences, shared.registry),
    }
    async with commands.serve(shared.settings.data, answers):
        yield {}
