"""Log records of every service: how many, of what kind, and the records themselves."""

from __future__ import annotations

from collections.abc import Mapping

import sql
from boards.shared import around, environment, service, to_service
from panels import (
    Board,
    Panel,
    ad_hoc,
    choice,
    lines_of,
    logs_of,
    row,
    table_of,
    to_trace,
    typed,
)


def board() -> Board:
    levels = f"""
        SELECT {sql.LEVEL} AS name FROM otel.otel_logs WHERE {sql.LOGGED} GROUP BY Level ORDER BY Level
    """
    return Board(
        uid="clew-logs",
        title="clew: Logs",
        description=__doc__ or "",
        variables=[
            environment(),
            service(),
            choice("severity", "Severity", levels),
            typed("words", "Words", "Records whose body contains all of them, in any order and case"),
            around(),
            typed("trace_id", "Trace", "Records of this trace only"),
            *ad_hoc("otel_logs", "Timestamp", "ServiceName", "SeverityText", "ScopeName", "EventName"),
        ],
        rows=[
            row("Counts", 7, by_severity(), by_service()),
            row("Records", 20, records()),
            row("Similar records", 10, patterns()),
        ],
    )  # fmt: skip


COLORS = {
    "fatal": "dark-red",
    "error": "red",
    "warn": "orange",
    "info": "green",
    "debug": "blue",
    "trace": "super-light-blue",
    "unknown": "text",
}
MATCHING = f"""{sql.LOGGED}
            AND {sql.chosen("ServiceName", "service")}
            AND {sql.chosen(sql.LEVEL, "severity")}
            AND $__conditionalAll(clew_has_words(Body, ${{words:singlequote}}), $words)
            AND $__conditionalAll(TraceId = ${{trace_id:singlequote}}, $trace_id)
            AND {sql.AROUND}"""


def by_severity() -> Panel:
    return counts(
        "By severity",
        sql.LEVEL,
        "Matching records by level, which is the severity number's band, else what the text says.",
        COLORS,
    )


def by_service() -> Panel:
    return counts("By service", "ServiceName", "Matching records by service.")


def counts(title: str, column: str, about: str, colors: Mapping[str, str] | None = None) -> Panel:
    return lines_of(
        title,
        f"""
        SELECT {sql.by_step("Timestamp")}, toString({column}) AS label, count() AS records
        FROM otel.otel_logs
        WHERE {MATCHING}
        GROUP BY time, label
        ORDER BY time, label
        """,
        "short",
        about=about,
        colors=colors,
        stacked=True,
    )


def records() -> Panel:
    return logs_of(
        "Newest first",
        f"""
        {sql.LOG_COLUMNS}
        WHERE {MATCHING}
        ORDER BY toStartOfFiveMinutes(Timestamp) DESC, timestamp DESC
        LIMIT 1000
        """,
        about="The newest 1,000 matching records; a trace's id is a link.",
    )


def patterns() -> Panel:
    return table_of(
        "Bodies without their numbers and ids",
        f"""
        SELECT count() AS records, {sql.LEVEL} AS severity, toString(ServiceName) AS service,
            {sql.without_ids("substring(Body, 1, 300)")} AS message,
            max(Timestamp) AS last, argMax(TraceId, Timestamp) AS trace
        FROM (SELECT * FROM otel.otel_logs WHERE {MATCHING} LIMIT 100000)
        GROUP BY severity, service, message
        ORDER BY records DESC, severity, service, message
        LIMIT 100
        """,
        about="From at most 100,000 records.",
        links={
            "service": ("Open", to_service("${__value.raw}")),
            "trace": ("Open", to_trace("${__value.raw}")),
        },
    )
