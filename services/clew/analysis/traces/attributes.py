"""Attribute keys and their frequent values by hour: clew_attributes, for autocompletion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clew.analysis import queries
from clew.analysis.native_rows import native_rows
from clew.analysis.steps import Interval
from clew.analysis.traces.times import datetime_text
from clew.background import Stop
from clew.storage.statements import Statements

SAMPLE_SIZE = 2000  # approximately; spans of an interval, and log records
INTERVAL_VALUES = 50  # values that are counted for a key of a service in one interval,
HOUR_VALUES = 200  # and in one hour
MAX_VALUE_LENGTH = 128  # characters; a longer value counts for its key alone
QUOTA_HOURS = 48  # hours whose values are kept in memory
COLUMNS = {
    "Hour": "DateTime",
    **dict.fromkeys(("Source", "Key", "ServiceName", "Value"), "String"),
    "Counts": "Array(Tuple(UInt32, UInt64))",  # of a Map
}


class Attributes:
    """The step that counts attributes in a sample of the spans and log records.

    A row holds one count per interval, keyed by the interval's `since`. Of two counts with the same
    key the larger one stays, so an interval that is counted twice counts once."""

    name = "attributes"
    every = 60.0
    on_demand = False

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._quota = ValueQuota()

    def run(self, settled: Interval, stop: Stop) -> None:
        """See Step. Counts all rows that were inserted in the interval, also of traces that are not
        settled.

        A key gets at most HOUR_VALUES values an hour, because user ids and the like would fill the
        table. Its other values are counted together under an empty value."""
        interval = {"since": datetime_text(settled.since), "until": datetime_text(settled.until)}
        (new,) = self._statements.rows(queries.SETTLE_COUNTS, **interval)
        stop.check()
        rows = self._statements.rows(
            queries.SETTLE_ATTRIBUTES,
            **interval,
            spans_in=max(1, new["spans"] // SAMPLE_SIZE),
            logs_in=max(1, new["logs"] // SAMPLE_SIZE),
            longest=MAX_VALUE_LENGTH,
            values=INTERVAL_VALUES,
        )
        stop.check()
        self._insert(self._quota.choose(rows), int(settled.since))

    def _insert(self, attributes: Sequence[Attribute], interval: int) -> None:
        rows = [(*attribute[:-1], [(interval, attribute[-1])]) for attribute in attributes]
        self._statements.insert_rows(native_rows("clew_attributes", COLUMNS, rows))


class Attribute(NamedTuple):
    """How often a key with a value occurred in an hour's telemetry of a service."""

    hour: int  # its start, in seconds since 1970
    source: str  # span, resource or log
    key: str
    service: str
    value: str
    rows: int


class ValueQuota:
    """Chooses the values of each key that are counted in an hour: the first HOUR_VALUES that occur.
    For one thread."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[tuple[str, str, str], set[str]]] = {}

    def choose(self, rows: Sequence[queries.SettleAttributesRow]) -> list[Attribute]:
        """The rows whose values are counted, and for each key one with an empty value and the count
        of all its other values."""
        chosen: list[Attribute] = []
        remaining: dict[tuple[int, str, str, str], int] = {}
        for row in rows:
            key = (row["source"], row["key"], row["service"])
            values = self._hours.setdefault(row["hour"], {}).setdefault(key, set())
            remaining.setdefault((row["hour"], *key), row["total"])
            if row["value"] and (row["value"] in values or len(values) < HOUR_VALUES):
                values.add(row["value"])
                chosen.append(Attribute(row["hour"], *key, row["value"], row["count"]))
                remaining[row["hour"], *key] -= row["count"]
        for hour in sorted(self._hours)[:-QUOTA_HOURS]:
            del self._hours[hour]
        return chosen + [Attribute(*key, "", count) for key, count in remaining.items() if count]
