"""Exporters of the agent's own, beside those of OpenTelemetry: their names, and what they carry.

    console     one readable line for each span, log record and metric (clew.agent.console)
    statsd      metrics as DogStatsD (clew.agent.statsd)
    prometheus  metrics for those who scrape (clew.agent.prometheus)

OTEL_TRACES_EXPORTER and its like take these names, also several with commas between them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

SIGNALS = ("traces", "metrics", "logs")

# Of each name, which class exports which signal.
_CLASSES: dict[str, dict[str, str]] = {
    "console": {
        "traces": "clew.agent.console:SpanLines",
        "metrics": "clew.agent.console:MetricLines",
        "logs": "clew.agent.console:LogLines",
    },
    "statsd": {"metrics": "clew.agent.statsd:StatsdExporter"},
    "prometheus": {"metrics": "clew.agent.prometheus:PrometheusReader"},
}


def expand(text: str) -> tuple[str, str, str]:
    """The names of exporters of each signal, for a list of names: each where it carries the signal,
    `none` where none does. Raises ValueError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {"otlp", *_CLASSES}
    if names != ["none"] and (not names or not known.issuperset(names)):
        raise ValueError(f"none, or some of {', '.join(sorted(known))}")
    traces, metrics, logs = (
        ",".join(name for name in names if _carries(name, signal)) or "none" for signal in SIGNALS
    )
    return traces, metrics, logs


def _carries(name: str, signal: str) -> bool:
    return name == "otlp" or signal in _CLASSES.get(name, ())


def classes(names: list[str], signal: str) -> dict[str, type]:
    """The classes of those names that are ours: exporters, or readers of metrics."""
    paths = {name: _CLASSES[name][signal] for name in names if signal in _CLASSES.get(name, ())}
    return {name: _load(*path.split(":")) for name, path in paths.items()}


def _load(module: str, name: str) -> type:
    loaded: type = getattr(import_module(module), name)
    return loaded


def threads() -> list[Any]:
    """What has threads of its own: pause() ends them, resume() starts them."""
    module = sys.modules.get("clew.agent.prometheus")
    return [module.server] if module is not None else []


def destination(environ: Mapping[str, str]) -> str:
    """Where telemetry goes, for people: `to http://127.0.0.1:4318`, or by signal where they go to
    different places."""
    places = {
        "otlp": environ["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "statsd": f"StatsD at {environ['CLEW_STATSD'].partition(',')[0]}",
        "prometheus": "who scrapes",
        "console": "stderr",
        "none": "nobody",
    }
    texts = {}
    for signal in SIGNALS:
        names = environ[f"OTEL_{signal.upper()}_EXPORTER"].split(",")
        texts[signal] = " and ".join(places.get(name.strip(), name.strip()) for name in names)
    if len(set(texts.values())) == 1:
        return f"to {texts['traces']}"
    return ", ".join(f"{signal} to {text}" for signal, text in texts.items())
