"""Filters on occurrences by what any of their spans or log records carries. Made of fragments of
clew.storage.filters."""

from __future__ import annotations

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
