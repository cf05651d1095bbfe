"""Requests with odd items: every item is stored as it is, mended, or rejected alone.

Runs only for requests that do not pass the check of collector.otlp, because it looks at every item.

Mended, and stored:
    text that is not UTF-8, and surrogates in JSON     U+FFFD replaces what cannot be read
    arrays and maps nested deeper than LEVELS          U+FFFD replaces the deeper ones
    a missing time                                     is set, see ids.fill_times
    a log record with an invalid id                    is stored without its ids

Rejected alone: an item that breaks one of `ids.RULES`, or that cannot be parsed at all.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from clew.collector import ids

# The deepest nesting of arrays and maps. Protobuf parses 100 nested messages; a map takes three of
# them, and an item's attributes are at most nine deep.
LEVELS = 30
BRACKETS = 160  # the deepest nesting of JSON: more than LEVELS maps
UNREADABLE = "\ufffd"

MALFORMED = "malformed"
RULES = ids.RULES | {MALFORMED: "an item cannot be parsed"}
TEXT, TIME, IDS = "text", "time", "ids"
NOTES = {
    TEXT: "text must be valid UTF-8, and values nested at most 30 deep: {} stored with U+FFFD",
    TIME: "a time is missing: {} stored with another time of theirs, or the time of receipt",
    IDS: f"{ids.TRACE_ID}, and {ids.SPAN_ID}: {{}} stored without both",
}

ITEMS = ("spans", "log_records", "data_points")
# The fields between a request and its items.
CONTAINERS = (
    *("resource_spans", "scope_spans", "resource_logs", "scope_logs"),
    *("resource_metrics", "scope_metrics", "metrics", *ids.POINT_KINDS),
)
NESTED = ("array_value", "kvlist_value")
ID_FIELDS = {
    "traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id",
}  # fmt: skip
INVALID_ID = base64.b64encode(b"?").decode()  # an id of an invalid length
# The errors of json_format for a document that is not a request, and of protobuf for a surrogate: a
# SystemError if it is in the name of a field.
JSON_ERRORS = (
    *(json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError),
    SystemError,
)


class Mender:
    """Mends or rejects the items of one request, and counts them.

    `received_at` is the time of receipt in nanoseconds since 1970. `rejected` counts items by the
    reason (a key of RULES), `mended` the stored items that were changed. `error` says what is wrong
    with the first item that cannot be parsed. Items that protobuf can parse are not searched for
    odd text, unless `parse_first` is False."""

    def __init__(self, received_at: int, *, parse_first: bool = True) -> None:
        self.parse_first = parse_first
        self.rejected: Counter[str] = Counter()
        self.mended = 0
        self.parsed = 0
        self.error = ""
        self._received_at = received_at
        self._notes: Counter[str] = Counter()

    def accept(self, item: Any, changed: bool) -> bool:
        """Mend an item in place and count it. Returns False if it is rejected. `changed`: its text
        was mended before."""
        self.parsed += 1
        if reason := ids.fault(item):
            self.rejected[reason] += 1
            return False
        changes = {
            TEXT: changed,
            TIME: ids.fill_times(item, self._received_at),
            IDS: ids.clear_ids(item),
        }
        self._notes.update(note for note, is_changed in changes.items() if is_changed)
        self.mended += any(changes.values())
        return True

    def reject_malformed(self, error: Exception, items: int = 1) -> None:
        """Count items that cannot be parsed."""
        self.rejected[MALFORMED] += items
        self.error = self.error or str(error).splitlines()[0][:500]

    def message(self) -> str:
        """The message for the client; empty if nothing was rejected or changed."""
        rejections = (
            f"{RULES[reason]}: {items} rejected" for reason, items in self.rejected.items()
        )
        notes = (NOTES[note].format(items) for note, items in self._notes.items())
        return "; ".join((*rejections, *notes))


# ---- protobuf


def mend_protobuf(request: type[Message], body: bytes, mender: Mender) -> bytes:
    """The request with what the mender accepts. Raises ValueError if the messages around the items
    cannot be read."""
    return _mend_container(request.DESCRIPTOR, memoryview(body), mender, False)


def _mend_container(
    descriptor: Descriptor, data: memoryview, mender: Mender, changed: bool
) -> bytes:
    """A message that contains items. `changed`: text of a message around it was mended."""
    parts, inner = [], []
    for field, start, value, end in _fields(descriptor, data):
        if field is not None and field.name in (*ITEMS, *CONTAINERS):
            inner.append((field, data[value:end]))
            continue
        text = _mend_field(field, data[value:end], 0)
        changed = changed or text is not None
        parts.append(data[start:end] if field is None or text is None else _encode(field, text))
    for field, content in inner:
        if field.name in CONTAINERS:
            parts.append(
                _encode(field, _mend_container(field.message_type, content, mender, changed))
            )
        elif (item := _mend_item(field.message_type, content, mender, changed)) is not None:
            parts.append(_encode(field, item))
    return b"".join(parts)


def _mend_item(
    descriptor: Descriptor, data: memoryview, mender: Mender, changed: bool
) -> bytes | None:
    """An item, encoded; None if it is rejected."""
    message: Any = GetMessageClass(descriptor)
    try:
        item = message.FromString(bytes(data)) if mender.parse_first else None
    except DecodeError:
        item = None
    if item is None:
        try:
            text = _mend_message(descriptor, data, 0)
            item = message.FromString(bytes(data) if text is None else text)
        except (DecodeError, ValueError) as error:
            mender.reject_malformed(error)
            return None
        changed = changed or text is not None
    return bytes(item.SerializeToString()) if mender.accept(item, changed) else None


def _mend_message(descriptor: Descriptor, data: memoryview, level: int) -> bytes | None:
    """The message with every string valid; None if they are. `level` counts the arrays and maps
    around it."""
    changed = False
    parts: list[bytes | memoryview] = []
    for field, start, value, end in _fields(descriptor, data):
        text = _mend_field(field, data[value:end], level)
        if field is None or text is None:
            parts.append(data[start:end])
        elif field.name in NESTED and level == LEVELS:
            parts.append(_encode(descriptor.fields_by_name["string_value"], text))
            changed = True
        else:
            parts.append(_encode(field, text))
            changed = True
    return b"".join(parts) if changed else None


def _mend_field(field: FieldDescriptor | None, value: memoryview, level: int) -> bytes | None:
    """The value of a string or message, mended; None if there is nothing to mend."""
    if field is None:
        return None
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if field.name not in NESTED:
            return _mend_message(field.message_type, value, level)
        if level == LEVELS:
            return UNREADABLE.encode()
        return _mend_message(field.message_type, value, level + 1)
    if field.type == FieldDescriptor.TYPE_STRING:
        try:
            str(value, "utf-8")
        except UnicodeDecodeError:
            return str(value, "utf-8", "replace").encode()
    return None


def _fields(
    descriptor: Descriptor, data: memoryview
) -> Iterator[tuple[FieldDescriptor | None, int, int, int]]:
    """The fields of an encoded message: the field if it is a string, bytes or a message that OTLP
    has, and the start of its tag, the start of its value and the end. Raises ValueError."""
    position = 0
    while position < len(data):
        start = position
        tag, position = _varint(data, position)
        value = position
        match tag & 7:
            case 0:
                _, position = _varint(data, position)
            case 1:
                position += 8
            case 2:
                length, value = _varint(data, position)
                position = value + length
            case 5:
                position += 4
            case kind:
                raise ValueError(f"a field has the wire type {kind}")
        if tag >> 3 == 0:
            raise ValueError("a field has the number 0")
        if position > len(data):
            raise ValueError("a field is longer than the message that it is in")
        field = descriptor.fields_by_number.get(tag >> 3)
        yield field if tag & 7 == 2 and _has_length(field) else None, start, value, position


def _has_length(field: FieldDescriptor | None) -> bool:
    return field is not None and field.type in (
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_MESSAGE,
    )


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is cut off")


def _encode(field: FieldDescriptor, content: bytes | memoryview) -> bytes:
    return _encode_varint(field.number << 3 | 2) + _encode_varint(len(content)) + content


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


# ---- JSON

_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(body: bytes) -> dict[str, Any]:
    """The document in a JSON body, with ids in base64, as protobuf's JSON mapping expects them.

    Bytes that are not UTF-8 become surrogates, and what is nested deeper than a parser can follow
    becomes null: `mend_json` replaces both. Raises ValueError and TypeError."""
    text = body.decode(json.detect_encoding(body), "surrogateescape")
    try:
        document = _with_base64_ids(json.loads(text))
    except RecursionError:
        document = _with_base64_ids(json.loads(_cut_nesting(text)))
    if not isinstance(document, dict):
        raise TypeError("it is not a JSON object")
    return document


def mend_json(request: Any, document: dict[str, Any], mender: Mender) -> None:
    """Fill an empty request with the items of a document that the mender accepts. Raises one of
    JSON_ERRORS if what is around the items cannot be read."""
    _fill_container(request, document, mender, False)


def _fill_container(message: Any, node: Any, mender: Mender, changed: bool) -> None:
    """Fill a message that contains items. `changed`: text of a message around it was mended."""
    values, inner = {}, []
    for key, value in node.items():
        field = _field(message.DESCRIPTOR, key)
        if field is not None and field.name in (*ITEMS, *CONTAINERS):
            inner.append((field, value))
        else:
            values[key] = value
    mended = _mend_json_value(values, 0)
    changed = changed or mended != values
    json_format.ParseDict(mended, message, ignore_unknown_fields=True)
    for field, value in inner:
        if field.name in ids.POINT_KINDS:
            getattr(message, field.name).SetInParent()
            _fill_container(getattr(message, field.name), value or {}, mender, changed)
        else:
            _fill_repeated(getattr(message, field.name), field, value or [], mender, changed)


def _fill_repeated(
    children: Any, field: FieldDescriptor, nodes: Any, mender: Mender, changed: bool
) -> None:
    if not isinstance(nodes, list):
        raise TypeError(f"{field.json_name} is not an array")
    for node in nodes:
        child = children.add()
        try:
            if field.name in CONTAINERS:
                _fill_container(child, node, mender, changed)
                continue
            if not isinstance(node, dict):
                raise TypeError("it is not a JSON object")
            mended = _mend_json_value(node, 0)
            json_format.ParseDict(mended, child, ignore_unknown_fields=True)
        except JSON_ERRORS as error:
            mender.reject_malformed(error, _count_items(field, node))
            del children[-1]
        else:
            if not mender.accept(child, changed or mended != node):
                del children[-1]


def _count_items(field: FieldDescriptor, node: Any) -> int:
    """The items in a part of a document that could not be read; at least 1."""
    if field.name in ITEMS or not isinstance(node, dict):
        return 1
    items = 0
    for key, value in node.items():
        inner = _field(field.message_type, key)
        if inner is not None and inner.name in (*ITEMS, *CONTAINERS):
            children = value if isinstance(value, list) else [value]
            items += sum(_count_items(inner, child) for child in children)
    return max(items, 1)


def _field(descriptor: Descriptor, key: str) -> FieldDescriptor | None:
    key = _SURROGATE.sub(UNREADABLE, key)  # protobuf raises a SystemError for a surrogate
    field: FieldDescriptor | None = descriptor.fields_by_camelcase_name.get(key)
    return field or descriptor.fields_by_name.get(key)


def _mend_json_value(node: Any, level: int) -> Any:
    """A copy without surrogates, and without what is nested deeper than LEVELS."""
    if isinstance(node, str):
        return _SURROGATE.sub(UNREADABLE, node)
    if isinstance(node, list):
        return [_mend_json_value(element, level) for element in node]
    if not isinstance(node, dict):
        return node
    copy = {}
    for key, value in node.items():
        if key not in ("arrayValue", "kvlistValue", *NESTED):
            copy[_SURROGATE.sub(UNREADABLE, key)] = _mend_json_value(value, level)
        elif level == LEVELS:
            copy["stringValue"] = UNREADABLE
        else:
            copy[key] = _mend_json_value(value, level + 1)
    return copy


def _with_base64_ids(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _hex_to_base64(value) if key in ID_FIELDS and isinstance(value, str)
            else _with_base64_ids(value)
            for key, value in node.items()
        }  # fmt: skip
    if isinstance(node, list):
        return [_with_base64_ids(element) for element in node]
    return node


def _hex_to_base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return INVALID_ID


def _cut_nesting(text: str) -> str:
    """JSON text with null instead of everything deeper than BRACKETS."""
    parts = []
    start = depth = 0
    for token in _JSON_TOKEN.finditer(text):
        bracket = text[token.start()]
        if bracket in "[{":
            depth += 1
            if depth == BRACKETS + 1:
                parts += [text[start : token.start()], "null"]
        elif bracket in "]}":
            if depth == BRACKETS + 1:
                start = token.end()
            depth -= 1
    if depth <= BRACKETS:
        parts.append(text[start:])
    return "".join(parts)
