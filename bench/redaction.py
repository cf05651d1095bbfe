"""What `--redact` costs the receivers: bytes in over HTTP, checked, redacted, on the disk.

    python bench/redaction.py [--requests 600]

Two processes, one with and one without it, take the same requests in turn; nothing is loaded.
Microseconds of CPU time for each item, of requests of 512 items over 16 connections: spans of 10
attributes (two of them new each time), the same with a statement that has literals in every second
and a token in the query of every fourth, log records of 300 bytes, data points. Each request is
sent once, so that nothing is known because it was sent before.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import bodies
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from process import Up, run, send

ITEMS = 512
CONNECTIONS = 16
WARM_UP = 30  # requests


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=600)
    count = parser.parse_args().requests
    loads: dict[str, tuple[str, Callable[[int], bytes]]] = {
        "spans": ("traces", lambda seed: bodies.traces(ITEMS, 10, seed)),
        "spans with secrets": ("traces", with_secrets),
        "log records": ("logs", lambda seed: bodies.logs(ITEMS, seed)),
        "data points": ("metrics", lambda seed: bodies.metrics(ITEMS, seed)),
    }
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        off = Up(directory / "off", "receiver", "--redact", "false")
        on = Up(directory / "on", "receiver", "--redact", "true")
        with off, on:
            print(f"{'':20} {'off':>7} {'on':>7}   microseconds of CPU time for each")
            for label, (signal, body) in loads.items():
                requests = [body(seed) for seed in range(WARM_UP + count)]
                cost = {}
                for up in (off, on):
                    url = f"{up.endpoints['otlp_http']}/v1/{signal}"
                    send_all(url, requests[:WARM_UP])
                    before = up.cpu()
                    send_all(url, requests[WARM_UP:])
                    cost[up] = (up.cpu() - before) / count / ITEMS * 1e6
                print(f"{label:20} {cost[off]:>7.2f} {cost[on]:>7.2f}", flush=True)


def send_all(url: str, requests: list[bytes]) -> None:
    run(lambda: send(url, requests, CONNECTIONS))


def with_secrets(seed: int) -> bytes:
    request = ExportTraceServiceRequest.FromString(bodies.traces(ITEMS, 10, seed))
    for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
        attributes = {}
        if number % 2 == 0:
            attributes["db.system.name"] = "postgresql"
            attributes["db.query.text"] = (
                f"SELECT name FROM orders WHERE state = 'open' LIMIT {number % 16}"
            )
        if number % 4 == 0:
            attributes["url.query"] = f"token={seed:06}{number:03}&page=2"
        for key, value in attributes.items():
            span.attributes.add(key=key).value.string_value = value
    return bytes(request.SerializeToString())


if __name__ == "__main__":
    main()
