"""The schema on a ClickHouse cluster, from the same files as on one node, and how tables are named
there.

On a cluster a table of the schema is one of two things. Most are *sharded*: `otel_local.X` on every
node holds the rows of its shard (Replicated…MergeTree), and `otel.X`, the name that everybody reads
and writes, is Distributed over them. A trace has all its rows, and those of the side tables that
views keep, on one shard. A few small tables, of which decisions are made, are *whole*: every node
has all rows (one replication group over all shards). Landing tables and the views that read them
are on every node and write through the Distributed tables; plain views read those.
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

# On which shard a row is. A table whose rows replace one another has them by what is replaced, or
# FINAL, which every shard does for itself, would leave both.
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
    "clew_operations_1m": _OPERATION,
    "clew_operations_1h": _OPERATION,
    "clew_operations": _OPERATION,
    "clew_settled": _TRACE,
    "clew_entry_services": _OPERATION,
    "clew_edges_1m": "cityHash64(Minute)",
    "clew_attributes": "cityHash64(Source, Key)",
    "clew_occurrence_traces": _OCCURRENCE,
    "clew_occurrences": _OCCURRENCE,
}

SETTINGS: dict[str, int | str] = {
    # An insert returns when its rows are on every shard, on most replicas of each: of two, on both.
    "distributed_foreground_insert": 1,
    "insert_quorum": "auto",
    # Part of a statement is worked out once, where it was asked, and sent along: on each shard for
    # itself, its LIMIT would be of the shard, and a small table's rows perhaps not there yet.
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
_NAMED = re.compile(r"\botel\.(\w+)")


@dataclass(frozen=True)
class Cluster:
    """A cluster as its servers know it by `name`; without one, a database on one node."""

    name: str = ""

    @property
    def everywhere(self) -> str:
        """What a statement says to be run on every node."""
        return f" ON CLUSTER '{self.name}'" if self.name else ""

    @property
    def settings(self) -> dict[str, int | str]:
        """What every statement is run with."""
        return SETTINGS if self.name else {}

    @property
    def databases(self) -> list[str]:
        return [DATABASE, LOCAL] if self.name else [DATABASE]

    @property
    def kill(self) -> str:
        """Ends the statements whose log_comment is the `tag`, and does not wait for them."""
        return f"KILL QUERY{self.everywhere} WHERE Settings['log_comment'] = {{tag:String}} ASYNC"

    def rows_of(self, table: str) -> str:
        """The table in which a node has its rows of a table."""
        return f"{self._home(table)}.{table}"

    def stored(self, table: str) -> str:
        """That table on every node: what ALTER and DELETE are said of."""
        return f"{self.rows_of(table)}{self.everywhere}"

    def asked(self, sql: str) -> str:
        """A query, with what runs on every node where it asks what runs."""
        processes = "system.processes"
        everywhere = f"clusterAllReplicas('{self.name}', {processes})" if self.name else processes
        return sql.replace(processes, everywhere)

    def statements(self, sql: str) -> list[str]:
        """What is run for a statement of the schema."""
        if not self.name:
            return [sql]
        for kind, head in _HEADS.items():
            if found := head.search(sql):
                end = found.end()
                everywhere = f"{sql[:end]}{self.everywhere}{sql[end:]}"
                return list(getattr(self, f"_{kind}")(everywhere, found["name"]))
        return [sql]  # INSERT … SELECT, through the Distributed tables

    def engine(self, table: str, engine: str | None, arguments: str | None) -> str:
        """A table's engine (None: Memory) with its rows on several nodes: those of its shard, or
        all of them."""
        group, replica = (
            ("{shard}", "{replica}") if table in SHARDED else ("all", "{shard}-{replica}")
        )
        of = f"'/clickhouse/tables/{group}/otel/{table}', '{replica}'"
        if engine is None:
            return f"ENGINE = ReplicatedMergeTree({of})\nORDER BY tuple()"
        return f"ENGINE = Replicated{engine}({', '.join(filter(None, (of, arguments)))})"

    def _table(self, sql: str, name: str) -> Iterator[str]:
        local = _ENGINE.sub(lambda engine: self.engine(name, engine[1], engine[2]), sql)
        if name not in SHARDED:
            yield local
            return
        yield _renamed(local, {name})
        yield (
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.{name}{self.everywhere} AS {LOCAL}.{name}\n"
            f"ENGINE = Distributed('{self.name}', {LOCAL}, {name}, {SHARDED[name]})"
        )

    def _alter(self, sql: str, name: str) -> Iterator[str]:
        if self._home(name) == LOCAL:
            yield _renamed(sql, {*SHARDED, name})
        if not name.endswith("_view") or self._home(name) == DATABASE:
            yield sql

    def _view(self, sql: str, name: str) -> Iterator[str]:
        yield _renamed(sql, {*SHARDED, name}) if self._home(name) == LOCAL else sql

    def _function(self, sql: str, _: str) -> Iterator[str]:
        yield sql

    def _database(self, sql: str, name: str) -> Iterator[str]:
        yield sql
        yield sql.replace(name, LOCAL, 1)

    def _home(self, name: str) -> str:
        """The database of a table, or of a view that keeps one (X_view keeps X)."""
        is_sharded = name.removesuffix("_view") in SHARDED
        return LOCAL if self.name and is_sharded else DATABASE


ALONE = Cluster()


def _renamed(sql: str, names: Collection[str]) -> str:
    """The statement about the rows of a node's own shard."""
    return _NAMED.sub(lambda it: f"{LOCAL if it[1] in names else DATABASE}.{it[1]}", sql)
