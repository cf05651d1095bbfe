"""A defined transaction: how far its occurrences get, and whether it meets its objective."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

import sql
from boards.shared import environment
from panels import (
    Board,
    Limits,
    Panel,
    bars_of,
    choice,
    lines_of,
    row,
    stat_of,
    table_of,
    timeseries_of,
    to_trace,
)

BURN_WINDOWS = ("1 hour", "6 hours", "3 days")  # as clew_burn_windows has them in seconds
# Orange: the budget will not last. Red: 14.4 spends 2 % of a month's budget in an hour, 6 spends 5 % in six
# hours, 1 spends 10 % in three days.
BURN_LIMITS = dict(zip(BURN_WINDOWS, (Limits(1, 14.4), Limits(1, 6), Limits(1, 1)), strict=True))
BUDGET = Limits(0.25, 0)


def board() -> Board:
    return Board(
        uid="clew-slo",
        title="clew: Funnel and SLO",
        description=__doc__ or "",
        variables=[environment(), transaction()],
        rows=[
            row("The objective", 4, promised(), kept(), burn_rates()),
            row("Over time", 8, good_share(), budget_over_time(), values()),
            row("How far occurrences get", 9, funnel(), steps()),
            row("How far occurrences get, over time", 8, conversion()),
            row("Occurrences that missed the objective", 9, broken()),
        ],
    )


def transaction() -> dashboard.QueryVariable:
    names = f"SELECT Id, Name FROM {sql.definitions()} ORDER BY Name LIMIT 1000"
    return choice("transaction", "Transaction", names, several=False)


# The service level objective


# WITH the objective (NULL without one), and the nanoseconds that a good occurrence may take.
SLO = f"""WITH (
        SELECT any((nullIf(JSONExtractFloat(Definition, 'slo', 'objective'), 0),
            if(JSONHas(Definition, 'slo', 'latency_ms'), JSONExtractFloat(Definition, 'slo', 'latency_ms') * 1e6, inf)))
            ::Tuple(objective Nullable(Float64), latency Float64)
        FROM {sql.definitions("Definition")} WHERE Id = ${{transaction:singlequote}}
    ) AS slo"""


def judged(since: str = "$__fromTime") -> str:
    return f"""(
        SELECT Timestamp, Key, EntryTraceId, EntryDuration, IsError, Value,
            NOT clew_is_good(IsError, EntryDuration, slo.latency) AS bad
        FROM otel.clew_occurrences FINAL
        PREWHERE {sql.DEFINED} AND Timestamp >= {since} AND Timestamp < $__toTime
        WHERE {sql.in_environment()}
    )"""


def promised() -> Panel:
    columns = "slo.objective AS objective, nullIf(slo.latency, inf) / 1e6 AS within"
    units = {"objective": "percentunit", "within": "ms"}
    about = "The share of occurrences that must be good: without error, and within this time."
    return stat_of("Objective", f"{SLO} SELECT {columns}", units, about=about, width=2)


def kept() -> Panel:
    share = "countIf(NOT bad) / nullIf(count(), 0)"
    left = "1 - clew_burn_rate(countIf(bad), count(), slo.objective)"
    statement = f"{SLO} SELECT {share} AS good, {left} AS budget_left FROM {judged()}"
    return stat_of(
        "Attained",
        statement,
        "percentunit",
        about="The share of good occurrences in the window, and what is left of its error budget: orange below 25 %, "
        "red once the objective is missed.",
        limits={"budget_left": BUDGET},
        width=2,
    )


def burn_rates() -> Panel:
    rates = ", ".join(
        f"clew_burn_rate(countIf(bad AND age <= clew_burn_windows()[{number}]), "
        f"countIf(age <= clew_burn_windows()[{number}]), slo.objective) AS `{name}`"
        for number, name in enumerate(BURN_WINDOWS, 1)
    )
    judged_since = judged(f"$__toTime - clew_burn_windows()[{len(BURN_WINDOWS)}]")
    return stat_of(
        "Burn rate",
        f"""
        {SLO}
        SELECT {rates}
        FROM (SELECT bad, toUnixTimestamp($__toTime) - toUnixTimestamp(toDateTime(Timestamp)) AS age
            FROM {judged_since})
        """,
        "none",
        about="1 spends the budget exactly. Measured back from the end of the window. Red: 14.4 over an hour, 6 over six "
        "hours, 1 over three days; orange: above 1.",
        limits=BURN_LIMITS,
        width=3,
    )


def good_share() -> Panel:
    return timeseries_of(
        "Good",
        f"""
        {SLO}
        SELECT {sql.by_step("Timestamp")}, {sql.share("countIf(NOT bad)", "count()")} AS good,
            any(slo.objective) AS objective
        FROM {judged()}
        GROUP BY time
        ORDER BY time
        """,
        "percentunit",
        about="The share of good occurrences over time, and the objective: below the red line it is missed.",
        colors={"good": "green", "objective": "red"},
        least=None,
    )


def budget_over_time() -> Panel:
    """The remaining budget of the window."""
    return timeseries_of(
        "Remaining budget of this window",
        f"""
        {SLO}
        SELECT time, 1 - clew_burn_rate(sum(bad) OVER (ORDER BY time), sum(total) OVER (), slo.objective) AS left
        FROM (
            SELECT {sql.by_step("Timestamp")}, countIf(bad) AS bad, count() AS total
            FROM {judged()}
            GROUP BY time
        )
        ORDER BY time
        """,
        "percentunit",
        about="What is left of the window's error budget after each step. Below 0 the objective is missed.",
        limits=BUDGET,
        least=None,
    )


def values() -> Panel:
    return timeseries_of(
        "Value",
        f"""
        {SLO}
        SELECT {sql.by_step("Timestamp")}, ifNull(sumIf(Value, NOT IsError), 0) AS kept,
            ifNull(sumIf(Value, IsError), 0) AS lost
        FROM {judged()}
        GROUP BY time
        ORDER BY time
        """,
        "short",
        about="The sum of the occurrences' values, kept and lost with those in error.",
        colors={"kept": "green", "lost": "red"},
        stacked=True,
    )


def broken() -> Panel:
    return table_of(
        "In error or too slow, newest first",
        f"""
        {SLO}
        SELECT Timestamp AS time, Key AS key, EntryTraceId AS trace, EntryDuration / 1e6 AS duration,
            IsError AS error, Value AS value
        FROM {judged()}
        WHERE bad
        ORDER BY time DESC, key
        LIMIT 100
        """,
        about="The newest occurrences that count against the objective; a link shows the trace.",
        units={"duration": "ms"},
        links={"trace": ("Open", to_trace("${__value.raw}"))},
    )


# The funnel

# WITH the names of the steps; the entry is the first.
NAMES = f"""WITH (
        SELECT any(arrayPushFront(
            arrayMap(step -> if(startsWith(step, '"'), JSONExtractString(step), JSONExtractString(step, 'name')),
                JSONExtractArrayRaw(Definition, 'steps')), Name))
        FROM {sql.definitions("Definition")} WHERE Id = ${{transaction:singlequote}}
    ) AS names"""

# The steps that each occurrence reached: number, nanoseconds since the previous one, whether it is
# the last.
REACHED = f"""(
        SELECT Timestamp, IsError, Value, arrayJoin(arrayMap(
            (number, at, before, place) -> (
                number, greatest(0, toUnixTimestamp64Nano(at) - toUnixTimestamp64Nano(before)), place = length(numbers)),
            arrayPushFront(arrayMap(n -> toUInt16(n + 1), Step.Number), toUInt16(0)) AS numbers,
            arrayPushFront(Step.Start, Timestamp) AS starts,
            arrayPushFront(arrayPopBack(starts), Timestamp),
            arrayEnumerate(numbers))) AS step
        FROM otel.clew_occurrences FINAL
        PREWHERE {sql.DEFINED} AND {sql.in_window("Timestamp")}
        WHERE {sql.in_environment()}
    )"""


def funnel() -> Panel:
    return bars_of(
        "Occurrences that reach a step",
        f"""
        {NAMES}
        SELECT names[step.1 + 1] AS name, count() AS reached
        FROM {REACHED}
        GROUP BY step.1
        ORDER BY step.1
        LIMIT 100
        """,
        "short",
        about="How many occurrences got to each step of the definition; the first is the entry.",
    )


def steps() -> Panel:
    return table_of(
        "Steps",
        f"""
        {NAMES}
        SELECT names[step.1 + 1] AS name, count() AS reached,
            reached / max(reached) OVER () AS of_all,
            quantilesDD(0.01, 0.5)(toUInt64(step.2))[1] / 1e6 AS p50,
            quantilesDD(0.01, 0.95)(toUInt64(step.2))[1] / 1e6 AS p95,
            countIf(step.3 AND IsError) AS errors,
            ifNull(sumIf(Value, step.3 AND IsError), 0) AS lost
        FROM {REACHED}
        GROUP BY step.1
        ORDER BY step.1
        LIMIT 100
        """,
        about="Times are since the previous step. Errors and lost value count at the last step reached.",
        units={"of_all": "percentunit", "p50": "ms", "p95": "ms"},
        gauges=["of_all"],
        width=2,
    )


def conversion() -> Panel:
    return lines_of(
        "Share that reaches a step",
        f"""
        {NAMES}
        SELECT time, name AS label, reached / greatest(1, max(reached) OVER (PARTITION BY time)) AS share
        FROM (
            SELECT {sql.by_step("Timestamp")}, names[step.1 + 1] AS name, count() AS reached
            FROM {REACHED}
            GROUP BY time, step.1
        )
        ORDER BY time, label
        """,
        "percentunit",
        about="Of the occurrences that began in a step of the chart, the share that got to each step of the definition.",
    )
