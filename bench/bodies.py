"""OTLP bodies for the benchmarks: what a traced web service sends, seeded."""

from __future__ import annotations

import random
import time
from typing import Any

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


def traces(spans: int, attributes: int, seed: int, service: str = "checkout") -> bytes:
    """A request of `spans` spans in traces of 8, each span with that many attributes."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    _set(resource.resource.attributes, RESOURCE | {"service.name": service})
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.fastapi", "0.66b1"
    began = time.time_ns()
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
        span.start_time_unix_nano = began + number * 1000
        span.end_time_unix_nano = span.start_time_unix_nano + int(chance.lognormvariate(16, 1))
        if chance.random() < 0.02:
            span.status.code = ERROR
        _set(span.attributes, _span_attributes(chance, route, attributes))
    return bytes(request.SerializeToString())


def _span_attributes(chance: random.Random, route: int, count: int) -> dict[str, Any]:
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


def _set(attributes: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
        setattr(attributes.add(key=key).value, kind[type(value)], value)
