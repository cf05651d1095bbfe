"""What rules of alerts would have done in the last two weeks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.concurrency import run_in_threadpool

from clew.access import Forbidden
from clew.analysis import documents
from clew.analysis.alerts.rules import Rules
from clew.analysis.watching.replay.past import Past
from clew.analysis.watching.replay.replays import DAYS, RuleReplay, replay
from clew.analysis.watching.replay.tracks import Episode
from clew.analysis.watching.series import MINUTE
from clew.api.access import requires
from clew.api.alerts import UNITS, value_in_unit
from clew.api.models import alert_replays as models
from clew.api.models.alert_rules import RulesBody
from clew.api.parameters import rfc3339_of_seconds
from clew.api.problems import Problem
from clew.api.reference import request_body, routes
from clew.api.revisions import JSON, REFUSALS, YAML, body_form, read_body
from clew.storage.statements import Statements

router = routes("alerts/rules")

LIMITS: dict[str, int | str] = {"max_execution_time": 30, "max_memory_usage": 1 << 30}
MAX_EPISODES, MAX_UNJUDGED = 100, 20
DAY = 86_400  # seconds
MIN_DAYS = 2  # that must be stored for a number a week to mean anything
ANSWERS: dict[int | str, dict[str, Any]] = {
    **{status: answer for status, answer in REFUSALS.items() if status != 412},
    429: {"description": "another test runs"},
}
_running = threading.Lock()


@router.post(
    "/test",
    response_model=models.ReplayedRules,
    responses=ANSWERS,
    openapi_extra=request_body(RulesBody, JSON, YAML),
)
@requires("admin")
async def replay_alert_rules(
    request: Request, content_type: Annotated[str, Header()] = ""
) -> dict[str, Any]:
    """What rules would have done in the last 14 days, by what is stored. Nothing is changed, and
    nobody is told.

    The body and the scopes are those of PUT. Conditions are looked at every minute; quantiles and
    metrics once in each window `over`, slow requests every five minutes, forecasts every six hours.
    Baselines are those of the last four weeks."""
    principal = request.state.principal
    form, body = body_form(content_type), await read_body(request)

    def run() -> dict[str, Any]:
        rules = documents.read(body, form, RulesBody, "the body").rules_alone
        if any(rule.sql is not None for rule in rules.rules) and not principal.may("database"):
            raise Forbidden("database")
        if not _running.acquire(blocking=False):
            raise Problem(429, "another test of rules runs: try again in some seconds")
        try:
            return _replay(request, rules)
        finally:
            _running.release()

    return await run_in_threadpool(run)


def _replay(request: Request, rules: Rules) -> dict[str, Any]:
    end = time.time() // MINUTE * MINUTE
    statements = Statements(request.app.state.reader.store, LIMITS)
    definitions = request.app.state.definitions.definitions()
    past = Past(statements, definitions, end - DAYS * DAY, end, rules.zone)
    results = replay(rules, past)
    is_stored = past.is_received
    days = float(len(is_stored) - is_stored.argmax()) * MINUTE / DAY if is_stored.any() else 0.0
    return {
        "start": rfc3339_of_seconds(past.start),
        "end": rfc3339_of_seconds(past.end),
        "days": round(days, 2),
        "rules": [_rule_document(result, days) for result in results],
    }


def _rule_document(result: RuleReplay, days: float) -> dict[str, Any]:
    count = len(result.episodes)
    newest: Sequence[Episode] = list(reversed(result.episodes))[:MAX_EPISODES]
    return {
        "rule": result.rule.name,
        "kind": result.rule.kind,
        "series": result.series,
        "series_left_out": result.left_out,
        "count": count,
        "per_week": round(count * 7 / days, 2) if days >= MIN_DAYS else None,
        "episodes": [_episode_document(episode) for episode in newest],
        "unjudged": [
            {"labels": labels, "known": known} for labels, known in result.unjudged[:MAX_UNJUDGED]
        ],
        "none_because": result.none_because or None,
    }


def _episode_document(episode: Episode) -> dict[str, Any]:
    measure = episode.measure
    return {
        "labels": episode.labels,
        "since": rfc3339_of_seconds(episode.since),
        "until": None if episode.until is None else rfc3339_of_seconds(episode.until),
        "measure": measure,
        "unit": "1" if measure == "change" else UNITS.get(measure, ""),
        "value": _number(measure, episode.value),
        "expected": _number(measure, episode.expected),
    }


def _number(measure: str, value: float) -> float | None:
    return value_in_unit(measure, value) if math.isfinite(value) else None
