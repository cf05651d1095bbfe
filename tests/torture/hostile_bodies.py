"""Hostile request bodies: mutated ones, compression bombs, and deeply nested values."""

from __future__ import annotations

import base64
import json
import random
import time
import zlib
from collections.abc import Iterator
from typing import Any

import zstandard
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.any_values import any_value

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
VALUES = [
    "text",
    "",
    "ü\u2028",
    7,
    -1,
    2**63 - 1,
    0.5,
    float("nan"),
    True,
    b"\0\xff",
    [1, ["a"]],
    {"k": {"n": None}},
]


def valid(signal: str, chance: random.Random) -> Any:
    """A valid request with random items, attributes, events, links and exemplars."""
    now = time.time_ns()
    request = REQUESTS[signal]()

    def attributes(field: Any) -> None:
        for key in range(chance.randrange(4)):
            field.add(key=f"key{key}").value.CopyFrom(any_value(chance.choice(VALUES)))

    if signal == "traces":
        resource = request.resource_spans.add()
        scope = resource.scope_spans.add()
        for number in range(chance.randrange(1, 6)):
            span = scope.spans.add(
                trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name=f"span {number}",
                kind=chance.randrange(6), start_time_unix_nano=now, end_time_unix_nano=now + 5,
            )  # fmt: skip
            attributes(span.attributes)
            attributes(span.events.add(name="event", time_unix_nano=now).attributes)
            attributes(span.links.add(trace_id=chance.randbytes(16), span_id=b"s" * 8).attributes)
            span.status.code = chance.randrange(3)
    elif signal == "logs":
        resource = request.resource_logs.add()
        scope = resource.scope_logs.add()
        for number in range(chance.randrange(1, 6)):
            record = scope.log_records.add(
                time_unix_nano=now, severity_text=f"severity {number}", trace_id=b"t" * 16,
                severity_number=chance.randrange(25), span_id=b"s" * 8,
            )  # fmt: skip
            record.body.CopyFrom(any_value(chance.choice(VALUES)))
            attributes(record.attributes)
    else:
        resource = request.resource_metrics.add()
        scope = resource.scope_metrics.add()
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
            metric = scope.metrics.add(name=f"a {kind}", unit="1")
            point = getattr(metric, kind).data_points.add(time_unix_nano=now)
            attributes(point.attributes)
            if kind in ("gauge", "sum"):
                point.as_double = chance.random()
                point.exemplars.add(trace_id=b"t" * 16, span_id=b"s" * 8, as_int=3)
            elif kind == "histogram":
                point.bucket_counts.extend((1, 2))
                point.explicit_bounds.append(1.5)
            elif kind == "exponential_histogram":
                point.positive.bucket_counts.extend((1, 0, 7))
            else:
                point.quantile_values.add(quantile=0.5, value=2)
    attributes(resource.resource.attributes)
    attributes(scope.scope.attributes)
    return request


def as_json(request: Any) -> bytes:
    """The request in OTLP's JSON mapping, with ids in hex."""

    def with_hex_ids(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: base64.b64decode(value).hex()
                if key in ("traceId", "spanId", "parentSpanId")
                else with_hex_ids(value)
                for key, value in node.items()
            }
        return [with_hex_ids(item) for item in node] if isinstance(node, list) else node

    return json.dumps(with_hex_ids(json_format.MessageToDict(request))).encode()


def mutated(body: bytes, other: bytes, chance: random.Random) -> bytes:
    """The body with random changes: of its fields (70 %), which protobuf mostly accepts, or of its bytes,
    which it mostly refuses. `other` is a body to take bytes from."""
    changed = bytearray(body)
    if chance.random() < 0.7:
        for _ in range(chance.randrange(1, 4)):
            changed = bytearray(with_changed_field(bytes(changed), chance))
        return bytes(changed)
    for _ in range(chance.randrange(1, 3)):
        position = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if position < len(changed):  # a flipped bit
                changed[position] ^= 1 << chance.randrange(8)
            case 1:  # bytes are removed
                del changed[position : position + chance.randrange(1, 9)]
            case 2:  # random bytes are added
                changed[position:position] = chance.randbytes(chance.randrange(1, 9))
            case 3:  # bytes of the other body are added
                start = chance.randrange(len(other))
                changed[position:position] = other[start : start + chance.randrange(1, 60)]
            case 4:  # cut off
                del changed[position:]
            case 5 if position < len(changed):  # a byte is replaced
                changed[position] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def with_changed_field(message: bytes, chance: random.Random) -> bytes:
    """The message with one field, at any depth, removed, repeated, or with another number, type or
    content. The lengths of the messages around it are correct."""
    fields = list(split(message))
    if not fields:
        return message + odd_field(chance.randrange(1, 20), chance)
    index = chance.randrange(len(fields))
    number, kind, content = fields[index]
    nested_fields = list(split(content)) if kind == 2 else []
    if nested_fields and chance.random() < 0.8:
        fields[index] = (number, kind, with_changed_field(content, chance))
        return b"".join(map(encode_field, fields))
    encoded = list(map(encode_field, fields))
    match chance.randrange(6):
        case 0:
            del encoded[index]
        case 1:
            encoded.append(encoded[index])
        case 2:
            encoded[index] = odd_field(number, chance)
        case 3:
            encoded.insert(
                index, odd_field(chance.choice((*range(1, 20), 999, 1000, 1001)), chance)
            )
        case 4:
            encoded[index] = encode_field((chance.randrange(1, 12), kind, content))
        case 5:
            chance.shuffle(encoded)
    return b"".join(encoded)


def odd_field(number: int, chance: random.Random) -> bytes:
    """A field with this number, and a random type and content."""
    kind = chance.choice((0, 1, 2, 5))
    content = {
        0: varint(chance.choice((0, 1, 300, 2**31, 2**63, 2**64 - 1))),
        1: chance.randbytes(8),
        2: chance.choice((b"", b"text", "ü".encode(), b"\0" * 8, chance.randbytes(16))),
        5: chance.randbytes(4),
    }[kind]
    return encode_field((number, kind, content))


def encode_field(field: tuple[int, int, bytes]) -> bytes:
    number, kind, content = field
    return varint(number << 3 | kind) + (varint(len(content)) if kind == 2 else b"") + content


def split(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a message as (number, wire type, content); none if the bytes are not a message."""
    fields = []
    position = 0
    try:
        while position < len(message):
            tag, position = read_varint(message, position)
            start = position
            match tag & 7:
                case 0:
                    _, position = read_varint(message, position)
                case 1:
                    position += 8
                case 2:
                    length, start = read_varint(message, position)
                    position = start + length
                case 5:
                    position += 4
                case _:
                    return
            if position > len(message) or tag < 8:
                return
            fields.append((tag >> 3, tag & 7, message[start:position]))
    except IndexError:
        return
    yield from fields


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def bomb(encoding: str, mebibytes: int) -> bytes:
    """A small body that is inflated to so many MiB of zeros."""
    if encoding == "zstd":
        stream = zstandard.ZstdCompressor(level=19).compressobj()
    else:
        stream = zlib.compressobj(9, wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    zeros = bytes(1 << 20)
    return b"".join(stream.compress(zeros) for _ in range(mebibytes)) + stream.flush()


def nested(depth: int) -> bytes:
    """A log record whose body is arrays nested in each other."""
    parts: list[bytes] = []
    size = 0
    for level in range(2 * depth):  # AnyValue.array_value = 5, ArrayValue.values = 1
        head = (b"\x2a" if level % 2 else b"\x0a") + varint(size)
        parts.append(head)
        size += len(head)
    for tag in (0x2A, 0x12, 0x12, 0x0A):  # body, log_records, scope_logs, resource_logs
        head = bytes((tag,)) + varint(size)
        parts.append(head)
        size += len(head)
    return b"".join(reversed(parts))


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
