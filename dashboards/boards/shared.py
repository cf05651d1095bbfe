"""Variables, panels and links that several boards have."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

import sql
from panels import SOURCE, TABLE, Panel, Query, choice, table_of, to_board, to_trace, typed


def environment() -> dashboard.QueryVariable:
    return choice(
        "environment",
        "Environment",
        "SELECT DISTINCT Environment FROM otel.clew_operations ORDER BY Environment LIMIT 100",
    )


def service(*, several: bool = True) -> dashboard.QueryVariable:
    """Services with a span in the window."""
    return choice(
        "service",
        "Service",
        f"""
        SELECT ServiceName FROM otel.clew_operations_1m
        WHERE {sql.in_window("Minute")} AND {sql.in_environment()}
        GROUP BY ServiceName ORDER BY ServiceName LIMIT 1000
        """,
        several=several,
    )


def transaction(*, several: bool) -> dashboard.QueryVariable:
    """The transactions of the window by id, defined ones first."""
    return choice(
        "transaction",
        "Transaction",
        f"""
        SELECT id, name FROM
        (
            SELECT Id AS id, Name AS name, 0 AS automatic FROM {sql.definitions()}
            UNION ALL
            SELECT clew_transaction_id(ServiceName, SpanName), concat(ServiceName, ': ', SpanName), 1
            FROM otel.clew_entry_services
            WHERE Hour >= toStartOfHour($__fromTime) AND Hour < $__toTime AND {sql.in_environment()}
            GROUP BY ServiceName, SpanName
        )
        ORDER BY automatic, name
        LIMIT 5000
        """,
        several=several,
    )


def around() -> dashboard.TextBoxVariable:
    """A time around which the board searches; links from metrics set it: `to_board(…,
    around="${__value.time}")`."""
    minutes = sql.AROUND_MS // 60_000
    return typed(
        "around",
        "Around",
        f"A time in milliseconds since 1970; shows {minutes} minutes on either side",
    )


def deployments(services: str) -> models.AnnotationQuery:
    """A mark at the time when a version of these services, of which no event was posted, was first
    seen."""
    statement = f"""
        SELECT toDateTime64(min(FirstSeen), 9) AS time, concat(ServiceName, ' ', ServiceVersion) AS text, 'deployment' AS tags
        FROM otel.clew_operations AS seen
        WHERE ServiceVersion != '' AND {services} AND {sql.in_environment()}
            AND (ServiceName, ServiceVersion) NOT IN (
                SELECT ServiceName, ServiceVersion FROM otel.clew_events FINAL WHERE Type = 'deployment')
        GROUP BY ServiceName, ServiceVersion
        HAVING {sql.in_window("time")}
        ORDER BY time DESC
        LIMIT 100
    """
    return models.AnnotationQuery(
        name="Deployments",
        datasource=SOURCE,
        enable=True,
        icon_color="purple",
        target=Query(statement, TABLE, "deployments"),
    )


def events(services: str = "1=1") -> models.AnnotationQuery:
    """A mark, or a stretch, for each event that was posted: of these services, and of none."""
    statement = f"""
        SELECT Time AS time, if(End = 0, Time, End) AS timeEnd, Name AS text, Type AS tags
        FROM otel.clew_events FINAL
        WHERE ({services} OR ServiceName = '') AND ({sql.in_environment()} OR Environment = '')
            AND {sql.in_window("Time")}
        ORDER BY Time DESC
        LIMIT 100
    """
    return models.AnnotationQuery(
        name="Events",
        datasource=SOURCE,
        enable=True,
        icon_color="blue",
        target=Query(statement, TABLE, "events"),
    )


def exceptions_of(statement: str) -> Panel:
    return table_of(
        "Exceptions",
        statement,
        about="By service, type and message, with numbers and ids replaced. An exception that a span and a "
        "log record of it report counts once.",
        links={"example": ("Open", to_trace("${__value.raw}"))},
    )


def to_transaction(id: str) -> str:
    return to_board("clew-transaction", transaction=id)


def to_service(name: str) -> str:
    return to_board("clew-service", service=name)
