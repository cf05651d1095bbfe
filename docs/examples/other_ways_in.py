"""Other ways to send telemetry, through OpenTelemetry Collectors: Jaeger, Zipkin, a Prometheus
page, a host's metrics and a log file.

    clew up
    python docs/examples/other_ways_in.py OTELCOL [OTELCOL_AGENT]

OTELCOL runs gateway.yaml with jaeger-zipkin.yaml of collector/otelcol. OTELCOL_AGENT runs
agent.yaml, which sends to the gateway; by default it is the same program, which then needs all
components, as otelcol-contrib has them. The example reads everything back from clew's API. If clew
has other addresses, set CLEW_OTLP_URL and CLEW_API_URL; if it has API keys, CLEW_INGEST_KEY and
CLEW_READ_KEY.
"""

from __future__ import annotations

import http.server
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

CONFIGURATIONS = Path(__file__).parents[2] / "collector" / "otelcol"
API = os.environ.get("CLEW_API_URL", "http://127.0.0.1:4319")
WITHIN = 60.0  # seconds
PAGE = b"# TYPE tills_open gauge\ntills_open 3\n# TYPE receipts counter\nreceipts_total 41\n"


def main(gateway: str, agent: str) -> None:
    word = f"example{secrets.token_hex(4)}"  # by which this run's line is found
    zipkin, jaeger = secrets.token_hex(16), secrets.token_hex(16)
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        lines = directory / "shop.log"
        names = ("OTELCOL_HTTP", "OTELCOL_JAEGER_HTTP", "OTELCOL_ZIPKIN")
        at = dict(zip(names, free_addresses(3), strict=True))
        files = ["gateway.yaml", "jaeger-zipkin.yaml"]
        running.enter_context(collector(gateway, directory / "gateway", files, at))
        page = running.enter_context(prometheus_page())
        about = {
            "CLEW_OTLP_URL": f"http://{at['OTELCOL_HTTP']}",
            "OTELCOL_LOG_FILES": str(lines),
            "OTELCOL_PROMETHEUS_JOB": "tills",
            "OTELCOL_PROMETHEUS_TARGET": page,
            "OTELCOL_INTERVAL": "1s",
        }
        running.enter_context(collector(agent, directory / "agent", ["agent.yaml"], about))

        post(f"http://{at['OTELCOL_JAEGER_HTTP']}/api/traces", jaeger_batch(jaeger), "x-thrift")
        post(f"http://{at['OTELCOL_ZIPKIN']}/api/v2/spans", zipkin_spans(zipkin), "json")
        lines.write_text(f"order {word} was packed\n")

        show("Jaeger, Thrift over HTTP", f"traces/{jaeger}", "spans", "name")
        show("Zipkin, JSON", f"traces/{zipkin}", "spans", "name")
        show("a log file", "logs", "logs", "body", query=word)
        show("a Prometheus page", "metrics", "metrics", "name", service="tills", prefix="tills")
        show("the host", "metrics", "metrics", "name", prefix="system.memory")


def show(way: str, path: str, member: str, field: str, **parameters: str) -> None:
    """Wait until clew has what was sent this way."""
    key = os.environ.get("CLEW_READ_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        answer = httpx.get(f"{API}/api/v1/{path}", params=parameters, headers=headers, timeout=30)
        if answer.is_success and (found := answer.json()[member]):
            print(f"{way}: {', '.join(sorted({each[field] for each in found}))}", flush=True)
            return
        time.sleep(0.2)
    sys.exit(f"{way}: nothing arrived within {WITHIN:g} s ({answer.status_code} {answer.text})")


@contextmanager
def collector(
    program: str, directory: Path, files: list[str], about: Mapping[str, str]
) -> Iterator[None]:
    """Run a collector with these files, on free addresses unless `about` names them."""
    grpc, http_, health, jaeger = free_addresses(4)
    free = {"GRPC": grpc, "HTTP": http_, "HEALTH": health, "JAEGER_GRPC": jaeger}
    env = os.environ | {f"OTELCOL_{name}": address for name, address in free.items()}
    directory.mkdir()
    log = directory / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [program, *(f"--config={CONFIGURATIONS / name}" for name in files)],
            cwd=directory,
            env={**env, "OTELCOL_STORAGE": str(directory / "queue"), **about},
            stdout=said,
            stderr=said,
        )
    try:
        while not ready(health):
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}").is_success
    except httpx.HTTPError:
        return False


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


@contextmanager
def prometheus_page() -> Iterator[str]:
    """Serve a page of metrics; returns its address."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, format: str, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def post(url: str, body: bytes | list[dict[str, Any]], kind: str) -> None:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"content-type": f"application/{kind}"}
    httpx.post(url, headers=headers, **content).raise_for_status()


def zipkin_spans(trace: str) -> list[dict[str, Any]]:
    return [
        {
            "traceId": trace,
            "id": secrets.token_hex(8),
            "kind": "SERVER",
            "name": "GET /from-zipkin",
            "timestamp": int(time.time() * 1e6),
            "duration": 1500,
            "localEndpoint": {"serviceName": "zipkin-client"},
            "tags": {"http.method": "GET"},
        }
    ]


# Thrift's binary protocol, as much of it as a Jaeger batch needs: a field is its type and number.
I32, I64, STRING, STRUCT, LIST = 8, 10, 11, 12, 15


def field(number: int, kind: int, value: bytes) -> bytes:
    return struct.pack(">bh", kind, number) + value


def text(value: str) -> bytes:
    return struct.pack(">i", len(value.encode())) + value.encode()


def struct_of(*fields: bytes) -> bytes:
    return b"".join(fields) + b"\0"


def structs(*values: bytes) -> bytes:
    return struct.pack(">bi", STRUCT, len(values)) + b"".join(values)


def jaeger_batch(trace: str) -> bytes:
    high, low = struct.unpack(">qq", bytes.fromhex(trace))
    kind = struct_of(
        field(1, STRING, text("span.kind")),
        field(2, I32, bytes(4)),  # a string
        field(3, STRING, text("server")),
    )
    numbers = {1: low, 2: high, 3: secrets.randbits(62) + 1, 4: 0}
    times = {8: int(time.time() * 1e6), 9: 1500}
    span = struct_of(
        *(field(number, I64, struct.pack(">q", value)) for number, value in numbers.items()),
        field(5, STRING, text("GET /from-jaeger")),
        field(7, I32, struct.pack(">i", 1)),
        *(field(number, I64, struct.pack(">q", value)) for number, value in times.items()),
        field(10, LIST, structs(kind)),
    )
    process = struct_of(field(1, STRING, text("jaeger-client")))
    return struct_of(field(1, STRUCT, process), field(2, LIST, structs(span)))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[-1])
