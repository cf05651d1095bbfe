"""What stands at the addresses: TLS, keys, origins, and items that are not let in."""

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
    """A clew with a certificate and keys, and ways to talk to it."""

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
        self, key: str, body: bytes = b"", kind: str = PROTOBUF, **more: str
    ) -> httpx.Response:
        headers = {"content-type": kind, "authorization": f"Bearer {key}"} | more
        url = f"{self.clew.endpoints['otlp_http']}/v1/traces"
        return httpx.post(url, content=body, headers=headers, verify=self.clew.trust)

    def get(self, path: str, key: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else None
        url = f"{self.clew.endpoints['api']}{path}"
        return httpx.get(url, headers=headers, verify=self.clew.trust)

    def call(
        self, key: str, body: bytes = b"", method: str = EXPORT, **options: Any
    ) -> bytes | str:
        """The answer of the gRPC method, or the name of its status."""
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
        asked = httpx.get(
            url,
            params={"query": "SELECT 1"},
            auth=("somebody", key),
            verify=guarded.clew.trust,
        )
        assert asked.status_code == status


def request(*ids: tuple[bytes, bytes]) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for trace_id, span_id in ids:
        scope.spans.add(trace_id=trace_id, span_id=span_id, start_time_unix_nano=time.time_ns())
    return made


def as_json(made: ExportTraceServiceRequest) -> bytes:
    document = json_format.MessageToDict(made)
    for span, sent in zip(
        document["resourceSpans"][0]["scopeSpans"][0]["spans"],
        made.resource_spans[0].scope_spans[0].spans,
        strict=True,
    ):
        span |= {"traceId": sent.trace_id.hex(), "spanId": sent.span_id.hex()}
    return json.dumps(document).encode()


def test_partial_success_over_every_way(guarded: Guarded) -> None:
    def over_http(made: ExportTraceServiceRequest) -> bytes:
        return guarded.post(guarded.sender, made.SerializeToString()).content

    def over_http_as_json(made: ExportTraceServiceRequest) -> bytes:
        answer = guarded.post(guarded.sender, as_json(made), JSON)
        assert answer.headers["content-type"] == JSON
        parsed = json_format.Parse(answer.content, ExportTraceServiceResponse())
        return bytes(parsed.SerializeToString())

    def over_grpc(made: ExportTraceServiceRequest, **options: Any) -> bytes:
        answer = guarded.call(guarded.sender, made.SerializeToString(), **options)
        assert isinstance(answer, bytes)
        return answer

    def over_grpc_compressed(made: ExportTraceServiceRequest) -> bytes:
        return over_grpc(made, compression=grpc.Compression.Gzip)

    ways: list[Callable[[ExportTraceServiceRequest], bytes]] = [
        over_http,
        over_http_as_json,
        over_grpc,
        over_grpc_compressed,
    ]
    for number, way in enumerate(ways):
        trace = bytes([number + 1]) * 16
        span = trace[:8]
        made = request(
            (trace, span), (trace[:15], span), (trace, trace), (trace, trace), (trace, b"")
        )
        partial = ExportTraceServiceResponse.FromString(way(made)).partial_success
        assert partial.rejected_spans == 3
        assert partial.error_message == (
            "trace_id must be 16 bytes long: 1 rejected; span_id must be 8 bytes long: 2 rejected"
        )
        assert wait_for_spans(guarded, trace.hex()) == {span.hex(), ""}


def wait_for_spans(guarded: Guarded, trace_id: str) -> set[str]:
    deadline = time.monotonic() + 30
    while True:
        answer = guarded.get(f"/api/v1/traces/{trace_id}", guarded.reader)
        if answer.is_success:
            return {span["span_id"] for span in answer.json()["spans"]}
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


def test_who_has_no_key_for_it_is_not_let_in(guarded: Guarded) -> None:
    assert {url.partition(":")[0] for url in guarded.clew.endpoints.values() if url} == {"https"}
    for key, status, name in (
        (guarded.sender, 200, b""),
        (guarded.reader, 403, "PERMISSION_DENIED"),
        ("clew_another", 401, "UNAUTHENTICATED"),
    ):
        assert guarded.post(key).status_code == status
        assert guarded.call(key) == name
    assert guarded.call("", b"\0" * (65 << 20)) == "UNAUTHENTICATED"  # not even read
    assert guarded.call(guarded.sender, method="/some.Service/Export") == "UNIMPLEMENTED"
    for path in ("/", "/docs", "/openapi.json", "/api/v1/services", "/api/v1/nothing"):
        for key, status in (("", 401), (guarded.sender, 403)):
            refused = guarded.get(path, key)
            if path == "/api/v1/nothing" and key:  # what is no route needs no scope
                assert refused.status_code == 404
                continue
            assert refused.status_code == status
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert guarded.get(path, guarded.reader).status_code in (200, 307, 404)
    for path in ("/healthz", "/readyz"):
        assert guarded.get(path).status_code == 200


def test_a_page_may_send_when_its_origin_is_allowed(guarded: Guarded) -> None:
    answer = guarded.post(guarded.sender, origin="https://shop.example")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    answer = guarded.post(guarded.sender, origin="https://other.example")
    assert "access-control-allow-origin" not in answer.headers


def test_keys_and_certificates_are_changed_while_it_runs(guarded: Guarded) -> None:
    new = make_key(guarded.file, "ingest")
    wait_until(lambda: guarded.post(new).status_code == 200)
    assert guarded.post(guarded.sender).status_code == 200
    kept = [line for line in guarded.file.read_text().splitlines() if " ingest " not in line]
    guarded.file.write_text("\n".join(kept))
    wait_until(lambda: guarded.post(new).status_code == 401)
    assert guarded.call(guarded.sender) == "UNAUTHENTICATED"
    assert guarded.get("/api/v1/services", guarded.reader).status_code == 200

    elsewhere = guarded.directory / "new"
    elsewhere.mkdir()
    make_certificate(elsewhere)
    for name in ("key.pem", "cert.pem"):
        shutil.copy(elsewhere / name, guarded.directory / name)
    guarded.clew.trust = ssl.create_default_context(cafile=elsewhere / "cert.pem")
    assert guarded.call("another") == "UNAUTHENTICATED"
    for ask in (lambda: guarded.get("/healthz"), lambda: guarded.post("another")):
        wait_until(lambda ask=ask: answers(ask))  # type: ignore[misc]
    written = guarded.clew.log.read_text()
    assert not any(key in written for key in (new, guarded.sender, guarded.reader))


def answers(ask: Callable[[], httpx.Response]) -> bool:
    try:
        ask()
    except httpx.ConnectError:  # the certificate is still the old one
        return False
    return True


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_an_address_that_others_can_reach_needs_a_guard(tmp_path: Path) -> None:
    refused = subprocess.run(
        [*CLEW_UP, "--data", str(tmp_path / "data"), "--otlp-grpc", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("clew: --otlp-grpc 0.0.0.0:0: others can reach this address")
    assert "--api-keys" in refused.stderr
    assert "--tls-cert" in refused.stderr
    assert "Traceback" not in refused.stderr
