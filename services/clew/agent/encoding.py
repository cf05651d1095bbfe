"""OTLP's bytes of spans and log records, redacted in the same pass.

What comes again is encoded once: resources, scopes, attributes with short values, places in the
code. The result means what opentelemetry-exporter-otlp-proto-common's does, with two differences. A
span or log record that cannot be encoded is left out with a warning, where that loses the batch;
and text with halves of surrogate pairs has `?` in their place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from clew.agent.copies import Redaction
from clew.agent.records import (
    CapturedRecord,
    place_attributes,
    severity_number,
    severity_text,
)
from clew.agent.wire import any_value, key_value, sized, utf8, varint

_log = logging.getLogger(__name__)

_CACHED_LENGTH = 256
_CACHED_OBJECTS = 64
_FIXED64, _FIXED32 = Struct("<Q"), Struct("<I")
_LOG_TIMES = Struct("<BQBQBI")  # time, observed time and flags, each behind its tag
# Of Span.flags and Link.flags: it is known whether the parent is remote; it is.
_KNOWN, _REMOTE = b"\x00\x01\x00\x00", b"\x00\x03\x00\x00"


class Encoder:
    """Encodes requests of OTLP. An encoder belongs to one process and any number of threads."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._text_attribute = lru_cache(8192)(self._encode_text)
        self._other_attribute = lru_cache(2048, typed=True)(self._encode_attribute)
        self._short_text = lru_cache(2048)(self._encode_body)
        self._name = lru_cache(1024)(self._encode_name)
        self._place = lru_cache(4096)(self._encode_place)
        self._severity = lru_cache(256)(_severity)
        self._resources: dict[int, tuple[Any, bytes]] = {}
        self._scopes: dict[int, tuple[Any, bytes]] = {}

    def spans(self, spans: Iterable[Any]) -> bytes:
        """An ExportTraceServiceRequest of ReadableSpans."""
        groups = Groups(self)
        for span in spans:
            groups.add(span.resource, span.instrumentation_scope, self._span, span)
        return groups.request()

    def log_records(self, records: Iterable[Any]) -> bytes:
        """An ExportLogsServiceRequest of ReadableLogRecords and CapturedRecords."""
        groups = Groups(self)
        for record in records:
            if type(record) is CapturedRecord:
                logger = record.logger
                groups.add(
                    logger.resource, logger.instrumentation_scope, self._captured_record, record
                )
            else:
                scope = record.instrumentation_scope
                groups.add(record.resource, scope, self._log_record, record)
        return groups.request()

    def resource(self, resource: Any) -> bytes:
        """The fields `resource` and `schema_url` of ResourceSpans and its like."""
        # A forked child's resource is the same object with other attributes.
        attributes = resource.attributes
        held, encoded = self._resources.get(id(attributes), (None, b""))
        if held is not attributes:
            message = self.attributes(b"\x0a", attributes)
            encoded = b"\x0a" + sized(message) + field_of_text(b"\x1a", resource.schema_url)
            _keep(self._resources, attributes, encoded)
        return encoded

    def scope(self, scope: Any) -> bytes:
        """The fields `scope` and `schema_url` of ScopeSpans and its like."""
        if not scope:
            return b"\x0a\x00"
        held, encoded = self._scopes.get(id(scope), (None, b""))
        if held is not scope:
            message = field_of_text(b"\x0a", scope.name) + field_of_text(b"\x12", scope.version)
            message += self.attributes(b"\x1a", scope.attributes)
            encoded = b"\x0a" + sized(message) + field_of_text(b"\x1a", scope.schema_url)
            _keep(self._scopes, scope, encoded)
        return encoded

    def attributes(self, tag: bytes, attributes: Any) -> bytes:
        """A repeated field of KeyValues. One that cannot be encoded is left out with a warning."""
        if not attributes:
            return b""
        plain: Mapping[str, Any] = getattr(attributes, "_dict", attributes)
        system = str(plain.get("db.system.name") or plain.get("db.system") or "")
        parts = [b""]
        for key, value in plain.items():
            kind = type(value)
            try:
                if kind is str and len(value) <= _CACHED_LENGTH:
                    parts.append(self._text_attribute(key, value, system))
                elif kind is int or kind is bool:
                    parts.append(self._other_attribute(key, value, ""))
                else:
                    parts.append(self._encode_attribute(key, value, system))
            except Exception as error:
                _log.warning("attribute %s is left out: %r", key, error)
        return tag.join(parts)

    def _encode_text(self, key: str, value: str, system: str) -> bytes:
        return key_value(key, self._redaction.text(value, key, system))

    def _encode_attribute(self, key: str, value: Any, system: str) -> bytes:
        return key_value(key, self._redaction.value(key, value, system))

    def _span(self, span: Any) -> bytes:
        context, parent, attributes = span.context, span.parent, span._attributes
        parts = [
            b"\x0a\x10",
            context.trace_id.to_bytes(16),
            b"\x12\x08",
            context.span_id.to_bytes(8),
        ]
        if context.trace_state:
            state = ",".join([f"{key}={item}" for key, item in context.trace_state.items()])
            parts.append(field_of_text(b"\x1a", state))
        if parent is not None:
            parts += (b"\x22\x08", parent.span_id.to_bytes(8))
        route = attributes.get("http.route", "") if attributes else ""
        parts.append(self._name(span.name, str(route)))
        parts += (b"\x30", varint(span.kind.value + 1))
        parts += (field_of_time(b"\x39", span.start_time), field_of_time(b"\x41", span.end_time))
        parts += (
            self.attributes(b"\x4a", attributes),
            field_of_count(b"\x50", span.dropped_attributes),
        )
        parts += [b"\x5a" + sized(self._event(event)) for event in span._events]
        parts.append(field_of_count(b"\x60", span.dropped_events))
        parts += [b"\x6a" + sized(self._link(link)) for link in span._links]
        parts.append(field_of_count(b"\x70", span.dropped_links))
        status = span.status
        if status is not None:
            text = field_of_text(
                b"\x12", status.description and self._redaction.text(status.description)
            )
            parts.append(b"\x7a" + sized(text + field_of_count(b"\x18", status.status_code.value)))
        parts += (b"\x85\x01", _REMOTE if parent is not None and parent.is_remote else _KNOWN)
        return b"".join(parts)

    def _encode_name(self, name: str, route: str) -> bytes:
        return field_of_text(b"\x2a", self._redaction.name(name, route))

    def _event(self, event: Any) -> bytes:
        return (
            field_of_time(b"\x09", event.timestamp)
            + field_of_text(b"\x12", self._redaction.text(event.name))
            + self.attributes(b"\x1a", event.attributes)
            + field_of_count(b"\x20", event.dropped_attributes)
        )

    def _link(self, link: Any) -> bytes:
        context = link.context
        return (
            b"\x0a\x10%b\x12\x08%b" % (context.trace_id.to_bytes(16), context.span_id.to_bytes(8))
            + self.attributes(b"\x22", link.attributes)
            + field_of_count(b"\x28", link.dropped_attributes)
            + b"\x35"
            + (_REMOTE if context.is_remote else _KNOWN)
        )

    def _log_record(self, readable: Any) -> bytes:
        record = readable.log_record
        parts = [
            field_of_time(b"\x09", record.timestamp),
            field_of_time(b"\x59", record.observed_timestamp),
            _ids(record.trace_id, record.span_id),
            b"\x45" + _FIXED32.pack(int(record.trace_flags or 0)),
            field_of_count(b"\x10", getattr(record.severity_number, "value", 0)),
            field_of_text(b"\x1a", record.severity_text),
            self._body(record.body),
            self.attributes(b"\x32", record.attributes),
            field_of_count(b"\x38", readable.dropped_attributes),
            field_of_text(b"\x62", record.event_name and self._redaction.text(record.event_name)),
        ]
        return b"".join(parts)

    def _captured_record(self, record: CapturedRecord) -> bytes:
        context = record.span_context
        times = _LOG_TIMES.pack(
            0x09, record.time, 0x59, record.observed_time, 0x45, context.trace_flags
        )
        return (
            times
            + _ids(context.trace_id, context.span_id)
            + self._severity(record.level, record.level_name)
            + self._body(record.body)
            + self.attributes(b"\x32", record.attributes)
            + self._place(record.place)
        )

    def _encode_place(self, place: tuple[str, str, int] | None) -> bytes:
        return self.attributes(b"\x32", place_attributes(place)) if place else b""

    def _body(self, body: Any) -> bytes:
        if type(body) is str and len(body) <= _CACHED_LENGTH:
            return self._short_text(body)
        return self._encode_body(body)

    def _encode_body(self, body: Any) -> bytes:
        return b"\x2a" + sized(any_value(self._redaction.value("", body)))


class Groups:
    """Messages by resource and scope. Equal resources are one group, also if they are two
    objects."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._groups: dict[bytes, dict[bytes, list[bytes]]] = {}
        self._last: tuple[Any, Any, list[bytes]] = (None, None, [])

    def add(self, resource: Any, scope: Any, encode: Callable[[Any], bytes], item: Any) -> None:
        """Add what `encode` makes of the item. It is left out if that raises: what cannot be
        redacted may hold a secret."""
        try:
            message = encode(item)
        except Exception as error:
            _log.warning("an item is left out, it cannot be encoded: %r", error)
            return
        if self._last[0] is not resource or self._last[1] is not scope:
            scopes = self._groups.setdefault(self._encoder.resource(resource), {})
            messages = scopes.setdefault(self._encoder.scope(scope), [])
            self._last = (resource, scope, messages)
        self._last[2].append(b"\x12" + sized(message))

    def request(self) -> bytes:
        """The message of all of it."""
        parts = []
        for resource, scopes in self._groups.items():
            groups = [
                b"\x12" + sized(scope + b"".join(messages)) for scope, messages in scopes.items()
            ]
            parts.append(b"\x0a" + sized(resource + b"".join(groups)))
        return b"".join(parts)


def _severity(level: int, name: str) -> bytes:
    number = field_of_count(b"\x10", severity_number(level))
    return number + field_of_text(b"\x1a", severity_text(name))


def _ids(trace_id: int | None, span_id: int | None) -> bytes:
    trace = b"\x4a\x10" + trace_id.to_bytes(16) if trace_id else b""
    return trace + b"\x52\x08" + span_id.to_bytes(8) if span_id else trace


def field_of_text(tag: bytes, text: str | None) -> bytes:
    """A field of type string; nothing if it is empty."""
    return tag + sized(utf8(text)) if text else b""


def field_of_time(tag: bytes, time: int | None) -> bytes:
    """A field of type fixed64; nothing for 0 and None."""
    return tag + _FIXED64.pack(time) if time else b""


def field_of_count(tag: bytes, count: int) -> bytes:
    """A field of one of the types of integers that are varints; nothing for 0."""
    return tag + varint(count) if count else b""


def _keep(cache: dict[int, tuple[Any, bytes]], key: Any, encoded: bytes) -> None:
    if len(cache) >= _CACHED_OBJECTS:
        cache.clear()
    cache[id(key)] = (key, encoded)
