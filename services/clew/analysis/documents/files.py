"""A document of users in a file, which is read again whenever it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clew.analysis.documents.problems import DocumentError
from clew.background import Stop, WatchedFiles, Worker
from clew.storage.errors import StorageError

logger = logging.getLogger(__name__)

CHECK_EVERY = 1.0  # seconds between two checks of the file


class DocumentFile:
    """Hands a file to `load`, which reads and stores it: at once, and when it has changed. `name`:
    what is in it, in the plural. Without a file, nothing happens. Raises what `load` raises."""

    def __init__(self, file: Path | None, name: str, load: Callable[[Path], object]) -> None:
        self._file = file
        self._name = name
        self._load = load
        self._watched = WatchedFiles(file) if file else None
        if file is not None:
            load(file)

    def reload_if_changed(self) -> None:
        """Read the file again if it has changed. If it cannot be used, what is in force stays and
        the log says why."""
        if self._file is None or self._watched is None or not self._watched.changed():
            return
        try:
            self._load(self._file)
        except DocumentError as error:
            logger.error("%s\n%s stay as they are", error, self._name)
        except StorageError as error:
            self._watched.forget()
            logger.error("%s cannot be stored now: %s", self._name, error)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the file while the block runs."""
        if self._file is None:
            yield
            return

        def check(_: Stop) -> float:
            self.reload_if_changed()
            return CHECK_EVERY

        with Worker(self._name, check, f"{self._name} stay as they are").running():
            yield
