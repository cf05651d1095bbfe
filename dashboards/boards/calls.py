"""What services call: databases, queues, external hosts, and each other."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard

import sql
from boards.shared import environment, service, to_service
from panels import (
    ERROR_SHARE,
    Board,
    Panel,
    choice,
    graph_of,
    lines_of,
    row,
    table_of,
    to_board,
    to_trace,
)

TYPES = ("database", "external", "queue", "service")
THESE = f"""Type != 'consumed' AND {sql.chosen("Source", "service")}
            AND {sql.chosen("Type", "type")} AND {sql.chosen("Target", "target")}"""
SEARCH = ("Traces at this time", to_board("clew-traces", around="${__value.time}"))


def board() -> Board:
    return Board(
        uid="clew-calls",
        title="clew: Databases and external calls",
        description=__doc__ or "",
        variables=[environment(), service(), type_(), target()],
        rows=[
            row("Over time", 8, rates(), error_shares(), latencies()),
            row("What is called", 9, targets()),
            row("Third parties", 9, third_parties()),
            row("Callers", 12, graph()),
            row("How it is called", 10, summaries()),
            row("The slowest calls", 10, slowest()),
        ],
    )


def type_() -> dashboard.QueryVariable:
    return choice("type", "Type", f"SELECT arrayJoin({list(TYPES)}) AS type")


def target() -> dashboard.QueryVariable:
    where = f"{sql.chosen('Source', 'service')} AND {sql.chosen('Type', 'type')}"
    return choice(
        "target",
        "Target",
        f"SELECT DISTINCT Target FROM {sql.edges(where)} WHERE Target != '' ORDER BY Target LIMIT 1000",
    )


def rates() -> Panel:
    about = "Calls per second to each database, queue, host and service."
    return by_target("Calls", "sum(Count) / $__interval_s", "reqps", about=about, stacked=True)


def error_shares() -> Panel:
    about = "The share of calls in error. Dashed lines: 1 % and 5 %."
    value = sql.share("sum(Errors)", "sum(Count)")
    return by_target("Errors", value, "percentunit", about=about, limits=ERROR_SHARE)


def latencies() -> Panel:
    p95 = f"quantilesDDMerge({sql.QUANTILES})(Sketch)[3] / 1e6"
    return by_target("Latency, p95", p95, "ms", about="95 of 100 calls were faster than this.")


def by_target(title: str, value: str, unit: str, **more: Any) -> Panel:
    statement = f"""
        SELECT {sql.by_step("Minute")}, concat(Type, ' ', Target) AS label, {value} AS value
        FROM {sql.edges(THESE)}
        GROUP BY time, label
        ORDER BY time, label
        LIMIT 50000
    """
    return lines_of(title, statement, unit, links=[SEARCH], **more)


def targets() -> Panel:
    return table_of(
        "Databases, queues, hosts and services",
        f"""
        SELECT toString(Type) AS type, toString(Target) AS target, {sql.red("p50", "p95", "p99")},
            sum(DurationSum) / 1e6 AS total, arrayStringConcat(groupUniqArray(50)(toString(Source)), ', ') AS callers
        FROM {sql.edges(THESE)}
        GROUP BY type, target
        ORDER BY total DESC, type, target
        LIMIT 200
        """,
        about="What is called, by the time that all calls took together, with the callers.",
        limits={"error_share": ERROR_SHARE},
        units={"error_share": "percentunit"}
        | dict.fromkeys(("p50", "p95", "p99", "slowest", "total"), "ms"),
        gauges=["total"],
    )


def third_parties() -> Panel:
    """As `GET /api/v1/dependencies/external` compares them."""
    begin, finish = "toUnixTimestamp($__fromTime)", "toUnixTimestamp($__toTime)"
    times = f"""Minute >= $__fromTime - toIntervalDay(7) AND Minute < $__toTime
            AND modulo({finish} - 1 - toUnixTimestamp(Minute), 86400) < {finish} - {begin}"""
    p95 = f"quantilesDDMergeIf({sql.QUANTILES})"
    return table_of(
        "Third parties, and what is usual of them",
        f"""
        SELECT toString(Target) AS host, sumIf(Count, day = 0) AS calls,
            {sql.share("sumIf(Errors, day = 0)", "sumIf(Count, day = 0)")} AS error_share,
            {sql.share("sumIf(Errors, day > 0)", "sumIf(Count, day > 0)")} AS usual_error_share,
            {p95}(Sketch, day = 0)[3] / 1e6 AS p95, {p95}(Sketch, day > 0)[3] / 1e6 AS usual_p95,
            uniqExactIf(day, day > 0) AS days,
            arrayStringConcat(groupUniqArray(50)(toString(Source)), ', ') AS callers
        FROM (
            SELECT *, intDiv({finish} - 1 - toUnixTimestamp(Minute), 86400) AS day
            FROM otel.clew_edges_1m
            WHERE Type = 'external' AND Target != '' AND {times} AND {sql.in_environment()}
                AND {sql.chosen("Source", "service")} AND {sql.chosen("Target", "target")}
                AND (Minute, Version) IN (
                    SELECT Minute, max(Version) FROM otel.clew_edges_1m WHERE {times} GROUP BY Minute)
        )
        GROUP BY host
        HAVING calls > 0
        ORDER BY calls DESC, host
        LIMIT 200
        """,
        about="External hosts in the window (of a longer one in its last day) and at the same time of the seven days before. "
        "The API's dependencies/external, and the page Third parties of the web UI, say which are degraded or down.",
        limits={"error_share": ERROR_SHARE},
        units={"error_share": "percentunit", "usual_error_share": "percentunit", "p95": "ms", "usual_p95": "ms"},
        gauges=["calls"],
    )  # fmt: skip


def graph() -> Panel:
    shown = f"""SELECT toString(Source) AS source, toString(Target) AS target, toString(Type) AS type,
            sum(Count) AS calls, sum(Errors) AS errors, quantilesDDMerge({sql.QUANTILES})(Sketch)[3] / 1e6 AS p95
        FROM {sql.edges("1=1")}
        WHERE Source != '' AND Target != ''
        GROUP BY source, target, type
        ORDER BY calls DESC, source, target, type
        LIMIT 300"""
    return graph_of(
        "Who calls whom",
        f"""
        SELECT id, id AS title, concat(toString(sum(in_calls)), ' calls') AS mainstat,
            {sql.share("sum(in_errors)", "sum(in_calls)")} AS arc__errors, 1 - arc__errors AS arc__ok
        FROM (
            SELECT source AS id, 0 AS in_calls, 0 AS in_errors FROM ({shown})
            UNION ALL
            SELECT target, calls, errors FROM ({shown})
        )
        GROUP BY id
        ORDER BY id
        LIMIT 600
        """,
        f"""
        SELECT concat(source, ' → ', target, ' ', type) AS id, source, target,
            concat(toString(calls), ' calls') AS mainstat, concat(toString(round(p95, 1)), ' ms') AS secondarystat
        FROM ({shown})
        ORDER BY id
        """,
        about="The 300 busiest edges; for a queue also its consumers.",
    )


# From whole traces, and from spans


def summaries() -> Panel:
    calls = "Call.Source, Call.Target, Call.Type, Call.Summary, Call.Duration, Call.IsError"
    return table_of(
        "Statements and operations",
        f"""
        SELECT call.3 AS type, call.2 AS target, call.1 AS service, call.4 AS summary,
            concat(any(ServiceName), ': ', topK(1)(SpanName)[1]) AS transaction,
            sum(OneIn) AS calls, sumIf(OneIn, call.6) AS errors,
            sum(call.5 * OneIn) / 1e6 AS total,
            quantilesDD(0.01, 0.95)(call.5)[1] / 1e6 AS p95
        FROM (
            SELECT ServiceName, SpanName, toUInt64(OneIn) AS OneIn, arrayJoin(arrayZip({calls})) AS call
            FROM otel.clew_settled FINAL
            PREWHERE {sql.in_window("Timestamp")}
            WHERE {sql.in_environment()}
        )
        WHERE {sql.chosen("service", "service")} AND {sql.chosen("type", "type")} AND {sql.chosen("target", "target")}
        GROUP BY type, target, service, summary
        ORDER BY total DESC, type, target, service, summary
        LIMIT 200
        """,
        about="Calls of traces that began in the window; `transaction` is the most frequent transaction.",
        units={"total": "ms", "p95": "ms"},
        links={"service": ("Open", to_service("${__value.raw}"))},
        gauges=["total"],
    )


def slowest() -> Panel:
    """Spans of a client that name a database or a host."""
    named = sql.first(
        "SpanAttributes",
        "db.query.summary",
        "db.query.text",
        "db.statement",
        "url.full",
        "http.url",
    )
    reached = sql.first(
        "SpanAttributes",
        "db.system.name",
        "db.system",
        "messaging.system",
        "server.address",
        "net.peer.name",
    )
    return table_of(
        "The slowest calls",
        f"""
        SELECT Timestamp AS time, TraceId AS trace, toString(ServiceName) AS service, toString(SpanName) AS operation,
            {reached} AS reached, substring({named}, 1, 200) AS what,
            clew_duration(Duration) / 1e6 AS duration, if({sql.ERROR}, 'Error', 'ok') AS status
        FROM otel.otel_traces
        WHERE {sql.in_window("Timestamp")} AND {sql.in_environment()} AND {sql.chosen("ServiceName", "service")}
            AND SpanKind IN ('Client', 'Producer', 'SPAN_KIND_CLIENT', 'SPAN_KIND_PRODUCER')
        ORDER BY duration DESC, trace
        LIMIT 50
        """,
        about="The slowest CLIENT and PRODUCER spans of the window; a link shows the trace.",
        units={"duration": "ms"},
        links={"trace": ("Open", to_trace("${__value.raw}")), "service": ("Open", to_service("${__value.raw}"))},
    )  # fmt: skip
