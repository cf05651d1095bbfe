"""The HTTP API of Jaeger's query service, for what speaks it, such as Grafana's Jaeger data source.
`/api/…` is what most use; `/api/v3/…` is the newer one, with traces as OTLP in JSON.

The database writes whole traces as they go out. Values of attributes are texts, as they are stored.
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
from clew.api.answer import Answer, Answering
from clew.api.parameters import EARLIEST, LATEST, SECOND, Common, Window, extent, read_rfc3339
from clew.api.reference import JSON, json_response
from clew.api.traces import newest, summaries
from clew.storage import AttributeFilter, Query, queries, span_filters, traces_with_span

router = APIRouter(include_in_schema=False, route_class=ScopedRoute)

DAY = 86400 * SECOND
MAX_NAMES = 10_000
MAX_EDGES = 5_000
MAX_SPANS = 10_000  # of a trace
LIMIT, MAX_LIMIT = 20, 1000  # traces of a search
UNITS = {
    "ns": 1,
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"), 1000),
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
PART = rf"(\d{{1,15}}(?:\.\d{{0,15}})?|\.\d{{1,15}})({'|'.join(UNITS)})"


class Malformed(ValueError):
    """A parameter that cannot be read; says which, and how it is written."""


class Asked:
    """A request's parameters. Each has several names; the first one that is given counts."""

    def __init__(self, request: Request) -> None:
        self._all = request.query_params

    def every(self, name: str) -> list[str]:
        return [value for value in self._all.getlist(name) if value]

    def first(self, *names: str) -> str:
        return next((self._all[name] for name in names if self._all.get(name)), "")

    def number(self, default: int, *names: str) -> int:
        text = self.first(*names)
        if text and not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise Malformed(f"malformed parameter {names[0]}: {text!r}; write a whole number")
        return int(text) if text else default

    def limit(self, *names: str) -> int:
        return min(max(self.number(LIMIT, *names), 1), MAX_LIMIT)

    def time(self, *names: str) -> int:
        """Nanoseconds since the epoch, of RFC 3339."""
        try:
            return read_rfc3339(self.first(*names))
        except ValueError as error:
            raise Malformed(f"malformed parameter {names[0]}: write an RFC 3339 time") from error

    def duration(self, *names: str) -> int | None:
        """Nanoseconds, of Go's way to write durations: `1.5s`, `2m30s`, `100us`."""
        text = self.first(*names)
        if not text:
            return None
        if not re.fullmatch(f"(?:{PART})+", text, re.ASCII):
            written = "write a number and its unit: 100us, 1.5s, 2m30s"
            raise Malformed(f"malformed parameter {names[0]}: {text!r}; {written}")
        return int(sum(float(count) * UNITS[unit] for count, unit in re.findall(PART, text)))

    def tags(self, one: str, many: str) -> dict[str, str]:
        """Of `one`, a `key:value` each time, and of `many`, a JSON object."""
        found = {}
        for tag in self.every(one):
            key, _, value = tag.partition(":")
            if not value:
                raise Malformed(f"malformed parameter {one}: {tag!r}; write key:value")
            found[key] = value
        for text in self.every(many):
            try:
                given = dict(json.loads(text))
            except (ValueError, TypeError, RecursionError) as error:
                written = 'write a JSON object of texts, such as {"http.route":"/cart"}'
                raise Malformed(f"malformed parameter {many}: {written}") from error
            found |= {key: _text(value) for key, value in given.items()}
        return found


Asking = Annotated[Asked, Depends(Asked)]


@router.get("/api/services")
def services(answer: Answering) -> Response:
    return _structured(_services(answer))


@router.get("/api/services/{service:path}/operations")
def operation_names(service: str, answer: Answering) -> Response:
    return _structured(sorted({row["name"] for row in _operations(answer, service)}))


@router.get("/api/operations")
def operations(asked: Asking, answer: Answering) -> Response:
    service = asked.first("service")
    if not service:
        raise Malformed("parameter 'service' is required")
    return _structured(_operations(answer, service, asked.first("spanKind")))


@router.get("/api/traces")
def find_traces(asked: Asking, answer: Answering) -> Response:
    ids: Iterable[str] = asked.every("traceID")
    if not ids:
        end = asked.number(time.time_ns() // 1000, "end") * 1000
        start = asked.number((end - 2 * DAY) // 1000, "start") * 1000
        ids = _search(
            answer,
            start,
            end,
            service=asked.first("service"),
            operation=asked.first("operation"),
            tags=asked.tags("tag", "tags"),
            min_duration_ns=asked.duration("minDuration"),
            max_duration_ns=asked.duration("maxDuration"),
            limit=asked.limit("limit"),
        )
    return _data(_whole(answer, queries.JAEGER_TRACES, ids))


@router.get("/api/traces/{trace_id}")
def get_trace(trace_id: str, answer: Answering) -> Response:
    found = _whole(answer, queries.JAEGER_TRACES, [trace_id])
    return _data(found) if found else _refused(404, "trace not found")


@router.get("/api/dependencies")
def dependencies(asked: Asking, answer: Answering) -> Response:
    end = asked.number(time.time_ns() // 1_000_000, "endTs") * 1_000_000
    lasting = asked.number(DAY // 1_000_000, "lookback") * 1_000_000
    return _structured(_dependencies(answer, end - lasting, end))


@router.get("/api/v3/services")
def services_v3(answer: Answering) -> Response:
    return json_response({"services": _services(answer)})


@router.get("/api/v3/operations")
def operations_v3(asked: Asking, answer: Answering) -> Response:
    kind = asked.first("spanKind", "span_kind")
    return json_response({"operations": _operations(answer, asked.first("service"), kind)})


@router.get("/api/v3/traces")
def find_traces_v3(asked: Asking, answer: Answering) -> Response:
    ids = _search(
        answer,
        asked.time("query.startTimeMin", "query.start_time_min"),
        asked.time("query.startTimeMax", "query.start_time_max"),
        service=asked.first("query.serviceName", "query.service_name"),
        operation=asked.first("query.operationName", "query.operation_name"),
        tags=asked.tags("", "query.attributes"),
        min_duration_ns=asked.duration("query.durationMin", "query.duration_min"),
        max_duration_ns=asked.duration("query.durationMax", "query.duration_max"),
        limit=asked.limit("query.searchDepth", "query.search_depth", "query.num_traces"),
    )
    return _result(_whole(answer, queries.JAEGER_RESOURCE_SPANS, ids))


@router.get("/api/v3/traces/{trace_id}")
def get_trace_v3(trace_id: str, answer: Answering) -> Response:
    return _result(_whole(answer, queries.JAEGER_RESOURCE_SPANS, [trace_id]))


@router.get("/api/v3/dependencies")
def dependencies_v3(asked: Asking, answer: Answering) -> Response:
    start, end = asked.time("startTime", "start_time"), asked.time("endTime", "end_time")
    return json_response({"dependencies": _dependencies(answer, start, end)})


def add_malformed_handler(app: FastAPI) -> None:
    """What is wrong with a parameter, in the form that each of the two has for it."""

    @app.exception_handler(Malformed)
    def malformed(request: Request, error: Malformed) -> Response:
        refused = _refused_v3 if request.url.path.startswith("/api/v3/") else _refused
        return refused(400, str(error))


def _services(answer: Answer) -> list[str]:
    return [row["service"] for row in answer.rows(queries.JAEGER_SERVICES, limit=MAX_NAMES)]


def _operations(answer: Answer, service: str, kind: str = "") -> list[queries.JaegerOperationsRow]:
    return answer.rows(
        queries.JAEGER_OPERATIONS, service=service, kind=kind.lower(), limit=MAX_NAMES
    )


def _dependencies(answer: Answer, start: int, end: int) -> list[queries.JaegerDependenciesRow]:
    window = _window(start, end)
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
    """The newest traces in which one span is all of that."""
    window = _window(start, end)
    if window.start >= window.end:
        return []
    error, kind = tags.pop("error", None), tags.pop("span.kind", None)
    spans, parameters = span_filters(
        [AttributeFilter(key, "=", value) for key, value in tags.items()],
        service=service or None,
        operation=operation or None,
        is_error=None if error is None else error == "true",
        kind=kind,
        min_duration_ns=min_duration_ns,
        max_duration_ns=max_duration_ns,
    )
    parameters |= {"min_duration_ms": 0.0, "max_duration_ms": float("inf")}
    filters = traces_with_span(spans) if spans else ""
    found = newest(answer, Common(window, None, limit), filters, parameters)
    return [trace["trace_id"] for trace in islice(found, limit)]


def _window(start: int, end: int) -> Window:
    earliest, latest = (min(max(at, EARLIEST), LATEST) for at in (start, end))
    return Window(earliest, latest)


def _whole(answer: Answer, query: Query[Any], ids: Iterable[str]) -> list[bytes]:
    """The traces of these ids as JSON, those that there are. Ids may lack zeros in front."""
    known = summaries(answer, {id.lower().zfill(32) for id in ids})
    if not known:
        return []
    text = answer.text(query, trace_ids=sorted(known), most=MAX_SPANS, **extent(known.values()))
    return text.splitlines()


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _structured(data: Sequence[Any]) -> Response:
    return json_response(
        {"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": None}
    )


def _data(traces: list[bytes]) -> Response:
    tail = b'],"total":%d,"limit":0,"offset":0,"errors":null}' % len(traces)
    return Response(b'{"data":[' + b",".join(traces) + tail, media_type=JSON)


def _refused(status: int, text: str) -> Response:
    errors = [{"code": status, "msg": text}]
    return JSONResponse(
        {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}, status
    )


def _result(resources: list[bytes]) -> Response:
    if not resources:
        return _refused_v3(404, "No traces found")
    body = b'{"result":{"resourceSpans":[' + b",".join(resources) + b"]}}"
    return Response(body, media_type=JSON)


def _refused_v3(status: int, text: str) -> Response:
    return JSONResponse({"error": {"httpCode": status, "message": text}}, status)
