"""Filters on spans, log records and their attributes (for Jaeger's API: clew.storage.expressions).

A fragment is text that a query has in place of `/*filters*/`; every value in it is a parameter.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Any

from clew.storage.attributes import COMPARISONS, AttributeFilter

SPANS = "SpanAttributes"


def attribute_filters(filters: list[AttributeFilter], column: str) -> tuple[str, dict[str, Any]]:
    """A fragment ` AND … AND …` for these filters, and its parameters.

    A key is looked up in the row's map `column` (`SpanAttributes` or `LogAttributes`, a name from
    clew's code) and, when it is not there, in ResourceAttributes. A key with a prefix is looked up
    in the row's scope, or in the links or events of a span: one value that matches is enough."""
    fragments = []
    parameters: dict[str, Any] = {}
    for number, attribute in enumerate(filters):
        name, texts = _field(attribute, column)
        values = [_as_stored(attribute, text) for text in attribute.values or (attribute.value,)]
        operator = attribute.operator
        if "" in values and operator in EMPTY_OPERATORS and not texts:
            operator += " empty"
        condition = (TEXT_CONDITIONS if texts else CONDITIONS)[operator]
        value_type = VALUE_TYPES.get(attribute.operator, "String")
        named: dict[str, Any] = {
            f"attr_key_{number}": name,
            f"attr_value_{number}": values if attribute.operator == "in" else values[0],
        }
        if attribute.operator in COMPARISONS:
            named[f"attr_value_{number}"] = float(attribute.value)
        fragment = condition.replace("{texts}", texts).format(
            key=f"{{attr_key_{number}:String}}",
            value=f"{{attr_value_{number}:{value_type}}}",
            column=column,
        )
        fragments.append(f" AND ({fragment})")
        parameters |= {name: value for name, value in named.items() if f"{{{name}:" in fragment}
    return "".join(fragments), parameters


def _field(attribute: AttributeFilter, column: str) -> tuple[str, str]:
    """The name that a filter looks up, and an expression for the texts under it; this is empty
    where the name is the key of an attribute."""
    kind = attribute.prefix.removeprefix("otel.")
    if not kind or (kind != "scope." and column != SPANS):
        return attribute.key, ""
    name = attribute.key.removeprefix(attribute.prefix)
    return name, FIELDS.get(kind + name) or FIELD_ATTRIBUTES[kind]


def _as_stored(attribute: AttributeFilter, text: str) -> str:
    """Ids of linked spans may be written without leading zeros, and in capitals."""
    digits = ID_DIGITS.get(attribute.key) if attribute.prefix else None
    is_id = digits and attribute.operator in ("=", "!=", "in")
    return text.lower().zfill(digits or 0) if is_id else text


@dataclass(frozen=True)
class BodyTerm:
    """A word or phrase that the body of a log record must contain, or must not."""

    text: str
    is_phrase: bool = False
    is_excluded: bool = False

    @classmethod
    def parse(cls, query: str) -> list[BodyTerm]:
        """The terms of `declined "order 7" -timeout -"will retry"`."""
        return [
            cls(phrase or word.strip(string.punctuation), bool(phrase), bool(minus))
            for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', query)
        ]


def body_filters(terms: list[BodyTerm]) -> tuple[str, dict[str, Any]]:
    """A fragment ` AND … AND …` that holds of a log record whose body matches the terms, and its
    parameters."""
    # The words of a phrase are looked up in the index with the others.
    required = " ".join(term.text for term in terms if not term.is_excluded)
    fragments, parameters = [], {}
    if re.search(r"[^\x00-\x7f]|[^\W_]", required):
        fragments.append(ASCII_WORDS if required.isascii() else WORDS)
        parameters["body_words"] = required
    for number, term in enumerate(terms):
        condition = BODY_CONDITIONS.get((term.is_phrase, term.is_excluded))
        if condition and term.text:
            fragments.append(condition.format(text=f"{{body_term_{number}:String}}"))
            parameters[f"body_term_{number}"] = term.text
    return "".join(fragments), parameters


def span_filters(
    attributes: list[AttributeFilter],
    *,
    service: str | None = None,
    services: list[str] | None = None,
    operation: str | None = None,
    is_error: bool | None = None,
    environment: str | None = None,
    version: str | None = None,
    kind: str | None = None,
    min_duration_ns: int | None = None,
    max_duration_ns: int | None = None,
) -> tuple[str, dict[str, Any]]:
    """A fragment ` AND … AND …` that holds of one span, and its parameters.

    `kind` is in lower case, such as "server". A filter that is None adds no condition, because
    every condition costs the statement planning time."""
    fragment, parameters = attribute_filters(attributes, "SpanAttributes")
    filters: dict[str, Any] = {
        "service": service,
        "services": services,
        "operation": operation,
        "is_error": is_error,
        "environment": environment,
        "version": version,
        "kind": kind,
        "min_duration_ns": min_duration_ns,
        "max_duration_ns": max_duration_ns,
    }
    for name, value in filters.items():
        if value is not None:
            fragment = f" AND {SPAN_CONDITIONS[name]}{fragment}"
            parameters[name] = value
    return fragment, parameters


def spans_with_tags(tags: dict[str, str]) -> tuple[list[str], dict[str, Any]]:
    """Fragments ` AND … AND …`, one of which holds of a span that has all of these tags in Jaeger's
    sense, and their parameters. A tag may be an attribute of the span, its resource, its scope, one
    of its events or one of its links.

    Two fragments, because indexes help with the first alone; the second is only about the few spans
    with an event, a link or an attribute of their scope."""
    prefix = "otel.scope."
    of_scope = [
        AttributeFilter(key, "=", tags[key], prefix=prefix)
        for key in (f"{prefix}name", f"{prefix}version")
        if key in tags
    ]
    scope, _ = attribute_filters(of_scope, SPANS)
    others = [
        AttributeFilter(key, "=", value)
        for key, value in tags.items()
        if not any(tag.key == key for tag in of_scope)
    ]
    fragment, parameters = attribute_filters([*of_scope, *others], SPANS)
    if not others or not all(tags.values()):
        return [fragment], parameters
    anywhere = "".join(
        TAG.format(key=f"{{attr_key_{number}:String}}", value=f"{{attr_value_{number}:String}}")
        for number in range(len(of_scope), len(tags))
    )
    return [fragment, HAS_MORE_TAGS + scope + anywhere], parameters


def traces_with_span(span_fragment: str) -> str:
    """A fragment for the traces of which at least one span, started from {since} on and before
    {until} plus one hour, matches the fragment `span_fragment`."""
    return f"{TRACE_OF_SPAN}{span_fragment})"


def traces_without_span(span_fragment: str) -> str:
    """A fragment for all traces that `traces_with_span` leaves out."""
    return traces_with_span(span_fragment).replace("TraceId IN", "TraceId NOT IN", 1)


WORDS = " AND clew_has_words(Body, {body_words:String})"
# The same for words of ASCII: it takes 2 ms less to plan.
ASCII_WORDS = " AND hasAllTokens(clew_search_text(Body), clew_search_words({body_words:String}))"
# By (is_phrase, is_excluded). An excluded word of several tokens, such as `retry-3`, must not occur
# as written.
BODY_CONDITIONS = {
    (True, False): " AND clew_has_phrase(Body, {text})",
    (True, True): " AND NOT clew_has_phrase(Body, {text})",
    (False, True): " AND NOT (hasAllTokens(clew_search_text(Body), clew_search_words({text}))"
    " AND clew_has_phrase(Body, {text}))",
}

SPAN_CONDITIONS = {
    "service": "ServiceName = {service:String}",
    "services": "ServiceName IN {services:Array(String)}",
    "operation": "SpanName = {operation:String}",
    "is_error": "clew_is_error(StatusCode) = {is_error:Bool}",
    "environment": "Environment = {environment:String}",
    "version": "ServiceVersion = {version:String}",
    "kind": "clew_kind_name(SpanKind) = {kind:String}",
    "min_duration_ns": "clew_duration(Duration) >= {min_duration_ns:UInt64}",
    "max_duration_ns": "clew_duration(Duration) <= {max_duration_ns:UInt64}",
    # the entry span of an automatic transaction
    "entry": "ServiceName = {entry_service:String}"
    " AND ({entry_named:Bool} AND SpanName IN {entry_names:Array(String)}"
    " OR NOT {entry_named:Bool} AND SpanName NOT IN {entry_names:Array(String)})",
}
TRACE_OF_SPAN = (
    " AND TraceId IN (SELECT TraceId FROM otel.otel_traces WHERE Timestamp >= {since:DateTime64(9)}"
    " AND Timestamp < {until:DateTime64(9)} + toIntervalHour(1)"
)
ENTRY_FILTER = f" AND {SPAN_CONDITIONS['entry']}"
# Durations are those of whole traces. A trace has rows in clew_traces that are not merged yet, and
# some may lie outside the stretch: a trace that seems too short is looked at as a whole if its root
# is not in sight. One that seems short enough may be longer: who reads the whole compares again.
LENGTH = "reinterpretAsInt64(max(End)) - reinterpretAsInt64(min(Start))"
LONG_TRACES = """
    AND TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE Start < {until:DateTime64(9)} + toIntervalDay(2)
            AND End >= {since:DateTime64(9)} - toIntervalDay(2)
            AND TraceId IN (
                SELECT TraceId FROM otel.clew_traces
                WHERE Start < {until:DateTime64(9)} + toIntervalHour(1)
                    AND End >= {since:DateTime64(9)}
                GROUP BY TraceId
                HAVING /*length*/ >= {min_duration_ms:Float64} * 1e6
                    OR clew_is_rootless(min(EntryKey)))
        GROUP BY TraceId
        HAVING /*length*/ >= {min_duration_ms:Float64} * 1e6)""".replace("/*length*/", LENGTH)
SHORT_TRACES = """
    AND TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE Start < {until:DateTime64(9)} + toIntervalHour(1) AND End >= {since:DateTime64(9)}
        GROUP BY TraceId
        HAVING /*length*/ <= {max_duration_ms:Float64} * 1e6)""".replace("/*length*/", LENGTH)
# The entry of a trace lies within an hour of the stretch, or up to two days away if the trace is
# long or the clocks differ: then its part in the stretch is long, or has no root.
TRACES_WITH_ENTRY = """
    AND (TraceId IN (
            SELECT TraceId FROM otel.otel_traces
            WHERE Timestamp >= {since:DateTime64(9)} - toIntervalHour(1)
                AND Timestamp < {until:DateTime64(9)} + toIntervalHour(1)/*entry*/)
        OR TraceId IN (
            SELECT TraceId FROM otel.otel_traces
            WHERE Timestamp >= {since:DateTime64(9)} - toIntervalDay(2)
                AND Timestamp < {until:DateTime64(9)} + toIntervalDay(2)/*entry*/
                AND TraceId IN (
                    SELECT TraceId FROM otel.clew_traces
                    WHERE Start < {until:DateTime64(9)} AND End >= {since:DateTime64(9)}
                        AND (Start < {since:DateTime64(9)} - toIntervalHour(1)
                            OR End >= {until:DateTime64(9)} + toIntervalHour(1)
                            OR clew_is_rootless(EntryKey)))))""".replace("/*entry*/", ENTRY_FILTER)
TRACES_IN_OCCURRENCES = (
    " AND TraceId IN (SELECT TraceId FROM otel.clew_occurrence_traces FINAL"
    " WHERE Transaction = {transaction:String}"
    " AND End >= {since:DateTime64(9)} AND Start < {until:DateTime64(9)})"
)


# A row without the key equals no value and differs from every value.
HAS_KEY = "(mapContains({column}, {key}) OR mapContains(ResourceAttributes, {key}))"
CURRENT = "if(mapContains({column}, {key}), {column}[{key}], ResourceAttributes[{key}])"
# A Map returns '' for a missing key, so a comparison with another value needs no test for the key:
# over a day of 2 million spans this takes 410 ms of CPU time instead of 610. Bloom filters skip
# granules in both forms.
EQUAL = (
    "({column}[{key}] = {value}"
    " OR ResourceAttributes[{key}] = {value} AND NOT mapContains({column}, {key}))"
)
CONDITIONS = {
    "=": EQUAL,
    "= empty": f"{HAS_KEY} AND {CURRENT} = {{value}}",
    "!=": f"NOT {EQUAL}",
    "!= empty": f"NOT ({HAS_KEY} AND {CURRENT} = {{value}})",
    "~": f"{HAS_KEY} AND position({CURRENT}, {{value}}) > 0",
    "in": EQUAL.replace("=", "IN"),
    "in empty": f"{HAS_KEY} AND {CURRENT} IN {{value}}",
    "exists": HAS_KEY,
    **{
        operator: f"{HAS_KEY} AND toFloat64OrNull({CURRENT}) {operator} {{value}}"
        for operator in COMPARISONS
    },
}
EMPTY_OPERATORS = ("=", "!=", "in")  # other conditions hold for rows with the key only
VALUE_TYPES = {"in": "Array(String)", **dict.fromkeys(COMPARISONS, "Float64")}

# Arrays of texts: what a key with a prefix means. Other keys with the prefix are attributes.
FIELDS = {
    "scope.name": "arrayFilter(text -> text != '', [toString(ScopeName)])",
    "scope.version": "arrayFilter(text -> text != '', [toString(ScopeVersion)])",
    "link.trace_id": "Links.TraceId",
    "link.span_id": "Links.SpanId",
    "event.name": "Events.Name",
}
FIELD_ATTRIBUTES = {
    "scope.": "if(mapContains(ScopeAttributes, {key}), [ScopeAttributes[{key}]], [])",
    **{
        prefix: f"arrayMap(map -> map[{{key}}], arrayFilter(map -> mapContains(map, {{key}}),"
        f" {maps}))"
        for prefix, maps in (("link.", "Links.Attributes"), ("event.", "Events.Attributes"))
    },
}
ID_DIGITS = {"link.trace_id": 32, "link.span_id": 16}
TEXT_CONDITIONS = {
    "=": "has({texts}, {value})",
    "!=": "NOT has({texts}, {value})",
    "~": "arrayExists(text -> position(text, {value}) > 0, {texts})",
    "in": "hasAny({texts}, {value})",
    "exists": "notEmpty({texts})",
    **{
        operator: f"arrayExists(text -> ifNull(toFloat64OrNull(text) {operator} {{value}}, false),"
        " {texts})"
        for operator in COMPARISONS
    },
}

HAS_MORE_TAGS = (
    " AND (notEmpty(Events.Name) OR notEmpty(Links.TraceId) OR notEmpty(ScopeAttributes))"
)
TAG = (
    " AND (SpanAttributes[{key}] = {value} OR ResourceAttributes[{key}] = {value}"
    " OR ScopeAttributes[{key}] = {value}"
    " OR {key} = 'event' AND has(Events.Name, {value})"
    " OR arrayExists(map -> map[{key}] = {value}, Events.Attributes)"
    " OR arrayExists(map -> map[{key}] = {value}, Links.Attributes))"
)
