"""Rules that do not run: each is logged once, stored for whoever asks, and tried again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from clew.analysis import queries
from clew.storage.rows import Rows
from clew.storage.statements import Statements

logger = logging.getLogger(__name__)

COLUMNS = {"Rule": "String", "Error": "String", "Since": "Float64", "Version": "UInt64"}
MAX_TEXT = 500  # characters of an error that are kept


class RuleFailures:
    """The failures of rules, run by run. `failed`: of the present run, by rule."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._logged: Mapping[str, str] = {}
        self.failed: dict[str, str] = {}

    def begin(self) -> None:
        """A run begins: each rule is tried again."""
        self.failed = {}

    @contextmanager
    def guard(self, rule: str) -> Iterator[None]:
        """Ends here whatever a rule raises, so that the others run."""
        try:
            yield
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:MAX_TEXT]
            self.failed[rule] = text
            if self._logged.get(rule) != text:
                logger.warning("rule %s of findings failed, the others run: %s", rule, text)

    def save(self, version: int) -> None:
        """Store what has changed since the run before. Raises StorageError."""
        for rule in self._logged.keys() - self.failed.keys():
            logger.info("rule %s of findings runs again", rule)
        self._logged = self.failed
        stored = {
            row["rule"]: row["error"] for row in self._statements.rows(queries.FINDING_FAILURES)
        }
        if stored == self.failed:
            return
        now = time.time()
        rows = [
            (rule.encode(), self.failed.get(rule, "").encode("utf-8", "replace"), now, version)
            for rule in sorted(stored.keys() | self.failed.keys())
            if stored.get(rule) != self.failed.get(rule)
        ]
        self._statements.insert_rows(Rows("clew_finding_failures", COLUMNS, rows))
