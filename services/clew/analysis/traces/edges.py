"""The service map by the minute: clew_edges_1m, made from settled traces."""

from __future__ import annotations

from clew.analysis import queries
from clew.analysis.steps import RESETTLE_SECONDS, Interval
from clew.analysis.traces.times import EARLIEST, HOUR, LAST_SECOND, LATEST, datetime_text
from clew.background import Stop
from clew.storage.statements import Statements


class Edges:
    """The step that computes the edges of every minute in which a trace was settled, from all
    traces of that minute. Rows are replaced by version."""

    name = "edges"
    every = 10.0
    on_demand = True

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def run(self, settled: Interval, stop: Stop) -> None:
        """See Step. Traces that were inserted after `until` count too if they are settled."""
        since = datetime_text(settled.since - RESETTLE_SECONDS)
        for row in self._statements.rows(queries.SETTLE_MINUTES, since=since):
            stop.check()
            hour = row["hour"]
            self._statements.insert(
                "clew_edges_1m",
                queries.SETTLE_EDGES,
                minutes=[datetime_text(minute) for minute in row["minutes"]],
                start=EARLIEST if hour == 0 else datetime_text(hour),
                end=LATEST if hour + HOUR > LAST_SECOND else datetime_text(hour + HOUR),
                version=settled.version,
            )
