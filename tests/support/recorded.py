"""What instrumentations record in this process, in a form that can be compared."""

from __future__ import annotations

from typing import Any, Self

import pytest
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

_CHANGING = ("exception.stacktrace",)


def stable_conventions(monkeypatch: pytest.MonkeyPatch, opt_in: str = "http,database") -> None:
    """Have contrib read the variable again, now and after the test."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    conventions = _OpenTelemetrySemanticConventionStability
    monkeypatch.setattr(conventions, "_initialized", False)
    monkeypatch.setattr(conventions, "_OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING", {})
    conventions._initialize()


class Recorded:
    """Providers whose spans and points are held in memory."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()

    def spans(self) -> list[dict[str, Any]]:
        """Every span that has ended, without times, random ids and what contrib does not say: the
        place of the code (`places`)."""
        return [
            {
                "name": span.name,
                "kind": span.kind.name,
                "attributes": {
                    name: value
                    for name, value in (span.attributes or {}).items()
                    if not name.startswith("code.")
                },
                "status": (span.status.status_code.name, span.status.description),
                "parent": span.parent and (span.parent.is_remote or "local"),
                "scope": span.instrumentation_scope and span.instrumentation_scope.name,
                "events": [(event.name, _constant(event.attributes)) for event in span.events],
            }
            for span in self._exporter.get_finished_spans()
        ]

    def places(self) -> list[tuple[Any, Any]]:
        """Function and file of every span that has ended."""
        attributes = [span.attributes or {} for span in self._exporter.get_finished_spans()]
        return [(one.get("code.function.name"), one.get("code.file.path")) for one in attributes]

    def points(self) -> dict[str, list[dict[str, Any]]]:
        """The points of every metric by its name; of durations, how many there are."""
        data = self._reader.get_metrics_data()
        metrics = [
            metric
            for group in (data.resource_metrics if data is not None else ())
            for scope in group.scope_metrics
            for metric in scope.metrics
        ]
        return {
            metric.name: [
                {
                    "unit": metric.unit,
                    "type": type(metric.data).__name__,
                    "attributes": dict(point.attributes or {}),
                    "value": getattr(point, "value", None),
                    "count": getattr(point, "count", None),
                    "sum": getattr(point, "sum", None) if metric.unit == "By" else None,
                    # contrib's counter of active requests gives the caller's span, which is none.
                    "exemplars": metric.unit != "{request}"
                    and any(exemplar.trace_id for exemplar in point.exemplars),
                }
                for point in sorted(metric.data.data_points, key=_attributes_of)
            ]
            for metric in sorted(metrics, key=lambda metric: metric.name)
        }


def _attributes_of(point: Any) -> str:
    return str(sorted((point.attributes or {}).items()))


def _constant(attributes: Any) -> dict[str, Any]:
    return {key: value for key, value in (attributes or {}).items() if key not in _CHANGING}
