"""What the parts of one process know of each other: real objects, made before any part starts.

A part that writes registers with them; a part that reads asks them. Where nothing is registered,
as in `clew serve`, they answer that nothing is known of ingest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from clew.storage.ledger import LedgerRow
from clew.storage.store import Store


class Source(Protocol):
    """What takes telemetry in: the collector of this process."""

    def accepts(self) -> bool:
        """Whether it takes requests."""

    def pending(self) -> list[LedgerRow]:
        """What was received and is not in the ledger's table yet."""


class Freshness:
    """What of the received telemetry cannot be read yet."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def register(self, source: Source) -> None:
        """Ask this source too, from now on."""
        self._sources.append(source)

    def accepts(self) -> bool:
        """Whether every source takes requests."""
        return all(source.accepts() for source in self._sources)

    def pending(self) -> list[LedgerRow]:
        """What the sources have received that is not in the ledger's table yet."""
        return [row for source in self._sources for row in source.pending()]


class Writer(Protocol):
    """What writes to the tables in the background."""

    def paused(self, reloaded_within: float | None = None) -> AbstractContextManager[None]:
        """A context in which nothing is written. With `reloaded_within`, it is entered only once no
        segment is stored in part; raises TimeoutError if that takes longer, in seconds."""


class Pauses:
    """Has every writer of the process stand still: for a backup, or while a day is dropped."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writers: list[Writer] = []

    def register(self, writer: Writer) -> None:
        """Pause this writer too, from now on."""
        self._writers.append(writer)

    @contextmanager
    def paused(self, reloaded_within: float | None = None) -> Iterator[None]:
        """Nothing is written from when this is entered until it is left. Raises TimeoutError, see
        Writer."""
        with ExitStack() as stack:
            for writer in self._writers:
                stack.enter_context(writer.paused(reloaded_within))
            # Last: a writer that is about to stand still may be waiting for it.
            stack.enter_context(self._store.write_lock)
            yield


class Events:
    """What happens in the process: each is a list of callbacks, called in order by whoever causes
    it, on any thread."""

    def __init__(self) -> None:
        self._inserted: list[Callable[[str], None]] = []
        self._shortened: list[Callable[[Sequence[str]], None]] = []
        self._stopping: list[Callable[[], None]] = []

    def on_inserted(self, callback: Callable[[str], None]) -> None:
        """Call back when rows of a signal (traces, logs or metrics) were inserted."""
        self._inserted.append(callback)

    def on_shortened(self, callback: Callable[[Sequence[str]], None]) -> None:
        """Call back with the ids of traces that lost a part, since a day was dropped."""
        self._shortened.append(callback)

    def on_stopping(self, callback: Callable[[], None]) -> None:
        """Call back when the process begins to stop, before any part is closed."""
        self._stopping.append(callback)

    def inserted(self, signal: str) -> None:
        for callback in self._inserted:
            callback(signal)

    def shortened(self, trace_ids: Sequence[str]) -> None:
        for callback in self._shortened:
            callback(trace_ids)

    def stopping(self) -> None:
        for callback in self._stopping:
            callback()
