"""What people do with the system, how often it fails, how long they wait, and what that costs."""

from __future__ import annotations

import sql
from boards.shared import deployments, environment, events, to_transaction
from panels import APDEX, ERROR_SHARE, Board, Limits, Panel, lines_of, row, stat_of, table_of

MOST = 10  # transactions with their own line


def board() -> Board:
    return Board(
        uid="clew-overview",
        title="clew: Overview",
        description=__doc__ or "",
        variables=[environment()],
        annotations=[deployments("1=1"), events()],
        rows=[
            row("The window", 4, now(), lost()),
            row("Over time", 9, rates(), error_shares(), latencies()),
            row("Transactions", 11, automatic()),
            row("Value and objectives", 9, defined(), lost_over_time()),
        ],
    )


# The window as a whole


def now() -> Panel:
    return stat_of(
        "All transactions",
        f"""
        SELECT sum(Count) / ({SECONDS}) AS per_second, {sql.share("sum(Errors)", "sum(Count)")} AS errors,
            {sql.quantiles("Sketch", "p50", "p95", "p99")}, {APDEX_SQL} AS apdex
        FROM {sql.transactions(in_hours=True)}
        """,
        {"per_second": "reqps", "errors": "percentunit", "p50": "ms", "p95": "ms", "p99": "ms"},
        about="Automatic transactions. Apdex uses T = 500 ms. Errors are orange from 1 % and red from 5 %, Apdex "
        "below 0.85 and below 0.7.",
        limits={"errors": ERROR_SHARE, "apdex": APDEX},
        width=3,
    )


def lost() -> Panel:
    return stat_of(
        "Value lost",
        f"SELECT sumIf(Value, IsError) AS lost, sum(Value) AS value FROM {occurred()}",
        "short",
        about="For defined transactions with a value: the sum of those in error (red if there is any), and of all.",
        limits={"lost": LOST},
    )


APDEX_SQL = "(sum(Satisfied) + sum(Tolerating) / 2) / nullIf(sum(Count), 0)"
LOST = Limits(1e-9, 1e-9)
SECONDS = "toUnixTimestamp($__toTime) - toUnixTimestamp($__fromTime)"


# Over time, by transaction


def rates() -> Panel:
    return lines_of(
        "Rate",
        by_transaction("sum(Count) / $__interval_s"),
        "reqps",
        about=f"Transactions per second: the {MOST} most frequent ones, and all others as one line.",
        stacked=True,
    )


def error_shares() -> Panel:
    value = sql.share("sum(Errors)", "sum(Count)")
    about = "The share of a transaction's runs that ended in error. Dashed lines: 1 % and 5 %."
    return lines_of("Errors", by_transaction(value), "percentunit", about=about, limits=ERROR_SHARE)


def latencies() -> Panel:
    p95 = f"quantilesDDMerge({sql.QUANTILES})(Sketch)[3] / 1e6"
    about = "95 of 100 runs were faster than this; durations of entry spans."
    return lines_of("Latency, p95", by_transaction(p95), "ms", about=about)


def by_transaction(value: str) -> str:
    """A line for each of the most frequent transactions, and one for the others."""
    return f"""
        WITH frequent AS
        (
            SELECT ServiceName, SpanName FROM otel.clew_operations_1m
            WHERE IsRoot AND {sql.in_window("Minute")} AND {sql.in_environment()}
            GROUP BY ServiceName, SpanName
            ORDER BY sum(Count) DESC, ServiceName, SpanName
            LIMIT {MOST}
        )
        SELECT {sql.by_step("Minute")},
            if((ServiceName, SpanName) IN (SELECT ServiceName, SpanName FROM frequent),
                concat(ServiceName, ': ', SpanName), '(other)') AS label,
            {value} AS value
        FROM {sql.transactions()}
        GROUP BY time, label
        ORDER BY time, label
    """


# Tables


def automatic() -> Panel:
    return table_of(
        "Automatic transactions",
        f"""
        SELECT
            concat(ServiceName, ': ', SpanName) AS transaction,
            sum(Count) AS count,
            count / ({SECONDS}) AS rate,
            sum(Errors) AS errors,
            {sql.share("errors", "count")} AS error_share,
            {sql.quantiles("Sketch", "p50", "p95", "p99")},
            max(DurationMax) / 1e6 AS slowest,
            {APDEX_SQL} AS apdex,
            clew_transaction_id(ServiceName, SpanName) AS id
        FROM {sql.transactions(in_hours=True)}
        GROUP BY ServiceName, SpanName
        ORDER BY count DESC, id
        LIMIT 200
        """,
        about="The entries of traces, by service and operation; the 200 most frequent. Apdex uses T = 500 ms.",
        units={"rate": "reqps", "error_share": "percentunit"}
        | dict.fromkeys(("p50", "p95", "p99", "slowest"), "ms"),
        links={"transaction": ("Open", to_transaction("${__data.fields.id}"))},
        gauges=["error_share"],
        limits={"error_share": ERROR_SHARE, "apdex": APDEX},
        hidden=["id"],
    )


def defined() -> Panel:
    return table_of(
        "Defined transactions",
        f"""
        SELECT
            any(definition.Name) AS transaction,
            count() AS count,
            countIf(IsError) AS errors,
            {sql.share("errors", "count")} AS error_share,
            quantilesDD({sql.QUANTILES})(EntryDuration)[3] / 1e6 AS p95,
            sum(Value) AS value,
            sumIf(Value, IsError) AS lost,
            Transaction AS id
        FROM {occurred()} AS occurred
        LEFT JOIN {sql.definitions()} AS definition ON definition.Id = occurred.Transaction
        GROUP BY id
        ORDER BY lost DESC, count DESC, id
        LIMIT 200
        """,
        about="The transactions of the definitions: occurrences, how many failed, and the value lost with them.",
        units={"error_share": "percentunit", "p95": "ms"},
        limits={"error_share": ERROR_SHARE, "lost": LOST},
        links={"transaction": ("Open", to_transaction("${__data.fields.id}"))},
        hidden=["id"],
    )


def lost_over_time() -> Panel:
    return lines_of(
        "Value lost",
        f"""
        SELECT {sql.by_step("Timestamp")}, toString(Transaction) AS label, sumIf(Value, IsError) AS lost
        FROM {occurred()}
        WHERE isNotNull(Value)
        GROUP BY time, label
        ORDER BY time, label
        """,
        "short",
        about="The sum in each step of the chart, for each defined transaction with a value.",
        stacked=True,
    )


def occurred() -> str:
    return f"""(
        SELECT Transaction, Timestamp, EntryDuration, IsError, Value
        FROM otel.clew_occurrences FINAL
        WHERE {sql.in_window("Timestamp")} AND {sql.in_environment()}
    )"""
