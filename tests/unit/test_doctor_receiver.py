"""The doctor's receiver: what it takes, hands on, and gives the agent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.agent.settings import apply_defaults
from clew.cli.doctor.connection import Destination, post, probe, request
from clew.cli.doctor.receiver import receiving
from support.capture import answering, capturing, free_port


def _destination(url: str) -> Destination:
    environ = {"CLEW_ENDPOINT": url, "CLEW_API_KEY": "right"}
    apply_defaults(environ)
    return Destination.of_environment(environ)


def _spans(number: int) -> bytes:
    document = ExportTraceServiceRequest()
    group = document.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "web"
    group.resource.attributes.add(key="process.pid").value.int_value = 7
    scope = group.scope_spans.add()
    scope.scope.name = "scope"
    for index in range(number):
        span = scope.spans.add(name="GET", kind=2, span_id=bytes([index + 1] * 8))
        span.attributes.add(key="http.method").value.string_value = "GET"
    return document.SerializeToString()


def test_it_takes_plain_and_compressed_bodies_and_hands_them_on() -> None:
    body = _spans(2)
    with capturing() as capture, receiving(_destination(capture.url)) as receiver:
        assert post(f"{receiver.url}/v1/traces", body, {}).status == 200
        logs = ExportLogsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add()
        assert post(f"{receiver.url}/v1/logs", logs.SerializeToString(), {}).status == 200
        assert post(f"{receiver.url}/v1/profiles", b"", {}).status == 404
        assert post(f"{receiver.url}/v1/traces", b"\xff", {}).status == 200
    assert receiver.telemetry.items == {"traces": 2, "logs": 1}
    assert receiver.telemetry.unreadable == 1
    assert receiver.telemetry.services == {"web"}
    assert receiver.telemetry.processes == {"7"}
    span = receiver.telemetry.spans[1]
    assert (span.span_id, span.parent_id, span.scope) == ("02" * 8, "", "scope")
    assert span.attributes == {"http.method": "GET"}
    assert len(capture.spans) == 2


def test_a_compressed_body_is_opened() -> None:
    with receiving(None) as receiver:
        compressed, headers = gzip.compress(_spans(1)), {"content-encoding": "gzip"}
        assert post(f"{receiver.url}/v1/traces", compressed, headers).status == 200
        post(f"{receiver.url}/v1/traces", b"no gzip", headers)
    assert receiver.telemetry.items["traces"] == 1
    assert receiver.telemetry.unreadable == 1


def test_requests_are_counted_once_by_series_and_process() -> None:
    document = ExportMetricsServiceRequest()
    group = document.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "web"
    metric = group.scope_metrics.add().metrics.add(name="http.server.request.duration")
    for count, route in ((3, "/"), (5, "/"), (2, "/a")):  # cumulative
        point = metric.histogram.data_points.add(count=count)
        point.attributes.add(key="http.route").value.string_value = route
    with receiving(None) as receiver:
        post(f"{receiver.url}/v1/metrics", document.SerializeToString(), {})
    assert receiver.telemetry.requests == 7


@contextmanager
def _clew() -> Iterator[str]:
    """A receiver that refuses the spans of a service, and has rules."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self.rfile.read(length)
            assert self.headers["authorization"] == "Bearer right"
            self.send_response(413 if length else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            unchanged = self.headers["if-none-match"] == '"1"'
            body = b"" if unchanged else json.dumps({"rules": []}).encode()
            self.send_response(304 if unchanged else 200)
            self.send_header("etag", '"1"')
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with answering(Handler) as url:
        yield url


def test_what_is_refused_is_counted_and_rules_are_fetched() -> None:
    with _clew() as url:
        destination = _destination(url)
        assert probe(destination).status == 200
        with receiving(destination) as receiver:
            post(f"{receiver.url}/v1/traces", _spans(1), {})
            rules = request("GET", f"{receiver.url}/v1/clew/rules")
            assert (rules.status, rules.etag, json.loads(rules.body)) == (200, '"1"', {"rules": []})
            known = {"if-none-match": '"1"'}
            assert request("GET", f"{receiver.url}/v1/clew/rules", None, known).status == 304
            assert request("GET", f"{receiver.url}/elsewhere").status == 404
    assert receiver.refused == {413: 1}


def test_an_address_is_said_to_be_wrong_in_words() -> None:
    assert request("GET", f"http://127.0.0.1:{free_port()}/").reason == "connection refused"
    assert request("GET", "ftp://127.0.0.1/").reason == "it is no http:// or https:// address"
    assert "name is not known" in request("GET", "http://no-such-host.invalid/").reason
    with capturing() as capture:
        assert (
            request("GET", capture.url.replace("http:", "https:")).reason == "it does not speak TLS"
        )
