"""TLS, API keys and origins of the platform's ports, and partial success."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clew.access import add_key, new_key
from support.certificates import make_certificate
from support.processes import CLEW_UP, Clew

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def make_key(file: Path, scope: str) -> str:
    key, line = new_key("somebody", [scope])
    add_key(file, line)
    return key


class Guarded:
    """A clew with a certificate and API keys, and clients for it."""

    def __init__(self, directory: Path) -> None:
        make_certificate(directory)
        self.directory = directory
        self.file = directory / "keys"
        self.sender, self.reader = make_key(self.file, "ingest"), make_key(self.file, "read")
        self.clew = Clew(
            directory / "data",
            *("--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem")),
            *("--api-keys", str(self.file), "--cors-origins", "https://shop.example"),
            *("--clickhouse", "127.0.0.1:0"),
            certificate=directory / "cert.pem",
        )

    def post(
        self, key: str, body: bytes = b"", kind: str = PROTOBUF, **headers: str
    ) -> httpx.Response:
        headers = {"content-type": kind, "authorization": f"Bearer {key}"} | headers
        url = f"{self.clew.endpoints['otlp_http']}/v1/traces"
        return httpx.post(url, content=body, headers=headers, verify=self.clew.trust)

    def get(self, path: str, key: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else None
        url = f"{self.clew.endpoints['api']}{path}"
        return httpx.get(url, headers=headers, verify=self.clew.trust)

    def call(
        self, key: str, body: bytes = b"", method: str = EXPORT, **options: Any
    ) -> bytes | str:
        """The response of the gRPC method, or the name of its status if it fails."""
        target = self.clew.endpoints["otlp_grpc"].removeprefix("https://")
        trusted = grpc.ssl_channel_credentials((self.directory / "cert.pem").read_bytes())
        with grpc.secure_channel(target, trusted) as channel:
            metadata = (("authorization", f"Bearer {key}"),)
            try:
                return bytes(channel.unary_unary(method)(body, metadata=metadata, **options))
            except grpc.RpcError as error:
                return str(error.code().name)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    running = Guarded(tmp_path_factory.mktemp("guarded"))
    yield running
    assert running.clew.stop() == 0


def test_clickhouse_has_the_same_certificate_and_keys(guarded: Guarded) -> None:
    url = guarded.clew.endpoints["clickhouse"]
    assert url.startswith("https://")
    for key, status in ((guarded.reader, 200), ("clew_another", 403)):
        response = httpx.get(
            url,
            params={"query": "SELECT 1"},
            auth=("somebody", key),
            verify=guarded.clew.trust,
        )
        assert response.status_code == status


def request(*ids: tuple[bytes, bytes]) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for trace_id, span_id in ids:
        now = time.time_ns()
        scope.spans.add(
            trace_id=trace_id, span_id=span_id, start_time_unix_nano=now, end_time_unix_nano=now
        )
    return message


def as_json(message: ExportTraceServiceRequest) -> bytes:
    document = json_format.MessageToDict(message)
    for span, sent in zip(
        document["resourceSpans"][0]["scopeSpans"][0]["spans"],
        message.resource_spans[0].scope_spans[0].spans,
        strict=True,
    ):
        span |= {"traceId": sent.trace_id.hex(), "spanId": sent.span_id.hex()}
    return json.dumps(document).encode()


def test_partial_success_over_every_transport(guarded: Guarded) -> None:
    def over_http(message: ExportTraceServiceRequest) -> bytes:
        return guarded.post(guarded.sender, message.SerializeToString()).content

    def over_http_as_json(message: ExportTraceServiceRequest) -> bytes:
        response = guarded.post(guarded.sender, as_json(message), JSON)
        assert response.headers["content-type"] == JSON
        parsed = json_format.Parse(response.content, ExportTraceServiceResponse())
        return bytes(parsed.SerializeToString())

    def over_grpc(message: ExportTraceServiceRequest, **options: Any) -> bytes:
        response = guarded.call(guarded.sender, message.SerializeToString(), **options)
        assert isinstance(response, bytes)
        return response

    def over_grpc_compressed(message: ExportTraceServiceRequest) -> bytes:
        return over_grpc(message, compression=grpc.Compression.Gzip)

    transports: list[Callable[[ExportTraceServiceRequest], bytes]] = [
        over_http,
        over_http_as_json,
        over_grpc,
        over_grpc_compressed,
    ]
    for number, send in enumerate(transports):
        trace = bytes([number + 1]) * 16
        span = trace[:8]
        message = request(
            (trace, span), (trace[:15], span), (trace, trace), (trace, trace), (trace, b"")
        )
        partial = ExportTraceServiceResponse.FromString(send(message)).partial_success
        assert partial.rejected_spans == 4
        assert partial.error_message == (
            "trace_id must be 16 bytes long and not zero: 1 rejected; "
            "span_id must be 8 bytes long and not zero: 3 rejected"
        )
        assert wait_for_spans(guarded, trace.hex()) == {span.hex()}


def wait_for_spans(guarded: Guarded, trace_id: str) -> set[str]:
    deadline = time.monotonic() + 30
    while True:
        response = guarded.get(f"/api/v1/traces/{trace_id}", guarded.reader)
        if response.is_success:
            return {span["span_id"] for span in response.json()["spans"]}
        assert time.monotonic() < deadline, response.text
        time.sleep(0.1)


def test_requests_without_a_key_for_them_are_refused(guarded: Guarded) -> None:
    assert {url.partition(":")[0] for url in guarded.clew.endpoints.values() if url} == {"https"}
    for key, status, name in (
        (guarded.sender, 200, b""),
        (guarded.reader, 403, "PERMISSION_DENIED"),
        ("clew_another", 401, "UNAUTHENTICATED"),
    ):
        assert guarded.post(key).status_code == status
        assert guarded.call(key) == name
    assert guarded.call("", b"\0" * (65 << 20)) == "UNAUTHENTICATED"  # before the message is read
    assert guarded.call(guarded.sender, method="/some.Service/Export") == "UNIMPLEMENTED"
    for path in ("/docs", "/openapi.json", "/api/v1/services", "/api/v1/nothing"):
        for key, status in (("", 401), (guarded.sender, 403)):
            response = guarded.get(path, key)
            if path == "/api/v1/nothing" and key:  # an unknown path needs no scope
                assert response.status_code == 404
                continue
            assert response.status_code == status
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["www-authenticate"].startswith("Bearer")
        assert guarded.get(path, guarded.reader).status_code in (200, 307, 404)
    for path in ("/healthz", "/readyz", "/", "/traces"):  # a page without data is open
        assert guarded.get(path).status_code == 200


def test_a_page_may_send_when_its_origin_is_allowed(guarded: Guarded) -> None:
    response = guarded.post(guarded.sender, origin="https://shop.example")
    assert response.headers["access-control-allow-origin"] == "https://shop.example"
    response = guarded.post(guarded.sender, origin="https://other.example")
    assert "access-control-allow-origin" not in response.headers


def test_keys_and_certificates_can_be_replaced_while_clew_runs(guarded: Guarded) -> None:
    new = make_key(guarded.file, "ingest")
    wait_until(lambda: guarded.post(new).status_code == 200)
    assert guarded.post(guarded.sender).status_code == 200
    lines = [line for line in guarded.file.read_text().splitlines() if " ingest " not in line]
    guarded.file.write_text("\n".join(lines))
    wait_until(lambda: guarded.post(new).status_code == 401)
    assert guarded.call(guarded.sender) == "UNAUTHENTICATED"
    assert guarded.get("/api/v1/services", guarded.reader).status_code == 200

    directory = guarded.directory / "new"
    directory.mkdir()
    make_certificate(directory)
    for name in ("key.pem", "cert.pem"):
        shutil.copy(directory / name, guarded.directory / name)
    guarded.clew.trust = ssl.create_default_context(cafile=directory / "cert.pem")
    assert guarded.call("another") == "UNAUTHENTICATED"
    for request in (lambda: guarded.get("/healthz"), lambda: guarded.post("another")):
        wait_until(lambda request=request: connects(request))  # type: ignore[misc]
    log = guarded.clew.log.read_text()
    assert not any(key in log for key in (new, guarded.sender, guarded.reader))


def connects(request: Callable[[], httpx.Response]) -> bool:
    try:
        request()
    except httpx.ConnectError:  # the certificate is still the old one
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_public_address_needs_keys_or_tls(tmp_path: Path) -> None:
    process = subprocess.run(
        [*CLEW_UP, "--data", str(tmp_path / "data"), "--otlp-grpc", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 2
    assert process.stderr.startswith("clew: --otlp-grpc 0.0.0.0:0: others can reach this address")
    assert "--api-keys" in process.stderr
    assert "--tls-cert" in process.stderr
    assert "Traceback" not in process.stderr
