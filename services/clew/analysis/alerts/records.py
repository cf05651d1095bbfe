"""Alerts as they are stored: the state, the last verdict, and what was told of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from clew.analysis import queries
from clew.analysis.alerts.states import AlertState, Known, State, Transition
from clew.analysis.alerts.verdicts import Verdict
from clew.storage.rows import Rows
from clew.storage.statements import Statements

ALERT_COLUMNS = {
    "Alert": "String",
    "Rule": "String",
    "State": "String",
    "Known": "String",
    "Severity": "String",
    "Since": "Float64",
    "Document": "String",
    "Version": "UInt64",
    "IsDeleted": "UInt8",
}
CHANGE_COLUMNS = {
    "Alert": "String",
    "At": "Float64",
    "State": "String",
    "Episode": "UInt32",
    "Verdict": "String",
}


@dataclass(frozen=True)
class Report:
    """What was put into the outbox last: a transition of an episode, at a time in seconds since
    1970. `episode` 0: nothing yet."""

    episode: int = 0
    transition: Transition = Transition.RESOLVED
    at: float = 0.0


@dataclass(frozen=True)
class AlertRecord:
    """One alert. `id`, `rule` and `labels` never change. `verdict`: the last one that could be
    judged; `because_of`: the alert that stands for this one."""

    verdict: Verdict
    severity: str
    state: AlertState = field(default_factory=AlertState)
    known: Known = Known.KNOWN
    reported: Report = field(default_factory=Report)
    because_of: str = ""
    version: int = 0

    @property
    def id(self) -> str:
        """16 hex digits."""
        return self.verdict.alert

    @property
    def rule(self) -> str:
        """The rule's name."""
        return self.verdict.rule

    @property
    def labels(self) -> Mapping[str, str]:
        """What it is about."""
        return self.verdict.labels

    @property
    def document(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(replace(self, version=0))

    @classmethod
    def read(cls, text: str, version: int) -> AlertRecord:
        """The record of a stored document."""
        fields = json.loads(text)
        verdict = fields["verdict"] | {"known": Known(fields["verdict"]["known"])}
        verdict["examples"] = tuple(verdict["examples"])
        state = fields["state"] | {"state": State(fields["state"]["state"])}
        state["firings"] = tuple(state["firings"])
        reported = fields["reported"] | {"transition": Transition(fields["reported"]["transition"])}
        return cls(
            **fields
            | {
                "verdict": Verdict(**verdict),
                "state": AlertState(**state),
                "known": Known(fields["known"]),
                "reported": Report(**reported),
                "version": version,
            }
        )


class AlertRecords:
    """Reads and writes alerts. All methods raise StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def all(self) -> dict[str, AlertRecord]:
        """Every alert, by id."""
        records = (
            AlertRecord.read(row["document"], row["version"])
            for row in self._statements.rows(queries.ALERTS_STORED)
        )
        return {record.id: record for record in records}

    def put(self, records: Iterable[AlertRecord], version: int) -> list[AlertRecord]:
        """Store records under a version that is greater than any before; returns them with it."""
        stored = [replace(record, version=version) for record in records]
        rows = [(*_alert_row(record), version, 0) for record in stored]
        self._statements.insert_rows(Rows("clew_alerts", ALERT_COLUMNS, rows))
        return stored

    def remove(self, records: Iterable[AlertRecord], version: int) -> None:
        """Remove alerts, such as those of a rule that is gone."""
        rows = [(*_alert_row(record), version, 1) for record in records]
        self._statements.insert_rows(Rows("clew_alerts", ALERT_COLUMNS, rows))

    def put_changes(self, records: Iterable[AlertRecord]) -> None:
        """Add the state of each record to its history."""
        rows = [
            (
                record.id.encode(),
                record.state.since,
                record.state.state.encode(),
                record.state.episode,
                _json(asdict(record.verdict)),
            )
            for record in records
        ]
        self._statements.insert_rows(Rows("clew_alert_changes", CHANGE_COLUMNS, rows))

    def changes(self, alert: str, limit: int) -> Sequence[queries.AlertChangesRow]:
        """The history of an alert, the newest change first."""
        return self._statements.rows(queries.ALERT_CHANGES, alert=alert, limit=limit)


def _alert_row(record: AlertRecord) -> tuple[Any, ...]:
    return (
        record.id.encode(),
        record.rule.encode("utf-8", "replace"),
        record.state.state.encode(),
        record.known.encode(),
        record.severity.encode(),
        record.state.since,
        _json(record.document),
    )


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
