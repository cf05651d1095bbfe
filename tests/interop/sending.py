"""What the programs of this directory send, each in its language, and how it must be found.

A program takes a way and an address, sends two spans, a log record and five metrics, and prints
the ids as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from support.stored import read, wait_until_loaded


def send(clew, way: str, program: Sequence[str]) -> dict[str, Any]:
    endpoint = clew.endpoints["otlp_grpc" if way == "grpc" else "otlp_http"]
    done = subprocess.run(
        [*program, way, endpoint], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def check_found(clew, language: str, sent: dict[str, dict[str, Any]]) -> None:
    """Stops clew, too."""
    wait_until_loaded(clew.data)
    for way, ids in sent.items():
        trace = clew.get(f"/api/v1/traces/{ids['root']['trace']}").json()
        assert [span["name"] for span in trace["spans"]] == ["POST /pay", "charge"]
        assert trace["complete"]
        assert trace["transaction"]["name"] == f"{language}-{way}: POST /pay"
        assert [log["linked_by"] for log in trace["logs"]] == ["trace"]
    assert clew.stop() == 0
    found = read(clew, f"{language}-")
    assert set(found) == {f"{language}-{way}" for way in sent}
    for way, ids in sent.items():
        check(found[f"{language}-{way}"], f"{language}-{way}", ids)


ATTRIBUTES = {
    "text": "ü 😀",
    "yes": "true",
    "int": "9007199254740991",
    "double": "0.5",
    "list": '["a","b"]',
    "ints": "[1,2]",
}


def check(rows: dict[str, list[dict[str, Any]]], service: str, sent: dict[str, Any]) -> None:
    resource = {
        "service.name": service,
        "service.version": "1.2",
        "deployment.environment.name": "test",
        "process.command_args": '["send","it"]',
    }
    began = datetime.fromtimestamp(sent["began"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    for found in rows.values():
        for row in found:
            assert row.pop("ResourceAttributes") == resource
            assert row.pop("ServiceName") == service
    child, root = sorted(rows["otel_traces"], key=lambda row: row["SpanKind"])
    common = {
        "TraceId": sent["root"]["trace"], "TraceState": "", "ScopeName": "a.library", "ScopeVersion": "1.0",
        "Environment": "test", "ServiceVersion": "1.2", "ScopeAttributes": {},
    }  # fmt: skip
    nothing: dict[str, list[Any]] = {
        f"{name}.{part}": []
        for name, parts in {"Events": "Timestamp Name Attributes", "Links": "TraceId SpanId TraceState Attributes"}.items()
        for part in parts.split()
    }  # fmt: skip
    assert root == common | nothing | {
        "Timestamp": f"{began}.123456789", "SpanId": sent["root"]["span"], "ParentSpanId": "",
        "SpanName": "POST /pay", "SpanKind": "Server", "SpanAttributes": ATTRIBUTES,
        "Duration": 1_000_001, "StatusCode": "Unset", "StatusMessage": "",
    }  # fmt: skip
    assert child == common | {
        "Timestamp": f"{began}.123457789", "SpanId": sent["child"]["span"], "ParentSpanId": sent["root"]["span"],
        "SpanName": "charge", "SpanKind": "Client", "SpanAttributes": {}, "Duration": 2000,
        "StatusCode": "Error", "StatusMessage": "declined", "Events.Timestamp": [f"{began}.123458789"],
        "Events.Name": ["tried"], "Events.Attributes": [{"attempt": "2"}], "Links.TraceId": [sent["root"]["trace"]],
        "Links.SpanId": [sent["root"]["span"]], "Links.TraceState": [""], "Links.Attributes": [{"why": "test"}],
    }  # fmt: skip
    (log,) = rows["otel_logs"]
    assert log.pop("TraceFlags") & 1  # the random bit may be set beside it
    assert log == {
        "Timestamp": f"{began}.123456789", "TraceId": sent["root"]["trace"], "SpanId": sent["root"]["span"],
        "SeverityText": "ERROR", "SeverityNumber": 17, "Body": '{"said":["no",null,1.5,{"deep":true}]}',
        "ResourceSchemaUrl": "", "ScopeSchemaUrl": "", "ScopeName": "a.logger", "ScopeVersion": "2.0",
        "ScopeAttributes": {}, "EventName": "order.failed",
        "LogAttributes": ATTRIBUTES | {"bytes": "AP8Q", "map": '{"a":["x"],"b":1}'},
    }  # fmt: skip
    points = {
        row["MetricName"]: row
        for table, found in rows.items()
        if table.startswith("otel_metrics")
        for row in found
    }
    assert set(points) == {"payments", "carts", "pay.duration", "pay.size", "stock"}
    for row in points.values():
        assert (row["ScopeName"], row["ScopeVersion"]) == ("a.meter", "3.0")
        assert row["StartTimeUnix"] <= row["TimeUnix"]
    assert_has(
        points["payments"],
        Value=3, IsMonotonic=True, AggregationTemporality=2, Attributes={"method": "card"}, MetricUnit="1",
        MetricDescription="how many",
    )  # fmt: skip
    assert_has(points["carts"], Value=-2, IsMonotonic=False, Attributes={})
    assert_has(
        points["pay.duration"],
        Count=1, Sum=0.3, Min=0.3, Max=0.3, BucketCounts=[0, 1, 0], ExplicitBounds=[0.1, 1], MetricUnit="s",
        AggregationTemporality=2,
    )  # fmt: skip
    exponential = points["pay.size"]
    assert_has(exponential, Count=1, Sum=4, Min=4, Max=4, ZeroCount=0, AggregationTemporality=2)
    assert sum(exponential["PositiveBucketCounts"]) == 1
    assert_has(points["stock"], Value=7.5, Attributes={"sku": "s-1"})


def assert_has(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected
