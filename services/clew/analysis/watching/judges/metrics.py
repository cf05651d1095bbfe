"""A metric compared with a limit, `metric: NAME, when: value > 0.9`, or reaching it within a time,
`forecast: {reaches: 0.9, within: 4d}`. Each stream of the metric is a series."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from clew.analysis import baselines
from clew.analysis.alerts.quantities import format_duration
from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.detectors import forecasts
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.evidence import Evidence
from clew.analysis.watching.process_metrics import METRICS
from clew.analysis.watching.proofs import metric_proof
from clew.analysis.watching.series import MetricSlot
from clew.analysis.watching.texts import value_text

FORECAST_DAYS = 28  # of hours, from which a forecast is made
MIN_DAYS = 3  # with values, for a forecast to be made
OWN_SERVICE, OWN_METRICS = "clew", "clew."  # what clew itself is called, and how its metrics begin


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each stream with points in the window."""
    assert rule.metric is not None
    assert rule.when is not None
    measure = _measure(rule.metric)
    for slot in evidence.metric(rule.metric, rule.over, round(rule.over)):
        labels = stream_labels(rule, slot)
        if labels is None or slot.value is None:
            continue
        yield Verdict(
            rule=rule.name,
            labels=labels,
            at=evidence.at,
            holds=rule.when.holds(slot.value),
            headline=(
                f"{_subject(rule, slot)} {value_text(measure, slot.value)}, "
                f"limit {value_text(measure, rule.when.limit)}"
            ),
            measure=measure,
            value=slot.value,
            expected=rule.when.limit,
            window=rule.over,
            **metric_proof(
                rule.metric, slot, evidence.at - rule.over, evidence.at, round(rule.over)
            ),
        )


def judge_forecast(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each stream with a few days of points, judged once an hour."""
    assert rule.metric is not None
    assert rule.forecast is not None
    hour = evidence.at // HOUR * HOUR
    slots = evidence.metric_hours(rule.metric, FORECAST_DAYS * 24)
    for _, group in groupby(slots, key=lambda slot: (slot.service, slot.environment, slot.labels)):
        stream = list(group)
        labels = stream_labels(rule, stream[0])
        if labels is not None:
            yield _forecast(rule, labels, stream, hour, evidence)


def _forecast(
    rule: Rule, labels: dict[str, str], stream: list[MetricSlot], hour: float, evidence: Evidence
) -> Verdict:
    assert rule.forecast is not None
    limit, within = rule.forecast.reaches, rule.forecast.within
    measure = _measure(rule.metric)
    values = np.full((1, FORECAST_DAYS * 24), np.nan)
    for slot in stream:
        place = round((slot.at - hour) / HOUR) + values.shape[1]
        if 0 <= place < values.shape[1] and slot.value is not None:
            values[0, place] = slot.value
    known = values[0][np.isfinite(values[0])]
    if len(known) < MIN_DAYS * 24:
        return Verdict(
            rule.name, labels, evidence.at, None, Known.LEARNING,
            f"{_subject(rule, stream[-1])}: {len(known)} hours are known, a forecast needs "
            f"{MIN_DAYS * 24}",
        )  # fmt: skip
    seconds = hour - HOUR * np.arange(values.shape[1], 0, -1)
    hours = baselines.hours_of_week(seconds, evidence.zone)
    horizon = max(1, round(within / HOUR))
    rising = limit >= float(known[-1])
    expected, earliest = forecasts.hours_until(values, hours, limit, horizon, rising)
    remaining = float(expected[0]) * HOUR
    is_reached = bool(np.isfinite(expected[0]))
    when = f"in {format_duration(remaining)}" if is_reached else f"not within {horizon} h"
    return Verdict(
        rule=rule.name,
        labels=labels,
        at=evidence.at,
        holds=is_reached,
        headline=(
            f"{_subject(rule, stream[-1])} {value_text(measure, float(known[-1]))}, "
            f"reaches {value_text(measure, limit)} {when}"
        ),
        measure=measure,
        value=float(known[-1]),
        expected=limit,
        window=float(values.shape[1] * HOUR),
        facts={"at the earliest": f"{earliest[0]:.0f} h"} if np.isfinite(earliest[0]) else {},
        **metric_proof(rule.metric or "", stream[-1], hour - values.shape[1] * HOUR, hour, HOUR),
    )


def stream_labels(rule: Rule, slot: MetricSlot) -> dict[str, str] | None:
    """The labels of a stream; None if the rule selects others. A limit for all services does not
    hold of clew itself: that is selected by its name, or by a metric that only it has."""
    labels = {
        "metric": rule.metric or "",
        "service": slot.service,
        "environment": slot.environment,
        **dict(slot.labels),
    }
    if rule.select is not None and not rule.select.matches(labels):
        return None
    named = rule.select.service if rule.select is not None else None
    is_own = slot.service == OWN_SERVICE and not labels["metric"].startswith(OWN_METRICS)
    if is_own and not (named or "").strip("*"):
        return None
    return {name: value for name, value in labels.items() if value}


def _measure(metric: str | None) -> str:
    """What a value is written as: of a metric that is known with its unit."""
    return metric if metric and metric in METRICS else "value"


def _subject(rule: Rule, slot: MetricSlot) -> str:
    attributes = ", ".join(f"{name}={value}" for name, value in slot.labels)
    return " ".join(part for part in (slot.service, rule.metric, attributes) if part)
