"""Metrics in Prometheus' text format, as OpenTelemetry's compatibility specification says: names
with their unit and `_total`, scopes as labels, the resource as `target_info`.

A metric that several scopes have is one family, and each of its series has the labels of its own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_INVALID = re.compile(r"[^a-zA-Z0-9:]+")
_INVALID_LABEL = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION = re.compile(r"\{[^}]*\}")
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
    "MBy": "megabytes", "GBy": "gigabytes", "m": "meters", "V": "volts", "A": "amperes",
    "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz", "%": "percent",
    "1": "",
}  # fmt: skip
_PER = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week", "m": "meter"}

Labels = dict[str, str]


@dataclass
class _Family:
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)


def text(resource_metrics: Iterable[Any]) -> str:
    """The exposition of metrics by resource, cumulative. A metric whose name another one has with
    another type is left out."""
    target: Labels = {}
    families = {"target_info": _Family("gauge", "Target metadata")}
    for group in resource_metrics:
        target = _labels(group.resource.attributes) | target  # of what there is twice, the first
        for scope_group in group.scope_metrics:
            scope = {
                "otel_scope_name": scope_group.scope.name or "",
                "otel_scope_version": scope_group.scope.version or "",
            }
            for metric in scope_group.metrics:
                name, kind = _name_and_kind(metric)
                family = families.setdefault(name, _Family(kind, metric.description or ""))
                if family.kind == kind:
                    family.lines.extend(_metric(name, metric, scope))
    families["target_info"].lines.append(_sample("target_info", target, 1))
    return "".join(
        f"# HELP {name} {_escape_help(family.help)}\n# TYPE {name} {family.kind}\n"
        + "".join(f"{line}\n" for line in family.lines)
        for name, family in families.items()
    )


def _name_and_kind(metric: Any) -> tuple[str, str]:
    name = _INVALID.sub("_", metric.name).strip("_")
    points = metric.data.data_points
    if points and hasattr(points[0], "count"):
        kind = "histogram"
    else:
        kind = "counter" if getattr(metric.data, "is_monotonic", False) else "gauge"
    if kind == "counter":
        name = name.removesuffix("_total")
    unit = _unit(metric.unit or "")
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    return (f"{name}_total" if kind == "counter" else name), kind


def _unit(unit: str) -> str:
    top, slash, bottom = _ANNOTATION.sub("", unit).partition("/")
    word = _UNITS.get(top, _INVALID.sub("_", top).strip("_"))
    if not slash:
        return word
    per = _PER.get(bottom, _INVALID.sub("_", bottom).strip("_"))
    return "_per_".join([word, per]).lstrip("_") if per else word


def _metric(name: str, metric: Any, scope: Labels) -> Iterator[str]:
    for point in metric.data.data_points:
        labels = _labels(point.attributes) | scope
        if not hasattr(point, "count"):
            yield _sample(name, labels, point.value)
            continue
        count = 0
        # Exponential buckets have no bounds that all scrapes share.
        for bound, more in zip(
            getattr(point, "explicit_bounds", ()), getattr(point, "bucket_counts", ()), strict=False
        ):
            count += more
            yield _sample(f"{name}_bucket", labels | {"le": _number(float(bound))}, count)
        yield _sample(f"{name}_bucket", labels | {"le": "+Inf"}, point.count)
        yield _sample(f"{name}_sum", labels, point.sum)
        yield _sample(f"{name}_count", labels, point.count)


def _labels(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    """Attributes as labels; the values of those that have the same name then stand together."""
    labels: dict[str, str] = {}
    for key, value in sorted((attributes or {}).items()):
        label = _INVALID_LABEL.sub("_", key)
        label = f"_{label}" if label[:1].isdigit() else label
        plain = value if isinstance(value, str) else json.dumps(value, default=str)
        labels[label] = f"{labels[label]};{plain}" if label in labels else plain
    return labels


def _sample(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escape(text: str) -> str:
    return _escape_help(text).replace('"', r"\"")
