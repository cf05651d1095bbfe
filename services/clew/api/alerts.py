"""Alerts: the list, everything about one, and what people say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from fastapi import Body, Query, Request

from clew.analysis import queries
from clew.analysis.alerts.notes import MAX_NOTES, Note, Notes, SaidKind
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.rules import AlertsFile, Severity
from clew.analysis.alerts.silences import Silence
from clew.analysis.alerts.states import State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.process_metrics import METRICS
from clew.analysis.watching.telling import Teller, explanation
from clew.api.access import requires
from clew.api.alert_rules import rulebook_of
from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.models import alerts as models
from clew.api.notifications import newest_notifications
from clew.api.parameters import CommonDependency, rfc3339_of_seconds
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.silences import stored_silences
from clew.api.sorting import Order, page_of, sort_parameter
from clew.storage.reader import with_literals
from clew.storage.statements import Statements

router = routes("alerts")

MAX_CHANGES, MAX_NOTIFICATIONS = 200, 50  # of one alert
# Measures in seconds.
DURATIONS = ("p50", "p75", "p95", "absent", "database_time", "cost")
UNITS = {
    **dict.fromkeys(DURATIONS, "ms"),
    "error_rate": "1",
    "slow_rate": "1",
    "rate": "/s",
    "payload": "By",
    **{name: metric.unit for name, metric in METRICS.items()},
}
SORTS = ("state", "since", "severity", "rule")
# What comes first in the list.
STATES = (State.OK, State.RESOLVED, State.PENDING, State.RECOVERING, State.FIRING)
SEVERITIES: tuple[Severity, ...] = ("info", "ticket", "page")
CHANGE_ANSWERS: dict[int | str, dict[str, Any]] = {409: {"description": "the alert never fired"}}


@router.get("", response_model=models.Alerts)
@reads()
def alerts(
    request: Request,
    common: CommonDependency,
    answer: AnswerDependency,
    state: Annotated[
        list[State],
        Query(description="Only alerts in this state. May be given several times."),
    ] = [],  # noqa: B006 (FastAPI copies it)
    severity: Annotated[Severity | None, Query(description="Only alerts of this severity.")] = None,
    rule: Annotated[
        str | None, Query(description="Only alerts of the rule with this name.")
    ] = None,
    service: Annotated[str | None, Query(description="Only alerts of this service.")] = None,
    transaction: Annotated[
        str | None, Query(description="Only alerts of the transaction with this name.")
    ] = None,
    sort: Annotated[str | None, sort_parameter(SORTS, "state")] = None,
) -> dict[str, Any]:
    """What is wrong, and what was wrong before: alerts that fire come first.

    An alert is one rule for one set of labels. The window of time has no meaning here; alerts are
    listed until their rule is removed."""
    order = Order.parse(sort, SORTS, "state", common.position)
    labels = {
        "environment": common.environment,
        "service": service,
        "transaction": transaction,
    }
    records = [
        record
        for record in _records(answer)
        if (not state or record.state.state in state)
        and severity in (None, record.severity)
        and rule in (None, record.rule)
        and all(text is None or record.labels.get(name) == text for name, text in labels.items())
    ]
    page, next_cursor = page_of(
        records,
        common,
        order,
        lambda record: _sort_value(record, order.key),
        lambda record: record.id,
    )
    view = _view(request, answer)
    return answer.document(alerts=list(map(view.alert, page)), next_cursor=next_cursor)


@router.get("/{alert_id}", response_model=models.AlertView)
@reads()
def alert(request: Request, alert_id: str, answer: AnswerDependency) -> dict[str, Any]:
    """One alert: why it fires, its history, what people said of it and what receivers were told."""
    records = {record.id: record for record in _records(answer)}
    if alert_id not in records:
        raise Problem(404, f"no alert has the id {alert_id!r}")
    record, view = records[alert_id], _view(request, answer)
    verdict = record.verdict
    notes = [row for row in view.notes if row["alert"] == alert_id]
    changes = answer.limited_rows(queries.ALERT_CHANGES, MAX_CHANGES, alert=alert_id)
    group = _group(record)
    has_band = verdict.lower is not None and verdict.upper is not None
    return answer.document(
        alert=view.alert(record),
        explanation=explanation(record),
        band={
            "lower": value_in_unit(verdict.measure, verdict.lower),
            "upper": value_in_unit(verdict.measure, verdict.upper),
        }
        if has_band
        else None,
        z=verdict.z,
        window_ms=verdict.window * 1000,
        diagnosis=f"/api/v1/diagnose?alert={alert_id}" if record.state.episode else None,
        cause=next((row["text"] for row in notes if _is_cause(row, record)), None),
        members=[
            view.alert(other)
            for other in records.values()
            if other.id != record.id and _group(other) == group
        ],
        history=list(map(_change, changes)),
        notes=[_note(row) for row in notes if row["kind"] not in ("cause", "impact")],
        notifications=newest_notifications(answer, MAX_NOTIFICATIONS, alert=alert_id),
    )


@router.post("/{alert_id}/acknowledge", response_model=models.Note, responses=CHANGE_ANSWERS)
@requires("operate")
def acknowledge(
    request: Request,
    alert_id: str,
    body: Annotated[models.AcknowledgeBody | None, Body()] = None,
) -> dict[str, Any]:
    """Says that somebody takes care of the alert's episode: it is not told again while it lasts."""
    return _add_note(request, alert_id, "acknowledged", body.text if body else "")


@router.post("/{alert_id}/feedback", response_model=models.Note, responses=CHANGE_ANSWERS)
@requires("operate")
def feedback(request: Request, alert_id: str, body: models.FeedbackBody) -> dict[str, Any]:
    """Says whether the alert's last episode was worth telling, or that its change is accepted. The
    last word counts. Baselines leave out the hours of episodes, but for noise; a change that is
    accepted is what is usual from then on."""
    kind: SaidKind = "accepted" if body.accepted else "useful" if body.useful else "noise"
    return _add_note(request, alert_id, kind, body.text)


def _is_cause(note: queries.AlertNotesRow, record: AlertRecord) -> bool:
    return note["kind"] == "cause" and note["episode"] == record.state.episode


def _add_note(request: Request, alert_id: str, kind: SaidKind, text: str) -> dict[str, Any]:
    statements = Statements(request.app.state.reader.store)
    record = AlertRecords(statements).all().get(alert_id)
    if record is None:
        raise Problem(404, f"no alert has the id {alert_id!r}")
    if not record.state.episode:
        raise Problem(409, "the alert never fired: there is nothing to say of it")
    author = request.state.principal.name
    note = Note(alert_id, record.state.episode, kind, author, text, time.time())
    Notes(statements).add(note)
    return _note(
        queries.AlertNotesRow(
            alert=note.alert,
            episode=note.episode,
            kind=note.kind,
            author=note.author,
            text=note.text,
            at=note.at,
        )
    )


@dataclass(frozen=True)
class _View:
    """What alerts are shown with: notes, silences and rules at a time in seconds since 1970."""

    notes: list[queries.AlertNotesRow]
    silences: list[Silence]
    rules: AlertsFile
    at: float

    @cached_property
    def acknowledged(self) -> Mapping[tuple[str, int], str]:
        """Who takes care of which episode of which alert."""
        return {
            (row["alert"], row["episode"]): row["author"]
            for row in self.notes
            if row["kind"] == "acknowledged"
        }

    def alert(self, record: AlertRecord) -> dict[str, Any]:
        """An alert as models.Alert."""
        verdict, state = record.verdict, record.state
        return {
            "id": record.id,
            "rule": record.rule,
            "state": state.state,
            "known": record.known,
            "severity": record.severity,
            "since": rfc3339_of_seconds(_since(record)),
            "headline": verdict.headline,
            "measure": verdict.measure,
            "unit": UNITS.get(verdict.measure, ""),
            "value": value_in_unit(verdict.measure, verdict.value),
            "expected": value_in_unit(verdict.measure, verdict.expected),
            "n": verdict.requests,
            "labels": record.labels,
            "group": _group(record),
            "episode": state.episode,
            "is_flapping": state.is_flapping,
            "acknowledged_by": self.acknowledged.get((record.id, state.episode)),
            "silenced_by": self._silenced_by(record),
            "examples": verdict.examples,
            "sql": _statement(verdict),
        }

    def _silenced_by(self, record: AlertRecord) -> str | None:
        for silence in self.silences:
            if Teller(AlertsFile(), [silence]).is_silent(record, self.at):
                return silence.id
        return "maintenance" if Teller(self.rules).is_silent(record, self.at) else None


def _view(request: Request, answer: Answer) -> _View:
    now = time.time()
    return _View(
        answer.rows(queries.ALERT_NOTES, alert="", limit=MAX_NOTES),
        stored_silences(answer, now),
        rulebook_of(request).current().all,
        now,
    )


def _records(answer: Answer) -> Iterator[AlertRecord]:
    for row in answer.rows(queries.ALERTS_STORED):
        yield AlertRecord.read(row["document"], row["version"])


def _sort_value(record: AlertRecord, key: str) -> float | str:
    """Of the order by state: the state, then the severity, then the time."""
    severity = SEVERITIES.index(record.severity) if record.severity in SEVERITIES else 0
    match key:
        case "rule":
            return record.rule
        case "severity":
            return severity
        case "since":
            return _since(record)
    rank = STATES.index(record.state.state) * len(SEVERITIES) + severity
    return rank * 1e10 + _since(record)


def _since(record: AlertRecord) -> float:
    return record.state.firing_since if record.state.is_open else record.state.since


def _group(record: AlertRecord) -> str:
    return record.because_of or record.id


def value_in_unit(measure: str, value: float | None) -> float | None:
    """A value in the unit of answers: durations are milliseconds."""
    return value * 1000 if value is not None and measure in DURATIONS else value


def _statement(verdict: Verdict) -> str:
    """The statement that gives the value. A rule's own has no parameters, whatever stands in it."""
    return with_literals(verdict.sql, verdict.parameters) if verdict.parameters else verdict.sql


def _change(row: queries.AlertChangesRow) -> dict[str, Any]:
    verdict = json.loads(row["verdict"])
    return {
        "time": rfc3339_of_seconds(row["at"]),
        "state": row["state"],
        "episode": row["episode"],
        "headline": verdict["headline"],
        "value": value_in_unit(verdict["measure"], verdict["value"]),
        "n": verdict["requests"],
    }


def _note(row: queries.AlertNotesRow) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "at"} | {
        "time": rfc3339_of_seconds(row["at"])
    }
