"""Filters on spans, log records and their attributes (for Jaeger's API: clew.storage.expressions).

A fragment is text that a query has in place of `/*filters*/`; every value in it is a parameter.
"""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass
from typing import Any

from clew.storage.errors import StorageError

COMPARISONS = ("<", ">")


class FilterError(StorageError):
    """A filter that cannot be parsed; the message shows the syntax."""


@dataclass(frozen=True)
class AttributeFilter:
    """A condition on one attribute: `key`, `operator` and `value`.

    The operators are `=`, `!=`, `~` (contains), and `>` and `<` (of numbers)."""

    key: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> AttributeFilter:
        """Parse `http.route=/checkout`, `http.route~check`, `http.response.status_code>499`, ….

        Raises FilterError."""
        match = re.fullmatch(r"([^=!~<>]+)(!=|=|~|>|<)(.*)", text, re.DOTALL)
        if match is None:
            raise FilterError(
                f"attr {text!r}: write key=value, key!=value, key~part, key>number or key<number"
            )
        key, operator, value = match.groups()
        if operator in COMPARISONS and not _is_number(value):
            raise FilterError(
                f"attr {text!r}: {operator} compares numbers; {value!r} is not a number"
            )
        return cls(key, operator, value)


def attribute_filters(filters: list[AttributeFilter], column: str) -> tuple[str, dict[str, Any]]:
    """A fragment ` AND … AND …` for these filters, and its parameters.

    A key is looked up in the row's map `column` (`SpanAttributes` or `LogAttributes`, a name from
    clew's code) and, when it is not there, in ResourceAttributes."""
    fragments = []
    parameters: dict[str, Any] = {}
    for number, attribute in enumerate(filters):
        is_comparison = attribute.operator in COMPARISONS
        key = f"{{attr_key_{number}:String}}"
        value = f"{{attr_value_{number}:{'Float64' if is_comparison else 'String'}}}"
        current = f"if(mapContains({column}, {key}), {column}[{key}], ResourceAttributes[{key}])"
        operator = attribute.operator if attribute.value else f"{attribute.operator} empty"
        condition = CONDITIONS[operator].format(
            current=current, value=value, key=key, column=column
        )
        fragments.append(f" AND ({condition})")
        parameters |= {
            f"attr_key_{number}": attribute.key,
            f"attr_value_{number}": float(attribute.value) if is_comparison else attribute.value,
        }
    return "".join(fragments), parameters


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
TRACES_WITH_ENTRY = traces_with_span(ENTRY_FILTER)
TRACES_IN_OCCURRENCES = (
    " AND TraceId IN (SELECT TraceId FROM otel.clew_occurrence_traces FINAL"
    " WHERE Transaction = {transaction:String}"
    " AND Start >= {since:DateTime64(9)} AND Start < {until:DateTime64(9)})"
)


# A row without the key equals no value and differs from every value.
HAS_KEY = "(mapContains({column}, {key}) OR mapContains(ResourceAttributes, {key}))"
# A Map returns '' for a missing key, so a comparison with another value needs no test for the key:
# over a day of 2 million spans this takes 410 ms of CPU time instead of 610. Bloom filters skip
# granules in both forms.
EQUAL = (
    "({column}[{key}] = {value}"
    " OR ResourceAttributes[{key}] = {value} AND NOT mapContains({column}, {key}))"
)
CONDITIONS = {
    "=": EQUAL,
    "= empty": HAS_KEY + " AND {current} = {value}",
    "!=": "NOT " + EQUAL,
    "!= empty": "NOT (" + HAS_KEY + " AND {current} = {value})",
    "~": HAS_KEY + " AND position({current}, {value}) > 0",
    "~ empty": HAS_KEY,
    ">": HAS_KEY + " AND toFloat64OrNull({current}) > {value}",
    "<": HAS_KEY + " AND toFloat64OrNull({current}) < {value}",
}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
