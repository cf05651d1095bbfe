"""One service: its requests, its calls to others, and what it runs on."""

from __future__ import annotations

import sql
from boards.shared import deployments, environment, exceptions_of, service, to_service
from panels import (
    Board,
    Panel,
    lines_of,
    logs_of,
    row,
    stat_of,
    table_of,
    timeseries_of,
    to_board,
    to_trace,
)

IT = "ServiceName = ${service:singlequote}"
ITS_METRICS = f"{IT} AND {sql.RESOURCE_IN_ENVIRONMENT}"
SEARCH = (
    "Traces at this time",
    to_board("clew-traces", service="${service}", around="${__value.time}"),
)
LOGS = ("Logs at this time", to_board("clew-logs", service="${service}", around="${__value.time}"))


def board() -> Board:
    return Board(
        uid="clew-service",
        title="clew: Service",
        description=__doc__ or "",
        variables=[environment(), service(several=False)],
        annotations=[deployments(IT)],
        rows=[
            row("Summary", 4, whole()),
            row("Over time", 8, rates(), latencies(), by_version()),
            row("Operations", 9, operations()),
            row("Callers and calls", 9, callers(), called(), called_over_time()),
            row("Errors and warnings", 9, exceptions(), logs()),
            row("Exemplars of its metrics", 7, exemplars()),
            row("Its processes", 8, processor(), memory(), threads()),
            row("Its runtime", 8, collections(), switches(), files()),
            row("Its hosts", 8, host_processor(), host_memory(), host_disk()),
        ],
    )


# Its requests


def whole() -> Panel:
    seconds = "toUnixTimestamp($__toTime) - toUnixTimestamp($__fromTime)"
    return stat_of(
        "The window",
        f"""
        SELECT sum(Count) / ({seconds}) AS per_second, {sql.share("sum(Errors)", "sum(Count)")} AS errors,
            {sql.quantiles("Sketch", "p50", "p95", "p99")}, max(DurationMax) / 1e6 AS slowest
        FROM {sql.served(IT)}
        """,
        {"per_second": "reqps", "errors": "percentunit"}
        | dict.fromkeys(("p50", "p95", "p99", "slowest"), "ms"),
    )


def rates() -> Panel:
    values = (
        "(sum(Count) - sum(Errors)) / $__interval_s AS ok, sum(Errors) / $__interval_s AS errors"
    )
    return timeseries_of("Rate", over_time(values), "reqps", stacked=True, links=[SEARCH, LOGS])


def latencies() -> Panel:
    values = sql.quantiles("Sketch", "p50", "p95", "p99")
    return timeseries_of("Latency", over_time(values), "ms", links=[SEARCH, LOGS])


def over_time(values: str) -> str:
    return f"""
        SELECT {sql.by_step("Minute")}, {values}
        FROM {sql.served(IT)}
        GROUP BY time
        ORDER BY time
    """


def by_version() -> Panel:
    return lines_of(
        "Errors by version",
        f"""
        SELECT {sql.by_step("Minute")}, toString(ServiceVersion) AS label,
            {sql.share("sum(Errors)", "sum(Count)")} AS errors
        FROM {sql.served(IT)}
        GROUP BY time, label
        ORDER BY time, label
        """,
        "percentunit",
    )


def operations() -> Panel:
    search = to_board("clew-traces", service="${service}", operation="${__value.raw}")
    return table_of(
        "Operations",
        f"""
        SELECT toString(SpanName) AS operation, toString(SpanKind) AS kind, {sql.red("p50", "p95", "p99")},
            sum(DurationSum) / 1e6 AS total
        FROM {sql.served(IT)}
        GROUP BY operation, kind
        ORDER BY total DESC, operation, kind
        LIMIT 200
        """,
        units={"error_share": "percentunit"}
        | dict.fromkeys(("p50", "p95", "p99", "slowest", "total"), "ms"),
        links={"operation": ("Traces", search)},
        gauges=["total"],
    )


# Other services, databases, queues, hosts


def callers() -> Panel:
    return neighbours("Callers", "Source", "Target = ${service:singlequote}")


def called() -> Panel:
    return neighbours("Calls to others", "Target", "Source = ${service:singlequote}")


def neighbours(title: str, other: str, which: str) -> Panel:
    return table_of(
        title,
        f"""
        SELECT toString({other}) AS service, toString(Type) AS type, {sql.red("p95")}
        FROM {sql.edges(which)}
        GROUP BY service, type
        ORDER BY count DESC, service, type
        LIMIT 100
        """,
        units={"p95": "ms", "slowest": "ms", "error_share": "percentunit"},
        links={"service": ("Open", to_service("${__value.raw}"))},
    )


def called_over_time() -> Panel:
    return lines_of(
        "Calls to others, p95",
        f"""
        SELECT {sql.by_step("Minute")}, toString(Target) AS label, {sql.quantiles("Sketch", "p95")}
        FROM {sql.edges("Source = ${service:singlequote}")}
        GROUP BY time, label
        ORDER BY time, label
        """,
        "ms",
    )


def exceptions() -> Panel:
    """In all environments: the tables of exceptions have no such column."""
    return exceptions_of(sql.exceptions(IT))


def logs() -> Panel:
    return logs_of(
        "Warnings and errors",
        f"""
        {sql.LOG_COLUMNS}
        WHERE {sql.LOGGED} AND {IT} AND SeverityNumber >= 13
        ORDER BY toStartOfFiveMinutes(Timestamp) DESC, timestamp DESC
        LIMIT 200
        """,
    )


def exemplars() -> Panel:
    """Links from a metric to the traces that it measured."""
    points = " UNION ALL ".join(
        f"""SELECT MetricName, MetricUnit,
            arrayJoin(arrayZip(Exemplars.TimeUnix, Exemplars.Value, Exemplars.TraceId)) AS example
        FROM otel.otel_metrics_{table}
        WHERE $__timeFilter(TimeUnix) AND {ITS_METRICS} AND notEmpty(Exemplars.TraceId)
        """
        for table in ("histogram", "sum")
    )
    return table_of(
        "Exemplars",
        f"""
        SELECT example.1 AS time, toString(MetricName) AS metric, example.2 AS value,
            MetricUnit AS unit, example.3 AS trace
        FROM ({points})
        WHERE match(trace, '[1-9a-f]')
        ORDER BY time DESC, metric, trace
        LIMIT 200
        """,
        about="Measurements that name the trace in which they were made.",
        links={"trace": ("Open", to_trace("${__value.raw}"))},
    )


# What it runs on


def processor() -> Panel:
    return of_processes("Processor, by process", "process.cpu.utilization", "percentunit")


def memory() -> Panel:
    return of_processes("Memory, by process", "process.memory.usage", "bytes")


def threads() -> Panel:
    return of_processes("Threads, by process", "process.thread.count", "short")


def files() -> Panel:
    name = "process.open_file_descriptor.count"
    return of_processes("Open files, by process", name, "short")


def of_processes(title: str, metric: str, unit: str) -> Panel:
    statement = sql.levels(metric, sql.PROCESS, ITS_METRICS)
    return lines_of(title, statement, unit, links=[SEARCH, LOGS])


def collections() -> Panel:
    statement = sql.rates("cpython.gc.collections", sql.PROCESS, ITS_METRICS)
    return lines_of("Garbage collections, by process", statement, "cps")


def switches() -> Panel:
    statement = sql.rates("process.context_switches", sql.PROCESS, ITS_METRICS)
    return lines_of("Context switches, by process", statement, "cps")


# Every process reports metrics of its host, so this service's processes do.


def host_processor() -> Panel:
    busy = sql.rates("system.cpu.time", sql.HOST, f"{ITS_METRICS} AND {sql.BUSY}", alike=True)
    return lines_of("Busy processors of the host", busy, "short")


def host_memory() -> Panel:
    used = sql.levels("system.memory.usage", sql.HOST, f"{ITS_METRICS} AND {sql.USED}")
    return lines_of("Memory of the host", used, "bytes")


def host_disk() -> Panel:
    statement = sql.rates("system.disk.io", sql.HOST, ITS_METRICS, alike=True)
    return lines_of("Disk of the host: bytes read and written", statement, "Bps")
