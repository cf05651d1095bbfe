"""Two sets of traces, and what is different in them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query

from clew.api import models
from clew.api.answer import Answer, Answering
from clew.api.parameters import CommonParameters, Window, as_parameter, parse_time, rfc3339
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.traces import Attributes, entered_at, is_automatic
from clew.storage import (
    ENTRY_FILTER,
    TRACES_IN_OCCURRENCES,
    AttributeFilter,
    queries,
    span_filters,
    traces_with_span,
    traces_without_span,
)

router = routes("compare")

SAMPLE = 2000  # traces of either set
LEAST = 5  # traces of one set with a value, below which it is not looked at
# The chance that any value is named where the two sets are of one kind.
SIGNIFICANT = 0.001
CANDIDATES = 1000
EVER = 1 << 63


@dataclass(frozen=True)
class Population:
    """The traces that both sets are of, but for their time."""

    filters: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """A set of traces of the population: when, and what else has to hold."""

    window: Window
    filters: str
    parameters: Mapping[str, Any]
    longer_than: int = -1
    at_most: int = EVER

    @property
    def since(self) -> str:
        return as_parameter(self.window.start)

    @property
    def until(self) -> str:
        return as_parameter(self.window.end)


@router.get("", response_model=models.Comparison)
def compare(
    common: CommonParameters,
    answer: Answering,
    transaction: Annotated[str | None, Query(description="an id; its traces alone")] = None,
    service: str | None = None,
    operation: str | None = None,
    baseline_start: Annotated[str | None, Query(description="compare with another time")] = None,
    baseline_end: str = "now",
    version: Annotated[str | None, Query(description="compare traces with this version")] = None,
    baseline_version: Annotated[str | None, Query(description="with those of this one")] = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
    baseline_attr: Attributes = [],  # noqa: B006
    slow: Annotated[
        bool, Query(description="compare traces slower than the p95 with the rest")
    ] = False,
) -> dict[str, Any]:
    """Which attribute values are over-represented in one of two sets of traces, and which
    operations changed. A is what `start`, `end`, `version`, `attr` and `slow` say. B, the baseline,
    is what the parameters named so say; where they say nothing, it is the same at
    `baseline_start` to `baseline_end`, or without that the traces of the time that are not in A.
    Of either set a uniform sample is looked at, and the answer says of how many."""
    if not (baseline_start or version or attr or slow):
        raise Problem(400, "say what to compare: baseline_start, version, attr or slow (see /docs)")
    population = _population(answer, common.environment, transaction, service, operation)
    window, another = common.window, None
    if baseline_start is not None:
        now = time.time_ns()
        another = Window(
            parse_time(baseline_start, now, "baseline_start"),
            parse_time(baseline_end, now, "baseline_end"),
        )
        if another.start >= another.end:
            raise Problem(400, "baseline_start is not before baseline_end")
    a, b = _chosen(window, another, (version, attr), (baseline_version, baseline_attr))
    if slow:
        a, b = _split(answer, population, a, b, another is None)
    rows_a, rows_b = answer.together(
        lambda: _traces(answer, population, a), lambda: _traces(answer, population, b)
    )
    attributes: list[dict[str, Any]] = []
    operations: list[dict[str, Any]] = []
    if rows_a and rows_b:
        attributes, operations = answer.together(
            lambda: _attributes(
                answer, common.limit, (a, rows_a), (b, rows_b), _keys(attr, baseline_attr, version)
            ),
            lambda: _operations(answer, common.limit, (a, rows_a), (b, rows_b)),
        )
    return answer.of(
        a=_described(a, rows_a),
        b=_described(b, rows_b),
        attributes=attributes,
        operations=operations,
    )


def _population(
    answer: Answer,
    environment: str | None,
    transaction: str | None,
    service: str | None,
    operation: str | None,
) -> Population:
    parameters: dict[str, Any] = {"environment": environment}
    filters = ""
    if is_automatic(transaction):
        named = answer.row(queries.TRANSACTION_NAMES, id=transaction)
        if named is None:
            raise Problem(404, f"no transaction has the id {transaction!r}")
        filters = f" AND Rank < 2{ENTRY_FILTER}"
        parameters |= entered_at(named)
    elif transaction is not None:
        filters = TRACES_IN_OCCURRENCES
        parameters["transaction"] = transaction
    if service is not None or operation is not None:
        spans, asked = span_filters([], service=service, operation=operation)
        filters += traces_with_span(spans)
        parameters |= asked
    return Population(filters, parameters)


Wanted = tuple[str | None, list[str]]  # a version, and filters on attributes


def _chosen(window: Window, another: Window | None, a: Wanted, b: Wanted) -> tuple[Chosen, Chosen]:
    with_a, values_a = _spans(a, "a")
    with_b, values_b = _spans(b, "b")
    first = Chosen(window, traces_with_span(with_a) if with_a else "", values_a)
    if with_b:
        return first, Chosen(another or window, traces_with_span(with_b), values_b)
    if another or not with_a:
        return first, Chosen(another or window, first.filters, values_a)
    return first, Chosen(window, traces_without_span(with_a), values_a)


def _spans(wanted: Wanted, name: str) -> tuple[str, dict[str, Any]]:
    """A fragment on spans; its parameters have names of their own, beside the population's."""
    version, attr = wanted
    fragment, parameters = span_filters(
        [AttributeFilter.parse(text) for text in attr], version=version
    )
    for key in parameters:
        fragment = fragment.replace(f"{{{key}:", f"{{{name}_{key}:")
    return fragment, {f"{name}_{key}": value for key, value in parameters.items()}


def _split(
    answer: Answer, population: Population, a: Chosen, b: Chosen, same_time: bool
) -> tuple[Chosen, Chosen]:
    """A's slow traces, and B's; where B is of the same time and conditions, its others."""
    row = answer.rows(queries.COMPARE_P95, population.filters + a.filters, **_asked(population, a))
    p95 = int(row[0]["p95"] or 0) if row else 0
    slow = Chosen(a.window, a.filters, a.parameters, longer_than=p95)
    if same_time and b.filters == a.filters:
        return slow, Chosen(b.window, b.filters, b.parameters, at_most=p95)
    return slow, Chosen(b.window, b.filters, b.parameters, longer_than=p95)


def _asked(population: Population, chosen: Chosen) -> dict[str, Any]:
    return {
        **population.parameters,
        **chosen.parameters,
        "since": chosen.since,
        "until": chosen.until,
    }


def _traces(
    answer: Answer, population: Population, chosen: Chosen
) -> list[queries.CompareTracesRow]:
    return answer.rows(
        queries.COMPARE_TRACES,
        population.filters + chosen.filters,
        **_asked(population, chosen),
        longer_than=chosen.longer_than,
        at_most=chosen.at_most,
        limit=SAMPLE,
    )


def _described(chosen: Chosen, rows: list[queries.CompareTracesRow]) -> dict[str, Any]:
    first = rows[0] if rows else None
    p50, p95 = (each / 1e6 for each in first["quantiles"]) if first else (None, None)
    return {
        "start": rfc3339(chosen.window.start),
        "end": rfc3339(chosen.window.end),
        "traces": first["traces"] if first else 0,
        "looked_at": len(rows),
        "errors": first["errors"] if first else 0,
        "error_rate": first["errors"] / first["traces"] if first else None,
        "duration_ms": {"p50": p50, "p95": p95},
        "sampled": bool(first and first["one_in"] > 1) or len(rows) == SAMPLE,
    }


Sampled = tuple[Chosen, list[queries.CompareTracesRow]]


def _both(a: Sampled, b: Sampled) -> dict[str, Any]:
    """Parameters of the statements over both samples."""
    return {
        "a": [row["trace_id"] for row in a[1]],
        "b": [row["trace_id"] for row in b[1]],
        "of_a": len(a[1]),
        "of_b": len(b[1]),
        "since": a[0].since,
        "until": a[0].until,
        "since_b": b[0].since,
        "until_b": b[0].until,
    }


def _keys(attr: list[str], baseline_attr: list[str], version: str | None) -> list[str]:
    """The attributes that the sets were chosen by: that they differ in them says nothing."""
    keys = {AttributeFilter.parse(text).key for text in [*attr, *baseline_attr]}
    return sorted(keys | ({"service.version"} if version else set()))


def _attributes(
    answer: Answer, limit: int, a: Sampled, b: Sampled, chosen_by: list[str]
) -> list[dict[str, Any]]:
    """Values whose share differs by more than chance, the greatest difference first."""
    rows = answer.rows(
        queries.COMPARE_ATTRIBUTES,
        **_both(a, b),
        chosen_by=chosen_by,
        least=LEAST,
        limit=CANDIDATES,
    )
    of_a, of_b = len(a[1]), len(b[1])
    found = []
    for row in rows:
        a_share, b_share = row["a_count"] / of_a, row["b_count"] / of_b
        p_value = two_proportions(row["a_count"], of_a, row["b_count"], of_b)
        if p_value * len(rows) <= SIGNIFICANT:
            found.append(
                {
                    "key": row["key"],
                    "value": row["value"],
                    "source": row["source"],
                    "a_count": row["a_count"],
                    "a_share": a_share,
                    "b_count": row["b_count"],
                    "b_share": b_share,
                    "effect": a_share - b_share,
                    "p_value": p_value,
                }
            )
    if len(found) > limit:
        answer.was_cut()
    return found[:limit]


def two_proportions(a: int, of_a: int, b: int, of_b: int) -> float:
    """The chance of shares at least so different where both sets are of one kind: the z-test with
    the pooled share, on both sides."""
    share = (a + b) / (of_a + of_b)
    deviation = math.sqrt(share * (1 - share) * (1 / of_a + 1 / of_b))
    if deviation == 0:
        return 1.0
    return math.erfc(abs(a / of_a - b / of_b) / deviation / math.sqrt(2))


def _operations(answer: Answer, limit: int, a: Sampled, b: Sampled) -> list[dict[str, Any]]:
    rows = answer.most(queries.COMPARE_OPERATIONS, limit, **_both(a, b))
    return [_operation(row, len(a[1]), len(b[1])) for row in rows]


def _operation(row: queries.CompareOperationsRow, of_a: int, of_b: int) -> dict[str, Any]:
    a = _per_trace(row["a_calls"], row["a_self"], of_a)
    b = _per_trace(row["b_calls"], row["b_self"], of_b)
    return {
        "service": row["service"],
        "operation": row["operation"],
        "kind": row["kind"],
        "a": a,
        "b": b,
        "change_ms": a["self_ms_per_trace"] - b["self_ms_per_trace"],
        "change_calls": a["calls_per_trace"] - b["calls_per_trace"],
    }


def _per_trace(calls: int, self_ns: int, traces: int) -> dict[str, float]:
    return {"calls_per_trace": calls / traces, "self_ms_per_trace": self_ns / traces / 1e6}
