"""What a line of StatsD says, and the OTLP metrics that many of them become."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from clew.collector import statsd
from clew.collector.limits import NoTally, Overloaded
from clew.collector.otlp import Batch
from clew.collector.statsd import Aggregator, Event, Sample, StatsdReceiver, parse

START, END = 10**18, 10**18 + 10**10


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("jobs:1|c", Sample("jobs", "c", (1.0,), ())),
        ("jobs:1|c|@0.25", Sample("jobs", "c", (1.0,), (), 4.0)),
        ("jobs:-2.5|c|#a:b", Sample("jobs", "c", (-2.5,), (("a", "b"),))),
        ("size:7|g", Sample("size", "g", (7.0,), ())),
        ("size:+7|g", Sample("size", "g", (7.0,), (), is_change=True)),
        ("size:-7|g", Sample("size", "g", (-7.0,), (), is_change=True)),
        ("time:12.5|ms", Sample("time", "ms", (12.5,), ())),
        ("time:1:2:3|d|@0.5", Sample("time", "h", (1.0, 2.0, 3.0), (), 2.0)),
        ("users:ann|s", Sample("users", "s", ("ann",), ())),
        ("users:a:b|s", Sample("users", "s", ("a:b",), ())),
        (
            "jobs:1|c|#b:2,a:x:y,flag|c:container|T1700000000",
            Sample("jobs", "c", (1.0,), (("a", "x:y"), ("b", "2"), ("flag", ""))),
        ),
        ("über.größe:1|h", Sample("über.größe", "h", (1.0,), ())),
    ],
)
def test_a_sample(line: str, sample: Sample) -> None:
    assert list(parse(line)) == [sample]


@pytest.mark.parametrize(
    "line",
    [
        *("jobs", "jobs:", ":1|c", "jobs:1", "jobs:1|x", "jobs:one|c", "jobs:nan|g", "jobs:inf|g"),
        *("jobs:1|c|@0", "jobs:1|c|@2", "jobs:1|c|@x", "jobs:1||c", "_e{1}:a|b", "_e{9,9}:a|b"),
        *("_e{1,1}:ab", "_sc|", "_sc|db", "_sc|db|7", "\x00"),
    ],
)
def test_what_is_not_statsd_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        list(parse(line))


def test_an_event_is_a_log_record() -> None:
    """Its lengths are of bytes."""
    (event,) = parse("_e{7,10}:Déploy|v2\\nis out|d:1700000000|h:web-1|t:error|#env:prod")
    tags = (("env", "prod"), ("host", "web-1"))
    assert event == Event("statsd.event", "Déploy\nv2\nis out", 17, tags, 1_700_000_000)


def test_a_service_check_is_a_gauge_and_its_message_a_log_record() -> None:
    check, message = parse("_sc|db.up|2|#service:orders|m:no connection")
    assert check == Sample("db.up", "g", (2.0,), (("service", "orders"),))
    assert isinstance(message, Event)
    assert (message.body, message.severity) == ("no connection", 17)
    assert ("statsd.check.status", "critical") in message.tags
    assert [type(item) for item in parse("_sc|db.up|0")] == [Sample]


def _aggregated(*lines: str) -> ExportMetricsServiceRequest:
    aggregator = Aggregator("legacy", START)
    for line in lines:
        for item in parse(line):
            aggregator.add(item)
    return ExportMetricsServiceRequest.FromString(aggregator.take(END)["metrics"])


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[tuple[dict[str, str], Any]]:
    for group in request.resource_metrics:
        resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                yield resource, metric


def test_counters_are_delta_sums_by_tags() -> None:
    ((resource, metric),) = _metrics(
        _aggregated("jobs:1|c", "jobs:2|c|@0.1", "jobs:5|c|#kind:mail", "jobs:-1|c")
    )
    assert resource == {"service.name": "legacy"}
    assert metric.sum.aggregation_temporality == 1
    points = {
        tuple(pair.value.string_value for pair in point.attributes): point.as_double
        for point in metric.sum.data_points
    }
    assert points == {(): 20.0, ("mail",): 5.0}
    assert {point.start_time_unix_nano for point in metric.sum.data_points} == {START}
    assert {point.time_unix_nano for point in metric.sum.data_points} == {END}


def test_tags_of_the_resource_name_service_environment_and_version() -> None:
    ((resource, metric),) = _metrics(_aggregated("jobs:1|c|#service:mailer,env:prod,version:7,a:b"))
    assert resource == {
        "service.name": "mailer",
        "deployment.environment.name": "prod",
        "service.version": "7",
    }
    assert [pair.key for pair in metric.sum.data_points[0].attributes] == ["a"]


def test_timers_are_histograms_and_a_sample_rate_counts() -> None:
    ((_, metric),) = _metrics(_aggregated("time:3|ms", "time:30:300|ms|@0.5", "time:99999|ms"))
    (point,) = metric.histogram.data_points
    assert metric.unit == "ms"
    assert metric.histogram.aggregation_temporality == 1
    assert point.count == sum(point.bucket_counts) == 6
    assert (point.min, point.max, point.sum) == (3, 99999, 3 + 2 * 330 + 99999)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.bucket_counts[-1] == 1


def test_a_gauge_changes_from_its_last_value_and_is_sent_when_it_was_set() -> None:
    aggregator = Aggregator("legacy", START)
    seen = []
    for lines in (["size:10|g"], ["size:-3|g", "size:+1|g"], [], ["size:4|g"]):
        for line in lines:
            for item in parse(line):
                aggregator.add(item)
        request = ExportMetricsServiceRequest.FromString(aggregator.take(END).get("metrics", b""))
        seen.append([m.gauge.data_points[0].as_double for _, m in _metrics(request)])
    assert seen == [[10], [8], [], [4]]


def test_a_set_counts_its_members() -> None:
    ((_, metric),) = _metrics(_aggregated("users:ann|s", "users:bob|s", "users:ann|s"))
    assert metric.gauge.data_points[0].as_double == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statsd, "MAX_SERIES", 10)
    monkeypatch.setattr(statsd, "MAX_EVENTS", 10)
    aggregator = Aggregator("legacy", START)
    for number in range(25):
        for line in (f"jobs.{number}:1|c", "_e{1,1}:a|b", "jobs.0:1|c"):
            for item in parse(line):
                aggregator.add(item)
    assert aggregator.dropped == 15 + 15
    ((_, first), *_) = _metrics(
        ExportMetricsServiceRequest.FromString(aggregator.take(END)["metrics"])
    )
    assert first.sum.data_points[0].as_double == 26


class _Spool(NoTally):
    """Keeps batches, and refuses while it is full."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, Batch]] = []
        self.is_full = False
        self.unreadable = 0

    async def append(self, signal: str, batch: Batch) -> None:
        if self.is_full:
            raise Overloaded("full")
        self.batches.append((signal, batch))

    def count_unreadable(self, signal: str) -> None:
        self.unreadable += 1


def test_lines_come_over_udp_tcp_and_unix_sockets_and_wait_for_the_spool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> _Spool:
        spool = _Spool()
        receiver = StatsdReceiver(spool.append, "legacy", spool)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unix.bind(str(tmp_path / "statsd.sock"))
        tcp = socket.socket()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        addresses = udp.getsockname(), tcp.getsockname()
        await receiver.start([udp, unix], [tcp])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"jobs:1|c\njobs:1|c\n\n", addresses[0])
            sender.sendto(b"\xff\xfe|nonsense", addresses[0])
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"jobs:1|c", str(tmp_path / "statsd.sock"))
        _, writer = await asyncio.open_connection(*addresses[1])
        writer.write(b"jobs:1|c\r\njobs:1|c\n_e{4,0}:done|")
        writer.close()
        await asyncio.sleep(0.2)
        spool.is_full = True
        await receiver.flush()
        assert spool.batches == []
        spool.is_full = False
        await receiver.stop()
        return spool

    with caplog.at_level(logging.WARNING):
        spool = asyncio.run(scenario())
    assert spool.unreadable == 1
    bodies = dict(spool.batches)
    ((_, metric),) = _metrics(ExportMetricsServiceRequest.FromString(bodies["metrics"].body))
    assert metric.sum.data_points[0].as_double == 5
    logs = ExportLogsServiceRequest.FromString(bodies["logs"].body)
    record = logs.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.body.string_value, record.event_name) == ("done", "statsd.event")
    assert len(caplog.records) == 1  # one complaint a minute
