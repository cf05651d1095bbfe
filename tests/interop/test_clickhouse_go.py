"""clickhouse-go over HTTP against the embedded engine: the queries of Grafana's plugin, and the
inserts of the OpenTelemetry Collector's exporter."""

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
from clew.access import add_key, new_key
from support.grafana import Grafana
from support.processes import Clew

HERE = Path(__file__).parent / "clickhouse_go"
COMPRESSIONS = ("none", "gzip", "deflate", "lz4", "zstd")

pytestmark = pytest.mark.slow  # the first run fetches and compiles for a minute or two

# The plugin's queries while a data source is set up and queries are written (version 4.20).
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
TYPES = (
    "SELECT toLowCardinality('a') AS lc, map('k', toUInt64(7)) AS m, [1, 2] AS a, now64(9) AS t, "
    "CAST(NULL AS Nullable(String)) AS n, (1, 'x') AS tup, toDecimal64(1.5, 2) AS d, "
    "toUUID('00000000-0000-0000-0000-000000000001') AS u, toDate('2026-01-02') AS day FROM numbers(70000)"
)


class GoClient:
    """The Go program, and a running clew with a user that reads and a user that writes."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.keys: dict[str, str] = {}
        for name, scope in (("grafana", "read"), ("otelcol", "ingest")):
            self.keys[name], line = new_key(name, [scope])
            add_key(directory / "keys", line)
        flags = ("--clickhouse", "127.0.0.1:0", "--api-keys", str(directory / "keys"))
        self.clew = Clew(directory / "data", *flags)
        self.address = self.clew.endpoints["clickhouse"].removeprefix("http://")

    def query(self, user: str, queries: list[str], compression: str = "gzip") -> list[Any]:
        return self._run("ask", user, compression, stdin="\n".join(queries))

    def insert(self, user: str, rows: int, compression: str) -> Any:
        return self._run("insert", user, compression, str(rows))[0]

    def _run(
        self, command: str, user: str, compression: str, *arguments: str, stdin: str = ""
    ) -> list[Any]:
        run = subprocess.run(
            [
                str(self.program),
                command,
                self.address,
                user,
                self.keys[user],
                compression,
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoClient]:
    client = GoClient(program(HERE), tmp_path_factory.mktemp("go"))
    yield client
    assert client.clew.stop() == 0


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_queries_of_grafanas_plugin(client: GoClient, compression: str) -> None:
    """The client reads the first answer as its own revision, and all others as the engine's."""
    ping, *answers = client.query("grafana", [*PROBES, TYPES], compression)
    assert ping["error"] == ""
    results = dict(zip([*PROBES, TYPES], answers, strict=True))
    assert {sql: answer["error"] for sql, answer in results.items() if answer["error"]} == {}
    assert results["SELECT 1"]["columns"] == ["1"]
    assert results['DESC TABLE "otel"."otel_traces"']["columns"][:2] == ["name", "type"]
    assert results['SHOW TABLES FROM "otel"']["count"] > 10
    assert results["SELECT name FROM system.functions"]["count"] > 1000
    assert results["SELECT version()"]["first"][0].startswith("2")
    types = results[TYPES]
    assert types["count"] == 70_000
    assert types["first"][:3] == ["a", "map[k:7]", "[1 2]"]
    assert types["types"][0] == "LowCardinality(String)"


def test_queries_of_the_dashboards(client: GoClient) -> None:
    """On empty tables, with a value for every variable; tests/integration runs them on data."""
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
    _, *answers = client.query("grafana", statements)
    assert len(answers) == len(statements) > 80
    assert [answer["error"] for answer in answers if answer["error"]] == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_errors_arrive_with_their_code(client: GoClient, compression: str) -> None:
    unknown, late, denied = client.query(
        "grafana",
        [
            "SELECT * FROM nope",
            "SELECT throwIf(number = 5000000) FROM numbers(9000000)",
            "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        ],
        compression,
    )[1:]
    assert unknown["code"] == 60
    assert "throwIf" in late["error"]
    assert denied["code"] == 497


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_inserts_of_the_collectors_exporter(client: GoClient, compression: str) -> None:
    """Prepared by DESCRIBE, sent as Native: every row is stored, and is in the side tables."""
    assert client.insert("grafana", 1, compression)["code"] == 497
    inserted = client.insert("otelcol", 5000, compression)
    assert inserted["error"] == ""
    service = f"go-{compression}"
    sql = (
        "SELECT count(), uniqExact(TraceId), any(ServiceVersion), any(Events.Name), any(SpanAttributes['n'] != '') "
        f"FROM otel_traces WHERE ServiceName = '{service}'"
    )
    sides = f"SELECT sum(Count) FROM clew_operations_1m WHERE ServiceName = '{service}'"
    spans, side = client.query("grafana", [sql, sides])[1:]
    assert spans["first"] == ["5000", "5000", "3", "[event]", "1"]
    assert side["first"] == ["5000"], side
    header = {"authorization": f"Bearer {client.keys['grafana']}"}
    ledger = httpx.get(f"{client.clew.endpoints['api']}/api/v1/ledger", headers=header).json()
    traces = next(row for row in ledger["signals"] if row["signal"] == "traces")
    assert {"service": service, "stored": 5000, "late": 0} in traces["services"]
    assert traces["received"] == traces["stored"]
