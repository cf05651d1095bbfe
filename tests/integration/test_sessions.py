"""What a client's statement may do in the embedded engine, and what is refused."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest
import write_queries

from clew.storage import (
    DESCRIBE,
    PEER,
    READ,
    WRITE,
    EngineError,
    ErrorCode,
    Insert,
    Sessions,
    Store,
)
from clew.storage.examination import OUTSIDE_FUNCTIONS, TABLE_FUNCTIONS
from clew.storage.rights import EXPORTER_TABLES, SYSTEM_TABLES
from clew.storage.sql import ANALYSIS, STORAGE

DENIED = ErrorCode.ACCESS_DENIED
CONSTRAINT = ErrorCode.SETTING_CONSTRAINT_VIOLATION
NOT_IMPLEMENTED = ErrorCode.NOT_IMPLEMENTED
READONLY = ErrorCode.READONLY
TRACE = b'{"Timestamp":"2026-11-22 10:00:00","TraceId":"%s","SpanId":"s","ServiceName":"web"}'


@pytest.fixture(scope="module")
def sessions(emptied) -> Sessions:
    store: Store = emptied()
    with store.client() as client:
        client.command("CREATE DATABASE IF NOT EXISTS other")
        client.command("CREATE TABLE IF NOT EXISTS other.t (a UInt8) ENGINE = Memory")
        client.command("CREATE VIEW IF NOT EXISTS otel.peeping AS SELECT * FROM other.t")
        client.command(
            "CREATE VIEW IF NOT EXISTS otel.reaching AS SELECT * FROM file('/etc/hostname')"
        )
    return Sessions(store)


@pytest.fixture(scope="module", autouse=True)
def _drop_databases(sessions: Sessions) -> Iterator[None]:
    yield
    with sessions.store.client() as client:
        for name in ("VIEW otel.peeping", "VIEW otel.reaching", "TABLE other.t", "DATABASE other"):
            client.command(f"DROP {name}")


def run(sessions: Sessions, sql: str, role: str = READ, **options: dict[str, str]) -> str:
    with sessions.open(sql, role=role, **options) as session:  # type: ignore[arg-type]
        return b"".join(session.read("TabSeparated")).decode()


def refusal(
    sessions: Sessions, sql: str, role: str = READ, **options: dict[str, str]
) -> EngineError:
    """The error with which a statement that reads is refused."""
    with pytest.raises(EngineError) as caught:
        run(sessions, sql, role, **options)
    return caught.value


# Table functions that reach outside: each with arguments that the engine would take.
OUTSIDE_TABLES = [
    "file('/etc/hostname', 'LineAsString')",
    "fileCluster('default', '/etc/hostname', 'LineAsString')",
    "filesystem('/etc')",
    "url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "urlCluster('default', 'http://127.0.0.1:1/', 'CSV', 'a String')",
    "s3('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
    "s3Cluster('default', 'http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
    "gcs('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
    "oss('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
    "cosn('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
    "remote('127.0.0.1', system.one)",
    "remoteSecure('127.0.0.1', system.one)",
    "cluster('default', system.one)",
    "clusterAllReplicas('default', system.one)",
    "executable('id', 'TSV', 'a String')",
    "python('sessions')",
    "Python(sessions)",
    "input('a String')",
    "mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "jdbc('jdbc:x', 'd', 't')",
    "odbc('DSN=x', 't')",
    "hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'a String')",
    "azureBlobStorage('http://127.0.0.1:1', 'c', 'b', 'n', 'a2V5')",
    "mongodb('127.0.0.1:1', 'd', 'c', 'u', 'p', 'a String')",
    "redis('127.0.0.1:1', 'k', 'k String')",
    "sqlite('/tmp/x.db', 't')",
    "iceberg('http://127.0.0.1:1/bucket/x')",
    "icebergS3('http://127.0.0.1:1/bucket/x')",
    "icebergLocal('/etc')",
    "deltaLake('http://127.0.0.1:1/bucket/x')",
    "deltaLakeLocal('/etc')",
    "hudi('http://127.0.0.1:1/bucket/x')",
    "paimonLocal('/etc')",
    "bigquery('p', 'd', 't', 'token')",
    "ytsaurus('http://127.0.0.1:1', 'p', 't', 'a String')",
    "merge('other', '.*')",
    "merge('^t$')",
    "dictionary('d')",
    "loop(other.t)",
    "loop('other', 't')",
    "eval('SELECT 1')",
    "format('CSV', '1')",
    "fuzzQuery('SELECT 1')",
    "viewExplain('EXPLAIN AST', '', (SELECT 1))",
    "arrowstream('x')",
    "prometheusQuery(otel, 't', 'x', 1)",
    "timeSeriesData(otel, t)",
    "other.t",
    "`/etc/hostname`",
    "'/etc/hostname'",
]  # fmt: skip


@pytest.mark.parametrize("table", OUTSIDE_TABLES)
def test_a_table_outside_the_database_is_refused_anywhere_in_a_statement(
    sessions: Sessions, table: str
) -> None:
    for sql in (
        f"SELECT * FROM {table}",
        f"SELECT 1 WHERE 1 IN (SELECT * FROM {table})",
        f"WITH x AS (SELECT * FROM {table}) SELECT * FROM x",
        f"SELECT * FROM view(SELECT * FROM {table})",
        f"SELECT (SELECT count() FROM {table})",
        f"DESCRIBE TABLE {table}",
        f"EXPLAIN SELECT * FROM {table}",
    ):
        assert refusal(sessions, sql).code in (DENIED, 62, 60), sql


# Without fuzzQuery: it reads nothing outside, and its rows have no end.
@pytest.mark.parametrize("table", [name for name in OUTSIDE_TABLES if "fuzz" not in name])
def test_the_engine_refuses_a_table_outside_by_itself(sessions: Sessions, table: str) -> None:
    """The role's grants are enough, without examining the statement."""
    with sessions.connect(READ) as session:
        session.restrict({})
        with pytest.raises(EngineError):
            session._execute(f"SELECT * FROM {table}")


def test_a_view_reads_with_the_rights_of_the_session(sessions: Sessions) -> None:
    for view in ("peeping", "reaching"):
        for sql in (f"SELECT * FROM {view}", f"SELECT * FROM otel.{view} LIMIT 1"):
            assert refusal(sessions, sql).code == DENIED


def test_every_other_table_function_of_this_engine_is_refused(sessions: Sessions) -> None:
    """Also those that a newer engine adds."""
    with sessions.store.client() as client:
        names = {
            row[0] for row in client.query("SELECT name FROM system.table_functions").result_rows
        }
    for name in sorted(names):
        if name.lower() not in TABLE_FUNCTIONS:
            assert refusal(sessions, f"SELECT * FROM {name}('x')").code == DENIED


OUTSIDE_CALLS = [
    "file('/etc/hostname')",
    "`file`('/etc/hostname')",
    '"file"(\'/etc/hostname\')',
    "File('/etc/hostname')",
    "arrayMap(file, ['/etc/hostname'])",
    "arrayMap(x -> file(x), ['/etc/hostname'])",
    "filesystemAvailable()",
    "aiGenerate('x')",
    "AIEmbed('x')",
    "catboostEvaluate('/etc/hostname', 1)",
    "hasColumnInTable('127.0.0.1', 'u', 'p', 'system', 'one', 'dummy')",
    "dictGet('d', 'a', 1)",
    "joinGet('other.t', 'a', 1)",
    "reverseDNSQuery('127.0.0.1')",
    "getMacro('x')",
    "tcpPort()",
    "serverUUID()",
]  # fmt: skip


@pytest.mark.parametrize("call", OUTSIDE_CALLS)
def test_a_function_that_reads_outside_is_refused_anywhere_in_a_statement(
    sessions: Sessions, call: str
) -> None:
    text = call.replace("'", "\\'")
    for sql in (
        f"SELECT {call}",
        f"SELECT 1 WHERE {call} = ''",
        f"SELECT * FROM numbers(1) ORDER BY {call}",
        f"SELECT number FROM numbers(1) LIMIT 1 + length(toString({call}))",
        f"WITH {call} AS x SELECT x",
        f"WITH x AS (SELECT {call} AS y) SELECT y FROM x",
        f"SELECT sum(1) OVER (ORDER BY {call})",
        f"SELECT * FROM numbers(1) AS a JOIN numbers(1) AS b ON a.number = length({call})",
        f"SELECT * FROM numbers(length({call}))",
        f"SELECT * REPLACE ({call} AS number) FROM numbers(1)",
        f"SHOW TABLES WHERE name = {call}",
        f"DESCRIBE (SELECT {call})",
        f"EXPLAIN AST SELECT {call}",
        f"SELECT count() FROM otel_traces SETTINGS additional_table_filters = {{'otel_traces': '{text} = 1'}}",
        f"SELECT * FROM (SELECT 1 SETTINGS additional_result_filter = '{text} = 1')",
    ):
        assert refusal(sessions, sql).code == DENIED, sql


def test_a_function_can_be_named_without_a_call(sessions: Sessions) -> None:
    assert refusal(sessions, "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')").code == DENIED
    assert refusal(sessions, "SELECT COLUMNS('x') APPLY file FROM (SELECT 'a' AS x)").code == DENIED
    sql = "SELECT arrayMap({f:Identifier}, ['/etc/hostname'])"
    for name in ("file", "`file`", " file"):
        for text in (sql, f"SELECT 1 WHERE ({sql}) = []", f"DESCRIBE ({sql})"):
            assert refusal(sessions, text, parameters={"f": name}).code == DENIED
    for name in ("additional_table_filters", "additional_result_filter"):
        value = "{'otel_traces': 'file(SpanName) = 1'}" if "table" in name else "file('x') = 1"
        assert refusal(sessions, "SELECT 1", settings={name: value}).code == DENIED


def test_a_value_may_have_the_name_of_a_function(sessions: Sessions) -> None:
    assert run(sessions, "SELECT 'file', {a:String}", parameters={"a": "file"}) == "file\tfile\n"
    assert run(sessions, "SELECT 1 AS file") == "1\n"


def test_redundant_parentheses_are_accepted(sessions: Sessions) -> None:
    assert run(sessions, "SELECT (1 - number) AS o FROM numbers(2)") == "1\n0\n"
    assert run(sessions, "SELECT ((1)), (1, 2), (((SELECT (2)) + 1))") == "1\t(1,2)\t3\n"
    assert refusal(sessions, "SELECT ((file('/etc/hostname')))").code == DENIED


def test_every_function_of_this_engine_with_a_suspicious_name_is_on_the_list(
    sessions: Sessions,
) -> None:
    """A newer engine may have more of them: look at each, and add it to one of the lists."""
    suspicious = (
        "SELECT name FROM system.functions WHERE match(name, "
        "'(?i)(^ai[A-Z]|file|dns|dictGet|joinGet|catboost|evalML|naiveBayes|remote|http|execut|"
        "macro|zookeeper|serverUUID|tcpPort|ServerPort|fuzz|OSKernel|Schema$|InTable|RequestURL|"
        "secret)') AND NOT match(name, '(?i)profile')"
    )
    with sessions.store.client() as client:
        names = {row[0] for row in client.query(suspicious).result_rows}
    fuzzy_strings = {name for name in names if re.match(r"(multiF|f)uzz(y|Bits)", name)}
    # SCHEMA is currentDatabase; "InTable" is within randomPrintableASCII.
    harmless = {"SCHEMA", "hasThreadFuzzer", "randomPrintableASCII", *fuzzy_strings}
    assert {name for name in names if not OUTSIDE_FUNCTIONS.fullmatch(name)} <= harmless


STATEMENTS = {
    "INSERT INTO otel_traces VALUES (1)": DENIED,
    "INSERT INTO otel_traces SELECT * FROM otel_traces": DENIED,
    "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a UInt8') VALUES (1)": DENIED,
    "INSERT INTO otel_traces FROM INFILE '/etc/hostname' FORMAT CSV": DENIED,
    "SELECT 1 INTO OUTFILE '/tmp/x'": DENIED,
    "SELECT 1 INTO OUTFILE '/tmp/x' FORMAT CSV": DENIED,
    "CREATE TEMPORARY TABLE t (a UInt8)": NOT_IMPLEMENTED,
    "CREATE TABLE otel.t (a UInt8) ENGINE = Memory": DENIED,
    "CREATE TABLE otel.t (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')": DENIED,
    "CREATE VIEW otel.v AS SELECT 1": DENIED,
    "CREATE FUNCTION f AS x -> x": DENIED,
    "CREATE DATABASE d": DENIED,
    "CREATE DICTIONARY otel.d (a UInt8) PRIMARY KEY a SOURCE(NULL()) LIFETIME(0) LAYOUT(FLAT())": DENIED,
    "CREATE NAMED COLLECTION c AS a = 1": DENIED,
    "CREATE USER u": DENIED,
    "GRANT SELECT ON *.* TO default": DENIED,
    "ALTER TABLE otel_traces DELETE WHERE 1": DENIED,
    "ALTER TABLE otel_traces FREEZE": DENIED,
    "DELETE FROM otel_traces WHERE 1": DENIED,
    "UPDATE otel_traces SET SpanName = '' WHERE 1": DENIED,
    "TRUNCATE TABLE otel_traces": DENIED,
    "DROP TABLE otel_traces": DENIED,
    "DETACH TABLE otel_traces": DENIED,
    "ATTACH TABLE otel_traces": DENIED,
    "RENAME TABLE otel_traces TO t": DENIED,
    "EXCHANGE TABLES otel_traces AND otel_logs": DENIED,
    "OPTIMIZE TABLE otel_traces": DENIED,
    "CHECK TABLE otel_traces": DENIED,
    "BACKUP TABLE otel_traces TO File('/tmp/b')": DENIED,
    "RESTORE TABLE otel_traces FROM File('/tmp/b')": DENIED,
    "SYSTEM FLUSH LOGS": DENIED,
    "SYSTEM SHUTDOWN": DENIED,
    "KILL QUERY WHERE 1": DENIED,
    "SET max_threads = 1": NOT_IMPLEMENTED,
    "SET ROLE clew_engine": NOT_IMPLEMENTED,
    "SET profile = 'default'": NOT_IMPLEMENTED,
    "SET DEFAULT ROLE NONE TO default": NOT_IMPLEMENTED,
    "USE system": NOT_IMPLEMENTED,
    "EXECUTE AS default SELECT 1": NOT_IMPLEMENTED,
    "BEGIN TRANSACTION": NOT_IMPLEMENTED,
    "EXPLAIN AST INSERT INTO otel_traces SELECT 1": DENIED,
    "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:1', 'd', 't', 'u', 'p') PARTITION BY a": DENIED,
    "SELECT 1 PARALLEL WITH SELECT 2": DENIED,
    "DESCRIBE FILESYSTEM CACHE 'x'": DENIED,
    "SHOW ACCESS": DENIED,
    "SHOW CREATE USER default": DENIED,
    "SELECT 1; SELECT 2": 62,
    "SELECT 1; SET ROLE clew_engine": 62,
    "SELECT 1 /* */; /* */ SET ROLE clew_engine": 62,
}  # fmt: skip


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_that_does_not_read_is_refusal(sessions: Sessions, sql: str) -> None:
    assert refusal(sessions, sql).code == STATEMENTS[sql]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 SETTINGS max_threads = 8",
        "SELECT 1 SETTINGS max_threads = DEFAULT",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "SELECT 1 SETTINGS max_rows_to_read = 0",
        "SELECT 1 SETTINGS max_result_rows = 0",
        "SELECT 1 SETTINGS max_result_bytes = 99999999999",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS log_comment = 'x'",
        "SELECT 1 SETTINGS allow_python_table_function = 1",
        "SELECT 1 SETTINGS allow_introspection_functions = 1",
        "SELECT 1 SETTINGS allow_experimental_ai_functions = 1",
        "SELECT 1 SETTINGS format_template_resultset = '/etc/hostname'",
        "SELECT 1 SETTINGS format_schema = '/etc/hostname:x'",
        "SELECT 1 SETTINGS output_format_schema = '/tmp/x'",
        "SELECT 1 SETTINGS input_format_record_errors_file_path = '/tmp/x'",
        "SELECT 1 SETTINGS dialect = 'kusto'",
        "SELECT 1 SETTINGS compatibility = '21.1'",
        "SELECT * FROM (SELECT 1 SETTINGS max_threads = 8)",
        "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
        "WITH x AS (SELECT 1 SETTINGS max_memory_usage = 0) SELECT * FROM x",
        "SELECT 1 UNION ALL SELECT 2 SETTINGS max_threads = 8",
        "SELECT 1 WHERE 1 IN (SELECT 1 SETTINGS allow_python_table_function = 1)",
        "SELECT 1 FORMAT CSV SETTINGS max_threads = 8",
        "EXPLAIN SELECT 1 SETTINGS max_threads = 8",
        "DESCRIBE TABLE otel_traces SETTINGS max_threads = 8",
        "SELECT 1 SETTINGS profile = 'default'",
        "SELECT 1 SETTINGS param_f = 'file'",
    ],
)  # fmt: skip
def test_a_statement_cannot_raise_a_limit(sessions: Sessions, sql: str) -> None:
    assert refusal(sessions, sql).code in (CONSTRAINT, READONLY, 115)


@pytest.mark.parametrize("name", ["max_memory_usage", "max_execution_time", "readonly"])
def test_the_engine_enforces_the_settings_constraints_by_itself(
    sessions: Sessions, name: str
) -> None:
    with sessions.connect(READ) as session:
        session.restrict({})
        for value in (0, 10**12):
            with pytest.raises(EngineError) as caught:
                session._execute(f"SELECT 1 SETTINGS {name} = {value}")
            assert caught.value.code in (CONSTRAINT, READONLY, 1)
        with pytest.raises(EngineError):
            session._execute("SELECT 1 SETTINGS format_template_resultset = '/etc/hostname'")


def test_a_reader_may_list_and_describe_tables(sessions: Sessions) -> None:
    for table in (*EXPORTER_TABLES, "clew_traces", "clew_ledger", "otel_traces_trace_id_ts"):
        assert run(sessions, f"SELECT count() FROM otel.{table}") == "0\n"
    assert "otel_traces" in run(sessions, "SHOW TABLES")
    assert "otel" in run(sessions, "SHOW DATABASES").split()
    assert run(sessions, "EXISTS TABLE otel_traces") == "1\n"
    for sql in (
        "DESC otel_traces",
        'DESC TABLE "otel"."otel_traces"',
        "DESCRIBE (SELECT 1 AS a)",
        "SHOW CREATE TABLE otel_traces",
        "SHOW COLUMNS FROM otel_traces",
        "SHOW FUNCTIONS LIKE 'count'",
        "EXPLAIN SELECT count() FROM otel_traces",
        "SELECT * FROM system.columns WHERE database = 'otel' LIMIT 1",
        "SELECT * FROM information_schema.columns WHERE table_schema = 'otel' LIMIT 1",
        "SELECT * FROM INFORMATION_SCHEMA.TABLES LIMIT 1",
        "SELECT clew_id('61')",
        "SELECT name, value FROM system.settings LIMIT 1",
    ):
        assert run(sessions, sql) != "", sql


def test_every_table_that_a_reader_sees_can_be_described_and_read(sessions: Sessions) -> None:
    """Clients reflect all tables that are listed, in one of these ways. Landing tables, and a view
    with parameters, would be no tables to them."""
    columns = "SELECT DISTINCT table FROM system.columns WHERE database = 'otel'"
    for sql in (
        "SHOW TABLES FROM otel",
        "SELECT name FROM system.tables WHERE database = 'otel'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'otel'",
        columns,
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'otel'",
    ):
        tables = set(run(sessions, sql).split())
        assert {*EXPORTER_TABLES, "clew_traces"} <= tables, sql
        assert not {table for table in tables if table.startswith("clew_landing_")}, sql
    for table in (name for name in tables if name.startswith(("otel_", "clew_"))):
        assert run(sessions, f"DESCRIBE TABLE otel.{table}"), table
        assert run(sessions, f"SELECT count() FROM otel.{table}"), table
    for sql in (
        "DESCRIBE TABLE otel.clew_landing_traces",
        "SELECT * FROM otel.clew_landing_traces",
        "SHOW CREATE TABLE otel.clew_landing_traces_view",
    ):
        assert refusal(sessions, sql).code == DENIED


def test_the_queries_of_clew_pass_the_examination(sessions: Sessions) -> None:
    """The syntax tree covers the whole statement, however large it is."""
    for package in (STORAGE, ANALYSIS):
        for name, texts in write_queries.whole_queries(package).items():
            try:
                run(sessions, texts[0].replace("/*filters*/", ""))
            except EngineError as error:
                # Its parameters are missing, and nothing else is wrong with it.
                assert error.code == 456, (name, error)  # noqa: PT017


def test_system_tables_about_other_clients_have_no_rows(sessions: Sessions) -> None:
    with sessions.store.client() as client:
        tables = [
            row[0]
            for row in client.query(
                "SELECT name FROM system.tables WHERE database = 'system'"
            ).result_rows
        ]
        assert client.command("SELECT count() FROM system.processes") == 1
        assert client.command("SELECT count() FROM system.disks") == 1
    for table in set(tables) - SYSTEM_TABLES:
        try:
            assert run(sessions, f"SELECT * FROM system.{table} LIMIT 1") == "", table
        except EngineError as error:
            assert error.code in (DENIED, 139), table  # noqa: PT017
    assert run(sessions, "SHOW PROCESSLIST") == ""
    assert run(sessions, "SELECT count() FROM system.one") == "1\n"


def test_a_writer_may_describe_only_the_exporters_tables(sessions: Sessions) -> None:
    assert set(run(sessions, "SHOW TABLES", DESCRIBE).split()) == set(EXPORTER_TABLES)
    assert "TraceId" in run(sessions, "DESCRIBE TABLE otel_traces", DESCRIBE)
    assert run(sessions, "SELECT 1, version() != ''", DESCRIBE) == "1\t1\n"
    for sql in (
        "SELECT count() FROM otel_traces",
        "DESCRIBE TABLE clew_traces",
        "SELECT * FROM clew_ledger",
    ):
        assert refusal(sessions, sql, DESCRIBE).code == DENIED


# Inserts


def insert(sessions: Sessions, into: Insert, body: bytes, segment: int, role: str = WRITE) -> int:
    """How many rows were stored."""
    stored = sessions.insert(into, [body], segment, role=role)
    return sum(count.items for count in stored.values())


def test_inserted_rows_are_in_the_side_tables_and_in_the_ledger(
    sessions: Sessions,
) -> None:
    columns = ("Timestamp", "TraceId", "SpanId", "ServiceName")
    rows = b"\n".join(TRACE % str(number).encode() for number in range(1000))
    assert insert(sessions, Insert("otel_traces", columns, "JSONEachRow"), rows, 17) == 1000
    assert run(sessions, "SELECT count() FROM otel_traces WHERE Segment = 17") == "1000\n"
    assert run(sessions, "SELECT uniq(TraceId) FROM clew_traces") == "1000\n"
    ledger = (
        "SELECT Signal, ServiceName, Fate, Items FROM clew_ledger WHERE Segment = 17 ORDER BY Fate"
    )
    assert run(sessions, ledger) == "traces\t\treceived\t1000\ntraces\tweb\tstored\t1000\n"
    # clew's own columns are computed from the exporter's.
    version = TRACE[:-1] % b"v" + b',"ResourceAttributes":{"service.version":"7"}}'
    assert insert(sessions, Insert("otel_traces", (), "JSONEachRow"), version, 18) == 1
    assert run(sessions, "SELECT ServiceVersion FROM otel_traces WHERE Segment = 18") == "7\n"


@pytest.mark.parametrize(
    ("into", "body", "code"),
    [
        (Insert("clew_traces", ("TraceId",), "CSV"), b"x", DENIED),
        (Insert("clew_ledger", (), "CSV"), b"x", DENIED),
        (Insert("clew_landing_traces", (), "Protobuf"), b"x", DENIED),
        (Insert("otel_traces", ("Segment",), "CSV"), b"1", 16),
        (Insert("otel_traces", ("Nope",), "CSV"), b"1", 16),
        (Insert("otel_traces", ("TraceId",), "Nope"), b"1", 73),
        (Insert("otel_traces", ("TraceId",), "Template"), b"1", 73),
        (Insert("otel_traces", ("TraceId",), "Protobuf"), b"1", 73),
        (Insert("otel_traces", ("TraceId",), "Values"), b"(file('/etc/hostname'))", None),
        (Insert("otel_traces", ("TraceId",), "Values"), b"((SELECT 'x'))", None),
        (Insert("otel_traces", ("Duration",), "CSV"), b"x\n", None),
        (Insert("otel_traces", ("TraceId",), "Native"), b"\xff\xff", None),
    ],
)  # fmt: skip
def test_an_insert_is_refused_and_stores_nothing(
    sessions: Sessions, into: Insert, body: bytes, code: int | None
) -> None:
    before = run(sessions, "SELECT count() FROM otel_traces")
    with pytest.raises(EngineError) as caught:
        insert(sessions, into, body, 19)
    assert code is None or caught.value.code == code
    assert "clew-bodies" not in str(caught.value)
    assert run(sessions, "SELECT count() FROM otel_traces") == before
    assert run(sessions, "SELECT count() FROM clew_ledger WHERE Segment = 19") == "0\n"
    assert sessions.store.directory is not None
    assert list((sessions.store.directory / "clew-bodies").iterdir()) == []


@pytest.mark.parametrize("role", [READ, DESCRIBE])
def test_the_engine_refuses_an_insert_without_the_grant(sessions: Sessions, role: str) -> None:
    with pytest.raises(EngineError, match="Not enough privileges"):
        insert(sessions, Insert("otel_traces", ("TraceId",), "CSV"), b"x\n", 20, role)


def test_an_empty_insert_stores_nothing(sessions: Sessions) -> None:
    assert insert(sessions, Insert("otel_logs", (), "Native"), b"", 21) == 0


# Peers: other clews that use this one as their server


def write(sessions: Sessions, sql: str) -> None:
    with sessions.open(sql, role=PEER) as session:
        assert session.write_kind
        session.write(lambda: True)


def peer_refusal(sessions: Sessions, sql: str) -> EngineError:
    """The error with which a peer's statement is refused."""
    with pytest.raises(EngineError) as caught, sessions.open(sql, role=PEER) as session:
        if session.write_kind:
            session.write(lambda: True)
        else:
            b"".join(session.read("TabSeparated"))
    return caught.value


def test_a_peer_may_do_everything_in_the_database(sessions: Sessions) -> None:
    for sql in (
        "CREATE DATABASE IF NOT EXISTS otel",
        "CREATE OR REPLACE FUNCTION clew_twice AS x -> 2 * x",
        "CREATE TABLE otel.t (a UInt8, at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY a "
        "SETTINGS index_granularity = 1024",
        "CREATE TABLE otel.u (a UInt16) ENGINE = ReplacingMergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW otel.t_view TO otel.u AS SELECT clew_twice(a) AS a FROM otel.t",
        "INSERT INTO otel.t (a) SELECT number FROM numbers(10) SETTINGS max_insert_threads = 1",
        "ALTER TABLE otel.t MODIFY TTL at + toIntervalDay(3) "
        "SETTINGS materialize_ttl_after_modify = 0",
        "ALTER TABLE otel.t MODIFY SETTING min_age_to_force_merge_seconds = 3600",
        "ALTER TABLE otel.t_view MODIFY QUERY SELECT 3 * a AS a FROM otel.t",
        "DELETE FROM otel.t WHERE a IN (SELECT 1) SETTINGS lightweight_deletes_sync = 2",
        "INSERT INTO otel.t (a) SELECT 100",
        "KILL QUERY WHERE query_id = 'none' SYNC",
    ):
        write(sessions, sql)
    assert run(sessions, "SELECT count(), max(a) FROM otel.t", PEER) == "10\t100\n"
    assert run(sessions, "SELECT sum(a) FROM otel.u", PEER) == "390\n"
    assert run(sessions, "SELECT count() > 0 FROM system.parts", PEER) == "1\n"
    for sql in (
        "TRUNCATE TABLE otel.t",
        "ALTER TABLE otel.t DROP PARTITION ID 'all'",
        "DROP VIEW otel.t_view SYNC",
        "DROP TABLE otel.t",
        "DROP TABLE otel.u",
    ):
        write(sessions, sql)


def test_a_peers_rows_are_stored_unchanged(sessions: Sessions) -> None:
    row = b'{"Timestamp":"2026-11-22 10:00:00","TraceId":"peer","ServiceName":"web","Segment":77}'
    insert = Insert("otel_traces", (), "JSONEachRow")
    sessions.insert_peer_rows(insert, [row], {}, lambda: True)
    stored = "SELECT Segment FROM otel.otel_traces WHERE TraceId = 'peer'"
    assert run(sessions, stored, PEER) == "77\n"
    assert run(sessions, "SELECT count() FROM otel.clew_ledger WHERE Segment = 77", PEER) == "0\n"
    with pytest.raises(EngineError):
        sessions.insert_peer_rows(insert, [row], {}, lambda: False)
    assert run(sessions, stored, PEER) == "77\n"
    for settings in ({"format_schema": "/etc/hostname:x"}, {"allow_python_table_function": "1"}):
        with pytest.raises(EngineError) as caught:
            sessions.insert_peer_rows(insert, [row], settings, lambda: True)
        assert caught.value.code in (DENIED, CONSTRAINT)


@pytest.mark.parametrize("table", OUTSIDE_TABLES)
def test_a_table_outside_the_database_is_refused_to_a_peer(sessions: Sessions, table: str) -> None:
    for sql in (
        f"SELECT * FROM {table}",
        f"INSERT INTO otel.otel_logs (Body) SELECT * FROM {table}",
        f"INSERT INTO FUNCTION {table} SELECT 1",
        f"CREATE VIEW otel.v AS SELECT * FROM {table}",
        f"CREATE TABLE otel.v ENGINE = Memory AS SELECT * FROM {table}",
        f"CREATE TABLE otel.v AS {table}",
        f"DELETE FROM otel.otel_logs WHERE 1 IN (SELECT 1 FROM {table})",
    ):
        assert peer_refusal(sessions, sql).code in (DENIED, 48, 60, 62, 390), sql


@pytest.mark.parametrize("call", OUTSIDE_CALLS)
def test_a_function_that_reads_outside_is_refused_to_a_peer(sessions: Sessions, call: str) -> None:
    for sql in (
        f"SELECT {call}",
        f"CREATE FUNCTION clew_out AS x -> {call}",
        f"CREATE VIEW otel.v AS SELECT {call}",
        f"CREATE TABLE otel.v (a String DEFAULT toString({call})) ENGINE = Memory",
        f"INSERT INTO otel.otel_logs (Body) SELECT toString({call})",
        f"DELETE FROM otel.otel_logs WHERE toString({call}) = ''",
        f"ALTER TABLE otel.otel_logs DELETE WHERE toString({call}) = ''",
        f"ALTER TABLE otel.otel_logs MODIFY TTL InsertedAt + toIntervalDay(length(toString({call})))",
        f"KILL QUERY WHERE toString({call}) = ''",
    ):
        assert peer_refusal(sessions, sql).code == DENIED, sql


@pytest.mark.parametrize(
    "sql",
    [
        *(sql for sql, code in STATEMENTS.items() if code != DENIED),
        "CREATE TABLE otel.v (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
        "CREATE TABLE otel.v (a String) ENGINE = File('CSV')",
        "CREATE TABLE otel.v (a String) ENGINE = Executable('x', 'CSV')",
        "CREATE TABLE otel.v (a String) ENGINE = Distributed('c', 'otel', 't')",
        "CREATE TABLE otel.v (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'",
        "CREATE TABLE otel.v (a UInt8) ENGINE = MergeTree ORDER BY a "
        "SETTINGS disk = disk(type = 'local', path = '/tmp/')",
        "CREATE TABLE other.v (a UInt8) ENGINE = Memory",
        "CREATE DATABASE d",
        "CREATE DATABASE otel ENGINE = PostgreSQL('127.0.0.1:1', 'd', 'u', 'p')",
        "CREATE DICTIONARY otel.d (a UInt8) PRIMARY KEY a SOURCE(NULL()) LIFETIME(0) LAYOUT(FLAT())",
        "CREATE VIEW otel.v SQL SECURITY NONE AS SELECT 1",
        "CREATE VIEW otel.v AS SELECT * FROM other.t",
        "CREATE VIEW otel.v AS SELECT 'x' IN system.one",
        "CREATE MATERIALIZED VIEW otel.v TO other.t AS SELECT 1 AS a FROM otel.otel_logs",
        "CREATE USER u",
        "CREATE NAMED COLLECTION c AS a = 1",
        "GRANT ALL ON *.* TO default",
        "ATTACH TABLE otel.v FROM '/etc' (a UInt8) ENGINE = MergeTree ORDER BY a",
        "ALTER TABLE otel.otel_logs FREEZE",
        "ALTER TABLE otel.otel_logs MODIFY SETTING storage_policy = 'x'",
        "ALTER TABLE otel.otel_logs MOVE PARTITION ID '20260101' TO DISK 'x'",
        "ALTER TABLE otel.otel_logs FETCH PARTITION ID '20260101' FROM '/x'",
        "ALTER TABLE otel.otel_logs ON CLUSTER c DELETE WHERE 1",
        "ALTER TABLE otel.peeping MODIFY SQL SECURITY NONE",
        "INSERT INTO other.t SELECT 1",
        "INSERT INTO otel.otel_logs FROM INFILE '/etc/hostname' FORMAT CSV",
        "INSERT INTO otel.otel_logs (Body) SELECT 1 SETTINGS allow_python_table_function = 1",
        "INSERT INTO otel.otel_logs (Body) SELECT 1 SETTINGS format_schema = '/etc/hostname:x'",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT * FROM other.t",
        "SELECT * FROM otel.peeping",
        "SELECT * FROM otel.reaching",
        "DROP TABLE other.t",
        "DROP DATABASE other",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP MERGES",
        "BACKUP TABLE otel.otel_logs TO File('/tmp/b')",
    ],
)  # fmt: skip
def test_a_peer_may_do_nothing_outside_the_database(sessions: Sessions, sql: str) -> None:
    assert peer_refusal(sessions, sql).code in (
        DENIED,
        NOT_IMPLEMENTED,
        CONSTRAINT,
        36,
        62,
        115,
        536,
    )


def test_a_peer_ends_only_the_statements_of_peers(sessions: Sessions) -> None:
    """It sees the statements of clew itself as well, and cannot end them."""
    ended: dict[str, bool] = {}

    def peer() -> None:
        sql = "SELECT sum(sleepEachRow(0.1)) FROM numbers(50) SETTINGS max_block_size = 1"
        try:
            run(sessions, f"{sql}, log_comment = 'peer'", PEER)
            ended["peer"] = False
        except EngineError as error:
            ended["peer"] = error.code == 394

    def engine() -> None:
        with sessions.store.client() as client:
            sql = "SELECT sum(sleepEachRow(0.1)) FROM numbers(20) SETTINGS max_block_size = 1"
            ended["clew"] = str(client.command(f"{sql}, log_comment = 'clew'")) != "0"

    threads = [threading.Thread(target=run_statement) for run_statement in (peer, engine)]
    for thread in threads:
        thread.start()
    count = "SELECT count() FROM system.processes WHERE Settings['log_comment'] IN ('clew', 'peer')"
    while run(sessions, count, PEER) != "2\n":
        time.sleep(0.05)
    write(sessions, "KILL QUERY WHERE Settings['log_comment'] != '' SYNC")
    for thread in threads:
        thread.join()
    assert ended == {"peer": True, "clew": False}
