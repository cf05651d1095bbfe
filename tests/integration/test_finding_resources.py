"""Findings that rest on metrics, and on what else a rule asks for, over the real tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from clew.analysis import queries
from clew.analysis.findings.records import FindingRecords
from clew.analysis.findings.rules import all_rules
from clew.analysis.findings.step import Findings
from clew.analysis.steps import Interval
from clew.analysis.traces.settling import Settling, settler_statements
from clew.analysis.traces.times import LAST_SECOND
from clew.storage import Ingest, Store
from support.loading import Running, settle
from support.repeated import n_plus_one
from support.traffic import MILLISECOND, SECOND, Loader, Span

START = 1_780_308_000
RULES = {"cpu_saturated", "gc_pauses", "memory_leak", "cold_start"}
COLD = (100, 1000, 2000)  # seconds after START at which instances of shop start


def traces() -> Iterator[Span]:
    """A request each 15 seconds for an hour, and a slow one five seconds after each cold start."""
    for number in range(240):
        yield from n_plus_one(f"{number + 1:032x}", (START + 15 * number) * SECOND, 1)
    for number, second in enumerate(COLD):
        start = (START + second + 5) * SECOND
        root, *others = n_plus_one(f"{number + 900:032x}", start, 1)
        process = replace(root.process, instance=f"new-{number}")
        yield replace(root, process=process, end=start + 500 * MILLISECOND)
        yield from others


def insert_metrics(store: Store) -> None:
    """Of shop: a core in use, 10 % of the time in collections of 100 ms; memory that grows by 6 MB an hour,
    over three hours, where another instance's rises and falls with the day; starts of three instances."""
    shop = "map('service.instance.id', 'shop-1', 'telemetry.sdk.language', 'python')"
    columns = "ServiceName, ResourceAttributes, MetricName, StartTimeUnix, TimeUnix, AggregationTemporality"
    minute = f"toDateTime({START} + 60 * number)"
    with store.client() as client:
        client.command(
            f"INSERT INTO otel.otel_metrics_sum ({columns}, IsMonotonic, Value) SELECT 'shop', {shop}, 'process.cpu.time', "
            f"toDateTime({START - 9000}), {minute}, 2, true, 60 * number * 0.99 FROM numbers(60)"
        )
        client.command(
            f"INSERT INTO otel.otel_metrics_histogram ({columns}, Count, Sum) SELECT 'shop', {shop}, 'v8js.gc.duration', "
            f"toDateTime({START - 9000}), {minute}, 2, 100 + 60 * number, 10 + 6 * number FROM numbers(60)"
        )
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ServiceName, ResourceAttributes, MetricName, TimeUnix, Value) "
            f"SELECT 'shop', {shop}, 'process.memory.usage', toDateTime({START - 7200} + 60 * number), 1e8 + 1e5 * number FROM numbers(180)"
        )
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ServiceName, ResourceAttributes, MetricName, TimeUnix, Value) "
            f"SELECT 'shop', map('service.instance.id', 'shop-2'), 'process.memory.usage', toDateTime({START + 3600} - 600 * number) AS at, "
            f"1e8 * (1 + 0.2 * cos(2 * pi() * (toUnixTimestamp(at) - {START}) / 86400 - pi() / 4)) FROM numbers(150)"
        )
        for number, second in enumerate(COLD):
            client.command(
                f"INSERT INTO otel.otel_metrics_sum ({columns}, IsMonotonic, Value) SELECT 'shop', map('service.instance.id', 'new-{number}'), "
                f"'process.cpu.time', toDateTime({START + second}), toDateTime({START + second} + 60 * number), 2, true, number FROM numbers(5)"
            )


def test_rules_that_ask_for_more_than_traces(store: Store, tmp_path: Path) -> None:
    Loader(Ingest(store), tmp_path).spans(traces())
    insert_metrics(store)
    settle(Settling(store))
    statements = settler_statements(store)
    rules = [rule for rule in all_rules() if rule.name in RULES]
    Findings(statements, rules).run(Interval(0, LAST_SECOND, 1), Running())
    found = {
        record.finding.rule: record.finding for record in FindingRecords(statements).all().values()
    }
    assert set(found) == RULES
    assert "uses 99% of one core in 12 of 12 slots" in found["cpu_saturated"].advice
    assert "for 9.9% of the time, 100 ms each" in found["gc_pauses"].advice
    assert "(shop-1) has grown by 5.72 MiB an hour for 2.8 hours" in found["memory_leak"].advice
    for hours, growing in (
        (5, ["shop-1", "shop-2"]),
        (29, ["shop-1"]),
    ):  # with the day before or not
        since, until = str(START - hours * 3600), str(START + 3600)
        memory = statements.rows(queries.FINDING_MEMORY, since=since, until=until, limit=10)
        assert [row["source"] for row in memory] == growing
    cold = found["cold_start"]
    assert (cold.service, cold.operation) == ("shop", "GET /list")
    assert "(3 in the last hour) take 500 ms, where p95 is 40 ms" in cold.advice
