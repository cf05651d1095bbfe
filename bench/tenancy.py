"""What tenants cost when they are kept apart in one of four ways, measured with the real engine.

    python bench/tenancy.py [--tenants 1 10 100]

process    a data directory and a `clew up` for each tenant; one is measured
column     one database: Tenant leads every key, and a row policy filters every read by it
partition  the same, with partitions for each tenant
database   a database with the whole schema for each tenant, and a role that may read it alone

In a round every tenant sends so many spans: `column` and `partition` put them into one INSERT,
`database` takes one for each tenant. Times are CPU times of all threads: insert, schema, list,
trace and drop for one tenant, merge and copy for a span. `freed` is a part of the tenant's bytes.
The second figure is the ratio to `process`: it carries to other machines, the first does not.
docs/adr/0017-tenancy.md says what was decided.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bodies
from process import Up

from clew.storage import Store, rights
from clew.storage.ingest import TRACES
from clew.storage.inserts import INSERT_SETTINGS
from clew.storage.messages import OTLP_PROTO
from clew.storage.migrations import FUNCTION, known_migrations
from clew.storage.sql import STORAGE, sql_of

WAYS = ("process", "column", "partition", "database")
SIZES = (8, 64, 4096)  # spans of a tenant in a round
ROUNDS = {1: 9, 10: 3}  # by the number of tenants, else 1; the least counts
READS = 20  # the median counts
CALM, IDLE = 45.0, 15.0  # seconds after a start, and then of the measurement
TABLES = ("otel_traces", *(side.name for side in TRACES.sides), "clew_operations")
# Whose session it is: a setting that it cannot change. (The embedded engine has no custom ones.)
TAG = "query_cache_tag"
POLICY = f"has(enabledRoles(), '{rights.ENGINE}') OR Tenant = getSetting('{TAG}')"
# Tenant 0 runs these; an answer that has the name of tenant 1, or of its service, is a leak.
HOSTILE = (
    "SELECT DISTINCT ServiceName FROM {other}.otel_traces",
    "SELECT min(ServiceName), max(ServiceName) FROM {other}.clew_operations",
    "SELECT DISTINCT arrayJoin(Services) FROM {other}.clew_traces FINAL",
    "SELECT DISTINCT ServiceName FROM {other}.otel_traces SETTINGS query_cache_tag = 't1'",
    "SELECT * FROM (SELECT ServiceName FROM {other}.otel_traces SETTINGS query_cache_tag = 't1')",
    "SELECT count() FROM {other}.otel_traces PREWHERE throwIf(ServiceName = 'service-1') = 0",
    "SELECT DISTINCT ServiceName FROM {other}.otel_traces SETTINGS additional_table_filters = {{}}",
    "SELECT DISTINCT ServiceName FROM merge(REGEXP('^otel'), '^otel_traces$')",
    "SELECT DISTINCT ServiceName FROM mergeTreeIndex('{other}', 'otel_traces')",
    "SELECT DISTINCT s.ServiceName FROM numbers(1) AS n, {other}.otel_traces AS s",
    "SELECT partition FROM system.parts WHERE partition LIKE '%t1%'",
    "SELECT 't1' FROM system.tables WHERE total_rows > (SELECT count() FROM {mine}.otel_traces)",
)


class Trial:
    """One way with so many tenants, in an engine of this process."""

    def __init__(self, way: str, tenants: int, directory: Path) -> None:
        self.way, self.tenants, self.directory = way, tenants, directory
        self.shared = way in ("column", "partition")
        is_apart = way == "database"
        self.databases = [f"otel_{each}" if is_apart else "otel" for each in range(tenants)]
        with patch.object(rights, "_users", self._users(rights._users)):
            self.store = Store(f"chdb://{directory}/db")
        self._client = self.store.client().__enter__()

    def _users(self, write: Callable[..., str]) -> Callable[..., str]:
        """The configuration of the engine's users, with what keeps tenants apart."""
        reads = {} if self.way != "database" else {f"read_{name}": name for name in self.databases}
        roles = (rights._role(role, f"GRANT SELECT ON {name}.*") for role, name in reads.items())
        filters = (f"<{table}><filter>{POLICY}</filter></{table}>" for table in TABLES)
        replaced = {
            "<roles>": f"<roles>{''.join(roles)}",
            f"GRANT {rights.ENGINE},": f"GRANT {', '.join((rights.ENGINE, *reads))},",
            "<databases>": f"<databases><otel>{''.join(filters) * self.shared}</otel>",
        }

        def users(*arguments: Any) -> str:
            text = write(*arguments)
            for old, new in replaced.items():
                text = text.replace(old, new)
            return text

        return users

    def run(self, sql: str) -> float:
        """CPU seconds that a statement takes."""
        began = time.process_time()
        self._client.command(sql)
        return time.process_time() - began

    def run_for_tables(self, sql: str) -> float:
        names = [f"{base}.{table}" for base in dict.fromkeys(self.databases) for table in TABLES]
        return sum(self.run(sql.format(table=name)) for name in names)

    def make_schema(self) -> float:
        """CPU seconds for a database."""
        took, databases = 0.0, list(dict.fromkeys(self.databases))
        for database in databases:
            for each in known_migrations():
                sql = _with_tenant(each.name, each.sql, self.way) if self.shared else each.sql
                is_filled = each.name.endswith("_filled")  # from what an older database has
                if not is_filled and (each.kind != FUNCTION or database == databases[0]):
                    took += self.run(re.sub(r"\botel(?=\.|$)", database, sql))
        return took / len(databases)

    def insert(self, spans: int) -> float:
        """CPU milliseconds for one tenant's part of a round."""
        schema, path = self.directory / "otlp.proto", self.directory / "segment"
        segments = [
            bodies.traces(spans, 10, tenant, f"service-{tenant}") for tenant in range(self.tenants)
        ]
        if self.shared:  # behind the requests stands whose each is
            names = [f"t{tenant}".encode() for tenant in range(self.tenants)]
            tenants = b"".join(b"\xd2\x3e" + bytes([len(name)]) + name for name in names)
            segments = [b"".join(segments) + tenants]
        declared = "message Traces { repeated string tenants = 1002;"
        schema.write_text(OTLP_PROTO.read_text().replace("message Traces {", declared))
        settings = INSERT_SETTINGS | {"format_schema": f"{schema}:Traces"}
        clause = ", ".join(
            f"{name} = '{settings[name]}'" for name in settings if "wait" not in name
        )
        took = 0.0
        for number, segment in enumerate(segments):
            path.write_bytes(segment + b"\xc1\x3e" + struct.pack("<Q", number + 1))
            took += self.run(
                f"INSERT INTO {self.databases[number]}.clew_landing_traces FROM INFILE '{path}' "
                f"SETTINGS {clause} FORMAT ProtobufSingle"
            )
        return took / self.tenants * 1e3

    def size(self) -> int:
        """Bytes of all active parts."""
        sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database LIKE 'otel%'"
        return int(self._client.query(sql).result_rows[0][0])

    def session(self, tenant: int) -> Callable[..., str]:
        """Runs statements with the rights of a tenant."""
        connection = self.store.connect()
        role = rights.READ if self.way != "database" else f"read_{self.databases[tenant]}"
        for sql in (f"{TAG} = 't{tenant}'", f"ROLE {role}", f"profile = '{rights.PROFILE}'"):
            connection.query(f"SET {sql}", "Null")
        return lambda sql, **given: connection.query(sql, "TSV", params=given).bytes().decode()

    def read(self, query: str, **parameters: str) -> float:
        """CPU milliseconds of a query of the API for a tenant."""
        tenant, took = self.tenants // 2, []
        run, sql = self.session(tenant), sql_of(STORAGE, query)
        for _ in range(READS):
            began = time.process_time()
            assert run(sql.replace("otel.", f"{self.databases[tenant]}."), **parameters)
            took.append(time.process_time() - began)
        return statistics.median(took) * 1e3

    def leaks(self) -> list[str]:
        """The hostile statements that tell tenant 0 something of tenant 1."""
        run, leaks = self.session(0), []
        for statement in HOSTILE:
            sql = statement.format(mine=self.databases[0], other=self.databases[1])
            try:
                answer = run(sql)
            except RuntimeError as error:
                answer = "t1" if "throwIf" in str(error) else ""
            if re.search(r"service-1\b|\bt1\b", answer):
                leaks.append(sql)
        return leaks

    def delete(self, tenant: int) -> float:
        """CPU milliseconds until no active part has rows of a tenant."""
        if self.way == "database":
            return self.run(f"DROP DATABASE {self.databases[tenant]} SYNC") * 1e3
        if self.way == "column":
            where = f"WHERE Tenant = 't{tenant}' SETTINGS mutations_sync = 2"
            return self.run_for_tables(f"ALTER TABLE {{table}} DELETE {where}") * 1e3
        parts = self._client.query(
            "SELECT DISTINCT table, partition_id FROM system.parts "
            f"WHERE active AND database = 'otel' AND match(partition, '\\\\bt{tenant}\\\\b')"
        ).result_rows
        drops = [f"ALTER TABLE otel.{table} DROP PARTITION ID '{part}'" for table, part in parts]
        return sum(map(self.run, drops)) * 1e3


def _with_tenant(name: str, sql: str, way: str) -> str:
    """What makes a table or a view of spans, with Tenant in front."""
    if name == "clew_landing_traces":
        return sql.replace("segment UInt64", "segment UInt64, tenants Array(String)")
    if name == "clew_landing_traces_view":
        landing = "otel.clew_landing_traces"
        joined = f"{landing} ARRAY JOIN resource_spans AS resource, tenants AS Tenant)"
        sql = sql.replace(f"{landing})", joined).replace("arrayJoin(resource_spans) AS ", "")
        sql = sql.replace("SELECT segment,", "SELECT segment, Tenant,")
        return sql.replace("segment AS Segment", "segment AS Segment, Tenant")
    if name in TABLES:
        sql = sql.replace("\n(", "\n(Tenant LowCardinality(String) CODEC(ZSTD(1)),", 1)
        sql = re.sub(r"ORDER BY \(?(.*?)\)?\nSETTINGS", r"ORDER BY (Tenant, \1)\nSETTINGS", sql)
        if way == "partition":
            day = re.compile(r"(?<=PARTITION BY )(.*?)(?=\nORDER)", re.DOTALL)
            sql = day.sub(r"(Tenant, \1)", sql)
    elif name.removesuffix("_view") in TABLES:
        sql = sql.replace("SELECT\n", "SELECT Tenant,\n", 1)
        sql = sql.replace("GROUP BY ", "GROUP BY Tenant, ")
    return sql


def measure(trial: Trial) -> dict[str, Any]:
    figures: dict[str, Any] = {"schema s": trial.make_schema()}
    trial.insert(SIZES[0])  # the engine reads in its code
    trial.run("SYSTEM STOP MERGES")
    for spans in SIZES:
        took = []
        for _ in range(ROUNDS.get(trial.tenants, 1)):
            trial.run_for_tables("TRUNCATE TABLE {table}")
            took.append(trial.insert(spans))
        figures[f"in {spans} ms"] = min(took)
    trial.run("SYSTEM START MERGES")
    spans = trial.tenants * SIZES[-1]
    figures["merge us"] = trial.run_for_tables("OPTIMIZE TABLE {table} FINAL") / spans * 1e6
    size = trial.size()
    figures["B/span"] = size / spans
    hour = int(time.time()) // 3600 * 3600
    window = {name: str(hour - 3600) for name in ("start", "first_hour", "first_minute")}
    window |= {name: str(hour + 3600) for name in ("end", "last_hour", "last_minute")}
    page = {"environment": "\\N", "after_count": "\\N", "after_id": "", "limit": "50"}
    figures["list ms"] = trial.read("transactions", **window, **page)
    trace = bodies.trace_id(trial.tenants // 2)
    figures["trace ms"] = trial.read("trace_spans", trace_id=trace, limit="1000")
    base, rows = trial.databases[0], spans if trial.shared else SIZES[-1]
    trial.run(f"CREATE TABLE {base}.copied AS {base}.otel_traces")
    copied = trial.run(f"INSERT INTO {base}.copied SELECT * FROM {base}.otel_traces")
    figures["copy us"] = copied / rows * 1e6
    trial.run(f"DROP TABLE {base}.copied SYNC")
    if trial.tenants > 1:
        figures["leaks"] = trial.leaks()
        figures["drop ms"] = trial.delete(1)
        figures["freed"] = (size - trial.size()) / size * trial.tenants
    return figures


def idle(cpu: Callable[[], float], status: Path) -> dict[str, Any]:
    """Of a process that has just started on what `measure` left."""
    opened = cpu()
    time.sleep(CALM)
    began = cpu()
    time.sleep(IDLE)
    taken, memory = cpu() - began, int(status.read_text().split("VmRSS:")[1].split()[0])
    return {"open s": opened, "MB": memory / 1e3, "idle %": taken / IDLE * 100}


def work(kind: str, way: str, tenants: int, directory: Path) -> dict[str, Any]:
    """Some of the figures of a way, measured in this process."""
    if kind == "idle" and way == "process":
        with Up(directory) as up:
            return idle(up.cpu, Path(f"/proc/{up.pid}/status"))
    trial = Trial(way, tenants, directory)
    status = Path("/proc/self/status")
    return measure(trial) if kind == "measure" else idle(time.process_time, status)


def figures_of(way: str, tenants: int, kinds: Iterable[str]) -> dict[str, Any]:
    """Of a way, each kind measured in a process of its own."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        for kind in kinds:
            child = [sys.executable, __file__, "--work", kind, way, str(tenants), directory]
            done = subprocess.run(child, check=True, stdout=subprocess.PIPE)
            figures |= json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        kind, way, count, directory = given.work
        print(json.dumps(work(kind, way, int(count), Path(directory))))
        return
    alone: dict[str, Any] = {}
    for way in WAYS:
        for tenants in [1] if way == "process" else given.tenants:
            is_last = way == "process" or tenants == max(given.tenants)
            figures = figures_of(way, tenants, ["measure", *["idle"] * is_last])
            alone = alone or figures
            print(f"{way}, {tenants}", *figures.pop("leaks", ()), sep="\n  leak: ")
            for name, figure in figures.items():
                ratio = f"{figure / alone[name]:>8.2f}" if name in alone else ""
                print(f"  {name:12} {figure:>10,.1f} {ratio}", flush=True)


if __name__ == "__main__":
    main()
