"""Ids of an invalid length: the items that have them are removed and counted, the others stay."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clew.collector import ids, otlp

TRACE, SPAN = b"t" * 16, b"s" * 8
TIMES = {"start_time_unix_nano": 1_700_000_000_000_000_000, "end_time_unix_nano": 1 << 60}


def spans(*fields_of_spans: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, fields in enumerate(fields_of_spans):
        span = {"trace_id": TRACE, "span_id": SPAN, "name": f"span {number}", **TIMES}
        scope.spans.add(**span | fields)
    return bytes(request.SerializeToString())


def names(batch: otlp.Batch) -> list[str]:
    request = ExportTraceServiceRequest.FromString(batch.body)
    return [span.name for span in request.resource_spans[0].scope_spans[0].spans]


@pytest.mark.parametrize(
    "fields",
    [
        *({"parent_span_id": SPAN}, {"parent_span_id": b"\0" * 8}, {"trace_id": b"\0" * 8 + SPAN}),
        *({"links": [{"trace_id": TRACE, "span_id": SPAN}]}, {"links": [{}]}),
        {"trace_state": "a=b", "attributes": [{"key": "trace_id"}], "flags": 257},
    ],
)
def test_a_body_with_valid_ids_stays_as_it_is(fields: dict[str, Any]) -> None:
    body = spans({}, fields, {})
    assert otlp.decode_protobuf("traces", body) == otlp.Batch(body, 3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b"t" * 15}, "invalid_trace_id"),
        ({"trace_id": b"t" * 8}, "invalid_trace_id"),
        ({"span_id": b"s" * 16}, "invalid_span_id"),
        ({"parent_span_id": b"p"}, "invalid_parent_span_id"),
        ({"trace_id": b"t", "span_id": b"s"}, "invalid_trace_id"),
        *(({"trace_id": b""}, "invalid_trace_id"), ({"span_id": b""}, "invalid_span_id")),
        *(
            ({"trace_id": bytes(16)}, "invalid_trace_id"),
            ({"span_id": bytes(8)}, "invalid_span_id"),
        ),
        ({"links": [{"trace_id": TRACE, "span_id": SPAN}, {"span_id": TRACE}]}, "invalid_link"),
    ],
)
def test_a_span_with_an_invalid_id_is_rejected_and_the_others_stay(
    fields: dict[str, Any], reason: str
) -> None:
    batch = otlp.decode_protobuf("traces", spans({}, fields, {}, fields))
    assert (batch.items, batch.rejected) == (2, {reason: 2})
    assert names(batch) == ["span 0", "span 2"]
    assert batch.message == f"{ids.RULES[reason]}: 2 rejected"


def test_lengths_whose_sum_is_valid_are_detected() -> None:
    batch = otlp.decode_protobuf("traces", spans({"trace_id": b"t" * 8}, {"trace_id": b"t" * 24}))
    assert (batch.items, batch.rejected) == (0, {"invalid_trace_id": 2})


def test_an_explicitly_empty_parent_is_valid() -> None:
    span = b"\x22\x00" + spans({})[6:]
    for _ in range(3):  # ScopeSpans.spans, ResourceSpans.scope_spans, resource_spans
        span = bytes([0x12, len(span)]) + span
    body = b"\x0a" + span[1:]
    assert otlp.decode_protobuf("traces", body) == otlp.Batch(body, 1)


def test_a_data_point_is_rejected_for_its_exemplars() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ids.POINT_KINDS[:-1]:
        points = getattr(metrics.add(name=kind), kind).data_points
        points.add(time_unix_nano=1, exemplars=[{"trace_id": TRACE, "span_id": SPAN}, {}])
        points.add(time_unix_nano=1, exemplars=[{}, {"trace_id": b"short"}])
    metrics.add(name="summary").summary.data_points.add(time_unix_nano=1)
    batch = otlp.decode_protobuf("metrics", request.SerializeToString())
    assert (batch.items, batch.rejected) == (5, {"invalid_exemplar": 4})
    response = ExportMetricsServiceResponse.FromString(otlp.response_body("metrics", batch))
    assert response.partial_success.rejected_data_points == 4


def test_a_log_record_with_invalid_ids_is_stored_without_them() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(time_unix_nano=1, trace_id=TRACE, span_id=SPAN, severity_text="good")
    records.add(time_unix_nano=1, trace_id=TRACE, span_id=TRACE, severity_text="bad")
    batch = otlp.decode_protobuf("logs", request.SerializeToString())
    assert (batch.items, batch.rejected, batch.mended) == (2, {}, 1)
    assert batch.message.endswith("1 stored without both")
    scope = ExportLogsServiceRequest.FromString(batch.body).resource_logs[0].scope_logs[0]
    assert [(record.severity_text, record.trace_id) for record in scope.log_records] == [
        ("good", TRACE),
        ("bad", b""),
    ]
    response = json.loads(otlp.response_body("logs", batch, as_json=True))
    assert response == {"partialSuccess": {"errorMessage": batch.message}}


def test_json_is_checked_as_protobuf_is() -> None:
    good = {"traceId": TRACE.hex(), "spanId": SPAN.hex()}
    odd = [{"traceId": "ab"}, {"traceId": "no hex"}, {"spanId": ""}]
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [good, *(good | span for span in odd)]}]}]}
    batch = otlp.decode_json("traces", json.dumps(body).encode())
    assert batch.items == 1
    assert batch.rejected == {"invalid_trace_id": 2, "invalid_span_id": 1}
    response = json.loads(otlp.response_body("traces", batch, as_json=True))
    assert response["partialSuccess"]["rejectedSpans"] == "3"


def test_the_response_lists_every_rule_with_its_count() -> None:
    batch = otlp.decode_protobuf("traces", spans({"trace_id": b"t"}, *[{"span_id": b"s"}] * 3))
    response = ExportTraceServiceResponse.FromString(
        otlp.response_body("traces", batch)
    ).partial_success
    assert response.rejected_spans == 4
    assert response.error_message == (
        "trace_id must be 16 bytes long and not zero: 1 rejected; "
        "span_id must be 8 bytes long and not zero: 3 rejected"
    )


def test_merged_and_ordinary_messages_agree_on_mutated_bytes() -> None:
    """What the check without a loop passes has no fault. (It may ask for a closer look in vain.)"""
    chance = random.Random(3)
    messages = otlp.MESSAGES["traces"]
    outcomes = set()
    for _ in range(3000):
        body = bytearray(spans(*({"parent_span_id": SPAN, "links": [{"trace_id": TRACE}]},) * 3))
        for _ in range(chance.randrange(3)):
            byte = chance.choice((chance.randrange(256), *b"\x0a\x12\x08\x10"))
            body[chance.randrange(len(body))] = byte
        try:
            merged = messages.merged.FromString(bytes(body))
            request = messages.request.FromString(bytes(body))
        except DecodeError:
            outcomes.add("unreadable")
            continue
        items = [
            span
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        faults = {ids.fault(span) for span in items}
        valid = not any(faults) and not any(ids.fill_times(span, 1) for span in items)
        assert valid or not ids.all_valid("traces", merged, len(items))
        outcomes |= faults
    assert outcomes >= {"unreadable", None, "invalid_trace_id", "invalid_span_id"}


@pytest.mark.parametrize("count", [1, 15, 16, 17, 2047, 2048, 2049])  # lengths of 1, 2, 3 bytes
def test_requests_of_any_size_are_checked(count: int) -> None:
    body = spans(*[{}] * count)
    assert otlp.decode_protobuf("traces", body) == otlp.Batch(body, count)
    request = ExportTraceServiceRequest.FromString(body)
    request.resource_spans[0].scope_spans[0].spans[count // 2].ClearField("start_time_unix_nano")
    assert otlp.decode_protobuf("traces", request.SerializeToString()).mended == 1
