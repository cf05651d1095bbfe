"""Silences: alerts that match tell nobody for a time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from clew.analysis import queries
from clew.analysis.alerts.rules import Labels
from clew.storage.rows import Rows
from clew.storage.statements import Statements

MAX_SECONDS = 30 * 86_400.0  # of a silence
MAX_SILENCES = 1000
COLUMNS = {
    "Id": "String",
    "Match": "String",
    "Author": "String",
    "Reason": "String",
    "StartsAt": "Float64",
    "EndsAt": "Float64",
    "Version": "UInt64",
}


@dataclass(frozen=True)
class Silence:
    """Alerts that match are silent from `starts_at` to `ends_at`, seconds since 1970. `id`: 16 hex
    digits."""

    id: str
    match: Labels
    author: str
    reason: str
    starts_at: float
    ends_at: float
    version: int = 1

    def applies(self, labels: Mapping[str, str], at: float) -> bool:
        """Whether an alert with these labels is silent at a time."""
        return self.starts_at <= at < self.ends_at and self.match.matches(labels)


def silence_of_row(row: queries.SilencesRow) -> Silence:
    """The silence of a row of silences.sql."""
    return Silence(
        row["id"],
        Labels.model_validate(json.loads(row["match"])),
        row["author"],
        row["reason"],
        row["starts_at"],
        row["ends_at"],
        row["version"],
    )


class Silences:
    """Reads and writes silences. All methods raise StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def since(self, ended_after: float) -> list[Silence]:
        """The silences that end after a time, in seconds since 1970."""
        rows = self._statements.rows(queries.SILENCES, ended_after=ended_after, limit=MAX_SILENCES)
        return [silence_of_row(row) for row in rows]

    def add(
        self, match: Labels, author: str, reason: str, starts_at: float, ends_at: float
    ) -> Silence:
        """Store a new silence."""
        silence = Silence(secrets.token_hex(8), match, author, reason, starts_at, ends_at)
        self._put(silence)
        return silence

    def end(self, silence: Silence, at: float) -> Silence:
        """End a silence early; returns it as it is then."""
        ends_at = min(max(at, silence.starts_at), silence.ends_at)
        ended = replace(silence, ends_at=ends_at, version=silence.version + 1)
        self._put(ended)
        return ended

    def _put(self, silence: Silence) -> None:
        row = (
            silence.id.encode(),
            json.dumps(silence.match.document, ensure_ascii=False).encode(),
            silence.author.encode("utf-8", "replace"),
            silence.reason.encode("utf-8", "replace"),
            silence.starts_at,
            silence.ends_at,
            silence.version,
        )
        self._statements.insert_rows(Rows("clew_silences", COLUMNS, [row]))
