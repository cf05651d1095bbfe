"""Nested values as the JSON text that the exporter stores."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.collector import values
from support.any_values import any_value


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else ["deep"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ({}, "{}"),
        ([1, "x", 2.5, True, None], '[1,"x",2.5,true,null]'),
        ({"b": 1, "a": {"z": [1.0], "y": b"\x00\xff"}}, '{"a":{"y":"AP8=","z":[1]},"b":1}'),
        (['<&>\u2028 ü\n"\\'], '["<&>\\u2028 ü\\n\\"\\\\"]'),
        ([2**63 - 1, -(2**63)], "[9223372036854775807,-9223372036854775808]"),
        ([1e20, 1e21, 1e-6, 1e-7, 0.1, -0.0], "[100000000000000000000,1e+21,0.000001,1e-7,0.1,-0]"),
        (
            [1.5e-7, 5e-324, 1e100, 1e15, 123456789.125],
            "[1.5e-7,5e-324,1e+100,1000000000000000,123456789.125]",
        ),
        ([1, math.nan], '[1,"NaN"]'),
        ({"a": 1, "b": {"c": [math.inf]}}, '{"a":1,"b":{"c":["Infinity"]}}'),
        ([-math.inf], '["-Infinity"]'),
        ([b"", b"\x00", None, {}, []], '[null,"AA==",null,{},[]]'),
        (
            ["\0\x01\x1f\x7f\b\f\r\t/'\u2029\ufeff😀"],
            '["\\u0000\\u0001\\u001f\x7f\\b\\f\\r\\t/\'\\u2029\ufeff😀"]',
        ),
        (
            {"ü": 1, "Z": 2, "": 3, "a": 4, "😀": 5, "\uffee": 6},
            '{"":3,"Z":2,"a":4,"ü":1,"\uffee":6,"😀":5}',
        ),
        (nested(8), "[" * 9 + '"deep"' + "]" * 9),
    ],
)
def test_json_text(value: Any, text: str) -> None:
    assert values.json_text(any_value(value)) == text


def test_the_first_value_of_a_repeated_key_counts() -> None:
    value = any_value({"a": 1, "b": 2})
    value.kvlist_value.values.add(key="a").value.int_value = 3
    assert values.json_text(value) == '{"a":1,"b":2}'


def test_every_nested_value_of_a_request_is_written_out() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    plain, rich = scope.spans.add(), scope.spans.add()
    plain.attributes.add(key="plain").value.string_value = "as it was"
    rich.attributes.add(key="first").value.int_value = 1
    rich.attributes.add(key="array").value.CopyFrom(any_value(["a", {"b": []}]))
    rich.events.add().attributes.add(key="map").value.CopyFrom(any_value({"k": [1]}))
    rich.links.add().attributes.add(key="array").value.CopyFrom(any_value([True]))
    body = values.write_out(ExportTraceServiceRequest, request.SerializeToString())
    written = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert written[0] == plain
    assert written[1].attributes[0] == rich.attributes[0]
    assert written[1].attributes[1].value.string_value == '["a",{"b":[]}]'
    assert written[1].events[0].attributes[0].value.string_value == '{"k":[1]}'
    assert written[1].links[0].attributes[0].value.string_value == "[true]"


def test_a_log_body_and_an_exemplars_attributes_are_written_out() -> None:
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.body.CopyFrom(any_value({"event": ["a"]}))
    body = values.write_out(ExportLogsServiceRequest, logs.SerializeToString())
    written = (
        ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records[0]
    )
    assert written.body.string_value == '{"event":["a"]}'

    metrics = ExportMetricsServiceRequest()
    point = metrics.resource_metrics.add().scope_metrics.add().metrics.add().sum.data_points.add()
    point.exemplars.add().filtered_attributes.add(key="k").value.CopyFrom(any_value([1]))
    body = values.write_out(ExportMetricsServiceRequest, metrics.SerializeToString())
    written_point = (
        ExportMetricsServiceRequest.FromString(body)
        .resource_metrics[0]
        .scope_metrics[0]
        .metrics[0]
        .sum.data_points[0]
    )
    assert written_point.exemplars[0].filtered_attributes[0].value.string_value == "[1]"


def test_resources_and_scopes_are_written_out_as_they_arrive() -> None:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    assert not values.write_out_resources(request.resource_spans, "scope_spans")
    resource.resource.attributes.add(key="process.command_args").value.CopyFrom(
        any_value(["a", "b"])
    )
    resource.scope_spans.add().scope.attributes.add(key="k").value.CopyFrom(any_value({}))
    assert values.write_out_resources(request.resource_spans, "scope_spans")
    assert resource.resource.attributes[0].value.string_value == '["a","b"]'
    assert resource.scope_spans[0].scope.attributes[0].value.string_value == "{}"
