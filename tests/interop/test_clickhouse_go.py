"""clickhouse-go over HTTP against the embedded engine: what Grafana's plugin asks, and what the
OpenTelemetry Collector's exporter inserts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gobuild import program

import build
from clew.cli.keys import add, new_key
from support.grafana import Grafana
from support.processes import Clew

HERE = Path(__file__).parent / "clickhouse_go"
COMPRESSIONS = ("none", "gzip", "deflate", "lz4", "zstd")

pytestmark = pytest.mark.slow  # the first run fetches and compiles for a minute or two

# What the plugin asks when a data source is set up and queries are written (version 4.20).
PROBES = [
    "SELECT 1",
    "SHOW DATABASES",
    'SHOW TABLES FROM "otel"',
    'DESC TABLE "otel"."otel_traces"',
    "SELECT name, type FROM system.columns WHERE database = 'otel' AND table = 'otel_logs'",
    "SELECT name FROM system.functions",
    "SELECT version()",
    "SELECT DISTINCT ServiceName FROM otel.otel_traces LIMIT 1000",
    "SELECT count() FROM otel.otel_traces WHERE Timestamp >= toDateTime64(0, 9) SETTINGS max_execution_time = 30",
    "SELECT count() FROM otel_traces settings additional_table_filters={'otel.otel_traces' : ' ServiceName = \\'none\\' '}",
]  # fmt: skip
FORMS = (
    "SELECT toLowCardinality('a') AS lc, map('k', toUInt64(7)) AS m, [1, 2] AS a, now64(9) AS t, "
    "CAST(NULL AS Nullable(String)) AS n, (1, 'x') AS tup, toDecimal64(1.5, 2) AS d, "
    "toUUID('00000000-0000-0000-0000-000000000001') AS u, toDate('2026-01-02') AS day FROM numbers(70000)"
)


class Running:
    """A clew with a user that reads and one that writes, and the program."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.keys: dict[str, str] = {}
        for name, scope in (("grafana", "read"), ("otelcol", "ingest")):
            self.keys[name], line = new_key(name, [scope])
            add(directory / "keys", line)
        flags = ("--clickhouse", "127.0.0.1:0", "--api-keys", str(directory / "keys"))
        self.clew = Clew(directory / "data", *flags)
        self.address = self.clew.endpoints["clickhouse"].removeprefix("http://")

    def ask(self, user: str, queries: list[str], compression: str = "gzip") -> list[Any]:
        return self._run("ask", user, compression, given="\n".join(queries))

    def insert(self, user: str, rows: int, compression: str) -> Any:
        return self._run("insert", user, compression, str(rows))[0]

    def _run(
        self, what: str, user: str, compression: str, *more: str, given: str = ""
    ) -> list[Any]:
        ran = subprocess.run(
            [str(self.program), what, self.address, user, self.keys[user], compression, *more],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = Running(program(HERE), tmp_path_factory.mktemp("go"))
    yield started
    assert started.clew.stop() == 0


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_the_plugin_asks(running: Running, compression: str) -> None:
    """The first answer is read as the client's revision, and all others as the engine writes them."""
    ping, *answers = running.ask("grafana", [*PROBES, FORMS], compression)
    assert ping["error"] == ""
    found = dict(zip([*PROBES, FORMS], answers, strict=True))
    assert {sql: each["error"] for sql, each in found.items() if each["error"]} == {}
    assert found["SELECT 1"]["columns"] == ["1"]
    assert found['DESC TABLE "otel"."otel_traces"']["columns"][:2] == ["name", "type"]
    assert found['SHOW TABLES FROM "otel"']["count"] > 10
    assert found["SELECT name FROM system.functions"]["count"] > 1000
    assert found["SELECT version()"]["first"][0].startswith("2")
    forms = found[FORMS]
    assert forms["count"] == 70_000
    assert forms["first"][:3] == ["a", "map[k:7]", "[1 2]"]
    assert forms["types"][0] == "LowCardinality(String)"


def test_the_dashboards_statements(running: Running) -> None:
    """On empty tables, with a value for every variable; tests/integration has them with data."""
    boards = [json.loads(text) for _, text in build.documents()]
    statements = []
    for board in boards:
        values = {variable["name"]: "1" for variable in board["templating"]["list"]}
        grafana = Grafana(1_700_000_000, 1_700_003_600, 60, values)
        statements += [
            " ".join(grafana.expand(query["rawSql"]).split())
            for panel in board["panels"]
            for query in panel.get("targets", ())
        ]
    _, *answers = running.ask("grafana", statements)
    assert len(answers) == len(statements) > 80
    assert [each["error"] for each in answers if each["error"]] == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_errors_arrive_with_their_code(running: Running, compression: str) -> None:
    early, late, right = running.ask(
        "grafana",
        [
            "SELECT * FROM nope",
            "SELECT throwIf(number = 5000000) FROM numbers(9000000)",
            "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        ],
        compression,
    )[1:]
    assert early["code"] == 60
    assert "throwIf" in late["error"]
    assert right["code"] == 497


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_the_exporter_inserts(running: Running, compression: str) -> None:
    """Prepared by DESCRIBE, sent as Native: every row, in the side tables too."""
    assert running.insert("grafana", 1, compression)["code"] == 497
    inserted = running.insert("otelcol", 5000, compression)
    assert inserted["error"] == ""
    service = f"go-{compression}"
    sql = (
        "SELECT count(), uniqExact(TraceId), any(ServiceVersion), any(Events.Name), any(SpanAttributes['n'] != '') "
        f"FROM otel_traces WHERE ServiceName = '{service}'"
    )
    sides = f"SELECT sum(Count) FROM clew_operations_1m WHERE ServiceName = '{service}'"
    found, side = running.ask("grafana", [sql, sides])[1:]
    assert found["first"] == ["5000", "5000", "3", "[event]", "1"]
    assert side["first"] == ["5000"], side
    header = {"authorization": f"Bearer {running.keys['grafana']}"}
    ledger = httpx.get(f"{running.clew.endpoints['api']}/api/v1/ledger", headers=header).json()
    traces = next(each for each in ledger["signals"] if each["signal"] == "traces")
    assert {"service": service, "stored": 5000, "late": 0} in traces["services"]
    assert traces["received"] == traces["stored"]
