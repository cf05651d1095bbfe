"""Bodies and connections that mean harm, or were broken on the way.

Whatever they are: no answer is a server error, the memory stays under its cap, a client that means
well is answered, and what was acknowledged is stored, or set aside and counted as rejected.
"""

from __future__ import annotations

import base64
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
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from oracle import EXPORT, MEMORY_CAP, SIGNALS, ledger, peak_memory, unequal

from clew.collector import inflating, otlp
from support.any_values import any_value
from support.processes import Clew
from support.stored import wait_until_loaded

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
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
BAD = (400, 413, 415)  # what a bad request may be answered; 503 is told apart
VALUES = [
    "text",
    "",
    "ü\u2028",
    7,
    -1,
    2**63 - 1,
    0.5,
    float("nan"),
    True,
    b"\0\xff",
    [1, ["a"]],
    {"k": {"n": None}},
]


class Victim:
    """clew, and what it has acknowledged of what it was sent: names of items, by signal."""

    def __init__(self, clew: Clew) -> None:
        self.clew = clew
        self.acknowledged: dict[str, Counter[str]] = {signal: Counter() for signal in SIGNALS}
        self.rejected = dict.fromkeys(SIGNALS, 0)
        self.answers: Counter[str] = Counter()
        self._client = httpx.Client(timeout=60)
        self._channel = grpc.insecure_channel(
            clew.endpoints["otlp_grpc"].removeprefix("http://"),
            options=[("grpc.max_send_message_length", -1)],
        )

    def close(self) -> None:
        self._client.close()
        self._channel.close()

    def post(self, signal: str, body: bytes, encoding: str = "", as_json: bool = False) -> int:
        """Send what is `body` before its encoding; its answer's status. Refused is tried again."""
        return self.post_encoded(signal, COMPRESS[encoding](body), body, encoding, as_json)

    def post_encoded(
        self, signal: str, encoded: bytes, plain: bytes, encoding: str, as_json: bool = False
    ) -> int:
        headers = {"content-type": f"application/{'json' if as_json else 'x-protobuf'}"}
        if encoding:
            headers["content-encoding"] = encoding
        url = f"{self.clew.endpoints['otlp_http']}/v1/{signal}"
        while (
            answer := self._client.post(url, content=encoded, headers=headers)
        ).status_code == 503:
            self.answers["503"] += 1
            time.sleep(0.1)
        self.answers[str(answer.status_code)] += 1
        assert answer.status_code in (200, *BAD), (answer.status_code, answer.text, plain)
        if answer.status_code == 200:
            if as_json:
                plain = otlp.decode_json(signal, plain).body
                self._note(signal, plain, b"")
            else:
                self._note(signal, plain, answer.content)
        return answer.status_code

    def call(self, signal: str, body: bytes) -> str:
        """The same over gRPC; its status."""
        while True:
            try:
                answer = self._channel.unary_unary(EXPORT[signal])(body, timeout=60)
            except grpc.RpcError as error:
                status = str(error.code().name)
                self.answers[status] += 1
                if status == "UNAVAILABLE":
                    time.sleep(0.1)
                    continue
                if status not in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
                    raise
                return status
            self.answers["OK"] += 1
            self._note(signal, body, answer)
            return "OK"

    def _note(self, signal: str, body: bytes, answer: bytes) -> None:
        self.acknowledged[signal].update(names(signal, body))
        response, rejected = RESPONSES[signal]
        partial = response.FromString(answer).partial_success
        self.rejected[signal] += getattr(partial, rejected)


def names(signal: str, body: bytes) -> list[str]:
    """A name for each item of a request, as protobuf reads it."""
    request = REQUESTS[signal].FromString(body)
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
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """One clew for all of these tests; what they were told is compared with the tables at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))  # as a shell has it
    clew = Clew(tmp_path_factory.mktemp("hostile") / "data")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    victim = Victim(clew)
    yield victim
    victim.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until_loaded(clew.data)
    told = {line["signal"]: line for line in ledger(clew)}
    assert unequal(list(told.values())) == []
    peak = peak_memory(clew.process.pid)
    assert clew.stop() == 0
    assert peak < MEMORY_CAP
    print(f"\n{dict(victim.answers)}, memory {peak >> 20} MiB")
    program = Path(__file__).with_name("count_stored.py")
    ran = subprocess.run(
        [sys.executable, str(program), f"chdb://{clew.data / 'db'}", "names"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    stored = {signal: Counter(found) for signal, found in json.loads(ran.stdout).items()}
    for signal, sent in victim.acknowledged.items():
        refused = told[signal]["reasons"].get("refused_by_engine", 0)
        aside = sum(
            json.loads(path.read_text())["items"]
            for path in (clew.data / "dead-letter" / signal).glob("*.json")
        )
        print(
            signal,
            f"{sent.total()} acknowledged, {victim.rejected[signal]} of them rejected at once, {refused} set aside",
        )
        assert refused == aside
        assert told[signal]["received"] >= sent.total()
        assert stored[signal].total() == sent.total() - victim.rejected[signal] - refused
        assert stored[signal] - sent == Counter()


def valid(signal: str, chance: random.Random) -> Any:
    """A request with some of everything in it."""
    now = time.time_ns()
    request = REQUESTS[signal]()

    def attributes(of: Any) -> None:
        for key in range(chance.randrange(4)):
            of.add(key=f"key{key}").value.CopyFrom(any_value(chance.choice(VALUES)))

    if signal == "traces":
        resource = request.resource_spans.add()
        scope = resource.scope_spans.add()
        for number in range(chance.randrange(1, 6)):
            span = scope.spans.add(
                trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name=f"span {number}",
                kind=chance.randrange(6), start_time_unix_nano=now, end_time_unix_nano=now + 5,
            )  # fmt: skip
            attributes(span.attributes)
            attributes(span.events.add(name="event", time_unix_nano=now).attributes)
            attributes(span.links.add(trace_id=chance.randbytes(16), span_id=b"s" * 8).attributes)
            span.status.code = chance.randrange(3)
    elif signal == "logs":
        resource = request.resource_logs.add()
        scope = resource.scope_logs.add()
        for number in range(chance.randrange(1, 6)):
            record = scope.log_records.add(
                time_unix_nano=now, severity_text=f"severity {number}", trace_id=b"t" * 16,
                severity_number=chance.randrange(25), span_id=b"s" * 8,
            )  # fmt: skip
            record.body.CopyFrom(any_value(chance.choice(VALUES)))
            attributes(record.attributes)
    else:
        resource = request.resource_metrics.add()
        scope = resource.scope_metrics.add()
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
            metric = scope.metrics.add(name=f"a {kind}", unit="1")
            point = getattr(metric, kind).data_points.add(time_unix_nano=now)
            attributes(point.attributes)
            if kind in ("gauge", "sum"):
                point.as_double = chance.random()
                point.exemplars.add(trace_id=b"t" * 16, span_id=b"s" * 8, as_int=3)
            elif kind == "histogram":
                point.bucket_counts.extend((1, 2))
                point.explicit_bounds.append(1.5)
            elif kind == "exponential_histogram":
                point.positive.bucket_counts.extend((1, 0, 7))
            else:
                point.quantile_values.add(quantile=0.5, value=2)
    attributes(resource.resource.attributes)
    attributes(scope.scope.attributes)
    return request


def as_json(request: Any) -> bytes:
    """In the specification's mapping: ids in hex."""

    def with_hex_ids(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: base64.b64decode(value).hex()
                if key in ("traceId", "spanId", "parentSpanId")
                else with_hex_ids(value)
                for key, value in node.items()
            }
        return [with_hex_ids(each) for each in node] if isinstance(node, list) else node

    return json.dumps(with_hex_ids(json_format.MessageToDict(request))).encode()


def mutated(body: bytes, other: bytes, chance: random.Random) -> bytes:
    """Broken in its bytes, which protobuf mostly refuses; or in its fields, which it mostly takes."""
    changed = bytearray(body)
    if chance.random() < 0.7:
        for _ in range(chance.randrange(1, 4)):
            changed = bytearray(with_another_field(bytes(changed), chance))
        return bytes(changed)
    for _ in range(chance.randrange(1, 3)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:  # a piece goes
                del changed[at : at + chance.randrange(1, 9)]
            case 2:  # random bytes
                changed[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 3:  # a splice
                start = chance.randrange(len(other))
                changed[at:at] = other[start : start + chance.randrange(1, 60)]
            case 4:  # cut off
                del changed[at:]
            case 5 if at < len(changed):  # another length, or what stands there
                changed[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def with_another_field(message: bytes, chance: random.Random) -> bytes:
    """One field, at any depth, goes, comes twice, or is of another number, type or content; the
    lengths of all that hold it are right."""
    fields = list(split(message))
    if not fields:
        return message + odd_field(chance.randrange(1, 20), chance)
    at = chance.randrange(len(fields))
    number, kind, content = fields[at]
    within = list(split(content)) if kind == 2 else []
    if within and chance.random() < 0.8:
        inner = with_another_field(content, chance)
        fields[at] = (number, kind, inner)
        return b"".join(map(joined, fields))
    pieces = list(map(joined, fields))
    match chance.randrange(6):
        case 0:
            del pieces[at]
        case 1:
            pieces.append(pieces[at])
        case 2:
            pieces[at] = odd_field(number, chance)
        case 3:
            pieces.insert(at, odd_field(chance.choice((*range(1, 20), 999, 1000, 1001)), chance))
        case 4:
            pieces[at] = joined((chance.randrange(1, 12), kind, content))
        case 5:
            chance.shuffle(pieces)
    return b"".join(pieces)


def odd_field(number: int, chance: random.Random) -> bytes:
    kind = chance.choice((0, 1, 2, 5))
    content = {
        0: varint(chance.choice((0, 1, 300, 2**31, 2**63, 2**64 - 1))),
        1: chance.randbytes(8),
        2: chance.choice((b"", b"text", "ü".encode(), b"\0" * 8, chance.randbytes(16))),
        5: chance.randbytes(4),
    }[kind]
    return joined((number, kind, content))


def joined(field: tuple[int, int, bytes]) -> bytes:
    number, kind, content = field
    return varint(number << 3 | kind) + (varint(len(content)) if kind == 2 else b"") + content


def split(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a message; none if these bytes are no message."""
    fields = []
    position = 0
    try:
        while position < len(message):
            tag, position = read_varint(message, position)
            start = position
            match tag & 7:
                case 0:
                    _, position = read_varint(message, position)
                case 1:
                    position += 8
                case 2:
                    length, start = read_varint(message, position)
                    position = start + length
                case 5:
                    position += 4
                case _:
                    return
            if position > len(message) or tag < 8:
                return
            fields.append((tag >> 3, tag & 7, message[start:position]))
    except IndexError:
        return
    yield from fields


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


@pytest.mark.parametrize("bodies", [600, pytest.param(20_000, marks=pytest.mark.slow)])
def test_bodies_that_are_nearly_right(victim: Victim, bodies: int) -> None:
    chance = random.Random(bodies)
    for number in range(bodies):
        signal = SIGNALS[number % 3]
        request, other = valid(signal, chance), valid(chance.choice(SIGNALS), chance)
        match chance.randrange(8):
            case 0 | 1 | 2:
                victim.post(
                    signal, mutated(request.SerializeToString(), other.SerializeToString(), chance)
                )
            case 3 | 4:
                victim.call(
                    signal, mutated(request.SerializeToString(), other.SerializeToString(), chance)
                )
            case 5:
                victim.post(signal, mutated(as_json(request), as_json(other), chance), as_json=True)
            case 6:
                encoding = chance.choice(list(COMPRESS))
                victim.post(signal, mutated(request.SerializeToString(), b"?", chance), encoding)
            case 7:  # broken in its compressed form; what comes out, if anything, is what was sent
                encoding = chance.choice(("gzip", "zstd", "deflate"))
                encoded = mutated(COMPRESS[encoding](request.SerializeToString()), b"?", chance)
                try:
                    plain = inflating.inflate(encoded, encoding)
                except inflating.BadRequest:
                    plain = b""
                victim.post_encoded(signal, encoded, plain, encoding)
    assert {"200", "400", "OK", "INVALID_ARGUMENT"} <= set(victim.answers)


def bomb(encoding: str, mebibytes: int) -> bytes:
    """Bytes that become that many MiB of zeros."""
    if encoding == "zstd":
        stream = zstandard.ZstdCompressor(level=19).compressobj()
    else:
        stream = zlib.compressobj(9, wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    zeros = bytes(1 << 20)
    return b"".join(stream.compress(zeros) for _ in range(mebibytes)) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "mebibytes"),
    [
        ("zstd", 100),
        *(pytest.param(each, 512, marks=pytest.mark.slow) for each in ("gzip", "zstd", "deflate")),
    ],
)
def test_fifty_bombs_at_once(victim: Victim, encoding: str, mebibytes: int) -> None:
    body = bomb(encoding, mebibytes)
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: victim.post_encoded("traces", body, b"", encoding), range(50))
        )
    assert set(answers) <= {400, 413}


def nested(depth: int) -> bytes:
    """A log record whose body is an array in an array in an array."""
    parts: list[bytes] = []
    size = 0
    for level in range(2 * depth):  # AnyValue.array_value = 5, ArrayValue.values = 1
        head = (b"\x2a" if level % 2 else b"\x0a") + varint(size)
        parts.append(head)
        size += len(head)
    for tag in (0x2A, 0x12, 0x12, 0x0A):  # body, log_records, scope_logs, resource_logs
        head = bytes((tag,)) + varint(size)
        parts.append(head)
        size += len(head)
    return b"".join(reversed(parts))


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


@pytest.mark.parametrize("depth", [10, 49, 50, 100, 1_000, 10_000, 100_000])
def test_nesting(victim: Victim, depth: int) -> None:
    over_http, over_grpc = victim.post("logs", nested(depth)), victim.call("logs", nested(depth))
    assert (over_http, over_grpc) == (200, "OK")
    text = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":['
    text = text + b'{"arrayValue":{"values":[' * (depth - 1) + b"]}}" * depth + b"}]}]}]}"
    assert victim.post("logs", text, as_json=True) == 200
    assert victim.post("logs", b"[" * depth + b"]" * depth, as_json=True) == 400


def test_an_attribute_of_10_megabytes(victim: Victim) -> None:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add().scope_spans.add().spans.add(name="large", trace_id=b"t" * 16)
    )
    span.span_id = b"s" * 8
    span.attributes.add(key="k" * 1000).value.string_value = "x" * 10_000_000
    span.attributes.add(key="list").value.array_value.values.add().string_value = "y" * 1_000_000
    assert victim.post("traces", request.SerializeToString(), "gzip") == 200
    assert victim.call("traces", request.SerializeToString()) == "OK"


@pytest.mark.parametrize("keys", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_distinct_keys(victim: Victim, keys: int) -> None:
    for start in range(0, keys, 100_000):
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for first in range(start, min(keys, start + 100_000), 100):
            span = scope.spans.add(name="keys", trace_id=b"t" * 16, span_id=b"s" * 8)
            for key in range(first, first + 100):
                span.attributes.add(key=f"distinct.{key}").value.int_value = key
        assert victim.post("traces", request.SerializeToString()) == 200


@pytest.mark.parametrize("count", [1_200, pytest.param(5_000, marks=pytest.mark.slow)])
def test_idle_and_slow_connections(victim: Victim, count: int) -> None:
    """More than the 1,024 files that a process may have open unless it asks for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        pytest.skip(f"{count} connections need more open files than the {hard} allowed here")
    targets = [
        (host, int(port)) for host, _, port in (
            victim.clew.endpoints[name].removeprefix("http://").rpartition(":")
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
                    with contextlib.suppress(OSError):  # closed by clew
                        connection.send(b"\x0a")

        slow = threading.Thread(target=trickle)
        slow.start()
        times = []
        chance = random.Random(count)
        for _ in range(100):
            began = time.monotonic()
            assert victim.post("traces", valid("traces", chance).SerializeToString()) == 200
            assert victim.call("logs", valid("logs", chance).SerializeToString()) == "OK"
            times.append(time.monotonic() - began)
        stop.set()
        slow.join()
    finally:
        for connection in connections:
            connection.close()
    # Promised; some milliseconds where nothing else runs.
    assert statistics.quantiles(times, n=100)[98] < 2
