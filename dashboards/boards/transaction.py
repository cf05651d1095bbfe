"""One business transaction, automatic or defined, with everything that belongs to it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

import sql
from boards.shared import deployments, environment, events, exceptions_of, to_service, transaction
from panels import (
    ERROR_SHARE,
    Board,
    Limits,
    Panel,
    choice,
    heatmap_of,
    lines_of,
    logs_of,
    row,
    stat_of,
    table_of,
    timeseries_of,
    to_board,
    to_trace,
)

# The upper ends of the heatmap's buckets, in milliseconds.
BUCKETS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)

SEARCH = (
    "Traces at this time",
    to_board("clew-traces", transaction="${transaction}", around="${__value.time}"),
)


def board() -> Board:
    return Board(
        uid="clew-transaction",
        title="clew: Business transaction",
        description=__doc__ or "",
        variables=[environment(), transaction(several=False), service(), version()],
        annotations=[
            deployments(f"ServiceName IN ({sql.services()})"),
            events(f"ServiceName IN ({sql.services()})"),
        ],
        rows=[
            row("Summary", 4, whole(), value()),
            row("Over time", 8, rate(), latencies(), by_version()),
            row("Where its time goes", 10, distribution(), breakdown()),
            row("Calls", 8, dependencies()),
            row("Its traces", 9, slowest(), failed()),
            row("Exceptions and logs", 9, exceptions(), logs()),
            row("Where it ran", 8, processor(), memory()),
        ],
    )


# Variables


def service() -> dashboard.QueryVariable:
    """The services that its traces went through."""
    return choice(
        "service", "Service", f"SELECT name FROM ({sql.services()}) AS services(name) ORDER BY name"
    )


def version() -> dashboard.QueryVariable:
    return choice(
        "version",
        "Version",
        f"""
        SELECT DISTINCT ServiceVersion FROM otel.clew_operations
        WHERE ServiceVersion != '' AND ServiceName IN ({sql.services()})
            AND {sql.chosen("ServiceName", "service")}
        ORDER BY ServiceVersion LIMIT 500
        """,
    )


# The window as a whole


def whole() -> Panel:
    return stat_of(
        "The window",
        f"""
        SELECT sum(Count) AS count, {sql.share("sum(Errors)", "sum(Count)")} AS errors,
            {sql.quantiles("Sketch", "p50", "p95", "p99")}, max(DurationMax) / 1e6 AS slowest
        FROM {sql.counted()}
        """,
        {"count": "short", "errors": "percentunit"}
        | dict.fromkeys(("p50", "p95", "p99", "slowest"), "ms"),
        about="How often it ran, the share in error (orange from 1 %, red from 5 %), and how long it took.",
        limits={"errors": ERROR_SHARE},
        width=3,
    )


def value() -> Panel:
    columns = "sum(Value) AS value, sumIf(Value, IsError) AS lost"
    return stat_of(
        "Value",
        sql.occurrences(columns),
        "short",
        about="For a defined transaction with a value: of all occurrences, and lost with those in error (red if any).",
        limits={"lost": Limits(1e-9, 1e-9)},
    )


# Over time


def rate() -> Panel:
    return timeseries_of(
        "Rate",
        f"""
        SELECT {sql.by_step("Minute")},
            (sum(Count) - sum(Errors)) / $__interval_s AS ok, sum(Errors) / $__interval_s AS errors
        FROM {sql.counted()}
        GROUP BY time
        ORDER BY time
        """,
        "reqps",
        about="Runs per second, without errors and in error. Shaded: what is usual at that hour, by four weeks.",
        band=sql.band("requests / 3600", sql.WATCHED),
        stacked=True,
        colors={"ok": "green", "errors": "red"},
        links=[SEARCH],
    )


def latencies() -> Panel:
    return timeseries_of(
        "Latency",
        f"""
        SELECT {sql.by_step("Minute")}, {sql.quantiles("Sketch", "p50", "p95", "p99")}
        FROM {sql.counted()}
        GROUP BY time
        ORDER BY time
        """,
        "ms",
        about="Durations of its entry spans: the median, and what 95 and 99 of 100 stay below. Shaded: the usual p95.",
        band=sql.band("p95", sql.WATCHED),
        links=[SEARCH],
    )


def by_version() -> Panel:
    return lines_of(
        "Latency by version, p95",
        f"""
        SELECT {sql.by_step("Minute")}, toString(ServiceVersion) AS label,
            {sql.quantiles("Sketch", "p95")}
        FROM {sql.counted()}
        GROUP BY time, label
        ORDER BY time, label
        """,
        "ms",
        about="Versions of the service at which an automatic transaction enters.",
    )


# From whole traces


def distribution() -> Panel:
    ends = [f"< {end:g} ms" for end in BUCKETS] + [f"≥ {BUCKETS[-1]:g} ms"]
    counts = ", ".join(
        f"sumIf(Weight, bucket = {number}) AS `{end}`" for number, end in enumerate(ends, 1)
    )
    limits = [int(end * 1e6) for end in BUCKETS]
    return heatmap_of(
        "Distribution of latency",
        f"""
        {sql.entries()}
        SELECT {sql.by_step("Timestamp")}, {counts}
        FROM (SELECT Timestamp, Weight, arrayCount(x -> x <= Took, {limits}) + 1 AS bucket FROM entries WHERE Last)
        GROUP BY time
        ORDER BY time
        """,
        about="How many settled runs took how long: two bands are two kinds of runs.",
    )


def breakdown() -> Panel:
    return table_of(
        "Breakdown",
        f"""
        {of_its_traces("arrayZip(Path.Service, Path.Operation, Path.Kind, Path.Calls, Path.Self, Path.Critical)")}
        SELECT part.1 AS service, part.2 AS operation, part.3 AS kind,
            sum(part.4 * Weight) AS calls,
            sum(part.5 * Weight) / 1e6 AS self_time,
            self_time / greatest(1e-9, sum(self_time) OVER ()) AS share,
            sum(part.6 * Weight) / 1e6 AS critical,
            critical / greatest(1e-9, sum(critical) OVER ()) AS critical_share
        FROM parts
        WHERE {sql.chosen("service", "service")}
        GROUP BY service, operation, kind
        ORDER BY self_time DESC, service, operation, kind
        LIMIT 100
        """,
        about="Self time (no child running), and how much of it is on the critical path.",
        units={"self_time": "ms", "share": "percentunit", "critical": "ms", "critical_share": "percentunit"},
        links={"service": ("Open", to_service("${__value.raw}"))},
        gauges=["share", "critical_share"],
        hidden=["kind"],
    )  # fmt: skip


def dependencies() -> Panel:
    calls = "Call.Source, Call.Target, Call.Type, Call.Summary, Call.Duration, Call.IsError"
    return table_of(
        "Databases, queues, other hosts and services",
        f"""
        {of_its_traces(f"arrayZip({calls})")}
        SELECT part.3 AS type, part.2 AS target, part.1 AS service, part.4 AS summary,
            sum(Weight) AS calls, sumIf(Weight, part.6) AS errors,
            sum(part.5 * Weight) / 1e6 AS total,
            quantilesDD(0.01, 0.5, 0.95)(part.5)[2] / 1e6 AS p95
        FROM parts
        WHERE {sql.chosen("service", "service")}
        GROUP BY type, target, service, summary
        ORDER BY total DESC, type, target, service, summary
        LIMIT 100
        """,
        about="What the services of its traces called, by the time that all calls took together.",
        units={"total": "ms", "p95": "ms"},
        links={"service": ("Open", to_service("${__value.raw}"))},
        gauges=["total"],
    )


def of_its_traces(parts: str) -> str:
    """WITH parts: an element of these arrays of clew_settled for each row, of an automatic
    transaction's own rows, of a defined one's by their traces' ids."""
    return f"""WITH parts AS
        (
            SELECT toUInt64(OneIn) AS Weight, arrayJoin({parts}) AS part
            FROM otel.clew_settled FINAL
            PREWHERE {sql.NAMED} AND {sql.in_window("Timestamp")}
            WHERE Rank < 2 AND {sql.in_environment()}
            UNION ALL
            SELECT toUInt64(OneIn), arrayJoin({parts})
            FROM otel.clew_settled FINAL
            PREWHERE TraceId IN ({sql.occurrences("arrayJoin(TraceIds)")})
                AND Timestamp >= (SELECT min(Start) FROM ({sql.occurrences("Start")}))
                AND Timestamp <= (SELECT max(End) FROM ({sql.occurrences("End")}))
        )"""


def slowest() -> Panel:
    about = "The slowest runs of the window; a link shows the trace."
    return traces("Slowest", "Last", "Took DESC", about)


def failed() -> Panel:
    about = "The newest runs that ended in error; a link shows the trace."
    return traces("In error, newest first", "Last AND IsError", "Timestamp DESC", about)


def traces(title: str, which: str, order: str, about: str) -> Panel:
    return table_of(
        title,
        f"""
        {sql.entries()}
        SELECT Timestamp AS time, TraceId AS trace, Took / 1e6 AS duration, IsError AS error
        FROM entries
        WHERE {which}
        ORDER BY {order}, trace
        LIMIT 50
        """,
        about=about,
        units={"duration": "ms"},
        links={"trace": ("Open", to_trace("${__value.raw}"))},
    )


# What belongs to the traces


def exceptions() -> Panel:
    where = f"TraceId IN {sql.RECENT} AND {sql.chosen('ServiceName', 'service')}"
    return exceptions_of(f"{sql.entries()} {sql.exceptions(where)}")


def logs() -> Panel:
    return logs_of(
        "Logs",
        f"""
        {sql.entries()}
        {sql.LOG_COLUMNS}
        WHERE {AROUND} AND TraceId != '' AND TraceId IN {sql.RECENT}
            AND {sql.chosen("ServiceName", "service")}
            AND {sql.chosen("ResourceAttributes['service.version']", "version")}
        ORDER BY toStartOfFiveMinutes(Timestamp) DESC, timestamp DESC
        LIMIT 500
        """,
        about="Records with the id of one of its newest traces, newest first.",
    )


# A trace that began in the window may end after it: logs and spans of one more hour are read.
AROUND = "Timestamp >= $__fromTime AND Timestamp < $__toTime + 3600"


def processor() -> Panel:
    about = "Share of the host's processors that each process of its services used."
    return resource_metric("Processor, by process", "process.cpu.utilization", "percentunit", about)


def memory() -> Panel:
    about = "Memory of each process of its services."
    return resource_metric("Memory, by process", "process.memory.usage", "bytes", about)


def resource_metric(title: str, metric: str, unit: str, about: str) -> Panel:
    where = f"""{sql.RESOURCE_IN_ENVIRONMENT} AND ServiceName IN ({sql.services()}) AND {sql.chosen("ServiceName", "service")}
        AND {sql.chosen("ResourceAttributes['service.version']", "version")}"""
    statement = sql.levels(metric, sql.PROCESS, where)
    return lines_of(title, statement, unit, about=about, links=[SEARCH])
