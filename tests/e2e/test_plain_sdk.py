"""A plain OpenTelemetry SDK, which knows nothing of clew, over HTTP and over gRPC."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

TABLES = ("otel_traces", "otel_logs", "otel_metrics_histogram", "otel_metrics_sum")


def exporters(clew, way: str) -> tuple[Any, Any, Any]:
    if way == "http":
        base = clew.endpoints["otlp_http"]
        return (
            HttpSpans(f"{base}/v1/traces"),
            HttpLogs(f"{base}/v1/logs"),
            HttpMetrics(f"{base}/v1/metrics"),
        )
    target = clew.endpoints["otlp_grpc"]
    return (
        GrpcSpans(target, insecure=True),
        GrpcLogs(target, insecure=True),
        GrpcMetrics(target, insecure=True),
    )


def emit(clew, way: str) -> dict[str, str]:
    """One trace with a log record in it and a histogram point that names it; the ids."""
    spans, logs, metrics = exporters(clew, way)
    resource = Resource.create({"service.name": f"plain-{way}", "process.command_args": ["a", "b"]})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    logging_provider = LoggerProvider(resource=resource)
    logging_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    reader = PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)
    meters = MeterProvider([reader], resource, exemplar_filter=TraceBasedExemplarFilter())
    logger = logging.getLogger(f"plain.{way}")
    logger.propagate = False
    logger.addHandler(LoggingHandler(logger_provider=logging_provider))
    tracer = tracing.get_tracer("a.library", "1.0")
    linked = trace.SpanContext(1, 2, is_remote=True)
    # Of now: a trace has the metrics of five minutes around it.
    began = time.time_ns() // 1_000_000_000 * 1_000_000_000 + 123_456_789
    root = tracer.start_span(
        "POST /pay", kind=trace.SpanKind.SERVER, start_time=began, links=[trace.Link(linked, {"why": "test"})],
        attributes={"text": "ü", "number": 7, "ratio": 0.5, "yes": True, "list": ["x", "y"]},
    )  # fmt: skip
    with trace.use_span(root):
        root.add_event("tried", {"attempt": 2}, timestamp=began + 1)
        logger.error("no money", extra={"order_id": "o-1"})
        meter = meters.get_meter("a.meter")
        meter.create_histogram("pay.duration", "s", "time to pay").record(0.3, {"method": "card"})
        meter.create_counter("payments").add(3)
    root.set_status(trace.StatusCode.ERROR, "declined")
    root.end(began + 1_000_000_001)
    for provider in (tracing, logging_provider, meters):
        provider.shutdown()
    context = root.get_span_context()
    return {"trace": f"{context.trace_id:032x}", "span": f"{context.span_id:016x}"}


def read_tables(clew) -> dict[str, list[dict[str, Any]]]:
    """The tables' rows, read after clew has stopped."""
    script = f"""
import json
from clew.storage import Store
with Store("chdb://{clew.data / "db"}").client() as client:
    for table in {TABLES!r}:
        rows = client.raw_query(f"SELECT * FROM otel.{{table}} ORDER BY ServiceName", fmt="JSONEachRow")
        print(json.dumps([json.loads(line) for line in rows.splitlines()]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return dict(zip(TABLES, map(json.loads, answer.stdout.splitlines()), strict=True))


# The SDK's gRPC exporters leave their channel to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*LoggingHandler.*:DeprecationWarning")
def test_three_signals_both_ways(clew) -> None:
    ids = {way: emit(clew, way) for way in ("http", "grpc")}
    for way, sent in ids.items():
        found = wait_for(clew, f"/api/v1/traces/{sent['trace']}")
        assert [log["body"] for log in found["logs"]] == ["no money"]
        links = {metric["name"]: metric["linked_by"] for metric in found["metrics"]}
        assert links == {"pay.duration": "exemplar", "payments": "exemplar"}
        assert found["transaction"]["name"] == f"plain-{way}: POST /pay"
        assert found["spans"][0]["start"].endswith(".123456789Z")
    assert clew.stop() == 0
    tables = read_tables(clew)
    for way, span, log, point, total in zip(("grpc", "http"), *tables.values(), strict=True):
        check_span(span, ids[way])
        assert (log["Body"], log["SeverityText"], log["SeverityNumber"]) == (
            "no money",
            "ERROR",
            17,
        )
        assert (log["TraceId"], log["SpanId"]) == (ids[way]["trace"], ids[way]["span"])
        assert log["TraceFlags"] & 1  # the random bit may be set beside it
        assert log["LogAttributes"]["order_id"] == "o-1"
        assert (point["MetricName"], point["MetricUnit"]) == ("pay.duration", "s")
        assert (point["Count"], point["Sum"], point["Min"], point["Max"]) == (1, 0.3, 0.3, 0.3)
        assert point["BucketCounts"][1] == 1
        assert point["ExplicitBounds"][:2] == [0, 5]
        assert point["Attributes"] == {"method": "card"}
        assert point["AggregationTemporality"] == 2
        assert (point["Exemplars.TraceId"], point["Exemplars.SpanId"]) == (
            [ids[way]["trace"]],
            [ids[way]["span"]],
        )
        assert point["Exemplars.Value"] == [0.3]
        assert (total["MetricName"], total["Value"], total["IsMonotonic"]) == ("payments", 3, True)


def check_span(span: dict[str, Any], ids: dict[str, str]) -> None:
    assert (span["TraceId"], span["SpanId"], span["ParentSpanId"]) == (
        ids["trace"],
        ids["span"],
        "",
    )
    assert (span["SpanKind"], span["StatusCode"], span["StatusMessage"]) == (
        "Server",
        "Error",
        "declined",
    )
    assert span["Timestamp"].endswith(".123456789")
    assert span["Duration"] == 1000000001
    assert (span["ScopeName"], span["ScopeVersion"]) == ("a.library", "1.0")
    expected = {"text": "ü", "number": "7", "ratio": "0.5", "yes": "true", "list": '["x","y"]'}
    assert span["SpanAttributes"] == expected
    assert span["ResourceAttributes"]["process.command_args"] == '["a","b"]'
    assert (span["Events.Name"], span["Events.Attributes"]) == (["tried"], [{"attempt": "2"}])
    assert span["Events.Timestamp"][0].endswith(".123456790")
    assert span["Links.TraceId"] == ["0" * 31 + "1"]
    assert span["Links.Attributes"] == [{"why": "test"}]


def wait_for(clew, path: str) -> dict[str, Any]:
    """The answer once the trace is there with all three signals."""
    deadline = time.monotonic() + 30
    while True:
        answer = clew.get(path)
        found = answer.json() if answer.is_success else {"logs": [], "metrics": []}
        if found["logs"] and {"pay.duration", "payments"} <= {m["name"] for m in found["metrics"]}:
            return dict(found)
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
