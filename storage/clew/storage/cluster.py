"""The schema on a ClickHouse cluster, made from the same files as on one node, and the names of its
tables there.

On a cluster a table of the schema is one of two things. Most are *sharded*: `otel_local.X` on every
node holds the rows of the node's shard (Replicated…MergeTree), and `otel.X`, the name that all
readers and writers use, is a Distributed table over them. All rows of a trace, and its rows in the
side tables that views keep, are on one shard. A few small tables, on which decisions depend, are
*whole*: every node has all rows (one replication group over all shards). Landing tables and the
views that read them are on every node and write through the Distributed tables; plain views read
those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

DATABASE, LOCAL = "otel", "otel_local"

_TRACE = "cityHash64(TraceId)"
_OPERATION = "cityHash64(ServiceName, SpanName)"
_POINT = "cityHash64(ServiceName, MetricName, ResourceAttributes['service.instance.id'])"
_OCCURRENCE = "cityHash64(Transaction, Key)"

# The sharding key of each sharded table. Rows that replace one another must have the same key:
# every shard applies FINAL to its own rows only, and would keep both.
SHARDED = {
    "otel_traces": _TRACE,
    "otel_logs": f"if(TraceId = '', cityHash64(ServiceName, Timestamp, Body), {_TRACE})",
    "otel_metrics_gauge": _POINT,
    "otel_metrics_sum": _POINT,
    "otel_metrics_histogram": _POINT,
    "otel_metrics_exponential_histogram": _POINT,
    "otel_metrics_summary": _POINT,
    "clew_traces": _TRACE,
    "clew_span_exceptions": _TRACE,
    "clew_log_exceptions": _TRACE,
    "clew_log_events": "cityHash64(Minute)",
    "clew_roots": _OPERATION,
    "clew_log_templates": "cityHash64(ServiceName)",
    "clew_operations_1m": _OPERATION,
    "clew_operations_1h": _OPERATION,
    "clew_operations": _OPERATION,
    "clew_watch_1m": _OPERATION,
    "clew_watch_1h": "Series",
    "clew_settled": _TRACE,
    "clew_entry_services": _OPERATION,
    "clew_edges_1m": "cityHash64(Minute)",
    "clew_attributes": "cityHash64(Source, Key)",
    "clew_occurrence_traces": _OCCURRENCE,
    "clew_occurrences": _OCCURRENCE,
}

SETTINGS: dict[str, int | str] = {
    # An insert returns when its rows are on every shard, on the majority of the shard's replicas.
    "distributed_foreground_insert": 1,
    "insert_quorum": "auto",
    # Subqueries run once, on the node that received the statement, and their result is sent to the
    # shards. If every shard ran them, a LIMIT would apply per shard, and the rows of a whole table
    # might not have reached its node yet.
    "prefer_global_in_and_join": 1,
    "distributed_product_mode": "global",
    "parallel_distributed_insert_select": 0,
}

_HEADS = {
    kind: re.compile(rf"^({pattern})", re.MULTILINE)
    for kind, pattern in {
        "table": r"CREATE TABLE IF NOT EXISTS otel\.(?P<name>\w+)",
        "alter": r"ALTER TABLE otel\.(?P<name>\w+)",
        "view": r"(?:CREATE (?:OR REPLACE )?(?:MATERIALIZED )?|DROP )VIEW (?:IF (?:NOT )?EXISTS )?"
        r"otel\.(?P<name>\w+)",
        "function": r"CREATE OR REPLACE FUNCTION (?P<name>\w+)",
        "database": r"CREATE DATABASE IF NOT EXISTS (?P<name>\w+)",
    }.items()
}
_ENGINE = re.compile(r"^ENGINE = (?:(\w*MergeTree)(?:\((.*)\))?|Memory)$", re.MULTILINE)
_INDEX = re.compile(r"\b(?:ADD|MATERIALIZE) INDEX\b")
_TABLE_NAME = re.compile(r"\botel\.(\w+)")


@dataclass(frozen=True)
class Cluster:
    """A ClickHouse cluster, by the name that its servers give it; with the name "", a single node.

    Table names are those of the schema, without a database."""

    name: str = ""

    @property
    def on_cluster(self) -> str:
        """The clause that runs a statement on every node; "" on a single node."""
        return f" ON CLUSTER '{self.name}'" if self.name else ""

    @property
    def settings(self) -> dict[str, int | str]:
        """The settings that every statement needs on a cluster."""
        return SETTINGS if self.name else {}

    @property
    def databases(self) -> list[str]:
        """The databases that hold clew's tables."""
        return [DATABASE, LOCAL] if self.name else [DATABASE]

    @property
    def kill(self) -> str:
        """A statement that ends the queries whose log_comment is the parameter `tag`, without
        waiting for their end."""
        return f"KILL QUERY{self.on_cluster} WHERE Settings['log_comment'] = {{tag:String}} ASYNC"

    def local_table(self, table: str) -> str:
        """The full name of the table that holds a node's own rows of `table`."""
        return f"{self._database_of(table)}.{table}"

    def shard_table(self, table: str) -> str:
        """The local table with ON CLUSTER: the target of ALTER and DELETE."""
        return f"{self.local_table(table)}{self.on_cluster}"

    def over_all_nodes(self, sql: str) -> str:
        """The query with system.processes read from every node of the cluster."""
        processes = "system.processes"
        all_nodes = f"clusterAllReplicas('{self.name}', {processes})" if self.name else processes
        return sql.replace(processes, all_nodes)

    def statements(self, sql: str) -> list[str]:
        """The statements that apply one statement of the schema to every node."""
        if not self.name:
            return [sql]
        for kind, pattern in _HEADS.items():
            if head := pattern.search(sql):
                end = head.end()
                on_cluster = f"{sql[:end]}{self.on_cluster}{sql[end:]}"
                return list(getattr(self, f"_{kind}")(on_cluster, head["name"]))
        return [sql]  # INSERT … SELECT, through the Distributed tables

    def engine(self, table: str, engine: str | None, arguments: str | None) -> str:
        """The ENGINE clause of a replicated `table`. `engine` and `arguments` are those of the
        schema; the engine None stands for Memory."""
        group, replica = (
            ("{shard}", "{replica}") if table in SHARDED else ("all", "{shard}-{replica}")
        )
        replication = f"'/clickhouse/tables/{group}/otel/{table}', '{replica}'"
        if engine is None:
            return f"ENGINE = ReplicatedMergeTree({replication})\nORDER BY tuple()"
        return f"ENGINE = Replicated{engine}({', '.join(filter(None, (replication, arguments)))})"

    def _table(self, sql: str, name: str) -> Iterator[str]:
        local = _ENGINE.sub(lambda engine: self.engine(name, engine[1], engine[2]), sql)
        if name not in SHARDED:
            yield local
            return
        yield _use_local_tables(local, {name})
        yield (
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.{name}{self.on_cluster} AS {LOCAL}.{name}\n"
            f"ENGINE = Distributed('{self.name}', {LOCAL}, {name}, {SHARDED[name]})"
        )

    def _alter(self, sql: str, name: str) -> Iterator[str]:
        if self._database_of(name) == LOCAL:
            yield _use_local_tables(sql, {*SHARDED, name})
            if name.endswith("_view") or _INDEX.search(sql):  # what a Distributed table has none of
                return
        yield sql

    def _view(self, sql: str, name: str) -> Iterator[str]:
        is_local = self._database_of(name) == LOCAL
        yield _use_local_tables(sql, {*SHARDED, name}) if is_local else sql

    def _function(self, sql: str, _: str) -> Iterator[str]:
        yield sql

    def _database(self, sql: str, name: str) -> Iterator[str]:
        yield sql
        yield sql.replace(name, LOCAL, 1)

    def _database_of(self, name: str) -> str:
        """The database of a node's own rows of a table, or of the view that fills it (X_view
        fills X)."""
        is_sharded = name.removesuffix("_view") in SHARDED
        return LOCAL if self.name and is_sharded else DATABASE


SINGLE_NODE = Cluster()


def _use_local_tables(sql: str, tables: Collection[str]) -> str:
    """The statement with these tables in the local database, that is with the node's own rows."""
    return _TABLE_NAME.sub(
        lambda match: f"{LOCAL if match[1] in tables else DATABASE}.{match[1]}", sql
    )
