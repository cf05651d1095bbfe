"""Diagnosis: why transactions became slow or fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Request

from clew.analysis import diagnosis, queries
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.diagnosis import Question, TimeRange, alerted, onset
from clew.analysis.diagnosis.alerted import HOUR, MINUTE, before, of_definition
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

SEARCHED = 3 * HOUR  # before now, in which a change is looked for if no window is given
DEFAULT_WINDOW = 15 * MINUTE  # if there was none; at most a quarter of what is stored


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
    became worse within three hours; of an alert where it began, unless that names no cause.
    `window_because` says which it is, or that no such time is found. Without a baseline it is the
    time before the window, eleven times as long, but at least 55 minutes and at most a day. If
    nothing differs by more than chance, `none_because` says so."""
    answer.rests_on_settled_traces()
    question = _population(answer, common, transaction, service, operation)
    window, reason = common.window, ""
    is_given = "start" in request.query_params or common.position
    if alert is not None:
        record = stored_alert(answer, alert)
        question = alerted.narrowed(record, question)
        window = window if is_given else alert_window(record, window.end)
    if question.transaction is not None:
        question = of_definition(question, _definition(definitions, question.transaction))
    if alert is None and not is_given:
        window, reason, _ = _worse_window(answer, question, window.end)
    chosen = baseline_window(window, baseline_start, baseline_end)
    question = _in_window(question, window, chosen)
    members = diagnosis.diagnose(answer, question)
    is_about_alert = alert is not None and not is_given
    if is_about_alert and (later := _at_last_change(answer, question, chosen, members)):
        question, reason = later
        members = diagnosis.diagnose(answer, question)
    return answer.document(
        window=_bounds(question.window),
        baseline=_bounds(question.baseline),
        window_because=reason or None,
        **members | {"onset": rfc3339_of_seconds(members["onset"])},
    )


def _in_window(question: Question, window: Window, baseline: Window | None) -> Question:
    """The question about a window, with this baseline or the time before it."""
    times = _range(window)
    return replace(question, window=times, baseline=_range(baseline) if baseline else before(times))


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


def _definition(definitions: Mapping[str, Definition], transaction: str) -> Definition:
    """The definition with this id or name. Raises Problem 404."""
    if transaction in definitions:
        return definitions[transaction]
    for definition in definitions.values():
        if definition.name == transaction:
            return definition
    raise Problem(404, f"no transaction has the id or name {transaction!r}")


def stored_alert(answer: Answer, alert: str) -> AlertRecord:
    """The alert with this id. Raises Problem 404."""
    for row in answer.rows(queries.ALERTS_STORED):
        record = AlertRecord.read(row["document"], row["version"])
        if record.id == alert:
            return record
    raise Problem(404, f"no alert has the id {alert!r}")


def alert_window(record: AlertRecord, now: int) -> Window:
    """From before the alert's episode began to its end, or to now."""
    window = alerted.alert_window(record, now)
    return Window(window.start, window.end)


def _worse_window(answer: Answer, question: Question, end: int) -> tuple[Window, str, bool]:
    """From the last time at which traces became slower or failed more often to the end; why it is
    this one; and whether such a time was found."""
    searched = TimeRange(max(0, end - SEARCHED), end)
    slots = answer.rows(
        queries.DIAGNOSIS_SLOTS,
        **replace(question, window=searched, baseline=searched).parameters,
        slot=onset.slot_read(searched.seconds),
    )
    began = onset.last_worsening(slots)
    if began is not None:
        return Window(began * SECOND, end), "since then traces are slower or fail more often", True
    first = slots[0]["start"] * SECOND if slots else end - DEFAULT_WINDOW
    known = f"{sum(slot['traces'] for slot in slots)} traces in {(end - first) / MINUTE:.0f} min"
    reason = (
        f"no time is found from which on traces are slower or fail more often, in {known}"
        if onset.comparable(slots)
        else f"{known} are too few to find when traces became slower or failed more often"
    )
    minutes = max(1, min(DEFAULT_WINDOW, (end - first) // 4) // MINUTE)
    last = "the last minute" if minutes == 1 else f"the last {minutes} minutes"
    return Window(end - minutes * MINUTE, end), f"{reason}: the answer is about {last}", False


def _at_last_change(
    answer: Answer, question: Question, baseline: Window | None, members: Mapping[str, Any]
) -> tuple[Question, str] | None:
    """The question of an alert about the last change, and why, if its own time names no cause: it
    began for another reason, or when there was nothing to compare with, as when clew or the service
    had just started. None if one is named, or if there is no other change to ask about."""
    if members["causes"]:
        return None
    window, because, is_found = _worse_window(answer, question, question.window.end)
    if members["impact"] is not None and not is_found:
        return None
    reason = f"of the alert's own time {members['none_because']}; {because}"
    return _in_window(question, window, baseline), reason


def _range(window: Window) -> TimeRange:
    return TimeRange(window.start, window.end)


def _bounds(window: Window | TimeRange) -> dict[str, str]:
    return {"start": rfc3339(window.start), "end": rfc3339(window.end)}
