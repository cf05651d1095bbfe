"""Alerts: what is wrong now, what was wrong before, and what receivers were told of it."""

from __future__ import annotations

import sql
from boards.shared import to_service
from panels import (
    NONE_AT_ALL,
    Board,
    Limits,
    Panel,
    lines_of,
    row,
    stat_of,
    table_of,
    to_trace,
)

OPEN = "State IN ('firing', 'recovering')"
# Labels stand in the documents of alerts and messages, as clew.analysis.alerts writes them.
ALERTS = "otel.clew_alerts FINAL"
CHANGES = "otel.clew_alert_changes FINAL"
MESSAGES = "otel.clew_outbox FINAL"
HEADLINE = "JSONExtractString(Document, 'verdict', 'headline')"
SERVICE = "JSONExtractString(Document, 'verdict', 'labels', 'service')"


def board() -> Board:
    return Board(
        uid="clew-alerts",
        title="clew: Alerts",
        description=__doc__ or "",
        rows=[
            row("Now", 4, states()),
            row("Alerts", 10, alerts()),
            row("Over time", 8, changes_over_time(), messages_over_time()),
            row("History", 10, history()),
            row("Messages to receivers", 10, receivers(), messages()),
            row("Slow every day", 10, findings()),
        ],
    )


def states() -> Panel:
    stands_for_itself = "JSONExtractString(Document, 'because_of') = ''"
    columns = {
        "open": OPEN,
        "causes": f"{OPEN} AND {stands_for_itself}",
        "pages": f"{OPEN} AND Severity = 'page'",
        "pending": "State = 'pending'",
        "resolved": "State = 'resolved'",
        "unknown": "Known != 'known'",
    }
    counted = ", ".join(f"countIf({which}) AS {name}" for name, which in columns.items())
    return stat_of(
        "Alerts by state",
        f"SELECT {counted} FROM {ALERTS}",
        "short",
        about="Open: firing, or recovering and not over yet. Causes: open ones without those that another one "
        "stands for. Pages: open ones that wake people. Unknown: could not be judged in the last minute.",
        limits={"open": Limits(1, None), "pages": NONE_AT_ALL, "unknown": Limits(1, None)},
    )


def alerts() -> Panel:
    return table_of(
        "Alerts, open ones first",
        f"""
        SELECT toString(State) AS state, toString(Severity) AS severity, Since AS since, {HEADLINE} AS headline,
            toString(Rule) AS rule, {SERVICE} AS service, toString(Known) AS known, Alert AS alert
        FROM {ALERTS}
        ORDER BY {OPEN} DESC, Severity = 'page' DESC, Since DESC, alert
        LIMIT 200
        """,
        about="Every alert in the state that it has now, whatever the window; since: when that state began.",
        links={"service": ("Open", to_service("${__value.raw}"))},
    )


def changes_over_time() -> Panel:
    return lines_of(
        "Changes of state",
        f"""
        SELECT {sql.by_step("At")}, toString(State) AS label, count() AS value
        FROM {CHANGES}
        WHERE {sql.in_window("At")}
        GROUP BY time, label
        ORDER BY time, label
        LIMIT 50000
        """,
        "short",
        about="How many alerts came into each state, in each step of time.",
        stacked=True,
    )


def messages_over_time() -> Panel:
    return lines_of(
        "Messages",
        f"""
        SELECT {sql.by_step("CreatedAt")}, toString(State) AS label, count() AS value
        FROM {MESSAGES}
        WHERE {sql.in_window("CreatedAt")}
        GROUP BY time, label
        ORDER BY time, label
        LIMIT 50000
        """,
        "short",
        about="Messages to receivers by the time when they were written, in the state that they have now: sent, "
        "waiting for another attempt, or dropped after a day.",
        stacked=True,
    )


def history() -> Panel:
    return table_of(
        "History",
        f"""
        SELECT At AS time, toString(State) AS state, JSONExtractString(Verdict, 'headline') AS headline,
            JSONExtractString(Verdict, 'rule') AS rule, JSONExtractString(Verdict, 'labels', 'service') AS service,
            Episode AS episode, Alert AS alert
        FROM {CHANGES}
        WHERE {sql.in_window("At")}
        ORDER BY time DESC, alert, state
        LIMIT 500
        """,
        about="Changes of state in the window, the newest first; an episode lasts from firing to resolved.",
        links={"service": ("Open", to_service("${__value.raw}"))},
    )


def receivers() -> Panel:
    return table_of(
        "Receivers",
        f"""
        SELECT toString(Receiver) AS receiver, countIf(State = 'sent') AS sent, countIf(State = 'waiting') AS waiting,
            countIf(State = 'dropped') AS dropped, sum(Attempts) AS attempts
        FROM {MESSAGES}
        WHERE {sql.in_window("CreatedAt")}
        GROUP BY receiver
        ORDER BY dropped DESC, waiting DESC, receiver
        LIMIT 100
        """,
        about="Messages of the window by receiver and by what became of them.",
        limits={"waiting": Limits(1, None), "dropped": NONE_AT_ALL},
    )


def messages() -> Panel:
    return table_of(
        "Messages",
        f"""
        SELECT CreatedAt AS time, toString(State) AS state, toString(Receiver) AS receiver,
            toString(Transition) AS transition, JSONExtractString(Notification, 'headline') AS headline,
            Attempts AS attempts, Error AS error, Key AS key
        FROM {MESSAGES}
        WHERE {sql.in_window("CreatedAt")}
        ORDER BY time DESC, key
        LIMIT 500
        """,
        about="What receivers were told in the window, the newest first, and why an attempt failed.",
        width=2,
    )


def findings() -> Panel:
    per_day = "arraySum(one -> JSONExtractFloat(one, 'per_day_s'), JSONExtractArrayRaw(Document, 'transactions'))"
    names = ("service", "operation", "subject", "place", "advice")
    return table_of(
        "Findings",
        f"""
        SELECT toString(Rule) AS rule, {", ".join(f"JSONExtractString(Document, '{name}') AS {name}" for name in names)},
            {per_day} AS saved_a_day, if(states.state = '', 'open', states.state) AS state, LastSeen AS last_seen,
            JSONExtractString(Document, 'traces', 1) AS trace
        FROM otel.clew_findings AS findings FINAL
        LEFT JOIN (
            SELECT Finding, argMax(toString(State), At) AS state FROM otel.clew_finding_states GROUP BY Finding
        ) AS states ON states.Finding = findings.Finding
        WHERE states.state NOT IN ('ignored', 'resolved')
        ORDER BY saved_a_day DESC, rule, service, operation, subject
        LIMIT 200
        """,
        about="What is slow every day and what to do about it, whatever the window: the most expensive first, by what "
        "the mend saves a day in all traces.",
        units={"saved_a_day": "s"},
        links={"trace": ("Open", to_trace("${__value.raw}")), "service": ("Open", to_service("${__value.raw}"))},
        gauges=["saved_a_day"],
    )  # fmt: skip
