"""deploy/haproxy.cfg in front of two clews, one of which is killed under load: clients that do what OTLP
has them do lose nothing."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from support.compose import Machine, checkout, variables
from support.processes import Clew
from support.stored import ask, wait_until_loaded
from support.traffic import SECOND, SERVER, Process, Span, spans_request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("haproxy"), reason="needs the Debian package haproxy"),
]

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# What OTLP says may be sent again: answers of a server that took nothing, and no answer at all.
AGAIN_HTTP = {429, 502, 503, 504}
AGAIN_GRPC = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
IN_A_REQUEST = 20


class Two:
    """Two clews as collect-1 and collect-2, and the balancer's addresses."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self.key = variables(machine.directory)["CLEW_INGEST_KEY"]
        self.http = f"http://127.0.0.1:{machine.port('balancer', 4318)}/v1/traces"
        self.grpc = f"127.0.0.1:{machine.port('balancer', 4317)}"
        keys = str(machine.directory / "deploy/secrets/keys")
        self.clews = [
            Clew(
                directory / name,
                *("--otlp-http", f"127.0.0.1:{machine.port(name, 4318)}"),
                *("--otlp-grpc", f"127.0.0.1:{machine.port(name, 4317)}"),
                *("--api-keys", keys),
            )
            for name in ("collect-1", "collect-2")
        ]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    machine = Machine(checkout(tmp_path / "checkout"), "cluster")
    running = Two(machine, tmp_path)
    with machine.run("balancer", machine.haproxy()):
        yield running
    for clew in running.clews:
        clew.stop()


class Client(threading.Thread):
    """Sends requests one after the other, each until it is acknowledged."""

    def __init__(self, name: str, send: Callable[[bytes], bool], stop: threading.Event) -> None:
        super().__init__(name=name)
        self.acknowledged: set[str] = set()
        self.tried = 0
        self._send, self._stopped = send, stop

    def run(self) -> None:
        for number in itertools.count():
            if self._stopped.is_set():
                return
            ids = [f"{number * IN_A_REQUEST + each:016x}" for each in range(1, IN_A_REQUEST + 1)]
            body = spans_request(map(self._span, ids)).SerializeToString()
            for _ in range(100):
                self.tried += 1
                if self._send(body):
                    self.acknowledged |= set(ids)
                    break
                time.sleep(0.1)
            time.sleep(0.005)

    def _span(self, id: str) -> Span:
        now = time.time_ns()
        return Span(id * 2, id, "", Process(self.name, "1"), "work", SERVER, now, now + SECOND)


@contextmanager
def _http(two: Two) -> Iterator[Callable[[bytes], bool]]:
    headers = {"authorization": f"Bearer {two.key}", "content-type": "application/x-protobuf"}

    def send(body: bytes) -> bool:
        try:
            answer = client.post(two.http, content=body)
        except httpx.TransportError:
            return False
        assert answer.is_success or answer.status_code in AGAIN_HTTP, answer.status_code
        return answer.is_success

    with httpx.Client(headers=headers, timeout=10) as client:
        yield send


@contextmanager
def _grpc(two: Two) -> Iterator[Callable[[bytes], bool]]:
    def send(body: bytes) -> bool:
        try:
            call(body, timeout=10, metadata=(("authorization", f"Bearer {two.key}"),))
        except grpc.RpcError as error:
            if error.code() in AGAIN_GRPC:
                return False
            raise
        return True

    with grpc.insecure_channel(two.grpc) as channel:
        call = channel.unary_unary(EXPORT)
        yield send


def test_one_of_two_is_killed_under_load(two: Two) -> None:
    stop = threading.Event()
    with ExitStack() as stack:
        clients = [
            Client(f"{way.__name__}-{number}", stack.enter_context(way(two)), stop)
            for way in (_http, _grpc)
            for number in (1, 2)
        ]
        for client in clients:
            client.start()
            stack.callback(client.join)
        stack.callback(stop.set)
        _until(lambda: all(len(client.acknowledged) > 500 for client in clients), clients)
        two.clews[0].kill()
        so_far = {client: len(client.acknowledged) for client in clients}
        # The other takes it all, while the balancer finds out and after.
        _until(
            lambda: all(len(each.acknowledged) > so_far[each] + 1000 for each in clients), clients
        )
    two.clews[0].start()  # what it had acknowledged is in its spool
    found = []
    for clew in two.clews:
        wait_until_loaded(clew.data)
        assert clew.stop() == 0
        sql = "SELECT ServiceName, groupArray(SpanId) AS ids FROM otel.otel_traces WHERE SpanKind = 'Server' GROUP BY ServiceName"
        found.append({row["ServiceName"]: row["ids"] for row in ask(clew, sql)[0]})
    for client in clients:
        parts = [each.get(client.name, []) for each in found]
        assert all(parts), "both have taken a part"
        stored = parts[0] + parts[1]
        assert client.acknowledged <= set(stored)
        # Twice is only what a client sent again since it had no answer; the balancer repeats nothing.
        requests = len(client.acknowledged) // IN_A_REQUEST
        assert len(stored) - len(set(stored)) <= (client.tried - requests) * IN_A_REQUEST


def _until(reached: Callable[[], bool], clients: list[Client]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert all(client.is_alive() for client in clients)
        assert time.monotonic() < deadline, [len(client.acknowledged) for client in clients]
        time.sleep(0.05)
