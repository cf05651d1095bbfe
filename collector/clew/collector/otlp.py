"""OTLP requests: decoded, checked, counted, and converted to the form that the spool stores.

That form is the protobuf encoding of an export request with no top-level field but field 1 (the
resources). Several such bodies one after the other are again one valid request.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import zstandard
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clew.collector import ids, values
from clew.collector.descriptors import Field, derive_message

MAX_BODY = 64 << 20  # bytes, after decompression: OTLP's limit
TOO_LARGE = f"the body is over {MAX_BODY >> 20} MiB after decompression: send smaller batches"


class BadRequest(Exception):
    """A request that is refused for good, with an HTTP status and a code of google.rpc."""

    status = 400
    code = 3  # INVALID_ARGUMENT


class Unreadable(BadRequest):
    """The body is not what its content type or encoding says."""


class TooLarge(BadRequest):
    """The body is over MAX_BODY."""

    status = 413
    code = 8  # RESOURCE_EXHAUSTED


class UnsupportedEncoding(BadRequest):
    """The content type or content encoding is not one of those that OTLP allows."""

    status = 415


@dataclass(frozen=True)
class Batch:
    """A checked request: `body` as the spool stores it, and the number of `items` in it.

    `rejected` counts the items that were removed from it, by reason. `message` tells the client
    about them and about other changes; empty if there are none."""

    body: bytes
    items: int
    rejected: dict[str, int] = field(default_factory=dict)
    message: str = ""


def decode_protobuf(signal: str, body: bytes) -> Batch:
    """Check a protobuf body and count its spans, log records or data points. Raises Unreadable.

    Python does not loop over the items: protobuf's C implementation parses them, and Python looks
    at resources, scopes and metrics only.
    """
    messages = MESSAGES[signal]
    try:
        valid = ids.all_valid(signal, messages.merged.FromString(body))
    except DecodeError as error:
        raise _unreadable(messages, str(error)) from error
    if valid:
        return _batch(messages, body)
    request = messages.request.FromString(body)
    rejected, message = ids.remove_invalid(signal, request)
    batch = _batch(messages, request.SerializeToString())
    return replace(batch, rejected=rejected, message=message)


def decode_json(signal: str, body: bytes) -> Batch:
    """Convert a JSON body (OTLP's mapping) to protobuf and check that. Raises Unreadable."""
    messages = MESSAGES[signal]
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise TypeError("it is not a JSON object")
        request = json_format.ParseDict(
            _with_base64_ids(document), messages.request(), ignore_unknown_fields=True
        )
    except (ValueError, RecursionError, TypeError, AttributeError, json_format.ParseError) as error:
        raise _unreadable(messages, str(error).splitlines()[0][:500]) from error
    return decode_protobuf(signal, request.SerializeToString())


def response_body(signal: str, batch: Batch, *, as_json: bool = False) -> bytes:
    """The body of the response to an acknowledged request: empty, or a partial success."""
    if not batch.message:
        return b"{}" if as_json else b""
    messages = MESSAGES[signal]
    response = messages.response()
    setattr(response.partial_success, messages.rejected_field, sum(batch.rejected.values()))
    response.partial_success.error_message = batch.message
    if as_json:
        return str(json_format.MessageToJson(response)).encode()
    return bytes(response.SerializeToString())


def inflate(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding. Raises TooLarge above MAX_BODY bytes, which it never
    exceeds in memory; UnsupportedEncoding; Unreadable."""
    if encoding in ("", "identity"):
        return body
    if encoding not in INFLATORS:
        raise UnsupportedEncoding(
            f"content-encoding {encoding!r} is not supported: "
            f"send {', '.join(INFLATORS)} or identity"
        )
    try:
        return INFLATORS[encoding](body)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Unreadable(f"the body is not valid {encoding}: {error}") from error


class Messages:
    """The messages and fields of a signal.

    `merged` and `outline` parse the same bytes as `request`: `merged` to check the ids (see
    collector.ids), `outline` down to scopes and metrics, with the items as bytes.
    `rejected_field` is a field of the response's partial success, `resources_field` one of the
    request, `scopes_field` one of a resource."""

    def __init__(
        self,
        request: type[Message],
        response: type[Message],
        rejected_field: str,
        count: Callable[[Any], int],
        resources_field: str,
        scopes_field: str,
    ) -> None:
        self.request: Any = request
        self.response: Any = response
        self.rejected_field = rejected_field
        self.count = count
        self.resources_field = resources_field
        self.scopes_field = scopes_field
        self.merged: Any = ids.merged_message(request)
        self.outline: Any = derive_message(request.DESCRIPTOR.full_name, _declare_items_as_bytes)


def _declare_items_as_bytes(file: Any) -> None:
    for message in file.message_type:
        for item_field in message.field:
            if item_field.name in ("spans", "log_records", "data_points"):
                item_field.type = Field.TYPE_BYTES
                item_field.ClearField("type_name")


def _unreadable(messages: Messages, reason: str) -> Unreadable:
    return Unreadable(f"the body is not a valid {messages.request.DESCRIPTOR.name}: {reason}")


def _batch(messages: Messages, body: bytes) -> Batch:
    outline = messages.outline.FromString(body)
    changed = len(UnknownFieldSet(outline)) > 0
    if changed:
        outline.DiscardUnknownFields()
    resources = getattr(outline, messages.resources_field)
    changed |= values.write_out_resources(resources, messages.scopes_field)
    return Batch(outline.SerializeToString() if changed else body, messages.count(outline))


def _count_spans(request: Any) -> int:
    return sum(
        len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans
    )


def _count_logs(request: Any) -> int:
    return sum(
        len(scope.log_records)
        for resource in request.resource_logs
        for scope in resource.scope_logs
    )


def _count_points(request: Any) -> int:
    # A metric has one of the five kinds; the others are empty messages.
    return sum(
        len(metric.gauge.data_points)
        + len(metric.sum.data_points)
        + len(metric.histogram.data_points)
        + len(metric.exponential_histogram.data_points)
        + len(metric.summary.data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


MESSAGES = {
    "traces": Messages(
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        "rejected_spans",
        _count_spans,
        "resource_spans",
        "scope_spans",
    ),
    "logs": Messages(
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        "rejected_log_records",
        _count_logs,
        "resource_logs",
        "scope_logs",
    ),
    "metrics": Messages(
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
        "rejected_data_points",
        _count_points,
        "resource_metrics",
        "scope_metrics",
    ),
}

ID_FIELDS = {
    "traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id",
}  # fmt: skip


def _with_base64_ids(node: Any) -> Any:
    """The document with ids in base64, as protobuf's JSON mapping expects them; OTLP has hex."""
    if isinstance(node, dict):
        return {
            key: _hex_to_base64(value) if key in ID_FIELDS and isinstance(value, str)
            else _with_base64_ids(value)
            for key, value in node.items()
        }  # fmt: skip
    if isinstance(node, list):
        return [_with_base64_ids(item) for item in node]
    return node


def _hex_to_base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def _inflate_zlib(window: int) -> Callable[[bytes], bytes]:
    def inflate_bounded(body: bytes) -> bytes:
        stream = zlib.decompressobj(window)
        inflated = stream.decompress(body, MAX_BODY + 1)
        is_gzip = window > zlib.MAX_WBITS
        # A gzip body may have several members.
        while stream.eof and stream.unused_data and is_gzip and len(inflated) <= MAX_BODY:
            body, stream = stream.unused_data, zlib.decompressobj(window)
            inflated += stream.decompress(body, MAX_BODY + 1 - len(inflated))
        if len(inflated) > MAX_BODY:
            raise TooLarge(TOO_LARGE)
        if not stream.eof:
            raise EOFError("it is cut off")
        return inflated

    return inflate_bounded


def _inflate_zstd(body: bytes) -> bytes:
    # read(n) stops after n bytes, whatever size the frame declares or has.
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        body, read_across_frames=True
    ) as stream:
        inflated = stream.read(MAX_BODY + 1)
    if len(inflated) > MAX_BODY:
        raise TooLarge(TOO_LARGE)
    return inflated


INFLATORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _inflate_zlib(zlib.MAX_WBITS | 16),
    "zstd": _inflate_zstd,
    "deflate": _inflate_zlib(zlib.MAX_WBITS),
}
