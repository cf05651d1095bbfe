"""Which attributes there are, and their frequent values, by the hour: clew_attributes.

Autocompletion reads it (clew.api.attributes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.analysis import queries
from clew.analysis.steps import Interval
from clew.analysis.traces.times import second_of
from clew.background import Stop
from clew.storage import StorageError, Store
from clew.storage.statements import Statements

SAMPLE = 2000  # spans, and log records, of an interval that are looked at: about
VALUES_AT_ONCE = 50  # of a key of a service that are counted of one interval,
VALUES_IN_AN_HOUR = 200  # and of one hour
LONGEST_VALUE = 128  # characters; a longer value counts for its key alone
HOURS_IN_MIND = 48
COLUMNS = ("Hour", "Source", "Key", "ServiceName", "Value", "Counts")


class Attributes:
    """The step that counts attributes in a sample of the spans and log records.

    A row holds a count for each interval, by its `since`, of which the largest stays: an interval
    that is counted again counts once."""

    name = "attributes"
    every = 60.0
    on_demand = False

    def __init__(self, store: Store, statements: Statements) -> None:
        self._store = store
        self._statements = statements
        self._quota = ValueQuota()

    def run(self, settled: Interval, stop: Stop) -> None:
        """See Step. Of what was inserted in the interval, whether its traces are settled or not.

        A key that has had its values of the hour gets no more of them: user ids and the like would
        fill the table. What it has beyond them counts under an empty value."""
        interval = {"since": second_of(settled.since), "until": second_of(settled.until)}
        (new,) = self._statements.rows(queries.SETTLE_COUNTS, **interval)
        stop.check()
        rows = self._statements.rows(
            queries.SETTLE_ATTRIBUTES,
            **interval,
            spans_in=max(1, new["spans"] // SAMPLE),
            logs_in=max(1, new["logs"] // SAMPLE),
            longest=LONGEST_VALUE,
            values=VALUES_AT_ONCE,
        )
        stop.check()
        self._insert(self._quota.choose(rows), int(settled.since))

    def _insert(self, attributes: Sequence[Attribute], interval: int) -> None:
        if not attributes:
            return
        rows = [(*attribute[:-1], {interval: attribute.number}) for attribute in attributes]
        with self._store.client() as client:
            try:
                client.insert("otel.clew_attributes", rows, column_names=COLUMNS)
            except ClickHouseError as error:
                raise StorageError(f"clew_attributes: {error}") from error


class Attribute(NamedTuple):
    """How often a key, with a value, was on what a service sent in an hour (seconds since 1970)."""

    hour: int
    source: str  # span, resource or log
    key: str
    service: str
    value: str
    number: int


class ValueQuota:
    """Which values of each key are counted in an hour: those that came first, up to
    VALUES_IN_AN_HOUR. For one thread."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[tuple[str, str, str], set[str]]] = {}

    def choose(self, rows: Sequence[queries.SettleAttributesRow]) -> list[Attribute]:
        """The rows whose values are counted, and one for what else each key has."""
        chosen: list[Attribute] = []
        rest: dict[tuple[int, str, str, str], int] = {}
        for row in rows:
            key = (row["source"], row["key"], row["service"])
            values = self._hours.setdefault(row["hour"], {}).setdefault(key, set())
            left = rest.setdefault((row["hour"], *key), row["total"])
            if row["value"] and (row["value"] in values or len(values) < VALUES_IN_AN_HOUR):
                values.add(row["value"])
                chosen.append(Attribute(row["hour"], *key, row["value"], row["count"]))
                rest[row["hour"], *key] = left - row["count"]
        for hour in sorted(self._hours)[:-HOURS_IN_MIND]:
            del self._hours[hour]
        return chosen + [Attribute(*key, "", count) for key, count in rest.items() if count]
