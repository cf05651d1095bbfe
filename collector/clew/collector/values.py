"""Nested attribute values (arrays and maps), written out as text.

The engine decodes scalar values only. A nested value becomes a string value: the JSON text that the
OpenTelemetry Collector's exporter stores. Resources and scopes are checked when they arrive (they
are few, and several SDKs send process.command_args with every request). Spans, log records and data
points are not: the engine refuses a segment with nested values in them, and the loader then calls
`write_out`. Protobuf finds them in C: in a variant of OTLP's messages, arrays and maps have a
required field that is never set, and FindInitializationErrors lists the path of every one.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from google.protobuf.message import Message

from clew.collector.descriptors import Field, derive_message
from clew.storage.rows import double_text

NESTED = ("array_value", "kvlist_value")


def any_nested(merged: Any, scopes: str) -> bool:
    """Whether an attribute of a resource or scope is an array or a map. `merged` is the resource
    into which all resources of a request were merged (see collector.ids)."""
    return any(
        holder.attributes.value.HasField(name)
        for holder in (merged.resource, getattr(merged, scopes).scope)
        for name in NESTED
    )


def write_out_resources(resources: Iterable[Any], scopes: str) -> bool:
    """Write out the nested values in the attributes of resources and of their scopes, in place.

    `scopes` is the field that holds a resource's scopes, such as `scope_spans`. Returns whether
    anything changed."""
    changed = False
    for entry in resources:
        changed |= _write_out_attributes(entry.resource.attributes)
        for scope in getattr(entry, scopes):
            changed |= _write_out_attributes(scope.scope.attributes)
    return changed


def write_out(request: type[Message], body: bytes) -> bytes:
    """The body of an export request, encoded anew: nested values are written out, and fields that
    OTLP does not have are left out. Raises DecodeError."""
    message: Any = _with_required_field(request.DESCRIPTOR.full_name).FromString(body)
    message.DiscardUnknownFields()
    if not message.IsInitialized():
        for path in _outermost(message.FindInitializationErrors()):
            _write_out_value(_follow(message, path))
    return bytes(message.SerializeToString())


def json_text(value: Any) -> str:
    """An AnyValue that is an array or a map, as compact JSON with sorted keys.

    JSON has no number for NaN and the infinities: they become the texts that they are as scalar
    values. (The exporter leaves out the whole array or map.) Of a repeated key, the first value
    counts."""
    return _json(value)


def _write_out_attributes(attributes: Iterable[Any]) -> bool:
    changed = False
    for attribute in attributes:
        if attribute.value.WhichOneof("value") in NESTED:
            _write_out_value(attribute.value)
            changed = True
    return changed


def _write_out_value(value: Any) -> None:
    value.string_value = json_text(value)


def _json(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind is None:
        return "null"
    if kind == "array_value":
        return f"[{','.join(map(_json, value.array_value.values))}]"
    if kind == "kvlist_value":
        members = {member.key: member.value for member in reversed(value.kvlist_value.values)}
        return f"{{{','.join(f'{_string(key)}:{_json(members[key])}' for key in sorted(members))}}}"
    scalar = getattr(value, kind)
    if kind == "bool_value":
        return "true" if scalar else "false"
    if kind == "int_value":
        return str(scalar)
    if kind == "double_value":
        return _number(scalar)
    if kind == "bytes_value":
        return _string(base64.b64encode(scalar).decode()) if scalar else "null"
    return _string(str(scalar))


def _string(value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return quoted.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _number(value: float) -> str:
    text = double_text(value)
    return text if math.isfinite(value) else f'"{text}"'


def _outermost(paths: list[str]) -> list[str]:
    """The paths of attribute values, without what is nested in them:
    `spans[3].attributes[2].value` of `spans[3].attributes[2].value.array_value.values[0].…`."""
    return list(
        dict.fromkeys(re.split(r"\.(?:array|kvlist)_value", path, maxsplit=1)[0] for path in paths)
    )


def _follow(message: Any, path: str) -> Any:
    for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path):
        message = getattr(message, name)
        if index:
            message = message[int(index)]
    return message


@cache
def _with_required_field(full_name: str) -> type[Message]:
    """A variant of the message class `full_name` whose arrays and maps are never initialized."""
    return derive_message(full_name, _require_field)


def _require_field(file: Any) -> None:
    if file.package != "opentelemetry.proto.common.v1":
        return
    file.syntax = "proto2"  # proto3 has no required fields
    for message in file.message_type:
        if message.name in ("ArrayValue", "KeyValueList"):
            message.field.add(
                name="never",
                number=536870911,
                type=Field.TYPE_BOOL,
                label=Field.LABEL_REQUIRED,
            )
