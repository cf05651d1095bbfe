"""One service: its requests, its calls to others, and what it runs on."""

from __future__ import annotations

import sql
from boards.shared import deployments, environment, events, exceptions_of, service, to_service
from panels import (
    ERROR_SHARE,
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
WATCHED = f"Kind = 'service' AND {IT}"
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
        annotations=[deployments(IT), events(IT)],
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
        about="Requests to the service: SERVER and CONSUMER spans, and roots. Errors are orange from 1 %, red from 5 %.",
        limits={"errors": ERROR_SHARE},
    )


def rates() -> Panel:
    values = (
        "(sum(Count) - sum(Errors)) / $__interval_s AS ok, sum(Errors) / $__interval_s AS errors"
    )
    return timeseries_of(
        "Rate",
        over_time(values),
        "reqps",
        about="Requests per second, without errors and in error. Shaded: what is usual at that hour, by four weeks.",
        band=sql.band("requests / 3600", WATCHED),
        stacked=True,
        colors={"ok": "green", "errors": "red"},
        links=[SEARCH, LOGS],
    )


def latencies() -> Panel:
    values = sql.quantiles("Sketch", "p50", "p95", "p99")
    return timeseries_of(
        "Latency",
        over_time(values),
        "ms",
        about="Durations of its requests: the median, and what 95 and 99 of 100 stay below. Shaded: the usual p95.",
        band=sql.band("p95", WATCHED),
        links=[SEARCH, LOGS],
    )


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
        about="The share of requests in error, by the service's version. Dashed lines: 1 % and 5 %.",
        limits=ERROR_SHARE,
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
        about="What others ask of the service, by the time that all of it took together.",
        limits={"error_share": ERROR_SHARE},
        units={"error_share": "percentunit"}
        | dict.fromkeys(("p50", "p95", "p99", "slowest", "total"), "ms"),
        links={"operation": ("Traces", search)},
        gauges=["total"],
    )


# Other services, databases, queues, hosts


def callers() -> Panel:
    about = "Who called the service, from settled traces."
    return neighbours("Callers", "Source", "Target = ${service:singlequote}", about)


def called() -> Panel:
    about = "Services, databases, queues and hosts that the service called, from settled traces."
    return neighbours("Calls to others", "Target", "Source = ${service:singlequote}", about)


def neighbours(title: str, other: str, which: str, about: str) -> Panel:
    return table_of(
        title,
        f"""
        SELECT toString({other}) AS service, toString(Type) AS type, {sql.red("p95")}
        FROM {sql.edges(which)}
        GROUP BY service, type
        ORDER BY count DESC, service, type
        LIMIT 100
        """,
        about=about,
        units={"p95": "ms", "slowest": "ms", "error_share": "percentunit"},
        limits={"error_share": ERROR_SHARE},
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
        about="What 95 of 100 calls stay below, for each service, database, queue and host that it called.",
    )


def exceptions() -> Panel:
    """In all environments: the tables of exceptions have no such column."""
    return exceptions_of(sql.exceptions(IT))


def logs() -> Panel:
    return logs_of(
        "Warnings and errors",
        f"""
        {sql.LOG_COLUMNS}
        WHERE {sql.LOGGED} AND {IT} AND Level >= 13
        ORDER BY toStartOfFiveMinutes(Timestamp) DESC, timestamp DESC
        LIMIT 200
        """,
        about="Its log records of level warn and above, by number or by text, newest first.",
    )


def exemplars() -> Panel:
    """Links from a metric to the traces that it measured."""
    points = " UNION ALL ".join(
        f"""SELECT MetricName, MetricUnit,
            arrayJoin(arrayZip(Exemplars.TimeUnix, Exemplars.Value, Exemplars.TraceId)) AS example
        FROM otel.otel_metrics_{table}
        WHERE {sql.in_window("TimeUnix")} AND {ITS_METRICS} AND notEmpty(Exemplars.TraceId)
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
    about = "Share of the host's processors that each process used."
    return of_processes("Processor, by process", "process.cpu.utilization", "percentunit", about)


def memory() -> Panel:
    about = "Memory of each process."
    return of_processes("Memory, by process", "process.memory.usage", "bytes", about)


def threads() -> Panel:
    about = "Threads of each process."
    return of_processes("Threads, by process", "process.thread.count", "short", about)


def files() -> Panel:
    name = "process.open_file_descriptor.count"
    about = "Open file descriptors of each process: a line that only rises is a leak."
    return of_processes("Open files, by process", name, "short", about)


def of_processes(title: str, metric: str, unit: str, about: str) -> Panel:
    statement = sql.levels(metric, sql.PROCESS, ITS_METRICS)
    return lines_of(title, statement, unit, about=about, links=[SEARCH, LOGS])


def collections() -> Panel:
    statement = sql.rates("cpython.gc.collections", sql.PROCESS, ITS_METRICS)
    about = "Runs of Python's garbage collector per second."
    return lines_of("Garbage collections, by process", statement, "cps", about=about)


def switches() -> Panel:
    statement = sql.rates("process.context_switches", sql.PROCESS, ITS_METRICS)
    about = "Context switches per second."
    return lines_of("Context switches, by process", statement, "cps", about=about)


# The metrics of a host have no service: they are those of the hosts that its processes name.
ITS_HOSTS = f"""Host != '' AND Host IN (SELECT Host FROM otel.otel_metrics_sum
    WHERE {ITS_METRICS} AND {sql.in_window("TimeUnix")})"""


def host_processor() -> Panel:
    busy = sql.rates("system.cpu.time", sql.HOST, f"{ITS_HOSTS} AND {sql.BUSY}", alike=True)
    about = "How many processors of the hosts that it runs on were busy."
    return lines_of("Busy processors of the host", busy, "short", about=about)


def host_memory() -> Panel:
    used = sql.levels("system.memory.usage", sql.HOST, f"{ITS_HOSTS} AND {sql.USED}")
    about = "Used memory of the hosts that it runs on."
    return lines_of("Memory of the host", used, "bytes", about=about)


def host_disk() -> Panel:
    statement = sql.rates("system.disk.io", sql.HOST, ITS_METRICS, alike=True)
    about = "Bytes per second on all disks of the hosts that it runs on."
    return lines_of("Disk of the host: bytes read and written", statement, "Bps", about=about)
