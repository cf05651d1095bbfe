"""An OTLP receiver that keeps what it gets, and the means to run programs that send to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}
RULES_PATH = "/v1/clew/rules"
SERVER, CLIENT = 2, 3
ERROR = 2


@dataclass(frozen=True)
class Item:
    """A span, log record or metric as it was sent, with its attributes as dicts."""

    proto: Any
    scope: str
    resource: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return str(self.resource["service.name"])

    @property
    def trace_id(self) -> str:
        return str(self.proto.trace_id.hex())


class Capture:
    """Everything that was received so far, in order of arrival."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.spans: list[Item] = []
        self.logs: list[Item] = []
        self.metrics: list[Item] = []
        self.url = ""
        self.rules: dict[str, Any] | None = None  # what agents get at /v1/clew/rules
        self.gets: list[tuple[str, dict[str, str]]] = []  # paths, with headers in lower case

    def receive(self, path: str, body: bytes) -> None:
        request = REQUESTS[path].FromString(body)
        self.requests.append((path.removeprefix("/v1/"), request))
        if path == "/v1/traces":
            for group in request.resource_spans:
                for scope in group.scope_spans:
                    self.spans += [_item(span, scope, group, True) for span in scope.spans]
        elif path == "/v1/logs":
            for group in request.resource_logs:
                for scope in group.scope_logs:
                    self.logs += [_item(log, scope, group, True) for log in scope.log_records]
        else:
            for group in request.resource_metrics:
                for scope in group.scope_metrics:
                    self.metrics += [_item(one, scope, group, False) for one in scope.metrics]

    def whole(self, signal: str) -> Any:
        """All requests of a signal as one."""
        whole = REQUESTS[f"/v1/{signal}"]()
        for each, request in self.requests:
            if each == signal:
                whole.MergeFrom(request)
        return whole

    def metrics_of_processes(self) -> list[Item]:
        """Metrics without those of the host, which have a resource of their own."""
        return [metric for metric in self.metrics if "service.name" in metric.resource]

    def roots(self) -> list[Item]:
        return [span for span in self.spans if not span.proto.parent_span_id]

    def spans_named(self, name: str) -> list[Item]:
        return [span for span in self.spans if span.proto.name == name]

    def logs_saying(self, text: str) -> list[Item]:
        return [log for log in self.logs if log.proto.body.string_value == text]


def _item(proto: Any, scope: Any, group: Any, has_attributes: bool) -> Item:
    attributes = as_dict(proto.attributes) if has_attributes else {}
    return Item(proto, scope.scope.name, as_dict(group.resource.attributes), attributes)


def as_dict(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


@contextlib.contextmanager
def capturing(forward_to: str = "") -> Iterator[Capture]:
    """A receiver on a free port, for as long as the context lasts; it answers what the one that it
    forwards to answers."""
    capture = Capture()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = self.forward(body) if forward_to else 200
            if status == 200:
                capture.receive(self.path, body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            capture.gets.append((self.path, headers))
            if self.path != RULES_PATH:
                self.answer(200, b"{}")
            elif forward_to:
                answer = httpx.get(forward_to + self.path)
                self.answer(answer.status_code, answer.content, answer.headers.get("etag", ""))
            elif capture.rules is None:
                self.answer(404, b"")
            else:
                body = json.dumps(capture.rules).encode()
                etag = f'"{zlib.crc32(body)}"'
                is_known = headers.get("if-none-match") == etag
                self.answer(304 if is_known else 200, b"" if is_known else body, etag)

        def answer(self, status: int, body: bytes, etag: str = "") -> None:
            self.send_response(status)
            if etag:
                self.send_header("etag", etag)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def forward(self, body: bytes) -> int:
            kind = {"content-type": self.headers["content-type"]}
            return httpx.post(forward_to + self.path, content=body, headers=kind).status_code

        def log_message(self, *_: Any) -> None:
            pass

    with answering(Handler) as url:
        capture.url = url
        yield capture


@contextlib.contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server on this machine whose requests the handler answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def under_clew_run(
    command: Sequence[str], *, endpoint: str, service_name: str | None = None
) -> list[str]:
    """The command that does what `clew run -- COMMAND` does."""
    call = f"run({list(command)!r}, service_name={service_name!r}, endpoint={endpoint!r})"
    return [sys.executable, "-c", f"from clew.cli.run import run; {call}"]


@dataclass
class Process:
    """A running program whose output goes to files."""

    popen: subprocess.Popen[bytes]
    output: Path

    def wait_for_port(self, port: int, deadline_s: float = 60) -> None:
        """Wait until it listens. A connection without a request makes no span."""
        give_up = time.monotonic() + deadline_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                assert self.popen.poll() is None, self.output.read_text()
                assert time.monotonic() < give_up, self.output.read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self, number: int = signal.SIGTERM, deadline_s: float = 20) -> int:
        """Send the signal and return the exit status."""
        self.popen.send_signal(number)
        return self.popen.wait(deadline_s)


@contextlib.contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, name: str = "process"
) -> Iterator[Process]:
    """A process that does not outlive the context, nor do its children; its output is in
    `<name>.out` below `cwd`."""
    output = cwd / f"{name}.out"
    with (
        output.open("wb") as stream,
        subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as popen,
    ):
        try:
            yield Process(popen, output)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
