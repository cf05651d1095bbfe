"""Values and series as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from clew.analysis.texts import number_text, size_text
from clew.analysis.watching.process_metrics import METRICS
from clew.analysis.watching.series import Series

DURATIONS = ("p50", "p75", "p95", "database_time", "cost")
SHARES = ("error_rate", "slow_rate")
NAMES = {
    "rate": "requests",
    "error_rate": "failed requests",
    "slow_rate": "slow requests",
    "value_lost": "value lost",
    "tail": "p98 ÷ p50",
    "calls": "calls per trace",
    "database_time": "time in databases",
    "payload": "response body",
    "cost": "time of all services",
}


def value_text(measure: str, value: float | None) -> str:
    """A value of a measure with its unit: `1.2 s`, `0.8 %`, `12 /s`."""
    if value is None or math.isnan(value):
        return "none"
    if measure in DURATIONS:
        return duration_text(value)
    if measure in SHARES:
        return f"{number_text(value * 100)} %"
    if measure in METRICS:
        return amount_text(METRICS[measure].unit, value)
    if measure == "rate":
        return f"{value:.3g} /s"
    if measure == "payload":
        return size_text(value)
    if measure == "tail":
        return f"{value:.3g} ×"
    return f"{value:.6g}"


def amount_text(unit: str, value: float) -> str:
    """An amount of a metric of processes with its unit: `512 MiB`, `1.2 cores`, `80 %`."""
    match unit:
        case "By":
            return size_text(value)
        case "1":
            return f"{number_text(value * 100)} %"
        case "s":
            return duration_text(value)
    # What stands in braces is a remark in UCUM, not a unit.
    return f"{number_text(value)} {'' if unit.startswith('{') else unit}".rstrip()


def duration_text(seconds: float) -> str:
    """Seconds with the unit that suits them."""
    if abs(seconds) >= 1:
        return f"{number_text(seconds)} s"
    if abs(seconds) >= 1e-3:
        return f"{number_text(seconds * 1e3)} ms"
    return f"{number_text(seconds * 1e6)} µs"


def time_text(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def measure_text(measure: str) -> str:
    """A measure's name in a sentence."""
    if measure in METRICS:
        return METRICS[measure].text
    return NAMES.get(measure, measure)


def subject(series: Series) -> str:
    """What a series is about: `payments POST /charges`, `payments → bank.example`."""
    labels = series.labels
    if series.kind == "dependency":
        return f"{series.service} → {series.name}"
    if "transaction" in labels:
        return labels["transaction"]
    return " ".join(part for part in (series.service, series.name) if part)
