"""The OTLP HTTP receiver by itself: what it answers, and what its tally is told."""

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

PROTOBUF = {"content-type": "application/x-protobuf"}
PAGE = {"origin": "https://shop.example"}


class Told:
    """A tally and an `append` that write down, in order, what they are told."""

    def __init__(self, *, full: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._full = full

    async def append(self, signal: str, batch: Batch) -> None:
        if self._full:
            raise Overloaded("full")
        self.calls.append(("kept", signal, batch.items))

    def rejected(self, signal: str, reasons: dict[str, int]) -> None:
        self.calls.append(("rejected", signal, reasons))

    def unreadable(self, signal: str) -> None:
        self.calls.append(("unreadable", signal))

    def refused(self, signal: str) -> None:
        self.calls.append(("refused", signal))


def spans(*trace_ids: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace_id in trace_ids:
        scope.spans.add(trace_id=trace_id, span_id=b"s" * 8)
    return bytes(request.SerializeToString())


def send(
    told: Told,
    method: str = "POST",
    path: str = "/v1/traces",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    receiver = Receiver(told.append, InFlight(1 << 20), told, **options)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(receiver)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(ask())


def test_what_is_kept_is_acknowledged_before_the_rest_is_counted() -> None:
    told = Told()
    answer = send(told, body=spans(b"t" * 16, b"t"), headers=PROTOBUF)
    assert told.calls == [("kept", "traces", 1), ("rejected", "traces", {"invalid_trace_id": 1})]
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)


def test_when_nothing_is_kept_nothing_is_appended() -> None:
    told = Told()
    assert send(told, body=spans(b"t"), headers=PROTOBUF).status_code == 200
    assert told.calls == [("rejected", "traces", {"invalid_trace_id": 1})]


def test_a_request_that_is_refused_for_now_is_not_counted_as_rejected() -> None:
    told = Told(full=True)
    answer = send(told, body=spans(b"t" * 16, b"t"), headers=PROTOBUF)
    assert answer.status_code == 503
    assert told.calls == [("refused", "traces")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (PROTOBUF, 400),
        ({"content-type": "text/plain"}, 415),
        (PROTOBUF | {"content-encoding": "br"}, 415),
        (PROTOBUF | {"content-length": str(65 << 20)}, 413),
    ],
)
def test_a_request_that_is_refused_for_good_is_unreadable(
    headers: dict[str, str], status: int
) -> None:
    told = Told()
    assert send(told, body=b"garbage", headers=headers).status_code == status
    assert told.calls == [("unreadable", "traces")]


@pytest.mark.parametrize(("key", "status", "code"), [("another", 401, 16), ("reader", 403, 7)])
def test_a_client_that_may_not_send_is_told_in_the_requests_encoding(
    key: str, status: int, code: int
) -> None:
    told, keys = Told(), authenticator(reader={"read"})
    headers = {"authorization": f"Bearer {key}"}
    answer = send(told, body=b"garbage", headers=PROTOBUF | headers, authenticator=keys)
    assert (answer.status_code, Status.FromString(answer.content).code) == (status, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    headers["content-type"] = "application/json"
    answer = send(told, headers=headers, authenticator=keys)
    assert json.loads(answer.content)["code"] == code
    assert told.calls == []


def test_pages_may_not_send_unless_told_otherwise() -> None:
    for options in ({}, {"origins": frozenset({"https://other.example"})}):
        preflight = send(Told(), "OPTIONS", headers=PAGE, **options)
        assert preflight.status_code == 405
        answer = send(Told(), headers=PAGE | PROTOBUF, **options)
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("allowed", ["https://shop.example", "*"])
def test_a_page_whose_origin_is_allowed(allowed: str) -> None:
    origins = frozenset({allowed, "https://other.example"})
    preflight = send(
        Told(),
        "OPTIONS",
        headers=PAGE | {"access-control-request-method": "POST"},
        origins=origins,
        authenticator=authenticator(),  # a preflight has no key
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == allowed
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"].split(", ") == [
        *("content-type", "content-encoding", "authorization"),
        *("traceparent", "tracestate", "baggage"),
    ]
    assert int(preflight.headers["access-control-max-age"]) > 0
    for told, path, body, status in (
        (Told(), "/v1/traces", b"", 200),
        (Told(), "/v1/traces", b"garbage", 400),
        (Told(full=True), "/v1/traces", spans(b"t" * 16), 503),
        (Told(), "/elsewhere", b"", 404),
    ):
        answer = send(told, path=path, body=body, headers=PAGE | PROTOBUF, origins=origins)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == allowed
        assert (answer.headers.get("vary") == "origin") is (allowed != "*")
