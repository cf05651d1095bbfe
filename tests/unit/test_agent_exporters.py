"""The agent's own exporters, each with a real receiver: lines on stderr, StatsD, Prometheus."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from clew.agent import console, exporters, exposition, host, settings, statsd
from clew.collector.statsd import Aggregator, Sample, parse

RESOURCE = Resource(
    {
        "service.name": "shop",
        "service.version": "1.2",
        "deployment.environment.name": "prod",
        "process.pid": 7,
    }
)
UNIFIED = "service:shop,env:prod,version:1.2"


class Metrics:
    """A meter, and what an exporter would get."""

    def __init__(self, exporter: Any = None, **options: Any) -> None:
        self.reader = InMemoryMetricReader(
            exporter._preferred_temporality if exporter else None,
            exporter._preferred_aggregation if exporter else None,
        )
        self.provider = MeterProvider([self.reader], RESOURCE, shutdown_on_exit=False, **options)
        self.meter = self.provider.get_meter("shop", "3")

    def read(self) -> Any:
        return self.reader.get_metrics_data()


@pytest.fixture
def udp(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A receiver, to which CLEW_STATSD points."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        monkeypatch.setenv("CLEW_STATSD", f"127.0.0.1:{receiver.getsockname()[1]}")
        yield receiver


# ---- names


@pytest.mark.parametrize(
    ("text", "traces", "metrics", "logs"),
    [
        ("otlp", "otlp", "otlp", "otlp"),
        ("console", "console", "console", "console"),
        ("none", "none", "none", "none"),
        ("statsd", "none", "statsd", "none"),
        ("prometheus", "none", "prometheus", "none"),
        ("otlp, prometheus", "otlp", "otlp,prometheus", "otlp"),
        ("console,statsd", "console", "console,statsd", "console"),
    ],
)
def test_an_exporter_carries_the_signals_that_it_has(
    text: str, traces: str, metrics: str, logs: str
) -> None:
    environ = {"CLEW_EXPORTER": text}
    settings.apply_defaults(environ)
    assert environ["OTEL_TRACES_EXPORTER"] == traces
    assert environ["OTEL_METRICS_EXPORTER"] == metrics
    assert environ["OTEL_LOGS_EXPORTER"] == logs


@pytest.mark.parametrize("text", ["x", "otlp,none", ",", "otlp,x"])
def test_other_exporters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CLEW_EXPORTER is to be none, or some of console, otlp"):
        settings.apply_defaults({"CLEW_EXPORTER": text})


def test_where_to_scrape_and_what_wins() -> None:
    environ = {"CLEW_PROMETHEUS": "[::1]:9000", "OTEL_EXPORTER_PROMETHEUS_PORT": "9100"}
    settings.apply_defaults(environ)
    assert environ["OTEL_EXPORTER_PROMETHEUS_HOST"] == "::1"
    assert environ["OTEL_EXPORTER_PROMETHEUS_PORT"] == "9100"
    with pytest.raises(ValueError, match="CLEW_PROMETHEUS is to be host:port"):
        settings.apply_defaults({"CLEW_PROMETHEUS": "9464"})


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("otlp", "to http://127.0.0.1:4318"),
        ("none", "to nobody"),
        ("console", "to stderr"),
        (
            "otlp,prometheus",
            "traces to http://127.0.0.1:4318, metrics to http://127.0.0.1:4318 and who scrapes, "
            "logs to http://127.0.0.1:4318",
        ),
        ("statsd", "traces to nobody, metrics to StatsD at 127.0.0.1:8125, logs to nobody"),
    ],
)
def test_the_first_line_says_where_each_signal_goes(text: str, destination: str) -> None:
    environ = {"CLEW_EXPORTER": text}
    settings.apply_defaults(environ)
    assert exporters.destination(environ) == destination


# ---- StatsD


def test_counters_gauges_and_histograms_as_dogstatsd(udp: socket.socket) -> None:
    exporter = statsd.StatsdExporter()
    metrics = Metrics(exporter)
    placed = metrics.meter.create_counter("orders.placed")
    placed.add(3, {"kind": "book", "gift": True})
    metrics.meter.create_up_down_counter("queue/length").add(-2)
    metrics.meter.create_gauge("temperature", "Cel").set(
        20.5, {"a,b": "x|y\nz", "service": "other"}
    )
    metrics.meter.create_histogram("size", "By").record(7)
    metrics.meter.create_counter("system.cpu.time").add(1)
    exporter.export(metrics.read())
    assert udp.recv(9999).decode().split("\n") == [
        f"orders.placed:3|c|#kind:book,gift:true,{UNIFIED}",
        f"queue/length:0|g|#process.pid:7,{UNIFIED}",
        f"queue/length:-2|g|#process.pid:7,{UNIFIED}",
        "temperature:20.5|g|#a_b:x_y_z,service:shop,process.pid:7,env:prod,version:1.2",
        f"size:7|d|#{UNIFIED}",
    ]
    placed.add(2, {"kind": "book", "gift": True})
    exporter.export(metrics.read())
    assert (
        udp.recv(9999).decode().split("\n")[0]
        == f"orders.placed:2|c|#kind:book,gift:true,{UNIFIED}"
    )
    exporter.shutdown()


def received(datagrams: list[bytes]) -> tuple[float, float, list[tuple[float, float]]]:
    """Count and sum that a receiver makes of a histogram's lines, and its values with weights."""
    samples = [
        sample
        for datagram in datagrams
        for line in datagram.decode().split("\n")
        for sample in parse(line)
        if isinstance(sample, Sample)
    ]
    values = [(float(sample.values[0]), sample.weight) for sample in samples]
    return (
        sum(weight for _, weight in values),
        sum(value * weight for value, weight in values),
        values,
    )


@pytest.mark.parametrize("options", [{}, {"explicit": True}], ids=["exponential", "explicit"])
@pytest.mark.parametrize(
    "values",
    [
        [0.001 * 1.01**number for number in range(700)],
        [0.0, 0.0, 5.0, 1e-300, 1e300],
        [-3.0, -2.5, 0.0, 4.0],
        [2.0] * 49,
        [1.0, 2.0, 4.0, 8.0],
    ],
)
def test_count_and_sum_of_a_distribution_are_exact(
    values: list[float], options: dict[str, bool], udp: socket.socket
) -> None:
    metrics = Metrics(None if options else statsd.StatsdExporter())
    histogram = metrics.meter.create_histogram("time", "s")
    for value in values:
        if value >= 0 or not options:
            histogram.record(value)
    recorded = [value for value in values if value >= 0]  # the SDK drops the others
    count, total, samples = received(list(statsd.datagrams(statsd.lines(metrics.read()), 1432)))
    assert round(count) == len(recorded)
    assert count >= len(recorded)
    assert total == pytest.approx(sum(recorded), rel=1e-9)
    assert min(samples)[0] >= min(recorded)
    assert max(samples)[0] <= max(recorded) * (1 + 1e-9)


def test_percentiles_of_a_distribution_are_within_five_percent() -> None:
    metrics = Metrics(statsd.StatsdExporter())
    histogram = metrics.meter.create_histogram("time", "s")
    values = sorted(0.002 * 1.004**number for number in range(1000))
    for value in values:
        histogram.record(value)
    _, _, samples = received(list(statsd.lines(metrics.read())))
    assert len(samples) <= statsd.BUCKETS
    expanded = sorted(value for value, weight in samples for _ in range(round(weight)))
    for share in (0.5, 0.9, 0.95, 0.99):
        assert expanded[int(share * 1000)] == pytest.approx(values[int(share * 1000)], rel=0.05)


def test_datagrams_have_a_size_and_hold_whole_lines(udp: socket.socket) -> None:
    metrics = Metrics(statsd.StatsdExporter())
    counter = metrics.meter.create_counter("orders")
    for number in range(500):
        counter.add(1, {"number": number, "long": "x" * 300})
    sent = list(statsd.datagrams(statsd.lines(metrics.read()), 1432))
    assert max(map(len, sent)) <= 1432
    lines = b"\n".join(sent).decode().split("\n")
    assert len(lines) == 500
    assert all(f"long:{'x' * (200 - 5)},service:shop" in line for line in lines)


def test_clews_own_receiver_reads_it() -> None:
    metrics = Metrics(statsd.StatsdExporter())
    metrics.meter.create_counter("orders").add(3, {"kind": "book"})
    aggregator = Aggregator("statsd", 0)
    for line in statsd.lines(metrics.read()):
        for item in parse(line.decode()):
            aggregator.add(item)
    assert b"shop" in aggregator.take(1)["metrics"]


def counted(number: int) -> Any:
    metrics = Metrics(statsd.StatsdExporter())
    counter = metrics.meter.create_counter("orders")
    for index in range(number):
        counter.add(1, {"index": index})
    return metrics.read()


def test_what_a_full_socket_does_not_take_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "dsd.socket"
    monkeypatch.setenv("CLEW_STATSD", f"unix://{path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        exporter = statsd.StatsdExporter()
        exporter.export(counted(1))
        assert exporter._socket is not None
        exporter._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        data = counted(6000)
        for _ in range(2):
            exporter.export(data)
        assert exporter.dropped > 0
        receiver.setblocking(False)
        lines = 0
        while True:
            try:
                lines += receiver.recv(65536).count(b"\n") + 1
            except BlockingIOError:
                break
        assert lines + exporter.dropped == 12_001
    assert "dropped" in caplog.text
    path.unlink()
    dropped = exporter.dropped
    exporter.export(counted(5))  # nobody is there
    assert exporter.dropped == dropped + 5
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:  # one that started anew
        receiver.bind(str(path))
        exporter.export(counted(5))
        assert receiver.recv(65536).count(b"orders:1|c") == 5
    assert exporter.dropped == dropped + 5
    exporter.shutdown()


def test_what_nobody_listens_to_is_counted(udp: socket.socket) -> None:
    exporter = statsd.StatsdExporter()
    udp.close()
    for _ in range(3):
        exporter.export(counted(4))
    assert exporter.dropped in (4, 8)  # that of the last export is not known yet
    exporter.shutdown()


def test_an_address_that_cannot_be_resolved_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_STATSD", "no.such.host.invalid:8125")
    exporter = statsd.StatsdExporter()
    exporter.export(counted(3))
    assert exporter.dropped == 3
    exporter.shutdown()


# ---- Prometheus


def families(metrics: Metrics) -> dict[str, Any]:
    text = exposition.text(metrics.read().resource_metrics)
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_names_have_units_and_the_resource_is_target_info() -> None:
    metrics = Metrics()
    metrics.meter.create_counter("orders.placed", "{order}", "Orders\nplaced \\").add(
        3, {"a.b": 'x"\n\\y'}
    )
    metrics.meter.create_up_down_counter("queue_length_total", "1").add(-2)
    metrics.meter.create_gauge("disk/speed", "By/s").set(0.5)
    metrics.meter.create_histogram(
        "time", "s", explicit_bucket_boundaries_advisory=[1, 2.5]
    ).record(2)
    metrics.meter.create_counter("io.bytes", "By").add(1)
    parsed = families(metrics)
    (info,) = parsed["target_info"].samples
    assert (info.labels["service_name"], info.labels["process_pid"], info.value) == ("shop", "7", 1)
    (placed,) = parsed["orders_placed"].samples
    assert parsed["orders_placed"].documentation == "Orders\nplaced \\"
    assert (placed.name, placed.value) == ("orders_placed_total", 3)
    assert placed.labels == {"a_b": 'x"\n\\y', "otel_scope_name": "shop", "otel_scope_version": "3"}
    assert parsed["queue_length_total"].type == "gauge"
    assert parsed["disk_speed_bytes_per_second"].samples[0].value == 0.5
    assert "io_bytes" in parsed
    buckets = {
        sample.labels.get("le", sample.name): sample.value
        for sample in parsed["time_seconds"].samples
    }
    assert buckets == {
        "1.0": 0,
        "2.5": 1,
        "+Inf": 1,
        "time_seconds_sum": 2,
        "time_seconds_count": 1,
    }


def test_series_of_several_scopes_keep_their_own_labels() -> None:
    metrics = Metrics()
    for library, labels in {
        "httpx": {"method": "GET"},
        "requests": {"error": "x", "zone": "a"},
    }.items():
        meter = metrics.provider.get_meter(library)
        meter.create_histogram("http.client.request.duration", "s").record(1, labels)
    counts = [
        sample.labels
        for sample in families(metrics)["http_client_request_duration_seconds"].samples
        if sample.name.endswith("_count")
    ]
    version = {"otel_scope_version": ""}
    assert counts == [
        {"method": "GET", "otel_scope_name": "httpx", **version},
        {"error": "x", "zone": "a", "otel_scope_name": "requests", **version},
    ]


def test_labels_that_become_the_same_stand_together_and_types_do_not_mix() -> None:
    metrics = Metrics()
    metrics.meter.create_gauge("size").set(2, {"a.b": "1", "a_b": "2"})
    metrics.provider.get_meter("other").create_histogram("size").record(1)
    (sample,) = families(metrics)["size"].samples
    assert (sample.labels["a_b"], sample.value) == ("1;2", 2)


# ---- console


def span_tree() -> list[Any]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("GET /a\n\033[2J") as root:
        root.set_attributes({"url.path": "/a", "server.address": "left out", "long": "x" * 200})
        with pytest.raises(ValueError), tracer.start_as_current_span("child"):
            raise ValueError("no good")
    with tracer.start_as_current_span("other"):
        pass
    return list(exporter.get_finished_spans())


def test_spans_of_a_trace_stand_together_and_indented() -> None:
    spans = span_tree()
    lines = list(console.span_lines(spans))
    assert all(line.isprintable() for line in lines)
    trace = f"{spans[1].context.trace_id:032x}"[:8]
    assert f" shop {trace} GET /a\\n\\x1b[2J  " in lines[0]
    assert f" shop {trace}   child  " in lines[1]
    assert "  error (ValueError: no good)" in lines[1]
    assert trace not in lines[2]
    assert f"  ok  url.path=/a long={'x' * 80}…" in lines[0]


def test_metrics_are_printed_when_they_change() -> None:
    metrics = Metrics()
    counter = metrics.meter.create_counter("orders", "{order}")
    histogram = metrics.meter.create_histogram("time", "s")
    last: dict[Any, Any] = {}
    counter.add(3, {"kind": "book"})
    histogram.record(0.5)
    first = list(console.metric_lines(metrics.read(), last))
    assert [line.split(" ", 1)[1] for line in first] == [
        "metric shop -------- orders 3 (+3)  kind=book",
        "metric shop -------- time 1 (+1), mean 0.5 s",
    ]
    assert list(console.metric_lines(metrics.read(), last)) == []
    histogram.record(1.5)
    (line,) = console.metric_lines(metrics.read(), last)
    assert line.endswith(" time 2 (+1), mean 1.5 s")


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = span_tree()[2:]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 2)
    assert "\033[" in next(console.span_lines(spans))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in next(console.span_lines(spans))


# ---- metrics of the host


@pytest.mark.parametrize("names", ["statsd", "prometheus,console", "none"])
def test_the_host_is_not_read_for_those_who_read_it_themselves(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", names)
    metrics_of_host = host.HostMetrics()
    metrics_of_host.begin()
    assert metrics_of_host._thread is None
    assert metrics_of_host._socket is None  # another process, with another exporter, reads it
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", f"{names},otlp".removeprefix("none,"))
    assert len(host._exporter_classes()) == 1
