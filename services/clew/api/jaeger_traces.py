"""Whole traces in the forms of Jaeger's query API: the older one, OTLP in JSON, and summaries.

The database reads the spans with one flat statement and Python writes the forms: planning a
statement that writes them takes as long as about 1,000 spans take here (ADR 0028).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from math import isfinite
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

import pydantic_core

from clew.analysis.traces.paths import TimedSpan, shown_spans
from clew.api.answer import Answer
from clew.api.parameters import time_range
from clew.api.trace_extents import Extent
from clew.api.trace_view import ERRORS, MAX_SPANS, span_end
from clew.storage import Query, queries

UNKNOWN_SERVICE = "unknown_service"  # the name in Jaeger of a service without a name
MAX_SHOWN = 10_000  # spans of a trace
MAX_EXACT = 2**53 - 1  # the largest whole number that every reader of JSON keeps
OK = ("Ok", "STATUS_CODE_OK")
KINDS = {"unspecified": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
# What a letter of AttributeTypes is called in each form; other letters are strings.
TAG_TYPES = {"b": "bool", "i": "int64", "d": "float64", "y": "binary"}
VALUE_TYPES = {"b": "boolValue", "i": "intValue", "d": "doubleValue", "y": "bytesValue"}
STRING = "s"

Pairs = list[tuple[str, str]]  # keys and values of attributes
Value = bool | int | float | str
RowT = TypeVar("RowT", queries.JaegerSpansRow, queries.JaegerSummariesRow)


class Shown(NamedTuple, Generic[RowT]):
    """The spans of a trace as they are shown, by start: each row, and the ids that it has here."""

    trace_id: str
    spans: list[tuple[RowT, TimedSpan]]


def older_forms(answer: Answer, extents: Mapping[str, Extent]) -> list[bytes]:
    """The traces as Jaeger's query service writes them, the newest first. Of each at most MAX_SHOWN
    spans."""
    forms = [
        (-trace.spans[0][1].start // 1000, trace.trace_id, _json(_older_form(trace)))
        for trace in _whole_traces(answer, extents)
    ]
    forms.sort(key=itemgetter(1), reverse=True)
    forms.sort(key=itemgetter(0))
    return [form for *_, form in forms]


def newer_forms(answer: Answer, extents: Mapping[str, Extent]) -> list[bytes]:
    """The traces as OTLP has them in JSON: a resourceSpans for each resource and scope of each
    trace. Of each trace at most MAX_SHOWN spans."""
    return [
        _json(resource_spans)
        for trace in _whole_traces(answer, extents)
        for resource_spans in _resource_spans(trace)
    ]


def read_summaries(answer: Answer, extents: Mapping[str, Extent]) -> dict[str, dict[str, Any]]:
    """The traces as Jaeger's UI lists them, by id."""
    traces = _read(answer, queries.JAEGER_SUMMARIES, extents)
    return {trace.trace_id: _summary(trace) for trace in traces}


def _whole_traces(
    answer: Answer, extents: Mapping[str, Extent]
) -> Iterator[Shown[queries.JaegerSpansRow]]:
    """The traces with their spans. Of one that has more than MAX_SHOWN the first are read, and one
    more."""
    small = {id: extent for id, extent in extents.items() if extent.spans <= MAX_SHOWN}
    yield from _read(answer, queries.JAEGER_SPANS, small)
    for id in extents.keys() - small.keys():
        keys = answer.columns(queries.OUTLINE_SPANS, trace_id=id, limit=MAX_SPANS)
        columns = (keys[name] for name in ("id", "parent_id", "kind", "began", "lasted"))
        spans = [
            TimedSpan(span_id, parent, kind, began, span_end(began, lasted))
            for span_id, parent, kind, began, lasted in zip(*columns, strict=True)
        ]
        shown = shown_spans(spans)[: MAX_SHOWN + 1]
        extent = Extent(shown[0][1].start, shown[-1][1].start, len(shown))
        yield from _read(answer, queries.JAEGER_SPANS, {id: extent})


def _read(
    answer: Answer, query: Query[RowT], extents: Mapping[str, Extent]
) -> Iterator[Shown[RowT]]:
    """The traces, one after the other."""
    if not extents:
        return
    first = min(extent.start for extent in extents.values())
    last = max(extent.end for extent in extents.values())
    text = answer.text(query, trace_ids=sorted(extents), **time_range(first, last))
    rows: Iterator[RowT] = map(json.loads, BytesIO(text))
    for trace_id, of_trace in groupby(rows, key=itemgetter("trace_id")):
        stored = list(of_trace)
        shown = shown_spans([_timed(row) for row in stored])
        yield Shown(trace_id, [(stored[index], span) for index, span in shown])


def _timed(row: queries.JaegerSpansRow | queries.JaegerSummariesRow) -> TimedSpan:
    end = span_end(row["began"], row["lasted"])
    return TimedSpan(row["span_id"], row["parent_span_id"], row["kind"], row["began"], end)


def _json(value: Any) -> bytes:
    return pydantic_core.to_json(value)


def _older_form(trace: Shown[queries.JaegerSpansRow]) -> dict[str, Any]:
    numbers: dict[Any, str] = {}  # of a process, by its service and resource
    processes: dict[str, dict[str, Any]] = {}
    spans = []
    for row, span in trace.spans[:MAX_SHOWN]:
        types = _types(row)
        key = (row["service"], types[0], tuple(map(tuple, row["resource_attributes"])))
        process = numbers.setdefault(key, f"p{len(numbers) + 1}")
        if process not in processes:
            tags = _tags(row["resource_attributes"], types[0])
            processes[process] = {"serviceName": row["service"] or UNKNOWN_SERVICE, "tags": tags}
        spans.append(_older_span(row, span, types, process))
    is_cut = len(trace.spans) > MAX_SHOWN
    return {
        "traceID": trace.trace_id,
        "spans": spans,
        "processes": processes,
        "warnings": ["the trace has more spans than are shown"] if is_cut else [],
    }


def _older_span(
    row: queries.JaegerSpansRow, span: TimedSpan, types: Sequence[str], process: str
) -> dict[str, Any]:
    parent = [("CHILD_OF", row["trace_id"], span.parent)] if span.parent else []
    links = zip(row["link_trace_ids"], row["link_span_ids"], strict=True)
    references = parent + [("FOLLOWS_FROM", trace, id) for trace, id in links]
    return {
        "traceID": row["trace_id"],
        "spanID": span.id,
        "flags": 1,
        "operationName": row["name"],
        "references": [
            {"refType": kind, "traceID": trace, "spanID": id} for kind, trace, id in references
        ],
        "startTime": _microseconds(row["began"]),
        "duration": row["lasted"] // 1000,
        "tags": [
            *_tags(row["attributes"], types[2]),
            *_tags(row["scope_attributes"], types[1]),
            *_field_tags(row),
        ],
        "logs": [
            {"timestamp": _microseconds(time), "fields": [_tag("event", name, STRING), *tags]}
            for time, name, tags in zip(
                row["event_times"],
                row["event_names"],
                map(_tags, row["event_attributes"], _split_letters(types[3], row["event_times"])),
                strict=True,
            )
        ],
        "processID": process,
        "warnings": ["the span ends before it starts"] if row["ends_before_start"] else [],
    }


def _field_tags(row: queries.JaegerSpansRow) -> Iterator[dict[str, Any]]:
    """The fields of a span that Jaeger shows as tags."""
    is_error = row["status"] in ERRORS
    fields = (
        ("span.kind", _kind_name(row["kind"])),
        ("otel.scope.name", row["scope"]),
        ("otel.scope.version", row["scope_version"]),
        ("otel.status_code", "ERROR" if is_error else "OK" if row["status"] in OK else ""),
        ("otel.status_description", row["status_message"]),
    )
    yield from (_tag(key, text, STRING) for key, text in fields if text)
    if is_error:
        yield _tag("error", "true", "b")
    if row["trace_state"]:
        yield _tag("w3c.tracestate", row["trace_state"], STRING)


def _resource_spans(trace: Shown[queries.JaegerSpansRow]) -> Iterator[dict[str, Any]]:
    groups: dict[Any, list[tuple[queries.JaegerSpansRow, TimedSpan]]] = {}
    for row, span in trace.spans[:MAX_SHOWN]:
        resource, scope = (
            tuple(map(tuple, pairs))
            for pairs in (row["resource_attributes"], row["scope_attributes"])
        )
        key = (row["service"], resource, row["scope"], row["scope_version"], scope)
        groups.setdefault(key, []).append((row, span))
    for spans in groups.values():
        first, _ = spans[0]
        types = _types(first)
        scope_attributes = _attributes(first["scope_attributes"], types[1])
        yield {
            "resource": {"attributes": _attributes(first["resource_attributes"], types[0])},
            "scopeSpans": [
                {
                    "scope": {
                        "name": first["scope"],
                        "version": first["scope_version"],
                        "attributes": scope_attributes,
                    },
                    "spans": [_newer_span(row, span) for row, span in spans],
                }
            ],
        }


def _newer_span(row: queries.JaegerSpansRow, span: TimedSpan) -> dict[str, Any]:
    types = _types(row)
    # JSON leaves out a parent that a root does not have.
    parent = {"parentSpanId": span.parent} if span.parent else {}
    return {
        "traceId": row["trace_id"],
        "spanId": span.id,
        **parent,
        "traceState": row["trace_state"],
        "name": row["name"],
        "kind": KINDS.get(_kind_name(row["kind"]), 0),
        "startTimeUnixNano": str(row["began"]),
        "endTimeUnixNano": str(span.end),
        "attributes": _attributes(row["attributes"], types[2]),
        "events": [
            {"timeUnixNano": str(time), "name": name, "attributes": attributes}
            for time, name, attributes in zip(
                row["event_times"],
                row["event_names"],
                map(
                    _attributes,
                    row["event_attributes"],
                    _split_letters(types[3], row["event_times"]),
                ),
                strict=True,
            )
        ],
        "links": [
            {"traceId": trace, "spanId": id, "traceState": state, "attributes": attributes}
            for trace, id, state, attributes in zip(
                row["link_trace_ids"],
                row["link_span_ids"],
                row["link_trace_states"],
                map(
                    _attributes,
                    row["link_attributes"],
                    _split_letters(types[4], row["link_span_ids"]),
                ),
                strict=True,
            )
        ],
        "status": {
            "message": row["status_message"],
            "code": 2 if row["status"] in ERRORS else int(row["status"] in OK),
        },
    }


def _summary(trace: Shown[queries.JaegerSummariesRow]) -> dict[str, Any]:
    """The root is the first span without a parent, an orphan one whose parent is not stored."""
    ids = {span.id for _, span in trace.spans}
    counts: dict[str, list[int]] = {}
    for row, _ in trace.spans:
        count = counts.setdefault(row["service"] or UNKNOWN_SERVICE, [0, 0])
        count[0] += 1
        count[1] += row["is_error"]
    roots = (row for row, span in trace.spans if not span.parent)
    root = next(roots, None)
    return {
        "traceId": trace.trace_id,
        "rootServiceName": root["service"] or UNKNOWN_SERVICE if root else "",
        "rootOperationName": root["name"] if root else "",
        "minStartTimeUnixNano": str(trace.spans[0][1].start),
        "maxEndTimeUnixNano": str(max(span.end for _, span in trace.spans)),
        "spanCount": len(trace.spans),
        "errorSpanCount": sum(errors for _, errors in counts.values()),
        "orphanSpanCount": sum(
            bool(span.parent) and span.parent not in ids for _, span in trace.spans
        ),
        "services": [
            {"name": name, "spanCount": spans, "errorSpanCount": errors}
            for name, (spans, errors) in sorted(counts.items())
        ],
    }


def _types(row: queries.JaegerSpansRow) -> list[str]:
    """The letters of the attributes of resource, scope, span, events and links."""
    types = row["attribute_types"].split("|")
    return types if len(types) == 5 else [""] * 5


def _split_letters(types: str, holders: Collection[Any]) -> list[str]:
    """The letters of the attributes of each event or link."""
    letters = types.split(",")
    return letters if len(letters) == len(holders) else [""] * len(holders)


def _letters(pairs: Pairs, types: str) -> str:
    """A letter for each attribute. Of other writers' rows, and of old ones, there are none."""
    return types if len(types) == len(pairs) else STRING * len(pairs)


def _tags(pairs: Pairs, types: str) -> list[dict[str, Any]]:
    letters = _letters(pairs, types)
    return [_tag(key, text, letter) for (key, text), letter in zip(pairs, letters, strict=True)]


def _tag(key: str, text: str, letter: str) -> dict[str, Any]:
    return {"key": key, "type": TAG_TYPES.get(letter, "string"), "value": _value(text, letter)}


def _attributes(pairs: Pairs, types: str) -> list[dict[str, Any]]:
    return [
        # Whole numbers are texts in OTLP's JSON.
        {
            "key": key,
            "value": {
                VALUE_TYPES.get(letter, "stringValue"): text
                if letter == "i"
                else _value(text, letter)
            },
        }
        for (key, text), letter in zip(pairs, _letters(pairs, types), strict=True)
    ]


def _value(text: str, letter: str) -> Value:
    """A value with the type that it was sent with; a text where JSON has no such number."""
    if letter == "b":
        return text == "true"
    if letter == "i":
        number = int(text)
        return number if abs(number) <= MAX_EXACT else text
    if letter == "d":
        double = float(text)
        return double if isfinite(double) else text
    return text


def _kind_name(kind: str) -> str:
    return kind.removeprefix("SPAN_KIND_").lower()


def _microseconds(nanoseconds: int) -> int:
    return nanoseconds // 1000
