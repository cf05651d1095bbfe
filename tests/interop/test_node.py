"""OpenTelemetry's SDK for Node, three ways: what it sends is found, every field of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stored import read, wait_until_loaded

HERE = Path(__file__).parent / "node"
INSTALLED = Path(sys.prefix) / "interop" / "node"  # into .venv, as everything is
WAYS = ("http-protobuf", "http-json", "grpc")
NODE, NPM = shutil.which("node"), shutil.which("npm")

pytestmark = [
    pytest.mark.slow,  # the first run fetches 90 MB
    pytest.mark.skipif(NODE is None or NPM is None, reason="needs node and npm (Node 20 or newer)"),
]


@pytest.fixture(scope="session")
def sender() -> Path:
    """The program, beside the packages that it imports."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_bytes()
    stamp = INSTALLED / "installed.json"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        shutil.copy(HERE / "package.json", INSTALLED)
        command = [str(NPM), "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]  # fmt: skip
        env = os.environ | {"npm_config_cache": str(INSTALLED.parent / "npm")}
        done = subprocess.run(command, cwd=INSTALLED, env=env, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm could not install OpenTelemetry's SDK: {done.stderr[-500:]}")
        stamp.write_bytes(wanted)
    return Path(shutil.copy(HERE / "send.js", INSTALLED))


def test_three_signals_three_ways(clew, sender: Path) -> None:
    sent = {way: send(clew, sender, way) for way in WAYS}
    wait_until_loaded(clew.data)
    for way, ids in sent.items():
        trace = clew.get(f"/api/v1/traces/{ids['root']['trace']}").json()
        assert [span["name"] for span in trace["spans"]] == ["POST /pay", "charge"]
        assert trace["complete"]
        assert trace["transaction"]["name"] == f"node-{way}: POST /pay"
        assert [log["linked_by"] for log in trace["logs"]] == ["trace"]
    assert clew.stop() == 0
    for way, rows in read(clew, "node-").items():
        check(rows, way.removeprefix("node-"), sent[way.removeprefix("node-")])


def send(clew, sender: Path, way: str) -> dict[str, Any]:
    endpoint = clew.endpoints["otlp_grpc" if way == "grpc" else "otlp_http"]
    done = subprocess.run(
        [str(NODE), sender.name, way, endpoint],
        cwd=sender.parent, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


ATTRIBUTES = {
    "text": "ü 😀",
    "yes": "true",
    "int": "9007199254740991",
    "double": "0.5",
    "list": '["a","b"]',
    "ints": "[1,2]",
}


def check(rows: dict[str, list[dict[str, Any]]], way: str, sent: dict[str, Any]) -> None:
    resource = {
        "service.name": f"node-{way}",
        "service.version": "1.2",
        "deployment.environment.name": "test",
        "process.command_args": '["node","send.js"]',
    }
    began = datetime.fromtimestamp(sent["began"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    for found in rows.values():
        for row in found:
            assert row.pop("ResourceAttributes") == resource
            assert row.pop("ServiceName") == f"node-{way}"
    child, root = sorted(rows["otel_traces"], key=lambda row: row["SpanKind"])
    common = {
        "TraceId": sent["root"]["trace"], "TraceState": "", "ScopeName": "a.library", "ScopeVersion": "1.0",
        "Environment": "test", "ServiceVersion": "1.2",
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
    assert log == {
        "Timestamp": f"{began}.123456789", "TraceId": sent["root"]["trace"], "SpanId": sent["root"]["span"],
        "TraceFlags": 1, "SeverityText": "ERROR", "SeverityNumber": 17, "Body": '{"said":["no",null,1.5,{"deep":true}]}',
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
