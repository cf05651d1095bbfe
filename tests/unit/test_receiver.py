"""The OTLP HTTP receiver alone: its responses, and its calls of `append` and of its tally."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clew.collector.http import Receiver
from clew.collector.limits import InFlight, Overloaded
from clew.collector.otlp import Batch
from support.keys import authenticator

JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
PAGE = {"origin": "https://shop.example"}


class Recorder:
    """A tally and an `append` that record their calls, in order. With `full`, nothing is accepted."""

    def __init__(self, *, full: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._full = full

    async def append(self, signal: str, batch: Batch) -> None:
        if self._full:
            raise Overloaded("full")
        self.calls.append(("appended", signal, batch.items))

    def count_rejected(self, signal: str, reasons: dict[str, int]) -> None:
        self.calls.append(("rejected", signal, reasons))

    def count_mended(self, signal: str, items: int) -> None:
        self.calls.append(("mended", signal, items))

    def count_redacted(self, signal: str, items: int) -> None:
        self.calls.append(("redacted", signal, items))

    def count_unreadable(self, signal: str) -> None:
        self.calls.append(("unreadable", signal))

    def count_refused(self, signal: str) -> None:
        self.calls.append(("refused", signal))


def spans(*trace_ids: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace_id in trace_ids:
        span = scope.spans.add(trace_id=trace_id, span_id=b"s" * 8)
        span.start_time_unix_nano = span.end_time_unix_nano = 1_700_000_000_000_000_000
    return bytes(request.SerializeToString())


def send(
    recorder: Recorder,
    method: str = "POST",
    path: str = "/v1/traces",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    receiver = Receiver(recorder.append, InFlight(1 << 20), recorder, **options)

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(receiver)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(request())


def test_valid_items_are_appended_before_rejected_ones_are_counted() -> None:
    recorder = Recorder()
    response = send(recorder, body=spans(b"t" * 16, b"t"), headers=PROTOBUF)
    assert recorder.calls == [
        ("appended", "traces", 1),
        ("rejected", "traces", {"invalid_trace_id": 1}),
    ]
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, partial.rejected_spans) == (200, 1)


def test_mended_items_are_appended_and_counted() -> None:
    recorder = Recorder()
    document = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityText": "no time"}]}]}]}
    response = send(recorder, path="/v1/logs", body=json.dumps(document).encode(), headers=JSON)
    assert recorder.calls == [("appended", "logs", 1), ("mended", "logs", 1)]
    assert "1 stored" in response.json()["partialSuccess"]["errorMessage"]


def test_a_request_without_a_valid_item_is_not_appended() -> None:
    recorder = Recorder()
    assert send(recorder, body=spans(b"t"), headers=PROTOBUF).status_code == 200
    assert recorder.calls == [("rejected", "traces", {"invalid_trace_id": 1})]


def test_items_of_a_request_that_is_refused_for_now_are_not_rejected() -> None:
    recorder = Recorder(full=True)
    response = send(recorder, body=spans(b"t" * 16, b"t"), headers=PROTOBUF)
    assert response.status_code == 503
    assert recorder.calls == [("refused", "traces")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (PROTOBUF, 400),
        ({"content-type": "text/plain"}, 415),
        (PROTOBUF | {"content-encoding": "br"}, 415),
        (PROTOBUF | {"content-length": str(65 << 20)}, 413),
    ],
)
def test_a_request_that_is_refused_for_good_counts_as_unreadable(
    headers: dict[str, str], status: int
) -> None:
    recorder = Recorder()
    assert send(recorder, body=b"garbage", headers=headers).status_code == status
    assert recorder.calls == [("unreadable", "traces")]


@pytest.mark.parametrize(("key", "status", "code"), [("another", 401, 16), ("reader", 403, 7)])
def test_a_client_without_the_scope_gets_an_error_in_the_encoding_of_its_request(
    key: str, status: int, code: int
) -> None:
    recorder, keys = Recorder(), authenticator(reader={"read"})
    headers = {"authorization": f"Bearer {key}"}
    response = send(recorder, body=b"garbage", headers=PROTOBUF | headers, authenticator=keys)
    assert (response.status_code, Status.FromString(response.content).code) == (status, code)
    assert response.headers["www-authenticate"].startswith("Bearer")
    headers["content-type"] = "application/json"
    response = send(recorder, headers=headers, authenticator=keys)
    assert json.loads(response.content)["code"] == code
    assert recorder.calls == []


def test_a_page_may_not_send_unless_its_origin_is_allowed() -> None:
    for options in ({}, {"origins": frozenset({"https://other.example"})}):
        preflight = send(Recorder(), "OPTIONS", headers=PAGE, **options)
        assert preflight.status_code == 405
        response = send(Recorder(), headers=PAGE | PROTOBUF, **options)
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("allowed", ["https://shop.example", "*"])
def test_a_page_may_send_when_its_origin_is_allowed(allowed: str) -> None:
    origins = frozenset({allowed, "https://other.example"})
    preflight = send(
        Recorder(),
        "OPTIONS",
        headers=PAGE | {"access-control-request-method": "POST"},
        origins=origins,
        page_headers=("x-team",),
        authenticator=authenticator(),  # a preflight has no key
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == allowed
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"].split(", ") == [
        *("content-type", "content-encoding", "authorization"),
        *("traceparent", "tracestate", "baggage", "x-team"),
    ]
    assert int(preflight.headers["access-control-max-age"]) > 0
    for recorder, path, body, status in (
        (Recorder(), "/v1/traces", b"", 200),
        (Recorder(), "/v1/traces", b"garbage", 400),
        (Recorder(full=True), "/v1/traces", spans(b"t" * 16), 503),
        (Recorder(), "/elsewhere", b"", 404),
    ):
        response = send(recorder, path=path, body=body, headers=PAGE | PROTOBUF, origins=origins)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == allowed
        named = allowed != "*"
        assert (response.headers.get("vary") == "origin") is named
        assert (response.headers.get("access-control-allow-credentials") == "true") is named


def test_readiness_says_why_requests_are_refused() -> None:
    assert send(Recorder(), "GET", "/healthz").text == "ok\n"
    assert send(Recorder(), "GET", "/readyz").text == "ready\n"
    response = send(Recorder(), "GET", "/readyz", ready=lambda: False)
    assert response.status_code == 503
    assert response.text == "not accepting data: the spool is full or cannot be written\n"


RULES = "/v1/clew/rules"


def test_agents_get_the_rules_and_again_only_if_they_changed() -> None:
    def ask(**headers: str) -> httpx.Response:
        answer = (b'{"rules":[]}', '"abc"')
        return send(Recorder(), "GET", RULES, headers=headers, rules=lambda: answer)

    response = ask()
    assert (response.status_code, response.json()) == (200, {"rules": []})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == '"abc"'
    for known in ('"abc"', '"x", W/"abc"'):
        again = ask(**{"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == '"abc"'
    assert ask(**{"if-none-match": '"abcd"'}).status_code == 200


@pytest.mark.parametrize(
    ("key", "status"), [("", 401), ("another", 401), ("reader", 403), ("agent", 200)]
)
def test_the_rules_need_the_scope_ingest(key: str, status: int) -> None:
    keys = authenticator(reader={"read"}, agent={"ingest"})
    headers = {"authorization": f"Bearer {key}"}
    response = send(
        *(Recorder(), "GET", RULES),
        headers=headers,
        authenticator=keys,
        rules=lambda: (b"{}", '"e"'),
    )
    assert response.status_code == status
    assert ("www-authenticate" in response.headers) is (status != 200)


def test_the_rules_are_read_only_and_not_everywhere() -> None:
    assert send(Recorder(), "POST", RULES, rules=lambda: (b"{}", '"e"')).status_code == 405
    assert send(Recorder(), "GET", RULES).status_code == 404
