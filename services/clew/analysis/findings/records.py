"""Findings and what became of them, as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clew.analysis import queries
from clew.analysis.findings.cost import Finding, TransactionCost
from clew.storage.rows import Rows
from clew.storage.statements import Statements

MAX_FINDINGS = 10_000
COLUMNS = {
    **dict.fromkeys(("Finding", "Rule"), "String"),
    **dict.fromkeys(("FirstSeen", "LastSeen"), "DateTime"),
    "Document": "String",
    "Version": "UInt64",
}
STATE_COLUMNS = {
    **dict.fromkeys(("Finding", "State", "Reason", "Author"), "String"),
    "At": "Float64",
}


class FindingState(StrEnum):
    """`regressed`: it was resolved, and traces that began later have it again."""

    OPEN = "open"
    REVIEWED = "reviewed"
    IGNORED = "ignored"
    RESOLVED = "resolved"
    REGRESSED = "regressed"


@dataclass(frozen=True)
class StoredFinding:
    """A finding and its state; times in seconds since 1970. `author` is empty where a run changed
    the state."""

    finding: Finding
    first_seen: float
    last_seen: float
    state: FindingState
    reason: str
    author: str
    state_since: float


def stored_finding(row: queries.FindingStoredRow) -> StoredFinding:
    """The finding of a row of finding_stored.sql."""
    document: dict[str, Any] = json.loads(row["document"])
    costs = tuple(
        TransactionCost(**cost | {"defined": tuple(cost["defined"])})
        for cost in document.pop("transactions")
    )
    traces = tuple(document.pop("traces"))
    return StoredFinding(
        Finding(transactions=costs, traces=traces, **document),
        row["first_seen"],
        row["last_seen"],
        FindingState(row["state"] or FindingState.OPEN),
        row["reason"],
        row["author"],
        row["state_since"] if row["state"] else row["first_seen"],
    )


class FindingRecords:
    """Reads and writes findings. All methods raise StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def all(self) -> Mapping[str, StoredFinding]:
        """The findings by id."""
        rows = self._statements.rows(queries.FINDING_STORED, limit=MAX_FINDINGS)
        return {row["id"]: stored_finding(row) for row in rows}

    def put(
        self,
        findings: Sequence[Finding],
        first_seen: Mapping[str, float],
        seen: float,
        version: int,
    ) -> None:
        """Write findings that a run saw at `seen`; those that are not new have a `first_seen`."""
        rows = [
            (
                finding.id.encode(),
                finding.rule.encode(),
                int(first_seen.get(finding.id, seen)),
                int(seen),
                json.dumps(finding.document, ensure_ascii=False).encode("utf-8", "replace"),
                version,
            )
            for finding in findings
        ]
        self._statements.insert_rows(Rows("clew_findings", COLUMNS, rows))

    def change(
        self, ids: Iterable[str], state: FindingState, at: float, author: str = "", reason: str = ""
    ) -> None:
        """Say what became of findings."""
        rows = [
            (
                id.encode(),
                state.encode(),
                reason.encode("utf-8", "replace"),
                author.encode("utf-8", "replace"),
                at,
            )
            for id in ids
        ]
        self._statements.insert_rows(Rows("clew_finding_states", STATE_COLUMNS, rows))
