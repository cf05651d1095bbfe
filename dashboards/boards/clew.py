"""clew itself: whether everything that was received is stored, how fresh the data is, and what clew uses."""

from __future__ import annotations

import sql
from panels import (
    NONE_AT_ALL,
    Board,
    Limits,
    Panel,
    lines_of,
    row,
    stat_of,
    table_of,
    timeseries_of,
)

OWN = "ServiceName = 'clew'"
SIGNAL = sql.label("signal")
WHOLE = "''"  # for a metric without attributes


def board() -> Board:
    return Board(
        uid="clew-self",
        title="clew: clew itself",
        description=__doc__ or "",
        rows=[
            row("The ledger", 4, account()),
            row("The ledger over time", 8, stored_over_time(), rejected_over_time(), beats()),
            row("Freshness", 8, freshness(), waiting(), pending()),
            row("The spool and the loader", 8, spool(), syncs(), inserts()),
            row("Settled traces", 6, settled(), thinned()),
            row("The process", 8, processor(), memory()),
            row("By service, and what was dropped", 9, by_service(), reasons(), expired()),
        ],
    )


# The ledger of items whose segments are in the tables. clew's own metrics have the pending ones.

FATES = "('received', 'stored', 'mended', 'unreadable', 'refused', 'alive')"  # any other fate is a reason for a rejection


def ledger(columns: str, where: str, then: str = "") -> str:
    return f"""SELECT {columns}
        FROM otel.clew_ledger AS ledger FINAL
        WHERE {sql.in_window("ReceivedAt")} AND {where}
        {then}"""


def account() -> Panel:
    fates = {
        "received": "Fate = 'received'",
        "stored": "Fate = 'stored'",
        "rejected": f"Fate NOT IN {FATES}",
        "mended": "Fate = 'mended'",
        "unreadable": "Fate = 'unreadable'",
        "refused": "Fate = 'refused'",
    }
    columns = ", ".join(f"sumIf(Items, {which}) AS {name}" for name, which in fates.items())
    # Unsigned numbers: their difference may be negative.
    missing = "toInt64(received) - toInt64(stored) - toInt64(rejected)"
    return stat_of(
        "What became of the items",
        ledger(f"{columns}, sum(ledger.Late) AS late, {missing} AS missing", "1=1"),
        "short",
        about="In items, but `unreadable` and `refused` count requests: those that could not be parsed, "
        "and those that were told to try again. Late: an item's own time is more than an hour from its "
        "receipt. Missing: received, but neither stored nor rejected; anything but 0 is a loss.",
        limits={
            "rejected": Limits(1, None),
            "unreadable": Limits(1, None),
            "refused": Limits(1, None),
            "missing": NONE_AT_ALL,
        },
    )


def stored_over_time() -> Panel:
    return by_step(
        "Stored", "Signal", "Fate = 'stored'", "Items per second in the tables, by signal."
    )


def rejected_over_time() -> Panel:
    where = f"Fate NOT IN {FATES} OR Fate IN ('unreadable', 'refused')"
    about = "Items per second that were rejected, by signal and reason; requests that could not be read or taken."
    return by_step(
        "Rejected, unreadable, refused", "concat(Signal, ' ', Fate)", f"({where})", about
    )


def by_step(title: str, kind: str, where: str, about: str) -> Panel:
    columns = f"{sql.by_step('ReceivedAt')}, toString({kind}) AS label, sum(Items) / $__interval_s AS items"
    statement = ledger(columns, where, "GROUP BY time, label ORDER BY time, label")
    return lines_of(title, statement, "cps", about=about, stacked=True)


def beats() -> Panel:
    columns = f"{sql.by_step('ReceivedAt')}, sum(Items) AS beats"
    statement = ledger(columns, "Fate = 'alive'", "GROUP BY time ORDER BY time")
    about = "One a minute while a collector runs: a gap is a time without a collector."
    return timeseries_of("Heartbeats", statement, "short", about=about)


# Its own metrics


def freshness() -> Panel:
    about = (
        "From a segment's first request until its rows are visible; the upper end of the bucket."
    )
    statement = sql.slots("clew.loader.freshness", SIGNAL, 0.95, OWN)
    return lines_of("Freshness, p95", statement, "s", about=about)


def waiting() -> Panel:
    about = "How long the oldest acknowledged item has waited for its place in the tables."
    return level("Age of the oldest waiting item", "clew.collector.queue.age", "s", WHOLE, about)


def pending() -> Panel:
    about = "Acknowledged items that are not in the tables yet, by signal."
    return level("Waiting items", "clew.collector.pending", "short", SIGNAL, about)


def spool() -> Panel:
    about = "Size of the spool on the disk. It grows while the tables take less than arrives."
    return level("Spool", "clew.spool.size", "bytes", WHOLE, about)


def syncs() -> Panel:
    statement = sql.slots("clew.spool.sync.duration", WHOLE, 0.95, OWN)
    about = (
        "Time to write a batch of requests to the spool and sync it; the upper end of the bucket."
    )
    return lines_of("Writing to the disk, p95", statement, "s", about=about)


def inserts() -> Panel:
    statement = sql.slots("clew.loader.insert.duration", SIGNAL, 0.95, OWN)
    about = "Time of the insert of one segment, by signal; the upper end of the bucket."
    return lines_of("Loading a segment, p95", statement, "s", about=about)


def processor() -> Panel:
    statement = sql.rates("process.cpu.time", sql.label("cpu.mode"), OWN)
    about = "Processors that clew used, by mode."
    return lines_of("Processors", statement, "short", about=about, stacked=True)


def memory() -> Panel:
    about = "Resident memory of the process."
    return level("Memory", "process.memory.usage", "bytes", WHOLE, about)


def level(title: str, metric: str, unit: str, by: str, about: str) -> Panel:
    return lines_of(title, sql.levels(metric, by, OWN), unit, about=about)


# The settler


def settled() -> Panel:
    return timeseries_of(
        "Traces settled",
        f"""
        SELECT {sql.by_step("Timestamp")}, count() / $__interval_s AS settled, sum(OneIn) / $__interval_s AS stands_for
        FROM otel.clew_settled
        WHERE {sql.in_window("Timestamp")} AND NOT IsDeleted
        GROUP BY time
        ORDER BY time
        """,
        "cps",
        about="By the time of their entries. A trace that was settled twice may count twice for a while.",
        width=3,
    )


def thinned() -> Panel:
    return stat_of(
        "One trace in",
        f"SELECT max(OneIn) AS one_in FROM otel.clew_settled WHERE {sql.in_window('Timestamp')}",
        "none",
        about="Above 1 the settler cannot keep up: one trace stands for that many.",
        limits={"one_in": Limits(2, None)},
    )


# Tables


def by_service() -> Panel:
    columns = """toString(ServiceName) AS service, toString(Signal) AS signal, sum(Items) AS stored,
            sum(ledger.Late) AS late, max(ReceivedAt) AS last"""
    order = "GROUP BY service, signal ORDER BY stored DESC, service, signal LIMIT 500"
    about = "What each service sent, how much of it came more than an hour late, and when something last came."
    statement = ledger(columns, "Fate = 'stored'", order)
    return table_of("Stored, by service", statement, about=about)


def reasons() -> Panel:
    columns = """toString(Fate) AS reason, toString(Signal) AS signal, sum(Items) AS rejected,
            max(ReceivedAt) AS last"""
    order = "GROUP BY reason, signal ORDER BY rejected DESC, reason, signal LIMIT 100"
    about = "Rejected items by reason; the sender was told so with partial success."
    return table_of("Why rejected", ledger(columns, f"Fate NOT IN {FATES}", order), about=about)


def expired() -> Panel:
    return table_of(
        "Dropped to free disk space",
        f"""
        SELECT Time AS time, toString(Table) AS of_table, Partition AS partition, Rows AS row_count, Bytes AS size
        FROM otel.clew_expired
        WHERE {sql.in_window("Time")}
        ORDER BY time DESC, of_table, partition
        LIMIT 200
        """,
        about="Days of the tables that were dropped because the disk was full.",
        units={"size": "bytes"},
    )
