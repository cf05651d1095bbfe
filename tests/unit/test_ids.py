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


def spans(*fields_of_spans: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, fields in enumerate(fields_of_spans):
        scope.spans.add(**{"trace_id": TRACE, "span_id": SPAN, "name": f"span {number}"} | fields)
    return bytes(request.SerializeToString())


def names(batch: otlp.Batch) -> list[str]:
    request = ExportTraceServiceRequest.FromString(batch.body)
    return [span.name for span in request.resource_spans[0].scope_spans[0].spans]


@pytest.mark.parametrize(
    "fields",
    [
        *({"parent_span_id": SPAN}, {"trace_id": b""}, {"span_id": b""}, {"trace_id": b"\0" * 16}),
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


def test_explicitly_empty_ids_are_valid() -> None:
    span = b"\x0a\x00\x12\x00\x22\x00\x2a\x04name"
    for _ in range(3):  # ScopeSpans.spans, ResourceSpans.scope_spans, resource_spans
        span = bytes([0x12, len(span)]) + span
    body = b"\x0a" + span[1:]
    assert otlp.decode_protobuf("traces", body) == otlp.Batch(body, 1)


def test_a_data_point_is_rejected_for_its_exemplars() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ids.EXEMPLAR_KINDS:
        points = getattr(metrics.add(name=kind), kind).data_points
        points.add(exemplars=[{"trace_id": TRACE, "span_id": SPAN}, {}])
        points.add(exemplars=[{}, {"trace_id": b"short"}])
    metrics.add(name="summary").summary.data_points.add()
    batch = otlp.decode_protobuf("metrics", request.SerializeToString())
    assert (batch.items, batch.rejected) == (5, {"invalid_exemplar": 4})
    response = ExportMetricsServiceResponse.FromString(otlp.response_body("metrics", batch))
    assert response.partial_success.rejected_data_points == 4


def test_a_log_record_with_invalid_ids_is_stored_without_them() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=TRACE, span_id=SPAN, severity_text="good")
    records.add(trace_id=TRACE, span_id=TRACE, severity_text="bad")
    batch = otlp.decode_protobuf("logs", request.SerializeToString())
    assert (batch.items, batch.rejected) == (2, {})
    assert batch.message.endswith("1 stored without both")
    scope = ExportLogsServiceRequest.FromString(batch.body).resource_logs[0].scope_logs[0]
    assert [(record.severity_text, record.trace_id) for record in scope.log_records] == [
        ("good", TRACE),
        ("bad", b""),
    ]
    response = json.loads(otlp.response_body("logs", batch, as_json=True))
    assert response == {"partialSuccess": {"errorMessage": batch.message}}


def test_json_is_checked_as_protobuf_is() -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "ab"}, {"spanId": ""}]}]}]}
    batch = otlp.decode_json("traces", json.dumps(body).encode())
    assert (batch.items, batch.rejected) == (1, {"invalid_trace_id": 1})
    response = json.loads(otlp.response_body("traces", batch, as_json=True))
    assert response["partialSuccess"]["rejectedSpans"] == "1"


def test_the_response_lists_every_rule_with_its_count() -> None:
    batch = otlp.decode_protobuf("traces", spans({"trace_id": b"t"}, *[{"span_id": b"s"}] * 3))
    response = ExportTraceServiceResponse.FromString(
        otlp.response_body("traces", batch)
    ).partial_success
    assert response.rejected_spans == 4
    assert response.error_message == (
        "trace_id must be 16 bytes long: 1 rejected; span_id must be 8 bytes long: 3 rejected"
    )


def test_merged_and_ordinary_messages_agree_on_mutated_bytes() -> None:
    """Both accept the same bytes, find the same invalid ids, and leave the same number of items."""
    chance = random.Random(3)
    messages = otlp.MESSAGES["traces"]
    outcomes = set()
    for _ in range(3000):
        body = bytearray(spans(*({"parent_span_id": SPAN, "links": [{"trace_id": TRACE}]},) * 3))
        for _ in range(chance.randrange(3)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            request = messages.request.FromString(bytes(body))
        except DecodeError:
            with pytest.raises(otlp.Unreadable):
                otlp.decode_protobuf("traces", bytes(body))
            outcomes.add("unreadable")
            continue
        rejected, _ = ids.remove_invalid("traces", request)
        batch = otlp.decode_protobuf("traces", bytes(body))
        assert batch.rejected == rejected
        assert batch.items == messages.count(request)
        outcomes |= rejected.keys() or {"valid"}
    assert outcomes >= {"unreadable", "valid", "invalid_trace_id", "invalid_span_id"}
