"""What parts of the agent cost in a process: log records, spans, counters, and its encoder beside
OpenTelemetry's.

    python bench/agent_parts.py [--times 4000] [--rounds 5]

The agent is started in this process, and posts to a receiver in a child process. Printed is the
smallest CPU time of all rounds, in microseconds for each: on the thread that calls, and on all
threads of the process with the export. `logging` has a file handler, and is timed without the agent
too.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from agent import dropping

BATCH = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--times", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, filename=os.devnull)
    print("| | on the calling thread, µs | on all threads, µs |")
    print("|-|-:|-:|")
    measure("two log records without the agent", log_twice, lambda: None, arguments)
    parent, child = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(child,))
    receiver.start()
    start_agent(parent.recv())
    calls()(arguments)
    encoders(arguments.rounds)
    receiver.terminate()
    receiver.join()


def receive(connection: Any) -> None:
    with dropping() as endpoint:
        connection.send(endpoint)
        time.sleep(86_400)


def start_agent(endpoint: str) -> None:
    os.environ |= {
        "CLEW_ENDPOINT": endpoint,
        "CLEW_ANNOUNCED": "1",
        "OTEL_SERVICE_NAME": "bench",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "100000",
    }
    from clew.agent.start import start

    start()


def log_twice(number: int) -> None:
    log = logging.getLogger("shop")
    log.info("item %s", number)
    log.info("done")


def calls() -> Callable[[argparse.Namespace], None]:
    """The measurements of what a service calls."""
    from opentelemetry import _logs, trace

    from clew.agent import counter, span

    log, tracer = logging.getLogger("shop"), trace.get_tracer("bench")
    items = counter("items.processed")
    providers: list[Any] = [trace.get_tracer_provider(), _logs.get_logger_provider()]

    def flush() -> None:
        for provider in providers:
            provider.force_flush()

    def log_attributes(number: int) -> None:
        log.info("item %s", number, extra={"order": number, "customer": "anna"})

    def log_exception(number: int) -> None:
        try:
            raise ValueError(number)
        except ValueError:
            log.exception("failed %s", number)

    def record_span(number: int) -> None:
        with tracer.start_as_current_span("GET /items/{n}", attributes=request(number)):
            pass

    def record_own_span(_: int) -> None:
        with span("charge card", provider="stripe"):
            pass

    def measure_all(arguments: argparse.Namespace) -> None:
        with tracer.start_as_current_span("root"):
            measure("two log records in a span", log_twice, flush, arguments)
            measure("a log record with attributes", log_attributes, flush, arguments)
            measure("a log record with an exception", log_exception, flush, arguments)
        measure("a span of eleven attributes", record_span, flush, arguments)
        measure("`span` of the agent's API", record_own_span, flush, arguments)
        measure("`add` of a counter", lambda _: items.add(1, kind="image"), flush, arguments)

    return measure_all


def request(number: int) -> dict[str, Any]:
    return {
        "http.request.method": "GET",
        "url.path": f"/items/{number}",
        "http.route": "/items/{n}",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "client.address": "127.0.0.1",
        "client.port": 40_000 + number % 1000,
        "user_agent.original": "bench/1",
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
    }


def measure(
    name: str,
    call: Callable[[int], object],
    flush: Callable[[], object],
    arguments: argparse.Namespace,
) -> None:
    for number in range(BATCH):
        call(number)
    flush()
    callers, everything = [], []
    for _ in range(arguments.rounds):
        thread, process = time.thread_time(), time.process_time()
        for number in range(arguments.times):
            call(number)
        callers.append(time.thread_time() - thread)
        flush()
        everything.append(time.process_time() - process)
    caller, total = (min(times) / arguments.times * 1e6 for times in (callers, everything))
    print(f"| {name} | {caller:.1f} | {total:.1f} |", flush=True)


def encoders(rounds: int) -> None:
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from clew.agent.copies import Redaction
    from clew.agent.encoding import Encoder

    redaction = Redaction()
    encoder = Encoder(redaction)
    spans, records = samples()
    print(f"\n| encoding {BATCH} of them, each, µs | OpenTelemetry's | with copies | own |")
    print("|-|-:|-:|-:|")
    rows: list[tuple[str, list[Any], Any, Any, Any]] = [
        ("spans", spans, encode_spans, redaction.spans, encoder.spans),
        ("log records", records, encode_logs, redaction.log_records, encoder.log_records),
    ]
    for name, items, encode, redact, own in rows:
        times = [
            smallest(lambda: encode(items).SerializeToString(), rounds),  # noqa: B023
            smallest(lambda: encode(redact(items)).SerializeToString(), rounds),  # noqa: B023
            smallest(lambda: own(items), rounds),  # noqa: B023
        ]
        print(f"| {name} | {' | '.join(f'{time:.1f}' for time in times)} |")


def samples() -> tuple[list[Any], list[Any]]:
    """Spans and log records of the SDK."""
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, records = InMemorySpanExporter(), InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    traces, logs = TracerProvider(), LoggerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    logs.add_log_record_processor(SimpleLogRecordProcessor(records))
    place: dict[str, Any] = {
        "code.file.path": "/app/shop.py",
        "code.function.name": "item",
        "code.line.number": 17,
    }
    for number in range(BATCH):
        tracer = traces.get_tracer("bench")
        tracer.start_span("GET /items/{n}", attributes=request(number)).end()
        logs.get_logger("shop").emit(body=f"item {number}", severity_text="INFO", attributes=place)
    return list(spans.get_finished_spans()), list(records.get_finished_logs())


def smallest(encode: Callable[[], object], rounds: int) -> float:
    def times() -> Iterable[float]:
        for _ in range(rounds * 10):
            before = time.process_time()
            encode()
            yield (time.process_time() - before) / BATCH * 1e6

    encode()
    return min(times())


if __name__ == "__main__":
    main()
