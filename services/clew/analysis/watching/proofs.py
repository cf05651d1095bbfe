"""What a finding can be checked by: the statement that gives its numbers, and traces to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from clew.analysis import queries
from clew.analysis.alerts.rules import Ratio, Select
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.detectors import regressions
from clew.analysis.traces.times import datetime_text
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.evidence import kinds_of
from clew.analysis.watching.series import MetricSlot, Series
from clew.storage.sql import ANALYSIS, sql_of
from clew.storage.statements import Statements

NEVER = 1e30  # nanoseconds that nothing takes


class Proof(TypedDict):
    """A statement that the ClickHouse port runs, and its parameters as texts: fields of Verdict."""

    sql: str
    parameters: Mapping[str, str]


def minutes_proof(
    series: Series,
    start: float,
    end: float,
    slow: float = NEVER,
    attribute: tuple[str, str] = ("", ""),
) -> Proof:
    """The numbers of a series in the minutes of [start, end), in seconds since 1970. `slow`: from
    how many nanoseconds on a request is slow; `attribute`: a key and its value, of spans alone."""
    parameters = {
        "environment": series.environment,
        "name": series.name,
        "start": datetime_text(start),
        "end": datetime_text(end),
    }
    if series.kind == "dependency":
        return proof(queries.PROOF_CALLS.name, parameters | {"service": series.service})
    parameters["slow"] = repr(float(slow))
    if series.kind == "defined":
        return proof(queries.PROOF_OCCURRENCES.name, parameters)
    key, value = attribute
    parameters |= {"service": series.service, "key": key, "value": value, **_spans(series)}
    return proof(queries.PROOF_SPANS.name, parameters)


def hours_proof(series: Series, start: float, since: float, end: float) -> Proof:
    """The hours of a series in [start, end), and the means of those from `since` on, in seconds
    since 1970."""
    parameters = {
        "series": str(series.id),
        "start": datetime_text(start),
        "since": datetime_text(since),
        "least": str(list(regressions.MIN_REQUESTS)),
        "end": datetime_text(end),
    }
    return proof(queries.PROOF_HOURS.name, parameters)


def process_proof(series: Series, start: float, end: float) -> Proof:
    """What the processes of a service used in [start, end), in slots of five minutes."""
    return proof(
        queries.PROOF_PROCESS.name,
        {
            "environment": series.environment,
            "service": series.service,
            "metrics": series.name,
            "start": datetime_text(start),
            "end": datetime_text(end),
        },
    )


def burn_proof(definition: Definition, environment: str, start: float, end: float) -> Proof:
    """The occurrences of a defined transaction with an slo in [start, end), and the bad ones."""
    assert definition.slo is not None
    latency = definition.slo.latency_ms
    return proof(
        queries.PROOF_BURN.name,
        {
            "environment": environment,
            "name": definition.id,
            "latency": repr(NEVER if latency is None else latency * 1e6),
            "budget": repr(1 - definition.slo.objective),
            "start": datetime_text(start),
            "end": datetime_text(end),
        },
    )


def metric_proof(metric: str, slot: MetricSlot, start: float, end: float, step: int) -> Proof:
    """A stream of a metric in [start, end), in slots of `step` seconds."""
    return proof(
        queries.PROOF_METRIC.name,
        {
            "metric": metric,
            "service": slot.service,
            "environment": slot.environment,
            "attributes": json.dumps(dict(slot.labels), ensure_ascii=False),
            "step": str(step),
            "start": datetime_text(start),
            "end": datetime_text(end),
        },
    )


def ratio_proof(ratio: Ratio, definitions: Iterable[Definition], start: float, end: float) -> Proof:
    """The two sums of a ratio in [start, end), in seconds since 1970, and their quotient."""
    definitions = list(definitions)
    sides = {
        name: json.dumps(_selection(side.select, definitions) | {"measure": side.measure})
        for name, side in (("part", ratio.part), ("total", ratio.total))
    }
    window = {"start": datetime_text(start), "end": datetime_text(end)}
    return proof(queries.PROOF_RATIO.name, sides | window)


def absence_proof(
    select: Select, definitions: Iterable[Definition], start: float, end: float
) -> Proof:
    """The requests in [start, end), in seconds since 1970, of what a rule selects."""
    selection = json.dumps(_selection(select, definitions))
    window = {"start": datetime_text(start), "end": datetime_text(end)}
    return proof(queries.PROOF_ABSENT.name, {"selection": selection} | window)


def versions_proof(series: Series, old: str, new: str, start: float, end: float) -> Proof:
    """What two versions of a series of spans did by the hour in [start, end)."""
    parameters = {
        "environment": series.environment,
        "service": series.service,
        "name": series.name,
        "start": datetime_text(start),
        "end": datetime_text(end),
        "old": old,
        "new": new,
    }
    return proof(queries.PROOF_VERSIONS.name, parameters | _spans(series))


def example_traces(statements: Statements, verdict: Verdict) -> tuple[str, ...]:
    """The ids of up to three traces of the spans that a verdict was about: failed ones, if that is
    the measure, else the slowest. Raises StorageError."""
    parameters = verdict.parameters
    if "roots" not in parameters:
        return ()
    rows = statements.rows(
        queries.PROOF_TRACES,
        **{name: parameters[name] for name in ("service", "name", "environment", "start", "end")},
        roots=parameters["roots"] == "true",
        key=parameters.get("key", ""),
        value=parameters.get("value", ""),
        failed=verdict.measure == "error_rate",
    )
    return tuple(row["trace"] for row in rows)


def _selection(select: Select, definitions: Iterable[Definition]) -> dict[str, Any]:
    """A selection as clew_is_selected takes it."""
    fields: dict[str, Any] = select.model_dump(exclude_none=True)
    named = Select(transaction=select.transaction) if select.transaction else None
    names = [one.id for one in definitions if named and named.matches({"transaction": one.name})]
    return fields | {"kinds": kinds_of(select), "defined": names}


def _spans(series: Series) -> dict[str, str]:
    return {
        "roots": str(series.kind == "transaction").lower(),
        "entries": str(series.kind == "service").lower(),
    }


def proof(name: str, parameters: dict[str, str]) -> Proof:
    """A statement of this package, by its name."""
    return {"sql": sql_of(ANALYSIS, name), "parameters": parameters}
