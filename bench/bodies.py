"""OTLP bodies for the benchmarks: what an instrumented web service sends, seeded."""

from __future__ import annotations

import random
import time
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

RESOURCE = {
    "service.name": "checkout",
    "service.instance.id": "627cc493-f310-47de-96bd-71410b7dec09",
    "service.version": "1.4.2",
    "host.name": "web-1",
    "process.pid": 4711,
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.1",
    "deployment.environment.name": "production",
}
SPANS_PER_TRACE = 8
SERVER, CLIENT, ERROR = 2, 3, 2
POINTS_PER_METRIC = 16
WORDS = ("retry scheduled", "cache was cold", "queue is short", "stock reserved", "mail sent")


def traces(
    spans: int,
    attributes: int,
    seed: int,
    service: str = "checkout",
    began: int = 0,
    apart: int = 1000,
) -> bytes:
    """A request of `spans` spans in traces of 8, each span with that many attributes.

    `began`: nanoseconds, 0 is now; `apart`: nanoseconds from a span's start to the next one's."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    set_attributes(resource.resource.attributes, RESOURCE | {"service.name": service})
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.fastapi", "0.66b1"
    began = began or time.time_ns()
    for number in range(spans):
        span = scope.spans.add()
        first = number % SPANS_PER_TRACE == 0
        if first:
            trace, root = chance.randbytes(16), chance.randbytes(8)
        span.trace_id = trace
        span.span_id = root if first else chance.randbytes(8)
        span.parent_span_id = b"" if first else root
        route = number % 20
        span.name = f"GET /products/{{sku}}/{route}"
        span.kind = SERVER if first else CLIENT
        span.start_time_unix_nano = began + number * apart + chance.randrange(apart)
        span.end_time_unix_nano = span.start_time_unix_nano + int(chance.lognormvariate(16, 1))
        if chance.random() < 0.02:
            span.status.code = ERROR
        set_attributes(span.attributes, span_attributes(chance, route, attributes))
    return bytes(request.SerializeToString())


def trace_id(seed: int) -> str:
    """The id of the first trace in `traces(…, seed)`, in hex."""
    return random.Random(seed).randbytes(16).hex()


def logs(records: int, seed: int) -> bytes:
    """A request of `records` log records of about 300 bytes, every second one within a trace."""
    chance = random.Random(seed)
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    set_attributes(resource.resource.attributes, RESOURCE)
    scope = resource.scope_logs.add()
    scope.scope.name = "shop.orders"
    began = time.time_ns()
    for number in range(records):
        severe = chance.random() < 0.05
        record = scope.log_records.add(
            time_unix_nano=began + number * 1000,
            observed_time_unix_nano=began + number * 1000,
            severity_number=17 if severe else 9,
            severity_text="ERROR" if severe else "INFO",
        )
        if number % 2:
            record.trace_id, record.span_id = chance.randbytes(16), chance.randbytes(8)
        record.body.string_value = (
            f"order {chance.randrange(1 << 40):010x} of user-{chance.randrange(10_000)} "
            f"{'failed: the card was declined' if severe else 'was paid'} after "
            f"{chance.randrange(2000)} ms; {chance.choice(WORDS)} {chance.choice(WORDS)}"
        )
        set_attributes(
            record.attributes,
            {
                "code.function.name": "shop.orders.pay",
                "code.line.number": chance.randrange(400),
                "order.id": f"{chance.randrange(1 << 40):010x}",
                "thread.name": f"worker-{chance.randrange(16)}",
            },
        )
    return bytes(request.SerializeToString())


def metrics(points: int, seed: int, service: str = "checkout") -> bytes:
    """A request of about a third each of gauges, sums, and histograms of 10 buckets with an
    exemplar; 16 points to a metric."""
    chance = random.Random(seed)
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    set_attributes(resource.resource.attributes, RESOURCE | {"service.name": service})
    scope = resource.scope_metrics.add()
    scope.scope.name = "shop.orders"
    now = time.time_ns()
    for number in range(points // POINTS_PER_METRIC):
        metric = scope.metrics.add(name=f"shop.metric.{number}", unit="s")
        for route in range(POINTS_PER_METRIC):
            if number % 3 == 2:
                point = metric.histogram.data_points.add(
                    count=100, sum=chance.uniform(1, 100), min=0.001, max=2.5,
                    bucket_counts=[10] * 10, explicit_bounds=[2.0**power for power in range(9)],
                )  # fmt: skip
                metric.histogram.aggregation_temporality = 2
                point.exemplars.add(
                    time_unix_nano=now, as_double=chance.random(),
                    trace_id=chance.randbytes(16), span_id=chance.randbytes(8),
                )  # fmt: skip
            elif number % 3 == 1:
                metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
                point = metric.sum.data_points.add(as_int=chance.randrange(1_000_000))
            else:
                point = metric.gauge.data_points.add(as_double=chance.random())
            point.start_time_unix_nano, point.time_unix_nano = now - 60 * 10**9, now
            set_attributes(
                point.attributes,
                {
                    "http.request.method": "GET",
                    "http.route": f"/products/{{sku}}/{route}",
                    "http.response.status_code": chance.choice((200, 404)),
                },
            )
    return bytes(request.SerializeToString())


def span_attributes(chance: random.Random, route: int, count: int) -> dict[str, Any]:
    """The first `count` of what HTTP instrumentation puts on a span, business data behind it."""
    every: dict[str, Any] = {
        "http.request.method": "GET",
        "http.route": f"/products/{{sku}}/{route}",
        "http.response.status_code": chance.choice((200, 200, 200, 201, 404)),
        "url.path": f"/products/{chance.randrange(100_000)}/{route}",
        "url.scheme": "http",
        "server.address": "shop.example.com",
        "server.port": 8080,
        "network.protocol.version": "1.1",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        "user.id": f"user-{chance.randrange(10_000)}",
        "order.id": f"{chance.randrange(1 << 40):010x}",
        "order.total": round(chance.uniform(5, 500), 2),
        "cart.items": chance.randrange(1, 12),
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "db.query.summary": "SELECT products",
        "feature.new_checkout": chance.random() < 0.5,
        "client.address": f"10.0.{chance.randrange(256)}.{chance.randrange(256)}",
        "thread.id": chance.randrange(64),
        "code.function.name": "shop.storefront.product",
    }
    return dict(list(every.items())[:count])


def set_attributes(attributes: Any, values: dict[str, Any]) -> None:
    """Add these to the attributes of a message."""
    for key, value in values.items():
        kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
        setattr(attributes.add(key=key).value, kind[type(value)], value)
