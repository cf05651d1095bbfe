"""Items per CPU-second, end to end: bytes in over HTTP, rows in every table, merges counted.

    python bench/ingest.py [--requests 1000] [--only traces logs metrics]

`clew up` runs as a process of its own; its CPU time, from the first request until everything is
loaded and merging has calmed down, is set against the items it took. For spans there stands beside
it, in the same run, a Python loop that only decodes the same bodies to rows (and stores nothing).
Ratios carry from machine to machine, the figures themselves do not.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import bodies
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from process import Up, run, send

ITEMS = 512  # in a request
CONNECTIONS = 16
CORES = os.cpu_count() or 1
WARM_UP = 40  # requests that are not counted: the engine reads in its code with the first inserts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument(
        "--only", nargs="+", default=["traces", "base", "unsettled", "logs", "metrics"]
    )
    parser.add_argument("--attributes", type=int, nargs="+", default=[4, 10, 20])
    arguments = parser.parse_args()
    count = range(arguments.requests)
    # What the runs leave on the disk stays until all are done: a filesystem that has just freed
    # many files is slow to make new ones.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        print(f"{'':34} {'per CPU-second':>14} {'row loop':>10} {'ratio':>6} {'most memory':>12}")
        if "traces" in arguments.only:
            for attributes in arguments.attributes:
                requests = [bodies.traces(ITEMS, attributes, seed) for seed in count]
                label = f"spans of {attributes} attributes"
                show(label, directory / str(attributes), "traces", requests, loop(requests[:20]))
        if "base" in arguments.only:
            requests = [bodies.traces(ITEMS, 10, seed) for seed in count]
            label = "the same of 10, base table alone"
            show(label, directory / "base", "traces", requests, variant="base")
        if "unsettled" in arguments.only:
            requests = [bodies.traces(ITEMS, 10, seed) for seed in count]
            label = "the same of 10, without the settler"
            show(label, directory / "unsettled", "traces", requests, variant="unsettled")
        if "logs" in arguments.only:
            requests = [bodies.logs(ITEMS, seed) for seed in count]
            show("log records of 300 B", directory / "logs", "logs", requests)
        if "metrics" in arguments.only:
            requests = [bodies.metrics(ITEMS, seed) for seed in count]
            show("data points", directory / "metrics", "metrics", requests)


def show(
    label: str,
    directory: Path,
    signal: str,
    requests: list[bytes],
    looped: float | None = None,
    variant: str | None = None,
) -> None:
    """One line: what `clew up` does in a second of CPU time."""
    with Up(directory, variant) as up:
        take(up, signal, requests[:WARM_UP])
        before = up.cpu()
        take(up, signal, requests[WARM_UP:])
        per_second = (len(requests) - WARM_UP) * ITEMS / (up.cpu() - before)
        assert up.stored(signal) == len(requests) * ITEMS
        most = up.memory("VmHWM") / 1e6
    beside = f"{looped:>10,.0f} {per_second / looped:>6.1f}" if looped else " " * 17
    print(f"{label:34} {per_second:>14,.0f} {beside} {most:>9,.0f} MB", flush=True)


def take(up: Up, signal: str, requests: list[bytes]) -> None:
    """Send the requests, wait until every item is in the tables and merging is done."""
    url = f"{up.endpoints['otlp_http']}/v1/{signal}"
    run(lambda: send(url, requests, CONNECTIONS))
    up.settle()


def loop(requests: list[bytes]) -> float:
    """Spans per CPU-second of a loop that makes the exporter's rows, and does nothing with them.

    As many loops as cores at once, as both cores are in use while clew takes the same bodies."""
    with ProcessPoolExecutor(CORES) as pool:
        return sum(pool.map(_loop, [requests] * CORES)) / CORES


def _loop(requests: list[bytes]) -> float:
    before = time.process_time()
    rows = sum(len(_rows(body)) for body in requests)
    return rows / (time.process_time() - before)


def _rows(body: bytes) -> list[tuple[Any, ...]]:
    return [
        _row(span, resource, scope.scope)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans
        for resource in (_attributes(resource_spans.resource.attributes),)
        for scope in resource_spans.scope_spans
        for span in scope.spans
    ]


def _row(span: Any, resource: dict[str, str], scope: Any) -> tuple[Any, ...]:
    return (
        span.start_time_unix_nano,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        span.name,
        KINDS[span.kind],
        resource.get("service.name", ""),
        resource,
        scope.name,
        scope.version,
        _attributes(span.attributes),
        span.end_time_unix_nano - span.start_time_unix_nano,
        STATUSES[span.status.code],
        span.status.message,
        [each.time_unix_nano for each in span.events],
        [each.name for each in span.events],
        [_attributes(each.attributes) for each in span.events],
        [each.trace_id.hex() for each in span.links],
        [each.span_id.hex() for each in span.links],
        [each.trace_state for each in span.links],
        [_attributes(each.attributes) for each in span.links],
    )


def _attributes(attributes: Any) -> dict[str, str]:
    return {each.key: _text(each.value) for each in attributes}


def _text(value: Any) -> str:
    """The exporter's text of a value; what is written for the kinds that are rare is left out."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind == "int_value":
        return str(value.int_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "double_value":
        return repr(value.double_value).removesuffix(".0")
    return ""


KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")


if __name__ == "__main__":
    main()
