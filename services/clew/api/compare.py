"""Comparison of two sets of traces: attribute values that are more frequent in one of them, and
operations that changed."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query

from clew.api.answer import Answer, AnswerDependency
from clew.api.compared_sets import (
    Condition,
    Population,
    TraceSet,
    find_population,
    trace_sets,
)
from clew.api.freshness import reads
from clew.api.models import compare as models
from clew.api.parameters import (
    CommonDependency,
    Window,
    extent_parameters,
    parse_time,
    rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.traces import Attributes
from clew.storage import AttributeFilter, queries

router = routes("compare")

SAMPLE_SIZE = 2000  # traces of each set
MIN_TRACES = 5  # of one set that must have a value, or it is not tested
# The probability that any value is reported although the two sets do not differ.
SIGNIFICANCE = 0.001
MAX_VALUES = 1000
# Keys of attributes that identify a request, a process or an instance: their values say nothing of
# the others. (Hosts stay: one of them may be slow.)
IDENTIFIERS = (
    r"(^|[._])(pid|ppid|vpid|parent_pid|port|uid|uuid|guid)$"
    r"|(^|[._])(instance|invocation|container|host|thread|session|request|correlation|message"
    r"|messaging\.client|trace|span)[._]?id$"
)

BaselineStart = Annotated[
    str | None, Query(description="Start of the baseline's window, if it has one of its own.")
]
Version = Annotated[str | None, Query(description="`service.version` of the traces of set A.")]
BaselineVersion = Annotated[
    str | None, Query(description="`service.version` of the traces of the baseline.")
]
Slow = Annotated[
    bool, Query(description="Whether to compare traces slower than the p95 with the other traces.")
]


def _duration(bound: str, traces: str) -> Any:
    text = (
        f"Only traces of {traces} whose entry took at {bound} this, in milliseconds. Of a defined "
        "transaction the entry is the matched span."
    )
    return Query(ge=0, description=text)


MinDuration = Annotated[float | None, _duration("least", "set A")]
MaxDuration = Annotated[float | None, _duration("most", "set A")]
BaselineMinDuration = Annotated[float | None, _duration("least", "the baseline")]
BaselineMaxDuration = Annotated[float | None, _duration("most", "the baseline")]


@router.get("", response_model=models.Comparison)
@reads("traces", settled=True)
def compare(
    common: CommonDependency,
    answer: AnswerDependency,
    transaction: str | None = None,
    service: str | None = None,
    operation: str | None = None,
    baseline_start: BaselineStart = None,
    baseline_end: str = "now",
    version: Version = None,
    baseline_version: BaselineVersion = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
    baseline_attr: Attributes = [],  # noqa: B006
    slow: Slow = False,
    min_duration_ms: MinDuration = None,
    max_duration_ms: MaxDuration = None,
    baseline_min_duration_ms: BaselineMinDuration = None,
    baseline_max_duration_ms: BaselineMaxDuration = None,
) -> dict[str, Any]:
    """Compares two sets of traces: which attribute values are over-represented in one of them, and
    which operations changed.

    Set A is selected by `start`, `end`, `version`, `attr`, `slow`, `min_duration_ms` and
    `max_duration_ms`. Set B, the baseline, is selected by the parameters that start with
    `baseline_`. Without any of them it contains the other traces of the same window. With
    `baseline_start` alone it contains the traces of that window under the same conditions as A,
    except its durations. Where A is a region of a heatmap (it has durations), B never contains a
    trace of A, also where the windows overlap.

    Of a defined transaction, occurrences are compared; one counts as one trace, with the
    attributes and operations of all its traces, and `slow` means the duration of the trace with its
    entry. Identifiers of requests, processes and instances are left out. A uniform sample of each
    set is compared; the response says how large the sample and the set are."""
    condition = Condition(version, attr, (min_duration_ms, max_duration_ms))
    durations = (baseline_min_duration_ms, baseline_max_duration_ms)
    baseline = Condition(baseline_version, baseline_attr, durations)
    _check(condition, baseline, baseline_start, slow)
    answer.rests_on_settled_traces()
    population = find_population(answer, common.environment, transaction, service, operation)
    window = _baseline_window(baseline_start, baseline_end)
    a, b = trace_sets(population, common.window, window, condition, baseline)
    if slow:
        a, b = _split_by_duration(answer, population, a, b, window is None)
    return answer.document(
        **_differences(answer, population, a, b, _filtered_keys(condition, baseline), common.limit)
    )


def _check(a: Condition, b: Condition, baseline_start: str | None, slow: bool) -> None:
    """Raises Problem 400 unless these are conditions of a comparison."""
    if not (baseline_start or a.version or a.attr or slow or a.has_durations):
        raise Problem(
            400,
            "say what to compare: baseline_start, version, attr, slow, min_duration_ms or "
            "max_duration_ms (see /docs)",
        )
    if slow and (a.has_durations or b.has_durations):
        raise Problem(400, "slow compares by the p95: send it without durations")


def _differences(
    answer: Answer, population: Population, a: TraceSet, b: TraceSet, keys: list[str], limit: int
) -> dict[str, Any]:
    """The members of the document: both sets, and how they differ. `keys`: of attributes that are
    no finding."""
    rows_a, rows_b = answer.in_parallel(
        lambda: _sample(answer, population, a), lambda: _sample(answer, population, b)
    )
    attributes: list[dict[str, Any]] = []
    operations: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    if rows_a and rows_b:
        samples = _sample_parameters(answer, population, (a, rows_a), (b, rows_b))
        attributes, operations, links = answer.in_parallel(
            lambda: _different_attributes(answer, limit, samples, keys),
            lambda: _different_operations(answer, limit, samples),
            lambda: _different_links(answer, limit, samples),
        )
    return {
        "a": _description(a, rows_a),
        "b": _description(b, rows_b),
        "attributes": attributes,
        "operations": operations,
        "links": links,
    }


def _baseline_window(start: str | None, end: str) -> Window | None:
    if start is None:
        return None
    now = time.time_ns()
    window = Window(parse_time(start, now, "baseline_start"), parse_time(end, now, "baseline_end"))
    if window.start >= window.end:
        raise Problem(400, "baseline_start is not before baseline_end")
    return window


def _split_by_duration(
    answer: Answer, population: Population, a: TraceSet, b: TraceSet, same_window: bool
) -> tuple[TraceSet, TraceSet]:
    """The slow traces of A and those of B; if B has the same window and conditions, the slow traces
    and the others."""
    rows = answer.rows(
        queries.COMPARE_P95, population.filters + a.filters, **_parameters(population, a)
    )
    p95 = int(rows[0]["p95"] or 0) if rows else 0
    slow = replace(a, longer_than=p95)
    if same_window and b.filters == a.filters:
        return slow, replace(b, at_most=p95)
    return slow, replace(b, longer_than=p95)


def _parameters(population: Population, traces: TraceSet) -> dict[str, Any]:
    return {
        **population.parameters,
        **traces.parameters,
        "since": traces.since,
        "until": traces.until,
    }


def _sample(
    answer: Answer, population: Population, traces: TraceSet
) -> list[queries.CompareTracesRow]:
    return answer.rows(
        queries.COMPARE_TRACES,
        population.filters + traces.filters,
        **_parameters(population, traces),
        longer_than=traces.longer_than,
        at_most=traces.at_most,
        limit=SAMPLE_SIZE,
    )


def _description(traces: TraceSet, rows: list[queries.CompareTracesRow]) -> dict[str, Any]:
    first = rows[0] if rows else None
    p50, p95 = (duration / 1e6 for duration in first["quantiles"]) if first else (None, None)
    return {
        "start": rfc3339(traces.window.start),
        "end": rfc3339(traces.window.end),
        "traces": first["traces"] if first else 0,
        "looked_at": len(rows),
        "errors": first["errors"] if first else 0,
        "error_rate": first["errors"] / first["traces"] if first else None,
        "duration_ms": {"p50": p50, "p95": p95},
        "sampled": bool(first and first["one_in"] > 1) or len(rows) == SAMPLE_SIZE,
    }


# Of a sample: its size, mean and variance, which too few values do not have.
Moments = tuple[int, float | None, float | None]
Sample = tuple[TraceSet, list[queries.CompareTracesRow]]


def _sample_parameters(
    answer: Answer, population: Population, a: Sample, b: Sample
) -> dict[str, Any]:
    """Parameters of the queries over both samples. `traces` are the other traces of the
    occurrences, `units` their entries' traces: an occurrence counts as one trace."""
    parameters: dict[str, Any] = {"traces": [], "units": []}
    for side, suffix, (traces, rows) in (("a", "", a), ("b", "_b", b)):
        ids = [row["trace_id"] for row in rows]
        parameters |= {
            side: ids,
            f"of_{side}": len(ids),
            f"since{suffix}": traces.since,
            f"until{suffix}": traces.until,
        }
        if not population.is_defined:
            continue
        occurrences = answer.rows(
            queries.COMPARE_OCCURRENCES,
            transaction=population.parameters["transaction"],
            since=traces.since,
            until=traces.until,
            trace_ids=ids,
        )
        if not occurrences:
            continue
        extent = extent_parameters(occurrences)
        parameters[f"since{suffix}"] = min(traces.since, extent["start"])
        parameters[f"until{suffix}"] = max(traces.until, extent["end"])
        pairs = {
            trace_id: occurrence["entry"]
            for occurrence in occurrences
            for trace_id in occurrence["trace_ids"]
            if trace_id != occurrence["entry"]
        }
        parameters["traces"] += pairs.keys()
        parameters["units"] += pairs.values()
    return parameters


def _filtered_keys(a: Condition, b: Condition) -> list[str]:
    """The attributes by which the sets were selected: that they differ is no finding."""
    keys = {AttributeFilter.parse(text).key for text in [*a.attr, *b.attr]}
    return sorted(keys | ({"service.version"} if a.version else set()))


def _different_attributes(
    answer: Answer, limit: int, samples: dict[str, Any], filtered_keys: list[str]
) -> list[dict[str, Any]]:
    """Values whose shares differ significantly, the greatest difference first. Values that stand on
    the same spans are one entry."""
    rows = answer.rows(
        queries.COMPARE_ATTRIBUTES,
        **samples,
        chosen_by=filtered_keys,
        identifiers=IDENTIFIERS,
        least=MIN_TRACES,
        limit=MAX_VALUES,
    )
    size_a, size_b = samples["of_a"], samples["of_b"]
    differences: dict[str, dict[str, Any]] = {}
    for row in rows:
        value = {"key": row["key"], "value": row["value"], "source": row["source"]}
        if row["together"] in differences:
            differences[row["together"]]["together"].append(value)
            continue
        p_value = two_proportions_test(row["a_count"], size_a, row["b_count"], size_b)
        if p_value * len(rows) > SIGNIFICANCE:
            continue
        a_share, b_share = row["a_count"] / size_a, row["b_count"] / size_b
        differences[row["together"]] = value | {
            "together": [],
            "a_count": row["a_count"],
            "a_share": a_share,
            "b_count": row["b_count"],
            "b_share": b_share,
            "effect": a_share - b_share,
            "p_value": p_value,
        }
    if len(differences) > limit:
        answer.mark_truncated()
    return list(differences.values())[:limit]


def two_proportions_test(a: int, size_a: int, b: int, size_b: int) -> float:
    """The p-value of the two-sided z-test with the pooled share: the probability of shares that
    differ at least as much if the two sets do not differ."""
    share = (a + b) / (size_a + size_b)
    deviation = math.sqrt(share * (1 - share) * (1 / size_a + 1 / size_b))
    if deviation == 0:
        return 1.0
    return math.erfc(abs(a / size_a - b / size_b) / deviation / math.sqrt(2))


def _different_operations(
    answer: Answer, limit: int, samples: dict[str, Any]
) -> list[dict[str, Any]]:
    rows = answer.limited_rows(queries.COMPARE_OPERATIONS, limit, **samples)
    return [_operation(row, samples["of_a"], samples["of_b"]) for row in rows]


def _operation(row: queries.CompareOperationsRow, size_a: int, size_b: int) -> dict[str, Any]:
    a = _per_trace(row["a_calls"], row["a_self"], size_a)
    b = _per_trace(row["b_calls"], row["b_self"], size_b)
    return {
        "service": row["service"],
        "operation": row["operation"],
        "kind": row["kind"],
        "a": a,
        "b": b,
        "change_ms": a["self_ms_per_trace"] - b["self_ms_per_trace"],
        "change_calls": a["calls_per_trace"] - b["calls_per_trace"],
        "per_call": _per_call(row["a_moments"], row["b_moments"]),
    }


def _per_trace(calls: int, self_ns: int, traces: int) -> dict[str, float]:
    return {"calls_per_trace": calls / traces, "self_ms_per_trace": self_ns / traces / 1e6}


def _different_links(answer: Answer, limit: int, samples: dict[str, Any]) -> list[dict[str, Any]]:
    rows = answer.limited_rows(queries.COMPARE_LINKS, limit, **samples)
    size_a, size_b = samples["of_a"], samples["of_b"]
    return [
        {
            **{name: row[name] for name in ("source", "target", "type")},
            "a_calls_per_trace": row["a_calls"] / size_a,
            "b_calls_per_trace": row["b_calls"] / size_b,
            "change_ms": (row["a_own"] / size_a - row["b_own"] / size_b) / 1e6,
            "per_call": _per_call(row["a_moments"], row["b_moments"]),
        }
        for row in rows
    ]


def _per_call(a: Moments, b: Moments) -> dict[str, float | None]:
    p_value = means_test(a, b)
    a_ms, b_ms = (None if mean is None else mean / 1e6 for _, mean, _ in (a, b))
    return {
        "a_ms": a_ms,
        "b_ms": b_ms,
        "change_ms": None if a_ms is None or b_ms is None else a_ms - b_ms,
        "confidence": None if p_value is None else 1 - p_value,
    }


def means_test(a: Moments, b: Moments) -> float | None:
    """The p-value of Welch's two-sided test, with the normal distribution: the probability of means
    that differ at least as much if the two sets do not differ. None with fewer than MIN_TRACES."""
    (size_a, mean_a, variance_a), (size_b, mean_b, variance_b) = a, b
    if min(size_a, size_b) < MIN_TRACES or mean_a is None or mean_b is None:
        return None
    deviation = math.sqrt((variance_a or 0) / size_a + (variance_b or 0) / size_b)
    if deviation == 0:
        return 1.0 if mean_a == mean_b else 0.0
    return math.erfc(abs(mean_a - mean_b) / deviation / math.sqrt(2))
