"""The SDK as the agent sets it up: three signals, business context on spans and log records,
and exporters that are imported when they first export."""

from __future__ import annotations

import os
import uuid
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.sdk import _configuration
from opentelemetry.sdk._logs import LogRecordLimits
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, Status

from clew.agent import delivery, exporting, polling, requests
from clew.agent.business.carried import BusinessRecords, BusinessSpans

_INSTANCE = "service.instance.id"
# It writes the route into the name, and into no attribute.
_TORNADO = "opentelemetry.instrumentation.tornado"
_JINJA2 = "opentelemetry.instrumentation.jinja2"
_SQLALCHEMY = "opentelemetry.instrumentation.sqlalchemy"
_FRAMEWORKS = frozenset(
    f"opentelemetry.instrumentation.{name}"
    for name in ("asgi", "django", "falcon", "fastapi", "flask", "pyramid", "starlette", "wsgi")
)


class Configurator(_configuration._OTelSDKConfigurator):
    """OpenTelemetry's own, which reads the OTEL_* variables."""


class Corrections(SpanProcessor):
    """Names a request that no route of the application matched after its method alone: its path is
    a name of its own for every address that somebody tries. Where one framework's application calls
    another's, the entry gets the route of the latter. The file of a database is no part of a name,
    and a template that is looked for in several places is no error."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if span.kind is SpanKind.INTERNAL and span.instrumentation_scope.name in _FRAMEWORKS:
            caller: Any = trace.get_current_span(parent_context)
            if getattr(caller, "kind", None) is SpanKind.SERVER:
                span.clew_entry = caller

    def _on_ending(self, span: Any) -> None:
        scope = span.instrumentation_scope.name
        entry = getattr(span, "clew_entry", None)
        if entry is not None:
            _hand_on_route(span, entry)
        if entry is not None or span.kind is SpanKind.SERVER:
            span._name = _tornado_name(span) if scope == _TORNADO else _routed_name(span)
        elif scope == _SQLALCHEMY and "/" in span.name:
            span._name = span.name.partition(" ")[0]
        elif scope == _JINJA2 and (span.status.description or "").startswith("TemplateNotFound"):
            span._status = Status()


def _routed_name(span: Any) -> str:
    method, _, path = span.name.partition(" ")
    is_path = path.startswith("/") and "http.route" not in (span.attributes or {})
    return str(method if is_path else span.name)


def _hand_on_route(span: Any, entry: Any) -> None:
    route = (span.attributes or {}).get("http.route")
    if route and entry.is_recording() and "http.route" not in (entry.attributes or {}):
        entry.set_attribute("http.route", route)
        entry.update_name(f"{entry.name.partition(' ')[0]} {route}")


def _tornado_name(span: Any) -> str:
    """A route that matches everything says nothing; one that is too complex to be written as a text
    has the name of its handler."""
    method, _, route = span.name.partition(" ")
    attributes = span.attributes or {}
    if route and route.strip("/") != "%s":
        return str(span.name)
    handler = str(attributes.get("tornado.handler", "")).rpartition(".")[2]
    is_found = attributes.get("http.response.status_code") != 404
    return f"{method} {handler}" if handler and is_found else str(method)


class Limits(NamedTuple):
    """Of a log record: the number of its attributes and the length of their text, or None."""

    attributes: int | None
    length: int | None


def log_record_limits(provider: Any) -> Limits:
    """The limits of a provider of log records; those of the environment in older releases, which
    have other names for them."""
    limits = getattr(provider, "_log_record_limits", None) or LogRecordLimits()
    return Limits(
        getattr(limits, "max_log_record_attributes", limits.max_attributes),
        getattr(limits, "max_log_record_attribute_length", limits.max_attribute_length),
    )


def set_up(service_name: str) -> None:
    """Make and set the providers of traces, metrics and logs."""
    _configuration._import_exporters = exporting.deferred_exporters  # type: ignore[assignment]
    options: dict[str, Any] = {
        "span_processors": [
            BusinessSpans(),
            Corrections(),
            requests.RequestWatch(),
        ],
        "log_record_processors": [BusinessRecords()],
        "export_span_processor": delivery.SpanDelivery,
        "export_log_record_processor": delivery.LogDelivery,
        "resource_attributes": {"service.name": service_name},
    }
    is_told_of_forks = hasattr(TracerProvider, "_handle_fork")
    if not is_told_of_forks and _INSTANCE not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        options["resource_attributes"][_INSTANCE] = str(uuid.uuid4())
        os.register_at_fork(after_in_child=_renew_resource)
    Configurator().configure(**options)  # type: ignore[no-untyped-call]
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.sampler = polling.WithoutPolling(provider.sampler)


def _renew_resource() -> None:
    """Have a forked child be an instance of its own, which the SDK sees to from 1.43 on. Providers,
    tracers and loggers hold the same resource, and read it when they make something."""
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    if isinstance(resource, Resource):
        child: dict[str, int | str] = {"process.pid": os.getpid(), _INSTANCE: str(uuid.uuid4())}
        resource._attributes = resource.merge(Resource(child))._attributes
