"""Hostile or damaged bodies, and hostile connections.

Whatever they are, no response is a server error, the memory stays under its limit, other clients are
answered, and what was acknowledged is stored, or set aside and counted as rejected.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import zstandard
from google.protobuf.message import DecodeError
from hostile_bodies import (
    REQUESTS,
    as_json,
    bomb,
    mutated,
    nested,
    valid,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from oracle import EXPORT, MEMORY_CAP, SIGNALS, ledger, peak_memory, unequal

from clew.collector import inflating, otlp
from support.processes import Clew
from support.stored import wait_until_loaded

RESPONSES: dict[str, tuple[Any, str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "deflate": zlib.compress,
}
BAD_REQUEST = (400, 413, 415)  # the statuses of requests that are refused for good


class Target:
    """A clew, the names of the items that it has acknowledged, by signal, and its responses."""

    def __init__(self, clew: Clew) -> None:
        self.clew = clew
        self.acknowledged: dict[str, Counter[str]] = {signal: Counter() for signal in SIGNALS}
        self.rejected = dict.fromkeys(SIGNALS, 0)
        self.statuses: Counter[str] = Counter()
        self._client = httpx.Client(timeout=60)
        self._channel = grpc.insecure_channel(
            clew.endpoints["otlp_grpc"].removeprefix("http://"),
            options=[("grpc.max_send_message_length", -1)],
        )

    def close(self) -> None:
        self._client.close()
        self._channel.close()

    def post(self, signal: str, body: bytes, encoding: str = "", as_json: bool = False) -> int:
        """Encode and send a body, again while it is refused for now. Returns the HTTP status."""
        return self.post_encoded(signal, COMPRESS[encoding](body), body, encoding, as_json)

    def post_encoded(
        self, signal: str, encoded: bytes, body: bytes, encoding: str, as_json: bool = False
    ) -> int:
        """Send the encoded body as `post` does."""
        headers = {"content-type": f"application/{'json' if as_json else 'x-protobuf'}"}
        if encoding:
            headers["content-encoding"] = encoding
        url = f"{self.clew.endpoints['otlp_http']}/v1/{signal}"
        while (
            response := self._client.post(url, content=encoded, headers=headers)
        ).status_code == 503:
            self.statuses["503"] += 1
            time.sleep(0.1)
        status = response.status_code
        self.statuses[str(status)] += 1
        assert status in (200, *BAD_REQUEST), (status, response.text, body)
        if status == 200 and as_json:
            self._record(signal, otlp.decode_json(signal, body).body, b"")
        elif status == 200:
            self._record(signal, body, response.content)
        return status

    def call(self, signal: str, body: bytes) -> str:
        """Send a body over gRPC, again while it is refused for now. Returns the status's name."""
        while True:
            try:
                response = self._channel.unary_unary(EXPORT[signal])(body, timeout=60)
            except grpc.RpcError as error:
                status = str(error.code().name)
                self.statuses[status] += 1
                if status == "UNAVAILABLE":
                    time.sleep(0.1)
                    continue
                if status not in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
                    raise
                return status
            self.statuses["OK"] += 1
            self._record(signal, body, response)
            return "OK"

    def _record(self, signal: str, body: bytes, response: bytes) -> None:
        self.acknowledged[signal].update(names(signal, body))
        message, rejected_field = RESPONSES[signal]
        partial = message.FromString(response).partial_success
        self.rejected[signal] += getattr(partial, rejected_field)


def names(signal: str, body: bytes) -> list[str]:
    """The name of each item of a request, as protobuf reads it: of an odd request that is mended, as
    it reads the mended one, with an empty name for each item that is rejected."""
    rejected = 0
    try:
        request = REQUESTS[signal].FromString(body)
    except DecodeError:
        batch = otlp.decode_protobuf(signal, body)
        request = REQUESTS[signal].FromString(batch.body)
        rejected = sum(batch.rejected.values())
    return [*names_of(signal, request), *[""] * rejected]


def names_of(signal: str, request: Any) -> list[str]:
    if signal == "traces":
        return [
            span.name for resource in request.resource_spans for scope in resource.scope_spans
            for span in scope.spans
        ]  # fmt: skip
    if signal == "logs":
        return [
            record.severity_text for resource in request.resource_logs
            for scope in resource.scope_logs for record in scope.log_records
        ]  # fmt: skip
    return [
        metric.name for resource in request.resource_metrics for scope in resource.scope_metrics
        for metric in scope.metrics
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary")
        for _ in getattr(metric, kind).data_points
    ]  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One clew for all of these tests; at the end its tables are compared with its responses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))  # a shell's default
    clew = Clew(tmp_path_factory.mktemp("hostile") / "data")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    target = Target(clew)
    yield target
    target.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until_loaded(clew.data)
    accounts = {account["signal"]: account for account in ledger(clew)}
    assert unequal(list(accounts.values())) == []
    peak = peak_memory(clew.process.pid)
    assert clew.stop() == 0
    assert peak < MEMORY_CAP
    print(f"\n{dict(target.statuses)}, memory {peak >> 20} MiB")
    program = Path(__file__).with_name("count_stored.py")
    process = subprocess.run(
        [sys.executable, str(program), f"chdb://{clew.data / 'db'}", "names"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    stored = {signal: Counter(names) for signal, names in json.loads(process.stdout).items()}
    for signal, sent in target.acknowledged.items():
        refused = accounts[signal]["reasons"].get("refused_by_engine", 0)
        set_aside = sum(
            json.loads(path.read_text())["items"]
            for path in (clew.data / "dead-letter" / signal).glob("*.json")
        )
        print(
            signal,
            f"{sent.total()} acknowledged, {target.rejected[signal]} of them rejected at once, {refused} set aside",
        )
        assert refused == set_aside
        assert accounts[signal]["received"] >= sent.total()
        assert stored[signal].total() == sent.total() - target.rejected[signal] - refused
        assert stored[signal] - sent == Counter()


@pytest.mark.parametrize("bodies", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutated_bodies(target: Target, bodies: int) -> None:
    chance = random.Random(bodies)
    for number in range(bodies):
        signal = SIGNALS[number % 3]
        request, other = valid(signal, chance), valid(chance.choice(SIGNALS), chance)
        match chance.randrange(8):
            case 0 | 1 | 2:
                target.post(
                    signal, mutated(request.SerializeToString(), other.SerializeToString(), chance)
                )
            case 3 | 4:
                target.call(
                    signal, mutated(request.SerializeToString(), other.SerializeToString(), chance)
                )
            case 5:
                target.post(signal, mutated(as_json(request), as_json(other), chance), as_json=True)
            case 6:
                encoding = chance.choice(list(COMPRESS))
                target.post(signal, mutated(request.SerializeToString(), b"?", chance), encoding)
            case 7:  # mutated after compression: the body is what it inflates to
                encoding = chance.choice(("gzip", "zstd", "deflate"))
                encoded = mutated(COMPRESS[encoding](request.SerializeToString()), b"?", chance)
                try:
                    body = inflating.inflate(encoded, encoding)
                except inflating.BadRequest:
                    body = b""
                target.post_encoded(signal, encoded, body, encoding)
    assert {"200", "400", "OK", "INVALID_ARGUMENT"} <= set(target.statuses)


@pytest.mark.parametrize(
    ("encoding", "mebibytes"),
    [
        ("zstd", 100),
        *(pytest.param(name, 512, marks=pytest.mark.slow) for name in ("gzip", "zstd", "deflate")),
    ],
)
def test_fifty_bombs_at_once(target: Target, encoding: str, mebibytes: int) -> None:
    body = bomb(encoding, mebibytes)
    with ThreadPoolExecutor(50) as pool:
        statuses = list(
            pool.map(lambda _: target.post_encoded("traces", body, b"", encoding), range(50))
        )
    assert set(statuses) <= {400, 413}


@pytest.mark.parametrize("depth", [10, 49, 50, 100, 1_000, 10_000, 100_000])
def test_nesting(target: Target, depth: int) -> None:
    over_http, over_grpc = target.post("logs", nested(depth)), target.call("logs", nested(depth))
    assert (over_http, over_grpc) == (200, "OK")
    text = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":['
    text = text + b'{"arrayValue":{"values":[' * (depth - 1) + b"]}}" * depth + b"}]}]}]}"
    assert target.post("logs", text, as_json=True) == 200
    assert target.post("logs", b"[" * depth + b"]" * depth, as_json=True) == 400


def test_an_attribute_of_10_megabytes(target: Target) -> None:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add().scope_spans.add().spans.add(name="large", trace_id=b"t" * 16)
    )
    span.span_id = b"s" * 8
    span.attributes.add(key="k" * 1000).value.string_value = "x" * 10_000_000
    span.attributes.add(key="list").value.array_value.values.add().string_value = "y" * 1_000_000
    assert target.post("traces", request.SerializeToString(), "gzip") == 200
    assert target.call("traces", request.SerializeToString()) == "OK"


@pytest.mark.parametrize("keys", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_distinct_keys(target: Target, keys: int) -> None:
    for start in range(0, keys, 100_000):
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for first in range(start, min(keys, start + 100_000), 100):
            span = scope.spans.add(name="keys", trace_id=b"t" * 16, span_id=b"s" * 8)
            for key in range(first, first + 100):
                span.attributes.add(key=f"distinct.{key}").value.int_value = key
        assert target.post("traces", request.SerializeToString()) == 200


@pytest.mark.parametrize("count", [1_200, pytest.param(5_000, marks=pytest.mark.slow)])
def test_idle_and_slow_connections(target: Target, count: int) -> None:
    """More than the 1,024 files that a process may have open unless it asks for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        pytest.skip(f"{count} connections need more open files than the {hard} allowed here")
    targets = [
        (host, int(port)) for host, _, port in (
            target.clew.endpoints[name].removeprefix("http://").rpartition(":")
            for name in ("otlp_http", "otlp_grpc")
        )
    ]  # fmt: skip
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
    stop = threading.Event()
    connections = []
    try:
        for number in range(count):
            connection = socket.create_connection(targets[number % 10 == 9], timeout=30)
            connections.append(connection)
            if number % 3 == 1:
                connection.sendall(head[: 5 + number % len(head)])
            elif number % 3 == 2:
                connection.sendall(head + b"content-length: 1000000\r\n\r\n" + b"\x0a")

        def trickle() -> None:
            while not stop.wait(0.5):
                for connection in connections[2::3][:200]:
                    with contextlib.suppress(OSError):  # clew has closed it
                        connection.send(b"\x0a")

        slow = threading.Thread(target=trickle)
        slow.start()
        times = []
        chance = random.Random(count)
        for _ in range(100):
            began = time.monotonic()
            assert target.post("traces", valid("traces", chance).SerializeToString()) == 200
            assert target.call("logs", valid("logs", chance).SerializeToString()) == "OK"
            times.append(time.monotonic() - began)
        stop.set()
        slow.join()
    finally:
        for connection in connections:
            connection.close()
    # The promise; on an idle machine it takes some milliseconds.
    assert statistics.quantiles(times, n=100)[98] < 2
