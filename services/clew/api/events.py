"""Events around the services: deployments, feature flags, campaigns, incidents, holidays."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool

from clew.analysis import queries
from clew.analysis.events import MAX_EVENTS, Events, PostedEvent, TooManyEvents, read_events
from clew.api.access import requires
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import events as models
from clew.api.parameters import (
    CommonDependency,
    parse_time,
    rfc3339,
    split_page,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import request_body, routes
from clew.api.revisions import JSON, read_body
from clew.storage.statements import Statements

router = routes("events")

POST_ANSWERS: dict[int | str, dict[str, Any]] = {
    409: {"description": f"{MAX_EVENTS} events are stored already"},
    413: {"description": "the body is larger than 1 MiB"},
}


@router.get("", response_model=models.Events)
@reads("traces", "logs")
def events(
    common: CommonDependency,
    answer: AnswerDependency,
    type: Annotated[
        list[str],
        Query(description="Only events of this type; may be repeated.", examples=[["deployment"]]),
    ] = [],  # noqa: B006 (FastAPI copies it)
    service: Annotated[
        list[str],
        Query(
            description="Only events of this service, and those that concern all services; may be "
            "repeated."
        ),
    ] = [],  # noqa: B006
) -> dict[str, Any]:
    """Events that touch the window, newest first: those that were posted, versions of services that
    were first seen, and what log records say of deployments and feature flags."""
    rows = answer.rows(
        queries.EVENTS,
        **common.window.parameters,
        types=type,
        services=service,
        environment=common.environment,
        after_time=common.position.get("time"),
        after_id=common.position.get("id", ""),
        limit=common.limit + 1,
    )
    page, has_more = split_page(rows, common.limit)
    position = (
        {"time": sql_time_from_rfc3339(page[-1]["time"]), "id": page[-1]["id"]} if page else {}
    )
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        events=page,
        next_cursor=common.next_cursor(**position) if has_more else None,
    )


@router.post(
    "",
    response_model=models.StoredIds,
    responses=POST_ANSWERS,
    openapi_extra=request_body(models.EventsBody, JSON),
)
@requires("events")
async def post_events(request: Request) -> dict[str, Any]:
    """Stores an event, or a list of up to 1,000, as JSON. An event with an `id` that is stored
    already replaces it. If there are API keys, this needs one with the scope `events`."""
    body = await read_body(request)

    def store() -> list[str]:
        now = time.time_ns()
        posted = read_events(body)
        timed = [(event, *_times(event, place, now)) for place, event in enumerate(posted)]
        stored = Events(Statements(request.app.state.reader.store))
        return stored.put(timed, request.state.principal.name)

    try:
        return {"ids": await run_in_threadpool(store)}
    except TooManyEvents as error:
        raise Problem(409, f"{MAX_EVENTS} events are stored already") from error


def _times(event: PostedEvent, place: int, now: int) -> tuple[int, int]:
    """When an event begins and ends (0: it has no end), in nanoseconds since 1970."""
    start = parse_time(event.time, now, f"[{place}].time")
    if event.end is None:
        return start, 0
    end = parse_time(event.end, now, f"[{place}].end")
    if end <= start:
        raise Problem(422, f"[{place}].end: the event ends before it begins")
    return start, end
