"""Which tables have changed, and the answers of statements that would be the same again.

Nothing is asked more often than the same question: a page that is open asks for its rows every few
seconds, and mostly no row has come since. Planning the statements is most of what that costs.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from time import monotonic
from typing import Any

# Tables that no view fills from another table, each with changes of its own.
SEPARATE = frozenset(
    {
        "clew_alert_changes", "clew_alert_notes", "clew_alert_rules", "clew_alerts",
        "clew_attributes", "clew_candidates", "clew_definitions", "clew_edges_1m", "clew_events",
        "clew_expired", "clew_finding_states", "clew_findings", "clew_ledger",
        "clew_occurrence_traces", "clew_occurrences", "clew_outbox", "clew_settler",
        "clew_settling", "clew_silences", "clew_watch_1h", "clew_watched",
    }
)  # fmt: skip
SETTLED = frozenset({"clew_settled", "clew_entry_services"})
TABLE = re.compile(r"\botel\.(\w+)")
# What makes a statement's answer depend on more than its tables and parameters.
UNSTEADY = re.compile(r"\b(now\w*|today|rand\w*|clew_root_is_overdue)\(|\b(FROM|JOIN) system\.")
MAX_ENTRY, MAX_SIZE = 256 << 10, 4 << 20  # bytes of an answer with its statement, and of all
MAX_AGE = 60.0  # seconds; the engine drops expired rows unasked


def group_of(table: str) -> str:
    """The name of the tables that change together with this one: views fill one from another. A
    table that is not known here changes with the spans."""
    if "metrics" in table:
        return "metrics"
    if table in ("otel_logs", "clew_landing_logs") or table.startswith("clew_log_"):
        return "logs"
    if table in SETTLED:
        return "settled"
    return table if table in SEPARATE else "traces"


class Changes:
    """How often the tables were written to by this process. Thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._all = 0
        self._lock = threading.Lock()

    def add(self, *tables: str) -> None:
        """These tables were written to, or may have been; without any: all tables."""
        # A count that another thread sets back would make an old answer hold again.
        with self._lock:
            if not tables:
                self._all += 1
            for table in tables:
                self._counts[group_of(table)] += 1

    def version(self, sql: str) -> tuple[int, ...]:
        """A value that is another one once a table of this statement was written to."""
        groups = sorted({group_of(table) for table in TABLE.findall(sql)})
        return (self._all, *(self._counts[group] for group in groups))


class StatementCache:
    """Answers of statements, as long as none of their tables was written to. Only for an engine to
    which no other process writes. Thread-safe."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._entries: OrderedDict[str, tuple[tuple[int, ...], float, Any, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def version(self, sql: str) -> tuple[int, ...] | None:
        """To be asked for before the statement runs; None if its answer cannot be kept."""
        return None if UNSTEADY.search(sql) else self._changes.version(sql)

    def get(self, key: str, version: tuple[int, ...]) -> Any:
        """The answer to a statement with its parameters, `key`, at this version, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] != version or monotonic() - entry[1] > MAX_AGE:
                return None
            self._entries.move_to_end(key)
            return entry[2]

    def put(self, key: str, version: tuple[int, ...], answer: Any, size: int) -> None:
        """Keep an answer of `size` bytes that was read after `version` was asked for."""
        size += len(key)
        if size > MAX_ENTRY:
            return
        with self._lock:
            self._remove(key)
            self._entries[key] = version, monotonic(), answer, size
            self._size += size
            while self._size > MAX_SIZE:
                self._remove(next(iter(self._entries)))

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry[3]
