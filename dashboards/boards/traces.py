"""Search for traces, and one trace with its logs and the processes it ran in."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

import sql
from boards.shared import around, environment, service, transaction
from panels import (
    Board,
    Panel,
    ad_hoc,
    choice,
    logs_of,
    row,
    table_of,
    timeseries_of,
    to_trace,
    trace_of,
    typed,
)

MOST = 10_000  # spans that match, newest first: by their traces, a day of 20 million took 5 s of CPU time
MOST_SPANS = 5000  # for Grafana's trace view


def board() -> Board:
    return Board(
        uid="clew-traces",
        title="clew: Traces",
        description=__doc__ or "",
        variables=[
            environment(),
            service(),
            operation(),
            transaction(several=True),
            typed("status", "Status", "Error, Ok or Unset"),
            typed("min_ms", "At least, ms", "Duration of the whole trace"),
            typed("max_ms", "At most, ms", "Duration of the whole trace"),
            around(),
            typed("trace_id", "Trace", "Id of the trace to show"),
            *ad_hoc("otel_traces", "Timestamp", "ServiceName", "SpanName", "SpanKind", "StatusCode", "ServiceVersion"),
        ],
        rows=[
            row("Search", 11, found(), spans_over_time()),
            row("The trace", 16, trace()),
            row("Its logs and processes", 10, logs(), processes()),
        ],
    )  # fmt: skip


def operation() -> dashboard.QueryVariable:
    return choice(
        "operation",
        "Operation",
        f"""
        SELECT SpanName FROM otel.clew_operations_1m
        WHERE {sql.in_window("Minute")} AND {sql.in_environment()} AND {sql.chosen("ServiceName", "service")}
        GROUP BY SpanName ORDER BY SpanName LIMIT 1000
        """,
    )


# All conditions hold for the same span, the transaction for its trace.
MATCHING = f"""{sql.in_window("Timestamp")} AND {sql.in_environment()}
            AND {sql.chosen("ServiceName", "service")}
            AND {sql.chosen("SpanName", "operation")}
            AND $__conditionalAll(StatusCode = ${{status:singlequote}}, $status)
            AND {sql.AROUND}
            AND $__conditionalAll(TraceId IN (
                SELECT TraceId FROM otel.clew_settled
                WHERE {sql.in_window("Timestamp")} AND (ServiceName, SpanName) IN (
                    SELECT ServiceName, SpanName FROM otel.clew_operations
                    WHERE clew_transaction_id(ServiceName, SpanName) IN (${{transaction:singlequote}}))
                UNION ALL
                SELECT arrayJoin(TraceIds) FROM otel.clew_occurrences FINAL
                WHERE {sql.in_window("Timestamp")} AND Transaction IN (${{transaction:singlequote}})), $transaction)"""


def found() -> Panel:
    return table_of(
        "Traces, newest first",
        f"""
        SELECT
            toDateTime64(min(Start), 9) AS time,
            TraceId AS trace,
            argMinMerge(Entry).ServiceName AS service,
            argMinMerge(Entry).SpanName AS operation,
            (toUnixTimestamp64Nano(max(End)) - toUnixTimestamp64Nano(min(Start))) / 1e6 AS duration,
            sum(SpanCount) AS spans,
            sum(ErrorCount) AS errors,
            arrayStringConcat(arraySort(groupUniqArrayArray(Services)), ', ') AS services
        FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.otel_traces
            WHERE {MATCHING}
            ORDER BY Timestamp DESC LIMIT {MOST})
        GROUP BY TraceId
        HAVING $__conditionalAll(duration >= toFloat64(${{min_ms:singlequote}}), $min_ms)
            AND $__conditionalAll(duration <= toFloat64(${{max_ms:singlequote}}), $max_ms)
        ORDER BY time DESC, trace
        LIMIT 200
        """,
        about=f"The traces of the {MOST} newest matching spans, if their durations match too.",
        units={"duration": "ms"},
        links={"trace": ("Show", to_trace("${__value.raw}"))},
        width=2,
    )


def spans_over_time() -> Panel:
    return timeseries_of(
        "Matching spans",
        f"""
        SELECT {sql.by_step("Timestamp")}, count() AS spans, countIf({sql.ERROR}) AS errors
        FROM otel.otel_traces
        WHERE {MATCHING}
        GROUP BY time
        ORDER BY time
        """,
        "short",
        about="How many spans match the search in each step of the chart, and how many of them are in error.",
        colors={"errors": "red"},
    )


# One trace. Ad hoc filters apply to the search only: the plugin adds them where it finds the table's name in
# its usual form. The name is written differently here, so the whole trace is shown.
ALL_SPANS = "otel . otel_traces"

EXTENT = "WITH (SELECT (min(Start), max(End)) FROM otel.clew_traces WHERE TraceId = ${trace_id:singlequote}) AS extent"
ITS_SPANS = "TraceId = ${trace_id:singlequote} AND Timestamp >= extent.1 AND Timestamp <= extent.2"


def pairs(attributes: str) -> str:
    return (
        f"arrayMap(k -> map('key', toString(k), 'value', {attributes}[k]), mapKeys({attributes}))"
    )


def trace() -> Panel:
    return trace_of(
        "${trace_id}",
        f"""
        {EXTENT}
        SELECT
            TraceId AS traceID,
            SpanId AS spanID,
            ParentSpanId AS parentSpanID,
            ServiceName AS serviceName,
            SpanName AS operationName,
            toUnixTimestamp64Nano(Timestamp) / 1e6 AS startTime,
            clew_duration(Duration) / 1e6 AS duration,
            {pairs("SpanAttributes")} AS tags,
            {pairs("ResourceAttributes")} AS serviceTags,
            if({sql.ERROR}, 2, 0) AS statusCode,
            StatusMessage AS statusMessage,
            SpanKind AS kind,
            TraceState AS traceState,
            arrayMap((name, at, attributes) -> CAST(
                (name, toUnixTimestamp64Nano(at) / 1e6, {pairs("attributes")}),
                'Tuple(name String, timestamp Float64, fields Array(Map(String, String)))'),
                Events.Name, Events.Timestamp, Events.Attributes) AS logs,
            arrayMap((trace, span, attributes) -> CAST(
                (trace, span, {pairs("attributes")}),
                'Tuple(traceID String, spanID String, tags Array(Map(String, String)))'),
                Links.TraceId, Links.SpanId, Links.Attributes) AS references
        FROM {ALL_SPANS}
        WHERE {ITS_SPANS}
        ORDER BY startTime
        LIMIT {MOST_SPANS}
        """,
        about=f"The first {MOST_SPANS} spans of the trace.",
    )


def logs() -> Panel:
    return logs_of(
        "Logs",
        f"""
        {EXTENT}
        {sql.LOG_COLUMNS}
        WHERE TraceId = ${{trace_id:singlequote}}
            AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes(extent.1) - 300
            AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes(extent.2) + 300
        ORDER BY timestamp DESC
        LIMIT 1000
        """,
        about="The log records with the trace's id, newest first.",
        width=3,
    )


def processes() -> Panel:
    """Links from a trace to the metrics of its processes and hosts, five minutes around it."""
    then = "from=${__data.fields.from}&to=${__data.fields.to}"
    return table_of(
        "Processes",
        f"""
        {EXTENT}
        SELECT
            ServiceName AS service,
            ResourceAttributes['host.name'] AS host,
            ResourceAttributes['service.instance.id'] AS instance,
            ResourceAttributes['service.version'] AS version,
            count() AS spans,
            countIf({sql.ERROR}) AS errors,
            toUnixTimestamp64Milli(extent.1) - {sql.AROUND_MS} AS from,
            toUnixTimestamp64Milli(extent.2) + {sql.AROUND_MS} AS to
        FROM {ALL_SPANS}
        WHERE {ITS_SPANS}
        GROUP BY service, host, instance, version
        ORDER BY spans DESC, service, instance
        LIMIT 100
        """,
        about="The processes that the trace ran in; links lead to their metrics and to those of their hosts at this time.",
        links={
            "service": ("Its metrics at this time", f"/d/clew-service?{then}&var-service=${{__value.raw}}"),
            "host": ("The host at this time", f"/d/clew-infrastructure?{then}&var-host=${{__value.raw}}"),
        },
        hidden=["from", "to"],
        width=2,
    )  # fmt: skip
