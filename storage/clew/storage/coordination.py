"""How the parts of one process know of each other: objects that are created before any part starts.

Parts that write register with them. The other one is clew.storage.freshness.Freshness, which parts
that read ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from clew.storage.store import Store


class Writer(Protocol):
    """A background thread that writes to the tables."""

    def paused(self, reloaded_within: float | None = None) -> AbstractContextManager[None]:
        """A context in which nothing is written. With `reloaded_within`, it is entered only once no
        segment is stored in part; raises TimeoutError if that takes longer, in seconds."""


class Pauses:
    """Pauses every writer of the process: for a backup, or while a day is dropped."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writers: list[Writer] = []

    def register(self, writer: Writer) -> None:
        """Add a writer."""
        self._writers.append(writer)

    @contextmanager
    def paused(self, reloaded_within: float | None = None) -> Iterator[None]:
        """A context in which nothing is written, and `reloaded_within` as in Writer. Raises
        TimeoutError."""
        with ExitStack() as stack:
            for writer in self._writers:
                stack.enter_context(writer.paused(reloaded_within))
            # Last: a writer may need this lock before it pauses.
            stack.enter_context(self._store.write_lock)
            yield


class Events:
    """Events of the process. Callbacks are called in the order of their registration, on the thread
    that reports the event."""

    def __init__(self) -> None:
        self._inserted: list[Callable[[str], None]] = []
        self._shortened: list[Callable[[Sequence[str]], None]] = []
        self._stopping: list[Callable[[], None]] = []

    def on_inserted(self, callback: Callable[[str], None]) -> None:
        """Register a callback for inserted rows; it takes the signal (traces, logs or metrics)."""
        self._inserted.append(callback)

    def on_shortened(self, callback: Callable[[Sequence[str]], None]) -> None:
        """Register a callback for dropped days; it takes the ids of traces that lost spans."""
        self._shortened.append(callback)

    def on_stopping(self, callback: Callable[[], None]) -> None:
        """Register a callback for the start of the shutdown, before any part is closed."""
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
