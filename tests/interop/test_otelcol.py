"""A real OpenTelemetry Collector in front of clew, both ways: by OTLP, and by its ClickHouse exporter. What it
brings is what comes without it, field for field."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from clew.access import add_key, new_key
from otelcol import AGENT, GATEWAY, Otelcol, program, validate
from support import every_field
from support.any_values import EVERY, any_value
from support.processes import Clew
from support.stored import CLEW_COLUMNS

pytestmark = [
    pytest.mark.slow,  # the first run fetches and compiles for some minutes
    pytest.mark.skipif(shutil.which("go") is None, reason="needs go"),
]

CONFIGURATIONS = {
    "otlp": ("gateway.yaml",),
    "clickhouse": ("gateway-clickhouse.yaml",),
}
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "other_ways_in.py"
SHARED = "all-ways"  # a service whose every item goes every way


@pytest.mark.parametrize(
    ("manifest", "configurations"),
    [
        (GATEWAY, ["gateway.yaml"]),
        (GATEWAY, ["gateway.yaml", "jaeger-zipkin.yaml"]),
        (GATEWAY, ["gateway-clickhouse.yaml"]),
        (AGENT, ["agent.yaml"]),
        (AGENT, ["agent.yaml", "agent-docker.yaml"]),
    ],
    ids=lambda given: "" if isinstance(given, str) else "+".join(given),
)
def test_every_configuration_is_valid(manifest: str, configurations: list[str]) -> None:
    assert validate(program(manifest), *configurations) == ""


class Ways:
    """A clew with API keys, a collector for each way, and what goes directly."""

    def __init__(self, directory: Path) -> None:
        self.program, self.directory = program(GATEWAY), directory
        self.keys: dict[str, str] = {}
        for name, scope in (("otelcol", "ingest"), ("reader", "read")):
            self.keys[name], line = new_key(name, [scope])
            add_key(directory / "keys", line)
        flags = ("--clickhouse", "127.0.0.1:0", "--api-keys", str(directory / "keys"))
        self.clew = Clew(directory / "data", *flags)
        self.start()

    def start(self) -> None:
        self.collectors = {way: self.collector(way) for way in CONFIGURATIONS}
        self.addresses = {"direct": self.clew.endpoints["otlp_http"]} | {
            way: collector.http for way, collector in self.collectors.items()
        }

    def collector(self, way: str, user: str = "otelcol", directory: str = "") -> Otelcol:
        return Otelcol(
            self.program,
            self.directory / (directory or way),
            *CONFIGURATIONS[way],
            CLEW_OTLP_URL=self.clew.endpoints["otlp_http"],
            CLEW_INGEST_KEY=self.keys[user],
            CLEW_CLICKHOUSE_URL=self.clew.endpoints["clickhouse"],
            CLEW_CLICKHOUSE_USER=user,
            CLEW_CLICKHOUSE_PASSWORD=self.keys[user],
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys['otelcol']}"}

    def send(self, address: str, signal: str, body: bytes) -> None:
        httpx.post(
            f"{address}/v1/{signal}",
            content=body,
            headers=self.headers | {"content-type": "application/x-protobuf"},
        ).raise_for_status()

    def get(self, path: str, **parameters: str) -> Any:
        header = {"authorization": f"Bearer {self.keys['reader']}"}
        answer = httpx.get(
            f"{self.clew.endpoints['api']}/api/v1{path}",
            headers=header,
            params=parameters,
            timeout=30,
        )
        return answer.json() if answer.is_success else {}

    def sql(self, query: str) -> list[Any]:
        return [json.loads(line) for line in self._ask(f"{query} FORMAT JSONCompactEachRow")]

    def _ask(self, query: str) -> list[str]:
        user = ("reader", self.keys["reader"])
        answer = httpx.post(self.clew.endpoints["clickhouse"], content=query, auth=user)
        assert answer.is_success, answer.text
        return [line for line in answer.text.split("\n") if line]

    def rows(self, table: str, service: str) -> list[dict[str, Any]]:
        """Without clew's own columns, and without the attributes of a span's scope, which the exporter does not write."""
        unequal = f"{CLEW_COLUMNS}|^ScopeAttributes$" if table == "otel_traces" else CLEW_COLUMNS
        lines = self._ask(
            f"SELECT * EXCEPT ('{unequal}') FROM {table} "
            f"WHERE ServiceName = '{service}' FORMAT JSONEachRow"
        )
        return [json.loads(line) for line in lines]

    def wait_for(self, query: str, expected: list[Any]) -> None:
        deadline = time.monotonic() + 60
        while (found := self.sql(query)) != expected:
            logs = [collector.log.read_text() for collector in self.collectors.values()]
            assert time.monotonic() < deadline, (found, *logs)
            time.sleep(0.2)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    started = Ways(tmp_path_factory.mktemp("otelcol"))
    yield started
    for collector in started.collectors.values():
        collector.stop()
    assert started.clew.stop() == 0


def emit(service: str, ways: Ways, *names: str) -> str:
    """A span, a log record and metrics by OpenTelemetry's SDK, all of it to each address; the trace's id."""
    addresses = [ways.addresses[name] for name in names]
    resource = Resource.create({"service.name": service, "process.command_args": ["send", "it"]})
    tracing, logging = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    exponential = ExponentialBucketHistogramAggregation(max_scale=3)
    reader = InMemoryMetricReader()
    view = View(instrument_type=Histogram, instrument_name="size", aggregation=exponential)
    meters = MeterProvider([reader], resource, views=[view])
    for address in addresses:
        spans = OTLPSpanExporter(f"{address}/v1/traces", headers=ways.headers)
        tracing.add_span_processor(SimpleSpanProcessor(spans))
        records = OTLPLogExporter(f"{address}/v1/logs", headers=ways.headers)
        logging.add_log_record_processor(SimpleLogRecordProcessor(records))
    tracer = tracing.get_tracer("a.library", "1.0", "https://example.com/schema", {"scoped": 1})
    linked = trace.SpanContext(1, 2, is_remote=True)
    attributes = {"z": "ü 😀", "a": 2**53, "ratio": 1e21, "yes": True, "list": ["x", "y"]}
    with tracer.start_as_current_span(
        "POST /pay", kind=trace.SpanKind.SERVER, links=[trace.Link(linked, attributes)], attributes=attributes
    ) as span:  # fmt: skip
        span.add_event("tried", attributes)
        span.set_status(trace.StatusCode.ERROR, "declined")
        logging.get_logger("a.logger", "2.0", attributes={"scoped": 1}).emit(
            severity_number=17, severity_text="ERROR", body={"said": ["no", None, 1.5]}, attributes=attributes,
            event_name="order.failed", timestamp=time.time_ns(),
        )  # fmt: skip
        meter = meters.get_meter("a.meter", "3.0", attributes={"scoped": 1})
        meter.create_counter("payments", "1", "how many").add(3, attributes)
        meter.create_up_down_counter("carts").add(-2)
        meter.create_histogram("duration", "s").record(0.3, attributes)
        meter.create_histogram("size").record(1000)
        meter.create_gauge("stock").set(7.5, attributes)
    data = reader.get_metrics_data()
    for address in addresses:
        exporter = OTLPMetricExporter(f"{address}/v1/metrics", headers=ways.headers)
        exporter.export(data)
        exporter.shutdown()
    for provider in (tracing, logging, meters):
        provider.shutdown()
    return f"{span.get_span_context().trace_id:032x}"


def send_every_field(ways: Ways) -> None:
    """Every field of OTLP, of all kinds of metrics, and every kind of value, each way as a service of its own."""
    for way, address in ways.addresses.items():
        for signal, make in every_field.REQUESTS.items():
            ways.send(address, signal, make(f"fields-{way}").SerializeToString())
        request = every_field.traces(f"values-{way}")
        span = request.resource_spans[0].scope_spans[0].spans[0]
        del span.attributes[:]
        for key, (value, _) in EVERY.items():
            span.attributes.add(key=key).value.CopyFrom(any_value(value))
        ways.send(address, "traces", request.SerializeToString())


@pytest.fixture(scope="module")
def traces(ways: Ways) -> dict[str, str]:
    """All is sent and has arrived: the trace of each way."""
    emit(SHARED, ways, *ways.addresses)
    send_every_field(ways)
    sent = {way: emit(f"sdk-{way}", ways, way) for way in ways.addresses}
    each = " UNION ALL ".join(f"SELECT ServiceName FROM {table}" for table in every_field.TABLES)
    items = {SHARED: 7 * len(sent)} | {
        f"{what}-{way}": count
        for what, count in {"sdk": 7, "fields": 7, "values": 1}.items()
        for way in sent
    }
    ways.wait_for(
        f"SELECT ServiceName, count() FROM ({each}) WHERE ServiceName != 'clew' GROUP BY 1 ORDER BY 1",
        [[service, items[service]] for service in sorted(items)],
    )
    return sent


@pytest.mark.parametrize("table", every_field.TABLES[:-1])  # the SDK has no summaries
def test_what_an_sdk_sends_is_the_same_row_each_way(
    ways: Ways, traces: dict[str, str], table: str
) -> None:
    """The very same items: each row is there once for each way, equal in every column; but the exporter sorts
    attributes by their names, where clew has those that are no metric's as they were sent."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ways.rows(table, SHARED):
        found.setdefault(json.dumps(row, sort_keys=True), []).append(row)
    assert len(found) == (2 if table.endswith("_sum") else 1), list(found)
    for same in found.values():
        texts = Counter(map(json.dumps, same))
        sent = texts.most_common(1)[0][0]
        assert texts == Counter([sent, sent, json.dumps(by_name(json.loads(sent)))])


def by_name(row: dict[str, Any]) -> dict[str, Any]:
    """The same with its attributes sorted."""

    def in_order(value: Any) -> Any:
        if isinstance(value, list):
            return [in_order(each) for each in value]
        return dict(sorted(value.items())) if isinstance(value, dict) else value

    return {column: in_order(value) for column, value in row.items()}


@pytest.mark.parametrize("way", ["direct", *CONFIGURATIONS])
def test_every_field_is_stored_as_the_exporter_stores_it(
    ways: Ways, traces: dict[str, str], way: str
) -> None:
    """What the tests elsewhere take for the exporter's rows is what the exporter writes."""
    service = f"fields-{way}"
    expected = every_field.expected(service)
    del expected["otel_traces"]["ScopeAttributes"]
    assert {
        table: ways.rows(table, service) for table in every_field.TABLES
    } == {table: [row] for table, row in expected.items()}  # fmt: skip
    (row,) = ways.rows("otel_traces", f"values-{way}")
    texts = {key: text for key, (_, text) in EVERY.items()}
    assert row["SpanAttributes"] == texts


@pytest.mark.parametrize("way", ["direct", *CONFIGURATIONS])
def test_it_is_in_the_api_whichever_way_it_came(
    ways: Ways, traces: dict[str, str], way: str
) -> None:
    name = f"sdk-{way}: POST /pay"
    found = ways.get(f"/traces/{traces[way]}")
    assert [span["name"] for span in found["spans"]] == ["POST /pay"]
    assert found["transaction"]["name"] == name
    assert [(log["linked_by"], log["body"]) for log in found["logs"]] == [
        ("trace", '{"said":["no",null,1.5]}')
    ]
    assert {"payments", "duration"} <= {metric["name"] for metric in found["metrics"]}
    assert len(ways.get("/logs", trace_id=traces[way])["logs"]) == 1
    listed = {each["name"]: each for each in ways.get("/transactions")["transactions"]}
    assert (listed[name]["count"], listed[name]["errors"]) == (1, 1)


def test_the_ledger_counts_what_comes_either_way(ways: Ways, traces: dict[str, str]) -> None:
    ledger = ways.get("/ledger")
    for signal, items in (("traces", 1), ("logs", 1), ("metrics", 5)):
        (found,) = (each for each in ledger["signals"] if each["signal"] == signal)
        assert (found["received"], found["rejected"]) == (found["stored"], 0)
        services = {each["service"]: each["stored"] for each in found["services"]}
        assert {services[f"sdk-{way}"] for way in traces} == {items}
        assert services[SHARED] == len(traces) * items


def test_a_key_that_may_not_insert_is_refused(ways: Ways) -> None:
    """By ClickHouse's protocol it is tried again, with the right key too; by OTLP it is refused for good."""
    body = every_field.traces("refused").SerializeToString()
    refused = ways.collector("clickhouse", "reader", "refused")
    ways.send(refused.http, "traces", body)
    refused.wait_until_said("ACCESS_DENIED")
    refused.stop()
    other = ways.collector("otlp", "reader", "refused-otlp")
    ways.send(other.http, "traces", body)
    other.wait_until_said("Dropping data")
    other.stop()
    count = "SELECT count() FROM otel_traces WHERE ServiceName = 'refused'"
    assert ways.sql(count) == [[0]]
    allowed = ways.collector("clickhouse", directory="refused")
    ways.wait_for(count, [[1]])
    allowed.stop()


def test_what_was_acknowledged_outlives_an_outage_and_a_kill(ways: Ways) -> None:
    assert ways.clew.stop() == 0
    for way, collector in ways.collectors.items():
        for signal, make in every_field.REQUESTS.items():
            ways.send(collector.http, signal, make(f"kept-{way}").SerializeToString())
        collector.kill()
    ways.clew.start()
    ways.start()
    for table in every_field.TABLES:
        ways.wait_for(
            f"SELECT ServiceName, count() FROM {table} WHERE ServiceName LIKE 'kept-%' GROUP BY 1 ORDER BY 1",
            [["kept-clickhouse", 1], ["kept-otlp", 1]],
        )


def test_other_ways_in(clew: Clew) -> None:
    """The example: Jaeger, Zipkin, Prometheus, a host and a log file, by way of an agent and a gateway."""
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE), str(program(GATEWAY)), str(program(AGENT))],
        env=os.environ
        | {
            "CLEW_OTLP_URL": clew.endpoints["otlp_http"],
            "CLEW_API_URL": clew.endpoints["api"],
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr + clew.log.read_text()
    shown = dict(line.split(": ", 1) for line in ran.stdout.splitlines())
    assert shown["Jaeger, Thrift over HTTP"] == "GET /from-jaeger"
    assert shown["Zipkin, JSON"] == "GET /from-zipkin"
    assert re.fullmatch(r"order example\w+ was packed", shown["a log file"])
    assert shown["a Prometheus page"] == "tills_open"
    assert "system.memory.usage" in shown["the host"]
