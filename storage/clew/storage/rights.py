"""The embedded engine's access rights: its users, roles and settings profiles, as configuration.

Every connection to the embedded engine is the user `default`, and everything that this user may do
comes from roles. clew's own clients keep the role `clew_engine`. A session for a client's SQL
(clew.storage.session) gives that role up for one of the others, and takes a profile under which
only the settings on a list can be changed. The engine enforces both; nothing here reads SQL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from clew.storage.kinds import METRIC_KINDS

ENGINE, READ, DESCRIBE, WRITE = "clew_engine", "clew_read", "clew_describe", "clew_write"
# A peer is another clew that uses this one as its ClickHouse server. It may do everything in the
# database otel, and nothing outside of it. Two kinds of its statements have a role of their own:
# the INSERT that reads its rows from a file on this machine, and KILL QUERY, under which only the
# statements of peers are visible and can be ended.
PEER, PEER_INSERT, PEER_KILL = "clew_peer", "clew_peer_insert", "clew_peer_kill"
ROLES = (ENGINE, READ, DESCRIBE, WRITE, PEER, PEER_INSERT, PEER_KILL)
PROFILE, PEER_PROFILE = "clew_session", "clew_peer_session"
FOLDER = "clew-access"  # in the engine's directory: the configuration
BODIES = "clew-bodies"  # in the engine's directory: bodies of inserts that are running

EXPORTER_TABLES = {"otel_traces": "traces", "otel_logs": "logs"} | {
    f"otel_metrics_{kind}": "metrics" for kind in METRIC_KINDS
}

# Landing tables hold no rows, and their columns have the form of OTLP's messages: a client that
# lists the database's tables does not see them, nor the views that read them.
HIDE_LANDING_TABLES = "REVOKE SHOW, SELECT ON otel.clew_landing_*"

# The settings that a client may set, in a statement or beside it: they change what the rows are and
# how they are written. None of them names a file, an address or a program.
CLIENT_SETTINGS = re.compile(
    r"additional_(table_filters|result_filter)|aggregate_functions_null_for_empty"
    r"|allow_experimental_analyzer|allow_suspicious_types_in_(group|order)_by"
    r"|any_join_distinct_right_table_keys|asterisk_include_(alias|materialized)_columns"
    r"|bool_(true|false)_representation|cast_keep_nullable|convert_query_to_cnf"
    r"|count_distinct_implementation|count_distinct_optimization|date_time_(in|out)put_format"
    r"|date_time_overflow_behavior|describe_(compact_output|include_subcolumns)"
    r"|distributed_product_mode|empty_result_for_aggregation_by_(constant_keys_on_)?empty_set"
    r"|enable_(analyzer|positional_arguments|unaligned_array_join|order_by_all)"
    r"|enable_(extended_results_for_datetime_functions|named_columns_in_function_tuple)"
    r"|enable_optimize_predicate_expression|extremes|final|force_(index_by_date|primary_key)"
    r"|format_csv_(delimiter|allow_(single|double)_quotes|null_representation)"
    r"|format_tsv_null_representation|formatdatetime_\w+|function_json_value_return_type_\w+"
    r"|group_by_use_nulls|(group_by|distinct|join|read|result|set|sort|timeout)_overflow_mode"
    r"|(join|transform)_null_in|join_(algorithm|any_take_last_row|default_strictness|use_nulls)"
    r"|joined_subquery_requires_alias|limit|max_block_size|offset|optimize_\w+"
    r"|prefer_(column_name_to_alias|global_in_and_join)|session_timezone"
    r"|single_join_prefer_left_table|totals_(auto_threshold|mode)"
    r"|union_default_mode|(except|intersect)_default_mode|use_client_time_zone|use_skip_indexes"
    r"|(in|out)put_format_(?!schema$|record_errors|values_(interpret|deduce)|\w*(local_file|rows_in_file))\w+"
)

# The settings that a peer may set: these, and those of its statements and tables that limit
# resources, that say what a statement waits for, and how rows are stored. None of them names a
# file, an address or a program either.
PEER_SETTINGS = re.compile(
    rf"{CLIENT_SETTINGS.pattern}"
    r"|readonly|log_comment|async_insert|max_(threads|insert_threads|execution_time|memory_usage|rows_to_read)"
    r"|max_result_(rows|bytes)|max_(partitions_per_)?insert_block(_size\w*)?"
    r"|min_insert_block_size_\w+|throw_on_max_partitions_per_insert_block|max_query_size"
    r"|deduplicate_insert(_select)?|insert_(deduplicat\w+|quorum\w*)|select_sequential_consistency"
    r"|deduplicate_blocks_in_dependent_materialized_views|parallel_view_processing"
    r"|exclude_materialize_skip_indexes_on_insert|materialize_ttl_after_modify"
    r"|(lightweight_deletes|mutations|alter)_sync|short_circuit_function_evaluation"
    r"|query_plan_\w+|distributed_(foreground_insert|ddl_\w+)"
    r"|index_granularity\w*|ttl_only_drop_parts|fsync_(after_insert|part_directory)"
    r"|min_(compressed_)?bytes_(for|to)_\w+|min_rows_for_\w+|min_age_to_force_merge_\w+"
    r"|vertical_merge_algorithm_\w+|merge_with_ttl_timeout|lightweight_mutation_projection_mode"
    r"|non_replicated_deduplication_window|propagate_types_serialization_versions_to_nested_types"
)

# Resource limits of a client's statement: the default of a setting, and the maximum that a client
# may set. The minimum is 1: zero would mean no limit.
BOUNDS = {
    "max_execution_time": (60, 60),
    "max_threads": (2, 2),
    "max_rows_to_read": (5_000_000_000, 5_000_000_000),
    "max_result_rows": (10_000_000, 10_000_000),
    "max_result_bytes": (1 << 30, 1 << 30),
}
MEMORY = "max_memory_usage"
MAX_MEMORY = 2 << 30  # bytes for one statement; at most an eighth of the engine's memory

# Settings of every session for a client that differ from the engine's defaults.
FIXED_SETTINGS = {
    "readonly": "2",  # the role's rights forbid writing; 1 would forbid SETTINGS in a statement
    "async_insert": "0",
    "input_format_values_interpret_expressions": "0",  # an expression could call file()
    "input_format_values_deduce_templates_of_expressions": "0",
    "allow_python_table_function": "0",  # it reads variables of this process
    "log_comment": "",  # the session's tag, by which its statement is found and killed
}
# A peer tags its statements with log_comment itself, so its sessions are tagged by this setting,
# which has no other effect here.
PEER_TAG = "query_cache_tag"
PEER_FIXED_SETTINGS = {
    name: value for name, value in FIXED_SETTINGS.items() if not PEER_SETTINGS.fullmatch(name)
}
PEER_DEFAULTS = {"async_insert": "0", "max_execution_time": "600"}
# The schema by which a peer's segments are decoded. A driver checks that it may set these before it
# sends rows; in a statement they are refused, since they can name a file.
SCHEMA_SETTINGS = ("format_schema", "format_schema_source", "format_schema_message_name")

# The tables of `system` that have rows in a client's session: what describes the engine and the
# database, nothing about other clients' statements, the disk or the machine.
_SYSTEM_TABLES = """
aggregate_function_combinators build_options collations columns completions constraints
contributors current_roles data_skipping_indices data_type_families database_engines databases
dictionaries enabled_roles formats functions keywords licenses numbers numbers_mt one primes
privileges projections settings table_engines table_functions tables time_zones unicode
user_defined_functions zeros zeros_mt
"""
SYSTEM_TABLES = frozenset(_SYSTEM_TABLES.split())
PEER_SYSTEM_TABLES = frozenset(("disks", "merge_tree_settings", "parts", "processes"))


@dataclass(frozen=True)
class Bound:
    """A setting's default, and the maximum that a client may set."""

    name: str
    default: int
    maximum: int


def bounds(memory: int) -> dict[str, Bound]:
    """The bounds of a session, by setting, in an engine that may use `memory` bytes."""
    statement = min(MAX_MEMORY, memory // 8)
    rows = BOUNDS | {MEMORY: (statement, statement)}
    return {name: Bound(name, default, maximum) for name, (default, maximum) in rows.items()}


# When the engine looks again at a table that had nothing to merge: after so many seconds, each time
# so many times later, up to ten minutes. By default these are 0.1 and 1.1: forty looks in a minute
# after an insert, and as many for streams, which no table has. With forty tables, 0.3 % of a core.
BACKGROUND = {
    "background_processing_pool_thread_sleep_seconds_if_nothing_to_do": 0.5,
    "background_processing_pool_task_sleep_seconds_when_no_work_multiplier": 1.5,
    "background_streaming_processing_pool_thread_sleep_seconds_if_nothing_to_do": 600,
}


def write_configuration(
    directory: Path, memory: int, query: Callable[[str], Iterable[str]]
) -> Path:
    """Write the configuration for an engine in `directory` that may use `memory` bytes. Returns the
    path that the engine takes as its `config-file`.

    `query` runs a SELECT of one column in an engine of the same version and returns its values.
    Raises OSError when the files cannot be written."""
    folder = directory / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    users = folder / "users.xml"
    _replace(users, _users(bounds(memory), query))
    config = folder / "config.xml"
    _replace(
        config,
        f"<clickhouse><users_config>{escape(str(users))}</users_config>"
        f"{''.join(f'<{name}>{value}</{name}>' for name, value in BACKGROUND.items())}"
        "</clickhouse>\n",
    )
    return config


def _replace(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return  # so that clew starts on a full disk
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _users(limits: dict[str, Bound], query: Callable[[str], Iterable[str]]) -> str:
    settings = sorted(query("SELECT name FROM system.settings"))
    tables = sorted(query("SELECT name FROM system.tables WHERE database = 'system'"))
    return f"""<clickhouse>
<profiles>
<default></default>
<{PROFILE}><constraints>
{"".join(_constraint(name, limits) for name in settings)}</constraints></{PROFILE}>
<{PEER_PROFILE}><constraints>
{"".join(_peer_constraint(name) for name in settings)}</constraints></{PEER_PROFILE}>
</profiles>
<roles>
{_role(ENGINE, "GRANT ALL ON *.* WITH GRANT OPTION")}
{_role(READ, "GRANT SHOW, SELECT ON otel.*", HIDE_LANDING_TABLES, *_information_schema_grants())}
{_role(DESCRIBE, *_describe_grants(), *_information_schema_grants())}
{_role(WRITE, *_insert_grants())}
{_role(PEER, *_peer_grants())}
{_role(PEER_INSERT, *_peer_grants(), "GRANT READ ON FILE, CREATE TEMPORARY TABLE ON *.*")}
{_role(PEER_KILL, "GRANT KILL QUERY ON *.*")}
</roles>
<users><default>
<password></password><networks><ip>::/0</ip></networks>
<profile>default</profile><quota>default</quota>
<grants>{_query_element(f"GRANT {', '.join(ROLES)}")}</grants>
<databases><system>
{"".join(_row_filter(name) for name in tables if name not in SYSTEM_TABLES)}</system></databases>
</default></users>
<quotas><default></default></quotas>
</clickhouse>
"""


def _peer_constraint(name: str) -> str:
    free = PEER_SETTINGS.fullmatch(name) and name not in PEER_FIXED_SETTINGS
    return "" if free or name in SCHEMA_SETTINGS else f"<{name}><const/></{name}>\n"


def _constraint(name: str, limits: dict[str, Bound]) -> str:
    if name in limits:
        return f"<{name}><min>1</min><max>{limits[name].maximum}</max></{name}>\n"
    return (
        ""
        if CLIENT_SETTINGS.fullmatch(name) and name not in FIXED_SETTINGS
        else f"<{name}><const/></{name}>\n"
    )


def _role(name: str, *grants: str) -> str:
    return f"<{name}><grants>{''.join(map(_query_element, grants))}</grants></{name}>"


def _query_element(text: str) -> str:
    return f"<query>{escape(text)}</query>"


def _information_schema_grants() -> list[str]:
    return [f"GRANT SELECT ON {name}.*" for name in ("information_schema", "INFORMATION_SCHEMA")]


def _describe_grants() -> list[str]:
    return [f"GRANT SHOW TABLES, SHOW COLUMNS ON otel.{table}" for table in EXPORTER_TABLES]


def _insert_grants() -> list[str]:
    inserts = [f"GRANT INSERT ON otel.{table}" for table in EXPORTER_TABLES]
    # The views read the base table's columns with the inserting role's rights. The rows are in a
    # file, and the statement that reads it is clew's: no client's statement runs under this role.
    return [*inserts, "GRANT SELECT ON otel.*", "GRANT READ ON FILE, CREATE TEMPORARY TABLE ON *.*"]


def _peer_grants() -> list[str]:
    """Without the ALTERs that move, fetch or freeze partitions."""
    rows = ("UPDATE", "DELETE", "COLUMN", "INDEX", "PROJECTION", "ORDER BY", "TTL")
    alter = ", ".join(f"ALTER {kind}" for kind in (*rows, "SETTINGS", "VIEW"))
    return [
        "GRANT SHOW, SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, "
        f"DROP VIEW, TRUNCATE, OPTIMIZE, {alter} ON otel.*",
        "GRANT CREATE FUNCTION, DROP FUNCTION ON *.*",
        *_information_schema_grants(),
    ]


def _row_filter(table: str) -> str:
    """The filter by which a table of `system` has rows under certain roles only."""
    roles = (ENGINE, PEER) if table in PEER_SYSTEM_TABLES else (ENGINE,)
    condition = " OR ".join(f"has(enabledRoles(), '{role}')" for role in roles)
    if table == "processes":
        condition += f" OR has(enabledRoles(), '{PEER_KILL}') AND Settings['{PEER_TAG}'] != ''"
    return f"<{table}><filter>{condition}</filter></{table}>\n"
