"""Copies of spans, log records and metrics without secrets, for the agent's own exporters.

The objects of the SDK are never changed: an exporter of the service's gets what it always got. What
holds no secret is passed on as it is.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

from clew.agent import settings
from clew.redaction import (
    further_names,
    redact_attributes,
    redact_name,
    redact_string,
    redact_text,
    redact_value,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Redaction:
    """What is redacted: nothing if it is off; values of `further` names besides the rules."""

    is_on: bool = True
    further: frozenset[str] = frozenset()

    def text(self, text: str, key: str = "", system: str = "") -> str:
        """The text without secrets; `key` and `system` as for redact_value."""
        return redact_string(key, text, self.further, system) if self.is_on else text

    def value(self, key: str, value: Any, system: str = "") -> Any:
        """As redact_value."""
        return redact_value(key, value, self.further, system) if self.is_on else value

    def name(self, name: str, route: str) -> str:
        """As redact_name."""
        return redact_name(name, route, self.further) if self.is_on else name

    def spans(self, spans: Iterable[Any]) -> list[Any]:
        """The spans, or copies without secrets."""
        return self._redact_all(spans, self._span)

    def log_records(self, records: Iterable[Any]) -> list[Any]:
        """The log records, or copies without secrets."""
        return self._redact_all(records, self._log_record)

    def metrics(self, data: Any) -> Any:
        """Metrics data, or a copy without secrets in attributes of points, exemplars, resources."""
        if not self.is_on:
            return data
        return _with(
            data, resource_metrics=self._redact_all(data.resource_metrics, self._resource_group)
        )

    def _redact_all(self, items: Iterable[Any], redact: Callable[[Any], Any]) -> list[Any]:
        """An item that cannot be looked through is left out: it may hold a secret."""
        if not self.is_on:
            return list(items)
        results = []
        for item in items:
            try:
                results.append(redact(item))
            except Exception as error:
                _log.warning("clew: left out, it cannot be redacted: %r", error)
        return results

    def _attributes(self, attributes: Any) -> Any:
        """The attributes as a mapping; the same object if nothing is secret."""
        if not attributes:
            return attributes
        plain: Mapping[str, Any] = getattr(attributes, "_dict", attributes)
        result = redact_attributes(plain, self.further)
        if result is plain:
            return attributes
        if not getattr(attributes, "dropped", 0):
            return result
        counted = BoundedAttributes(attributes=result)
        counted.dropped = attributes.dropped
        return counted

    def _span(self, span: Any) -> Any:
        attributes = self._attributes(span._attributes)
        route = (span._attributes or {}).get("http.route", "")
        name = redact_name(span.name, str(route), self.further)
        events = [self._event(event) for event in span._events]
        links = [self._link(link) for link in span._links]
        status = self._status(span.status)
        resource = self._resource(span.resource)
        if (
            attributes is span._attributes
            and name == span.name
            and status is span.status
            and resource is span.resource
            and _are_same(events, span._events)
            and _are_same(links, span._links)
        ):
            return span
        return _SpanCopy(span, name, attributes, events, links, status, resource)

    def _event(self, event: Any) -> Any:
        attributes = self._attributes(event.attributes)
        name = redact_text(event.name, self.further)
        if attributes is event.attributes and name is event.name:
            return event
        return Event(name, attributes, event.timestamp)

    def _link(self, link: Any) -> Any:
        attributes = self._attributes(link.attributes)
        return link if attributes is link.attributes else Link(link.context, attributes)

    def _status(self, status: Status) -> Status:
        text = status.description
        if not text or (description := redact_text(text, self.further)) is text:
            return status
        return Status(status.status_code, description)

    def _resource(self, resource: Any) -> Any:
        if self._resources.get("last") is not resource:
            attributes = redact_attributes(dict(resource.attributes), self.further)
            is_same = attributes == dict(resource.attributes)
            self._resources["redacted"] = (
                resource if is_same else Resource(attributes, resource.schema_url)
            )
            self._resources["last"] = resource
        return self._resources["redacted"]

    @cached_property
    def _resources(self) -> dict[str, Any]:
        """The last resource and its copy: a process has one, and comparing two is slow."""
        return {}

    def _log_record(self, readable: Any) -> Any:
        record = readable.log_record
        attributes = self._attributes(record.attributes)
        body = redact_value("", record.body, self.further)
        name = record.event_name and redact_text(record.event_name, self.further)
        resource = self._resource(readable.resource)
        if attributes is record.attributes and body is record.body and name is record.event_name:
            return _with(readable, resource=resource)
        redacted = copy.copy(record)
        redacted.attributes, redacted.body, redacted.event_name = attributes, body, name
        return replace(readable, log_record=redacted, resource=resource)

    def _resource_group(self, group: Any) -> Any:
        resource = self._resource(group.resource)
        scopes = _unless_same(map(self._scope_group, group.scope_metrics), group.scope_metrics)
        return _with(group, resource=resource, scope_metrics=scopes)

    def _scope_group(self, group: Any) -> Any:
        return _with(group, metrics=_unless_same(map(self._metric, group.metrics), group.metrics))

    def _metric(self, metric: Any) -> Any:
        points = metric.data.data_points
        points = _unless_same(map(self._point, points), points)
        return _with(metric, data=_with(metric.data, data_points=points))

    def _point(self, point: Any) -> Any:
        exemplars = _unless_same(map(self._exemplar, point.exemplars), point.exemplars)
        return _with(point, attributes=self._attributes(point.attributes), exemplars=exemplars)

    def _exemplar(self, exemplar: Any) -> Any:
        attributes = self._attributes(exemplar.filtered_attributes)
        return _with(exemplar, filtered_attributes=attributes)


class _SpanCopy(ReadableSpan):
    """A span with other texts, and the counts of what its original dropped."""

    def __init__(
        self,
        span: Any,
        name: str,
        attributes: Any,
        events: list[Any],
        links: list[Any],
        status: Status,
        resource: Any,
    ) -> None:
        super().__init__(
            name,
            context=span.context,
            parent=span.parent,
            resource=resource,
            attributes=attributes,
            events=events,
            links=links,
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._dropped: tuple[int, int] = (span.dropped_events, span.dropped_links)

    @property
    def dropped_events(self) -> int:
        return self._dropped[0]

    @property
    def dropped_links(self) -> int:
        return self._dropped[1]


def _are_same(results: list[Any], originals: Any) -> bool:
    return all(result is original for result, original in zip(results, originals, strict=True))


def _unless_same(results: Iterable[Any], originals: Any) -> Any:
    redacted = list(results)
    return originals if _are_same(redacted, originals) else redacted


def _with(item: Any, **fields: Any) -> Any:
    """The dataclass with other values of fields; the same object if they are the same objects."""
    if all(getattr(item, name) is value for name, value in fields.items()):
        return item
    return replace(item, **fields)


def configured() -> Redaction:
    """What CLEW_REDACT says."""
    names = further_names(settings.value(os.environ, "CLEW_REDACT"))
    return Redaction(is_on=names is not None, further=names or frozenset())
