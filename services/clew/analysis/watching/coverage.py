"""How many series are watched, and which are not: stored by the watcher, read by whoever asks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from clew.analysis import queries
from clew.storage.rows import Rows
from clew.storage.statements import Statements

SHOWN = 10  # series that are not watched
COLUMNS = {"Name": "String", "Document": "String", "Version": "UInt64"}


@dataclass(frozen=True)
class Unwatched:
    """A series beyond the limit. `requests`: those of four weeks; of processes, slots of five
    minutes."""

    kind: str
    labels: Mapping[str, str]
    requests: float


@dataclass(frozen=True)
class Coverage:
    """`watched` series are compared with their past, of which `learning` have had too few requests
    to be judged yet; `unwatched` are beyond `limit`, of which `largest` has the first."""

    limit: int
    watched: int
    learning: int
    unwatched: int
    largest: Sequence[Unwatched] = ()

    def store(self, statements: Statements, version: int) -> None:
        """Let it be what `read_coverage` reads. Raises StorageError."""
        row = (b"series", json.dumps(asdict(self)).encode(), version)
        statements.insert_rows(Rows("clew_watched", COLUMNS, [row]))

    @classmethod
    def read(cls, document: str) -> Coverage:
        """Of what was stored."""
        fields = json.loads(document)
        largest = [Unwatched(**one) for one in fields.pop("largest")]
        return cls(**fields, largest=largest)


def read_coverage(statements: Statements) -> Coverage | None:
    """What the watcher said last; None before it has learned anything. Raises StorageError."""
    rows = statements.rows(queries.WATCH_COVERAGE)
    return Coverage.read(rows[0]["document"]) if rows else None
