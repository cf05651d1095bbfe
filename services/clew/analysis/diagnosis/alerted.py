"""The question that an alert asks: which traces, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from clew.analysis.alerts.records import AlertRecord
from clew.analysis.diagnosis.question import SECOND, Question, TimeRange
from clew.analysis.impact import Objective
from clew.analysis.transactions.definitions import Definition

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
# The baseline, if none is given: so many times the window's length before it, within these bounds.
TIMES_AS_LONG, SHORTEST, LONGEST = 11, 55 * MINUTE, 24 * HOUR
LABELS = ("service", "transaction")  # an alert with one of these is about traces


def before(window: TimeRange) -> TimeRange:
    """The baseline of a window, if none is given."""
    length = min(max(TIMES_AS_LONG * (window.end - window.start), SHORTEST), LONGEST)
    start = max(0, window.start - length)
    return TimeRange(start, max(start + 1, window.start))


def alert_window(record: AlertRecord, now: int) -> TimeRange:
    """From before the alert's episode began to its end, or to now."""
    state = record.state
    began = state.firing_since if state.firing_since else state.since
    start = int(began * SECOND) - max(int(record.verdict.window * SECOND), MINUTE)
    end = now if state.is_open else int(state.since * SECOND)
    return TimeRange(max(0, start), max(end, start + MINUTE))


def narrowed(record: AlertRecord, question: Question) -> Question:
    """The question with what the alert is about (`Series.labels`). A defined transaction is named
    as the alert names it."""
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


def of_definition(question: Question, definition: Definition) -> Question:
    """The question about the occurrences of a defined transaction."""
    slo, objective = definition.slo, None
    if slo is not None:
        latency = math.inf if slo.latency_ms is None else slo.latency_ms * 1e6
        objective = Objective(slo.objective, latency)
    return replace(question, transaction=definition.id, objective=objective)
