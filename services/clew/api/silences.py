"""Silences: alerts that match tell nobody for a time."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Query, Request

from clew.analysis import queries
from clew.analysis.alerts.silences import (
    MAX_SECONDS,
    MAX_SILENCES,
    Silence,
    Silences,
    silence_of_row,
)
from clew.api.access import requires
from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.models import silences as models
from clew.api.parameters import SECOND, CommonDependency, parse_time, rfc3339_of_seconds
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.sorting import Order, page_of, sort_parameter
from clew.storage.statements import Statements

router = routes("silences")

SORTS = ("start", "end")
POST_ANSWERS: dict[int | str, dict[str, Any]] = {
    409: {"description": f"there are {MAX_SILENCES} silences already"}
}


@router.get("", response_model=models.Silences)
@reads()
def silences(
    common: CommonDependency,
    answer: AnswerDependency,
    ended: Annotated[
        bool, Query(description="Whether to list those that have ended too, of the last 90 days.")
    ] = False,
    sort: Annotated[str | None, sort_parameter(SORTS, "start")] = None,
) -> dict[str, Any]:
    """Silences that hold now or later."""
    order = Order.parse(sort, SORTS, "start", common.position)
    now = time.time()
    listed = [
        silence
        for silence in stored_silences(answer, 0.0 if ended else now)
        if ended or _state(silence, now) != "ended"
    ]
    page, next_cursor = page_of(
        listed,
        common,
        order,
        lambda silence: silence.starts_at if order.key == "start" else silence.ends_at,
        lambda silence: silence.id,
    )
    return answer.document(
        silences=[_document(silence, now) for silence in page], next_cursor=next_cursor
    )


@router.post("", response_model=models.Silence, responses=POST_ANSWERS)
@requires("operate")
def add_silence(request: Request, body: models.SilenceBody) -> dict[str, Any]:
    """Makes a silence. Alerts that match are judged and listed, and tell nobody until it ends; what
    still fires then is told."""
    now = time.time_ns()
    start = parse_time(body.start, now, "start") / SECOND
    end = _end(body, start, now)
    if not body.match.document:
        raise Problem(422, "match: name at least one label, such as service")
    if end <= max(start, now / SECOND):
        raise Problem(422, "the silence ends before it begins, or before now")
    if end - start > MAX_SECONDS:
        raise Problem(422, f"a silence lasts {MAX_SECONDS / 86_400:.0f} days at most")
    stored = Silences(Statements(request.app.state.reader.store))
    if len(stored.since(now / SECOND)) >= MAX_SILENCES:
        raise Problem(409, f"there are {MAX_SILENCES} silences already: end some")
    author = request.state.principal.name
    silence = stored.add(body.match, author, body.reason, start, end)
    return _document(silence, now / SECOND)


@router.delete("/{silence_id}", response_model=models.Silence)
@requires("operate")
def end_silence(request: Request, silence_id: str) -> dict[str, Any]:
    """Ends a silence now."""
    now = time.time()
    stored = Silences(Statements(request.app.state.reader.store))
    silence = next((silence for silence in stored.since(now) if silence.id == silence_id), None)
    if silence is None:
        raise Problem(404, f"no silence that holds now or later has the id {silence_id!r}")
    return _document(stored.end(silence, now), now)


def _end(body: models.SilenceBody, start: float, now: int) -> float:
    if (body.end is None) == (body.length is None):
        raise Problem(422, "write either end or for")
    if body.length is not None:
        return start + body.length
    return parse_time(body.end or "", now, "end") / SECOND


def stored_silences(answer: Answer, ended_after: float) -> list[Silence]:
    """The silences that end after a time in seconds since 1970."""
    rows = answer.limited_rows(queries.SILENCES, MAX_SILENCES, ended_after=ended_after)
    return [silence_of_row(row) for row in rows]


def _state(silence: Silence, now: float) -> models.SilenceState:
    if silence.ends_at <= max(now, silence.starts_at):
        return "ended"
    return "upcoming" if now < silence.starts_at else "active"


def _document(silence: Silence, now: float) -> dict[str, Any]:
    return {
        "id": silence.id,
        "match": silence.match.document,
        "author": silence.author,
        "reason": silence.reason,
        "start": rfc3339_of_seconds(silence.starts_at),
        "end": rfc3339_of_seconds(silence.ends_at),
        "state": _state(silence, now),
    }
