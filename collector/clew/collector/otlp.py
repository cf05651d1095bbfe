"""OTLP requests as bytes: checked, counted and brought to the one form that the spool keeps.

That form is the protobuf encoding of an export request whose only top-level field is field 1
(the resources). Any number of such bodies, joined, are one valid request again.
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
from clew.collector.descriptors import Field, altered

MAX_BODY = 64 << 20  # bytes, after decompression: the specification's limit


class Refused(Exception):
    """A request that will not be stored. `status` is the HTTP status, `code` google.rpc's."""

    status = 400
    code = 3  # INVALID_ARGUMENT


class Unreadable(Refused):
    """The body is not what its content type says."""


class TooLarge(Refused):
    """The body is over MAX_BODY."""

    status = 413
    code = 8  # RESOURCE_EXHAUSTED


class UnsupportedEncoding(Refused):
    """The content type or content encoding is none that OTLP knows."""

    status = 415


@dataclass(frozen=True)
class Batch:
    """A checked request: `body` as the spool keeps it, and how many items it holds.

    `rejected` is how many other items the client sent, by the reason for which they are not in it;
    `message` says it, or what else of the request is not kept as it came, to the client."""

    body: bytes
    items: int
    rejected: dict[str, int] = field(default_factory=dict)
    message: str = ""


def decode_protobuf(signal: str, body: bytes) -> Batch:
    """Check a protobuf body and count its spans, log records or data points.

    The items are not looped over: parsing is protobuf's C implementation, and what is looked at
    in Python are resources, scopes and metrics.
    """
    kind = KINDS[signal]
    try:
        valid = ids.all_valid(signal, kind.merged.FromString(body))
    except DecodeError as error:
        raise Unreadable(f"the body is no valid {kind.request.DESCRIPTOR.name}: {error}") from error
    if valid:
        return _batch(kind, body)
    request = kind.request.FromString(body)
    rejected, message = ids.strike(signal, request)
    return replace(_batch(kind, request.SerializeToString()), rejected=rejected, message=message)


def decode_json(signal: str, body: bytes) -> Batch:
    """Check a JSON body (the specification's mapping), and turn it into protobuf."""
    kind = KINDS[signal]
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise TypeError("it is no object")
        message = json_format.ParseDict(
            _with_base64_ids(document), kind.request(), ignore_unknown_fields=True
        )
    except (ValueError, RecursionError, TypeError, AttributeError, json_format.ParseError) as error:
        reason = str(error).splitlines()[0][:500]
        raise Unreadable(
            f"the body is no valid {kind.request.DESCRIPTOR.name}: {reason}"
        ) from error
    return decode_protobuf(signal, message.SerializeToString())


def answer(signal: str, batch: Batch, *, as_json: bool = False) -> bytes:
    """The body of the answer to a request that was stored."""
    if not batch.message:
        return b"{}" if as_json else b""
    kind = KINDS[signal]
    response = kind.response()
    setattr(response.partial_success, kind.rejected, sum(batch.rejected.values()))
    response.partial_success.error_message = batch.message
    if as_json:
        return str(json_format.MessageToJson(response)).encode()
    return bytes(response.SerializeToString())


def inflate(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding; never makes more than MAX_BODY bytes of it."""
    if encoding in ("", "identity"):
        return body
    if encoding not in INFLATORS:
        raise UnsupportedEncoding(
            f"content-encoding {encoding!r}: send {', '.join(INFLATORS)} or identity"
        )
    try:
        return INFLATORS[encoding](body)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Unreadable(f"the body is no valid {encoding}: {error}") from error


class _Kind:
    """What is particular to a signal. `merged` and `outline` read the same bytes as `request`: the
    one to look at the ids, the other the resources, scopes and metrics, with the items as bytes."""

    def __init__(
        self,
        request: type[Message],
        response: type[Message],
        rejected: str,
        count: Callable[[Any], int],
        resources: str,
        scopes: str,
    ) -> None:
        self.request: Any = request
        self.response: Any = response
        self.rejected = rejected  # the field of a partial success
        self.count = count
        self.resources = resources  # the field that holds the resources, and in it
        self.scopes = scopes  # the field that holds the scopes
        self.merged: Any = ids.merged(request)
        self.outline: Any = altered(request.DESCRIPTOR.full_name, _leave_items_as_bytes)


def _leave_items_as_bytes(file: Any) -> None:
    for message in file.message_type:
        for declared in message.field:
            if declared.name in ("spans", "log_records", "data_points"):
                declared.type = Field.TYPE_BYTES
                declared.ClearField("type_name")


def _batch(kind: _Kind, body: bytes) -> Batch:
    outline = kind.outline.FromString(body)
    changed = len(UnknownFieldSet(outline)) > 0
    if changed:
        outline.DiscardUnknownFields()
    changed |= values.write_out_resources(getattr(outline, kind.resources), kind.scopes)
    return Batch(outline.SerializeToString() if changed else body, kind.count(outline))


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
    # A metric that is not of a kind has an empty message there, so the five can be added up.
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


KINDS = {
    "traces": _Kind(
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        "rejected_spans",
        _count_spans,
        "resource_spans",
        "scope_spans",
    ),
    "logs": _Kind(
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        "rejected_log_records",
        _count_logs,
        "resource_logs",
        "scope_logs",
    ),
    "metrics": _Kind(
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
    """OTLP writes ids in hex where protobuf's own JSON mapping has base64."""
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
        plain = stream.decompress(body, MAX_BODY + 1)
        # gzip allows several members one after another
        while (
            stream.eof and stream.unused_data and window > zlib.MAX_WBITS and len(plain) <= MAX_BODY
        ):
            body, stream = stream.unused_data, zlib.decompressobj(window)
            plain += stream.decompress(body, MAX_BODY + 1 - len(plain))
        if len(plain) > MAX_BODY:
            raise TooLarge(
                f"the body is over {MAX_BODY} bytes after decompression: send less at a time"
            )
        if not stream.eof:
            raise EOFError("it ends too early")
        return plain

    return inflate_bounded


def _inflate_zstd(body: bytes) -> bytes:
    # read(n) stops after n bytes, whatever size the frame claims or turns out to have
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        body, read_across_frames=True
    ) as stream:
        plain = stream.read(MAX_BODY + 1)
    if len(plain) > MAX_BODY:
        raise TooLarge(
            f"the body is over {MAX_BODY} bytes after decompression: send less at a time"
        )
    return plain


INFLATORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _inflate_zlib(zlib.MAX_WBITS | 16),
    "zstd": _inflate_zstd,
    "deflate": _inflate_zlib(zlib.MAX_WBITS),
}
