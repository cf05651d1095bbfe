"""Filters on occurrences by what any of their spans or log records carries (made of fragments of
clew.storage.filters), and by what the joined view and the funnel count them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clew.storage.attributes import AttributeFilter
from clew.storage.filters import attribute_filters

# Conditions on a row of an occurrence; `{traces}` stands for the traces that carry an attribute.
OF_A_TRACE = "TraceId IN ({traces})"
OF_SEVERAL_TRACES = "arrayExists(trace_id -> trace_id IN ({traces}), TraceIds)"

SPANS = (
    "SELECT TraceId FROM otel.otel_traces WHERE Timestamp >= {carried_from:DateTime64(9)}"
    " AND Timestamp <= {carried_to:DateTime64(9)}"
)
RECORDS = (
    "SELECT TraceId FROM otel.otel_logs WHERE TraceId != ''"
    " AND toStartOfFiveMinutes(Timestamp) >="
    " toStartOfFiveMinutes({carried_from:DateTime64(9)}) - toIntervalMinute(5)"
    " AND toStartOfFiveMinutes(Timestamp) <="
    " toStartOfFiveMinutes({carried_to:DateTime64(9)}) + toIntervalMinute(5)"
)


def occurrences_that_carry(
    attributes: list[AttributeFilter], condition: str
) -> tuple[str, dict[str, Any]]:
    """A fragment ` AND … AND …` for the occurrences of which, for each filter, a span or a log
    record matches (for `!=`: of which none has the value), and its parameters.

    `condition`: OF_A_TRACE or OF_SEVERAL_TRACES. Spans and log records are looked for between
    {carried_from} and {carried_to}, which the caller gives."""
    fragment = ""
    parameters: dict[str, Any] = {}
    for number, attribute in enumerate(attributes):
        is_negated = attribute.operator == "!="
        positive = replace(attribute, operator="=") if is_negated else attribute
        spans, span_values = _numbered(positive, "SpanAttributes", f"span_{number}")
        records, record_values = _numbered(positive, "LogAttributes", f"record_{number}")
        traces = f"{SPANS}{spans} UNION ALL {RECORDS}{records}"
        parameters |= span_values | record_values
        negation = "NOT " if is_negated else ""
        fragment += f" AND {negation}{condition.replace('{traces}', traces)}"
    return fragment, parameters


def _numbered(attribute: AttributeFilter, column: str, prefix: str) -> tuple[str, dict[str, Any]]:
    """The fragment and the parameters of one filter, whose names begin with `prefix`."""
    fragment, values = attribute_filters([attribute], column)
    for name in values:
        fragment = fragment.replace(f"{{{name}:", f"{{{prefix}_{name}:")
    return fragment, {f"{prefix}_{name}": value for name, value in values.items()}


# Conditions on a row of clew_occurrences. Step 0 is the entry, which every occurrence reached.
REACHED = " AND ({reached:UInt16} = 0 OR has(Step.Number, {reached:UInt16} - 1))"
LAST_STEP = " AND if(empty(Step.Number), 0, Step.Number[-1] + 1) = {last_step:UInt16}"
IS_GOOD = " AND clew_is_good(IsError, EntryDuration, {slo_latency_ns:Float64}) = {is_good:Bool}"

# The settled traces of an automatic transaction, and of the occurrences of a defined one: those
# that queries with `settled` read, with the same parameters.
SETTLED = (
    "SELECT TraceId FROM otel.clew_settled FINAL PREWHERE ServiceName = {service:String}"
    " AND SpanName IN {names:Array(String)}"
    " AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} WHERE Rank < 2"
)
SETTLED_OTHER = SETTLED.replace("SpanName IN", "SpanName NOT IN")
SETTLED_OF_SEVERAL_TRACES = (
    "SELECT TraceId FROM otel.clew_settled FINAL PREWHERE TraceId IN ("
    "SELECT arrayJoin(TraceIds) FROM otel.clew_occurrences FINAL"
    " WHERE Transaction = {defined:String}"
    " AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)})"
    " AND Timestamp >= {from:DateTime64(9)} AND Timestamp <= {to:DateTime64(9)} WHERE true"
)
# What tells operations and calls of a settled trace apart: columns of its nested Path and Call.
OPERATION = ("Path.Service", "Path.Operation", "Path.Kind")
CALL = ("Call.Type", "Call.Target", "Call.Source", "Call.Summary")
FAILED_CALL = (*CALL, "Call.IsError")


def settled_traces_with(
    settled: str, columns: Sequence[str], texts: Sequence[str], prefix: str
) -> tuple[str, dict[str, Any]]:
    """A statement for those of the settled traces that have an operation or a call with these
    texts, and its parameters, whose names begin with `prefix`.

    `settled`: SETTLED, SETTLED_OTHER or SETTLED_OF_SEVERAL_TRACES. `columns`: OPERATION, CALL or
    FAILED_CALL, for calls in error. There may be fewer texts than columns."""
    parameters = {f"{prefix}_{number}": text for number, text in enumerate(texts)}
    arguments = [f"field_{number}" for number in range(len(columns))]
    conditions = [f"field_{number} = {{{prefix}_{number}:String}}" for number in range(len(texts))]
    if columns == FAILED_CALL:
        conditions.append(arguments[-1])
    test = f"({', '.join(arguments)}) -> {' AND '.join(conditions)}"
    return f"{settled} AND arrayExists({test}, {', '.join(columns)})", parameters


def traces_with_exception(texts: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """A statement for the traces with an exception of a group, as the query `exceptions` groups
    them between {from} and {to}, and its parameters. `texts`: service, type, message and frame, or
    only the first of them."""
    parameters = {f"exception_{number}": text for number, text in enumerate(texts)}
    conditions = [
        condition.replace("{text}", f"{{exception_{number}:String}}")
        for number, condition in enumerate(EXCEPTION_CONDITIONS[: len(texts)])
    ]
    return f"{EXCEPTIONS}{''.join(conditions)}", parameters


EXCEPTION_CONDITIONS = (
    " WHERE service = {text}",
    " AND type = {text}",
    " AND clew_exception_message(text) = {text}",
    " GROUP BY trace_id, span_id"
    " HAVING clew_exception_place(max(clew_exception_frame(stack))) = {text}",
)
EXCEPTIONS = (
    "SELECT trace_id FROM (SELECT ServiceName AS service, TraceId AS trace_id, SpanId AS span_id,"
    " Type AS type, Message AS text, Stack AS stack FROM otel.clew_span_exceptions"
    " WHERE Timestamp >= {from:DateTime64(9)}"
    " AND Timestamp < {to:DateTime64(9)} + toIntervalHour(1)"
    " UNION ALL SELECT ServiceName, TraceId, SpanId, Type, Message, Stack"
    " FROM otel.clew_log_exceptions"
    " WHERE Timestamp >= {from:DateTime64(9)}"
    " AND Timestamp < {to:DateTime64(9)} + toIntervalHour(1))"
)


def occurrences_with_span(span_fragment: str = "") -> str:
    """A fragment for the entry traces of the occurrences of {transaction} of which at least one
    span, in any of their traces, matches the fragment `span_fragment`; without one, of all. They
    begin between {since} and {until}."""
    spans = OF_SEVERAL_TRACES.format(traces=f"{SPANS_OF_OCCURRENCES}{span_fragment}")
    condition = f" AND {spans}" if span_fragment else ""
    return f"{ENTRIES}{condition})"


def occurrences_without_span(span_fragment: str) -> str:
    """A fragment for the entry traces that `occurrences_with_span` leaves out."""
    return occurrences_with_span(span_fragment).replace("TraceId IN", "TraceId NOT IN", 1)


ENTRIES = (
    " AND TraceId IN (SELECT EntryTraceId FROM otel.clew_occurrences FINAL"
    " WHERE Transaction = {transaction:String}"
    " AND Timestamp >= {since:DateTime64(9)} - toIntervalDay(1)"
    " AND Timestamp < {until:DateTime64(9)} + toIntervalHour(1)"
)
SPANS_OF_OCCURRENCES = (
    "SELECT TraceId FROM otel.otel_traces WHERE Timestamp >= {since:DateTime64(9)}"
    " - toIntervalDay(1) AND Timestamp < {until:DateTime64(9)} + toIntervalDay(1)"
)
# Conditions on a row of clew_settled: the duration in milliseconds of the trace's entry, or of the
# entry of its occurrence; and the time.
TRACES_TAKING = " AND Duration / 1e6 BETWEEN {shortest:Float64} AND {longest:Float64}"
ENTRIES_TAKING = (
    f"{ENTRIES} AND EntryDuration / 1e6 BETWEEN {{shortest:Float64}} AND {{longest:Float64}})"
)
IN_WINDOW = "Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}"
