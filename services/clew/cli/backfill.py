"""`clew backfill`: applies the definitions in force to the stored traces, and first brings rows of
settled traces up to date that are from before columns which rows have since.

The clew that runs on the data directory does the work; when none runs, this process does. Other
work goes first: after each step it rests for as long as the step took.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from clew.analysis import Occurrences, Registry
from clew.analysis.traces.resettling import settle_older_rows
from clew.analysis.traces.settling import Settling, settler_statements
from clew.api.parameters import parse_time, sql_time
from clew.api.problems import Problem
from clew.cli import control
from clew.cli.opening import InUse, only_one, open_store
from clew.cli.settings import Settings, UsageError
from clew.storage import StorageError, Store, migrate

logger = logging.getLogger(__name__)

ALL = ("1970-01-01T00:00:00Z", "2106-01-01T00:00:00Z")


def backfill(
    settings: Settings, start: str | None, end: str | None, transaction: str | None
) -> None:
    """Apply the definitions, or the one with the id `transaction`, to the traces that begin from
    `start` until `end` (RFC 3339, or relative such as -7d); progress goes to stderr. Raises
    UsageError."""
    now = time.time_ns()
    try:
        first = sql_time(parse_time(start or ALL[0], now, "--start"))
        last = sql_time(parse_time(end or ALL[1], now, "--end"))
    except Problem as error:
        raise UsageError(str(error.detail)) from error
    request = {"ask": "backfill", "start": first, "end": last, "only": transaction}
    reached = last
    try:
        for progress in _steps(settings, request):
            if "error" in progress:
                raise UsageError(f"backfill: {progress['error']}")
            reached = progress["reached"]
            _show(progress)
    except (KeyboardInterrupt, ConnectionError, ValueError) as error:
        _end_line()
        raise UsageError(
            f"stopped; the traces that begin from {reached} on are done: "
            f"--end {reached.replace(' ', 'T')}Z goes on from there"
        ) from error
    _end_line()


def answering(store: Store, occurrences: Occurrences, registry: Registry) -> control.Answer:
    """Does the work in the running platform, and sends a line for each step of it."""

    async def answer(
        request: control.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        steps = _work(store, occurrences, registry, request)
        disconnected = asyncio.ensure_future(reader.read())
        logger.info("the definitions are being applied to what is stored")
        try:
            while not disconnected.done():
                began = time.monotonic()
                try:
                    progress = await asyncio.to_thread(next, steps, None)
                except StorageError as error:
                    await control.send_line(writer, {"error": str(error)})
                    return
                if progress is None:
                    return
                await control.send_line(writer, progress)
                await asyncio.wait([disconnected], timeout=time.monotonic() - began)
        finally:
            disconnected.cancel()

    return answer


def _steps(settings: Settings, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        if settings.dsn.startswith("chdb:"):
            try:
                stack.enter_context(only_one(settings.data))
            except InUse:
                yield from stack.enter_context(_request(settings, request))
                return
        store = stack.enter_context(contextlib.closing(open_store(settings)))
        migrate(store)
        registry = Registry(store, settings.transactions)
        occurrences = Occurrences(store, registry.definitions)
        began = time.monotonic()
        for progress in _work(store, occurrences, registry, request):
            yield progress
            time.sleep(time.monotonic() - began)
            began = time.monotonic()


@contextlib.contextmanager
def _request(settings: Settings, request: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
    try:
        stack = contextlib.ExitStack()
        answers = stack.enter_context(control.request_lines(settings.data, request))
    except OSError as error:
        raise UsageError(
            f"the clew that runs on {settings.data} does not answer: {error}"
        ) from error
    with stack:
        yield answers


def _work(
    store: Store, occurrences: Occurrences, registry: Registry, request: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    only = request["only"]
    known = [definition.id for definition in registry.definitions()]
    if only is not None and only not in known:
        yield {"error": f"there is no definition {only!r}; there are: {', '.join(known) or 'none'}"}
        return
    if only is None:
        statements = settler_statements(store)
        settling = Settling(store, statements)
        older = settle_older_rows(settling, statements, request["start"], request["end"])
        yield from map(asdict, older)
    yield from map(asdict, occurrences.backfill(request["start"], request["end"], only))


def _show(progress: dict[str, Any]) -> None:
    print(
        f"\r{progress['traces']} of {progress['total']} traces, back to {progress['reached'][:19]}",
        end="" if sys.stderr.isatty() else "\n",
        file=sys.stderr,
        flush=True,
    )


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
