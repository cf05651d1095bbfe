"""The SDK as the agent sets it up: three signals, baggage stamped on spans and log records, and
exporters that are imported when they first export."""

from __future__ import annotations

from typing import Any

from opentelemetry.processor.baggage import BaggageLogProcessor, BaggageSpanProcessor
from opentelemetry.sdk import _configuration
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind

from clew.agent import delivery, exporting, requests

_BUSINESS_PREFIX = "business."
# It writes the route into the name, and into no attribute.
_NAMES_ROUTES = "opentelemetry.instrumentation.tornado"


class Configurator(_configuration._OTelSDKConfigurator):
    """OpenTelemetry's own, which reads the OTEL_* variables."""


class UnroutedNames(SpanProcessor):
    """Names a request that no route of the application matched after its method alone: its path is
    a name of its own for every address that somebody tries."""

    def _on_ending(self, span: Any) -> None:
        if span.kind is not SpanKind.SERVER or "http.route" in (span.attributes or {}):
            return
        if span.instrumentation_scope.name == _NAMES_ROUTES:
            return
        method, _, path = span.name.partition(" ")
        if path.startswith("/"):
            span._name = method


def set_up(service_name: str) -> None:
    """Make and set the providers of traces, metrics and logs."""
    _configuration._import_exporters = exporting.deferred_exporters  # type: ignore[assignment]
    options: dict[str, Any] = {
        "span_processors": [
            BaggageSpanProcessor(_is_business),
            UnroutedNames(),
            requests.RequestWatch(),
        ],
        "log_record_processors": [BaggageLogProcessor(_is_business)],
        "export_span_processor": delivery.SpanDelivery,
        "export_log_record_processor": delivery.LogDelivery,
        "resource_attributes": {"service.name": service_name},
    }
    Configurator().configure(**options)  # type: ignore[no-untyped-call]


def _is_business(key: str) -> bool:
    return key.startswith(_BUSINESS_PREFIX)
