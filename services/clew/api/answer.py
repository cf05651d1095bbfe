"""Answers to requests: each reads the database and makes the response document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi import Query as Parameter

from clew.api.rooted_traces import RootedTraces
from clew.storage import Forms, Query, Reader, Reading, RowT, queries

SETTLER_ROW = "pass"  # the row of clew_settler that says how far traces are settled


class Answer:
    """The answer to one request."""

    def __init__(self, reading: Reading, explain: bool, rooted_traces: RootedTraces) -> None:
        self.in_parallel = reading.in_parallel
        self.rooted_traces = rooted_traces
        self._reading = reading
        self._explain = explain
        self._truncated = False
        self._settled: dict[str, str | None] = {}

    def rows(
        self, query: Query[RowT], filters: str = "", forms: Forms | None = None, **parameters: Any
    ) -> list[RowT]:
        """The rows of a query; see `Reading.rows`."""
        return self._reading.rows(query, filters, forms, **parameters)

    def text(self, query: Query[Any], **parameters: Any) -> bytes:
        """The rows of a query as lines of JSON."""
        return self._reading.text(query, **parameters)

    def columns(self, query: Query[Any], **parameters: Any) -> dict[str, Sequence[Any]]:
        """The rows of a query as columns; see `Reading.columns`."""
        return self._reading.columns(query, **parameters)

    def first_row(self, query: Query[RowT], **parameters: Any) -> RowT | None:
        """The first row of a query; None when it has no rows."""
        return next(iter(self.rows(query, **parameters)), None)

    def limited_rows(
        self, query: Query[RowT], limit: int, *, per: str = "", **parameters: Any
    ) -> list[RowT]:
        """At most `limit` rows, or with `per`, at most `limit` for each value of that column (the
        query must limit by it too). When there are more, the answer is truncated."""
        rows = self.rows(query, **parameters, limit=limit + 1)
        counts: Counter[Any] = Counter()
        selected = []
        for row in rows:
            counts[row.get(per)] += 1
            if counts[row.get(per)] <= limit:
                selected.append(row)
        if len(selected) < len(rows):
            self.mark_truncated()
        return selected

    def rests_on_settled_traces(self, *steps: str) -> None:
        """The document says up to when traces were settled, and the steps had run over them, when
        its rows were read: `settled_until`. To be called before they are read."""
        row = self.first_row(queries.SETTLER_PROGRESS, names=[SETTLER_ROW, *steps])
        self._settled = {"settled_until": row["settled_until"] if row else None}

    def mark_truncated(self) -> None:
        """The document does not contain everything that was asked for."""
        self._truncated = True

    def document(self, **members: Any) -> dict[str, Any]:
        """The response document: the members, `truncated`, `settled_until` if it rests on settled
        traces, and with `explain` the statements."""
        statements = {"sql": self._reading.statements} if self._explain else {}
        return members | {"truncated": self._truncated} | self._settled | statements


def get_answer(
    request: Request,
    explain: Annotated[
        bool, Parameter(description="Whether to add `sql`, the statements that were run.")
    ] = False,
) -> Answer:
    reader: Reader = request.app.state.reader
    reading = reader.begin()
    request.state.readings.append(reading)
    return Answer(reading, explain, request.app.state.rooted_traces)


AnswerDependency = Annotated[Answer, Depends(get_answer)]
