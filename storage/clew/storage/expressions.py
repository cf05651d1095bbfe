"""The filter of Jaeger's query API (`query.filter`), as a fragment of SQL.

A filter is a tree of calls in JSON. An operator has arguments, and an argument is one of:

    {"attr": {"key", "level"}}     an attribute; without a level, of the span or its resource
    {"field": {"name", "level"}}   what a span has besides attributes: its name, duration, …
    {"nested": {"level"}}          all events or links of the span, for the operator `some`
    {"scalar": {"value", "type"}}  a constant: a text, and the type to read it as
    {"list": {"values", "type"}}   constants
    {"call": {"op", "args"}}       a condition

A reference may have several values (an attribute of events has one for each event). A condition
holds when one of them meets it. `ne` and `not_in` hold when there is a value and none of them is
equal, so they do not hold of a span without the attribute.

A constant with a type is compared with values of that type only (`otel_traces.AttributeTypes`).
Where the types of a row are not known, because another program wrote it, each value is read as the
type. Every value of a filter is a parameter of the fragment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from clew.storage.errors import StorageError

MAX_CALLS = 200
MAX_DEPTH = 50
LEVELS = ("span", "resource", "scope", "event", "link")
COLLECTIONS = ("event", "link")
COMPARISONS = {"eq": "=", "ne": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
ORDERED = ("lt", "lte", "gt", "gte")
REVERSED = {"lt": "gt", "gt": "lt", "lte": "gte", "gte": "lte"}
NEGATED = ("ne", "not_in")
WORD_OPERATORS = {"phrase": "hasSubstr", "fulltext": "hasAll"}
TYPES = {"string": "s", "int": "i", "double": "d", "bool": "b"}  # letters of AttributeTypes


class ExpressionError(StorageError):
    """A filter that is not well formed."""


class UnsupportedExpression(StorageError):
    """A well-formed filter about something that is not stored, or that cannot be compared here."""


class Field(NamedTuple):
    """An expression for a field, and its type: string, time, duration, kind or status. A string is
    missing where it is empty."""

    sql: str
    type: str


WORDS = {
    "kind": ("unspecified", "internal", "server", "client", "producer", "consumer"),
    "status": ("unset", "ok", "error"),
}
STATUS = (
    "multiIf(clew_is_error(StatusCode), 'error',"
    " StatusCode IN ('Ok', 'STATUS_CODE_OK'), 'ok', 'unset')"
)
START = "toUnixTimestamp64Nano(Timestamp)"
FIELDS = {
    ("span", "traceID"): Field("TraceId", "string"),
    ("span", "spanID"): Field("SpanId", "string"),
    ("span", "parentSpanID"): Field("ParentSpanId", "string"),
    ("span", "traceState"): Field("TraceState", "string"),
    ("span", "name"): Field("SpanName", "string"),
    ("span", "kind"): Field("clew_kind_name(SpanKind)", "kind"),
    ("span", "startTime"): Field(START, "time"),
    ("span", "endTime"): Field("toInt64(clew_end(Timestamp, Duration))", "time"),
    ("span", "status"): Field(STATUS, "status"),
    ("span", "statusMessage"): Field("StatusMessage", "string"),
    ("span", "duration"): Field("toInt64(clew_duration(Duration))", "duration"),
    ("resource", "service"): Field("ServiceName", "string"),
    ("scope", "name"): Field("ScopeName", "string"),
    ("scope", "version"): Field("ScopeVersion", "string"),
    ("event", "name"): Field("event_name", "string"),
    ("event", "time"): Field("toUnixTimestamp64Nano(event_time)", "time"),
    ("event", "timeSinceStart"): Field(f"toUnixTimestamp64Nano(event_time) - {START}", "duration"),
    ("link", "traceID"): Field("link_trace", "string"),
    ("link", "spanID"): Field("link_span", "string"),
    ("link", "traceState"): Field("link_state", "string"),
}
NOT_STORED = {("resource", "schemaURL"), ("scope", "schemaURL")}

# By level: the map of its attributes, and their types.
MAPS = {
    "span": ("SpanAttributes", "splitByChar('|', AttributeTypes)[3]"),
    "resource": ("ResourceAttributes", "splitByChar('|', AttributeTypes)[1]"),
    "scope": ("ScopeAttributes", "splitByChar('|', AttributeTypes)[2]"),
    "event": ("event_attributes", "event_types"),
    "link": ("link_attributes", "link_types"),
}
# A condition about one event, or one link, of the row.
ONE_OF = {
    "event": "arrayExists((event_time, event_name, event_attributes, event_types) -> {condition},"
    " Events.Timestamp, Events.Name, Events.Attributes, arrayResize("
    "splitByChar(',', splitByChar('|', AttributeTypes)[4]), length(Events.Name), ''))",
    "link": "arrayExists((link_trace, link_span, link_state, link_attributes, link_types) ->"
    " {condition}, Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes, arrayResize("
    "splitByChar(',', splitByChar('|', AttributeTypes)[5]), length(Links.TraceId), ''))",
}

# A condition on a value: of an expression for its text (or number), and one for its type's letter.
Condition = Callable[[str, str], str]
Reader = Callable[[str], int]


class SpanExpression(NamedTuple):
    """A fragment ` AND (…)` that holds of a span that matches a filter, and its parameters.
    `patterns` are its regular expressions, which the engine may not accept."""

    fragment: str
    parameters: dict[str, Any]
    patterns: list[str]


def span_expression(document: Any, readers: Mapping[str, Reader]) -> SpanExpression:
    """The expression of the filter whose JSON is `document`.

    `readers` reads a constant of the type `duration`, or `time`, as nanoseconds, and raises
    ValueError. Raises ExpressionError or UnsupportedExpression."""
    expression = _Expression(readers)
    fragment = f" AND ({expression.call(document, (), 1)})"
    return SpanExpression(fragment, expression.parameters, expression.patterns)


class _Expression:
    """Builds the conditions of one filter. `bound` are the levels of the calls of `some` around."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self.parameters: dict[str, Any] = {}
        self.patterns: list[str] = []
        self._readers = readers
        self._calls = 0

    def call(self, document: Any, bound: tuple[str, ...], depth: int) -> str:
        """The condition of a call."""
        members = _members(document, {"op": str, "args": list}, "a call")
        operator, arguments = members["op"], members["args"]
        self._calls += 1
        if depth > MAX_DEPTH or self._calls > MAX_CALLS:
            raise ExpressionError(
                f"a filter has at most {MAX_CALLS} calls, {MAX_DEPTH} inside one another"
            )
        if operator in ("and", "or", "not"):
            return self._combination(operator, arguments, bound, depth)
        if operator == "some":
            return self._quantifier(arguments, bound, depth)
        if operator == "exists":
            (reference,) = _counted(operator, arguments, 1)
            return self._holds(reference, bound, lambda value, letter: "1")
        if operator not in (*COMPARISONS, *WORD_OPERATORS, "in", "not_in", "regex"):
            raise ExpressionError(f"unknown filter operator {operator!r}")
        reference, constant = _counted(operator, arguments, 2)
        if operator in COMPARISONS and _kind(reference) == "scalar":
            reference, constant = constant, reference
            operator = REVERSED.get(operator, operator)
        condition = self._condition(operator, reference, constant)
        holds = self._holds(reference, bound, condition)
        if operator not in NEGATED:
            return holds
        exists = self._holds(reference, bound, lambda value, letter: "1")
        return f"({exists} AND NOT {holds})"

    def _combination(
        self, operator: str, arguments: list[Any], bound: tuple[str, ...], depth: int
    ) -> str:
        if operator == "not":
            _counted(operator, arguments, 1)
        elif len(arguments) < 2:
            raise ExpressionError(f"operator {operator!r} takes at least two arguments")
        conditions = []
        for argument in arguments:
            if _kind(argument) != "call":
                raise ExpressionError(f"operator {operator!r} takes calls as arguments")
            conditions.append(self.call(argument["call"], bound, depth + 1))
        if operator == "not":
            return f"NOT ({conditions[0]})"
        return f"({f' {operator.upper()} '.join(conditions)})"

    def _quantifier(self, arguments: list[Any], bound: tuple[str, ...], depth: int) -> str:
        collection, predicate = _counted("some", arguments, 2)
        if _kind(collection) != "nested" or _kind(predicate) != "call":
            raise ExpressionError("operator 'some' takes a nested reference and a call")
        level = _members(collection["nested"], {"level": str}, "a nested reference")["level"]
        if level not in COLLECTIONS or level in bound:
            raise ExpressionError(
                "operator 'some' takes the level event or link, each once inside one another"
            )
        condition = self.call(predicate["call"], (*bound, level), depth + 1)
        return ONE_OF[level].format(condition=condition)

    def _holds(self, reference: Any, bound: tuple[str, ...], condition: Condition) -> str:
        """That a value of the reference meets the condition."""
        kind = _kind(reference)
        if kind == "attr":
            names = _members(reference["attr"], {"key": str}, "an attribute", {"level": str})
            levels = [names["level"]] if names.get("level") else ["span", "resource"]
            if not names["key"]:
                raise ExpressionError("an attribute has a key")
            of_levels = [
                self._attribute_holds(level, names["key"], bound, condition) for level in levels
            ]
            return f"({' OR '.join(of_levels)})"
        if kind != "field":
            raise ExpressionError(f"a condition is about an attribute or a field, not {kind}")
        level, field = _field(reference)
        is_text = field.type in ("string", *WORDS)
        holds = condition(f"toString({field.sql})" if is_text else field.sql, "")
        present = f"({field.sql} != '' AND {holds})" if is_text else f"({holds})"
        return _of_one(level, bound, present)

    def _attribute_holds(
        self, level: str, key: str, bound: tuple[str, ...], condition: Condition
    ) -> str:
        if level not in LEVELS:
            raise ExpressionError(f"unknown filter level {level!r}")
        attributes, types = MAPS[level]
        name = self._parameter("String", key)
        letter = (
            f"if(length({types}) = length(mapKeys({attributes})),"
            f" substring({types}, indexOf(mapKeys({attributes}), {name}), 1), '')"
        )
        holds = condition(f"{attributes}[{name}]", letter)
        return _of_one(level, bound, f"(mapContains({attributes}, {name}) AND {holds})")

    def _condition(self, operator: str, reference: Any, constant: Any) -> Condition:
        """The condition of an operator with a constant, on one value of the reference."""
        type = _field(reference)[1].type if _kind(reference) == "field" else ""
        if operator in WORD_OPERATORS:
            return self._words_condition(operator, type, constant)
        if operator in ("in", "not_in"):
            if _kind(constant) != "list":
                raise ExpressionError(f"operator {operator!r} takes a list")
            listed = _members(constant["list"], {"values": list}, "a list", {"type": str})
            if not listed["values"]:
                raise ExpressionError(f"operator {operator!r} takes a list with an element")
            equal = [
                self._comparison("eq", type, _text(value), listed.get("type", ""))
                for value in listed["values"]
            ]
            return lambda value, letter: f"({' OR '.join(one(value, letter) for one in equal)})"
        if _kind(constant) != "scalar":
            raise UnsupportedExpression(
                f"operator {operator!r} compares an attribute or a field with a constant here"
            )
        scalar = _members(constant["scalar"], {"value": str}, "a scalar", {"type": str})
        if operator == "regex":
            if type in ("time", "duration") or scalar.get("type", "") not in ("", "string"):
                raise ExpressionError("operator 'regex' matches texts")
            self.patterns.append(scalar["value"])
            pattern = self._parameter("String", scalar["value"])
            return lambda value, letter: f"match({value}, {pattern})"
        return self._comparison(operator, type, scalar["value"], scalar.get("type", ""))

    def _words_condition(self, operator: str, type: str, constant: Any) -> Condition:
        listed = (
            _members(constant["list"], {"values": list}, "a list", {"type": str})
            if _kind(constant) == "list"
            else {"values": []}
        )
        words = [_text(word) for word in listed["values"]]
        if type or listed.get("type", "") not in ("", "string") or not words:
            raise ExpressionError(f"operator {operator!r} takes an attribute and a list of words")
        if not all(word.isalnum() for word in words):
            raise ExpressionError(f"operator {operator!r} takes words of letters and digits")
        function = WORD_OPERATORS[operator]
        lowered = self._parameter("Array(String)", [word.lower() for word in words])
        return lambda value, letter: f"{function}(splitByNonAlpha(lowerUTF8({value})), {lowered})"

    def _comparison(self, operator: str, field_type: str, text: str, type: str) -> Condition:
        """The comparison with a constant of a `type`, or with an empty one, of any."""
        sign = COMPARISONS[operator]
        if type and type not in TYPES:
            raise ExpressionError(f"unknown filter value type {type!r}")
        if field_type:
            return self._field_comparison(operator, field_type, text, type)
        if operator in ORDERED and type == "bool":
            raise ExpressionError(f"operator {operator!r} has no order for booleans")
        if type in ("int", "double"):
            reading = "toInt64OrNull" if type == "int" else "toFloat64OrNull"
            number = self._number(text, type)
            return _of_type(type, lambda value: f"ifNull({reading}({value}) {sign} {number}, 0)")
        if type == "bool":
            if text not in ("true", "false"):
                raise ExpressionError(f"{text!r} is not a boolean: true or false")
            boolean = self._parameter("String", text)
            return _of_type(type, lambda value: f"{value} = {boolean}")
        parameter = self._parameter("String", text)
        if type == "string":
            return _of_type(type, lambda value: f"{value} {sign} {parameter}")
        if operator not in ORDERED:
            return lambda value, letter: f"{value} = {parameter}"
        if not _is_number(text):
            return lambda value, letter: f"({letter} IN ('s', '') AND {value} {sign} {parameter})"
        number = self._number(text, "double")
        return lambda value, letter: (
            f"if({letter} = 's', {value} {sign} {parameter},"
            f" ifNull(toFloat64OrNull({value}) {sign} {number}, 0))"
        )

    def _field_comparison(self, operator: str, field_type: str, text: str, type: str) -> Condition:
        sign = COMPARISONS[operator]
        if field_type in ("duration", "time"):
            if type:
                raise ExpressionError(f"a {field_type} is not a constant of the type {type}")
            try:
                nanoseconds = self._parameter("Int64", self._readers[field_type](text))
            except ValueError as error:
                raise ExpressionError(f"{text!r} is not a {field_type}: {error}") from error
            return lambda value, letter: f"{value} {sign} {nanoseconds}"
        if type not in ("", "string"):
            raise ExpressionError(f"a text is not a constant of the type {type}")
        if words := WORDS.get(field_type):
            if operator in ORDERED:
                raise ExpressionError(f"operator {operator!r} has no order for a {field_type}")
            if text not in words:
                raise ExpressionError(f"{text!r} is not one of {', '.join(words)}")
        parameter = self._parameter("String", text)
        return lambda value, letter: f"{value} {sign} {parameter}"

    def _number(self, text: str, type: str) -> str:
        try:
            if type == "int" and -(2**63) <= int(text) < 2**63:
                return self._parameter("Int64", int(text))
            if type == "double" and math.isfinite(float(text)):
                return self._parameter("Float64", float(text))
        except ValueError:
            pass
        raise ExpressionError(f"{text!r} is not a number of the type {type}")

    def _parameter(self, type: str, value: Any) -> str:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type}}}"


def _of_type(type: str, condition: Callable[[str], str]) -> Condition:
    return lambda value, letter: f"({letter} IN ('{TYPES[type]}', '') AND {condition(value)})"


def _of_one(level: str, bound: tuple[str, ...], condition: str) -> str:
    """The condition about the level's bound element, or, outside of `some`, about one of them."""
    if level in COLLECTIONS and level not in bound:
        return ONE_OF[level].format(condition=condition)
    return condition


def _kind(argument: Any) -> str:
    """Which of the terms an argument is."""
    terms = ("attr", "field", "nested", "scalar", "list", "call")
    if not isinstance(argument, dict) or len(argument) != 1 or not (argument.keys() & {*terms}):
        raise ExpressionError(f"an argument is one of {', '.join(terms)}")
    return str(next(iter(argument)))


def _field(reference: Any) -> tuple[str, Field]:
    names = _members(reference["field"], {"name": str, "level": str}, "a field")
    key = names["level"], names["name"]
    if key in NOT_STORED:
        raise UnsupportedExpression(f"{'.'.join(key)} is not stored")
    if key not in FIELDS:
        raise ExpressionError(f"unknown field {names['name']!r} at the level {names['level']!r}")
    return names["level"], FIELDS[key]


def _members(
    document: Any,
    required: Mapping[str, type],
    what: str,
    optional: Mapping[str, type] | None = None,
) -> dict[str, Any]:
    """The members of an object, whose names and types are checked."""
    types = {**required, **(optional or {})}
    if not isinstance(document, dict) or not required.keys() <= document.keys() <= types.keys():
        raise ExpressionError(f"{what} has the members {', '.join(types)}")
    for name, value in document.items():
        if not isinstance(value, types[name]):
            raise ExpressionError(f"{what}: {name} is a {types[name].__name__}")
        if isinstance(value, str):
            _text(value)
    return document


def _counted(operator: str, arguments: list[Any], count: int) -> list[Any]:
    if len(arguments) != count:
        raise ExpressionError(f"operator {operator!r} takes {count} arguments")
    return arguments


def _text(value: Any) -> str:
    """A text that can be sent to the engine: half of a surrogate pair cannot."""
    if not isinstance(value, str):
        raise ExpressionError("the values of a list are texts")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ExpressionError("a text is not valid Unicode") from error
    return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
