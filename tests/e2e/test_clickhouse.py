"""The embedded engine over HTTP, as ClickHouse's clients use it."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest
import sqlalchemy
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError

from clew.access import add_key, new_key
from clew.clickhouse import blocks
from clew.clickhouse.application import MAX_PER_CLIENT, MAX_RUNNING
from support.processes import Clew
from support.traffic import SECOND, SERVER, Process, Span, spans_request

NOW = int(time.time()) * SECOND


class Port:
    """A running clew, asked over its ClickHouse address."""

    def __init__(self, clew: Clew) -> None:
        self.clew = clew
        self.url = clew.endpoints["clickhouse"]
        self.address = self.url.removeprefix("http://")

    def get(self, sql: str, **parameters: Any) -> httpx.Response:
        return httpx.get(self.url, params={"query": sql, **parameters}, timeout=60)

    def post(
        self, body: bytes | str, headers: dict[str, str] | None = None, **parameters: Any
    ) -> httpx.Response:
        return httpx.post(self.url, content=body, params=parameters, headers=headers, timeout=60)

    def client(self, **options: Any) -> Any:
        host, _, port = self.address.partition(":")
        return clickhouse_connect.get_client(host=host, port=int(port), **options)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    clew = Clew(tmp_path_factory.mktemp("port") / "data", "--clickhouse", "127.0.0.1:0")
    _send_a_trace(clew)
    yield Port(clew)
    assert clew.stop() == 0
    assert "Traceback" not in clew.log.read_text()


def _send_a_trace(clew: Clew) -> None:
    span = Span("a" * 32, "b" * 16, "", Process("web", "web-1"), "GET /", SERVER, NOW, SECOND)
    httpx.post(
        f"{clew.endpoints['otlp_http']}/v1/traces",
        content=spans_request([span]).SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    ).raise_for_status()
    deadline = time.monotonic() + 30
    while Port(clew).get("SELECT count() FROM otel_traces").text != "1\n":
        assert time.monotonic() < deadline
        time.sleep(0.1)


# Without a query


@pytest.mark.parametrize("path", ["/", "/ping", "/replicas_status"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_ok(port: Port, path: str, method: str) -> None:
    answer = httpx.request(method, f"{port.url}{path}")
    assert (answer.status_code, answer.text) == (200, "Ok.\n" if method == "GET" else "")


def test_an_unknown_path_names_the_known_ones(port: Port) -> None:
    answer = httpx.get(f"{port.url}/nowhere")
    assert answer.status_code == 404
    assert "There is no handle /nowhere" in answer.text


# Where statement, format, parameters and database are looked for


def test_a_query_is_in_the_parameter_or_the_body_or_both(port: Port) -> None:
    assert port.get("SELECT 1").text == "1\n"
    assert port.post("SELECT 2").text == "2\n"
    assert port.post("3, 4", query="SELECT 1, 2,").text == "1\t2\t3\t4\n"


def test_the_format_is_taken_from_the_query_then_the_parameter_then_the_header(port: Port) -> None:
    header = {"x-clickhouse-format": "CSV"}
    assert port.post("SELECT 'a'").headers["x-clickhouse-format"] == "TabSeparated"
    assert port.post("SELECT 'a'", header).text == '"a"\n'
    assert port.post("SELECT 'a' AS a", header, default_format="JSONEachRow").text == '{"a":"a"}\n'
    values = port.post("SELECT 'a' FORMAT Values", header, default_format="JSONEachRow")
    assert values.text == "('a')"
    assert values.headers["x-clickhouse-format"] == "Values"


def test_every_streamed_format_is_one_document(port: Port) -> None:
    """The engine writes every chunk as a whole document."""
    sql = 'SELECT number AS n, toString(number) AS `a"\\n` FROM numbers(200000)'
    rows = 200_000
    assert port.get(sql, default_format="TSVWithNamesAndTypes").text.count("UInt64") == 1
    csv = port.get(sql, default_format="CSVWithNames").text
    assert csv.startswith('"n","a""\n"\n0,"0"\n')
    assert csv.count("\n") == rows + 2
    lines = port.get(sql, default_format="JSONCompactEachRowWithNamesAndTypes").text.splitlines()
    assert len(lines) == rows + 2
    assert json.loads(lines[-1]) == [rows - 1, str(rows - 1)]
    binary = port.get(
        "SELECT number AS n FROM numbers(200000)", default_format="RowBinaryWithNamesAndTypes"
    )
    assert len(binary.content) == 1 + 2 + 7 + 8 * rows
    assert len(port.get(sql, default_format="JSON").json()["data"]) == rows
    assert port.get("SELECT 1 AS n WHERE 0", default_format="CSVWithNames").text == '"n"\n'


def test_parameters_are_bound(port: Port) -> None:
    sql = "SELECT {a:String}, {b:Array(UInt8)}, {c:Nullable(String)}, {d:Identifier} FROM (SELECT 7 AS x)"
    answer = port.get(sql, param_a="it's", param_b="[1,2]", param_c="\\N", param_d="x")
    assert answer.text == "it\\'s\t[1,2]\t\\N\t7\n"
    missing = port.get("SELECT {a:String}")
    assert missing.headers["x-clickhouse-exception-code"] == "456"


def test_the_database_is_otel_unless_another_is_named(port: Port) -> None:
    assert port.get("SELECT currentDatabase()").text == "otel\n"
    assert port.get("SELECT currentDatabase()", database="system").text == "system\n"
    header = {"x-clickhouse-database": "default"}
    assert port.post("SELECT currentDatabase()", header).text == "default\n"
    unknown = port.get("SELECT 1", database="nope")
    assert (unknown.status_code, unknown.headers["x-clickhouse-exception-code"]) == (404, "81")


def test_the_headers_of_an_answer(port: Port) -> None:
    answer = port.get("SELECT number FROM numbers(10) FORMAT JSONCompact", query_id="my-query")
    headers = answer.headers
    assert headers["x-clickhouse-query-id"] == "my-query"
    assert headers["x-clickhouse-format"] == "JSONCompact"
    assert headers["x-clickhouse-timezone"] == "UTC"
    assert headers["x-clickhouse-server-display-name"] == "clew"
    assert headers["content-type"] == "application/json; charset=UTF-8"
    summary = json.loads(headers["x-clickhouse-summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("10", "10")
    assert re.fullmatch(r"[0-9a-f-]{36}", port.get("SELECT 1").headers["x-clickhouse-query-id"])


# Compression


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_an_answer_is_compressed_as_the_client_accepts(port: Port, encoding: str) -> None:
    sql, header = "SELECT number FROM numbers(500000)", {"accept-encoding": encoding}
    plain = port.get(sql, enable_http_compression=0)
    assert "content-encoding" not in plain.headers
    answer = port.post(sql, header, enable_http_compression=1)
    assert answer.headers["content-encoding"] == encoding
    assert answer.content == plain.content


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.compress),
        ("identity", bytes),
    ],
)
def test_a_body_is_decompressed(port: Port, encoding: str, pack: Any) -> None:
    assert port.post(pack(b"SELECT 5"), {"content-encoding": encoding}).text == "5\n"


def test_a_body_that_cannot_be_decompressed_is_refused(port: Port) -> None:
    for encoding, code in (("gzip", "271"), ("zstd", "271"), ("snappy", "89")):
        answer = port.post(b"SELECT 5", {"content-encoding": encoding})
        assert answer.headers["x-clickhouse-exception-code"] == code
    bomb = zstandard.compress(bytes(80 << 20))
    assert port.post(bomb, {"content-encoding": "zstd"}).status_code == 413


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_native_blocks_both_ways(port: Port, method: str) -> None:
    packed = blocks.compress_block(b"SELECT number FROM numbers(300000)", getattr(blocks, method))
    answer = port.post(packed, compress=1, decompress=1, network_compression_method=method)
    plain = blocks.decompress_blocks(answer.content, 1 << 26)
    assert plain == b"".join(b"%d\n" % number for number in range(300_000))
    broken = port.post(packed[:-1], decompress=1)
    assert broken.headers["x-clickhouse-exception-code"] == "271"


# Errors


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        ("SELECT * FROM nope", 60, 404),
        ("SELECT nope", 47, 404),
        ("SELECT nope(1)", 46, 404),
        ("SELEC 1", 62, 400),
        ("SELECT 1 FORMAT Nope", 73, 404),
        ("SELECT 1 SETTINGS nope = 1", 115, 404),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT toUInt8('x')", 6, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT sleepEachRow(1) FROM numbers(9) SETTINGS max_execution_time = 1, max_block_size = 1", 159, 408),
        ("SELECT groupArray(number) FROM numbers(900000000)", 241, 500),
        ("SELECT 1" + " " * (1 << 18), 62, 400),
        ("", 62, 400),
    ],
)  # fmt: skip
def test_an_error_is_as_a_server_writes_it(port: Port, sql: str, code: int, status: int) -> None:
    answer = port.post(sql, default_format="TSV")
    assert answer.status_code == status, answer.text
    assert answer.headers["x-clickhouse-exception-code"] == str(code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert re.search(r" \([A-Z_]+\) \(version \d+\.\d+\.\d+\.\d+ \(chDB\)\)\n\Z", answer.text)
    assert "parseQueryToJSON" not in answer.text


def test_an_error_in_the_middle_of_an_answer_is_framed_and_cuts_it_off(port: Port) -> None:
    sql = "SELECT throwIf(number = 3000000) FROM numbers(10000000)"
    with pytest.raises(httpx.RemoteProtocolError):
        port.get(sql)
    curl = subprocess.run(
        ["curl", "-sS", port.url, "--data-binary", sql], capture_output=True, timeout=60
    )
    assert curl.returncode == 18  # "transfer closed with outstanding read data remaining"
    assert re.search(
        rb"\r\n__exception__\r\n(\w{16})\r\nCode: 395.*\n\d+ \1\r\n__exception__\r\n\Z",
        curl.stdout,
        re.DOTALL,
    )
    whole = port.get(sql, wait_end_of_query=1)
    assert (whole.status_code, whole.headers["x-clickhouse-exception-code"]) == (500, "395")


# Settings


def test_allowed_settings_are_applied_and_limits_cannot_be_raised(port: Port) -> None:
    sql = "SELECT getSetting('{}')"
    assert port.get(sql.format("join_use_nulls"), join_use_nulls=1).text == "true\n"
    assert port.get(sql.format("max_execution_time"), max_execution_time=5).text == "5\n"
    assert port.get(sql.format("max_execution_time"), max_execution_time=900).text == "60\n"
    assert port.get(sql.format("max_execution_time"), max_execution_time=0).text == "60\n"
    assert port.get(sql.format("max_threads"), max_threads=64).text == "2\n"
    ignored = {
        "session_id": "x",
        "wait_end_of_query": 0,
        "readonly": 2,
        "log_comment": "y",
        "async_insert": 1,
        "distributed_foreground_insert": 1,  # sent by the OpenTelemetry Collector's exporter, for clusters
    }
    assert port.get(sql.format("readonly"), **ignored).text == "2\n"
    for name in (
        "format_schema",
        "allow_introspection_functions",
        "profile",
        "allow_python_table_function",
    ):
        refused = port.get("SELECT 1", **{name: "1"})
        assert refused.headers["x-clickhouse-exception-code"] in ("452", "115"), refused.text
    assert "Unknown setting 'nope'" in port.get("SELECT 1", nope=1).text


def test_grafanas_ad_hoc_filters(port: Port) -> None:
    sql = "SELECT count() FROM otel_traces SETTINGS additional_table_filters = {{'otel.otel_traces': '{}'}}"
    assert port.get(sql.format("ServiceName = \\'web\\'")).text == "1\n"
    assert port.get(sql.format("ServiceName = \\'other\\'")).text == "0\n"
    for expression in (
        "file(SpanName) = \\'\\'",
        "SpanName IN (SELECT * FROM url(\\'http://127.0.0.1:1\\', CSV))",
    ):
        assert port.get(sql.format(expression)).status_code == 403
    parameter = {"additional_table_filters": "{'otel_traces': 'file(SpanName) = 1'}"}
    assert port.get("SELECT count() FROM otel_traces", **parameter).status_code == 403


# Clients


def test_a_range_is_not_cut_out_of_an_answer(port: Port) -> None:
    """Each range would run the statement again; as HTTP has it, the answer says that none are served."""
    whole = httpx.get(
        port.url, params={"query": "SELECT 12345678"}, headers={"range": "bytes=2-3"}, timeout=60
    )
    assert (whole.status_code, whole.text) == (200, "12345678\n")
    assert whole.headers["accept-ranges"] == "none"
    head = httpx.head(port.url, params={"query": "SELECT 12345678"}, timeout=60)
    assert head.headers["accept-ranges"] == "none"
    assert port.get("SELECT nope").headers["accept-ranges"] == "none"


def test_sqlalchemy_reflects_every_table(port: Port) -> None:
    """With the dialect of clickhouse-connect, as Superset reads a database's schema."""
    engine = sqlalchemy.create_engine(f"clickhousedb://default@{port.address}/otel")
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine, views=True)
    assert {"otel_traces", "otel_logs", "clew_traces", "otel_traces_trace_id_ts"} <= (
        metadata.tables.keys()
    )
    assert not [name for name in metadata.tables if name.startswith("clew_landing_")]
    traces = metadata.tables["otel_traces"]
    assert str(traces.columns["Timestamp"].type) == "DateTime64(9)"
    select = sqlalchemy.select(traces.columns["SpanName"]).where(
        traces.columns["ServiceName"] == "web"
    )
    with engine.connect() as connection:
        assert connection.execute(select).all() == [("GET /",)]
    engine.dispose()


def test_clickhouse_connect(port: Port) -> None:
    client = port.client()
    assert client.server_version == port.get("SELECT version()").text.strip()
    rows = client.query(
        "SELECT number, [toString(number)] AS a, map('k', number) AS m FROM numbers({n:UInt8})",
        parameters={"n": 2},
    )
    assert rows.result_rows == [(0, ["0"], {"k": 0}), (1, ["1"], {"k": 1})]
    bound = {"a": "it's\t\\n\nx", "b": ["x", "'"], "c": datetime.datetime(2026, 1, 2, 3)}  # noqa: DTZ001
    sql = "SELECT {a:String}, {b:Array(String)}, {c:DateTime}"
    assert client.query(sql, parameters=bound).result_rows == [tuple(bound.values())]
    assert client.command("SELECT count() FROM otel_traces") == 1
    assert client.query("SELECT * FROM otel_traces LIMIT 0").column_names[:2] == (
        "Timestamp",
        "TraceId",
    )
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
        assert sum(len(block) for block in stream) == 1_000_000
    frame = client.query_df("SELECT number AS n, toString(n) AS s FROM numbers(100000)")
    assert (len(frame), int(frame.n.sum())) == (100_000, 4999950000)
    assert client.query_np("SELECT number FROM numbers(3)").tolist() == [[0], [1], [2]]
    assert client.query_arrow("SELECT number FROM numbers(3)").num_rows == 3
    for sql, code in (
        ("SELECT * FROM nope", "60"),
        ("SELECT throwIf(number = 3000000) FROM numbers(9000000)", "395"),
    ):
        with pytest.raises(DatabaseError, match=f"Code: {code}"):
            client.query(sql)
    client.close()


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_clickhouse_connect_compressed(port: Port, compress: Any) -> None:
    client = port.client(compress=compress)
    assert len(client.query("SELECT number FROM numbers(300000)").result_rows) == 300_000
    client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(port: Port) -> None:
    def curl(*arguments: str) -> str:
        return subprocess.run(
            ["curl", "-sSf", *arguments], capture_output=True, text=True, timeout=60, check=True
        ).stdout

    assert curl(f"{port.url}/?query=SELECT+1") == "1\n"
    assert curl(port.url, "-d", "SELECT count() FROM otel_traces") == "1\n"
    assert curl("--compressed", port.url, "-d", "SELECT 1 AS a FORMAT JSONEachRow") == '{"a":1}\n'
    assert curl("-u", "default:", port.url, "-d", "SELECT 1") == "1\n"
    assert curl("-I", f"{port.url}/?query=SELECT+1").startswith("HTTP/1.1 200 OK")


# Without API keys


def test_without_keys_there_is_one_user_with_read_access(port: Port) -> None:
    header = {"x-clickhouse-user": "default", "x-clickhouse-key": ""}
    assert port.post("SELECT 1", header).text == "1\n"
    # As on a server whose user has no password, any is taken: drivers send one of their own.
    for password in ("", "null", "k"):
        assert port.get("SELECT 1", user="default", password=password).text == "1\n"
        assert port.post("SELECT 1", {"x-clickhouse-key": password}).text == "1\n"
    for wrong in (
        {"x-clickhouse-user": "x"},
        {"authorization": "Basic !"},
    ):
        refused = port.post("SELECT 1", wrong)
        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (403, "516")
    insert = port.post("INSERT INTO otel_traces (TraceId) VALUES ('x')")
    assert (insert.status_code, insert.headers["x-clickhouse-exception-code"]) == (403, "497")


def test_statements_that_need_a_session_are_refused(port: Port) -> None:
    for sql in ("SET max_threads = 1", "USE system", "CREATE TEMPORARY TABLE t (a UInt8)"):
        answer = port.post(sql, session_id="s")
        assert answer.status_code == 501
        assert "nothing is kept from one statement to the next" in answer.text
    assert port.get("SELECT 1", role="x").status_code == 501
    parts = httpx.post(port.url, files={"t": b"1"}, params={"query": "SELECT 1"})
    assert parts.status_code == 501


# Many statements at a time


@pytest.mark.slow
def test_a_client_with_too_many_statements_is_refused_the_next(port: Port) -> None:
    sql = "SELECT sleepEachRow(1) FROM numbers(4) SETTINGS max_block_size = 1"
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: port.get(sql), range(12)))
    codes = [answer.headers.get("x-clickhouse-exception-code") for answer in answers]
    assert codes.count("202") == 4
    assert codes.count(None) == 8
    assert port.get("SELECT 1").text == "1\n"


def test_a_statement_is_killed_when_its_client_disconnects(port: Port) -> None:
    """Otherwise such statements could use all slots for longer than a client waits for one."""
    sql = "SELECT count() FROM numbers(4000000000) WHERE NOT ignore(sipHash64(number))"

    def disconnect(_: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(port.url, params={"query": sql}, timeout=1)

    with ThreadPoolExecutor(MAX_RUNNING) as threads:
        list(threads.map(disconnect, range(MAX_RUNNING)))
    assert port.get("SELECT 1").text == "1\n"


@pytest.mark.slow
def test_ingest_continues_while_all_slots_are_in_use(port: Port) -> None:
    sql = "SELECT count() FROM numbers(4000000000) WHERE NOT ignore(sipHash64(number)) SETTINGS max_execution_time = 5"
    busy = [threading.Thread(target=port.get, args=(sql,)) for _ in range(8)]
    for thread in busy:
        thread.start()
    span = Span("c" * 32, "d" * 16, "", Process("web", "web-1"), "GET /", SERVER, NOW, SECOND)
    httpx.post(
        f"{port.clew.endpoints['otlp_http']}/v1/traces",
        content=spans_request([span]).SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
        timeout=60,
    ).raise_for_status()
    deadline = time.monotonic() + 60
    while port.clew.get(f"/api/v1/traces/{'c' * 32}").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for thread in busy:
        thread.join()


# With API keys


class PortWithKeys(Port):
    """A port with users: one that reads, one that writes, one that does both."""

    def __init__(self, directory: Path) -> None:
        file = directory / "keys"
        self.keys: dict[str, str] = {}
        for name, scopes in (
            ("grafana", ["read"]),
            ("otelcol", ["ingest"]),
            ("both", ["read", "ingest"]),
        ):
            self.keys[name], line = new_key(name, scopes)
            add_key(file, line)
        super().__init__(
            Clew(directory / "data", "--clickhouse", "127.0.0.1:0", "--api-keys", str(file))
        )

    def ask(self, name: str, body: bytes | str, **parameters: Any) -> httpx.Response:
        header = {"x-clickhouse-user": name, "x-clickhouse-key": self.keys[name]}
        return self.post(body, header, **parameters)

    def api(self, path: str) -> Any:
        header = {"authorization": f"Bearer {self.keys['grafana']}"}
        return httpx.get(f"{self.clew.endpoints['api']}{path}", headers=header, timeout=30).json()


def test_every_http_port_answers_to_its_own_names_alone(port: Port) -> None:
    endpoints = port.clew.endpoints
    paths = {"api": "/api/v1/services", "otlp_http": "/v1/traces", "clickhouse": "/?query=SELECT+1"}
    for name, path in paths.items():
        url = f"{endpoints[name]}{path}"
        assert httpx.post(url, headers={"host": "evil.example"}).status_code == 421
        assert httpx.post(url, headers={"origin": "http://evil.example"}).status_code == 403
        own = url.replace("127.0.0.1", "localhost")
        assert httpx.get(own).status_code not in (421, 403)
    assert httpx.get(f"{endpoints['api']}/").headers["content-security-policy"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortWithKeys]:
    running = PortWithKeys(tmp_path_factory.mktemp("users"))
    yield running
    assert running.clew.stop() == 0
    assert "Traceback" not in running.clew.log.read_text()


@pytest.mark.slow
def test_an_api_keys_name_and_secret_are_user_and_password(guarded: PortWithKeys) -> None:
    key = guarded.keys["grafana"]
    ways: list[dict[str, Any]] = [
        {"headers": {"x-clickhouse-user": "grafana", "x-clickhouse-key": key}},
        {"auth": ("grafana", key)},
        {"params": {"user": "grafana", "password": key}},
    ]
    for way in ways:
        assert httpx.post(guarded.url, content="SELECT 1", **way).text == "1\n"
    none = httpx.post(guarded.url, content="SELECT 1")
    assert (none.status_code, none.headers["x-clickhouse-exception-code"]) == (401, "194")
    assert none.headers["www-authenticate"].startswith("Basic ")
    wrong: list[dict[str, Any]] = [
        {"auth": ("default", "x")},
        {"auth": ("grafana", "")},
        {"auth": ("grafana", guarded.keys["otelcol"])},
        {"auth": ("otelcol", key)},
    ]
    for way in wrong:
        refused = httpx.post(guarded.url, content="SELECT 1", **way)
        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (403, "516")
    assert httpx.get(f"{guarded.url}/ping").text == "Ok.\n"


@pytest.mark.slow
def test_read_and_write_access_are_separate(guarded: PortWithKeys) -> None:
    row = "INSERT INTO otel_traces (TraceId) VALUES ('x')"
    assert guarded.ask("grafana", row).status_code == 403
    for sql in ("SELECT count() FROM otel_traces", "SELECT * FROM otel.clew_ledger"):
        assert guarded.ask("otelcol", sql).status_code == 403
    for sql in (
        "CREATE DATABASE IF NOT EXISTS otel",
        "CREATE TABLE IF NOT EXISTS otel.otel_traces (a UInt8) ENGINE = Memory",
        "INSERT INTO otel.clew_ledger (Items) VALUES (1)",
        "INSERT INTO system.one VALUES (1)",
        "INSERT INTO otel_traces SELECT * FROM otel_traces",
        "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a UInt8') VALUES (1)",
        "INSERT INTO otel_traces FROM INFILE '/etc/hostname' FORMAT CSV",
    ):
        assert guarded.ask("otelcol", sql).status_code in (403, 501), sql
    assert guarded.ask("otelcol", "SELECT 1").text == "1\n"
    assert "TraceId" in guarded.ask("otelcol", "DESCRIBE TABLE otel.otel_traces").text


@pytest.mark.slow
def test_inserted_rows_are_seen_by_the_platform(guarded: PortWithKeys) -> None:
    host, _, number = guarded.address.partition(":")
    client = clickhouse_connect.get_client(
        host=host, port=int(number), username="both", password=guarded.keys["both"], database="otel"
    )
    before = client.query("SELECT count() FROM otel_traces").first_row[0]
    now = datetime.datetime.now(datetime.UTC)
    columns = ["Timestamp", "TraceId", "SpanId", "SpanName", "SpanKind", "ServiceName", "Duration"]
    rows = [
        [now, f"{n:032x}", f"{n:016x}", "GET /", "Server", "connect", 1000] for n in range(1, 301)
    ]
    client.insert("otel_traces", rows, column_names=[*columns])
    csv = f"{int(now.timestamp())},{'e' * 32},{'e' * 16},GET /,Server,curl,1000\n".encode()
    into = f"INSERT INTO otel.otel_traces ({', '.join(columns)}) FORMAT CSV"
    inserted = guarded.post(
        gzip.compress(csv),
        {
            "x-clickhouse-user": "otelcol",
            "x-clickhouse-key": guarded.keys["otelcol"],
            "content-encoding": "gzip",
        },
        query=into,
        async_insert=1,
        wait_for_async_insert=1,
    )
    assert inserted.status_code == 200, inserted.text
    assert json.loads(inserted.headers["x-clickhouse-summary"])["written_rows"] == "1"
    log = '{"Timestamp":"2026-11-22 10:00:00","ServiceName":"curl","Body":"hello"}'
    assert (
        guarded.ask("otelcol", f"INSERT INTO otel_logs FORMAT JSONEachRow\n{log}").status_code
        == 200
    )
    assert client.query("SELECT count() FROM otel_traces").first_row[0] == before + 301
    assert client.query("SELECT count() FROM otel_logs").first_row[0] == 1
    client.close()
    ledger = {row["signal"]: row for row in guarded.api("/api/v1/ledger")["signals"]}
    assert (ledger["traces"]["received"], ledger["traces"]["stored"]) == (301, 301)
    assert (ledger["logs"]["received"], ledger["logs"]["stored"]) == (1, 1)
    services = {row["service"]: row["stored"] for row in ledger["traces"]["services"]}
    assert services == {"connect": 300, "curl": 1}
    trace = guarded.api(f"/api/v1/traces/{1:032x}")
    assert [span["service"] for span in trace["spans"]] == ["connect"]
    deadline = time.monotonic() + 60  # the settler was woken, and settled the traces
    while guarded.ask("grafana", "SELECT uniq(TraceId) FROM clew_settled FINAL").text != "301\n":
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_writer_waits_for_a_slot(guarded: PortWithKeys) -> None:
    """The OpenTelemetry Collector's exporter inserts into five tables at a time, and repeats all when
    one insert is refused."""
    row = "INSERT INTO otel_metrics_gauge (TimeUnix, ServiceName) VALUES ('2026-11-22 10:00:00', 'busy')"
    with ThreadPoolExecutor(3 * MAX_PER_CLIENT) as threads:
        answers = list(
            threads.map(guarded.ask, ["otelcol"] * 3 * MAX_PER_CLIENT, [row] * 3 * MAX_PER_CLIENT)
        )
    assert {answer.status_code for answer in answers} == {200}
    count = "SELECT count() FROM otel_metrics_gauge WHERE ServiceName = 'busy'"
    assert guarded.ask("grafana", count).text == f"{3 * MAX_PER_CLIENT}\n"


@pytest.mark.slow
def test_an_insert_that_fails_is_refused_with_the_reason(guarded: PortWithKeys) -> None:
    into = "INSERT INTO otel_traces (Duration) FORMAT CSV"
    refused = guarded.ask("otelcol", "x\n", query=into)
    assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (400, "117")
    assert guarded.ask("otelcol", bytes(65 << 20), query=into).status_code == 413
    by_get = httpx.get(
        guarded.url, params={"query": into}, auth=("otelcol", guarded.keys["otelcol"])
    )
    assert by_get.headers["x-clickhouse-exception-code"] == "164"


@pytest.mark.slow
def test_clew_stops_while_a_statement_runs(tmp_path: Path) -> None:
    clew = Clew(tmp_path / "data", "--clickhouse", "127.0.0.1:0")
    port = Port(clew)
    sql = "SELECT count() FROM numbers(4000000000) WHERE NOT ignore(sipHash64(number))"
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(port.get, sql)
        time.sleep(1)
        assert clew.stop() == 0
        assert answer.exception() or answer.result().status_code == 500
    assert "Traceback" not in clew.log.read_text()
