"""Who may do what in the embedded engine: its users, roles and profiles, as its own configuration.

The engine has one user that anybody becomes, `default`. What it may do it has from roles alone: a
client of clew's own keeps the role `clew_engine`, a session that serves somebody else's statement
(clew.storage.sessions) gives it up for one of the others, and has settings that no statement
changes but for those on a list. The engine refuses what a role lacks; nothing here reads SQL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from clew.storage.kinds import KINDS

ENGINE, READ, DESCRIBE, WRITE = "clew_engine", "clew_read", "clew_describe", "clew_write"
# Another clew, for which this one is the server: all of database otel, and nothing beyond it. Rows
# that come with a statement are in a file here, which this statement alone may read; it sees what
# everybody runs, and ends what another clew runs.
OWN, OWN_ROWS, OWN_KILL = "clew_own", "clew_own_rows", "clew_own_kill"
ROLES = (ENGINE, READ, DESCRIBE, WRITE, OWN, OWN_ROWS, OWN_KILL)
PROFILE, OWN_PROFILE = "clew_session", "clew_own_session"
FOLDER = "clew-access"  # in the engine's directory
BODIES = "clew-bodies"  # there too: what is being inserted

EXPORTER_TABLES = {"otel_traces": "traces", "otel_logs": "logs"} | {
    f"otel_metrics_{kind}": "metrics" for kind in KINDS
}

# The settings that a statement, or its client, may set: those that say what the rows are and how
# they are written. No setting of these names a file, an address or a program.
FREE_SETTINGS = re.compile(
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

# What another clew sets besides, for its statements and for its tables: how much they may take, how
# they wait, and how rows are stored. None of these either.
OWN_SETTINGS = re.compile(
    rf"{FREE_SETTINGS.pattern}"
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

# What a statement of somebody else may take: for each setting what it is when nothing is said, and
# the most that may be asked for (the least is 1: zero would mean no limit).
BOUNDS = {
    "max_execution_time": (60, 60),
    "max_threads": (2, 2),
    "max_rows_to_read": (5_000_000_000, 5_000_000_000),
    "max_result_rows": (10_000_000, 10_000_000),
    "max_result_bytes": (1 << 30, 1 << 30),
}
MEMORY = "max_memory_usage"
MOST_MEMORY = 2 << 30  # bytes of one statement; a small engine gives an eighth of what it may have

# What is other than the engine's default in such a session, whoever asks.
FIXED = {
    "readonly": "2",  # the rights of a role forbid writing; 1 would forbid SETTINGS of a statement
    "async_insert": "0",
    "input_format_values_interpret_expressions": "0",  # an expression may call file()
    "input_format_values_deduce_templates_of_expressions": "0",
    "allow_python_table_function": "0",  # it reads this process's variables
    "log_comment": "",  # a session's own, by which it is found to be ended
}
# Of another clew's: it marks its statements itself, so ours is another one that means nothing here.
OWN_MARK = "query_cache_tag"
OWN_FIXED = {name: FIXED[name] for name in FIXED if not OWN_SETTINGS.fullmatch(name)}
OWN_USUAL = {"async_insert": "0", "max_execution_time": "600"}
# By which its segments are decoded. A driver asks whether it may set them before it sends rows; in
# a statement they are refused, for they can name a file.
SCHEMA = ("format_schema", "format_schema_source", "format_schema_message_name")

# The tables of `system` that have rows for such a session: what there is to ask about, nothing of
# what others ask, of the disk, or of the machine.
_SYSTEM_TABLES = """
aggregate_function_combinators build_options collations columns completions constraints
contributors current_roles data_skipping_indices data_type_families database_engines databases
dictionaries enabled_roles formats functions keywords licenses numbers numbers_mt one primes
privileges projections settings table_engines table_functions tables time_zones unicode
user_defined_functions zeros zeros_mt
"""
SYSTEM_TABLES = frozenset(_SYSTEM_TABLES.split())
OWN_SYSTEM_TABLES = frozenset(("disks", "merge_tree_settings", "parts", "processes"))


@dataclass(frozen=True)
class Bound:
    """What a setting is, and the most that it may be."""

    name: str
    usual: int
    most: int


def bounds(memory: int) -> dict[str, Bound]:
    """The bounds of a session in an engine that may have so many bytes of `memory`."""
    statement = min(MOST_MEMORY, memory // 8)
    rows = BOUNDS | {MEMORY: (statement, statement)}
    return {name: Bound(name, usual, most) for name, (usual, most) in rows.items()}


def write(directory: Path, memory: int, names: Callable[[str], Iterable[str]]) -> Path:
    """Write the configuration of an engine in `directory`; the file that it is to be given.

    `names` asks an engine of the same version: the rows of a SELECT of one column."""
    folder = directory / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    users = folder / "users.xml"
    _put(users, _users(bounds(memory), names))
    config = folder / "config.xml"
    _put(config, f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>\n")
    return config


def _put(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return  # a full disk is no reason not to start
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _users(limits: dict[str, Bound], names: Callable[[str], Iterable[str]]) -> str:
    settings = sorted(names("SELECT name FROM system.settings"))
    tables = sorted(names("SELECT name FROM system.tables WHERE database = 'system'"))
    return f"""<clickhouse>
<profiles>
<default></default>
<{PROFILE}><constraints>
{"".join(_constraint(name, limits) for name in settings)}</constraints></{PROFILE}>
<{OWN_PROFILE}><constraints>
{"".join(_own_constraint(name) for name in settings)}</constraints></{OWN_PROFILE}>
</profiles>
<roles>
{_role(ENGINE, "GRANT ALL ON *.* WITH GRANT OPTION")}
{_role(READ, "GRANT SHOW, SELECT ON otel.*", *_information_schema())}
{_role(DESCRIBE, *_described(), *_information_schema())}
{_role(WRITE, *_written())}
{_role(OWN, *_owned())}
{_role(OWN_ROWS, *_owned(), "GRANT READ ON FILE, CREATE TEMPORARY TABLE ON *.*")}
{_role(OWN_KILL, "GRANT KILL QUERY ON *.*")}
</roles>
<users><default>
<password></password><networks><ip>::/0</ip></networks>
<profile>default</profile><quota>default</quota>
<grants>{_query(f"GRANT {', '.join(ROLES)}")}</grants>
<databases><system>
{"".join(_hidden(name) for name in tables if name not in SYSTEM_TABLES)}</system></databases>
</default></users>
<quotas><default></default></quotas>
</clickhouse>
"""


def _own_constraint(name: str) -> str:
    free = OWN_SETTINGS.fullmatch(name) and name not in OWN_FIXED
    return "" if free or name in SCHEMA else f"<{name}><const/></{name}>\n"


def _constraint(name: str, limits: dict[str, Bound]) -> str:
    if name in limits:
        return f"<{name}><min>1</min><max>{limits[name].most}</max></{name}>\n"
    return (
        ""
        if FREE_SETTINGS.fullmatch(name) and name not in FIXED
        else f"<{name}><const/></{name}>\n"
    )


def _role(name: str, *grants: str) -> str:
    return f"<{name}><grants>{''.join(map(_query, grants))}</grants></{name}>"


def _query(text: str) -> str:
    return f"<query>{escape(text)}</query>"


def _information_schema() -> list[str]:
    return [f"GRANT SELECT ON {name}.*" for name in ("information_schema", "INFORMATION_SCHEMA")]


def _described() -> list[str]:
    return [f"GRANT SHOW TABLES, SHOW COLUMNS ON otel.{table}" for table in EXPORTER_TABLES]


def _written() -> list[str]:
    inserts = [f"GRANT INSERT ON otel.{table}" for table in EXPORTER_TABLES]
    # The views read the base table's columns as the writer. What is inserted lies in a file; the
    # statement that reads it is ours, nobody else's statement is run as this role.
    return [*inserts, "GRANT SELECT ON otel.*", "GRANT READ ON FILE, CREATE TEMPORARY TABLE ON *.*"]


def _owned() -> list[str]:
    """ALTER of partitions that are moved, fetched or frozen is not among it."""
    rows = ("UPDATE", "DELETE", "COLUMN", "INDEX", "PROJECTION", "ORDER BY", "TTL")
    alter = ", ".join(f"ALTER {each}" for each in (*rows, "SETTINGS", "VIEW"))
    return [
        "GRANT SHOW, SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, "
        f"DROP VIEW, TRUNCATE, OPTIMIZE, {alter} ON otel.*",
        "GRANT CREATE FUNCTION, DROP FUNCTION ON *.*",
        *_information_schema(),
    ]


def _hidden(table: str) -> str:
    """No rows for who has not the engine's own role."""
    roles = (ENGINE, OWN) if table in OWN_SYSTEM_TABLES else (ENGINE,)
    condition = " OR ".join(f"has(enabledRoles(), '{role}')" for role in roles)
    if table == "processes":
        condition += f" OR has(enabledRoles(), '{OWN_KILL}') AND Settings['{OWN_MARK}'] != ''"
    return f"<{table}><filter>{condition}</filter></{table}>\n"
