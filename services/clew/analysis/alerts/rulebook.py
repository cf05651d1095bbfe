"""The rules in force: those of a file, and those that came over the API.

The file alone names receivers; both may have rules, routes, budgets and windows, which count
together. Both are stored by revision, so that every process on a database sees the same ones. The
file is read again whenever it changes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from clew.analysis import documents, queries
from clew.analysis.alerts.rules import AlertsFile, Rules, read_file
from clew.analysis.documents import DocumentError, DocumentProblem
from clew.analysis.documents.files import DocumentFile
from clew.analysis.transactions.registry import RevisionConflict
from clew.storage import StorageError
from clew.storage.rows import Rows as TableRows
from clew.storage.statements import Statements

logger = logging.getLogger(__name__)

Origin = Literal["api", "file"]
REFRESH_AFTER = 3.0  # seconds after which a shared database is read again
COLUMNS = {"Revision": "UInt64", "Origin": "String", "Document": "String"}
# Of two documents that count together, these lists are put one behind the other.
LISTS = ("watch", "regressions", "budgets", "rules", "route", "maintenance")


@dataclass(frozen=True)
class RuleSet:
    """The rules at a time. `revision`: the time of the API's last change in nanoseconds, 0 before
    the first one; `api`: what came over the API; `file`: the file's, and the receivers; `all`: both
    together."""

    revision: int = 0
    api: Rules = field(default_factory=Rules)
    file: AlertsFile = field(default_factory=AlertsFile)
    all: AlertsFile = field(default_factory=AlertsFile)


class Rulebook:
    """Keeps the rules in force at hand. Thread-safe.

    With a `file`, its rules are stored at once. Raises DocumentError if it cannot be used, or if
    the API's rules name a receiver that it lacks. `check` raises it for rules that are not to be
    stored; those that are stored already stay."""

    def __init__(
        self,
        statements: Statements,
        shared: bool,
        file: Path | None = None,
        check: Callable[[Rules], None] = lambda rules: None,
    ) -> None:
        self.file = file
        self._check = check
        self._statements = statements
        self._shared = shared
        self._lock = threading.RLock()
        self._current = self._read()
        self._read_at = time.monotonic()
        document = DocumentFile(file, "the rules of alerts", self._load)
        self.reload_if_changed = document.reload_if_changed
        self.watching = document.watching

    def current(self) -> RuleSet:
        """The rules in force."""
        with self._lock:
            if self._shared and time.monotonic() - self._read_at > REFRESH_AFTER:
                self._read_at = time.monotonic()
                try:
                    self._current = self._read()
                except StorageError as error:
                    logger.warning("the rules of alerts stay as they are: %s", error)
            return self._current

    def replace(self, rules: Rules, expected: Sequence[int] | None = None) -> RuleSet:
        """Replace the API's rules. Raises RevisionConflict if the revision in force is none of the
        `expected` ones; DocumentError if the rules do not go with the file's; StorageError."""
        with self._lock:
            self._current = self._read()
            if expected is not None and self._current.revision not in expected:
                raise RevisionConflict(f"the revision in force is {self._current.revision}")
            self._store("api", rules)
            return self._current

    def _load(self, file: Path) -> None:
        with self._lock:
            self._store("file", read_file(file))

    def _read(self) -> RuleSet:
        stored = {row["origin"]: row for row in self._statements.rows(queries.ALERT_RULES)}
        api, file = Rules(), AlertsFile()
        if "api" in stored:
            api = _read_stored("api", stored["api"]["document"], Rules)
        if "file" in stored:
            file = _read_stored("file", stored["file"]["document"], AlertsFile)
        revision = stored["api"]["revision"] if "api" in stored else 0
        try:
            return RuleSet(revision, api, file, _together(api, file))
        except DocumentError as error:
            logger.error("%s\nonly the rules of the file count", error)
            return RuleSet(revision, api, file, file)

    def _store(self, origin: Origin, rules: Rules) -> None:
        """Store one of the two documents if it differs from the one in force."""
        before = self._current
        parts = (rules, before.file) if origin == "api" else (before.api, rules)
        together = _together(*parts)
        if parts == (before.api, before.file):
            return
        self._check(rules)
        revision = max(time.time_ns(), before.revision + 1)
        text = json.dumps(rules.document, ensure_ascii=False).encode()
        row = (revision, origin.encode(), text)
        self._statements.insert_rows(TableRows("clew_alert_rules", COLUMNS, [row]))
        is_api = origin == "api"
        api, file = parts
        assert isinstance(file, AlertsFile)
        self._current = RuleSet(revision if is_api else before.revision, api, file, together)
        logger.info("%d rules of alerts from the %s", len(rules.rules), origin)


def _read_stored(origin: Origin, text: str, model: type[Any]) -> Any:
    """A stored document; an empty one, and a line in the log, for one that cannot be read, such as
    one that a newer clew wrote."""
    try:
        return documents.read(text.encode(), "json", model, f"stored rules of the {origin}")
    except DocumentError as error:
        logger.error("%s", error)
        return model()


def _together(api: Rules, file: Rules) -> AlertsFile:
    """The file's document with the API's lists. Raises DocumentError."""
    document, more = file.document, api.document
    for name in LISTS:
        if name in more:
            document[name] = [*more[name], *document.get(name, [])]
    for name in ("zone", "defaults"):
        if name in more and name not in document:
            document[name] = more[name]
    try:
        return AlertsFile.model_validate(document)
    except ValidationError as error:
        problems = [
            DocumentProblem(None, "", str(details["msg"]).removeprefix("Value error, "))
            for details in error.errors(include_url=False, include_input=False)
        ]
        raise DocumentError("the rules of the file and of the API together", problems) from error
