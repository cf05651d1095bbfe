"""OTLP requests: decoded, checked, counted, and converted to the form that the spool stores.

That form is the protobuf encoding of an export request with no top-level field but field 1 (the
resources). Several such bodies one after the other are again one valid request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

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

from clew.collector import ids, mending, values
from clew.collector.descriptors import Field, derive_message
from clew.collector.inflating import Unreadable
from clew.collector.mending import Mender


@dataclass(frozen=True)
class Batch:
    """A checked request: `body` as the spool stores it, and the number of `items` in it.

    `rejected` counts the items that were removed from it, by reason, and `mended` those of its
    items that were changed (see collector.mending). `message` tells the client about both; empty
    if there are none."""

    body: bytes
    items: int
    rejected: dict[str, int] = field(default_factory=dict)
    mended: int = 0
    message: str = ""


def decode_protobuf(signal: str, body: bytes, received_at: int | None = None) -> Batch:
    """Check a protobuf body and count its spans, log records or data points. Raises Unreadable.

    `received_at` is the time of receipt in nanoseconds since 1970, by default now. It becomes part
    of the body where an item has no time, so that the item has the same time whenever the body is
    loaded.

    Python does not loop over the items, unless one of them must be mended or rejected: protobuf's C
    implementation parses them, and Python looks at resources, scopes and metrics only.
    """
    messages = MESSAGES[signal]
    try:
        merged = messages.merged.FromString(body)
        batch = _batch(messages, body, merged)
        if ids.all_valid(signal, merged, batch.items):
            return batch
    except DecodeError:
        pass  # in an item, if the mender can read what is around it
    received_at = received_at or time.time_ns()
    try:
        try:
            return _mend_protobuf(messages, body, Mender(received_at))
        except DecodeError:  # by itself, an item may be nested a little deeper than in a request
            return _mend_protobuf(messages, body, Mender(received_at, parse_first=False))
    except (DecodeError, ValueError) as error:
        raise _unreadable(messages, str(error)) from error


def _mend_protobuf(messages: Messages, body: bytes, mender: Mender) -> Batch:
    return _mended_batch(messages, mending.mend_protobuf(messages.request, body, mender), mender)


def decode_json(signal: str, body: bytes, received_at: int | None = None) -> Batch:
    """Convert a JSON body (OTLP's mapping) to protobuf and check that. Raises Unreadable.
    `received_at` is as for `decode_protobuf`."""
    messages = MESSAGES[signal]
    try:
        document = mending.read_json(body)
    except mending.JSON_ERRORS as error:
        raise _unreadable(messages, str(error)) from error
    try:
        request = json_format.ParseDict(document, messages.request(), ignore_unknown_fields=True)
    except mending.JSON_ERRORS:
        return _decode_items_of_json(messages, document, received_at)
    return decode_protobuf(signal, request.SerializeToString(), received_at)


def _decode_items_of_json(
    messages: Messages, document: dict[str, Any], received_at: int | None
) -> Batch:
    mender = Mender(received_at or time.time_ns())
    request = messages.request()
    try:
        mending.mend_json(request, document, mender)
    except mending.JSON_ERRORS as error:
        raise _unreadable(messages, str(error)) from error
    return _mended_batch(messages, request.SerializeToString(), mender)


def _mended_batch(messages: Messages, body: bytes, mender: Mender) -> Batch:
    if mender.rejected and not mender.parsed:  # rather another kind of request than odd items
        raise _unreadable(messages, mender.error)
    messages.request.FromString(body)  # raises DecodeError where an item is nested too deeply
    return replace(
        _batch(messages, body),
        rejected=dict(mender.rejected),
        mended=mender.mended,
        message=mender.message(),
    )


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
    reason = reason.partition("\n")[0][:500]
    return Unreadable(f"the body is not a valid {messages.request.DESCRIPTOR.name}: {reason}")


def _batch(messages: Messages, body: bytes, merged: Any = None) -> Batch:
    """`merged` is the body parsed as ids.merged_message, which saves a look at every resource."""
    outline = messages.outline.FromString(body)
    changed = len(UnknownFieldSet(outline)) > 0
    if changed:
        outline.DiscardUnknownFields()
    resources, scopes = messages.resources_field, messages.scopes_field
    if merged is None or values.any_nested(getattr(merged, resources), scopes):
        changed |= values.write_out_resources(getattr(outline, resources), scopes)
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
