"""Jaeger's HTTP query API, for clients such as Grafana's Jaeger data source: `/api/…`, which most
clients use, and the newer `/api/v3/…`, whose traces are OTLP in JSON.

Whole traces in these forms are in clew.api.jaeger_traces.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from clew.api.access import ScopedRoute
from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.jaeger_traces import (
    UNKNOWN_SERVICE,
    newer_forms,
    older_forms,
    read_summaries,
)
from clew.api.parameters import (
    EARLIEST,
    LATEST,
    SECOND,
    CommonParameters,
    Window,
    full_trace_id,
    read_rfc3339,
)
from clew.api.reference import JSON, json_response
from clew.api.trace_extents import Extent, read_extents
from clew.api.traces import BY_INDEX, BY_KEY, newest_matches
from clew.storage import (
    ExpressionError,
    SpanExpression,
    StorageError,
    UnsupportedExpression,
    queries,
    span_expression,
    span_filters,
    spans_with_tags,
)

router = APIRouter(include_in_schema=False, route_class=ScopedRoute)

DAY = 86400 * SECOND
MAX_NAMES = 10_000
MAX_EDGES = 5_000
DEFAULT_LIMIT, MAX_LIMIT = 20, 1000  # traces of a search
# Tags that are shown though they are no attributes, and the field of a span that each is.
FIELD_TAGS = {
    "otel.status_code": "status",
    "otel.status_description": "statusMessage",
    "w3c.tracestate": "traceState",
}
UNITS = {
    "ns": 1,
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"), 1000),
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
DURATION_PART = rf"(\d{{1,15}}(?:\.\d{{0,15}})?|\.\d{{1,15}})({'|'.join(UNITS)})"


def read_duration(text: str) -> int:
    """Nanoseconds, from a duration as Go writes it: `1.5s`, `2m30s`, `100us`. Raises ValueError."""
    if text in ("0", "+0", "-0"):
        return 0
    if not re.fullmatch(f"(?:{DURATION_PART})+", text, re.ASCII):
        raise ValueError("write a number and its unit: 100us, 1.5s, 2m30s")
    parts = re.findall(DURATION_PART, text)
    nanoseconds = int(sum(float(count) * UNITS[unit] for count, unit in parts))
    return min(nanoseconds, LATEST)


FILTER_READERS = {"duration": read_duration, "time": read_rfc3339}


class MalformedParameter(ValueError):
    """A parameter that cannot be read; says which one, and how to write it."""


class JaegerQuery:
    """The parameters of a request. Jaeger has several names for some of them: the methods use the
    first name that has a value. They raise MalformedParameter."""

    def __init__(self, request: Request) -> None:
        self._parameters = request.query_params

    def all(self, name: str) -> list[str]:
        return [value for value in self._parameters.getlist(name) if value]

    def first(self, *names: str) -> str:
        return next((self._parameters[name] for name in names if self._parameters.get(name)), "")

    def number(self, default: int, *names: str) -> int:
        text = self.first(*names)
        if text and not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise MalformedParameter(
                f"malformed parameter {names[0]}: {text!r}; write a whole number"
            )
        return int(text) if text else default

    def limit(self, *names: str) -> int:
        return min(max(self.number(DEFAULT_LIMIT, *names), 1), MAX_LIMIT)

    def time(self, *names: str) -> int:
        """Nanoseconds since 1970, from RFC 3339."""
        try:
            return read_rfc3339(self.first(*names))
        except ValueError as error:
            raise MalformedParameter(
                f"malformed parameter {names[0]}: write an RFC 3339 time"
            ) from error

    def duration(self, *names: str) -> int | None:
        """Nanoseconds, from a duration as Go writes it."""
        text = self.first(*names)
        try:
            return read_duration(text) if text else None
        except ValueError as error:
            raise MalformedParameter(
                f"malformed parameter {names[0]}: {text!r}; {error}"
            ) from error

    def tags(self, tag_name: str, object_name: str) -> dict[str, str]:
        """Attributes, from parameters `tag_name`, each a `key:value`, and from parameters
        `object_name`, each a JSON object."""
        tags = {}
        for tag in self.all(tag_name):
            key, _, value = tag.partition(":")
            if not value:
                raise MalformedParameter(
                    f"malformed parameter {tag_name}: {tag!r}; write key:value"
                )
            tags[key] = value
        for text in self.all(object_name):
            try:
                members = dict(json.loads(text))
            except (ValueError, TypeError, RecursionError) as error:
                advice = 'write a JSON object of strings, such as {"http.route":"/cart"}'
                raise MalformedParameter(f"malformed parameter {object_name}: {advice}") from error
            tags |= {key: _text(value) for key, value in members.items()}
        return tags


QueryDependency = Annotated[JaegerQuery, Depends(JaegerQuery)]


@router.get("/api/services")
@reads("traces")
def services(answer: AnswerDependency) -> Response:
    return structured(_services(answer))


@router.get("/api/services/{service:text}/operations")
@reads("traces")
def operation_names(service: str, answer: AnswerDependency) -> Response:
    return structured(sorted({row["name"] for row in _operations(answer, service)}))


@router.get("/api/operations")
@reads("traces")
def operations(query: QueryDependency, answer: AnswerDependency) -> Response:
    service = query.first("service")
    if not service:
        raise MalformedParameter("parameter 'service' is required")
    return structured(_operations(answer, service, query.first("spanKind")))


@router.get("/api/traces")
@reads("traces")
def find_traces(query: QueryDependency, answer: AnswerDependency) -> Response:
    ids: Iterable[str] = query.all("traceID")
    if not ids:
        end = query.number(time.time_ns() // 1000, "end") * 1000
        start = query.number((end - 2 * DAY) // 1000, "start") * 1000
        ids = _search(
            answer,
            start,
            end,
            service=query.first("service"),
            operation=query.first("operation"),
            tags=query.tags("tag", "tags"),
            min_duration_ns=query.duration("minDuration"),
            max_duration_ns=query.duration("maxDuration"),
            limit=query.limit("limit"),
        )
    return _data(older_forms(answer, _extents(answer, ids)))


@router.get("/api/traces/{trace_id}")
@reads("traces")
def get_trace(trace_id: str, answer: AnswerDependency) -> Response:
    forms = older_forms(answer, _extents(answer, [trace_id]))
    return _data(forms) if forms else _error(404, "trace not found")


@router.get("/api/dependencies")
@reads("traces", settled=True, steps=("edges",))
def dependencies(query: QueryDependency, answer: AnswerDependency) -> Response:
    end = query.number(time.time_ns() // 1_000_000, "endTs") * 1_000_000
    lookback = query.number(DAY // 1_000_000, "lookback") * 1_000_000
    return structured(_dependencies(answer, end - lookback, end))


@router.get("/api/v3/services")
@reads("traces")
def services_v3(answer: AnswerDependency) -> Response:
    return json_response({"services": _services(answer)})


@router.get("/api/v3/operations")
@reads("traces")
def operations_v3(query: QueryDependency, answer: AnswerDependency) -> Response:
    kind = query.first("spanKind", "span_kind")
    return json_response({"operations": _operations(answer, query.first("service"), kind)})


@router.get("/api/v3/traces")
@reads("traces")
def find_traces_v3(query: QueryDependency, answer: AnswerDependency) -> Response:
    ids = _search_v3(query, answer)
    return _result(newer_forms(answer, _extents(answer, ids)))


@router.get("/api/v3/trace-summaries")
@reads("traces")
def find_trace_summaries(query: QueryDependency, answer: AnswerDependency) -> Response:
    ids = _search_v3(query, answer)
    summaries = read_summaries(answer, _extents(answer, ids))
    return json_response({"summaries": [summaries[id] for id in ids if id in summaries]})


@router.get("/api/v3/traces/{trace_id}")
@reads("traces")
def get_trace_v3(trace_id: str, answer: AnswerDependency) -> Response:
    return _result(newer_forms(answer, _extents(answer, [trace_id])))


@router.get("/api/v3/dependencies")
@reads("traces", settled=True, steps=("edges",))
def dependencies_v3(query: QueryDependency, answer: AnswerDependency) -> Response:
    start, end = query.time("startTime", "start_time"), query.time("endTime", "end_time")
    return json_response({"dependencies": _dependencies(answer, start, end)})


def add_malformed_handler(app: FastAPI) -> None:
    """Respond to a malformed parameter in the error format of each of the two APIs, and to a filter
    that is not supported."""

    @app.exception_handler(UnsupportedExpression)
    def unsupported(request: Request, error: UnsupportedExpression) -> Response:
        return _error_v3(501, f"query.filter is not supported: {error}")

    @app.exception_handler(MalformedParameter)
    def malformed(request: Request, error: MalformedParameter) -> Response:
        error_response = _error_v3 if request.url.path.startswith("/api/v3/") else _error
        return error_response(400, str(error))


def _services(answer: Answer) -> list[str]:
    return [row["service"] for row in answer.rows(queries.JAEGER_SERVICES, limit=MAX_NAMES)]


def _operations(answer: Answer, service: str, kind: str = "") -> list[queries.JaegerOperationsRow]:
    return answer.rows(
        queries.JAEGER_OPERATIONS,
        services=_stored_names(service),
        kind=kind.lower(),
        limit=MAX_NAMES,
    )


def _dependencies(answer: Answer, start: int, end: int) -> list[queries.JaegerDependenciesRow]:
    window = _clamped_window(start, end)
    return answer.rows(queries.JAEGER_DEPENDENCIES, **window.parameters, limit=MAX_EDGES)


def _search(
    answer: Answer,
    start: int,
    end: int,
    *,
    service: str,
    operation: str,
    tags: dict[str, str],
    min_duration_ns: int | None,
    max_duration_ns: int | None,
    limit: int,
) -> list[str]:
    """The ids of the newest traces in which one span matches all conditions; times and durations in
    nanoseconds."""
    window = _clamped_window(start, end)
    if window.start >= window.end:
        return []
    error = tags.pop("error") if tags.get("error") in ("true", "false") else None
    kind = tags.pop("span.kind", None)
    shown, shown_parameters = _tags_of_fields(tags)
    fields, parameters = span_filters(
        [],
        services=_stored_names(service) if service else None,
        operation=operation or None,
        is_error=None if error is None else error == "true",
        kind=kind,
        min_duration_ns=min_duration_ns,
        max_duration_ns=max_duration_ns,
    )
    tag_filters, tag_parameters = spans_with_tags(tags)
    common = CommonParameters(window, None, limit)
    spans = [fields + shown + fragment for fragment in tag_filters]
    parameters |= shown_parameters | tag_parameters
    margin = BY_KEY if operation else BY_INDEX if tags else 0
    return _first_ids(newest_matches(answer, common, spans, "", parameters, margin), limit)


def _first_ids(pages: Iterable[dict[str, int]], limit: int) -> list[str]:
    """The first `limit` ids of the traces of a search."""
    return list(islice((id for page in pages for id in page), limit))


def _tags_of_fields(tags: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """A fragment for those of the tags that are a span's fields, and its parameters. Takes them out
    of `tags`."""
    conditions = []
    for key, name in FIELD_TAGS.items():
        if tags.get(key):
            text = tags.pop(key)
            text = text.lower() if name == "status" else text
            equal = [{"field": {"level": "span", "name": name}}, {"scalar": {"value": text}}]
            conditions.append({"call": {"op": "eq", "args": equal}})
    if not conditions:
        return "", {}
    # `and` takes two conditions or more.
    call = {"op": "and", "args": [*conditions, *conditions[:1]]}
    try:
        expression = span_expression(call, FILTER_READERS)
    except ExpressionError as error:
        raise MalformedParameter(f"malformed tags: {error}") from error
    return expression.fragment, expression.parameters


def _stored_names(service: str) -> list[str]:
    """The names in the tables of a service that Jaeger's clients name so."""
    return [service, ""] if service == UNKNOWN_SERVICE else [service]


def _search_v3(query: JaegerQuery, answer: Answer) -> list[str]:
    """The ids of the traces that a search of the newer API selects. Raises MalformedParameter."""
    start = query.time("query.startTimeMin", "query.start_time_min")
    end = query.time("query.startTimeMax", "query.start_time_max")
    limit = query.limit("query.searchDepth", "query.search_depth", "query.num_traces")
    conditions: dict[str, Any] = {
        "service": query.first("query.serviceName", "query.service_name"),
        "operation": query.first(
            "query.operationName", "query.operation_name", "query.spanName", "query.span_name"
        ),
        "tags": query.tags("", "query.attributes"),
        "min_duration_ns": query.duration("query.durationMin", "query.duration_min"),
        "max_duration_ns": query.duration("query.durationMax", "query.duration_max"),
    }
    text = query.first("query.filter")
    if not text:
        return _search(answer, start, end, **conditions, limit=limit)
    if any(conditions.values()):
        raise MalformedParameter(
            "query.filter stands alone: write service, operation, durations and attributes in it"
        )
    expression = _read_filter(answer, text)
    window = _clamped_window(start, end)
    if window.start >= window.end:
        return []
    common = CommonParameters(window, None, limit)
    pages = newest_matches(answer, common, [expression.fragment], "", expression.parameters)
    return _first_ids(pages, limit)


def _read_filter(answer: Answer, text: str) -> SpanExpression:
    try:
        expression = span_expression(json.loads(text), FILTER_READERS)
    except (ValueError, RecursionError) as error:
        raise MalformedParameter("malformed parameter query.filter: not JSON") from error
    except ExpressionError as error:
        raise MalformedParameter(f"malformed parameter query.filter: {error}") from error
    for pattern in expression.patterns:
        try:
            answer.rows(queries.JAEGER_PATTERN, pattern=pattern)
        except StorageError as error:
            if "CANNOT_COMPILE_REGEXP" not in str(error):
                raise
            raise MalformedParameter(
                f"malformed parameter query.filter: {pattern!r} is not an RE2 pattern"
            ) from error
    return expression


def _clamped_window(start: int, end: int) -> Window:
    start, end = (min(max(time, EARLIEST), LATEST) for time in (start, end))
    return Window(start, end)


def _extents(answer: Answer, trace_ids: Iterable[str]) -> dict[str, Extent]:
    """The extents of the stored traces with these ids. Leading zeros of an id may be missing."""
    return read_extents(answer, map(full_trace_id, trace_ids))


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def structured(data: Sequence[Any] | int) -> Response:
    """The answer of the older API that has this data."""
    total = 0 if isinstance(data, int) else len(data)
    return json_response({"data": data, "total": total, "limit": 0, "offset": 0, "errors": None})


def read_bool(text: str) -> bool:
    """A boolean as Go reads it. Raises ValueError."""
    words = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _data(traces: list[bytes]) -> Response:
    tail = b'],"total":%d,"limit":0,"offset":0,"errors":null}' % len(traces)
    return Response(b'{"data":[' + b",".join(traces) + tail, media_type=JSON)


def _error(status: int, text: str) -> Response:
    errors = [{"code": status, "msg": text}]
    return JSONResponse(
        {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}, status
    )


def _result(resource_spans: list[bytes]) -> Response:
    if not resource_spans:
        return _error_v3(404, "No traces found")
    body = b'{"result":{"resourceSpans":[' + b",".join(resource_spans) + b"]}}"
    return Response(body, media_type=JSON)


def _error_v3(status: int, text: str) -> Response:
    return JSONResponse({"error": {"httpCode": status, "message": text}}, status)
