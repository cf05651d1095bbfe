"""What people say of an episode of an alert: who takes care of it, whether it was useful, whether
its change is accepted; and what clew says is its cause and its impact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clew.analysis import queries
from clew.storage.rows import Rows
from clew.storage.statements import Statements

SaidKind = Literal["acknowledged", "useful", "noise", "accepted"]  # by people
NoteKind = Literal[SaidKind, "cause", "impact"]
MAX_NOTES = 10_000
COLUMNS = {
    "Alert": "String",
    "Episode": "UInt32",
    "Kind": "String",
    "Author": "String",
    "Text": "String",
    "At": "Float64",
}


@dataclass(frozen=True)
class Note:
    """A note on an episode; `at` in seconds since 1970."""

    alert: str
    episode: int
    kind: NoteKind
    author: str
    text: str
    at: float


class Notes:
    """Reads and writes notes. All methods raise StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, note: Note) -> None:
        """Store a note; the last one of a kind counts."""
        row = (
            note.alert.encode(),
            note.episode,
            note.kind.encode(),
            note.author.encode("utf-8", "replace"),
            note.text.encode("utf-8", "replace"),
            note.at,
        )
        self._statements.insert_rows(Rows("clew_alert_notes", COLUMNS, [row]))

    def all(self, alert: str = "") -> list[queries.AlertNotesRow]:
        """The notes on an alert, or on all, the newest first."""
        return self._statements.rows(queries.ALERT_NOTES, alert=alert, limit=MAX_NOTES)

    def acknowledged(self) -> frozenset[tuple[str, int]]:
        """The alerts and episodes that somebody takes care of."""
        return frozenset(
            (note["alert"], note["episode"])
            for note in self.all()
            if note["kind"] == "acknowledged"
        )
