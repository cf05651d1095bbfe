"""The two sets of traces of a comparison, as conditions on rows of clew_settled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clew.api.answer import Answer
from clew.api.parameters import Window, sql_time
from clew.api.problems import Problem
from clew.api.traces import entry_parameters, is_automatic
from clew.api.transaction_names import transaction_names
from clew.storage import (
    ENTRIES_TAKING,
    ENTRY_FILTER,
    IN_WINDOW,
    TRACES_TAKING,
    AttributeFilter,
    occurrences_with_span,
    occurrences_without_span,
    span_filters,
    traces_with_span,
    traces_without_span,
)

MAX_DURATION = 1 << 63  # nanoseconds

Durations = tuple[float | None, float | None]  # shortest and longest, in milliseconds
ANY_DURATION: Durations = (None, None)


@dataclass(frozen=True)
class Condition:
    """What selects a set within the population, apart from its window."""

    version: str | None
    attr: list[str]
    durations: Durations

    @property
    def has_durations(self) -> bool:
        return self.durations != ANY_DURATION


@dataclass(frozen=True)
class Population:
    """What traces of both sets have in common, apart from their time: conditions as a fragment of
    SQL, and its parameters. Of a defined transaction (`is_defined`) they are the traces with the
    entries of its occurrences."""

    filters: str
    parameters: Mapping[str, Any]
    is_defined: bool = False

    def with_span(self, span_fragment: str) -> str:
        """The condition that a span of the trace, or of its occurrence, matches."""
        if self.is_defined:
            return occurrences_with_span(span_fragment)
        return traces_with_span(span_fragment)

    def without_span(self, span_fragment: str) -> str:
        """The opposite of `with_span`."""
        if self.is_defined:
            return occurrences_without_span(span_fragment)
        return traces_without_span(span_fragment)


@dataclass(frozen=True)
class TraceSet:
    """One of the two sets: the traces of the population in a window for which a fragment of SQL
    holds, and whose entry took more than `longer_than` and at most `at_most` nanoseconds."""

    window: Window
    filters: str
    parameters: Mapping[str, Any]
    longer_than: int = -1
    at_most: int = MAX_DURATION

    @property
    def since(self) -> str:
        return sql_time(self.window.start)

    @property
    def until(self) -> str:
        return sql_time(self.window.end)


def find_population(
    answer: Answer,
    environment: str | None,
    transaction: str | None,
    service: str | None,
    operation: str | None,
) -> Population:
    """The population of a transaction, or of all traces; with a span of this service and operation.
    Raises Problem 404 for an unknown automatic transaction."""
    parameters: dict[str, Any] = {"environment": environment}
    filters = ""
    if transaction is not None and is_automatic(transaction):
        names = transaction_names(answer, transaction)
        if names is None:
            raise Problem(404, f"no transaction has the id {transaction!r}")
        filters = f" AND Rank < 2{ENTRY_FILTER}"
        parameters |= entry_parameters(names)
    elif transaction is not None:
        filters = occurrences_with_span()
        parameters["transaction"] = transaction
    is_defined = "transaction" in parameters
    population = Population(filters, parameters, is_defined)
    if service is None and operation is None:
        return population
    spans, span_parameters = span_filters([], service=service, operation=operation)
    return replace(
        population,
        filters=filters + population.with_span(spans),
        parameters=parameters | span_parameters,
    )


def trace_sets(
    population: Population,
    window: Window,
    baseline_window: Window | None,
    a: Condition,
    b: Condition,
) -> tuple[TraceSet, TraceSet]:
    """The two sets, from their windows and conditions; `baseline_window` is None if B has none of
    its own. `GET /api/v1/compare` says which conditions of A hold of B too."""
    spans_a, parameters_a = _span_condition(a, "a")
    spans_b, parameters_b = _span_condition(b, "b")
    set_a = TraceSet(window, population.with_span(spans_a) if spans_a else "", parameters_a)
    if spans_b:
        filters = population.with_span(spans_b)
        set_b = TraceSet(baseline_window or window, filters, parameters_b)
    elif baseline_window:
        set_b = replace(set_a, window=baseline_window)
    elif spans_a and not a.has_durations and not b.has_durations:
        return set_a, replace(set_a, filters=population.without_span(spans_a))
    else:
        set_b = TraceSet(window, "", {})
    if not a.has_durations:
        return set_a, _with_durations(population, set_b, b, "b")
    set_a = _with_durations(population, set_a, a, "a")
    return set_a, _without(set_a, _with_durations(population, set_b, b, "b"))


def _with_durations(
    population: Population, traces: TraceSet, condition: Condition, prefix: str
) -> TraceSet:
    """Those of the traces whose entries took as long as the condition says."""
    if not condition.has_durations:
        return traces
    shortest, longest = condition.durations
    bounds = {"shortest": shortest or 0.0, "longest": math.inf if longest is None else longest}
    fragment = ENTRIES_TAKING if population.is_defined else TRACES_TAKING
    for name in bounds:
        fragment = fragment.replace(f"{{{name}:", f"{{{prefix}_{name}:")
    parameters = {f"{prefix}_{name}": bound for name, bound in bounds.items()}
    return replace(
        traces, filters=traces.filters + fragment, parameters={**traces.parameters, **parameters}
    )


def _without(excluded: TraceSet, traces: TraceSet) -> TraceSet:
    """Those of the traces that are not in the other set."""
    condition = f"{IN_WINDOW}{excluded.filters}"
    for name in ("since", "until"):
        condition = condition.replace(f"{{{name}:", f"{{excluded_{name}:")
    bounds = {"excluded_since": excluded.since, "excluded_until": excluded.until}
    return replace(
        traces,
        filters=f"{traces.filters} AND NOT ({condition})",
        parameters={**traces.parameters, **excluded.parameters, **bounds},
    )


def _span_condition(condition: Condition, prefix: str) -> tuple[str, dict[str, Any]]:
    """A fragment of SQL on spans, and its parameters. Their names get a prefix, because those of
    the other set and of the population stand in the same statement."""
    fragment, parameters = span_filters(
        [AttributeFilter.parse(text) for text in condition.attr], version=condition.version
    )
    for name in parameters:
        fragment = fragment.replace(f"{{{name}:", f"{{{prefix}_{name}:")
    return fragment, {f"{prefix}_{name}": value for name, value in parameters.items()}
