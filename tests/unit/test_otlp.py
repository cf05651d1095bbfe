"""Request bodies: which are refused, how the others are stored, and how many items they have."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.collector import otlp
from clew.collector.inflating import Unreadable


def request(spans: int = 3) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for number in range(spans):
        span = scope.spans.add(name=f"span {number}", trace_id=b"t" * 16, span_id=b"s" * 8)
        span.start_time_unix_nano = span.end_time_unix_nano = 1_700_000_000_000_000_000
    return message


def test_a_body_is_stored_as_it_was_sent() -> None:
    body = request().SerializeToString()
    assert otlp.decode_protobuf("traces", body) == otlp.Batch(body, 3)


def test_only_the_resources_of_a_request_are_stored() -> None:
    body = request().SerializeToString()
    # A field 1000 of the client would replace the segment's id, one of another type would make the
    # segment unreadable.
    foreign = b"\xc2\x3e\x04evil" + b"\xc0\x3e\x05" + b"\xca\x3e\x18" + b"\0" * 24
    assert otlp.decode_protobuf("traces", foreign + body + foreign) == otlp.Batch(body, 3)


SPAN_CUT_OFF = b"\x0a\x07\x12\x05\x12\x03\x2a\x02\x80"  # in its name, with no other span


@pytest.mark.parametrize(
    "body", [b"garbage", b"\x0a\xff", b"\x0a\x05ab", b"\x0b" * 200_000, SPAN_CUT_OFF]
)
def test_garbage_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable, match="not a valid ExportTraceServiceRequest"):
        otlp.decode_protobuf("traces", body)


def test_data_points_of_every_kind_are_counted() -> None:
    metrics = ExportMetricsServiceRequest()
    scope = metrics.resource_metrics.add().scope_metrics.add()
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        getattr(scope.metrics.add(name=kind), kind).data_points.add(time_unix_nano=1)
        getattr(scope.metrics[-1], kind).data_points.add(time_unix_nano=1)
    assert otlp.decode_protobuf("metrics", metrics.SerializeToString()).items == 10


def test_an_empty_request_has_no_items() -> None:
    assert otlp.decode_protobuf("traces", b"") == otlp.Batch(b"", 0)
    assert otlp.decode_json("traces", b"{}") == otlp.Batch(b"", 0)


def test_json_becomes_the_same_request() -> None:
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "name": "from json",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000001",
        "endTimeUnixNano": 1544712661000000000,
        "attributes": [{"key": "n", "value": {"intValue": "9007199254740993"}}],
        "somethingNew": {"is": ["ignored"]},
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    batch = otlp.decode_json("traces", json.dumps(body).encode())
    decoded = (
        ExportTraceServiceRequest.FromString(batch.body).resource_spans[0].scope_spans[0].spans[0]
    )
    assert batch.items == 1
    assert decoded.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert decoded.span_id.hex() == "eee19b7ec3c1b174"
    assert decoded.start_time_unix_nano == 1544712660000000001
    assert decoded.attributes[0].value.int_value == 9007199254740993


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"nonsense", b'{"resourceSpans": 5}', b"[" * 100_000, b"\xff\xfe"),
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":{}}]}]}]}',
    ],
)
def test_json_that_is_not_a_request_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        otlp.decode_json("traces", body)
