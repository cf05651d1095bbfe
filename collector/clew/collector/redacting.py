"""Secrets, removed from requests before they reach the spool: for senders that cannot be changed.

The rules are the agent's (clew.redaction). They are Python, and cost microseconds for each text, so
they see each different attribute once and not each time that it occurs. Two variants of OTLP's
messages make that cheap; in both, attributes and texts are bytes. In the first all items of a
request are one, which lists the attributes of all of them: protobuf's C implementation gathers
them. Only if one of them holds a secret, the second is parsed, in which they stand in their items
and are replaced there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from clew.collector.descriptors import Field, derive_message
from clew.collector.limits import Tally
from clew.collector.otlp import MESSAGES, Batch
from clew.redaction import redact_name, redact_text, redact_value, screen

Append = Callable[[str, Batch], Coroutine[Any, Any, None]]

# The fields that are looked at, by message, and what stands in them. Attributes are in many.
ATTRIBUTES, BODY, NAME, TEXT = "attributes", "body", "name", "text"
ATTRIBUTE_FIELDS = ("attributes", "filtered_attributes")  # the second: of an exemplar
TEXT_FIELDS = {
    ("Span", "name"): NAME,
    ("Event", "name"): TEXT,
    ("Status", "message"): TEXT,
    ("LogRecord", "event_name"): TEXT,
    ("LogRecord", "body"): BODY,
}
# The beginnings of encoded attributes with these keys.
SYSTEM = (b"\n\x0edb.system.name\x12", b"\n\x09db.system\x12")
STATEMENT = (b"\n\x0ddb.query.text\x12", b"\n\x0cdb.statement\x12")
ROUTE = b"\n\x0ahttp.route\x12"

LARGE_BODY = 16 << 10  # bytes: a thread redacts larger ones, so the event loop is not blocked
MAX_KNOWN = 50_000  # values of a kind whose result is kept
MAX_KNOWN_SIZE = 512  # bytes of such a value


def redacting(append: Append, redactor: Redactor, tally: Tally) -> Append:
    """An `append` that hands on batches without secrets."""

    async def append_redacted(signal: str, batch: Batch) -> None:
        if len(batch.body) < LARGE_BODY:
            redacted, items = redactor.redact(signal, batch)
        else:
            redacted, items = await asyncio.to_thread(redactor.redact, signal, batch)
        await append(signal, redacted)
        if items:
            tally.count_redacted(signal, items)

    return append_redacted


class Redactor:
    """Redacts requests. `further`: names of what is secret besides those of the rules, in lower
    case. `redact` may be called from any thread."""

    def __init__(self, further: frozenset[str] = frozenset()) -> None:
        self._further = further
        screened = screen(further)
        self._kinds = {
            ATTRIBUTES: _Kind(screened, self._attribute),
            BODY: _Kind(screened, self._body),
            NAME: _Kind(screened, self._name),
            TEXT: _Kind(screened, self._text),
        }

    def redact(self, signal: str, batch: Batch) -> tuple[Batch, int]:
        """The batch without secrets, and how many of its items were changed: with a resource or a
        scope, all of its items are. The same batch if it holds none."""
        merged, request = _variants(signal)
        values: dict[str, set[bytes]] = {kind: set() for kind in self._kinds}
        _gather(merged.FromString(batch.body), values)
        secrets = {kind: self._kinds[kind].secrets(values[kind]) for kind in self._kinds}
        if not any(secrets.values()):
            return batch, 0
        message = request.FromString(batch.body)
        items = sum(_Replacing(self._kinds, secrets).items(signal, message))
        return (replace(batch, body=message.SerializeToString()), items) if items else (batch, 0)

    def _attribute(self, encoded: bytes, system: str) -> bytes:
        pair = KeyValue.FromString(encoded)
        value = _plain(pair.value)
        redacted = redact_value(pair.key, value, self._further, system)
        if redacted is value:
            return encoded
        return bytes(KeyValue(key=pair.key, value=_any_value(redacted)).SerializeToString())

    def _body(self, encoded: bytes, _context: str) -> bytes:
        value = _plain(AnyValue.FromString(encoded))
        redacted = redact_value("", value, self._further)
        return encoded if redacted is value else bytes(_any_value(redacted).SerializeToString())

    def _name(self, encoded: bytes, route: str) -> bytes:
        return redact_name(encoded.decode(), route, self._further).encode()

    def _text(self, encoded: bytes, _context: str) -> bytes:
        return redact_text(encoded.decode(), self._further).encode()


class _Kind:
    """Values of one kind, and what is known of them."""

    def __init__(self, screened: re.Pattern[bytes], redact: Callable[[bytes, str], bytes]) -> None:
        self._screened = screened
        self._redact = redact
        self._clean: set[bytes] = set()
        self._redacted: dict[tuple[bytes, str], bytes] = {}

    def secrets(self, values: set[bytes]) -> set[bytes]:
        """Those that hold a secret, if nothing in their items says otherwise."""
        secrets = set()
        for value in values - self._clean:
            if self._screened.search(value.lower()) and self.redacted(value, "") != value:
                secrets.add(value)
            elif len(value) <= MAX_KNOWN_SIZE:
                if len(self._clean) >= MAX_KNOWN:
                    self._clean = set()
                self._clean.add(value)
        return secrets

    def redacted(self, value: bytes, context: str) -> bytes:
        """The value without secrets. `context`: of a statement the database's system, of a name
        the route."""
        result = self._redacted.get((value, context))
        if result is None:
            result = self._redact(value, context)
            if len(value) <= MAX_KNOWN_SIZE:
                if len(self._redacted) >= MAX_KNOWN:
                    self._redacted = {}
                self._redacted[value, context] = result
        return result


class _Replacing:
    """Replaces in one request the values that hold secrets, by kind."""

    def __init__(self, kinds: dict[str, _Kind], secrets: dict[str, set[bytes]]) -> None:
        self._kinds = kinds
        self._secrets = secrets

    def items(self, signal: str, request: Any) -> Iterator[bool]:
        """Of each item whether it was changed."""
        messages = MESSAGES[signal]
        replace_in = {"traces": self._span, "logs": self._log_record, "metrics": self._point}
        for group in getattr(request, messages.resources_field):
            with_resource = self._attributes(group.resource)
            for scope_group in getattr(group, messages.scopes_field):
                with_scope = self._attributes(scope_group.scope) or with_resource
                for item in _items(signal, scope_group):
                    yield replace_in[signal](item) or with_scope

    def _span(self, span: Any) -> bool:
        changed = self._attributes(span)
        if span.name in self._secrets[NAME]:
            changed |= self._field(span, "name", NAME, _first_text(span.attributes, ROUTE))
        if self._secrets[TEXT] and span.HasField("status"):
            changed |= self._field(span.status, "message", TEXT)
        for event in span.events:
            changed |= self._attributes(event)
            changed |= self._field(event, "name", TEXT)
        for link in span.links:
            changed |= self._attributes(link)
        return changed

    def _log_record(self, record: Any) -> bool:
        changed = self._attributes(record)
        changed |= self._field(record, "body", BODY)
        changed |= self._field(record, "event_name", TEXT)
        return changed

    def _point(self, point: Any) -> bool:
        changed = self._attributes(point)
        for exemplar in getattr(point, "exemplars", ()):
            changed |= self._attributes(exemplar, exemplar.filtered_attributes)
        return changed

    def _attributes(self, holder: Any, attributes: Any = None) -> bool:
        attributes = holder.attributes if attributes is None else attributes
        secrets = self._secrets[ATTRIBUTES]
        if secrets.isdisjoint(attributes):
            return False
        changed = False
        for index, value in enumerate(attributes):
            if value in secrets:
                system = _first_text(attributes, SYSTEM) if value.startswith(STATEMENT) else ""
                redacted = self._kinds[ATTRIBUTES].redacted(value, system)
                if redacted != value:
                    attributes[index] = redacted
                    changed = True
        return changed

    def _field(self, holder: Any, name: str, kind: str, context: str = "") -> bool:
        value = getattr(holder, name)
        if value not in self._secrets[kind]:
            return False
        redacted = self._kinds[kind].redacted(value, context)
        setattr(holder, name, redacted)
        return bool(redacted != value)


def _items(signal: str, scope_group: Any) -> Iterator[Any]:
    if signal == "metrics":
        for metric in scope_group.metrics:
            if kind := metric.WhichOneof("data"):
                yield from getattr(metric, kind).data_points
    else:
        yield from scope_group.spans if signal == "traces" else scope_group.log_records


def _first_text(attributes: Iterable[bytes], beginning: bytes | tuple[bytes, ...]) -> str:
    """The text of the first attribute that begins so; empty if none does."""
    attribute = next((value for value in attributes if value.startswith(beginning)), b"")
    return str(KeyValue.FromString(attribute).value.string_value)


def _plain(value: Any) -> Any:
    """An AnyValue as Python's. Of a repeated key, the first value counts."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_plain(member) for member in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in reversed(value.kvlist_value.values)}
        case kind:
            return getattr(value, kind)


def _any_value(value: Any) -> Any:
    message = AnyValue()
    match value:
        case None:
            pass
        case bool():
            message.bool_value = value
        case int():
            message.int_value = value
        case float():
            message.double_value = value
        case bytes():
            message.bytes_value = value
        case list():
            message.array_value.values.extend(map(_any_value, value))
            message.array_value.SetInParent()
        case dict():
            message.kvlist_value.SetInParent()
            for key, member in reversed(value.items()):
                message.kvlist_value.values.add(key=key).value.CopyFrom(_any_value(member))
        case _:
            message.string_value = value
    return message


# ---- variants of the messages


@cache
def _variants(signal: str) -> tuple[Any, Any]:
    """Of a signal's export request: one in which all items are merged, and one in which they are
    apart. Attributes and texts are bytes in both."""
    full_name = MESSAGES[signal].request.DESCRIPTOR.full_name
    return derive_message(full_name, _declare_merged), derive_message(full_name, _declare_apart)


def _declare_merged(file: Any) -> None:
    for message in _messages(file):
        for field in message.field:
            # Of a `oneof`, such as a metric's kind, only the last member would remain.
            field.ClearField("oneof_index")
            field.ClearField("proto3_optional")
            if _declare_bytes(message, field):
                field.label = Field.LABEL_REPEATED
            elif field.type == Field.TYPE_MESSAGE:
                field.label = Field.LABEL_OPTIONAL
        del message.oneof_decl[:]


def _declare_apart(file: Any) -> None:
    for message in _messages(file):
        for field in message.field:
            _declare_bytes(message, field)


def _declare_bytes(message: Any, field: Any) -> bool:
    """Declare a field as bytes if it is one that is looked at; returns whether it is."""
    if field.name not in ATTRIBUTE_FIELDS and (message.name, field.name) not in TEXT_FIELDS:
        return False
    field.type = Field.TYPE_BYTES
    field.ClearField("type_name")
    return True


def _messages(parent: Any) -> Iterator[Any]:
    for message in parent.message_type if hasattr(parent, "message_type") else parent.nested_type:
        yield message
        yield from _messages(message)


def _gather(merged: Any, values: dict[str, set[bytes]]) -> None:
    """Add every different value of a request, parsed as the merged variant, to those of its
    kind."""
    message = merged.DESCRIPTOR.name
    for field, content in merged.ListFields():
        if field.name in ATTRIBUTE_FIELDS:
            values[ATTRIBUTES].update(content)
        elif kind := TEXT_FIELDS.get((message, field.name)):
            values[kind].update(content)
        elif field.type == field.TYPE_MESSAGE:
            _gather(content, values)
