"""Diagnosis: why transactions became slow or fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Request

from clew.analysis import diagnosis, queries
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.diagnosis import Question, TimeRange, onset
from clew.analysis.impact import Objective
from clew.analysis.transactions.definitions import Definition
from clew.api.answer import Answer, AnswerDependency
from clew.api.changes import BaselineEnd, BaselineStart, baseline_window
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.freshness import reads
from clew.api.models import diagnosis as models
from clew.api.parameters import (
    SECOND,
    CommonDependency,
    CommonParameters,
    Window,
    rfc3339,
    rfc3339_of_seconds,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.traces import is_automatic
from clew.api.transaction_names import transaction_names

router = routes("diagnose")

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
SEARCHED = 3 * HOUR  # before now, in which a change is looked for if no window is given
DEFAULT_WINDOW = 15 * MINUTE  # if there was none; at most a quarter of what is stored
# The baseline, if none is given: so many times the window's length before it, within these bounds.
TIMES_AS_LONG, SHORTEST, LONGEST = 11, 55 * MINUTE, 24 * HOUR


@router.get("", response_model=models.Diagnosis)
@reads("traces", "logs", "metrics", settled=True)
def diagnose(
    request: Request,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    transaction: Annotated[
        str | None,
        Query(
            description="Only traces of the transaction with this id; of a defined one also its "
            "name.",
            examples=["checkout"],
        ),
    ] = None,
    service: Annotated[
        str | None, Query(description="Only traces that meet this service (`service.name`).")
    ] = None,
    operation: Annotated[
        str | None, Query(description="Only traces that meet this operation (span name).")
    ] = None,
    alert: Annotated[
        str | None,
        Query(description="Id of an alert: its transaction, service, operation and time."),
    ] = None,
    baseline_start: BaselineStart = None,
    baseline_end: BaselineEnd = None,
) -> dict[str, Any]:
    """Why traces became slow or fail: the services that differ between a window and a baseline, the
    most likely cause first, with evidence of time, structure, log records and processes.

    The traces are those of a transaction, of a service, of an operation, or of an alert; without
    any of them all traces. Without `start` the window begins where durations or failures last
    became worse within three hours, or where the alert began; `window_because` says if no such
    time is found. Without a baseline it is the time
    before the window, eleven times as long, but at least 55 minutes and at most a day. If nothing
    differs by more than chance, `none_because` says so."""
    answer.rests_on_settled_traces()
    question = _population(answer, common, transaction, service, operation)
    window = common.window
    is_given = "start" in request.query_params or common.position
    if alert is not None:
        record = stored_alert(answer, alert)
        question = _question_of(record, question)
        window = window if is_given else alert_window(record, window.end)
    id = _defined_id(definitions, question.transaction)
    question = replace(question, transaction=id, objective=_objective(definitions.get(id or "")))
    reason = None
    if alert is None and not is_given:
        window, reason = _worse_window(answer, question, window.end)
    baseline = baseline_window(window, baseline_start, baseline_end) or _before(window)
    question = replace(question, window=_range(window), baseline=_range(baseline))
    members = diagnosis.diagnose(answer, question)
    return answer.document(
        window=_bounds(window),
        baseline=_bounds(baseline),
        window_because=reason,
        **members | {"onset": rfc3339_of_seconds(members["onset"])},
    )


def _population(
    answer: Answer,
    common: CommonParameters,
    transaction: str | None,
    service: str | None,
    operation: str | None,
) -> Question:
    """A question about these traces. Raises Problem 404 for an unknown automatic transaction."""
    times = _range(common.window)
    question = Question(
        times, times, environment=common.environment, service=service, operation=operation
    )
    if transaction is None:
        return question
    if not is_automatic(transaction):
        return replace(question, transaction=transaction)
    names = transaction_names(answer, transaction)
    if names is None:
        raise Problem(404, f"no transaction has the id {transaction!r}")
    return replace(
        question,
        entry_service=names["service"],
        entry_names=names["names"],
        entry_named=names["named"],
    )


def _defined_id(definitions: Mapping[str, Definition], transaction: str | None) -> str | None:
    """The id of the definition with this id or name. Raises Problem 404."""
    if transaction is None or transaction in definitions:
        return transaction
    for id, definition in definitions.items():
        if definition.name == transaction:
            return id
    raise Problem(404, f"no transaction has the id or name {transaction!r}")


def _objective(definition: Definition | None) -> Objective | None:
    """The objective of a defined transaction, if it has one."""
    if definition is None or definition.slo is None:
        return None
    latency = definition.slo.latency_ms
    return Objective(definition.slo.objective, math.inf if latency is None else latency * 1e6)


def stored_alert(answer: Answer, alert: str) -> AlertRecord:
    """The alert with this id. Raises Problem 404."""
    for row in answer.rows(queries.ALERTS_STORED):
        record = AlertRecord.read(row["document"], row["version"])
        if record.id == alert:
            return record
    raise Problem(404, f"no alert has the id {alert!r}")


def _question_of(record: AlertRecord, question: Question) -> Question:
    """The question with what the alert is about (`Series.labels`)."""
    labels: Mapping[str, str] = record.labels
    service, operation = labels.get("service"), labels.get("operation")
    question = replace(question, environment=labels.get("environment", question.environment))
    if "transaction" in labels and service and operation:
        return replace(question, entry_service=service, entry_names=[operation])
    if "transaction" in labels:
        return replace(question, transaction=labels["transaction"])
    return replace(
        question,
        service=service or question.service,
        operation=operation or question.operation,
    )


def alert_window(record: AlertRecord, now: int) -> Window:
    """From before the alert's episode began to its end, or to now."""
    state = record.state
    began = state.firing_since if state.firing_since else state.since
    start = int(began * SECOND) - max(int(record.verdict.window * SECOND), MINUTE)
    end = now if state.is_open else int(state.since * SECOND)
    return Window(max(0, start), max(end, start + MINUTE))


def _worse_window(answer: Answer, question: Question, end: int) -> tuple[Window, str]:
    """From the last time at which traces became slower or failed more often to the end; and why it
    is this one."""
    searched = TimeRange(max(0, end - SEARCHED), end)
    slots = answer.rows(
        queries.DIAGNOSIS_SLOTS,
        **replace(question, window=searched, baseline=searched).parameters,
        slot=onset.slot_read(searched.seconds),
    )
    began = onset.last_worsening(slots)
    if began is not None:
        return Window(began * SECOND, end), "since then traces are slower or fail more often"
    first = slots[0]["start"] * SECOND if slots else end - DEFAULT_WINDOW
    known = (
        f"{(end - first) / MINUTE:.0f} minutes of {sum(slot['traces'] for slot in slots)} traces"
    )
    reason = (
        f"no time is found from which on traces are slower or fail more often, in {known}"
        if onset.comparable(slots)
        else f"{known} are too few to find when traces became slower or failed more often"
    )
    length = min(DEFAULT_WINDOW, max(MINUTE, (end - first) // 4))
    return Window(end - length, end), f"{reason}: these are the last {length / MINUTE:.0f} minutes"


def _before(window: Window) -> Window:
    length = min(max(TIMES_AS_LONG * (window.end - window.start), SHORTEST), LONGEST)
    start = max(0, window.start - length)
    return Window(start, max(start + 1, window.start))


def _range(window: Window) -> TimeRange:
    return TimeRange(window.start, window.end)


def _bounds(window: Window) -> dict[str, str]:
    return {"start": rfc3339(window.start), "end": rfc3339(window.end)}
